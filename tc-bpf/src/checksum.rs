//! Transport checksums that a device was to complete.

use crate::layout::FlowKey;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The one's complement sum (RFC 1071) of 16-bit words.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        let (pairs, rest) = part.as_chunks::<2>();
        sum += pairs
            .iter()
            .map(|pair| u64::from(u16::from_be_bytes(*pair)))
            .sum::<u64>();
        sum += rest.first().map_or(0, |byte| u64::from(*byte) << 8);
    }
    while sum >> 16 > 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Completes the checksum of a TCP segment or UDP datagram, if it has only the pseudo header's sum, as the kernel leaves
/// it for devices. Any other value stays: it is right, or the receiver must see that it is not.
pub fn complete(frame: &mut [u8], proto: u8, l4: usize, end: usize, key: &FlowKey) {
    let at = match proto {
        TCP => 16,
        UDP => 6,
        _ => return,
    };
    let length = if key.family == 4 { 8 } else { 32 };
    let Some(segment) = frame.get_mut(l4..end) else {
        return;
    };
    let pseudo = [&(segment.len() as u32).to_be_bytes()[..], &[0, 0, 0, proto]].concat();
    let partial = sum(&[&key.addresses[..length], &pseudo]);
    match segment.get(at..at + 2) {
        Some(stored) if *stored == partial.to_be_bytes() => {}
        _ => return,
    }
    // The pseudo header's sum is in its place already.
    let whole = match !sum(&[segment]) {
        0 => 0xffff,
        whole => whole,
    };
    segment[at..at + 2].copy_from_slice(&whole.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(family: u8) -> FlowKey {
        let mut key = FlowKey {
            family,
            ..FlowKey::default()
        };
        let length = if family == 4 { 8 } else { 32 };
        for (byte, value) in key.addresses[..length].iter_mut().zip(1..) {
            *byte = value;
        }
        key
    }

    /// What a receiver makes of it: 0xffff is right.
    fn received(segment: &[u8], proto: u8, key: &FlowKey) -> u16 {
        let length = if key.family == 4 { 8 } else { 32 };
        let pseudo = [&(segment.len() as u32).to_be_bytes()[..], &[0, 0, 0, proto]].concat();
        sum(&[&key.addresses[..length], &pseudo, segment])
    }

    #[test]
    fn what_is_half_done_is_completed() {
        for family in [4, 6] {
            for (proto, at, length) in [(TCP, 16, 20), (TCP, 16, 61), (UDP, 6, 8), (UDP, 6, 1_001)] {
                let key = key(family);
                let mut frame: Vec<u8> = (0..14 + length).map(|byte| byte as u8).collect();
                let pseudo = [&(length as u32).to_be_bytes()[..], &[0, 0, 0, proto]].concat();
                let addresses = if family == 4 { 8 } else { 32 };
                let partial = sum(&[&key.addresses[..addresses], &pseudo]);
                frame[14 + at..16 + at].copy_from_slice(&partial.to_be_bytes());
                frame.extend([9; 5]);
                complete(&mut frame, proto, 14, 14 + length, &key);
                assert_eq!(received(&frame[14..14 + length], proto, &key), 0xffff);
                // Done once, it stays; and so does one that is wrong.
                let done = frame.clone();
                complete(&mut frame, proto, 14, 14 + length, &key);
                assert_eq!(frame, done);
                frame[14 + at] ^= 1;
                let wrong = frame.clone();
                complete(&mut frame, proto, 14, 14 + length, &key);
                assert_eq!(frame, wrong);
                assert_eq!(frame[14 + length..], [9; 5]);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_left_alone() {
        let mut frame = vec![0; 30];
        for (proto, l4, end) in [(TCP, 14, 40), (TCP, 20, 10), (UDP, 28, 30), (132, 14, 30)] {
            complete(&mut frame, proto, l4, end, &key(4));
        }
        assert_eq!(frame, vec![0; 30]);
    }
}
