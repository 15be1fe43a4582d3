//! A packet that the program can be asked about.

use std::net::IpAddr;

use crate::api::Explain;
use crate::ruleset::Protocol;

/// EtherTypes.
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// TCP's flag of a packet that opens a connection, and its header's length in words of four bytes.
const SYN: [u8; 2] = [5 << 4, 0x02];
/// SCTP's chunk that opens an association.
const INIT: u8 = 1;
const HOP_LIMIT: u8 = 64;

/// An Ethernet frame that would begin a connection. Its checksums are 0: the program does not look at them.
pub fn frame(packet: &Explain) -> Vec<u8> {
    let payload = transport(packet);
    let length = payload.len() as u16;
    let protocol = packet.protocol.number();
    let mut frame = vec![0; 12];
    match (packet.from.ip(), packet.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend(IPV4);
            frame.extend([0x45, 0]);
            frame.extend((20 + length).to_be_bytes());
            frame.extend([0, 0, 0x40, 0, HOP_LIMIT, protocol, 0, 0]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        (from, to) => {
            frame.extend(IPV6);
            frame.extend([0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([protocol, HOP_LIMIT]);
            for address in [from, to] {
                frame.extend(match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                    IpAddr::V6(address) => address.octets(),
                });
            }
        }
    }
    frame.extend(payload);
    frame
}

fn transport(packet: &Explain) -> Vec<u8> {
    let ports = [packet.from.port().to_be_bytes(), packet.to.port().to_be_bytes()].concat();
    let rest = match packet.protocol {
        Protocol::Tcp => [&[0; 8][..], &SYN, &[0xff, 0xff, 0, 0, 0, 0]].concat(),
        Protocol::Udp => vec![0, 8, 0, 0],
        Protocol::Sctp => [&[0; 8][..], &[INIT, 0, 0, 20], &[0; 16]].concat(),
    };
    [ports, rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(protocol: Protocol, from: &str, to: &str) -> Vec<u8> {
        frame(&Explain {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            protocol,
            mark: 0,
        })
    }

    #[test]
    fn lengths_add_up_and_everything_is_where_it_is_looked_for() {
        for (protocol, length) in [(Protocol::Tcp, 20), (Protocol::Udp, 8), (Protocol::Sctp, 32)] {
            let v4 = of(protocol, "192.0.2.7:4001", "10.0.0.100:80");
            assert_eq!(v4.len(), 34 + length);
            assert_eq!(
                (usize::from(u16::from_be_bytes([v4[16], v4[17]])), v4[23]),
                (20 + length, protocol.number())
            );
            assert_eq!(v4[26..38], [192, 0, 2, 7, 10, 0, 0, 100, 0x0f, 0xa1, 0, 80]);
            let v6 = of(protocol, "[2001:db8::7]:4001", "[2001:db8::64]:80");
            assert_eq!(v6.len(), 54 + length);
            assert_eq!(
                (usize::from(u16::from_be_bytes([v6[18], v6[19]])), v6[20]),
                (length, protocol.number())
            );
            assert_eq!(v6[54..58], [0x0f, 0xa1, 0, 80]);
        }
        assert_eq!(of(Protocol::Tcp, "192.0.2.7:4001", "10.0.0.100:80")[34 + 12..][..2], SYN);
    }
}
