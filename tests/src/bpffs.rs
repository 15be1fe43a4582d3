//! A BPF file system for the pins of one lab's director.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Where all of them are mounted.
const ROOT: &str = "/run/wvs-lab-bpf";

/// A BPF file system, gone with all that is pinned in it when this is dropped.
#[derive(Debug)]
pub(crate) struct BpfFs {
    path: PathBuf,
}

impl BpfFs {
    /// Mounts one under a name that no other lab has.
    pub(crate) fn mount(name: &str) -> Result<Self> {
        let path = Path::new(ROOT).join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let made = mount(Some("bpf"), &path, Some("bpf"), MsFlags::empty(), None::<&str>);
        made.with_context(|| format!("cannot mount a BPF file system at {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all that are mounted.
    pub(crate) fn names() -> Vec<String> {
        let Ok(entries) = fs::read_dir(ROOT) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name().into_string());
        names.filter_map(Result::ok).collect()
    }

    /// Takes one off, whoever made it.
    pub(crate) fn remove(name: &str) {
        let path = Path::new(ROOT).join(name);
        let _ = umount2(&path, MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&path);
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        if let Some(name) = self.path.file_name().and_then(|it| it.to_str()) {
            Self::remove(name);
        }
    }
}
