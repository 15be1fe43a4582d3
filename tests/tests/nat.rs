//! Connections reach the backends and their answers come back, whatever the family, the protocol and
//! the method.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use wvs_tests::{
    Config, Distribution, Lab, LabOptions, SctpResponder, Service, Stage, Target, backend, backend6,
    client_source, client_source6, client_sources, rs, rs6, vip, vip6,
};

/// Each of three real servers this often.
fn each(n: usize) -> Distribution {
    Distribution::of(&[("rs1", n), ("rs2", n), ("rs3", n)])
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("a test's address")
}

/// The director as the real servers see it.
fn director() -> [IpAddr; 2] {
    [ip("10.1.0.1"), ip("fd00:b::1")]
}

#[test]
fn tcp_in_both_families() -> Result<()> {
    let stage = Stage::up(Service::web_of_both_families())?;
    for (vip, client, server) in [
        (stage.web(), client_source(), rs(1)),
        (stage.web6(), client_source6(), rs6(1)),
    ] {
        assert_eq!(stage.client().ask_many(vip, 30), each(10));
        // The server sees the client and is reached at its own port.
        let answer = stage.client().ask(vip)?;
        assert_eq!((answer.peer.ip(), answer.local), (client, server));
    }
    Ok(())
}

#[test]
fn udp_in_both_families() -> Result<()> {
    let dns = Service::new("dns", &["udp://10.0.0.100:53", "udp://[fd00:a::100]:53"])
        .backends((1..=3).map(|n| SocketAddr::new(backend(n), 5353)))
        .backends((1..=3).map(|n| SocketAddr::new(backend6(n), 5353)));
    let stage = Stage::up(dns)?;
    for (vip, client) in [
        (stage.lab.vip(53), client_source()),
        (stage.lab.vip6(53), client_source6()),
    ] {
        // The client's sockets are connected: an answer from elsewhere than the virtual address is none.
        assert_eq!(stage.client().ask_udp_many(vip, 30), each(10));
        let answer = stage.client().ask_udp(vip, "two words")?;
        assert_eq!((answer.peer.ip(), &*answer.payload), (client, "two words"));
    }
    Ok(())
}

#[test]
fn sctp_in_both_families() -> Result<()> {
    let s1ap = Service::new("s1ap", &["sctp://10.0.0.100:36412", "sctp://[fd00:a::100]:36412"])
        .backends((1..=2).map(|n| SocketAddr::new(backend(n), 38412)))
        .backends((1..=2).map(|n| SocketAddr::new(backend6(n), 38412)));
    let stage = Stage::with_servers(2, s1ap)?;
    let responders = [
        SctpResponder::start(stage.lab.backend_ns(1), "rs1")?,
        SctpResponder::start(stage.lab.backend_ns(2), "rs2")?,
    ];
    for vip in [stage.lab.vip(36412), stage.lab.vip6(36412)] {
        let answers = [stage.client().ask_sctp(vip)?, stage.client().ask_sctp(vip)?];
        assert_eq!(answers.each_ref().map(|answer| &*answer.server), ["rs1", "rs2"]);
        assert_eq!(answers.map(|answer| answer.from), [vip, vip]);
    }
    for responder in &responders {
        assert!(responder.seen().iter().all(|seen| seen.port() == 38412), "{:?}", responder.seen());
    }
    Ok(())
}

#[test]
fn a_backend_without_a_port_gets_the_clients() -> Result<()> {
    let web = Service::new("web", &["tcp://10.0.0.100:8080-8081"]).backends((1..=3).map(backend));
    let stage = Stage::up(web)?;
    for port in [8080, 8081] {
        assert_eq!(stage.client().ask(stage.lab.vip(port))?.local.port(), port);
    }
    Ok(())
}

#[test]
fn lists_and_ranges_of_ports() -> Result<()> {
    let listen = [
        "tcp://10.0.0.100:80,443,8000-8010",
        "tcp://10.0.0.101:80,9000-9001",
        "tcp://[fd00:a::100]:81,8000-8010",
    ];
    let web = Service::new("web", &listen)
        .backends((1..=3).map(rs))
        .backends((1..=3).map(rs6));
    let stage = Stage::up(web)?;
    let served = [
        (vip(0), vec![80, 443, 8000, 8005, 8010]),
        (vip(1), vec![80, 9000, 9001]),
        (vip6(0), vec![81, 8007]),
    ];
    for (address, port) in flat(served) {
        assert_eq!(
            stage.client().ask(SocketAddr::new(address, port))?.local.port(),
            8080,
            "{address} {port}"
        );
    }
    let others = [
        (vip(0), vec![79, 81, 7999, 8011, 9000]),
        (vip(1), vec![443, 9002]),
        (vip6(0), vec![80, 443, 8011]),
    ];
    for (address, port) in flat(others) {
        let kind = stage
            .client()
            .ask(SocketAddr::new(address, port))
            .map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::ConnectionRefused), "{address} {port}");
    }
    Ok(())
}

