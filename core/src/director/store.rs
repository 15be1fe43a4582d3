//! The state directory: what must outlive the director.
//!
//! Each file is replaced whole (written aside, synced, renamed), so a crash leaves the old one or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::ids::BackendIds;

/// The files of a director's state directory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
}

/// The running configuration and the file it came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// The SHA-256 of the file's text.
    pub file_digest: String,
    /// Whether it has been edited since.
    pub edited: bool,
    /// What runs.
    pub config: Config,
}

/// The virtual addresses that the director has put on interfaces, and may therefore remove.
pub type ManagedAddresses = BTreeMap<IpAddr, String>;

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct StoreError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

const RUNNING: &str = "running.json";
const IDS: &str = "backend-ids.json";
const ADDRESSES: &str = "addresses.json";

impl Store {
    /// Opens the directory, and makes it where it is missing.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let fail = |source| StoreError {
            action: "create state directory",
            path: dir.into(),
            source,
        };
        fs::create_dir_all(dir).map_err(fail)?;
        Ok(Store { dir: dir.into() })
    }

    /// The digest by which a configuration file is known.
    pub fn digest(text: &str) -> String {
        Sha256::digest(text.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The running configuration of the last director.
    pub fn running(&self) -> Result<Option<Running>, StoreError> {
        self.read(RUNNING)
    }

    /// Keeps the running configuration.
    pub fn keep_running(&self, running: &Running) -> Result<(), StoreError> {
        self.write(RUNNING, running)
    }

    /// The backend ids handed out so far.
    pub fn ids(&self) -> Result<BackendIds, StoreError> {
        Ok(self.read(IDS)?.unwrap_or_default())
    }

    /// Keeps the backend ids. Called before they reach the kernel.
    pub fn keep_ids(&self, ids: &BackendIds) -> Result<(), StoreError> {
        self.write(IDS, ids)
    }

    /// The addresses put on interfaces so far.
    pub fn addresses(&self) -> Result<ManagedAddresses, StoreError> {
        Ok(self.read(ADDRESSES)?.unwrap_or_default())
    }

    /// Keeps the addresses.
    pub fn keep_addresses(&self, addresses: &ManagedAddresses) -> Result<(), StoreError> {
        self.write(ADDRESSES, addresses)
    }

    /// Reads a file. One that does not parse is set aside, because a director that refuses to start over a
    /// damaged cache would be worse than one that starts without.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let path = self.dir.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(StoreError {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        match serde_json::from_slice(&text) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let aside = path.with_extension("json.damaged");
                tracing::error!(path = %path.display(), %error, "state file is damaged; set aside as {}", aside.display());
                fs::rename(&path, &aside).map_err(|source| StoreError {
                    action: "set aside",
                    path,
                    source,
                })?;
                Ok(None)
            }
        }
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StoreError> {
        let path = self.dir.join(name);
        let aside = path.with_extension("json.new");
        let fail = |source| StoreError {
            action: "write",
            path: path.clone(),
            source,
        };
        let text = serde_json::to_vec_pretty(value).map_err(|error| fail(error.into()))?;
        let mut file = File::create(&aside).map_err(fail)?;
        file.write_all(&text)
            .and_then(|()| file.sync_all())
            .map_err(fail)?;
        fs::rename(&aside, &path).map_err(fail)?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("a/b")).unwrap();
        assert!(store.running().unwrap().is_none());
        let running = Running {
            file_digest: "x".into(),
            edited: true,
            config: Config::default(),
        };
        store.keep_running(&running).unwrap();
        assert_eq!(store.running().unwrap().unwrap().config, running.config);
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(RUNNING), "{\"file_digest\":").unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.running().unwrap().is_none());
        assert!(dir.path().join("running.json.damaged").exists());
        assert!(!dir.path().join(RUNNING).exists());
    }
}
