//! Much traffic by direct routing and through tunnels: floods, full tables, large transfers.

#![expect(
    clippy::print_stderr,
    reason = "figures are for whoever runs it with --no-capture"
)]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;

use anyhow::Result;
use wvs_tests::{Config, Distribution, LabOptions, LongLived, Service, Stage};

/// As many as the half-open table of a family has room for.
const HALF_OPEN: u32 = 65_536;

/// A number that whoever runs the test may set, such as WVS_TRANSFER_MB=1024.
fn scaled(variable: &str, usual: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

#[test]
fn a_flood_of_syns_breaks_nothing() -> Result<()> {
    let stage = Stage::with(LabOptions::one_arm(), Service::direct("dr"))?;
    let flows = LongLived::open(&stage.client(), stage.web(), 300)?;
    let began = Instant::now();
    let vip = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 100), 80);
    stage.client().flood(vip, 10 * HALF_OPEN)?;
    eprintln!("{} SYNs in {:?}", 10 * HALF_OPEN, began.elapsed());
    flows.settle();
    let report = flows.finish();
    assert_eq!(report.broken(), 0, "{report:?}");
    // Some have come through to have the table full, and whoever comes after it is served.
    let connections = stage.director.status()?["tc"]["connections"].as_u64();
    assert!(connections.is_some_and(|seen| seen > u64::from(HALF_OPEN / 2)), "{connections:?}");
    assert_eq!(stage.client().ask_many(stage.web(), 30).answered(), 30);
    Ok(())
}

#[test]
fn a_full_table_keeps_connections_that_hash() -> Result<()> {
    // More connections than the table has room for. Those that fall out of it are sent by the client's hash, which is
    // how they were scheduled.
    let web = Service::direct_of_both_families("dr").scheduler_with("sh", &[("port", "true")]);
    let stage = Stage::with(LabOptions::one_arm(), Config::of([web]).director("max_flows", "1024"))?;
    for to in [stage.web(), stage.web6()] {
        let flows = LongLived::open(&stage.client(), to, 1500)?;
        flows.settle();
        flows.settle();
        let status = stage.director.status()?;
        let report = flows.finish();
        assert_eq!(report.broken(), 0, "{report:?}");
        // Packets of established connections have come that no table knew.
        let forgotten = status["tc"]["events"]["no-syn"].as_u64();
        assert!(forgotten.is_some_and(|packets| packets > 400), "{status}");
    }
    Ok(())
}

#[test]
fn large_transfers_by_both_methods_with_and_without_offloads() -> Result<()> {
    let bytes = scaled("WVS_TRANSFER_MB", 64) << 20;
    for (forward, options) in [("dr", LabOptions::one_arm()), ("tun", LabOptions::tunnels())] {
        let stage = Stage::with(options, Service::direct_of_both_families(forward))?;
        for offloads in [true, false] {
            let lab = &stage.lab;
            let hosts = [
                lab.client_ns(),
                lab.director_ns(),
                lab.backend_ns(1),
                lab.backend_ns(2),
                lab.backend_ns(3),
            ];
            hosts
                .into_iter()
                .try_for_each(|host| host.offloads("eth0", offloads))?;
            for to in [stage.web(), stage.web6()] {
                let began = Instant::now();
                stage.client().transfer(to, bytes)?;
                eprintln!(
                    "{forward}, offloads {offloads}, {to}: {bytes} bytes and back in {:?}",
                    began.elapsed()
                );
            }
        }
        assert_eq!(stage.client().ask_many(stage.web(), 30), Distribution::even(3, 10));
    }
    Ok(())
}
