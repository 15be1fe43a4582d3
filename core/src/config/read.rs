//! From TOML to a configuration, with all faults of a file at once.
//!
//! The text is parsed with recovery, then every table is read by a function of its own that notes what it
//! does not like and goes on. The rules of [`check`](mod@super::check) come last and point into the file too.

mod clients;
mod director;
mod section;
mod shapes;
mod syntax;
mod tables;
mod tunnels;
mod value;

use std::io::Read;
use std::path::{Path, PathBuf};

use super::Config;
use super::check::{AnyPlugin, Plugins, check_with};
use super::fault::{Fault, Faults};
use section::Reader;

/// The largest file that is read, in bytes: enough for the 65,535 backends that a director can have.
pub const LARGEST_FILE: usize = 8 << 20;

/// Why a configuration file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file was read and is wrong.
    #[error("the configuration {} has faults", path.display())]
    Faults {
        /// The file.
        path: PathBuf,
        /// What it holds; what is not UTF-8 is replaced.
        text: String,
        /// What is wrong.
        #[source]
        faults: Faults,
    },
}

impl FileError {
    /// The error as text for people, with excerpts of the file.
    pub fn render(&self, color: bool) -> String {
        match self {
            FileError::Read { source, .. } => format!("error: {self}: {source}\n"),
            FileError::Faults { path, text, faults } => {
                faults.render(&path.display().to_string(), text, color)
            }
        }
    }
}

/// Reads a configuration.
pub fn read(text: &str) -> Result<Config, Faults> {
    read_with(text, &AnyPlugin)
}

/// Reads a configuration and checks the parameters of its plugins.
pub fn read_with(text: &str, plugins: &dyn Plugins) -> Result<Config, Faults> {
    if text.len() > LARGEST_FILE {
        return Err(too_large());
    }
    let mut reader = Reader::parse(text);
    let config = reader.config();
    reader.problems(&config, check_with(&config, plugins));
    reader.finish().map_or(Ok(config), Err)
}

fn too_large() -> Faults {
    let fault = Fault::new(None, format!("the file is larger than {} MiB", LARGEST_FILE >> 20))
        .help("share the services between several directors; is this the right file?");
    Faults::new(vec![fault], 0, "")
}

/// Reads a configuration file.
pub fn read_file(path: &Path) -> Result<Config, FileError> {
    read_file_with(path, &AnyPlugin)
}

/// Reads a configuration file and checks the parameters of its plugins.
pub fn read_file_with(path: &Path, plugins: &dyn Plugins) -> Result<Config, FileError> {
    let bytes = bytes_of(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let (text, result) = read_bytes(bytes, plugins);
    result.map_err(|faults| FileError::Faults {
        path: path.to_owned(),
        text,
        faults,
    })
}

/// Reads one byte more than may be, so that an endless file shows as one that is too large.
fn bytes_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(LARGEST_FILE as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the bytes of a file, and gives the text that the spans of the faults belong to.
pub fn read_bytes(bytes: Vec<u8>, plugins: &dyn Plugins) -> (String, Result<Config, Faults>) {
    if bytes.len() > LARGEST_FILE {
        return (String::new(), Err(too_large()));
    }
    match String::from_utf8(bytes) {
        Ok(text) => {
            let result = read_with(&text, plugins);
            (text, result)
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            // Up to here the lossy text is the same, so the offset holds; the stand-in follows it.
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let stand_in = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
            let byte = error.as_bytes()[at];
            let fault =
                Fault::new(stand_in, format!("the file is not UTF-8: byte {byte:#04x} at offset {at}"))
                    .label("not UTF-8 from here")
                    .help("save the file as UTF-8");
            let faults = Faults::new(vec![fault], 0, &text);
            (text, Err(faults))
        }
    }
}
