//! A plugin that is asked for each new connection: what it answers, how it fails, and who answers then.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wvs_core::dispatch::smooth_round_robin;
use wvs_core::scheduler::bench::bench;
use wvs_core::scheduler::conform::{Promises, Verdict, check, sample_flow};
use wvs_core::scheduler::stage::backend;
use wvs_core::scheduler::{
    BackendId, CallError, Candidate, Dispatch, Instance, Limits, Pick, Plugin, PluginHost, Source, State,
    Supervised, TableOutcome,
};

fn candidates(ids: &[u16]) -> Vec<Candidate> {
    ids.iter().map(|&id| backend(id, 1)).collect()
}

fn plugin() -> Plugin {
    PluginHost::new(Limits::default())
        .unwrap()
        .load("fault", include_bytes!("plugins/fault.wat"))
        .unwrap()
}

/// The fixture's parameters: asked for each connection, and what else is given.
fn params(plugin: &Plugin, given: &[(&str, &str)]) -> Vec<(String, String)> {
    let asked = [("dispatch", "per-flow")];
    let given = asked.iter().chain(given);
    let given: BTreeMap<_, _> = given.map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    plugin.check_params(&given).unwrap()
}

/// Lets two picks go well, and returns what the third one says.
fn third_pick(fault: &str) -> (Instance, CallError) {
    let plugin = plugin();
    let given = params(&plugin, &[("fault", fault), ("call", "pick"), ("after", "2")]);
    let mut instance = plugin.start(&given, 1).unwrap();
    assert_eq!(instance.dispatch(), Dispatch::Flow);
    instance.update(&candidates(&[3, 5])).unwrap();
    for id in [3, 5] {
        assert_eq!(instance.pick(&sample_flow(0)).unwrap(), Some(BackendId(id)));
    }
    let error = instance.pick(&sample_flow(0)).unwrap_err();
    (instance, error)
}

#[test]
fn every_fault_of_a_pick_has_its_message() {
    for (fault, expected) in [
        (
            "trap",
            "pick trapped: it gave up (`unreachable`, as after a panic); its last words: as it was told",
        ),
        ("loop", "pick was stopped after its 2 ms"),
        ("busy", "pick was stopped after its 2 ms"),
        ("memory", "pick failed: memory limit 67108864 B reached, the plugin asked for 67239936 B"),
        ("deep", "pick trapped: the stack of 1048576 B is exhausted"),
        (
            "wrong-id",
            "pick broke the contract: it chose backend 4711, which was not in the last update",
        ),
    ] {
        let (mut instance, error) = third_pick(fault);
        assert_eq!(error.to_string(), format!("plugin fault: {expected}"));
        let error = instance.pick(&sample_flow(0)).unwrap_err();
        assert!(matches!(error, CallError::Failed { call: "pick", .. }), "{error}");
    }
    for fault in ["short", "outside"] {
        let (_, error) = third_pick(fault);
        assert!(matches!(error, CallError::Contract { call: "pick", .. }), "{fault}: {error}");
    }
}

#[test]
fn a_pick_of_somebody_who_takes_no_connections_is_a_breach_of_contract() {
    let mut backends = candidates(&[3, 5]);
    backends[1].draining = true;
    let text = include_str!("plugins/fault.wat");
    let blind = text.replace("(i32.eqz (i32.load8_u offset=26 (local.get $backends)))", "(i32.const 1)");
    assert_ne!(text, blind);
    let plugin = PluginHost::new(Limits::default())
        .unwrap()
        .load("blind", blind.as_bytes())
        .unwrap();
    let mut instance = plugin.start(&params(&plugin, &[]), 1).unwrap();
    instance.update(&backends).unwrap();
    assert_eq!(instance.pick(&sample_flow(0)).unwrap(), Some(BackendId(3)));
    assert_eq!(
        instance.pick(&sample_flow(0)).unwrap_err().to_string(),
        "plugin blind: pick broke the contract: it chose backend 5, which takes no new connections (weight 0, \
         draining, full or down)"
    );
}

/// One that makes tables is not asked for a pick, nor the other way round; if it is, it lives on.
#[test]
fn a_call_that_does_not_fit_harms_nobody() {
    let host = PluginHost::new(Limits::default()).unwrap();
    let rr = host
        .load("rr", wvs_core::scheduler::builtin("rr").unwrap())
        .unwrap();
    let mut rr = rr.start(&[], 1).unwrap();
    rr.update(&candidates(&[3])).unwrap();
    let error = rr.pick(&sample_flow(0)).unwrap_err().to_string();
    assert_eq!(error, "plugin rr: pick broke the contract: it has no such function");
    assert_eq!(rr.fill(1).unwrap(), [Some(BackendId(3))]);
}

fn supervised(given: &[(&str, &str)]) -> Supervised {
    let plugin = plugin();
    let params = params(&plugin, given);
    Supervised::new(plugin, params, 1)
}

fn pick(service: &mut Supervised, now: Instant) -> (u16, Source) {
    let Pick { backend, source } = service.pick(&sample_flow(0), now);
    (backend.map_or(0, |id| id.0), source)
}

#[test]
fn its_table_is_the_directors_own_round_robin() {
    let mut service = supervised(&[]);
    let (backends, now) = (candidates(&[3, 5, 6]), Instant::now());
    let TableOutcome::Fresh(table) = service.table(&backends, &[], 7, now) else {
        panic!("{service:?}")
    };
    assert_eq!((table.dispatch, table.slots), (Dispatch::Flow, smooth_round_robin(&backends, 7)));
    for id in [3, 5, 6, 3] {
        assert_eq!(pick(&mut service, now), (id, Source::Plugin));
    }
    let status = service.status();
    assert_eq!((status.calls, status.picks, status.stand_ins), (1, 4, 0));
    // Before it knows of anybody, and when there is nobody.
    assert_eq!(pick(&mut supervised(&[]), now), (0, Source::Plugin));
    let begun = plugin();
    let mut instance = begun.start(&params(&begun, &[]), 1).unwrap();
    assert_eq!(instance.pick(&sample_flow(0)).unwrap(), None);
    service.table(&[], &[], 7, now);
    assert_eq!(pick(&mut service, now), (0, Source::Plugin));
}

