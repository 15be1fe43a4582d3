//! What is told to Prometheus, with real connections.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use wvs_tests::{
    Arrivals, Config, Director, DirectorOptions, Lab, LabOptions, Service, Stage, Target, backend, rs,
    wait_for,
};

const HERE: &str = "127.0.0.1:9107";
const TYPE: &str = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A service whose metrics are told on TCP.
fn told(web: Service, at: &str) -> Config {
    Config::of([web]).director("metrics", &format!("\"{at}\""))
}

/// `GET` of a path, in the director's namespace: the head of the answer, and its body.
fn get(stage: &Stage, at: &str, path: &str) -> Result<(String, String)> {
    let address: SocketAddr = at.parse()?;
    let answer = stage.ns().run(move || -> std::io::Result<String> {
        let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        connection.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        // It is closed after the answer.
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    Ok((head.to_lowercase(), body.to_owned()))
}

/// The values of a text, by names with labels.
fn values(text: &str) -> Result<BTreeMap<String, f64>> {
    ensure!(text.ends_with("# EOF\n"), "cut off: {text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let value = |line: &str| -> Result<(String, f64)> {
        let (name, value) = line.rsplit_once(' ').context("no value")?;
        Ok((name.to_owned(), value.parse()?))
    };
    lines.map(value).collect()
}

fn scrape(stage: &Stage) -> Result<BTreeMap<String, f64>> {
    let (head, body) = get(stage, HERE, "/metrics")?;
    ensure!(head.starts_with("http/1.1 200") && head.contains(TYPE), "{head}");
    values(&body)
}

fn fault(name: &str) -> String {
    format!("{}/../core/tests/plugins/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn counters_are_those_of_the_command_line() -> Result<()> {
    let stage = Stage::up(told(Service::web(), HERE))?;
    assert_eq!(stage.client().ask_many(stage.web(), 30).answered(), 30);
    let by_tcp = scrape(&stage)?;
    let by_command = values(&stage.director.ok(&["metrics"])?)?;
    for backend in stage.director.json(&["backends"])?.as_array().context("a list")? {
        let address = backend["address"].as_str().context("an address")?;
        let labels = format!("service=\"web\",backend=\"{address}\",forward=\"nat\"");
        let number = |of: &serde_json::Value| of.as_f64().context("a number");
        for (name, value) in [
            (format!("wvs_backend_connections_total{{{labels}}}"), &backend["connections"]),
            (format!("wvs_backend_slots{{{labels}}}"), &backend["slots"]),
            (format!("wvs_backend_weight{{{labels}}}"), &backend["weight"]),
        ] {
            assert_eq!((by_tcp[&name], by_command[&name]), (number(value)?, number(value)?), "{name}");
        }
        assert_eq!(by_tcp[&format!("wvs_backend_connections_total{{{labels}}}")], 10.0);
        for direction in ["sent", "received"] {
            for of in ["packets", "bytes"] {
                let name = format!("wvs_backend_{of}_total{{{labels},direction=\"{direction}\"}}");
                // The last packets of a connection come when its client has gone.
                assert!(by_tcp[&name] > 0.0 && by_tcp[&name] <= number(&backend[direction][of])?, "{name}");
            }
        }
        assert_eq!(by_tcp[&format!("wvs_backend_state{{{labels},state=\"up\"}}")], 1.0);
    }
    assert_eq!(by_tcp["wvs_service_connections_total{service=\"web\"}"], 30.0);
    assert_eq!(by_tcp["wvs_service_backends_available{service=\"web\"}"], 3.0);

    // A backend that goes takes none of its service's counts along.
    stage
        .director
        .ok(&["remove", "backend", "web", &rs(1).to_string()])?;
    let after = scrape(&stage)?;
    assert_eq!(after["wvs_service_connections_total{service=\"web\"}"], 30.0);
    assert_eq!((after["wvs_config_edited"], by_tcp["wvs_config_edited"]), (1.0, 0.0));
    assert!(after["wvs_commits_total"] > by_tcp["wvs_commits_total"]);

    // Nothing else of the API is there, and there is one form only.
    for path in ["/v1/status", "/v1/config", "/", "/metrics/"] {
        let (head, _) = get(&stage, HERE, path)?;
        assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
    }
    assert_eq!(stage.director.says(&["metrics", "-o", "json"])?.code, 2);
    Ok(())
}

#[test]
fn the_tc_program_is_told_of() -> Result<()> {
    let stage = Stage::with(LabOptions::one_arm(), told(Service::direct("dr"), HERE))?;
    assert_eq!(stage.client().ask_many(stage.web(), 30).answered(), 30);
    let first = backend(1);
    let web = "wvs_service_connections_total{service=\"web\"}";
    let of = |of: &str| format!("wvs_backend_{of}{{service=\"web\",backend=\"{first}\",forward=\"dr\"");
    let seen = scrape(&stage)?;
    assert_eq!((seen[web], seen[&(of("connections_total") + "}")]), (30.0, 10.0));
    let packets = of("packets_total") + ",direction=\"sent\"}";
    assert!(seen[&packets] >= 50.0, "{packets}: {}", seen[&packets]);
    assert!(
        seen.keys()
            .any(|it| it.starts_with("wvs_tc_dropped_packets_total{reason="))
    );
    let swept = || scrape(&stage).is_ok_and(|it| it["wvs_tc_connections"] > 0.0);
    wait_for("a sweep", Duration::from_secs(10), swept);

    // One that goes and comes back neither takes its counts along nor brings them twice.
    stage
        .director
        .ok(&["remove", "backend", "web", &first.to_string(), "--cut"])?;
    assert_eq!(scrape(&stage)?[web], 30.0);
    stage
        .director
        .ok(&["add", "backend", "web", &first.to_string()])?;
    let back = scrape(&stage)?;
    assert_eq!((back[web], back[&(of("connections_total") + "}")]), (30.0, 10.0));
    assert_eq!(stage.client().ask_many(stage.web(), 6).answered(), 6);
    assert_eq!(scrape(&stage)?[web], 36.0);
    Ok(())
}

#[test]
fn a_scheduler_that_fails_is_told_of() -> Result<()> {
    let web = Service::web().scheduler_with(fault("fault.wat"), &[("fault", "wrong-id")]);
    let stage = Stage::up(told(web, HERE))?;
    let labels = format!("service=\"web\",family=\"v4\",plugin=\"{}\"", fault("fault.wat"));
    let failures = |stage: &Stage, kind: &str| -> Result<f64> {
        let name = format!("wvs_scheduler_failures_total{{{labels},kind=\"{kind}\"}}");
        Ok(scrape(stage)?[&name])
    };
    let seen = scrape(&stage)?;
    assert_eq!(seen[&format!("wvs_scheduler_state{{{labels},state=\"backing-off\"}}")], 1.0);
    assert_eq!(seen[&format!("wvs_scheduler_fallback{{{labels}}}")], 1.0);
    assert!(seen["wvs_warnings"] >= 1.0);
    let first = failures(&stage, "contract")?;
    assert!(first >= 2.0, "{first}");
    // It is tried again, and what the command line says is the sum of all kinds.
    wait_for("it to be tried again", Duration::from_secs(10), || {
        failures(&stage, "contract").is_ok_and(|now| now > first)
    });
    assert_eq!(failures(&stage, "trap")?, 0.0);
    let quarantined = format!("wvs_scheduler_state{{{labels},state=\"quarantined\"}}");
    let is_over = || scrape(&stage).is_ok_and(|it| it[&quarantined] == 1.0);
    wait_for("the quarantine", Duration::from_secs(60), is_over);
    let sum = stage.director.scheduler("web")?["failures"].as_f64();
    assert_eq!(sum, Some(failures(&stage, "contract")?));
    let calls = scrape(&stage)?;
    let name = |what: &str| format!("wvs_scheduler_call{what}{{{labels}}}");
    assert_eq!(calls[&name("s_total")], calls[&name("_duration_seconds_count")]);
    Ok(())
}

#[test]
fn the_address_moves_by_reload_and_one_in_use_is_refused() -> Result<()> {
    let mut stage = Stage::up(Service::web())?;
    let asked =
        |stage: &Stage, at: &str| get(stage, at, "/metrics").is_ok_and(|(head, _)| head.contains(TYPE));
    assert!(!asked(&stage, HERE), "nobody listens where nobody said so");

    let arrivals = Arrivals::start(&stage.client(), stage.web(), 50);
    let applied = stage.director.reload_with(told(Service::web(), HERE))?;
    assert_eq!((&applied["plan"], &applied["changed"]), (&"".into(), &true.into()));
    assert!(asked(&stage, HERE));
    // From one address of a port to all of them, and to another port.
    for at in ["0.0.0.0:9107", "[::]:9108"] {
        stage.director.reload_with(told(Service::web(), at))?;
        let local = at.replace("0.0.0.0", "127.0.0.1").replace("[::]", "127.0.0.1");
        assert!(asked(&stage, &local), "{at}");
    }
    let gone = || !asked(&stage, HERE);
    wait_for("the address before to be left", Duration::from_secs(10), gone);

    // Somebody else has it: nothing of the change is made.
    let taken = stage.ns().run(|| TcpListener::bind(HERE))?;
    let less = Service::web().only([Target::new(rs(1))]);
    let commits = stage.director.number("commits")?;
    let reasons = [
        "cannot tell metrics at 127.0.0.1:9107",
        "director.metrics",
        "choose another port",
        "in use",
    ];
    stage
        .director
        .apply(told(less.clone(), HERE))?
        .assert_failed(&reasons);
    let nowhere = ["this host does not have the address", "ip address"];
    stage
        .director
        .apply(told(less, "192.0.2.77:9107"))?
        .assert_failed(&nowhere);
    assert_eq!(stage.director.number("commits")?, commits);
    assert_eq!(stage.director.json(&["backends"])?.as_array().map(Vec::len), Some(3));
    assert!(asked(&stage, "127.0.0.1:9108"));
    let text = stage.director.ok(&["metrics"])?;
    assert!(text.contains("\nwvs_config_last_reload_successful 0\n"), "{text}");
    let seen = arrivals.finish();
    assert_eq!(seen.failed(), 0, "{seen}");

    // A director that starts there says so, too, and begins nothing.
    stage
        .director
        .write_config(&told(Service::web(), HERE).to_string())?;
    stage.director.terminate()?;
    let error = stage.director.restart().expect_err("the address is in use");
    let error = format!("{error:#}");
    assert!(error.contains("cannot tell metrics at 127.0.0.1:9107"), "{error}");
    drop(taken);
    stage.director.restart()?;
    assert!(asked(&stage, HERE));
    // And when it is told to go, it goes, whoever is connected.
    let idle = stage.ns().run(|| TcpStream::connect(HERE))?;
    assert!(stage.director.terminate()?.success());
    drop(idle);
    Ok(())
}

/// What a scrape costs where there is much to tell, and that connections do not notice.
#[test]
#[allow(clippy::print_stderr, reason = "a figure")]
fn many_services_are_told_of_while_connections_come() -> Result<()> {
    let many = (0..1000).map(|n| {
        let listen = format!("tcp://10.9.{}.{}:80", n / 250, n % 250 + 1);
        let backends =
            (1..=10).map(|it| Target::new(format!("10.{}.{}.{}:80", 20 + it, n / 250, n % 250 + 1)));
        Service::new(&format!("s{n}"), &[&listen])
            .unmanaged()
            .only(backends)
    });
    let config = Config::of([Service::web()].into_iter().chain(many));
    let lab = Lab::new(LabOptions::default())?;
    let servers = lab.start_servers(&lab.server_options())?;
    let options = DirectorOptions {
        config: config.director("metrics", &format!("\"{HERE}\"")).to_string(),
        arguments: vec!["-v".into()],
        ..DirectorOptions::default()
    };
    let director = Director::start_with(&lab, options)?;
    let stage = Stage {
        director,
        servers,
        lab,
    };
    let arrivals = Arrivals::start(&stage.client(), stage.web(), 50);
    let mut spent = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let (_, text) = get(&stage, HERE, "/metrics")?;
        spent.push(begun.elapsed());
        assert_eq!(
            text.lines()
                .filter(|line| line.starts_with("wvs_backend_weight{"))
                .count(),
            10_003
        );
    }
    arrivals.next(10);
    let seen = arrivals.finish();
    assert_eq!(seen.failed(), 0, "{seen}");
    let said = stage.director.stderr();
    let steps: Vec<_> = said
        .lines()
        .filter_map(|it| it.split_once("scraped took="))
        .collect();
    assert_eq!(steps.len(), 5, "{said}");
    let steps: Vec<_> = steps.into_iter().map(|(_, took)| took).collect();
    eprintln!(
        "scrapes of 1,000 services with 10 backends each, wall clock with pauses: {spent:?}; of the director's thread: {steps:?}"
    );
    Ok(())
}
