//! The command line: exit codes, forms of output, and changes seen by a client.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;
use wvs_tests::{Config, Distribution, Said, Service, Stage, Target, rs, vip};

#[test]
fn exit_codes_say_how_it_went() -> Result<()> {
    let mut stage = Stage::up(Service::web())?;
    let code =
        |stage: &Stage, arguments: &[&str]| -> Result<i32> { Ok(stage.director.says(arguments)?.code) };
    for done in [
        &["status"][..],
        &["services"],
        &["backends", "web"],
        &["connections"],
        &["export", "nft"],
        &["reload"],
    ] {
        assert_eq!(code(&stage, done)?, 0, "{done:?}");
    }
    for failed in [
        &["backends", "nobody"][..],
        &["weight", "web", "192.0.2.1:1", "1"],
        &["check", "/nowhere"],
    ] {
        assert_eq!(code(&stage, failed)?, 1, "{failed:?}");
    }
    for usage in [
        &["weight"][..],
        &["frobnicate"],
        &["status", "-o", "xml"],
        &["weight", "web", &rs(1).to_string(), "-1"],
        &["add", "backend", "web", "not-an-address"],
        &["teardown"],
    ] {
        assert_eq!(code(&stage, usage)?, 2, "{usage:?}");
    }
    stage.director.ok(&["add", "backend", "web", "203.0.113.9:80"])?;
    assert_eq!(code(&stage, &["status"])?, 4);
    assert_eq!(code(&stage, &["diff"])?, 5);
    stage.director.kill9()?;
    for unreachable in [&["status"][..], &["services"], &["reload"], &["diff"]] {
        let said = stage.director.says(unreachable)?;
        assert_eq!((said.code, &*said.stdout), (3, ""), "{said:?}");
        assert!(said.stderr.contains("wvs run"), "{said:?}");
    }
    Ok(())
}

#[test]
fn reads_are_json_and_yaml_of_the_same() -> Result<()> {
    let stage = Stage::up(Service::web_of_both_families())?;
    stage.client().ask_many(stage.web(), 3);
    for read in [
        &["status"][..],
        &["services"],
        &["backends"],
        &["backends", "web"],
        &["connections"],
        &["export", "config"],
    ] {
        let json = stage.director.ok(&[read, &["-o", "json"]].concat())?;
        let yaml = stage.director.ok(&[read, &["-o", "yaml"]].concat())?;
        let (json, yaml): (Value, Value) = (serde_json::from_str(&json)?, serde_yaml_ng::from_str(&yaml)?);
        assert_eq!(shape(&json), shape(&yaml), "{read:?}");
        let table = stage.director.ok(read)?;
        assert!(table.lines().count() > 1, "{read:?}: {table}");
        assert!(serde_json::from_str::<Value>(&table).is_err(), "{read:?}: {table}");
    }
    let status = stage.director.status()?;
    assert_eq!((&status["services"], &status["backends"]), (&1.into(), &6.into()), "{status}");
    assert_eq!(status["config_file"], stage.director.config().display().to_string());
    assert_eq!(status["pid"].as_u64(), stage.director.pid().map(u64::from));
    Ok(())
}

