//! What is counted is what was sent.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use wvs_tests::{
    Config, Distribution, HeldConnections, HeldOptions, Lifetimes, LongLived, Service, Stage, Target,
    backend, client_source, rs, rs6, wait_for,
};

const SOON: Duration = Duration::from_secs(5);

/// Connections, then packets and bytes from clients, then to clients.
type Counts = [u64; 5];

fn counts(view: &Value) -> Result<Counts> {
    let number = |value: &Value| value.as_u64().with_context(|| format!("not counted: {view}"));
    let (sent, received) = (&view["sent"], &view["received"]);
    Ok([
        number(&view["connections"])?,
        number(&sent["packets"])?,
        number(&sent["bytes"])?,
        number(&received["packets"])?,
        number(&received["bytes"])?,
    ])
}

fn of(stage: &Stage, service: &str, backend: SocketAddr) -> Result<Counts> {
    counts(&stage.director.backend(service, backend)?)
}

/// Counts the packets of each real server by itself, in the same place: an independent witness.
const WITNESS: &str = "table inet witness {
    counter to1 { }
    counter to2 { }
    counter to3 { }
    counter from1 { }
    counter from2 { }
    counter from3 { }
    chain forward {
        type filter hook forward priority filter + 10;
        ip daddr 10.1.0.11 counter name to1
        ip daddr 10.1.0.12 counter name to2
        ip daddr 10.1.0.13 counter name to3
        ip saddr 10.1.0.11 counter name from1
        ip saddr 10.1.0.12 counter name from2
        ip saddr 10.1.0.13 counter name from3
    }
}";

/// Waits until the closed connections' last packets have passed: both sides have said so.
fn settle(stage: &Stage) {
    wait_for("connections to end", SOON, || stage.servers.iter().all(|server| server.active() == 0));
}

/// That the counters of a real server agree with the witness, and how many connections it had.
fn assert_witnessed(stage: &Stage, connections: u64) -> Result<()> {
    settle(stage);
    for n in 1..=3 {
        let witness = |direction: &str| stage.ns().counter("inet witness", &format!("{direction}{n}"));
        // A last acknowledgement may still be on its way between the two looks.
        let mut seen = (Counts::default(), Counts::default());
        let agree = || -> Result<bool> {
            let (to, from) = (witness("to")?, witness("from")?);
            let ours = of(stage, "web", rs(n))?;
            seen = (ours, [connections, to.0, to.1, from.0, from.1]);
            Ok(seen.0 == seen.1)
        };
        let mut agree = agree;
        let agreed = (0..50).any(|_| agree().unwrap_or(false));
        assert!(agreed, "rs{n} counts {:?}, the witness {:?}", seen.0, seen.1);
    }
    Ok(())
}

#[test]
fn tcp_is_counted_exactly_and_for_good() -> Result<()> {
    let web = Service::web();
    let mut stage =
        Stage::prepared(wvs_tests::LabOptions::default(), web.clone(), |lab| lab.director_ns().nft(WITNESS))?;
    let ask = |stage: &Stage| {
        let thirds = Distribution::of(&[("rs1", 10), ("rs2", 10), ("rs3", 10)]);
        assert_eq!(stage.client().ask_many(stage.web(), 30), thirds);
    };
    ask(&stage);
    assert_witnessed(&stage, 10)?;
    let service = &stage.director.json(&["services"])?[0];
    assert_eq!(counts(service)?[0], 30, "{service}");

    // A reload that changes much, and one that changes it back.
    stage
        .director
        .reload_with(Config::of([web.clone().scheduler("sh").reject_other_ports()]))?;
    stage.director.reload_with(web)?;
    ask(&stage);
    assert_witnessed(&stage, 20)?;

    // Connections that nobody watched are counted, too.
    stage.director.kill9()?;
    ask(&stage);
    stage.director.restart()?;
    assert_witnessed(&stage, 30)?;
    Ok(())
}

#[test]
fn counters_go_on_when_a_table_is_made_anew() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    let repaired = |before: u64| {
        let now = || {
            stage
                .director
                .number("repairs")
                .is_ok_and(|repairs| repairs > before)
        };
        wait_for("the repair", SOON, now);
    };
    let mut before = [Counts::default(); 3];
    let mut expected = 0;
    // Fewer connections after a loss than before it, as many, and more.
    for (round, asks) in [30, 15, 30, 60].into_iter().enumerate() {
        assert_eq!(stage.client().ask_many(stage.web(), asks).answered(), asks);
        settle(&stage);
        expected += asks as u64 / 3;
        for (n, before) in (1..).zip(&mut before) {
            let now = of(&stage, "web", rs(n))?;
            assert_eq!(now[0], expected, "connections of rs{n} in round {round}");
            assert!(now.iter().zip(*before).all(|(now, before)| *now > before), "{before:?} then {now:?}");
            *before = now;
        }
        let repairs = stage.director.number("repairs")?;
        stage.ns().nft("delete table ip wvs")?;
        repaired(repairs);
    }
    Ok(())
}

#[test]
fn datagrams_are_counted_to_the_byte() -> Result<()> {
    let at = |n| SocketAddr::new(backend(n), 5353);
    let dns = Service::new("dns", &["udp://10.0.0.100:53"]).backends((1..=3).map(at));
    let stage = Stage::up(dns)?;
    let mut expected = [Counts::default(); 3];
    for (round, payload) in ["", "x", "some words", "and more words"]
        .into_iter()
        .cycle()
        .take(24)
        .enumerate()
    {
        let answer = stage.client().ask_udp(stage.lab.vip(53), payload)?;
        assert_eq!(answer.server, format!("rs{}", round % 3 + 1));
        let said = format!("{} {} {payload}", answer.server, answer.peer);
        let headers = 20 + 8;
        let counts = &mut expected[round % 3];
        let more = [
            1,
            1,
            headers + payload.len() as u64,
            1,
            headers + said.len() as u64,
        ];
        counts
            .iter_mut()
            .zip(more)
            .for_each(|(count, more)| *count += more);
    }
    for (n, expected) in (1..).zip(expected) {
        assert_eq!(of(&stage, "dns", at(n))?, expected, "rs{n}");
    }
    Ok(())
}

