//! Peak EWMA, natively, against a model that keeps all that was measured and picks one by one.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use wvs_plugin::testing::{World, configure, set_clock, shares};
use wvs_plugin::{
    Backend, Cost, Counts, LatencyScheduler, NO_BACKEND, Scheduler, UNKNOWN_LATENCY, look_ahead,
};
use wvs_plugin_peak_ewma::PeakEwma;

fn peak(given: &[(&str, &str)]) -> PeakEwma {
    configure::<PeakEwma>(given).unwrap().0
}

/// That the slots are divided among the backends so. A plan begins with who is best off, which makes up to two.
fn divided(peak: &mut PeakEwma, expected: &[usize]) {
    let found = shares(&peak.fill(expected.iter().sum::<usize>() as u32).unwrap());
    for (id, expected) in (1..).zip(expected) {
        assert!(found[&id].abs_diff(*expected) <= 2, "{found:?}");
    }
}

#[test]
fn whoever_is_slow_gets_less_at_once_and_more_with_time() {
    let mut peak = peak(&[]);
    set_clock(0.0);
    peak.update(&[1, 2].map(Backend::sample)).unwrap();
    peak.observe_latency(&[2000, 2000]);
    divided(&mut peak, &[100, 100]);
    set_clock(2.0);
    peak.observe_latency(&[2000, 6000]);
    divided(&mut peak, &[150, 50]);
    // 4,000 above what is measured become 1,472 in a decay time.
    set_clock(12.0);
    peak.observe_latency(&[2000, 2000]);
    let share = shares(&peak.fill(10_000).unwrap())[&2] as f64;
    assert!((share - 10_000.0 * 2000.0 / (2000.0 + 3471.5)).abs() < 3.0, "{share}");
    assert_eq!(peak.interval(), 2000);
}

#[test]
fn below_the_floor_it_is_chance() {
    let mut peak = peak(&[]);
    peak.update(&[1, 2].map(Backend::sample)).unwrap();
    peak.observe_latency(&[40, 900]);
    divided(&mut peak, &[100, 100]);
}

#[test]
fn whoever_is_not_known_is_no_better_than_the_slowest() {
    let mut peak = peak(&[]);
    peak.update(&[1, 2, 3].map(Backend::sample)).unwrap();
    peak.observe_latency(&[2000, 8000, UNKNOWN_LATENCY]);
    divided(&mut peak, &[80, 20, 20]);
}

#[test]
fn without_latencies_it_is_sed() {
    for seed in 0..500 {
        let mut world = World::new(seed);
        let (mut peak, mut counts) = (peak(&[]), Counts::default());
        for _ in 0..10 {
            world.step();
            world.tell_load(&mut peak);
            peak.observe_latency(&vec![UNKNOWN_LATENCY; world.backends.len()]);
            counts.update(&world.backends);
            counts.observe(&world.active, &world.inactive);
            assert_eq!(peak.fill(64).unwrap(), look_ahead(counts.backends(), 64, Cost::expected_delay));
        }
    }
}

/// All that was measured of each backend, and when.
type Measured = BTreeMap<u32, Vec<(f64, f64)>>;

/// The highest of all measurements as they are now: each falls towards those that came after it.
fn average(measured: &[(f64, f64)], decay: f64) -> Option<f64> {
    let (mut at, mut average) = *measured.first()?;
    for &(then, micros) in &measured[1..] {
        let stays = std::f64::consts::E.powf((at - then) / decay);
        average = micros.max(average * stays + micros * (1.0 - stays));
        at = then;
    }
    Some(average)
}

/// Who is next, pick by pick: latency × (active + 1) per weight; the active connections in the end.
fn one_by_one(servers: &[(f64, f64)], mut active: Vec<f64>, picks: u32) -> Vec<f64> {
    for _ in 0..picks {
        let cost = |index: usize| servers[index].1 * (active[index] + 1.0) / servers[index].0;
        let usable = (0..servers.len()).filter(|&index| servers[index].0 > 0.0);
        let next = usable.min_by(|&a, &b| cost(a).total_cmp(&cost(b)));
        active[next.unwrap()] += 1.0;
    }
    active
}

/// Each backend ends where asking for each would lead, within two connections and its share of one for each other.
#[test]
fn ten_thousand_services_follow_the_model() {
    const SLOTS: u32 = 96;
    let (mut uneven, mut blind) = (0, 0);
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (decay, floor) = (1 + world.below(20), 1 + world.below(3000));
        let texts = [decay.to_string(), floor.to_string()];
        let mut peak = peak(&[("decay", &texts[0]), ("floor", &texts[1])]);
        let (mut measured, mut now) = (Measured::new(), 0.0);
        for _ in 0..6 {
            world.step();
            world.tell_load(&mut peak);
            now += f64::from(world.below(64)) / 4.0;
            set_clock(now);
            let ids: Vec<u32> = world.backends.iter().map(|known| known.id).collect();
            measured.retain(|id, _| ids.contains(id));
            let micros: Vec<u32> = ids
                .iter()
                .map(|_| {
                    if world.below(4) == 0 {
                        UNKNOWN_LATENCY
                    } else {
                        world.below(20_000)
                    }
                })
                .collect();
            peak.observe_latency(&micros);
            for (&id, &micros) in ids
                .iter()
                .zip(&micros)
                .filter(|(_, micros)| **micros != UNKNOWN_LATENCY)
            {
                measured.entry(id).or_default().push((now, micros.into()));
            }
            let known: Vec<Option<f64>> = ids
                .iter()
                .map(|id| average(measured.get(id)?, decay.into()))
                .collect();
            let slowest = known.iter().flatten().copied().fold(f64::from(floor), f64::max);
            let servers: Vec<(f64, f64)> = world
                .backends
                .iter()
                .zip(&known)
                .map(|(backend, known)| {
                    (backend.effective_weight().into(), known.unwrap_or(slowest).max(floor.into()))
                })
                .collect();
            let table = peak.fill(SLOTS).unwrap();
            assert_eq!(table.len(), SLOTS as usize);
            if servers.iter().all(|server| server.0 == 0.0) {
                assert!(table.iter().all(|&id| id == NO_BACKEND));
                continue;
            }
            assert!(!table.contains(&NO_BACKEND));
            blind += u32::from(known.iter().any(Option::is_none));
            uneven += u32::from(servers.iter().any(|server| server.1 != servers[0].1));
            let got = shares(&table);
            let before: Vec<f64> = world.active.iter().map(|&active| active.into()).collect();
            let expected = one_by_one(&servers, before.clone(), SLOTS);
            let all: f64 = servers.iter().map(|server| server.0 / server.1).sum();
            for (index, backend) in world.backends.iter().enumerate() {
                let count = got.get(&backend.id).copied().unwrap_or(0) as f64;
                let off = (before[index] + count - expected[index]).abs();
                let share = servers[index].0 / servers[index].1 / all;
                assert!(off <= 2.0 + share * servers.len() as f64, "{backend:?} is off by {off}: {world:?}");
            }
        }
    }
    assert!(uneven > 10_000 && blind > 5_000, "{uneven} {blind}");
}
