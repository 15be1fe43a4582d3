//! What a plugin does with a workload.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use wvs_core::scheduler::simulate::{
    Scenario, SimulateError, Simulation, Synthetic, TooManyError, TraceError, Workload, read_trace,
    simulate as run,
};

use super::{PluginError, load};
use crate::args::SimulateArgs;

/// How long connections come if nobody says.
const LONG: Duration = Duration::from_secs(60);

/// Why nothing is simulated.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The trace cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The trace is none.
    #[error("{} is no trace of connections", path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TraceError,
    },
    /// Too much is asked for.
    #[error(transparent)]
    TooMany(#[from] TooManyError),
    /// It goes wrong on the way.
    #[error(transparent)]
    Simulate(Box<SimulateError>),
    /// The chart cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A simulation, and of what.
#[derive(Debug, Serialize)]
pub struct Simulated {
    /// The plugin's name for itself.
    pub scheduler: String,
    /// Where the connections come from.
    pub workload: String,
    /// The seed of all that is random.
    pub seed: u64,
    /// The size of tables.
    pub slots: u32,
    /// What came of it.
    #[serde(flatten)]
    pub result: Simulation,
}

/// Simulates what the command line describes.
pub fn simulate(args: &SimulateArgs) -> Result<Simulated, PluginError> {
    let loaded = load(&args.subject)?;
    let params = loaded
        .plugin
        .check_params(&loaded.params)
        .map_err(PluginError::Params)?;
    let (workload, text) = workload(args)?;
    let weights = if args.weights.is_empty() {
        vec![1; args.backends.into()]
    } else {
        args.weights.clone()
    };
    let scenario = Scenario {
        weights,
        churn: args.churn.clone(),
        slots: args.slots,
        refresh: args.refresh,
        linger: args.linger,
        seed: args.seed,
        exact: args.exact,
    };
    let result = run(&loaded.plugin, &params, &workload, &scenario)
        .map_err(|error| Failure::Simulate(error.into()))?;
    Ok(Simulated {
        scheduler: loaded.plugin.describe().name.clone(),
        workload: text,
        seed: args.seed,
        slots: args.slots,
        result,
    })
}

/// The connections, and what they are in words.
fn workload(args: &SimulateArgs) -> Result<(Workload, String), Failure> {
    let Some(path) = &args.trace else {
        let synthetic = Synthetic {
            rate: args.rate,
            duration: args.duration.unwrap_or(LONG),
            length: args.length,
            clients: args.clients,
            destinations: args.destinations,
            seed: args.seed,
        };
        let text = format!("{} of {}, {} clients", args.rate, args.length, args.clients);
        return Ok((synthetic.workload()?, text));
    };
    let text = std::fs::read_to_string(path).map_err(|source| Failure::Read {
        path: path.clone(),
        source,
    })?;
    let trace = read_trace(&text).map_err(|source| Failure::Trace {
        path: path.clone(),
        source,
    })?;
    let trace = match args.duration {
        Some(duration) => trace.lasting(duration),
        None => trace,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok((trace, format!("trace {name}")))
}

/// Writes a chart.
pub fn write(path: &Path, chart: &str) -> Result<(), PluginError> {
    std::fs::write(path, chart).map_err(|source| {
        let path = path.to_owned();
        Failure::Write { path, source }.into()
    })
}
