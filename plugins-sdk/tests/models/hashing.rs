//! Tables by hash, made naively from their definition, and what becomes of clients when a backend goes.
#![allow(dead_code)]

use wvs_plugin::testing::{World, configure};
use wvs_plugin::{Backend, BackendState, NO_BACKEND, Scheduler, mix};

/// −log2 of `(x + 1) / 2^32` with 26 fractional bits, as log2(1 + f) ≈ f + 0.344·f·(1 − f).
fn coarse(x: u32) -> u128 {
    let zeros = u128::from(x.leading_zeros().min(31));
    let f = (u128::from(x) << (zeros + 1)) % (1 << 32) / 64;
    let rest = (1 << 26) - f;
    (zeros << 26) + rest - f * rest / (1 << 26) * 352 / 1024
}

/// The same, as log2(1 + f) ≈ f + f·(1 − f)·(0.4344 − 0.2204·f + 0.0649·f²).
fn close(x: u32) -> u128 {
    let one: u128 = 1 << 32;
    let zeros = u128::from(x.leading_zeros().min(31));
    let f = (u128::from(x) << (zeros + 1)) % one;
    let factor = 1_865_935_477 - 946_708_986 * f / one + 278_760_128 * f / one * f / one;
    let bend = f * (one - f).min(one - 1) / one * factor / one;
    (zeros << 26) + (one - f - bend) / 64
}

fn draw(backend: &Backend, slot: u32) -> u32 {
    mix(backend.hash(0) ^ mix(slot.wrapping_add(0x9e37_79b9)))
}

/// Of some the one with the lowest cost per weight, the first of several.
fn best<'a>(
    some: impl IntoIterator<Item = &'a Backend>,
    slot: u32,
    log: impl Fn(u32) -> u128,
) -> Option<&'a Backend> {
    let costs = some.into_iter().map(|it| (log(draw(it, slot)), it));
    let lowest = costs.reduce(|best, other| {
        let cheaper = other.0 * u128::from(best.1.weight) < best.0 * u128::from(other.1.weight);
        if cheaper { other } else { best }
    });
    lowest.map(|(_, it)| it)
}

pub fn sorted(backends: &[Backend]) -> Vec<Backend> {
    let mut sorted = backends.to_vec();
    sorted.sort_by_key(Backend::identity);
    sorted
}

/// Largest remainders, the first of equals.
fn quotas(backends: &[Backend], slots: u32) -> Vec<usize> {
    let total: u64 = backends.iter().map(|it| u64::from(it.weight)).sum();
    let due = |it: &Backend| u64::from(it.weight) * u64::from(slots);
    let mut quotas: Vec<usize> = backends.iter().map(|it| (due(it) / total) as usize).collect();
    let mut order: Vec<usize> = (0..backends.len()).collect();
    order.sort_by_key(|&index| total - due(&backends[index]) % total);
    let left = slots as usize - quotas.iter().sum::<usize>();
    order[..left].iter().for_each(|&index| quotas[index] += 1);
    quotas
}

/// Whose place each slot is: whose draw is best, after those above their share have given up their weakest.
pub fn places(listed: &[Backend], slots: u32) -> Vec<u32> {
    if listed.is_empty() {
        return vec![NO_BACKEND; slots as usize];
    }
    let mut places: Vec<u32> = (0..slots)
        .map(|slot| best(listed, slot, coarse).unwrap().id)
        .collect();
    let quotas = quotas(listed, slots);
    let count = |places: &[u32], id| places.iter().filter(|place| **place == id).count();
    let held: Vec<usize> = listed.iter().map(|it| count(&places, it.id)).collect();
    let mut given_up = Vec::new();
    for ((it, quota), held) in listed.iter().zip(&quotas).zip(&held) {
        let mut own: Vec<u32> = (0..slots)
            .filter(|slot| places[*slot as usize] == it.id)
            .collect();
        own.sort_by_key(|&slot| (draw(it, slot), slot));
        given_up.extend(own.into_iter().take(held.saturating_sub(*quota)));
    }
    let mut wanting: Vec<usize> = quotas
        .iter()
        .zip(&held)
        .map(|(quota, held)| quota.saturating_sub(*held))
        .collect();
    for slot in given_up {
        let takers: Vec<Backend> = listed
            .iter()
            .zip(&wanting)
            .filter(|(_, wants)| **wants > 0)
            .map(|(it, _)| *it)
            .collect();
        let id = best(&takers, slot, coarse).unwrap().id;
        wanting[listed.iter().position(|it| it.id == id).unwrap()] -= 1;
        places[slot as usize] = id;
    }
    places
}

/// Who serves where the backend of a place takes nobody.
pub fn served(places: Vec<u32>, listed: &[Backend], fallback: bool) -> Vec<u32> {
    let usable: Vec<Backend> = listed.iter().filter(|it| it.usable()).copied().collect();
    let serves = |(slot, place): (u32, u32)| {
        if usable.iter().any(|it| it.id == place) {
            return place;
        }
        let other = best(&usable, slot, close).filter(|_| fallback);
        other.map_or(NO_BACKEND, |it| it.id)
    };
    (0..).zip(places).map(serves).collect()
}

