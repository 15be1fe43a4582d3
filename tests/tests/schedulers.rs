//! Who gets the next connection: the schedulers that come with wvs, seen by a client.

#![expect(
    clippy::print_stderr,
    reason = "figures are for whoever runs it with --no-capture"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use wvs_tests::{
    Arrivals, Client, Distribution, HeldConnections, HeldOptions, HeldReport, LabOptions, Lifetimes,
    LongLived, Service, Stage, Target, backend, client_sources, rs, rs6, wait_for,
};

/// Who answers each of `n` questions, in order.
fn sequence(client: &Client, to: SocketAddr, n: usize) -> Result<Vec<String>> {
    (0..n).map(|_| Ok(client.ask(to)?.server)).collect()
}

#[test]
fn rr_serves_exact_thirds_in_turn() -> Result<()> {
    let stage = Stage::up(Service::web().scheduler("rr"))?;
    let seen = sequence(&stage.client(), stage.web(), 30)?;
    let (first, rest) = seen.split_at(3);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3, "{seen:?}");
    assert!(rest.chunks(3).all(|turn| turn == first), "{seen:?}");

    // Whatever the weights; only 0 is nothing.
    stage.director.weigh("web", rs(1), 3)?;
    stage.director.weigh("web", rs(2), 0)?;
    let seen = sequence(&stage.client(), stage.web(), 20)?;
    assert!(seen.chunks(2).all(|turn| turn == &seen[..2]), "{seen:?}");
    let both: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(both, BTreeSet::from(["rs1", "rs3"]));
    Ok(())
}

#[test]
fn wrr_follows_weights_in_the_order_of_lvs() -> Result<()> {
    let stage = Stage::up(Service::web().scheduler("wrr").weights(&[3, 2, 1]))?;
    let seen = sequence(&stage.client(), stage.web(), 60)?;
    assert_eq!(seen[..6], ["rs1", "rs1", "rs2", "rs1", "rs2", "rs3"]);
    let count = |among: &[String], server: &str| among.iter().filter(|it| *it == server).count();
    assert_eq!(["rs1", "rs2", "rs3"].map(|rs| count(&seen[..6], rs)), [3, 2, 1], "{:?}", &seen[..6]);
    // Not rs1, rs1, rs1, rs2, rs2, rs3, at no place: whichever six follow each other, each server has its
    // share of them, give or take one.
    for six in seen.windows(6) {
        for (server, share) in [("rs1", 3), ("rs2", 2), ("rs3", 1_usize)] {
            assert!(count(six, server).abs_diff(share) <= 1, "{server} in {six:?}");
        }
    }
    assert!(
        !seen
            .windows(3)
            .any(|three| three.iter().all(|it| *it == three[0])),
        "{seen:?}"
    );
    for (server, share) in [("rs1", 30), ("rs2", 20), ("rs3", 10)] {
        assert!(count(&seen, server).abs_diff(share) <= 1, "{server} in {seen:?}");
    }
    Ok(())
}

#[test]
fn families_take_their_turns_apart() -> Result<()> {
    let stage = Stage::up(Service::web_of_both_families().scheduler("rr"))?;
    let v4 = sequence(&stage.client(), stage.web(), 1)?;
    // Had they one counter, this would begin where IPv4 stands.
    let v6 = sequence(&stage.client(), stage.web6(), 3)?;
    let v4 = [v4, sequence(&stage.client(), stage.web(), 2)?].concat();
    assert_eq!(v4, v6);
    assert_eq!(v4.iter().collect::<BTreeSet<_>>().len(), 3, "{v4:?}");

    // One backend less in IPv6 is none less in IPv4.
    stage.director.drain("web", rs6(2))?;
    let seen = stage.client().ask_many(stage.web6(), 20);
    assert_eq!(seen, Distribution::of(&[("rs1", 10), ("rs3", 10)]));
    let seen = stage.client().ask_many(stage.web(), 30);
    assert_eq!(seen, Distribution::of(&[("rs1", 10), ("rs2", 10), ("rs3", 10)]));
    Ok(())
}

