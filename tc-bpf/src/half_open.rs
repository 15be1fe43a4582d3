//! The half-open connections: arrays that the program fills by a hash of its own (`half_open.h`), read and changed in
//! the program's memory. System calls could only write whole sets, and so undo what the program writes meanwhile.

use std::collections::HashSet;
use std::io;
use std::marker::PhantomData;
use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::layout::{Flow, FlowKey, FlowKey4, HALF_OPEN_WAYS, Plain};

/// Words of what is known of a connection; its name follows.
const FLOW: usize = size_of::<Flow>() / 8;

/// The name of a connection, as it stands in an entry.
pub trait Name: Plain + Eq + std::hash::Hash {
    /// Whether it names anything, and without the stamp that lies in its padding.
    fn plain(self) -> Option<Self>;
}

macro_rules! name {
    ($($type:ty),*) => {$(
        impl Name for $type {
            fn plain(mut self) -> Option<Self> {
                self.pad = [0; 2];
                (self.proto != 0).then_some(self)
            }
        }
    )*};
}
name!(FlowKey4, FlowKey);

/// The entries of one family.
#[derive(Debug)]
pub struct HalfOpen<K> {
    words: NonNull<AtomicU64>,
    length: usize,
    /// How many sets there are.
    pub sets: u32,
    names: PhantomData<K>,
}

// SAFETY: it owns a mapping of memory that is only read and written by atomic instructions.
unsafe impl<K> Send for HalfOpen<K> {}
// SAFETY: as above.
unsafe impl<K> Sync for HalfOpen<K> {}

impl<K: Name> HalfOpen<K> {
    /// Words of an entry: of what is known, and of the name.
    const ENTRY: usize = FLOW + size_of::<K>() / 8;

    /// Opens a pinned map. `InvalidData` where its elements have another size.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (map, info) = crate::sys::open(path)?;
        let set = HALF_OPEN_WAYS * Self::ENTRY * 8;
        if info.value_size as usize != set {
            let found = format!("values of {} bytes, expected {set}", info.value_size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, found));
        }
        let length = set * info.max_entries as usize;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        let words = NonNull::new(memory.cast()).filter(|_| memory != libc::MAP_FAILED);
        Ok(Self {
            words: words.ok_or_else(io::Error::last_os_error)?,
            length,
            sets: info.max_entries,
            names: PhantomData,
        })
    }

    /// Those that name a connection.
    fn entries(&self) -> impl Iterator<Item = &[AtomicU64]> {
        // SAFETY: the mapping is `length` bytes long, aligned to a page, and lives as long as `self`; whoever else
        // has it, in the kernel or not, changes aligned words of it, each at once.
        let words = unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.length / 8) };
        let entries = words.chunks_exact(Self::ENTRY);
        entries.filter(|entry| entry[FLOW].load(Ordering::Relaxed) != 0)
    }

    /// Gives all entries to `see`. One that changes meanwhile may be seen with parts of both.
    pub fn walk(&self, mut see: impl FnMut(&[K], &[Flow])) -> io::Result<()> {
        let (mut names, mut flows) = (Vec::new(), Vec::new());
        for entry in self.entries() {
            let (flow, name) = entry.split_at(FLOW);
            if let Some(name) = read::<K>(name).plain() {
                names.push(name);
                flows.push(read(flow));
            }
        }
        see(&names, &flows);
        Ok(())
    }

    /// Takes out the entries of these names; says how many there were.
    pub fn delete_all(&self, names: &[K]) -> io::Result<usize> {
        if names.is_empty() {
            return Ok(0);
        }
        let names: HashSet<&K> = names.iter().collect();
        let taken = self.entries().filter(|entry| {
            let name = read::<K>(&entry[FLOW..]);
            let first = read_word(&name);
            name.plain().is_some_and(|name| names.contains(&name))
                && entry[FLOW]
                    .compare_exchange(first, 0, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
        });
        Ok(taken.count())
    }
}

/// What lies in some words.
fn read<T: Plain>(words: &[AtomicU64]) -> T {
    let mut value = T::default();
    debug_assert_eq!(size_of::<T>(), words.len() * 8);
    // SAFETY: `Plain` types may be written as bytes, and are a multiple of 8 bytes long here.
    let bytes = unsafe { std::slice::from_raw_parts_mut((&raw mut value).cast::<u8>(), size_of::<T>()) };
    for (eight, word) in bytes.chunks_exact_mut(8).zip(words) {
        eight.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
    value
}

/// The first word of something.
fn read_word<T: Plain>(value: &T) -> u64 {
    const { assert!(size_of::<T>() >= 8) };
    // SAFETY: it is at least a word long, and `Plain` types may be read as bytes.
    unsafe { std::ptr::from_ref(value).cast::<u64>().read_unaligned() }
}

impl<K> Drop for HalfOpen<K> {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and references to it end with `self`.
        unsafe { libc::munmap(self.words.as_ptr().cast(), self.length) };
    }
}
