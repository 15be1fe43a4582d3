//! Schedulers that decide for each connection, through NAT: connections wait in a queue until the director answers.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use nix::sys::signal::Signal;
use wvs_tests::{
    Arrivals, Client, Config, Distribution, ForeignQueue, LabOptions, LongLived, Service, Stage, Target,
    backend, backend6, client_sources, rs, rs6, wait_for,
};

const SOON: Duration = Duration::from_secs(20);

/// lblc keeps a virtual address at one server as long as that has no more connections than its weight.
fn heavy(address: SocketAddr) -> Target {
    Target::new(address).weight(1000)
}

fn web() -> Service {
    web_by("lblc")
}

fn web_by(scheduler: &str) -> Service {
    Service::web_of_both_families()
        .scheduler(scheduler)
        .only((1..=3).map(rs).chain((1..=3).map(rs6)).map(heavy))
}

fn dns() -> Service {
    let addresses = (1..=3).map(backend).chain((1..=3).map(backend6));
    Service::new("dns", &["udp://10.0.0.100:53", "udp://[fd00:a::100]:53"])
        .scheduler("lblc")
        .only(addresses.map(|address| heavy(SocketAddr::new(address, 5353))))
}

/// That one server has answered all of so many.
#[track_caller]
fn assert_one_server(seen: &Distribution, count: usize) {
    let servers: Vec<_> = ["rs1", "rs2", "rs3"]
        .map(|name| seen.server(name))
        .into_iter()
        .filter(|asked| *asked > 0)
        .collect();
    assert_eq!((seen.failed(), &servers[..]), (0, &[count][..]), "{seen}");
}

/// How often a service's scheduler has chosen, by family.
fn picks(stage: &Stage, service: &str) -> Result<[u64; 2]> {
    let status = stage.director.status()?;
    let of = |family: &str| {
        let mut all = status["schedulers"].as_array().into_iter().flatten();
        let found = all.find(|it| it["service"] == service && it["family"] == family);
        found
            .and_then(|it| it["picks"].as_u64())
            .with_context(|| format!("no picks of {service} in {status}"))
    };
    Ok([of("v4")?, of("v6")?])
}

/// Whether a rule of the director's has packets wait. What nft says of it depends on the kernel.
fn asks(stage: &Stage) -> Result<bool> {
    let table = stage.ns().table("ip wvs")?;
    Ok(table.contains("chain queue-prerouting") && table.contains("chain ask-web"))
}

/// The queues that somebody in the director's namespace has.
fn queues(stage: &Stage) -> Result<String> {
    let mut cat = stage.ns().command("cat");
    let output = cat.arg("/proc/net/netfilter/nfnetlink_queue").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn each_connection_waits_for_the_plugin_once() -> Result<()> {
    let stage = Stage::up(Config::of([web(), dns()]))?;
    let udp = |vip: SocketAddr| SocketAddr::new(vip.ip(), 53);
    for vip in [stage.web(), stage.web6()] {
        assert_one_server(&stage.client().ask_many(vip, 40), 40);
        assert_one_server(&stage.client().ask_udp_many(udp(vip), 40), 40);
    }
    assert_eq!([picks(&stage, "web")?, picks(&stage, "dns")?], [[40; 2]; 2]);
    // A datagram that follows belongs to the connection that the first one began.
    assert_one_server(&stage.client().ask_udp_from_one_port(udp(stage.web()), 10), 10);
    assert_eq!(picks(&stage, "dns")?, [41, 40]);
    // Clients on the director are asked for, too.
    for vip in [stage.web(), stage.web6()] {
        assert_one_server(&stage.lab.local_client().ask_many(vip, 5), 5);
    }
    assert_one_server(&stage.lab.local_client().ask_udp_many(udp(stage.web()), 5), 5);
    assert_eq!([picks(&stage, "web")?, picks(&stage, "dns")?], [[45; 2], [46, 40]]);

    let status = stage.director.says(&["status"])?;
    assert_eq!(status.code, 0, "{status:?}");
    let export = stage.director.ok(&["export", "nft"])?;
    assert!(export.contains("queue flags bypass to 7776 comment \"svc=web\""), "{export}");
    let explained = stage.director.ok(&[
        "explain",
        "--from",
        "10.0.0.10:999",
        "--to",
        &stage.web().to_string(),
    ])?;
    assert!(explained.contains("asked for each connection"), "{explained}");
    // Every backend's connections are counted as ever.
    let counted: u64 = (1..=3)
        .map(|n| {
            let backend = stage.director.backend("web", rs(n))?;
            backend["connections"].as_u64().context("a number")
        })
        .sum::<Result<u64>>()?;
    assert_eq!(counted, 45);
    Ok(())
}

/// The servers that answer so many datagrams from one port, all of which are sent before any answer is read.
fn burst(stage: &Stage, to: SocketAddr, count: usize) -> Result<Vec<String>> {
    stage.lab.client_ns().run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.connect(to)?;
        for _ in 0..count {
            socket.send(b"burst")?;
        }
        let answer = |_| {
            let mut bytes = [0; 256];
            let read = socket.recv(&mut bytes)?;
            let text = String::from_utf8_lossy(&bytes[..read]);
            Ok(text.split(' ').next().unwrap_or_default().to_owned())
        };
        (0..count).map(answer).collect()
    })
}

