//! Round robin, natively, against LVS's walk.
#![allow(clippy::unwrap_used)]

use wvs_plugin::testing::{World, configure, shares};
use wvs_plugin::{Backend, BackendState, Dispatch, NO_BACKEND, Scheduler};
use wvs_plugin_rr::RoundRobin;

fn fill(backends: &[Backend], slots: u32) -> Vec<u32> {
    let (mut rr, dispatch) = configure::<RoundRobin>(&[]).unwrap();
    assert!(matches!(dispatch, Dispatch::Cycle));
    rr.update(backends).unwrap();
    rr.fill(slots).unwrap()
}

#[test]
fn everybody_takes_turns_whatever_the_weights() {
    assert_eq!(fill(&[1, 2, 3].map(Backend::sample), 7), [1, 2, 3, 1, 2, 3, 1]);
    let weights = [u32::MAX, 1, 5];
    let backends = [7, 3, 5].map(Backend::sample).into_iter().zip(weights);
    let weighted: Vec<Backend> = backends.map(|(backend, weight)| backend.weight(weight)).collect();
    assert_eq!(fill(&weighted, 7), [7, 3, 5, 7, 3, 5, 7]);
}

#[test]
fn only_usable_backends_appear() {
    let backends = [
        Backend::sample(1).weight(0),
        Backend::sample(2).state(BackendState::DRAINING),
        Backend::sample(3).state(BackendState::DOWN),
        Backend::sample(4).state(BackendState::OVERLOADED),
        Backend::sample(5),
    ];
    assert_eq!(fill(&backends, 3), [5, 5, 5]);
    assert_eq!(fill(&backends[..4], 3), [NO_BACKEND; 3]);
    assert_eq!(fill(&[], 2), [NO_BACKEND; 2]);
}

/// LVS as it is written: from the last one that was chosen on, round the list, to the next one that takes connections.
fn lvs(backends: &[Backend], picks: u32) -> Vec<u32> {
    let mut last = backends.len().wrapping_sub(1);
    let pick = |_| {
        let after = (1..=backends.len()).map(|step| (last + step) % backends.len());
        let next = after.into_iter().find(|&at| backends[at].usable());
        next.map_or(NO_BACKEND, |at| {
            last = at;
            backends[at].id
        })
    };
    (0..picks).map(pick).collect()
}

#[test]
fn ten_thousand_services_take_turns_as_with_lvs() {
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut rr, _) = configure::<RoundRobin>(&[]).unwrap();
        for _ in 0..6 {
            world.step();
            world.tell(&mut rr);
            let slots = world.below(60);
            let table = rr.fill(slots).unwrap();
            assert_eq!(table, lvs(&world.backends, slots), "{world:?}");
            let found = shares(&table);
            let (most, least) = (found.values().max(), found.values().min());
            assert!(most.zip(least).is_none_or(|(most, least)| most - least <= 1), "{world:?}: {table:?}");
        }
    }
}
