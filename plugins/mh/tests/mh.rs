//! Maglev hashing, natively, against the algorithm as its paper writes it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use wvs_plugin::testing::{World, configure, shares};
use wvs_plugin::{Backend, BackendState, Dispatch, HashKey, NO_BACKEND, Scheduler};
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
fn paper(backends: &[Backend], slots: u32) -> Vec<u32> {
    let mut sorted: Vec<&Backend> = backends.iter().filter(|backend| backend.weight > 0).collect();
    sorted.sort_by_key(|backend| (backend.address.d, backend.port));
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
        .find(|n| sorted.iter().all(|known| known.weight % n == 0))
        .unwrap_or(1);
    let mut table = vec![NO_BACKEND; slots as usize];
    let populate = |backends: &[&Backend], table: &mut Vec<u32>| {
        let orders: Vec<Vec<usize>> = backends.iter().map(|backend| permutation(backend)).collect();
        while !backends.is_empty() && table.contains(&NO_BACKEND) {
            for (backend, order) in backends.iter().zip(&orders) {
                for _ in 0..backend.weight / divisor {
                    if let Some(&slot) = order.iter().find(|&&slot| table[slot] == NO_BACKEND) {
                        table[slot] = backend.id;
                    }
                }
            }
        }
    };
    populate(&sorted, &mut table);
    let usable: Vec<&Backend> = sorted.into_iter().filter(|backend| backend.usable()).collect();
    for entry in &mut table {
        if !usable.iter().any(|backend| backend.id == *entry) {
            *entry = NO_BACKEND;
        }
    }
    populate(&usable, &mut table);
    table
}

#[test]
fn ten_thousand_services_are_as_in_the_paper() {
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut mh, _) = configure::<Maglev>(&[]).unwrap();
        for _ in 0..2 {
            world.step();
            world.tell(&mut mh);
            let slots = 64 + world.below(40);
            assert_eq!(mh.fill(slots).unwrap(), paper(&world.backends, slots), "{world:?}");
        }
    }
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
fn who_drains_fails_or_comes_back_moves_nobody_else() {
    let all: Vec<Backend> = (1..=10)
        .map(|id| Backend::sample(id).weight(1 + id % 3))
        .collect();
    let before = fill(&all, 1024);
    for (index, state) in [
        (3, BackendState::DRAINING),
        (7, BackendState::DOWN),
        (8, BackendState::OVERLOADED),
    ] {
        let mut away = all.clone();
        away[index].state = state;
        for (before, after) in before.iter().zip(fill(&away, 1024)) {
            assert!(after != away[index].id && (*before == after || *before == away[index].id));
        }
    }
}

/// The share of the other backends' slots that move when one is removed, on average over all backends. Prints what it
/// measures.
#[test]
fn losing_a_backend_moves_few_others() {
    for (count, slots, limit) in [(3, 256, 9.0), (10, 256, 7.0), (10, 4096, 4.0), (100, 4096, 5.0)] {
        let all: Vec<Backend> = (1..=count).map(Backend::sample).collect();
        let before = fill(&all, slots);
        let (mut moved, mut others) = (0, 0);
        for gone in &all {
            let rest: Vec<Backend> = all.iter().filter(|known| known.id != gone.id).copied().collect();
            for (before, after) in before.iter().zip(fill(&rest, slots)) {
                others += u32::from(*before != gone.id);
                moved += u32::from(*before != gone.id && *before != after);
            }
        }
        let percent = 100.0 * f64::from(moved) / f64::from(others);
        println!("{count} backends, {slots} slots: {percent:.2} % of the others' slots move");
        assert!(percent < limit, "{count} backends, {slots} slots: {percent} %");
    }
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
