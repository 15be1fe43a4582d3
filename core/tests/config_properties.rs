//! What holds for every configuration and for every value with a text form.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use wvs_core::config::listen::parse_ports;
use wvs_core::config::{
    Backend, Config, DirectorSettings, Endpoint, Forward, HIGHEST_WEIGHT, Listen, ManageVip, PortRange,
    SchedulerSpec, Service, SourcePool, check, read, to_toml,
};
use wvs_core::ruleset::Protocol;

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(IpAddr::V4),
        any::<Ipv6Addr>().prop_map(IpAddr::V6)
    ]
}

/// Sorted ranges with a gap between them, as reading makes them.
fn ports() -> impl Strategy<Value = Vec<PortRange>> {
    vec((1u16..400, 0u16..400), 1..5).prop_map(|steps| {
        let mut next = 0;
        let range = |(gap, length): (u16, u16)| {
            let first = next + gap + 1;
            next = first + length;
            PortRange { first, last: next }
        };
        steps.into_iter().map(range).collect()
    })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(Protocol::ALL.to_vec())
}

fn any_listen() -> impl Strategy<Value = Listen> {
    let socket = (protocol(), any_address(), ports());
    prop_oneof![
        socket.prop_map(|(protocol, address, ports)| Listen::Socket {
            protocol,
            address,
            ports
        }),
        (1..=u32::MAX).prop_map(Listen::Mark),
    ]
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (any_address(), option::of(1..=u16::MAX)).prop_map(|(address, port)| Endpoint { address, port })
}

fn pool() -> impl Strategy<Value = SourcePool> {
    let v4 = any::<(u32, u32)>().prop_map(|(one, two)| SourcePool {
        first: Ipv4Addr::from(one.min(two)).into(),
        last: Ipv4Addr::from(one.max(two)).into(),
    });
    let v6 = any::<(u128, u128)>().prop_map(|(one, two)| SourcePool {
        first: Ipv6Addr::from(one.min(two)).into(),
        last: Ipv6Addr::from(one.max(two)).into(),
    });
    prop_oneof![v4, v6]
}

/// A path or text that may need escapes.
fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof!["/[a-z]{1,8}(/[a-z]{1,8})?", "[ -~é\u{1f980}]{1,12}"]
}

fn backends(service: u8) -> impl Strategy<Value = Vec<Backend>> {
    let forward = option::of(prop::sample::select(vec![Forward::Nat, Forward::FullNat]));
    let backend = (any::<bool>(), option::of(1..=u16::MAX), 0..=HIGHEST_WEIGHT, any::<bool>(), forward);
    vec(backend, 0..5).prop_map(move |backends| {
        let numbered = backends.into_iter().zip(1u8..);
        let with_address = |((v6, port, weight, drain, forward), number)| {
            let address = if v6 {
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, service.into(), u16::from(number)))
            } else {
                IpAddr::V4(Ipv4Addr::new(198, 51, service, number))
            };
            Backend {
                weight,
                drain,
                forward,
                ..Backend::at(Endpoint { address, port })
            }
        };
        numbered.map(with_address).collect()
    })
}

/// A right service; its number keeps it apart from others.
fn service(number: u8) -> impl Strategy<Value = Service> {
    let sockets = vec((protocol(), any::<bool>(), ports()), 0..4);
    let scheduler = ("[a-z/][a-z/.]{0,8}[a-z]", btree_map(odd_text(), any::<String>(), 0..3));
    let manage = option::of(("[a-z0-9]{1,15}", any::<bool>()));
    let settings = (any::<bool>(), option::of(1u8..=255), 4u32..=12, manage, scheduler);
    (sockets, settings, backends(number), "[A-Za-z0-9._-]{0,10}").prop_map(
        move |(sockets, (full_nat, pool, slots, manage, (plugin, params)), backends, name)| {
            // A mark serves both families, so the families of listens and backends need not agree by luck.
            let mut listen = vec![Listen::Mark(u32::from(number) + 1)];
            for (index, (protocol, v6, ports)) in (1..).zip(sockets) {
                let served =
                    backends.is_empty() || backends.iter().any(|b| b.address.address.is_ipv6() == v6);
                let address = match v6 {
                    true => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, number.into(), index)),
                    false => IpAddr::V4(Ipv4Addr::new(192, 0, number, index as u8)),
                };
                if served {
                    listen.push(Listen::Socket {
                        protocol,
                        address,
                        ports,
                    });
                }
            }
            let first = Ipv4Addr::new(203, 0, 113, 0);
            let pool = pool.filter(|_| full_nat).map(|last| SourcePool {
                first: first.into(),
                last: Ipv4Addr::new(203, 0, 113, last).into(),
            });
            Service {
                forward: if full_nat { Forward::FullNat } else { Forward::Nat },
                source: pool.into_iter().collect(),
                scheduler: SchedulerSpec { plugin, params },
                slots: 1 << slots,
                manage_vip: manage
                    .filter(|_| listen.len() > 1)
                    .map(|(interface, reject_other_ports)| ManageVip {
                        interface,
                        reject_other_ports,
                    }),
                backends,
                ..Service::named(format!("s{number}{name}"), listen)
            }
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    let mask =
        (8u32..=16).prop_flat_map(|bits| (0..=32 - bits).prop_map(move |low| ((1 << bits) - 1) << low));
    let director =
        (odd_text(), odd_text(), mask).prop_map(|(plugin_dir, state_dir, ct_mark_mask)| DirectorSettings {
            plugin_dir: plugin_dir.into(),
            state_dir: state_dir.into(),
            ct_mark_mask,
            ..DirectorSettings::default()
        });
    let director = prop_oneof![Just(DirectorSettings::default()), director];
    let services = (0u8..4).prop_flat_map(|count| (0..count).map(service).collect::<Vec<_>>());
    (director, services).prop_map(|(director, services)| Config { director, services })
}

