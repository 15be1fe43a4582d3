//! What is built from services, as text.

use std::collections::BTreeMap;
use std::time::Duration;

use super::build::{Facts, build};
use super::{Family, IdMap, Ids, Key, Ruleset, text};
use crate::config::{
    Backend, ClientPin, Config, Forward, Listen, Persistence, PortRange, Service, WhenQuiesced,
};
use crate::dispatch::DispatchTable;
use crate::ids::BackendIds;
use crate::pool::pools;
use crate::ruleset::Protocol;
use crate::scheduler::{BackendId, Dispatch};

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

fn remembering(group: Option<&str>, when_quiesced: WhenQuiesced) -> Option<Persistence> {
    Some(Persistence {
        mask: 24,
        mask6: 64,
        group: group.map(Into::into),
        when_quiesced,
        ..Persistence::lasting(Duration::from_secs(360))
    })
}

#[test]
fn a_service_that_remembers_and_pins_clients() {
    let mut web = service(
        "web",
        &["10.0.0.100", "2001:db8::100"],
        vec![backend("10.1.0.11:80", None), backend("[2001:db8::11]:80", None)],
    );
    web.persistence = remembering(None, WhenQuiesced::Keep);
    let pin = |client: &str, backend: &str| ClientPin {
        client: client.parse().unwrap(),
        backend: backend.parse().unwrap(),
    };
    web.pins = vec![
        pin("10.9.0.0/16", "10.1.0.11:80"),
        pin("10.9.7.0/24", "10.1.0.11:80"),
        pin("10.9.8.0/24", "10.1.0.11:80"),
        pin("2001:db8:9::7", "[2001:db8::11]:80"),
    ];
    insta::assert_snapshot!(text::ruleset(&built(vec![web], &[])));
}

/// The ids in `held-…`, each with the backend it stands for.
fn held(ruleset: &Ruleset, service: &str) -> Vec<(u16, u16)> {
    let ids: &Ids = &ruleset.tables[&Family::V4].ids[&IdMap::Held(service.into())];
    let pair = |(key, id): (&Key, &BackendId)| match key {
        Key::Backend(it) => (it.0, id.0),
        other => panic!("{other}"),
    };
    ids.iter().map(pair).collect()
}

#[test]
fn services_of_a_group_know_each_others_backends_by_their_servers() {
    let group = |name, vip: &str, backends: &[&str]| Service {
        persistence: remembering(Some("shop"), WhenQuiesced::Expire),
        ..service(name, &[vip], backends.iter().map(|it| backend(it, None)).collect())
    };
    // Ids are given by service and address: http 1 and 2, https 3 to 6, other 7.
    let mut https =
        group("https", "10.0.0.2", &["10.1.0.11:443", "10.1.0.12:80", "10.1.0.12:443", "10.1.0.13:443"]);
    let other = Service {
        persistence: remembering(None, WhenQuiesced::Expire),
        ..service("other", &["10.0.0.3"], vec![backend("10.1.0.11:443", None)])
    };
    let http = group("http", "10.0.0.1", &["10.1.0.11:80", "10.1.0.12:80"]);
    let both = built(vec![http.clone(), https.clone(), other.clone()], &[]);
    assert_eq!(held(&both, "http"), [(1, 1), (2, 2), (3, 1), (4, 2), (5, 2)]);
    assert_eq!(held(&both, "https"), [(1, 3), (2, 4), (3, 3), (4, 4), (5, 5), (6, 6)]);
    assert_eq!(held(&both, "other"), [(7, 7)]);
    let maps: Vec<_> = both.tables[&Family::V4]
        .ids
        .keys()
        .filter(|it| it.is_dynamic())
        .collect();
    assert_eq!(maps, [&IdMap::Group("shop".into()), &IdMap::Persist("other".into())]);
    // Its own quiesced backends take no client, whoever sent it there.
    https.backends[0].weight = 0;
    https.backends[1].drain = true;
    let quiesced = built(vec![http.clone(), https.clone(), other.clone()], &[]);
    assert_eq!(held(&quiesced, "https"), [(2, 5), (5, 5), (6, 6)]);
    assert_eq!(held(&quiesced, "http"), held(&both, "http"));
    https.persistence = remembering(Some("shop"), WhenQuiesced::Keep);
    assert_eq!(held(&built(vec![http, https, other], &[]), "https"), held(&both, "https"));
}

#[test]
fn pins_to_who_takes_nobody_rest() {
    let mut web =
        service("web", &["10.0.0.100"], vec![backend("10.1.0.11:80", None), backend("10.1.0.12:80", None)]);
    let pin = |client: &str, backend: &str| ClientPin {
        client: client.parse().unwrap(),
        backend: backend.parse().unwrap(),
    };
    web.pins = vec![
        pin("10.9.0.0/16", "10.1.0.11:80"),
        pin("10.8.0.0/16", "10.1.0.12:80"),
    ];
    let chain = |ruleset: &Ruleset| ruleset.tables[&Family::V4].chains["svc-web"].clone();
    let pins = |ruleset: &Ruleset| ruleset.tables[&Family::V4].ids[&IdMap::Pins(16, "web".into())].len();
    let before = built(vec![web.clone()], &[]);
    web.backends[0].weight = 0;
    let one = built(vec![web.clone()], &[]);
    web.backends[1].drain = true;
    let none = built(vec![web], &[]);
    assert_eq!((pins(&before), pins(&one), pins(&none)), (2, 1, 0));
    // A changed rule would begin the cycle anew.
    assert_eq!((chain(&one), chain(&none)), (chain(&before), chain(&before)));
}
