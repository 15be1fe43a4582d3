//! Rulesets for tests: small ones that have everything in them.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::net::IpAddr;
use std::time::Duration;

use wvs_core::ruleset::{
    Chain, Direction, Elements, Family, Hook, IdMap, Key, MapName, Protocol, Rule, Ruleset, Statement, Table,
};
use wvs_core::scheduler::{BackendId, HashKey};

pub const MASK: u32 = 0xffff_0000;
pub const SLOTS: u32 = 16;

/// The n-th address of a test network.
pub fn host(family: Family, n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    match family {
        Family::V4 => IpAddr::from([10, 1, high, low]),
        Family::V6 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]),
    }
}

fn rule(comment: &str, statements: Vec<Statement>) -> Rule {
    let comment = (!comment.is_empty()).then(|| comment.to_owned());
    Rule { statements, comment }
}

fn chain(hook: Option<Hook>, rules: Vec<Rule>) -> Chain {
    Chain { hook, rules }
}

pub fn goto(name: &str) -> Option<String> {
    Some(name.to_owned())
}

/// A backend's chain.
pub fn backend(service: &str, id: u16, to: IpAddr, port: Option<u16>, protocols: &[Protocol]) -> Chain {
    let bits = u32::from(id) << 16;
    let mut statements = vec![Statement::ClearPriority, Statement::SetMark { mask: MASK, bits }];
    if port.is_some() {
        statements.push(Statement::Protocols(protocols.to_vec()));
    }
    statements.push(Statement::Dnat { address: to, port });
    chain(None, vec![rule(&format!("svc={service} be={to}"), statements)])
}

/// The chain of a service whose first rule is `choose`.
pub fn service(name: &str, choose: Statement) -> Chain {
    let comment = format!("svc={name}");
    chain(
        None,
        vec![
            rule(&comment, vec![Statement::Counter, choose, Statement::Return]),
            rule(&comment, vec![Statement::RejectTcp]),
            rule(&comment, vec![Statement::Reject]),
        ],
    )
}

pub fn cycle(name: &str, size: u32) -> Statement {
    Statement::Cycle {
        map: format!("slots-{name}"),
        size,
    }
}

pub fn hash(name: &str, size: u32, key: HashKey, seed: u32) -> Statement {
    Statement::Hash {
        map: format!("slots-{name}"),
        size,
        key,
        seed,
    }
}

/// The base chains and what they lead to.
pub fn entrances(table: &mut Table) {
    let account = |direction, set| {
        vec![
            Statement::Direction(direction),
            Statement::Account { set, mask: MASK },
        ]
    };
    let mut put = |name: &str, hook: Hook, rules| table.chains.insert(name.into(), chain(Some(hook), rules));
    let to_dispatch = || {
        let ways = [
            Statement::Jump("dispatch".into()),
            Statement::GotoBackend,
            Statement::RejectTcp,
            Statement::Reject,
        ];
        ways.map(|it| rule("", vec![it])).to_vec()
    };
    let from_outside = || [vec![rule("", vec![Statement::GotoChosen])], to_dispatch()].concat();
    let to_account = || vec![rule("", vec![Statement::Jump("account".into())])];
    put("prerouting", Hook::NatPrerouting, from_outside());
    put("output", Hook::NatOutput, to_dispatch());
    put(
        "postrouting",
        Hook::NatPostrouting,
        vec![rule("", vec![Statement::GotoSource { mask: MASK }])],
    );
    put("count-forward", Hook::FilterForward, to_account());
    put("count-input", Hook::FilterInput, to_account());
    put("count-output", Hook::FilterOutput, to_account());
    table.chains.insert(
        "account".into(),
        chain(
            None,
            vec![
                rule("", account(Direction::Original, MapName::Sent)),
                rule("", account(Direction::Reply, MapName::Received)),
            ],
        ),
    );
    table.chains.insert(
        "dispatch".into(),
        chain(
            None,
            vec![
                rule("", vec![Statement::GotoService(MapName::Services)]),
                rule("", vec![Statement::GotoService(MapName::ServiceRanges)]),
                rule("", vec![Statement::GotoMarked(MapName::Marks)]),
                rule("", vec![Statement::ToClosed, Statement::RejectTcp]),
                rule("", vec![Statement::ToClosed, Statement::Reject]),
                rule("", vec![Statement::Accept]),
            ],
        ),
    );
    for map in MapName::ALL {
        table.maps.entry(map).or_default();
    }
}

