//! What commands ask of the director, and what they make of its answers.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use serde_json::{Value, json};
use support::{FakeDirector, run, wvs};

fn status(warnings: &[&str]) -> String {
    json!({
        "version": "0.1.0", "pid": 1, "uptime": 5, "config_file": "/etc/wvs/wvs.toml", "edited": false,
        "services": 1, "backends": 2, "generation": 3, "commits": 4, "repairs": 0, "schedulers": [],
        "warnings": warnings,
    })
    .to_string()
}

fn services(names: &[&str]) -> String {
    let service = |name| {
        json!({
            "name": name, "listen": ["tcp://10.0.0.100:80"], "forward": "nat", "scheduler": "rr",
            "available": 1, "backends": 1, "connections": 7,
            "sent": { "packets": 10, "bytes": 2048 }, "received": { "packets": 20, "bytes": 18446744073709551615_u64 },
            "refused": 0,
        })
    };
    Value::from_iter(names.iter().map(service)).to_string()
}

fn applied(plan: &str, cut: usize, dry_run: bool) -> String {
    json!({ "plan": plan, "addresses": [], "cut": cut, "dry_run": dry_run, "warnings": ["10.1.0.9 has no route"] })
        .to_string()
}

#[test]
fn a_good_status_is_done_and_a_warning_is_degraded() {
    let well = FakeDirector::new([("GET /v1/status", 200, status(&[]))]);
    let ran = well.wvs(&["status"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.contains("wvs 0.1.0, process 1, up 5s"), "{ran:?}");

    let unwell = FakeDirector::new([("GET /v1/status", 200, status(&["net.ipv4.ip_forward is 0"]))]);
    for format in ["table", "json", "yaml"] {
        let ran = unwell.wvs(&["status", "-o", format]);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.stdout.contains("net.ipv4.ip_forward is 0"), "{ran:?}");
    }
}

#[test]
fn tables_round_and_json_and_yaml_are_exact() {
    let director =
        FakeDirector::new([("GET /v1/services", 200, services(&["web\u{1b}[2J\u{9b}\u{85}\u{7f}"]))]);
    let table = director.wvs(&["services"]);
    assert!(
        table.stdout.contains("2.0KiB  15.9EiB") && table.stdout.contains("web\\u{1b}[2J"),
        "{table:?}"
    );

    let exact: Value = serde_json::from_str(&services(&["web\u{1b}[2J\u{9b}\u{85}\u{7f}"])).unwrap();
    let json = director.wvs(&["services", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&json.stdout).unwrap(), exact);
    let yaml = director.wvs(&["-o", "yaml", "services"]);
    assert_eq!(serde_yaml_ng::from_str::<Value>(&yaml.stdout).unwrap(), exact);
    for ran in [table, json, yaml] {
        assert!(!ran.stdout.chars().any(|c| c.is_control() && c != '\n'), "{ran:?}");
    }
}

#[test]
fn metrics_come_as_they_are_and_in_one_form() {
    let text = "# TYPE wvs_commits counter\nwvs_commits_total 3\n# EOF\n";
    let director = FakeDirector::new([("GET /metrics", 200, text.to_owned())]);
    let ran = director.wvs(&["metrics"]);
    assert_eq!((ran.code, &*ran.stdout), (0, text), "{ran:?}");
    assert_eq!(director.wvs(&["metrics", "-o", "json"]).code, 2);
    assert_eq!(director.requests().len(), 1);
}