/// A value without its numbers, which may differ from one look to the next.
fn shape(value: &Value) -> Value {
    match value {
        Value::Number(_) => 0.into(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect(),
        other => other.clone(),
    }
}

#[test]
fn a_difference_is_shown_and_then_gone() -> Result<()> {
    let web = Service::web().scheduler("wrr");
    let stage = Stage::up(web.clone())?;
    let same = stage.director.says(&["diff"])?;
    assert_eq!((same.code, same.stdout.trim()), (0, ""), "{same:?}");
    let other = Service::new("other", &["tcp://10.0.0.101:80"]).backend(rs(1));
    let config = Config::of([web.weights(&[3, 2, 1]), other]);
    let (commits, table) = (stage.director.number("commits")?, stage.ns().table("-a ip wvs")?);

    let from_stdin: Said = stage
        .director
        .wvs_with_input(&["diff", "-"], &config.to_string())?
        .into();
    stage.director.write_config(&config.to_string())?;
    let differs = stage.director.says(&["diff"])?;
    assert_eq!((differs.code, &differs.stdout), (5, &from_stdin.stdout), "{differs:?}");
    for part in [
        "add chain ip wvs svc-other",
        "element ip wvs slots-web",
        "10.0.0.101",
    ] {
        assert!(differs.stdout.contains(part), "`{part}` is not in:\n{}", differs.stdout);
    }
    assert_eq!((stage.director.number("commits")?, stage.ns().table("-a ip wvs")?), (commits, table));

    // What it said is what comes.
    let said: Value = serde_json::from_str(&stage.director.says(&["diff", "-o", "json"])?.stdout)?;
    let applied = stage.director.json(&["reload"])?;
    assert_eq!((&said["plan"], &said["addresses"]), (&applied["plan"], &applied["addresses"]));
    let same = stage.director.says(&["diff"])?;
    assert_eq!((same.code, same.stdout.trim()), (0, ""), "{same:?}");
    Ok(())
}

#[test]
fn a_difference_in_addresses_only_is_one() -> Result<()> {
    let web = Service::web();
    let stage = Stage::up(web.clone())?;
    stage.director.write_config(&web.unmanaged().to_string())?;
    let differs = stage.director.says(&["diff"])?;
    assert_eq!(differs.code, 5, "{differs:?}");
    assert!(differs.stdout.contains("- 10.0.0.100 on eth0"), "{differs:?}");
    Ok(())
}

#[test]
fn services_are_added_and_removed() -> Result<()> {
    let stage = Stage::up(Config::default())?;
    let (first, second) = (rs(1).to_string(), format!("{},weight=2", rs(2)));
    let add = [
        "add",
        "service",
        "web",
        "--listen",
        "tcp://10.0.0.100:80",
        "--manage-vip",
        "eth0",
        "--scheduler",
        "wrr",
    ];
    stage
        .director
        .ok(&[&add[..], &["--backend", &first, "--backend", &second]].concat())?;
    let seen = stage.client().ask_many(stage.web(), 6);
    assert_eq!(seen, Distribution::of(&[("rs1", 2), ("rs2", 4)]));

    stage
        .director
        .ok(&["add", "backend", "web", &rs(3).to_string(), "--weight", "3"])?;
    let seen = stage.client().ask_many(stage.web(), 12);
    assert_eq!(seen, Distribution::of(&[("rs1", 2), ("rs2", 4), ("rs3", 6)]));

    let sticky = [
        "add",
        "service",
        "sticky",
        "-l",
        "tcp://10.0.0.101:80,8000-8010",
        "-s",
        "sh",
        "-p",
        "port=false",
    ];
    let full = [
        "-f",
        "full-nat",
        "--manage-vip",
        "eth0",
        "--reject-other-ports",
        "-b",
        &first,
        "-b",
        &second,
    ];
    stage.director.ok(&[&sticky[..], &full].concat())?;
    let seen = stage.client().ask_many((vip(1), 8005).into(), 10);
    assert_eq!((seen.answered(), seen.servers.len()), (10, 1), "{seen}");
    assert_eq!(stage.client().ask((vip(1), 80).into())?.peer.ip().to_string(), "10.1.0.1");

    let services = stage.director.json(&["services"])?;
    let names: Vec<_> = services
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| it["name"].clone())
        .collect();
    assert_eq!(names, ["web", "sticky"]);
    stage.director.ok(&["remove", "service", "web"])?;
    assert!(stage.client().ask(stage.web()).is_err());
    assert_eq!(stage.client().ask_many((vip(1), 80).into(), 3).answered(), 3);
    Ok(())
}

