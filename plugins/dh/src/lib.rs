//! Destination hashing: an address that clients ask for always leads to the same backend.
//!
//! For caches behind a service of many addresses, such as one by firewall mark.
#![forbid(unsafe_code)]

use wvs_plugin::{
    About, Backend, BackendState, Dispatch, FALLBACK, HashKey, Params, Scheduler, fill_by_hash,
};

/// The destination hashing scheduler.
#[derive(Debug, Default)]
pub struct DestinationHash {
    backends: Vec<Backend>,
    fallback: bool,
}

impl Scheduler for DestinationHash {
    const ABOUT: About = About {
        name: "dh",
        version: env!("CARGO_PKG_VERSION"),
        summary: "hash of the address that is asked for; all backends have equal shares, whatever their weights",
        params: &[FALLBACK],
    };

    fn configure(params: &Params) -> Result<(Self, Dispatch), String> {
        let scheduler = Self {
            backends: Vec::new(),
            fallback: params.boolean(FALLBACK.key)?,
        };
        Ok((scheduler, Dispatch::Hash(HashKey::Destination)))
    }

    /// As in LVS, weight 0 is looked at only where a client comes: it takes nobody, and keeps its places.
    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        let alike = |backend: &Backend| match backend.weight {
            0 => backend.weight(1).state(backend.state | BackendState::DRAINING),
            _ => backend.weight(1),
        };
        self.backends = backends.iter().map(alike).collect();
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        Ok(fill_by_hash(&self.backends, slots, self.fallback))
    }
}

wvs_plugin::export!(DestinationHash);
