//! `wvs plugin`: for those who write schedulers.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::SimulateArgs;

/// `wvs plugin`
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Begin a scheduler of your own
    New(NewArgs),
    /// Check that a director is served well by a scheduler
    Check(CheckPluginArgs),
    /// Lead a scheduler through events at random, and see whether it holds what every scheduler must
    Test(TestPluginArgs),
    /// See what a scheduler does with a workload
    Simulate(Box<SimulateArgs>),
    /// What a scheduler says of itself, and the parameters it takes
    Inspect(InspectArgs),
    /// Measure what a scheduler's calls cost
    Bench(BenchArgs),
    /// Make a component of a module, with what its language's runtime needs of WASI inside
    Pack(PackArgs),
}

/// The scheduler, and its parameters.
#[derive(Args, Debug)]
pub struct Subject {
    /// A plugin's file (.wasm or .wat), or the name of a scheduler that is built in
    ///
    /// What has a slash in it is a path. A name is that of a file here, or else of a scheduler that is built in; a directory
    /// of that name does not matter. In a configuration a name is that of NAME.wasm or NAME.wat in `plugin_dir`, or else of
    /// one that is built in.
    #[arg(value_name = "FILE")]
    pub file: String,
    /// A parameter, as in a service's configuration; may be given several times
    #[arg(short, long = "param", value_name = "KEY=VALUE", value_parser = pair)]
    pub params: Vec<(String, String)>,
}

/// `wvs plugin check`
#[derive(Args, Debug)]
#[command(after_help = "\
Makes the situations in which schedulers fail and says what to do about each failure. Ends with 1 if a check failed;
notes are no failures.

Examples:
  wvs plugin check mine.wasm
  wvs plugin check mine.wasm --param port=true --proportional 1
  wvs plugin check wlc -o json")]
pub struct CheckPluginArgs {
    /// The scheduler
    #[command(flatten)]
    pub subject: Subject,
    /// Fail unless every backend's share is its weight's, to less than this many slots
    #[arg(long, value_name = "SLOTS")]
    pub proportional: Option<u32>,
}

/// `wvs plugin test`
#[derive(Args, Debug)]
#[command(after_help = "\
Backends come, go, change, drain, fail and get connections; after each event the scheduler is told and asked, in the
sandbox in which a director runs it. For what does not hold, the shortest events that show it are printed: they happen
to a service that begins without backends. Ends with 1 if something that every scheduler must hold does not; notes
are no failures. The situations in which schedulers mostly fail are made by `wvs plugin check`.

Examples:
  wvs plugin test mine.wasm
  wvs plugin test mine.wasm --proportional 1 --no-starvation --sequences 2000
  wvs plugin test lblcr --seed 7 -o json")]
pub struct TestPluginArgs {
    /// The scheduler
    #[command(flatten)]
    pub subject: Subject,
    /// So many sequences of 8 to 35 events each
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sequences: u32,
    /// The seed of the sequences; the same seed makes the same ones
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Fail unless every backend's share is its weight's, to less than this many slots; with connections only where
    /// the scheduler does not look at them
    #[arg(long, value_name = "SLOTS")]
    pub proportional: Option<u32>,
    /// Fail if a backend whose weight makes 16 slots or more gets none, which is right for some schedulers
    #[arg(long)]
    pub no_starvation: bool,
}

/// `wvs plugin inspect`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  wvs plugin inspect mine.wasm\n  wvs plugin inspect mh")]
pub struct InspectArgs {
    /// The scheduler
    #[command(flatten)]
    pub subject: Subject,
}

/// `wvs plugin bench`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  wvs plugin bench mine.wasm\n  wvs plugin bench wlc --slots 4096")]
pub struct BenchArgs {
    /// The scheduler
    #[command(flatten)]
    pub subject: Subject,
    /// The size of the tables
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub slots: u32,
}

/// `wvs plugin pack`
#[derive(Args, Debug)]
#[command(after_help = "\
A director takes modules as they are. Those that import WASI preview 1, as Go's do, it does not: packed, they get the log
and random numbers, a clock that only counts, and no arguments, environment or files; and import the contract only.

Examples:
  wvs plugin pack go.wasm mine.wasm")]
pub struct PackArgs {
    /// The module (.wasm or .wat)
    #[arg(value_name = "MODULE")]
    pub module: PathBuf,
    /// The file to write
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
}

/// `wvs plugin new`
#[derive(Args, Debug)]
#[command(after_help = "\
Makes a directory with a small scheduler that works, and a README that says how to build and to check it.

Examples:
  wvs plugin new --lang wat mine
  wvs plugin new --lang go --kind flow mine
  wvs plugin new --lang rust mine --dir /tmp/mine")]
pub struct NewArgs {
    /// The scheduler's name: small letters, digits and dashes
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The language
    #[arg(long, value_name = "LANG", value_enum)]
    pub lang: Language,
    /// What it is to do
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Kind::Cycle)]
    pub kind: Kind,
    /// Where to make it, instead of a directory of its name here
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A kind of scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Makes a table, which new connections walk in order.
    Cycle,
    /// Looks at the connections, and decides for each new one; it waits meanwhile.
    Flow,
}

/// A language in which schedulers are begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// With the SDK; needs cargo and the target wasm32-unknown-unknown.
    Rust,
    /// With a header and nothing else; needs clang and lld.
    C,
    /// Needs zig.
    Zig,
    /// Like TypeScript; needs node and npm.
    #[value(name = "assemblyscript", alias = "as")]
    AssemblyScript,
    /// Needs go 1.24 or newer.
    Go,
    /// Brings an interpreter of 2 MB along; needs node and npm.
    #[value(name = "javascript", alias = "js")]
    JavaScript,
    /// Brings an interpreter of 18 MB along; needs python 3.10 or newer.
    Python,
    /// WebAssembly as text; needs nothing.
    Wat,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
