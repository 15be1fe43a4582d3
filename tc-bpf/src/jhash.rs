//! The hash that the program and nftables share.

#[path = "../../core/src/jhash.rs"]
mod shared;

pub use shared::nft_slot;
