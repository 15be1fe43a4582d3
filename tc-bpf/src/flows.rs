//! The connections in the tables: reading them in bulk, counting them, and ending those that are over.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::layout::{
    Flow, FlowKey, FlowKey4, STATE_CLOSED, STATE_DATAGRAM, STATE_ESTABLISHED, STATE_FIN, STATE_SYN,
    STATE_TIME_WAIT,
};
use crate::maps::{MapError, Maps, refused};

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
}

/// A connection as the tables have it.
pub type Flows = Vec<(FlowKey, Flow)>;

/// A key of the IPv4 table as the other tables have it.
fn widened(key: &FlowKey4) -> FlowKey {
    let mut addresses = [0; 32];
    addresses[..4].copy_from_slice(&key.saddr);
    addresses[4..8].copy_from_slice(&key.daddr);
    FlowKey {
        sport: key.sport,
        dport: key.dport,
        proto: key.proto,
        family: key.family,
        pad: key.pad,
        addresses,
    }
}

/// How long one of the kernel's ticks is: the resolution of its coarse clocks (Linux 2.6.32).
#[must_use]
pub fn tick() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is valid; this clock always exists.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    Duration::from_nanos(time.tv_nsec.max(1) as u64)
}

impl Maps {
    /// What time it is by the entries' clock, in the kernel's ticks. The program is asked.
    pub fn now(&self) -> Result<u32, MapError> {
        crate::sys::run_program(&self.clock).map_err(refused("asking the program what time it is"))
    }

    /// All connections, the half-open ones too. For listings: a sweep is cheaper.
    pub fn flows(&self) -> Result<Flows, MapError> {
        let mut all = Flows::new();
        let mut see4 = |keys: &[FlowKey4], values: &[Flow]| {
            all.extend(keys.iter().map(widened).zip(values.iter().copied()));
        };
        self.flows4
            .walk(&mut see4)
            .and_then(|()| self.half_open4.walk(&mut see4))
            .map_err(refused("reading the IPv4 connections"))?;
        let mut see6 = |keys: &[FlowKey], values: &[Flow]| {
            all.extend(keys.iter().copied().zip(values.iter().copied()));
        };
        self.flows6
            .walk(&mut see6)
            .and_then(|()| self.half_open6.walk(&mut see6))
            .map_err(refused("reading the IPv6 connections"))?;
        Ok(all)
    }

    /// Walks all tables once: counts what lives, and ends what has been silent too long by its service's timeouts.
    /// Reading does not disturb the order in which a full table gives up entries. `now` is of [`Maps::now`].
    pub fn sweep(&self, timeouts: impl Fn(u16) -> Timeouts, now: u32) -> Result<Sweep, MapError> {
        let mut sweep = Sweep::default();
        let tick = tick();
        macro_rules! sweep {
            ($map:ident, $what:literal) => {
                let mut over = Vec::new();
                self.$map
                    .walk(|keys, values| {
                        for (key, flow) in keys.iter().zip(values) {
                            if sweep.judge(flow, &timeouts(flow.service), now, tick) {
                                over.push(*key);
                            }
                        }
                    })
                    .map_err(refused(concat!("reading the ", $what, " connections")))?;
                sweep.expired += self.$map.delete_all(&over).map_err(refused(concat!(
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
        Ok(sweep)
    }

    /// Ends a backend's connections, or those of one generation: what its clients send next is scheduled anew.
    pub fn cut(&self, backend: u16) -> Result<usize, MapError> {
        let mut cut = 0;
        macro_rules! cut {
            ($map:ident) => {
                let mut keys_of = Vec::new();
                let see = |keys: &[_], values: &[Flow]| {
                    let pairs = keys.iter().zip(values);
                    keys_of.extend(
                        pairs
                            .filter(|(_, flow)| flow.backend == backend)
                            .map(|(key, _)| *key),
                    );
                };
                let doing = || format!("ending the connections of backend {backend}");
                self.$map.walk(see).map_err(refused(doing()))?;
                cut += self.$map.delete_all(&keys_of).map_err(refused(doing()))?;
            };
        }
        cut!(flows4);
        cut!(flows6);
        cut!(half_open4);
        cut!(half_open6);
        Ok(cut)
    }
}

impl Sweep {
    /// Counts a living entry, or says that it is over.
    fn judge(&mut self, flow: &Flow, timeouts: &Timeouts, now: u32, tick: Duration) -> bool {
        self.seen += 1;
        // Entries may be newer than `now`: then they are not old.
        let ticks = now.wrapping_sub(flow.seen) as i32;
        let silent = tick.saturating_mul(ticks.max(0) as u32);
        if silent > timeouts.of(flow.state) {
            return true;
        }
        let counts = self.counts.entry((flow.backend, flow.generation)).or_default();
        match flow.state {
            STATE_SYN | STATE_ESTABLISHED => counts.active += 1,
            _ => counts.inactive += 1,
        }
        false
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
            state,
            ..Flow::default()
        }
    }

    #[test]
    fn silence_ends_a_connection() {
        let tick = Duration::from_millis(4);
        let timeouts = Timeouts::default();
        let mut sweep = Sweep::default();
        let mut over = |state, seen, now| sweep.judge(&flow(state, seen), &timeouts, now, tick);
        assert!(!over(STATE_CLOSED, 0, 10 * 250));
        assert!(over(STATE_CLOSED, 0, 10 * 250 + 1));
        assert!(!over(STATE_ESTABLISHED, 0, 900 * 250));
        assert!(over(STATE_ESTABLISHED, 0, 900 * 250 + 1));
        // The clock has wrapped, and the entry is newer than the sweep.
        assert!(!over(STATE_SYN, u32::MAX, 5));
        assert!(!over(STATE_FIN, 7, 5));
        assert_eq!(
            sweep.counts[&(1, 2)],
            Counts {
                active: 2,
                inactive: 2
            }
        );
        assert_eq!((sweep.seen, sweep.expired), (6, 0));
    }
}
