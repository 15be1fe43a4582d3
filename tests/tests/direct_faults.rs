//! What happens to direct routing and tunnels when others change the network or the kernel.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use wvs_tests::{
    Arrivals, Config, Distribution, Lab, LabOptions, LongLived, ServerOptions, Service, Stage, backend, vip,
    wait_for,
};

const SOON: Duration = Duration::from_secs(5);
/// How long it may take until a change of the network is taken in: the promise.
const FOLLOWED: Duration = Duration::from_secs(3);

fn up(forward: &str, config: impl Into<Config>) -> Result<Stage> {
    let options = match forward {
        "tun" => LabOptions::tunnels(),
        _ => LabOptions::one_arm(),
    };
    Stage::with(options, config)
}

/// What hinders, by the status.
fn warnings(stage: &Stage) -> String {
    let status = stage.director.status().unwrap_or_default();
    let warnings = status["warnings"].as_array().into_iter().flatten();
    warnings.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

fn wait_served(stage: &Stage, to: SocketAddr, bound: Duration) {
    wait_for("connections to be served", bound, || {
        stage.client().ask_many(to, 3) == Distribution::even(3, 1)
    });
}

#[test]
fn another_hardware_address_is_followed() -> Result<()> {
    for forward in ["dr", "tun"] {
        let stage = up(forward, Service::direct_of_both_families(forward))?;
        let flows = LongLived::open(&stage.client(), stage.web(), 30)?;
        let flows6 = LongLived::open(&stage.client(), stage.web6(), 30)?;
        stage.lab.change_hardware_address(2, "02:00:00:00:be:ef")?;
        wait_served(&stage, stage.web(), FOLLOWED);
        wait_served(&stage, stage.web6(), FOLLOWED);
        for flows in [flows, flows6] {
            flows.settle();
            assert_eq!(flows.finish().broken(), 0);
        }
    }
    Ok(())
}

#[test]
fn an_interface_that_vanishes_is_told_and_found_again() -> Result<()> {
    let stage = up("dr", Service::direct_of_both_families("dr"))?;
    let flows = LongLived::open(&stage.client(), stage.web(), 6)?;
    stage.lab.remove_director_interface()?;
    wait_for("the loss to be told", SOON, || warnings(&stage).contains("interface eth0 is not there"));
    // Other changes are made meanwhile.
    stage.director.weigh("web", backend(1), 1)?;
    stage.lab.return_director_interface()?;
    wait_for("the loss to be over", SOON, || warnings(&stage).is_empty());
    wait_served(&stage, stage.web(), SOON);
    wait_served(&stage, stage.web6(), SOON);
    // TCP has sent again what was lost.
    flows.settle();
    assert_eq!(flows.finish().broken(), 0);
    Ok(())
}

#[test]
fn a_director_starts_while_its_interface_is_gone() -> Result<()> {
    let mut stage = up("dr", Service::direct("dr"))?;
    let flows = LongLived::open(&stage.client(), stage.web(), 6)?;
    stage.director.kill9()?;
    stage.lab.remove_director_interface()?;
    stage.director.restart()?;
    assert!(warnings(&stage).contains("interface eth0 is not there"), "{}", warnings(&stage));
    stage.lab.return_director_interface()?;
    wait_served(&stage, stage.web(), SOON);
    flows.settle();
    assert_eq!(flows.finish().broken(), 0);
    Ok(())
}

#[test]
fn a_link_that_goes_down_and_up_is_followed() -> Result<()> {
    let stage = up("dr", Service::direct_of_both_families("dr"))?;
    let flows = LongLived::open(&stage.client(), stage.web(), 6)?;
    stage.ns().ip("link set eth0 down")?;
    wait_for("the loss to be told", SOON, || warnings(&stage).contains(&backend(1).to_string()));
    stage.ns().ip("link set eth0 up")?;
    // The kernel has taken the IPv6 addresses off. One is the network manager's business, the other the director's.
    stage.ns().ip("addr add fd00:a::1/31 dev eth0 nodad")?;
    wait_for("the loss to be over", SOON, || warnings(&stage).is_empty());
    wait_served(&stage, stage.web(), SOON);
    wait_served(&stage, stage.web6(), SOON);
    flows.settle();
    assert_eq!(flows.finish().broken(), 0);
    Ok(())
}

#[test]
fn a_program_that_somebody_detaches_is_attached_again() -> Result<()> {
    let stage = up("dr", Service::direct("dr"))?;
    let flows = LongLived::open(&stage.client(), stage.web(), 6)?;
    let links: Vec<_> = links(&stage.lab);
    assert_eq!(links.len(), 1, "{links:?}");
    std::fs::remove_file(&links[0])?;
    wait_for("the program to be attached again", FOLLOWED, || links.iter().all(|link| link.exists()));
    wait_served(&stage, stage.web(), FOLLOWED);
    flows.settle();
    let report = flows.finish();
    // Between the two the director's own stack has answered with resets.
    assert!(report.broken() <= 6, "{report:?}");
    Ok(())
}

/// The pins of attachments.
fn links(lab: &Lab) -> Vec<std::path::PathBuf> {
    let folder = |path: &std::path::Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    folder(&lab.pin_dir())
        .flat_map(|schema| folder(&schema.path().join("links")).collect::<Vec<_>>())
        .map(|link| link.path())
        .collect()
}

#[test]
fn addresses_that_belong_to_somebody_else_are_found() -> Result<()> {
    let stage = up("dr", Service::direct("dr").unmanaged())?;
    assert!(warnings(&stage).contains("no interface holds the addresses"), "{}", warnings(&stage));
    stage.lab.add_vip(vip(0))?;
    wait_for("the address to be found", FOLLOWED, || warnings(&stage).is_empty());
    wait_served(&stage, stage.web(), SOON);
    Ok(())
}

#[test]
fn a_server_without_a_route_is_told_and_left_out() -> Result<()> {
    let stage = up("dr", Service::direct("dr"))?;
    let arrivals = Arrivals::start(&stage.client(), stage.web(), 50);
    stage
        .ns()
        .ip(&format!("route add unreachable {}/32", backend(2)))?;
    wait_for("the loss to be told", FOLLOWED, || {
        let view = stage.director.backend("web", backend(2)).unwrap_or_default();
        view["state"] == "unreachable" && warnings(&stage).contains(&backend(2).to_string())
    });
    assert_eq!(arrivals.next(15).server("rs2"), 0);
    stage
        .ns()
        .ip(&format!("route del unreachable {}/32", backend(2)))?;
    wait_for("the loss to be over", FOLLOWED, || warnings(&stage).is_empty());
    assert_ne!(arrivals.next(15).server("rs2"), 0);
    let seen = arrivals.finish();
    assert_eq!(seen.failed(), 0, "{seen}");
    Ok(())
}

/// A datagram to 10.0.0.1 port 5353, in an IPv4 packet from 10.0.0.10.
fn inner_packet() -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 32, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 10, 10, 0, 0, 1,
    ];
    let sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&folded.to_be_bytes());
    // From port 5000, 12 bytes, without a checksum.
    packet.extend([0x13, 0x88, 0x14, 0xe9, 0, 12, 0, 0]);
    packet.extend(b"ping");
    packet
}

