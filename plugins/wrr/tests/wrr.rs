//! Weighted round robin, natively, against LVS's walk.
#![allow(clippy::unwrap_used)]

use wvs_plugin::testing::{World, configure, shares};
use wvs_plugin::{Backend, BackendState, NO_BACKEND, Scheduler};
use wvs_plugin_wrr::WeightedRoundRobin;

fn fill(weights: &[u32], slots: u32) -> Vec<u32> {
    let (mut wrr, _) = configure::<WeightedRoundRobin>(&[]).unwrap();
    let backends = weights
        .iter()
        .zip(1..)
        .map(|(&weight, id)| Backend::sample(id).weight(weight));
    wrr.update(&backends.collect::<Vec<_>>()).unwrap();
    wrr.fill(slots).unwrap()
}

fn letters(table: &[u32]) -> String {
    table.iter().map(|&id| char::from(b'@' + id as u8)).collect()
}

#[test]
fn the_order_is_that_of_lvs() {
    assert_eq!(letters(&fill(&[5, 2], 14)), "AAAABABAAAABAB");
    assert_eq!(letters(&fill(&[4, 3, 2], 9)), "AABABCABC");
    assert_eq!(letters(&fill(&[8, 6, 4], 9)), "AABABCABC");
    assert_eq!(letters(&fill(&[1, 1, 1], 7)), "ABCABCA");
}

#[test]
fn a_round_that_does_not_fit_is_a_smaller_one_in_proportion() {
    assert_eq!(letters(&fill(&[3000, 1000], 4)), "AAAB");
    assert_eq!(letters(&fill(&[3001, 1000], 8)), "AAABAAAB");
    // One round of seven, and a smaller one of four.
    assert_eq!(letters(&fill(&[5, 2], 11)), "AAAABABAAAB");
    assert_eq!(fill(&[u32::MAX, u32::MAX, 1], 6), [1, 2, 1, 2, 1, 2]);
}

#[test]
fn only_usable_backends_appear() {
    let (mut wrr, _) = configure::<WeightedRoundRobin>(&[]).unwrap();
    let away = Backend::sample(2).weight(9).state(BackendState::DRAINING);
    wrr.update(&[Backend::sample(1).weight(0), away, Backend::sample(3)])
        .unwrap();
    assert_eq!(wrr.fill(3).unwrap(), [3; 3]);
    wrr.update(&[away]).unwrap();
    assert_eq!(wrr.fill(2).unwrap(), [NO_BACKEND; 2]);
}

/// LVS as it is written: a pointer walks the list, and a level sinks by the common divisor each time
/// the pointer is at the head.
fn lvs(weights: &[u32], picks: usize) -> Vec<usize> {
    let divisor = (1..=60)
        .rev()
        .find(|n| weights.iter().all(|weight| weight % n == 0))
        .unwrap();
    let highest = weights.iter().copied().max().unwrap() - (divisor - 1);
    let (mut level, mut at) = (highest as i64, 0);
    let mut picked = Vec::new();
    while picked.len() < picks {
        if at == weights.len() {
            at = 0;
            level -= i64::from(divisor);
            if level <= 0 {
                level = highest.into();
            }
        }
        if weights[at] > 0 && i64::from(weights[at]) >= level {
            picked.push(at);
        }
        at += 1;
    }
    picked
}

#[test]
fn ten_thousand_services_are_walked_as_by_lvs() {
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut wrr, _) = configure::<WeightedRoundRobin>(&[]).unwrap();
        for _ in 0..6 {
            world.step();
            world.tell(&mut wrr);
            let slots = world.below(60);
            check(&world.backends, slots, &wrr.fill(slots).unwrap());
        }
    }
}

fn check(backends: &[Backend], slots: u32, table: &[u32]) {
    assert_eq!(table.len(), slots as usize);
    let usable: Vec<&Backend> = backends.iter().filter(|backend| backend.usable()).collect();
    let weights: Vec<u32> = usable.iter().map(|backend| backend.weight).collect();
    let total: u32 = weights.iter().sum();
    if total == 0 {
        assert!(table.iter().all(|&id| id == NO_BACKEND));
        return;
    }
    let walk = |weights: &[u32], picks: usize| -> Vec<u32> {
        lvs(weights, picks)
            .into_iter()
            .map(|index| usable[index].id)
            .collect()
    };
    let divisor = (1..=6)
        .rev()
        .find(|n| weights.iter().all(|weight| weight % n == 0))
        .unwrap();
    let whole = (slots / (total / divisor) * (total / divisor)) as usize;
    assert_eq!(table[..whole], walk(&weights, whole), "{weights:?}, {slots} slots");
    // The rest is LVS's walk too, of its own shares as weights; and all shares are quotas rounded.
    let rest = shares(&table[whole..]);
    let small: Vec<u32> = usable
        .iter()
        .map(|backend| rest.get(&backend.id).copied().unwrap_or(0) as u32)
        .collect();
    if whole < table.len() {
        assert_eq!(table[whole..], walk(&small, table.len() - whole), "{weights:?}, {slots} slots");
    }
    let found = shares(table);
    for backend in usable {
        let share = found.get(&backend.id).copied().unwrap_or(0) as u32;
        assert!(share >= backend.weight * slots / total, "{weights:?}: {table:?}");
        assert!(share <= (backend.weight * slots).div_ceil(total), "{weights:?}: {table:?}");
    }
}
