//! Real connections through the pinned program, in network namespaces: what single packets cannot show.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::lab::{Lab, VIPS, ask, connect, exchange};
use common::packet::{TCP, UDP};
use common::{address, chain, within};
use wvs_tc_bpf::layout::Event;
use wvs_tc_bpf::{Attached, Encapsulation, Forwarder, Hook, Kind, Listen, Maps, Method, ServiceSettings};

const MB: u64 = 1 << 20;

/// Both virtual addresses are a service of its own each: 1 and 2; the backends are 1 and 2, and 3 and 4.
fn serve(lab: &Lab, maps: &Maps, method: Method, outer: [bool; 2], macs: bool) {
    maps.set_limits(0, 1_000).unwrap();
    for (family, vip) in VIPS.iter().enumerate() {
        let service = family as u32 + 1;
        let ids = [family as u16 * 2 + 1, family as u16 * 2 + 2];
        for (number, id) in [1, 2].into_iter().zip(ids) {
            maps.set_backend(id, &lab.target(method, number, outer[family], macs))
                .unwrap();
        }
        maps.set_table(service, Kind::Cycle, 1, &ids.map(Some)).unwrap();
        maps.set_service(service, &ServiceSettings::default()).unwrap();
        for proto in [TCP, UDP] {
            maps.set_listener(Listen::Address(address(vip), proto, 80), service)
                .unwrap();
        }
    }
}

fn attach(lab: &Lab) -> Forwarder {
    let mut forwarder = lab.sandbox.load();
    let attached = forwarder
        .attach("eth0")
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert!(matches!(attached, Attached::New(_)), "{attached:?}");
    forwarder
}

/// How much is transferred each way: less with WVS_TRAFFIC_MB in the environment, for emulated machines.
fn bulk() -> u64 {
    std::env::var("WVS_TRAFFIC_MB").map_or(30, |text| text.parse().unwrap()) * MB
}

/// Six connections go three to each; large transfers pass in both directions.
fn connections_work(maps: &Maps) {
    for vip in VIPS {
        let mut servers = BTreeMap::new();
        for _ in 0..6 {
            let mut stream =
                connect(vip).unwrap_or_else(|error| panic!("{vip}: {error} {:?}", maps.events()));
            let name = exchange(&mut stream, 100, 100)
                .unwrap_or_else(|error| panic!("{vip}: {error} {:?}", maps.events()));
            *servers.entry(name).or_insert(0) += 1;
        }
        assert_eq!(servers, BTreeMap::from([("r1".into(), 3), ("r2".into(), 3)]), "{vip}");
        let mut stream = connect(vip).unwrap();
        exchange(&mut stream, bulk(), bulk())
            .unwrap_or_else(|error| panic!("{vip}: {error} {:?}", maps.events()));
        let bind = if vip.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(bind).unwrap();
        let first = ask(&socket, vip, 100).unwrap();
        for _ in 0..3 {
            assert_eq!(ask(&socket, vip, 100).unwrap(), first);
        }
    }
}

#[test]
fn direct_routing() {
    for macs in [true, false] {
        let lab = Lab::new();
        let forwarder = attach(&lab);
        serve(&lab, forwarder.maps(), Method::DirectRouting, [false, true], macs);
        within("c", || connections_work(forwarder.maps()));
        // The fragments of a large datagram find the way of the first.
        for vip in VIPS {
            within("c", || {
                let bind = if vip.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(bind).unwrap();
                let answer = ask(&socket, vip, 10_000)
                    .unwrap_or_else(|error| panic!("{vip}: {error} {:?}", forwarder.maps().events()));
                assert!(answer.ends_with(" 10000"), "{answer}");
            });
        }
        let stats = forwarder.maps().backend_stats(1).unwrap();
        assert!(stats.connections >= 3 && stats.packets > 100 && stats.bytes > 1_000_000, "{stats:?}");
    }
}

/// Who has offloads: then segments travel merged, and are cut by nobody, or by the director's kernel when they leave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offloads {
    All,
    AllButDirector,
    Nobody,
}

