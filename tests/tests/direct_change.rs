//! Changes under traffic that goes by direct routing or through tunnels: nothing breaks, nothing is refused.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use wvs_tests::{
    Arrivals, Config, Distribution, LabOptions, LongLived, Service, Stage, Target, backend, backend6, vip,
    wait_for,
};

const SOON: Duration = Duration::from_secs(5);
/// Longer than a client waits for an answer.
const AT_LAST: Duration = Duration::from_secs(10);
/// How often each change is made.
const ROUNDS: usize = 100;
const CRASHES: usize = 20;

/// Both methods, as a test wants them.
const METHODS: [&str; 2] = ["dr", "tun"];

fn up(forward: &str, servers: usize, config: impl Into<Config>) -> Result<Stage> {
    let options = match forward {
        "tun" => LabOptions::tunnels(),
        _ => LabOptions::one_arm(),
    };
    Stage::with(
        LabOptions {
            backends: servers,
            ..options
        },
        config,
    )
}

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

    #[track_caller]
    fn assert_unharmed(self) {
        self.flows.settle();
        self.arrivals.next(10);
        let report = self.flows.finish();
        assert_eq!(report.broken(), 0, "{report:?}");
        let arrived = self.arrivals.finish();
        assert_eq!(arrived.failed(), 0, "{arrived}");
    }
}

fn remove(stage: &Stage, n: usize, more: &[&str]) -> Result<Value> {
    let address = backend(n).to_string();
    stage
        .director
        .json(&[&["remove", "backend", "web", &address], more].concat())
}

fn add(stage: &Stage, n: usize) -> Result<String> {
    stage
        .director
        .ok(&["add", "backend", "web", &backend(n).to_string()])
}

#[test]
fn a_hundred_reloads_break_nothing_of_direct_routing() -> Result<()> {
    a_hundred_reloads_break_nothing("dr")
}

#[test]
fn a_hundred_reloads_break_nothing_of_tunnels() -> Result<()> {
    a_hundred_reloads_break_nothing("tun")
}

fn a_hundred_reloads_break_nothing(forward: &str) -> Result<()> {
    let web = Service::direct(forward).scheduler("wrr");
    let other = Service::new("other", &["tcp://10.0.0.101:80"])
        .forward(forward)
        .backend(backend(4));
    let changed = web.clone().only([
        Target::new(backend(1)).weight(3),
        backend(2).into(),
        backend(4).into(),
    ]);
    let configs = [web.into(), Config::of([changed, other])];
    let stage = up(forward, 4, configs[0].clone())?;
    let load = Load::on(&stage, 300)?;
    for config in configs.iter().rev().cycle().take(ROUNDS) {
        let applied = stage.director.reload_with(config)?;
        assert_eq!(applied["changed"], true, "{applied}");
    }
    load.assert_unharmed();
    Ok(())
}

#[test]
fn backends_that_come_and_go_break_nothing() -> Result<()> {
    let stage = up("dr", 4, Service::direct("dr"))?;
    let load = Load::on(&stage, 300)?;
    for round in 0..ROUNDS / 2 {
        add(&stage, 4)?;
        if round % 10 == 0 {
            assert_ne!(load.arrivals.next(10).server("rs4"), 0);
        }
        remove(&stage, 4, &[])?;
    }
    assert_eq!(load.arrivals.next(20).server("rs4"), 0);
    load.assert_unharmed();
    Ok(())
}

#[test]
fn twenty_crashes_of_the_director_break_nothing_of_direct_routing() -> Result<()> {
    twenty_crashes_of_the_director_break_nothing("dr")
}

#[test]
fn twenty_crashes_of_the_director_break_nothing_of_tunnels() -> Result<()> {
    twenty_crashes_of_the_director_break_nothing("tun")
}

fn twenty_crashes_of_the_director_break_nothing(forward: &str) -> Result<()> {
    let mut stage = up(forward, 3, Service::direct(forward))?;
    let load = Load::on(&stage, 300)?;
    for _ in 0..CRASHES {
        stage.director.kill9()?;
        load.arrivals.next(5);
        stage.director.restart()?;
        // It found its tables, and the program at work.
        assert_eq!(stage.director.number("commits")?, 0);
    }
    let views = stage.director.json(&["backends", "web"])?;
    let active: u64 = views
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["active"].as_u64())
        .sum();
    assert!(active >= 300, "{views}");
    load.assert_unharmed();
    Ok(())
}

