//! Maglev hashing, natively, against the algorithm as its paper writes it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../../../plugins-sdk/tests/models/hashing.rs"]
mod hashing;

use std::collections::BTreeMap;

use wvs_plugin::testing::{World, configure, shares};
use wvs_plugin::{Backend, Dispatch, HashKey, NO_BACKEND, Scheduler};
use wvs_plugin_mh::Maglev;

fn fill(backends: &[Backend], slots: u32) -> Vec<u32> {
    let (mut mh, _) = configure::<Maglev>(&[]).unwrap();
    mh.update(backends).unwrap();
    mh.fill(slots).unwrap()
}

#[test]
fn the_port_counts_if_it_shall() {
    let dispatch = |given: &[(&str, &str)]| configure::<Maglev>(given).map(|(_, dispatch)| dispatch);
    assert!(matches!(dispatch(&[]), Ok(Dispatch::Hash(HashKey::Source))));
    assert!(matches!(dispatch(&[("port", "true")]), Ok(Dispatch::Hash(HashKey::SourceAndPort))));
}

fn prime_from(number: u32) -> u32 {
    (number.max(3)..).find(|n| (2..*n).all(|d| n % d != 0)).unwrap()
}

/// The paper: a permutation of the slots for each backend, then turns. Weights here are up to 6, so
/// with 64 slots and more they are LVS's turns without their common divisor.
fn paper(listed: &[Backend], slots: u32) -> Vec<u32> {
    let prime = prime_from(slots);
    let permutation = |backend: &Backend| -> Vec<usize> {
        let offset = backend.hash(0x6d61_676c) % prime;
        let skip = backend.hash(0x6576_6d68) % (prime - 1) + 1;
        let all = (0..prime)
            .map(|n| ((u64::from(offset) + u64::from(n) * u64::from(skip)) % u64::from(prime)) as usize);
        all.filter(|slot| *slot < slots as usize).collect()
    };
    let divisor = (1..=6)
        .rev()
        .find(|n| listed.iter().all(|known| known.weight % n == 0))
        .unwrap_or(1);
    let mut table = vec![NO_BACKEND; slots as usize];
    let orders: Vec<Vec<usize>> = listed.iter().map(permutation).collect();
    while !listed.is_empty() && table.contains(&NO_BACKEND) {
        for (backend, order) in listed.iter().zip(&orders) {
            for _ in 0..backend.weight / divisor {
                if let Some(&slot) = order.iter().find(|&&slot| table[slot] == NO_BACKEND) {
                    table[slot] = backend.id;
                }
            }
        }
    }
    table
}

/// What each backend's last weight was that was not 0, since it is listed.
#[derive(Default)]
struct Memory(BTreeMap<u32, u32>);

impl Memory {
    /// Those that have places, by these weights and as they are.
    fn update(&mut self, backends: &[Backend]) -> (Vec<Backend>, Vec<Backend>) {
        self.0
            .retain(|id, _| backends.iter().any(|known| known.id == *id));
        let weighty = backends.iter().filter(|known| known.weight > 0);
        self.0.extend(weighty.map(|known| (known.id, known.weight)));
        let mut listed = hashing::sorted(backends);
        listed.retain(|known| self.0.contains_key(&known.id));
        let placed = listed.iter().map(|known| known.weight(self.0[&known.id]));
        (placed.collect(), listed)
    }
}

#[test]
fn ten_thousand_services_are_as_in_the_paper() {
    let mut remembered = 0;
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let mut memory = Memory::default();
        let mut mh = [true, false].map(|fallback| {
            let given = [("fallback", if fallback { "true" } else { "false" })];
            (fallback, configure::<Maglev>(&given).unwrap().0)
        });
        for _ in 0..4 {
            world.step();
            let slots = 64 + world.below(40);
            let (placed, listed) = memory.update(&world.backends);
            remembered += listed.iter().filter(|known| known.weight == 0).count();
            let places = paper(&placed, slots);
            for (fallback, mh) in &mut mh {
                mh.update(&world.backends).unwrap();
                let expected = hashing::served(places.clone(), &listed, *fallback);
                assert_eq!(mh.fill(slots).unwrap(), expected, "{world:?}");
            }
        }
    }
    assert!(remembered > 100, "{remembered}");
}

