//! Schedulers that decide for each connection, by direct routing: the tc program asks, the director answers. Where the
//! answer is nobody, through NAT as well.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};
use nix::sys::signal::Signal;
use wvs_tests::{
    Arrivals, Config, Distribution, LabOptions, LongLived, Service, Stage, Target, backend, backend6, rs,
    rs6, wait_for,
};

const SOON: Duration = Duration::from_secs(20);
const FAULTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/plugins/fault.wat");
/// Has nobody for clients at .11 and ::11 while fewer than three backends are usable, and the first for the others.
const PICKY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugins/picky.wat");

/// lblc keeps a virtual address at one server as long as that has no more connections than its weight.
fn web_by(scheduler: &str) -> Service {
    let heavy = |address| Target::new(address).weight(1000);
    Service::direct_of_both_families("dr")
        .scheduler(scheduler)
        .only((1..=3).map(backend).chain((1..=3).map(backend6)).map(heavy))
}

fn web() -> Service {
    web_by("lblc")
}

fn up(config: impl Into<Config>) -> Result<Stage> {
    let options = LabOptions {
        client_addresses: 2,
        ..LabOptions::one_arm()
    };
    Stage::with(options, config)
}

/// How many servers have answered, of requests of which none was refused or lost.
#[track_caller]
fn servers(seen: &Distribution) -> usize {
    assert_eq!(seen.failed(), 0, "{seen}");
    ["rs1", "rs2", "rs3"]
        .into_iter()
        .filter(|it| seen.server(it) > 0)
        .count()
}

/// Waits until the plugin is asked again. Nobody is refused or lost until then.
#[track_caller]
fn wait_for_the_plugin(stage: &Stage) {
    wait_for("the plugin to be asked again", SOON, || {
        servers(&stage.client().ask_many(stage.web(), 10)) == 1
    });
}

#[test]
fn each_connection_is_decided_by_the_plugin() -> Result<()> {
    let mut stage = up(web())?;
    for vip in [stage.web(), stage.web6()] {
        assert_eq!(servers(&stage.client().ask_many(vip, 20)), 1);
    }
    let status = stage.director.json(&["status"])?;
    let picks = |pool: usize| status["schedulers"][pool]["picks"].as_u64();
    assert_eq!([picks(0), picks(1)], [Some(20); 2], "{status}");
    assert_eq!(status["warnings"], serde_json::json!([]), "{status}");

    // Without a director the client's hash chooses, for the first connection as for those that follow.
    stage.director.kill9()?;
    for vip in [stage.web(), stage.web6()] {
        assert_eq!(servers(&stage.client().ask_many(vip, 40)), 3);
    }
    stage.director.restart()?;
    wait_for_the_plugin(&stage);
    Ok(())
}

/// Who answers a connection, and a datagram.
fn asks(stage: &Stage, from: IpAddr, vip: SocketAddr) -> [Result<String, ErrorKind>; 2] {
    let client = stage.client().from(from);
    let tcp = client.ask(vip).map(|it| it.server);
    let udp = client
        .ask_udp(SocketAddr::new(vip.ip(), 53), "x")
        .map(|it| it.server);
    [tcp, udp].map(|it| it.map_err(|error| error.kind()))
}

#[test]
fn whom_the_plugin_has_nobody_for_is_refused() -> Result<()> {
    let dns = Service::new("dns", &["udp://10.0.0.100:53", "udp://[fd00:a::100]:53"])
        .forward("dr")
        .backends((1..=3).map(backend))
        .backends((1..=3).map(backend6));
    let services = [Service::direct_of_both_families("dr"), dns];
    let last = [
        ("web", backend(3)),
        ("web", backend6(3)),
        ("dns", backend(3)),
        ("dns", backend6(3)),
    ];
    let stage = up(Config::of(services.map(by_picky)))?;
    assert_refused_while_two_are_left(&stage, &last.map(|(service, at)| (service, at.to_string())))?;
    let refused = stage.director.json(&["services"])?;
    assert_eq!([&refused[0]["refused"], &refused[1]["refused"]], [20; 2], "{refused}");
    Ok(())
}

#[test]
fn whom_the_plugin_has_nobody_for_is_refused_under_nat() -> Result<()> {
    let at = |address| SocketAddr::new(address, 5353);
    let dns = Service::new("dns", &["udp://10.0.0.100:53", "udp://[fd00:a::100]:53"])
        .backends((1..=3).map(|n| at(backend(n))))
        .backends((1..=3).map(|n| at(backend6(n))));
    let services = [Service::web_of_both_families(), dns];
    let last = [
        ("web", rs(3)),
        ("web", rs6(3)),
        ("dns", at(backend(3))),
        ("dns", at(backend6(3))),
    ];
    let options = LabOptions {
        client_addresses: 2,
        ..LabOptions::default()
    };
    let stage = Stage::with(options, Config::of(services.map(by_picky)))?;
    assert_refused_while_two_are_left(&stage, &last.map(|(service, at)| (service, at.to_string())))
}

fn by_picky(service: Service) -> Service {
    service.scheduler_with(PICKY, &[])
}

