//! Looking inside: what is said of a packet is what becomes of it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wvs_tests::{
    Config, LabOptions, LongLived, Service, Stage, Target, backend, backend6, client_sources, rs, wait_until,
};

/// What `wvs explain` says of a packet.
fn explain(stage: &Stage, from: &str, to: &str) -> Result<Value> {
    stage.director.json(&["explain", "--from", from, "--to", to])
}

/// The real server that a backend stands for.
fn server(explained: &Value) -> String {
    let backend = explained["backend"]["address"].as_str().unwrap_or_default();
    let n = (1..=3).find(|n| rs(*n).to_string() == backend);
    n.map_or_else(|| format!("none: {explained}"), |n| format!("rs{n}"))
}

#[test]
fn what_is_said_of_a_packet_is_what_becomes_of_it() -> Result<()> {
    let options = LabOptions {
        client_addresses: 12,
        ..LabOptions::default()
    };
    let stage = Stage::with(options, Service::web().scheduler("wrr").weights(&[3, 2, 1]))?;
    let to = stage.web().to_string();
    for turn in 0..12 {
        let said = explain(&stage, "10.0.0.10:40000", &to)?;
        assert_eq!(said["because"]["position"], turn, "{said}");
        assert_eq!(stage.client().ask(stage.web())?.server, server(&said), "{said}");
    }
    stage
        .director
        .reload_with(Config::of([Service::web().scheduler("sh")]))?;
    let mut servers = std::collections::BTreeSet::new();
    for source in client_sources(12) {
        let said = explain(&stage, &format!("{source}:40000"), &to)?;
        assert_eq!(said["because"]["draw"], "hash", "{said}");
        assert_eq!(stage.client().from(source).ask(stage.web())?.server, server(&said), "{said}");
        servers.insert(server(&said));
    }
    assert!(servers.len() > 1, "{servers:?}");
    Ok(())
}

