//! Write schedulers for wvs in Rust.
//!
//! A scheduler is a type that implements [`Scheduler`], handed to [`export!`]:
//!
//! ```
//! use wvs_plugin::{About, Backend, Dispatch, NO_BACKEND, Params, Scheduler};
//!
//! /// Sends every connection to the first backend that takes any.
//! struct First(u32);
//!
//! impl Scheduler for First {
//!     const ABOUT: About = About {
//!         name: "first",
//!         version: env!("CARGO_PKG_VERSION"),
//!         summary: "the first usable backend gets everything",
//!         params: &[],
//!     };
//!
//!     fn configure(_: &Params) -> Result<(Self, Dispatch), String> {
//!         Ok((First(NO_BACKEND), Dispatch::Cycle))
//!     }
//!
//!     fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
//!         self.0 = backends.iter().find(|b| b.usable()).map_or(NO_BACKEND, |b| b.id);
//!         Ok(())
//!     }
//!
//!     fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
//!         Ok(vec![self.0; slots as usize])
//!     }
//! }
//!
//! wvs_plugin::export!(First);
//! ```
//!
//! What schedulers share is here: [`interleave`] and [`apportion`] for shares without bursts, [`fill_by_hash`] and
//! [`rendezvous`] for tables that are the same on every director, and for those that go by counts [`Counts`] and
//! [`look_ahead`].
//!
//! A scheduler that looks at the load also implements [`CountingScheduler`] and is exported by
//! `export!(Name, load)`. Build it for `wasm32-unknown-unknown`; the module is the plugin.
//! The same code compiles natively, where [`testing`] stands in for the director and [`testing::World`] lets things happen
//! to a service.
//!
//! `wvs plugin new --lang rust NAME` makes such a project with this SDK in it; `wvs plugin check FILE` makes the
//! situations in which schedulers fail and says what to do, and `wvs plugin bench FILE` what calls cost. In C there is
//! `wvs.h`, and WebAssembly's text form needs nothing at all: `--lang c` and `--lang wat`.
//!
//! What costs size in a module: `format!` and floating-point printing (10 KB), the sorts of the
//! standard library (5 KB). Products of 64-bit numbers that need 128 bits cost time: there is no
//! instruction for them.
#![forbid(unsafe_code)]

mod backend;
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod glue;
mod hash;
pub mod host;
mod interleave;
mod lookahead;
mod params;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use bindings::{Address, Backend, BackendState, Dispatch, HashKey};
pub use hash::{by_identity, fill_by_hash, mix, rendezvous};
pub use interleave::{apportion, greatest_common_divisor, interleave};
pub use lookahead::{ACTIVE, Cost, Counted, Counts, look_ahead};
pub use params::{About, Param, ParamKind, Params};

/// In a table: no backend takes this connection.
pub const NO_BACKEND: u32 = 0xffff_ffff;

/// A policy: sees backends, answers with a table of them.
pub trait Scheduler: Sized + 'static {
    /// What `describe` answers.
    const ABOUT: About;

    /// Makes the scheduler from its parameters, and says how its tables are used.
    ///
    /// # Errors
    /// A sentence for the operator: which parameter is wrong, and what would be right.
    fn configure(params: &Params) -> Result<(Self, Dispatch), String>;

    /// Takes the full set of backends, whenever membership, weight or state changes.
    ///
    /// # Errors
    /// A sentence for the operator. The director goes on with the last table.
    fn update(&mut self, backends: &[Backend]) -> Result<(), String>;

    /// Makes the table: exactly `slots` entries, each the id of a [usable](Backend::usable)
    /// backend of the last update, or [`NO_BACKEND`].
    ///
    /// # Errors
    /// A sentence for the operator. The director goes on with the last table.
    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String>;
}

/// A scheduler that also looks at the load of the backends.
pub trait CountingScheduler: Scheduler {
    /// Takes the connections of each backend, in the order of the last update.
    ///
    /// Active ones are established or on the way there; inactive ones are all others.
    fn observe(&mut self, active: &[u32], inactive: &[u32]);
}

/// Exports a [`Scheduler`] from this crate's WebAssembly module, `export!(Name)`;
/// or a [`CountingScheduler`], `export!(Name, load)`.
#[macro_export]
macro_rules! export {
    ($scheduler:ty) => {
        $crate::__slot!($scheduler);
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::table::export_table!(__WvsPlugin with_types_in $crate::bindings::table);
    };
    ($scheduler:ty, load) => {
        $crate::export!($scheduler);
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::load::export_load!(__WvsPlugin with_types_in $crate::bindings::load);
    };
}
