//! Walking the tables in bulk: counting what lives, and ending what is over.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::flows::tick;
use crate::layout::{
    Flow, STATE_CLOSED, STATE_DATAGRAM, STATE_ESTABLISHED, STATE_FIN, STATE_SYN, STATE_TIME_WAIT,
};
use crate::maps::{MapError, Maps, refused};

/// States that a connection may be in, and 0.
const STATES: usize = STATE_DATAGRAM as usize + 1;

/// A backend's connections (LVS's ActiveConn and InActConn).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// TCP that is established, or on the way there.
    pub active: u32,
    /// All others.
    pub inactive: u32,
}

/// How long a connection may be silent, by what it is in. LVS's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// SYN seen.
    pub syn: Duration,
    /// Established.
    pub established: Duration,
    /// FIN seen.
    pub fin: Duration,
    /// RST seen.
    pub closed: Duration,
    /// UDP and SCTP.
    pub datagram: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            syn: Duration::from_secs(60),
            established: Duration::from_secs(15 * 60),
            fin: Duration::from_secs(2 * 60),
            closed: Duration::from_secs(10),
            datagram: Duration::from_secs(5 * 60),
        }
    }
}

impl Timeouts {
    /// In the kernel's ticks, by state.
    fn ticks(&self, tick: Duration) -> [u32; STATES] {
        std::array::from_fn(|state| {
            let ticks = self.of(state as u8).as_nanos() / tick.as_nanos().max(1);
            // Beyond half of what 32 bits hold, before and after cannot be told apart.
            u32::try_from(ticks).unwrap_or(u32::MAX).min(i32::MAX as u32)
        })
    }

    fn of(&self, state: u8) -> Duration {
        match state {
            STATE_SYN => self.syn,
            STATE_ESTABLISHED => self.established,
            STATE_FIN | STATE_TIME_WAIT => self.fin,
            STATE_CLOSED => self.closed,
            STATE_DATAGRAM => self.datagram,
            _ => Duration::ZERO,
        }
    }
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// The living connections of each backend (id and generation).
    pub counts: BTreeMap<(u16, u16), Counts>,
    /// Entries seen.
    pub seen: usize,
    /// Entries that were over, and are gone.
    pub expired: usize,
    /// Persistent clients whose time was over, and are forgotten.
    pub forgotten: usize,
}

impl Maps {
    /// Walks all tables once: counts what lives, ends what has been silent too long by its service's timeouts, and
    /// forgets persistent clients whose time is over.
    /// Reading does not disturb the order in which a full table gives up entries. `now` is of [`Maps::now`].
    pub fn sweep(&self, timeouts: impl Fn(u16) -> Timeouts, now: u32) -> Result<Sweep, MapError> {
        let mut judge = Judge::new(timeouts, now, tick());
        let mut expired = 0;
        macro_rules! sweep {
            ($map:ident, $what:literal) => {
                let mut over = Vec::new();
                self.$map
                    .walk(|keys, values| {
                        let pairs = keys.iter().zip(values);
                        over.extend(
                            pairs
                                .filter(|(_, flow)| judge.is_over(flow))
                                .map(|(key, _)| *key),
                        );
                    })
                    .map_err(refused(concat!("reading the ", $what, " connections")))?;
                expired += self.$map.delete_all(&over).map_err(refused(concat!(
                    "ending ",
                    $what,
                    " connections"
                )))?;
            };
        }
        sweep!(flows4, "IPv4");
        sweep!(flows6, "IPv6");
        sweep!(half_open4, "half-open IPv4");
        sweep!(half_open6, "half-open IPv6");
        Ok(Sweep {
            expired,
            forgotten: self.sweep_persistent(now)?,
            ..judge.found()
        })
    }
}

/// Looks at one entry after the other. A million of them are looked at in one sweep, so what is looked up lies in
/// vectors.
struct Judge<F> {
    timeouts: F,
    now: u32,
    tick: Duration,
    /// By service and state, as they are met.
    limits: Vec<Option<[u32; STATES]>>,
    /// By backend; almost always of one generation.
    counts: Vec<Vec<(u16, Counts)>>,
    seen: usize,
}

