//! Schedulers that go by counts, on recorded connections: how far a director's tables are from asking for each.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::time::Duration;

use wvs_core::scheduler::simulate::{Churn, Refresh, Scenario, read_trace, simulate};
use wvs_core::scheduler::{Limits, PluginHost, builtin};

/// What plugins/README.md and SPECIFICATION.md say of it: so many connections of a backend at any moment, and such a
/// share of all that are open, on average.
const FARTHEST: u32 = 6;
const ELSEWHERE: f64 = 0.05;
/// And the overload on average, with what is lost beside asking for each.
const WORSE: f64 = 0.05;

#[test]
fn tables_are_near_the_exact_algorithm_on_recorded_connections() {
    let workload = read_trace(include_str!("traces/sample.csv")).unwrap();
    assert_eq!(workload.len(), 1346);
    let host = PluginHost::new(Limits::default()).unwrap();
    for name in ["lc", "wlc", "sed", "nq", "ovf"] {
        let plugin = host.load(name, builtin(name).unwrap()).unwrap();
        let params = plugin.check_params(&BTreeMap::new()).unwrap();
        for weights in [vec![5, 4, 3, 2, 1], vec![1; 8], vec![20, 1, 1]] {
            let scenario = Scenario {
                weights: weights.clone(),
                churn: Churn::default(),
                slots: 256,
                refresh: Refresh::Director,
                linger: Duration::from_secs(120),
                seed: 1,
                exact: true,
            };
            let result = simulate(&plugin, &params, &workload, &scenario).unwrap();
            let exact = result.exact.unwrap();
            println!("{name} {weights:?}: {exact:?}, here {:?}", result.overload);
            assert!(exact.farthest <= FARTHEST, "{name} {weights:?}: {exact:?}");
            let elsewhere = exact.elsewhere.unwrap();
            assert!(elsewhere.mean <= ELSEWHERE, "{name} {weights:?}: {exact:?}");
            let (here, there) = (result.overload.unwrap().mean, exact.overload.unwrap().mean);
            assert!(here <= there * (1.0 + WORSE), "{name} {weights:?}: {here}, exactly {there}");
            // Whether somebody is full is known 20 ms late.
            let (here, there) = (result.refused, exact.refused);
            assert!(
                here.abs_diff(there) * 20 <= workload.len() as u64,
                "{name} {weights:?}: {here}, {there}"
            );
        }
    }
}
