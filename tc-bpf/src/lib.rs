//! Direct routing and tunnelling by a tc-BPF program: the program (`src/bpf/`), the layout of its maps, its loader.
//!
//! [`Forwarder`] loads the program, pins it and its maps, and attaches it; [`Maps`] fills the maps and reads them,
//! with or without a loader. What goes to which backend is decided elsewhere: here is no policy.
//!
//! The kernel state is complete by itself: maps and attachments are pinned, and go on without anybody.

mod attach;
mod attachments;
mod checksum;
mod clsact;
mod decap;
pub mod filter;
mod flows;
mod half_open;
mod installed;
mod inventory;
mod jhash;
pub mod layout;
mod loader;
mod lock;
mod maps;
pub mod model;
mod persist;
pub mod pin;
mod questions;
mod reports;
mod restore;
mod ring;
mod service;
mod sweep;
mod sys;
mod target;

pub use aya::programs::ProgramError;

pub use attach::{AttachError, Attached, Hook};
pub use attachments::{AtIngress, Attachment};
pub use decap::{DecapError, Decapsulator};
pub use flows::{Flows, tick};
pub use installed::Table;
pub use inventory::{MapFacts, ProgramFacts};
pub use loader::{Forwarder, LoadError, Meta, RunError, RunOutcome, Sizes};
pub use lock::{LockError, PinLock};
pub use maps::{MapError, Maps, NewTable, OpenError};
pub use persist::PersistentEntry;
pub use questions::{Question, Questions};
pub use reports::{Report, Reports, What};
pub use service::{Kin, Persistence, Pin, ServiceSettings, WhenQuiesced};
pub use sweep::{Counts, Sweep, Timeouts};
pub use target::{Encapsulation, Family, Kind, Listen, Method, Target, Way};

/// The forwarding program.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/wvs.bpf.o"));
/// The decapsulator of real servers.
pub static DECAP_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/decap.bpf.o"));
