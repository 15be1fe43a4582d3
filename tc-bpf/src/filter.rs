//! The filter that most foreign packets fail at: one bit for each virtual address (`passes_filter` in `parse.h`).

use std::net::IpAddr;

/// The bit of an address, of 8,192.
#[must_use]
pub fn bit(address: IpAddr) -> usize {
    let word = match address {
        IpAddr::V4(address) => u32::from_ne_bytes(address.octets()),
        IpAddr::V6(address) => {
            let octets = address.octets();
            let (words, _) = octets.as_chunks::<4>();
            words
                .iter()
                .zip([0, 7, 14, 21])
                .fold(0, |folded, (word, bits)| folded ^ u32::from_ne_bytes(*word).rotate_left(bits))
        }
    };
    (word.wrapping_mul(0x9e37_79b1) >> 19) as usize
}

/// Sets an address's bit.
pub fn insert(filter: &mut [u64; 128], address: IpAddr) {
    let bit = bit(address);
    filter[bit / 64] |= 1 << (bit % 64);
}

/// Whether an address may be a virtual one.
#[must_use]
pub fn passes(filter: &[u64; 128], address: IpAddr) -> bool {
    let bit = bit(address);
    filter[bit / 64] >> (bit % 64) & 1 == 1
}