fn flat<const N: usize>(ports: [(IpAddr, Vec<u16>); N]) -> impl Iterator<Item = (IpAddr, u16)> {
    ports
        .into_iter()
        .flat_map(|(address, ports)| ports.into_iter().map(move |port| (address, port)))
}

#[test]
fn services_share_an_address() -> Result<()> {
    let service = |name: &str, listen: &str, n, port| {
        Service::new(name, &[listen]).backend(SocketAddr::new(backend(n), port))
    };
    let stage = Stage::up(Config::of([
        service("one", "tcp://10.0.0.100:80", 1, 8080),
        service("two", "tcp://10.0.0.100:81", 2, 8081),
        service("dns", "udp://10.0.0.100:80", 3, 5353),
    ]))?;
    let only = |name: &str| Distribution::of(&[(name, 4)]);
    assert_eq!(stage.client().ask_many(stage.lab.vip(80), 4), only("rs1"));
    assert_eq!(stage.client().ask_many(stage.lab.vip(81), 4), only("rs2"));
    assert_eq!(stage.client().ask_udp_many(stage.lab.vip(80), 4), only("rs3"));
    Ok(())
}

#[test]
fn full_nat_shows_servers_the_outgoing_address() -> Result<()> {
    let stage = Stage::up(Service::web_of_both_families().forward("full-nat"))?;
    for (vip, director) in [stage.web(), stage.web6()].into_iter().zip(director()) {
        assert_eq!(stage.client().ask(vip)?.peer.ip(), director);
        assert_eq!(stage.client().ask_many(vip, 29).answered(), 29);
    }
    Ok(())
}

#[test]
fn full_nat_shows_servers_one_address() -> Result<()> {
    let sources = ["10.1.0.220", "fd00:b::220"];
    let web = Service::web_of_both_families()
        .forward("full-nat")
        .source(&sources);
    let stage = Stage::prepared(LabOptions::default(), web, |lab| own(lab, &sources))?;
    for (vip, source) in [stage.web(), stage.web6()].into_iter().zip(sources) {
        assert_eq!(stage.client().ask(vip)?.peer.ip(), ip(source));
        assert_eq!(stage.client().ask_many(vip, 30), each(10));
    }
    Ok(())
}

#[test]
fn full_nat_shows_servers_a_pool() -> Result<()> {
    let pool = ["10.1.0.220", "10.1.0.221", "10.1.0.222", "10.1.0.223"];
    let web = Service::web()
        .forward("full-nat")
        .source(&["10.1.0.220-10.1.0.223"]);
    let options = LabOptions {
        client_addresses: 40,
        ..LabOptions::default()
    };
    let stage = Stage::prepared(options, web, |lab| own(lab, &pool))?;
    let mut seen = BTreeSet::new();
    for source in client_sources(40) {
        seen.insert(stage.client().from(source).ask(stage.web())?.peer.ip());
    }
    // The kernel spreads clients over the pool by a hash of their address.
    assert_eq!(seen, pool.map(ip).into(), "not the pool, or not all of it");
    Ok(())
}

/// Gives the director more addresses that its real servers can reach.
fn own(lab: &Lab, addresses: &[&str]) -> Result<()> {
    for address in addresses {
        let (prefix, more) = if address.contains(':') {
            (128, " nodad")
        } else {
            (32, "")
        };
        lab.director_ns()
            .ip(&format!("addr add {address}/{prefix} dev br-rs{more}"))?;
    }
    Ok(())
}

#[test]
fn a_backend_has_a_method_of_its_own() -> Result<()> {
    let web = Service::web().only([Target::new(rs(1)), Target::new(rs(2)).forward("full-nat")]);
    let stage = Stage::with_servers(2, web)?;
    let answers = [stage.client().ask(stage.web())?, stage.client().ask(stage.web())?];
    let seen = answers.map(|answer| (answer.server, answer.peer.ip()));
    assert_eq!(seen, [("rs1".into(), client_source()), ("rs2".into(), director()[0])]);
    Ok(())
}

