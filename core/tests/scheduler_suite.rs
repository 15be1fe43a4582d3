//! The suite of random sequences: what is built in passes it, and each fault is found where it is and shown.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use wvs_core::scheduler::conform::{Held, Promises, Report, Trial, Verdict, test};
use wvs_core::scheduler::{BUILTIN, Limits, PluginHost, builtin};

fn examine(bytes: &[u8], given: &[(&str, &str)], promises: Promises) -> Report {
    let plugin = PluginHost::new(Limits::default())
        .unwrap()
        .load("p", bytes)
        .unwrap();
    let given: BTreeMap<String, String> = given
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let trial = Trial {
        sequences: 60,
        seed: 1,
        promises,
    };
    test(&plugin, &given, trial).unwrap()
}

fn held<'a>(report: &'a Report, invariant: &str) -> &'a Held {
    let found = report.invariants.iter().find(|held| held.invariant == invariant);
    found.unwrap_or_else(|| panic!("{invariant}: {report:#?}"))
}

fn verdicts(report: &Report, verdict: Verdict) -> Vec<&str> {
    let those = report.invariants.iter().filter(|held| held.verdict == verdict);
    those.map(|held| held.invariant).collect()
}

/// What is right for these, and would not be for others.
fn expected_notes(name: &str) -> &'static [&'static str] {
    match name {
        "ovf" => &["nobody turned away", "no starvation"],
        // They go by what there is to do, or send all to the heaviest, or keep who asks for the same.
        "fo" | "lc" | "wlc" | "sed" | "nq" | "lblc" | "lblcr" | "slow-wlc" | "peak-ewma" => {
            &["no starvation"]
        }
        // A director that has just begun does not know what weight another one had before it was 0.
        "mh" => &["the same on every director"],
        _ => &[],
    }
}

#[test]
fn every_scheduler_that_is_built_in_holds_all() {
    for (name, bytes) in BUILTIN {
        // With sh this is so as long as nobody is away, which is looked at elsewhere: the others' clients stay then.
        let proportional = ["wrr", "zone"].contains(&name).then_some(1);
        let promises = Promises {
            proportional,
            ..Promises::default()
        };
        let report = examine(bytes, &[], promises);
        assert!(report.events > 1000);
        assert_eq!(verdicts(&report, Verdict::Failed), Vec::<&str>::new(), "{name}: {report:#?}");
        let mut notes = verdicts(&report, Verdict::Note);
        // Of slow machines nothing is said here.
        notes.retain(|invariant| *invariant != "in time");
        let allowed = expected_notes(name);
        assert!(notes.iter().all(|note| allowed.contains(note)), "{name}: {notes:?}");
    }
}

#[test]
fn what_their_parameters_change_holds_as_well() {
    for (name, given, allowed) in [
        ("slow-rr", &[("least", "50")][..], &[][..]),
        ("sh", &[("fallback", "false")], &["nobody turned away", "no starvation"]),
        ("dh", &[("fallback", "false")], &["nobody turned away", "no starvation"]),
        (
            "mh",
            &[("fallback", "false")],
            &[
                "nobody turned away",
                "no starvation",
                "the same on every director",
            ],
        ),
        ("zone", &[("local", "10.1.0.0/29; 10.1.0.8/29"), ("minimum", "50")], &["no starvation"]),
        ("zone", &[("subset", "3"), ("director", "65535")], &["no starvation"]),
    ] {
        let report = examine(builtin(name).unwrap(), given, Promises::default());
        assert_eq!(verdicts(&report, Verdict::Failed), Vec::<&str>::new(), "{name}: {report:#?}");
        let mut notes = verdicts(&report, Verdict::Note);
        notes.retain(|invariant| *invariant != "in time" && !allowed.contains(invariant));
        assert_eq!(notes, Vec::<&str>::new(), "{name}: {report:#?}");
    }
}

#[test]
fn the_same_seed_tells_the_same() {
    let mut reports = [1, 2].map(|_| examine(BUILTIN[1].1, &[], Promises::default()));
    for report in &mut reports {
        report.invariants.retain(|held| held.invariant != "in time");
    }
    assert_eq!(reports[0], reports[1]);
}

const TURN: &str = "(i32.rem_u (local.get $slot) (global.get $usable))";
const CYCLE: &str = "(i32.store8 offset=4 (i32.const 0) (global.get $dispatch))";
const BY_HASH: &str = "(i32.store8 offset=4 (i32.const 0) (i32.const 1))";

/// The fixture with some of its text replaced.
fn altered(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut text = include_str!("plugins/fault.wat").to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    text.into_bytes()
}

/// How a fault shows: which invariant it breaks, and by which events.
fn shows(bytes: &[u8], given: &[(&str, &str)], invariant: &str, events: &[&str]) {
    let report = examine(bytes, given, Promises::default());
    let found = held(&report, invariant);
    assert_eq!(found.verdict, Verdict::Failed, "{report:#?}");
    assert!(found.fix.is_some());
    assert_eq!(found.reproduction.as_ref().unwrap().events, events, "{found:#?}");
}