/// A program of somebody else that sits where ours does, and shows that it is at work.
struct Foreign {
    server: wvs_tests::RealServer,
}

impl Foreign {
    /// Takes tunnels apart that end at the director. Only with it does the inner packet arrive.
    fn attach(lab: &Lab) -> Result<Self> {
        let pins = lab.pin_dir().with_file_name("foreign");
        lab.director_ns().run(|| -> Result<()> {
            let mut decapsulator = wvs_tc_bpf::Decapsulator::load(&pins)?;
            decapsulator.add("10.0.0.1".parse()?)?;
            decapsulator.attach("eth0")?;
            Ok(())
        })?;
        let options = ServerOptions {
            tcp: Vec::new(),
            udp: vec![5353],
            also_at: vec!["10.0.0.1".parse()?],
        };
        let server = lab.start_local_server(&options)?;
        Ok(Self { server })
    }

    #[track_caller]
    fn assert_at_work(&self, lab: &Lab) {
        let before = self.server.datagrams();
        let send = || -> Result<()> {
            // Protocol 4 is IPv4 in IPv4.
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(4)))?;
            let director: IpAddr = "10.0.0.1".parse()?;
            socket.send_to(&inner_packet(), &SocketAddr::new(director, 0).into())?;
            Ok(())
        };
        lab.client_ns().run(send).expect("raw packets can be sent");
        wait_for("the foreign program to do its work", SOON, || self.server.datagrams() > before);
    }
}

#[test]
fn foreign_programs_are_left_alone() -> Result<()> {
    let lab = Lab::new(LabOptions::one_arm())?;
    let foreign = Foreign::attach(&lab)?;
    let ns = lab.director_ns();
    for command in [
        "qdisc add dev eth0 clsact",
        "filter add dev eth0 ingress pref 7 protocol ip u32 match ip dport 4444 0xffff classid 1:1",
        "filter add dev eth0 egress pref 8 protocol ip u32 match ip dport 4445 0xffff classid 1:1",
    ] {
        ns.read("tc", &command.split(' ').collect::<Vec<_>>())?;
    }
    let filters = || -> Result<String> {
        let show = |side| ns.read("tc", &["filter", "show", "dev", "eth0", side]);
        Ok(show("ingress")? + &show("egress")?)
    };
    let before = filters()?;
    assert!(before.contains("pref 7") && before.contains("pref 8"), "{before}");
    foreign.assert_at_work(&lab);

    let servers = lab.start_servers(&lab.server_options())?;
    let director = wvs_tests::Director::start(&lab, &Service::direct("dr").to_string())?;
    assert_eq!(lab.client().ask_many(lab.vip(80), 30), Distribution::even(3, 10));
    foreign.assert_at_work(&lab);
    assert_eq!(filters()?, before);
    director.ok(&["teardown", "--yes"])?;
    assert!(lab.client().ask(lab.vip(80)).is_err());
    foreign.assert_at_work(&lab);
    assert_eq!(filters()?, before);
    drop(servers);
    Ok(())
}
