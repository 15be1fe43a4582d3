//! What wit-bindgen makes of `wit/scheduler.wit`: one module per world, sharing the types.
//!
//! The modules are made beforehand, because building the generator takes a hundred times as long as building all the rest.
#![allow(missing_docs, missing_debug_implementations, unsafe_code)]

pub use flows::exports::wvs::scheduler::flows::Flow;
pub use policy::exports::wvs::scheduler::policy::Description;
pub use policy::wvs::scheduler::types::{
    Address, Backend, BackendState, Dispatch, HashKey, Param, ParamKind, ParamSpec, Range,
};

pub mod flows;
pub mod latency;
pub mod load;
pub mod policy;
pub mod table;
pub mod timer;
