//! Schedulers that look at how fast backends answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Bench, WEB};
use crate::ruleset::Family;
use crate::scheduler::BackendId;

fn peak(listen: &str) -> String {
    let scheduler = r#"scheduler = { plugin = "peak-ewma", params = { interval = "500" } }"#;
    let text = WEB.replace("name = \"web\"", &format!("name = \"web\"\n{scheduler}"));
    text.replace("tcp://", listen)
}

/// How many of the 256 slots each backend has in the kernel.
fn shares(bench: &Bench) -> [usize; 2] {
    let kernel = bench.kernel.lock().unwrap();
    let slots = &kernel.observed.tables[&Family::V4].slots["slots-web"];
    [1, 2].map(|id| slots.iter().filter(|slot| **slot == Some(BackendId(id))).count())
}

/// A plan begins with who is best off, which makes up to two.
fn near(found: [usize; 2], expected: [usize; 2]) -> bool {
    found
        .iter()
        .zip(expected)
        .all(|(found, expected)| found.abs_diff(expected) <= 2)
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 1, 0, last], 80))
}

#[test]
fn whoever_is_slow_gets_fewer_connections() {
    let mut bench = Bench::new();
    let begun = Instant::now();
    // Who does not want to know is not measured.
    let round = bench.engine.next_round(begun);
    assert!(round.keys.is_empty() && round.targets.is_empty());

    bench.apply(&peak("tcp://")).unwrap();
    assert_eq!(shares(&bench), [128, 128]);
    let round = bench.engine.next_round(begun);
    assert_eq!(round.targets, [address(11), address(12)].into());
    assert_eq!((round.keys.len(), round.pause), (1, Duration::from_millis(500)));
    let again = bench.engine.next_round(begun + Duration::from_millis(300));
    assert_eq!((again.keys.len(), again.targets.len(), again.pause.as_millis()), (0, 0, 200));

    let times = |one, other| BTreeMap::from([(address(11), one), (address(12), other)]);
    bench.engine.take_times(round.keys.clone(), &times(2000, 6000));
    assert!(near(shares(&bench), [192, 64]), "{:?}", shares(&bench));
    // Whatever else happens, they are told of it once: a second time would let the peak fall.
    bench.engine.reschedule(Instant::now());
    assert!(near(shares(&bench), [192, 64]), "{:?}", shares(&bench));
    // One that cannot be measured any more is what it was.
    let round = bench.engine.next_round(begun + Duration::from_millis(500));
    bench
        .engine
        .take_times(round.keys, &[(address(11), 18_000)].into());
    assert!(near(shares(&bench), [64, 192]), "{:?}", shares(&bench));
}

#[test]
fn only_services_of_tcp_are_measured() {
    let mut bench = Bench::new();
    bench.apply(&peak("udp://")).unwrap();
    let round = bench.engine.next_round(Instant::now());
    assert_eq!((round.keys.len(), round.targets.len()), (1, 0));
    bench.engine.take_times(round.keys, &BTreeMap::new());
    assert_eq!(shares(&bench), [128, 128]);
}

#[test]
fn a_scheduler_that_is_exchanged_is_told_what_is_known() {
    let mut bench = Bench::new();
    bench.apply(&peak("tcp://")).unwrap();
    let round = bench.engine.next_round(Instant::now());
    let times = [(address(11), 2000), (address(12), 6000)].into();
    bench.engine.take_times(round.keys, &times);
    let pool = bench.engine.pools.values_mut().next().unwrap();
    pool.scheduler.reset();
    let candidates = pool.candidates().to_vec();
    pool.refill(candidates, None);
    let slots = &pool.table().slots;
    let first = slots.iter().filter(|slot| **slot == Some(BackendId(1))).count();
    assert!(near([first, 256 - first], [192, 64]), "{first}");
}
