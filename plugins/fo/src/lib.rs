//! Weighted fail-over: the heaviest backend gets everything, the others stand by.
#![forbid(unsafe_code)]

use std::cmp::Reverse;

use wvs_plugin::{About, Backend, Dispatch, NO_BACKEND, Params, Scheduler};

/// The weighted fail-over scheduler.
#[derive(Debug)]
pub struct FailOver(u32);

impl Scheduler for FailOver {
    const ABOUT: About = About {
        name: "fo",
        version: env!("CARGO_PKG_VERSION"),
        summary: "weighted fail-over: the usable backend of the highest weight gets everything",
        params: &[],
    };

    fn configure(_: &Params) -> Result<(Self, Dispatch), String> {
        Ok((Self(NO_BACKEND), Dispatch::Cycle))
    }

    /// Of several of the same weight it is the first in the list.
    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        let usable = backends.iter().filter(|backend| backend.usable());
        let heaviest = usable.min_by_key(|backend| Reverse(backend.weight));
        self.0 = heaviest.map_or(NO_BACKEND, |backend| backend.id);
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        Ok(vec![self.0; slots as usize])
    }
}

wvs_plugin::export!(FailOver);
