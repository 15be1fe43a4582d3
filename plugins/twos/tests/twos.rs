//! Two random choices, natively.
#![allow(clippy::unwrap_used)]

use wvs_plugin::testing::{World, configure, set_seed};
use wvs_plugin::{Backend, CountingScheduler, NO_BACKEND, Scheduler};
use wvs_plugin_twos::Twos;

/// How often the first pick is backend 1, of ten thousand plans.
fn first_picks(servers: &[(u32, u32)]) -> f64 {
    set_seed(1);
    let (mut twos, _) = configure::<Twos>(&[]).unwrap();
    let backends = servers
        .iter()
        .zip(1..)
        .map(|(server, id)| Backend::sample(id).weight(server.0));
    twos.update(&backends.collect::<Vec<_>>()).unwrap();
    let active: Vec<u32> = servers.iter().map(|server| server.1).collect();
    let mut picked = 0;
    for _ in 0..10_000 {
        twos.observe(&active, &vec![0; active.len()]);
        picked += u32::from(twos.fill(1).unwrap() == [1]);
    }
    f64::from(picked) / 10_000.0
}

/// Five standard deviations of ten thousand draws are 0.025 at most.
#[test]
fn the_odds_are_those_of_two_draws_by_weight() {
    for (servers, odds) in [
        // Nobody has anything to do: the first draw decides.
        (vec![(1, 0), (1, 0)], 1.0 / 2.0),
        (vec![(3, 0), (1, 0)], 3.0 / 4.0),
        (vec![(u32::MAX, 0), (u32::MAX, 0), (u32::MAX, 0)], 1.0 / 3.0),
        // The first has more to do for its weight: only if both draws are it.
        (vec![(3, 9), (1, 0)], 9.0 / 16.0),
        (vec![(1, 4), (1, 0), (1, 0), (1, 0)], 1.0 / 16.0),
        // It has less: unless no draw is it.
        (vec![(1, 1), (1, 2)], 3.0 / 4.0),
        (vec![(2, 3), (1, 2)], 1.0 - 1.0 / 9.0),
        (vec![(0, 0), (1, 5)], 0.0),
        (vec![(1, 5)], 1.0),
    ] {
        let found = first_picks(&servers);
        assert!((found - odds).abs() < 0.025, "{servers:?}: {found}, should be {odds}");
    }
}

#[test]
fn the_plan_is_another_one_only_when_something_changed() {
    let (mut twos, _) = configure::<Twos>(&[]).unwrap();
    twos.update(&[1, 2, 3].map(Backend::sample)).unwrap();
    let plan = twos.fill(64).unwrap();
    assert_eq!(twos.fill(64).unwrap(), plan);
    twos.observe(&[0; 3], &[0; 3]);
    assert_ne!(twos.fill(64).unwrap(), plan);
}

/// The same rule, with random numbers of its own.
fn model(world: &mut World, slots: u32) -> Vec<f64> {
    let usable: Vec<usize> = (0..world.backends.len())
        .filter(|&index| world.backends[index].usable())
        .collect();
    let weight = |index: usize| world.backends[index].weight;
    let mut tickets: Vec<usize> = Vec::new();
    for (server, &index) in usable.iter().enumerate() {
        tickets.extend(std::iter::repeat_n(server, weight(index) as usize));
    }
    let begin = |&index: &usize| f64::from(world.active[index] * 256 + world.inactive[index]);
    let mut overhead: Vec<f64> = usable.iter().map(begin).collect();
    let weights: Vec<f64> = usable.iter().map(|&index| weight(index).into()).collect();
    for _ in 0..slots {
        let mut draw = || tickets[world.below(tickets.len() as u32) as usize];
        let (first, second) = (draw(), draw());
        let better = overhead[second] / weights[second] < overhead[first] / weights[first];
        overhead[if better { second } else { first }] += 256.0;
    }
    overhead
        .iter()
        .zip(&weights)
        .map(|(overhead, weight)| overhead / weight / 256.0)
        .collect()
}

/// How uneven a plan of 48 picks leaves the backends, beside the model: each for itself is random, but over
/// ten thousand services they come to the same.
#[test]
fn ten_thousand_services_are_as_even_as_with_the_model() {
    let (mut planned, mut modelled, mut services) = (0.0, 0.0, 0);
    let spread = |levels: &[f64]| {
        let most = levels.iter().copied().fold(0.0, f64::max);
        most - levels.iter().copied().fold(f64::INFINITY, f64::min)
    };
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut twos, _) = configure::<Twos>(&[]).unwrap();
        for _ in 0..3 {
            world.step();
            world.tell_load(&mut twos);
            let table = twos.fill(48).unwrap();
            let usable: Vec<usize> = (0..world.backends.len())
                .filter(|&index| world.backends[index].usable())
                .collect();
            if usable.is_empty() {
                assert_eq!(table, [NO_BACKEND; 48]);
                continue;
            }
            let known = |id: &u32| usable.iter().any(|&index| world.backends[index].id == *id);
            assert!(table.iter().all(known), "{world:?}: {table:?}");
            let level = |&index: &usize| {
                let backend = world.backends[index];
                let picks = table.iter().filter(|id| **id == backend.id).count() as f64;
                let overhead = f64::from(world.active[index] * 256 + world.inactive[index]);
                (overhead / 256.0 + picks) / f64::from(backend.weight)
            };
            planned += spread(&usable.iter().map(level).collect::<Vec<_>>());
            modelled += spread(&model(&mut world, 48));
            services += 1;
        }
    }
    assert!(services > 10_000);
    let off = (planned / modelled - 1.0).abs();
    assert!(off < 0.02, "{planned} planned, {modelled} by the model");
}
