//! Slow start: who has just come is not given all at once.

use crate::{Backend, BackendState, Param, ParamKind, Params};

/// How far backends have got that came, or came back.
///
/// A backend is away while it is not there, has weight 0, drains or is down. When that is over it gets a share of its
/// weight that grows evenly with time. Backends that were there when all began have their whole weight at once, and so
/// have those that only had as many connections as they may for a while: they are warm.
#[derive(Clone, Debug)]
pub struct Ramps {
    seconds: u32,
    /// The first share, in hundredths.
    least: u32,
    known: Option<Vec<(u32, Stand)>>,
}

/// How a backend stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stand {
    Away,
    /// Since that time.
    Back(f64),
    Warm,
}

impl Ramps {
    /// What an operator can say of them, for [`About::params`](crate::About::params).
    pub const PARAMS: [Param; 2] = [
        Param {
            key: "seconds",
            kind: ParamKind::Integer { min: 0, max: 86_400 },
            default: "60",
            help: "how long it takes until a backend that has come, or come back, has its whole weight",
        },
        Param {
            key: "least",
            kind: ParamKind::Integer { min: 1, max: 100 },
            default: "10",
            help: "the share of its weight that it begins with, in percent",
        },
    ];

    /// As the operator wants them.
    ///
    /// # Errors
    /// If one of [`PARAMS`](Self::PARAMS) is not a number.
    pub fn configure(params: &Params) -> Result<Self, String> {
        let number = |key| params.integer(key).map(|number| number.max(0) as u32);
        Ok(Self::new(number("seconds")?, number("least")?))
    }

    /// Shares that grow from `least` hundredths to the whole in so many seconds.
    #[must_use]
    pub fn new(seconds: u32, least: u32) -> Self {
        Self {
            seconds,
            least: least.min(100),
            known: None,
        }
    }

    /// For [`Scheduler::update`](crate::Scheduler::update). `now` is [`host::now`](crate::host::now).
    pub fn update(&mut self, backends: &[Backend], now: f64) {
        let before = self.known.take();
        // Lists mostly keep their order, so the search goes on where it last found something.
        let mut from = 0;
        let mut stand_of = |id| {
            let known = before.as_ref()?;
            let (passed, ahead) = known.split_at(from.min(known.len()));
            let found = ahead.iter().chain(passed).position(|(other, _)| *other == id)?;
            let index = (from + found) % known.len();
            from = index + 1;
            Some(known[index].1)
        };
        let stands = backends.iter().map(|backend| {
            let gone = BackendState::DRAINING | BackendState::DOWN;
            let stand = match stand_of(backend.id) {
                _ if backend.weight == 0 || backend.state.intersects(gone) => Stand::Away,
                None if before.is_none() => Stand::Warm,
                None | Some(Stand::Away) => Stand::Back(now),
                Some(stand) => stand,
            };
            (backend.id, stand)
        });
        self.known = Some(stands.collect());
    }

    /// The share of its weight that each backend of the last update has now, from 0 to 1, in whole hundredths.
    #[must_use]
    pub fn shares(&self, now: f64) -> Vec<f64> {
        self.known()
            .iter()
            .map(|(_, stand)| f64::from(self.hundredths(*stand, now)) / 100.0)
            .collect()
    }

    /// For [`TimedScheduler::due`](crate::TimedScheduler::due): when shares are larger by a hundredth or so, or 0 if
    /// none grows any more.
    #[must_use]
    pub fn due(&self, now: f64) -> u32 {
        let grows = |(_, stand): &(u32, Stand)| *stand != Stand::Away && self.hundredths(*stand, now) < 100;
        if self.known().iter().any(grows) {
            self.seconds.saturating_mul(10).max(100)
        } else {
            0
        }
    }

    fn known(&self) -> &[(u32, Stand)] {
        self.known.as_deref().unwrap_or_default()
    }

    fn hundredths(&self, stand: Stand, now: f64) -> u32 {
        match stand {
            Stand::Away => 0,
            Stand::Warm => 100,
            Stand::Back(since) => {
                let passed = (now - since) / f64::from(self.seconds.max(1));
                if self.seconds == 0 || passed >= 1.0 {
                    return 100;
                }
                self.least + (f64::from(100 - self.least) * passed) as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hundredths(ramps: &Ramps, now: f64) -> Vec<u32> {
        ramps
            .shares(now)
            .iter()
            .map(|share| (share * 100.0).round() as u32)
            .collect()
    }

    #[test]
    fn who_comes_is_eased_in_and_who_was_there_is_warm() {
        let mut ramps = Ramps::new(10, 20);
        let [one, two] = [1, 2].map(Backend::sample);
        ramps.update(&[one], 5.0);
        assert_eq!((hundredths(&ramps, 5.0), ramps.due(5.0)), (vec![100], 0));
        ramps.update(&[two, one], 6.0);
        assert_eq!((hundredths(&ramps, 6.0), ramps.due(6.0)), (vec![20, 100], 100));
        assert_eq!(hundredths(&ramps, 11.0), [60, 100]);
        assert_eq!((hundredths(&ramps, 16.0), ramps.due(16.0)), (vec![100, 100], 0));
    }

    #[test]
    fn who_was_away_begins_again_and_who_was_full_does_not() {
        let mut ramps = Ramps::new(10, 10);
        let one = Backend::sample(1);
        ramps.update(&[one], 0.0);
        ramps.update(&[one.state(BackendState::OVERLOADED)], 1.0);
        ramps.update(&[one], 2.0);
        assert_eq!(hundredths(&ramps, 2.0), [100]);
        for away in [
            vec![],
            vec![one.weight(0)],
            vec![one.state(BackendState::DOWN)],
            vec![one.state(BackendState::DRAINING)],
        ] {
            ramps.update(&away, 30.0);
            assert_eq!(ramps.due(30.0), 0);
            ramps.update(&[one], 31.0);
            assert_eq!((hundredths(&ramps, 31.0), ramps.due(31.0)), (vec![10], 100));
            ramps.update(&[one.weight(7)], 36.0);
            assert_eq!(hundredths(&ramps, 36.0), [55], "another weight is no reason to begin again");
        }
    }

    #[test]
    fn without_time_there_is_no_ramp() {
        let mut ramps = Ramps::new(0, 10);
        ramps.update(&[], 0.0);
        ramps.update(&[Backend::sample(1)], 0.0);
        assert_eq!((hundredths(&ramps, 0.0), ramps.due(0.0)), (vec![100], 0));
    }
}
