//! Direct routing: the director chooses, the real server answers the client by itself.

#![expect(
    clippy::print_stderr,
    reason = "figures are for whoever runs it with --no-capture"
)]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use wvs_tests::{
    Config, Distribution, HeldConnections, HeldOptions, LabOptions, Lifetimes, LongLived, Service, Stage,
    Target, backend, backend6, client_source, client_source6, client_sources, vip, vip6, wait_for,
    wait_until,
};

const SOON: Duration = Duration::from_secs(5);

fn web() -> Service {
    Service::direct("dr")
}

fn up(config: impl Into<Config>) -> Result<Stage> {
    Stage::with(LabOptions::one_arm(), config)
}

/// A service of datagrams at 10.0.0.100 and fd00:a::100, port 53.
fn dns() -> Service {
    Service::new("dns", &["udp://10.0.0.100:53", "udp://[fd00:a::100]:53"])
        .forward("dr")
        .backends((1..=3).map(backend))
        .backends((1..=3).map(backend6))
}

#[test]
fn tcp_in_both_families() -> Result<()> {
    let stage = up(Service::direct_of_both_families("dr"))?;
    for (vip, client) in [(stage.web(), client_source()), (stage.web6(), client_source6())] {
        assert_eq!(stage.client().ask_many(vip, 30), Distribution::even(3, 10));
        // Nothing is translated.
        let answer = stage.client().ask(vip)?;
        assert_eq!((answer.peer.ip(), answer.local), (client, vip));
    }
    Ok(())
}

#[test]
fn datagrams_in_both_families_whole_and_in_fragments() -> Result<()> {
    let stage = up(dns())?;
    for (vip, client) in [
        (stage.lab.vip(53), client_source()),
        (stage.lab.vip6(53), client_source6()),
    ] {
        assert_eq!(stage.client().ask_udp_many(vip, 30), Distribution::even(3, 10));
        let answer = stage.client().ask_udp(vip, "two words")?;
        assert_eq!((answer.peer.ip(), &*answer.payload), (client, "two words"));
        let large = "x".repeat(20_000);
        assert_eq!(stage.client().ask_udp(vip, &large)?.payload, large);
    }
    Ok(())
}

#[test]
fn wrr_follows_weights() -> Result<()> {
    let weighted = (1..=3)
        .zip([3, 2, 1])
        .map(|(n, weight)| Target::new(backend(n)).weight(weight));
    let stage = up(web().scheduler("wrr").only(weighted))?;
    let seen = stage.client().ask_many(stage.web(), 60);
    assert_eq!(seen.failed(), 0, "{seen}");
    for (server, share) in [("rs1", 30), ("rs2", 20), ("rs3", 10_usize)] {
        assert!(seen.server(server).abs_diff(share) <= 1, "{seen}");
    }
    Ok(())
}

#[test]
fn sh_keeps_a_client_at_its_server() -> Result<()> {
    let sources = client_sources(100);
    let options = LabOptions {
        client_addresses: sources.len(),
        ..LabOptions::one_arm()
    };
    let stage = Stage::with(options, web().scheduler("sh"))?;
    let before = stage.client().ask_from_each(&sources, stage.web());
    for server in ["rs1", "rs2", "rs3"] {
        let clients = before
            .values()
            .filter(|home| home.as_deref() == Ok(server))
            .count();
        // Three standard deviations of 100 clients that choose by chance.
        assert!(clients.abs_diff(33) <= 15, "{server} has {clients} of 100: {before:?}");
    }
    assert_eq!(stage.client().ask_from_each(&sources, stage.web()), before);
    Ok(())
}

#[test]
fn wlc_levels_connections_of_different_lengths() -> Result<()> {
    let stage = up(web().scheduler("wlc"))?;
    let lifetimes = Lifetimes::Skewed {
        short: Duration::from_millis(50),
        long: Duration::from_secs(60),
        one_in: 5,
    };
    let options = HeldOptions {
        per_second: 200,
        lifetimes,
        seed: 1,
    };
    let held = HeldConnections::start(&stage.client(), stage.web(), options);
    held.wait_opened(1000);
    let report = held.finish();
    assert_eq!((report.opened.failed(), report.broken.len()), (0, 0), "{report:?}");
    eprintln!("wlc after {} connections: {:?} open", report.opened.answered(), report.live);
    // The promise is the same as for NAT: a tenth off the level at most.
    let level = report.live.values().sum::<usize>() as f64 / 3.0;
    let off = |open: &usize| (*open as f64 / level - 1.0).abs();
    assert!(report.live.len() == 3 && report.live.values().all(|open| off(open) <= 0.1), "{report:?}");
    Ok(())
}

/// What the real server sees of a service, counted by itself.
const WITNESS: &str = "table inet witness {
    counter seen { }
    chain input {
        type filter hook input priority filter;
        ip daddr 10.0.0.100 tcp dport 80 counter name seen
    }
}";

