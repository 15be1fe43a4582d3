//! What is built from services, as text.

use std::collections::BTreeMap;

use super::build::{Facts, build};
use super::{Family, Ruleset, text};
use crate::config::{Backend, Config, Forward, Listen, PortRange, Service};
use crate::dispatch::DispatchTable;
use crate::ids::BackendIds;
use crate::pool::pools;
use crate::ruleset::Protocol;
use crate::scheduler::Dispatch;

fn backend(address: &str, forward: Option<Forward>) -> Backend {
    Backend {
        forward,
        ..Backend::at(address.parse().unwrap())
    }
}

fn service(name: &str, listen: &[&str], backends: Vec<Backend>) -> Service {
    let socket = |address: &&str| Listen::Socket {
        protocol: Protocol::Tcp,
        address: address.parse().unwrap(),
        ports: vec![PortRange { first: 80, last: 80 }],
    };
    Service {
        slots: 16,
        backends,
        ..Service::named(name, listen.iter().map(socket).collect())
    }
}

/// The ruleset of services whose backends take turns.
fn built(services: Vec<Service>, local: &[&str]) -> Ruleset {
    let config = Config {
        services,
        ..Config::default()
    };
    let mut ids = BackendIds::default();
    ids.assign(&config, 0xffff).unwrap();
    let tables: BTreeMap<_, _> = pools(&config, &ids)
        .into_iter()
        .map(|(key, all)| {
            let slots = (0..16)
                .map(|slot| all.get(slot % all.len().max(1)).map(|it| it.id))
                .collect();
            let dispatch = Dispatch::Cycle;
            (key, DispatchTable { dispatch, slots })
        })
        .collect();
    let facts = Facts {
        local: local.iter().map(|it| it.parse().unwrap()).collect(),
    };
    build(&config, &ids, &tables, &facts)
}

#[test]
fn a_service_of_every_method() {
    let backends = vec![
        backend("10.1.0.11:8080", None),
        backend("10.1.0.12", Some(Forward::FullNat)),
        backend("10.1.0.13", Some(Forward::Dr)),
        backend("10.1.0.14", Some(Forward::Tun)),
        backend("10.1.0.1", Some(Forward::Dr)),
    ];
    let mixed = service("mixed", &["10.0.0.100"], backends);
    insta::assert_snapshot!(text::ruleset(&built(vec![mixed], &["10.1.0.1"])));
}

#[test]
fn direct_routing_alone_leaves_nothing_to_translate_but_clients_on_the_director() {
    let mut direct = service("direct", &["2001:db8::100"], vec![backend("2001:db8::13", None)]);
    direct.forward = Forward::Dr;
    insta::assert_snapshot!(text::ruleset(&built(vec![direct], &[])));
}

#[test]
fn what_forwards_by_tc_changes_nothing_for_other_services() {
    let web = || service("web", &["10.0.0.1"], vec![backend("10.1.0.11:80", None)]);
    let direct = service("z", &["10.0.0.2"], vec![backend("10.1.0.12", Some(Forward::Dr))]);
    let (alone, both) = (built(vec![web()], &["10.1.0.11"]), built(vec![web(), direct], &[]));
    let (alone, both) = (&alone.tables[&Family::V4], &both.tables[&Family::V4]);
    for (name, chain) in &alone.chains {
        let mut rules = both.chains[name].rules.as_slice();
        if name == "nat-prerouting" {
            rules = &rules[1..];
        }
        assert_eq!(rules, chain.rules, "{name}");
    }
    assert!(!text::table(Family::V4, alone).contains("chosen"));
}

#[test]
fn a_service_of_tc_without_backends_refuses() {
    let mut none = service("none", &["10.0.0.1"], vec![]);
    none.forward = Forward::Tun;
    let text = text::ruleset(&built(vec![none], &[]));
    assert!(text.contains("elements = { 7776:0 counter : goto refused }"), "{text}");
}