#[test]
fn a_pick_that_fails_once_is_made_good_at_once_by_another_instance() {
    for fault in ["trap", "loop", "memory", "deep", "wrong-id", "short"] {
        let mut service = supervised(&[("fault", fault), ("call", "pick"), ("after", "2")]);
        let now = Instant::now();
        service.table(&candidates(&[3, 5]), &[], 4, now);
        // The other one has been told of the backends, and begins again.
        for id in [3, 5, 3, 5] {
            assert_eq!(pick(&mut service, now), (id, Source::Plugin), "{fault}");
        }
        let status = service.status();
        assert_eq!((status.state, status.failures(), status.picks), (State::Running, 1, 4), "{fault}");
    }
}

#[test]
fn a_plugin_whose_picks_all_fail_is_quarantined_and_the_round_robin_chooses() {
    let mut service = supervised(&[("fault", "trap"), ("call", "pick")]);
    let start = Instant::now();
    service.table(&candidates(&[3, 5]), &[], 4, start);
    let mut chosen = Vec::new();
    for (seconds, failures) in [
        (0, 2),
        (1, 2),
        (2, 3),
        (5, 3),
        (6, 4),
        (13, 4),
        (14, 5),
        (9999, 5),
    ] {
        chosen.push(pick(&mut service, start + Duration::from_secs(seconds)));
        assert_eq!(service.status().failures(), failures, "after {seconds} s");
    }
    assert_eq!(service.status().state, State::Quarantined);
    assert_eq!(chosen, [3, 5, 3, 5, 3, 5, 3, 5].map(|id| (id, Source::Fallback)));
    assert_eq!((service.status().picks, service.status().stand_ins), (0, 8));
    // Who chooses instead follows the backends.
    let table = service.table(&candidates(&[5]), &[], 4, start);
    assert!(
        matches!(&table, TableOutcome::Fallback(table) if table.dispatch == Dispatch::Flow),
        "{table:?}"
    );
    assert_eq!(pick(&mut service, start), (5, Source::Fallback));
    service.table(&[], &[], 4, start);
    assert_eq!(pick(&mut service, start), (0, Source::Fallback));
    service.reset();
    service.table(&candidates(&[5]), &[], 4, start);
    assert_eq!(service.status().state, State::Running);
}

/// A service may lead to it, and it may be asked before it is back: nothing waits for a plugin that is backing off.
#[test]
fn a_plugin_that_fails_at_its_start_is_stood_in_for() {
    let mut service = supervised(&[("fault", "trap"), ("call", "update")]);
    let start = Instant::now();
    let table = service.table(&candidates(&[3, 5]), &[], 4, start);
    assert!(matches!(&table, TableOutcome::Fallback(table) if table.slots.len() == 4), "{table:?}");
    for id in [3, 5, 3] {
        assert_eq!(pick(&mut service, start), (id, Source::Fallback));
    }
    assert_eq!(service.status().failures(), 2);
}

#[test]
fn a_refused_update_is_not_repeated_for_each_connection() {
    let mut service = supervised(&[("fault", "refuse"), ("call", "update"), ("after", "1")]);
    let now = Instant::now();
    service.table(&candidates(&[3, 5]), &[], 4, now);
    assert_eq!(pick(&mut service, now), (3, Source::Plugin));
    service.table(&candidates(&[7]), &[], 4, now);
    for _ in 0..3 {
        assert_eq!(pick(&mut service, now), (7, Source::Fallback));
    }
    let status = service.status();
    assert_eq!((status.state, status.failures(), status.calls), (State::Running, 0, 2));
    assert_eq!(status.last_error.as_deref(), Some("plugin fault: update refused: as it was told"));
}

#[test]
fn one_that_decides_for_each_connection_is_examined_and_measured() {
    let plugin = plugin();
    let given = BTreeMap::from([("dispatch".to_owned(), "per-flow".to_owned())]);
    let findings = check(&plugin, &given, Promises::default()).unwrap();
    let failed: Vec<_> = findings
        .iter()
        .filter(|it| it.verdict == Verdict::Failed)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(findings[0].detail.starts_with("it decides for each connection"), "{findings:#?}");

    let prices = bench(&plugin, &params(&plugin, &[]), 256).unwrap();
    assert!(
        prices
            .iter()
            .all(|price| price.fill.is_none() && price.slots == 0),
        "{prices:?}"
    );
    assert!(prices.iter().all(|price| price.pick.unwrap().best_ns > 0), "{prices:?}");
}

#[test]
fn faults_of_picks_are_found() {
    for (fault, after, found) in [
        ("trap", "0", "parameters"),
        ("wrong-id", "1000000", "picks"),
        ("loop", "20000", "weights and draining"),
    ] {
        let plugin = plugin();
        let given = [
            ("dispatch", "per-flow"),
            ("call", "pick"),
            ("fault", fault),
            ("after", after),
        ];
        let given = given
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let findings = check(&plugin, &given, Promises::default()).unwrap();
        let failed = |check| {
            findings
                .iter()
                .any(|it| it.check == check && it.verdict == Verdict::Failed)
        };
        assert!(failed(found), "{fault}: {findings:#?}");
    }
}
