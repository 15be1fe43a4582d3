//! One service on single packets (BPF_PROG_TEST_RUN): at 10.0.0.100 and 2001:db8::100, TCP and UDP port 80.

use wvs_tc_bpf::{
    Encapsulation, Forwarder, Kind, Listen, Maps, Method, RunOutcome, ServiceSettings, Target, Way,
};

use super::packet::{Ip, TCP, UDP, ethernet};
use super::{address, chain};

pub const PASS: i32 = -1;
pub const DROP: i32 = 2;
pub const REDIRECT: i32 = 7;
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
pub const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const SEED: u32 = 0x7776_7300;

pub fn way(source: &str) -> Option<Way> {
    Some(Way {
        ifindex: 1,
        mtu: 1500,
        macs: Some((MAC, OURS)),
        source: (!source.is_empty()).then(|| address(source)),
        source_prefix: None,
    })
}

pub fn target(method: Method, to: &str, source: &str) -> Target {
    Target {
        method,
        address: address(to),
        generation: 1,
        way: way(source),
        encapsulation: Encapsulation::Ipip,
        quiesced: false,
    }
}

/// Service 1, with one backend: 7.
pub fn serve(maps: &Maps, target: &Target) {
    maps.set_backend(7, target).unwrap();
    maps.set_table(1, Kind::Cycle, SEED, &[Some(7)]).unwrap();
    maps.set_service(1, &ServiceSettings::default()).unwrap();
    for vip in ["10.0.0.100", "2001:db8::100"] {
        for proto in [TCP, UDP] {
            maps.set_listener(Listen::Address(address(vip), proto, 80), 1)
                .unwrap();
        }
    }
    maps.set_limits(0, 1_000).unwrap();
}

pub fn run(forwarder: &Forwarder, packet: &[u8]) -> RunOutcome {
    forwarder
        .run(packet, 0)
        .unwrap_or_else(|error| panic!("{}", chain(&error)))
}

pub fn v4(proto: u8) -> Ip {
    Ip::new(address("192.0.2.1"), address("10.0.0.100"), proto)
}

pub fn v6(proto: u8) -> Ip {
    Ip::new(address("2001:db8::1"), address("2001:db8::100"), proto)
}

/// Two backends, 7 and 8, by turns, so that who follows whom can be seen.
pub fn two(maps: &Maps) {
    serve(maps, &target(Method::DirectRouting, "10.0.0.9", ""));
    let mut other = target(Method::DirectRouting, "10.0.0.8", "");
    other.way = other.way.map(|way| Way {
        macs: Some(([2, 0, 0, 0, 0, 8], OURS)),
        ..way
    });
    maps.set_backend(8, &other).unwrap();
    maps.set_table(1, Kind::Cycle, SEED, &[Some(7), Some(8)]).unwrap();
}

/// Which backend a packet went to: the last byte of the destination, 9 of backend 7 and 8 of backend 8.
pub fn way_of(forwarder: &Forwarder, ip: &Ip, l4: &[u8]) -> u8 {
    let outcome = run(forwarder, &ethernet(&ip.with(l4)));
    if outcome.verdict == REDIRECT {
        outcome.packet[5]
    } else {
        0
    }
}
