//! Services whose director is asked for each connection: questions, answers, and what happens where there are none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::lab::{Lab, VIPS, ask, connect, exchange};
use common::packet::{ACK, Ip, RST, SYN, TCP, UDP, ethernet, tcp, udp};
use common::serve::{DROP, PASS, REDIRECT, SEED, run, two, v4, v6, way_of};
use common::{Sandbox, address, within};
use wvs_tc_bpf::layout::{ANSWER_NOBODY, ANSWER_UNDECIDED, Event};
use wvs_tc_bpf::{Kind, Listen, Maps, Method, Question, Questions, ServiceSettings, Target};

const PATIENCE: Duration = Duration::from_secs(100);

fn open(pins: &Path, patience: Duration) -> Questions {
    Questions::open(pins, patience).unwrap()
}

/// Service 1 asks; by hash it has both backends.
fn asking(maps: &Maps) {
    two(maps);
    maps.set_table(1, Kind::Flow, SEED, &[Some(7), Some(8)]).unwrap();
}

#[test]
fn a_connection_goes_where_the_answer_says() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    asking(maps);
    let mut questions = open(&sandbox.pins(), PATIENCE);
    assert_eq!(questions.wait(Duration::ZERO).unwrap(), None);
    for (ip, client) in [(v4(TCP), "192.0.2.1"), (v6(TCP), "2001:db8::1")] {
        for (port, backend, way) in [(1, 8, 8), (2, 8, 8), (3, 7, 9), (4, 8, 8)] {
            let frame = ethernet(&ip.with(&tcp(port, 80, SYN, b"")));
            let asked = forwarder.explain(&frame, 6).unwrap();
            assert_eq!((asked.verdict, asked.mark), (DROP, 0));
            assert_eq!(forwarder.run(&frame, 6).unwrap().verdict, DROP);
            // What opens nothing goes by hash.
            assert!(way_of(&forwarder, &ip, &tcp(port, 80, RST, b"")) > 0);
            let question = questions.wait(Duration::ZERO).unwrap().unwrap();
            assert_eq!(questions.wait(Duration::ZERO).unwrap(), None);
            assert_eq!(question.frame, frame);
            assert_eq!((question.service, question.mark, question.ifindex), (1, 6, 1));
            assert_eq!(question.client(), (address(client), port));
            assert_eq!(question.listener(), (ip.to, 80));
            assert!(maps.now().unwrap().wrapping_sub(question.tick) < 10_000);
            questions.note(&question, backend, 1).unwrap();
            assert_eq!(forwarder.explain(&frame, 6).unwrap().mark, backend.into());
            let before = maps.backend_stats(backend).unwrap().connections;
            for flags in [SYN, SYN, ACK, ACK] {
                assert_eq!(way_of(&forwarder, &ip, &tcp(port, 80, flags, b"")), way);
            }
            assert_eq!(maps.backend_stats(backend).unwrap().connections, before + 1);
        }
    }
    let events = maps.events().unwrap();
    assert_eq!((events[&Event::Asked], events[&Event::Unasked]), (8, 0));
    assert!(!Event::Asked.is_drop());
    assert_eq!(maps.flows().unwrap().len(), 8);
    // An answer that names a backend that is gone is none.
    let syn = tcp(9, 80, SYN, b"");
    assert_eq!(way_of(&forwarder, &v4(TCP), &syn), 0);
    let question = questions.wait(Duration::ZERO).unwrap().unwrap();
    questions.note(&question, 8, 2).unwrap();
    assert_eq!(way_of(&forwarder, &v4(TCP), &syn), 0);
    assert!(questions.wait(Duration::ZERO).unwrap().is_some());
}

/// A connection that is to be refused goes up to nftables for that, as where a service has no backend.
#[test]
fn nobody_is_an_answer() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    asking(maps);
    let mut questions = open(&sandbox.pins(), PATIENCE);
    let frames = [v4(TCP), v6(TCP)].map(|ip| ethernet(&ip.with(&tcp(1, 80, SYN, b""))));
    for frame in &frames {
        assert_eq!(run(&forwarder, frame).verdict, DROP);
        let question = questions.wait(Duration::ZERO).unwrap().unwrap();
        questions.note(&question, 0, ANSWER_NOBODY).unwrap();
        let explained = forwarder.explain(frame, 0).unwrap();
        for outcome in [explained, run(&forwarder, frame), run(&forwarder, frame)] {
            assert_eq!((outcome.verdict, outcome.mark, outcome.priority), (PASS, 0, 0x7776_0000));
        }
    }
    // Others are asked for; for whom there is no answer the hash chooses.
    let other = tcp(2, 80, SYN, b"");
    assert_eq!(way_of(&forwarder, &v4(TCP), &other), 0);
    let question = questions.wait(Duration::ZERO).unwrap().unwrap();
    questions.note(&question, 0, ANSWER_UNDECIDED).unwrap();
    assert_ne!(way_of(&forwarder, &v4(TCP), &other), 0);
    let events = maps.events().unwrap();
    assert_eq!((events[&Event::Asked], events[&Event::NoBackend], events[&Event::Unasked]), (3, 4, 1));
    assert_eq!(maps.flows().unwrap().len(), 1);
    // It holds no longer than other answers: then the plugin may have changed its mind.
    drop(questions);
    let mut questions = open(&sandbox.pins(), wvs_tc_bpf::tick() * 100);
    let end = Instant::now() + Duration::from_secs(10);
    while run(&forwarder, &frames[0]).verdict != DROP {
        assert!(Instant::now() < end);
        assert_eq!(questions.wait(Duration::ZERO).unwrap(), None);
    }
    let question = questions.wait(Duration::ZERO).unwrap().unwrap();
    questions.note(&question, 8, 1).unwrap();
    assert_eq!(run(&forwarder, &frames[0]).packet[5], 8);
}