#[test]
fn the_same_again_changes_nothing() -> Result<()> {
    let dns = Service::new("dns", &["udp://10.0.0.101:53"])
        .forward("tun")
        .backends((1..=2).map(backend));
    let config = Config::of([Service::direct_of_both_families("dr").scheduler("sh"), dns]);
    let stage = up("dr", 3, config.clone())?;
    let commits = stage.director.number("commits")?;
    for applied in [
        stage.director.reload_with(&config)?,
        stage.director.json(&["reload", "--dry-run"])?,
    ] {
        assert_eq!((&applied["plan"], &applied["changed"]), (&"".into(), &false.into()), "{applied}");
    }
    assert_eq!(stage.director.number("commits")?, commits);
    Ok(())
}

#[test]
fn what_goes_keeps_its_connections() -> Result<()> {
    for forward in METHODS {
        let stage = up(forward, 3, Service::direct(forward))?;
        let load = Load::on(&stage, 30)?;
        assert_eq!(load.flows.report().opened, Distribution::even(3, 10));
        stage.director.drain("web", backend(1))?;
        assert_eq!(load.arrivals.next(20).server("rs1"), 0);
        stage.director.weigh("web", backend(2), 0)?;
        assert_eq!(load.arrivals.next(20).servers.len(), 1);
        let view = stage.director.backend("web", backend(1))?;
        assert_eq!((&view["state"], &view["active"]), (&"draining".into(), &10.into()), "{view}");
        for n in [1, 2] {
            assert_eq!(remove(&stage, n, &[])?["cut"], 0);
        }
        assert_eq!(load.arrivals.next(20).servers.len(), 1);
        load.flows.settle();
        // And it is served again when it returns, with the connections it had.
        add(&stage, 1)?;
        assert_ne!(load.arrivals.next(20).server("rs1"), 0);
        wait_for("its connections to be counted", SOON, || {
            let view = stage.director.backend("web", backend(1)).unwrap_or_default();
            view["active"].as_u64().is_some_and(|active| active >= 10)
        });
        load.assert_unharmed();
    }
    Ok(())
}

/// A pin to a backend that takes no clients rests, and the next shorter prefix counts.
#[test]
fn pins_to_what_goes_rest() -> Result<()> {
    let pin = |client: &str, backend: IpAddr| format!("{{ client = \"{client}\", backend = \"{backend}\" }}");
    let pins = [
        pin("10.0.0.0/24", backend(1)),
        pin("10.0.0.11/32", backend(2)),
        pin("fd00:a::/64", backend6(1)),
        pin("fd00:a::11/128", backend6(2)),
    ];
    let web = Service::direct_of_both_families("dr").set("pins", &format!("[{}]", pins.join(", ")));
    let options = LabOptions {
        client_addresses: 2,
        ..LabOptions::one_arm()
    };
    let stage = Stage::with(options, web)?;
    for (vip, one, other, pinned) in [
        (stage.web(), "10.0.0.10", "10.0.0.11", backend(2)),
        (stage.web6(), "fd00:a::10", "fd00:a::11", backend6(2)),
    ] {
        let [one, other] = [
            stage.client().from(one.parse()?),
            stage.client().from(other.parse()?),
        ];
        let go_to = |server: &str| {
            assert_eq!(one.ask_many(vip, 5), Distribution::of(&[("rs1", 5)]));
            assert_eq!(other.ask_many(vip, 5), Distribution::of(&[(server, 5)]));
        };
        go_to("rs2");
        let flows = LongLived::open(&other, vip, 10)?;
        assert_eq!(flows.report().opened, Distribution::of(&[("rs2", 10)]));
        let name = pinned.to_string();
        stage.director.drain("web", pinned)?;
        go_to("rs1");
        stage.director.ok(&["drain", "web", &name, "--undo"])?;
        go_to("rs2");
        stage.director.weigh("web", pinned, 0)?;
        go_to("rs1");
        stage.director.weigh("web", pinned, 1)?;
        go_to("rs2");
        flows.settle();
        assert_eq!(flows.finish().broken(), 0);
    }
    Ok(())
}

