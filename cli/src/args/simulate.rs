//! `wvs plugin simulate`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wvs_core::scheduler::simulate::{Churn, Crowd, Length, Rate, Refresh, parse_time};

use super::Subject;

/// `wvs plugin simulate`
#[derive(Args, Debug)]
#[command(after_help = "\
Connections come, last and end in virtual time; the scheduler is used as a director uses it: its table is walked, or
indexed by a hash, and made again when backends change and when connections were counted. Shown are the open
connections of each backend over time, how far they are from the weights, and who changed backend needlessly when
backends came and went: of clients or addresses only where the scheduler keeps them while nothing changes. The same command
gives the same answer.

What happens to backends (--churn) is a list as 'at 20s remove b3; at 30s add b3; at 40s weight b1 5', with add,
remove, weight, drain, undrain, down, up, full and free. Connections that are open stay where they are.

A trace (--trace) is a CSV file: the line start_s,length_s,client and then one line for each connection, with times
in seconds; what was asked for may follow, as the column destination.

Examples:
  wvs plugin simulate mine.wasm
  wvs plugin simulate wlc --weights 5,3,1 --rate 500/s --length pareto:10s --exact
  wvs plugin simulate mh --clients zipf:5000 --svg mh.svg -o json
  wvs plugin simulate wlc --trace connections.csv --backends 6 --exact")]
pub struct SimulateArgs {
    /// The scheduler
    #[command(flatten)]
    pub subject: Subject,
    /// So many backends, each of weight 1
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub backends: u16,
    /// The backends' weights, instead
    #[arg(
        long,
        value_name = "W,W,…",
        value_delimiter = ',',
        conflicts_with = "backends"
    )]
    pub weights: Vec<u32>,
    /// What happens to the backends, and when: 'at 20s remove b3; at 30s add b3'
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub churn: Churn,
    /// How many connections come, each by itself
    #[arg(long, value_name = "N/s", default_value = "1000/s")]
    pub rate: Rate,
    /// How long they come [default: 60s, or until the last one of a trace]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub duration: Option<Duration>,
    /// How long each lasts: exp:MEAN, fixed:TIME, pareto:MEAN or pareto:MEAN:SHAPE
    #[arg(long, value_name = "HOW", default_value = "exp:5s")]
    pub length: Length,
    /// How many clients there are: N, or zipf:N or zipf:N:EXPONENT where some come more often than others
    #[arg(long, value_name = "N", default_value = "10000")]
    pub clients: Crowd,
    /// How many addresses are asked for, in the same way
    #[arg(long, value_name = "N", default_value = "256")]
    pub destinations: Crowd,
    /// Recorded connections, instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rate", "length", "clients", "destinations"])]
    pub trace: Option<PathBuf>,
    /// The size of tables
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=4096))]
    pub slots: u32,
    /// How often connections are counted for schedulers that look at them: a time, or as a director does
    #[arg(long, value_name = "TIME", default_value = "director", value_parser = refresh)]
    pub refresh: Refresh,
    /// How long connections that are over are still counted, as inactive; conntrack's time for TCP is the default
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_time)]
    pub linger: Duration,
    /// The seed of all that is random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Ask the scheduler for each connection as well, with exact counts, and say how far that is away
    #[arg(long)]
    pub exact: bool,
    /// Draw a chart into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

fn some_time(text: &str) -> Result<Duration, String> {
    match parse_time(text) {
        Ok(time) if time >= Duration::from_millis(1) => Ok(time),
        Ok(_) => Err("nothing can happen in no time: at least 1ms".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn refresh(text: &str) -> Result<Refresh, String> {
    if text == "director" {
        return Ok(Refresh::Director);
    }
    match parse_time(text) {
        Ok(time) if time >= Duration::from_millis(1) => Ok(Refresh::Every(time)),
        Ok(_) => Err("at least 1ms".to_owned()),
        Err(error) => Err(format!("{error}, or `director`")),
    }
}