fn tunnels(outer: [bool; 2], macs: bool, offloads: Offloads) {
    encapsulated(Encapsulation::Ipip, outer, macs, offloads);
}

fn encapsulated(encapsulation: Encapsulation, outer: [bool; 2], macs: bool, offloads: Offloads) {
    let mut lab = Lab::new();
    lab.encapsulation = encapsulation;
    let forwarder = attach(&lab);
    lab.end_tunnels();
    let without = match offloads {
        Offloads::All => &[][..],
        Offloads::AllButDirector => &["d"],
        Offloads::Nobody => &["c", "d", "r1", "r2"],
    };
    for host in without {
        lab.offloads(host, false);
    }
    serve(&lab, forwarder.maps(), Method::Tunnel, outer, macs);
    if macs {
        // The client's fragments have no DF, and do not fit before it has learnt how large the tunnel is.
        let answer = within("c", || ask(&UdpSocket::bind("0.0.0.0:0").unwrap(), VIPS[0], 10_000));
        let events = forwarder.maps().events().unwrap();
        assert!(answer.is_ok_and(|answer| answer.ends_with(" 10000")), "{events:?}");
        assert!(events[&Event::Cut] > 0, "{events:?}");
    }
    within("c", || connections_work(forwarder.maps()));
    let events = forwarder.maps().events().unwrap();
    if offloads == Offloads::Nobody {
        // Full segments do not fit, and the client was told.
        assert!(events[&Event::TooBig] > 0, "{events:?}");
    }
    assert_eq!(events[&Event::Encapsulation], 0);
}

#[test]
fn tunnels_of_the_same_family() {
    tunnels([false, true], true, Offloads::All);
}

#[test]
fn tunnels_of_the_other_family() {
    tunnels([true, false], true, Offloads::All);
}

#[test]
fn tunnels_whose_next_hop_the_kernel_knows() {
    tunnels([false, true], false, Offloads::All);
}

#[test]
fn tunnels_of_single_segments() {
    tunnels([false, true], true, Offloads::Nobody);
    tunnels([true, false], true, Offloads::Nobody);
}

#[test]
fn tunnels_of_segments_that_the_director_cuts() {
    tunnels([false, true], true, Offloads::AllButDirector);
    tunnels([true, false], true, Offloads::AllButDirector);
}

#[test]
fn tunnels_of_gre() {
    let plain = Encapsulation::Gre { checksum: false };
    encapsulated(plain, [false, true], true, Offloads::All);
    encapsulated(plain, [true, false], false, Offloads::AllButDirector);
    // Merged segments cannot have their checksums.
    let checksum = Encapsulation::Gre { checksum: true };
    encapsulated(checksum, [false, true], true, Offloads::Nobody);
    encapsulated(checksum, [true, false], true, Offloads::Nobody);
}

#[test]
fn tunnels_of_gue() {
    for checksum in [false, true] {
        let gue = Encapsulation::Gue {
            port: 6_080,
            checksum,
        };
        encapsulated(gue, [false, true], true, Offloads::All);
        encapsulated(gue, [true, false], false, Offloads::AllButDirector);
        encapsulated(gue, [false, true], true, Offloads::Nobody);
    }
}

