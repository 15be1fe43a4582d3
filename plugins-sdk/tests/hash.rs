//! Hash tables: proportional, the same on every director, and steady.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use wvs_plugin::testing::shares;
use wvs_plugin::{Backend, BackendState, NO_BACKEND, apportion, fill_by_hash};

fn backends(weights: &[u32]) -> Vec<Backend> {
    weights
        .iter()
        .zip(1..)
        .map(|(&weight, id)| Backend::sample(id).weight(weight))
        .collect()
}

/// Slots that belong to another backend than before, although theirs is still there.
fn moved(before: &[u32], after: &[u32], gone: u32) -> usize {
    before
        .iter()
        .zip(after)
        .filter(|(before, after)| **before != gone && before != after)
        .count()
}

#[test]
fn losing_a_backend_moves_few_other_slots() {
    for (count, slots, limit) in [(3, 256, 2), (10, 256, 5), (10, 4096, 2), (100, 4096, 4)] {
        let weights: Vec<u32> = (0..count).map(|n| 1 + n % 3).collect();
        let all = backends(&weights);
        let before = fill_by_hash(&all, slots, true);
        let mut total = 0;
        // Ten of them are enough to go by.
        for gone in all.iter().take(10) {
            let rest: Vec<Backend> = all
                .iter()
                .filter(|backend| backend.id != gone.id)
                .copied()
                .collect();
            total += moved(&before, &fill_by_hash(&rest, slots, true), gone.id);
        }
        let percent = 100.0 * total as f64 / (f64::from(count.min(10)) * f64::from(slots));
        assert!(percent < f64::from(limit), "{count} backends, {slots} slots: {percent} %");
    }
}

#[test]
fn nobody_usable_means_empty_slots() {
    let all = [
        Backend::sample(1).weight(0),
        Backend::sample(2).state(BackendState::DOWN),
    ];
    assert_eq!(fill_by_hash(&all, 3, true), [NO_BACKEND; 3]);
    assert_eq!(fill_by_hash(&[], 2, true), [NO_BACKEND; 2]);
    assert!(fill_by_hash(&backends(&[1]), 0, true).is_empty());
}

#[test]
fn two_backends_of_one_address_both_get_their_share() {
    let twins = [
        Backend::sample(1),
        Backend {
            id: 2,
            ..Backend::sample(1)
        },
    ];
    assert_eq!(
        shares(&fill_by_hash(&twins, 10, true))
            .into_values()
            .collect::<Vec<_>>(),
        [5, 5]
    );
}

/// Directors of different versions run side by side during an upgrade: a change of this table
/// moves clients, so it must not happen unnoticed.
#[test]
fn the_table_is_what_it_always_was() {
    let table = fill_by_hash(&backends(&[1, 2, 3]), 24, true);
    assert_eq!(
        table,
        [
            3, 3, 3, 1, 3, 3, 1, 2, 2, 3, 2, 3, 2, 2, 2, 3, 3, 2, 3, 1, 1, 2, 3, 3
        ]
    );
}

proptest! {
    #[test]
    fn shares_follow_the_weights(weights in prop::collection::vec(0_u32..50, 1..12), slots in 1_u32..600) {
        prop_assume!(weights.iter().any(|&weight| weight > 0));
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let found = shares(&fill_by_hash(&backends(&weights), slots, true));
        prop_assert_eq!(found.values().sum::<usize>(), slots as usize);
        for (weight, id) in weights.iter().zip(1_u32..) {
            let share = found.get(&id).copied().unwrap_or(0) as u64;
            let product = u64::from(*weight) * u64::from(slots);
            prop_assert!(share >= product / total && share <= product.div_ceil(total));
        }
    }

    /// Neither numbering nor order matters.
    #[test]
    fn directors_agree(weights in prop::collection::vec(1_u32..9, 1..10), turn in 0_usize..10) {
        let ours = backends(&weights);
        let mut theirs: Vec<Backend> =
            ours.iter().map(|backend| Backend { id: 1000 - backend.id, ..*backend }).collect();
        let turn = turn % theirs.len();
        theirs.rotate_left(turn);
        let renumbered: Vec<u32> = fill_by_hash(&theirs, 128, true).iter().map(|id| 1000 - id).collect();
        prop_assert_eq!(fill_by_hash(&ours, 128, true), renumbered);
        prop_assert_eq!(apportion(&weights, 128).iter().sum::<u32>(), 128);
    }
}
