//! Finds a scheduler's file: in the operator's directory, or among those built in.

use std::fmt;
use std::path::{Path, PathBuf};

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
        source: std::io::Error,
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

/// Finds a scheduler: its [file](locate), or else what is built in under that name.
///
/// # Errors
/// If there is none, or its file cannot be read.
pub fn find(plugin_dir: &Path, spec: &str) -> Result<(Vec<u8>, Origin), FindPluginError> {
    if let Some(path) = locate(plugin_dir, spec) {
        return read(path);
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

fn read(path: PathBuf) -> Result<(Vec<u8>, Origin), FindPluginError> {
    match std::fs::read(&path) {
        Ok(bytes) => Ok((bytes, Origin::File(path))),
        Err(source) => Err(FindPluginError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_comes_before_what_is_built_in() {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, origin) = find(dir.path(), "rr").unwrap();
        assert_eq!((bytes.as_slice(), origin), (builtin("rr").unwrap(), Origin::Builtin));

        let text = dir.path().join("rr.wat");
        std::fs::write(&text, "(module)").unwrap();
        assert_eq!(find(dir.path(), "rr").unwrap().1, Origin::File(text.clone()));
        let binary = dir.path().join("rr.wasm");
        std::fs::write(&binary, "x").unwrap();
        assert_eq!(find(dir.path(), "rr").unwrap(), (b"x".to_vec(), Origin::File(binary)));
        assert_eq!(find(dir.path(), text.to_str().unwrap()).unwrap().1, Origin::File(text));
    }

    #[test]
    fn a_missing_one_is_answered_with_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine.wasm"), "").unwrap();
        std::fs::write(dir.path().join("notes.txt"), "").unwrap();
        let error = find(dir.path(), "wcl").unwrap_err().to_string();
        assert!(error.contains("nor built in; did you mean wlc?; there are dh, fo, "), "{error}");
        assert!(
            error.ends_with(
                ", mh, mine, nq, ovf, peak-ewma, rendezvous, rr, sed, sh, slow-rr, slow-wlc, twos, wlc, wrr, zone"
            ),
            "{error}"
        );
        let error = find(dir.path(), "/nowhere/x.wasm").unwrap_err().to_string();
        assert_eq!(error, "cannot read plugin /nowhere/x.wasm");
    }

    #[test]
    fn a_directory_that_is_not_there_is_no_obstacle() {
        assert!(find(Path::new("/nowhere"), "sh").is_ok());
        assert_eq!(available(Path::new("/nowhere")), BUILTIN.map(|(name, _)| name));
    }
}