#[test]
fn datagrams_that_wait_together_are_one_connection() -> Result<()> {
    let stage = Stage::up(dns())?;
    for round in 1..=20 {
        let servers = burst(&stage, SocketAddr::new(stage.web().ip(), 53), 10)?;
        assert_eq!(servers, vec![servers[0].clone(); 10], "round {round}");
        assert_eq!(picks(&stage, "dns")?, [round, 0]);
    }
    Ok(())
}

#[test]
fn who_stays_or_is_pinned_is_not_asked_for() -> Result<()> {
    let stage = Stage::with(
        LabOptions {
            client_addresses: 3,
            ..Default::default()
        },
        web()
            .set("persistence", "{ timeout = \"5m\" }")
            .set("pins", "[{ client = \"10.0.0.11/32\", backend = \"10.1.0.13:8080\" }]"),
    )?;
    let sources = client_sources(3);
    let of = |n: usize| -> Client { stage.client().from(sources[n]) };
    assert_one_server(&of(0).ask_many(stage.web(), 10), 10);
    assert_eq!(picks(&stage, "web")?, [1, 0]);
    assert_eq!(of(1).ask_many(stage.web(), 10), Distribution::of(&[("rs3", 10)]));
    assert_eq!(picks(&stage, "web")?, [1, 0]);
    assert_one_server(&of(2).ask_many(stage.web(), 10), 10);
    assert_eq!(picks(&stage, "web")?, [2, 0]);
    Ok(())
}

