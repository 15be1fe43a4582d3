//! Different methods side by side: services of each on one director, and all of them in one service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use wvs_tests::{
    Arrivals, Config, Distribution, LabOptions, LongLived, ServerOptions, Service, Stage, Target, backend,
    backend6, client_source, client_source6, rs, rs6, vip, vip6, wait_for,
};

const SOON: Duration = Duration::from_secs(5);

/// Real server 1 by NAT, 2 by direct routing, 3 by a tunnel.
fn mixed() -> Service {
    Service::web().only([
        Target::new(rs(1)).forward("nat"),
        Target::new(backend(2)).forward("dr"),
        Target::new(backend(3)).forward("tun"),
    ])
}

fn mixed_of_both_families() -> Service {
    mixed().listen("tcp://[fd00:a::100]:80").backends([
        Target::new(rs6(1)).forward("nat"),
        Target::new(backend6(2)).forward("dr"),
        Target::new(backend6(3)).forward("tun"),
    ])
}

#[test]
fn services_of_different_methods() -> Result<()> {
    let service = |name: &str, port: u16| Service::new(name, &[&format!("tcp://10.0.0.100:{port}")]);
    let config = Config::of([
        service("direct", 80).forward("dr").backends((1..=3).map(backend)),
        service("tunnelled", 81)
            .forward("tun")
            .backends((1..=3).map(backend)),
        service("translated", 82).backends((1..=3).map(rs)),
        service("hidden", 83)
            .forward("full-nat")
            .backends((1..=3).map(rs)),
    ]);
    let stage = Stage::with(LabOptions::tunnels(), config)?;
    let director = "10.0.0.1".parse()?;
    for (port, client, at) in [
        (80, client_source(), None),
        (81, client_source(), None),
        (82, client_source(), Some(8080)),
        (83, director, Some(8080)),
    ] {
        let to = stage.lab.vip(port);
        assert_eq!(stage.client().ask_many(to, 30), Distribution::even(3, 10), "{to}");
        let answer = stage.client().ask(to)?;
        let local = at.map_or(to, |port| SocketAddr::new(backend(1), port));
        assert_eq!((answer.peer.ip(), answer.local), (client, local), "{to}");
    }
    Ok(())
}

#[test]
fn one_service_of_all_methods() -> Result<()> {
    let stage = Stage::with(LabOptions::tunnels(), mixed_of_both_families())?;
    for (to, client, translated) in [
        (stage.web(), client_source(), rs(1)),
        (stage.web6(), client_source6(), rs6(1)),
    ] {
        assert_eq!(stage.client().ask_many(to, 30), Distribution::even(3, 10), "{to}");
        let mut reached = BTreeMap::new();
        for _ in 0..3 {
            let answer = stage.client().ask(to)?;
            assert_eq!(answer.peer.ip(), client);
            reached.insert(answer.server, answer.local);
        }
        let expected = [("rs1", translated), ("rs2", to), ("rs3", to)];
        assert_eq!(reached, expected.map(|(server, at)| (server.to_owned(), at)).into());
    }
    Ok(())
}

#[test]
fn datagrams_of_one_service_by_all_methods() -> Result<()> {
    let dns = Service::new("dns", &["udp://10.0.0.100:53"]).backends([
        Target::new(SocketAddr::new(backend(1), 5353)).forward("nat"),
        Target::new(backend(2)).forward("dr"),
        Target::new(backend(3)).forward("tun"),
    ]);
    let stage = Stage::with(LabOptions::tunnels(), dns)?;
    assert_eq!(stage.client().ask_udp_many(stage.lab.vip(53), 30), Distribution::even(3, 10));
    let one = stage.client().ask_udp_from_one_port(stage.lab.vip(53), 10);
    assert_eq!((one.servers.len(), one.answered()), (1, 10), "{one}");
    Ok(())
}

