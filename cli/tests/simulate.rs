//! What authors of schedulers see of tests and simulations.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Ran, run, wvs};

fn plugin(arguments: &[&str]) -> Ran {
    run(wvs(Path::new("/nowhere")).arg("plugin").args(arguments))
}

fn core_test(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/tests");
    path.join(name).to_str().unwrap().to_owned()
}

/// A small service with some of everything.
const CHURN: &str = "at 4s remove b3; at 8s add b3 2; at 12s weight b1 4";

fn small(scheduler: &str) -> Vec<&str> {
    let mut arguments = vec!["simulate", scheduler, "--weights", "3,2,1", "--churn", CHURN];
    arguments.extend([
        "--rate",
        "50/s",
        "--duration",
        "16s",
        "--length",
        "exp:2s",
        "--clients",
        "zipf:200",
    ]);
    arguments
}

fn shown(arguments: &[&str]) -> String {
    let ran = plugin(arguments);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout
}

#[test]
fn a_simulation_is_a_table() {
    let mut wlc = small("wlc");
    wlc.push("--exact");
    insta::assert_snapshot!("simulation_wlc", shown(&wlc));
    insta::assert_snapshot!("simulation_mh", shown(&small("mh")));
    let lblc = [small("lblc"), vec!["--destinations", "zipf:20", "--seed", "7"]].concat();
    insta::assert_snapshot!("simulation_lblc", shown(&lblc));
}

#[test]
fn a_simulation_is_json_with_all_samples() {
    let arguments = [small("rendezvous"), vec!["-o", "json"]].concat();
    let mut json: Value = serde_json::from_str(&shown(&arguments)).unwrap();
    let samples = json["samples"].take();
    let samples = samples.as_array().unwrap();
    assert_eq!(samples.len(), 241);
    assert_eq!(samples[240]["at_s"], 16.0);
    assert_eq!(samples[240]["open"], json["open"]);
    json["samples"] = samples[120].clone();
    insta::assert_json_snapshot!("simulation_json", json);
}

#[test]
fn more_backends_than_a_screen_has_room_for_are_summed_up() {
    let text = shown(&[
        "simulate",
        "rr",
        "--backends",
        "1000",
        "--rate",
        "500/s",
        "--duration",
        "5s",
    ]);
    assert!(text.contains("LEAST") && text.contains("MOST"), "{text}");
    assert!(text.contains("… of 1000 backends; -o json has all"), "{text}");
    assert!(text.lines().count() < 60, "{text}");
}

#[test]
fn a_chart_is_written_beside_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chart.svg");
    let file = path.to_str().unwrap();
    let ran = plugin(&[small("wlc"), vec!["--svg", file]].concat());
    assert_eq!((ran.code, ran.stderr), (0, format!("wrote {file}\n")));
    let text = std::fs::read_to_string(&path).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let lines = document
        .descendants()
        .filter(|node| node.tag_name().name() == "polyline");
    // Three backends, the overload and level; grids and marks besides.
    assert!(lines.count() >= 5, "{text}");
    assert!(text.contains("weight b1 4"), "{text}");

    let ran = plugin(&[small("wlc"), vec!["--svg", "/nowhere/chart.svg"]].concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("cannot write /nowhere/chart.svg"), "{ran:?}");
}

#[test]
fn a_trace_is_replayed() {
    let trace = core_test("traces/sample.csv");
    let text = shown(&[
        "simulate",
        "wlc",
        "--trace",
        &trace,
        "--weights",
        "5,4,3,2,1",
        "--exact",
    ]);
    assert!(text.contains("1346 connections: "), "{text}");
    assert!(text.contains("beside asking for each connection"), "{text}");
    let short = shown(&["simulate", "wlc", "--trace", &trace, "--duration", "10s"]);
    assert!(short.contains(", 10 s, "), "{short}");
}

#[test]
fn what_cannot_be_simulated_is_refused_with_the_reason() {
    let trace = core_test("plugins/wasi.wat");
    for (arguments, code, said) in [
        (vec!["--churn", "at 5s remove b11"], 1, "`remove b11` cannot happen: there is no b11 then"),
        (vec!["--churn", "remove b1"], 2, "write `at TIME CHANGE`"),
        (vec!["--rate", "5"], 2, "write a number above 0 and `/s`"),
        (vec!["--length", "5s"], 2, "`exp:5s`, `fixed:2s`"),
        (vec!["--exact"], 1, "does not look at connections"),
        (vec!["--rate", "1000000/s", "--duration", "1h"], 1, "at most 20000000 can be simulated"),
        (vec!["--trace", "/nowhere/x.csv"], 1, "cannot read /nowhere/x.csv"),
        (vec!["--trace", &trace], 1, "the first line must be `start_s,length_s,client`"),
        (vec!["--trace", "x", "--rate", "5/s"], 2, "cannot be used with"),
        (vec!["--refresh", "0s"], 2, "at least 1ms"),
        (vec!["-p", "nothing=1"], 1, "has no parameter nothing"),
        (vec!["--duration", "0s"], 2, "nothing can happen in no time"),
        (vec!["--churn", "at 61s drain b1"], 1, "comes after the end of the simulation, at 60 s"),
    ] {
        let ran = plugin(&[vec!["simulate", "rr"], arguments.clone()].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_test_passes_or_shows_the_way_to_the_fault() {
    let text = shown(&[
        "test",
        "wrr",
        "--proportional",
        "1",
        "--no-starvation",
        "--sequences",
        "20",
    ]);
    assert!(text.lines().rev().skip(1).all(|line| line.starts_with("ok  ")), "{text}");
    assert!(text.ends_with("seed 1\n"), "{text}");

    let fault = core_test("plugins/fault.wat");
    let ran = plugin(&[
        "test",
        &fault,
        "-p",
        "fault=short",
        "--sequences",
        "5",
        "-o",
        "json",
    ]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, "1 invariant of 14 not held\n"), "{ran:?}");
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    let found = &json["invariants"][0];
    assert_eq!((&found["invariant"], &found["verdict"]), (&"table length".into(), &"failed".into()));
    assert_eq!(found["reproduction"]["events"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(json["untested"].as_array().unwrap().len(), 13, "{json}");
    assert_eq!(json["invariants"].as_array().unwrap().len(), 1, "{json}");
}

/// What it refuses is said once, with what to do about that.
#[test]
fn a_test_of_one_that_does_not_start_says_why_once() {
    let ran = plugin(&["test", "zone", "-p", "local=abc"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, "1 invariant of 14 not held\n"), "{ran:?}");
    assert_eq!(ran.stdout.matches("configure refused: ").count(), 1, "{ran:?}");
    assert_eq!(ran.stdout.matches("what to do: ").count(), 1, "{ran:?}");
    assert!(
        ran.stdout
            .contains("what to do: give it parameters that it takes"),
        "{ran:?}"
    );
    assert!(
        ran.stdout
            .contains("note  not tested, because of this: table length, "),
        "{ran:?}"
    );
}
