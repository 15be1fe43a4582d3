//! Files that are replaced whole, and what tells one from the next.

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Replaces a file (written aside, synced, renamed), so that a crash leaves the old one or the new one.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = Path::new(&aside);
    let mut file = File::create(aside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(aside, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// SHA-256, as text.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What tells one version of a file from the next without reading it. One that is put in the place of another may have
/// its size and time of change, but not its inode and the time when that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    size: u64,
    inode: (u64, u64),
    changed: [(i64, i64); 2],
}

/// The kernel's clock for files stands still for as long as 10 ms (CONFIG_HZ=100, before Linux 6.13).
const SETTLED: Duration = Duration::from_secs(1);

impl Stamp {
    /// The stamp of a file as it was found.
    #[must_use]
    pub fn of(found: &Metadata) -> Self {
        Self {
            size: found.len(),
            inode: (found.dev(), found.ino()),
            changed: [
                (found.mtime(), found.mtime_nsec()),
                (found.ctime(), found.ctime_nsec()),
            ],
        }
    }

    /// Whether a change from now on must show: not so where the last one was only just before.
    #[must_use]
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let [_, (seconds, nanoseconds)] = self.changed;
        let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(seconds), u32::try_from(nanoseconds)) else {
            return false;
        };
        let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds));
        changed.is_some_and(|changed| now.duration_since(changed).is_ok_and(|age| age > SETTLED))
    }
}
