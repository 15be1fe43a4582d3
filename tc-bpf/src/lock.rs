//! One director for one pin directory.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The pin directory is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else uses it.
    #[error(
        "{} uses the pin directory {}: stop it, or give this director another pin_dir",
        holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")),
        path.display()
    )]
    Taken {
        /// Which directory.
        path: PathBuf,
        /// Who, if this process can see it.
        holder: Option<u32>,
    },
    /// It cannot be used.
    #[error("the pin directory {} cannot be locked", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Keeps other directors from a pin directory while it lives. The kernel ends it with the process, however that ends.
#[derive(Debug)]
pub struct PinLock {
    _directory: File,
}

impl PinLock {
    /// Takes the directory, which is made if it is not there.
    pub fn take(root: &Path) -> Result<Self, LockError> {
        let unusable = |source| LockError::Unusable {
            path: root.to_owned(),
            source,
        };
        std::fs::create_dir_all(root).map_err(unusable)?;
        let directory = File::open(root).map_err(unusable)?;
        match directory.try_lock() {
            Ok(()) => Ok(Self {
                _directory: directory,
            }),
            Err(std::fs::TryLockError::WouldBlock) => Err(LockError::Taken {
                path: root.to_owned(),
                holder: holder(&directory),
            }),
            Err(std::fs::TryLockError::Error(source)) => Err(unusable(source)),
        }
    }
}

/// Who has locked it: /proc/locks names device and inode.
fn holder(directory: &File) -> Option<u32> {
    let about = directory.metadata().ok()?;
    let (major, minor) = (libc::major(about.dev()), libc::minor(about.dev()));
    let place = format!("{major:02x}:{minor:02x}:{}", about.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let line = locks
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.contains(&"FLOCK") && words.contains(&place.as_str()))?;
    // 0 is a process of a namespace that is not seen from here.
    line.get(4)?.parse().ok().filter(|pid| *pid > 0)
}
