//! The frames that leave.

use std::net::IpAddr;

use super::encap::{between, source};
use super::parse::{Extent, ICMP, Packet, TCP, UDP};
use crate::target::{Encapsulation, Method, Target, Way};

/// The one's complement sum (RFC 1071), before it is inverted.
pub fn sum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum >> 16 > 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

struct Header {
    from: IpAddr,
    to: IpAddr,
    tos: u8,
    df: bool,
    proto: u8,
    payload: usize,
}

/// A header of ours, of 64 hops.
fn header(h: &Header) -> Vec<u8> {
    let (from, to) = (octets(h.from), octets(h.to));
    if from.len() == 16 {
        let length = (h.payload as u16).to_be_bytes();
        let head = [
            0x60 | h.tos >> 4,
            h.tos << 4,
            0,
            0,
            length[0],
            length[1],
            h.proto,
            64,
        ];
        return [&head[..], &from, &to].concat();
    }
    let length = (h.payload as u16 + 20).to_be_bytes();
    let flags = u8::from(h.df) << 6;
    let head = [0x45, h.tos, length[0], length[1], 0, 0, flags, 0, 64, h.proto];
    let check = !sum(&[&head, &from, &to]);
    [&head[..], &check.to_be_bytes(), &from, &to].concat()
}

/// By direct routing or in a tunnel.
pub fn forwarded(frame: &[u8], packet: &Packet, target: &Target, way: &Way) -> Vec<u8> {
    let mut inner = frame[packet.l3..].to_vec();
    if packet.connection.to.is_ipv6() {
        inner[7] -= 1;
    } else {
        inner[8] -= 1;
        // RFC 1624, equation 3: HC' = ~(~HC + ~m + m').
        let old = u16::from_be_bytes([inner[8] + 1, inner[9]]);
        let new = u16::from_be_bytes([inner[8], inner[9]]);
        let check = u16::from_be_bytes([inner[10], inner[11]]);
        let check = !sum(&[&(!check).to_be_bytes(), &(!old).to_be_bytes(), &new.to_be_bytes()]);
        inner[10..12].copy_from_slice(&check.to_be_bytes());
    }
    addressed(frame, packet, &inner, target, way)
}

/// With all that is before a packet when it leaves.
fn addressed(frame: &[u8], packet: &Packet, inner: &[u8], target: &Target, way: &Way) -> Vec<u8> {
    let v6 = packet.connection.to.is_ipv6();
    let mut out = match way.macs {
        Some((to, from)) => [to, from].concat(),
        None => frame[..12].to_vec(),
    };
    let outer6 = if target.method == Method::Tunnel {
        target.address.is_ipv6()
    } else {
        v6
    };
    out.extend(if outer6 { [0x86, 0xdd] } else { [0x08, 0x00] });
    if let (Method::Tunnel, Some(from)) = (target.method, source(packet, way)) {
        let ends = (from, target.address);
        let between = between(target.encapsulation, packet, &inner[..packet.length], ends);
        out.extend(header(&Header {
            from,
            to: target.address,
            tos: packet.tos,
            df: packet.df,
            proto: match target.encapsulation {
                Encapsulation::Ipip if v6 => 41,
                Encapsulation::Ipip => 4,
                Encapsulation::Gre { .. } => 47,
                Encapsulation::Gue { .. } => UDP,
            },
            payload: between.len() + packet.length,
        }));
        out.extend(between);
    }
    out.extend(inner);
    out
}

