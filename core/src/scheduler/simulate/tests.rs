//! What must be true of any simulation.

use std::time::Duration;

use proptest::prelude::*;

use super::dispatcher::Manner;
use super::*;
use crate::scheduler::{BackendId, Limits, PluginHost, builtin};

fn plugin(name: &str) -> Plugin {
    let host = PluginHost::new(Limits::default()).unwrap();
    host.load(name, builtin(name).unwrap()).unwrap()
}

fn params(plugin: &Plugin) -> Vec<(String, String)> {
    plugin.check_params(&Default::default()).unwrap()
}

fn scenario(weights: &[u32], churn: &str) -> Scenario {
    Scenario {
        weights: weights.to_vec(),
        churn: churn.parse().unwrap(),
        slots: 256,
        refresh: Refresh::Director,
        linger: Duration::from_secs(5),
        seed: 1,
        exact: false,
    }
}

fn workload(rate: &str, seconds: u64, length: &str, clients: &str, seed: u64) -> Workload {
    let synthetic = Synthetic {
        rate: rate.parse().unwrap(),
        duration: Duration::from_secs(seconds),
        length: length.parse().unwrap(),
        clients: clients.parse().unwrap(),
        destinations: "zipf:50".parse().unwrap(),
        seed,
    };
    synthetic.workload().unwrap()
}

fn simulated(name: &str, workload: &Workload, scenario: &Scenario) -> Simulation {
    let plugin = plugin(name);
    simulate(&plugin, &params(&plugin), workload, scenario).unwrap()
}

/// Things that can happen to four backends, whatever happened before.
fn churn() -> impl Strategy<Value = String> {
    let event = (0_u32..20_000, 1..=4_u16, 0..8_u32);
    prop::collection::vec(event, 0..12).prop_map(|mut events| {
        events.sort();
        let mut there = [true; 5];
        let mut text = String::new();
        for (at, backend, kind) in events {
            let present = &mut there[usize::from(backend)];
            let what = match kind {
                _ if !*present => format!("add b{backend}"),
                0 | 1 => format!("remove b{backend}"),
                2 => format!("weight b{backend} {}", at % 5),
                3 => format!("drain b{backend}"),
                4 => format!("undrain b{backend}"),
                5 => format!("down b{backend}"),
                6 => format!("up b{backend}"),
                _ => format!("full b{backend}"),
            };
            *present = !what.starts_with("remove");
            text += &format!("at {at}ms {what};");
        }
        text
    })
}

proptest! {
    // Each case compiles a plugin.
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn connections_are_conserved_and_go_to_those_who_take_them(
        name in prop::sample::select(vec!["rr", "wrr", "wlc", "ovf", "sh", "mh", "lblc", "twos", "slow-wlc", "zone"]),
        churn in churn(),
        length in prop::sample::select(vec!["exp:2s", "fixed:0s", "pareto:1s"]),
        seed: u64,
        exact: bool,
    ) {
        let plugin = plugin(name);
        let workload = workload("60/s", 20, length, "zipf:100", seed);
        let scenario = scenario(&[3, 1, 2, 1], &churn);
        let manner = if exact { Manner::Exact } else { Manner::Director };
        let instance = plugin.start(&params(&plugin), 1).unwrap();
        let ran = run::run(&scenario, &workload, &[], instance, manner).unwrap();

        let open = u64::from(ran.books.open);
        prop_assert_eq!(ran.arrived, workload.len() as u64);
        prop_assert_eq!(ran.arrived, open + ran.closed + ran.refused);
        let of = |number: &dyn Fn(&measure::Ledger) -> u64| ran.books.each.iter().map(number).sum::<u64>();
        prop_assert_eq!(of(&|ledger| ledger.got), open + ran.closed);
        prop_assert_eq!(of(&|ledger| ledger.active.into()), open);

        // Led through the same changes by hand: nobody is sent to one that is not there or takes nobody.
        let mut stage = Stage::new(&scenario.weights);
        let mut steps = scenario.churn.steps.iter().peekable();
        for (arrival, choice) in workload.arrivals.iter().zip(&ran.choices) {
            while let Some(step) = steps.next_if(|step| step.at <= arrival.at) {
                step.apply(&mut stage).unwrap();
            }
            if let Some(place) = choice {
                prop_assert!(stage.effective_weight(BackendId(place + 1)) > 0, "{name}: b{}", place + 1);
            }
        }
    }
}

