//! The director of wvs.

pub mod dispatch;
pub mod jhash;
pub mod scheduler;
