//! The director of wvs.

pub mod config;
pub mod kernel;
pub mod plan;
pub mod ruleset;
pub mod scheduler;