/// Adds a backend to a service: its chain, its element of `backends`, its counters.
pub fn add_backend(
    table: &mut Table,
    name: &str,
    id: u16,
    to: IpAddr,
    port: Option<u16>,
    protocols: &[Protocol],
) {
    let chain = format!("be-{id}");
    table
        .chains
        .insert(chain.clone(), backend(name, id, to, port, protocols));
    let bits = u32::from(id) << 16;
    elements(table, MapName::Backends).insert(Key::Backend(BackendId(id)), Some(chain));
    elements(table, MapName::Sent).insert(Key::Mark(bits), None);
    elements(table, MapName::Received).insert(Key::Mark(bits), None);
}

pub fn elements(table: &mut Table, map: MapName) -> &mut Elements {
    table.maps.entry(map).or_default()
}

/// The chains of a service that remembers clients, and its maps.
fn persistent(table: &mut Table, map: IdMap, bits: u8, timeout: u64) {
    let (held, pins) = (IdMap::Held("web".into()), IdMap::Pins(bits, "web".into()));
    let client = |map: &IdMap| Statement::LookUpClient {
        map: map.clone(),
        bits,
    };
    let remember = Statement::Remember {
        map: map.clone(),
        bits,
        timeout: Duration::from_secs(timeout),
    };
    let forget = Statement::Forget {
        map: map.clone(),
        bits,
    };
    let known = vec![
        client(&map),
        Statement::LookUpHeld(held.clone()),
        remember.clone(),
        Statement::Return,
    ];
    let keep = format!("keep-{map}");
    let rules = vec![
        rule("svc=web", vec![client(&pins), Statement::Return]),
        rule("svc=web", known),
        rule("svc=web", vec![forget]),
        rule("svc=web", vec![Statement::Goto(keep.clone())]),
    ];
    table.chains.insert(format!("new-{map}"), chain(None, rules));
    table
        .chains
        .insert(keep, chain(None, vec![rule("svc=web", vec![remember])]));
    for map in [map, held, pins] {
        table.ids.entry(map).or_default();
    }
}

/// The chains in which connections of a service wait, and its maps. `wait` has them wait.
pub fn asking(table: &mut Table, family: Family, wait: Statement) {
    let asked = |map| rule("", vec![Statement::GotoService(map)]);
    let marked = rule("", vec![Statement::GotoMarked(MapName::AskedMarks)]);
    let first = || {
        let goto = Statement::Goto("asking".into());
        vec![rule("", vec![Statement::Unconfirmed, Statement::Attended, goto])]
    };
    let answers = IdMap::Answers("web".into());
    let answered = vec![Statement::LookUpHeld(answers.clone()), Statement::Return];
    for (name, content) in [
        ("asking", chain(None, vec![marked, asked(MapName::Asked)])),
        ("queue-prerouting", chain(Some(Hook::QueuePrerouting), first())),
        ("queue-output", chain(Some(Hook::QueueOutput), first())),
        ("ask-web", chain(None, vec![rule("svc=web", vec![wait])])),
        ("answered-web", chain(None, vec![rule("svc=web", answered)])),
    ] {
        table.chains.insert(name.into(), content);
    }
    for (first, last) in [(80, 80), (443, 8443)] {
        elements(table, MapName::Asked)
            .insert(Key::ServiceRange(host(family, 100), Protocol::Tcp, first, last), goto("ask-web"));
    }
    elements(table, MapName::AskedMarks).insert(Key::Mark(7), goto("ask-web"));
    let ids = table.ids.entry(answers).or_default();
    ids.extend([1, 0x2a].map(|id| (Key::Chosen(BackendId(id)), BackendId(id))));
}

