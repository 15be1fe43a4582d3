//! Keeps the tables of schedulers that look at load up to date, and tries failed schedulers again.
//!
//! The signal is a walk of the conntrack table. It needs no events, which cost every connection 26 µs, and it
//! cannot drift. Its price grows with the table (2.7 µs of CPU per connection), so the pause after a walk does
//! too: counting never takes more than a tenth of one core.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::engine::Engine;
use crate::kernel::ConntrackError;
use crate::pool::PoolKey;

/// The shortest pause between two walks: a table is as good as the counts it was made from are fresh.
const SHORTEST: Duration = Duration::from_millis(20);
/// The pause where nothing moved.
const QUIET: Duration = Duration::from_millis(100);
/// How many times the CPU time of a round (the walk and what follows from it) the pause after it is.
const RESPITE: u32 = 10;
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
        let counted = self
            .pools
            .values()
            .any(|pool| pool.wants_load())
            .then_some(self.clock.next);
        let retries = self.pools.values().filter_map(|pool| pool.retry_at());
        retries
            .chain(counted)
            .min()
            .unwrap_or_else(|| Instant::now() + IDLE)
    }

    /// Counts where it is time, and has those schedulers make their tables again whose counts moved, or whose
    /// time to be tried again has come.
    pub fn reschedule(&mut self, now: Instant) {
        let due: Vec<PoolKey> = self
            .pools
            .iter()
            .filter(|(_, pool)| pool.retry_at().is_some_and(|at| at <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.refill(&key);
        }
        if now >= self.clock.next && self.pools.values().any(|pool| pool.wants_load()) {
            let begun = cpu_time();
            let moved = self.count().unwrap_or_else(|error| {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot count connections");
                false
            });
            let pause = if moved { SHORTEST } else { QUIET };
            self.clock.next = Instant::now() + pause.max(cpu_time().saturating_sub(begun) * RESPITE);
        }
    }

    /// One walk and what follows from it. Says whether any count moved.
    fn count(&mut self) -> Result<bool, ConntrackError> {
        let loads = self.doors.conntrack.loads(self.config.director.mark())?;
        let moved: Vec<PoolKey> = self
            .pools
            .iter_mut()
            .filter(|(_, pool)| pool.wants_load())
            .filter_map(|(key, pool)| pool.observe(&loads).then(|| key.clone()))
            .collect();
        for key in &moved {
            self.refill(key);
        }
        Ok(!moved.is_empty())
    }

    fn refill(&mut self, key: &PoolKey) {
        let Some(pool) = self.pools.get(key) else { return };
        let backends = pool.candidates().to_vec();
        if let Err(error) = self.redraw(key, backends) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                service = key.service,
                "cannot change a table"
            );
        }
    }
}

/// The CPU time of this thread. A round that only waited for its turn on a busy machine was no dear one.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
