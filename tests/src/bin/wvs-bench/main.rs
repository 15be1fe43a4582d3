//! `make bench`: the figures of SPECIFICATION.md, measured on this machine and printed as a table; all of them, or those
//! of one name.
//!
//! Times are CPU times, because a shared machine's wall clock says little; what is compared is measured in
//! turns within one run.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod flow;

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use wvs_tests::{Client, Director, DirectorOptions, Lab, LabOptions, ServerOptions};

/// Services and backends of each in the figure for scale.
const SERVICES: usize = 1000;
const BACKENDS: usize = 10;
/// Weight changes that are timed.
const CHANGES: u32 = 21;
/// Rounds of connections, and connections of each.
const ROUNDS: usize = 81;
const CONNECTIONS: usize = 400;

fn main() -> Result<()> {
    println!("{:<62} {:>12} {:>12}", "figure", "measured", "at most");
    match std::env::args().nth(1).as_deref() {
        None => {
            scale()?;
            connections()?;
            flow::flows()
        }
        Some("scale") => scale(),
        Some("connections") => connections(),
        Some("flow") => flow::flows(),
        Some(other) => bail!("there is no figure `{other}`: scale, connections, flow"),
    }
}

fn row(figure: &str, measured: &str, bound: &str) {
    println!("{figure:<62} {measured:>12} {bound:>12}");
}

/// A configuration of 1,000 services with 10 backends each.
fn many_services(weight: u32) -> String {
    let mut text = String::new();
    for service in 0..SERVICES {
        let (high, low) = (service / 250, service % 250 + 1);
        let listen = format!("tcp://10.9.{high}.{low}:80");
        let _ = writeln!(
            text,
            "[[service]]\nname = \"s{service}\"\nlisten = [\"{listen}\"]\nscheduler = \"wrr\""
        );
        for backend in 1..=BACKENDS {
            let weight = if (service, backend) == (500, 1) { weight } else { 1 };
            let address = format!("10.{}.{high}.{low}:80", 20 + backend);
            let _ = writeln!(text, "[[service.backend]]\naddress = \"{address}\"\nweight = {weight}");
        }
    }
    text
}

fn scale() -> Result<()> {
    let lab = Lab::new(LabOptions {
        name: "bench",
        ..LabOptions::default()
    })?;
    let empty = Director::start(&lab, "")?;
    let at_rest = cpu_of(&empty)?;
    let file = empty.state_dir().join("many.toml");
    fs::write(&file, many_services(1))?;
    let file = file.to_str().context("the path is not UTF-8")?;
    let begun = Instant::now();
    empty.ok(&["-q", "apply", file])?;
    let wall = begun.elapsed();
    let all = cpu_of(&empty)? - at_rest;
    row(
        "1,000 services x 10 backends from scratch, CPU",
        &format!("{:.2} s", all.as_secs_f64()),
        "1 s",
    );
    row("  the same, wall clock", &format!("{:.2} s", wall.as_secs_f64()), "");

    let mut spent: Vec<Duration> = Vec::new();
    for change in 0..CHANGES {
        let before = cpu_of(&empty)?;
        let weight = (change % 5 + 2).to_string();
        empty.ok(&["-q", "weight", "s500", "10.21.2.1:80", &weight])?;
        spent.push(cpu_of(&empty)? - before);
    }
    let median = median(&mut spent);
    row(
        "one weight change among them, CPU of the director",
        &format!("{:.1} ms", ms(median)),
        "10 ms",
    );
    let before = cpu_of(&empty)?;
    empty.ok(&["metrics"])?;
    row(
        "a scrape of them, CPU of the director",
        &format!("{:.0} ms", ms(cpu_of(&empty)? - before)),
        "",
    );
    let before = cpu_of(&empty)?;
    empty.ok(&["-q", "apply", file])?;
    let again = cpu_of(&empty)? - before;
    row("the whole file again, one weight differs, CPU", &format!("{:.0} ms", ms(again)), "");
    Ok(())
}

