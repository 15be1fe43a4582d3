//! The loaded program on single packets, byte by byte (BPF_PROG_TEST_RUN).
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use common::packet::{ACK, FIN, Ip, RST, SYN, TCP, UDP, ethernet, framed, sum, tcp, udp};
use common::serve::{DROP, MAC, OURS, PASS, REDIRECT, SEED, run, serve, target, two, v4, v6, way_of};
use common::{Sandbox, address};
use wvs_tc_bpf::layout::Event;
use wvs_tc_bpf::{Forwarder, Kind, Maps, Method, Target};

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

#[test]
fn tunnels_of_all_four_kinds() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    serve(forwarder.maps(), &target(Method::Local, "10.0.0.1", ""));
    for (to, source) in [("10.1.0.9", "10.1.0.1"), ("fd00::9", "fd00::1")] {
        forwarder
            .maps()
            .set_backend(7, &target(Method::Tunnel, to, source))
            .unwrap();
        for ip in [v4(UDP), v6(UDP), Ip { df: false, ..v4(UDP) }] {
            // DSCP EF and ECN CE; 30 bytes that Ethernet filled up stay behind.
            let ip = Ip { tos: 0xbb, ..ip };
            let mut frame = ethernet(&ip.with(&udp(1000, 80, b"x")));
            frame.extend([0; 30]);
            let outcome = run(&forwarder, &frame);
            let inner = Ip {
                ttl: 63,
                ..ip.clone()
            }
            .with(&udp(1000, 80, b"x"));
            let outer = Ip {
                tos: 0xbb,
                id: 0,
                df: ip.df,
                ..Ip::new(address(source), address(to), if ip.to.is_ipv4() { 4 } else { 41 })
            };
            let mut expected = framed(MAC, OURS, &[], &outer.with(&inner));
            expected.extend([0; 30]);
            assert_eq!(outcome.verdict, REDIRECT);
            assert_eq!(outcome.packet, expected);
        }
    }
}

#[test]
fn the_decapsulator_is_the_inverse() {
    let sandbox = Sandbox::enter();
    let decapsulator = wvs_tc_bpf::Decapsulator::load(&sandbox.pins()).unwrap();
    for (to, from) in [("10.1.0.9", "10.1.0.1"), ("fd00::9", "fd00::1")] {
        for inner in [v4(TCP), v6(TCP)].map(|ip| ip.with(&tcp(1, 80, SYN, b""))) {
            let outer = Ip::new(address(from), address(to), if inner[0] >> 4 == 4 { 4 } else { 41 });
            let frame = ethernet(&outer.with(&inner));
            decapsulator.remove(address(to)).unwrap();
            assert_eq!(decapsulator.run(&frame).unwrap().packet, frame);
            decapsulator.add(address(to)).unwrap();
            let outcome = decapsulator.run(&frame).unwrap();
            assert_eq!((outcome.verdict, outcome.packet), (PASS, ethernet(&inner)));
        }
    }
}

#[test]
fn vlan_tags_options_and_extension_headers() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    serve(forwarder.maps(), &target(Method::DirectRouting, "10.0.0.9", ""));
    let options = Ip {
        options: vec![1; 40],
        ..v4(TCP)
    };
    let authenticated = [vec![0, 4], vec![1; 22]].concat();
    let extensions = Ip {
        extensions: vec![(0, vec![0; 8]), (51, authenticated), (60, vec![0; 8])],
        ..v6(TCP)
    };
    for tags in [&[][..], &[(0x8100, 5)], &[(0x88a8, 5), (0x8100, 6)]] {
        for ip in [v4(TCP), options.clone(), v6(TCP), extensions.clone()] {
            let l4 = tcp(1000, 80, SYN, b"");
            let outcome = run(&forwarder, &framed([0; 6], [0; 6], tags, &ip.with(&l4)));
            let expected = framed(
                MAC,
                OURS,
                &[],
                &Ip {
                    ttl: 63,
                    ..ip.clone()
                }
                .with(&l4),
            );
            assert_eq!((outcome.verdict, outcome.packet), (REDIRECT, expected), "{ip:?}");
        }
    }
}

#[test]
fn what_is_not_ours_goes_on_unchanged() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    serve(forwarder.maps(), &target(Method::DirectRouting, "10.0.0.9", ""));
    let syn = tcp(1000, 80, SYN, b"");
    let mut other_host = ethernet(&v4(TCP).with(&syn));
    other_host[5] = 1;
    let mut arp = ethernet(&v4(TCP).with(&syn));
    arp[13] = 6;
    let frames = [
        ethernet(&v4(TCP).with(&tcp(1000, 81, SYN, b""))),
        ethernet(
            &Ip {
                to: address("10.0.0.99"),
                ..v4(TCP)
            }
            .with(&syn),
        ),
        ethernet(&Ip { proto: 1, ..v4(1) }.with(&[8, 0, 0, 0, 0, 0, 0, 0])),
        ethernet(&Ip { ttl: 1, ..v4(TCP) }.with(&syn)),
        ethernet(
            &Ip {
                fragment: (false, 9),
                ..v4(UDP)
            }
            .with(&[1]),
        ),
        other_host,
        arp,
    ];
    for frame in frames {
        let outcome = run(&forwarder, &frame);
        assert_eq!((outcome.verdict, outcome.packet), (PASS, frame));
    }
    for method in [Method::Nat, Method::Local] {
        forwarder
            .maps()
            .set_backend(7, &target(method, "10.0.0.9", ""))
            .unwrap();
        let frame = ethernet(&v4(TCP).with(&syn));
        let outcome = run(&forwarder, &frame);
        assert_eq!((outcome.verdict, outcome.packet), (PASS, frame));
    }
    let events = forwarder.maps().events().unwrap();
    assert_eq!((events[&Event::HopLimit], events[&Event::Fragment]), (1, 1));
}

