//! Weighted least connection, natively, against LVS's rule done pick by pick.
#![allow(clippy::unwrap_used)]

#[path = "../../../plugins-sdk/tests/models/counting.rs"]
mod counting;

use counting::Rule;
use wvs_plugin::testing::configure;
use wvs_plugin::{Backend, BackendState, CountingScheduler, NO_BACKEND, Scheduler, interleave};
use wvs_plugin_wlc::WeightedLeastConnection;

/// Weight, active, inactive; ids count from 1.
type Server = (u32, u32, u32);

fn plan(servers: &[Server], slots: u32) -> Vec<u32> {
    let (mut wlc, _) = configure::<WeightedLeastConnection>(&[]).unwrap();
    let backends: Vec<Backend> = servers
        .iter()
        .zip(1..)
        .map(|(server, id)| Backend::sample(id).weight(server.0))
        .collect();
    wlc.update(&backends).unwrap();
    let column = |f: fn(&Server) -> u32| servers.iter().map(f).collect::<Vec<u32>>();
    wlc.observe(&column(|server| server.1), &column(|server| server.2));
    wlc.fill(slots).unwrap()
}

#[test]
fn the_emptier_one_is_filled_up_first() {
    assert_eq!(plan(&[(1, 3, 0), (1, 0, 0)], 7), [2, 2, 2, 1, 2, 1, 2]);
}

#[test]
fn inactive_connections_count_a_256th() {
    assert_eq!(plan(&[(1, 0, 10), (1, 0, 9)], 1), [2]);
    assert_eq!(plan(&[(1, 1, 0), (1, 0, 255)], 1), [2]);
    assert_eq!(plan(&[(1, 1, 0), (1, 0, 257)], 1), [1]);
}

#[test]
fn with_nothing_to_count_it_is_a_smooth_round_robin() {
    for weights in [vec![5, 1, 1], vec![1, 1, 1], vec![3, 2, 7, 1]] {
        let servers: Vec<Server> = weights.iter().map(|&weight| (weight, 0, 0)).collect();
        let expected: Vec<u32> = interleave(&weights, 100).iter().map(|index| index + 1).collect();
        assert_eq!(plan(&servers, 100), expected);
    }
}

#[test]
fn only_usable_backends_appear_and_counts_stay_with_their_backend() {
    let (mut wlc, _) = configure::<WeightedLeastConnection>(&[]).unwrap();
    wlc.update(&[1, 2, 3].map(Backend::sample)).unwrap();
    wlc.observe(&[9, 1, 4], &[0, 0, 0]);
    let down = Backend::sample(2).state(BackendState::DOWN);
    wlc.update(&[Backend::sample(3), down, Backend::sample(1)])
        .unwrap();
    assert_eq!(wlc.fill(5).unwrap(), [3; 5]);
    wlc.update(&[down, Backend::sample(3).weight(0)]).unwrap();
    assert_eq!(wlc.fill(2).unwrap(), [NO_BACKEND; 2]);
}

#[test]
fn counts_at_the_edge_do_not_overflow() {
    let table = plan(&[(u32::MAX, u32::MAX, u32::MAX), (1, u32::MAX, 0), (1, 0, 0)], 50);
    assert_eq!(table.len(), 50);
}

#[test]
fn ten_thousand_services_are_planned_as_lvs_picks() {
    counting::ten_thousand_services::<WeightedLeastConnection>(&Rule {
        load: |active, inactive| active * 256 + inactive,
        step: 256,
        weighted: true,
        idle: None,
    });
}

#[test]
fn of_equals_the_first_in_the_list_is_next() {
    assert_eq!(plan(&[(1, 1, 0), (3, 3, 0), (1, 9, 0)], 2), [1, 2]);
    assert_eq!(plan(&[(3, 3, 0), (1, 1, 0), (1, 9, 0)], 4), [1, 2, 1, 1]);
}
