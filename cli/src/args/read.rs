//! Commands that read.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `wvs backends`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  wvs backends\n  wvs backends web -o json")]
pub struct BackendsArgs {
    /// Only this service's
    pub service: Option<String>,
}

/// `wvs connections`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  wvs connections\n  wvs connections web --limit 1000")]
pub struct ConnectionsArgs {
    /// Only this service's
    pub service: Option<String>,
    /// List at most so many
    #[arg(short, long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
}

/// `wvs persistence`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  wvs persistence\n  wvs persistence web --client 192.0.2.7\n  wvs persistence web -o json"
)]
pub struct PersistenceArgs {
    /// Only this service's
    pub service: Option<String>,
    /// Only where this one stays, by itself or with its network
    #[arg(short, long, value_name = "ADDRESS")]
    pub client: Option<IpAddr>,
    /// List at most so many
    #[arg(short, long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
}

/// `wvs export`
#[derive(Debug, Subcommand)]
pub enum Export {
    /// The ruleset, as an nft script
    Nft(ExportNftArgs),
    /// The tc program of direct routing and tunnels as the kernel holds it: where it is attached, its maps, its ways
    #[command(after_help = "Examples:\n  wvs export tc\n  wvs export tc -o json")]
    Tc,
    /// The running configuration, as TOML unless -o says otherwise
    #[command(after_help = "Examples:\n  wvs export config\n  wvs export config -o json")]
    Config,
}

/// `wvs export nft`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  wvs export nft\n  wvs export nft --config new.toml")]
pub struct ExportNftArgs {
    /// The ruleset that this file would have, without asking a director
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