/// A table with every map and hook, and every statement but the one that has packets wait: what nft prints of that
/// depends on the kernel.
pub fn everything(family: Family) -> Table {
    let mut table = Table::default();
    entrances(&mut table);
    let (tcp, udp, sctp) = (Protocol::Tcp, Protocol::Udp, Protocol::Sctp);
    let (first, second) = (host(family, 100), host(family, 300));
    let choices = [
        ("web", cycle("web", SLOTS)),
        ("source", hash("source", SLOTS, HashKey::Source, 0x7776_7300)),
        ("port", hash("port", SLOTS, HashKey::SourceAndPort, 1)),
        ("target", hash("target", SLOTS, HashKey::Destination, 0)),
        ("both", hash("both", SLOTS, HashKey::Both, u32::MAX)),
    ];
    let protocols: [&[Protocol]; 5] = [&[tcp], &[udp], &[sctp], &[tcp, udp], &[tcp, udp, sctp]];
    for (at, (name, choose)) in choices.into_iter().enumerate() {
        let chain = format!("svc-{name}");
        table.chains.insert(chain.clone(), service(name, choose));
        let id = at as u16 * 300 + 1;
        let size = SLOTS as usize;
        let slots = (0..size).map(|slot| (slot % 7 != 6).then_some(BackendId(id + (slot % 2) as u16)));
        table.slots.insert(format!("slots-{name}"), slots.collect());
        add_backend(&mut table, name, id, host(family, id), Some(8080 + at as u16), protocols[at]);
        add_backend(&mut table, name, id + 1, host(family, id + 1), None, protocols[at]);
        for &protocol in protocols[at] {
            let port = 80 + 1000 * at as u16;
            elements(&mut table, MapName::Services)
                .insert(Key::Service(first, protocol, port), Some(chain.clone()));
            elements(&mut table, MapName::Services)
                .insert(Key::Service(second, protocol, port), Some(chain.clone()));
            elements(&mut table, MapName::ServiceRanges)
                .insert(Key::ServiceRange(first, protocol, port + 10, port + 20), Some(chain.clone()));
        }
        elements(&mut table, MapName::Marks).insert(Key::Mark(7 << (4 * at)), Some(chain));
    }
    elements(&mut table, MapName::ServiceRanges)
        .insert(Key::ServiceRange(second, tcp, 1, 65535), goto("svc-web"));
    for n in [100, 300, 301, 512, 40000] {
        elements(&mut table, MapName::Closed).insert(Key::Address(host(family, n)), None);
    }
    let bits = match family {
        Family::V4 => [32, 24, 1, 0],
        Family::V6 => [128, 64, 49, 0],
    };
    persistent(&mut table, IdMap::Persist("web".into()), bits[0], 90);
    persistent(&mut table, IdMap::Persist("both".into()), bits[1], 360);
    persistent(&mut table, IdMap::Group("a".into()), bits[2], 31 * 86_400);
    persistent(&mut table, IdMap::Group("b".into()), bits[3], 5405);
    asking(&mut table, family, Statement::Counter);
    let held = table.ids.get_mut(&IdMap::Held("web".into())).unwrap();
    held.extend((1..=7).map(|id| (Key::Backend(BackendId(id)), BackendId(1 + id % 2))));
    let pins = table.ids.get_mut(&IdMap::Pins(bits[0], "web".into())).unwrap();
    pins.extend([1, 300, 40000].map(|n| (Key::Address(host(family, n)), BackendId(n))));
    let sources = [
        Statement::Snat {
            first: host(family, 7),
            last: host(family, 7),
        },
        Statement::Snat {
            first: host(family, 7),
            last: host(family, 9),
        },
        Statement::Masquerade,
    ];
    let reject = || [Statement::RejectTcp, Statement::Reject].map(|it| rule("svc=web", vec![it]));
    let direct = vec![
        Statement::FromHere,
        Statement::ClearPriority,
        Statement::Dnat {
            address: host(family, 9),
            port: None,
        },
    ];
    let direct = [vec![rule("svc=web", direct)], reject().to_vec()].concat();
    let local = rule("svc=web", vec![Statement::ClearPriority, Statement::Accept]);
    for (id, name, rules) in [
        (0, "refused", reject().to_vec()),
        (1, "be-direct", direct),
        (u16::MAX, "be-local", vec![local]),
    ] {
        table.chains.insert(name.into(), chain(None, rules));
        elements(&mut table, MapName::Chosen).insert(Key::Chosen(BackendId(id)), goto(name));
    }
    for (at, statement) in sources.into_iter().enumerate() {
        let name = format!("src-{at}");
        table
            .chains
            .insert(name.clone(), chain(None, vec![rule("svc=web", vec![statement])]));
        elements(&mut table, MapName::Sources).insert(Key::Mark((at as u32 + 1) << 16), Some(name));
    }
    table
}

/// A table with one service and so many backends.
pub fn small(family: Family, backends: u16) -> Table {
    let mut table = Table::default();
    entrances(&mut table);
    table
        .chains
        .insert("svc-web".into(), service("web", cycle("web", SLOTS)));
    elements(&mut table, MapName::Services)
        .insert(Key::Service(host(family, 100), Protocol::Tcp, 80), goto("svc-web"));
    for id in 1..=backends {
        add_backend(&mut table, "web", id, host(family, id), Some(8080), &[Protocol::Tcp]);
    }
    let slot = |slot: u32| (backends > 0).then(|| BackendId(1 + (slot % u32::from(backends)) as u16));
    table
        .slots
        .insert("slots-web".into(), (0..SLOTS).map(slot).collect());
    table
}

pub fn ruleset(tables: impl IntoIterator<Item = (Family, Table)>) -> Ruleset {
    Ruleset {
        tables: tables.into_iter().collect(),
    }
}

/// The same table for both families.
pub fn both(table: impl Fn(Family) -> Table) -> Ruleset {
    ruleset(Family::ALL.map(|family| (family, table(family))))
}
