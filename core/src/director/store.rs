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

use crate::api::Edit;
use crate::config::Config;
use crate::file;
use crate::ids::BackendIds;
use crate::tc::ServiceNumbers;

/// The files of a director's state directory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
}

/// A configuration that was applied whole, and the text it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The SHA-256 of the text.
    pub digest: String,
    /// How many were applied before it: it names the file of the edits made since.
    pub epoch: u64,
    /// What was applied.
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
const SERVICES: &str = "service-numbers.json";

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
        file::digest(text.as_bytes())
    }

    /// The configuration that the last director applied last.
    pub fn running(&self) -> Result<Option<Running>, StoreError> {
        self.read(RUNNING)
    }

    /// Keeps a configuration, and lets go of the edits of the one before. A crash in between leaves edits that
    /// belong to no epoch any more.
    pub fn keep_running(&self, running: &Running) -> Result<(), StoreError> {
        self.write(RUNNING, running)?;
        let path = self.edits_path(running.epoch.wrapping_sub(1));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError {
                action: "remove",
                path,
                source,
            }),
            _ => Ok(()),
        }
    }

    /// The edits made since a configuration was applied, in order. A last line that a crash cut off is left out.
    pub fn edits(&self, epoch: u64) -> Result<Vec<Edit>, StoreError> {
        let path = self.edits_path(epoch);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text
                .lines()
                .map_while(|line| serde_json::from_str(line).ok())
                .collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(StoreError {
                action: "read",
                path,
                source,
            }),
        }
    }

    /// Keeps one edit. Its price does not depend on how much is configured.
    pub fn keep_edit(&self, epoch: u64, edit: &Edit) -> Result<(), StoreError> {
        let path = self.edits_path(epoch);
        let fail = |source| StoreError {
            action: "write",
            path: path.clone(),
            source,
        };
        let mut line = serde_json::to_vec(edit).map_err(|error| fail(error.into()))?;
        line.push(b'\n');
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(fail)?;
        file.write_all(&line)
            .and_then(|()| file.sync_data())
            .map_err(fail)
    }

    fn edits_path(&self, epoch: u64) -> PathBuf {
        self.dir.join(format!("edits-{epoch}.jsonl"))
    }

    /// The backend ids handed out so far.
    pub fn ids(&self) -> Result<BackendIds, StoreError> {
        Ok(self.read(IDS)?.unwrap_or_default())
    }

    /// Keeps the backend ids. Called before they reach the kernel.
    pub fn keep_ids(&self, ids: &BackendIds) -> Result<(), StoreError> {
        self.write(IDS, ids)
    }

    /// The service numbers handed out so far.
    pub fn service_numbers(&self) -> Result<ServiceNumbers, StoreError> {
        Ok(self.read(SERVICES)?.unwrap_or_default())
    }

    /// Keeps the service numbers. Called before they reach the kernel; where there were and are none, nothing is written.
    pub fn keep_service_numbers(&self, numbers: &ServiceNumbers) -> Result<(), StoreError> {
        if numbers.iter().next().is_none() && !self.dir.join(SERVICES).exists() {
            return Ok(());
        }
        self.write(SERVICES, numbers)
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
        let fail = |source| StoreError {
            action: "write",
            path: path.clone(),
            source,
        };
        let text = serde_json::to_vec_pretty(value).map_err(|error| fail(error.into()))?;
        file::replace(&path, &text).map_err(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(weight: u32) -> Edit {
        let backend = "10.1.0.11:80".parse().unwrap();
        Edit::SetWeight {
            service: "web".into(),
            backend,
            weight,
        }
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("a/b")).unwrap();
        assert_eq!(store.running().unwrap(), None);
        let running = Running {
            digest: "x".into(),
            epoch: 3,
            config: Config::default(),
        };
        store.keep_running(&running).unwrap();
        assert_eq!(store.running().unwrap(), Some(running));
    }

    #[test]
    fn edits_belong_to_the_configuration_they_were_made_to() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.keep_edit(3, &weight(5)).unwrap();
        store.keep_edit(3, &weight(6)).unwrap();
        assert_eq!(store.edits(3).unwrap(), [weight(5), weight(6)]);
        store
            .keep_running(&Running {
                epoch: 4,
                ..Running::default()
            })
            .unwrap();
        assert_eq!((store.edits(3).unwrap(), store.edits(4).unwrap()), (vec![], vec![]));
    }

    #[test]
    fn an_edit_that_a_crash_cut_off_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.keep_edit(0, &weight(5)).unwrap();
        let mut file = File::options()
            .append(true)
            .open(dir.path().join("edits-0.jsonl"))
            .unwrap();
        file.write_all(b"{\"edit\":\"set-wei").unwrap();
        assert_eq!(store.edits(0).unwrap(), [weight(5)]);
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(RUNNING), "{\"digest\":").unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.running().unwrap().is_none());
        assert!(dir.path().join("running.json.damaged").exists());
        assert!(!dir.path().join(RUNNING).exists());
    }
}