/// The client learns the MTU of the tunnel, from a message whose checksums hold.
#[test]
fn too_big_for_the_tunnel() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    serve(forwarder.maps(), &target(Method::Tunnel, "10.1.0.9", "10.1.0.1"));
    let data = [7; 1448];
    let mut packet4 = ethernet(&v4(TCP).with(&tcp(1000, 80, ACK, &data)));
    packet4[..6].fill(0);
    packet4[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 5]);
    let outcome = run(&forwarder, &packet4);
    assert_eq!(outcome.verdict, REDIRECT);
    let answer = outcome.packet;
    assert_eq!(answer.len(), 14 + 20 + 8 + 40);
    assert_eq!((&answer[..6], &answer[6..12]), (&packet4[6..12], &packet4[..6]));
    assert_eq!(sum(&answer[14..34]), 0xffff);
    assert_eq!(sum(&answer[34..]), 0xffff);
    assert_eq!(answer[26..34], [10, 0, 0, 100, 192, 0, 2, 1]);
    assert_eq!(answer[34..36], [3, 4]);
    assert_eq!(answer[40..42], 1480_u16.to_be_bytes());
    assert_eq!(answer[42..62], packet4[14..34], "the quoted header, before its hop was counted");
    assert_eq!(answer[62..78], packet4[34..50]);
    // Filling the quoted checksum in, as a device without offloading does, changes nothing.
    let filled = u16::from_be_bytes([answer[78], answer[79]]);
    assert_eq!(!sum(&answer[62..82]), filled);

    let outcome = run(&forwarder, &ethernet(&v6(TCP).with(&tcp(1000, 80, ACK, &data[..1428]))));
    let answer = outcome.packet;
    assert_eq!(answer.len(), 14 + 40 + 8 + 60);
    let length = (answer.len() - 54) as u32;
    let pseudo = [
        &answer[22..54],
        &length.to_be_bytes(),
        &[0, 0, 0, 58],
        &answer[54..],
    ]
    .concat();
    assert_eq!(sum(&pseudo), 0xffff);
    assert_eq!((answer[54], u16::from_be_bytes([answer[60], answer[61]])), (2, 1480));

    // One byte less fits; the limit of messages holds.
    let fits = run(&forwarder, &ethernet(&v4(TCP).with(&tcp(1000, 80, ACK, &data[..1440]))));
    assert_eq!((fits.verdict, fits.packet.len()), (REDIRECT, 1514));
    forwarder.maps().set_limits(0, 0).unwrap();
    assert_eq!(run(&forwarder, &packet4).verdict, DROP);
    let events = forwarder.maps().events().unwrap();
    assert_eq!((events[&Event::TooBig], events[&Event::TooBigUntold]), (2, 1));
}

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

/// What was pinned survives the loader, and what does not fit is refused in words.
#[test]
fn pins_are_reused_or_refused() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    two(forwarder.maps());
    assert_eq!(way_of(&forwarder, &v4(TCP), &tcp(1, 80, SYN, b"")), 9);
    drop(forwarder);
    let forwarder = sandbox.load();
    assert_eq!(way_of(&forwarder, &v4(TCP), &tcp(1, 80, ACK, b"")), 9);
    assert_eq!(Maps::open(&sandbox.pins()).unwrap().listeners().unwrap().len(), 4);
    drop(forwarder);

    let larger = wvs_tc_bpf::Sizes {
        flows4: 1 << 17,
        ..common::small()
    };
    let error = Forwarder::load(&sandbox.pins(), &larger).unwrap_err().to_string();
    assert!(error.contains("flows4 has room for 65536 entries, 131072 are configured"), "{error}");

    std::fs::create_dir(sandbox.pins().join("v0")).unwrap();
    let error = Forwarder::load(&sandbox.pins(), &common::small())
        .unwrap_err()
        .to_string();
    assert!(error.contains("wvs/v0 holds the state of a wvs with another layout"), "{error}");
    std::fs::remove_dir(sandbox.pins().join("v0")).unwrap();

    let plain = tempfile::tempdir().unwrap();
    let error = Forwarder::load(plain.path(), &common::small())
        .unwrap_err()
        .to_string();
    assert!(error.contains("is on no BPF file system: mount -t bpf bpf "), "{error}");

    let mut forwarder = sandbox.load();
    assert!(
        forwarder
            .attach("nowhere")
            .unwrap_err()
            .to_string()
            .contains("no interface nowhere")
    );
    forwarder.attach("lo").unwrap();
    let backend = target(Method::DirectRouting, "10.0.0.9", "");
    let error = forwarder
        .maps()
        .set_backend(300, &backend)
        .unwrap_err()
        .to_string();
    assert!(error.contains("backend 300 is beyond the 256"), "{error}");
    let error = forwarder
        .maps()
        .set_backend(3, &Target { way: None, ..backend })
        .unwrap_err()
        .to_string();
    assert!(error.contains("backend 3 has no way"), "{error}");
    Forwarder::teardown(&sandbox.pins()).unwrap();
    assert!(Forwarder::attachments(&sandbox.pins()).unwrap().is_empty());
    assert!(Maps::open(&sandbox.pins()).is_err());
}
