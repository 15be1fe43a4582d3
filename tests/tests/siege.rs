//! A director whose schedulers fail again and again: it does not crash, and no connection suffers.
//!
//! A usual run has a dozen of each fault; `make faults` sets `WVS_FAULTS` to ten thousand.
#![allow(clippy::print_stderr)]

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use wvs_tests::{Arrivals, Config, LongLived, Service, Stage};

const FAULTS: [&str; 8] = [
    "trap", "memory", "deep", "wrong-id", "short", "huge", "outside", "utf8",
];
/// Each takes all of its 250 ms, so there are far fewer of them; `core/tests/scheduler_siege.rs` has ten thousand.
const SLOW: [&str; 2] = ["loop", "busy"];

fn wanted() -> Result<u64> {
    match std::env::var("WVS_FAULTS") {
        Ok(number) => number.parse().context("WVS_FAULTS is a number"),
        Err(_) => Ok(12),
    }
}

/// Services whose schedulers fail at each table, or are asked for each connection and fail at that.
struct Besieged {
    name: String,
    fault: &'static str,
    call: &'static str,
    port: u16,
}

impl Besieged {
    fn all(each: usize) -> Vec<Self> {
        let tables = FAULTS.iter().flat_map(|fault| vec![(*fault, "fill"); each]);
        let slow = SLOW.iter().map(|fault| (*fault, "fill"));
        let picks = FAULTS.iter().chain(&SLOW).map(|fault| (*fault, "pick"));
        (8000..)
            .zip(tables.chain(slow).chain(picks))
            .map(|(port, (fault, call))| Besieged {
                name: format!("{fault}-{call}-{port}"),
                fault,
                call,
                port,
            })
            .collect()
    }

    fn service(&self) -> Service {
        let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/plugins/fault.wat");
        let dispatch = if self.call == "pick" { "per-flow" } else { "cycle" };
        let params = [("fault", self.fault), ("call", self.call), ("dispatch", dispatch)];
        let listen = format!("tcp://10.0.0.100:{}", self.port);
        Service::new(&self.name, &[&listen])
            .weights(&[1, 1, 1])
            .scheduler_with(plugin, &params)
    }
}

/// How often the schedulers of each fault in tables have failed.
fn counted(stage: &Stage) -> Result<BTreeMap<String, u64>> {
    let status: serde_json::Value =
        serde_json::from_str(&stage.director.says(&["status", "-o", "json"])?.stdout)?;
    let mut counts = BTreeMap::new();
    for scheduler in status["schedulers"].as_array().context("schedulers")? {
        let name = scheduler["service"].as_str().context("a service")?;
        let (kind, _) = name.rsplit_once('-').context("a kind of fault")?;
        *counts.entry(kind.to_owned()).or_default() += scheduler["failures"].as_u64().context("failures")?;
    }
    Ok(counts)
}

#[test]
fn schedulers_that_fail_without_end_break_no_connection() -> Result<()> {
    let wanted = wanted()?;
    let all = Besieged::all(if wanted > 1000 { 50 } else { 2 });
    let stage = Stage::up(Config::of(all.iter().map(Besieged::service)))?;
    let mut kinds = BTreeMap::new();
    for one in &all {
        kinds.entry((one.fault, one.call)).or_insert(one);
    }
    let open = |one: &&Besieged| LongLived::open(&stage.client(), stage.lab.vip(one.port), 3);
    let flows: Vec<LongLived> = kinds.values().map(open).collect::<Result<_>>()?;
    let arrivals: Vec<Arrivals> = [("trap", "fill"), ("memory", "pick"), ("wrong-id", "pick")]
        .iter()
        .map(|kind| Arrivals::start(&stage.client(), stage.lab.vip(kinds[kind].port), 20))
        .collect();
    let enough = |counts: &BTreeMap<String, u64>| {
        FAULTS.iter().all(|fault| {
            counts
                .get(&format!("{fault}-fill"))
                .is_some_and(|count| *count >= wanted)
        })
    };
    let mut counts = counted(&stage)?;
    for round in 0.. {
        if enough(&counts) {
            break;
        }
        // Each reload tries all of them again, and each fails twice.
        assert!(round < 10 * wanted, "{counts:?}");
        stage.director.ok(&["reload"])?;
        counts = counted(&stage)?;
    }
    for some in &arrivals {
        some.next(10);
    }
    eprintln!("faults: {counts:?}");
    for flows in flows {
        flows.settle();
        let report = flows.finish();
        assert_eq!(report.broken(), 0, "{report:?}");
    }
    for some in arrivals {
        let seen = some.finish();
        assert_eq!(seen.failed(), 0, "{seen}");
    }
    assert!(counted(&stage)?["memory-pick"] > 0, "the director still runs");
    Ok(())
}
