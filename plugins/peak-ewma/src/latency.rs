//! Averages that rise at once and fall with time.

use wvs_plugin::{Backend, UNKNOWN_LATENCY};

/// What is known of the latencies of the backends of the last update.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// In seconds.
    decay: f64,
    known: Vec<(u32, Option<Average>)>,
}

/// In microseconds, and since when.
#[derive(Clone, Copy, Debug)]
struct Average {
    micros: f64,
    at: f64,
}

impl Latencies {
    pub fn new(decay: u32) -> Self {
        Self {
            decay: decay.into(),
            known: Vec::new(),
        }
    }

    /// A backend that was there keeps its average.
    pub fn update(&mut self, backends: &[Backend]) {
        // Lists mostly keep their order, so the search goes on where it last found something.
        let mut from = 0;
        let mut average_of = |id| {
            let (passed, ahead) = self.known.split_at(from);
            let found = ahead.iter().chain(passed).position(|(other, _)| *other == id)?;
            let index = (from + found) % self.known.len();
            from = index + 1;
            self.known[index].1
        };
        self.known = backends
            .iter()
            .map(|backend| (backend.id, average_of(backend.id)))
            .collect();
    }

    /// Takes in what was measured, in the order of the last update.
    pub fn observe(&mut self, micros: &[u32], now: f64) {
        for ((_, average), &measured) in self.known.iter_mut().zip(micros) {
            if measured == UNKNOWN_LATENCY {
                continue;
            }
            let measured = f64::from(measured);
            let micros = match average {
                Some(before) if before.micros > measured => {
                    let stays = (-(now - before.at).max(0.0) / self.decay).exp();
                    measured + (before.micros - measured) * stays
                }
                _ => measured,
            };
            *average = Some(Average { micros, at: now });
        }
    }

    /// The latency that each backend counts with, none below the floor. Whoever has not been measured yet is no better
    /// than the slowest.
    pub fn each(&self, floor: u32) -> Vec<f64> {
        let floor = f64::from(floor);
        let known = || self.known.iter().filter_map(|(_, average)| *average);
        let slowest = known().map(|average| average.micros).fold(floor, f64::max);
        let of = |average: &Option<Average>| average.map_or(slowest, |average| average.micros.max(floor));
        self.known.iter().map(|(_, average)| of(average)).collect()
    }
}
