//! What a plugin does with a workload.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use wvs_core::scheduler::simulate::{
    Crowd, Length, Rate, Refresh, Scenario, SimulateError, Simulation, Synthetic, TooManyError, TraceError,
    Workload, read_trace, simulate as run,
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
    /// What was asked for.
    pub asked: Asked,
    /// What came of it.
    #[serde(flatten)]
    pub result: Simulation,
}

/// What was asked for, so that it can be asked for again.
#[derive(Debug, Default, Serialize)]
pub struct Asked {
    /// The scheduler's parameters, those that have their default too.
    pub parameters: BTreeMap<String, String>,
    /// The backends' weights in the beginning.
    pub weights: Vec<u32>,
    /// How long, in seconds.
    pub duration_s: f64,
    /// Connections in a second, on average. None of a trace, nor of what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<Rate>,
    /// How long they last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<Length>,
    /// Who comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<Crowd>,
    /// Which addresses are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Crowd>,
    /// The file with the connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<PathBuf>,
    /// How often connections are counted, in seconds; None is as a director does.
    pub refresh_s: Option<f64>,
    /// How long connections that are over are still counted, in seconds.
    pub linger_s: f64,
}

impl Asked {
    fn new(args: &SimulateArgs, params: &[(String, String)], weights: &[u32], workload: &Workload) -> Self {
        let synthetic = args.trace.is_none();
        Self {
            parameters: params.iter().cloned().collect(),
            weights: weights.to_vec(),
            duration_s: workload.duration().as_secs_f64(),
            rate_per_s: synthetic.then_some(args.rate),
            length: synthetic.then_some(args.length),
            clients: synthetic.then_some(args.clients),
            destinations: synthetic.then_some(args.destinations),
            trace: args.trace.clone(),
            refresh_s: match args.refresh {
                Refresh::Director => None,
                Refresh::Every(time) => Some(time.as_secs_f64()),
            },
            linger_s: args.linger.as_secs_f64(),
        }
    }
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
    let asked = Asked::new(args, &params, &weights, &workload);
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
        asked,
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
