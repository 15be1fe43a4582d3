//! Counters that only grow.
//!
//! The kernel's element counters begin at 0 again when an element had to be made anew. The ledger carries what
//! was counted before.

use std::collections::BTreeMap;

use crate::kernel::{BackendTraffic, MarkMask, Traffic};
use crate::plan::{Op, Plan};
use crate::ruleset::{Key, MapName};
use crate::scheduler::BackendId;

/// Totals per backend.
///
/// A backend's counts lie in elements of their own, any of which may begin again without the others.
#[derive(Debug, Default)]
pub struct Ledger {
    before: BTreeMap<BackendId, BackendTraffic>,
    last: BTreeMap<BackendId, BackendTraffic>,
}

impl Ledger {
    /// Takes in what the kernel's counters say now.
    pub fn record(&mut self, now: BTreeMap<BackendId, BackendTraffic>) {
        let less: Vec<_> = self.last.keys().copied().collect();
        for id in less {
            let (now, last) = (now.get(&id).copied().unwrap_or_default(), self.last[&id]);
            if now.connections < last.connections {
                self.restart(MapName::Backends, id);
            }
            if now.chosen < last.chosen {
                self.restart(MapName::Chosen, id);
            }
            if now.sent.packets < last.sent.packets {
                self.restart(MapName::Sent, id);
            }
            if now.received.packets < last.received.packets {
                self.restart(MapName::Received, id);
            }
        }
        self.last = now;
    }

    /// Takes in what some counters say now; the others are as they were.
    pub fn update(&mut self, now: BTreeMap<BackendId, BackendTraffic>) {
        let mut all = self.last.clone();
        all.extend(now);
        self.record(all);
    }

    /// What a plan has added counts from 0, even where it has counted past the old count at the next look.
    pub fn follow(&mut self, plan: &Plan, mark: MarkMask) {
        for op in &plan.ops {
            let Op::AddElements(_, map, elements) = op else {
                continue;
            };
            for key in elements.keys() {
                match key {
                    Key::Backend(id) | Key::Chosen(id) => self.restart(*map, *id),
                    Key::Mark(bits) => mark.id(*bits).into_iter().for_each(|id| self.restart(*map, id)),
                    _ => {}
                }
            }
        }
    }

    /// The element of a backend in a map begins again.
    fn restart(&mut self, map: MapName, id: BackendId) {
        let Some(last) = self.last.get_mut(&id) else {
            return;
        };
        let lost = match map {
            MapName::Backends => BackendTraffic {
                connections: std::mem::take(&mut last.connections),
                ..BackendTraffic::default()
            },
            MapName::Chosen => BackendTraffic {
                chosen: std::mem::take(&mut last.chosen),
                ..BackendTraffic::default()
            },
            MapName::Sent => BackendTraffic {
                sent: std::mem::take(&mut last.sent),
                ..BackendTraffic::default()
            },
            MapName::Received => BackendTraffic {
                received: std::mem::take(&mut last.received),
                ..BackendTraffic::default()
            },
            _ => return,
        };
        let before = self.before.entry(id).or_default();
        *before = sum(*before, lost);
    }

    /// Forgets what was counted under an id that another backend has got.
    pub fn forget(&mut self, id: BackendId) {
        self.before.remove(&id);
        self.last.remove(&id);
    }

    /// All that was ever counted for a backend.
    pub fn total(&self, id: BackendId) -> BackendTraffic {
        let of = |map: &BTreeMap<BackendId, BackendTraffic>| map.get(&id).copied().unwrap_or_default();
        sum(of(&self.before), of(&self.last))
    }
}

/// Whether a plan takes away elements that count: what they say must be read before.
pub fn loses_counts(plan: &Plan) -> bool {
    plan.ops.iter().any(|op| match op {
        Op::DeleteTable(_) => true,
        Op::DeleteElements(_, map, _) => map.has_counters(),
        _ => false,
    })
}

/// The sum of two counts.
pub fn sum(a: BackendTraffic, b: BackendTraffic) -> BackendTraffic {
    BackendTraffic {
        connections: a.connections + b.connections,
        chosen: a.chosen + b.chosen,
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
    use crate::ruleset::Family;

    fn counts(connections: u64) -> BTreeMap<BackendId, BackendTraffic> {
        let sent = Traffic {
            packets: connections * 3,
            bytes: connections * 100,
        };
        BTreeMap::from([(
            BackendId(7),
            BackendTraffic {
                connections,
                chosen: connections * 2,
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
        assert_eq!((ledger.total(BackendId(7)).chosen, ledger.total(BackendId(7)).sent.bytes), (26, 1300));
    }

    #[test]
    fn totals_survive_a_backend_that_goes_and_returns() {
        let mut ledger = Ledger::default();
        ledger.record(counts(5));
        ledger.record(BTreeMap::new());
        ledger.record(counts(1));
        assert_eq!(ledger.total(BackendId(7)).connections, 6);
    }

    #[test]
    fn an_element_made_anew_that_has_overtaken_itself_is_told_by_the_plan() {
        let mark = MarkMask { mask: 0xffff_0000 };
        let added = |map, key| Op::AddElements(Family::V4, map, BTreeMap::from([(key, None)]));
        let ops = vec![
            added(MapName::Backends, Key::Backend(BackendId(7))),
            added(MapName::Sent, Key::Mark(mark.bits(BackendId(7)))),
        ];
        let mut ledger = Ledger::default();
        ledger.record(counts(5));
        ledger.follow(&Plan { ops }, mark);
        assert_eq!(ledger.total(BackendId(7)).connections, 5);
        ledger.record(counts(8));
        assert_eq!(ledger.total(BackendId(7)).connections, 13);
        assert_eq!(ledger.total(BackendId(7)).sent.packets, 39);
    }

    #[test]
    fn one_element_may_begin_again_without_the_others() {
        let mut ledger = Ledger::default();
        ledger.record(counts(5));
        let mut after = counts(6);
        after.values_mut().for_each(|it| {
            it.sent = Traffic {
                packets: 3,
                bytes: 100,
            }
        });
        ledger.record(after);
        let total = ledger.total(BackendId(7));
        assert_eq!((total.connections, total.sent.packets, total.sent.bytes), (6, 18, 600));
    }
}
