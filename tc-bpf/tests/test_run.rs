//! The loaded program on single packets, byte by byte (BPF_PROG_TEST_RUN).
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use common::packet::{ACK, Ip, SYN, TCP, UDP, ethernet, framed, sum, tcp, udp};
use common::serve::{DROP, MAC, OURS, PASS, REDIRECT, run, serve, target, v4, v6};
use common::{Sandbox, address};
use wvs_tc_bpf::Method;
use wvs_tc_bpf::layout::Event;

#[test]
fn the_verifier_accepts_it_with_little_effort() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let mut programs = 0;
    for (name, walked) in forwarder.verified_programs() {
        println!("verifier: {walked:>6} of 1,000,000 instructions for {name}");
        assert!(walked < 100_000, "{name}: {walked}");
        programs += 1;
    }
    assert!(programs >= 3, "Linux 5.16 says how many");
    assert!(forwarder.verified_instructions().is_some());
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
            assert_eq!(outcome.packet, ethernet(&inner));
            // Before Linux 6.3, what changes its family arrives anew.
            let again = outer.from.is_ipv4() != (inner[0] >> 4 == 4) && outcome.verdict == REDIRECT;
            assert!(again || outcome.verdict == PASS, "{}", outcome.verdict);
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

/// Nothing in it is relocated by the kernel's types: a kernel that says nothing of them (without CONFIG_DEBUG_INFO_BTF) does.
#[test]
fn a_kernel_without_btf_will_do() {
    let sandbox = Sandbox::enter();
    let types = std::path::Path::new("/sys/kernel/btf");
    if types.exists() {
        let (none, nothing) = (nix::mount::MsFlags::empty(), None::<&str>);
        nix::mount::mount(Some("none"), types, Some("tmpfs"), none, nothing).unwrap();
        assert!(!types.join("vmlinux").exists());
    }
    let forwarder = sandbox.load();
    serve(forwarder.maps(), &target(Method::DirectRouting, "10.0.0.9", ""));
    let outcome = run(&forwarder, &ethernet(&v4(TCP).with(&tcp(1000, 80, SYN, b""))));
    assert_eq!(outcome.verdict, REDIRECT);
}
