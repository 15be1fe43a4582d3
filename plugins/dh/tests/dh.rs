//! Destination hashing, natively.
#![allow(clippy::unwrap_used)]

use wvs_plugin::testing::{World, configure, shares};
use wvs_plugin::{Backend, Dispatch, HashKey, NO_BACKEND, Scheduler};
use wvs_plugin_dh::DestinationHash;

fn fill(backends: &[Backend], slots: u32) -> Vec<u32> {
    let (mut dh, dispatch) = configure::<DestinationHash>(&[]).unwrap();
    assert!(matches!(dispatch, Dispatch::Hash(HashKey::Destination)));
    dh.update(backends).unwrap();
    dh.fill(slots).unwrap()
}

/// Whatever happens, each usable backend has an equal share; ids, weights and order do not matter; and
/// nothing that happened before does.
#[test]
fn ten_thousand_services_are_shared_out_equally() {
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut dh, _) = configure::<DestinationHash>(&[]).unwrap();
        for _ in 0..4 {
            world.step();
            world.tell(&mut dh);
            let slots = 1 + world.below(40);
            let table = dh.fill(slots).unwrap();
            assert_eq!(table.len(), slots as usize);
            let usable: Vec<u32> = world
                .backends
                .iter()
                .filter(|known| known.usable())
                .map(|known| known.id)
                .collect();
            let found = shares(&table);
            assert_eq!(found.values().sum::<usize>(), if usable.is_empty() { 0 } else { slots as usize });
            for id in &usable {
                let (share, count) = (found.get(id).copied().unwrap_or(0), usable.len());
                assert!(share >= slots as usize / count, "{world:?}: {table:?}");
                assert!(share <= (slots as usize).div_ceil(count), "{world:?}: {table:?}");
            }
            let mut other: Vec<Backend> = world.backends.clone();
            other.reverse();
            for backend in &mut other {
                backend.id = 1000 - backend.id;
                backend.weight *= 1 + backend.id % 3;
            }
            let renumbered = |id: u32| if id == NO_BACKEND { id } else { 1000 - id };
            assert_eq!(
                fill(&other, slots)
                    .into_iter()
                    .map(renumbered)
                    .collect::<Vec<_>>(),
                table
            );
        }
    }
}

#[test]
fn losing_a_backend_moves_few_others() {
    let all: Vec<Backend> = (1..=10).map(Backend::sample).collect();
    let (before, after) = (fill(&all, 256), fill(&all[1..], 256));
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| **before != 1 && before != after);
    assert!(moved.count() < 256 * 5 / 100);
}
