//! A plugin under examination, and the services it is shown.

use std::cell::RefCell;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::scheduler::deadline::cpu_time;
pub(super) use crate::scheduler::stage::backend;
use crate::scheduler::{BackendId, CallError, Candidate, Dispatch, Instance, Load, NewFlow, Plugin};

/// A dispatch table as a plugin answers it, or its choices for as many connections.
pub(super) type Slots = Vec<Option<BackendId>>;

/// The seed of all instances.
const SEED: u64 = 1;

/// A plugin under examination.
pub(super) struct Subject<'a> {
    pub(super) plugin: &'a Plugin,
    pub(super) params: Vec<(String, String)>,
    slowest: RefCell<Slowest>,
    slowest_pick: RefCell<Slowest>,
}

/// In how many entries two tables differ.
pub(super) fn differences(one: &Slots, other: &Slots) -> usize {
    one.iter().zip(other).filter(|(one, other)| one != other).count()
}

/// How long a call took, and which it was.
type Slowest = (Duration, String);

impl<'a> Subject<'a> {
    pub(super) fn new(plugin: &'a Plugin, params: Vec<(String, String)>) -> Self {
        Self {
            plugin,
            params,
            slowest: RefCell::default(),
            slowest_pick: RefCell::default(),
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
        self.tell(instance, backends, loads)?;
        self.fill(instance, backends.len(), slots)
    }

    /// Tells an instance of backends and their connections.
    pub(super) fn tell(
        &self,
        instance: &mut Instance,
        backends: &[Candidate],
        loads: &[Load],
    ) -> Result<(), CallError> {
        let count = backends.len();
        self.timed(|| format!("update with {count} backends"), || instance.update(backends))?;
        self.timed(|| format!("observe with {count} backends"), || instance.observe(loads))
    }

    /// Asks for another table; or if it is asked for each connection, for as many connections, the same each time.
    pub(super) fn fill(&self, instance: &mut Instance, count: usize, slots: u32) -> Result<Slots, CallError> {
        if instance.dispatch() == Dispatch::Flow {
            return (0..slots)
                .map(|n| self.pick(instance, count, &sample_flow(n)))
                .collect();
        }
        self.timed(|| format!("fill of {slots} slots with {count} backends"), || instance.fill(slots))
    }

    /// Asks who is to get a connection.
    pub(super) fn pick(
        &self,
        instance: &mut Instance,
        count: usize,
        flow: &NewFlow,
    ) -> Result<Option<BackendId>, CallError> {
        timed(&self.slowest_pick, || format!("a pick with {count} backends"), || instance.pick(flow))
    }

    /// The slowest call so far that was no pick.
    pub(super) fn slowest(&self) -> Slowest {
        self.slowest.borrow().clone()
    }

    /// The slowest pick so far, if there was any.
    pub(super) fn slowest_pick(&self) -> Option<Slowest> {
        let slowest = self.slowest_pick.borrow();
        (!slowest.1.is_empty()).then(|| slowest.clone())
    }

    fn timed<R>(&self, what: impl Fn() -> String, call: impl FnOnce() -> R) -> R {
        timed(&self.slowest, what, call)
    }
}

fn timed<R>(slowest: &RefCell<Slowest>, what: impl Fn() -> String, call: impl FnOnce() -> R) -> R {
    // What a call may take is reckoned in this, too.
    let begun = cpu_time();
    let answer = call();
    let took = cpu_time().saturating_sub(begun);
    if took > slowest.borrow().0 {
        slowest.replace((took, what()));
    }
    answer
}

/// The n-th of many connections: from some 65,000 clients to 251 addresses.
#[must_use]
pub fn sample_flow(n: u32) -> NewFlow {
    let client = Ipv4Addr::from(0x0a09_0000 + n.wrapping_mul(40_503) % 65_536);
    let service = Ipv4Addr::from(0x0a00_0000 + n % 251);
    NewFlow::new((client, 1024 + (n % 60_000) as u16).into(), (service, 80).into(), 6, 0)
}

/// A connection of IPv6.
pub(super) fn sample_flow6(n: u32) -> NewFlow {
    let address = |net: u128| Ipv6Addr::from(0x2001_0db8 << 96 | net << 64 | u128::from(n));
    NewFlow::new((address(1), n as u16).into(), (address(2), 0).into(), n as u8, n)
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
