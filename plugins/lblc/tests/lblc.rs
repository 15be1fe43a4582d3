//! Locality-based least connection, natively, against LVS's rules done with plain lists.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use wvs_plugin::testing::{World, configure_flows, set_clock};
use wvs_plugin::{Backend, BackendState, CountingScheduler, Flow, FlowScheduler};
use wvs_plugin_lblc::LocalityBased;

fn start(given: &[(&str, &str)], weights: &[u32]) -> LocalityBased {
    set_clock(0.0);
    let mut lblc = configure_flows::<LocalityBased>(given).unwrap();
    let backends: Vec<Backend> = (1..)
        .zip(weights)
        .map(|(id, &weight)| Backend::sample(id).weight(weight))
        .collect();
    lblc.update(&backends).unwrap();
    lblc
}

fn picks(lblc: &mut LocalityBased, destinations: &[u32]) -> Vec<u32> {
    let pick = |&destination: &u32| lblc.pick(&Flow::sample(destination)).unwrap_or(0);
    destinations.iter().map(pick).collect()
}

#[test]
fn a_destination_stays_where_it_went_first() {
    let mut lblc = start(&[], &[10, 10, 10]);
    assert_eq!(picks(&mut lblc, &[7, 8, 9, 7, 7, 8, 9]), [1, 2, 3, 1, 1, 2, 3]);
    // The client does not matter.
    let mut flow = Flow::sample(7);
    (flow.src.d, flow.src_port, flow.hash) = (99, 1, 5);
    assert_eq!(lblc.pick(&flow), Some(1));
    // A new one goes where there is least to do.
    lblc.observe(&[5, 0, 9], &[0, 255, 0]);
    assert_eq!(picks(&mut lblc, &[10, 11, 7]), [2, 2, 1]);
}

#[test]
fn an_overloaded_server_loses_a_destination_while_another_one_is_idle() {
    let mut lblc = start(&[], &[2, 4]);
    assert_eq!(picks(&mut lblc, &[7]), [1]);
    lblc.observe(&[3, 2], &[0, 0]);
    assert_eq!(picks(&mut lblc, &[7]), [1], "half is not idle");
    lblc.observe(&[2, 1], &[0, 0]);
    assert_eq!(picks(&mut lblc, &[7]), [1], "as many as the weight are not too many");
    assert_eq!(picks(&mut lblc, &[7]), [2], "the one before counts at once");
    lblc.observe(&[0, 4], &[0, 0]);
    assert_eq!(picks(&mut lblc, &[7]), [2], "and there it stays");
}

#[test]
fn who_takes_no_connections_loses_its_destinations() {
    let mut lblc = start(&[], &[1, 1, 1]);
    assert_eq!(picks(&mut lblc, &[7, 8, 9]), [1, 2, 3]);
    let down = Backend::sample(2).state(BackendState::DOWN);
    lblc.update(&[Backend::sample(3), down, Backend::sample(1).weight(0)])
        .unwrap();
    assert_eq!(picks(&mut lblc, &[7, 8, 9]), [3, 3, 3]);
    lblc.update(&[down]).unwrap();
    assert_eq!(picks(&mut lblc, &[7, 1]), [0, 0]);
    lblc.update(&[]).unwrap();
    assert_eq!(picks(&mut lblc, &[7]), [0]);
}

#[test]
fn a_destination_that_nobody_asks_for_is_forgotten() {
    let mut lblc = start(&[("expiration", "3600")], &[100, 100]);
    let observe = |lblc: &mut LocalityBased, minutes: f64| {
        set_clock(minutes * 60.0);
        lblc.observe(&[1, 0], &[0, 0]);
    };
    assert_eq!(picks(&mut lblc, &[7]), [1]);
    observe(&mut lblc, 1.0);
    observe(&mut lblc, 59.0);
    assert_eq!(picks(&mut lblc, &[7]), [1]);
    observe(&mut lblc, 118.0);
    assert_eq!(picks(&mut lblc, &[7]), [1], "used within the hour");
    for minutes in [119.0, 150.0, 181.0] {
        observe(&mut lblc, minutes);
    }
    assert_eq!(picks(&mut lblc, &[7]), [2]);
}

/// LVS's rules as its sources have them, with every search done in full. Entries that were asked for since the last
/// look at the clock are as old as the next one.
struct Model {
    /// Id, weight, active, inactive.
    servers: Vec<(u32, u64, u64, u64)>,
    known: BTreeMap<u32, (u32, f64)>,
    size: usize,
    expiration: f64,
    checked: f64,
    quiet: f64,
}

