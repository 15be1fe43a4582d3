//! Compiled plugins on disk, so that a director that starts compiles nothing, and reads little.
//!
//! What lies here runs with the director's rights. The directory belongs to its user alone, and a file is used only if
//! it does, too. Code is mapped, not read: of a runtime of 40 MB, a start needs a few pages. So its digest is looked at
//! only where the file is not the one for which it was found right before (by inode, size and times); as with a
//! program's own file, nobody looks for damage afterwards. What cannot be used is left out and replaced.

mod own;
mod seal;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::file::{Stamp, digest};
use crate::scheduler::Description;
use seal::{Key, Seal};

/// Compiled code, as the engine writes it.
const CODE: &str = "code";
/// What it is.
const SEAL: &str = "seal";
/// Which plugin a file was.
const SEEN: &str = "seen";
/// No more plugins and no more known files than this, and no more bytes of code; the longest unused go first.
const MOST_FILES: usize = 64;
const MOST_BYTES: u64 = 256 << 20;
/// What is beside code is small.
const MOST_BYTES_BESIDE: u64 = 4 << 20;
/// What a director that died while it wrote has left.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Why compiled plugins cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct CodeStoreError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A directory with compiled plugins.
#[derive(Clone, Debug)]
pub struct CodeStore {
    dir: PathBuf,
}

/// A file with a plugin, as it was read.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    path: PathBuf,
    stamp: Stamp,
    plugin: [u8; 32],
}

impl CodeStore {
    /// Opens the directory, and makes it where it is missing.
    ///
    /// # Errors
    /// If it cannot be made, or belongs to somebody else.
    pub fn open(dir: &Path) -> Result<Self, CodeStoreError> {
        let dir = dir.to_owned();
        match own::directory(&dir) {
            Ok(()) => Ok(Self { dir }),
            Err((action, source)) => Err(CodeStoreError {
                action,
                path: dir,
                source,
            }),
        }
    }

    /// The compiled form of a plugin and what it says of itself, by the SHA-256 of its file, if it is kept for an engine
    /// like this one. What cannot be used is removed, and that is said.
    #[must_use]
    pub fn load(&self, engine: &Engine, plugin: [u8; 32]) -> Option<(Component, Description)> {
        let key = Key::new(engine, plugin);
        match self.use_kept(engine, &key) {
            Ok(kept) => kept,
            Err(problem) => {
                let path = self.path(&key, CODE);
                tracing::warn!(path = %path.display(), "a compiled plugin cannot be used and is made anew: {problem}");
                let _ = fs::remove_file(path);
                let _ = fs::remove_file(self.path(&key, SEAL));
                None
            }
        }
    }

