//! The rules of the house that a compiler does not know: see ARCHITECTURE.md, Invariants.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All Rust files below some folders or files, with their text up to the tests in it.
fn sources(places: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut todo: Vec<PathBuf> = places.iter().map(|place| root().join(place)).collect();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default()
                .to_owned();
            found.push((path, code));
        }
    }
    assert!(!found.is_empty(), "nothing at {places:?}");
    found
}

/// Fails where code that is not a comment has one of the words.
fn forbid(places: &[&str], except: &[&str], words: &[&str], why: &str) {
    let excepted: Vec<_> = except.iter().map(|place| root().join(place)).collect();
    let mut seen = Vec::new();
    for (path, text) in sources(places) {
        if excepted
            .iter()
            .any(|it| path.starts_with(it) || path == it.with_extension("rs"))
        {
            continue;
        }
        for (at, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                seen.push(format!("{}:{}: {word}", path.display(), at + 1));
            }
        }
    }
    assert!(seen.is_empty(), "{why}:\n{}", seen.join("\n"));
}

#[test]
fn unsafe_code_is_at_the_doors_only() {
    forbid(
        &["core/src", "cli/src", "plugins", "tests/src"],
        &["core/src/kernel"],
        &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"],
        "unsafe outside core/src/kernel",
    );
}

#[test]
fn decisions_do_no_io_and_know_no_clock() {
    let decisions = [
        "core/src/plan.rs",
        "core/src/ruleset.rs",
        "core/src/ruleset",
        "core/src/edit.rs",
        "core/src/pool.rs",
        "core/src/ids.rs",
        "core/src/dispatch.rs",
        "core/src/jhash.rs",
        "core/src/config/check.rs",
        "core/src/config/check",
        "core/src/real_server/arp.rs",
        "core/src/real_server/change.rs",
        "core/src/real_server/item.rs",
        "core/src/real_server/receive.rs",
        "core/src/real_server/seen.rs",
        "core/src/real_server/segments.rs",
        "core/src/tc/examine.rs",
        "core/src/scheduler/conform/sequence.rs",
        "core/src/scheduler/conform/shrink.rs",
        "core/src/scheduler/simulate.rs",
        "core/src/scheduler/simulate",
        "core/src/scheduler/stage.rs",
        "core/src/scheduler/supervise.rs",
    ];
    let words = [
        "std::fs",
        "File::",
        "Socket::",
        "Instant::now",
        "SystemTime",
        "thread::",
        "tokio",
        "Command::",
    ];
    forbid(&decisions, &[], &words, "a decision that is not pure");
}

#[test]
fn no_other_program_is_run() {
    forbid(
        &["core/src", "cli/src"],
        &[],
        &["Command::new", "process::Command"],
        "another program is run",
    );
}

#[test]
fn netlink_is_at_the_doors_only() {
    let words = [
        "nftnl",
        "mnl::",
        "rtnetlink::",
        "netlink_packet_route::",
        "NETLINK_",
    ];
    forbid(&["core/src", "cli/src"], &["core/src/kernel"], &words, "netlink outside core/src/kernel");
    let manifest = fs::read_to_string(root().join("cli/Cargo.toml")).unwrap();
    assert!(
        !manifest.contains("netlink") && !manifest.contains("nftnl"),
        "the command line depends on netlink"
    );
}

#[test]
fn no_table_belongs_to_a_process() {
    forbid(&["core/src"], &[], &["NFT_TABLE_F_OWNER"], "a table with an owner goes with its process");
}

#[test]
fn the_core_prints_nothing() {
    forbid(
        &["core/src", "plugins-sdk/src"],
        &[],
        &["println!(", "print!(", "dbg!("],
        "the core prints",
    );
}

#[test]
fn files_are_read_in_one_sitting() {
    let long: Vec<_> = sources(&[
        "core/src",
        "cli/src",
        "plugins-sdk/src",
        "plugins",
        "tests/src",
        "tc-bpf/src",
    ])
    .into_iter()
    .filter(|(_, text)| text.lines().count() > 450)
    .map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
    .collect();
    assert!(long.is_empty(), "one concept, or two?\n{}", long.join("\n"));
}