#[test]
fn who_looks_at_no_weight_or_no_state_is_shown_the_shortest_way() {
    let blind_to_weight =
        altered(&[("(i32.ne (i32.load offset=4 (local.get $backends)) (i32.const 0))", "(i32.const 1)")]);
    shows(&blind_to_weight, &[], "nobody to choose", &["add b1 1", "weight b1 0"]);
    let report = examine(&blind_to_weight, &[], Promises::default());
    let found = held(&report, "usable backends only");
    assert_eq!(found.verdict, Verdict::Failed);
    let events = &found.reproduction.as_ref().unwrap().events;
    assert_eq!(events, &["add b1 1", "add b2 1", "weight b1 0"]);
    assert!(found.detail.contains("which takes no new connections"), "{found:#?}");

    let blind_to_state =
        altered(&[("(i32.eqz (i32.load8_u offset=26 (local.get $backends)))", "(i32.const 1)")]);
    let report = examine(&blind_to_state, &[], Promises::default());
    assert_eq!(
        verdicts(&report, Verdict::Failed),
        ["usable backends only", "nobody to choose"],
        "{report:#?}"
    );
    let events = &held(&report, "nobody to choose")
        .reproduction
        .as_ref()
        .unwrap()
        .events;
    assert_eq!((events.len(), events[0].as_str()), (2, "add b1 1"), "{events:?}");
}

#[test]
fn who_forgets_nobody_is_found() {
    let update = "(func (export \"update\") (param $backends i32) (param $count i32) (result i32)";
    let forget = format!("{update}\n    (global.set $usable (i32.const 0))");
    let remembers = altered(&[(&forget, update)]);
    shows(&remembers, &[], "nobody to choose", &["add b1 1", "full b1"]);
    let report = examine(&remembers, &[], Promises::default());
    assert_eq!(held(&report, "known backends only").verdict, Verdict::Failed);
}

#[test]
fn calls_that_fail_are_found_wherever_they_do() {
    let fault = altered(&[]);
    for (kind, call, invariant) in [
        ("trap", "configure", "answers"),
        ("trap", "update", "answers"),
        ("refuse", "fill", "answers"),
        ("memory", "fill", "answers"),
        ("short", "fill", "table length"),
        ("loop", "update", "in time"),
    ] {
        let report = examine(&fault, &[("fault", kind), ("call", call)], Promises::default());
        assert_eq!(verdicts(&report, Verdict::Failed), [invariant], "{kind} in {call}: {report:#?}");
    }
    // One that is asked for each connection.
    let given = [
        ("dispatch", "per-flow"),
        ("fault", "wrong-id"),
        ("call", "pick"),
        ("after", "20"),
    ];
    let report = examine(&fault, &given, Promises::default());
    assert_eq!(held(&report, "known backends only").verdict, Verdict::Failed, "{report:#?}");
}

/// No event shows it, but time does.
#[test]
fn a_memory_that_only_grows_is_found() {
    let report = examine(include_bytes!("plugins/leaky.wat"), &[], Promises::default());
    assert_eq!(verdicts(&report, Verdict::Failed), ["memory stays"], "{report:#?}");
    assert!(
        held(&report, "memory stays")
            .detail
            .starts_with("its memory grew "),
        "{report:#?}"
    );
}

#[test]
fn tables_that_change_by_themselves_are_a_fault_where_clients_would_move() {
    let random = [
        (TURN, "(i32.rem_u (call $random) (global.get $usable))"),
        (
            "(import \"wvs\" \"log\"",
            "(import \"wvs\" \"random\" (func $random (result i32))) (import \"wvs\" \"log\"",
        ),
    ];
    let report = examine(&altered(&random), &[], Promises::default());
    assert_eq!(held(&report, "stable under no change").verdict, Verdict::Note, "{report:#?}");
    assert_eq!(held(&report, "repeatable").verdict, Verdict::Passed, "{report:#?}");
    let hashed = altered(&[random[0], random[1], (CYCLE, BY_HASH)]);
    shows(&hashed, &[], "stable under no change", &["add b1 1", "add b2 1"]);
}

#[test]
fn by_the_order_of_the_list_clients_move_and_that_is_told() {
    let report = examine(&altered(&[(CYCLE, BY_HASH)]), &[], Promises::default());
    assert_eq!(verdicts(&report, Verdict::Failed), Vec::<&str>::new(), "{report:#?}");
    let notes = verdicts(&report, Verdict::Note);
    assert_eq!(notes, ["the same on every director", "small remap"], "{report:#?}");
}

#[test]
fn who_starves_others_is_a_fault_where_that_is_promised() {
    let first = altered(&[(TURN, "(i32.const 0)")]);
    let report = examine(&first, &[], Promises::default());
    assert_eq!(verdicts(&report, Verdict::Note), ["no starvation"], "{report:#?}");
    let promises = Promises {
        proportional: Some(1),
        everybody: true,
    };
    let report = examine(&first, &[], promises);
    assert_eq!(verdicts(&report, Verdict::Failed), ["no starvation", "fairness"], "{report:#?}");
    let events = &held(&report, "fairness").reproduction.as_ref().unwrap().events;
    assert_eq!(events, &["add b1 1", "add b2 1"]);
    assert!(held(&report, "fairness").detail.contains("gets"), "{report:#?}");
}

#[test]
fn parameters_are_checked_before_anything_else() {
    let host = PluginHost::new(Limits::default()).unwrap();
    let plugin = host
        .load("sh", wvs_core::scheduler::builtin("sh").unwrap())
        .unwrap();
    let given = BTreeMap::from([("prot".to_owned(), "true".to_owned())]);
    let trial = Trial {
        sequences: 1,
        seed: 1,
        promises: Promises::default(),
    };
    assert_eq!(test(&plugin, &given, trial).unwrap_err().len(), 1);
}
