//! What calls of a plugin cost.

use std::time::{Duration, Instant};

use super::conform::sample_backends;
use super::{CallError, Instance, Load, Plugin};

/// The services that are measured: so many backends.
const SERVICES: [u16; 3] = [10, 1000, 10_000];
/// A call is repeated this often, or for so long.
const RUNS: usize = 200;
const PATIENCE: Duration = Duration::from_millis(300);

/// What calls cost in a service of one size.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Price {
    /// So many backends.
    pub backends: usize,
    /// So many slots in the table.
    pub slots: u32,
    /// Telling it the backends.
    pub update: Cost,
    /// Telling it the connections, if it wants to know them.
    pub observe: Option<Cost>,
    /// Having it make a table.
    pub fill: Cost,
}

/// Nanoseconds of one call, with what the host does for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    /// The fastest.
    pub best_ns: u64,
    /// The one in the middle.
    pub median_ns: u64,
}

/// Measures calls with 10, 1,000 and 10,000 backends. `params` come from [`Plugin::check_params`].
///
/// # Errors
/// If the plugin fails.
pub fn bench(plugin: &Plugin, params: &[(String, String)], slots: u32) -> Result<Vec<Price>, CallError> {
    let mut prices = Vec::new();
    for count in SERVICES {
        let mut instance = plugin.start(params, 1)?;
        prices.push(price(&mut instance, count, slots)?);
    }
    Ok(prices)
}

fn price(instance: &mut Instance, count: u16, slots: u32) -> Result<Price, CallError> {
    let backends = sample_backends(1, count);
    let loads: Vec<Load> = (0..u32::from(count))
        .map(|n| Load {
            active: n * 13 % 50,
            inactive: n * 7 % 400,
        })
        .collect();
    let update = repeat(|| instance.update(&backends))?;
    let observe = if instance.wants_load() {
        Some(repeat(|| instance.observe(&loads))?)
    } else {
        None
    };
    Ok(Price {
        backends: backends.len(),
        slots,
        update,
        observe,
        fill: repeat(|| instance.fill(slots).map(drop))?,
    })
}

fn repeat(mut call: impl FnMut() -> Result<(), CallError>) -> Result<Cost, CallError> {
    let begun = Instant::now();
    let mut times = Vec::with_capacity(RUNS);
    while times.is_empty() || (times.len() < RUNS && begun.elapsed() < PATIENCE) {
        let call_begun = Instant::now();
        call()?;
        times.push(u64::try_from(call_begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    times.sort_unstable();
    Ok(Cost {
        best_ns: times[0],
        median_ns: times[times.len() / 2],
    })
}
