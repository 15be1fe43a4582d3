//! Plans of random changes, applied to a model of the kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::model::ModelKernel;
use super::*;
use crate::config::{
    Backend, ClientPin, Config, Endpoint, Forward, Listen, Persistence, PortRange, Prefix, Service,
    WhenQuiesced,
};
use crate::dispatch::DispatchTable;
use crate::ids::BackendIds;
use crate::pool::pools;
use crate::ruleset::Protocol;
use crate::ruleset::build::{Facts, build};
use crate::scheduler::{Dispatch, HashKey};

fn a_method() -> impl Strategy<Value = Option<Forward>> {
    prop::sample::select(vec![
        None,
        None,
        None,
        Some(Forward::Dr),
        Some(Forward::Tun),
        Some(Forward::FullNat),
    ])
}

fn a_memory() -> impl Strategy<Value = (Option<Persistence>, Vec<prop::sample::Index>)> {
    let group = prop::sample::select(vec![None, Some("a".to_owned()), Some("b".to_owned())]);
    let persistence = (1u64..3, any::<bool>(), group).prop_map(|(seconds, expire, group)| Persistence {
        group,
        when_quiesced: if expire {
            WhenQuiesced::Expire
        } else {
            WhenQuiesced::Keep
        },
        ..Persistence::lasting(Duration::from_secs(seconds))
    });
    let pins = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
    (prop::option::of(persistence), pins)
}

fn a_service(index: usize) -> impl Strategy<Value = Service> {
    let backends = prop::collection::btree_map((0u8..6, any::<bool>()), a_method(), 0..5);
    let ports = prop::collection::btree_set(1u16..40, 1..4);
    (backends, ports, 4u32..6, any::<(bool, bool, bool)>(), a_memory()).prop_map(
        move |(backends, ports, slots, (ranges, full, marked), memory)| {
            let address = |v6: bool, last: u8| match v6 {
                false => [10, 0, index as u8, last].into(),
                true => [0xfd00, 0, 0, 0, 0, 0, index as u16, last.into()].into(),
            };
            let port = |first: u16| PortRange {
                first: first * 10,
                last: first * 10 + u16::from(ranges) * 3,
            };
            let mut listen: Vec<_> = [false, true]
                .into_iter()
                .filter(|v6| backends.keys().any(|(_, it)| it == v6) || backends.is_empty())
                .map(|v6| Listen::Socket {
                    protocol: Protocol::Tcp,
                    address: address(v6, 100),
                    ports: ports.iter().copied().map(port).collect(),
                })
                .collect();
            if marked {
                listen.push(Listen::Mark(index as u32 + 1));
            }
            let backend = |((last, v6), forward): ((u8, bool), Option<Forward>)| Backend {
                forward,
                drain: ranges && last == 3,
                ..Backend::at(Endpoint {
                    address: address(v6, last + 1),
                    port: Some(80),
                })
            };
            let backends: Vec<_> = backends.into_iter().map(backend).collect();
            let (persistence, pins) = memory;
            let pin = |at: prop::sample::Index| {
                let backend = at.get(&backends).address;
                let client = Prefix::of_one(backend.address);
                ClientPin { client, backend }
            };
            let pins = if backends.is_empty() { vec![] } else { pins };
            Service {
                persistence,
                pins: pins.into_iter().map(pin).collect(),
                forward: if full { Forward::FullNat } else { Forward::Nat },
                slots: 1 << slots,
                backends,
                ..Service::named(format!("s{index}"), listen)
            }
        },
    )
}

fn a_config() -> impl Strategy<Value = Config> {
    (
        prop::option::of(a_service(0)),
        prop::option::of(a_service(1)),
        prop::option::of(a_service(2)),
    )
        .prop_map(|(a, b, c)| Config {
            services: [a, b, c].into_iter().flatten().collect(),
            ..Config::default()
        })
}

fn a_ruleset(config: &Config, ids: &mut BackendIds, salt: usize) -> Ruleset {
    ids.assign(config, 0xffff).unwrap();
    let table = |(key, candidates): (_, Vec<crate::scheduler::Candidate>)| {
        let key: crate::pool::PoolKey = key;
        let slots = config.service(&key.service).unwrap().slots as usize;
        let pick = |slot: usize| candidates.get((slot * (salt + 1)) % (candidates.len() + salt % 2).max(1));
        let slots = (0..slots).map(|slot| pick(slot).map(|it| it.id)).collect();
        let dispatch = if salt.is_multiple_of(3) {
            Dispatch::Hash(HashKey::Source)
        } else {
            Dispatch::Cycle
        };
        (key, DispatchTable { dispatch, slots })
    };
    let tables: BTreeMap<_, _> = pools(config, ids).into_iter().map(table).collect();
    // Backends that end in 2 are the director itself.
    let backends = config.services.iter().flat_map(|it| &it.backends);
    let local = backends
        .map(|it| it.address.address)
        .filter(|it| it.to_string().ends_with('2'));
    let facts = Facts {
        local: local.collect(),
    };
    build(config, ids, &tables, &facts)
}

proptest! {
    /// Whatever follows whatever: the kernel takes every plan, holds what was desired afterwards, and
    /// nothing is left to do.
    #[test]
    fn every_change_is_one_batch_and_a_second_sends_nothing(
        steps in prop::collection::vec((a_config(), 0usize..7, any::<bool>()), 1..6)
    ) {
        let mut kernel = ModelKernel::default();
        let mut ids = BackendIds::default();
        for (config, salt, tampered) in steps {
            let desired = a_ruleset(&config, &mut ids, salt);
            if tampered && let Some(table) = kernel.observed.tables.values_mut().next() {
                table.damage = Some("a foreign set".into());
            }
            let before = kernel.observed.clone();
            let change = plan(&desired, &before);
            kernel.apply(&change).map_err(TestCaseError::fail)?;
            prop_assert!(plan(&desired, &kernel.observed).is_empty());
            let after = Observed::after(&desired, before, kernel.observed.generation);
            prop_assert_eq!(after, kernel.observed.clone());
        }
    }
}

#[test]
fn a_weight_is_slots_and_nothing_else() {
    let mut ids = BackendIds::default();
    let backend = |last: u8| {
        Backend::at(Endpoint {
            address: [10, 1, 0, last].into(),
            port: Some(80),
        })
    };
    let listen = Listen::Socket {
        protocol: Protocol::Tcp,
        address: [10, 0, 0, 1].into(),
        ports: vec![PortRange { first: 80, last: 80 }],
    };
    let service = Service {
        slots: 16,
        backends: vec![backend(11), backend(12)],
        ..Service::named("web", vec![listen])
    };
    let config = Config {
        services: vec![service],
        ..Config::default()
    };
    let before = a_ruleset(&config, &mut ids, 1);
    let mut after = before.clone();
    let table = after.tables.get_mut(&Family::V4).unwrap();
    table.slots.get_mut("slots-web").unwrap()[3] = Some(BackendId(2));
    table.slots.get_mut("slots-web").unwrap()[5] = None;
    let observed = Observed::after(&before, Observed::default(), 1);
    insta::assert_snapshot!(plan(&after, &observed), @r"
    delete element ip wvs slots-web { 3, 5 }
    add element ip wvs slots-web { 3 : 0:2 }
    ");
    insta::assert_snapshot!("first plan", plan(&before, &Observed::default()));
}
