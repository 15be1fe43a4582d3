//! What it costs to ask a scheduler for each connection: new connections of `lblc`, which is asked, and of `rr`, whose
//! table the kernel has.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use wvs_tests::{LabOptions, Service, Stage, Target, backend, rs};

use super::{cpu_of, median, own_cpu, row, softirq_threads, us};

/// Rounds of connections, clients that ask at the same time, and connections of each.
const ROUNDS: usize = 21;
const CLIENTS: usize = 8;
const CONNECTIONS: usize = 50;

/// Connections of one round.
struct Round {
    wall: Duration,
    /// Of clients, servers, the kernel's threads for packets and the director.
    cpu: Duration,
}

/// New connections per second through NAT and by direct routing.
pub fn flows() -> Result<()> {
    let nat = |scheduler| {
        let heavy = (1..=3).map(|n| Target::new(rs(n)).weight(10_000));
        Stage::up(Service::web().scheduler(scheduler).only(heavy))
    };
    compare("NAT", &nat("rr")?, &nat("lblc")?)?;
    let direct = |scheduler| {
        let heavy = (1..=3).map(|n| Target::new(backend(n)).weight(10_000));
        Stage::with(LabOptions::one_arm(), Service::direct("dr").scheduler(scheduler).only(heavy))
    };
    compare("direct routing", &direct("rr")?, &direct("lblc")?)
}

fn compare(forward: &str, cycle: &Stage, flow: &Stage) -> Result<()> {
    let (mut rates, mut costs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut ratios = Vec::new();
    for number in 0..ROUNDS {
        // Who goes first changes, so that neither always finds the caches warm.
        let order = if number % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            let round = round([cycle, flow][which])?;
            rates[which].push((CLIENTS * CONNECTIONS) as f64 / round.wall.as_secs_f64());
            costs[which].push(round.cpu / (CLIENTS * CONNECTIONS) as u32);
        }
        ratios.push(rates[1][number] / rates[0][number]);
    }
    let all = ROUNDS * CLIENTS * CONNECTIONS;
    let picks = flow.director.scheduler("web")?["picks"]
        .as_u64()
        .context("a number of picks")?;
    for sorted in rates.iter_mut().chain([&mut ratios]) {
        sorted.sort_by(f64::total_cmp);
    }
    let [cycle_rate, flow_rate] = rates.map(|it| format!("{:.0}/s", it[ROUNDS / 2]));
    let [cycle_cost, flow_cost] = costs.map(|mut it| format!("{:.0} us", us(median(&mut it))));
    let (low, middle, high) = (ratios[ROUNDS / 4], ratios[ROUNDS / 2], ratios[ROUNDS * 3 / 4]);
    row(&format!("new connections through {forward}, `cycle`, wall clock"), &cycle_rate, "");
    row(&format!("new connections through {forward}, `flow`, wall clock"), &flow_rate, "");
    row("  the second by the first (median of pairs)", &format!("{middle:.2}"), "");
    row("  half of the pairs lie within", &format!("{low:.2}-{high:.2}"), "");
    row("  CPU of one with `cycle`, everybody's", &cycle_cost, "");
    row("  CPU of one with `flow`, everybody's", &flow_cost, "");
    row("  asked for, of all", &format!("{:.1} %", picks as f64 / all as f64 * 100.0), "");
    Ok(())
}

fn round(stage: &Stage) -> Result<Round> {
    let spent = || -> Result<Duration> { Ok(own_cpu()? + softirq_threads()? + cpu_of(&stage.director)?) };
    let (before, begun) = (spent()?, Instant::now());
    let client = stage.client();
    thread::scope(|scope| {
        let asking: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| client.ask_many(stage.web(), CONNECTIONS)))
            .collect();
        asking.into_iter().try_for_each(|it| {
            let seen = it.join().expect("does not panic");
            ensure!(seen.answered() == CONNECTIONS, "not every connection was answered: {seen}");
            Ok(())
        })
    })?;
    Ok(Round {
        wall: begun.elapsed(),
        cpu: spent()? - before,
    })
}
