//! Objects that live in the kernel: opening them, and what the kernel says of them.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{bpf, descriptor};

const OBJ_GET: libc::c_long = 7;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const MAP_GET_FD_BY_ID: libc::c_long = 14;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const LINK_DETACH: libc::c_long = 34;

/// What the kernel says of a map (`struct bpf_map_info`, its head).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct MapInfo {
    /// BPF_MAP_TYPE_*.
    pub kind: u32,
    /// The kernel's number.
    pub id: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Elements it may have.
    pub max_entries: u32,
    /// How it was made.
    pub flags: u32,
}

/// What the kernel says of a link (`struct bpf_link_info`, its head).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkInfo {
    /// BPF_LINK_TYPE_*.
    pub kind: u32,
    /// The kernel's number.
    pub id: u32,
    /// The program's number.
    pub program: u32,
    pad: u32,
    /// Of TCX: the interface; 0 once it is gone or the link is detached.
    pub ifindex: u32,
    /// BPF_TCX_*.
    pub attached: u32,
}

/// Opens what is pinned at a path, if it is a map.
pub fn open(path: &Path) -> io::Result<(OwnedFd, MapInfo)> {
    let fd = pinned(path)?;
    let info = info(fd.as_fd())?;
    Ok((fd, info))
}

fn pinned(path: &Path) -> io::Result<OwnedFd> {
    #[repr(C)]
    #[derive(Default)]
    struct Pin {
        path: u64,
        fd: u32,
        flags: u32,
    }
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut pin = Pin {
        path: name.as_ptr() as u64,
        ..Pin::default()
    };
    Ok(descriptor(bpf(OBJ_GET, &mut pin)?))
}

/// What the kernel says of an object. `T` is the head of its `struct bpf_*_info`: integers only.
fn info<T: Default>(fd: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::default();
    fill(fd, &mut info)?;
    Ok(info)
}

fn fill<T>(fd: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    #[repr(C)]
    struct Info {
        fd: u32,
        len: u32,
        info: u64,
    }
    let mut attribute = Info {
        fd: fd.as_raw_fd() as u32,
        len: size_of::<T>() as u32,
        info: std::ptr::from_mut(info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attribute).map(drop)
}

/// What the kernel says of a map.
pub fn map_info(fd: BorrowedFd<'_>) -> io::Result<MapInfo> {
    info(fd)
}

/// Opens a map by the kernel's number. Needs CAP_SYS_ADMIN.
pub fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    by_id(MAP_GET_FD_BY_ID, id)
}

fn by_id(command: libc::c_long, id: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Id {
        id: u32,
        next: u32,
        flags: u32,
    }
    let mut attribute = Id {
        id,
        next: 0,
        flags: 0,
    };
    Ok(descriptor(bpf(command, &mut attribute)?))
}

/// What the kernel says of the pinned link of a program to an interface (`struct bpf_link_info`, its head).
pub fn pinned_link(path: &Path) -> io::Result<LinkInfo> {
    info(pinned(path)?.as_fd())
}

/// Opens a pinned program.
pub fn open_program(path: &Path) -> io::Result<OwnedFd> {
    pinned(path)
}

/// What the kernel says of a program (`struct bpf_prog_info`, its head).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    code_lengths: [u32; 2],
    code: [u64; 2],
    load_time: u64,
    created_by: u32,
    map_count: u32,
    maps: u64,
    name: [u8; 16],
}

/// A program's name, and the numbers of the maps it uses.
pub fn program(id: u32) -> io::Result<(String, Vec<u32>)> {
    let program = by_id(PROG_GET_FD_BY_ID, id)?;
    let mut maps = vec![0_u32; 64];
    let mut known = ProgramInfo {
        map_count: maps.len() as u32,
        maps: maps.as_mut_ptr() as u64,
        ..ProgramInfo::default()
    };
    fill(program.as_fd(), &mut known)?;
    maps.truncate(known.map_count as usize);
    let name = known.name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok((String::from_utf8_lossy(name).into(), maps))
}

/// Detaches a pinned link at once: without a pin and descriptors it would be detached by and by.
pub fn detach_link(path: &Path) -> io::Result<()> {
    let link = pinned(path)?;
    let mut attribute = link.as_raw_fd() as u32;
    bpf(LINK_DETACH, &mut attribute).map(drop)
}
