//! What calls of a plugin cost.

use std::path::Path;
use std::time::{Duration, Instant};

use super::conform::{sample_backends, sample_flow};
use super::{
    CallError, Dispatch, HostOptions, Instance, Limits, Load, LoadPluginError, Plugin, PluginHost,
    StartHostError,
};
use crate::file::Stamp;
use crate::kernel::code::{CodeStore, CodeStoreError};

/// The services that are measured: so many backends.
const SERVICES: [u16; 3] = [10, 1000, 10_000];
/// A call is repeated this often, or for so long.
const RUNS: usize = 200;
const PATIENCE: Duration = Duration::from_millis(300);
/// Picks are measured together: looking at the clock takes a tenth of one.
const PICKS: u32 = 256;

/// What the start of a plugin costs: loading, describing and configuring it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StartCost {
    /// Where it has to be compiled.
    pub compiled: Cost,
    /// Where it was compiled before.
    pub kept: Cost,
}

/// Why a start could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum StartCostError {
    /// Nothing can be kept on this machine.
    #[error("cannot keep a compiled plugin for the measurement")]
    Keep(#[from] CodeStoreError),
    /// No plugin can be run on this machine.
    #[error(transparent)]
    Host(#[from] StartHostError),
    /// It is no scheduler.
    #[error(transparent)]
    Load(#[from] LoadPluginError),
    /// It fails.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Measures a plugin's start, as a director that finds it in `file`, or built in. What is compiled is kept in `scratch`
/// meanwhile, a directory that nobody else has.
///
/// # Errors
/// If it cannot be started, or its code cannot be kept.
pub fn start(
    name: &str,
    bytes: &[u8],
    file: Option<&Path>,
    params: &[(String, String)],
    scratch: &Path,
) -> Result<StartCost, StartCostError> {
    let compiling = PluginHost::new(Limits::default())?;
    let keeping = PluginHost::with(HostOptions {
        code: Some(CodeStore::open(scratch)?),
        ..HostOptions::default()
    })?;
    let file = file.and_then(|path| Some((path, Stamp::of(&path.metadata().ok()?))));
    let kept = keeping.load(name, bytes)?;
    if let Some((path, stamp)) = &file {
        keeping.saw(path, stamp, &kept);
    }
    let started = |host: &PluginHost| -> Result<(), StartCostError> {
        let seen = file
            .as_ref()
            .and_then(|(path, stamp)| host.load_seen(name, path, stamp));
        let plugin = match seen {
            Some(plugin) => plugin,
            None => host.load(name, bytes)?,
        };
        plugin.start(params, 1)?;
        Ok(())
    };
    Ok(StartCost {
        compiled: repeat(|| started(&compiling))?,
        kept: repeat(|| started(&keeping))?,
    })
}

/// What calls cost in a service of one size.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Price {
    /// So many backends.
    pub backends: usize,
    /// So many slots in the table; 0 if it makes none.
    pub slots: u32,
    /// Telling it the backends.
    pub update: Cost,
    /// Telling it the connections, if it wants to know them.
    pub observe: Option<Cost>,
    /// Having it make a table, if it makes tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill: Option<Cost>,
    /// Having it choose for one connection, if it is asked for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pick: Option<Cost>,
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
    let asked = instance.dispatch() == Dispatch::Flow;
    let (fill, pick) = if asked {
        (None, Some(picks(instance)?))
    } else {
        (Some(repeat(|| instance.fill(slots).map(drop))?), None)
    };
    Ok(Price {
        backends: backends.len(),
        slots: if asked { 0 } else { slots },
        update,
        observe,
        fill,
        pick,
    })
}

/// The price of one pick among many.
fn picks(instance: &mut Instance) -> Result<Cost, CallError> {
    let flows: Vec<_> = (0..PICKS).map(sample_flow).collect();
    let all = repeat(|| flows.iter().try_for_each(|flow| instance.pick(flow).map(drop)))?;
    Ok(Cost {
        best_ns: all.best_ns / u64::from(PICKS),
        median_ns: all.median_ns / u64::from(PICKS),
    })
}

fn repeat<E>(mut call: impl FnMut() -> Result<(), E>) -> Result<Cost, E> {
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
