//! Each fault thousands of times: the process survives, there is always an answer, and memory comes back.
//!
//! A usual run has a few hundred of each; `make faults` sets `WVS_FAULTS` to ten thousand.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wvs_core::scheduler::conform::sample_flow;
use wvs_core::scheduler::stage::backend;
use wvs_core::scheduler::{BackendId, Candidate, Dispatch, Limits, Plugin, PluginHost, Supervised};

fn wanted() -> u64 {
    std::env::var("WVS_FAULTS").map_or(300, |number| number.parse().unwrap())
}

/// Short times, so that ten thousand loops end within minutes.
fn host() -> PluginHost {
    let brief = Duration::from_millis(3);
    let limits = Limits {
        call: brief,
        observe: brief,
        pick: Duration::from_millis(1),
        ..Limits::default()
    };
    PluginHost::new(limits).unwrap()
}

/// The fixture that misbehaves as it is told. Describing itself is done within any limit on a machine that is not
/// busy; on others it may take a few tries.
fn fixture(host: &PluginHost) -> Plugin {
    let load = || host.load("fault", include_bytes!("plugins/fault.wat"));
    (0..100).find_map(|_| load().ok()).unwrap()
}

fn candidates() -> Vec<Candidate> {
    [3, 5, 8].map(|id| backend(id, 1)).to_vec()
}

/// What came of many faults.
#[derive(Default)]
struct Toll {
    /// Failures that the supervision has counted.
    faults: u64,
    answers: u64,
    took: Vec<Duration>,
}

impl Toll {
    /// Lets a fault happen in a call until there were as many as wanted, each time in the service of another.
    fn take(fault: &str, calls: &[&str], kinds: &[&str]) {
        let (host, backends) = (host(), candidates());
        let plugin = fixture(&host);
        let begun = (Instant::now(), resident());
        let mut toll = Toll::default();
        for round in 0.. {
            if toll.faults >= wanted() {
                break;
            }
            let call = calls[round % calls.len()];
            let mut service = service(&plugin, fault, call, round % 3);
            toll.serve(&mut service, &backends, call == "pick");
            let said = service.status().last_error.unwrap_or_default();
            assert!(kinds.iter().any(|kind| said.contains(kind)), "{fault} in {call}: {said}");
        }
        toll.tell(fault, begun);
    }

    /// Asks until the service has failed, and looks at each answer.
    fn serve(&mut self, service: &mut Supervised, backends: &[Candidate], picks: bool) {
        let now = Instant::now();
        let known = |id: &Option<BackendId>| id.is_some_and(|id| backends.iter().any(|it| it.id == id));
        while service.status().failures() == 0 {
            let begun = Instant::now();
            let outcome = service.table(backends, &[], 16, now);
            assert!(
                outcome.table().slots.len() == 16 && outcome.table().slots.iter().all(known),
                "{outcome:?}"
            );
            self.answers += 1;
            if picks {
                assert_eq!(outcome.table().dispatch, Dispatch::Flow);
                assert!(known(&service.pick(&sample_flow(7), now).backend));
                self.answers += 1;
            }
            self.took.push(begun.elapsed());
        }
        self.faults += service.status().failures();
    }

    fn tell(mut self, fault: &str, (begun, memory): (Instant, u64)) {
        self.took.sort_unstable();
        let (middle, longest) = (self.took[self.took.len() / 2], self.took[self.took.len() - 1]);
        let grown = resident().saturating_sub(memory);
        eprintln!(
            "{fault}: {} faults, 0 crashes, {} of {} answers sound, median {:.2} ms, longest {:.1} ms, {} MiB more \
             memory, {:.1} s",
            self.faults,
            self.answers,
            self.answers,
            middle.as_secs_f64() * 1e3,
            longest.as_secs_f64() * 1e3,
            grown >> 20,
            begun.elapsed().as_secs_f64()
        );
        // An instance has at least 128 KiB, so ten thousand that stayed would be far more.
        assert!(grown < 64 << 20, "{fault}: {grown} bytes more memory after {} faults", self.faults);
    }
}

fn service(plugin: &Plugin, fault: &str, call: &str, after: usize) -> Supervised {
    let dispatch = if call == "pick" { "per-flow" } else { "cycle" };
    // An instance is configured once, and told of the same backends once.
    let after = if matches!(call, "configure" | "update") {
        0
    } else {
        after
    };
    let given = [
        ("fault", fault),
        ("call", call),
        ("dispatch", dispatch),
        ("after", &after.to_string()),
    ];
    let given: BTreeMap<_, _> = given
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    Supervised::new(plugin.clone(), plugin.check_params(&given).unwrap(), 1)
}

/// The resident memory of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn panics() {
    Toll::take("trap", &["fill", "update", "configure", "pick"], &["trapped"]);
}

#[test]
fn infinite_loops() {
    Toll::take("loop", &["fill", "update", "configure", "pick"], &["was stopped after its"]);
}

#[test]
fn slow_calls() {
    Toll::take("busy", &["fill", "update", "configure", "pick"], &["was stopped after its"]);
}

#[test]
fn memory_bombs() {
    Toll::take("memory", &["fill", "update", "configure", "pick"], &["memory limit"]);
}

#[test]
fn stack_overflows() {
    Toll::take("deep", &["fill", "update", "configure", "pick"], &["the stack of"]);
}

#[test]
fn wrong_ids() {
    Toll::take("wrong-id", &["fill", "pick"], &["which was not in the last update"]);
}

#[test]
fn tables_of_the_wrong_length() {
    Toll::take("short", &["fill"], &["slots were asked for"]);
}

#[test]
fn huge_lists() {
    Toll::take("huge", &["fill"], &["its answer takes more than"]);
}

#[test]
fn answers_from_outside_of_memory() {
    Toll::take("outside", &["fill", "pick"], &["broke the contract"]);
}

#[test]
fn invalid_utf8() {
    Toll::take("utf8", &["fill", "update"], &["utf-8"]);
}

/// It does not get as far as a service.
#[test]
fn wrong_contract_versions() {
    let (host, begun) = (host(), (Instant::now(), resident()));
    let mut toll = Toll::default();
    while toll.faults < wanted() {
        let loading = Instant::now();
        let error = host
            .load("p", include_bytes!("plugins/next-version.wat"))
            .unwrap_err();
        assert!(error.to_string().contains("built against wvs:scheduler 0.2.0"), "{error}");
        toll.took.push(loading.elapsed());
        toll.faults += 1;
        toll.answers += 1;
    }
    toll.tell("wrong version", begun);
}
