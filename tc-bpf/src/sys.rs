//! The bpf system call, for what the loader library lacks: batches, tables of tables, maps by pin.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use crate::layout::Plain;

mod objects;

pub use objects::{MapInfo, detach_link, map_by_id, map_info, open, open_program, pinned_link, program};

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_DELETE_ELEM: libc::c_long = 3;
const MAP_GET_NEXT_KEY: libc::c_long = 4;
const PROG_TEST_RUN: libc::c_long = 10;
const MAP_LOOKUP_BATCH: libc::c_long = 24;
const MAP_UPDATE_BATCH: libc::c_long = 26;
const MAP_DELETE_BATCH: libc::c_long = 27;

/// The kernel's own, include/linux/errno.h.
const ENOTSUPP: i32 = 524;

const MAP_TYPE_ARRAY: u32 = 2;
const F_INNER_MAP: u32 = 1 << 12;

// SAFETY: integers.
unsafe impl Plain for u32 {}
// SAFETY: integers.
unsafe impl Plain for u64 {}

/// The head of `union bpf_attr` for commands on an element.
#[repr(C)]
#[derive(Default)]
struct Element {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The head of `union bpf_attr` for commands on many elements.
#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

fn bpf<A>(command: libc::c_long, attribute: &mut A) -> io::Result<libc::c_long> {
    // SAFETY: `attribute` is valid for its size; the pointers in it are made by the functions below from slices and
    // references that outlive the call, of the sizes that the map has (checked when it was opened).
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size_of::<A>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn address<T: ?Sized>(of: &T) -> u64 {
    std::ptr::from_ref(of).cast::<u8>() as u64
}

fn descriptor(raw: libc::c_long) -> OwnedFd {
    // SAFETY: the kernel has just made it for us; nobody else has it. Descriptors fit 31 bits.
    unsafe { OwnedFd::from_raw_fd(raw as i32) }
}

/// A map whose keys are `K` and values `V`.
#[derive(Debug)]
pub struct Map<K, V> {
    fd: OwnedFd,
    /// How many elements it may have.
    pub max_entries: u32,
    types: std::marker::PhantomData<(K, V)>,
}

impl<K: Plain, V: Plain> Map<K, V> {
    /// Opens a pinned map. `InvalidData` where keys or values have other sizes.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (fd, info) = open(path)?;
        Self::of(fd, &info)
    }

    /// A map that is open. `InvalidData` likewise.
    pub fn of(fd: OwnedFd, info: &MapInfo) -> io::Result<Self> {
        let per_cpu = matches!(info.kind, 5 | 6 | 10);
        let value_size = info.value_size as usize;
        if info.key_size as usize != size_of::<K>() || value_size != size_of::<V>() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "keys and values of {} and {value_size} bytes, expected {} and {}",
                    info.key_size,
                    size_of::<K>(),
                    size_of::<V>()
                ),
            ));
        }
        debug_assert!(!per_cpu || size_of::<V>().is_multiple_of(8));
        Ok(Self {
            fd,
            max_entries: info.max_entries,
            types: std::marker::PhantomData,
        })
    }

    fn element(&self, key: &K) -> Element {
        Element {
            map: self.fd.as_raw_fd() as u32,
            key: address(key),
            ..Element::default()
        }
    }

    /// An element's value. Not for maps per CPU.
    pub fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = V::default();
        let mut element = self.element(key);
        element.value = std::ptr::from_mut(&mut value) as u64;
        found(bpf(MAP_LOOKUP_ELEM, &mut element)).map(|found| found.then_some(value))
    }

    /// An element's values, of each possible CPU.
    pub fn get_per_cpu(&self, key: &K) -> io::Result<Vec<V>> {
        let cpus = possible_cpus()?;
        let mut values = vec![V::default(); cpus];
        let mut element = self.element(key);
        element.value = values.as_mut_ptr() as u64;
        bpf(MAP_LOOKUP_ELEM, &mut element)?;
        Ok(values)
    }

    /// Sets the same value on each CPU.
    pub fn set_per_cpu(&self, key: &K, value: &V) -> io::Result<()> {
        let values = vec![*value; possible_cpus()?];
        let mut element = self.element(key);
        element.value = values.as_ptr() as u64;
        bpf(MAP_UPDATE_ELEM, &mut element).map(drop)
    }

    /// Sets an element.
    pub fn set(&self, key: &K, value: &V) -> io::Result<()> {
        let mut element = self.element(key);
        element.value = address(value);
        bpf(MAP_UPDATE_ELEM, &mut element).map(drop)
    }

    /// Sets many elements, one after the other, in one call where the kernel can do that with such a map.
    pub fn set_all(&self, keys: &[K], values: &[V]) -> io::Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut batch = Batch {
            keys: address(keys),
            values: address(values),
            count: keys.len().min(values.len()) as u32,
            map: self.fd.as_raw_fd() as u32,
            ..Batch::default()
        };
        match bpf(MAP_UPDATE_BATCH, &mut batch) {
            Err(error) if error.raw_os_error() == Some(ENOTSUPP) => keys
                .iter()
                .zip(values)
                .try_for_each(|(key, value)| self.set(key, value)),
            outcome => outcome.map(drop),
        }
    }

    /// Deletes an element; says whether there was one.
    pub fn delete(&self, key: &K) -> io::Result<bool> {
        found(bpf(MAP_DELETE_ELEM, &mut self.element(key)))
    }

    /// Deletes many elements, in one call where none of them has gone meanwhile.
    pub fn delete_all(&self, keys: &[K]) -> io::Result<usize> {
        let mut deleted = 0;
        let mut rest = keys;
        while !rest.is_empty() {
            let mut batch = Batch {
                keys: address(rest),
                count: rest.len() as u32,
                map: self.fd.as_raw_fd() as u32,
                ..Batch::default()
            };
            match bpf(MAP_DELETE_BATCH, &mut batch) {
                Ok(_) => return Ok(deleted + rest.len()),
                // The kernel stops at a key that has gone, and says how many it had done.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    let done = batch.count as usize;
                    deleted += done;
                    rest = &rest[(done + 1).min(rest.len())..];
                }
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    /// All keys. Only for maps that nobody else changes: it begins again where a key has gone.
    pub fn keys(&self) -> io::Result<Vec<K>> {
        let mut keys: Vec<K> = Vec::new();
        loop {
            let mut next = K::default();
            let mut element = Element {
                map: self.fd.as_raw_fd() as u32,
                key: keys.last().map_or(0, address),
                value: std::ptr::from_mut(&mut next) as u64,
                ..Element::default()
            };
            if !found(bpf(MAP_GET_NEXT_KEY, &mut element))? || keys.len() > self.max_entries as usize {
                return Ok(keys);
            }
            keys.push(next);
        }
    }

    /// Walks a hash map by batches, and gives each to `see`.
    ///
    /// A batch may be short without being the last: only ENOENT is the end. ENOSPC means that a bucket has more
    /// elements than there was room for. The walk sees an element that moves or comes meanwhile at most twice.
    pub fn walk(&self, mut see: impl FnMut(&[K], &[V])) -> io::Result<()> {
        let mut room = 4096.min(self.max_entries as usize).max(64);
        let mut token = [0_u64; 8];
        let mut begun = false;
        loop {
            let mut keys = vec![K::default(); room];
            let mut values = vec![V::default(); room];
            loop {
                let mut next = [0_u64; 8];
                let mut batch = Batch {
                    in_batch: if begun { address(&token) } else { 0 },
                    out_batch: next.as_mut_ptr() as u64,
                    keys: keys.as_mut_ptr() as u64,
                    values: values.as_mut_ptr() as u64,
                    count: room as u32,
                    map: self.fd.as_raw_fd() as u32,
                    ..Batch::default()
                };
                let outcome = bpf(MAP_LOOKUP_BATCH, &mut batch);
                let count = (batch.count as usize).min(room);
                match outcome {
                    Ok(_) => see(&keys[..count], &values[..count]),
                    Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                        see(&keys[..count], &values[..count]);
                        return Ok(());
                    }
                    Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                        room *= 2;
                        break;
                    }
                    Err(error) => return Err(error),
                }
                token = next;
                begun = true;
            }
        }
    }
}

