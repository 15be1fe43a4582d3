//! What tunnels put between the outer IP header and the packet, and how flows are told apart.

use std::net::IpAddr;

use super::Connection;
use super::output::{octets, sum};
use super::parse::{Extent, ICMP, ICMPV6, Packet, TCP, UDP};
use crate::target::{Encapsulation, Way};

/// The flow as a number: that of its name's words as they are in memory, one after the other.
fn entropy(packet: &Packet) -> u32 {
    let Connection {
        from,
        to,
        sport,
        dport,
        proto,
    } = packet.connection;
    let whole = packet.extent == Extent::Whole;
    let ports = |port: u16| if whole { port.to_be_bytes() } else { [0; 2] };
    let family = if from.is_ipv4() { 4 } else { 6 };
    let name = [
        &ports(sport)[..],
        &ports(dport),
        &[proto, family, 0, 0],
        &octets(from),
        &octets(to),
    ]
    .concat();
    let hash = name.chunks_exact(8).fold(0_u64, |hash, word| {
        let word = word
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        let hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ hash >> 32
    });
    (hash >> 32) as u32
}

/// The outer source: its last bits are the flow's.
pub fn source(packet: &Packet, way: &Way) -> Option<IpAddr> {
    let hash = entropy(packet);
    let (source, width) = match way.source? {
        IpAddr::V4(source) => (u128::from(source.to_bits()), 32),
        IpAddr::V6(source) => (source.to_bits(), 128),
    };
    let bits = (width - i32::from(way.source_prefix.unwrap_or(width as u8))).max(0);
    let host = u128::from(hash) >> (32 - bits.min(32));
    let network = if bits < 128 { source >> bits << bits } else { 0 };
    let source = network | host;
    Some(if width == 32 {
        IpAddr::V4((source as u32).into())
    } else {
        IpAddr::V6(source.into())
    })
}

/// The packet as it would be if its own checksums held; a fragment, and what has no checksum that covers it, as it is.
fn righted(packet: &Packet, inner: &[u8]) -> Vec<u8> {
    let header = packet.l4 - packet.l3;
    let mut inner = inner.to_vec();
    let v6 = packet.connection.to.is_ipv6();
    let at = match packet.proto {
        TCP => 16,
        UDP => 6,
        ICMP | ICMPV6 => 2,
        _ => return inner,
    };
    let extensions = v6 && header != 40;
    if packet.extent != Extent::Whole || extensions {
        return inner;
    }
    let without = packet.proto == UDP && inner[header + 6..header + 8] == [0, 0];
    if without {
        return inner;
    }
    let mut right = |at: usize, covered: &dyn Fn(&[u8]) -> Vec<u8>| {
        inner[at..at + 2].fill(0);
        let check = !sum(&[&covered(&inner)]);
        inner[at..at + 2].copy_from_slice(&check.to_be_bytes());
    };
    if !v6 {
        right(10, &|inner| inner[..header].to_vec());
    }
    right(header + at, &|inner| {
        let addresses = match packet.proto {
            ICMP => return inner[header..].to_vec(),
            _ if v6 => &inner[8..40],
            _ => &inner[12..20],
        };
        let length = ((inner.len() - header) as u16).to_be_bytes();
        [addresses, &[0, packet.proto], &length, &inner[header..]].concat()
    });
    inner
}

/// The header of GRE or GUE. `inner` is the packet and nothing else.
pub fn between(kind: Encapsulation, packet: &Packet, inner: &[u8], ends: (IpAddr, IpAddr)) -> Vec<u8> {
    let v6 = packet.connection.to.is_ipv6();
    match kind {
        Encapsulation::Ipip => Vec::new(),
        Encapsulation::Gre { checksum } => {
            let proto = if v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
            let mut header = vec![u8::from(checksum) << 7, 0, proto[0], proto[1]];
            if checksum {
                let check = !sum(&[&header, &righted(packet, inner)]);
                header.extend(check.to_be_bytes());
                header.extend([0, 0]);
            }
            header
        }
        Encapsulation::Gue { port, checksum } => {
            let length = 12 + inner.len() as u16;
            let from = 0xc000 | (entropy(packet) >> 18) as u16;
            let mut header = [from, port, length, 0].map(u16::to_be_bytes).concat();
            header.extend([0, if v6 { 41 } else { 4 }, 0, 0]);
            if checksum {
                let [high, low] = length.to_be_bytes();
                let pseudo = [octets(ends.0), octets(ends.1), vec![0, UDP, high, low]].concat();
                let check = match !sum(&[&pseudo, &header, &righted(packet, inner)]) {
                    0 => 0xffff,
                    check => check,
                };
                header[6..8].copy_from_slice(&check.to_be_bytes());
            }
            header
        }
    }
}