/// The second of two fragments, where the packet may be sent so.
pub fn cut(frame: &[u8], packet: &Packet, target: &Target, way: &Way) -> Option<Vec<u8>> {
    let ip = &frame[packet.l3..packet.l3 + packet.length];
    let room = (usize::from(way.mtu) - usize::from(target.overhead())).checked_sub(20)? & !7;
    let rest = (packet.length - 20).checked_sub(room).filter(|rest| *rest > 0)?;
    let plain = packet.connection.to.is_ipv4() && packet.l3 == 14 && packet.l4 == 34;
    let possible = rest <= room && rest <= 1_024 && room <= 4_095;
    if !plain
        || !possible
        || packet.df
        || packet.proto == ICMP
        || way.macs.is_none()
        || !is_finished(packet, ip)
    {
        return None;
    }
    let mut part = [&ip[..20], &ip[20 + room..]].concat();
    let fragment = u16::from_be_bytes([ip[6], ip[7]]);
    let fragment = fragment & !0x1fff | (fragment + (room / 8) as u16) & 0x1fff;
    part[2..4].copy_from_slice(&(20 + rest as u16).to_be_bytes());
    part[6..8].copy_from_slice(&fragment.to_be_bytes());
    part[8] -= 1;
    part[10..12].fill(0);
    let check = !sum(&[&part[..20]]);
    part[10..12].copy_from_slice(&check.to_be_bytes());
    let extent = match packet.extent {
        Extent::Whole => Extent::FirstFragment,
        other => other,
    };
    let packet = Packet {
        length: part.len(),
        extent,
        ..*packet
    };
    Some(addressed(frame, &packet, &part, target, way))
}

/// Whether the checksums hold that can be looked at.
fn is_finished(packet: &Packet, ip: &[u8]) -> bool {
    if sum(&[&ip[..20]]) != 0xffff {
        return false;
    }
    let l4 = &ip[20..];
    if packet.extent != Extent::Whole || !matches!(packet.proto, TCP | UDP) {
        return true;
    }
    if packet.proto == UDP && l4[6..8] == [0, 0] {
        return true;
    }
    let length = (l4.len() as u16).to_be_bytes();
    sum(&[&ip[12..20], &[0, packet.proto], &length, l4]) == 0xffff
}

/// The message to the client, quoting the IP header and 20 bytes; none about what must not be answered.
pub fn too_big(frame: &[u8], packet: &Packet, mtu: u16) -> Option<Vec<u8>> {
    let v6 = packet.connection.to.is_ipv6();
    let header_length = packet.l4 - packet.l3;
    let error_about_error = matches!(packet.proto, 1 | 58);
    if error_about_error || packet.l3 != 14 || packet.extent == Extent::LaterFragment || header_length > 128 {
        return None;
    }
    let mut l4 = frame.get(packet.l4..packet.l4 + 20)?.to_vec();
    let at = match packet.proto {
        TCP => Some(16),
        UDP => Some(6),
        _ => None,
    };
    if let Some(at) = at {
        // The one value that completing the checksum gives back.
        l4[at..at + 2].fill(0);
        let others = sum(&[&l4]);
        let fixed = (1..=u16::MAX).find(|x| {
            let total = sum(&[&others.to_be_bytes(), &x.to_be_bytes()]);
            !total == *x || (!total == 0 && *x == u16::MAX)
        })?;
        l4[at..at + 2].copy_from_slice(&fixed.to_be_bytes());
    }
    let (kind, code, proto) = if v6 { (2, 0, 58) } else { (3, 4, 1) };
    let [high, low] = mtu.to_be_bytes();
    let head = [kind, code, 0, 0, 0, 0, high, low];
    let ip = &frame[packet.l3..packet.l4];
    let payload = 8 + header_length + 20;
    let (from, to) = (packet.connection.to, packet.connection.from);
    let pseudo = if v6 {
        [
            octets(from),
            octets(to),
            vec![0, 0],
            (payload as u16).to_be_bytes().to_vec(),
            vec![0, 0, 0, 58],
        ]
        .concat()
    } else {
        Vec::new()
    };
    let check = !sum(&[&pseudo, &head, ip, &l4]);
    let outer = header(&Header {
        from,
        to,
        tos: 0,
        df: true,
        proto,
        payload,
    });
    let mut out = [&frame[6..12], &frame[..6], &frame[12..14], &outer, &head, ip, &l4].concat();
    let at = 14 + outer.len() + 2;
    out[at..at + 2].copy_from_slice(&check.to_be_bytes());
    Some(out)
}
