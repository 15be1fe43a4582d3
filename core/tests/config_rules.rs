//! The rules without a file, as changes by the command line meet them, and what plugins have to say.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use wvs_core::config::check::{PluginProblem, Plugins};
use wvs_core::config::place::{BackendKey, PersistenceKey, PinKey, Place, ServiceKey};
use wvs_core::config::read::read_with;
use wvs_core::config::{
    Backend, ClientPin, Config, DirectorSettings, Endpoint, Forward, Listen, Persistence, PortRange, Prefix,
    SchedulerSpec, Service, check, check_with, read, sample,
};
use wvs_core::ruleset::Protocol;

const WEB: &str = r#"
[[service]]
name = "web"
listen = ["tcp://10.0.0.100:80"]
scheduler = { plugin = "wlc", params = { pace = "fast" } }

[[service.backend]]
address = "10.1.0.11:8080"
"#;

fn web() -> Config {
    read(WEB).unwrap()
}

fn said(config: &Config) -> Vec<String> {
    check(config).iter().map(ToString::to_string).collect()
}

#[test]
fn problems_name_their_place() {
    let mut config = web();
    config.services[0].backends[0].weight = u32::MAX;
    let backend = config.services[0].backends[0].clone();
    config.services[0].backends.push(backend);
    config.services[0].listen.push(Listen::Mark(0));
    config.director.ct_mark_mask = 0;
    assert_eq!(
        said(&config),
        [
            "director: ct_mark_mask: the mask 0x00000000 has 0 bits; backend ids need 8 to 16",
            "service \"web\": listen fwmark:0: firewall mark 0 is what packets carry that nobody marked",
            "service \"web\": backend 10.1.0.11:8080: there are 2 backends, and the mask 0x00000000 has room for 0",
            "service \"web\": backend 10.1.0.11:8080: weight: the weight 4294967295 is out of range",
            "service \"web\": backend 10.1.0.11:8080: address: the service has the backend 10.1.0.11:8080 already",
            "service \"web\": backend 10.1.0.11:8080: weight: the weight 4294967295 is out of range",
        ]
    );
}

#[test]
fn a_conflict_names_both_places() {
    let mut config = web();
    let mut other = config.services[0].clone();
    other.name = "other".to_owned();
    config.services.push(other);
    let problems = check(&config);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].place, Place::Service(1, ServiceKey::Listen(0)));
    assert_eq!(problems[0].related, Some(Place::Service(0, ServiceKey::Listen(0))));
}

#[test]
fn services_without_a_name_are_counted() {
    let mut config = web();
    config.services[0].name.clear();
    assert_eq!(said(&config), ["service 1: name: the name is empty"]);
}

#[test]
fn values_that_no_text_can_have_are_found() {
    let mut config = web();
    let ports = vec![PortRange { first: 9, last: 8 }];
    let address = "10.0.0.101".parse().unwrap();
    config.services[0].listen.push(Listen::Socket {
        protocol: Protocol::Tcp,
        address,
        ports,
    });
    let address = Endpoint {
        address: "10.1.0.12".parse().unwrap(),
        port: Some(0),
    };
    let mut backend = config.services[0].backends[0].clone();
    backend.address = address;
    config.services[0].backends.push(backend);
    let pin = ClientPin {
        client: Prefix {
            address: "10.9.0.1".parse().unwrap(),
            length: 33,
        },
        backend: config.services[0].backends[0].address,
    };
    config.services[0].pins.push(pin);
    config.services[0].persistence = Some(Persistence {
        mask: 33,
        ..Persistence::lasting(Duration::from_millis(1500))
    });
    let places: Vec<Place> = check(&config).into_iter().map(|problem| problem.place).collect();
    assert_eq!(
        places,
        [
            Place::Service(0, ServiceKey::Listen(1)),
            Place::Service(0, ServiceKey::Persistence(PersistenceKey::Timeout)),
            Place::Service(0, ServiceKey::Persistence(PersistenceKey::Mask)),
            Place::Service(0, ServiceKey::Pin(0, PinKey::Client)),
            Place::Service(0, ServiceKey::Backend(1, BackendKey::Address)),
        ]
    );
}

#[test]
fn a_service_may_wait_for_its_backends() {
    let mut config = web();
    config.services[0].backends.clear();
    assert_eq!(said(&config), [""; 0]);
}

#[test]
fn marks_take_backends_of_both_families() {
    let mut config = web();
    config.services[0].listen.push(Listen::Mark(7));
    let mut backend = config.services[0].backends[0].clone();
    backend.address = "[2001:db8::11]:8080".parse().unwrap();
    config.services[0].backends.push(backend);
    assert_eq!(said(&config), [""; 0]);
}

#[test]
fn direct_routing_keeps_the_port_and_the_family() {
    let mut config = web();
    config.services[0].forward = Forward::Dr;
    let mut with = |listens: &[&str], address: &str| {
        config.services[0].listen = listens.iter().map(|listen| listen.parse().unwrap()).collect();
        config.services[0].backends[0].address = address.parse().unwrap();
        said(&config).len()
    };
    assert_eq!(with(&["tcp://10.0.0.100:80"], "10.1.0.11:8080"), 1);
    assert_eq!(with(&["tcp://10.0.0.100:80"], "10.1.0.11:80"), 0);
    assert_eq!(with(&["tcp://10.0.0.100:80", "udp://10.0.0.100:80"], "10.1.0.11:80"), 0);
    assert_eq!(with(&["tcp://10.0.0.100:80,81"], "10.1.0.11:80"), 1);
    assert_eq!(with(&["tcp://10.0.0.100:80-81"], "10.1.0.11"), 0);
    assert_eq!(with(&["fwmark:7"], "10.1.0.11"), 0);
    assert_eq!(with(&["fwmark:7"], "10.1.0.11:80"), 1);
    // Once for the listen, once for the backend.
    assert_eq!(with(&["tcp://10.0.0.100:80"], "2001:db8::11"), 2);
}

