//! Reading a frame.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Connection;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;
const SCTP: u8 = 132;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    FirstFragment,
    LaterFragment,
}

#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Where the IP header begins, and where what follows it and its extensions.
    pub l3: usize,
    pub l4: usize,
    /// Of the IP packet.
    pub length: usize,
    pub connection: Connection,
    pub proto: u8,
    pub flags: u8,
    pub hops: u8,
    pub tos: u8,
    pub df: bool,
    pub extent: Extent,
    /// The datagram's identification, as the bytes are in memory.
    pub fragment: u32,
}

pub enum Parsed {
    NotOurs,
    Malformed,
    Icmp(Packet),
    Ready(Packet),
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn v4(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 4] = *bytes.get(at..)?.first_chunk()?;
    Some(Ipv4Addr::from(octets).into())
}

fn v6(bytes: &[u8], at: usize) -> Option<IpAddr> {
    let octets: [u8; 16] = *bytes.get(at..)?.first_chunk()?;
    Some(Ipv6Addr::from(octets).into())
}

pub fn parse(frame: &[u8], passes: impl Fn(IpAddr) -> bool) -> Parsed {
    parse_frame(frame, passes).unwrap_or(Parsed::NotOurs)
}

fn parse_frame(frame: &[u8], passes: impl Fn(IpAddr) -> bool) -> Option<Parsed> {
    let mut l3 = 14;
    let mut proto = be16(frame, 12)?;
    while matches!(proto, 0x8100 | 0x88a8) && l3 < 22 {
        proto = be16(frame, l3 + 2)?;
        l3 += 4;
    }
    match proto {
        0x0800 => parse4(frame, l3, passes),
        0x86dd => parse6(frame, l3, passes),
        _ => None,
    }
}

fn parse4(frame: &[u8], l3: usize, passes: impl Fn(IpAddr) -> bool) -> Option<Parsed> {
    let ip = frame.get(l3..).filter(|ip| ip.len() >= 20)?;
    let (from, to) = (v4(ip, 12)?, v4(ip, 16)?);
    if !passes(to) {
        return None;
    }
    let header = usize::from(ip[0] & 15) * 4;
    let length = usize::from(be16(ip, 2)?);
    if ip[0] >> 4 != 4 || header < 20 || length < header || length > ip.len() {
        return Some(Parsed::Malformed);
    }
    let fragment = be16(ip, 6)?;
    let extent = match (fragment & 0x2000 != 0, fragment & 0x1fff) {
        (false, 0) => Extent::Whole,
        (true, 0) => Extent::FirstFragment,
        _ => Extent::LaterFragment,
    };
    let mut packet = Packet {
        l3,
        l4: l3 + header,
        length,
        connection: Connection {
            from,
            to,
            sport: 0,
            dport: 0,
            proto: ip[9],
        },
        proto: ip[9],
        flags: 0,
        hops: ip[8],
        tos: ip[1],
        df: fragment & 0x4000 != 0,
        extent,
        fragment: u32::from(u16::from_ne_bytes([ip[4], ip[5]])),
    };
    match packet.proto {
        _ if extent == Extent::LaterFragment => Some(Parsed::Ready(packet)),
        ICMP => Some(Parsed::Icmp(packet)),
        _ => {
            transport(frame, &mut packet, length - header)?;
            Some(Parsed::Ready(packet))
        }
    }
}

fn parse6(frame: &[u8], l3: usize, passes: impl Fn(IpAddr) -> bool) -> Option<Parsed> {
    let ip = frame.get(l3..).filter(|ip| ip.len() >= 40)?;
    let (from, to) = (v6(ip, 8)?, v6(ip, 24)?);
    if !passes(to) {
        return None;
    }
    let length = usize::from(be16(ip, 4)?) + 40;
    if ip[0] >> 4 != 6 || length > ip.len() {
        return Some(Parsed::Malformed);
    }
    let mut packet = Packet {
        l3,
        l4: l3 + 40,
        length,
        connection: Connection {
            from,
            to,
            sport: 0,
            dport: 0,
            proto: ip[6],
        },
        proto: ip[6],
        flags: 0,
        hops: ip[7],
        tos: ip[0] << 4 | ip[1] >> 4,
        df: true,
        extent: Extent::Whole,
        fragment: 0,
    };
    let end = l3 + length;
    for _ in 0..6 {
        let at = packet.l4;
        packet.connection.proto = packet.proto;
        if packet.proto == ICMPV6 {
            return Some(Parsed::Icmp(packet));
        }
        if !matches!(packet.proto, 0 | 43 | 44 | 51 | 60) {
            transport(frame, &mut packet, end - at)?;
            return Some(Parsed::Ready(packet));
        }
        let head = frame.get(at..end)?.first_chunk::<8>()?;
        let size = match packet.proto {
            44 => {
                let offset = u16::from_be_bytes([head[2], head[3]]);
                packet.fragment = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
                if offset & 0xfff8 != 0 {
                    packet.extent = Extent::LaterFragment;
                } else if offset & 1 != 0 {
                    packet.extent = Extent::FirstFragment;
                }
                8
            }
            51 => (usize::from(head[1]) + 2) * 4,
            43 if head[3] != 0 => return None,
            _ => (usize::from(head[1]) + 1) * 8,
        };
        packet.l4 += size;
        packet.proto = head[0];
        if packet.extent == Extent::LaterFragment {
            packet.connection.proto = packet.proto;
            return Some(Parsed::Ready(packet));
        }
        if packet.l4 > end {
            return None;
        }
    }
    None
}

fn transport(frame: &[u8], packet: &mut Packet, length: usize) -> Option<()> {
    let least = match packet.proto {
        TCP => 20,
        UDP | SCTP => 8,
        _ => return None,
    };
    if length < least {
        return None;
    }
    packet.connection.sport = be16(frame, packet.l4)?;
    packet.connection.dport = be16(frame, packet.l4 + 2)?;
    if packet.proto == TCP {
        packet.flags = *frame.get(packet.l4 + 13)?;
    }
    Some(())
}

/// The connection whose packet an ICMP error quotes, as the client's packets name it.
pub fn quoted(frame: &[u8], packet: &Packet) -> Option<Connection> {
    let kind = *frame.get(packet.l4)?;
    let at = packet.l4 + 8;
    let ip = frame.get(at..)?;
    let (from, to, proto, header) = match packet.connection.to {
        IpAddr::V4(_) if matches!(kind, 3 | 11 | 12) => {
            (v4(ip, 16)?, v4(ip, 12)?, *ip.get(9)?, usize::from(ip.first()? & 15) * 4)
        }
        IpAddr::V6(_) if matches!(kind, 1..=4) => (v6(ip, 24)?, v6(ip, 8)?, *ip.get(6)?, 40),
        _ => return None,
    };
    if !matches!(proto, TCP | UDP | SCTP) {
        return None;
    }
    Some(Connection {
        from,
        to,
        sport: be16(ip, header + 2)?,
        dport: be16(ip, header)?,
        proto,
    })
}
