//! What was refused, in both planes. It only grows while the director runs.

use std::collections::BTreeMap;

use super::engine::Engine;
use super::views::ViewError;
use crate::ruleset::service_of;
use crate::ruleset::{Family, Refusal};

/// How many packets were refused.
#[derive(Debug, Default)]
pub struct Refused {
    /// By the counters of nftables' chains.
    by_chain: BTreeMap<(Family, String), Count>,
    /// By the tc program, for services and their numbers there.
    by_tc: BTreeMap<(String, u32), Count>,
    /// What chains counted that are not there any more.
    gone: BTreeMap<Refusal, u64>,
}

/// A counter in the kernel that may begin again.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    last: u64,
    total: u64,
}

impl Count {
    fn record(self, now: u64) -> Self {
        let more = now.checked_sub(self.last).unwrap_or(now);
        Count {
            last: now,
            total: self.total + more,
        }
    }
}

impl Refused {
    fn record_nft(&mut self, now: BTreeMap<(Family, String), u64>) {
        let mut before = std::mem::take(&mut self.by_chain);
        for (chain, count) in now {
            let counted = before.remove(&chain).unwrap_or_default().record(count);
            self.by_chain.insert(chain, counted);
        }
        for ((_, chain), counted) in before {
            if let Some((why, _)) = Refusal::counted_in(&chain) {
                *self.gone.entry(why).or_default() += counted.total;
            }
        }
    }

    fn record_tc(&mut self, now: BTreeMap<(String, u32), u64>) {
        let before = std::mem::take(&mut self.by_tc);
        let counted = now.into_iter().map(|(service, count)| {
            let before = before.get(&service).copied().unwrap_or_default();
            (service, before.record(count))
        });
        self.by_tc = counted.collect();
    }

    /// For want of a backend, by both planes.
    pub fn by_service(&self) -> BTreeMap<&str, u64> {
        let by_tc = self.by_tc.iter();
        let by_tc = by_tc.map(|((service, _), count)| (service.as_str(), count.total));
        let by_nft = self.by_chain.iter();
        let by_nft = by_nft.filter_map(|((_, chain), count)| Some((service_of(chain)?, count.total)));
        let mut refused = BTreeMap::new();
        for (service, count) in by_tc.chain(by_nft) {
            *refused.entry(service).or_default() += count;
        }
        refused
    }

    /// By nftables, for every reason that there is.
    pub fn by_nft(&self) -> BTreeMap<String, u64> {
        let mut refused: BTreeMap<_, _> = Refusal::ALL.into_iter().map(|why| (why, 0)).collect();
        let present = self.by_chain.iter();
        let present =
            present.filter_map(|((_, chain), count)| Some((Refusal::counted_in(chain)?.0, count.total)));
        for (why, count) in present.chain(self.gone.iter().map(|(why, count)| (*why, *count))) {
            *refused.entry(why).or_default() += count;
        }
        refused
            .into_iter()
            .map(|(why, count)| (why.name().to_owned(), count))
            .collect()
    }
}

impl Engine {
    /// Takes in how many packets the services refused, in both planes.
    pub(super) fn read_refused(&mut self) -> Result<(), ViewError> {
        let numbers: Vec<_> = self.tc.installed.services.keys().copied().collect();
        let by_tc = self.doors.tc.refused(&numbers)?;
        let named = by_tc.into_iter().filter_map(|(number, count)| {
            let pool = self.tc.numbers.pool(number)?;
            Some(((pool.service.clone(), number), count))
        });
        self.refused.record_tc(named.collect());
        let mut by_chain = BTreeMap::new();
        for &family in self.desired.tables.keys() {
            for (chain, counts) in self.doors.nft.counted(family)? {
                if let Some((_, at)) = Refusal::counted_in(&chain) {
                    let count = counts.get(at).copied().unwrap_or_default();
                    by_chain.insert((family, chain), count);
                }
            }
        }
        self.refused.record_nft(by_chain);
        Ok(())
    }

    /// How many packets nftables refused, by every reason that there is.
    pub(super) fn refused_by_nft(&mut self) -> BTreeMap<String, u64> {
        if let Err(error) = self.read_refused() {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot read what was refused");
        }
        self.refused.by_nft()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(refused: &mut Refused, counts: &[(&str, u64)]) -> (u64, u64) {
        let now = counts
            .iter()
            .map(|(chain, count)| ((Family::V4, (*chain).to_owned()), *count));
        refused.record_nft(now.collect());
        let web = refused.by_service().get("web").copied().unwrap_or_default();
        (web, refused.by_nft()["no-backend"])
    }

    #[test]
    fn counts_that_begin_again_go_on() {
        let mut refused = Refused::default();
        assert_eq!(seen(&mut refused, &[("svc-web", 5), ("svc-dns", 2)]), (5, 7));
        assert_eq!(seen(&mut refused, &[("svc-web", 1), ("svc-dns", 3)]), (6, 9));
        // A service that goes takes its own count with it, not the reason's.
        assert_eq!(seen(&mut refused, &[("svc-dns", 3)]), (0, 9));
        assert_eq!(seen(&mut refused, &[("svc-web", 2), ("svc-dns", 4)]), (2, 12));
        assert_eq!(refused.by_nft()["closed-port"], 0);
    }
}
