//! Records that the program hands to user space.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aya::maps::{Map, MapData, RingBuf};

use crate::layout::Plain;
use crate::maps::OpenError;

/// A pinned ring. It has one reader at a time, whom the pin directory's lock tells.
pub(crate) struct Ring {
    ring: RingBuf<MapData>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl Ring {
    /// Opens it; what waits there from before is thrown away.
    pub(crate) fn open(path: PathBuf) -> Result<Self, OpenError> {
        match ring(&path) {
            Ok(ring) => {
                let mut ring = Self { ring };
                while ring.next(|_| ()).is_some() {}
                Ok(ring)
            }
            Err(error) => Err(OpenError {
                path,
                source: io::Error::other(error),
            }),
        }
    }

    /// The next record, if there is one.
    pub(crate) fn next<T>(&mut self, see: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.ring.next().map(|record| see(&record))
    }

    /// Waits until there is a record; says whether there is.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd {
            fd: self.ring.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // Rounded up: a wait of a moment must not become one of no time at all, which would be tried again and again.
        let time = timeout.as_nanos().div_ceil(1_000_000);
        let time = i32::try_from(time).unwrap_or(i32::MAX);
        // SAFETY: one pollfd, valid for the call.
        match unsafe { libc::poll(&raw mut poll, 1, time) } {
            0 => Ok(false),
            1.. => Ok(true),
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
                error => Err(error),
            },
        }
    }
}

fn ring(path: &Path) -> Result<RingBuf<MapData>, aya::maps::MapError> {
    RingBuf::try_from(Map::from_map_data(MapData::from_pin(path)?)?)
}

/// The head of a record, and what follows it.
pub(crate) fn head<T: Plain>(record: &[u8]) -> Option<(T, &[u8])> {
    let (head, rest) = record.split_at_checked(size_of::<T>())?;
    // SAFETY: as many bytes as the type has, and `Plain` types are valid for all of them.
    Some((unsafe { head.as_ptr().cast::<T>().read_unaligned() }, rest))
}
