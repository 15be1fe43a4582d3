//! The hash of the data path, bit for bit: the kernel's jhash, and how it becomes a slot.
//!
//! nftables' `jhash KEY mod N seed S` and the BPF program compute this in the kernel; here it
//! tells an operator where a client goes. The hash is lookup3 by Bob Jenkins (public domain), as
//! the kernel has it in include/linux/jhash.h.

/// The kernel's `jhash(key, length, initval)`.
#[must_use]
pub fn jhash(key: &[u8], initval: u32) -> u32 {
    let start = 0xdead_beef_u32
        .wrapping_add(key.len() as u32)
        .wrapping_add(initval);
    let mut state = [start; 3];
    let mut rest = key;
    // Even a full last block is a tail, so that every key but the empty one ends in `finish`.
    while let Some((block, more)) = rest.split_first_chunk::<12>()
        && !more.is_empty()
    {
        // The kernel reads whole blocks in the machine's byte order, and tails always little-endian.
        add(&mut state, block, u32::from_ne_bytes);
        mix(&mut state);
        rest = more;
    }
    if !rest.is_empty() {
        let mut tail = [0; 12];
        tail[..rest.len()].copy_from_slice(rest);
        add(&mut state, &tail, u32::from_le_bytes);
        finish(&mut state);
    }
    state[2]
}

/// The kernel's `reciprocal_scale`: a hash to a number below `below`.
#[must_use]
pub fn reciprocal_scale(hash: u32, below: u32) -> u32 {
    ((u64::from(hash) * u64::from(below)) >> 32) as u32
}

/// The slot that `jhash KEY mod SLOTS seed SEED` chooses. `key` is the registers as they are
/// loaded: network byte order, each field of a concatenation padded with zeros to four bytes.
///
/// The kernel refuses fewer than 2 slots (nft_hash.c), and keys beyond 255 bytes.
#[must_use]
pub fn nft_slot(key: &[u8], seed: u32, slots: u32) -> u32 {
    reciprocal_scale(jhash(key, seed), slots)
}

fn add(state: &mut [u32; 3], block: &[u8; 12], word: impl Fn([u8; 4]) -> u32) {
    let (words, _) = block.as_chunks::<4>();
    for (part, bytes) in state.iter_mut().zip(words) {
        *part = part.wrapping_add(word(*bytes));
    }
}

fn mix([a, b, c]: &mut [u32; 3]) {
    let step = |x: &mut u32, y: &mut u32, z: &mut u32, bits| {
        *x = x.wrapping_sub(*z) ^ z.rotate_left(bits);
        *z = z.wrapping_add(*y);
    };
    step(a, b, c, 4);
    step(b, c, a, 6);
    step(c, a, b, 8);
    step(a, b, c, 16);
    step(b, c, a, 19);
    step(c, a, b, 4);
}

fn finish([a, b, c]: &mut [u32; 3]) {
    let step = |x: &mut u32, y: u32, bits| *x = (*x ^ y).wrapping_sub(y.rotate_left(bits));
    step(c, *b, 14);
    step(a, *c, 11);
    step(b, *a, 25);
    step(c, *b, 16);
    step(a, *c, 4);
    step(b, *a, 14);
    step(c, *b, 24);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// These stand in the comments of lookup3.c itself.
    #[test]
    fn the_published_values() {
        let text = b"Four score and seven years ago";
        assert_eq!(jhash(text, 0), 0x1777_0551);
        assert_eq!(jhash(text, 1), 0xcd62_8161);
        assert_eq!(jhash(b"", 0), 0xdead_beef);
        assert_eq!(jhash(b"", 0xdead_beef), 0xbd5b_7dde);
    }

    /// The kernel's C, compiled by gcc on x86-64: the bytes 1, 2, 3, ... of every length.
    #[test]
    #[cfg(target_endian = "little")]
    fn every_length_of_tail() {
        #[rustfmt::skip]
        let expected = [
            0xf0e21567, 0x40158784, 0xf8b83509, 0x98e55cf2, 0xf3944818, 0xcff0e755,
            0x4cdc73e3, 0x147389e7, 0x6aa2e68f, 0x0ce585cb, 0xc54c7ef8, 0x32ab23b0,
            0x0e8414e1, 0xb65df2b9, 0xaacb2cf8, 0x2ff37a42, 0xcf72d925, 0xf552f6b6,
            0x2483698a, 0x54f533fe, 0x82d42cc5, 0xafda07a5, 0x1433719e, 0x5ae413a2,
            0x3d46d979, 0x02ffff34, 0x9aeb7165, 0x856b2545, 0xf85b9060, 0x5ed40c4a,
            0x5df11058, 0xf55c32eb, 0x0a52a5b8, 0x952d5b42, 0x605b651c, 0xcfe1c014,
            0x4f224012_u32,
        ];
        let key: Vec<u8> = (1..=36).collect();
        for (length, expected) in expected.into_iter().enumerate() {
            assert_eq!(jhash(&key[..length], 0x1234_5678), expected, "length {length}");
        }
    }

    #[test]
    fn a_hash_becomes_a_slot() {
        assert_eq!(nft_slot(&[10, 1, 2, 3], 0xcafe, 256), 181);
        assert_eq!(nft_slot(&[10, 1, 2, 3], 0xcafe, 4096), 2899);
        assert_eq!(reciprocal_scale(u32::MAX, 7), 6);
        assert_eq!(reciprocal_scale(0, 7), 0);
    }

    proptest! {
        #[test]
        fn slots_are_in_range(key in prop::collection::vec(any::<u8>(), 0..64), seed: u32, slots in 1_u32..) {
            prop_assert!(nft_slot(&key, seed, slots) < slots);
        }
    }
}