const STATES: [BackendState; 3] = [
    BackendState::DRAINING,
    BackendState::DOWN,
    BackendState::OVERLOADED,
];

fn told<S: Scheduler>(scheduler: &mut S, backends: &[Backend], slots: u32) -> Vec<u32> {
    scheduler.update(backends).unwrap();
    scheduler.fill(slots).unwrap()
}

/// In ten thousand services, whoever else is away: one that goes moves its own clients only, to others that take them or,
/// without a fallback, nowhere; and when it comes back, all is as before. `weightless`: at weight 0 as well.
pub fn nobody_else_moves<S: Scheduler>(weightless: bool) {
    let (mut moved, mut refused) = (0, 0);
    for seed in 0..10_000 {
        let fallback = seed % 2 == 0;
        let given = if fallback { "true" } else { "false" };
        let (mut scheduler, _) = configure::<S>(&[("fallback", given)]).unwrap();
        let mut world = World::new(seed);
        for _ in 0..6 {
            world.step();
            world.tell(&mut scheduler);
        }
        let slots = 16 + world.below(60);
        let before = scheduler.fill(slots).unwrap();
        for index in 0..world.backends.len() {
            let gone = world.backends[index];
            let mut others = world.backends.clone();
            match (weightless && world.below(2) == 0, world.below(3)) {
                (true, _) => others[index].weight = 0,
                (false, state) => others[index].state = STATES[state as usize],
            }
            let takers = others.iter().any(Backend::usable);
            for (was, is) in before.iter().zip(told(&mut scheduler, &others, slots)) {
                if *was != gone.id {
                    assert_eq!(*was, is, "{gone:?} of {world:?}");
                    continue;
                }
                assert!(is != gone.id && (is != NO_BACKEND) == (fallback && takers), "{gone:?} of {world:?}");
                moved += u32::from(is != NO_BACKEND);
                refused += u32::from(is == NO_BACKEND);
            }
            assert_eq!(told(&mut scheduler, &world.backends, slots), before, "{gone:?} of {world:?}");
        }
    }
    assert!(moved > 100_000 && refused > 100_000, "{moved} {refused}");
}

/// Which percentage of the other backends' slots moves, on average over all of them and at worst.
fn remap<S: Scheduler>(count: u32, slots: u32, go: impl Fn(&mut Vec<Backend>, usize)) -> (f64, f64) {
    let all: Vec<Backend> = (1..=count).map(Backend::sample).collect();
    let (mut scheduler, _) = configure::<S>(&[]).unwrap();
    let shares: Vec<f64> = (0..all.len())
        .map(|index| {
            let before = told(&mut scheduler, &all, slots);
            let mut rest = all.clone();
            go(&mut rest, index);
            let after = told(&mut scheduler, &rest, slots);
            let others = before
                .iter()
                .zip(&after)
                .filter(|(was, _)| **was != all[index].id);
            let (of, moved) = others.fold((0, 0), |sum, (was, is)| (sum.0 + 1, sum.1 + u32::from(was != is)));
            100.0 * f64::from(moved) / f64::from(of)
        })
        .collect();
    (shares.iter().sum::<f64>() / f64::from(count), shares.into_iter().fold(0.0, f64::max))
}

/// Measures and prints what becomes of the others' slots: average and worst percentage that may move when a backend of 3
/// to 20 is removed, and when it gets weight 0. With drains, failures and full ones none do.
pub fn few_others_move<S: Scheduler>(removed: (f64, f64), weightless: (f64, f64)) {
    type Go = fn(&mut Vec<Backend>, usize);
    let ways: [(&str, (f64, f64), Go); 5] = [
        ("removed", removed, |all, index| {
            all.remove(index);
        }),
        ("weight 0", weightless, |all, index| all[index].weight = 0),
        ("drained", (0.0, 0.0), |all, index| all[index].state = BackendState::DRAINING),
        ("down", (0.0, 0.0), |all, index| all[index].state = BackendState::DOWN),
        ("full", (0.0, 0.0), |all, index| all[index].state = BackendState::OVERLOADED),
    ];
    for (count, slots) in [(3, 256), (10, 256), (20, 256), (3, 4096), (10, 4096), (20, 4096)] {
        for (what, limits, go) in ways {
            let (average, worst) = remap::<S>(count, slots, go);
            let name = S::ABOUT.name;
            println!(
                "{name}: {what} one of {count}, {slots} slots: {average:.2} % of the others' slots move, {worst:.2} % at worst"
            );
            assert!(
                average <= limits.0 && worst <= limits.1,
                "{name}: {what} one of {count}: {average} {worst}"
            );
        }
    }
}
