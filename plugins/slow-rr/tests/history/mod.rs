//! What a slow start should be, from each backend's history.

use std::collections::{BTreeMap, BTreeSet};

use wvs_plugin::{Backend, BackendState};

/// When each backend began to take connections; nothing if it was there from the beginning.
#[derive(Debug)]
pub struct History {
    seconds: f64,
    least: f64,
    begun: bool,
    since: BTreeMap<u32, Option<f64>>,
}

impl History {
    pub fn new(seconds: u32, least: u32) -> Self {
        Self {
            seconds: seconds.into(),
            least: least.into(),
            begun: false,
            since: BTreeMap::new(),
        }
    }

    pub fn update(&mut self, backends: &[Backend], now: f64) {
        let there = |known: &&Backend| {
            known.weight > 0
                && !known.state.contains(BackendState::DRAINING)
                && !known.state.contains(BackendState::DOWN)
        };
        let here: BTreeSet<u32> = backends.iter().filter(there).map(|known| known.id).collect();
        self.since.retain(|id, _| here.contains(id));
        for id in here {
            self.since.entry(id).or_insert(self.begun.then_some(now));
        }
        self.begun = true;
    }

    /// The part of its weight that a backend has, in whole percents, if it is there.
    fn percent(&self, id: u32, now: f64) -> Option<f64> {
        Some(match *self.since.get(&id)? {
            Some(since) if now < since + self.seconds => {
                self.least + ((100.0 - self.least) * ((now - since) / self.seconds)).floor()
            }
            _ => 100.0,
        })
    }

    /// What each backend counts.
    pub fn weights(&self, backends: &[Backend], now: f64) -> Vec<f64> {
        let weight = |known: &Backend| match self.percent(known.id, now) {
            Some(percent) if known.usable() => f64::from(known.weight) * percent,
            _ => 0.0,
        };
        backends.iter().map(weight).collect()
    }

    /// Whether any backend has not yet got its whole weight.
    pub fn grows(&self, now: f64) -> bool {
        let mut ids = self.since.keys();
        ids.any(|id| self.percent(*id, now).is_some_and(|percent| percent < 100.0))
    }
}
