//! Finds a scheduler's file: in the operator's directory, or among those built in.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::description::similar;

/// Each as `NAME` and the module in `plugins/NAME/NAME.wasm`.
macro_rules! built_in {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("../../../plugins/", $name, "/", $name, ".wasm")))),*]
    };
}

/// The schedulers that every director has, sorted.
pub const BUILTIN: [(&str, &[u8]); 19] = built_in!(
    "dh" "fo" "lblc" "lblcr" "lc" "mh" "nq" "ovf" "peak-ewma" "rendezvous" "rr" "sed" "sh" "slow-rr"
    "slow-wlc" "twos" "wlc" "wrr" "zone"
);

const EXTENSIONS: [&str; 2] = ["wasm", "wat"];

/// Where a plugin came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This file.
    File(PathBuf),
    /// The director itself.
    Builtin,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Builtin => f.write_str("built in"),
        }
    }
}

/// Why a scheduler was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindPluginError {
    /// There is a file, but it cannot be read.
    #[error("cannot read plugin {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ReadPluginError,
    },
    /// There is none of that name.
    #[error(
        "no scheduler {name}: neither {}/{name}.wasm nor built in{}; there are {}",
        plugin_dir.display(),
        similar.as_ref().map(|similar| format!("; did you mean {similar}?")).unwrap_or_default(),
        known.join(", ")
    )]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// Where it was looked for.
        plugin_dir: PathBuf,
        /// The scheduler that was probably meant.
        similar: Option<String>,
        /// All that there are.
        known: Vec<String>,
    },
}

/// Why a plugin's file is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadPluginError {
    /// The operating system does not let us.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A folder.
    #[error("it is a directory")]
    Directory,
    /// Something that may have no end, or never begin.
    #[error("it is {kind}, not a regular file")]
    Special {
        /// What it is.
        kind: &'static str,
    },
    /// The file is larger than allowed.
    #[error("it has {size} bytes, and at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The largest allowed.
        limit: usize,
    },
}

/// The scheduler of that name that is part of the director.
#[must_use]
pub fn builtin(name: &str) -> Option<&'static [u8]> {
    BUILTIN
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, bytes)| *bytes)
}

/// The file of a scheduler, if it has one. `spec` is a path if it contains a slash; else a name, looked for as
/// `NAME.wasm` and `NAME.wat` in `plugin_dir`.
#[must_use]
pub fn locate(plugin_dir: &Path, spec: &str) -> Option<PathBuf> {
    if spec.contains('/') {
        return Some(PathBuf::from(spec));
    }
    let files = EXTENSIONS.map(|extension| plugin_dir.join(format!("{spec}.{extension}")));
    files.into_iter().find(|path| path.exists())
}

/// Finds a scheduler: its [file](locate) of at most so many bytes, or else what is built in under that name.
///
/// # Errors
/// If there is none, or its file cannot be read.
pub fn find(plugin_dir: &Path, spec: &str, limit: usize) -> Result<(Vec<u8>, Origin), FindPluginError> {
    if let Some(path) = locate(plugin_dir, spec) {
        return match read_plugin(&path, limit) {
            Ok(bytes) => Ok((bytes, Origin::File(path))),
            Err(source) => Err(FindPluginError::Read { path, source }),
        };
    }
    if let Some(bytes) = builtin(spec) {
        return Ok((bytes.to_vec(), Origin::Builtin));
    }
    let known = available(plugin_dir);
    Err(FindPluginError::Unknown {
        name: spec.to_owned(),
        plugin_dir: plugin_dir.to_owned(),
        similar: similar(spec, known.iter().map(String::as_str)),
        known,
    })
}

