//! Least connection, natively, against LVS's rule done pick by pick.
#![allow(clippy::unwrap_used)]

#[path = "../../../plugins-sdk/tests/models/counting.rs"]
mod counting;

use counting::Rule;
use wvs_plugin::testing::configure;
use wvs_plugin::{Backend, CountingScheduler, NO_BACKEND, Scheduler};
use wvs_plugin_lc::LeastConnection;

fn plan(servers: &[(u32, u32, u32)], slots: u32) -> Vec<u32> {
    let (mut lc, _) = configure::<LeastConnection>(&[]).unwrap();
    let backends = servers
        .iter()
        .zip(1..)
        .map(|(server, id)| Backend::sample(id).weight(server.0));
    lc.update(&backends.collect::<Vec<_>>()).unwrap();
    let column = |f: fn(&(u32, u32, u32)) -> u32| servers.iter().map(f).collect::<Vec<u32>>();
    lc.observe(&column(|server| server.1), &column(|server| server.2));
    lc.fill(slots).unwrap()
}

#[test]
fn weights_do_not_matter_unless_they_are_0() {
    assert_eq!(plan(&[(1, 3, 0), (9, 0, 0)], 7), [2, 2, 2, 1, 2, 1, 2]);
    assert_eq!(plan(&[(1, 0, 0), (9, 0, 0), (0, 0, 0)], 5), [1, 2, 1, 2, 1]);
    assert_eq!(plan(&[(0, 0, 0)], 2), [NO_BACKEND; 2]);
}

#[test]
fn inactive_connections_count_a_256th() {
    assert_eq!(plan(&[(1, 1, 0), (1, 0, 255)], 1), [2]);
    assert_eq!(plan(&[(1, 1, 0), (1, 0, 257)], 1), [1]);
}

#[test]
fn counts_at_the_edge_do_not_overflow() {
    assert_eq!(plan(&[(u32::MAX, u32::MAX, u32::MAX), (1, u32::MAX, 0)], 50).len(), 50);
}

#[test]
fn ten_thousand_services_are_planned_as_lvs_picks() {
    counting::ten_thousand_services::<LeastConnection>(&Rule {
        load: |active, inactive| active * 256 + inactive,
        step: 256,
        weighted: false,
        idle: None,
    });
}
