//! Slow start by turns: by weight and without bursts, and the weight of a backend that has come grows with time.
#![forbid(unsafe_code)]

use wvs_plugin::{
    About, Backend, Dispatch, NO_BACKEND, Params, Ramps, Scheduler, TimedScheduler, host, interleave, scale,
};

/// The round robin with a slow start.
#[derive(Debug)]
pub struct SlowRoundRobin {
    ids: Vec<u32>,
    weights: Vec<u32>,
    ramps: Ramps,
}

impl Scheduler for SlowRoundRobin {
    const ABOUT: About = About {
        name: "slow-rr",
        version: env!("CARGO_PKG_VERSION"),
        summary: "slow start: round robin by weight, and the weight of a backend that has come grows with time",
        params: &Ramps::PARAMS,
    };

    fn configure(params: &Params) -> Result<(Self, Dispatch), String> {
        let scheduler = Self {
            ids: Vec::new(),
            weights: Vec::new(),
            ramps: Ramps::configure(params)?,
        };
        Ok((scheduler, Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.ids = backends.iter().map(|backend| backend.id).collect();
        self.weights = backends.iter().map(Backend::effective_weight).collect();
        self.ramps.update(backends, host::now());
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let weights = scale(&self.weights, &self.ramps.shares(host::now()));
        let turns = interleave(&weights, slots);
        let mut table: Vec<u32> = turns.iter().map(|&index| self.ids[index as usize]).collect();
        table.resize(slots as usize, NO_BACKEND);
        Ok(table)
    }
}

impl TimedScheduler for SlowRoundRobin {
    fn due(&self) -> u32 {
        self.ramps.due(host::now())
    }
}

wvs_plugin::export!(SlowRoundRobin, timer);