#[test]
fn names_reach_the_director_as_they_are() {
    let connections = json!({ "total": 5, "connections": [] }).to_string();
    let clients = json!({ "more": true, "clients": [] }).to_string();
    let director = FakeDirector::new([
        ("GET /v1/backends", 200, "[]".to_owned()),
        ("GET /v1/connections", 200, connections),
        ("GET /v1/persistence", 200, clients),
    ]);
    assert_eq!(director.wvs(&["backends"]).code, 0);
    assert_eq!(director.wvs(&["backends", "a&b=c d/%"]).code, 0);
    let listed = director.wvs(&["connections", "web", "--limit", "0"]);
    assert_eq!(listed.stderr, "0 of 5 connections; --limit 5 lists all\n");
    let listed = director.wvs(&["persistence", "a b", "--limit", "1"]);
    assert_eq!(listed.stderr, "0 clients, and there are more: a higher --limit lists them\n");
    let asked: Vec<_> = director
        .requests()
        .into_iter()
        .map(|(request, _)| request)
        .collect();
    assert_eq!(
        asked,
        [
            "GET /v1/backends",
            "GET /v1/backends?service=a%26b%3Dc+d%2F%25",
            "GET /v1/connections?service=web&limit=0",
            "GET /v1/persistence?service=a+b&limit=1"
        ]
    );
}

#[test]
fn apply_sends_the_text_and_its_name() {
    let director = FakeDirector::new([("POST /v1/apply", 200, applied("add x\nadd y\n", 0, false))]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("new.toml"), "# ü\n").unwrap();
    let ran = run(wvs(&director.socket())
        .args(["apply", "new.toml"])
        .current_dir(dir.path()));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    assert_eq!(ran.stderr, "warning: 10.1.0.9 has no route\nchanged: 2 lines of nft\n");
    let body = director.only_body("POST /v1/apply");
    assert_eq!(body, json!({ "text": "# ü\n", "name": "new.toml", "dry_run": false }));
}