#[test]
fn a_tunnel_crosses_families_only_where_it_must() {
    let mut config = web();
    config.services[0].forward = Forward::Tun;
    let mut with = |listens: &[&str], addresses: &[&str]| {
        let backend = |address: &&str| Backend::at(address.parse().unwrap());
        config.services[0].listen = listens.iter().map(|listen| listen.parse().unwrap()).collect();
        config.services[0].backends = addresses.iter().map(backend).collect();
        said(&config).len()
    };
    let (v4, v6) = ("tcp://10.0.0.100:80", "tcp://[2001:db8::100]:80");
    assert_eq!(with(&[v4], &["10.1.0.11", "2001:db8::11"]), 0);
    assert_eq!(with(&[v6], &["10.1.0.11"]), 0);
    assert_eq!(with(&[v4, v6], &["10.1.0.11", "2001:db8::11"]), 0);
    assert_eq!(with(&[v4, v6], &["10.1.0.11"]), 1);
    assert_eq!(with(&["fwmark:7", v6], &["10.1.0.11"]), 1);
}

#[test]
fn pins_follow_the_tunnel() {
    let mut config = web();
    let service = &mut config.services[0];
    service.forward = Forward::Tun;
    service.backends = vec![Backend::at("2001:db8::11".parse().unwrap())];
    let mut pinned = |client: &str| {
        config.services[0].pins = vec![ClientPin {
            client: client.parse().unwrap(),
            backend: "2001:db8::11".parse().unwrap(),
        }];
        said(&config).len()
    };
    assert_eq!(pinned("10.9.0.0/16"), 0);
    assert_eq!(pinned("2001:db8:9::/48"), 1);
}

#[test]
fn a_virtual_ip_is_a_backend_only_where_nothing_listens() {
    let mut config = web();
    let mut to = |address: &str| {
        config.services[0].backends[0].address = address.parse().unwrap();
        said(&config).len()
    };
    assert_eq!(to("10.0.0.100:80"), 1);
    assert_eq!(to("10.0.0.100"), 1);
    assert_eq!(to("10.0.0.100:81"), 0);
    assert_eq!(to("10.0.0.101:80"), 0);
}

#[test]
fn ports_may_touch_but_not_overlap() {
    let mut config = web();
    let mut with = |listens: &[&str]| {
        config.services[0].listen = listens.iter().map(|listen| listen.parse().unwrap()).collect();
        check(&config).len()
    };
    assert_eq!(
        with(&[
            "tcp://10.0.0.1:1-79,81-65535",
            "tcp://10.0.0.1:80",
            "udp://10.0.0.1:1-65535"
        ]),
        0
    );
    assert_eq!(
        with(&[
            "tcp://10.0.0.1:1-100",
            "tcp://10.0.0.1:10",
            "tcp://10.0.0.1:20-30,100-101"
        ]),
        2
    );
}

/// Knows `wlc`, which takes `pace` from 1 to 9.
struct OnlyWlc;

impl Plugins for OnlyWlc {
    fn check(&self, _: &DirectorSettings, spec: &SchedulerSpec) -> Result<(), Vec<PluginProblem>> {
        let problem = |param: Option<&str>, message: &str| PluginProblem {
            param: param.map(str::to_owned),
            message: message.to_owned(),
            help: None,
        };
        if spec.plugin != "wlc" {
            return Err(vec![problem(None, "there is no plugin `mine`")]);
        }
        let pace = spec.params.get("pace").and_then(|pace| pace.parse().ok());
        if matches!(pace, Some(1..=9)) {
            Ok(())
        } else {
            Err(vec![
                problem(Some("pace"), "`pace` must be 1 to 9"),
                problem(Some("limit"), "`limit` is missing"),
            ])
        }
    }
}

#[test]
fn what_plugins_say_points_at_their_parameters() {
    let faults = read_with(WEB, &OnlyWlc).unwrap_err();
    insta::assert_snapshot!("plugin-parameters", faults.render("wvs.toml", WEB, false));
    let unknown = WEB.replace("\"wlc\"", "\"mine\"");
    let faults = read_with(&unknown, &OnlyWlc).unwrap_err();
    insta::assert_snapshot!("plugin-unknown", faults.render("wvs.toml", &unknown, false));
    assert_eq!(
        read_with(&WEB.replace("fast", "3"), &OnlyWlc)
            .unwrap()
            .services
            .len(),
        1
    );
    assert_eq!(check_with(&web(), &OnlyWlc).len(), 2);
}

#[test]
fn everything_that_a_file_may_have_reads_alike_in_both_ways() {
    let text = include_str!("config/corpus/rich.toml");
    let config = read(text).unwrap_or_else(|faults| panic!("{}", faults.render("rich", text, false)));
    assert_eq!(toml::from_str::<Config>(text).unwrap(), config);
}

#[test]
fn the_sample_reads_as_it_is_and_with_every_setting() {
    let sample = sample::default_file();
    let plain = read(&sample).unwrap_or_else(|faults| panic!("{}", faults.render("sample", &sample, false)));
    let lines: Vec<&str> = sample
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .collect();
    let everything = lines.join("\n");
    let full =
        read(&everything).unwrap_or_else(|faults| panic!("{}", faults.render("sample", &everything, false)));
    // What is commented out is the default, but for the examples.
    assert_eq!(full.director, plain.director);
    let mut web: Service = full.services[0].clone();
    assert!(web.manage_vip.take().is_some());
    assert_eq!(web, plain.services[0]);
    assert_eq!(full.services.len(), 3);
    insta::assert_snapshot!("sample", sample);
}