#[test]
fn the_same_again_is_the_same() {
    let workload = workload("200/s", 10, "exp:1s", "100", 1);
    let scenario = scenario(&[1; 5], "at 4s remove b3; at 6s add b3");
    for name in ["twos", "wlc", "lblcr"] {
        assert_eq!(simulated(name, &workload, &scenario), simulated(name, &workload, &scenario));
    }
}

#[test]
fn a_cycle_goes_on_where_it_was_and_shares_are_exact() {
    let workload = workload("100/s", 20, "fixed:1s", "1", 1);
    let result = simulated("wrr", &workload, &scenario(&[3, 1], ""));
    for tally in &result.backends {
        assert!((tally.got as f64 - tally.due).abs() <= 1.0, "{tally:?}");
    }
    assert!(result.off.unwrap().worst < 0.02, "{:?}", result.off);
}

/// What plugins/README.md says of the others' clients when one of 3 to 20 backends goes: on average, and at worst.
#[test]
fn few_of_the_others_move_when_a_backend_goes() {
    let nobody = workload("1/s", 2, "exp:1s", "1", 1);
    let none = (0.0, 0.0);
    for (name, leaves, weightless) in [
        ("sh", (0.051, 0.091), (0.051, 0.091)),
        ("dh", (0.051, 0.091), none),
        ("mh", (0.085, 0.11), none),
        ("rendezvous", none, none),
    ] {
        let plugin = plugin(name);
        let params = params(&plugin);
        for count in [3, 10, 20] {
            for (what, (average, most)) in [
                ("down", none),
                ("drain", none),
                ("full", none),
                ("remove", leaves),
                ("weight", weightless),
            ] {
                let mut shares = Vec::new();
                for backend in 1..=count {
                    let to = if what == "weight" { " 0" } else { "" };
                    let scenario = scenario(&vec![1; count], &format!("at 1s {what} b{backend}{to}"));
                    let result = simulate(&plugin, &params, &nobody, &scenario).unwrap();
                    let slots = result.steps[0].slots.unwrap();
                    assert_eq!(slots.stayed + slots.had_to + slots.remapped, 256);
                    shares.push(slots.share().unwrap());
                }
                let mean = shares.iter().sum::<f64>() / shares.len() as f64;
                let worst = shares.iter().copied().fold(0.0, f64::max);
                assert!(mean <= average && worst <= most, "{name}: {what} one of {count}: {shares:?}");
            }
        }
    }
}

#[test]
fn clients_who_come_back_tell_the_same() {
    let workload = workload("1000/s", 30, "exp:1s", "2000", 3);
    for (name, key) in [("rendezvous", "client"), ("mh", "client"), ("dh", "destination")] {
        let churn = "at 10s down b3; at 15s up b3; at 20s weight b5 0";
        let result = simulated(name, &workload, &scenario(&[1; 10], churn));
        for step in &result.steps {
            let slots = step.slots.unwrap();
            assert_eq!(
                (step.clients.is_some(), step.destinations.is_some()),
                (key == "client", key != "client")
            );
            let who = step.clients.or(step.destinations).unwrap();
            assert!(who.stayed > 30, "{name}: {who:?}");
            let (of_slots, of_clients) = (slots.share().unwrap(), who.share().unwrap());
            assert!((of_slots - of_clients).abs() < 0.06, "{name}: {of_slots} {of_clients}");
            assert!(of_slots > 0.0 || who.remapped == 0, "{name}: {who:?}");
        }
    }
}

/// One that goes by the address asked for keeps no clients, and loses none.
#[test]
fn only_who_is_kept_can_be_remapped() {
    let churn = "at 10s remove b3";
    for (name, clients, destinations) in [("lblc", false, true), ("wlc", false, false), ("mh", true, false)] {
        let workload = workload("200/s", 20, "exp:100ms", "500", 3);
        let result = simulated(name, &workload, &scenario(&[1; 5], churn));
        let step = &result.steps[0];
        let seen = (step.clients.is_some(), step.destinations.is_some());
        assert_eq!(seen, (clients, destinations), "{name}: {step:?}");
    }
}

#[test]
fn what_nobody_would_see_is_refused() {
    let plugin = plugin("rr");
    let refused = |workload: Workload, churn: &str| {
        let refused = simulate(&plugin, &params(&plugin), &workload, &scenario(&[1, 1], churn));
        refused.unwrap_err().to_string()
    };
    let late = refused(workload("10/s", 3, "exp:2s", "10", 1), "at 3s drain b2; at 4s undrain b2");
    assert!(
        late.starts_with("at 4 s `undrain b2` comes after the end of the simulation, at 3 s"),
        "{late}"
    );
    let trace = read_trace("start_s,length_s,client\n0,5,a\n0,5,b\n").unwrap();
    assert!(refused(trace, "").starts_with("nothing can happen in 0 s: say with --duration"));
}

