//! Commands that change the configuration as a whole.

use std::path::PathBuf;

use clap::Args;
use wvs_core::config::DirectorSettings;

/// `wvs apply`
#[derive(Args, Debug)]
#[command(after_help = "\
Only what differs is sent to the kernel, all of it or nothing. The director's own file is not changed.

Examples:
  wvs apply new.toml
  wvs apply new.toml --dry-run
  wvs apply - -v")]
pub struct ApplyArgs {
    /// The configuration; `-` is stdin
    pub file: PathBuf,
    /// Only say what would change
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// `wvs reload`
#[derive(Args, Debug)]
#[command(after_help = "\
Changes that were made with add, remove, weight and drain are undone.

Examples:
  wvs reload
  wvs reload --dry-run")]
pub struct ReloadArgs {
    /// Only say what would change
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// `wvs diff`
#[derive(Args, Debug)]
#[command(after_help = "\
Prints the change as an nft script. Exits with 0 if nothing differs and with 5 if something does.

Examples:
  wvs diff
  wvs diff new.toml")]
pub struct DiffArgs {
    /// A configuration; `-` is stdin [default: the director's own file]
    pub file: Option<PathBuf>,
}

/// `wvs teardown`
#[derive(Args, Debug)]
#[command(after_help = "\
Connections that are translated break. To stop the director and let connections go on, just end it.

Where no director answers, this command removes all by itself.

Examples:
  wvs teardown
  wvs teardown --yes --state-dir /run/lab/state")]
pub struct TeardownArgs {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Where the director kept its state; needed only if none answers
    #[arg(long, value_name = "DIR", default_value_os_t = DirectorSettings::default().state_dir)]
    pub state_dir: PathBuf,
    /// Where it pinned the tc program; needed only if none answers
    #[arg(long, value_name = "DIR", default_value_os_t = DirectorSettings::default().pin_dir)]
    pub pin_dir: PathBuf,
}
