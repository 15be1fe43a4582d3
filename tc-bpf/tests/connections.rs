//! What the program remembers from one packet to the next (BPF_PROG_TEST_RUN).
#![allow(clippy::unwrap_used)]

mod common;

use common::packet::{ACK, FIN, Ip, RST, SYN, TCP, UDP, ethernet, tcp, udp};
use common::serve::{PASS, REDIRECT, SEED, run, serve, target, two, v4, v6, way_of};
use common::{Sandbox, address};
use wvs_tc_bpf::layout::{Event, PRIORITY_TAG};
use wvs_tc_bpf::{Forwarder, Kind, Listen, Maps, Meta, Method, Target};

#[test]
fn connections_stay_where_they_are() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    let send = |port, flags| way_of(&forwarder, &v4(TCP), &tcp(port, 80, flags, b""));
    assert_eq!(
        [
            send(1, SYN),
            send(2, SYN),
            send(1, SYN),
            send(2, ACK),
            send(1, ACK)
        ],
        [9, 8, 9, 8, 9]
    );
    let counts = |maps: &Maps| {
        let sweep = maps
            .sweep(|_| wvs_tc_bpf::Timeouts::default(), maps.now().unwrap())
            .unwrap();
        [7, 8].map(|id| {
            sweep
                .counts
                .get(&(id, 1))
                .map_or((0, 0), |counts| (counts.active, counts.inactive))
        })
    };
    assert_eq!(counts(maps), [(1, 0), (1, 0)]);
    assert_eq!(send(1, FIN | ACK), 9);
    assert_eq!(counts(maps), [(0, 1), (1, 0)]);
    assert_eq!(send(2, RST), 8);
    assert_eq!(counts(maps), [(0, 1), (0, 1)]);
    // The same ports again are another connection.
    assert_eq!(send(2, SYN), 9);
    assert_eq!(counts(maps), [(1, 1), (0, 0)]);
    // Neither RST nor FIN begins one.
    for flags in [RST, FIN | ACK, RST | ACK] {
        send(77, flags);
    }
    assert_eq!(counts(maps), [(1, 1), (0, 0)]);
    // Silence ends them.
    let later = maps
        .now()
        .unwrap()
        .wrapping_add((901.0 / wvs_tc_bpf::tick().as_secs_f64()) as u32);
    let sweep = maps.sweep(|_| wvs_tc_bpf::Timeouts::default(), later).unwrap();
    assert_eq!((sweep.seen, sweep.expired, sweep.counts.len()), (2, 2, 0));
    assert!(maps.flows().unwrap().is_empty());
}

#[test]
fn a_backend_that_is_another_one_takes_no_old_connections() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    let send = |port, flags| way_of(&forwarder, &v4(TCP), &tcp(port, 80, flags, b""));
    assert_eq!([send(1, SYN), send(1, ACK), send(2, SYN), send(2, ACK)], [9, 9, 8, 8]);
    let new = Target {
        generation: 2,
        ..target(Method::DirectRouting, "10.0.0.7", "")
    };
    maps.set_backend(7, &new).unwrap();
    maps.set_table(1, Kind::Cycle, SEED, &[Some(8)]).unwrap();
    assert_eq!([send(1, ACK), send(1, ACK), send(2, ACK)], [8, 8, 8]);
    assert_eq!(maps.events().unwrap()[&Event::Stale], 2);
    assert_eq!(maps.cut(8).unwrap(), 2);
    maps.remove_backend(8).unwrap();
    assert_eq!(send(2, ACK), 0);
    assert_eq!(maps.events().unwrap()[&Event::NoBackend], 1);
    assert_eq!(maps.service_stats(1).unwrap().refused, 1);
}