/// The element with this index, which is made if it is not there.
fn at<T: Default>(all: &mut Vec<T>, index: u16) -> &mut T {
    let index = usize::from(index);
    if all.len() <= index {
        all.resize_with(index + 1, T::default);
    }
    &mut all[index]
}

impl<F: Fn(u16) -> Timeouts> Judge<F> {
    fn new(timeouts: F, now: u32, tick: Duration) -> Self {
        Self {
            timeouts,
            now,
            tick,
            limits: Vec::new(),
            counts: Vec::new(),
            seen: 0,
        }
    }

    /// Counts a living entry, or says that it is over.
    fn is_over(&mut self, flow: &Flow) -> bool {
        self.seen += 1;
        let limits = at(&mut self.limits, flow.service)
            .get_or_insert_with(|| (self.timeouts)(flow.service).ticks(self.tick));
        let limit = limits.get(usize::from(flow.state)).copied().unwrap_or(0);
        // Entries may be newer than `now`: then they are not old.
        let silent = (self.now.wrapping_sub(flow.seen) as i32).max(0) as u32;
        if silent > limit {
            return true;
        }
        let backend = at(&mut self.counts, flow.backend);
        let place = backend
            .iter()
            .position(|(generation, _)| *generation == flow.generation);
        let place = place.unwrap_or_else(|| {
            backend.push((flow.generation, Counts::default()));
            backend.len() - 1
        });
        let counts = &mut backend[place].1;
        match flow.state {
            STATE_SYN | STATE_ESTABLISHED => counts.active += 1,
            _ => counts.inactive += 1,
        }
        false
    }

    fn found(self) -> Sweep {
        let mut counts = BTreeMap::new();
        for (id, backend) in (0..).zip(self.counts) {
            counts.extend(
                backend
                    .into_iter()
                    .map(|(generation, found)| ((id, generation), found)),
            );
        }
        Sweep {
            counts,
            seen: self.seen,
            ..Sweep::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(state: u8, seen: u32) -> Flow {
        Flow {
            backend: 1,
            generation: 2,
            seen,
            service: 7,
            state,
            ..Flow::default()
        }
    }

    #[test]
    fn silence_ends_a_connection() {
        let over = |state, seen, now| {
            let asked = |service| {
                assert_eq!(service, 7);
                Timeouts::default()
            };
            let mut judge = Judge::new(asked, now, Duration::from_millis(4));
            let over = judge.is_over(&flow(state, seen));
            assert_eq!(judge.found().counts.len(), usize::from(!over));
            over
        };
        assert!(!over(STATE_CLOSED, 0, 10 * 250));
        assert!(over(STATE_CLOSED, 0, 10 * 250 + 1));
        assert!(!over(STATE_ESTABLISHED, 0, 900 * 250));
        assert!(over(STATE_ESTABLISHED, 0, 900 * 250 + 1));
        // The clock has wrapped, and the entry is newer than the sweep.
        assert!(!over(STATE_SYN, u32::MAX, 5));
        assert!(!over(STATE_FIN, 7, 5));
        // Such a state there is not.
        assert!(over(99, 0, 1));
    }

    #[test]
    fn counts_are_of_a_backend_and_its_generation() {
        let mut judge = Judge::new(|_| Timeouts::default(), 0, Duration::from_millis(4));
        for (generation, state) in [
            (1, STATE_SYN),
            (2, STATE_ESTABLISHED),
            (2, STATE_FIN),
            (2, STATE_DATAGRAM),
        ] {
            judge.is_over(&Flow {
                generation,
                ..flow(state, 0)
            });
        }
        let found = judge.found();
        let counts = |active, inactive| Counts { active, inactive };
        assert_eq!(found.counts, BTreeMap::from([((1, 1), counts(1, 0)), ((1, 2), counts(1, 2))]));
        assert_eq!(found.seen, 4);
    }
}
