//! Whether a plugin's memory stays as it is while its service goes on and on.

use std::time::Duration;

use super::subject::{Subject, sample_backends, sample_flow};
use crate::scheduler::deadline::cpu_time;
use crate::scheduler::{CallError, Dispatch, Instance, Load};

/// After so many rounds whatever a plugin sets up once is there.
const WARM: u32 = 512;
/// Whose memory has not grown in the second half of so many is not looked at any longer.
const ENOUGH: u32 = 4096;
/// Whoever still grows is looked at for so long: garbage collectors take their time, and stop.
const MOST: u32 = 32_768;
/// No longer than this, in CPU time; languages that are interpreted take a millisecond for a round.
const PATIENCE: Duration = Duration::from_secs(8);
/// A service of this size, and tables of that.
const BACKENDS: u16 = 20;
const SLOTS: u32 = 256;
/// So many connections in each round, always the same.
const PICKS: u32 = 64;

/// How a plugin's memory was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Soaked {
    /// It stopped growing, or was never seen to.
    Stays(String),
    /// It grew as long as it was looked at.
    Leaks(String),
}

pub(super) const FIX: &str = "free what a call was given and what it answered, in `cabi_post_…` or by resetting the arena when the next \
                              call begins; whatever is remembered of backends and connections needs a bound";

/// Tells one instance of backends and connections, and asks it, thousands of times.
pub(super) fn soak(subject: &Subject<'_>) -> Result<Soaked, CallError> {
    let begun = cpu_time();
    let mut instance = subject.start()?;
    // The size of its memory after WARM, twice WARM, ...
    let mut sizes: Vec<usize> = Vec::new();
    let mut next = WARM;
    for number in 1..=MOST {
        if let Err(error) = round(subject, &mut instance, number) {
            let CallError::Memory { limit, .. } = error else {
                return Err(error);
            };
            let what = format!("its memory grew to the {} that it may have in {number} rounds", mib(limit));
            return Ok(Soaked::Leaks(what + OF));
        }
        if number == next {
            sizes.push(instance.memory());
            next *= 2;
            if number >= ENOUGH && !still_grows(&sizes) {
                break;
            }
        }
        if cpu_time().saturating_sub(begun) > PATIENCE {
            break;
        }
    }
    Ok(judge(&sizes, instance.memory()))
}

const OF: &str = " of update, observe and an answer";

fn still_grows(sizes: &[usize]) -> bool {
    sizes.windows(2).last().is_some_and(|two| two[0] < two[1])
}

/// Who leaks grows between any number of rounds and twice that; it may do so in steps, the larger the later.
fn judge(sizes: &[usize], now: usize) -> Soaked {
    let rounds = |place: usize| WARM << place;
    match sizes {
        [first, .., last] if sizes.len() > 3 && sizes.windows(2).all(|two| two[0] < two[1]) => {
            Soaked::Leaks(format!(
                "its memory grew from {} after {} rounds{OF} to {} after {}, and went on growing",
                mib(*first),
                rounds(0),
                mib(*last),
                rounds(sizes.len() - 1)
            ))
        }
        _ => Soaked::Stays(format!("{} in the end, and no more with every round", mib(now))),
    }
}

fn mib(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn round(subject: &Subject<'_>, instance: &mut Instance, number: u32) -> Result<(), CallError> {
    let mut backends = sample_backends(1, BACKENDS);
    let changed = (number % u32::from(BACKENDS)) as usize;
    backends[changed].weight = number % 7;
    let loads: Vec<Load> = (0..u32::from(BACKENDS))
        .map(|place| Load {
            active: (number + place) % 50,
            inactive: place,
        })
        .collect();
    subject.tell(instance, &backends, &loads)?;
    instance.interval()?;
    instance.observe_latency(&[300; BACKENDS as usize])?;
    let count = backends.len();
    if instance.dispatch() == Dispatch::Flow {
        for n in 0..PICKS {
            subject.pick(instance, count, &sample_flow(n))?;
        }
        return Ok(());
    }
    subject.fill(instance, count, SLOTS)?;
    instance.due().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_goes_on_growing_leaks() {
        let leaks = |sizes: &[usize]| matches!(judge(sizes, 9), Soaked::Leaks(_));
        assert!(leaks(&[1, 2, 3, 4]));
        // An allocator that doubles.
        assert!(leaks(&[1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20]));
        // A collector that has found its size, one that is slow to, and one that nobody could look at for long.
        assert!(!leaks(&[4, 4, 4, 4]));
        assert!(!leaks(&[1, 2, 3, 4, 4]));
        assert!(!leaks(&[1, 1, 1, 2]));
        assert!(!leaks(&[1, 2, 3]) && !leaks(&[]));
    }
}
