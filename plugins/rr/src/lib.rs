//! Round robin: every backend in its turn, in the order of the list. Weights do not matter, unless they are 0.
#![forbid(unsafe_code)]

use wvs_plugin::{About, Backend, Dispatch, NO_BACKEND, Params, Scheduler};

/// The round robin scheduler: the ids of those whose turn comes.
#[derive(Debug, Default)]
pub struct RoundRobin(Vec<u32>);

impl Scheduler for RoundRobin {
    const ABOUT: About = About {
        name: "rr",
        version: env!("CARGO_PKG_VERSION"),
        summary: "round robin: everybody in turn, whatever the weights",
        params: &[],
    };

    fn configure(_: &Params) -> Result<(Self, Dispatch), String> {
        Ok((Self::default(), Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        let usable = backends.iter().filter(|backend| backend.usable());
        self.0 = usable.map(|backend| backend.id).collect();
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let slots = slots as usize;
        let mut table = Vec::with_capacity(slots);
        while table.len() < slots && !self.0.is_empty() {
            let turns = self.0.len().min(slots - table.len());
            table.extend_from_slice(&self.0[..turns]);
        }
        table.resize(slots, NO_BACKEND);
        Ok(table)
    }
}

wvs_plugin::export!(RoundRobin);
