//! A service to which things happen: events at random, for tests of what a scheduler makes of them.

use crate::{Backend, BackendState, CountingScheduler, FlowScheduler, Scheduler, mix};

/// A service whose backends come and go, change and get connections. The same seed makes the same events.
///
/// ```
/// # use wvs_plugin::testing::World;
/// let mut world = World::new(7);
/// for _ in 0..20 {
///     world.step();
///     // world.tell(&mut scheduler); compare scheduler.fill(slots) with what it should be
/// }
/// ```
#[derive(Clone, Debug)]
pub struct World {
    /// The backends as they are now.
    pub backends: Vec<Backend>,
    /// Their active connections.
    pub active: Vec<u32>,
    /// Their inactive connections.
    pub inactive: Vec<u32>,
    random: u32,
    next_id: u32,
    news: bool,
}

impl World {
    /// Begins with up to three backends.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        let mut world = Self {
            backends: Vec::new(),
            active: Vec::new(),
            inactive: Vec::new(),
            random: mix(seed),
            next_id: 1,
            news: true,
        };
        for _ in 0..world.below(4) {
            world.add();
        }
        world
    }

    /// A number below another.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9);
        ((u64::from(mix(self.random)) * u64::from(limit)) >> 32) as u32
    }

    /// Lets something happen: a backend comes, leaves, changes its weight or state, gets or loses connections.
    pub fn step(&mut self) {
        let count = self.backends.len() as u32;
        if count == 0 {
            return self.add();
        }
        let index = self.below(count) as usize;
        match self.below(12) {
            0 | 1 if count < 8 => self.add(),
            0..=2 => {
                self.backends.remove(index);
                self.active.remove(index);
                self.inactive.remove(index);
                self.news = true;
            }
            3 | 4 => {
                self.backends[index].weight = self.below(7);
                self.news = true;
            }
            5 => {
                let states = [
                    BackendState::empty(),
                    BackendState::empty(),
                    BackendState::empty(),
                    BackendState::DRAINING,
                    BackendState::DOWN,
                    BackendState::OVERLOADED,
                ];
                self.backends[index].state = states[self.below(6) as usize];
                self.news = true;
            }
            6 | 7 => self.active[index] += self.below(9),
            8 => self.inactive[index] += self.below(700),
            9 | 10 => {
                let closing = self.below(self.active[index] + 1);
                self.active[index] -= closing;
                self.inactive[index] += closing;
            }
            _ => self.inactive[index] -= self.below(self.inactive[index] + 1),
        }
    }

    /// Tells a scheduler of the backends, if they changed since the last time.
    ///
    /// # Panics
    /// If it refuses them.
    pub fn tell(&mut self, scheduler: &mut impl Scheduler) {
        if std::mem::take(&mut self.news) {
            assert_eq!(scheduler.update(&self.backends), Ok(()));
        }
    }

    /// Tells a scheduler of the backends and of their connections.
    ///
    /// # Panics
    /// If it refuses the backends.
    pub fn tell_load(&mut self, scheduler: &mut (impl Scheduler + CountingScheduler)) {
        self.tell(scheduler);
        scheduler.observe(&self.active, &self.inactive);
    }

    /// The same for one that decides for each connection.
    ///
    /// # Panics
    /// If it refuses the backends.
    pub fn tell_flows(&mut self, scheduler: &mut (impl FlowScheduler + CountingScheduler)) {
        if std::mem::take(&mut self.news) {
            assert_eq!(scheduler.update(&self.backends), Ok(()));
        }
        scheduler.observe(&self.active, &self.inactive);
    }

    fn add(&mut self) {
        let backend = Backend::sample(self.next_id).weight(self.below(7));
        self.next_id += 1;
        let index = self.below(self.backends.len() as u32 + 1) as usize;
        self.backends.insert(index, backend);
        self.active.insert(index, 0);
        self.inactive.insert(index, 0);
        self.news = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_happens_and_the_same_seed_makes_it_happen_again() {
        let (mut empty, mut full, mut idle, mut busy, mut away) = (0, 0, 0, 0, 0);
        for seed in 0..500 {
            let (mut world, mut again) = (World::new(seed), World::new(seed));
            for _ in 0..30 {
                world.step();
                again.step();
                assert_eq!(format!("{world:?}"), format!("{again:?}"));
                empty += usize::from(!world.backends.iter().any(Backend::usable));
                full += usize::from(world.backends.len() == 8);
                idle += usize::from(world.active.contains(&0));
                busy += usize::from(world.active.iter().any(|&active| active > 8));
                away += usize::from(world.backends.iter().any(|known| !known.state.is_empty()));
            }
        }
        for seen in [empty, full, idle, busy, away] {
            assert!(seen > 200, "{empty} {full} {idle} {busy} {away}");
        }
    }
}
