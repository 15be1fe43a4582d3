//! Source hashing, natively, against its definition.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../../../plugins-sdk/tests/models/hashing.rs"]
mod hashing;

use wvs_plugin::testing::{World, configure, shares};
use wvs_plugin::{Backend, BackendState, Dispatch, HashKey, NO_BACKEND, Scheduler};
use wvs_plugin_sh::SourceHash;

#[test]
fn the_port_counts_if_it_shall() {
    let dispatch = |given: &[(&str, &str)]| configure::<SourceHash>(given).map(|(_, dispatch)| dispatch);
    assert!(matches!(dispatch(&[]), Ok(Dispatch::Hash(HashKey::Source))));
    assert!(matches!(dispatch(&[("port", "true")]), Ok(Dispatch::Hash(HashKey::SourceAndPort))));
    assert_eq!(dispatch(&[("port", "1")]).unwrap_err(), "parameter port is 1, wanted true or false");
    assert_eq!(
        dispatch(&[("fallback", "no")]).unwrap_err(),
        "parameter fallback is no, wanted true or false"
    );
}

#[test]
fn only_usable_backends_appear() {
    for (fallback, expected) in [("true", vec![(2, 48), (3, 16)]), ("false", vec![(2, 24), (3, 8)])] {
        let (mut sh, _) = configure::<SourceHash>(&[("fallback", fallback)]).unwrap();
        assert_eq!(sh.fill(2).unwrap(), [NO_BACKEND; 2]);
        let away = Backend::sample(1).weight(4).state(BackendState::DRAINING);
        sh.update(&[away, Backend::sample(2).weight(3), Backend::sample(3)])
            .unwrap();
        let table = sh.fill(64).unwrap();
        let found = shares(&table);
        // Its clients go to the others by their weights, on average.
        for (id, share) in expected {
            assert!(found[&id].abs_diff(share) <= if fallback == "true" { 6 } else { 0 }, "{found:?}");
        }
        assert_eq!(table.contains(&NO_BACKEND), fallback == "false");
        sh.update(&[away]).unwrap();
        assert_eq!(sh.fill(2).unwrap(), [NO_BACKEND; 2]);
    }
}

#[test]
fn ten_thousand_services_are_as_defined() {
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let mut sh = [true, false].map(|fallback| {
            let given = [("fallback", if fallback { "true" } else { "false" })];
            (fallback, configure::<SourceHash>(&given).unwrap().0)
        });
        for _ in 0..4 {
            world.step();
            let slots = world.below(60);
            let mut listed = hashing::sorted(&world.backends);
            listed.retain(|backend| backend.weight > 0);
            let places = hashing::places(&listed, slots);
            for (fallback, sh) in &mut sh {
                sh.update(&world.backends).unwrap();
                let expected = hashing::served(places.clone(), &listed, *fallback);
                assert_eq!(sh.fill(slots).unwrap(), expected, "{world:?}");
            }
        }
    }
}

#[test]
fn whoever_goes_moves_nobody_else() {
    hashing::nobody_else_moves::<SourceHash>(false);
}

#[test]
fn losing_a_backend_moves_few_others() {
    hashing::few_others_move::<SourceHash>((5.1, 9.1), (5.1, 9.1));
}
