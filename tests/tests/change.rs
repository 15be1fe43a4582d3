//! Changes under traffic: nothing breaks, nothing is refused, and only what differs is sent.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use wvs_tests::{
    Arrivals, Config, Distribution, LabOptions, LongLived, Service, Stage, Target, client_source, rs,
    wait_for,
};

const SOON: Duration = Duration::from_secs(5);

/// Long-lived connections and a stream of new ones, and the end of both.
struct Load {
    flows: LongLived,
    arrivals: Arrivals,
}

impl Load {
    fn on(stage: &Stage, flows: usize) -> Result<Self> {
        Ok(Self {
            flows: LongLived::open(&stage.client(), stage.web(), flows)?,
            arrivals: Arrivals::start(&stage.client(), stage.web(), 100),
        })
    }

    /// Everybody has been served since the last change.
    fn settle(&self) {
        self.flows.settle();
        self.arrivals.next(10);
    }

    #[track_caller]
    fn assert_unharmed(self) {
        self.settle();
        let report = self.flows.finish();
        assert_eq!(report.broken(), 0, "{report:?}");
        let arrived = self.arrivals.finish();
        assert_eq!(arrived.failed(), 0, "{arrived}");
    }
}

/// Two configurations that differ in weights, in backends and in another service.
fn two_configs() -> [Config; 2] {
    let other = Service::new("other", &["tcp://10.0.0.101:80"]).backend(rs(4));
    [
        Service::web().scheduler("wrr").into(),
        Config::of([
            Service::web()
                .scheduler("wrr")
                .only([Target::new(rs(1)).weight(3), rs(2).into(), rs(4).into()]),
            other,
        ]),
    ]
}

#[test]
fn a_hundred_reloads_break_nothing() -> Result<()> {
    let configs = two_configs();
    let stage = Stage::with_servers(4, configs[0].clone())?;
    let load = Load::on(&stage, 300)?;
    let commits = stage.director.number("commits")?;
    for config in configs.iter().rev().cycle().take(100) {
        stage.director.reload_with(config)?;
    }
    assert_eq!(stage.director.number("commits")?, commits + 100, "each reload is one batch");
    load.assert_unharmed();
    Ok(())
}

#[test]
fn fifty_backends_come_and_go_and_break_nothing() -> Result<()> {
    let stage = Stage::with_servers(4, Service::web())?;
    let load = Load::on(&stage, 300)?;
    let address = rs(4).to_string();
    for round in 0..50 {
        stage
            .director
            .ok(&["add", "backend", "web", &address, "--weight", "2"])?;
        if round % 10 == 0 {
            assert_ne!(load.arrivals.next(10).server("rs4"), 0);
        }
        stage.director.ok(&["remove", "backend", "web", &address])?;
    }
    assert_eq!(load.arrivals.next(20).server("rs4"), 0);
    load.assert_unharmed();
    Ok(())
}

#[test]
fn twenty_crashes_of_the_director_break_nothing() -> Result<()> {
    let mut stage = Stage::up(Service::web())?;
    let load = Load::on(&stage, 300)?;
    for _ in 0..20 {
        stage.director.kill9()?;
        load.arrivals.next(5);
        stage.director.restart()?;
        // It found its tables and had nothing to change.
        assert_eq!(stage.director.number("commits")?, 0);
    }
    load.assert_unharmed();
    Ok(())
}

#[test]
fn the_same_again_sends_nothing() -> Result<()> {
    let config = Config::of([
        Service::web_of_both_families()
            .scheduler("sh")
            .reject_other_ports(),
        Service::new("dns", &["udp://10.0.0.101:53,5300-5310"])
            .forward("full-nat")
            .backend(rs(1)),
        Service::new("marked", &["fwmark:7"]).unmanaged().backend(rs(2)),
    ]);
    let stage = Stage::up(config.clone())?;
    let state = || -> Result<_> {
        let status = stage.director.status()?;
        Ok((status["commits"].clone(), status["generation"].clone()))
    };
    let before = state()?;
    for applied in [
        stage.director.reload_with(&config)?,
        stage.director.json(&["reload", "--dry-run"])?,
    ] {
        assert_eq!((&applied["plan"], &applied["addresses"]), (&"".into(), &Value::Array(Vec::new())));
    }
    let said = stage.director.apply(&config)?;
    assert_eq!((said.code, &*said.stdout), (0, ""), "{said:?}");
    assert_eq!(state()?, before);
    Ok(())
}