#[test]
fn both_families_full_nat_and_local_clients_are_counted() -> Result<()> {
    let web = Service::web_of_both_families()
        .only([rs(1), rs6(1)])
        .forward("full-nat");
    let stage = Stage::with_servers(1, web)?;
    assert_eq!(stage.client().ask_many(stage.web(), 7).answered(), 7);
    assert_eq!(stage.client().ask_many(stage.web6(), 5).answered(), 5);
    assert_eq!(stage.lab.local_client().ask_many(stage.web(), 3).answered(), 3);
    settle(&stage);
    for (backend, connections) in [(rs(1), 10), (rs6(1), 5)] {
        let [seen, sent, _, received, _] = of(&stage, "web", backend)?;
        assert_eq!(seen, connections, "{backend}");
        // A handshake, a greeting and a farewell: three packets each way at the least.
        assert!(sent >= 3 * connections && received >= 3 * connections, "{backend}: {sent} and {received}");
    }
    Ok(())
}

#[test]
fn the_counters_of_services_are_those_of_their_backends() -> Result<()> {
    let other = Service::new("other", &["tcp://10.0.0.101:80"]).backend(rs(1));
    let stage = Stage::up(Config::of([Service::web(), other]))?;
    stage.client().ask_many(stage.web(), 9);
    stage.client().ask_many(SocketAddr::new(wvs_tests::vip(1), 80), 4);
    settle(&stage);
    // The same server, but another backend: it is counted where it was asked for.
    assert_eq!((of(&stage, "web", rs(1))?[0], of(&stage, "other", rs(1))?[0]), (3, 4));
    let services = stage.director.json(&["services"])?;
    assert_eq!((counts(&services[0])?[0], counts(&services[1])?[0]), (9, 4), "{services}");
    Ok(())
}

#[test]
fn active_and_inactive_connections_are_told_apart() -> Result<()> {
    let web = Service::web().scheduler("wrr").weights(&[3, 2, 1]);
    let stage = Stage::up(web)?;
    let flows = LongLived::open(&stage.client(), stage.web(), 60)?;
    let opened = flows.report().opened;
    let number = |n, of: &str| -> Result<u64> {
        stage.director.backend("web", rs(n))?[of]
            .as_u64()
            .context("a number")
    };
    for n in 1..=3 {
        let seen = (number(n, "active")?, number(n, "inactive")?);
        assert_eq!(seen, (opened.server(&format!("rs{n}")) as u64, 0), "rs{n}");
    }
    assert_eq!(flows.finish().broken(), 0);
    settle(&stage);
    wait_for("closed connections to count as inactive", SOON, || {
        (1..=3).all(|n| number(n, "active").is_ok_and(|active| active == 0))
    });
    assert!((1..=3).all(|n| number(n, "inactive").is_ok_and(|inactive| inactive > 0)));
    Ok(())
}

#[test]
fn connections_are_listed_as_they_are() -> Result<()> {
    let dns = Service::new("dns", &["udp://10.0.0.100:53"]).backend(SocketAddr::new(backend(2), 5353));
    let web = Service::web_of_both_families().only([Target::new(rs(1)), Target::new(rs6(3))]);
    let stage = Stage::up(Config::of([web, dns]))?;
    let options = HeldOptions {
        per_second: 100,
        lifetimes: Lifetimes::Forever,
        seed: 1,
    };
    let held = HeldConnections::start(&stage.client(), stage.web(), options);
    held.wait_opened(5);
    let answer = stage.client().ask_udp(stage.lab.vip(53), "x")?;

    let listed = stage.director.json(&["connections", "dns"])?;
    assert_eq!((&listed["total"], listed["connections"].as_array().map(Vec::len)), (&1.into(), Some(1)));
    let flow = &listed["connections"][0];
    let text = |key: &str| flow[key].as_str().unwrap_or_default().to_owned();
    assert_eq!((text("service"), text("protocol")), ("dns".to_owned(), "udp".to_owned()));
    assert_eq!(text("client"), answer.peer.to_string());
    assert_eq!(text("target"), stage.lab.vip(53).to_string());
    assert_eq!(text("server"), SocketAddr::new(backend(2), 5353).to_string());
    assert!(flow["expires"].as_u64().is_some_and(|seconds| seconds > 0), "{flow}");

    let listed = stage.director.json(&["connections", "web", "--limit", "2"])?;
    assert!(listed["total"].as_u64().is_some_and(|total| total >= 5), "{listed}");
    let flows = listed["connections"].as_array().context("a list")?;
    assert_eq!(flows.len(), 2);
    for flow in flows {
        let client: SocketAddr = flow["client"].as_str().unwrap_or_default().parse()?;
        assert_eq!(client.ip(), client_source());
        assert_eq!(flow["target"], stage.web().to_string());
        assert_eq!(flow["server"], rs(1).to_string());
        assert_eq!(flow["state"], "ESTABLISHED");
    }
    stage.client().ask(stage.web6())?;
    let all = stage.director.json(&["connections", "--limit", "1000"])?;
    let servers = all["connections"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|flow| flow["server"].clone());
    assert!(servers.into_iter().any(|server| server == rs6(3).to_string()), "{all}");
    assert_eq!(held.finish().opened.failed(), 0);
    Ok(())
}
