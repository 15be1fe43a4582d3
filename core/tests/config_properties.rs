//! What holds for every configuration and for every value with a text form.

#![allow(clippy::unwrap_used)]

mod any_config;

use std::net::IpAddr;
use std::time::Duration;

use any_config::{any_address, any_listen, config, endpoint, pool, prefix, tunnel};
use proptest::collection::vec;
use proptest::prelude::*;
use wvs_core::config::listen::parse_ports;
use wvs_core::config::text::{duration_text, parse_duration};
use wvs_core::config::{
    Backend, ClientPin, Config, Endpoint, Forward, Listen, ManageVip, Persistence, Prefix, Service,
    SourcePool, Timeouts, Tunnel, check, read, to_toml,
};

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
    fn prefixes_hold_what_begins_alike(prefix in prefix(), other in any_address()) {
        prop_assert_eq!(prefix.to_string().parse::<Prefix>(), Ok(prefix));
        prop_assert!(prefix.contains(prefix.address));
        let common = match (prefix.address, other) {
            (IpAddr::V4(one), IpAddr::V4(two)) => Some((one.to_bits() ^ two.to_bits()).leading_zeros()),
            (IpAddr::V6(one), IpAddr::V6(two)) => Some((one.to_bits() ^ two.to_bits()).leading_zeros()),
            _ => None,
        };
        prop_assert_eq!(prefix.contains(other), common.is_some_and(|common| common >= prefix.length.into()));
    }

    #[test]
    fn tunnels_read_as_they_are_written(tunnel in tunnel()) {
        prop_assert_eq!(tunnel.to_string().parse::<Tunnel>(), Ok(tunnel));
        let json = serde_json::to_string(&tunnel).unwrap();
        prop_assert_eq!(serde_json::from_str::<Tunnel>(&json).unwrap(), tunnel);
    }

    #[test]
    fn durations_read_as_they_are_written(seconds in any::<u64>()) {
        let duration = Duration::from_secs(seconds);
        prop_assert_eq!(parse_duration(&duration_text(duration)), Ok(duration));
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
        if let Ok(prefix) = text.parse::<Prefix>() {
            prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
        }
        let _ = (text.parse::<Forward>(), text.parse::<Tunnel>(), parse_duration(&text));
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
    let direct = Service {
        forward: Forward::Dr,
        persistence: Some(Persistence {
            mask: 24,
            group: Some("shop".to_owned()),
            ..Persistence::lasting(Duration::from_secs(360))
        }),
        timeouts: Timeouts {
            fin: Duration::from_secs(90),
            ..Timeouts::default()
        },
        pins: vec![ClientPin {
            client: "10.9.0.0/16".parse().unwrap(),
            backend: "10.1.0.11".parse().unwrap(),
        }],
        tunnel: Some("gue:6080+checksum".parse().unwrap()),
        tunnel_source: vec!["10.99.0.0/16".parse().unwrap()],
        backends: vec![Backend {
            forward: Some(Forward::Tun),
            max_connections: Some(10),
            min_connections: Some(5),
            tunnel: Some(Tunnel::default()),
            ..Backend::at("10.1.0.11".parse().unwrap())
        }],
        ..Service::named("direct", vec!["tcp://10.0.0.103:80".parse().unwrap()])
    };
    let mut config = Config {
        services: vec![service, marked, direct],
        ..Config::default()
    };
    config.director.ct_mark_mask = 0x00ff_0000;
    config.director.interfaces = vec!["eth0".to_owned()];
    config.director.max_flows = 1 << 20;
    config.director.metrics = Some("[::1]:9107".parse().unwrap());
    insta::assert_snapshot!(to_toml(&config));
}