/// A director that is exchanged, or dies and comes back, is not noticed.
#[test]
fn replacing_the_program_loses_nothing() {
    let lab = Lab::new();
    let forwarder = attach(&lab);
    serve(&lab, forwarder.maps(), Method::DirectRouting, [false, true], true);
    let mut held: Vec<_> = within("c", || {
        (0..50)
            .map(|_| {
                let mut stream = connect(VIPS[0]).unwrap();
                let name = exchange(&mut stream, 1, 1).unwrap();
                (stream, name)
            })
            .collect()
    });
    let stop = AtomicBool::new(false);
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            common::lab::enter("c");
            while !stop.load(Ordering::Relaxed) {
                let vip = VIPS[made.load(Ordering::Relaxed) % 2];
                let mut stream = connect(vip).expect("during replacement");
                exchange(&mut stream, 1_000, 1_000).expect("during replacement");
                made.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 0..20 {
            let before = made.load(Ordering::Relaxed);
            let mut next = lab.sandbox.load();
            let hook = match next.attach("eth0").unwrap() {
                Attached::Replaced(hook) => hook,
                Attached::New(hook) => panic!("round {round}: anew by {hook:?}"),
            };
            next.maps()
                .set_table(1, Kind::Cycle, 1, &[Some(1), Some(2), Some(2 - round % 2)])
                .unwrap();
            let program = next.program().unwrap();
            drop(next);
            let found = Forwarder::attachments(&lab.sandbox.pins()).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|one| (one.interface.as_str(), one.hook, one.program))
                .collect();
            assert_eq!(found, [("eth0", hook, Some(program))]);
            // Without descriptors of the director the program goes on: some connections each time.
            while made.load(Ordering::Relaxed) < before + 5 && !load.is_finished() {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
    });
    for (stream, name) in &mut held {
        assert_eq!(exchange(stream, 10, 10).unwrap(), *name);
    }
}

#[test]
fn clsact_does_the_same() {
    let lab = Lab::new();
    let mut forwarder = lab.sandbox.load();
    assert_eq!(forwarder.attach_clsact("eth0").unwrap(), Attached::New(Hook::Clsact));
    serve(&lab, forwarder.maps(), Method::DirectRouting, [false, true], true);
    within("c", || connections_work(forwarder.maps()));
    drop(forwarder);
    let mut next = lab.sandbox.load();
    // What is there already decides: two programs in a row would count twice.
    assert_eq!(next.attach("eth0").unwrap(), Attached::Replaced(Hook::Clsact));
    drop(next);
    within("c", || {
        exchange(&mut connect(VIPS[0]).unwrap(), 1, 1).unwrap();
    });
    let pins = lab.sandbox.pins();
    assert!(Forwarder::detach(&pins, "eth0").unwrap());
    assert!(!Forwarder::detach(&pins, "eth0").unwrap());
    let refused = within("c", || connect(VIPS[0]).unwrap_err());
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// The choice reaches nftables: the stack does not touch the priority on the way to the NAT hook.
#[test]
fn nftables_takes_on_what_is_handed_up() {
    let lab = Lab::new();
    let forwarder = attach(&lab);
    let maps = forwarder.maps();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules");
    for (v6, vip) in [false, true].into_iter().zip(VIPS) {
        let family = if v6 { "ip6" } else { "ip" };
        let server = Lab::server(1, v6);
        let own = if v6 { "fd00::1" } else { "10.0.0.1" };
        within("r1", || common::lab::serve("r1", server));
        let rules = format!(
            "table {family} wvs {{
                chain prerouting {{
                    type nat hook prerouting priority -100;
                    meta priority 7776:9 meta priority set none dnat to {server};
                    meta priority 7776:0 reject;
                }}
                chain postrouting {{ type nat hook postrouting priority 100; snat to {own}; }}
            }}"
        );
        std::fs::write(&file, rules).unwrap();
        common::run("nft", &format!("-f {}", file.display()));
        common::sysctl(
            if v6 {
                "ipv6/conf/all/forwarding"
            } else {
                "ipv4/ip_forward"
            },
            "1",
        );
        maps.set_backend(9, &lab.target(Method::Nat, 1, v6, false))
            .unwrap();
        maps.set_table(1, Kind::Cycle, 1, &[Some(9)]).unwrap();
        maps.set_service(1, &ServiceSettings::default()).unwrap();
        maps.set_listener(Listen::Address(address(vip), TCP, 80), 1)
            .unwrap();
        within("c", || {
            let mut stream = connect(vip).unwrap();
            assert_eq!(exchange(&mut stream, 10_000, 10_000).unwrap(), "r1");
        });
        maps.remove_backend(9).unwrap();
        let refused = within("c", || connect(vip).unwrap_err());
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
