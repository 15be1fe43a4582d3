//! The director of wvs.

pub mod api;
pub mod config;
pub mod dispatch;
pub mod ids;
pub mod kernel;
pub mod plan;
pub mod pool;
pub mod ruleset;
pub mod scheduler;
