//! What setup has changed, kept for undo.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Change, Origin, Persistence, Wish};
use crate::file;

/// What setup has changed. It is written before anything is changed, so that not all of it may have been made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Where the changes were made.
    pub origin: Origin,
    /// What the host is a real server of.
    pub wish: Wish,
    /// What was changed, in order.
    pub changes: Vec<Change>,
    /// The unit that sets it up at boot, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
}

/// Why the memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// A file cannot be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It is not what was written.
    #[error("{} is damaged: what setup has changed is not known; see `wvs real-server status --vip …`, put it right by hand and remove the file", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Somebody else is at it.
    #[error("another `wvs real-server` works with {}; wait for it", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// It tells of another network namespace.
    #[error("{} tells of another network namespace ({namespace}): give this one a --state-dir of its own", path.display())]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// Which.
        namespace: String,
    },
}

/// The memory, which one process at a time may change.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    /// Held locked.
    _dir: File,
}

const FILE: &str = "real-server.json";

impl Memory {
    /// Opens the memory of a state directory, which is made where it is missing.
    pub fn open(dir: &Path) -> Result<Self, MemoryError> {
        let fail = |action| {
            move |source| MemoryError::File {
                action,
                path: dir.into(),
                source,
            }
        };
        fs::create_dir_all(dir).map_err(fail("create the state directory"))?;
        let locked = File::open(dir).map_err(fail("open the state directory"))?;
        match locked.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(MemoryError::Busy { path: dir.into() }),
            Err(TryLockError::Error(error)) => return Err(fail("lock the state directory")(error)),
        }
        Ok(Memory {
            path: dir.join(FILE),
            _dir: locked,
        })
    }

    /// Looks without changing anything. What was changed before the kernel started is gone with it.
    pub fn peek(dir: &Path, origin: &Origin) -> Result<Option<Remembered>, MemoryError> {
        let path = dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(MemoryError::File {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        let mut remembered: Remembered = match serde_json::from_slice(&text) {
            Ok(remembered) => remembered,
            Err(source) => return Err(MemoryError::Damaged { path, source }),
        };
        if remembered.origin.boot != origin.boot {
            remembered.origin = origin.clone();
            remembered.changes.clear();
        } else if remembered.origin.namespace != origin.namespace {
            return Err(MemoryError::Elsewhere {
                path,
                namespace: remembered.origin.namespace,
            });
        }
        Ok(Some(remembered))
    }

    /// Keeps it, or forgets it.
    pub fn keep(&self, remembered: Option<&Remembered>) -> Result<(), MemoryError> {
        let fail = |action| {
            move |source| MemoryError::File {
                action,
                path: self.path.clone(),
                source,
            }
        };
        match remembered {
            Some(remembered) => {
                let text = serde_json::to_vec_pretty(remembered).map_err(io::Error::from);
                text.and_then(|text| file::replace(&self.path, &text))
                    .map_err(fail("write"))
            }
            None => match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fail("remove")(error)),
                _ => Ok(()),
            },
        }
    }
}
