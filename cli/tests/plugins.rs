//! What authors of schedulers are told.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Ran, run, wvs};

fn plugin(arguments: &[&str]) -> Ran {
    run(wvs(Path::new("/nowhere")).arg("plugin").args(arguments))
}

fn fixture(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/tests/plugins");
    path.join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_scheduler_that_conforms_passes_in_every_format() {
    let table = plugin(&["check", "wrr", "--proportional", "1"]);
    assert_eq!((table.code, table.stderr.as_str()), (0, ""), "{table:?}");
    assert!(table.stdout.lines().all(|line| line.starts_with("ok  ")), "{table:?}");
    let json: Value = serde_json::from_str(&plugin(&["check", "mh", "-o", "json"]).stdout).unwrap();
    assert!(
        json.as_array()
            .unwrap()
            .iter()
            .all(|finding| finding["verdict"] == "passed"),
        "{json}"
    );
}

#[test]
fn one_that_fails_is_told_what_to_do_and_ends_with_1() {
    let ran = plugin(&["check", &fixture("fault.wat"), "--param", "fault=wrong-id"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout
            .contains("holds backend 4711, which was not in the last update"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("what to do: answer exactly as many entries"), "{ran:?}");
    assert!(ran.stderr.contains(" checks failed\n"), "{ran:?}");
}

#[test]
fn what_is_no_scheduler_is_refused_with_the_remedy() {
    for (arguments, said) in [
        (
            vec!["check", "/nowhere/x.wasm"],
            "there is no file /nowhere/x.wasm, and no scheduler of that name",
        ),
        (vec!["check", &fixture("next-version.wat")], "built against wvs:scheduler 0.2.0"),
        (vec!["inspect", &fixture("wasi.wat")], "`wvs plugin pack` gives"),
        (vec!["check", "sh", "-p", "prot=true"], "sh has no parameter prot; did you mean port?"),
        (vec!["bench", "rendezvous", "-p", "key=moon"], "it must be one of source, "),
        (vec!["check", "/"], "cannot read /"),
    ] {
        let ran = plugin(&arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    let ran = plugin(&["check", "sh", "--param", "port"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn an_inspection_shows_kind_and_parameters() {
    let ran = plugin(&["inspect", "rendezvous", "--param", "key=both"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("  kind         hash both\n"), "{ran:?}");
    assert!(ran.stdout.contains("source, source-and-port, destination, both"), "{ran:?}");
    let json: Value = serde_json::from_str(&plugin(&["inspect", "rendezvous", "-o", "json"]).stdout).unwrap();
    assert_eq!(json["parameters"][0]["default"], "source");
    let yaml = plugin(&["inspect", "rendezvous", "-o", "yaml"]);
    assert_eq!(serde_yaml_ng::from_str::<Value>(&yaml.stdout).unwrap(), json);
}

#[test]
fn a_bench_has_a_price_for_each_size() {
    let ran = plugin(&["bench", "wlc", "--slots", "64", "-o", "json"]);
    let bench: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let start = |how: &str| bench["start"][how]["best_ns"].as_u64().unwrap();
    assert!(start("kept") * 3 < start("compiled"), "{bench}");
    let prices = &bench["prices"];
    let backends: Vec<&Value> = prices
        .as_array()
        .unwrap()
        .iter()
        .map(|price| &price["backends"])
        .collect();
    assert_eq!(backends, [10, 1000, 10_000]);
    for price in prices.as_array().unwrap() {
        for call in ["fill", "update", "observe"] {
            let best = price[call]["best_ns"].as_u64().unwrap();
            assert!(best > 0 && best <= price[call]["median_ns"].as_u64().unwrap(), "{price}");
        }
    }
    assert!(plugin(&["bench", "fo"]).stdout.contains(" ns"));
}
