//! The command line. Help, man page and completions are made from these definitions and from nothing else.

mod change;
mod edit;
mod local;
mod look;
mod plugin;
mod read;
mod real_server;
mod simulate;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use change::{ApplyArgs, DiffArgs, ReloadArgs, TeardownArgs};
pub use edit::{Add, DrainArgs, Remove, WeightArgs};
pub use local::{CheckArgs, CompletionsArgs, ConfigCommand, DoctorArgs, ManArgs, RunArgs};
pub use look::{EventsArgs, ExplainArgs};
pub use plugin::{
    CheckPluginArgs, Kind, Language, NewArgs, PackArgs, PluginCommand, Subject, TestPluginArgs,
};
pub use read::{BackendsArgs, ConnectionsArgs, Export, PersistenceArgs};
pub use real_server::{Places, RealServerCommand, SetupArgs, StatusArgs, UndoArgs};
pub use simulate::SimulateArgs;

use crate::exit;

/// Where the director listens for commands.
pub const SOCKET: &str = "/run/wvs/wvs.sock";

/// Where the configuration lies.
pub const CONFIG: &str = "/etc/wvs/wvs.toml";

/// The WebAssembly virtual server: a layer-4 load balancer for Linux directors.
#[derive(Debug, Parser)]
#[command(name = "wvs", version, after_help = exit::help(), propagate_version = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The director's socket
    #[arg(long, global = true, value_name = "PATH", env = "WVS_SOCKET", hide_env_values = true, default_value = SOCKET)]
    pub socket: PathBuf,
    /// How data is written to stdout
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value_t
    )]
    pub output: Format,
    /// Write no messages but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Write more messages; twice for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// How data is written to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: sizes are rounded.
    #[default]
    Table,
    /// For programs: all fields, exact numbers.
    Json,
    /// The same as YAML.
    Yaml,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be the director: take a configuration, forward connections, answer commands
    Run(RunArgs),
    /// Check a configuration file and say all that is wrong with it
    Check(CheckArgs),
    /// Give the director a new configuration
    Apply(ApplyArgs),
    /// Let the director read its own file again
    Reload(ReloadArgs),
    /// Say what a file, or the director's own, would change
    Diff(DiffArgs),
    /// How the director and its schedulers are
    #[command(after_help = "Examples:\n  wvs status\n  wvs status -o json")]
    Status,
    /// The virtual services and their traffic
    #[command(after_help = "Examples:\n  wvs services\n  wvs services -o yaml")]
    Services,
    /// The backends, their connections and their traffic
    Backends(BackendsArgs),
    /// All counters and states for Prometheus, as OpenMetrics text
    #[command(after_help = "\
The same text is at GET /metrics of the control socket and, where director.metrics names an address, there on TCP.
For node_exporter's textfile collector, write it aside and rename it, so that it is never seen cut off.

Examples:
  wvs metrics")]
    Metrics,
    /// Tracked connections
    Connections(ConnectionsArgs),
    /// What happened lately, and what happens
    Events(EventsArgs),
    /// Which backend a packet would get, and why
    Explain(ExplainArgs),
    /// Clients that stay with their backends from connection to connection
    Persistence(PersistenceArgs),
    /// Give a backend no new connections and let it keep those it has
    Drain(DrainArgs),
    /// Set a backend's weight
    Weight(WeightArgs),
    /// Add a service or a backend
    #[command(subcommand)]
    Add(Add),
    /// Remove a service or a backend
    #[command(subcommand)]
    Remove(Remove),
    /// Remove all of wvs from the kernel and stop the director
    Teardown(TeardownArgs),
    /// Write the ruleset or the configuration in a form that other tools read
    #[command(subcommand)]
    Export(Export),
    /// Write what helps to make a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write, check and measure schedulers of your own
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Make this host a real server of direct routing or tunnels, and back
    #[command(subcommand)]
    RealServer(RealServerCommand),
    /// Find out whether this machine has what a director needs
    Doctor(DoctorArgs),
    /// Write completions for a shell
    Completions(CompletionsArgs),
    /// Write the manual
    Man(ManArgs),
}

impl Command {
    /// Whether its output has one form only, so that asking for another is a mistake.
    pub fn has_one_form(&self) -> bool {
        matches!(
            self,
            Command::Run(_)
                | Command::Completions(_)
                | Command::Man(_)
                | Command::Config(_)
                | Command::Metrics
                | Command::Plugin(PluginCommand::New(_))
                | Command::Export(Export::Nft(_))
        )
    }
}

#[cfg(test)]
mod tests;
