//! New connections: how long they are remembered before their second packet, and how their service is found.
#![allow(clippy::unwrap_used)]

mod common;

use common::packet::{SYN, TCP, UDP, ethernet, tcp, udp};
use common::serve::{REDIRECT, SEED, run, two, v4, v6, way_of};
use common::{Sandbox, address};
use wvs_tc_bpf::{Forwarder, Kind, Listen};

/// A set gives up its oldest entry: while a quarter of the table comes newly in, nearly all that wait are found again.
#[test]
fn a_flood_leaves_those_that_wait_for_their_second_packet() {
    let sandbox = Sandbox::enter();
    let sizes = wvs_tc_bpf::Sizes {
        half_open: 1 << 14,
        ..common::small()
    };
    let forwarder = Forwarder::load(&sandbox.pins(), &sizes).unwrap();
    two(forwarder.maps());
    for ip in [v4(TCP), v6(TCP)] {
        let send = |port: u16, flags| way_of(&forwarder, &ip, &tcp(port, 80, flags, b""));
        let first: Vec<u8> = (1..=500).map(|port| send(port, SYN)).collect();
        for port in 1_000..1_000 + (1 << 12) {
            assert!(send(port, SYN) > 0);
        }
        let kept = (1..=500)
            .zip(&first)
            .filter(|(port, way)| send(*port, SYN) == **way)
            .count();
        // 490 by Poisson's law, and half of those that are not found meet their backend again by chance.
        assert!(kept > 475, "{kept} of 500");
    }
    let half_open = forwarder.maps().flows().unwrap().len();
    assert!(half_open > 2 * 4_096 && half_open < 2 * 4_700, "{half_open}");
}

/// Two ports have one place for their shortcuts (at this address, with UDP); the one is led elsewhere, the other ends.
#[test]
fn shortcuts_never_mislead() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    for (service, backend) in [(1, 7), (2, 8)] {
        maps.set_table(service, Kind::Cycle, SEED, &[Some(backend)])
            .unwrap();
    }
    let listen = |port| Listen::Address(address("10.0.0.100"), UDP, port);
    let ways = || {
        [1_011, 1_767].map(|port| {
            let outcome = run(&forwarder, &ethernet(&v4(UDP).with(&udp(1, port, b"x"))));
            maps.cut(7).unwrap();
            maps.cut(8).unwrap();
            if outcome.verdict == REDIRECT {
                outcome.packet[5]
            } else {
                0
            }
        })
    };
    maps.set_listener(listen(1_011), 1).unwrap();
    maps.set_listener(listen(1_767), 2).unwrap();
    assert_eq!(ways(), [9, 8]);
    maps.set_listener(listen(1_011), 2).unwrap();
    assert_eq!(ways(), [8, 8]);
    maps.set_listener(listen(1_767), 1).unwrap();
    assert_eq!(ways(), [8, 9]);
    assert!(maps.remove_listener(listen(1_767)).unwrap());
    assert_eq!(ways(), [8, 0]);
    maps.set_listener(listen(0), 1).unwrap();
    assert_eq!(ways(), [8, 9]);
    assert!(maps.remove_listener(listen(1_011)).unwrap());
    assert_eq!(ways(), [9, 9]);
}
