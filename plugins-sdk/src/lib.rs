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
//! [`look_ahead`]; [`Ramps`] ease backends in that have come.
//!
//! A scheduler that looks at the load also implements [`CountingScheduler`] and is exported by
//! `export!(Name, load)`; one whose tables change with time [`TimedScheduler`], by `export!(Name, timer)`; one
//! that looks at how fast backends answer [`LatencyScheduler`], by `export!(Name, latency)`. One that has to decide for each connection is a [`FlowScheduler`], exported by
//! `export!(Name, flows)`; [`Destinations`] remember what was chosen before. Build it for `wasm32-unknown-unknown`; the module is the plugin.
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
mod destinations;
mod flow;
#[doc(hidden)]
pub mod glue;
mod hash;
pub mod host;
mod interleave;
mod lookahead;
mod params;
mod ramps;
mod servers;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use bindings::{Address, Backend, BackendState, Dispatch, Flow, HashKey};
pub use destinations::Destinations;
pub use hash::{FALLBACK, by_identity, fill_by_hash, mix, rendezvous, stand_in};
pub use interleave::{apportion, greatest_common_divisor, interleave, scale};
pub use lookahead::{ACTIVE, Cost, Counted, Counts, look_ahead};
pub use params::{About, Param, ParamKind, Params};
pub use ramps::Ramps;
pub use servers::{Server, Servers};

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

/// A policy that decides for each new connection, for what a table cannot say. A connection waits for each answer.
///
/// ```
/// use wvs_plugin::{About, Backend, Flow, FlowScheduler, Params};
///
/// /// Sends whatever is marked to the last backend, and all else to the first.
/// struct Marked(Vec<u32>);
///
/// impl FlowScheduler for Marked {
///     const ABOUT: About = About {
///         name: "marked",
///         version: env!("CARGO_PKG_VERSION"),
///         summary: "marked connections go to the last usable backend, others to the first",
///         params: &[],
///     };
///
///     fn configure(_: &Params) -> Result<Self, String> {
///         Ok(Marked(Vec::new()))
///     }
///
///     fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
///         self.0 = backends.iter().filter(|b| b.usable()).map(|b| b.id).collect();
///         Ok(())
///     }
///
///     fn pick(&mut self, flow: &Flow) -> Option<u32> {
///         if flow.mark != 0 { self.0.last() } else { self.0.first() }.copied()
///     }
/// }
///
/// wvs_plugin::export!(Marked, flows);
/// ```
pub trait FlowScheduler: Sized + 'static {
    /// What `describe` answers.
    const ABOUT: About;

    /// Makes the scheduler from its parameters.
    ///
    /// # Errors
    /// A sentence for the operator: which parameter is wrong, and what would be right.
    fn configure(params: &Params) -> Result<Self, String>;

    /// Takes the full set of backends, whenever membership, weight or state changes.
    ///
    /// # Errors
    /// A sentence for the operator. The director's round robin chooses until there is another update.
    fn update(&mut self, backends: &[Backend]) -> Result<(), String>;

    /// The id of the [usable](Backend::usable) backend that gets this connection; `None` refuses it.
    fn pick(&mut self, flow: &Flow) -> Option<u32>;
}

/// A [`Scheduler`] or [`FlowScheduler`] that also looks at the load of the backends.
pub trait CountingScheduler {
    /// Takes the connections of each backend, in the order of the last update.
    ///
    /// Active ones are established or on the way there; inactive ones are all others.
    fn observe(&mut self, active: &[u32], inactive: &[u32]);
}

/// A [`Scheduler`] whose tables change with time alone.
pub trait TimedScheduler {
    /// After a fill: in how many milliseconds another one is wanted, if nothing happens before; 0 if none is.
    fn due(&self) -> u32;
}

/// Among latencies: not known.
pub const UNKNOWN_LATENCY: u32 = 0xffff_ffff;

/// A [`Scheduler`] or [`FlowScheduler`] that also looks at how fast the backends answer.
pub trait LatencyScheduler {
    /// How often they are to be measured, in milliseconds; 100 at least. Asked once.
    fn interval(&self) -> u32;

    /// Takes what was measured of each backend just now, in the order of the last update: the microseconds until it took
    /// a connection or refused it, at most a second; or [`UNKNOWN_LATENCY`].
    fn observe_latency(&mut self, micros: &[u32]);
}

/// Exports a scheduler from this crate's WebAssembly module: a [`Scheduler`] by `export!(Name)`, a [`FlowScheduler`]
/// by `export!(Name, flows)`. Further words say what else it is: `load` a [`CountingScheduler`], `timer` a
/// [`TimedScheduler`], `latency` a [`LatencyScheduler`].
#[macro_export]
macro_rules! export {
    ($scheduler:ty, flows $(, $more:ident)*) => {
        $crate::__slot!($scheduler, FlowScheduler, $crate::glue::per_flow::<$scheduler>);
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::flows::export_flows!(__WvsPlugin with_types_in $crate::bindings::flows);
        $($crate::__also!($more);)*
    };
    ($scheduler:ty $(, $more:ident)*) => {
        $crate::__slot!($scheduler, Scheduler, <$scheduler as $crate::Scheduler>::configure);
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::table::export_table!(__WvsPlugin with_types_in $crate::bindings::table);
        $($crate::__also!($more);)*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __also {
    (load) => {
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::load::export_load!(__WvsPlugin with_types_in $crate::bindings::load);
    };
    (latency) => {
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::latency::export_latency!(__WvsPlugin with_types_in $crate::bindings::latency);
    };
    (timer) => {
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::timer::export_timer!(__WvsPlugin with_types_in $crate::bindings::timer);
    };
}