proptest! {
    #[test]
    fn listens_read_as_they_are_written(listen in any_listen()) {
        prop_assert_eq!(listen.to_string().parse::<Listen>(), Ok(listen.clone()));
        let json = serde_json::to_string(&listen).unwrap();
        prop_assert_eq!(serde_json::from_str::<Listen>(&json).unwrap(), listen);
    }

    #[test]
    fn endpoints_read_as_they_are_written(endpoint in endpoint()) {
        prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
    }

    #[test]
    fn pools_read_as_they_are_written(pool in pool()) {
        prop_assert_eq!(pool.to_string().parse::<SourcePool>(), Ok(pool));
    }

    #[test]
    fn ports_are_the_set_that_was_written(ranges in vec((1u16.., 0u16..50), 1..8)) {
        let ranges: Vec<_> = ranges.iter().map(|(first, more)| (*first, first.saturating_add(*more))).collect();
        let text: Vec<_> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let merged = parse_ports(&text.join(",")).unwrap();
        // Between the edges nothing changes.
        let edges = ranges.iter().flat_map(|(first, last)| {
            [first.saturating_sub(1), *first, *last, last.saturating_add(1)]
        });
        for port in edges {
            let written = ranges.iter().any(|(first, last)| (*first..=*last).contains(&port));
            prop_assert_eq!(merged.iter().any(|range| range.contains(port)), written, "port {}", port);
        }
        let apart = merged.windows(2).all(|pair| u32::from(pair[0].last) + 1 < u32::from(pair[1].first));
        prop_assert!(apart, "{:?}", merged);
    }

    #[test]
    fn any_text_is_a_value_or_an_error(text in "(tcp://|udp://|fwmark:)?[\\[\\]0-9a-fx:.,%/-]{0,24}|\\PC{0,12}") {
        if let Ok(listen) = text.parse::<Listen>() {
            prop_assert_eq!(listen.to_string().parse(), Ok(listen));
        }
        if let Ok(endpoint) = text.parse::<Endpoint>() {
            prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }
        if let Ok(pool) = text.parse::<SourcePool>() {
            prop_assert_eq!(pool.to_string().parse(), Ok(pool));
        }
        let _ = text.parse::<Forward>();
    }

    #[test]
    fn configurations_read_as_they_are_written(config in config()) {
        prop_assert_eq!(check(&config), vec![]);
        let text = to_toml(&config);
        prop_assert_eq!(read(&text).map_err(|faults| faults.render("", &text, false)), Ok(config.clone()), "{}", text);
        let serde: Config = toml::from_str(&text).unwrap();
        prop_assert_eq!(&serde, &config);
        let json = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    }

    #[test]
    fn any_file_is_read_or_has_faults(text in "\\PC{0,200}") {
        if let Err(faults) = read(&text) {
            prop_assert!(!faults.render("wvs.toml", &text, true).is_empty());
        }
    }
}

#[test]
fn defaults_are_not_written() {
    let service = Service {
        manage_vip: Some(ManageVip {
            interface: "eth0".to_owned(),
            reject_other_ports: true,
        }),
        backends: vec![
            Backend {
                weight: 3,
                ..Backend::at("10.1.0.11:8080".parse().unwrap())
            },
            Backend {
                drain: true,
                ..Backend::at("10.1.0.12".parse().unwrap())
            },
        ],
        ..Service::named("web", vec!["tcp://10.0.0.100:80".parse().unwrap()])
    };
    let mut marked = service.clone();
    marked.name = "marked".to_owned();
    marked.listen = vec![Listen::Mark(7)];
    marked.forward = Forward::FullNat;
    marked.source = vec!["10.0.0.1-10.0.0.8".parse().unwrap()];
    marked
        .scheduler
        .params
        .insert("key".to_owned(), "value".to_owned());
    marked.slots = 64;
    marked.manage_vip = None;
    marked.backends.truncate(1);
    let mut config = Config {
        services: vec![service, marked],
        ..Config::default()
    };
    config.director.ct_mark_mask = 0x00ff_0000;
    insta::assert_snapshot!(to_toml(&config));
}
