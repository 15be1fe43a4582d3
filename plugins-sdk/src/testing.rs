//! Native tests of a plugin: the director's part, without a director.
//!
//! Each thread has its own log, clock and random numbers, so tests do not see each other.

mod world;

use std::cell::{Cell, RefCell};

use crate::bindings;
use crate::host::Level;
use crate::{Dispatch, FlowScheduler, NO_BACKEND, Param, Params, Scheduler};

pub use world::World;

thread_local! {
    static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    static CLOCK: Cell<f64> = const { Cell::new(0.0) };
    static SEED: Cell<u32> = const { Cell::new(0x9e37_79b9) };
}

/// What `crate::host` calls outside a module.
pub(crate) mod host {
    use super::{CLOCK, LOG, Level, SEED};

    pub fn log(level: Level, message: &str) {
        LOG.with_borrow_mut(|log| log.push((level, message.to_owned())));
    }

    pub fn random() -> u32 {
        SEED.set(crate::mix(SEED.get().wrapping_add(0x9e37_79b9)));
        SEED.get()
    }

    pub fn now() -> f64 {
        CLOCK.get()
    }
}

/// What the plugin logged on this thread since the last call of this function.
#[must_use]
pub fn take_log() -> Vec<(Level, String)> {
    LOG.take()
}

/// Sets what [`crate::host::now`] answers.
pub fn set_clock(seconds: f64) {
    CLOCK.set(seconds);
}

/// Makes [`crate::host::random`] repeat itself.
pub fn set_seed(seed: u32) {
    SEED.set(seed);
}

/// Configures a scheduler as the director would: defaults, then these.
///
/// # Errors
/// What the scheduler answers.
///
/// # Panics
/// If it declares no such parameter, which the director would not have passed on.
pub fn configure<S: Scheduler>(given: &[(&str, &str)]) -> Result<(S, Dispatch), String> {
    S::configure(&complete(S::ABOUT.params, given))
}

/// The same for one that decides for each connection.
///
/// # Errors
/// What the scheduler answers.
///
/// # Panics
/// If it declares no such parameter, which the director would not have passed on.
pub fn configure_flows<S: FlowScheduler>(given: &[(&str, &str)]) -> Result<S, String> {
    S::configure(&complete(S::ABOUT.params, given))
}

fn complete(declared: &[Param], given: &[(&str, &str)]) -> Params {
    for (key, _) in given {
        assert!(declared.iter().any(|param| param.key == *key), "no parameter {key}");
    }
    let params = declared.iter().map(|param| {
        let value = given.iter().find(|(key, _)| *key == param.key);
        bindings::Param {
            key: param.key.into(),
            value: value.map_or(param.default, |(_, value)| *value).into(),
        }
    });
    Params::new(params.collect())
}

/// How often each id is in a table; [`NO_BACKEND`] is not counted.
#[must_use]
pub fn shares(table: &[u32]) -> std::collections::BTreeMap<u32, usize> {
    let mut shares = std::collections::BTreeMap::new();
    for &id in table.iter().filter(|&&id| id != NO_BACKEND) {
        *shares.entry(id).or_default() += 1;
    }
    shares
}