#[test]
fn a_full_service_refuses_and_says_so() {
    let workload = workload("100/s", 10, "fixed:5s", "10", 1);
    let result = simulated("ovf", &workload, &scenario(&[10, 5], ""));
    assert!(result.refused > 400, "{}", result.refused);
    let peaks: Vec<u32> = result.backends.iter().map(|tally| tally.peak).collect();
    // A table is at most 20 ms old, in which two connections come; then it is made again.
    assert!(peaks[0] >= 11 && peaks[1] >= 6 && peaks[0] + peaks[1] < 30, "{peaks:?}");
}

#[test]
fn a_backend_that_comes_is_eased_in_as_time_passes() {
    let plugin = plugin("slow-rr");
    let given = [("seconds", "10")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let params = plugin.check_params(&given.into_iter().collect()).unwrap();
    let workload = workload("200/s", 20, "exp:1s", "10", 1);
    let result = simulate(&plugin, &params, &workload, &scenario(&[1; 3], "at 5s add b4")).unwrap();
    let share = |at: u64| {
        let weight = (0.1 + 0.9 * (time::seconds(at) - 5.0) / 10.0).min(1.0);
        if at < time::of(Duration::from_secs(5)) {
            0.0
        } else {
            weight / (3.0 + weight)
        }
    };
    let expected: f64 = workload.arrivals.iter().map(|arrival| share(arrival.at)).sum();
    let got = result.backends[3].got as f64;
    assert!((got - expected).abs() < expected * 0.03, "{got}, expected {expected}");
    // A hundred milliseconds each, while it grows.
    assert!((80..=110).contains(&result.tables), "{}", result.tables);
}

/// With 60,000 connections the pause between two counts is 1.6 s, in which 1,000 come. With 256 slots, walked four times,
/// the busiest backend has 1.10 times its share on average and 1.36 times at worst.
#[test]
fn plans_are_as_wide_as_the_connections_that_come_by_one() {
    let workload = workload("1000/s", 180, "exp:60s", "100", 1);
    let overload = simulated("wlc", &workload, &scenario(&[5, 4, 3, 2, 1], ""))
        .overload
        .unwrap();
    assert!(overload.mean < 1.01 && overload.worst < 1.05, "{overload:?}");
}

#[test]
fn asking_for_each_connection_is_the_measure() {
    let workload = workload("500/s", 20, "exp:2s", "10", 1);
    let wanted = Scenario {
        exact: true,
        ..scenario(&[4, 2, 1], "at 10s remove b3")
    };
    let exact = simulated("wlc", &workload, &wanted).exact.unwrap();
    assert!(exact.overload.unwrap().mean < 1.01, "{exact:?}");
    let plugin = plugin("rr");
    let refused = simulate(&plugin, &params(&plugin), &workload, &wanted).unwrap_err();
    assert!(refused.to_string().contains("does not look at connections"), "{refused}");
}

#[test]
fn what_cannot_happen_is_refused_before_anything_does() {
    let plugin = plugin("rr");
    let workload = workload("10/s", 1, "exp:2s", "10", 1);
    let error =
        simulate(&plugin, &params(&plugin), &workload, &scenario(&[1], "at 5s remove b2")).unwrap_err();
    assert_eq!(error.to_string(), "at 5 s `remove b2` cannot happen: there is no b2 then");
}

#[test]
fn a_scheduler_that_fails_ends_it_and_says_when() {
    let host = PluginHost::new(Limits::default()).unwrap();
    let plugin = host
        .load("fault", include_bytes!("../../../tests/plugins/fault.wat"))
        .unwrap();
    let given = [("fault", "trap"), ("after", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let params = plugin.check_params(&given.into_iter().collect()).unwrap();
    let workload = workload("10/s", 10, "exp:2s", "10", 1);
    let error = simulate(&plugin, &params, &workload, &scenario(&[1, 1], "at 5s remove b2")).unwrap_err();
    let SimulateError::Call { at, source } = error else {
        panic!("{error}")
    };
    assert_eq!((at, source.kind()), (5.0, "trap"));
}