/// The answers of the hash, which the program would give by itself.
fn by_hash(maps: &Maps, of: impl Fn() -> Vec<u8>) -> Vec<u8> {
    maps.set_table(1, Kind::SourceAndPort, SEED, &[Some(7), Some(8)])
        .unwrap();
    let ways = of();
    maps.cut(7).unwrap();
    maps.cut(8).unwrap();
    maps.set_table(1, Kind::Flow, SEED, &[Some(7), Some(8)]).unwrap();
    assert!(ways.contains(&8) && ways.contains(&9));
    ways
}

#[test]
fn where_nobody_answers_the_hash_chooses() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    asking(maps);
    let syns = || -> Vec<u8> {
        (1..50)
            .map(|port| way_of(&forwarder, &v4(TCP), &tcp(port, 80, SYN, b"")))
            .collect()
    };
    let hashed = by_hash(maps, syns);
    let forget = || {
        maps.cut(7).unwrap();
        maps.cut(8).unwrap();
    };
    // There never was anybody.
    assert_eq!(syns(), hashed);
    assert_eq!(syns(), hashed, "they are connections like others");
    forget();
    // There is; and goes.
    let questions = open(&sandbox.pins(), PATIENCE);
    assert_eq!(syns(), [0; 49]);
    drop(questions);
    assert_eq!(syns(), hashed);
    forget();
    // There is somebody who hears nothing any more.
    let patience = wvs_tc_bpf::tick() * 3;
    let questions = open(&sandbox.pins(), patience);
    let end = Instant::now() + Duration::from_secs(10);
    while syns() != hashed {
        forget();
        assert!(Instant::now() < end);
    }
    forget();
    // And is back.
    drop(questions);
    let _questions = open(&sandbox.pins(), PATIENCE);
    assert_eq!(syns(), [0; 49]);
}

/// Who does not read fast enough finds the ring full, and the rest goes by hash.
#[test]
fn a_full_ring_stops_nobody() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    asking(maps);
    let mut questions = open(&sandbox.pins(), PATIENCE);
    let mut ways = BTreeMap::new();
    for port in 1..=6_000 {
        let way = way_of(&forwarder, &v4(TCP), &tcp(port, 80, SYN, b""));
        *ways.entry(way).or_insert(0) += 1;
    }
    let asked = ways[&0];
    assert!((3_500..4_500).contains(&asked) && ways[&8] > 500 && ways[&9] > 500, "{ways:?}");
    let mut read = 0;
    while questions.wait(Duration::ZERO).unwrap().is_some() {
        read += 1;
    }
    assert_eq!(read, asked);
    assert_eq!(way_of(&forwarder, &v4(TCP), &tcp(6_001, 80, SYN, b"")), 0);
    let events = maps.events().unwrap();
    assert_eq!(events[&Event::Asked], asked + 1);
    assert_eq!(events[&Event::Unasked], 6_000 - asked);
    // Who opens it anew has no old questions.
    drop(questions);
    let mut questions = open(&sandbox.pins(), PATIENCE);
    assert_eq!(questions.wait(Duration::ZERO).unwrap(), None);
}

/// Frames of all sizes are handed over whole, except those that are too large.
#[test]
fn datagrams_of_any_size() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    asking(maps);
    let mut questions = open(&sandbox.pins(), PATIENCE);
    let largest = 1_976 - 42;
    for (port, size) in (1..).zip([0, 1, 141, 142, 143, 1_000, 1_458, largest]) {
        let data: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
        let frame = ethernet(&v4(UDP).with(&udp(port, 80, &data)));
        assert_eq!(run(&forwarder, &frame).verdict, DROP, "{size}");
        let question = questions.wait(Duration::ZERO).unwrap().unwrap();
        assert!(question.frame == frame, "{size}");
    }
    let frame = ethernet(&v4(UDP).with(&udp(99, 80, &vec![1; largest + 1])));
    assert!(run(&forwarder, &frame).verdict != 0);
    assert_eq!(questions.wait(Duration::ZERO).unwrap(), None);
    // Nor fragments: the others would come too late.
    let first = Ip {
        fragment: (true, 0),
        df: false,
        ..v4(UDP)
    };
    assert_eq!(run(&forwarder, &ethernet(&first.with(&udp(98, 80, &[1; 16])))).verdict, REDIRECT);
    assert_eq!(maps.events().unwrap()[&Event::Unasked], 2);
}