/// Also where some have lost their weight, as long as they have heard the same.
#[test]
fn directors_that_heard_the_same_agree() {
    for seed in 0..1000 {
        let mut world = World::new(seed);
        let (mut mine, _) = configure::<Maglev>(&[]).unwrap();
        let (mut theirs, _) = configure::<Maglev>(&[]).unwrap();
        for _ in 0..8 {
            world.step();
            mine.update(&world.backends).unwrap();
            let mut other = world.backends.clone();
            other.reverse();
            other
                .iter_mut()
                .for_each(|backend| backend.id = 1000 - backend.id);
            theirs.update(&other).unwrap();
            let renumbered = |id: u32| if id == NO_BACKEND { id } else { 1000 - id };
            let theirs: Vec<u32> = theirs.fill(64).unwrap().into_iter().map(renumbered).collect();
            assert_eq!(mine.fill(64).unwrap(), theirs, "{world:?}");
        }
    }
}

#[test]
fn a_weight_is_remembered_as_long_as_its_backend_is_listed() {
    let all: Vec<Backend> = (1..=4).map(Backend::sample).collect();
    let mut weightless = all.clone();
    weightless[3].weight = 0;
    // Whoever has begun just now does not know it: without places it is as if it were not there.
    let without = fill(&all[..3], 64);
    assert_eq!(fill(&weightless, 64), without);
    let (mut mh, _) = configure::<Maglev>(&[("fallback", "false")]).unwrap();
    mh.update(&all).unwrap();
    mh.update(&weightless).unwrap();
    mh.update(&weightless).unwrap();
    assert_eq!(
        mh.fill(64)
            .unwrap()
            .iter()
            .filter(|id| **id == NO_BACKEND)
            .count(),
        16
    );
    mh.update(&all[..3]).unwrap();
    mh.update(&weightless).unwrap();
    assert_eq!(mh.fill(64).unwrap(), without);
}

#[test]
fn directors_agree_whatever_their_ids_and_order() {
    for seed in 0..1000 {
        let mut world = World::new(seed);
        (0..8).for_each(|_| world.step());
        let mut other = world.backends.clone();
        other.reverse();
        other
            .iter_mut()
            .for_each(|backend| backend.id = 1000 - backend.id);
        let renumbered = |id: u32| if id == NO_BACKEND { id } else { 1000 - id };
        let theirs: Vec<u32> = fill(&other, 64).into_iter().map(renumbered).collect();
        assert_eq!(fill(&world.backends, 64), theirs);
    }
}

#[test]
fn whoever_goes_moves_nobody_else() {
    hashing::nobody_else_moves::<Maglev>(true);
}

#[test]
fn losing_a_backend_moves_few_others() {
    hashing::few_others_move::<Maglev>((8.5, 11.0), (0.0, 0.0));
}

#[test]
fn every_size_and_weight_is_served() {
    for slots in [0, 1, 2, 3, 16, 17, 256, 4093, 4096] {
        let weights = [1, u32::MAX, 70_000, 3];
        let all = weights
            .iter()
            .zip(1..)
            .map(|(&weight, id)| Backend::sample(id).weight(weight));
        let table = fill(&all.collect::<Vec<_>>(), slots);
        assert_eq!((table.len(), table.contains(&NO_BACKEND)), (slots as usize, false));
    }
    assert_eq!(fill(&[], 3), [NO_BACKEND; 3]);
    assert_eq!(fill(&[Backend::sample(1).weight(0)], 3), [NO_BACKEND; 3]);
    // More turns than slots are made fewer, so that nobody is left out.
    let many: Vec<Backend> = (1..=100)
        .map(|id| Backend::sample(id).weight(1 + id % 50))
        .collect();
    assert_eq!(shares(&fill(&many, 256)).len(), 100);
    // Equal backends have equal shares, within one.
    let equal: Vec<Backend> = (1..=9).map(Backend::sample).collect();
    assert!(
        shares(&fill(&equal, 256))
            .values()
            .all(|share| [28, 29].contains(share))
    );
}