/// One client is refused while the last backend of each service is drained, and served before and afterwards; the other
/// one always is.
fn assert_refused_while_two_are_left(stage: &Stage, last: &[(&str, String)]) -> Result<()> {
    let clients: [[IpAddr; 2]; 2] = [
        ["10.0.0.10".parse()?, "10.0.0.11".parse()?],
        ["fd00:a::10".parse()?, "fd00:a::11".parse()?],
    ];
    let first = || [Ok("rs1".to_owned()), Ok("rs1".to_owned())];
    let refused = || {
        [
            Err(ErrorKind::ConnectionRefused),
            Err(ErrorKind::ConnectionRefused),
        ]
    };
    let both = [stage.web(), stage.web6()].into_iter().zip(clients);
    for round in 0..2 {
        for (vip, [one, other]) in both.clone() {
            assert_eq!([asks(stage, one, vip), asks(stage, other, vip)], [first(), first()], "{round}");
        }
        for (service, server) in last {
            stage.director.drain(service, server)?;
        }
        for (vip, [one, other]) in both.clone() {
            for _ in 0..5 {
                assert_eq!([asks(stage, other, vip), asks(stage, one, vip)], [refused(), first()], "{round}");
            }
        }
        for (service, server) in last {
            stage.director.ok(&["drain", service, server, "--undo"])?;
        }
    }
    for (vip, [one, other]) in both {
        assert_eq!([asks(stage, one, vip), asks(stage, other, vip)], [first(), first()]);
    }
    let status = stage.director.status()?;
    assert_eq!(status["warnings"], serde_json::json!([]), "{status}");
    Ok(())
}

#[test]
fn a_director_that_is_halted_is_soon_not_asked() -> Result<()> {
    let stage = up(web())?;
    assert_eq!(servers(&stage.client().ask_many(stage.web(), 5)), 1);
    stage.director.signal(Signal::SIGSTOP)?;
    let arrivals = [stage.web(), stage.web6()].map(|vip| Arrivals::start(&stage.client(), vip, 50));
    // What comes in the first second waits for its client's next SYN; whatever comes later goes by the hash.
    for it in &arrivals {
        assert_eq!(servers(&it.next(150)), 3);
    }
    stage.director.signal(Signal::SIGCONT)?;
    wait_for_the_plugin(&stage);
    for it in arrivals {
        let seen = it.finish();
        assert_eq!(seen.failed(), 0, "{seen}");
    }
    Ok(())
}

#[test]
fn a_plugin_that_fails_is_stood_in_for() -> Result<()> {
    for fault in ["trap", "loop", "wrong-id"] {
        let faults = [
            ("dispatch", "per-flow"),
            ("fault", fault),
            ("call", "pick"),
            ("after", "3"),
        ];
        let stage = up(Service::direct("dr").scheduler_with(FAULTY, &faults))?;
        let arrivals = Arrivals::start(&stage.client(), stage.web(), 50);
        arrivals.next(100);
        let seen = arrivals.finish();
        assert_eq!(servers(&seen), 3, "{fault}: {seen}");
        let scheduler = stage.director.scheduler("web")?;
        let number = |of: &str| scheduler[of].as_u64().context(of.to_owned());
        assert!(number("failures")? > 0 && number("stand_ins")? > 0 && number("picks")? > 3, "{scheduler}");
    }
    Ok(())
}

#[test]
fn whatever_becomes_of_the_director_nobody_is_refused() -> Result<()> {
    let mut stage = up(web())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 100)?;
    let arrivals = [stage.web(), stage.web6()].map(|vip| Arrivals::start(&stage.client(), vip, 50));
    let all_go_on = || arrivals.iter().for_each(|it| drop(it.next(30)));
    for round in 0..5 {
        stage.director.kill9()?;
        all_go_on();
        stage.director.restart()?;
        // Reloads with other backends, and with a scheduler that is not asked.
        let other = if round % 2 == 0 {
            web_by("rr")
        } else {
            web().only((1..=2).map(backend).chain((1..=2).map(backend6)))
        };
        stage.director.reload_with(other)?;
        all_go_on();
        stage.director.reload_with(web())?;
        all_go_on();
        stage.director.terminate()?;
        all_go_on();
        stage.director.restart()?;
    }
    for it in arrivals {
        let seen = it.finish();
        let refused = stage.director.status()?["refused"].clone();
        assert_eq!(seen.failed(), 0, "{seen}; by our rules: {refused}");
        assert!(seen.answered() >= 600, "{seen}");
    }
    flows.settle();
    let report = flows.finish();
    assert_eq!(report.broken(), 0, "{report:?}");
    let scheduler = stage.director.scheduler("web")?;
    assert_eq!(scheduler["failures"], 0, "no plugin was asked that cannot be: {scheduler}");
    Ok(())
}

/// A client repeats a SYN that was lost after a second, so whoever waits has to be let go on before nobody answers.
#[test]
fn whoever_waits_when_nobody_is_asked_any_more_goes_on() -> Result<()> {
    let stage = up(web())?;
    let client = stage.client();
    let stop = AtomicBool::new(false);
    let ask = || {
        let mut slowest = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            client.ask(stage.web())?;
            slowest = slowest.max(begun.elapsed());
        }
        Ok::<_, Error>(slowest)
    };
    thread::scope(|scope| {
        let asking: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        let switched = (0..30).try_for_each(|_| {
            stage.director.reload_with(web_by("rr"))?;
            // What was asked of the one before is not its failure.
            let scheduler = stage.director.scheduler("web")?;
            ensure!(scheduler["failures"] == 0, "{scheduler}");
            stage.director.reload_with(web()).map(drop)
        });
        stop.store(true, Ordering::Relaxed);
        switched?;
        for it in asking {
            let slowest = it.join().expect("does not panic")?;
            assert!(slowest < Duration::from_secs(1), "{slowest:?}");
        }
        Ok(())
    })
}
