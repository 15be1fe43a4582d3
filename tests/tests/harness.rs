//! The harness proves itself: with an nft table written by hand in the director's place.

#![expect(
    clippy::print_stderr,
    reason = "times are for whoever runs it with --no-capture"
)]

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::Result;
use common::{balanced, table, without};
use wvs_tests::{
    Arrivals, Distribution, HeldConnections, HeldOptions, Lab, LabOptions, Lifetimes, LongLived,
    SctpResponder, ServerOptions, backend, backend6, client_source, client_sources, vip6, wait_for,
};

fn exists(namespace: &str) -> bool {
    std::path::Path::new("/run/netns").join(namespace).exists()
}

#[test]
fn a_lab_leaves_no_namespace_behind() -> Result<()> {
    let began = Instant::now();
    let lab = Lab::new(LabOptions {
        name: "gone",
        ..LabOptions::default()
    })?;
    eprintln!("a lab with 3 real servers took {:?}", began.elapsed());
    let names: Vec<String> = lab.names().into_iter().map(str::to_owned).collect();
    assert_eq!(names.len(), 5);
    assert!(names.iter().all(|name| exists(name)), "{names:?}");
    drop(lab);
    assert!(!names.iter().any(|name| exists(name)), "{names:?}");
    Ok(())
}

#[test]
fn a_panic_leaves_no_namespace_behind() {
    let mut names = Vec::new();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let lab = Lab::new(LabOptions::default()).unwrap();
        let _servers = lab.start_servers(&ServerOptions::default()).unwrap();
        names.extend(lab.names().into_iter().map(str::to_owned));
        panic!("as a failing test does");
    }));
    assert!(panic.is_err());
    assert_eq!(names.len(), 5);
    assert!(!names.iter().any(|name| exists(name)), "{names:?}");
}

#[test]
fn what_a_killed_test_has_left_is_swept() -> Result<()> {
    // A number no process of this machine has: the kernel's limit is 4194304.
    let leftover = "wvs-4194400-1-client";
    // Another test that starts right now may sweep it while it is being made, or just after.
    wait_for("a leftover to be made", Duration::from_secs(5), || {
        let made = std::process::Command::new("ip")
            .args(["netns", "add", leftover])
            .output();
        made.is_ok_and(|made| made.status.success())
    });
    // The sweep happens once in a process; if another test of this one has done it already,
    // only a fresh process shows it.
    let this = std::env::current_exe()?;
    let arguments = ["--exact", "a_lab_leaves_no_namespace_behind"];
    let fresh = std::process::Command::new(this).args(arguments).output()?;
    assert!(fresh.status.success(), "{fresh:?}");
    assert!(!exists(leftover));
    Ok(())
}

#[test]
fn packets_flow_at_once_both_ways_and_in_both_families() -> Result<()> {
    let lab = Lab::new(LabOptions::default())?;
    let began = Instant::now();
    let _servers = lab.start_servers(&ServerOptions::default())?;
    for n in 1..=3 {
        for address in [backend6(n), backend(n)] {
            let to = SocketAddr::new(address, 8080);
            let answer = lab.client().ask(to)?;
            assert_eq!((answer.server, answer.local), (format!("rs{n}"), to));
        }
    }
    // A lost first packet is sent again after a second. On a machine with more work than cores one may be.
    assert!(began.elapsed() < Duration::from_millis(1900), "{:?}", began.elapsed());
    Ok(())
}

