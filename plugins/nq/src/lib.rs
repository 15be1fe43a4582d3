//! Never queue: whoever has nothing to do gets the connection; if there is nobody, the shortest expected delay.
#![forbid(unsafe_code)]

use wvs_plugin::{About, Backend, Cost, CountingScheduler, Counts, Dispatch, Params, Scheduler, look_ahead};

/// The never queue scheduler.
#[derive(Debug, Default)]
pub struct NeverQueue(Counts);

impl Scheduler for NeverQueue {
    const ABOUT: About = About {
        name: "nq",
        version: env!("CARGO_PKG_VERSION"),
        summary: "never queue: an idle backend if there is one, else the shortest expected delay",
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
        let mut backends = self.0.backends().to_vec();
        let idle = backends
            .iter_mut()
            .filter(|backend| backend.weight > 0 && backend.active == 0);
        let mut table: Vec<u32> = idle
            .take(slots as usize)
            .map(|backend| {
                backend.active = 1;
                backend.id
            })
            .collect();
        let left = slots - table.len() as u32;
        table.extend(look_ahead(&backends, left, Cost::expected_delay));
        Ok(table)
    }
}

impl CountingScheduler for NeverQueue {
    fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        self.0.observe(active, inactive);
    }
}

wvs_plugin::export!(NeverQueue, load);
