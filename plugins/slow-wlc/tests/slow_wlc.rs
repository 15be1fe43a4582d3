//! Slow start by connections, natively, against a model that knows each backend's history and picks one by one.
#![allow(clippy::unwrap_used)]

#[path = "../../slow-rr/tests/history/mod.rs"]
mod history;

use history::{SLOTS, ten_thousand_services};
use wvs_plugin::testing::{World, configure, set_clock, shares};
use wvs_plugin::{Backend, Cost, CountingScheduler, Counts, Scheduler, TimedScheduler, look_ahead};
use wvs_plugin_slow_wlc::SlowLeastConnection;

fn slow(given: &[(&str, &str)]) -> SlowLeastConnection {
    configure::<SlowLeastConnection>(given).unwrap().0
}

#[test]
fn without_a_ramp_it_is_wlc() {
    for seed in 0..500 {
        let mut world = World::new(seed);
        let (mut slow, mut counts) = (slow(&[("seconds", "0")]), Counts::default());
        for _ in 0..10 {
            world.step();
            world.tell_load(&mut slow);
            counts.update(&world.backends);
            counts.observe(&world.active, &world.inactive);
            assert_eq!(slow.fill(64).unwrap(), look_ahead(counts.backends(), 64, Cost::overhead));
            assert_eq!(slow.due(), 0);
        }
    }
}

#[test]
fn a_backend_that_comes_is_not_given_all_at_once() {
    let mut slow = slow(&[]);
    set_clock(0.0);
    slow.update(&[Backend::sample(1)]).unwrap();
    slow.update(&[1, 2].map(Backend::sample)).unwrap();
    slow.observe(&[100, 0], &[0, 0]);
    // A tenth of a hundred, and then a tenth of the others'.
    assert_eq!(shares(&slow.fill(32).unwrap()), [(1, 20), (2, 12)].into());
}

/// Who is next as LVS would say it, pick by pick: the overheads in the end.
fn one_by_one(weights: &[f64], mut overhead: Vec<f64>, picks: u32) -> Vec<f64> {
    for _ in 0..picks {
        let usable = (0..weights.len()).filter(|&index| weights[index] > 0.0);
        let next = usable.min_by(|&a, &b| (overhead[a] / weights[a]).total_cmp(&(overhead[b] / weights[b])));
        overhead[next.unwrap()] += 256.0;
    }
    overhead
}

/// Each backend ends where asking for each would lead, within two connections and its share of one for each other.
#[test]
fn ten_thousand_services_follow_the_model() {
    ten_thousand_services(
        slow,
        |world, slow| world.tell_load(slow),
        |world, weights, got| {
            let all: f64 = weights.iter().sum();
            let overhead =
                |index: usize| f64::from(world.active[index]) * 256.0 + f64::from(world.inactive[index]);
            let before: Vec<f64> = (0..weights.len()).map(overhead).collect();
            let expected = one_by_one(weights, before.clone(), SLOTS);
            for (index, known) in world.backends.iter().enumerate() {
                let count = got.get(&known.id).copied().unwrap_or(0) as f64;
                let off = (before[index] + 256.0 * count - expected[index]).abs() / 256.0;
                let bound = 2.0 + weights[index] / all * weights.len() as f64;
                assert!(off <= bound, "{known:?} is off by {off}: {world:?}");
            }
        },
    );
}
