//! How far a director's way of asking is from asking for each connection.

use super::measure::Spread;
use super::run::Run;
use super::time::Nanos;
use super::workload::Workload;

/// The same connections, given out by a director's tables and by asking the scheduler for each.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// The share of connections, from 0 to 1, that went where they would have gone.
    pub same: f64,
    /// The share of the open connections, from 0 to 1, that are elsewhere: so many would have to be moved for each
    /// backend to have as many as it would have had. After the first tenth of the time.
    pub elsewhere: Option<Spread>,
    /// The most connections, at any moment, that a backend had more or fewer than it would have had.
    pub farthest: u32,
    /// The overload if each connection is asked for.
    pub overload: Option<Spread>,
    /// How many connections would have been refused.
    pub refused: u64,
}

/// Differences of open connections, and how many there are.
#[derive(Default)]
struct Difference {
    each: Vec<i64>,
    /// Of all backends, without their signs.
    sum: u64,
    open: (i64, i64),
}

impl Difference {
    /// The difference that there is at this place then.
    fn change(&mut self, place: u16, by: i64) -> u64 {
        let place = usize::from(place);
        if self.each.len() <= place {
            self.each.resize(place + 1, 0);
        }
        let known = &mut self.each[place];
        self.sum -= known.unsigned_abs();
        *known += by;
        self.sum += known.unsigned_abs();
        known.unsigned_abs()
    }

    /// A connection opens, or closes, here and there.
    fn event(&mut self, by: i64, ours: Option<u16>, exact: Option<u16>) -> u64 {
        self.open.0 += by * i64::from(ours.is_some());
        self.open.1 += by * i64::from(exact.is_some());
        if ours == exact {
            return 0;
        }
        let ours = ours.map_or(0, |place| self.change(place, by));
        let exact = exact.map_or(0, |place| self.change(place, -by));
        ours.max(exact)
    }

    fn elsewhere(&self) -> Option<f64> {
        let open = self.open.0.max(self.open.1);
        // A connection that is elsewhere is missing at one place and too much at another.
        (open > 0).then(|| self.sum as f64 / 2.0 / open as f64)
    }
}

pub(super) fn compare(workload: &Workload, moments: &[Nanos], ours: &Run, exact: &Run) -> Comparison {
    let mut events: Vec<(Nanos, i64, usize)> = Vec::with_capacity(2 * workload.len());
    for (index, arrival) in workload.arrivals.iter().enumerate() {
        events.push((arrival.at, 1, index));
        events.push((arrival.at.saturating_add(arrival.length), -1, index));
    }
    // What ends makes room first, as in the simulation; but nothing ends before it begins.
    events.sort_by_key(|&(at, by, index)| match (by, workload.arrivals[index].length) {
        (1, _) => (at, 1),
        (_, 0) => (at, 2),
        _ => (at, 0),
    });
    let mut moments = moments
        .iter()
        .copied()
        .filter(|at| *at >= workload.duration / 10)
        .peekable();
    let (mut difference, mut farthest) = (Difference::default(), 0);
    let mut shares = Vec::new();
    for (at, by, index) in events {
        while moments.next_if(|moment| *moment < at).is_some() {
            shares.extend(difference.elsewhere());
        }
        if at > workload.duration {
            break;
        }
        let here = difference.event(by, ours.choices[index], exact.choices[index]);
        farthest = farthest.max(here);
    }
    let pairs = ours.choices.iter().zip(&exact.choices);
    let same = pairs.filter(|(ours, exact)| ours == exact).count();
    Comparison {
        same: same as f64 / workload.len().max(1) as f64,
        elsewhere: Spread::of(shares.into_iter()),
        farthest: u32::try_from(farthest).unwrap_or(u32::MAX),
        overload: exact.overload(),
        refused: exact.refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_elsewhere_is_one_and_not_two() {
        let mut difference = Difference::default();
        assert_eq!(difference.elsewhere(), None);
        assert_eq!(difference.event(1, Some(0), Some(0)), 0);
        assert_eq!(difference.event(1, Some(0), Some(1)), 1);
        assert_eq!(difference.elsewhere(), Some(0.5));
        assert_eq!(difference.event(1, Some(0), Some(2)), 2);
        assert_eq!(difference.event(-1, Some(0), Some(1)), 1);
        assert_eq!(difference.elsewhere(), Some(0.5));
        // One that would have been refused is missing nowhere.
        assert_eq!(difference.event(-1, Some(0), Some(2)), 0);
        assert_eq!(difference.event(1, Some(0), None), 1);
        assert_eq!(difference.elsewhere(), Some(0.25));
    }
}
