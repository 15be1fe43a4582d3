//! Slow start by connections: as `wlc`, but the weight of a backend that has come grows with time.
//!
//! Without that, a backend that has none would get every new connection, while its caches are empty.
#![forbid(unsafe_code)]

use wvs_plugin::{
    About, Backend, Cost, Counted, CountingScheduler, Counts, Dispatch, Params, Ramps, Scheduler,
    TimedScheduler, host, look_ahead, scale,
};

/// The weighted least connection scheduler with a slow start.
#[derive(Debug)]
pub struct SlowLeastConnection {
    counts: Counts,
    ramps: Ramps,
}

impl Scheduler for SlowLeastConnection {
    const ABOUT: About = About {
        name: "slow-wlc",
        version: env!("CARGO_PKG_VERSION"),
        summary: "slow start: as wlc, but the weight of a backend that has come grows with time",
        params: &Ramps::PARAMS,
    };

    fn configure(params: &Params) -> Result<(Self, Dispatch), String> {
        let scheduler = Self {
            counts: Counts::default(),
            ramps: Ramps::configure(params)?,
        };
        Ok((scheduler, Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.counts.update(backends);
        self.ramps.update(backends, host::now());
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let backends = self.counts.backends();
        let weights: Vec<u32> = backends.iter().map(|known| known.weight).collect();
        let weights = scale(&weights, &self.ramps.shares(host::now()));
        let eased = backends
            .iter()
            .zip(weights)
            .map(|(known, weight)| Counted { weight, ..*known });
        Ok(look_ahead(&eased.collect::<Vec<_>>(), slots, Cost::overhead))
    }
}

impl CountingScheduler for SlowLeastConnection {
    fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        self.counts.observe(active, inactive);
    }
}

impl TimedScheduler for SlowLeastConnection {
    fn due(&self) -> u32 {
        self.ramps.due(host::now())
    }
}

wvs_plugin::export!(SlowLeastConnection, load, timer);