/// Answers each question, in the caller's namespace, while `work` runs.
fn answering<T>(
    pins: &Path,
    choose: &mut (impl FnMut(&Question) -> u16 + Send),
    work: impl FnOnce() -> T,
) -> T {
    let stop = AtomicBool::new(false);
    let here = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
    let ready = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sched::setns(&here, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let mut questions = open(pins, PATIENCE);
            ready.wait();
            while !stop.load(Ordering::Relaxed) {
                if let Some(question) = questions.wait(Duration::from_millis(50)).unwrap() {
                    questions.answer(&question, choose(&question), 1).unwrap();
                }
            }
        });
        ready.wait();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A director that asks for each connection: by turns, as it likes, to the real servers and to itself.
#[test]
fn connections_wait_for_their_answer() {
    let lab = Lab::new();
    let mut forwarder = lab.sandbox.load();
    forwarder.attach("eth0").unwrap();
    let maps = forwarder.maps();
    maps.set_limits(0, 1_000).unwrap();
    for (service, vip) in (1..).zip(VIPS) {
        let v6 = vip.contains(':');
        let first = 1 + 3 * (service as u16 - 1);
        for (id, number) in (first..).zip([1, 2]) {
            maps.set_backend(id, &lab.target(Method::DirectRouting, number, v6, true))
                .unwrap();
        }
        let local = Target {
            way: None,
            ..lab.target(Method::Local, 1, v6, false)
        };
        maps.set_backend(first + 2, &local).unwrap();
        common::lab::serve("d0", address(vip));
        let slots = [Some(first), Some(first + 1)];
        maps.set_table(service, Kind::Flow, 1, &slots).unwrap();
        maps.set_service(service, &ServiceSettings::default()).unwrap();
        for proto in [TCP, UDP] {
            maps.set_listener(Listen::Address(address(vip), proto, 80), service)
                .unwrap();
        }
    }
    let mut turn = 0;
    let mut by_turns = |question: &Question| {
        turn += 1;
        1 + 3 * (question.service as u16 - 1) + turn % 3
    };
    answering(&lab.sandbox.pins(), &mut by_turns, || {
        within("c", || {
            for vip in VIPS {
                let mut servers = BTreeMap::new();
                for _ in 0..9 {
                    let mut stream =
                        connect(vip).unwrap_or_else(|error| panic!("{vip}: {error} {:?}", maps.events()));
                    let name = exchange(&mut stream, 100_000, 100_000).unwrap();
                    *servers.entry(name).or_insert(0) += 1;
                }
                // A SYN that was sent again may have been asked for twice.
                assert!(servers.len() == 3 && servers.values().all(|count| *count > 1), "{vip}: {servers:?}");
                for _ in 0..3 {
                    let socket =
                        UdpSocket::bind(if vip.contains(':') { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
                    let first = ask(&socket, vip, 1_000).unwrap();
                    assert_eq!(ask(&socket, vip, 1_000).unwrap(), first);
                }
            }
        });
    });
    assert!(turn >= 24);
    assert_eq!(maps.events().unwrap()[&Event::Unasked], 0);
    // The director has gone: the hash knows the real servers.
    within("c", || {
        for vip in VIPS {
            let name = exchange(&mut connect(vip).unwrap(), 10, 10).unwrap();
            assert!(name == "r1" || name == "r2");
        }
    });
}

/// A tag that the device has taken off comes back with the packet: it goes up to the VLAN's own interface.
#[test]
fn a_vlan_tag_stays_with_its_packet() {
    let lab = Lab::new();
    let mut forwarder = lab.sandbox.load();
    forwarder.attach("eth0").unwrap();
    let maps = forwarder.maps();
    let probe = std::process::Command::new("ip")
        .args("link add link eth0 name probe type vlan id 9".split(' '))
        .output()
        .unwrap();
    if String::from_utf8_lossy(&probe.stderr).contains("Unknown device type") {
        println!("left out: this kernel has no VLAN devices");
        return;
    }
    let tagged = |last: u8| {
        common::ip("link add link eth0 name eth0.5 type vlan id 5");
        common::ip(&format!("addr add 10.5.0.{last}/24 dev eth0.5"));
        common::ip("link set eth0.5 up");
    };
    tagged(100);
    within("c", || tagged(2));
    common::lab::serve("d0", address("10.5.0.100"));
    let local = Target {
        way: None,
        ..lab.target(Method::Local, 1, false, false)
    };
    maps.set_backend(1, &local).unwrap();
    maps.set_table(1, Kind::Flow, 1, &[None]).unwrap();
    maps.set_service(1, &ServiceSettings::default()).unwrap();
    maps.set_listener(Listen::Address(address("10.5.0.100"), TCP, 80), 1)
        .unwrap();
    answering(&lab.sandbox.pins(), &mut |_| 1, || {
        within("c", || {
            let name = exchange(&mut connect("10.5.0.100").unwrap(), 1_000, 1_000).unwrap();
            assert_eq!(name, "d0");
        });
    });
    let events = maps.events().unwrap();
    assert!(events[&Event::Asked] >= 1 && events[&Event::NoBackend] == 0, "{events:?}");
}
