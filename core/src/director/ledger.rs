//! Counters that only grow.
//!
//! The kernel's element counters begin at 0 again when a table had to be made anew. The ledger carries what
//! was counted before.

use std::collections::BTreeMap;

use crate::kernel::{BackendTraffic, Traffic};
use crate::scheduler::BackendId;

/// Totals per backend.
#[derive(Debug, Default)]
pub struct Ledger {
    before: BTreeMap<BackendId, BackendTraffic>,
    last: BTreeMap<BackendId, BackendTraffic>,
}

impl Ledger {
    /// Takes in what the kernel's counters say now.
    pub fn record(&mut self, now: BTreeMap<BackendId, BackendTraffic>) {
        for (id, last) in &self.last {
            let restarted = now.get(id).is_none_or(|now| now.connections < last.connections);
            if restarted {
                let before = self.before.entry(*id).or_default();
                *before = sum(*before, *last);
            }
        }
        self.last = now;
    }

    /// All that was ever counted for a backend.
    pub fn total(&self, id: BackendId) -> BackendTraffic {
        let of = |map: &BTreeMap<BackendId, BackendTraffic>| map.get(&id).copied().unwrap_or_default();
        sum(of(&self.before), of(&self.last))
    }
}

/// The sum of two counts.
pub fn sum(a: BackendTraffic, b: BackendTraffic) -> BackendTraffic {
    BackendTraffic {
        connections: a.connections + b.connections,
        sent: sum_traffic(a.sent, b.sent),
        received: sum_traffic(a.received, b.received),
    }
}

fn sum_traffic(a: Traffic, b: Traffic) -> Traffic {
    Traffic {
        packets: a.packets + b.packets,
        bytes: a.bytes + b.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(connections: u64) -> BTreeMap<BackendId, BackendTraffic> {
        let sent = Traffic {
            packets: connections * 3,
            bytes: connections * 100,
        };
        BTreeMap::from([(
            BackendId(7),
            BackendTraffic {
                connections,
                sent,
                received: Traffic::default(),
            },
        )])
    }

    #[test]
    fn totals_survive_a_table_made_anew() {
        let mut ledger = Ledger::default();
        for connections in [5, 9, 2, 4] {
            ledger.record(counts(connections));
        }
        assert_eq!(ledger.total(BackendId(7)).connections, 13);
        assert_eq!(ledger.total(BackendId(7)).sent.bytes, 1300);
    }

    #[test]
    fn totals_survive_a_backend_that_goes_and_returns() {
        let mut ledger = Ledger::default();
        ledger.record(counts(5));
        ledger.record(BTreeMap::new());
        ledger.record(counts(1));
        assert_eq!(ledger.total(BackendId(7)).connections, 6);
    }
}
