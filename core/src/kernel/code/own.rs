//! Files that only this process's user can have written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// What lies there until it is whole.
pub(super) const UNFINISHED: &str = "new";

/// How many files this process has written.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Makes a directory that is closed to others, or closes the one that is there.
pub(super) fn directory(dir: &Path) -> Result<(), (&'static str, io::Error)> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(|error| ("create the directory above", error))?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(("create the directory", error));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(dir).map_err(|error| ("look at", error))?;
    if !found.is_dir() || found.uid() != own_user() {
        let problem = "it must be a directory of the user that the director runs as; remove it";
        return Err(("use", io::Error::other(problem)));
    }
    if found.mode() & 0o077 != 0 {
        let closed = fs::Permissions::from_mode(0o700);
        fs::set_permissions(dir, closed).map_err(|error| ("close to others", error))?;
    }
    Ok(())
}

/// Opens a file, if there is one; or says why it cannot be trusted.
pub(super) fn open(path: &Path) -> Result<Option<(File, fs::Metadata)>, String> {
    let opened = OpenOptions::new()
        .read(true)
        // Neither led elsewhere nor made to wait.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let found = file.metadata().map_err(|error| error.to_string())?;
    if !found.is_file() || found.uid() != own_user() || found.mode() & 0o022 != 0 {
        return Err("it is not a file that only the director's user can write".into());
    }
    Ok(Some((file, found)))
}

/// Puts a whole file in its place, and gives what it is there.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<fs::Metadata> {
    // Two threads may write the same.
    let turn = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let aside = path.with_extension(format!("{}-{turn}.{UNFINISHED}", std::process::id()));
    // Left over from a process of the same number.
    let _ = fs::remove_file(&aside);
    let written = write_new(&aside, bytes).and_then(|file| {
        fs::rename(&aside, path)?;
        file.metadata()
    });
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    Ok(file)
}

fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}