/// New connections through all of wvs's rules, and through the shortest rule that does the same.
fn connections() -> Result<()> {
    let [full, bare] = [lab("wvs")?, lab("bare")?];
    let servers = ServerOptions::default();
    let _servers = (full.start_servers(&servers)?, bare.start_servers(&servers)?);
    let _director = Director::start_with(
        &full,
        DirectorOptions {
            config: "[[service]]\nname = \"web\"\nlisten = [\"tcp://10.0.0.100:80\"]\n\
                     backend = [{ address = \"10.1.0.11:8080\" }, { address = \"10.1.0.12:8080\" }, \
                     { address = \"10.1.0.13:8080\" }]"
                .into(),
            ..DirectorOptions::default()
        },
    )?;
    bare.director_ns().nft(
        "table ip bare {
           chain pre {
             type nat hook prerouting priority dstnat; policy accept;
             ip daddr 10.0.0.100 tcp dport 80 dnat ip to numgen inc mod 3 map {
               0 : 10.1.0.11 . 8080, 1 : 10.1.0.12 . 8080, 2 : 10.1.0.13 . 8080 }
           }
         }",
    )?;
    let clients = [full.client(), bare.client()];
    let target = full.vip(80);
    let (mut with, mut without, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Who goes first changes, so that neither always finds the caches warm.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut cost = [Duration::ZERO; 2];
        for which in order {
            cost[which] = cost_per_connection(&clients[which], target)?;
        }
        with.push(cost[0]);
        without.push(cost[1]);
        ratios.push(cost[0].as_secs_f64() / cost[1].as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    let (low, middle, high) = (ratios[ROUNDS / 4], ratios[ROUNDS / 2], ratios[ROUNDS * 3 / 4]);
    row("new connection through wvs's rules, CPU", &format!("{:.1} us", us(median(&mut with))), "");
    row(
        "new connection through a bare numgen rule, CPU",
        &format!("{:.1} us", us(median(&mut without))),
        "",
    );
    row("  the first by the second (median of pairs)", &format!("{middle:.3}"), "1.05");
    row("  half of the pairs lie within", &format!("{low:.3}-{high:.3}"), "");
    Ok(())
}

fn lab(name: &'static str) -> Result<Lab> {
    let lab = Lab::new(LabOptions {
        name,
        ..LabOptions::default()
    })?;
    lab.add_vip(lab.vip(80).ip())?;
    Ok(lab)
}

/// CPU time of this process, which is client and servers, and of the kernel's threads for packets.
fn cost_per_connection(client: &Client, target: SocketAddr) -> Result<Duration> {
    let before = own_cpu()? + softirq_threads()?;
    let seen = client.ask_many(target, CONNECTIONS);
    let spent = own_cpu()? + softirq_threads()? - before;
    ensure!(
        seen.answered() == CONNECTIONS && seen.failed() == 0,
        "not every connection was answered: {seen}"
    );
    Ok(spent / CONNECTIONS as u32)
}

fn own_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let spent = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(spent.unsigned_abs()))
}

/// What `ksoftirqd` of every CPU has used.
fn softirq_threads() -> Result<Duration> {
    let mut spent = Duration::ZERO;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Ok(name) = fs::read_to_string(path.join("comm")) else {
            continue;
        };
        if name.starts_with("ksoftirqd/") {
            spent += Duration::from_nanos(schedstat(&path.join("schedstat"))?);
        }
    }
    Ok(spent)
}

/// CPU time of all threads of a director.
fn cpu_of(director: &Director) -> Result<Duration> {
    let pid = director.pid().context("the director does not run")?;
    let mut spent = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        spent += schedstat(&thread?.path().join("schedstat"))?;
    }
    Ok(Duration::from_nanos(spent))
}

fn schedstat(path: &std::path::Path) -> Result<u64> {
    let text = fs::read_to_string(path)?;
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .context("schedstat is not as expected")
}

fn median(spent: &mut [Duration]) -> Duration {
    spent.sort();
    spent[spent.len() / 2]
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
