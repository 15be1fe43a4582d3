//! Answers of a director, as the tests of rendering use them.

mod look;

use std::collections::BTreeMap;

pub use look::{events, explanations, program};
use wvs_core::api::{
    Applied, BackendState, BackendView, Connection, Connections, PersistentClient, PersistentClients,
    SchedulerHealth, SchedulerView, ServiceView, Status, TcView,
};
use wvs_core::config::Forward;
use wvs_core::kernel::{Flow, Traffic};
use wvs_core::ruleset::{Family, Protocol};
use wvs_core::scheduler::{BackendId, Dispatch, HashKey};

fn traffic(packets: u64, bytes: u64) -> Traffic {
    Traffic { packets, bytes }
}

pub fn services() -> Vec<ServiceView> {
    let listen = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    vec![
        ServiceView {
            name: "web".to_owned(),
            listen: listen(&["tcp://10.0.0.100:80,443", "tcp://[2001:db8::100]:80"]),
            forward: Forward::Nat,
            scheduler: "wlc".to_owned(),
            available: 2,
            backends: 3,
            connections: 1_234_567,
            refused: 12,
            sent: traffic(10_000_000, 1_500_000_000),
            received: traffic(20_000_000, 30_000_000_000),
        },
        ServiceView {
            name: "dns\x1b[2J".to_owned(),
            listen: listen(&["fwmark:7"]),
            forward: Forward::FullNat,
            scheduler: "/etc/wvs/mine.wasm".to_owned(),
            available: 0,
            backends: 0,
            connections: 0,
            refused: 0,
            sent: traffic(0, 0),
            received: traffic(0, 0),
        },
    ]
}

pub fn backends() -> Vec<BackendView> {
    let backend = |address: &str, id, state| BackendView {
        service: "web".to_owned(),
        address: address.parse().unwrap(),
        id,
        forward: Forward::Nat,
        weight: 1,
        state,
        slots: 0,
        active: 0,
        inactive: 0,
        connections: 0,
        sent: traffic(0, 0),
        received: traffic(0, 0),
        way: None,
    };
    vec![
        BackendView {
            weight: 3,
            slots: 256,
            active: 120,
            inactive: 7,
            connections: 4_321,
            sent: traffic(98_765, 7_654_321),
            received: traffic(123_456, 987_654_321),
            ..backend("10.1.0.11:8080", 1, BackendState::Up)
        },
        BackendView {
            weight: 0,
            ..backend("10.1.0.12", 2, BackendState::Quiesced)
        },
        backend("[2001:db8::11]:8080", 3, BackendState::Draining),
    ]
}

pub fn connections() -> Connections {
    let flow = |protocol, client: &str, target: &str, server: &str, state: &str, expires| Flow {
        protocol,
        client: client.parse().unwrap(),
        target: target.parse().unwrap(),
        server: server.parse().unwrap(),
        backend: BackendId(1),
        state: state.to_owned(),
        expires,
    };
    let tcp = flow(
        Protocol::Tcp,
        "192.0.2.7:40001",
        "10.0.0.100:80",
        "10.1.0.11:8080",
        "ESTABLISHED",
        431_999,
    );
    let udp = flow(
        Protocol::Udp,
        "[2001:db8::7]:5353",
        "[2001:db8::100]:53",
        "[2001:db8::11]:53",
        "UNREPLIED",
        9,
    );
    let connection = |service: &str, flow| Connection {
        service: service.to_owned(),
        flow,
    };
    Connections {
        total: 5_321,
        connections: vec![connection("web", tcp), connection("dns", udp)],
    }
}

pub fn persistence() -> PersistentClients {
    let client = |service: &str, group: Option<&str>, client: &str, backend: &str| PersistentClient {
        service: service.to_owned(),
        group: group.map(str::to_owned),
        client: client.parse().unwrap(),
        backend: backend.parse().unwrap(),
        expires: 359,
    };
    PersistentClients {
        more: true,
        clients: vec![
            client("web", None, "192.0.2.7", "10.1.0.11:8080"),
            client("shop\x1b[2J", Some("shop"), "192.0.2.0/24", "10.1.0.12"),
            client("web", None, "2001:db8:7::/64", "[2001:db8::11]:8080"),
        ],
    }
}

fn scheduler(service: &str, family: Family, plugin: &str, dispatch: Dispatch) -> SchedulerView {
    SchedulerView {
        service: service.to_owned(),
        family,
        plugin: plugin.to_owned(),
        version: "1.0.0".to_owned(),
        dispatch,
        health: SchedulerHealth::Running,
        calls: 4_711,
        refused: None,
        picks: 0,
        stand_ins: 0,
        failures: 0,
        last_error: None,
    }
}

pub fn healthy() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 4_711,
        uptime: 274_000,
        config_file: "/etc/wvs/wvs.toml".to_owned(),
        edited: false,
        services: 2,
        backends: 3,
        generation: 17,
        commits: 5,
        repairs: 0,
        schedulers: vec![
            scheduler("web", Family::V4, "wlc", Dispatch::Cycle),
            scheduler("web", Family::V6, "sh", Dispatch::Hash(HashKey::Source)),
        ],
        refused: BTreeMap::new(),
        tc: None,
        warnings: vec![],
    }
}

pub fn degraded() -> Status {
    let mut status = healthy();
    let counts = |all: &[(&str, u64)]| {
        all.iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    };
    status.tc = Some(TcView {
        interfaces: vec!["eth0".to_owned()],
        pin_dir: "/sys/fs/bpf/wvs".to_owned(),
        connections: 12_345,
        expired: 67,
        drops: counts(&[("too-big", 3), ("vlan-tag", 0)]),
        events: counts(&[("no-syn", 0), ("no-backend", 2)]),
    });
    status.refused = counts(&[("closed-port", 4), ("no-backend", 12), ("not-forwarded", 0)]);
    status.edited = true;
    status.schedulers[0].health = SchedulerHealth::BackingOff {
        retry_in: 65,
        fallback: false,
    };
    status.schedulers[0].failures = 3;
    status.schedulers[0].last_error = Some("trapped: unreachable\x07".to_owned());
    status.schedulers[1].health = SchedulerHealth::Quarantined { fallback: true };
    status
        .warnings
        .push("net.ipv4.ip_forward is 0: run `sysctl -w net.ipv4.ip_forward=1`".to_owned());
    status
}

pub fn applied() -> Applied {
    Applied {
        changed: true,
        plan: "add element ip wvs web-slots { 0 : 1 }\ndelete element ip wvs web-slots { 1 }\n".to_owned(),
        addresses: vec!["add 10.0.0.100/32 to eth0".to_owned()],
        cut: 3,
        forgotten: 0,
        dry_run: false,
        warnings: vec![],
    }
}