/// Marks what goes to some ports, whatever the address.
const MARKS: &str = "table inet foreign {
    chain marks {
        type filter hook prerouting priority mangle;
        tcp dport 7000-7999 meta mark set 7
        tcp dport 8081 meta mark set 8
        udp dport 7000 meta mark set 9
    }
}";

#[test]
fn a_firewall_mark_is_a_service() -> Result<()> {
    let marked = |name: &str, mark: &str| Service::new(name, &[mark]).unmanaged();
    let config = Config::of([
        marked("web", "fwmark:7")
            .backends((1..=3).map(rs))
            .backends((1..=3).map(rs6)),
        marked("same-port", "fwmark:8").backends((1..=3).map(backend)),
        marked("dns", "fwmark:9").backend(SocketAddr::new(backend(2), 5353)),
    ]);
    let stage = Stage::prepared(LabOptions::default(), config, |lab| lab.director_ns().nft(MARKS))?;
    // Addresses that nobody has: their packets come to the director by the client's default route.
    let (v4, v6) = (ip("203.0.113.5"), ip("2001:db8::5"));
    for address in [v4, v6] {
        assert_eq!(stage.client().ask_many(SocketAddr::new(address, 7000), 30), each(10));
        assert_eq!(stage.client().ask(SocketAddr::new(address, 7999))?.local.port(), 8080);
    }
    assert_eq!(stage.client().ask(SocketAddr::new(v4, 8081))?.local.port(), 8081);
    assert_eq!(stage.client().ask_udp(SocketAddr::new(v4, 7000), "x")?.server, "rs2");
    // Not marked, not served: the director knows no way to that address.
    assert!(stage.client().ask(SocketAddr::new(v4, 8000)).is_err());
    Ok(())
}

#[test]
fn a_client_on_the_director() -> Result<()> {
    let dns = Service::new("dns", &["udp://10.0.0.100:53"])
        .backends((1..=3).map(|n| SocketAddr::new(backend(n), 5353)));
    let hidden = Service::new("hidden", &["tcp://10.0.0.101:80"])
        .forward("full-nat")
        .backend(rs(1));
    let stage = Stage::up(Config::of([Service::web_of_both_families(), dns, hidden]))?;
    let local = stage.lab.local_client();
    assert_eq!(local.ask_many(stage.web(), 30), each(10));
    assert_eq!(local.ask_many(stage.web6(), 30), each(10));
    assert_eq!(local.ask_udp_many(stage.lab.vip(53), 30), each(10));
    assert_eq!(local.ask(SocketAddr::new(vip(1), 80))?.peer.ip(), director()[0]);
    // Others are served as before.
    assert_eq!(stage.client().ask_many(stage.web(), 30), each(10));
    Ok(())
}

#[test]
fn a_service_whose_addresses_belong_to_somebody_else() -> Result<()> {
    let web = Service::web().unmanaged();
    let stage = Stage::prepared(LabOptions::default(), web, |lab| lab.add_vip(vip(0)))?;
    assert_eq!(stage.client().ask_many(stage.web(), 30), each(10));
    Ok(())
}

#[test]
fn icmp_errors_find_the_way_back() -> Result<()> {
    let dns = Service::new("dns", &["udp://10.0.0.100:53", "udp://[fd00:a::100]:53"])
        .backend(SocketAddr::new(backend(1), 5353))
        .backend(SocketAddr::new(backend6(1), 5353));
    let stage = Stage::with_servers(1, dns.clone())?;
    stage.servers[0].stop_listening();
    for forward in ["nat", "full-nat"] {
        stage.director.reload_with(dns.clone().forward(forward))?;
        for vip in [stage.lab.vip(53), stage.lab.vip6(53)] {
            // "Port unreachable" quotes a packet that the client never sent, unless it is translated as well.
            let kind = stage.client().ask_udp(vip, "x").map_err(|error| error.kind());
            assert_eq!(kind, Err(ErrorKind::ConnectionRefused), "{vip} by {forward}");
        }
    }
    Ok(())
}

#[test]
fn a_server_that_comes_back_is_served_again() -> Result<()> {
    let stage = Stage::up(Service::web())?;
    stage.servers[1].stop_listening();
    // Refusals come from the server itself; the director passes them on.
    let seen = stage.client().ask_many(stage.web(), 30);
    assert_eq!((seen.server("rs2"), seen.error(ErrorKind::ConnectionRefused)), (0, 10), "{seen}");
    stage.servers[1].listen()?;
    assert_eq!(stage.client().ask_many(stage.web(), 30), each(10));
    Ok(())
}
