//! Where things are pinned, and how names are written there.

use std::io;
use std::path::{Path, PathBuf};

use crate::layout::SCHEMA;

/// include/uapi/linux/magic.h.
const BPF_FS_MAGIC: u32 = 0xcafe_4a11;

/// The folder of this schema below the root that the operator chose.
#[must_use]
pub fn folder(root: &Path) -> PathBuf {
    root.join(format!("v{SCHEMA}"))
}

/// Folders of other schemas below the root.
pub fn other_schemas(root: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let ours = folder(root);
    let mut others = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let is_schema = name
            .strip_prefix('v')
            .is_some_and(|number| number.parse::<u32>().is_ok());
        if is_schema && path != ours {
            others.push(path);
        }
    }
    Ok(others)
}

/// Whether a path lies on a BPF file system.
pub fn is_bpffs(path: &Path) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: zeros are a valid statfs.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call, and the name ends in NUL.
    if unsafe { libc::statfs(name.as_ptr(), &raw mut stat) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(stat.f_type as u32 == BPF_FS_MAGIC)
}

/// An interface's name as the BPF file system takes it: dots are reserved there (kernel/bpf/inode.c).
#[must_use]
pub fn encode(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2e")
}

/// The name again.
#[must_use]
pub fn decode(name: &str) -> String {
    name.replace("%2e", ".").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive() {
        for name in ["eth0", "eth0.100", "a%2eb", "%.%"] {
            assert!(!encode(name).contains('.'));
            assert_eq!(decode(&encode(name)), name);
        }
    }
}