#[test]
fn connections_of_all_methods_are_counted_and_live_on() -> Result<()> {
    let mut stage = Stage::with(LabOptions::tunnels(), mixed())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
    assert_eq!(flows.report().opened, Distribution::even(3, 10));
    let active = |stage: &Stage| -> Result<Vec<u64>> {
        let views = stage.director.json(&["backends", "web"])?;
        let views = views.as_array().into_iter().flatten();
        Ok(views.filter_map(|it| it["active"].as_u64()).collect())
    };
    wait_for("ten connections each", SOON, || active(&stage).is_ok_and(|seen| seen == [10, 10, 10]));
    let listed = stage.director.json(&["connections", "web"])?;
    assert_eq!(listed["total"], 30, "{listed}");
    let arrivals = Arrivals::start(&stage.client(), stage.web(), 50);
    stage.director.kill9()?;
    arrivals.next(5);
    stage.director.restart()?;
    flows.settle();
    let report = flows.finish();
    assert_eq!(report.broken(), 0, "{report:?}");
    let arrived = arrivals.finish();
    assert_eq!(arrived.failed(), 0, "{arrived}");
    Ok(())
}

#[test]
fn no_connection_is_lost_between_the_planes() -> Result<()> {
    let stage = Stage::with(LabOptions::tunnels(), mixed())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
    let arrivals = Arrivals::start(&stage.client(), stage.web(), 200);
    for round in 0..5 {
        for config in [Service::web(), mixed(), Service::direct("dr"), mixed()] {
            stage.director.reload_with(config)?;
            let seen = arrivals.next(30);
            assert_eq!(seen.servers.len(), 3, "{seen}");
            let all = arrivals.report();
            assert_eq!(all.failed(), 0, "round {round}: {all}");
        }
    }
    let report = flows.finish();
    assert_eq!(report.broken(), 0, "{report:?}");
    assert_eq!(arrivals.finish().failed(), 0);
    Ok(())
}

/// Queueing disciplines read a packet's priority, so the backend's id must not be in it any more.
#[test]
fn what_leaves_has_no_priority_of_ours() -> Result<()> {
    let stage = Stage::with(LabOptions::tunnels(), mixed_of_both_families())?;
    stage.ns().nft(
        "table inet probe {
            counter forwarded { }
            counter tagged { }
            chain leaving { type filter hook postrouting priority 300
                meta l4proto tcp th dport 8080 counter name forwarded
                meta l4proto tcp th dport 8080 meta priority 7776:0000-7776:ffff counter name tagged
            }
        }",
    )?;
    for to in [stage.web(), stage.web6()] {
        let flows = LongLived::open(&stage.client(), to, 9)?;
        flows.settle();
        assert_eq!(flows.finish().broken(), 0);
    }
    assert!(stage.ns().counter("inet probe", "forwarded")?.0 > 12);
    assert_eq!(stage.ns().counter("inet probe", "tagged")?, (0, 0));
    Ok(())
}

#[test]
fn the_director_is_a_real_server_too() -> Result<()> {
    for forward in ["dr", "tun"] {
        let here = ["10.0.0.1".parse::<std::net::IpAddr>()?, "fd00:a::1".parse()?];
        let web = Service::direct_of_both_families(forward)
            .only([backend(1), backend6(1)])
            .backends(here);
        let stage = Stage::with(LabOptions::tunnels(), web)?;
        let local = ServerOptions {
            tcp: vec![80],
            udp: Vec::new(),
            also_at: vec![vip(0), vip6(0)],
        };
        let _local = stage.lab.start_local_server(&local)?;
        for (to, client) in [(stage.web(), client_source()), (stage.web6(), client_source6())] {
            let seen = stage.client().ask_many(to, 20);
            assert_eq!(seen, Distribution::of(&[("rs1", 10), ("local", 10)]), "{forward} {to}");
            assert_eq!(stage.client().ask(to)?.peer.ip(), client);
        }
    }
    Ok(())
}

#[test]
fn a_client_on_the_director() -> Result<()> {
    for forward in ["dr", "tun"] {
        let stage = Stage::with(LabOptions::tunnels(), Service::direct_of_both_families(forward))?;
        let local = stage.lab.local_client();
        for to in [stage.web(), stage.web6()] {
            assert_eq!(local.ask_many(to, 30), Distribution::even(3, 10), "{forward} {to}");
        }
    }
    Ok(())
}

/// Connections that only conntrack knows, because the tc program has come later.
#[test]
fn connections_of_nat_live_on_when_the_program_comes() -> Result<()> {
    let mut stage = Stage::with(LabOptions::tunnels(), Service::web())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
    stage.director.reload_with(Service::direct("dr"))?;
    flows.settle();
    stage.director.kill9()?;
    stage.director.restart()?;
    stage.director.reload_with(mixed())?;
    flows.settle();
    let report = flows.finish();
    assert_eq!(report.broken(), 0, "{report:?}");
    Ok(())
}
