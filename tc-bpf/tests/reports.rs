//! Reports of single packets: of scheduling and of losses, one in so many (BPF_PROG_TEST_RUN).
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::packet::{ACK, Ip, SYN, TCP, UDP, ethernet, tcp, udp};
use common::serve::{DROP, SEED, run, target, two, v4, v6, way_of};
use common::{Sandbox, address};
use wvs_tc_bpf::layout::Event;
use wvs_tc_bpf::{Kind, Method, Questions, Report, Reports, What};

fn all(reports: &mut Reports) -> Vec<Report> {
    let next = || reports.wait(Duration::ZERO).unwrap();
    std::iter::from_fn(next).collect()
}

#[test]
fn choices_and_losses_are_reported() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    let mut reports = Reports::open(&sandbox.pins()).unwrap();
    way_of(&forwarder, &v4(TCP), &tcp(1, 80, SYN, b""));
    assert_eq!(all(&mut reports), [], "nobody wants any");
    maps.set_sampling(1).unwrap();
    // Two connections that are scheduled, and what belongs to them.
    for (ip, client) in [(v4(TCP), "192.0.2.1"), (v6(TCP), "2001:db8::1")] {
        let frame = ethernet(&ip.with(&tcp(7, 80, SYN, b"x")));
        forwarder.explain(&frame, 3).unwrap();
        for _ in 0..2 {
            forwarder.run(&frame, 3).unwrap();
        }
        way_of(&forwarder, &ip, &tcp(7, 80, ACK, b""));
        let [report] = all(&mut reports)[..] else {
            panic!("one choice, one report")
        };
        let backend = maps.backend_stats(7).unwrap().packets;
        assert_eq!(report.what, What::Chosen);
        assert_eq!((report.client(), report.listener()), ((address(client), 7), (ip.to, 80)));
        assert_eq!((report.service, report.mark, report.ifindex), (Some(1), 3, 1));
        assert!(matches!(report.backend, Some(7 | 8)) && backend > 0);
        assert_eq!(report.length as usize, frame.len() - 14);
        assert!(maps.now().unwrap().wrapping_sub(report.tick) < 10_000);
    }
    // Losses, of a connection that is known and of one that is not.
    maps.set_backend(7, &target(Method::Tunnel, "10.1.0.9", "10.1.0.1"))
        .unwrap();
    maps.set_table(1, Kind::Cycle, SEED, &[Some(7)]).unwrap();
    maps.set_limits(0, 1).unwrap();
    for port in [20, 21] {
        way_of(&forwarder, &v4(TCP), &tcp(port, 80, SYN, b""));
        way_of(&forwarder, &v4(TCP), &tcp(port, 80, ACK, b""));
    }
    all(&mut reports);
    let large = [7; 1_460];
    let loses = |ip: &Ip, l4: &[u8]| run(&forwarder, &ethernet(&ip.with(l4)));
    loses(&v4(TCP), &tcp(20, 80, ACK, &large));
    let no_df = Ip { df: false, ..v4(TCP) };
    assert_eq!(loses(&no_df, &tcp(21, 80, ACK, &large)).verdict, DROP);
    let seen = |report: &Report| (report.what, report.client().1, report.service, report.backend);
    let found: Vec<_> = all(&mut reports).iter().map(seen).collect();
    let expected = [(Event::TooBig, 20), (Event::TooBigUntold, 21)]
        .map(|(event, port)| (What::Event(event), port, Some(1), Some(7)));
    assert_eq!(found, expected);
    assert_eq!(loses(&no_df, &tcp(22, 80, ACK, &large)).verdict, DROP);
    let found: Vec<_> = all(&mut reports).iter().map(seen).collect();
    assert_eq!(
        found,
        [
            (What::Chosen, 22, Some(1), Some(7)),
            (What::Event(Event::TooBigUntold), 22, None, None)
        ]
    );
    // Nobody takes it, and somebody is asked.
    maps.set_table(1, Kind::Cycle, SEED, &[None]).unwrap();
    loses(&v4(UDP), &udp(23, 80, b""));
    maps.set_table(1, Kind::Flow, SEED, &[None]).unwrap();
    let _questions = Questions::open(&sandbox.pins(), Duration::from_secs(100)).unwrap();
    loses(&v4(UDP), &udp(24, 80, b""));
    let found: Vec<_> = all(&mut reports).iter().map(seen).collect();
    let expected = [(Event::NoBackend, 23), (Event::Asked, 24)]
        .map(|(event, port)| (What::Event(event), port, Some(1), None));
    assert_eq!(found, expected);
}

#[test]
fn one_in_so_many_is_drawn_and_nobody_waits() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    let maps = forwarder.maps();
    two(maps);
    let syns = |from: u16, count: u16| {
        for port in from..from + count {
            assert!(way_of(&forwarder, &v4(TCP), &tcp(port, 80, SYN, b"")) > 0);
        }
    };
    maps.set_sampling(1).unwrap();
    syns(1, 5_000);
    let mut reports = Reports::open(&sandbox.pins()).unwrap();
    assert_eq!(all(&mut reports).len(), 0, "those of before");
    let unreported = || maps.events().unwrap()[&Event::Unreported];
    let before = unreported();
    syns(5_001, 5_000);
    let read = all(&mut reports).len();
    assert!((3_000..4_000).contains(&read), "as many as there is room for: {read}");
    assert_eq!(unreported() - before, 5_000 - read as u64);
    maps.set_sampling(10).unwrap();
    syns(10_001, 5_000);
    let read = all(&mut reports).len();
    // 500, and 21 is the standard deviation.
    assert!((350..650).contains(&read), "{read}");
    maps.set_sampling(0).unwrap();
    syns(15_001, 100);
    assert_eq!(all(&mut reports).len(), 0);
    // Waiting ends with the time, or with the next report.
    let begin = Instant::now();
    assert_eq!(reports.wait(Duration::from_millis(30)).unwrap(), None);
    assert!(begin.elapsed() >= Duration::from_millis(30));
    maps.set_sampling(1).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| reports.wait(Duration::from_secs(20)).unwrap());
        syns(16_001, 1);
        assert_eq!(reader.join().unwrap().unwrap().client().1, 16_001);
    });
}
