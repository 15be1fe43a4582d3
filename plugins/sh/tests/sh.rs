//! Source hashing, natively.
#![allow(clippy::unwrap_used)]

use wvs_plugin::testing::{configure, shares};
use wvs_plugin::{Backend, BackendState, Dispatch, HashKey, NO_BACKEND, Scheduler};
use wvs_plugin_sh::SourceHash;

#[test]
fn the_port_counts_if_it_shall() {
    let dispatch = |given: &[(&str, &str)]| configure::<SourceHash>(given).map(|(_, dispatch)| dispatch);
    assert!(matches!(dispatch(&[]), Ok(Dispatch::Hash(HashKey::Source))));
    assert!(matches!(dispatch(&[("port", "true")]), Ok(Dispatch::Hash(HashKey::SourceAndPort))));
    assert_eq!(dispatch(&[("port", "1")]).unwrap_err(), "parameter port is 1, wanted true or false");
}

#[test]
fn only_usable_backends_appear() {
    let (mut sh, _) = configure::<SourceHash>(&[]).unwrap();
    assert_eq!(sh.fill(2).unwrap(), [NO_BACKEND; 2]);
    let away = Backend::sample(1).state(BackendState::DRAINING);
    sh.update(&[away, Backend::sample(2).weight(3), Backend::sample(3)])
        .unwrap();
    assert_eq!(shares(&sh.fill(64).unwrap()).into_iter().collect::<Vec<_>>(), [(2, 48), (3, 16)]);
    sh.update(&[away]).unwrap();
    assert_eq!(sh.fill(2).unwrap(), [NO_BACKEND; 2]);
}
