//! The schedulers that every director has, through the host, as a director runs them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use wvs_core::scheduler::conform::sample_flow;
use wvs_core::scheduler::stage::backend;
use wvs_core::scheduler::{
    BUILTIN, BackendId, Candidate, Dispatch, HashKey, Instance, Limits, Load, PluginHost, builtin,
};

fn start(name: &str, params: &[(&str, &str)]) -> Instance {
    let host = PluginHost::new(Limits::default()).unwrap();
    let plugin = host.load(name, builtin(name).unwrap()).unwrap();
    assert_eq!(plugin.describe().name, name);
    let given = params
        .iter()
        .map(|&(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    plugin.start(&plugin.check_params(&given).unwrap(), 1).unwrap()
}

fn shares(table: &[Option<BackendId>]) -> BTreeMap<Option<u16>, usize> {
    table.iter().fold(BTreeMap::new(), |mut shares, entry| {
        *shares.entry(entry.map(|id| id.0)).or_default() += 1;
        shares
    })
}

#[test]
fn wrr_shares_by_weight_and_rr_alike() {
    let mut draining = backend(4, 9);
    draining.draining = true;
    let backends = [
        backend(1, 5),
        backend(2, 1),
        backend(3, 0),
        draining,
        backend(5, 2),
    ];
    for (name, expected) in [("wrr", [160, 32, 64]), ("rr", [86, 85, 85])] {
        let mut turns = start(name, &[]);
        assert_eq!(turns.dispatch(), Dispatch::Cycle);
        assert!(!turns.wants_load());
        turns.update(&backends).unwrap();
        let expected = [1, 2, 5].map(Some).into_iter().zip(expected);
        assert_eq!(shares(&turns.fill(256).unwrap()), expected.collect(), "{name}");
    }
}

#[test]
fn wlc_levels_out_what_it_is_told() {
    let mut wlc = start("wlc", &[]);
    assert!(wlc.wants_load());
    wlc.update(&[backend(1, 1), backend(2, 1)]).unwrap();
    wlc.observe(&[
        Load {
            active: 30,
            inactive: 0,
        },
        Load {
            active: 10,
            inactive: 5,
        },
    ])
    .unwrap();
    let table = wlc.fill(20).unwrap();
    assert_eq!(shares(&table), BTreeMap::from([(Some(2), 20)]));
    let table = wlc.fill(64).unwrap();
    assert_eq!(shares(&table), BTreeMap::from([(Some(1), 22), (Some(2), 42)]));
}

#[test]
fn sh_hashes_what_its_parameter_says() {
    assert_eq!(start("sh", &[]).dispatch(), Dispatch::Hash(HashKey::Source));
    let mut sh = start("sh", &[("port", "true")]);
    assert_eq!(sh.dispatch(), Dispatch::Hash(HashKey::SourceAndPort));
    sh.update(&[backend(1, 3), backend(2, 1)]).unwrap();
    assert_eq!(shares(&sh.fill(256).unwrap()), BTreeMap::from([(Some(1), 192), (Some(2), 64)]));
}

#[test]
fn without_a_usable_backend_no_entry_names_one() {
    for (name, _) in BUILTIN {
        let mut instance = start(name, &[]);
        for backends in [vec![], vec![backend(1, 0)]] {
            instance.update(&backends).unwrap();
            if instance.dispatch() == Dispatch::Flow {
                assert_eq!(instance.pick(&sample_flow(7)).unwrap(), None, "{name}");
            } else {
                assert_eq!(instance.fill(7).unwrap(), vec![None; 7], "{name}");
            }
        }
        if instance.dispatch() != Dispatch::Flow {
            assert_eq!(instance.fill(0).unwrap(), vec![], "{name}");
        }
    }
}

/// An address that clients ask for stays with its server, and counts are followed meanwhile.
#[test]
fn lblc_and_lblcr_keep_destinations_together() {
    for name in ["lblc", "lblcr"] {
        let mut instance = start(name, &[("expiration", "3600")]);
        assert_eq!(instance.dispatch(), Dispatch::Flow);
        assert!(instance.wants_load());
        instance.update(&[1, 2, 3].map(|id| backend(id, 100))).unwrap();
        let first: Vec<_> = (0..30).map(|n| instance.pick(&sample_flow(n)).unwrap()).collect();
        assert_eq!(shares(&first), BTreeMap::from([(Some(1), 10), (Some(2), 10), (Some(3), 10)]), "{name}");
        for n in 0..30 {
            // The same 251 addresses again, from other clients.
            assert_eq!(instance.pick(&sample_flow(n + 251)).unwrap(), first[n as usize], "{name}");
        }
        let load = |active| Load { active, inactive: 0 };
        instance.observe(&[load(101), load(60), load(10)]).unwrap();
        let moved = (0..30).filter(|&n| first[n as usize] == Some(BackendId(1)));
        for n in moved {
            assert_eq!(instance.pick(&sample_flow(n)).unwrap(), Some(BackendId(3)), "{name}");
        }
    }
}

/// The deadline of a call is 250 ms. In an unoptimised director these take 1 to 3 ms, but other
/// tests run beside this one.
#[test]
fn large_services_are_served_within_the_deadline() {
    let backends: Vec<Candidate> = (1..=500).map(|id| backend(id, 1 + u32::from(id) % 7)).collect();
    let loads: Vec<Load> = (0..500)
        .map(|n| Load {
            active: n * 13 % 50,
            inactive: n,
        })
        .collect();
    for name in ["rr", "wlc", "sh"] {
        let mut instance = start(name, &[]);
        instance.update(&backends).unwrap();
        instance.observe(&loads).unwrap();
        let table = instance.fill(4096).unwrap();
        assert!(table.iter().all(Option::is_some), "{name}");
        assert!(shares(&table).len() > 100, "{name}");
    }
}
