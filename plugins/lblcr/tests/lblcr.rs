//! Locality-based least connection with replication, natively, against LVS's rules done with plain lists.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use wvs_plugin::testing::{World, configure_flows, set_clock};
use wvs_plugin::{Backend, BackendState, CountingScheduler, Flow, FlowScheduler};
use wvs_plugin_lblcr::Replicated;

fn start(given: &[(&str, &str)], weights: &[u32]) -> Replicated {
    set_clock(0.0);
    let mut lblcr = configure_flows::<Replicated>(given).unwrap();
    let backends: Vec<Backend> = (1..)
        .zip(weights)
        .map(|(id, &weight)| Backend::sample(id).weight(weight))
        .collect();
    lblcr.update(&backends).unwrap();
    lblcr
}

fn picks(lblcr: &mut Replicated, destinations: &[u32]) -> Vec<u32> {
    let pick = |&destination: &u32| lblcr.pick(&Flow::sample(destination)).unwrap_or(0);
    destinations.iter().map(pick).collect()
}

#[test]
fn a_destination_gets_a_second_server_when_the_first_is_overloaded() {
    let mut lblcr = start(&[], &[1, 1, 1]);
    assert_eq!(picks(&mut lblcr, &[7, 7, 7]), [1, 1, 2], "the third finds the first with two connections");
    // From then on the emptier of the two.
    lblcr.observe(&[1, 0, 0], &[0, 0, 0]);
    assert_eq!(picks(&mut lblcr, &[7]), [2]);
    lblcr.observe(&[0, 1, 0], &[0, 0, 0]);
    assert_eq!(picks(&mut lblcr, &[7]), [1]);
    // The third server is asked only when both are overloaded.
    lblcr.observe(&[2, 2, 0], &[0, 0, 0]);
    assert_eq!(picks(&mut lblcr, &[7, 8]), [3, 3]);
}

#[test]
fn a_set_that_stays_the_same_loses_its_busiest_server() {
    let mut lblcr = start(&[("expiration", "600")], &[1, 1]);
    assert_eq!(picks(&mut lblcr, &[7, 7, 7]), [1, 1, 2]);
    let observe = |lblcr: &mut Replicated, now: f64, active: [u32; 2]| {
        set_clock(now);
        lblcr.observe(&active, &[0, 0]);
    };
    observe(&mut lblcr, 600.0, [1, 0]);
    assert_eq!(picks(&mut lblcr, &[7]), [2]);
    observe(&mut lblcr, 601.0, [1, 0]);
    assert_eq!(picks(&mut lblcr, &[7]), [2], "this one takes the first out");
    observe(&mut lblcr, 602.0, [0, 1]);
    assert_eq!(picks(&mut lblcr, &[7]), [2], "although the first has nothing to do");
}

#[test]
fn who_takes_no_connections_is_passed_over_and_who_has_left_is_forgotten() {
    let mut lblcr = start(&[], &[1, 1]);
    assert_eq!(picks(&mut lblcr, &[7, 7, 7]), [1, 1, 2]);
    lblcr.observe(&[0, 5], &[0, 0]);
    let one = Backend::sample(1);
    lblcr
        .update(&[one.state(BackendState::DRAINING), Backend::sample(2)])
        .unwrap();
    assert_eq!(picks(&mut lblcr, &[7]), [2]);
    lblcr.update(&[one, Backend::sample(2)]).unwrap();
    assert_eq!(picks(&mut lblcr, &[7]), [1], "it was only away");
    lblcr.update(&[one.weight(0)]).unwrap();
    assert_eq!(picks(&mut lblcr, &[7]), [0]);
}

/// LVS's rules as its sources have them, with every search done in full; a server that has left is in no set.
struct Model {
    /// Id, weight, active, inactive.
    servers: Vec<(u32, u64, u64, u64)>,
    /// By destination: members, the newest first, and when they changed.
    known: BTreeMap<u32, (Vec<u32>, f64)>,
    expiration: f64,
}

impl Model {
    fn observe(&mut self, world: &World) {
        let counts = world.active.iter().zip(&world.inactive);
        self.servers = world
            .backends
            .iter()
            .zip(counts)
            .map(|(backend, (&active, &inactive))| {
                (backend.id, backend.effective_weight().into(), active.into(), inactive.into())
            })
            .collect();
    }

