//! Never queue, natively, against LVS's rule done pick by pick.
#![allow(clippy::unwrap_used)]

#[path = "../../../plugins-sdk/tests/models/counting.rs"]
mod counting;

use counting::Rule;
use wvs_plugin::testing::configure;
use wvs_plugin::{Backend, CountingScheduler, NO_BACKEND, Scheduler};
use wvs_plugin_nq::NeverQueue;

fn plan(servers: &[(u32, u32)], slots: u32) -> Vec<u32> {
    let (mut nq, _) = configure::<NeverQueue>(&[]).unwrap();
    let backends = servers
        .iter()
        .zip(1..)
        .map(|(server, id)| Backend::sample(id).weight(server.0));
    nq.update(&backends.collect::<Vec<_>>()).unwrap();
    let active: Vec<u32> = servers.iter().map(|server| server.1).collect();
    nq.observe(&active, &vec![9000; active.len()]);
    nq.fill(slots).unwrap()
}

#[test]
fn who_is_idle_comes_first_and_then_the_shortest_delay() {
    // Shortest expected delay alone would give all of these to the third.
    assert_eq!(plan(&[(1, 0), (1, 4), (9, 0), (0, 0)], 5), [1, 3, 3, 3, 3]);
    assert_eq!(plan(&[(1, 0), (1, 0), (1, 0)], 2), [1, 2]);
    assert_eq!(plan(&[(0, 0)], 2), [NO_BACKEND; 2]);
}

#[test]
fn ten_thousand_services_are_planned_as_lvs_picks() {
    counting::ten_thousand_services::<NeverQueue>(&Rule {
        load: |active, _| active + 1,
        step: 1,
        weighted: true,
        idle: Some(1),
    });
}
