//! Slow start by turns, natively, against a model that knows each backend's history.
#![allow(clippy::unwrap_used)]

mod history;

use history::History;
use wvs_plugin::testing::{World, configure, set_clock, shares};
use wvs_plugin::{Backend, NO_BACKEND, Scheduler, TimedScheduler};
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
    const SLOTS: u32 = 96;
    let mut ramping = 0;
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (seconds, least) = (1 + world.below(40), 1 + world.below(100));
        let texts = [seconds.to_string(), least.to_string()];
        let mut slow = slow(&[("seconds", &texts[0]), ("least", &texts[1])]);
        let (mut history, mut now) = (History::new(seconds, least), 0.0);
        for _ in 0..6 {
            world.step();
            now += f64::from(world.below(64)) / 4.0;
            set_clock(now);
            world.tell(&mut slow);
            history.update(&world.backends, now);
            // The table is made anew later, too, when nothing has happened.
            now += f64::from(world.below(16)) / 4.0;
            set_clock(now);
            let weights = history.weights(&world.backends, now);
            let all: f64 = weights.iter().sum();
            let table = slow.fill(SLOTS).unwrap();
            assert_eq!(table.len(), SLOTS as usize);
            assert_eq!(slow.due() > 0, history.grows(now), "{world:?}");
            if all == 0.0 {
                assert!(table.iter().all(|&id| id == NO_BACKEND));
                continue;
            }
            assert!(!table.contains(&NO_BACKEND));
            ramping += u32::from(history.grows(now));
            let got = shares(&table);
            for (known, weight) in world.backends.iter().zip(&weights) {
                let count = got.get(&known.id).copied().unwrap_or(0) as f64;
                let off = (count - f64::from(SLOTS) * weight / all).abs();
                assert!(off < 1.0, "{known:?} is off by {off}: {world:?}");
            }
        }
    }
    assert!(ramping > 5_000, "{ramping}");
}
