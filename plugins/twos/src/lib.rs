//! The power of two choices: of two backends drawn at random, the one with fewer connections for its weight.
//!
//! Directors that see the same counts draw each with a seed of its own, so they do not all run to the same backend.
#![forbid(unsafe_code)]

use wvs_plugin::{
    ACTIVE, About, Backend, CountingScheduler, Counts, Dispatch, NO_BACKEND, Params, Scheduler, host, mix,
};

/// The scheduler of two random choices.
#[derive(Debug, Default)]
pub struct Twos {
    counts: Counts,
    /// Drawn when something changes: until then the same plan comes again, and the kernel's table
    /// stays as it is.
    seed: u32,
}

struct Choice {
    id: u32,
    weight: u32,
    overhead: u32,
    /// The weights up to this one.
    sum: u64,
}

impl Scheduler for Twos {
    const ABOUT: About = About {
        name: "twos",
        version: env!("CARGO_PKG_VERSION"),
        summary: "two random choices by weight, of which the one with fewer connections per weight is taken",
        params: &[],
    };

    fn configure(_: &Params) -> Result<(Self, Dispatch), String> {
        Ok((Self::default(), Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.counts.update(backends);
        self.seed = host::random();
        Ok(())
    }

    /// The next picks, as if each opened a connection that stays.
    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let mut sum = 0;
        let mut choices: Vec<Choice> = self
            .counts
            .usable()
            .map(|backend| {
                sum += u64::from(backend.weight);
                Choice {
                    id: backend.id,
                    weight: backend.weight,
                    overhead: backend.overhead(),
                    sum,
                }
            })
            .collect();
        if choices.is_empty() {
            return Ok(vec![NO_BACKEND; slots as usize]);
        }
        let pick = |slot: u32| {
            let first = draw(&choices, sum, mix(self.seed ^ mix(2 * slot)));
            let second = draw(&choices, sum, mix(self.seed ^ mix(2 * slot + 1)));
            let cost = |one: usize, other: usize| {
                u64::from(choices[one].overhead) * u64::from(choices[other].weight)
            };
            let chosen = if cost(second, first) < cost(first, second) {
                second
            } else {
                first
            };
            choices[chosen].overhead = choices[chosen].overhead.saturating_add(ACTIVE);
            choices[chosen].id
        };
        Ok((0..slots).map(pick).collect())
    }
}

/// The choice that a random number leads to, each with the probability of its weight.
fn draw(choices: &[Choice], sum: u64, random: u32) -> usize {
    // 64 random bits, because the sum of the weights may have more than 32.
    let wide = u64::from(random) << 32 | u64::from(mix(!random));
    let at = wide % sum;
    choices.partition_point(|choice| choice.sum <= at)
}

impl CountingScheduler for Twos {
    fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        self.counts.observe(active, inactive);
        self.seed = host::random();
    }
}

wvs_plugin::export!(Twos, load);