#[test]
fn a_dry_run_prints_the_plan_and_diff_says_by_its_code_that_there_is_one() {
    let differing = FakeDirector::new([
        ("POST /v1/apply", 200, applied("add x\n", 0, true)),
        ("POST /v1/reload", 200, applied("add y\n", 0, true)),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new.toml");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, code, plan) in [
        (&["apply", file, "--dry-run", "-q"][..], 0, "add x\n"),
        (&["reload", "-n", "-q"], 0, "add y\n"),
        (&["diff", file, "-q"], 5, "add x\n"),
        (&["diff", "-q"], 5, "add y\n"),
    ] {
        let ran = differing.wvs(arguments);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (code, plan, ""), "{arguments:?}");
    }
    assert!(
        differing
            .requests()
            .iter()
            .all(|(_, body)| body["dry_run"] == true)
    );

    let same = FakeDirector::new([("POST /v1/reload", 200, applied("", 0, true))]);
    let ran = same.wvs(&["diff"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stderr.ends_with("nothing differs\n"), "{ran:?}");
}

#[test]
fn every_edit_is_sent_as_the_api_has_it() {
    for (arguments, edit) in [
        (
            &["drain", "web", "10.1.0.11:80"][..],
            json!({ "edit": "drain", "service": "web", "backend": "10.1.0.11:80", "drain": true }),
        ),
        (
            &["drain", "web", "10.1.0.11:80", "--undo"],
            json!({ "edit": "drain", "service": "web", "backend": "10.1.0.11:80", "drain": false }),
        ),
        (
            &["weight", "web", "10.1.0.11", "0"],
            json!({ "edit": "set-weight", "service": "web", "backend": "10.1.0.11", "weight": 0 }),
        ),
        (
            &[
                "add",
                "backend",
                "web",
                "[2001:db8::1]:80",
                "--weight",
                "2",
                "--forward",
                "dr",
            ],
            json!({ "edit": "add-backend", "service": "web",
                    "backend": { "address": "[2001:db8::1]:80", "weight": 2, "forward": "dr" } }),
        ),
        (
            &["add", "service", "web", "--listen", "fwmark:7"],
            json!({ "edit": "add-service",
                    "service": { "name": "web", "listen": ["fwmark:7"], "forward": "nat", "scheduler": "wrr", "slots": 256 } }),
        ),
        (
            &["remove", "service", "web", "--cut"],
            json!({ "edit": "remove-service", "service": "web", "cut": true }),
        ),
        (
            &["remove", "backend", "web", "10.1.0.11:80"],
            json!({ "edit": "remove-backend", "service": "web", "backend": "10.1.0.11:80", "cut": false }),
        ),
    ] {
        let director = FakeDirector::new([("POST /v1/edit", 200, applied("add x\n", 3, false))]);
        let ran = director.wvs(arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(
            ran.stderr
                .ends_with("changed: 1 line of nft, 3 connections cut\n"),
            "{ran:?}"
        );
        assert_eq!(director.only_body("POST /v1/edit"), edit, "{arguments:?}");
    }
}

#[test]
fn a_teardown_needs_a_yes() {
    let torn = json!({ "tables": true, "addresses": [] }).to_string();
    let director = FakeDirector::new([("POST /v1/teardown", 200, torn)]);
    let refused = director.wvs(&["teardown"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert_eq!(refused.stderr, "error: nobody can be asked here: confirm with --yes\n");
    assert_eq!(director.requests(), []);

    let done = director.wvs(&["teardown", "--yes"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "removed the nftables tables\n"), "{done:?}");
    assert_eq!(director.only_body("POST /v1/teardown"), Value::Null);
}

#[test]
fn exports_are_other_tools_input() {
    let config = json!({ "service": [{ "name": "web", "listen": ["tcp://10.0.0.100:80"] }] }).to_string();
    let director = FakeDirector::new([
        ("GET /v1/ruleset", 200, "table ip wvs {\n\tchain x\u{1b} { }\n}\n".to_owned()),
        ("GET /v1/config", 200, config),
    ]);
    let nft = director.wvs(&["export", "nft"]);
    assert_eq!((nft.code, nft.stdout.as_str()), (0, "table ip wvs {\n\tchain x\\u{1b} { }\n}\n"));
    let json = director.wvs(&["export", "config", "-o", "json"]);
    let exported: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(exported["service"][0]["name"], "web");
    let refused = director.wvs(&["export", "nft", "-o", "json"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
}

#[test]
fn what_is_exported_and_the_sample_pass_the_check_and_have_a_ruleset() {
    let config = json!({ "service": [{
        "name": "web", "listen": ["tcp://10.0.0.100:80"], "backend": [{ "address": "10.1.0.11:8080", "weight": 3 }],
    }] });
    let director = FakeDirector::new([("GET /v1/config", 200, config.to_string())]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wvs.toml");
    for (arguments, sound) in [
        (&["export", "config"][..], "is sound: 1 service, 1 backend\n"),
        (&["config", "default"], "is sound: "),
    ] {
        let printed = director.wvs(arguments);
        assert_eq!((printed.code, printed.stderr.as_str()), (0, ""), "{printed:?}");
        std::fs::write(&file, &printed.stdout).unwrap();
        let checked = run(wvs(&director.socket()).arg("check").arg(&file));
        assert_eq!((checked.code, checked.stdout.as_str()), (0, ""), "{checked:?}");
        assert!(checked.stderr.contains(sound), "{checked:?}");
        let ruleset = run(wvs(&director.socket())
            .args(["export", "nft", "--config"])
            .arg(&file));
        assert_eq!((ruleset.code, ruleset.stderr.as_str()), (0, ""), "{ruleset:?}");
        assert!(ruleset.stdout.starts_with("table ip wvs {\n"), "{ruleset:?}");
    }
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let nowhere = std::path::Path::new("/nonexistent");
    let first = run(wvs(nowhere).arg("man"));
    assert!(first.stdout.contains(".TH wvs 8") && first.stdout.contains("Exit codes"), "{first:?}");
    let dir = tempfile::tempdir().unwrap();
    let ran = run(wvs(nowhere).arg("man").arg("--dir").arg(dir.path()));
    assert_eq!(ran.code, 0, "{ran:?}");
    let page = std::fs::read_to_string(dir.path().join("wvs-add-service.8")).unwrap();
    assert!(page.contains("\\-\\-listen") && page.contains("reject"), "{page}");
    assert_eq!(ran.stderr.lines().count(), dir.path().read_dir().unwrap().count());
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(wvs("/nonexistent".as_ref()).args(["completions", shell]));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains("teardown") && ran.stdout.contains("manage-vip"), "{shell}");
    }
}

fn event(what: Value) -> String {
    let mut event = json!({ "time": "2026-11-21T14:03:05.123Z" });
    for (key, value) in what.as_object().unwrap() {
        event[key] = value.clone();
    }
    event.to_string() + "\n"
}

#[test]
fn a_packet_is_asked_for_as_it_was_described() {
    let answer = json!({
        "packet": { "from": "[2001:db8::7]:4001", "to": "[2001:db8::100]:53", "protocol": "udp", "mark": 7 },
        "local": false,
        "because": { "reason": "not-ours", "listeners": [{ "listener": "fwmark:9", "service": "web" }] },
        "then": { "action": "pass" },
    });
    let director = FakeDirector::new([("POST /v1/explain", 200, answer.to_string())]);
    let packet = [
        "explain",
        "--from",
        "[2001:db8::7]:4001",
        "--to",
        "[2001:db8::100]:53",
        "-p",
        "udp",
        "-m",
        "0x7",
    ];
    let ran = director.wvs(&packet);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(
        ran.stdout
            .starts_with("udp [2001:db8::7]:4001 to [2001:db8::100]:53, firewall mark 7\n"),
        "{ran:?}"
    );
    let asked = director.only_body("POST /v1/explain");
    assert_eq!(asked, answer["packet"]);
    let ran = director.wvs(&[&packet[..], &["-o", "json"]].concat());
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), answer);
}

#[test]
fn packets_without_ends_are_refused_with_the_reason() {
    for (arguments, said) in [
        (&["--from", "192.0.2.7", "--to", "10.0.0.100:80"][..], "has no port"),
        (&["--from", "192.0.2.7:1", "--to", "web:80"], "`web` is not an IP address"),
        (
            &["--from", "192.0.2.7:1", "--to", "10.0.0.100:80", "-p", "icmp"],
            "not a protocol that wvs forwards",
        ),
        (&["--from", "192.0.2.7:1", "--to", "10.0.0.100:80", "-m", "x"], "not a firewall mark"),
        (&["--from", "192.0.2.7:1"], "--to"),
    ] {
        let ran = run(wvs("/nonexistent".as_ref()).arg("explain").args(arguments));
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    let ran = run(wvs("/nonexistent".as_ref()).args(["events", "--sample", "10"]));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--follow"), "{ran:?}");
}

#[test]
fn events_are_lines_in_every_form() {
    let lines = [
        event(json!({ "event": "repaired", "steps": 2 })),
        event(json!({ "event": "missed", "events": 7 })),
    ];
    let director = FakeDirector::new([("GET /v1/events", 200, lines.concat())]);
    let table = director.wvs(&["events"]);
    assert_eq!((table.code, table.stdout.lines().count()), (0, 2), "{table:?}");
    let json = director.wvs(&["events", "-o", "json"]);
    let read = json
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let sent = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(read.eq(sent), "{json:?}");
    let yaml = director.wvs(&["events", "-o", "yaml"]);
    assert_eq!(yaml.stdout.matches("---\n").count(), 2, "{yaml:?}");
    // Whoever follows a director wants to know that it has gone.
    let followed = director.wvs(&["events", "-f", "--sample", "9"]);
    assert_eq!((followed.code, followed.stdout.lines().count()), (3, 2), "{followed:?}");
    assert_eq!(followed.stderr, "the director has stopped\n");
    let asked: Vec<_> = director
        .requests()
        .into_iter()
        .map(|(request, _)| request)
        .collect();
    assert_eq!(asked[0], "GET /v1/events?follow=false");
    assert_eq!(asked[3], "GET /v1/events?follow=true&sample=9");
}

#[test]
fn without_the_program_there_is_nothing_to_export() {
    let failure = json!({ "error": "the tc program is not loaded" }).to_string();
    let director = FakeDirector::new([("GET /v1/tc", 404, failure)]);
    let ran = director.wvs(&["export", "tc"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert_eq!(ran.stderr, "error: the tc program is not loaded\n");
}
