//! As much of SCTP (RFC 9260) as opening an association takes: INIT and INIT ACK.

/// The IP protocol number.
pub(crate) const PROTOCOL: i32 = 132;

const HEADER: usize = 12;
const CHUNK_HEADER: usize = 4;
/// Initiate tag, window, streams out and in, first TSN (RFC 9260 §3.3.2).
const INIT_BODY: usize = 16;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
/// The only parameter an INIT ACK must have; its content is the server's own affair.
const STATE_COOKIE: u16 = 7;

/// A packet with one INIT or INIT ACK chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source_port: u16,
    pub(crate) target_port: u16,
    /// 0 in an INIT; in an INIT ACK the tag of the INIT (RFC 9260 §8.5.1).
    pub(crate) verification_tag: u32,
    pub(crate) initiate_tag: u32,
    /// The state cookie of an INIT ACK; none makes it an INIT.
    pub(crate) cookie: Option<Vec<u8>>,
}

impl Packet {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let cookie = self.cookie.as_deref().map(parameter).unwrap_or_default();
        let kind = if self.cookie.is_some() { INIT_ACK } else { INIT };
        let length = CHUNK_HEADER + INIT_BODY + cookie.len();
        let length = u16::try_from(length).expect("cookies of this lab are short");
        let mut bytes = Vec::new();
        bytes.extend(self.source_port.to_be_bytes());
        bytes.extend(self.target_port.to_be_bytes());
        bytes.extend(self.verification_tag.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([kind, 0]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(self.initiate_tag.to_be_bytes());
        bytes.extend(65_536_u32.to_be_bytes());
        bytes.extend(1_u16.to_be_bytes());
        bytes.extend(1_u16.to_be_bytes());
        bytes.extend(1_u32.to_be_bytes());
        bytes.extend(cookie);
        let sum = crc32c(&bytes);
        bytes[8..HEADER].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a packet; nothing for one with a wrong checksum or anything else in it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, chunk) = bytes.split_at_checked(HEADER)?;
        let mut unsummed = bytes.to_vec();
        unsummed[8..HEADER].fill(0);
        if header[8..] != crc32c(&unsummed).to_le_bytes() {
            return None;
        }
        let (body, parameters) = chunk.split_at_checked(CHUNK_HEADER + INIT_BODY)?;
        let cookie = match body[0] {
            INIT => None,
            INIT_ACK => Some(state_cookie(parameters)?),
            _ => return None,
        };
        Some(Self {
            source_port: u16_at(header, 0)?,
            target_port: u16_at(header, 2)?,
            verification_tag: u32_at(header, 4)?,
            initiate_tag: u32_at(body, CHUNK_HEADER)?,
            cookie,
        })
    }
}

fn parameter(cookie: &[u8]) -> Vec<u8> {
    let length = u16::try_from(CHUNK_HEADER + cookie.len()).expect("cookies of this lab are short");
    let mut bytes = Vec::new();
    bytes.extend(STATE_COOKIE.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(cookie);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn state_cookie(parameters: &[u8]) -> Option<Vec<u8>> {
    if u16_at(parameters, 0)? != STATE_COOKIE {
        return None;
    }
    let length = usize::from(u16_at(parameters, 2)?);
    Some(parameters.get(CHUNK_HEADER..length)?.to_vec())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The checksum of RFC 9260 appendix A, bit by bit: packets here are few and small.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32c() {
        // The check value of the CRC catalogue, and a vector of RFC 3720 B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn packets_survive_and_damage_shows() {
        let init = Packet {
            source_port: 4000,
            target_port: 38412,
            verification_tag: 0,
            initiate_tag: 7,
            cookie: None,
        };
        let ack = Packet {
            verification_tag: 7,
            cookie: Some(b"rs1 x".to_vec()),
            ..init.clone()
        };
        for packet in [init, ack] {
            let mut bytes = packet.encode();
            assert_eq!(Packet::decode(&bytes), Some(packet));
            bytes[0] ^= 1;
            assert_eq!(Packet::decode(&bytes), None);
            assert_eq!(Packet::decode(&bytes[..11]), None);
        }
    }
}
