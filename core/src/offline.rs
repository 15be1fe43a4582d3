//! What works without a director: checking and printing a configuration, tearing down, examining the host.

use std::io;
use std::path::{Path, PathBuf};

use crate::api::Torn;
use crate::config::Config;
use crate::config::read::read_with;
use crate::director::{Store, StoreError, text_of};
use crate::ids::{BackendIds, TooManyBackends};
use crate::kernel::{AddressError, NftError, open_doors, probe};
use crate::pool::pools;
use crate::ruleset::{build::build, text};
use crate::scheduler::catalog::Catalog;
use crate::scheduler::StartHostError;

/// Why a configuration is not good.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has faults, which are rendered with file, line, column and caret.
    #[error("{0}")]
    Faults(String),
    /// No plugin can be run on this machine.
    #[error(transparent)]
    Host(#[from] StartHostError),
    /// There are more backends than mark bits.
    #[error(transparent)]
    Ids(#[from] TooManyBackends),
    /// A scheduler does not start.
    #[error(transparent)]
    Scheduler(#[from] crate::director::StartError),
}