#[test]
fn an_applied_file_runs_and_the_directors_own_comes_back() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), Service::web().only([rs(2)]).to_string())?;
    let path = file.path().to_str().context("a path of this test")?;
    let said = stage.director.says(&["apply", path, "--dry-run"])?;
    assert!(said.code == 0 && said.stdout.contains("slots-web"), "{said:?}");
    assert_eq!(stage.client().ask_many(stage.web(), 3).servers.len(), 3);
    stage.director.ok(&["apply", path])?;
    assert_eq!(stage.client().ask_many(stage.web(), 3), Distribution::of(&[("rs2", 3)]));
    stage.director.ok(&["reload"])?;
    assert_eq!(stage.client().ask_many(stage.web(), 3).servers.len(), 3);
    Ok(())
}

#[test]
fn a_reader_that_goes_away_is_no_failure() -> Result<()> {
    // More than a pipe holds, so that it is written to after the reader has gone.
    let services = (1..=120).map(|n| {
        let listen = format!("tcp://10.0.0.100:{}", 1000 + n);
        Service::new(&format!("service-with-a-long-name-{n}"), &[&listen]).backend(Target::new(rs(1)))
    });
    let stage = Stage::with_servers(1, Config::of(services))?;
    for arguments in [&["services"][..], &["services", "-o", "json"], &["export", "nft"]] {
        let mut command = stage.director.command();
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut head = BufReader::with_capacity(16, child.stdout.take().context("piped")?);
        let mut line = String::new();
        head.read_line(&mut line)?;
        drop(head);
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .context("piped")?
            .read_to_string(&mut stderr)?;
        assert_eq!((child.wait()?.code(), &*stderr), (Some(0), ""), "{arguments:?} after {line:?}");
    }
    Ok(())
}

#[test]
fn quiet_is_quiet_and_data_is_data() -> Result<()> {
    let stage = Stage::up(Service::web().scheduler("wrr"))?;
    let (address, said) = (rs(1).to_string(), |arguments: &[&str]| stage.director.says(arguments));
    let weighed = said(&["weight", "web", &address, "2"])?;
    assert!(weighed.stdout.is_empty() && !weighed.stderr.is_empty(), "{weighed:?}");
    let weighed = said(&["-q", "weight", "web", &address, "3"])?;
    assert!(weighed.stdout.is_empty() && weighed.stderr.is_empty(), "{weighed:?}");
    Ok(())
}

#[test]
fn the_doctor_finds_what_a_director_needs() -> Result<()> {
    /// What was looked at, whether it is well, and whether it says what to do.
    type Finding = (String, bool, bool);
    let examined = |stage: &Stage| -> Result<(i32, Vec<Finding>)> {
        let said = stage.director.says(&["doctor", "-o", "json"])?;
        let findings: Value = serde_json::from_str(&said.stdout)?;
        let finding = |it: &Value| {
            let name = it["name"].as_str().unwrap_or_default().to_owned();
            (name, it["ok"] == true, it["fix"].is_string())
        };
        Ok((said.code, findings.as_array().into_iter().flatten().map(finding).collect()))
    };
    let mut stage = Stage::up(Service::web())?;
    let (code, findings) = examined(&stage)?;
    assert!(code == 0 && findings.iter().all(|(_, ok, _)| *ok), "{findings:?}");
    assert!(findings.len() > 3, "{findings:?}");

    stage.director.terminate()?;
    stage.ns().sysctl("net/ipv4/ip_forward", "0")?;
    let (code, findings) = examined(&stage)?;
    let wrong: Vec<_> = findings.iter().filter(|(_, ok, _)| !ok).collect();
    assert_eq!((code, wrong.len()), (4, 2), "{findings:?}");
    // Each says what to do.
    assert!(wrong.iter().all(|(_, _, fix)| *fix), "{findings:?}");
    Ok(())
}

#[test]
fn a_director_that_does_not_forward_says_so() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    assert_eq!(stage.director.says(&["status"])?.code, 0);
    stage.ns().sysctl("net/ipv4/ip_forward", "0")?;
    let said = stage.director.says(&["status"])?;
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.stdout.contains("ip_forward"), "{said:?}");
    Ok(())
}
