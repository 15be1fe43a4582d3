//! Nobody to serve a connection: the client hears so at once, and nothing else answers in our place.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Result;
use wvs_tests::{
    Config, Distribution, LabOptions, LongLived, RealServer, ServerOptions, Service, Stage, Target, backend,
    backend6, rs, rs6, vip, vip6,
};

/// A first packet that is lost is sent again after a second: less than that is at once.
const AT_ONCE: Duration = Duration::from_millis(800);

fn dns() -> Service {
    let listen = ["udp://10.0.0.100:53", "udp://[fd00:a::100]:53"];
    Service::new("dns", &listen).backends([backend(1), backend6(1)].map(|at| SocketAddr::new(at, 5353)))
}

/// That TCP and UDP, IPv4 and IPv6 are refused, and at once.
#[track_caller]
fn assert_refused(stage: &Stage, when: &str) {
    let began = Instant::now();
    for vip in [stage.web(), stage.web6()] {
        let asked = stage.client().ask(vip).map_err(|error| error.kind());
        assert_eq!(asked, Err(ErrorKind::ConnectionRefused), "{vip} with backends {when}");
    }
    for vip in [stage.lab.vip(53), stage.lab.vip6(53)] {
        let asked = stage.client().ask_udp(vip, "x").map_err(|error| error.kind());
        assert_eq!(asked, Err(ErrorKind::ConnectionRefused), "UDP {vip} with backends {when}");
    }
    assert!(began.elapsed() < AT_ONCE, "four refusals took {:?} with backends {when}", began.elapsed());
}

fn served(stage: &Stage) -> Result<()> {
    stage.client().ask(stage.web())?;
    stage.client().ask(stage.web6())?;
    stage.client().ask_udp(stage.lab.vip(53), "x")?;
    stage.client().ask_udp(stage.lab.vip6(53), "x")?;
    Ok(())
}

#[test]
fn without_backends_everything_is_refused_at_once() -> Result<()> {
    let web = Service::web_of_both_families();
    let bare = Config::of([web.clone().only::<Target>([]), dns().only::<Target>([])]);
    let stage = Stage::with_servers(1, bare.clone())?;
    assert_refused(&stage, "none from the start");

    let full = Config::of([web.clone().only([rs(1), rs6(1)]), dns()]);
    stage.director.reload_with(&full)?;
    served(&stage)?;
    let flows = LongLived::open(&stage.client(), stage.web(), 10)?;

    for (service, backend) in backends() {
        stage
            .director
            .ok(&["weight", service, &backend.to_string(), "0"])?;
    }
    assert_refused(&stage, "of weight 0");
    for (service, backend) in backends() {
        stage
            .director
            .ok(&["weight", service, &backend.to_string(), "1"])?;
    }
    served(&stage)?;

    for (service, backend) in backends() {
        stage.director.drain(service, backend)?;
    }
    assert_refused(&stage, "drained");

    stage.director.reload_with(&bare)?;
    assert_refused(&stage, "removed");

    // None of this was about connections that stand.
    flows.settle();
    let report = flows.finish();
    assert_eq!(report.broken(), 0, "{report:?}");
    Ok(())
}

fn backends() -> [(&'static str, SocketAddr); 4] {
    [
        ("web", rs(1)),
        ("web", rs6(1)),
        ("dns", SocketAddr::new(backend(1), 5353)),
        ("dns", SocketAddr::new(backend6(1), 5353)),
    ]
}

/// A server on the director at the virtual addresses: what must not be reached by mistake.
fn local_server(stage: &Stage) -> Result<RealServer> {
    stage.lab.start_local_server(&ServerOptions {
        tcp: vec![80, 81],
        udp: vec![53, 54],
        also_at: vec![vip(0), vip6(0), "10.0.0.1".parse()?],
    })
}

#[test]
fn a_service_never_falls_to_a_local_port() -> Result<()> {
    let web = Service::web_of_both_families().only([rs(1), rs6(1)]);
    let stage = Stage::with_servers(1, Config::of([web, dns()]))?;
    let local = local_server(&stage)?;
    let client = stage.client();
    for vip in [stage.web(), stage.web6()] {
        assert_eq!(client.ask_many(vip, 3), Distribution::of(&[("rs1", 3)]));
    }
    assert_eq!(client.ask_udp_many(stage.lab.vip(53), 3), Distribution::of(&[("rs1", 3)]));
    for (service, backend) in backends() {
        stage.director.drain(service, backend)?;
    }
    assert_refused(&stage, "drained, and somebody listening at the same port here");
    assert_eq!((local.accepted(), local.datagrams()), (0, 0));
    // And it would have answered.
    assert_eq!(client.ask_many(stage.lab.vip(81), 3), Distribution::of(&[("local", 3)]));
    Ok(())
}

/// Asks TCP port 81 and UDP port 54 of an address, where the local server listens and no service is.
fn ask_other_ports(stage: &Stage, address: IpAddr) -> [Result<String, ErrorKind>; 2] {
    let kind = |error: Error| error.kind();
    let tcp = stage.client().ask(SocketAddr::new(address, 81));
    let udp = stage.client().ask_udp(SocketAddr::new(address, 54), "x");
    [
        tcp.map(|answer| answer.server).map_err(kind),
        udp.map(|answer| answer.server).map_err(kind),
    ]
}

#[test]
fn other_ports_are_rejected_when_asked_for() -> Result<()> {
    let web = Service::web_of_both_families();
    let stage = Stage::up(web.clone())?;
    let local = local_server(&stage)?;
    let reached = [Ok("local".to_owned()), Ok("local".to_owned())];
    let rejected = [
        Err(ErrorKind::ConnectionRefused),
        Err(ErrorKind::ConnectionRefused),
    ];
    for address in [vip(0), vip6(0)] {
        assert_eq!(ask_other_ports(&stage, address), reached, "{address}");
    }

    stage.director.reload_with(web.clone().reject_other_ports())?;
    let (tcp, udp) = (local.accepted(), local.datagrams());
    let began = Instant::now();
    for address in [vip(0), vip6(0)] {
        assert_eq!(ask_other_ports(&stage, address), rejected, "{address}");
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!((local.accepted(), local.datagrams()), (tcp, udp));
    // Only those: not the service, not the echo, not the director's other addresses.
    assert_eq!(stage.client().ask_many(stage.web(), 3).answered(), 3);
    assert_eq!(stage.client().ask_many(stage.web6(), 3).answered(), 3);
    for address in [vip(0), vip6(0)] {
        stage.client().ping(address)?;
    }
    assert_eq!(ask_other_ports(&stage, "10.0.0.1".parse()?), reached);
    // Clients on the director hear the same.
    let asked = stage.lab.local_client().ask(SocketAddr::new(vip(0), 81));
    assert_eq!(asked.map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused));

    stage.director.reload_with(web)?;
    for address in [vip(0), vip6(0)] {
        assert_eq!(ask_other_ports(&stage, address), reached, "{address}");
    }
    Ok(())
}

#[test]
fn a_virtual_address_answers_echo_requests() -> Result<()> {
    let stage = Stage::with(LabOptions::default(), Service::web_of_both_families())?;
    stage.client().ping(vip(0))?;
    stage.client().ping(vip6(0))?;
    Ok(())
}