#[test]
fn a_cut_breaks_the_connections_of_that_backend_only() -> Result<()> {
    for forward in METHODS {
        let stage = up(forward, 3, Service::direct(forward))?;
        let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
        assert_eq!(remove(&stage, 2, &["--cut"])?["cut"], 10);
        wait_for("the cut to be felt", AT_LAST, || flows.report().broken() == 10);
        flows.settle();
        let report = flows.finish();
        assert_eq!(report.broken_at, [("rs2".to_owned(), 10)].into(), "{report:?}");
        // What the client sends next goes to another real server, which knows nothing of it and resets.
        assert_eq!(report.errors.get(&ErrorKind::ConnectionReset), Some(&10), "{report:?}");
    }
    Ok(())
}

#[test]
fn a_service_goes_and_its_connections_stay() -> Result<()> {
    let other = Service::new("other", &["tcp://10.0.0.101:80"])
        .forward("dr")
        .backends((1..=3).map(backend));
    let stage = up("dr", 3, Config::of([Service::direct("dr"), other]))?;
    let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
    stage.director.ok(&["remove", "service", "web"])?;
    let kind = stage.client().ask(stage.web()).map_err(|error| error.kind());
    assert!(kind.is_err(), "{kind:?}");
    flows.settle();
    assert_eq!(flows.finish().broken(), 0);
    assert_eq!(stage.client().ask_many(SocketAddr::new(vip(1), 80), 30), Distribution::even(3, 10));
    Ok(())
}

#[test]
fn methods_change_places_under_traffic() -> Result<()> {
    let stage = up("tun", 3, Service::direct("dr"))?;
    let load = Load::on(&stage, 60)?;
    for forward in ["tun", "dr", "tun", "dr"] {
        stage.director.reload_with(Service::direct(forward))?;
        let seen = load.arrivals.next(15);
        assert_eq!((seen.failed(), seen.servers.len()), (0, 3), "{forward}: {seen}");
        load.flows.settle();
    }
    load.assert_unharmed();
    Ok(())
}

#[test]
fn tables_do_not_change_their_size_under_way() -> Result<()> {
    let sized = |flows: &str| Config::from(Service::direct("dr")).director("max_flows", flows);
    let stage = up("dr", 3, sized("4096"))?;
    let load = Load::on(&stage, 30)?;
    stage
        .director
        .apply(sized("8192"))?
        .assert_failed(&["has room for 4096 entries, 8192 are configured"]);
    // What was loaded is still in the director's hands.
    stage.director.drain("web", backend(1))?;
    let seen = load.arrivals.next(20);
    assert_eq!((seen.server("rs1"), seen.failed()), (0, 0), "{seen}");
    load.assert_unharmed();
    Ok(())
}

#[test]
fn a_teardown_removes_everything() -> Result<()> {
    let mut stage = up("dr", 3, Service::direct("dr"))?;
    let pins = stage.lab.pin_dir();
    assert_eq!(stage.client().ask_many(stage.web(), 3), Distribution::even(3, 1));
    // Stopping leaves everything in place.
    assert!(stage.director.terminate()?.success());
    assert_eq!(stage.client().ask_many(stage.web(), 3), Distribution::even(3, 1));
    stage.director.restart()?;
    assert_eq!(stage.director.status()?["tc"]["pin_dir"], *pins.to_string_lossy());
    stage.director.ok(&["teardown", "--yes"])?;
    let left: Vec<_> = std::fs::read_dir(&pins)
        .into_iter()
        .flatten()
        .flatten()
        .map(|it| it.path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(
        stage
            .ns()
            .read("tc", &["filter", "show", "dev", "eth0", "ingress"])?,
        ""
    );
    assert!(!stage.ns().ip("addr show dev eth0")?.contains("10.0.0.100/"));
    assert!(stage.client().ask(stage.web()).is_err());
    Ok(())
}
