//! Simulations: what a scheduler does with a workload, in virtual time, used as a director uses it.
//!
//! A table is walked or indexed as the data path does, and made again when backends change; that of a scheduler that
//! looks at connections also when they were counted, as often as a director counts. A scheduler that decides for each
//! connection is asked for each. Connections stay where they are until they end, whatever happens to their backend.

mod churn;
mod dispatcher;
mod exact;
mod measure;
mod random;
mod remap;
mod run;
#[cfg(test)]
mod tests;
mod time;
mod trace;
mod workload;

use std::time::Duration;

pub use churn::{Churn, ChurnError};
use dispatcher::Manner;
pub use exact::Comparison;
pub use measure::{Sample, Spread, Tally};
pub use remap::Remap;
pub use run::StepReport;
pub use time::{TimeTextError, parse_time};
pub use trace::{TraceError, read as read_trace};
pub use workload::{Arrival, Crowd, Length, Rate, Synthetic, TooManyError, Workload, WorkloadTextError};

use super::stage::Stage;
use super::{CallError, Dispatch, Plugin};

/// How often a simulation is looked at.
pub const SAMPLES: u64 = 240;

/// When connections are counted for a scheduler that looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// As a director does: 20 ms after a count that moved, 100 ms after one that did not, and later where there are
    /// so many connections that counting would take more than a tenth of a core.
    Director,
    /// After this time, again and again.
    Every(Duration),
}

/// A service, and what happens to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The backends `b1`, `b2`, … with which it begins.
    pub weights: Vec<u32>,
    /// What happens to them.
    pub churn: Churn,
    /// The size of tables.
    pub slots: u32,
    /// When connections are counted.
    pub refresh: Refresh,
    /// How long a connection that is over is still counted, as inactive.
    pub linger: Duration,
    /// The seed of the scheduler's random numbers.
    pub seed: u64,
    /// Whether the scheduler is asked for each connection as well, to compare.
    pub exact: bool,
}

/// Why nothing can be simulated, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The scheduler fails. A director would go on with its last table.
    #[error("the scheduler fails at {at} s of the simulation")]
    Call {
        /// When, in seconds.
        at: f64,
        /// How.
        #[source]
        source: CallError,
    },
    /// Something cannot happen.
    #[error(transparent)]
    Churn(#[from] ChurnError),
    /// Nobody would see what comes of it.
    #[error(
        "at {at} s `{change}` comes after the end of the simulation, at {end} s: simulate for longer (--duration), or have \
         it happen earlier"
    )]
    Late {
        /// When it is to happen, in seconds.
        at: f64,
        /// What.
        change: String,
        /// When the simulation ends, in seconds.
        end: f64,
    },
    /// It would end when it begins.
    #[error(
        "nothing can happen in 0 s: say with --duration how long to simulate; without it a trace ends when its last \
         connection comes"
    )]
    NoTime,
    /// There is nothing to compare with.
    #[error(
        "--exact compares with asking for each connection, which makes no difference to a scheduler that does not look \
         at connections, as this one"
    )]
    Exact,
}

/// What came of a simulation.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Simulation {
    /// How the scheduler is used.
    pub dispatch: Dispatch,
    /// How long, in seconds.
    pub duration_s: f64,
    /// So many connections were asked for.
    pub arrived: u64,
    /// So many of them found no backend that takes them.
    pub refused: u64,
    /// So many have ended.
    pub closed: u64,
    /// So many are open at the end.
    pub open: u64,
    /// How often a table was asked for.
    pub tables: u64,
    /// The busiest backend's connections by its share, after the first tenth of the time.
    pub overload: Option<Spread>,
    /// The farthest that a backend's share is from its weight's, after the first tenth of the time.
    pub off: Option<Spread>,
    /// Every backend that ever was.
    pub backends: Vec<Tally>,
    /// What changes of the backends did.
    pub steps: Vec<StepReport>,
    /// The service over time.
    pub samples: Vec<Sample>,
    /// How far all this is from asking for each connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<Comparison>,
}

/// Simulates a service. `params` come from [`Plugin::check_params`]. The same workload, scenario and seed give the
/// same answer.
///
/// # Errors
/// If the scheduler fails, or something is to happen that cannot.
pub fn simulate(
    plugin: &Plugin,
    params: &[(String, String)],
    workload: &Workload,
    scenario: &Scenario,
) -> Result<Simulation, SimulateError> {
    let mut rehearsal = Stage::new(&scenario.weights);
    for step in &scenario.churn.steps {
        step.apply(&mut rehearsal)?;
    }
    if workload.duration == 0 {
        return Err(SimulateError::NoTime);
    }
    let late = scenario
        .churn
        .steps
        .iter()
        .find(|step| step.at > workload.duration);
    if let Some(step) = late {
        return Err(SimulateError::Late {
            at: time::seconds(step.at),
            change: step.text(),
            end: time::seconds(workload.duration),
        });
    }
    let moments: Vec<u64> = (0..=SAMPLES)
        .map(|n| (u128::from(workload.duration) * u128::from(n) / u128::from(SAMPLES)) as u64)
        .collect();
    let start = || {
        plugin
            .start(params, scenario.seed)
            .map_err(|source| SimulateError::Call { at: 0.0, source })
    };
    let instance = start()?;
    let comparable = instance.wants_load() && !matches!(instance.dispatch(), Dispatch::Hash(_));
    if scenario.exact && !comparable {
        return Err(SimulateError::Exact);
    }
    let ran = run::run(scenario, workload, &moments, instance, Manner::Director)?;
    let exact = if scenario.exact {
        let exact = run::run(scenario, workload, &moments, start()?, Manner::Exact)?;
        Some(exact::compare(workload, &moments, &ran, &exact))
    } else {
        None
    };
    Ok(Simulation {
        dispatch: ran.dispatch,
        duration_s: time::seconds(workload.duration),
        arrived: ran.arrived,
        refused: ran.refused,
        closed: ran.closed,
        open: ran.books.open.into(),
        tables: ran.tables,
        overload: ran.overload(),
        off: ran.off(),
        backends: tallies(&ran),
        steps: ran.steps,
        samples: padded(ran.samples, ran.books.each.len()),
        exact,
    })
}

fn tallies(ran: &run::Run) -> Vec<Tally> {
    let tally = |(place, ledger): (usize, &measure::Ledger)| {
        let known = ran
            .stage
            .backends()
            .iter()
            .find(|it| measure::place(it.id) == place);
        Tally {
            name: format!("b{}", place + 1),
            weight: known.map(|known| known.weight),
            got: ledger.got,
            due: measure::rounded(ledger.due),
            open: ledger.active,
            peak: ledger.peak,
        }
    };
    ran.books.each.iter().enumerate().map(tally).collect()
}

/// Backends that came later had nothing before.
fn padded(mut samples: Vec<Sample>, backends: usize) -> Vec<Sample> {
    samples
        .iter_mut()
        .for_each(|sample| sample.each.resize(backends, 0));
    samples
}
