//! Never queue, natively, against LVS's rule done pick by pick.
#![allow(clippy::unwrap_used)]

use wvs_plugin::testing::{World, configure};
use wvs_plugin::{Backend, CountingScheduler, NO_BACKEND, Scheduler};
use wvs_plugin_nq::NeverQueue;

fn plan(servers: &[(u32, u32)], slots: u32) -> Vec<u32> {
    let (mut nq, _) = configure::<NeverQueue>(&[]).unwrap();
    let backends = servers
        .iter()
        .zip(1..)
        .map(|(server, id)| Backend::sample(id).weight(server.0));
    nq.update(&backends.collect::<Vec<_>>()).unwrap();
    let active: Vec<u32> = servers.iter().map(|server| server.1).collect();
    nq.observe(&active, &vec![9000; active.len()]);
    nq.fill(slots).unwrap()
}

#[test]
fn who_is_idle_comes_first_and_then_the_shortest_delay() {
    // Shortest expected delay alone would give all of these to the third.
    assert_eq!(plan(&[(1, 0), (1, 4), (9, 0), (0, 0)], 5), [1, 3, 3, 3, 3]);
    assert_eq!(plan(&[(1, 0), (1, 0), (1, 0)], 2), [1, 2]);
    assert_eq!(plan(&[(0, 0)], 2), [NO_BACKEND; 2]);
}

#[test]
fn ten_thousand_services_end_where_lvs_does() {
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut nq, _) = configure::<NeverQueue>(&[]).unwrap();
        for _ in 0..6 {
            world.step();
            world.tell_load(&mut nq);
            let slots = world.below(60);
            check(&world, &nq.fill(slots).unwrap(), slots);
        }
    }
}

/// The first idle one, or else the shortest delay.
fn lvs(active: &[u64], weights: &[u64]) -> usize {
    let shortest = || (0..active.len()).min_by_key(|&server| (active[server] + 1) * 60 / weights[server]);
    active
        .iter()
        .position(|&active| active == 0)
        .or_else(shortest)
        .unwrap()
}

/// As long as anybody is idle, the picks are exactly LVS's. After that
/// the plan may take another way, because LVS's goes in bursts; see `bound`.
fn check(world: &World, table: &[u32], slots: u32) {
    assert_eq!(table.len(), slots as usize);
    let usable: Vec<usize> = (0..world.backends.len())
        .filter(|&index| world.backends[index].usable())
        .collect();
    let weights: Vec<u64> = usable
        .iter()
        .map(|&index| world.backends[index].weight.into())
        .collect();
    let total: u64 = weights.iter().sum();
    let mut planned: Vec<u64> = usable.iter().map(|&index| world.active[index].into()).collect();
    let mut exact = planned.clone();
    for &id in table {
        if usable.is_empty() {
            assert_eq!(id, NO_BACKEND);
            continue;
        }
        let picked = usable
            .iter()
            .position(|&index| world.backends[index].id == id)
            .unwrap();
        let best = lvs(&exact, &weights);
        if planned.contains(&0) {
            assert_eq!(picked, best, "{world:?}: {table:?}");
        }
        planned[picked] += 1;
        exact[best] += 1;
        for ((planned, exact), weight) in planned.iter().zip(&exact).zip(&weights) {
            assert!(
                planned.abs_diff(*exact) * total <= bound(*weight, total, weights.len()),
                "{world:?}: {table:?}"
            );
        }
    }
}

/// How far a server may be from where LVS has it at any time, times the sum of the weights: two
/// connections, and its share of one for each other server.
///
/// LVS gives the heavier ones all of a round before the lighter ones have any of it.
fn bound(weight: u64, total: u64, servers: usize) -> u64 {
    2 * total + weight * (servers as u64 - 1)
}
