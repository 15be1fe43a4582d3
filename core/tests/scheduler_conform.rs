//! The conformance suite: all schedulers that every director has pass it, and it finds what it is to find.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use wvs_core::scheduler::conform::{Finding, Promises, Verdict, check};
use wvs_core::scheduler::{BUILTIN, Limits, PluginHost};

/// Those whose shares follow the weights, rounded.
const PROPORTIONAL: [&str; 3] = ["sh", "wrr", "zone"];

fn examine(bytes: &[u8], given: &[(&str, &str)], promises: Promises) -> Vec<Finding> {
    let plugin = PluginHost::new(Limits::default())
        .unwrap()
        .load("p", bytes)
        .unwrap();
    let given: BTreeMap<String, String> = given
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    check(&plugin, &given, promises).unwrap()
}

fn verdicts(findings: &[Finding], verdict: Verdict) -> Vec<&str> {
    let those = findings.iter().filter(|finding| finding.verdict == verdict);
    those.map(|finding| finding.check).collect()
}

#[test]
fn every_scheduler_that_is_built_in_conforms() {
    for (name, bytes) in BUILTIN {
        let promises = Promises {
            proportional: PROPORTIONAL.contains(&name).then_some(1),
            ..Promises::default()
        };
        let findings = examine(bytes, &[], promises);
        assert_eq!(findings.len(), 14, "{name}");
        assert_eq!(verdicts(&findings, Verdict::Failed), Vec::<&str>::new(), "{name}: {findings:#?}");
        // Of slow machines nothing is said here.
        let mut notes = verdicts(&findings, Verdict::Note);
        notes.retain(|check| *check != "time");
        // Overflow limits: a backend of weight 1 takes two connections, and more are refused.
        let expected: &[&str] = if name == "ovf" { &["one backend"] } else { &[] };
        assert_eq!(notes, expected, "{name}: {findings:#?}");
    }
}

#[test]
fn faults_are_found_and_answered_with_what_to_do() {
    let fault = include_bytes!("plugins/fault.wat");
    for (kind, call, after, found) in [
        ("trap", "configure", "0", "starts"),
        ("trap", "update", "0", "parameters"),
        ("wrong-id", "fill", "9", "table length"),
        ("short", "fill", "12", "table length"),
        ("refuse", "update", "31", "weights and draining"),
        ("utf8", "fill", "40", "weights and draining"),
        ("memory", "fill", "20", "table length"),
        ("deep", "fill", "20", "table length"),
    ] {
        let findings =
            examine(fault, &[("fault", kind), ("call", call), ("after", after)], Promises::default());
        let failed: Vec<&Finding> = findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Failed)
            .collect();
        assert!(failed.iter().any(|finding| finding.check == found), "{kind}: {findings:#?}");
        assert!(failed.iter().all(|finding| finding.fix.is_some()), "{kind}: {findings:#?}");
    }
}

/// It answers as it should for as long as it lives.
#[test]
fn a_memory_that_only_grows_is_found() {
    let findings = examine(include_bytes!("plugins/leaky.wat"), &[], Promises::default());
    assert_eq!(verdicts(&findings, Verdict::Failed), ["memory"], "{findings:#?}");
    let found = findings.iter().find(|finding| finding.check == "memory").unwrap();
    assert!(found.detail.starts_with("its memory grew "), "{found:?}");
    assert!(found.fix.as_ref().unwrap().contains("resetting the arena"), "{found:?}");
    // The same, but it gives all back when it answers.
    let answers = "    (i32.store offset=516 (i32.const 0)";
    let mended = include_str!("plugins/leaky.wat")
        .replace(answers, &format!("    (global.set $heap (i32.const 65536))\n{answers}"));
    let findings = examine(mended.as_bytes(), &[], Promises::default());
    assert_eq!(verdicts(&findings, Verdict::Failed), Vec::<&str>::new(), "{findings:#?}");
}

/// The fixture with one text replaced.
fn altered(from: &str, to: &str) -> String {
    let text = include_str!("plugins/fault.wat");
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

#[test]
fn tables_by_chance_or_by_time_are_found() {
    let turn = "(local.get $slot) (global.get $usable)";
    let log = "(import \"wvs\" \"log\"";
    let with = |import: &str, number: &str| {
        let text = altered(turn, &format!("{number} (global.get $usable)"));
        text.replace(log, &format!("{import} {log}"))
    };
    let of = |text: &str, check: &str| {
        let findings = examine(text.as_bytes(), &[], Promises::default());
        findings
            .iter()
            .find(|finding| finding.check == check)
            .unwrap()
            .verdict
    };
    let random = with("(import \"wvs\" \"random\" (func $random (result i32)))", "(call $random)");
    assert_eq!(of(&random, "stability"), Verdict::Note);
    assert_eq!(of(&random, "repeatability"), Verdict::Passed);
    // With hash dispatch clients move each time.
    let cycle = "(i32.store8 offset=4 (i32.const 0) (global.get $dispatch))";
    assert!(random.contains(cycle));
    let hashed = random.replace(cycle, "(i32.store8 offset=4 (i32.const 0) (i32.const 1))");
    assert_eq!(of(&hashed, "stability"), Verdict::Failed);
    // By the order of the list: another director may have another.
    let listed = altered(cycle, "(i32.store8 offset=4 (i32.const 0) (i32.const 1))");
    assert_eq!(of(&listed, "stability"), Verdict::Note);

    let clock = "(import \"wvs\" \"now\" (func $now (result f64)))";
    let timed =
        with(clock, "(i32.add (local.get $slot) (i32.trunc_f64_u (f64.div (call $now) (f64.const 7))))");
    assert_eq!(of(&timed, "repeatability"), Verdict::Note);
    assert_eq!(of(&timed, "stability"), Verdict::Passed);
}

#[test]
fn a_promise_is_held_against_the_plugin() {
    let bytes = BUILTIN.iter().find(|(name, _)| *name == "fo").unwrap().1;
    let promises = Promises {
        proportional: Some(1),
        ..Promises::default()
    };
    let findings = examine(bytes, &[], promises);
    assert_eq!(verdicts(&findings, Verdict::Failed), ["fairness"], "{findings:#?}");
    assert_eq!(verdicts(&examine(bytes, &[], Promises::default()), Verdict::Failed), Vec::<&str>::new());
}

#[test]
fn parameters_are_checked_before_anything_else() {
    let plugin = PluginHost::new(Limits::default())
        .unwrap()
        .load("sh", wvs_core::scheduler::builtin("sh").unwrap());
    let given = BTreeMap::from([("prot".to_owned(), "true".to_owned())]);
    let errors = check(&plugin.unwrap(), &given, Promises::default()).unwrap_err();
    assert_eq!(errors[0].to_string(), "sh has no parameter prot; did you mean port?");
}
