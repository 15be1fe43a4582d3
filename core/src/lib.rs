//! The director of wvs, the WebAssembly virtual server.
//!
//! Decisions are pure and live in [`config`], [`ruleset`], [`tc`] and [`plan`]; [`kernel`] applies and observes;
//! [`scheduler`] runs plugins; [`director`] is the process that ties them together.

#![deny(unsafe_code)]

pub mod api;
pub mod config;
pub mod director;
pub mod dispatch;
pub mod edit;
mod file;
pub mod ids;
pub mod jhash;
#[allow(unsafe_code)]
pub mod kernel;
pub mod offline;
pub mod plan;
pub mod pool;
pub mod real_server;
pub mod ruleset;
pub mod scheduler;
pub mod tc;

/// An error and its causes on one line, for messages that are printed elsewhere.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
