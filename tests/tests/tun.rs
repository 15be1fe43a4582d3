//! Tunnels: the director wraps the packet, the real server unwraps it and answers the client by itself.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use wvs_tests::{
    Config, Distribution, LabOptions, LongLived, Service, Stage, Topology, backend, backend6, client_source,
    client_source6, wait_for,
};

const SOON: Duration = Duration::from_secs(5);
const MB: u64 = 1 << 20;

/// Services of TCP and UDP at one virtual address.
fn both_protocols(name: &str, vip: IpAddr, backends: impl Fn(usize) -> IpAddr) -> Service {
    let listen = |protocol: &str, port| format!("{protocol}://{}", SocketAddr::new(vip, port));
    Service::new(name, &[&listen("tcp", 80), &listen("udp", 53)])
        .forward("tun")
        .backends((1..=3).map(backends))
}

/// Requests of a family are spread, as the client sent them.
#[track_caller]
fn assert_served(stage: &Stage, vip: SocketAddr, client: IpAddr) -> Result<()> {
    assert_eq!(stage.client().ask_many(vip, 30), Distribution::even(3, 10), "{vip}");
    let answer = stage.client().ask(vip)?;
    assert_eq!((answer.peer.ip(), answer.local), (client, vip));
    let vip = SocketAddr::new(vip.ip(), 53);
    // As many as the TCP connection above was short of a round.
    assert_eq!(stage.client().ask_udp_many(vip, 29).answered(), 29, "{vip}");
    assert_eq!(stage.client().ask_udp_many(vip, 30), Distribution::even(3, 10), "{vip}");
    let answer = stage.client().ask_udp(vip, "two words")?;
    assert_eq!((answer.peer.ip(), &*answer.payload), (client, "two words"));
    Ok(())
}

#[test]
fn tunnels_of_all_families() -> Result<()> {
    for options in [LabOptions::tunnels(), LabOptions::routed()] {
        // IPv4 in IPv4 and IPv6 in IPv6, and then IPv4 in IPv6 and IPv6 in IPv4.
        for crossed in [false, true] {
            let lab = options.clone();
            let ends: [fn(usize) -> IpAddr; 2] = if crossed {
                [backend6, backend]
            } else {
                [backend, backend6]
            };
            let vips = [wvs_tests::vip(0), wvs_tests::vip6(0)];
            let config = Config::of([
                both_protocols("four", vips[0], ends[0]),
                both_protocols("six", vips[1], ends[1]),
            ]);
            let stage = Stage::with(lab, config)?;
            assert_eq!(stage.director.status()?["warnings"], Value::Array(Vec::new()));
            assert_served(&stage, stage.web(), client_source())?;
            assert_served(&stage, stage.web6(), client_source6())?;
        }
    }
    Ok(())
}

#[test]
fn connections_are_counted_and_listed() -> Result<()> {
    let stage = Stage::with(LabOptions::routed(), Service::direct("tun"))?;
    let flows = LongLived::open(&stage.client(), stage.web(), 6)?;
    for n in 1..=3 {
        let mut view = Value::Null;
        wait_for("the connections to be counted", SOON, || {
            view = stage.director.backend("web", backend(n)).unwrap_or_default();
            view["active"] == 2
        });
        assert_eq!((&view["connections"], &view["forward"]), (&2.into(), &"tun".into()), "{view}");
        assert_ne!(view["sent"]["packets"], 0, "{view}");
    }
    let listed = stage.director.json(&["connections", "web"])?;
    assert_eq!(listed["total"], 6, "{listed}");
    assert_eq!(flows.finish().broken(), 0);
    Ok(())
}

/// A count of the tc program.
fn count(stage: &Stage, of: &str, what: &str) -> u64 {
    let status = stage.director.status().unwrap_or_default();
    status["tc"][of][what]
        .as_u64()
        .unwrap_or_else(|| panic!("no `{what}` in {status}"))
}

#[test]
fn clients_are_told_what_fits() -> Result<()> {
    for topology in [Topology::OneArm, Topology::Routed] {
        let options = LabOptions {
            topology,
            ..LabOptions::tunnels()
        };
        let stage = Stage::with(options, Service::direct_of_both_families("tun"))?;
        // Every segment is a packet of its own, and as large as the client's network allows.
        stage.lab.client_ns().offloads("eth0", false)?;
        for (vip, most) in [(stage.web(), 1480), (stage.web6(), 1460)] {
            let before = count(&stage, "drops", "too-big");
            stage.client().transfer(vip, 4 * MB)?;
            assert!(count(&stage, "drops", "too-big") > before, "{vip} was told nothing");
            let route = stage.lab.client_ns().ip(&format!("route get {}", vip.ip()))?;
            assert!(route.contains(&format!("mtu {most}")), "{route}");
        }
        assert_eq!(count(&stage, "drops", "too-big-untold"), 0);
    }
    Ok(())
}

#[test]
fn large_packets_of_the_kernel_are_cut_to_fit() -> Result<()> {
    let stage = Stage::with(LabOptions::tunnels(), Service::direct_of_both_families("tun"))?;
    for vip in [stage.web(), stage.web6()] {
        stage.client().transfer(vip, 16 * MB)?;
    }
    assert_eq!(count(&stage, "drops", "encapsulation"), 0);
    Ok(())
}

#[test]
fn a_narrow_route_narrows_the_tunnel() -> Result<()> {
    let stage = Stage::prepared(LabOptions::routed(), Service::direct("tun"), |lab| {
        lab.director_ns()
            .ip("route change 10.1.0.0/24 via 10.0.0.2 mtu 1400")
            .map(drop)
    })?;
    stage.lab.client_ns().offloads("eth0", false)?;
    stage.client().transfer(stage.web(), 4 * MB)?;
    let route = stage.lab.client_ns().ip("route get 10.0.0.100")?;
    assert!(route.contains("mtu 1380"), "{route}");
    // The network changes, and the director sees it.
    stage.ns().ip("route change 10.1.0.0/24 via 10.0.0.2 mtu 1300")?;
    wait_for("the narrower route to be seen", SOON, || {
        stage.client().transfer(stage.web(), MB).is_ok()
            && stage
                .lab
                .client_ns()
                .ip("route get 10.0.0.100")
                .is_ok_and(|route| route.contains("mtu 1280"))
    });
    Ok(())
}

#[test]
fn large_datagrams_arrive_once_the_client_knows() -> Result<()> {
    let dns = Service::new("dns", &["udp://10.0.0.100:53", "udp://[fd00:a::100]:53"])
        .forward("tun")
        .backend(backend(1))
        .backend(backend6(1));
    let options = LabOptions {
        backends: 1,
        ..LabOptions::tunnels()
    };
    let stage = Stage::with(options, dns)?;
    // The second is one packet of the client's network and too large for the tunnel: it is lost, and the client told.
    for (vip, sizes) in [
        (stage.lab.vip(53), [1400, 1465, 10_000]),
        (stage.lab.vip6(53), [1400, 1430, 10_000]),
    ] {
        for size in sizes {
            let large = "x".repeat(size);
            let asked = stage.client().ask_udp(vip, &large);
            assert_eq!(asked.is_err(), size == sizes[1], "{vip} {size}: {asked:?}");
            assert_eq!(stage.client().ask_udp(vip, &large)?.payload, large, "{vip} {size}");
        }
    }
    Ok(())
}
