//! Destination hashing: an address that clients ask for always leads to the same backend.
//!
//! For caches behind a service of many addresses, such as one by firewall mark.
#![forbid(unsafe_code)]

use wvs_plugin::{About, Backend, Dispatch, HashKey, Params, Scheduler, fill_by_hash};

/// The destination hashing scheduler.
#[derive(Debug, Default)]
pub struct DestinationHash(Vec<Backend>);

impl Scheduler for DestinationHash {
    const ABOUT: About = About {
        name: "dh",
        version: env!("CARGO_PKG_VERSION"),
        summary: "hash of the address that is asked for; all backends have equal shares, unless their weight is 0",
        params: &[],
    };

    fn configure(_: &Params) -> Result<(Self, Dispatch), String> {
        Ok((Self::default(), Dispatch::Hash(HashKey::Destination)))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.0 = backends
            .iter()
            .map(|backend| backend.weight(backend.weight.min(1)))
            .collect();
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        Ok(fill_by_hash(&self.0, slots))
    }
}

wvs_plugin::export!(DestinationHash);
