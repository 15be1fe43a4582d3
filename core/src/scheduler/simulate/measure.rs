//! What is written down during a simulation: who has how many connections, and how far that is from the weights.

use super::time::{Nanos, seconds};
use crate::scheduler::BackendId;

/// A service at one moment.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Sample {
    /// When, in seconds.
    pub at_s: f64,
    /// All open connections.
    pub open: u32,
    /// Those of each backend, in the order of [`backends`](super::Simulation::backends).
    pub each: Vec<u32>,
    /// The busiest backend's connections by what its weight makes its share of those of all who take new ones; 1 is
    /// level. None while there are none.
    pub overload: Option<f64>,
    /// The farthest that a backend's share of these connections is from its weight's, from 0 to 1.
    pub off: Option<f64>,
}

/// To four decimals: more would only be noise.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// How a number was over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Spread {
    /// On average.
    pub mean: f64,
    /// At worst.
    pub worst: f64,
}

impl Spread {
    /// None of nothing.
    pub(super) fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let (mut count, mut sum, mut worst) = (0_u32, 0.0, 0.0_f64);
        for number in numbers {
            count += 1;
            sum += number;
            worst = worst.max(number);
        }
        (count > 0).then(|| Spread {
            mean: rounded(sum / f64::from(count)),
            worst: rounded(worst),
        })
    }
}

/// A backend over the whole time.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Tally {
    /// `b1`, `b2`, …
    pub name: String,
    /// Its weight at the end; None if it has gone.
    pub weight: Option<u32>,
    /// How many connections it got.
    pub got: u64,
    /// How many its weight would have made it, each connection shared out among those that took new ones then.
    pub due: f64,
    /// How many it has at the end.
    pub open: u32,
    /// The most that it had at once.
    pub peak: u32,
}

/// The connections of one backend, as they come and go.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) active: u32,
    /// Over, but not yet forgotten.
    pub(super) inactive: u32,
    pub(super) got: u64,
    pub(super) peak: u32,
    /// By its weights so far.
    pub(super) due: f64,
    /// Its weight now, or 0 if it takes no new connections.
    pub(super) weight: u32,
}

/// The connections of all backends. Backend `bN` has the place N−1.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    pub(super) each: Vec<Ledger>,
    pub(super) open: u32,
    pub(super) tracked: u64,
    /// Connections since weights were last looked at.
    unshared: u64,
}

pub(super) fn place(id: BackendId) -> usize {
    usize::from(id.0) - 1
}

impl Books {
    pub(super) fn of(&mut self, id: BackendId) -> &mut Ledger {
        let place = place(id);
        if self.each.len() <= place {
            self.each.resize_with(place + 1, Ledger::default);
        }
        &mut self.each[place]
    }

    pub(super) fn arrive(&mut self) {
        self.unshared += 1;
    }

    pub(super) fn open(&mut self, id: BackendId) {
        let ledger = self.of(id);
        ledger.got += 1;
        ledger.active += 1;
        ledger.peak = ledger.peak.max(ledger.active);
        self.open += 1;
        self.tracked += 1;
    }

    pub(super) fn close(&mut self, place: usize) {
        self.each[place].active -= 1;
        self.each[place].inactive += 1;
        self.open -= 1;
    }

    pub(super) fn forget(&mut self, place: usize) {
        self.each[place].inactive -= 1;
        self.tracked -= 1;
    }

    /// Shares out what has come since the last time. To be called before weights change.
    pub(super) fn share_out(&mut self) {
        let all: f64 = self.each.iter().map(|ledger| f64::from(ledger.weight)).sum();
        if all > 0.0 {
            for ledger in &mut self.each {
                ledger.due += self.unshared as f64 * f64::from(ledger.weight) / all;
            }
        }
        self.unshared = 0;
    }

    pub(super) fn sample(&self, at: Nanos) -> Sample {
        let taking = || self.each.iter().filter(|ledger| ledger.weight > 0);
        let open: f64 = taking().map(|ledger| f64::from(ledger.active)).sum();
        let weights: f64 = taking().map(|ledger| f64::from(ledger.weight)).sum();
        let share = |ledger: &Ledger| f64::from(ledger.weight) / weights;
        let most = |number: &dyn Fn(&Ledger) -> f64| taking().map(number).fold(0.0, f64::max);
        let measured = |number: f64| (open > 0.0).then(|| rounded(number));
        Sample {
            at_s: seconds(at),
            open: self.open,
            each: self.each.iter().map(|ledger| ledger.active).collect(),
            overload: measured(most(&|ledger| f64::from(ledger.active) / (open * share(ledger)))),
            off: measured(most(&|ledger| (f64::from(ledger.active) / open - share(ledger)).abs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_and_deviation_are_by_weight() {
        let mut books = Books::default();
        for (id, weight) in [(1, 3), (2, 1), (3, 0)] {
            books.of(BackendId(id)).weight = weight;
        }
        assert_eq!(books.sample(0).overload, None);
        for id in [1, 1, 1, 1, 2, 2, 2, 2, 3] {
            books.arrive();
            books.open(BackendId(id));
        }
        let sample = books.sample(1_500_000_000);
        assert_eq!((sample.at_s, sample.open, sample.each), (1.5, 9, vec![4, 4, 1]));
        // Of eight, two are the share of the second, which has four.
        assert_eq!((sample.overload, sample.off), (Some(2.0), Some(0.25)));
        books.share_out();
        let dues: Vec<f64> = books.each.iter().map(|ledger| ledger.due).collect();
        assert_eq!(dues, [6.75, 2.25, 0.0]);
        books.close(0);
        books.forget(0);
        assert_eq!((books.open, books.tracked, books.each[0].peak), (8, 8, 4));
    }
}
