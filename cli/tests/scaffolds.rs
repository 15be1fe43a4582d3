//! A scheduler that is begun builds and passes its own check.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Ran, run, wvs};

fn plugin(arguments: &[&str]) -> Ran {
    run(wvs(Path::new("/nowhere")).arg("plugin").args(arguments))
}

fn is_there(program: &str) -> bool {
    let mut version = Command::new(program);
    let version = version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Makes a project and says where it is.
fn begin(language: &str, dir: &Path) -> String {
    begin_kind(language, "cycle", dir)
}

fn begin_kind(language: &str, kind: &str, dir: &Path) -> String {
    let project = dir.join(kind).to_str().unwrap().to_owned();
    let ran = plugin(&[
        "new", "--lang", language, "--kind", kind, "my-own", "--dir", &project,
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stderr.contains("/README.md\n"), "{ran:?}");
    for command in ["check", "test", "simulate"] {
        assert!(ran.stderr.contains(&format!("`wvs plugin {command}`")), "{ran:?}");
    }
    project
}

fn inspect(file: &str) -> Value {
    let ran = plugin(&["inspect", file, "-o", "json"]);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn text_needs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = begin("wat", dir.path()) + "/my-own.wat";
    let ran = plugin(&["check", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.lines().all(|line| line.starts_with("ok  ")), "{ran:?}");
    assert_eq!(inspect(&file)["name"], "my-own");
    let file = begin_kind("wat", "flow", dir.path()) + "/my-own.wat";
    for command in ["check", "test"] {
        let ran = plugin(&[command, &file]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let ran = plugin(&["inspect", &file]);
    let interfaces = "  interfaces   flows (pick), load (looks at connections)\n";
    assert!(ran.stdout.contains(interfaces), "{ran:?}");
}

/// Builds a project in C; nothing if there is no compiler for it.
fn make(project: &str) -> Option<String> {
    if !["clang", "wasm-ld", "make"]
        .iter()
        .all(|program| is_there(program))
    {
        eprintln!("SKIPPED: building C needs clang, wasm-ld (Debian: lld) and make");
        return None;
    }
    let built = Command::new("make").args(["-s", "-C", project]).output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success() && said.is_empty(), "{said}");
    Some(format!("{project}/my-own.wasm"))
}

#[test]
fn c_needs_a_compiler_only() {
    let dir = tempfile::tempdir().unwrap();
    let Some(file) = make(&begin("c", dir.path())) else {
        return;
    };
    let ran = plugin(&["check", &file, "--proportional", "2"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(inspect(&file)["name"], "my-own");
    let Some(file) = make(&begin_kind("c", "flow", dir.path())) else {
        return;
    };
    let ran = plugin(&["test", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(inspect(&file)["interfaces"], serde_json::json!(["flows", "load"]));
}

#[test]
fn the_header_has_the_whole_contract() {
    let dir = tempfile::tempdir().unwrap();
    let project = begin("c", dir.path());
    std::fs::write(format!("{project}/my-own.c"), include_str!("../../plugins-sdk/everything/c/plugin.c"))
        .unwrap();
    let Some(file) = make(&project) else { return };
    let ran = plugin(&["check", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let found = inspect(&file);
    assert_eq!((&found["version"], &found["kind"]), (&"1.2.3".into(), &"cycle".into()));
    assert_eq!(found["looks_at_connections"], true);
    assert_eq!(found["interfaces"], serde_json::json!(["table", "load", "timer", "latency"]));
    let parameters = found["parameters"].as_array().unwrap();
    let kinds: Vec<&Value> = parameters.iter().map(|parameter| &parameter["kind"]).collect();
    assert_eq!(kinds, ["choice", "integer", "boolean", "text"]);
    assert_eq!(parameters[0]["words"], serde_json::json!(["first", "idlest"]));
    assert_eq!((&parameters[1]["min"], &parameters[1]["max"]), (&(-3).into(), &7.into()));
    let ran = plugin(&["inspect", &file, "-p", "hashed=true"]);
    assert!(ran.stdout.contains("  kind         hash source-and-port\n"), "{ran:?}");
    let ran = plugin(&["check", &file, "-p", "note=bad"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("configure refused: note must not be bad"), "{ran:?}");
}

#[test]
fn the_header_decides_for_each_connection_too() {
    let dir = tempfile::tempdir().unwrap();
    let project = begin("c", dir.path());
    std::fs::write(format!("{project}/my-own.c"), include_str!("scaffolds/flows.c")).unwrap();
    let Some(file) = make(&project) else { return };
    let ran = plugin(&["check", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout
            .contains("it decides for each connection; it does not look at connections"),
        "{ran:?}"
    );
    let found = inspect(&file);
    assert_eq!((&found["kind"], &found["interfaces"]), (&"flow".into(), &serde_json::json!(["flows"])));
    let prices = plugin(&["bench", &file]);
    assert_eq!((prices.code, prices.stdout.contains("PICK")), (0, true), "{prices:?}");
}

/// That they build is a matter of `make test-languages`; here, that each is whole, and named as it was asked to be.
#[test]
fn every_language_has_a_project() {
    for (language, source, command) in [
        ("zig", "my-own.zig", "Makefile"),
        ("assemblyscript", "my-own.ts", "package.json"),
        ("as", "my-own.ts", "package.json"),
        ("go", "my-own.go", "Makefile"),
        ("javascript", "my-own.js", "package.json"),
        ("js", "my-own.js", "package.json"),
        ("python", "my_own.py", "Makefile"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for kind in ["cycle", "flow"] {
            let project = begin_kind(language, kind, dir.path());
            let read = |file: &str| std::fs::read_to_string(format!("{project}/{file}")).unwrap();
            assert!(read(source).contains("\"my-own\""), "{language}");
            assert!(read(command).contains("wvs plugin check my-own.wasm"), "{language}");
            assert!(read("README.md").contains("wvs plugin simulate my-own.wasm"), "{language}");
            let files = files_below(Path::new(&project));
            let left = |path: &&PathBuf| std::fs::read_to_string(path).unwrap().contains("{{");
            assert_eq!(files.iter().find(left), None, "{language}");
        }
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_packed_module_is_a_component() {
    let dir = tempfile::tempdir().unwrap();
    let file = begin("wat", dir.path()) + "/my-own.wat";
    let packed = dir.path().join("packed.wasm").to_str().unwrap().to_owned();
    let ran = plugin(&["pack", &file, &packed]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // The version of a component, and not that of a core module.
    assert_eq!(std::fs::read(&packed).unwrap()[4..8], [0x0d, 0, 1, 0]);
    assert_eq!(inspect(&packed)["name"], "my-own");
    let ran = plugin(&["pack", "/nowhere.wasm", &packed]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("cannot read /nowhere.wasm"), "{ran:?}");
}

/// That it compiles is a matter of the SDK's own tests; here, that nothing of it refers to this repository.
#[test]
fn rust_comes_with_the_sdk() {
    let dir = tempfile::tempdir().unwrap();
    let project = begin("rust", dir.path());
    for manifest in ["Cargo.toml", "wvs-plugin/Cargo.toml"] {
        let text = std::fs::read_to_string(format!("{project}/{manifest}")).unwrap();
        assert!(!text.contains("workspace = true") && !text.contains("{{"), "{text}");
    }
    let source = std::fs::read_to_string(format!("{project}/src/lib.rs")).unwrap();
    assert!(source.contains("name: \"my-own\"") && !source.contains("{{"), "{source}");
    assert!(Path::new(&project).join("wvs-plugin/wit/scheduler.wit").is_file());
    let again = plugin(&["new", "--lang", "rust", "my-own", "--dir", &project]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stderr.contains("is there already: choose another name"), "{again:?}");
}
