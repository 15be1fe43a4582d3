//! A connection that opens, as a scheduler sees it that is asked for each.

use std::net::{IpAddr, SocketAddr};

use crate::jhash::jhash;
use crate::ruleset::build::HASH_SEED;

/// A connection that opens (`flow` in the contract).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NewFlow {
    /// Who asks.
    pub source: IpAddr,
    /// The address that is asked for.
    pub destination: IpAddr,
    /// The client's port; 0 where the protocol has none.
    pub source_port: u16,
    /// The port that is asked for.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Firewall mark of the packet, 0 if none.
    pub mark: u32,
    /// The same on every director.
    pub hash: u32,
}

impl NewFlow {
    /// A connection with its hash, which is the data path's of both addresses and ports.
    #[must_use]
    pub fn new(source: SocketAddr, destination: SocketAddr, protocol: u8, mark: u32) -> Self {
        let mut key = [0; 40];
        let mut length = 0;
        let mut append = |bytes: &[u8]| {
            key[length..length + bytes.len()].copy_from_slice(bytes);
            // Registers of nft have four bytes.
            length += bytes.len().next_multiple_of(4);
        };
        for end in [source, destination] {
            match end.ip() {
                IpAddr::V4(address) => append(&address.octets()),
                IpAddr::V6(address) => append(&address.octets()),
            }
            append(&end.port().to_be_bytes());
        }
        Self {
            source: source.ip(),
            destination: destination.ip(),
            source_port: source.port(),
            destination_port: destination.port(),
            protocol,
            mark,
            hash: jhash(&key[..length], HASH_SEED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_registers_in_the_data_path() {
        let flow = NewFlow::new(([10, 1, 2, 3], 0x1234).into(), ([10, 0, 0, 100], 80).into(), 6, 0);
        let key = [10, 1, 2, 3, 0x12, 0x34, 0, 0, 10, 0, 0, 100, 0, 80, 0, 0];
        assert_eq!(flow.hash, jhash(&key, HASH_SEED));
        let (client, service) = ("[2001:db8::7]:9", "[2001:db8::100]:443");
        let six = NewFlow::new(client.parse().unwrap(), service.parse().unwrap(), 17, 5);
        let other = NewFlow::new(service.parse().unwrap(), client.parse().unwrap(), 17, 5);
        assert_ne!(six.hash, other.hash);
        assert_eq!((six.source, six.destination_port, six.mark), (other.destination, 443, 5));
    }
}
