//! Peak EWMA: fewer connections for those who are slow to take them, at once, and more again with time.
#![forbid(unsafe_code)]

mod latency;

use latency::Latencies;
use wvs_plugin::{
    About, Backend, Cost, Counted, CountingScheduler, Counts, Dispatch, LatencyScheduler, Param, ParamKind,
    Params, Scheduler, host, look_ahead, scale,
};

/// The latency-aware scheduler.
#[derive(Debug)]
pub struct PeakEwma {
    counts: Counts,
    latencies: Latencies,
    /// In milliseconds.
    interval: u32,
    /// In microseconds.
    floor: u32,
}

impl Scheduler for PeakEwma {
    const ABOUT: About = About {
        name: "peak-ewma",
        version: env!("CARGO_PKG_VERSION"),
        summary: "lowest peak-sensitive average of connect times × (active connections + 1) per weight",
        params: &[
            Param {
                key: "interval",
                kind: ParamKind::Integer {
                    min: 100,
                    max: 3_600_000,
                },
                default: "2000",
                help: "how often the director connects to each backend to measure it, in milliseconds",
            },
            Param {
                key: "decay",
                kind: ParamKind::Integer { min: 1, max: 86_400 },
                default: "10",
                help: "in so many seconds a peak falls to 37 % of what it was above the times that are measured",
            },
            Param {
                key: "floor",
                kind: ParamKind::Integer {
                    min: 1,
                    max: 60_000_000,
                },
                default: "1000",
                help: "whoever is faster counts as if it took so many microseconds: below it is chance",
            },
        ],
    };

    fn configure(params: &Params) -> Result<(Self, Dispatch), String> {
        let number = |key| params.integer(key).map(|number| number.max(1) as u32);
        let scheduler = Self {
            counts: Counts::default(),
            latencies: Latencies::new(number("decay")?),
            interval: number("interval")?,
            floor: number("floor")?,
        };
        Ok((scheduler, Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.counts.update(backends);
        self.latencies.update(backends);
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let backends = self.counts.backends();
        let weights: Vec<u32> = backends.iter().map(|known| known.weight).collect();
        let speeds: Vec<f64> = self
            .latencies
            .each(self.floor)
            .iter()
            .map(|micros| 1.0 / micros)
            .collect();
        // Latency × (active + 1) per weight is (active + 1) per what a weight is worth at that latency.
        let worth = scale(&weights, &speeds);
        let fast = backends
            .iter()
            .zip(worth)
            .map(|(known, weight)| Counted { weight, ..*known });
        Ok(look_ahead(&fast.collect::<Vec<_>>(), slots, Cost::expected_delay))
    }
}

impl CountingScheduler for PeakEwma {
    fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        self.counts.observe(active, inactive);
    }
}

impl LatencyScheduler for PeakEwma {
    fn interval(&self) -> u32 {
        self.interval
    }

    fn observe_latency(&mut self, micros: &[u32]) {
        self.latencies.observe(micros, host::now());
    }
}

wvs_plugin::export!(PeakEwma, load, latency);