/// The names of all schedulers that [`find`] finds, sorted.
#[must_use]
pub fn available(plugin_dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = BUILTIN.iter().map(|(name, _)| (*name).to_owned()).collect();
    // A directory that cannot be read has nothing to offer.
    for entry in std::fs::read_dir(plugin_dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let fits = path
            .extension()
            .is_some_and(|found| EXTENSIONS.iter().any(|known| found == *known));
        if let (true, Some(name)) = (fits, path.file_stem().and_then(|stem| stem.to_str())) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.dedup();
    names
}

/// The bytes of a plugin's file.
///
/// # Errors
/// If it is no regular file of at most so many bytes, or cannot be read. Nothing is read of what is too large, and nobody
/// is waited for.
pub fn read_plugin(path: &Path, limit: usize) -> Result<Vec<u8>, ReadPluginError> {
    // Looked at before it is opened, because that alone makes some devices do something; and afterwards, because it may
    // be another one by then.
    regular(&path.metadata()?, limit)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    regular(&file.metadata()?, limit)?;
    let mut bytes = Vec::new();
    // One more than may be, so that one which grows meanwhile shows.
    let size = file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if size > limit {
        let size = size as u64;
        return Err(ReadPluginError::TooLarge { size, limit });
    }
    Ok(bytes)
}

fn regular(found: &std::fs::Metadata, limit: usize) -> Result<(), ReadPluginError> {
    let kind = found.file_type();
    if kind.is_dir() {
        return Err(ReadPluginError::Directory);
    }
    if !kind.is_file() {
        let kind = match kind {
            _ if kind.is_fifo() => "a pipe",
            _ if kind.is_socket() => "a socket",
            _ => "a device",
        };
        return Err(ReadPluginError::Special { kind });
    }
    let size = found.len();
    if size > limit as u64 {
        return Err(ReadPluginError::TooLarge { size, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    /// Neither is waited for a writer that never comes, nor is read what has no end or is too large.
    #[test]
    fn only_regular_files_of_the_right_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let of = |path: &Path| read_plugin(path, LIMIT).unwrap_err().to_string();
        let pipe = dir.path().join("pipe.wasm");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(of(&pipe), "it is a pipe, not a regular file");
        assert_eq!(of(Path::new("/dev/zero")), "it is a device, not a regular file");
        assert_eq!(of(dir.path()), "it is a directory");
        let large = dir.path().join("large.wasm");
        let file = std::fs::File::create(&large).unwrap();
        file.set_len(LIMIT as u64 + 1).unwrap();
        assert_eq!(of(&large), format!("it has {} bytes, and at most {LIMIT} are allowed", LIMIT + 1));
        file.set_len(LIMIT as u64).unwrap();
        assert_eq!(read_plugin(&large, LIMIT).unwrap().len(), LIMIT);
        // What says that it is empty, and is not.
        assert!(
            !read_plugin(Path::new("/proc/self/status"), LIMIT)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn the_directory_comes_before_what_is_built_in() {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, origin) = find(dir.path(), "rr", LIMIT).unwrap();
        assert_eq!((bytes.as_slice(), origin), (builtin("rr").unwrap(), Origin::Builtin));

        let text = dir.path().join("rr.wat");
        std::fs::write(&text, "(module)").unwrap();
        assert_eq!(find(dir.path(), "rr", LIMIT).unwrap().1, Origin::File(text.clone()));
        let binary = dir.path().join("rr.wasm");
        std::fs::write(&binary, "x").unwrap();
        assert_eq!(find(dir.path(), "rr", LIMIT).unwrap(), (b"x".to_vec(), Origin::File(binary)));
        assert_eq!(find(dir.path(), text.to_str().unwrap(), LIMIT).unwrap().1, Origin::File(text));
    }

    #[test]
    fn a_missing_one_is_answered_with_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine.wasm"), "").unwrap();
        std::fs::write(dir.path().join("notes.txt"), "").unwrap();
        let error = find(dir.path(), "wcl", LIMIT).unwrap_err().to_string();
        assert!(error.contains("nor built in; did you mean wlc?; there are dh, fo, "), "{error}");
        assert!(
            error.ends_with(
                ", mh, mine, nq, ovf, peak-ewma, rendezvous, rr, sed, sh, slow-rr, slow-wlc, twos, wlc, wrr, zone"
            ),
            "{error}"
        );
        let error = find(dir.path(), "/nowhere/x.wasm", LIMIT)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "cannot read plugin /nowhere/x.wasm");
    }

    #[test]
    fn a_directory_that_is_not_there_is_no_obstacle() {
        assert!(find(Path::new("/nowhere"), "sh", LIMIT).is_ok());
        assert_eq!(available(Path::new("/nowhere")), BUILTIN.map(|(name, _)| name));
    }
}