    fn server(&self, id: u32) -> Option<&(u32, u64, u64, u64)> {
        self.servers.iter().find(|server| server.0 == id)
    }

    /// The first with the lowest overhead per weight, or the highest.
    fn extreme(&self, ids: &[u32], highest: bool) -> Option<u32> {
        let overhead = |server: &(u32, u64, u64, u64)| server.2 * 256 + server.3;
        let mut best: Option<&(u32, u64, u64, u64)> = None;
        for server in ids
            .iter()
            .filter_map(|&id| self.server(id))
            .filter(|server| server.1 > 0)
        {
            let better = best.is_none_or(|best| {
                let (one, other) = (overhead(best) * server.1, overhead(server) * best.1);
                if highest { one < other } else { one > other }
            });
            if better {
                best = Some(server);
            }
        }
        best.map(|server| server.0)
    }

    fn suits(&self, id: u32) -> bool {
        self.server(id).is_some_and(|server| {
            server.2 <= server.1 || !self.servers.iter().any(|other| other.2 * 2 < other.1)
        })
    }

    fn pick(&mut self, destination: u32, now: f64) -> Option<u32> {
        let all: Vec<u32> = self.servers.iter().map(|server| server.0).collect();
        let id = match self.known.get(&destination).cloned() {
            Some((mut members, mut changed)) => {
                members.retain(|&id| self.server(id).is_some());
                let least = self.extreme(&members, false);
                if members.len() > 1
                    && now > changed + self.expiration
                    && let Some(most) = self.extreme(&members, true)
                {
                    members.retain(|&id| id != most);
                    changed = now;
                }
                let chosen = least.filter(|&id| self.suits(id)).or_else(|| {
                    let id = self.extreme(&all, false)?;
                    if !members.contains(&id) {
                        members.insert(0, id);
                        changed = now;
                    }
                    Some(id)
                });
                self.known.insert(destination, (members, changed));
                chosen?
            }
            None => {
                let id = self.extreme(&all, false)?;
                self.known.insert(destination, (vec![id], now));
                id
            }
        };
        self.servers.iter_mut().find(|server| server.0 == id)?.2 += 1;
        Some(id)
    }
}

#[test]
fn whatever_happens_it_chooses_as_lvs_does() {
    let (mut alone, mut several, mut most) = (0, 0, 0);
    for seed in 0..10_000 {
        set_clock(0.0);
        let mut lblcr = configure_flows::<Replicated>(&[("expiration", "500")]).unwrap();
        let mut world = World::new(seed);
        let mut model = Model {
            servers: Vec::new(),
            known: BTreeMap::new(),
            expiration: 500.0,
        };
        let mut now = 0.0;
        for _ in 0..25 {
            world.step();
            now += f64::from(world.below(60));
            set_clock(now);
            world.tell_flows(&mut lblcr);
            model.observe(&world);
            for _ in 0..world.below(6) {
                let destination = world.below(3);
                let chosen = lblcr.pick(&Flow::sample(destination));
                assert_eq!(chosen, model.pick(destination, now), "seed {seed}, destination {destination}");
                let members = model.known.get(&destination).map_or(0, |set| set.0.len());
                (alone, several) = (alone + u32::from(members == 1), several + u32::from(members > 1));
                most = most.max(members);
                let index = world
                    .backends
                    .iter()
                    .position(|backend| Some(backend.id) == chosen);
                if let (Some(index), true) = (index, world.below(2) == 0) {
                    world.active[index] += 1;
                }
            }
        }
    }
    assert!(alone > 100_000 && several > 100_000 && most > 4, "{alone} {several} {most}");
}

/// What is remembered of unused destinations is the SDK's; here, that the parameter arrives there.
#[test]
fn an_unused_destination_is_forgotten() {
    let mut lblcr = start(&[("expiration", "600")], &[9, 9]);
    assert_eq!(picks(&mut lblcr, &[7]), [1]);
    for now in [60.0, 1900.0] {
        set_clock(now);
        lblcr.observe(&[1, 0], &[0, 0]);
    }
    assert_eq!(picks(&mut lblcr, &[7]), [2]);
}
