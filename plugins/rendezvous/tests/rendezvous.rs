//! Weighted rendezvous hashing, natively, against the textbook's formula in floating point.
#![allow(clippy::unwrap_used)]

use wvs_plugin::testing::{World, configure, shares};
use wvs_plugin::{Backend, Dispatch, HashKey, NO_BACKEND, Scheduler, mix};
use wvs_plugin_rendezvous::Rendezvous;

fn fill(backends: &[Backend], slots: u32) -> Vec<u32> {
    let (mut rendezvous, _) = configure::<Rendezvous>(&[]).unwrap();
    rendezvous.update(backends).unwrap();
    rendezvous.fill(slots).unwrap()
}

#[test]
fn the_key_is_what_its_parameter_says() {
    let key = |value| match configure::<Rendezvous>(&[("key", value)]).unwrap().1 {
        Dispatch::Hash(key) => key,
        other => panic!("{other:?}"),
    };
    assert!(matches!(key("source"), HashKey::Source));
    assert!(matches!(key("source-and-port"), HashKey::SourceAndPort));
    assert!(matches!(key("destination"), HashKey::Destination));
    assert!(matches!(key("both"), HashKey::Both));
    let refused = configure::<Rendezvous>(&[("key", "moon")]).unwrap_err();
    assert_eq!(refused, "parameter key cannot be moon");
}

/// −ln(u) / weight, with u between 0 and 1 from the slot and the backend.
fn cost(backend: &Backend, slot: u32) -> f64 {
    let random = mix(backend.hash(0) ^ mix(slot.wrapping_add(0x9e37_79b9)));
    -((f64::from(random) + 1.0) / 4_294_967_296.0).ln() / f64::from(backend.weight)
}

/// Each slot has the best backend of the formula, or one that is worse by less than the
/// thousandth or two that reckoning in integers may be off.
#[test]
fn ten_thousand_services_follow_the_formula() {
    let (mut exact, mut all) = (0, 0);
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut rendezvous, _) = configure::<Rendezvous>(&[]).unwrap();
        for _ in 0..4 {
            world.step();
            world.tell(&mut rendezvous);
            let table = rendezvous.fill(16).unwrap();
            assert_eq!(table.len(), 16);
            let usable: Vec<&Backend> = world.backends.iter().filter(|known| known.usable()).collect();
            for (&id, slot) in table.iter().zip(0..) {
                let Some(best) = usable
                    .iter()
                    .min_by(|a, b| cost(a, slot).total_cmp(&cost(b, slot)))
                else {
                    assert_eq!(id, NO_BACKEND);
                    continue;
                };
                let chosen = usable.iter().find(|known| known.id == id).unwrap();
                assert!(cost(chosen, slot) <= cost(best, slot) * 1.002 + 3e-8, "{world:?}: {table:?}");
                exact += u64::from(id == best.id);
                all += 1;
            }
        }
    }
    assert!(exact * 10_000 > all * 9_990, "{exact} of {all}");
}

#[test]
fn whoever_leaves_or_comes_moves_nobody_else() {
    let all: Vec<Backend> = (1..=20)
        .map(|id| Backend::sample(id).weight(1 + id % 4))
        .collect();
    let with = fill(&all, 1024);
    for gone in &all {
        let rest: Vec<Backend> = all.iter().filter(|known| known.id != gone.id).copied().collect();
        for (before, after) in with.iter().zip(fill(&rest, 1024)) {
            assert!(*before == after || *before == gone.id);
        }
    }
    // A weight that rises takes slots and moves no others.
    let mut heavier = all.clone();
    heavier[4].weight += 5;
    for (before, after) in with.iter().zip(fill(&heavier, 1024)) {
        assert!(*before == after || after == heavier[4].id);
    }
}

/// Four standard deviations of a binomial distribution.
#[test]
fn shares_follow_the_weights_on_average() {
    let all: Vec<Backend> = (1..=12).map(|id| Backend::sample(id).weight(id)).collect();
    let found = shares(&fill(&all, 4096));
    for backend in &all {
        let odds = f64::from(backend.weight) / 78.0;
        let off = (found[&backend.id] as f64 - 4096.0 * odds).abs();
        assert!(off < 4.0 * (4096.0 * odds * (1.0 - odds)).sqrt(), "{backend:?}: {off}");
    }
}