#[test]
fn what_is_counted_is_what_arrives() -> Result<()> {
    let stage = Stage::prepared(LabOptions::one_arm(), web(), |lab| {
        (1..=3).try_for_each(|n| lab.backend_ns(n).nft(WITNESS))
    })?;
    assert_eq!(stage.client().ask_many(stage.web(), 30), Distribution::even(3, 10));
    let flows = LongLived::open(&stage.client(), stage.web(), 6)?;
    for n in 1..=3 {
        let mut view = Value::Null;
        wait_for("the closed connections to be seen as closed", SOON, || {
            view = stage.director.backend("web", backend(n)).unwrap_or_default();
            view["active"] == 2 && view["inactive"] == 10
        });
        assert_eq!(
            (&view["connections"], &view["forward"], &view["state"]),
            (&12.into(), &"dr".into(), &"up".into())
        );
        // Answers do not pass the director.
        assert_eq!(view["received"]["packets"], 0, "{view}");
    }
    assert_eq!(stage.director.json(&["services"])?[0]["connections"], 36);
    assert_eq!(flows.finish().broken(), 0);
    wait_for("the director's counts to be those of the real servers", SOON, || {
        (1..=3).all(|n| {
            let seen = stage.lab.backend_ns(n).counter("inet witness", "seen").ok();
            let view = stage.director.backend("web", backend(n)).unwrap_or_default();
            let sent = &view["sent"];
            seen == sent["packets"].as_u64().zip(sent["bytes"].as_u64())
        })
    });
    Ok(())
}

#[test]
fn connections_are_listed() -> Result<()> {
    let stage = up(Config::of([web(), dns()]))?;
    let flows = LongLived::open(&stage.client(), stage.web(), 3)?;
    stage.client().ask_udp(stage.lab.vip6(53), "x")?;
    flows.settle();
    let listed = stage.director.json(&["connections"])?;
    assert_eq!(listed["total"], 4, "{listed}");
    let listed = stage.director.json(&["connections", "web"])?;
    let of_web = listed["connections"].as_array().cloned().unwrap_or_default();
    let mut servers = Vec::new();
    for connection in &of_web {
        assert_eq!((&connection["service"], &connection["state"]), (&"web".into(), &"ESTABLISHED".into()));
        assert_eq!(connection["target"], "10.0.0.100:80", "{connection}");
        let client: SocketAddr = connection["client"].as_str().unwrap_or_default().parse()?;
        assert_eq!(client.ip(), client_source());
        let expires = connection["expires"].as_u64();
        assert!(expires.is_some_and(|seconds| (880..=900).contains(&seconds)), "{connection}");
        servers.push(connection["server"].as_str().unwrap_or_default());
    }
    servers.sort_unstable();
    assert_eq!(servers, ["10.1.0.11:80", "10.1.0.12:80", "10.1.0.13:80"]);
    let listed = stage.director.json(&["connections", "dns"])?;
    assert_eq!(listed["connections"][0]["target"], "[fd00:a::100]:53", "{listed}");
    assert_eq!(listed["connections"][0]["state"], "UDP", "{listed}");
    assert_eq!(flows.finish().broken(), 0);
    Ok(())
}

#[test]
fn without_backends_everything_is_refused_at_once() -> Result<()> {
    let empty = |service: Service| service.only(Vec::<Target>::new());
    let drained = |service: Service| {
        let both = (1..=2).map(backend).chain((1..=2).map(backend6));
        service.only(both.map(|at| Target::new(at).drained()))
    };
    let stage = up(Config::of([drained(Service::direct_of_both_families("dr")), drained(dns())]))?;
    let both = [vip(0), vip6(0)];
    let refused = |stage: &Stage| {
        for vip in both {
            let tcp = stage
                .client()
                .ask(SocketAddr::new(vip, 80))
                .map_err(|error| error.kind());
            assert_eq!(tcp.map(|it| it.server), Err(ErrorKind::ConnectionRefused), "{vip}");
            let udp = stage
                .client()
                .ask_udp(SocketAddr::new(vip, 53), "x")
                .map_err(|error| error.kind());
            assert_eq!(udp.map(|it| it.server), Err(ErrorKind::ConnectionRefused), "{vip}");
        }
    };
    refused(&stage);
    stage
        .director
        .reload_with(Config::of([empty(Service::direct_of_both_families("dr")), empty(dns())]))?;
    refused(&stage);
    stage.director.reload_with(web())?;
    assert_eq!(stage.client().ask_many(stage.web(), 30), Distribution::even(3, 10));
    Ok(())
}

