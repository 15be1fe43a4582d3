//! Destination hashing, natively, against its definition.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../../../plugins-sdk/tests/models/hashing.rs"]
mod hashing;

use wvs_plugin::testing::{World, configure, shares};
use wvs_plugin::{Backend, BackendState, Dispatch, HashKey, NO_BACKEND, Scheduler};
use wvs_plugin_dh::DestinationHash;

fn start(fallback: bool) -> DestinationHash {
    let given = [("fallback", if fallback { "true" } else { "false" })];
    let (dh, dispatch) = configure::<DestinationHash>(&given).unwrap();
    assert!(matches!(dispatch, Dispatch::Hash(HashKey::Destination)));
    dh
}

fn fill(backends: &[Backend], slots: u32) -> Vec<u32> {
    let mut dh = start(true);
    dh.update(backends).unwrap();
    dh.fill(slots).unwrap()
}

/// All that are listed have equal places, whatever their weights; and directors agree, whatever their ids and order.
#[test]
fn ten_thousand_services_are_as_defined() {
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let mut dh = [true, false].map(|fallback| (fallback, start(fallback)));
        for _ in 0..4 {
            world.step();
            let slots = 1 + world.below(40);
            let mut listed = hashing::sorted(&world.backends);
            let weightless = listed.iter_mut().filter(|backend| backend.weight == 0);
            weightless.for_each(|backend| backend.state = BackendState::DOWN);
            listed.iter_mut().for_each(|backend| backend.weight = 1);
            let places = hashing::places(&listed, slots);
            let own = shares(&places);
            for known in &listed {
                let share = own.get(&known.id).copied().unwrap_or(0);
                let due = slots as usize / listed.len();
                assert!((due..=due + 1).contains(&share), "{world:?}: {places:?}");
            }
            for (fallback, dh) in &mut dh {
                dh.update(&world.backends).unwrap();
                let expected = hashing::served(places.clone(), &listed, *fallback);
                assert_eq!(dh.fill(slots).unwrap(), expected, "{world:?}");
            }
            let mut other: Vec<Backend> = world.backends.clone();
            other.reverse();
            for backend in &mut other {
                backend.id = 1000 - backend.id;
                backend.weight *= 1 + backend.id % 3;
            }
            let renumbered = |id: u32| if id == NO_BACKEND { id } else { 1000 - id };
            let theirs: Vec<u32> = fill(&other, slots).into_iter().map(renumbered).collect();
            assert_eq!(theirs, hashing::served(places, &listed, true));
        }
    }
}

#[test]
fn whoever_goes_moves_nobody_else() {
    hashing::nobody_else_moves::<DestinationHash>(true);
}

#[test]
fn losing_a_backend_moves_few_others() {
    hashing::few_others_move::<DestinationHash>((5.1, 9.1), (0.0, 0.0));
}
