//! How many slots the plan of a scheduler that looks at connections needs.
//!
//! Such a plan makes good what some backends have too few of. If it is walked twice before connections are counted
//! again, it makes that good twice. With 60,000 connections to count the pause is 1.6 s.

use std::time::Duration;

/// The widest there is.
const MOST: u32 = 4096;
/// For so long a quarter must have been enough before it becomes narrower. Another size is another rule in the kernel.
const PATIENCE: Duration = Duration::from_secs(60);

/// The number of slots of a plan, by how many connections are given out by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    least: u32,
    now: u32,
    /// Since when a quarter has been enough.
    low_since: Option<Duration>,
}

impl Width {
    /// As the service wants it, which is the least.
    #[must_use]
    pub fn new(least: u32) -> Self {
        Self {
            least,
            now: least,
            low_since: None,
        }
    }

    /// How many slots a plan has now.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.now
    }

    /// So many connections were given out by the last plan, which ends at this time, on any clock. Says whether plans
    /// have another number of slots from now on.
    pub fn fit(&mut self, connections: u64, at: Duration) -> bool {
        let most = MOST.max(self.least);
        // A quarter more, because they do not come evenly.
        let room = connections.saturating_add(connections / 4).min(most.into());
        let wanted = (room as u32).next_power_of_two().clamp(self.least, most);
        if wanted > self.now {
            (self.now, self.low_since) = (wanted, None);
            return true;
        }
        if self.now == self.least || wanted > (self.now / 4).max(self.least) {
            self.low_since = None;
            return false;
        }
        let since = *self.low_since.get_or_insert(at);
        let lasts = at.saturating_sub(since) >= PATIENCE;
        if lasts {
            (self.now, self.low_since) = ((self.now / 2).max(self.least), None);
        }
        lasts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_grows_at_once_to_what_a_plan_gave_out_and_no_further() {
        let mut width = Width::new(256);
        assert!(!width.fit(204, seconds(1)) && width.slots() == 256);
        assert!(width.fit(206, seconds(2)) && width.slots() == 512);
        assert!(width.fit(1600, seconds(3)) && width.slots() == 2048);
        assert!(!width.fit(1000, seconds(3)));
        assert!(width.fit(u64::MAX, seconds(4)) && width.slots() == 4096);
        assert!(!width.fit(u64::MAX, seconds(5)));
    }

    #[test]
    fn it_shrinks_by_half_when_a_quarter_was_enough_for_long() {
        let mut width = Width::new(300);
        assert!(width.fit(3000, seconds(0)) && width.slots() == 4096);
        assert!(!width.fit(100, seconds(10)));
        // A single fuller plan is reason enough to wait again.
        assert!(!width.fit(2000, seconds(60)));
        assert!(!width.fit(100, seconds(71)) && !width.fit(0, seconds(130)));
        assert!(width.fit(100, seconds(131)) && width.slots() == 2048);
        for (at, slots) in [
            (200, 2048),
            (260, 1024),
            (300, 1024),
            (360, 512),
            (400, 512),
            (460, 300),
        ] {
            width.fit(0, seconds(at));
            assert_eq!(width.slots(), slots, "{at}");
        }
        assert!(!width.fit(0, seconds(9999)) && width.slots() == 300);
    }

    #[test]
    fn what_an_operator_wants_is_the_least() {
        let mut width = Width::new(16_384);
        assert!(!width.fit(1_000_000, seconds(0)) && !width.fit(0, seconds(100)));
        assert_eq!(width.slots(), 16_384);
    }
}
