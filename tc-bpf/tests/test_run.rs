//! The loaded program on single packets, byte by byte (BPF_PROG_TEST_RUN).
#![allow(clippy::unwrap_used)]

mod common;

use common::packet::{ACK, FIN, Ip, RST, SYN, TCP, UDP, ethernet, framed, sum, tcp, udp};
use common::{Sandbox, address, chain};
use wvs_tc_bpf::layout::Event;
use wvs_tc_bpf::{Forwarder, Kind, Listen, Maps, Method, RunOutcome, Target, Way};

const PASS: i32 = -1;
const DROP: i32 = 2;
const REDIRECT: i32 = 7;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SEED: u32 = 0x7776_7300;

fn way(source: &str) -> Option<Way> {
    Some(Way {
        ifindex: 1,
        mtu: 1500,
        macs: Some((MAC, OURS)),
        source: (!source.is_empty()).then(|| address(source)),
    })
}

fn target(method: Method, to: &str, source: &str) -> Target {
    Target {
        method,
        address: address(to),
        generation: 1,
        way: way(source),
    }
}

/// Service 1 at 10.0.0.100 and 2001:db8::100, TCP and UDP port 80, with one backend.
fn serve(maps: &Maps, target: &Target) {
    maps.set_backend(7, target).unwrap();
    maps.set_table(1, Kind::Cycle, SEED, &[Some(7)]).unwrap();
    maps.set_service(1, false).unwrap();
    for vip in ["10.0.0.100", "2001:db8::100"] {
        for proto in [TCP, UDP] {
            maps.set_listener(Listen::Address(address(vip), proto, 80), 1).unwrap();
        }
    }
    maps.set_limits(0, 1_000).unwrap();
}

fn run(forwarder: &Forwarder, packet: &[u8]) -> RunOutcome {
    forwarder.run(packet, 0).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn v4(proto: u8) -> Ip {
    Ip::new(address("192.0.2.1"), address("10.0.0.100"), proto)
}

fn v6(proto: u8) -> Ip {
    Ip::new(address("2001:db8::1"), address("2001:db8::100"), proto)
}

#[test]
fn the_verifier_accepts_it_with_little_effort() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let walked = forwarder.verified_instructions().expect("Linux 5.16");
    println!("verifier: {walked} of 1,000,000 instructions");
    assert!(walked < 100_000, "{walked}");
}

#[test]
fn direct_routing_changes_addresses_of_ethernet_and_the_hop_limit() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    serve(forwarder.maps(), &target(Method::DirectRouting, "10.0.0.9", ""));
    for (ip, l4) in [
        (v4(TCP), tcp(1000, 80, SYN, b"")),
        (v4(UDP), udp(1000, 80, b"x")),
        (v6(TCP), tcp(1000, 80, SYN, b"")),
        (v6(UDP), udp(1000, 80, b"question")),
    ] {
        let outcome = run(&forwarder, &ethernet(&ip.with(&l4)));
        let expected = framed(MAC, OURS, &[], &Ip { ttl: 63, ..ip }.with(&l4));
        assert_eq!(outcome.verdict, REDIRECT);
        assert_eq!(outcome.packet, expected);
    }
}
