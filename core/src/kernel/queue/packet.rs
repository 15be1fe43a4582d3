//! The beginning of an IP packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::ruleset::Protocol;
use crate::scheduler::NewFlow;

// IPv6 extensions that stand before the transport header (RFC 8200, RFC 4302).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// The connection that a packet opens, if it is of a transport protocol of ours and so much of it is there. It is no
/// fragment: the kernel has put those together.
pub fn flow(packet: &[u8], mark: u32) -> Option<NewFlow> {
    let (source, destination, protocol, transport) = match packet.first()? >> 4 {
        4 => version_4(packet)?,
        6 => version_6(packet)?,
        _ => return None,
    };
    Protocol::from_number(protocol)?;
    let port = |at: usize| -> Option<u16> {
        transport
            .get(at..)?
            .first_chunk()
            .map(|it| u16::from_be_bytes(*it))
    };
    let ends = (SocketAddr::new(source, port(0)?), SocketAddr::new(destination, port(2)?));
    Some(NewFlow::new(ends.0, ends.1, protocol, mark))
}

type Parts<'a> = (IpAddr, IpAddr, u8, &'a [u8]);

fn version_4(packet: &[u8]) -> Option<Parts<'_>> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let length = usize::from(header[0] & 0xf) * 4;
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: &[u8; 4] = header.get(at..)?.first_chunk()?;
        Some(Ipv4Addr::from(*bytes).into())
    };
    let transport = packet.get(length.max(header.len())..)?;
    Some((address(12)?, address(16)?, header[9], transport))
}

fn version_6(packet: &[u8]) -> Option<Parts<'_>> {
    let header: &[u8; 40] = packet.first_chunk()?;
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: &[u8; 16] = header.get(at..)?.first_chunk()?;
        Some(Ipv6Addr::from(*bytes).into())
    };
    let (mut protocol, mut rest) = (header[6], &packet[header.len()..]);
    loop {
        let units = |rest: &[u8]| rest.get(1).map(|it| usize::from(*it));
        let length = match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (units(rest)? + 1) * 8,
            AUTHENTICATION => (units(rest)? + 2) * 4,
            FRAGMENT => 8,
            _ => return Some((address(8)?, address(24)?, protocol, rest)),
        };
        protocol = *rest.first()?;
        rest = rest.get(length..)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
        let ends = ["2001:db8::7", "2001:db8::100"].map(|it| it.parse::<Ipv6Addr>().unwrap().octets());
        [&[0x60, 0, 0, 0, 0, 0, next, 64][..], &ends[0], &ends[1], rest].concat()
    }

    #[test]
    fn options_and_extensions_are_passed_over() {
        let mut v4 = vec![
            0x46, 0, 0, 44, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 2, 3, 10, 0, 0, 100,
        ];
        v4.extend([148, 4, 0, 0, 0, 9, 0, 53]);
        let expected = NewFlow::new(([10, 1, 2, 3], 9).into(), ([10, 0, 0, 100], 53).into(), 17, 5);
        assert_eq!(flow(&v4, 5), Some(expected));

        let ports = [0, 9, 0, 53];
        let options = [&[AUTHENTICATION, 1][..], &[0; 14]].concat();
        let authentication = [&[6, 1][..], &[0; 10]].concat();
        let extended = v6(HOP_BY_HOP, &[&options[..], &authentication, &ports].concat());
        let (client, service) = ("[2001:db8::7]:9", "[2001:db8::100]:53");
        let expected = NewFlow::new(client.parse().unwrap(), service.parse().unwrap(), 6, 0);
        assert_eq!(flow(&extended, 0), Some(expected));
        assert_eq!(flow(&v6(6, &ports), 0), Some(expected));
        for length in 0..extended.len() {
            assert_eq!(flow(&extended[..length], 0), None, "at {length}");
        }
        // Not ours: ICMPv6.
        assert_eq!(flow(&v6(58, &ports), 0), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, version in prop::sample::select(vec![0x45, 0x4f, 0x60])) {
            let _ = flow(&bytes, 0);
            let _ = flow(&[&[version][..], &bytes].concat(), 0);
        }
    }
}