#[test]
fn a_known_connection_and_a_refused_one_are_told_apart() -> Result<()> {
    let stage = Stage::up(Service::web().reject_other_ports())?;
    let held = LongLived::open(&stage.client(), stage.web(), 1)?;
    let connections = stage.director.json(&["connections"])?;
    let client = connections["connections"][0]["client"]
        .as_str()
        .context("a connection")?;
    let said = explain(&stage, client, &stage.web().to_string())?;
    assert_eq!(said["because"]["reason"], "connection", "{said}");
    assert_eq!(held.finish().broken(), 0);
    let said = explain(&stage, "10.0.0.10:40000", &stage.lab.vip(81).to_string())?;
    assert_eq!(
        (&said["because"]["reason"], &said["then"]["with"]),
        (&"closed".into(), &"tcp-reset".into())
    );
    for n in 1..=3 {
        stage.director.drain("web", rs(n))?;
    }
    let said = explain(&stage, "10.0.0.10:40000", &stage.web().to_string())?;
    let states: Vec<_> = said["because"]["backends"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    assert!(states.len() == 3 && states.iter().all(|it| it["state"] == "draining"), "{said}");
    Ok(())
}

/// Whoever does not read loses the oldest and learns how many; nobody waits, and no memory grows for it.
#[test]
fn a_reader_that_sleeps_is_told_what_it_missed() -> Result<()> {
    let stage = Stage::with(LabOptions::one_arm(), Service::direct("dr").scheduler("wrr"))?;
    let mut command = stage.director.command();
    command.args(["events", "-f", "-o", "json", "--sample", "1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its stdout")?).lines();
    // It has begun, and stops reading.
    let first: Value = serde_json::from_str(&lines.next().context("a line")??)?;
    assert_eq!(first["event"], "applied");
    let SocketAddr::V4(to) = stage.web() else {
        anyhow::bail!("the web is in IPv4")
    };
    // A pipe, a socket, the buffers of both ends and 4096 events have room for a few thousand.
    stage.client().flood(to, 100_000)?;
    // The director tells others meanwhile, and does what they ask for.
    stage
        .director
        .ok(&["weight", "web", &backend(1).to_string(), "3"])?;
    let (mut told, mut missed, mut unreported) = (0, 0, 0);
    for line in lines {
        let event: Value = serde_json::from_str(&line?)?;
        match event["event"].as_str() {
            Some("scheduled") => told += 1,
            Some("missed") => missed += event["events"].as_u64().unwrap_or_default(),
            Some("unreported") => unreported += event["packets"].as_u64().unwrap_or_default(),
            // The last things are not among those that are missed.
            Some("applied") if event["edit"] == true => break,
            _ => {}
        }
    }
    child.kill()?;
    child.wait()?;
    assert!(missed > 0 && told > 1_000, "{told} told, {missed} missed, {unreported} unreported");
    Ok(())
}

/// `wvs events -f` as a process whose lines come one by one.
struct Followed {
    child: Child,
    lines: Receiver<String>,
}

impl Followed {
    fn start(stage: &Stage, arguments: &[&str]) -> Result<Self> {
        let mut command = stage.director.command();
        command.args(["events", "-f", "-o", "json"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().context("its stdout")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let read = BufReader::new(stdout).lines().map_while(Result::ok);
            read.take_while(|line| sender.send(line.clone()).is_ok())
                .for_each(drop);
        });
        Ok(Self { child, lines })
    }

    /// The next event of this name.
    fn next(&self, name: &str) -> Result<Value> {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(30));
            let line = line.with_context(|| format!("no event {name}"))?;
            let event: Value = serde_json::from_str(&line)?;
            if event["event"] == name {
                return Ok(event);
            }
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn events_come_while_they_happen_and_end_with_the_director() -> Result<()> {
    let mut stage = Stage::up(Service::web().scheduler("wrr"))?;
    let mut followed = Followed::start(&stage, &[])?;
    // That of the start is among the last ones.
    assert_eq!(followed.next("applied")?["edit"], false);
    stage.director.ok(&["weight", "web", &rs(1).to_string(), "3"])?;
    assert_eq!(followed.next("applied")?["edit"], true);
    stage.ns().nft("flush map ip wvs backends")?;
    followed.next("repaired")?;
    // A reader is no reason to stay.
    stage.director.terminate()?;
    let status =
        wait_until("the reader to end", Duration::from_secs(30), || followed.child.try_wait().transpose());
    assert_eq!(status?.code(), Some(3));
    Ok(())
}

#[test]
fn the_program_says_what_it_does_and_samples_what_it_did() -> Result<()> {
    let stage = Stage::up(
        Service::web()
            .forward("dr")
            .only([backend(1), backend(2)].map(Target::new)),
    )?;
    let to = stage.web().to_string();
    let said = explain(&stage, "10.0.0.10:40000", &to)?;
    assert_eq!((&said["service"]["by"], &said["then"]["method"]), (&"tc".into(), &"dr".into()), "{said}");
    assert_eq!(
        (&said["then"]["interface"], &said["because"]["reason"]),
        (&"br-rs".into(), &"schedule".into())
    );

    let followed = Followed::start(&stage, &["--sample", "1"])?;
    followed.next("applied")?;
    // Nobody answers: there is no virtual address at the real servers.
    let _ = stage.client().ask(stage.web());
    let sampled = followed.next("scheduled")?;
    assert_eq!(
        (&sampled["service"], &sampled["target"]),
        (&"web".into(), &to.as_str().into()),
        "{sampled}"
    );
    assert_eq!((&sampled["interface"], &sampled["one_in"]), (&"eth0".into(), &1.into()), "{sampled}");

    let program = stage.director.json(&["export", "tc"])?;
    let attachment = &program["attachments"][0];
    assert_eq!(
        (&attachment["interface"], &attachment["ingress"][0]["ours"]),
        (&"eth0".into(), &true.into())
    );
    assert_eq!(attachment["program"], program["programs"][0]["id"]);
    assert!(program["programs"][0]["verified_instructions"].as_u64() > Some(1000), "{program}");
    assert_eq!(program["programs"][0]["tag"].as_str().map(str::len), Some(16));
    assert!(program["maps"].as_array().is_some_and(|maps| maps.len() > 10), "{program}");
    assert_eq!(program["services"][0]["slots"], 256);
    assert_eq!(program["backends"].as_array().map(Vec::len), Some(2));
    let text = stage.director.ok(&["export", "tc"])?;
    assert!(text.contains("wvs_ingress id ") && text.contains("by direct routing to "), "{text}");
    Ok(())
}

#[test]
fn what_a_service_refuses_is_counted() -> Result<()> {
    let stage = Stage::up(Service::web().only([Target::new(rs(1)).drained()]))?;
    let refused = |stage: &Stage| -> Result<u64> {
        let services = stage.director.json(&["services"])?;
        services[0]["refused"].as_u64().context("a count")
    };
    assert_eq!(refused(&stage)?, 0);
    assert_eq!(stage.client().ask_many(stage.web(), 5).answered(), 0);
    // UDP is not the service's, and not refused by it.
    let _ = stage.client().ask_udp(stage.web(), "ping");
    assert_eq!(refused(&stage)?, 5);
    stage
        .director
        .ok(&["drain", "web", &rs(1).to_string(), "--undo"])?;
    stage.client().ask_many(stage.web(), 3);
    assert_eq!(refused(&stage)?, 5);
    Ok(())
}

#[test]
fn refusals_are_counted_by_reason_in_both_planes() -> Result<()> {
    let web = || Service::direct("dr").reject_other_ports();
    let stage = Stage::with(LabOptions::one_arm(), web())?;
    let status = || stage.director.json(&["status"]);
    let fresh = status()?;
    for why in ["no-backend", "closed-port", "not-forwarded", "unknown-backend"] {
        assert_eq!(fresh["refused"][why], 0, "{fresh}");
    }
    assert_eq!(fresh["tc"]["events"]["no-backend"], 0);
    // Nobody listens there: nftables says so.
    assert_eq!(stage.client().ask_many(stage.lab.vip(81), 3).answered(), 0);
    assert_eq!(stage.client().ask_many(stage.web(), 3).answered(), 3);
    assert_eq!(status()?["refused"]["closed-port"], 3);
    // Nobody takes them: the program, and for a client on the director itself nftables.
    stage
        .director
        .reload_with(web().only((1..=3).map(|n| Target::new(backend(n)).drained())))?;
    assert_eq!(stage.client().ask_many(stage.web(), 4).answered(), 0);
    assert_eq!(stage.lab.local_client().ask_many(stage.web(), 2).answered(), 0);
    let seen = status()?;
    assert_eq!(
        (&seen["refused"]["no-backend"], &seen["tc"]["events"]["no-backend"]),
        (&2.into(), &4.into()),
        "{seen}"
    );
    assert_eq!(stage.director.json(&["services"])?[0]["refused"], 6);
    let text = stage.director.ok(&["status"])?;
    assert!(text.contains("refused   closed-port 3, no-backend 2\n"), "{text}");
    assert!(text.contains("no-backend 4"), "{text}");
    Ok(())
}

#[test]
fn what_is_too_big_is_a_drop_of_that_name() -> Result<()> {
    let stage = Stage::with(LabOptions::tunnels(), Service::direct("tun"))?;
    let drops = || -> Result<Value> { Ok(stage.director.json(&["status"])?["tc"]["drops"].clone()) };
    assert_eq!(drops()?["too-big"], 0);
    let followed = Followed::start(&stage, &["--sample", "1"])?;
    followed.next("applied")?;
    // Segments as large as the client's network allows do not fit with an outer header.
    stage.lab.client_ns().offloads("eth0", false)?;
    stage.client().transfer(stage.web(), 1 << 20)?;
    let dropped = followed.next("dropped")?;
    assert_eq!(
        (&dropped["reason"], &dropped["service"], &dropped["one_in"]),
        (&"too-big".into(), &"web".into(), &1.into()),
        "{dropped}"
    );
    assert!(drops()?["too-big"].as_u64() > Some(0));
    Ok(())
}

#[test]
fn clients_that_the_program_keeps_are_listed() -> Result<()> {
    let kept = Service::direct_of_both_families("dr").set("persistence", "{ timeout = \"6m\", mask6 = 64 }");
    let stage = Stage::with(LabOptions::one_arm(), kept)?;
    let listed = || -> Result<Vec<Value>> {
        let all = stage.director.json(&["persistence", "web"])?;
        Ok(all["clients"].as_array().cloned().unwrap_or_default())
    };
    assert_eq!(listed()?, [Value::Null; 0]);
    let (four, six) = (stage.client().ask(stage.web())?, stage.client().ask(stage.web6())?);
    let all = listed()?;
    let clients: Vec<_> = all.iter().filter_map(|it| it["client"].as_str()).collect();
    assert_eq!(clients, ["10.0.0.10/32", "fd00:a::/64"], "{all:?}");
    for (answer, client) in [&four, &six].into_iter().zip(&all) {
        let n: usize = answer.server.trim_start_matches("rs").parse()?;
        let address = client["backend"].as_str().unwrap_or_default();
        assert!(
            [backend(n), backend6(n)]
                .map(|it| it.to_string())
                .contains(&address.to_owned()),
            "{client}"
        );
        let expires = client["expires"].as_u64();
        assert!(expires > Some(300) && expires <= Some(360), "{client}");
    }
    let of = |client: &str| -> Result<Value> {
        let found = stage.director.json(&["persistence", "--client", client])?;
        Ok(found["clients"].clone())
    };
    assert_eq!(of("10.0.0.10")?, json!([all[0]]));
    assert_eq!(of("fd00:a::99")?, json!([all[1]]), "with its network");
    assert_eq!(of("10.0.0.11")?, json!([]));
    // Where they are listed is where they go.
    assert_eq!(stage.client().ask(stage.web())?.server, four.server);
    assert_eq!(stage.client().ask(stage.web6())?.server, six.server);
    Ok(())
}