#[test]
fn fragments_and_icmp_errors_follow() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    two(forwarder.maps());
    let mut seen = std::collections::BTreeSet::new();
    for turn in 0..2_u16 {
        let ip = Ip {
            id: turn,
            df: false,
            ..v4(UDP)
        };
        let first = way_of(
            &forwarder,
            &Ip {
                fragment: (true, 0),
                ..ip.clone()
            },
            &udp(50 + turn, 80, &[1; 16]),
        );
        seen.insert(first);
        assert_eq!(
            way_of(
                &forwarder,
                &Ip {
                    fragment: (true, 3),
                    ..ip.clone()
                },
                &[1; 8]
            ),
            first
        );
        assert_eq!(
            way_of(
                &forwarder,
                &Ip {
                    fragment: (false, 4),
                    ..ip
                },
                &[1]
            ),
            first
        );

        let fragment = |flags: u8, offset: u8| Ip {
            extensions: vec![(44, vec![0, 0, offset, flags, 0, 0, 0, turn as u8])],
            ..v6(UDP)
        };
        let first6 = way_of(&forwarder, &fragment(1, 0), &udp(50 + turn, 80, &[1; 16]));
        seen.insert(first6);
        assert_eq!(way_of(&forwarder, &fragment(0x18, 0), &[1]), first6);

        // A router between server and client says that the server's answer was too big. Eight bytes are quoted.
        for (plain, way, router, error) in [
            (v4(UDP), first, "198.51.100.1", 1),
            (v6(UDP), first6, "2001:db8:9::1", 58),
        ] {
            let reply = Ip::new(plain.to, plain.from, UDP).with(&udp(80, 50 + turn, b""));
            let kind = if error == 1 { 3 } else { 2 };
            let message = [&[kind, 0, 0, 0, 0, 0, 5, 0][..], &reply].concat();
            let ip = Ip::new(address(router), plain.to, error);
            assert_eq!(way_of(&forwarder, &ip, &message), way);
        }
    }
    assert_eq!(seen, [8, 9].into());
    let before = forwarder.maps().flows().unwrap().len();
    let stranger = Ip::new(address("10.0.0.100"), address("192.0.2.1"), UDP).with(&udp(80, 999, b""));
    let message = [&[3, 4, 0, 0, 0, 0, 5, 0][..], &stranger].concat();
    assert_eq!(
        way_of(&forwarder, &Ip::new(address("198.51.100.1"), address("10.0.0.100"), 1), &message),
        0
    );
    assert_eq!(forwarder.maps().flows().unwrap().len(), before);
    assert_eq!(forwarder.maps().events().unwrap()[&Event::IcmpUnknown], 1);
}

/// Ten times as many SYNs, and datagrams from as many forged addresses, as the half-open table holds.
#[test]
fn a_flood_evicts_no_established_connection() {
    let sandbox = Sandbox::enter();
    let sizes = wvs_tc_bpf::Sizes {
        half_open: 2_048,
        flows4: 4_096,
        ..common::small()
    };
    let forwarder = Forwarder::load(&sandbox.pins(), &sizes).unwrap();
    two(forwarder.maps());
    let send = |port: u16, flags| way_of(&forwarder, &v4(TCP), &tcp(port, 80, flags, b""));
    let ways: Vec<u8> = (1..=1_000)
        .map(|port| {
            send(port, SYN);
            send(port, ACK)
        })
        .collect();
    for index in 0..20_480_u32 {
        let from = std::net::Ipv4Addr::from(0xc612_0000 + index).into();
        let forged = Ip {
            from,
            ..v4(if index % 2 == 0 { TCP } else { UDP })
        };
        let l4 = if index % 2 == 0 {
            tcp(1, 80, SYN, b"")
        } else {
            udp(1, 80, b"x")
        };
        assert!(way_of(&forwarder, &forged, &l4) > 0);
    }
    let after: Vec<u8> = (1..=1_000).map(|port| send(port, ACK)).collect();
    assert!(ways == after && ways.iter().all(|way| *way > 0));
    let sweep = forwarder
        .maps()
        .sweep(|_| wvs_tc_bpf::Timeouts::default(), forwarder.maps().now().unwrap())
        .unwrap();
    assert!(sweep.seen <= 1_000 + 2_048, "{sweep:?}");
}

/// Beyond the limit of entries the client's hash chooses: packets of one connection still meet.
#[test]
fn the_gate_falls_back_to_the_hash() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    two(forwarder.maps());
    forwarder.maps().set_limits(1, 1).unwrap();
    let send = |port: u16, flags| way_of(&forwarder, &v4(TCP), &tcp(port, 80, flags, b""));
    let mut agree = 0;
    for port in 100..200 {
        agree += usize::from(send(port, SYN) == send(port, ACK));
    }
    assert_eq!(agree, 100);
    assert!(forwarder.maps().events().unwrap()[&Event::Gate] > 50);
}

