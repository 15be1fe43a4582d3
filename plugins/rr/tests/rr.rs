//! Round robin, natively.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use wvs_plugin::testing::{configure, shares};
use wvs_plugin::{Backend, BackendState, Dispatch, NO_BACKEND, Scheduler};
use wvs_plugin_rr::RoundRobin;

fn fill(backends: &[Backend], slots: u32) -> Vec<u32> {
    let (mut rr, dispatch) = configure::<RoundRobin>(&[]).unwrap();
    assert!(matches!(dispatch, Dispatch::Cycle));
    rr.update(backends).unwrap();
    rr.fill(slots).unwrap()
}

#[test]
fn equal_backends_take_turns() {
    assert_eq!(fill(&[1, 2, 3].map(Backend::sample), 7), [1, 2, 3, 1, 2, 3, 1]);
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

proptest! {
    #[test]
    fn a_table_has_the_size_and_the_shares_asked_for(
        weights in prop::collection::vec(0_u32..100, 0..20),
        slots in 0_u32..500,
    ) {
        let backends: Vec<Backend> =
            weights.iter().zip(1..).map(|(&weight, id)| Backend::sample(id).weight(weight)).collect();
        let table = fill(&backends, slots);
        prop_assert_eq!(table.len(), slots as usize);
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let found = shares(&table);
        prop_assert_eq!(found.values().sum::<usize>(), if total > 0 { slots as usize } else { 0 });
        for (weight, id) in weights.iter().zip(1_u32..) {
            let share = found.get(&id).copied().unwrap_or(0) as u64;
            let product = u64::from(*weight) * u64::from(slots);
            prop_assert!(total == 0 || (share >= product / total && share <= product.div_ceil(total)));
        }
    }
}
