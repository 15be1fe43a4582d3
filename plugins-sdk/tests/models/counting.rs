//! LVS's schedulers that go by counts, done pick by pick, beside a plan.

use wvs_plugin::testing::{World, configure};
use wvs_plugin::{CountingScheduler, NO_BACKEND, Scheduler};

/// What LVS compares: a load per weight, to which each connection adds a step.
pub struct Rule {
    /// From active and inactive connections.
    pub load: fn(u64, u64) -> u64,
    pub step: u64,
    pub weighted: bool,
    /// Whoever has this load goes before all others.
    pub idle: Option<u64>,
}

impl Rule {
    /// The first of those with the least: LVS takes another one only where that is strictly less.
    fn pick(&self, loads: &[u64], weights: &[u64]) -> usize {
        let idle = loads.iter().position(|load| Some(*load) == self.idle);
        idle.unwrap_or_else(|| {
            let mut best = 0;
            for other in 1..loads.len() {
                if loads[other] * weights[best] < loads[best] * weights[other] {
                    best = other;
                }
            }
            best
        })
    }
}

/// Leads a scheduler through ten thousand services and looks at each plan.
pub fn ten_thousand_services<S: Scheduler + CountingScheduler>(rule: &Rule) {
    let (mut exact, mut all) = (0, 0);
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut scheduler, _) = configure::<S>(&[]).unwrap();
        for _ in 0..6 {
            world.step();
            world.tell_load(&mut scheduler);
            let slots = world.below(60);
            let table = scheduler.fill(slots).unwrap();
            assert_eq!(table.len(), slots as usize);
            exact += check(rule, &world, &table);
            all += table.len();
        }
    }
    assert!(exact > 50_000 && exact < all, "{exact} of {all}");
}

/// While anybody is idle or costs less than the dearest, every pick is LVS's. After that the plan may take another way,
/// because LVS's goes in bursts, but at any time each server has what LVS gave it, within `bound`. Returns how many picks
/// had to be LVS's.
fn check(rule: &Rule, world: &World, table: &[u32]) -> usize {
    let usable: Vec<usize> = (0..world.backends.len())
        .filter(|&index| world.backends[index].usable())
        .collect();
    if usable.is_empty() {
        assert!(table.iter().all(|id| *id == NO_BACKEND), "{world:?}: {table:?}");
        return 0;
    }
    let load = |&index: &usize| (rule.load)(world.active[index].into(), world.inactive[index].into());
    let weight = |&index: &usize| {
        if rule.weighted {
            world.backends[index].weight.into()
        } else {
            1
        }
    };
    let mut planned: Vec<u64> = usable.iter().map(load).collect();
    let weights: Vec<u64> = usable.iter().map(weight).collect();
    let mut exact = planned.clone();
    let (mut dearest, mut level, mut same) = (None, false, 0);
    for &id in table {
        let picked = usable
            .iter()
            .position(|&index| world.backends[index].id == id)
            .unwrap();
        let best = rule.pick(&exact, &weights);
        if !exact.iter().any(|load| Some(*load) == rule.idle) {
            let (most, of) = *dearest.get_or_insert_with(|| most(&exact, &weights));
            level |= exact[best] * of >= most * weights[best];
        }
        if !level {
            assert_eq!(picked, best, "{world:?}: {table:?}");
            same += 1;
        }
        planned[picked] += rule.step;
        exact[best] += rule.step;
        let total: u64 = weights.iter().sum();
        for ((planned, exact), weight) in planned.iter().zip(&exact).zip(&weights) {
            let off = planned.abs_diff(*exact) / rule.step * total;
            assert!(off <= bound(*weight, total, weights.len()), "{world:?}: {table:?}");
        }
    }
    same
}

/// The highest load per weight.
fn most(loads: &[u64], weights: &[u64]) -> (u64, u64) {
    let all = loads.iter().copied().zip(weights.iter().copied());
    all.reduce(|most, other| {
        if other.0 * most.1 > most.0 * other.1 {
            other
        } else {
            most
        }
    })
    .unwrap()
}

/// How far a server may be from where LVS has it at any time, times the sum of the weights: two
/// connections, and its share of one for each other server.
///
/// LVS gives the heavier ones all of a round before the lighter ones have any of it.
fn bound(weight: u64, total: u64, servers: usize) -> u64 {
    2 * total + weight * (servers as u64 - 1)
}
