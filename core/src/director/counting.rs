//! Keeps the tables of schedulers that look at load up to date, and tries failed schedulers again.
//!
//! The signal is a walk of the conntrack table. It needs no events, which cost every connection 26 µs, and it
//! cannot drift. Its price grows with the table (2.7 µs of CPU per connection), so the pause after a walk does
//! too: counting never takes more than a tenth of one core.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::engine::Engine;
use super::error::ApplyError;
use crate::kernel::ConntrackError;
use crate::pool::PoolKey;
use crate::scheduler::{BackendId, Dispatch, Load};

/// The shortest pause between two walks: a table is as good as the counts it was made from are fresh.
pub(crate) const SHORTEST: Duration = Duration::from_millis(20);
/// The pause where nothing moved.
pub(crate) const QUIET: Duration = Duration::from_millis(100);
/// How many times the CPU time of a round (the walk and what follows from it) the pause after it is.
pub(crate) const RESPITE: u32 = 10;
/// The longest sleep where nothing is to be counted.
const IDLE: Duration = Duration::from_secs(3600);

/// When to count next.
#[derive(Debug)]
pub struct Clock {
    next: Instant,
}

impl Clock {
    /// Counts at once.
    pub fn new(now: Instant) -> Self {
        Clock { next: now }
    }
}

impl Engine {
    /// When [`reschedule`](Engine::reschedule) has something to do.
    pub fn next_schedule(&self) -> Instant {
        let counted = self.counts_matter().then_some(self.clock.next);
        let due = self.pools.values().filter_map(|pool| pool.due_at());
        due.chain(counted).min().unwrap_or_else(|| Instant::now() + IDLE)
    }

    /// Whether anybody wants to know how many connections there are.
    pub(super) fn counts_matter(&self) -> bool {
        self.pools.values().any(|pool| pool.wants_load()) || self.thresholds().next().is_some()
    }

    /// The backends that may have only so many connections: at how many they are full, and below how many they take
    /// new ones again. Without a lower bound those are three quarters, as with LVS (`ip_vs_dest_totalconns`).
    fn thresholds(&self) -> impl Iterator<Item = (BackendId, u32, u32)> {
        self.config.services.iter().flat_map(|service| {
            service.backends.iter().filter_map(|backend| {
                let most = backend.max_connections?;
                let least = backend.min_connections.unwrap_or(most - most / 4);
                Some((self.ids.get(&service.name, backend.address)?, most, least))
            })
        })
    }

    /// Counts where it is time, and has those schedulers make their tables again whose counts moved, whose time to be
    /// tried again has come, or whose tables change with time.
    pub fn reschedule(&mut self, now: Instant) {
        let due: Vec<PoolKey> = self
            .pools
            .iter_mut()
            .filter_map(|(key, pool)| pool.take_due(now).then(|| key.clone()))
            .collect();
        self.refill(due);
        if now >= self.clock.next && self.counts_matter() {
            let begun = cpu_time();
            let moved = self.count().unwrap_or_else(|error| {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot count connections");
                false
            });
            let pause = if moved { SHORTEST } else { QUIET };
            self.clock.next = Instant::now() + pause.max(cpu_time().saturating_sub(begun) * RESPITE);
        }
    }

    /// The living connections of all backends: those of services in the tc program by its own tables, which know all of
    /// them but those of clients on the director; the others by conntrack.
    pub(super) fn loads(&mut self) -> Result<BTreeMap<BackendId, Load>, ConntrackError> {
        let mut loads = self.doors.conntrack.loads(self.config.director.mark())?;
        if !self.tc.is_idle() {
            for id in self.tc.desired.backends.keys() {
                loads.insert(*id, self.tc.counts.get(id).copied().unwrap_or_default());
            }
        }
        Ok(loads)
    }

    /// One walk and what follows from it. Says whether any count moved.
    fn count(&mut self) -> Result<bool, ConntrackError> {
        if !self.tc.is_idle() && Instant::now() >= self.tc.next_sweep {
            self.sweep_tc();
        }
        let loads = self.loads()?;
        let full = self.full(&loads);
        let changed = full != self.overloaded;
        let before = std::mem::replace(&mut self.overloaded, full);
        self.tell_of_room(&before);
        let mut moved: Vec<PoolKey> = self
            .pools
            .iter_mut()
            .filter(|(_, pool)| pool.wants_load())
            .filter_map(|(key, pool)| pool.observe(&loads).then(|| key.clone()))
            .collect();
        if changed {
            let standing = self.candidates_now(&self.config, &self.ids, &self.tc.facts);
            let touched = standing.into_iter().filter(|(key, backends)| {
                self.pools
                    .get(key)
                    .is_some_and(|pool| pool.candidates() != backends)
            });
            moved.extend(touched.map(|(key, _)| key));
        }
        let any = !moved.is_empty();
        self.refill(moved);
        Ok(any)
    }

    /// The backends that are full: they have reached their threshold, and have not yet fallen below the lower one.
    fn full(&self, loads: &BTreeMap<BackendId, Load>) -> BTreeSet<BackendId> {
        let is_full = |(id, most, least): (BackendId, u32, u32)| {
            let load = loads.get(&id).copied().unwrap_or_default();
            let total = load.active.saturating_add(load.inactive);
            let full = total >= most || (total >= least && self.overloaded.contains(&id));
            full.then_some(id)
        };
        self.thresholds().filter_map(is_full).collect()
    }

    /// Has the schedulers of pools make their tables again, and installs them.
    pub(super) fn refill(&mut self, keys: Vec<PoolKey>) {
        if keys.is_empty() {
            return;
        }
        let before = self.dispatches(&keys);
        let mut standing = self.candidates_now(&self.config, &self.ids, &self.tc.facts);
        for key in &keys {
            let Some(backends) = standing.remove(key) else {
                continue;
            };
            self.told(key, |engine| engine.redraw_table(key, backends));
        }
        if before != self.dispatches(&keys) {
            // A scheduler that works again may want another rule than its stand-in.
            return self.told(&keys[0], |engine| engine.apply(engine.config.clone(), false).map(drop));
        }
        self.told(&keys[0], |engine| engine.refresh_tc(&keys));
        for key in &keys {
            self.told(key, |engine| engine.refresh_slots(key).map(drop));
        }
        self.tell_of_schedulers();
    }

    /// How the tables of pools are used.
    fn dispatches(&self, keys: &[PoolKey]) -> Vec<Option<Dispatch>> {
        keys.iter()
            .map(|key| self.pools.get(key).map(|pool| pool.table().dispatch))
            .collect()
    }

    fn told(&mut self, key: &PoolKey, work: impl FnOnce(&mut Self) -> Result<(), ApplyError>) {
        if let Err(error) = work(self) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                service = key.service,
                "cannot change a table"
            );
        }
    }
}

/// The CPU time of this thread. A round that only waited for its turn on a busy machine was no dear one.
pub(super) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
