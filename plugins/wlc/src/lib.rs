//! Weighted least connection: new connections go where there are fewest for the weight.
#![forbid(unsafe_code)]

use wvs_plugin::{About, Backend, Cost, CountingScheduler, Counts, Dispatch, Params, Scheduler, look_ahead};

/// The weighted least connection scheduler.
#[derive(Debug, Default)]
pub struct WeightedLeastConnection(Counts);

impl Scheduler for WeightedLeastConnection {
    const ABOUT: About = About {
        name: "wlc",
        version: env!("CARGO_PKG_VERSION"),
        summary: "weighted least connection: fewest active and inactive connections per weight",
        params: &[],
    };

    fn configure(_: &Params) -> Result<(Self, Dispatch), String> {
        Ok((Self::default(), Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.0.update(backends);
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        Ok(look_ahead(self.0.backends(), slots, Cost::overhead))
    }
}

impl CountingScheduler for WeightedLeastConnection {
    fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        self.0.observe(active, inactive);
    }
}

wvs_plugin::export!(WeightedLeastConnection, load);
