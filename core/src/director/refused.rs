//! What was refused, in both planes.

use std::collections::BTreeMap;

use super::engine::Engine;
use super::views::ViewError;
use crate::ruleset::Refusal;
use crate::ruleset::service_of;

/// How many packets were refused.
#[derive(Debug, Default)]
pub struct Refused {
    /// For want of a backend, by both planes.
    pub by_service: BTreeMap<String, u64>,
    /// By nftables.
    pub by_nft: BTreeMap<Refusal, u64>,
}

impl Engine {
    /// Takes in how many packets the services refused, in both planes.
    pub(super) fn read_refused(&mut self) -> Result<(), ViewError> {
        let numbers: Vec<_> = self.tc.installed.services.keys().copied().collect();
        let mut refused: BTreeMap<String, u64> = BTreeMap::new();
        for (number, count) in self.doors.tc.refused(&numbers)? {
            if let Some(pool) = self.tc.numbers.pool(number) {
                *refused.entry(pool.service.clone()).or_default() += count;
            }
        }
        let mut by_nft = BTreeMap::new();
        for &family in self.desired.tables.keys() {
            for (chain, counts) in self.doors.nft.counted(family)? {
                let Some((why, at)) = Refusal::counted_in(&chain) else {
                    continue;
                };
                let count = counts.get(at).copied().unwrap_or_default();
                *by_nft.entry(why).or_default() += count;
                if let Some(service) = service_of(&chain) {
                    *refused.entry(service.to_owned()).or_default() += count;
                }
            }
        }
        self.refused = Refused {
            by_service: refused,
            by_nft,
        };
        Ok(())
    }

    /// How many packets nftables refused, by every reason that there is.
    pub(super) fn refused_by_nft(&mut self) -> BTreeMap<String, u64> {
        if let Err(error) = self.read_refused() {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot read what was refused");
        }
        let count = |why: &Refusal| self.refused.by_nft.get(why).copied().unwrap_or_default();
        let all = Refusal::ALL.iter();
        all.map(|why| (why.name().to_owned(), count(why))).collect()
    }
}