type Homes = BTreeMap<IpAddr, Result<String, ErrorKind>>;

fn shares(homes: &Homes) -> BTreeMap<&str, usize> {
    let mut shares = BTreeMap::new();
    for home in homes.values() {
        *shares.entry(home.as_deref().unwrap_or("nobody")).or_default() += 1;
    }
    shares
}

#[test]
fn sh_keeps_a_client_at_its_server() -> Result<()> {
    let sources = client_sources(200);
    let web = Service::web().weights(&[1, 1, 2]);
    let options = LabOptions {
        client_addresses: 200,
        ..LabOptions::default()
    };
    let stage = Stage::with(options, web.clone().scheduler("sh"))?;
    let home = stage.client().ask(stage.web())?.server;
    assert_eq!(stage.client().ask_many(stage.web(), 20), Distribution::of(&[(&home, 20)]));

    let before = stage.client().ask_from_each(&sources, stage.web());
    eprintln!("200 clients of servers with weights 1, 1 and 2: {:?}", shares(&before));
    // Three standard deviations of 200 clients that choose by chance.
    for (server, share, leeway) in [("rs1", 50, 19), ("rs2", 50, 19), ("rs3", 100_usize, 22)] {
        let seen = shares(&before).get(server).copied().unwrap_or(0);
        assert!(share.abs_diff(seen) <= leeway, "{server}: {:?}", shares(&before));
    }
    assert_eq!(stage.client().ask_from_each(&sources, stage.web()), before);

    stage
        .director
        .ok(&["remove", "backend", "web", &rs(1).to_string()])?;
    let after = stage.client().ask_from_each(&sources, stage.web());
    assert!(
        after
            .values()
            .all(|home| matches!(home.as_deref(), Ok("rs2" | "rs3"))),
        "{after:?}"
    );
    let others = before.iter().filter(|(_, home)| home.as_deref() != Ok("rs1"));
    let (stayed, moved): (Vec<_>, Vec<_>) = others.partition(|(client, home)| after[*client] == **home);
    eprintln!("without rs1, {} of {} others moved", moved.len(), moved.len() + stayed.len());
    // Shares are rounded to slots anew, which moves a few of them.
    assert!(moved.len() * 10 <= stayed.len(), "{} moved and {} stayed", moved.len(), stayed.len());

    // It comes back, and so do its clients.
    stage
        .director
        .ok(&["add", "backend", "web", &rs(1).to_string()])?;
    assert_eq!(stage.client().ask_from_each(&sources, stage.web()), before);

    // Drained, it keeps its places: others stand in for it, or nobody does, and nobody else's clients move.
    for (fallback, stands_in) in [("true", true), ("false", false)] {
        let web = web.clone().scheduler_with("sh", &[("fallback", fallback)]);
        stage.director.reload_with(web)?;
        assert_eq!(stage.client().ask_from_each(&sources, stage.web()), before);
        stage.director.drain("web", rs(1))?;
        let after = stage.client().ask_from_each(&sources, stage.web());
        for (client, home) in &before {
            let now = after[client].as_deref();
            match home.as_deref() {
                Ok("rs1") if stands_in => assert!(matches!(now, Ok("rs2" | "rs3")), "{client}: {now:?}"),
                Ok("rs1") => assert!(now.is_err(), "{client}: {now:?}"),
                home => assert_eq!(now, home, "{client}"),
            }
        }
    }
    Ok(())
}

#[test]
fn sh_by_port_spreads_one_client() -> Result<()> {
    let stage = Stage::up(Service::web_of_both_families().scheduler_with("sh", &[("port", "true")]))?;
    for vip in [stage.web(), stage.web6()] {
        let seen = stage.client().ask_many(vip, 60);
        assert_eq!((seen.servers.len(), seen.failed()), (3, 0), "{seen}");
    }
    Ok(())
}