/// The lines of a plan, one at least.
fn plan(applied: &Value) -> Vec<&str> {
    let lines: Vec<_> = applied["plan"].as_str().unwrap_or_default().lines().collect();
    assert_ne!(lines.len(), 0, "{applied}");
    lines
}

#[test]
fn a_weight_changes_slots_and_nothing_else() -> Result<()> {
    let web = Service::web_of_both_families().scheduler("wrr");
    let stage = Stage::up(web.clone())?;
    let rules = || {
        stage
            .ns()
            .read("nft", &["-sa", "list", "chain", "ip", "wvs", "svc-web"])
    };
    let (before, commits) = (rules()?, stage.director.number("commits")?);

    let applied = stage.director.weigh("web", rs(1), 5)?;
    let only_slots = |line: &&str| {
        line.starts_with("delete element ip wvs slots-web {")
            || line.starts_with("add element ip wvs slots-web {")
    };
    assert!(plan(&applied).iter().all(only_slots), "{applied}");
    assert_eq!(stage.director.number("commits")?, commits + 1);

    // The file still has the old weight.
    let applied = stage.director.reload_with(&web)?;
    assert!(plan(&applied).iter().all(only_slots), "{applied}");
    assert_eq!(stage.director.weigh("web", rs(1), 1)?["plan"], "", "it is 1 already");
    assert_eq!(stage.director.number("commits")?, commits + 2);

    // The rule that draws slots is the one it was: a new one would begin its cycle again.
    assert_eq!(rules()?, before);
    Ok(())
}

#[test]
fn a_change_of_one_service_leaves_the_others_alone() -> Result<()> {
    let other = |weight| {
        let backends = [Target::new(rs(1)).weight(weight), Target::new(rs(2))];
        Service::new("other", &["tcp://10.0.0.101:80"])
            .scheduler("wrr")
            .backends(backends)
    };
    let stage = Stage::up(Config::of([Service::web(), other(1)]))?;
    let applied = stage
        .director
        .reload_with(Config::of([Service::web(), other(2)]))?;
    assert!(plan(&applied).iter().all(|line| line.contains(" slots-other ")), "{applied}");
    let applied = stage.director.reload_with(Service::web())?;
    assert!(!plan(&applied).iter().any(|line| line.contains("web")), "{applied}");
    Ok(())
}

#[test]
fn what_goes_keeps_its_connections() -> Result<()> {
    let stage = Stage::with_servers(3, Service::web())?;
    let load = Load::on(&stage, 30)?;
    let thirds = Distribution::of(&[("rs1", 10), ("rs2", 10), ("rs3", 10)]);
    assert_eq!(load.flows.report().opened, thirds);
    stage.director.drain("web", rs(1))?;
    assert_eq!(load.arrivals.next(20).server("rs1"), 0);
    stage.director.weigh("web", rs(2), 0)?;
    assert_eq!(load.arrivals.next(20).servers.len(), 1);
    stage
        .director
        .ok(&["remove", "backend", "web", &rs(1).to_string()])?;
    stage
        .director
        .ok(&["remove", "backend", "web", &rs(2).to_string()])?;
    assert_eq!(load.arrivals.next(20).servers.len(), 1);
    load.assert_unharmed();
    Ok(())
}

#[test]
fn a_drain_is_taken_back() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    stage.director.drain("web", rs(2))?;
    assert_eq!(stage.director.backend("web", rs(2))?["state"], "draining");
    let seen = stage.client().ask_many(stage.web(), 20);
    assert_eq!(seen, Distribution::of(&[("rs1", 10), ("rs3", 10)]));
    stage
        .director
        .ok(&["drain", "web", &rs(2).to_string(), "--undo"])?;
    assert_eq!(stage.director.backend("web", rs(2))?["state"], "up");
    let seen = stage.client().ask_many(stage.web(), 30);
    assert_eq!(seen, Distribution::of(&[("rs1", 10), ("rs2", 10), ("rs3", 10)]));
    Ok(())
}

/// Longer than a client waits for an answer.
const AT_LAST: Duration = Duration::from_secs(10);

