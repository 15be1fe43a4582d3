//! What the sandbox costs: built-in schedulers in it, beside the same crates compiled into this program.
//!
//! `cargo bench --workspace --bench schedulers`. Each is measured in turns with its twin, by the fastest of many calls;
//! a bound that does not hold makes it fail.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use wvs_core::scheduler::conform::{sample_backends, sample_flow};
use wvs_core::scheduler::{Dispatch, Instance, Limits, Load, Plugin, PluginHost, builtin};
use wvs_plugin::testing::configure;
use wvs_plugin::{Address, Backend, CountingScheduler, Scheduler};

const BACKENDS: u16 = 100;
const SLOTS: u32 = 4096;
/// The clock is looked at once for so many picks: that takes a tenth of one.
const PICKS: u32 = 256;
const TURNS: u32 = 200;

/// A table from the sandbox, by one that the same crate makes in this program; either is checked and taken over by the
/// director. Printed too: by the crate's part alone, for which nothing is asked.
const FILL: f64 = 2.5;
/// The same of a scheduler that compares products of 64 bits.
const FILL_WLC: f64 = 1.5;
const PICK: Duration = Duration::from_nanos(300);
/// Until a plugin that trapped is where it was.
const REPLAY: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let host = PluginHost::new(Limits::default()).unwrap();
    let mut report = Report { host, all_hold: true };
    println!("{BACKENDS} backends, tables of {SLOTS} slots");
    println!(
        "{:<20} {:>9} {:>9} {:>6} {:>8} {:>12}",
        "figure", "sandbox", "native", "ratio", "at most", "by fill alone"
    );
    report.fill("rr", FILL, told::<wvs_plugin_rr::RoundRobin>());
    report.fill("wrr", FILL, told::<wvs_plugin_wrr::WeightedRoundRobin>());
    report.fill("fo", FILL, told::<wvs_plugin_fo::FailOver>());
    report.fill("sh", FILL, told::<wvs_plugin_sh::SourceHash>());
    report.fill("dh", FILL, told::<wvs_plugin_dh::DestinationHash>());
    report.fill("mh", FILL, told::<wvs_plugin_mh::Maglev>());
    report.fill("rendezvous", FILL, told::<wvs_plugin_rendezvous::Rendezvous>());
    report.fill("zone", FILL, told::<wvs_plugin_zone::Zone>());
    report.fill("slow-rr", FILL, told::<wvs_plugin_slow_rr::SlowRoundRobin>());
    report.fill("lc", FILL, observed::<wvs_plugin_lc::LeastConnection>());
    report.fill("wlc", FILL_WLC, observed::<wvs_plugin_wlc::WeightedLeastConnection>());
    report.fill("sed", FILL, observed::<wvs_plugin_sed::ShortestExpectedDelay>());
    report.fill("nq", FILL, observed::<wvs_plugin_nq::NeverQueue>());
    report.fill("ovf", FILL, observed::<wvs_plugin_ovf::Overflow>());
    report.fill("twos", FILL, observed::<wvs_plugin_twos::Twos>());
    report.fill("slow-wlc", FILL, observed::<wvs_plugin_slow_wlc::SlowLeastConnection>());
    report.fill("peak-ewma", FILL, observed::<wvs_plugin_peak_ewma::PeakEwma>());
    for name in ["lblc", "lblcr"] {
        report.pick(name);
    }
    for name in ["rr", "wlc", "mh", "lblc"] {
        report.replay(name);
    }
    if report.all_hold {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What was measured, by which plugins.
struct Report {
    host: PluginHost,
    all_hold: bool,
}

impl Report {
    fn fill<S: Scheduler>(&mut self, name: &str, most: f64, mut twin: S) {
        let mut guest = started(&self.plugin(name));
        let table = guest.fill(SLOTS).unwrap();
        assert_eq!(table.len(), twin.fill(SLOTS).unwrap().len());
        let (mut sandbox, mut native) = (Duration::MAX, Duration::MAX);
        let mut alone = Duration::MAX;
        for _ in 0..TURNS {
            sandbox = sandbox.min(time(|| drop(guest.fill(SLOTS).unwrap())));
            native = native.min(time(|| drop(guest.take_over(&twin.fill(SLOTS).unwrap(), SLOTS).unwrap())));
            alone = alone.min(time(|| drop(black_box(twin.fill(SLOTS).unwrap()))));
        }
        let by = |native: Duration| sandbox.as_secs_f64() / native.as_secs_f64();
        self.row(
            &format!("{name}: a table"),
            sandbox,
            &format!("{:>9} {:>6.2}", format!("{native:.1?}"), by(native)),
            &format!("{most:.1}"),
            by(native) <= most,
            &format!("{:.2}", by(alone)),
        );
    }

    fn pick(&mut self, name: &str) {
        let mut guest = started(&self.plugin(name));
        assert_eq!(guest.dispatch(), Dispatch::Flow);
        let flows: Vec<_> = (0..PICKS).map(sample_flow).collect();
        let one = fastest(|| {
            flows.iter().for_each(|flow| {
                black_box(guest.pick(flow).unwrap());
            })
        }) / PICKS;
        self.row(&format!("{name}: a pick"), one, "", &format!("{PICK:?}"), one <= PICK, "");
    }

    fn replay(&mut self, name: &str) {
        let plugin = self.plugin(name);
        let took = fastest(|| drop(started(&plugin)));
        self.row(&format!("{name}: a replay"), took, "", &format!("{REPLAY:?}"), took <= REPLAY, "");
    }

    fn plugin(&self, name: &str) -> Plugin {
        self.host.load(name, builtin(name).unwrap()).unwrap()
    }

    fn row(&mut self, what: &str, took: Duration, native: &str, most: &str, holds: bool, alone: &str) {
        let verdict = if holds { "" } else { "  TOO MUCH" };
        println!("{what:<20} {:>9} {native:>16} {most:>8} {alone:>12}{verdict}", format!("{took:.1?}"));
        self.all_hold &= holds;
    }
}

/// A plugin that knows all: what a director makes anew after a trap.
fn started(plugin: &Plugin) -> Instance {
    let params = plugin.check_params(&Default::default()).unwrap();
    let mut instance = plugin.start(&params, 1).unwrap();
    instance.update(&sample_backends(1, BACKENDS)).unwrap();
    if instance.wants_load() {
        instance.observe(&loads()).unwrap();
    }
    instance
}

/// The same scheduler in this program.
fn told<S: Scheduler>() -> S {
    let (mut scheduler, _) = configure::<S>(&[]).unwrap();
    let backends: Vec<Backend> = sample_backends(1, BACKENDS)
        .iter()
        .map(|known| {
            let mut same = Backend::sample(known.id.0.into()).weight(known.weight);
            let std::net::IpAddr::V4(address) = known.address else {
                unreachable!("samples are of IPv4")
            };
            same.address = Address {
                d: address.to_bits(),
                ..same.address
            };
            same.port = known.port;
            same
        })
        .collect();
    scheduler.update(&backends).unwrap();
    scheduler
}

fn observed<S: Scheduler + CountingScheduler>() -> S {
    let mut scheduler = told::<S>();
    let (active, inactive): (Vec<_>, Vec<_>) = loads().iter().map(|it| (it.active, it.inactive)).unzip();
    scheduler.observe(&active, &inactive);
    scheduler
}

fn loads() -> Vec<Load> {
    let load = |n| Load {
        active: n * 13 % 50,
        inactive: n * 7 % 400,
    };
    (0..u32::from(BACKENDS)).map(load).collect()
}

fn fastest(mut call: impl FnMut()) -> Duration {
    (0..TURNS).map(|_| time(&mut call)).min().unwrap_or_default()
}

fn time(call: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    call();
    begun.elapsed()
}
