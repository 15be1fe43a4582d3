//! Compiled plugins on disk, so that a director that starts compiles nothing.
//!
//! What lies here runs with the director's rights. The directory belongs to its user alone, and a file is used only if
//! it does, too, and is whole: made from that plugin, by an engine like this one, with the digest that it says. Any
//! other file is left out and replaced.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::scheduler::CONTRACT;

/// The first bytes of each file, with a number that changes with the layout.
const MAGIC: &[u8; 16] = b"wvs-plugin-code1";
/// Magic, plugin, engine, digest of the code.
const HEADER: usize = 16 + 3 * 32;
const EXTENSION: &str = "code";
/// No more files than this, and no more bytes, the longest unused go first.
const MOST_FILES: usize = 64;
const MOST_BYTES: u64 = 256 << 20;
/// What a director that died while it wrote has left.
const ABANDONED: Duration = Duration::from_secs(3600);

/// How many files this process has written.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

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

/// What a file was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    plugin: [u8; 32],
    engine: [u8; 32],
}

impl CodeStore {
    /// Opens the directory, and makes it where it is missing.
    ///
    /// # Errors
    /// If it cannot be made, or belongs to somebody else.
    pub fn open(dir: &Path) -> Result<Self, CodeStoreError> {
        let fail = |action| {
            move |source| CodeStoreError {
                action,
                path: dir.to_owned(),
                source,
            }
        };
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent).map_err(fail("create the directory above"))?;
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(fail("create the directory")(error));
            }
            _ => {}
        }
        let found = fs::symlink_metadata(dir).map_err(fail("look at"))?;
        if !found.is_dir() || found.uid() != own_user() {
            let problem = "it must be a directory of the user that the director runs as; remove it";
            return Err(fail("use")(io::Error::other(problem)));
        }
        if found.mode() & 0o077 != 0 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(fail("close to others"))?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// The compiled form of a plugin, by the SHA-256 of its file, if it is kept for an engine like this one. A file
    /// that cannot be used is removed, and that is said.
    #[must_use]
    pub fn load(&self, engine: &Engine, plugin: [u8; 32]) -> Option<Component> {
        let key = Key::new(engine, plugin);
        let path = self.path(&key);
        let loaded = read(&path, &key).and_then(|code| {
            let Some(code) = code else { return Ok(None) };
            // SAFETY: `read` has found the file to be ours, writable by nobody else, and whole by its digest, and its
            // header to name this plugin and an engine whose compatibility hash is this one's. So it is what `keep`
            // has written, which is what `serialize` gave there.
            let component = unsafe { Component::deserialize(engine, code) };
            component.map(Some).map_err(|error| format!("{error:#}"))
        });
        match loaded {
            Ok(component) => component,
            Err(problem) => {
                let path = path.display();
                tracing::warn!(%path, "a compiled plugin cannot be used and is made anew: {problem}");
                let _ = fs::remove_file(self.path(&key));
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
    ) -> Result<(), CodeStoreError> {
        let key = Key::new(engine, plugin);
        let path = self.path(&key);
        let fail = |source| CodeStoreError {
            action: "write",
            path: path.clone(),
            source,
        };
        let code = component
            .serialize()
            .map_err(|error| fail(io::Error::other(format!("{error:#}"))))?;
        // Two threads may have compiled the same plugin.
        let turn = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let aside = path.with_extension(format!("{}-{turn}.new", std::process::id()));
        // Left over from a process of the same number.
        let _ = fs::remove_file(&aside);
        let written = write(&aside, &key, &code).and_then(|()| fs::rename(&aside, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&aside);
            return Err(fail(error));
        }
        self.prune();
        Ok(())
    }

    fn path(&self, key: &Key) -> PathBuf {
        let engine = &hex(&key.engine)[..16];
        self.dir
            .join(format!("{}-{engine}.{EXTENSION}", hex(&key.plugin)))
    }

    /// Removes what there is too much of. What cannot be removed now is tried again next time.
    fn prune(&self) {
        let now = SystemTime::now();
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(found) = entry.metadata() else { continue };
            let used = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(EXTENSION) => kept.push((used, found.len(), path)),
                Some("new") if now.duration_since(used).is_ok_and(|age| age > ABANDONED) => {
                    let _ = fs::remove_file(path);
                }
                _ => {}
            }
        }
        kept.sort_by(|one, other| other.cmp(one));
        let mut bytes = 0;
        for (at, (_, size, path)) in kept.into_iter().enumerate() {
            bytes += size;
            if at >= MOST_FILES || bytes > MOST_BYTES {
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Key {
    fn new(engine: &Engine, plugin: [u8; 32]) -> Self {
        let mut digest = Digest(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut digest);
        // A plugin is compiled after it has been vetted, so what is kept depends on the rules, too.
        digest.write(env!("CARGO_PKG_VERSION").as_bytes());
        digest.write(CONTRACT.as_bytes());
        Self {
            plugin,
            engine: digest.0.finalize().into(),
        }
    }
}

/// All of a hash, not 64 bits of it.
struct Digest(Sha256);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// The code in a file, if there is one; or why it cannot be trusted.
fn read(path: &Path, key: &Key) -> Result<Option<Vec<u8>>, String> {
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
    if found.len() > MOST_BYTES {
        return Err(format!("it has {} bytes", found.len()));
    }
    let mut bytes = Vec::with_capacity(found.len() as usize);
    (&file)
        .take(MOST_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    let code = check(&bytes, key)?.len();
    // The next to go are those that were not used for longest.
    let _ = file.set_modified(SystemTime::now());
    bytes.drain(..bytes.len() - code);
    Ok(Some(bytes))
}

fn check<'a>(bytes: &'a [u8], key: &Key) -> Result<&'a [u8], String> {
    let (header, code) = bytes.split_at_checked(HEADER).ok_or("it is too short")?;
    let (magic, digests) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("it does not begin as it should".into());
    }
    let (plugin, rest) = digests.split_at(32);
    let (engine, digest) = rest.split_at(32);
    if plugin != key.plugin || engine != key.engine {
        return Err("it was made from another plugin, or for another engine".into());
    }
    if Sha256::digest(code).as_slice() != digest {
        return Err("it is damaged".into());
    }
    Ok(code)
}

fn write(path: &Path, key: &Key, code: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&key.plugin)?;
    file.write_all(&key.engine)?;
    file.write_all(&Sha256::digest(code))?;
    file.write_all(code)?;
    file.sync_data()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}
