//! Deterministic subsets: of many backends each director takes some, and all backends are taken alike.

use wvs_plugin::{Backend, mix};

/// The `size` backends that a director takes of those that every director lists in the same order.
///
/// The directors go by rounds: the first few share out all backends among themselves, each time shuffled in another way
/// that all agree on; then the next few do. So no backend is taken by more than one director of a round.
pub fn subset(backends: &[Backend], size: u32, director: u32) -> Vec<Backend> {
    let count = backends.len() as u32;
    if count <= size {
        return backends.to_vec();
    }
    let (per_round, mut shuffled) = (count / size, backends.to_vec());
    let (round, part) = (director / per_round, director % per_round);
    for last in (1..count).rev() {
        let random = mix(mix(round.wrapping_add(0x9e37_79b9)) ^ last);
        let other = (u64::from(random) * u64::from(last + 1)) >> 32;
        shuffled.swap(last as usize, other as usize);
    }
    shuffled[(part * size) as usize..][..size as usize].to_vec()
}
