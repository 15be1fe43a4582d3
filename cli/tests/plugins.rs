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
    assert!(
        ran.stdout
            .contains("what to do: answer ids of the last update only"),
        "{ran:?}"
    );
    let short = plugin(&["check", &fixture("fault.wat"), "--param", "fault=short"]);
    assert!(
        short
            .stdout
            .contains("what to do: answer exactly as many entries"),
        "{short:?}"
    );
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

/// A name is that of a regular file first, and nothing else hides what is built in.
#[test]
fn a_name_is_that_of_a_file_or_of_what_is_built_in() {
    let dir = tempfile::tempdir().unwrap();
    let inspect = |name: &str| {
        let mut command = wvs(Path::new("/nowhere"));
        run(command.current_dir(dir.path()).args(["plugin", "inspect", name]))
    };
    std::fs::create_dir(dir.path().join("wlc")).unwrap();
    let ran = inspect("wlc");
    assert!(ran.code == 0 && ran.stdout.contains("origin       built in"), "{ran:?}");
    std::fs::create_dir(dir.path().join("mine")).unwrap();
    for directory in ["mine", "./wlc", "mine/"] {
        let ran = inspect(directory);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("it is a directory"), "{ran:?}");
        assert!(
            ran.stderr
                .contains("help: name the .wasm or .wat in it, or build it first"),
            "{ran:?}"
        );
    }
    std::fs::copy(fixture("fault.wat"), dir.path().join("rr")).unwrap();
    assert!(inspect("rr").stdout.starts_with("fault 0.1.0"));
}

#[test]
fn an_inspection_says_why_a_plugin_does_not_start() {
    let ran = plugin(&["inspect", "zone", "-p", "local=abc"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains(
            "does not start with these parameters\n  it fails     plugin zone: configure refused: "
        )
    );
    let json = plugin(&["inspect", &fixture("per-flow.wat"), "-o", "json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["kind"], Value::Null);
    assert!(
        json["fails"]["reason"]
            .as_str()
            .unwrap()
            .contains("answers per-flow"),
        "{json}"
    );
    assert!(json["fails"]["fix"].is_string(), "{json}");
}

#[test]
fn packing_writes_over_nothing_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (module, packed, link) = (at("module.wat"), at("packed.wasm"), at("link.wat"));
    std::fs::copy(fixture("fault.wat"), &module).unwrap();
    std::os::unix::fs::symlink(&module, &link).unwrap();
    let whole = std::fs::read(&module).unwrap();
    for target in [&module, &link] {
        for force in [None, Some("--force")] {
            let ran = plugin(&[vec!["pack", &module, target], force.into_iter().collect()].concat());
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(ran.stderr.contains("is the module itself"), "{ran:?}");
            assert_eq!(std::fs::read(&module).unwrap(), whole);
        }
    }
    assert_eq!(plugin(&["pack", &module, &packed]).code, 0);
    std::fs::write(&packed, "mine").unwrap();
    let ran = plugin(&["pack", &module, &packed]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("is there already") && ran.stderr.contains("--force"), "{ran:?}");
    assert_eq!(std::fs::read(&packed).unwrap(), b"mine");
    assert_eq!(plugin(&["pack", &module, &packed, "--force"]).code, 0);
    assert!(std::fs::read(&packed).unwrap().starts_with(b"\0asm"));
}
