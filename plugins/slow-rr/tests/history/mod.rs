//! What a slow start should be, from each backend's history.

use std::collections::{BTreeMap, BTreeSet};

use wvs_plugin::testing::{World, set_clock, shares};
use wvs_plugin::{Backend, BackendState, NO_BACKEND, Scheduler, TimedScheduler};

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

/// So many slots have the tables of [`ten_thousand_services`].
pub const SLOTS: u32 = 96;

/// Leads a scheduler through events and time in ten thousand services. It has a table whenever anybody is to get
/// something, and wants to make another one while weights grow; then `check` sees how often each backend is in the table.
pub fn ten_thousand_services<S: Scheduler + TimedScheduler>(
    start: impl Fn(&[(&str, &str)]) -> S,
    tell: impl Fn(&mut World, &mut S),
    check: impl Fn(&World, &[f64], &BTreeMap<u32, usize>),
) {
    let mut ramping = 0;
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (seconds, least) = (1 + world.below(40), 1 + world.below(100));
        let texts = [seconds.to_string(), least.to_string()];
        let mut slow = start(&[("seconds", &texts[0]), ("least", &texts[1])]);
        let (mut history, mut now) = (History::new(seconds, least), 0.0);
        for _ in 0..6 {
            world.step();
            now += f64::from(world.below(64)) / 4.0;
            set_clock(now);
            tell(&mut world, &mut slow);
            history.update(&world.backends, now);
            // The table is made anew later, too, when nothing has happened.
            now += f64::from(world.below(16)) / 4.0;
            set_clock(now);
            let weights = history.weights(&world.backends, now);
            let table = slow.fill(SLOTS).unwrap();
            assert_eq!(table.len(), SLOTS as usize);
            assert_eq!(slow.due() > 0, history.grows(now), "{world:?}");
            if weights.iter().sum::<f64>() == 0.0 {
                assert!(table.iter().all(|&id| id == NO_BACKEND));
                continue;
            }
            assert!(!table.contains(&NO_BACKEND));
            ramping += u32::from(history.grows(now));
            check(&world, &weights, &shares(&table));
        }
    }
    assert!(ramping > 5_000, "{ramping}");
}
