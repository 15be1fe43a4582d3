//! What needs no director, or is it: the only place that calls more of `wvs-core` than its types.

pub mod plugin;
pub mod real_server;
pub mod scaffold;

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;
use serde::Serialize;
use wvs_core::api::Torn;
use wvs_core::config::{Config, sample, write};
use wvs_core::kernel::probe;
use wvs_core::offline::Checked;
use wvs_core::scheduler::PluginEngine;
use wvs_core::{director, offline};

pub use plugin::{Inspection, Parameter, Prices};

use crate::args::{CONFIG, Cli, DoctorArgs, RunArgs};

/// Why something that needs no director failed.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The director ended.
    #[error(transparent)]
    Run(Box<director::RunError>),
    /// A file has faults.
    #[error("{} is not a valid configuration", path.display())]
    Faulty {
        /// The file.
        path: PathBuf,
        /// The faults, rendered.
        faults: String,
    },
    /// A file cannot be used for another reason.
    #[error(transparent)]
    Check(Box<offline::CheckError>),
    /// The teardown failed.
    #[error(transparent)]
    Teardown(Box<offline::TeardownError>),
    /// Nothing can be said of a plugin.
    #[error(transparent)]
    Plugin(Box<plugin::PluginError>),
    /// A real server was not set up, set back or looked at.
    #[error(transparent)]
    RealServer(Box<real_server::RealServerError>),
    /// No scheduler was begun.
    #[error(transparent)]
    Scaffold(scaffold::ScaffoldError),
    /// The manual cannot be written.
    #[error("cannot write the manual to {}", dir.display())]
    Manual {
        /// Where to.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl From<plugin::PluginError> for LocalError {
    fn from(error: plugin::PluginError) -> Self {
        Self::Plugin(error.into())
    }
}

impl LocalError {
    /// A configuration's faults, rendered.
    pub fn faults(&self) -> Option<&str> {
        match self {
            LocalError::Faulty { faults, .. } => Some(faults),
            _ => None,
        }
    }

    /// What to do about it, if that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            LocalError::Plugin(error) => error.help(),
            _ => None,
        }
    }

    fn check(path: &Path, error: offline::CheckError) -> Self {
        match error {
            offline::CheckError::Faults(faults) => LocalError::Faulty {
                path: path.to_owned(),
                faults,
            },
            other => LocalError::Check(other.into()),
        }
    }
}

/// Is the director until it is told to end.
pub fn run(args: &RunArgs, socket: &Path) -> Result<(), LocalError> {
    director::run(director::RunOptions {
        config: args.config.clone(),
        socket: socket.to_owned(),
        state_dir: args.state_dir.clone(),
        plugin_engine: if args.pulley {
            PluginEngine::Pulley
        } else {
            PluginEngine::Native
        },
        pin_dir: args.pin_dir.clone(),
    })
    .map_err(|error| match error {
        director::RunError::Apply(director::ApplyError::Faults(faults)) => LocalError::Faulty {
            path: args.config.clone(),
            faults,
        },
        other => LocalError::Run(other.into()),
    })
}

/// Reads a configuration and all that it names.
pub fn check(path: &Path, color: bool) -> Result<Checked, LocalError> {
    offline::check(path, color).map_err(|error| LocalError::check(path, error))
}

/// The ruleset that a file would have.
pub fn ruleset(path: &Path) -> Result<String, LocalError> {
    offline::ruleset(path).map_err(|error| LocalError::check(path, error))
}

/// Removes all of ours from the kernel when no director does: the tables, and the addresses that the state
/// directory tells of.
pub fn teardown(state_dir: &Path, pin_dir: &Path) -> Result<Torn, LocalError> {
    offline::teardown(state_dir, pin_dir).map_err(|error| LocalError::Teardown(error.into()))
}

/// One thing that a director needs of this machine.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl From<probe::Finding> for Finding {
    fn from(finding: probe::Finding) -> Self {
        let probe::Finding {
            name,
            ok,
            detail,
            fix,
        } = finding;
        Finding {
            name,
            ok,
            detail,
            fix,
        }
    }
}

/// What a director needs of this machine.
pub fn doctor(args: &DoctorArgs, socket: &Path) -> Vec<Finding> {
    let usual = || Some(PathBuf::from(CONFIG)).filter(|path| path.exists());
    let config = args.config.clone().or_else(usual);
    let findings = offline::doctor(socket, config.as_deref());
    findings.into_iter().map(Finding::from).collect()
}

/// A configuration as a file that people read and edit.
pub fn toml(config: &Config) -> String {
    write::to_toml(config)
}

/// A configuration to begin with, with comments.
pub fn default_config() -> String {
    sample::default_file()
}

/// Completions for a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wvs", &mut script);
    script
}

/// The first page of the manual.
pub fn manual() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    page_of(Cli::command()).render(&mut page)?;
    Ok(page)
}

/// Writes a page for every command and says their names: `wvs add service` has wvs-add-service(8).
pub fn manual_to(dir: &Path) -> Result<Vec<PathBuf>, LocalError> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut written = Vec::new();
    write_pages(&command, dir, &mut written).map_err(|source| LocalError::Manual {
        dir: dir.to_owned(),
        source,
    })?;
    Ok(written)
}

fn write_pages(command: &clap::Command, dir: &Path, written: &mut Vec<PathBuf>) -> io::Result<()> {
    written.push(page_of(command.clone()).generate_to(dir)?);
    for subcommand in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        write_pages(subcommand, dir, written)?;
    }
    Ok(())
}

fn page_of(command: clap::Command) -> clap_mangen::Man {
    clap_mangen::Man::new(command).section("8").manual("wvs")
}