#[test]
fn asking_changes_nothing() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    let ask = |port, flags| {
        forwarder
            .explain(&ethernet(&v4(TCP).with(&tcp(port, 80, flags, b""))), 0)
            .unwrap()
            .mark
    };
    assert_eq!([ask(1, SYN), ask(1, SYN), ask(2, SYN)], [7, 7, 7]);
    assert!(maps.flows().unwrap().is_empty());
    assert_eq!((maps.cycle(1).unwrap(), maps.backend_stats(7).unwrap().packets), (0, 0));
    assert_eq!(way_of(&forwarder, &v4(TCP), &tcp(1, 80, SYN, b"")), 9);
    assert_eq!(way_of(&forwarder, &v4(TCP), &tcp(1, 80, ACK, b"")), 9);
    assert_eq!([ask(1, ACK), ask(2, SYN), ask(1, FIN)], [7, 8, 7]);
    assert_eq!(
        forwarder
            .explain(&ethernet(&v4(TCP).with(&tcp(1, 443, SYN, b""))), 0)
            .unwrap()
            .mark,
        0
    );
}

/// Which backend was chosen travels in the priority of what goes up; an id of 0 says to refuse.
#[test]
fn nftables_is_told_what_was_chosen() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    let run = |ip: &Ip, l4: &[u8]| {
        let meta = Meta { mark: 0, priority: 6 };
        let frame = ethernet(&ip.with(l4));
        let outcome = forwarder.run_with(&frame, meta).unwrap();
        assert_eq!((outcome.verdict, outcome.packet), (PASS, frame));
        outcome.priority
    };
    for method in [Method::Nat, Method::Local] {
        serve(maps, &target(method, "10.0.0.9", ""));
        for ip in [v4(TCP), v6(TCP)] {
            // The one that opens the connection, the one that proves it, those after it, and those of no connection.
            for (port, flags) in [(1, SYN), (1, ACK), (1, ACK), (2, ACK), (3, RST)] {
                assert_eq!(run(&ip, &tcp(port, 80, flags, b"")), PRIORITY_TAG | 7, "{ip:?} {flags}");
            }
            assert_eq!(run(&ip, &tcp(1, 81, SYN, b"")), 6);
        }
        // Fragments alike: conntrack sees the datagram with the priority of its first one.
        let fragment = |more, offset| Ip {
            fragment: (more, offset),
            df: false,
            ..v4(UDP)
        };
        assert_eq!(run(&fragment(true, 0), &udp(9, 80, &[1; 16])), PRIORITY_TAG | 7);
        assert_eq!(run(&fragment(false, 3), &[1; 8]), PRIORITY_TAG | 7);
        // An error about it belongs to it without our help.
        let reply = Ip::new(address("10.0.0.100"), address("192.0.2.1"), TCP).with(&tcp(80, 1, ACK, b""));
        let message = [&[3, 4, 0, 0, 0, 0, 5, 0][..], &reply].concat();
        assert_eq!(run(&Ip::new(address("198.51.100.1"), address("10.0.0.100"), 1), &message), 6);
    }
    maps.remove_backend(7).unwrap();
    let syn = ethernet(&v4(TCP).with(&tcp(5, 80, SYN, b"")));
    let asked = forwarder.explain(&syn, 0).unwrap();
    assert_eq!((asked.mark, asked.priority), (0, PRIORITY_TAG));
    assert_eq!(maps.service_stats(1).unwrap().refused, 0);
    assert_eq!(run(&v4(TCP), &tcp(5, 80, SYN, b"")), PRIORITY_TAG);
    maps.remove_table(1).unwrap();
    assert_eq!(run(&v4(TCP), &tcp(5, 80, SYN, b"")), PRIORITY_TAG);
    assert_eq!(maps.service_stats(1).unwrap().refused, 2);
    let events = maps.events().unwrap();
    assert_eq!((events[&Event::NoBackend], Event::NoBackend.is_drop()), (2, false));
}

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
