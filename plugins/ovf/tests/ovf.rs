//! Weighted overflow, natively, against LVS's rule done pick by pick.
#![allow(clippy::unwrap_used)]

use wvs_plugin::testing::{World, configure, shares};
use wvs_plugin::{Backend, CountingScheduler, NO_BACKEND, Scheduler};
use wvs_plugin_ovf::Overflow;

#[test]
fn a_full_one_flows_over_to_the_next() {
    let (mut ovf, _) = configure::<Overflow>(&[]).unwrap();
    ovf.update(&[Backend::sample(1).weight(2), Backend::sample(2).weight(4)])
        .unwrap();
    ovf.observe(&[0, 2], &[50, 50]);
    assert_eq!(ovf.fill(8).unwrap(), [2, 2, 2, 1, 1, 1, NO_BACKEND, NO_BACKEND]);
    ovf.observe(&[0, u32::MAX], &[0, 0]);
    assert_eq!(ovf.fill(2).unwrap(), [1, 1]);
}

#[test]
fn what_is_too_much_is_refused_or_spread() {
    let (mut ovf, _) = configure::<Overflow>(&[("full", "spread")]).unwrap();
    ovf.update(&[Backend::sample(1).weight(1), Backend::sample(2).weight(3)])
        .unwrap();
    ovf.observe(&[2, 3], &[0, 0]);
    let table = ovf.fill(9).unwrap();
    assert_eq!(table[0], 2);
    assert_eq!(shares(&table[1..]).into_iter().collect::<Vec<_>>(), [(1, 2), (2, 6)]);
}

#[test]
fn ten_thousand_services_overflow_as_with_lvs() {
    let mut refused = 0;
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut ovf, _) = configure::<Overflow>(&[]).unwrap();
        for _ in 0..6 {
            world.step();
            world.tell_load(&mut ovf);
            let slots = world.below(40);
            let expected = lvs(&world, slots);
            refused += expected.iter().filter(|id| **id == NO_BACKEND).count();
            assert_eq!(ovf.fill(slots).unwrap(), expected, "{world:?}");
        }
    }
    assert!(refused > 10_000, "{refused}");
}

fn lvs(world: &World, slots: u32) -> Vec<u32> {
    let mut active = world.active.clone();
    let pick = |_| {
        let mut heaviest: Option<usize> = None;
        for (index, backend) in world.backends.iter().enumerate() {
            let takes = backend.usable() && active[index] <= backend.weight;
            if takes && heaviest.is_none_or(|it| backend.weight > world.backends[it].weight) {
                heaviest = Some(index);
            }
        }
        heaviest.map_or(NO_BACKEND, |index| {
            active[index] += 1;
            world.backends[index].id
        })
    };
    (0..slots).map(pick).collect()
}
