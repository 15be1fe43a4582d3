//! What backends and services have carried, in both planes. It only grows while the director runs.

use std::collections::BTreeMap;

use wvs_tc_bpf::Method;

use super::engine::Engine;
use super::ledger::{Ledger, sum};
use crate::ids::BackendIds;
use crate::kernel::tc::TcError;
use crate::kernel::{BackendTraffic, NftError, Traffic};
use crate::scheduler::BackendId;

/// What was counted.
#[derive(Debug, Default)]
pub struct Totals {
    /// By nftables.
    pub(super) nft: Ledger,
    /// By the tc program.
    tc: Ledger,
    /// For services, of backends whose ids others have got since.
    handed_on: BTreeMap<String, BackendTraffic>,
}

impl Engine {
    /// Takes in the kernel's counters.
    pub(super) fn read_counters(&mut self) -> Result<(), NftError> {
        let shift = self.config.director.mark().shift();
        let mut counters = BTreeMap::new();
        for &family in self.desired.tables.keys() {
            counters.extend(self.doors.nft.traffic(family, shift)?);
        }
        self.totals.nft.record(counters);
        Ok(())
    }

    /// Takes in the program's counters. What goes up to nftables is counted there, but for being chosen.
    pub(super) fn read_tc_counters(&mut self) -> Result<(), TcError> {
        let ids: Vec<_> = self.tc.installed.backends.keys().copied().collect();
        let all = self.doors.tc.traffic(&ids)?;
        let backends = &self.tc.installed.backends;
        let traffic = all.into_iter().map(|(id, stats)| {
            let is_nat = backends.get(&id).is_some_and(|it| it.method == Method::Nat);
            let sent = Traffic {
                packets: stats.packets,
                bytes: stats.bytes,
            };
            let counted = BackendTraffic {
                connections: stats.connections,
                // Counted among the connections already.
                chosen: 0,
                sent: if is_nat { Traffic::default() } else { sent },
                received: Traffic::default(),
            };
            (id, counted)
        });
        // A backend that is not in the program now goes on with the same counts when it comes back.
        self.totals.tc.update(traffic.collect());
        Ok(())
    }

    /// All that was counted for a backend.
    pub(super) fn total(&self, id: BackendId) -> BackendTraffic {
        sum(self.totals.nft.total(id), self.totals.tc.total(id))
    }

    /// All that was counted for services, also by backends that they do not have any more.
    pub(super) fn service_totals(&self) -> BTreeMap<String, BackendTraffic> {
        let mut totals = self.totals.handed_on.clone();
        for (id, service) in self.ids.services() {
            match totals.get_mut(service) {
                Some(total) => *total = sum(*total, self.total(id)),
                None => drop(totals.insert(service.to_owned(), self.total(id))),
            }
        }
        totals
    }

    /// Other backends begin at 0 under the ids that they are handed; the services keep what was counted.
    pub(super) fn forget_counts(&mut self, next: &BackendIds) {
        let ids: Vec<_> = next.handed_on(&self.ids).collect();
        for id in ids {
            if let Some((service, _)) = self.ids.whose(id) {
                let total = self.total(id);
                let before = self.totals.handed_on.entry(service.to_owned()).or_default();
                *before = sum(*before, total);
            }
            self.totals.nft.forget(id);
            self.totals.tc.forget(id);
        }
        let config = &self.config;
        self.totals
            .handed_on
            .retain(|service, _| config.service(service).is_some());
    }
}
