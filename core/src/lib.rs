//! The director of wvs.

pub mod scheduler;
