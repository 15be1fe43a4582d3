//! Random packets: whole ones, fragments, errors, and damaged ones.

use std::net::IpAddr;

use proptest::prelude::*;

use super::common::address;
use super::common::packet::{Ip, TCP, UDP, checked, framed, tcp, udp};

/// The last one is no service's.
pub const VIPS4: [&str; 3] = ["10.0.0.100", "10.0.0.101", "10.0.0.102"];
pub const VIPS6: [&str; 3] = ["2001:db8::100", "2001:db8::101", "2001:db8::102"];
pub const CLIENTS4: [&str; 3] = ["192.0.2.1", "192.0.2.2", "203.0.113.77"];
pub const CLIENTS6: [&str; 3] = ["2001:db8:1::1", "2001:db8:1::2", "2001:db8:2:3:4:5:6:7"];

fn ends() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    (any::<bool>(), 0_usize..3, prop_oneof![9 => 0_usize..2, 1 => Just(2_usize)]).prop_map(
        |(v6, client, vip)| {
            if v6 {
                (address(CLIENTS6[client]), address(VIPS6[vip]))
            } else {
                (address(CLIENTS4[client]), address(VIPS4[vip]))
            }
        },
    )
}

/// The transport's part, for a protocol.
fn transport() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let sport = 1000_u16..1004;
    let dport = prop_oneof![6 => Just(80_u16), 1 => Just(81), 1 => Just(443)];
    let flags = prop_oneof![4 => Just(2_u8), 6 => Just(16), 2 => Just(17), 1 => Just(4), 1 => Just(20), 1 => any::<u8>()];
    let size = prop_oneof![6 => 0_usize..40, 1 => 0_usize..1300];
    (sport, dport, flags, size, 0..10).prop_map(|(sport, dport, flags, size, which)| match which {
        0..=5 => (TCP, tcp(sport, dport, flags, &vec![7; size])),
        6..=8 => (UDP, udp(sport, dport, &vec![7; size])),
        _ => (132, [&sport.to_be_bytes()[..], &dport.to_be_bytes(), &vec![3; size + 4]].concat()),
    })
}

fn header() -> impl Strategy<Value = Ip> {
    let fragment = prop_oneof![
        12 => Just((false, 0_u16)), 1 => Just((true, 0)), 1 => Just((true, 3)), 1 => Just((false, 5))
    ];
    let ttl = prop_oneof![12 => 2_u8.., 1 => 0_u8..2];
    let options = prop_oneof![8 => Just(0_usize), 1 => 1_usize..11];
    let extension = (prop::sample::select(vec![0_u8, 43, 44, 51, 60]), 0_usize..3, any::<u8>());
    let extensions = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(extension, 1..7)];
    (ends(), ttl, any::<u8>(), any::<bool>(), 0_u16..3, fragment, options, extensions).prop_map(
        |((from, to), ttl, tos, df, id, fragment, options, extensions)| Ip {
            ttl,
            tos,
            df,
            id,
            fragment,
            options: vec![1; options * 4],
            extensions: extensions
                .into_iter()
                .map(|(kind, size, byte)| (kind, extension_header(kind, size, byte)))
                .collect(),
            ..Ip::new(from, to, 0)
        },
    )
}

fn extension_header(kind: u8, size: usize, byte: u8) -> Vec<u8> {
    let id = byte % 3;
    match kind {
        // Whole, first, middle and last fragments.
        44 => vec![0, 0, 0, [0, 1, 0x19, 0x18][usize::from(byte % 4)], 0, 0, 0, id],
        51 => {
            let mut header = vec![9; 12 + size * 4];
            header[1] = (header.len() / 4 - 2) as u8;
            header
        }
        _ => {
            let mut header = vec![0; 8 + size * 8];
            header[1] = size as u8;
            header[3] = u8::from(byte.is_multiple_of(8));
            header
        }
    }
}

/// An ICMP error about a packet that a server sent to a client.
fn icmp() -> impl Strategy<Value = (Ip, Vec<u8>)> {
    let kind = prop::sample::select(vec![1_u8, 2, 3, 4, 8, 11, 12]);
    (ends(), transport(), kind, 0_usize..60, any::<bool>()).prop_map(
        |((client, vip), (proto, mut l4), kind, cut, v6_options)| {
            // The quoted packet went the other way.
            let (a, b) = l4.split_at_mut(2);
            a.swap_with_slice(&mut b[..2]);
            let mut inner = Ip::new(vip, client, proto);
            if v6_options && vip.is_ipv4() {
                inner.options = vec![1; 8];
            }
            let mut quoted = inner.with(&l4);
            let least = quoted.len().min(20);
            quoted.truncate(quoted.len().saturating_sub(cut).max(least));
            let message = [&[kind, 4, 0, 0, 0, 0, 5, 0][..], &quoted].concat();
            let router = if vip.is_ipv4() {
                address("198.51.100.1")
            } else {
                address("2001:db8:9::1")
            };
            (Ip::new(router, vip, if vip.is_ipv4() { 1 } else { 58 }), message)
        },
    )
}

pub fn packet() -> impl Strategy<Value = Vec<u8>> {
    // Checksums that do not hold, that do, and none.
    let plain = (header(), transport(), 0..3).prop_map(|(ip, (proto, mut l4), sums)| {
        let ip = Ip { proto, ..ip };
        match sums {
            1 => l4 = checked(&ip, &l4),
            2 if proto == UDP => l4[6..8].fill(0),
            _ => {}
        }
        ip.with(&l4)
    });
    let errors = icmp().prop_map(|(ip, message)| ip.with(&message));
    let bytes = prop_oneof![8 => plain, 1 => errors];
    let tags = prop_oneof![
        8 => Just(vec![]), 1 => Just(vec![(0x8100_u16, 7_u16)]), 1 => Just(vec![(0x88a8, 7), (0x8100, 9)])
    ];
    let to = prop_oneof![30 => Just([0; 6]), 1 => Just([2, 0, 0, 0, 0, 7])];
    // What is cut off, what is behind, and which bytes are damaged.
    let cut = prop_oneof![12 => Just(None), 1 => (0.0_f64..1.0).prop_map(Some)];
    let damage = prop_oneof![12 => Just(None), 1 => (0.0_f64..1.0, any::<u8>()).prop_map(Some)];
    (bytes, tags, to, cut, damage, prop_oneof![6 => Just(0_usize), 1 => 1_usize..30]).prop_map(
        |(ip, tags, to, cut, damage, behind)| {
            let mut frame = framed(to, [2, 0, 0, 0, 0, 5], &tags, &ip);
            frame.extend(vec![0xee; behind]);
            if let Some(part) = cut {
                frame.truncate(14 + ((frame.len() - 14) as f64 * part) as usize);
            }
            if let Some((part, byte)) = damage {
                let at = 12 + ((frame.len() - 12) as f64 * part) as usize;
                frame[at] = byte;
            }
            frame
        },
    )
}
