//! What works without a director: checking and printing a configuration, tearing down, examining the host.

mod doctor;

use std::io;
use std::path::{Path, PathBuf};

use crate::api::Torn;
use crate::config::Config;
use crate::config::read::read_with;
use crate::director::{Store, StoreError, text_of};
use crate::ids::{BackendIds, TooManyBackends};
use crate::kernel::tc::{TcError, TcSettings};
use crate::kernel::{AddressError, HostError, NftError, open_doors};
use crate::pool::pools;
use crate::ruleset::{
    build::{Facts, build},
    text,
};
use crate::scheduler::StartHostError;
use crate::scheduler::catalog::Catalog;

pub use doctor::doctor;

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

/// A configuration that can be used.
#[derive(Debug)]
pub struct Checked {
    /// The configuration.
    pub config: Config,
    /// What will not go as its author may have meant it.
    pub warnings: Vec<String>,
}

/// Checks a configuration file, with its plugins, which are started for it.
pub fn check(path: &Path, color: bool) -> Result<Checked, CheckError> {
    let catalog = Catalog::new()?;
    let config = check_with(path, color, &catalog)?;
    let warnings = config.services.iter().filter_map(|service| {
        // A fault would have shown above.
        let trouble = catalog.try_out(&config.director, &service.scheduler).ok()??;
        let (name, plugin) = (&service.name, &service.scheduler.plugin);
        Some(format!("service {name}: scheduler `{plugin}` fails when it is started: {trouble}"))
    });
    Ok(Checked {
        warnings: warnings.collect(),
        config,
    })
}

fn check_with(path: &Path, color: bool, catalog: &Catalog) -> Result<Config, CheckError> {
    let text = text_of(path).map_err(|source| CheckError::Read {
        path: path.into(),
        source,
    })?;
    let name = path.display().to_string();
    read_with(&text, catalog).map_err(|faults| CheckError::Faults(faults.render(&name, &text, color)))
}

/// The ruleset of a configuration file as text for `nft -f`, with the backend ids of a first start.
pub fn ruleset(path: &Path) -> Result<String, CheckError> {
    let catalog = Catalog::new()?;
    let config = check_with(path, false, &catalog)?;
    let mut ids = BackendIds::default();
    ids.assign(&config, config.director.mark().highest())?;
    let mut tables = std::collections::BTreeMap::new();
    for (key, candidates) in pools(&config, &ids) {
        if let Some(service) = config.service(&key.service) {
            let table = crate::director::first_table(&catalog, &config, service, candidates)?;
            tables.insert(key, table);
        }
    }
    let facts = Facts {
        queue: Some(config.director.queue),
        ..Facts::default()
    };
    Ok(text::ruleset(&build(&config, &ids, &tables, &facts)))
}

/// Why a teardown failed.
#[derive(Debug, thiserror::Error)]
pub enum TeardownError {
    /// The host lacks something.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The tables cannot be removed.
    #[error("cannot remove the tables")]
    Tables(#[from] NftError),
    /// The tc program cannot be removed.
    #[error("cannot remove the forwarding program")]
    Tc(#[from] TcError),
    /// An address cannot be removed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The state directory cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Removes what a director left in the kernel: its tables, and the addresses that it wrote down in its state
/// directory; and the tc program with all that is pinned below `pin_dir`.
pub fn teardown(state_dir: &Path, pin_dir: &Path) -> Result<Torn, TeardownError> {
    let mut doors = open_doors()?;
    let mut tables = doors.nft.teardown()?;
    tables |= doors.tc.teardown(&TcSettings {
        pin_dir: pin_dir.into(),
        max_flows: 0,
    })?;
    let store = Store::open(state_dir)?;
    let mut addresses = Vec::new();
    for (address, interface) in store.addresses()? {
        if doors.addresses.remove(address, &interface)? {
            addresses.push(format!("- {address} on {interface}"));
        }
    }
    store.keep_addresses(&Default::default())?;
    Ok(Torn { tables, addresses })
}