#[test]
fn a_cut_breaks_the_connections_of_that_backend_only() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
    let removed = stage
        .director
        .json(&["remove", "backend", "web", &rs(2).to_string(), "--cut"])?;
    assert_eq!(removed["cut"], 10, "{removed}");
    wait_for("the cut to be felt", AT_LAST, || flows.report().broken() == 10);
    flows.settle();
    let report = flows.finish();
    assert_eq!(report.broken_at, [("rs2".to_owned(), 10)].into(), "{report:?}");
    // A client's next packet is answered by a reset. One that had said all and waits for its answer sends none.
    let expected = |kind: &ErrorKind| matches!(kind, ErrorKind::ConnectionReset | ErrorKind::TimedOut);
    assert!(report.errors.keys().all(expected), "{report:?}");
    assert_ne!(report.errors.get(&ErrorKind::ConnectionReset), None, "{report:?}");
    Ok(())
}

#[test]
fn a_service_goes_with_or_without_its_connections() -> Result<()> {
    // At an address that stays, so that there is somebody to reset what comes for it.
    let other = Service::new("other", &["tcp://10.0.0.100:81"]).backends((1..=3).map(rs));
    let last = Service::new("last", &["tcp://10.0.0.100:82"]);
    let stage = Stage::up(Config::of([Service::web(), other, last]))?;
    let web = LongLived::open(&stage.client(), stage.web(), 30)?;
    let other = LongLived::open(&stage.client(), stage.lab.vip(81), 30)?;
    let removed = stage.director.json(&["remove", "service", "other", "--cut"])?;
    assert_eq!(removed["cut"], 30, "{removed}");
    wait_for("the cut to be felt", AT_LAST, || other.report().broken() == 30);
    let removed = stage.director.json(&["remove", "service", "web"])?;
    assert_eq!(removed["cut"], 0, "{removed}");
    web.settle();
    assert_eq!(web.finish().broken(), 0);
    Ok(())
}

#[test]
fn connections_outlive_the_address_they_were_made_to() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
    stage.director.ok(&["remove", "service", "web"])?;
    assert!(!stage.ns().ip("addr show dev eth0")?.contains("10.0.0.100/"));
    // The client still sends to the director, which still translates.
    flows.settle();
    assert_eq!(flows.finish().broken(), 0);
    Ok(())
}

#[test]
fn a_backend_that_returns_finds_its_connections() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
    let before = stage.director.backend("web", rs(2))?;
    stage
        .director
        .ok(&["remove", "backend", "web", &rs(2).to_string()])?;
    flows.settle();
    stage
        .director
        .ok(&["add", "backend", "web", &rs(2).to_string()])?;
    let after = stage.director.backend("web", rs(2))?;
    assert_eq!((&after["id"], &after["active"]), (&before["id"], &10.into()), "{before} {after}");
    assert_eq!(flows.finish().broken(), 0);
    Ok(())
}

#[test]
fn edits_outlive_the_director_and_a_changed_file_wins() -> Result<()> {
    let mut stage = Stage::with(LabOptions::default(), Service::web())?;
    let seen = |stage: &Stage| stage.client().from(client_source()).ask_many(stage.web(), 20);
    stage.director.drain("web", rs(1))?;
    assert_eq!(stage.director.status()?["edited"], true);
    stage.director.kill9()?;
    stage.director.restart()?;
    assert_eq!(stage.director.status()?["edited"], true);
    assert_eq!(seen(&stage), Distribution::of(&[("rs2", 10), ("rs3", 10)]));

    stage.director.kill9()?;
    stage
        .director
        .write_config(&Service::web().only([rs(1), rs(2)]).to_string())?;
    stage.director.restart()?;
    assert_eq!(stage.director.status()?["edited"], false);
    assert_eq!(seen(&stage), Distribution::of(&[("rs1", 10), ("rs2", 10)]));

    // And a reload undoes what was edited since.
    stage.director.drain("web", rs(1))?;
    stage.director.json(&["reload"])?;
    assert_eq!(seen(&stage), Distribution::of(&[("rs1", 10), ("rs2", 10)]));
    Ok(())
}

#[test]
fn a_hangup_reads_the_file_again() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    stage
        .director
        .write_config(&Service::web().only([rs(2)]).to_string())?;
    stage.director.signal(nix::sys::signal::Signal::SIGHUP)?;
    wait_for("the reload", SOON, || {
        stage
            .director
            .status()
            .is_ok_and(|status| status["backends"] == 1)
    });
    assert_eq!(stage.client().ask_many(stage.web(), 4), Distribution::of(&[("rs2", 4)]));
    Ok(())
}
