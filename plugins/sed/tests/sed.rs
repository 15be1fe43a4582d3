//! Shortest expected delay, natively, against LVS's rule done pick by pick.
#![allow(clippy::unwrap_used)]

use wvs_plugin::testing::{World, configure};
use wvs_plugin::{Backend, CountingScheduler, NO_BACKEND, Scheduler};
use wvs_plugin_sed::ShortestExpectedDelay;

fn plan(servers: &[(u32, u32)], slots: u32) -> Vec<u32> {
    let (mut sed, _) = configure::<ShortestExpectedDelay>(&[]).unwrap();
    let backends = servers
        .iter()
        .zip(1..)
        .map(|(server, id)| Backend::sample(id).weight(server.0));
    sed.update(&backends.collect::<Vec<_>>()).unwrap();
    let active: Vec<u32> = servers.iter().map(|server| server.1).collect();
    sed.observe(&active, &vec![9000; active.len()]);
    sed.fill(slots).unwrap()
}

#[test]
fn the_fast_one_does_it_all_while_there_is_little_to_do() {
    assert_eq!(plan(&[(1, 0), (5, 0)], 6), [2, 2, 2, 2, 2, 2]);
    assert_eq!(plan(&[(1, 0), (5, 0)], 16).iter().filter(|id| **id == 1).count(), 2);
    assert_eq!(plan(&[(0, 0), (1, 3), (1, 1)], 3), [3, 3, 2]);
    assert_eq!(plan(&[(0, 0)], 2), [NO_BACKEND; 2]);
}

#[test]
fn counts_at_the_edge_do_not_overflow() {
    assert_eq!(plan(&[(u32::MAX, u32::MAX), (1, u32::MAX), (u32::MAX, 0)], 50), [3; 50]);
}

#[test]
fn ten_thousand_services_end_where_lvs_does() {
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut sed, _) = configure::<ShortestExpectedDelay>(&[]).unwrap();
        for _ in 0..6 {
            world.step();
            world.tell_load(&mut sed);
            let slots = world.below(60);
            check(&world, &sed.fill(slots).unwrap(), slots);
        }
    }
}

/// While anybody's delay is shorter than the longest, every pick is LVS's: one of the shortest. After
/// that the plan may take another way, because LVS's goes in bursts; see `bound`.
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
    let begin: Vec<u64> = usable.iter().map(|&index| world.active[index].into()).collect();
    // Delays as fractions: (active + 1) / weight, over the product of all weights up to 6.
    let delay = |active: &[u64], server: usize| (active[server] + 1) * 60 / weights[server];
    let (mut planned, mut exact) = (begin.clone(), begin.clone());
    let longest = (0..usable.len()).map(|server| delay(&begin, server)).max();
    for &id in table {
        let Some(longest) = longest else {
            assert_eq!(id, NO_BACKEND);
            continue;
        };
        let picked = usable
            .iter()
            .position(|&index| world.backends[index].id == id)
            .unwrap();
        let shortest = (0..usable.len())
            .map(|server| delay(&planned, server))
            .min()
            .unwrap();
        if shortest < longest {
            assert_eq!(delay(&planned, picked), shortest, "{world:?}: {table:?}");
        }
        planned[picked] += 1;
        let best = (0..usable.len())
            .min_by_key(|&server| delay(&exact, server))
            .unwrap();
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
