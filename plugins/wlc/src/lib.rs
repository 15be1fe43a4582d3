//! A scheduler.