    /// Keeps the compiled form of a plugin.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep(
        &self,
        engine: &Engine,
        plugin: [u8; 32],
        component: &Component,
        description: &Description,
    ) -> Result<(), CodeStoreError> {
        let key = Key::new(engine, plugin);
        let path = self.path(&key, CODE);
        let written = component
            .serialize()
            .map_err(|error| io::Error::other(format!("{error:#}")))
            .and_then(|code| {
                let stamp = Stamp::of(&own::write(&path, &code)?);
                let seal = Seal::new(key.clone(), &code, stamp, description.clone());
                write_json(&self.path(&key, SEAL), &seal)
            });
        self.prune();
        written.map_err(|source| CodeStoreError {
            action: "write",
            path,
            source,
        })
    }

    /// The plugin in a file that is still what it was when it was seen, by its SHA-256.
    #[must_use]
    pub fn seen(&self, path: &Path, stamp: &Stamp) -> Option<[u8; 32]> {
        let record = self.path_of_seen(path);
        let (seen, file): (Seen, _) = read_json(&record).ok()??;
        if seen.path != path || seen.stamp != *stamp {
            return None;
        }
        touch(&file);
        Some(seen.plugin)
    }

    /// Notes the plugin that was read from a file. `stamp` is from before it was read.
    pub fn saw(&self, path: &Path, stamp: Stamp, plugin: [u8; 32]) {
        if !stamp.is_settled(SystemTime::now()) {
            return;
        }
        let seen = Seen {
            path: path.to_owned(),
            stamp,
            plugin,
        };
        // It would only have saved time.
        if let Err(error) = write_json(&self.path_of_seen(path), &seen) {
            tracing::debug!(path = %path.display(), "what this file is cannot be kept: {error}");
        }
    }

    fn use_kept(&self, engine: &Engine, key: &Key) -> Result<Option<(Component, Description)>, String> {
        let path = self.path(key, SEAL);
        let Some((mut seal, seal_file)) = read_json::<Seal>(&path)? else {
            return Ok(None);
        };
        seal.check(key)?;
        let Some((mut file, found)) = own::open(&self.path(key, CODE))? else {
            return Err("its code is gone".into());
        };
        let stamp = Stamp::of(&found);
        if !seal.knows(&stamp) {
            seal.verify(&read(&mut file, MOST_BYTES)?, stamp)?;
            // It would only have saved time.
            let _ = write_json(&path, &seal);
        }
        // The next to go are those that were not used for longest.
        touch(&seal_file);
        // SAFETY: `own::open` has found the file to be ours and writable by nobody else, and the seal, of which the same
        // is true, says that it was made from this plugin, for an engine whose compatibility hash is this one's, and is
        // whole. So it is what `keep` has written, which is what `serialize` gave there. Nobody changes it while it is
        // mapped: here, files are only replaced and removed.
        let component = unsafe { Component::deserialize_file(engine, by_number(&file)) };
        match component {
            Ok(component) => Ok(Some((component, seal.description))),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    fn path(&self, key: &Key, extension: &str) -> PathBuf {
        let engine = &key.engine[..16];
        self.dir.join(format!("{}-{engine}.{extension}", key.plugin))
    }

    fn path_of_seen(&self, path: &Path) -> PathBuf {
        let name = digest(path.as_os_str().as_bytes());
        self.dir.join(format!("{name}.{SEEN}"))
    }

    /// Removes what there is too much of. What cannot be removed now is tried again next time.
    fn prune(&self) {
        let now = SystemTime::now();
        let (mut codes, mut seen) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(found) = entry.metadata() else { continue };
            let used = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(CODE) => {
                    let used = used(&path.with_extension(SEAL)).unwrap_or(SystemTime::UNIX_EPOCH);
                    codes.push((used, found.len(), path));
                }
                Some(SEEN) => seen.push((used(&path).unwrap_or(SystemTime::UNIX_EPOCH), 0, path)),
                Some(own::UNFINISHED)
                    if used(&path)
                        .is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > ABANDONED)) =>
                {
                    let _ = fs::remove_file(path);
                }
                _ => {}
            }
        }
        for path in longest_unused(codes) {
            let _ = fs::remove_file(path.with_extension(SEAL));
            let _ = fs::remove_file(path);
        }
        for path in longest_unused(seen) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Those beyond what may be kept, by when they were used and how large they are.
fn longest_unused(mut files: Vec<(SystemTime, u64, PathBuf)>) -> impl Iterator<Item = PathBuf> {
    files.sort_by(|one, other| other.cmp(one));
    let mut bytes = 0;
    let beyond = move |(at, (_, size, path)): (usize, (_, u64, _))| {
        bytes += size;
        (at >= MOST_FILES || bytes > MOST_BYTES).then_some(path)
    };
    files.into_iter().enumerate().filter_map(beyond)
}

/// An open file's name, whatever lies under its own by now.
fn by_number(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Its time of change is that of its last use.
fn touch(file: &File) {
    let _ = file.set_modified(SystemTime::now());
}

fn read(file: &mut File, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > most {
        return Err(format!("it has more than {most} bytes"));
    }
    Ok(bytes)
}

/// What was written by [`write_json`]: its digest, and on the next line the value.
fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<(T, File)>, String> {
    let Some((mut file, _)) = own::open(path)? else {
        return Ok(None);
    };
    let bytes = read(&mut file, MOST_BYTES_BESIDE)?;
    let (digest, json) = bytes
        .split_at_checked(65)
        .ok_or("what is said of it is too short")?;
    if digest != digest_line(json).as_bytes() {
        return Err("what is said of it is damaged".into());
    }
    let value = serde_json::from_slice(json).map_err(|error| format!("what is said of it: {error}"))?;
    Ok(Some((value, file)))
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(value)?;
    let whole = [digest_line(&json).as_bytes(), &json].concat();
    own::write(path, &whole).map(drop)
}

fn digest_line(bytes: &[u8]) -> String {
    digest(bytes) + "\n"
}
