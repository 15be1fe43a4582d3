//! How long a call may take.
//!
//! The epoch goes by the clock on the wall, but what counts is CPU time: on a busy machine a plugin that does nothing
//! wrong may wait longer for its turn than its call may take.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use super::ticker::TICK;

/// The time of the call under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CallTime {
    limit: Duration,
    /// The thread's CPU time when the call began, or where that was not looked at, when it was first overdue.
    begun: Option<Duration>,
}

impl CallTime {
    /// A call that begins now.
    pub(super) fn begin(limit: Duration) -> Self {
        Self {
            limit,
            begun: Some(cpu_time()),
        }
    }

    /// The same for a call so short that reading the CPU clock, a system call, would double its price. It may
    /// take its limit twice.
    pub(super) fn begin_short(limit: Duration) -> Self {
        Self { limit, begun: None }
    }

    /// How long the call may take.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// When to look at the call, in ticks from now.
    pub(super) fn ticks(&self) -> u64 {
        ticks(self.limit)
    }

    /// Whether the call goes on, now that its time by the clock on the wall is over.
    pub(super) fn at_deadline(&mut self) -> UpdateDeadline {
        self.at_deadline_at(cpu_time())
    }

    fn at_deadline_at(&mut self, cpu: Duration) -> UpdateDeadline {
        let used = cpu.saturating_sub(*self.begun.get_or_insert(cpu));
        if used < self.limit {
            UpdateDeadline::Continue(ticks(self.limit - used))
        } else {
            UpdateDeadline::Interrupt
        }
    }
}

/// One more, for the tick that is already under way.
fn ticks(time: Duration) -> u64 {
    let whole = time.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(whole + 1).unwrap_or(u64::MAX)
}

/// The CPU time of this thread.
pub(super) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rest(time: &mut CallTime, cpu: Duration) -> Option<u64> {
        match time.at_deadline_at(cpu) {
            UpdateDeadline::Continue(ticks) => Some(ticks),
            _ => None,
        }
    }

    #[test]
    fn a_call_that_waited_for_its_turn_goes_on() {
        let mut time = CallTime {
            limit: 250 * MS,
            begun: Some(70 * MS),
        };
        assert_eq!(time.ticks(), 251);
        assert_eq!(rest(&mut time, 75 * MS), Some(246));
        assert_eq!(rest(&mut time, 319 * MS + MS / 2), Some(2));
        assert_eq!(rest(&mut time, 320 * MS), None);
    }

    #[test]
    fn a_short_call_is_first_looked_at_when_it_is_overdue() {
        let mut time = CallTime::begin_short(2 * MS);
        assert_eq!(rest(&mut time, 1000 * MS), Some(3));
        assert_eq!(rest(&mut time, 1001 * MS), Some(2));
        assert_eq!(rest(&mut time, 1002 * MS), None);
    }

    #[test]
    fn cpu_time_passes_while_something_is_done() {
        let begun = cpu_time();
        while cpu_time() == begun {
            std::hint::spin_loop();
        }
    }
}