#[test]
fn a_full_backend_gets_no_more() -> Result<()> {
    let limited = Target::new(backend(1))
        .with("max_connections", "6")
        .with("min_connections", "4");
    let limited = web()
        .only([limited, Target::new(backend(2))])
        .set("timeouts", "{ fin = \"1s\" }");
    let stage = up(limited)?;
    let state = || {
        stage
            .director
            .backend("web", backend(1))
            .map(|view| view["state"].clone())
            .ok()
    };
    let first = LongLived::open(&stage.client(), stage.web(), 12)?;
    assert_eq!(first.report().opened, Distribution::even(2, 6));
    wait_for("the backend to be full", SOON, || state() == Some("full".into()));
    let second = LongLived::open(&stage.client(), stage.web(), 10)?;
    assert_eq!(second.report().opened, Distribution::of(&[("rs2", 10)]));
    // It takes new ones again once those that have ended are forgotten.
    assert_eq!(first.finish().broken(), 0);
    wait_for("the backend to have room", SOON, || state() == Some("up".into()));
    assert_eq!(stage.client().ask_many(stage.web(), 4), Distribution::even(2, 2));
    assert_eq!(second.finish().broken(), 0);
    Ok(())
}

#[test]
fn each_datagram_for_itself() -> Result<()> {
    let stage = up(dns().set("one_packet", "true"))?;
    for vip in [stage.lab.vip(53), stage.lab.vip6(53)] {
        let seen = stage.client().ask_udp_from_one_port(vip, 30);
        assert_eq!(seen, Distribution::even(3, 10), "{vip}");
    }
    assert_eq!(stage.director.json(&["connections"])?["total"], 0);
    // And not so where it is not asked for.
    stage.director.reload_with(dns())?;
    let seen = stage.client().ask_udp_from_one_port(stage.lab.vip(53), 30);
    assert_eq!((seen.servers.len(), seen.answered()), (1, 30), "{seen}");
    Ok(())
}

#[test]
fn a_server_behind_a_router_is_refused() -> Result<()> {
    let stage = Stage::with(LabOptions::routed(), web())?;
    let status = stage.director.status()?;
    let warnings = status["warnings"].as_array().cloned().unwrap_or_default();
    for n in 1..=3 {
        let of_it: Vec<_> = warnings
            .iter()
            .filter_map(Value::as_str)
            .filter(|warning| warning.contains(&backend(n).to_string()))
            .collect();
        let said = of_it.iter().any(|warning| {
            warning.contains("is behind the router 10.0.0.2 on eth0")
                && warning.contains("use forward = \"tun\"")
        });
        assert!(said, "{status}");
        assert_eq!(stage.director.backend("web", backend(n))?["state"], "unreachable");
    }
    let kind = stage.client().ask(stage.web()).map_err(|error| error.kind());
    assert_eq!(kind.map(|it| it.server), Err(ErrorKind::ConnectionRefused));
    stage.director.reload_with(Service::direct("tun"))?;
    assert_eq!(stage.client().ask_many(stage.web(), 30), Distribution::even(3, 10));
    Ok(())
}

/// Marks what goes to some ports, before the bridge's own ingress.
const MARKS: &str = "table bridge foreign {
    chain marks {
        type filter hook prerouting priority 0;
        tcp dport 81 meta mark set 7
        tcp dport 82 meta mark set 8
    }
}";

#[test]
fn a_firewall_mark_is_a_service() -> Result<()> {
    let config = Config::of([Service::new("marked", &["fwmark:7"])
        .unmanaged()
        .forward("dr")
        .backends((1..=3).map(backend))
        .backends((1..=3).map(backend6))])
    .director("interfaces", "[\"br-in\"]");
    let stage = Stage::prepared(LabOptions::one_arm(), config, |lab| {
        let director = lab.director_ns();
        for command in [
            "link add br-in type bridge",
            "addr flush dev eth0",
            "link set eth0 master br-in",
            "link set br-in up",
            "addr add 10.0.0.1/15 dev br-in",
            "addr add fd00:a::1/31 dev br-in nodad",
        ] {
            director.ip(command)?;
        }
        director.nft(MARKS)
    })?;
    // The address is the real servers' alone: what comes for it finds the director by the client's route.
    let to: IpAddr = vip(1);
    // One mark, and for each family a service of its own, as their backends are.
    for (to, director) in [(to, "10.0.0.1"), (vip6(1), "fd00:a::1")] {
        stage
            .lab
            .client_ns()
            .ip(&format!("route add {to} via {director}"))?;
        wait_until("the service to have all its backends", SOON, || {
            let backends = stage.director.json(&["backends"]).ok()?;
            let up = |it: &Value| it["state"] == "up";
            backends.as_array()?.iter().all(up).then_some(())
        });
        let seen = stage.client().ask_many(SocketAddr::new(to, 81), 30);
        assert_eq!(seen, Distribution::even(3, 10), "{to}");
    }
    // Another mark is nobody's service, and no mark is none either.
    for port in [80, 82] {
        let kind = stage
            .client()
            .ask(SocketAddr::new(to, port))
            .map_err(|error| error.kind());
        assert!(kind.is_err(), "{port}: {kind:?}");
    }
    Ok(())
}
