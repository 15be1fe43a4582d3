//! Least connection, natively, against LVS's rule done pick by pick.
#![allow(clippy::unwrap_used)]

use wvs_plugin::testing::{World, configure};
use wvs_plugin::{Backend, CountingScheduler, NO_BACKEND, Scheduler};
use wvs_plugin_lc::LeastConnection;

fn plan(servers: &[(u32, u32, u32)], slots: u32) -> Vec<u32> {
    let (mut lc, _) = configure::<LeastConnection>(&[]).unwrap();
    let backends = servers
        .iter()
        .zip(1..)
        .map(|(server, id)| Backend::sample(id).weight(server.0));
    lc.update(&backends.collect::<Vec<_>>()).unwrap();
    let column = |f: fn(&(u32, u32, u32)) -> u32| servers.iter().map(f).collect::<Vec<u32>>();
    lc.observe(&column(|server| server.1), &column(|server| server.2));
    lc.fill(slots).unwrap()
}

#[test]
fn weights_do_not_matter_unless_they_are_0() {
    assert_eq!(plan(&[(1, 3, 0), (9, 0, 0)], 7), [2, 2, 2, 1, 2, 1, 2]);
    assert_eq!(plan(&[(1, 0, 0), (9, 0, 0), (0, 0, 0)], 5), [1, 2, 1, 2, 1]);
    assert_eq!(plan(&[(0, 0, 0)], 2), [NO_BACKEND; 2]);
}

#[test]
fn inactive_connections_count_a_256th() {
    assert_eq!(plan(&[(1, 1, 0), (1, 0, 255)], 1), [2]);
    assert_eq!(plan(&[(1, 1, 0), (1, 0, 257)], 1), [1]);
}

#[test]
fn counts_at_the_edge_do_not_overflow() {
    assert_eq!(plan(&[(u32::MAX, u32::MAX, u32::MAX), (1, u32::MAX, 0)], 50).len(), 50);
}

#[test]
fn ten_thousand_services_end_where_lvs_does() {
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut lc, _) = configure::<LeastConnection>(&[]).unwrap();
        for _ in 0..6 {
            world.step();
            world.tell_load(&mut lc);
            let slots = world.below(60);
            check(&world, &lc.fill(slots).unwrap(), slots);
        }
    }
}

/// While anybody has fewer connections than the fullest, every pick is LVS's. After that the plan may
/// take another way, but at any time each server has what LVS gave it, within two connections.
fn check(world: &World, table: &[u32], slots: u32) {
    assert_eq!(table.len(), slots as usize);
    let overhead = |index: usize| u64::from(world.active[index]) * 256 + u64::from(world.inactive[index]);
    let usable: Vec<usize> = (0..world.backends.len())
        .filter(|&index| world.backends[index].usable())
        .collect();
    let mut planned: Vec<u64> = usable.iter().map(|&index| overhead(index)).collect();
    let mut exact = planned.clone();
    let fullest = planned.iter().copied().max();
    for &id in table {
        let Some(fullest) = fullest else {
            assert_eq!(id, NO_BACKEND);
            continue;
        };
        let picked = usable
            .iter()
            .position(|&index| world.backends[index].id == id)
            .unwrap();
        let least = *planned.iter().min().unwrap();
        if least < fullest && planned == exact {
            assert_eq!(planned[picked], least, "{world:?}: {table:?}");
        }
        planned[picked] += 256;
        let first = exact
            .iter()
            .position(|&load| load == *exact.iter().min().unwrap())
            .unwrap();
        exact[first] += 256;
        assert!(planned.iter().zip(&exact).all(|(a, b)| a.abs_diff(*b) <= 512), "{world:?}: {table:?}");
    }
}
