//! Shortest expected delay: new connections go where they will share with fewest others for the weight.
//!
//! Unlike with weighted least connection the new one counts too, so while there is little to do the
//! fast backends do it all.
#![forbid(unsafe_code)]

use wvs_plugin::{About, Backend, Cost, CountingScheduler, Counts, Dispatch, Params, Scheduler, look_ahead};

/// The shortest expected delay scheduler.
#[derive(Debug, Default)]
pub struct ShortestExpectedDelay(Counts);

impl Scheduler for ShortestExpectedDelay {
    const ABOUT: About = About {
        name: "sed",
        version: env!("CARGO_PKG_VERSION"),
        summary: "shortest expected delay: fewest active connections per weight, the new one among them",
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
        Ok(look_ahead(self.0.backends(), slots, Cost::expected_delay))
    }
}

impl CountingScheduler for ShortestExpectedDelay {
    fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        self.0.observe(active, inactive);
    }
}

wvs_plugin::export!(ShortestExpectedDelay, load);
