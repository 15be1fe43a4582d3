//! When a plugin that failed is tried again: at once, then later and later, then not at all.
//!
//! Pure: time comes from outside.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The wait after the k-th failure in a row beyond the first is 2^k of these.
const BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// So many failures within [`WINDOW`] are too many.
const TOO_MANY: usize = 5;
const WINDOW: Duration = Duration::from_secs(600);

/// Whether a plugin is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is.
    Running,
    /// It failed, and will be started again then.
    BackingOff {
        /// When.
        until: Instant,
    },
    /// It failed too often: it is left alone until [`Supervision::reset`].
    Quarantined,
}

/// Remembers a plugin's failures.
#[derive(Clone, Debug)]
pub struct Supervision {
    state: State,
    in_a_row: u32,
    recent: VecDeque<Instant>,
    failures: u64,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            state: State::Running,
            in_a_row: 0,
            recent: VecDeque::new(),
            failures: 0,
        }
    }
}

impl Supervision {
    /// Whether the plugin is used.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// All failures so far.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Whether the plugin may be called now.
    #[must_use]
    pub fn may_try(&self, now: Instant) -> bool {
        match self.state {
            State::Running => true,
            State::BackingOff { until } => now >= until,
            State::Quarantined => false,
        }
    }

    /// It answered.
    pub fn succeeded(&mut self) {
        self.in_a_row = 0;
        if self.state != State::Quarantined {
            self.state = State::Running;
        }
    }

    /// It failed. A first failure is answered by starting it again at once.
    pub fn failed(&mut self, now: Instant) {
        self.failures += 1;
        self.recent.push_back(now);
        while self
            .recent
            .front()
            .is_some_and(|&first| now.saturating_duration_since(first) > WINDOW)
        {
            self.recent.pop_front();
        }
        self.state = if self.recent.len() >= TOO_MANY {
            State::Quarantined
        } else {
            State::BackingOff {
                until: now + wait_after(self.in_a_row),
            }
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    /// Forgets the failures, but for their number: an operator said so, or the file is another.
    pub fn reset(&mut self) {
        *self = Self {
            failures: self.failures,
            ..Self::default()
        };
    }
}

/// `k` failures in a row came before this one.
fn wait_after(k: u32) -> Duration {
    match k {
        0 => Duration::ZERO,
        k => BACK_OFF.saturating_mul(2_u32.saturating_pow(k)).min(LONGEST_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_grow_to_a_minute() {
        let waits: Vec<u64> = (0..9).map(|k| wait_after(k).as_secs()).collect();
        assert_eq!(waits, [0, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }

    #[test]
    fn the_first_failure_is_retried_at_once_and_the_second_waits() {
        let start = Instant::now();
        let mut supervision = Supervision::default();
        supervision.failed(start);
        assert!(supervision.may_try(start));
        supervision.failed(start);
        assert_eq!(
            supervision.state(),
            State::BackingOff {
                until: start + Duration::from_secs(2)
            }
        );
        assert!(!supervision.may_try(start + Duration::from_millis(1999)));
        assert!(supervision.may_try(start + Duration::from_secs(2)));
        supervision.succeeded();
        assert_eq!(supervision.state(), State::Running);
        supervision.failed(start + Duration::from_secs(3));
        assert!(supervision.may_try(start + Duration::from_secs(3)));
    }

    #[test]
    fn quarantine_ends_only_by_reset() {
        let start = Instant::now();
        let mut supervision = Supervision::default();
        for _ in 0..5 {
            supervision.failed(start);
            supervision.succeeded();
        }
        assert_eq!(supervision.state(), State::Quarantined);
        assert!(!supervision.may_try(start + 100 * WINDOW));
        supervision.reset();
        assert!(supervision.may_try(start));
        assert_eq!(supervision.failures(), 5);
    }

    #[test]
    fn failures_far_apart_do_not_add_up() {
        let mut now = Instant::now();
        let mut supervision = Supervision::default();
        for _ in 0..100 {
            supervision.failed(now);
            assert!(supervision.may_try(now));
            supervision.succeeded();
            now += WINDOW / 4 + Duration::from_secs(1);
        }
    }

    proptest! {
        /// Whatever happens: never five calls that fail within the window and still another one,
        /// never a wait beyond a minute, and running after a success.
        #[test]
        fn a_plugin_is_never_hammered(steps in prop::collection::vec((0_u64..200, any::<bool>()), 1..80)) {
            let mut now = Instant::now();
            let mut supervision = Supervision::default();
            let mut failed_at: Vec<Instant> = Vec::new();
            for (seconds, works) in steps {
                now += Duration::from_secs(seconds);
                let recent = failed_at.iter().filter(|&&at| now - at <= WINDOW).count();
                if !supervision.may_try(now) {
                    match supervision.state() {
                        State::BackingOff { until } => prop_assert!(until - now <= LONGEST_WAIT),
                        State::Quarantined => {}
                        State::Running => prop_assert!(false, "running, but not to be tried"),
                    }
                    continue;
                }
                prop_assert!(recent < TOO_MANY);
                if works {
                    supervision.succeeded();
                    prop_assert_eq!(supervision.state(), State::Running);
                } else {
                    supervision.failed(now);
                    failed_at.push(now);
                }
                prop_assert_eq!(supervision.failures(), failed_at.len() as u64);
            }
        }
    }
}