#[test]
fn packets_flow_at_once_however_hosts_are_connected() -> Result<()> {
    for options in [LabOptions::one_arm(), LabOptions::tunnels(), LabOptions::routed()] {
        let lab = Lab::new(options)?;
        let _servers = lab.start_servers(&lab.server_options())?;
        for n in 1..=3 {
            for address in [backend6(n), backend(n)] {
                let to = SocketAddr::new(address, 80);
                let answer = lab.client().ask(to)?;
                assert_eq!((answer.server, answer.local), (format!("rs{n}"), to));
            }
        }
        // The real servers have the virtual addresses, and keep that to themselves.
        for vip in [lab.vip(80), lab.vip6(80)] {
            let asked = lab.client().ask(vip).map_err(|error| error.kind());
            assert!(
                matches!(asked, Err(ErrorKind::TimedOut | ErrorKind::HostUnreachable)),
                "{vip}: {asked:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn thirty_connections_fall_into_exact_thirds() -> Result<()> {
    let (lab, _servers) = balanced(LabOptions::default())?;
    let thirds = Distribution::of(&[("rs1", 10), ("rs2", 10), ("rs3", 10)]);
    assert_eq!(lab.client().ask_many(lab.vip(80), 30), thirds);
    assert_eq!(lab.client().ask_many(lab.vip6(80), 30), thirds);
    assert_eq!(lab.client().ask_udp_many(lab.vip(53), 30), thirds);
    assert_eq!(lab.client().ask_udp_many(lab.vip6(53), 30), thirds);
    Ok(())
}

#[test]
fn no_request_belongs_to_an_earlier_flow() -> Result<()> {
    // Ports chosen by the kernel repeat about nine times in so many, and conntrack remembers.
    let (lab, _servers) = balanced(LabOptions::default())?;
    let thirds = Distribution::of(&[("rs1", 333), ("rs2", 333), ("rs3", 333)]);
    for client in [lab.client(), lab.client().from(client_source())] {
        assert_eq!(client.ask_udp_many(lab.vip(53), 999), thirds);
        assert_eq!(client.ask_many(lab.vip(80), 999), thirds);
    }
    Ok(())
}

#[test]
fn answers_tell_addresses_on_both_sides_of_nat() -> Result<()> {
    let (lab, _servers) = balanced(LabOptions {
        client_addresses: 5,
        ..LabOptions::default()
    })?;
    let sources = client_sources(5);
    let client = lab.client().from(sources[3]);
    let answer = client.ask(lab.vip(80))?;
    assert_eq!(answer.peer.ip(), sources[3]);
    assert_eq!(answer.local, SocketAddr::new(backend(1), 8080));
    let answer = client.ask_udp(lab.vip(53), "two words")?;
    assert_eq!((answer.peer.ip(), answer.payload.as_str()), (sources[3], "two words"));
    let each = lab.client().ask_from_each(&sources, lab.vip(80));
    assert_eq!(each.len(), 5);
    assert!(each.values().all(Result::is_ok), "{each:?}");
    Ok(())
}

#[test]
fn failures_are_told_apart() -> Result<()> {
    let (lab, servers) = balanced(LabOptions {
        backends: 1,
        ..LabOptions::default()
    })?;
    let client = lab.client();
    // Nobody listens: refused, also by ICMP and also many times in a row.
    servers[0].stop_listening();
    assert_eq!(
        client
            .ask_many(lab.vip(80), 10)
            .error(ErrorKind::ConnectionRefused),
        10
    );
    assert_eq!(
        client
            .ask_udp_many(lab.vip(53), 10)
            .error(ErrorKind::ConnectionRefused),
        10
    );
    assert_eq!(
        client
            .ask_udp_many(lab.vip6(53), 10)
            .error(ErrorKind::ConnectionRefused),
        10
    );
    servers[0].listen()?;
    assert_eq!(client.ask_many(lab.vip(80), 10), Distribution::of(&[("rs1", 10)]));
    // The cable is out: silence.
    lab.unplug(1)?;
    assert_eq!(client.ask(lab.vip(80)).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(client.ask_udp(lab.vip(53), "x").unwrap_err().kind(), ErrorKind::TimedOut);
    lab.plug(1)?;
    wait_for("the mended cable", Duration::from_secs(5), || client.ask(lab.vip(80)).is_ok());
    Ok(())
}

#[test]
fn replacing_the_table_breaks_nothing() -> Result<()> {
    let (lab, _servers) = balanced(LabOptions::default())?;
    let flows = LongLived::open(&lab.client(), lab.vip(80), 300)?;
    let arrivals = Arrivals::start(&lab.client(), lab.vip(80), 100);
    flows.settle();
    for _ in 0..10 {
        lab.director_ns()
            .nft(&format!("delete table inet lab\n{}", table(3)))?;
    }
    flows.settle();
    arrivals.next(30);
    let report = flows.finish();
    assert_eq!(report.broken(), 0, "{report:?}");
    assert_eq!(report.opened.answered(), 300);
    assert!(report.exchanged >= 600, "{report:?}");
    let arrived = arrivals.finish();
    assert_eq!(arrived.failed(), 0, "{arrived}");
    Ok(())
}

#[test]
fn deleting_the_table_breaks_everything() -> Result<()> {
    // That a break shows at all: the director's most important test must be able to fail.
    let (lab, _servers) = balanced(LabOptions::default())?;
    let flows = LongLived::open(&lab.client(), lab.vip(80), 60)?;
    flows.settle();
    lab.director_ns().nft("delete table inet lab")?;
    flows.settle();
    let report = flows.finish();
    assert_eq!(report.broken(), 60, "{report:?}");
    assert_eq!(
        lab.client()
            .ask_many(lab.vip(80), 3)
            .error(ErrorKind::ConnectionRefused),
        3
    );
    Ok(())
}

#[test]
fn a_crash_breaks_exactly_the_connections_of_that_server() -> Result<()> {
    let (lab, servers) = balanced(LabOptions::default())?;
    let flows = LongLived::open(&lab.client(), lab.vip(80), 90)?;
    flows.settle();
    assert_eq!(servers[1].active(), 30);
    assert_eq!(servers[1].crash(), 30);
    flows.settle();
    let report = flows.finish();
    assert_eq!(report.broken_at, [("rs2".to_owned(), 30)].into(), "{report:?}");
    assert_eq!(report.errors, [(ErrorKind::ConnectionReset, 30)].into(), "{report:?}");
    let expected = [("rs1".to_owned(), 30), ("rs3".to_owned(), 30)];
    assert_eq!(report.alive, expected.into());
    wait_for("closed connections to end at the servers", Duration::from_secs(5), || {
        servers.iter().all(|server| server.active() == 0)
    });
    // It comes back, and works as before.
    servers[1].listen()?;
    let thirds = Distribution::of(&[("rs1", 5), ("rs2", 5), ("rs3", 5)]);
    assert_eq!(lab.client().ask_many(lab.vip(80), 15), thirds);
    Ok(())
}

#[test]
fn not_listening_breaks_nothing_and_arrivals_tell_a_change() -> Result<()> {
    let (lab, servers) = balanced(LabOptions::default())?;
    let flows = LongLived::open(&lab.client(), lab.vip(80), 30)?;
    let arrivals = Arrivals::start(&lab.client(), lab.vip(80), 200);
    servers[2].stop_listening();
    let seen = arrivals.next(60);
    assert_eq!(seen.server("rs3"), 0, "{seen}");
    // A third of at least sixty, whichever of the three came first.
    assert!(seen.error(ErrorKind::ConnectionRefused) >= 20, "{seen}");
    assert_eq!(seen.failed(), seen.error(ErrorKind::ConnectionRefused), "{seen}");
    lab.director_ns()
        .nft(&format!("delete table inet lab\n{}", without(3, 3)))?;
    let seen = arrivals.next(60);
    assert_eq!((seen.server("rs3"), seen.failed()), (0, 0), "{seen}");
    flows.settle();
    assert_eq!(flows.finish().broken(), 0);
    Ok(())
}

#[test]
fn held_connections_are_counted_where_they_live() -> Result<()> {
    let (lab, servers) = balanced(LabOptions::default())?;
    let options = HeldOptions {
        per_second: 200,
        lifetimes: Lifetimes::Forever,
        seed: 1,
    };
    let held = HeldConnections::start(&lab.client(), lab.vip(80), options);
    held.wait_opened(90);
    let broken = servers[0].crash();
    wait_for("the crash to be noticed", Duration::from_secs(5), || {
        held.report().broken.values().sum::<usize>() == broken
    });
    let report = held.finish();
    assert_eq!(report.live["rs1"], 0, "{report:?}");
    assert_eq!(report.live["rs2"], report.opened.server("rs2"), "{report:?}");
    assert_eq!(report.spread().0, 0);
    assert!(report.spread().1 >= 30, "{report:?}");

    let lifetimes = Lifetimes::Uniform(Duration::from_millis(1), Duration::from_millis(20));
    let options = HeldOptions { lifetimes, ..options };
    let held = HeldConnections::start(&lab.client(), SocketAddr::new(backend(2), 8080), options);
    held.wait_opened(100);
    let report = held.finish();
    // Two hundred a second for 10 ms each: two at a time. Twenty would be a clock standing still.
    assert!(report.live["rs2"] < 20, "{report:?}");
    assert!(report.broken.is_empty(), "{report:?}");
    Ok(())
}

#[test]
fn sctp_goes_through_nat_and_back() -> Result<()> {
    let (lab, _servers) = balanced(LabOptions {
        backends: 2,
        ..LabOptions::default()
    })?;
    let responders = [
        SctpResponder::start(lab.backend_ns(1), "rs1")?,
        SctpResponder::start(lab.backend_ns(2), "rs2")?,
    ];
    for (vip, sources) in [
        (lab.vip(36412), ["10.0.0.10", "10.0.0.10"]),
        (lab.vip6(36412), ["fd00:a::10", "fd00:a::10"]),
    ] {
        let answers = [lab.client().ask_sctp(vip)?, lab.client().ask_sctp(vip)?];
        assert_eq!(answers.each_ref().map(|answer| answer.server.as_str()), ["rs1", "rs2"]);
        assert_eq!(answers.each_ref().map(|answer| answer.from), [vip, vip]);
        assert_eq!(answers.map(|answer| answer.peer.ip().to_string()), sources);
    }
    for responder in &responders {
        let seen = responder.seen();
        assert_eq!(seen.iter().map(SocketAddr::port).collect::<Vec<_>>(), [38412, 38412]);
        assert_eq!(seen[0].ip(), client_source());
    }
    // Nobody there: silence, or an ICMP error that a raw socket does not report.
    let error = lab.client().ask_sctp(SocketAddr::new(vip6(1), 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    Ok(())
}

#[test]
fn the_largest_lab_still_works() -> Result<()> {
    let began = Instant::now();
    let (lab, _servers) = balanced(LabOptions {
        backends: 20,
        client_addresses: 231,
        ..LabOptions::default()
    })?;
    eprintln!("a lab with 20 running servers and 231 addresses took {:?}", began.elapsed());
    let sources: Vec<IpAddr> = client_sources(231);
    let seen = lab.client().ask_from_each(&sources, lab.vip(80));
    assert!(seen.values().all(Result::is_ok), "{seen:?}");
    Ok(())
}
