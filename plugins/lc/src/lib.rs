//! Least connection: new connections go where there are fewest. A weight only matters if it is 0.
#![forbid(unsafe_code)]

use wvs_plugin::{About, Backend, Cost, CountingScheduler, Counts, Dispatch, Params, Scheduler, look_ahead};

/// The least connection scheduler.
#[derive(Debug, Default)]
pub struct LeastConnection(Counts);

impl Scheduler for LeastConnection {
    const ABOUT: About = About {
        name: "lc",
        version: env!("CARGO_PKG_VERSION"),
        summary: "least connection: fewest active and inactive connections, whatever the weights",
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
        let alike = |backend: &_| Cost {
            weight: 1,
            ..Cost::overhead(backend)
        };
        Ok(look_ahead(self.0.backends(), slots, alike))
    }
}

impl CountingScheduler for LeastConnection {
    fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        self.0.observe(active, inactive);
    }
}

wvs_plugin::export!(LeastConnection, load);
