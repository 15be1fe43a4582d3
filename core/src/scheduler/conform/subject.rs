//! A plugin under examination, and the services it is shown.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::scheduler::{BackendId, CallError, Candidate, Instance, Load, Plugin};

/// A dispatch table as a plugin answers it.
pub(super) type Slots = Vec<Option<BackendId>>;

/// The seed of all instances.
const SEED: u64 = 1;

/// A plugin under examination.
pub(super) struct Subject<'a> {
    pub(super) plugin: &'a Plugin,
    pub(super) params: Vec<(String, String)>,
    slowest: RefCell<(Duration, String)>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(plugin: &'a Plugin, params: Vec<(String, String)>) -> Self {
        Self {
            plugin,
            params,
            slowest: RefCell::default(),
        }
    }

    /// An instance whose clock stands still, as all of its kind do.
    pub(super) fn start(&self) -> Result<Instance, CallError> {
        let mut instance = self.plugin.start(&self.params, SEED)?;
        instance.set_time(0.0);
        Ok(instance)
    }

    /// Tells an instance of backends without connections, and asks it for a table.
    pub(super) fn table(
        &self,
        instance: &mut Instance,
        backends: &[Candidate],
        slots: u32,
    ) -> Result<Slots, CallError> {
        self.loaded_table(instance, backends, &vec![Load::default(); backends.len()], slots)
    }

    /// The same with connections.
    pub(super) fn loaded_table(
        &self,
        instance: &mut Instance,
        backends: &[Candidate],
        loads: &[Load],
        slots: u32,
    ) -> Result<Slots, CallError> {
        let count = backends.len();
        self.timed(|| format!("update with {count} backends"), || instance.update(backends))?;
        self.timed(|| format!("observe with {count} backends"), || instance.observe(loads))?;
        self.fill(instance, count, slots)
    }

    /// Asks for another table.
    pub(super) fn fill(&self, instance: &mut Instance, count: usize, slots: u32) -> Result<Slots, CallError> {
        self.timed(|| format!("fill of {slots} slots with {count} backends"), || instance.fill(slots))
    }

    /// The slowest call so far, and which it was.
    pub(super) fn slowest(&self) -> (Duration, String) {
        self.slowest.borrow().clone()
    }

    fn timed<R>(&self, what: impl Fn() -> String, call: impl FnOnce() -> R) -> R {
        let begun = Instant::now();
        let answer = call();
        let took = begun.elapsed();
        if took > self.slowest.borrow().0 {
            self.slowest.replace((took, what()));
        }
        answer
    }
}

/// A backend at an address of its own.
pub(super) fn backend(id: u16, weight: u32) -> Candidate {
    Candidate {
        id: BackendId(id),
        weight,
        address: Ipv4Addr::from(0x0a01_0000 + u32::from(id)).into(),
        port: 8080,
        draining: false,
        overloaded: false,
        down: false,
    }
}

/// That many backends, with the ids from `first` on and weights from 1 to 7.
#[must_use]
pub fn sample_backends(first: u16, count: u16) -> Vec<Candidate> {
    (0..count)
        .map(|n| backend(first + n, 1 + u32::from(n % 7)))
        .collect()
}

/// Random numbers that are the same each time.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, limit: u32) -> u32 {
        // Knuth's multiplier for 64 bits; the upper half is random enough for events.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (((self.0 >> 32) * u64::from(limit)) >> 32) as u32
    }
}

/// A service to which things happen.
pub(super) struct Service {
    pub(super) backends: Vec<Candidate>,
    pub(super) loads: Vec<Load>,
    next: u16,
    pub(super) dice: Dice,
}

impl Service {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            backends: sample_backends(1, 5),
            loads: vec![Load::default(); 5],
            next: 6,
            dice: Dice::new(seed),
        }
    }

    /// A backend comes, goes, changes, or its connections do.
    pub(super) fn step(&mut self) {
        let count = self.backends.len() as u32;
        let index = self.dice.below(count.max(1)) as usize;
        match self.dice.below(11) {
            _ if count == 0 => self.add(),
            0 | 1 if count < 40 => self.add(),
            0..=2 => {
                self.backends.remove(index);
                self.loads.remove(index);
            }
            3 | 4 => self.backends[index].weight = self.dice.below(9),
            5 => self.backends[index].draining = !self.backends[index].draining,
            6 => self.backends[index].overloaded = !self.backends[index].overloaded,
            7..=9 => self.loads[index].active = self.dice.below(60),
            _ => self.loads[index].inactive = self.dice.below(2000),
        }
    }

    fn add(&mut self) {
        self.backends.push(backend(self.next, self.dice.below(9)));
        self.loads.push(Load::default());
        self.next += 1;
    }
}
