//! Commands that need no director, or are it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

/// `wvs run`
#[derive(Args, Debug)]
#[command(after_help = "\
Stays in the foreground and logs to stderr. Stopping it changes nothing in the kernel: connections go on.

Examples:
  wvs run --config /etc/wvs/wvs.toml
  wvs run --config lab.toml --socket /run/lab/wvs.sock --state-dir /run/lab/state -v")]
pub struct RunArgs {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = super::CONFIG)]
    pub config: PathBuf,
    /// Where the running configuration and the backend ids are kept, instead of the configuration's state_dir
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Interpret schedulers instead of compiling them: slower, but no memory has to become executable, as under
    /// systemd's MemoryDenyWriteExecute
    #[arg(long)]
    pub pulley: bool,
    /// Where the tc program of direct routing and tunnels is pinned (on a BPF file system), instead of the
    /// configuration's pin_dir
    #[arg(long, value_name = "DIR")]
    pub pin_dir: Option<PathBuf>,
}

/// `wvs check`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  wvs check\n  wvs check new.toml")]
pub struct CheckArgs {
    /// The file
    #[arg(default_value = super::CONFIG)]
    pub file: PathBuf,
}

/// `wvs doctor`
#[derive(Args, Debug)]
#[command(after_help = "\
Looks at privileges, the kernel's features and settings. Where the configuration has services of direct routing or
tunnels, also at what their program needs, and at route, hardware address and MTU of each of their backends. On a real
server see `wvs real-server status`. Ends with 4 if something is not as it should be.

Examples:
  wvs doctor
  wvs doctor --config new.toml -o json")]
pub struct DoctorArgs {
    /// The configuration [default: /etc/wvs/wvs.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `wvs config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// A configuration to begin with, with comments
    #[command(after_help = "Example:\n  wvs config default")]
    Default,
}

/// `wvs completions`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  wvs completions bash")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// `wvs man`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  wvs man\n  wvs man --dir /usr/local/share/man/man8")]
pub struct ManArgs {
    /// Write a page for every command to this directory, instead of the first page to stdout
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
