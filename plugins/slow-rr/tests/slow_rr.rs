//! Slow start by turns, natively, against a model that knows each backend's history.
#![allow(clippy::unwrap_used)]

mod history;

use history::{SLOTS, ten_thousand_services};
use wvs_plugin::testing::{configure, set_clock, shares};
use wvs_plugin::{Backend, Scheduler, TimedScheduler};
use wvs_plugin_slow_rr::SlowRoundRobin;

fn slow(given: &[(&str, &str)]) -> SlowRoundRobin {
    configure::<SlowRoundRobin>(given).unwrap().0
}

#[test]
fn a_backend_that_comes_gets_more_and_more() {
    let mut slow = slow(&[("seconds", "20")]);
    set_clock(100.0);
    slow.update(&[1, 2, 3].map(Backend::sample)).unwrap();
    assert_eq!((shares(&slow.fill(300).unwrap())[&3], slow.due()), (100, 0));
    slow.update(&[1, 2, 3, 4].map(Backend::sample)).unwrap();
    for (passed, expected) in [(0.0, 10), (10.0, 55), (19.0, 95), (20.0, 100)] {
        set_clock(100.0 + passed);
        let found = shares(&slow.fill(300 + expected).unwrap());
        assert_eq!(found, [(1, 100), (2, 100), (3, 100), (4, expected as usize)].into());
        assert_eq!(slow.due(), if passed < 20.0 { 200 } else { 0 });
    }
}

#[test]
fn weights_at_the_edge_keep_their_proportion() {
    let mut slow = slow(&[("least", "1")]);
    set_clock(0.0);
    let heavy = Backend::sample(1).weight(u32::MAX);
    slow.update(&[heavy]).unwrap();
    slow.update(&[heavy, Backend::sample(2).weight(u32::MAX), Backend::sample(3)])
        .unwrap();
    let found = shares(&slow.fill(1010).unwrap());
    assert_eq!((found[&1], found[&2]), (1000, 10));
}

/// Each share is that of the model, rounded.
#[test]
fn ten_thousand_services_follow_the_model() {
    ten_thousand_services(
        slow,
        |world, slow| world.tell(slow),
        |world, weights, got| {
            let all: f64 = weights.iter().sum();
            for (known, weight) in world.backends.iter().zip(weights) {
                let count = got.get(&known.id).copied().unwrap_or(0) as f64;
                let off = (count - f64::from(SLOTS) * weight / all).abs();
                assert!(off < 1.0, "{known:?} is off by {off}: {world:?}");
            }
        },
    );
}