impl Model {
    fn observe(&mut self, world: &World, now: f64) {
        let counts = world.active.iter().zip(&world.inactive);
        self.servers = world
            .backends
            .iter()
            .zip(counts)
            .map(|(backend, (&active, &inactive))| {
                (backend.id, backend.effective_weight().into(), active.into(), inactive.into())
            })
            .collect();
        self.check(now);
    }

    fn check(&mut self, now: f64) {
        let passed = now - self.checked;
        if passed < 60.0 {
            return;
        }
        self.checked = now;
        for entry in self.known.values_mut().filter(|entry| entry.1 == f64::INFINITY) {
            entry.1 = now;
        }
        if self.known.len() > self.size {
            let mut idle: Vec<(f64, u32)> = self
                .known
                .iter()
                .filter(|(_, entry)| now - entry.1 >= 360.0)
                .map(|(destination, entry)| (entry.1, *destination))
                .collect();
            idle.sort_by(|one, other| one.partial_cmp(other).unwrap());
            let goal = ((self.known.len() - self.size) * 4 / 3).min(self.size / 2).max(1);
            for (_, destination) in idle.into_iter().take(goal) {
                self.known.remove(&destination);
            }
            return;
        }
        self.quiet += passed;
        if self.quiet >= 1800.0 {
            self.quiet = 0.0;
            let expiration = self.expiration;
            self.known.retain(|_, entry| now - entry.1 < expiration);
        }
    }

    fn least(&self) -> Option<u32> {
        let mut least: Option<&(u32, u64, u64, u64)> = None;
        for server in self.servers.iter().filter(|server| server.1 > 0) {
            let overhead = |server: &(u32, u64, u64, u64)| server.2 * 256 + server.3;
            if least.is_none_or(|least| overhead(least) * server.1 > overhead(server) * least.1) {
                least = Some(server);
            }
        }
        least.map(|server| server.0)
    }

    fn suits(&self, id: u32) -> bool {
        let Some(server) = self.servers.iter().find(|server| server.0 == id) else {
            return false;
        };
        let overloaded = server.2 > server.1 && self.servers.iter().any(|other| other.2 * 2 < other.1);
        server.1 > 0 && !overloaded
    }

    fn pick(&mut self, destination: u32) -> Option<u32> {
        if let Some(entry) = self.known.get_mut(&destination) {
            entry.1 = f64::INFINITY;
        }
        let id = match self.known.get(&destination) {
            Some(&(id, _)) if self.suits(id) => id,
            known => {
                let room = known.is_some() || self.known.len() < 2 * self.size;
                let id = self.least()?;
                if room {
                    self.known.insert(destination, (id, f64::INFINITY));
                }
                id
            }
        };
        self.servers.iter_mut().find(|server| server.0 == id)?.2 += 1;
        Some(id)
    }
}

#[test]
fn whatever_happens_it_chooses_as_lvs_does() {
    let (mut stayed, mut moved, mut nobody) = (0, 0, 0);
    for seed in 0..10_000 {
        set_clock(0.0);
        let mut lblc =
            configure_flows::<LocalityBased>(&[("expiration", "5000"), ("destinations", "4")]).unwrap();
        let mut world = World::new(seed);
        let mut model = Model {
            servers: Vec::new(),
            known: BTreeMap::new(),
            size: 4,
            expiration: 5000.0,
            checked: 0.0,
            quiet: 0.0,
        };
        let mut now = 0.0;
        let mut last = BTreeMap::new();
        for _ in 0..25 {
            world.step();
            now += [0.0, 0.1, 61.0, 400.0, 2000.0][world.below(5) as usize];
            set_clock(now);
            world.tell_flows(&mut lblc);
            model.observe(&world, now);
            for _ in 0..world.below(6) {
                let destination = world.below(12);
                let chosen = lblc.pick(&Flow::sample(destination));
                assert_eq!(chosen, model.pick(destination), "seed {seed}, destination {destination}");
                match (last.insert(destination, chosen), chosen) {
                    (_, None) => nobody += 1,
                    (Some(before), _) if before == chosen => stayed += 1,
                    _ => moved += 1,
                }
                // Some connections stay until they are observed.
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
    assert!(stayed > 100_000 && moved > 100_000 && nobody > 10_000, "{stayed} {moved} {nobody}");
}