fn found(outcome: io::Result<libc::c_long>) -> io::Result<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes an array to be put in an array of maps (Linux 5.10: of any size), and fills it.
pub fn array(values: &[u32]) -> io::Result<OwnedFd> {
    #[repr(C)]
    #[derive(Default)]
    struct Create {
        kind: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
    }
    let mut create = Create {
        kind: MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: values.len() as u32,
        flags: F_INNER_MAP,
    };
    let fd = descriptor(bpf(MAP_CREATE, &mut create)?);
    let keys: Vec<u32> = (0..values.len() as u32).collect();
    let mut batch = Batch {
        keys: address(keys.as_slice()),
        values: address(values),
        count: values.len() as u32,
        map: fd.as_raw_fd() as u32,
        ..Batch::default()
    };
    bpf(MAP_UPDATE_BATCH, &mut batch)?;
    Ok(fd)
}

/// Runs a program on a packet of nothing, and says what it returned.
pub fn run_program(program: &OwnedFd) -> io::Result<u32> {
    run_on(program, &[0; 64], 0, &[])
}

/// Runs a program on a packet with this mark and these words of `cb`, and says what it returned. Linux 5.2.
pub fn run_on(program: &OwnedFd, packet: &[u8], mark: u32, cb: &[u32]) -> io::Result<u32> {
    #[repr(C)]
    #[derive(Default)]
    struct TestRun {
        program: u32,
        returned: u32,
        size_in: u32,
        size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        context_size_in: u32,
        context_size_out: u32,
        context_in: u64,
        context_out: u64,
    }
    // The words of `struct __sk_buff` up to the end of `cb`.
    let mut context = [0_u32; 17];
    context[2] = mark;
    for (to, from) in context[12..].iter_mut().zip(cb) {
        *to = *from;
    }
    let mut run = TestRun {
        program: program.as_raw_fd() as u32,
        size_in: packet.len() as u32,
        data_in: address(packet),
        context_size_in: size_of_val(&context) as u32,
        context_in: address(&context),
        ..TestRun::default()
    };
    bpf(PROG_TEST_RUN, &mut run)?;
    Ok(run.returned)
}

/// How many CPUs the kernel keeps values for: those that may ever come, as /sys/devices/system/cpu/possible has them.
fn possible_cpus() -> io::Result<usize> {
    aya::util::nr_cpus().map_err(|(path, error)| io::Error::new(error.kind(), format!("{path}: {error}")))
}