/// How far servers are from their share of what is open, at most: 0.1 is a tenth.
fn imbalance(report: &HeldReport, weights: &[(&str, usize)]) -> f64 {
    let total: usize = report.live.values().sum();
    let sum: usize = weights.iter().map(|(_, weight)| weight).sum();
    let ideal = total as f64 / sum as f64;
    let per_weight = |&(server, weight): &(&str, usize)| {
        report.live.get(server).copied().unwrap_or(0) as f64 / weight as f64
    };
    weights
        .iter()
        .map(|it| (per_weight(it) / ideal - 1.0).abs())
        .fold(0.0, f64::max)
}

/// A thousand connections at most, one in five of which stays.
fn skewed(scheduler: &str) -> Result<HeldReport> {
    let web = Service::web().scheduler(scheduler).weights(&[1, 1, 2]);
    let stage = Stage::up(web)?;
    let lifetimes = Lifetimes::Skewed {
        short: Duration::from_millis(50),
        long: Duration::from_secs(60),
        one_in: 5,
    };
    let options = HeldOptions {
        per_second: 250,
        lifetimes,
        seed: 1,
    };
    let held = HeldConnections::start(&stage.client(), stage.web(), options);
    held.wait_opened(1000);
    let tables = stage.director.scheduler("web")?["calls"].clone();
    let report = held.finish();
    assert_eq!((report.opened.failed(), report.broken.len()), (0, 0), "{report:?}");
    eprintln!("{tables} tables by {scheduler}");
    Ok(report)
}

#[test]
fn wlc_levels_connections_of_different_lengths() -> Result<()> {
    let report = skewed("wlc")?;
    let off = imbalance(&report, &[("rs1", 1), ("rs2", 1), ("rs3", 2)]);
    eprintln!(
        "wlc after {} connections: {:?} open, {:.1} % off the ideal at most",
        report.opened.answered(),
        report.live,
        off * 100.0
    );
    assert!(off <= 0.1, "{off}: {report:?}");
    Ok(())
}

/// By a plan of 16 slots at most a dozen connections are given out; with more, it is walked twice.
#[test]
fn tables_widen_with_the_rate_and_break_nothing() -> Result<()> {
    let narrow = |service: Service| service.scheduler("wlc").set("slots", "16");
    let nat = Stage::up(narrow(Service::web()))?;
    let direct = Stage::with(LabOptions::one_arm(), narrow(Service::direct("dr")))?;
    for stage in [&nat, &direct] {
        let slots = || -> Result<u64> {
            let backends = stage.director.json(&["backends", "web"])?;
            let backends = backends.as_array().context("a list")?;
            Ok(backends.iter().filter_map(|it| it["slots"].as_u64()).sum())
        };
        assert_eq!(slots()?, 16);
        let client = stage.client();
        let flows = LongLived::open(&client, stage.web(), 30)?;
        let arrivals = Arrivals::start(&client, stage.web(), 200);
        let wide = || slots().is_ok_and(|slots| slots >= 64);
        wait_for("a plan for all that comes by one", Duration::from_secs(60), wide);
        let seen = arrivals.next(300);
        eprintln!("by {} slots: {seen}", slots()?);
        assert_eq!((seen.failed(), seen.servers.len()), (0, 3), "{seen}");
        flows.settle();
        assert_eq!(flows.finish().broken(), 0);
        assert_eq!(arrivals.finish().failed(), 0);
        // What stands is what is wanted: the width is no reason for a change.
        let again = stage.director.json(&["reload"])?;
        assert_eq!(again["plan"], "", "{again}");
    }
    Ok(())
}

#[test]
fn wlc_favours_who_has_fewest() -> Result<()> {
    // Connections that stay at rs1 and rs2, made before rs3 was there: all new ones go to rs3 until it has
    // as many. A scheduler without counts would go on in turn.
    let web = Service::web().scheduler("wlc");
    let stage = Stage::up(web.clone().only([rs(1), rs(2)]))?;
    let flows = LongLived::open(&stage.client(), stage.web(), 60)?;
    stage.director.reload_with(web)?;
    wait_for("wlc to hear of 60 connections", Duration::from_secs(5), || {
        let slots = stage
            .director
            .backend("web", rs(3))
            .map(|it| it["slots"].as_u64());
        // Of 256 slots it has the 30 that are owed to it, and a third of the others. With fewer, not all of the 60 have
        // been counted yet.
        matches!(slots, Ok(Some(slots)) if slots >= 30 + 226 / 3)
    });
    let more = LongLived::open(&stage.client(), stage.web(), 20)?;
    assert_eq!(more.report().opened, Distribution::of(&[("rs3", 20)]));
    assert_eq!((flows.finish().broken(), more.finish().broken()), (0, 0));
    Ok(())
}

