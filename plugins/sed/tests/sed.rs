//! Shortest expected delay, natively, against LVS's rule done pick by pick.
#![allow(clippy::unwrap_used)]

#[path = "../../../plugins-sdk/tests/models/counting.rs"]
mod counting;

use counting::Rule;
use wvs_plugin::testing::configure;
use wvs_plugin::{Backend, CountingScheduler, NO_BACKEND, Scheduler};
use wvs_plugin_sed::ShortestExpectedDelay;

fn plan(servers: &[(u32, u32)], slots: u32) -> Vec<u32> {
    let (mut sed, _) = configure::<ShortestExpectedDelay>(&[]).unwrap();
    let backends = servers
        .iter()
        .zip(1..)
        .map(|(server, id)| Backend::sample(id).weight(server.0));
    sed.update(&backends.collect::<Vec<_>>()).unwrap();
    let active: Vec<u32> = servers.iter().map(|server| server.1).collect();
    sed.observe(&active, &vec![9000; active.len()]);
    sed.fill(slots).unwrap()
}

#[test]
fn the_fast_one_does_it_all_while_there_is_little_to_do() {
    assert_eq!(plan(&[(1, 0), (5, 0)], 6), [2, 2, 2, 2, 2, 2]);
    assert_eq!(plan(&[(1, 0), (5, 0)], 16).iter().filter(|id| **id == 1).count(), 2);
    assert_eq!(plan(&[(0, 0), (1, 3), (1, 1)], 3), [3, 3, 2]);
    assert_eq!(plan(&[(0, 0)], 2), [NO_BACKEND; 2]);
}

#[test]
fn counts_at_the_edge_do_not_overflow() {
    assert_eq!(plan(&[(u32::MAX, u32::MAX), (1, u32::MAX), (u32::MAX, 0)], 50), [3; 50]);
}

#[test]
fn ten_thousand_services_are_planned_as_lvs_picks() {
    counting::ten_thousand_services::<ShortestExpectedDelay>(&Rule {
        load: |active, _| active + 1,
        step: 1,
        weighted: true,
        idle: None,
    });
}
