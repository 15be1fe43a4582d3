//! Round robin: every backend in its turn, as often as its weight says.
#![forbid(unsafe_code)]

use wvs_plugin::{About, Backend, Dispatch, NO_BACKEND, Params, Scheduler, interleave};

/// The round robin scheduler.
#[derive(Debug, Default)]
pub struct RoundRobin {
    ids: Vec<u32>,
    weights: Vec<u32>,
}

impl Scheduler for RoundRobin {
    const ABOUT: About = About {
        name: "rr",
        version: env!("CARGO_PKG_VERSION"),
        summary: "round robin in proportion to the weights, without bursts",
        params: &[],
    };

    fn configure(_: &Params) -> Result<(Self, Dispatch), String> {
        Ok((Self::default(), Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.ids = backends.iter().map(|backend| backend.id).collect();
        self.weights = backends.iter().map(Backend::effective_weight).collect();
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let mut table: Vec<u32> = interleave(&self.weights, slots);
        for entry in &mut table {
            *entry = self.ids[*entry as usize];
        }
        table.resize(slots as usize, NO_BACKEND);
        Ok(table)
    }
}

wvs_plugin::export!(RoundRobin);