#[test]
fn a_backend_that_is_slow_to_answer_gets_few_connections_until_it_is_not() -> Result<()> {
    let times = [("interval", "200"), ("decay", "1"), ("floor", "50000")];
    let stage = Stage::up(Service::web().scheduler_with("peak-ewma", &times))?;
    let slots = |n: usize| {
        let backend = stage.director.backend("web", rs(n));
        backend.ok().and_then(|it| it["slots"].as_u64()).unwrap_or(0)
    };
    let level = || (1..=3).all(|n| (70..=100).contains(&slots(n)));
    wait_for("three that are equally near", Duration::from_secs(30), level);
    // The third does not answer the director any more, but does its clients: as if its backlog were full.
    let third = stage.lab.backend_ns(3);
    third.nft(
        "table ip slow { chain in { type filter hook input priority 0;\n\
         ip saddr 10.1.0.1 tcp flags & (syn | ack) == syn drop\n}; };",
    )?;
    wait_for("the third to be avoided", Duration::from_secs(30), || slots(3) <= 8);
    let seen = stage.client().ask_many(stage.web(), 60);
    eprintln!("while the third is slow: {seen:?}");
    assert_eq!(seen.failed(), 0, "{seen:?}");
    assert!(seen.server("rs3") <= 6, "{seen:?}");
    // It is trusted again little by little: a second falls below 50 ms in three decay times.
    third.nft("delete table ip slow")?;
    wait_for("the third to be trusted again", Duration::from_secs(60), level);
    let seen = stage.client().ask_many(stage.web(), 60);
    assert!(seen.server("rs3") >= 10, "{seen:?}");
    Ok(())
}

#[test]
fn schedulers_change_places_under_traffic() -> Result<()> {
    let web = Service::web();
    let stage = Stage::up(web.clone().scheduler("rr"))?;
    let client = stage.client();
    let flows = LongLived::open(&client, stage.web(), 60)?;
    let arrivals = Arrivals::start(&client, stage.web(), 50);
    for scheduler in ["sh", "wlc", "rr", "sh", "rr"] {
        stage.director.reload_with(web.clone().scheduler(scheduler))?;
        let seen = arrivals.next(15);
        assert_eq!(seen.failed(), 0, "{scheduler}: {seen}");
        let expected = if scheduler == "sh" { 1 } else { 3 };
        assert_eq!(seen.servers.len(), expected, "{scheduler}: {seen}");
        assert_eq!(stage.director.scheduler("web")?["plugin"], *scheduler);
        flows.settle();
    }
    let report = flows.finish();
    assert_eq!(report.broken(), 0, "{report:?}");
    assert_eq!(arrivals.finish().failed(), 0);
    Ok(())
}

#[test]
fn datagrams_are_scheduled_as_connections_are() -> Result<()> {
    let at = |n| SocketAddr::new(backend(n), 5353);
    let dns = Service::new("dns", &["udp://10.0.0.100:53"]).backends(
        (1..=3)
            .zip([3, 2, 1])
            .map(|(n, weight)| Target::new(at(n)).weight(weight)),
    );
    let stage = Stage::up(dns.clone().scheduler("wrr"))?;
    let seen = stage.client().ask_udp_many(stage.lab.vip(53), 24);
    assert_eq!(seen, Distribution::of(&[("rs1", 12), ("rs2", 8), ("rs3", 4)]));
    stage.director.reload_with(dns.scheduler("sh"))?;
    let seen = stage.client().ask_udp_many(stage.lab.vip(53), 20);
    assert_eq!((seen.servers.len(), seen.failed()), (1, 0), "{seen}");
    Ok(())
}