#[test]
fn whatever_becomes_of_the_director_nobody_is_refused() -> Result<()> {
    let mut stage = Stage::up(web())?;
    let flows = LongLived::open(&stage.client(), stage.web(), 100)?;
    let arrivals = [stage.web(), stage.web6()].map(|vip| Arrivals::start(&stage.client(), vip, 100));
    for round in 0..5 {
        stage.director.kill9()?;
        arrivals.iter().for_each(|it| drop(it.next(30)));
        stage.director.restart()?;
        // Reloads with other backends, and with a scheduler that is not asked.
        let other = if round % 2 == 0 {
            web_by("rr")
        } else {
            web().backend(heavy(SocketAddr::new(backend(1), 8081)))
        };
        stage.director.reload_with(Config::from(other))?;
        arrivals.iter().for_each(|it| drop(it.next(30)));
        stage.director.reload_with(Config::from(web()))?;
        arrivals.iter().for_each(|it| drop(it.next(30)));
        stage.director.terminate()?;
        arrivals.iter().for_each(|it| drop(it.next(30)));
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
    let before = picks(&stage, "web")?;
    assert_one_server(&stage.client().ask_many(stage.web(), 10), 10);
    assert_eq!(picks(&stage, "web")?, [before[0] + 10, before[1]]);
    Ok(())
}

/// With the chain in which packets wait the kernel drops them, so they have to be let go on before: a client repeats a
/// SYN that was lost after a second.
#[test]
fn whoever_waits_when_nobody_is_asked_any_more_goes_on() -> Result<()> {
    let stage = Stage::up(web())?;
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

#[test]
fn a_director_that_is_halted_is_soon_not_waited_for() -> Result<()> {
    let stage = Stage::up(web())?;
    assert_one_server(&stage.client().ask_many(stage.web(), 5), 5);
    stage.director.signal(Signal::SIGSTOP)?;
    let arrivals = Arrivals::start(&stage.client(), stage.web(), 50);
    // What comes in the first second waits for its client's next SYN; whatever comes later goes by the slots.
    let halted = arrivals.next(150);
    assert_eq!(halted.failed(), 0, "{halted}");
    let servers: BTreeSet<_> = ["rs1", "rs2", "rs3"]
        .into_iter()
        .filter(|it| halted.server(it) > 0)
        .collect();
    assert_eq!(servers.len(), 3, "the slots have all of them: {halted}");
    stage.director.signal(Signal::SIGCONT)?;
    wait_for("the plugin to be asked again", SOON, || {
        let seen = stage.client().ask_many(stage.web(), 10);
        ["rs1", "rs2", "rs3"].iter().any(|name| seen.server(name) == 10)
    });
    let seen = arrivals.finish();
    assert_eq!(seen.failed(), 0, "{seen}");
    Ok(())
}

#[test]
fn a_plugin_that_fails_is_stood_in_for() -> Result<()> {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/plugins/fault.wat");
    let services = (0..).zip(["trap", "loop", "wrong-id"]).map(|(n, fault)| {
        let listen = format!("tcp://10.0.0.100:{}", 8000 + n);
        let faults = [
            ("dispatch", "per-flow"),
            ("fault", fault),
            ("call", "pick"),
            ("after", "3"),
        ];
        Service::new(fault, &[&listen])
            .weights(&[1, 1, 1])
            .scheduler_with(fixture, &faults)
    });
    let stage = Stage::up(Config::of(services))?;
    for (n, fault) in (0..).zip(["trap", "loop", "wrong-id"]) {
        let seen = stage.client().ask_many(stage.lab.vip(8000 + n), 30);
        assert_eq!((seen.answered(), seen.failed()), (30, 0), "{fault}: {seen}");
        let scheduler = stage.director.scheduler(fault)?;
        let number = |of: &str| scheduler[of].as_u64();
        assert_eq!(
            number("picks")
                .zip(number("stand_ins"))
                .map(|(picks, others)| picks + others),
            Some(30),
            "{scheduler}"
        );
        assert!(number("failures") > Some(0), "{scheduler}");
    }
    Ok(())
}

#[test]
fn what_others_do_to_the_queue_and_the_rules_is_put_right() -> Result<()> {
    let stage = Stage::up(web())?;
    assert!(queues(&stage)?.contains("7776"), "{}", queues(&stage)?);
    for damage in [
        "flush chain ip wvs ask-web",
        "flush chain ip wvs queue-prerouting",
        "delete table ip wvs",
    ] {
        stage.ns().nft(damage)?;
        wait_for("repair", SOON, || {
            asks(&stage).unwrap_or(false) && {
                let before = picks(&stage, "web").unwrap_or_default();
                let seen = stage.client().ask_many(stage.web(), 4);
                seen.failed() == 0 && picks(&stage, "web").unwrap_or_default()[0] == before[0] + 4
            }
        });
    }
    let commits = stage.director.number("repairs")?;
    wait_for("a look that finds nothing", SOON, || {
        stage.client().ask_many(stage.web(), 20).failed() == 0
    });
    assert_eq!(stage.director.number("repairs")?, commits);

    // Another number, and nobody that is to be asked.
    stage
        .director
        .reload_with(Config::from(web()).director("queue", "77"))?;
    assert_one_server(&stage.client().ask_many(stage.web(), 10), 10);
    let now = queues(&stage)?;
    assert!(now.split_whitespace().next() == Some("77") && now.lines().count() == 1, "{now}");
    stage.director.reload_with(Config::from(web_by("rr")))?;
    assert_eq!((queues(&stage)?, asks(&stage)?), (String::new(), false));
    stage.director.reload_with(Config::from(web()))?;
    assert!(asks(&stage)?);
    stage.director.ok(&["teardown", "--yes"])?;
    assert_eq!(queues(&stage)?, "");
    Ok(())
}

#[test]
fn a_queue_of_somebody_elses_stays_theirs() -> Result<()> {
    let mut theirs = None;
    let stage = Stage::prepared(LabOptions::default(), web(), |lab| {
        theirs = Some(ForeignQueue::take(lab.director_ns(), 7776)?);
        Ok(())
    })?;
    let said = stage.director.says(&["status"])?;
    assert_eq!(said.code, 4, "{said:?}");
    for words in ["queue 7776 belongs to another program", "director.queue"] {
        assert!(said.stdout.contains(words) && stage.director.stderr().contains(words), "{said:?}");
    }
    // Nothing is sent there, where nobody would answer.
    assert!(!asks(&stage)?);
    let seen = stage.client().ask_many(stage.web(), 9);
    assert_eq!(seen, Distribution::of(&[("rs1", 3), ("rs2", 3), ("rs3", 3)]));
    drop(theirs);
    wait_for("the queue to be taken", SOON, || asks(&stage).unwrap_or(false));
    assert_one_server(&stage.client().ask_many(stage.web(), 10), 10);
    assert_eq!(stage.director.says(&["status"])?.code, 0);
    Ok(())
}

#[test]
fn what_finds_no_room_in_the_queue_goes_on() -> Result<()> {
    // How many wait, and how many were dropped, for want of room in the queue and in the director's socket.
    let numbers = |stage: &Stage| -> Result<[String; 3]> {
        let queues = queues(stage)?;
        let words: Vec<_> = queues.split_whitespace().map(str::to_owned).collect();
        let word = |at: usize| words.get(at).cloned().context("a line of the kernel's table");
        Ok([word(2)?, word(5)?, word(6)?])
    };
    let stage = Stage::up(web())?;
    let SocketAddr::V4(vip) = stage.web() else {
        anyhow::bail!("the web is served in IPv4");
    };
    wait_for("a full queue", 3 * SOON, || {
        // Who answers takes what waits; and who is halted for long is not waited for.
        let halted = stage.director.signal(Signal::SIGSTOP);
        let full = halted
            .and_then(|()| stage.client().flood(vip, 4000))
            .and_then(|()| numbers(&stage))
            .is_ok_and(|[waiting, ..]| waiting == "1024");
        full || stage.director.signal(Signal::SIGCONT).is_err()
    });
    assert_eq!(numbers(&stage)?, ["1024", "0", "0"]);
    stage.director.signal(Signal::SIGCONT)?;
    // lblc gives all to one server; the slots give some to each.
    let counted = |n: usize| -> Result<u64> {
        let backend = stage.director.backend("web", rs(n))?;
        backend["connections"].as_u64().context("a number of connections")
    };
    for n in 1..=3 {
        assert!(counted(n)? > 0, "the slots have all servers");
    }
    wait_for("the plugin to be asked again", SOON, || {
        let seen = stage.client().ask_many(stage.web(), 10);
        ["rs1", "rs2", "rs3"].iter().any(|name| seen.server(name) == 10)
    });
    Ok(())
}
