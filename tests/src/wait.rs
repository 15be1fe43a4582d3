//! Waiting for a state, never for a time.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is looked at. Short against anything a test bounds, long enough to
/// leave the two cores of a small machine to the traffic.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds, and panics at the caller's line when it does not within `bound`.
///
/// ```
/// # use std::time::Duration;
/// let asked = std::cell::Cell::new(0);
/// wvs_tests::wait_for("three looks", Duration::from_secs(1), || {
///     asked.set(asked.get() + 1);
///     asked.get() == 3
/// });
/// ```
#[track_caller]
pub fn wait_for(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) {
    wait_until(what, bound, || condition().then_some(()));
}

/// As [`wait_for`], handing back what the condition found.
#[track_caller]
pub fn wait_until<T>(what: &str, bound: Duration, probe: impl FnMut() -> Option<T>) -> T {
    match poll(bound, probe) {
        Some(found) => found,
        None => panic!("waited {bound:?} for {what}: it did not happen"),
    }
}

/// The same without the panic, for the library's own use.
pub(crate) fn poll<T>(bound: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + bound;
    loop {
        // The look after the deadline counts: on a loaded machine the sleep may have eaten it all.
        let last = Instant::now() >= deadline;
        if let Some(found) = probe() {
            return Some(found);
        }
        if last {
            return None;
        }
        sleep(POLL);
    }
}
