//! `make demo`: the director at work on this machine, in network namespaces that go again.
//!
//! It prints commands as one would type them, and what they print.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use wvs_tests::demo::{say, show};
use wvs_tests::{Client, Director, Distribution, Lab, LabOptions, LongLived, ServerOptions, client_sources};

const CONFIG: &str = r#"
[[service]]
name      = "web"
listen    = ["tcp://10.0.0.100:80", "tcp://[fd00:a::100]:80"]
scheduler = "wrr"
manage_vip = { interface = "eth0", reject_other_ports = true }
backend   = [
  { address = "10.1.0.11:8080", weight = 3 },
  { address = "10.1.0.12:8080", weight = 2 },
  { address = "10.1.0.13:8080" },
  { address = "[fd00:b::11]:8080" },
  { address = "[fd00:b::12]:8080" },
]

[[service]]
name      = "least"
listen    = ["tcp://10.0.0.100:81"]
scheduler = "wlc"
backend   = [
  { address = "10.1.0.11:8080" },
  { address = "10.1.0.12:8080" },
  { address = "10.1.0.13:8080" },
]

[[service]]
name      = "sticky"
listen    = ["tcp://10.0.0.100:82"]
scheduler = "sh"
forward   = "full-nat"
backend   = [
  { address = "10.1.0.11:8080" },
  { address = "10.1.0.12:8080" },
  { address = "10.1.0.13:8080" },
]

[[service]]
name      = "dns"
listen    = ["udp://10.0.0.100:53"]
backend   = [{ address = "10.1.0.12:5353" }, { address = "10.1.0.13:5353" }]
"#;

const DIRECT: &str = r#"
[[service]]
name      = "direct"
listen    = ["tcp://10.0.0.100:80", "tcp://[fd00:a::100]:80"]
forward   = "dr"
scheduler = "wrr"
manage_vip = { interface = "eth0" }
backend   = [
  { address = "10.1.0.11", weight = 2 },
  { address = "10.1.0.12" },
  { address = "10.1.0.13" },
  { address = "fd00:b::11" },
  { address = "fd00:b::12" },
]

[[service]]
name      = "tunnel"
listen    = ["tcp://10.0.0.100:81"]
forward   = "tun"
scheduler = "wlc"
backend   = [{ address = "10.1.0.11" }, { address = "10.1.0.12" }, { address = "fd00:b::13" }]

[[service]]
name      = "mixed"
listen    = ["tcp://10.0.0.100:82"]
backend   = [
  { address = "10.1.0.11:8080" },
  { address = "10.1.0.12", forward = "dr" },
  { address = "10.1.0.13", forward = "tun" },
]

[[service]]
name      = "dns"
listen    = ["udp://10.0.0.100:53"]
forward   = "dr"
backend   = [{ address = "10.1.0.12" }, { address = "10.1.0.13" }]
"#;

/// How many source addresses the client has: hashing needs some.
const CLIENTS: usize = 60;

/// Who answered each address.
type Answers = BTreeMap<IpAddr, Result<String, ErrorKind>>;

fn main() -> Result<()> {
    by_nat()?;
    directly()?;
    say("done; the namespaces go, and everything in them");
    Ok(())
}

fn by_nat() -> Result<()> {
    say("three real servers, a director between them and a client, each in a network namespace");
    let lab = Lab::new(LabOptions {
        client_addresses: CLIENTS,
        name: "demo",
        ..LabOptions::default()
    })?;
    let _servers = lab.start_servers(&ServerOptions::default())?;
    println!("{CONFIG}");
    say("wvs run --config wvs.toml");
    let director = Director::start(&lab, CONFIG)?;

    let client = lab.client();
    let v4: SocketAddr = lab.vip(80);
    say("wrr, weights 3:2:1 — 60 TCP connections to 10.0.0.100:80");
    answered(client.ask_many(v4, 60), 60)?;
    say("wrr on IPv6 — 20 TCP connections to [fd00:a::100]:80");
    answered(client.ask_many(lab.vip6(80), 20), 20)?;
    say("wlc — 60 TCP connections to 10.0.0.100:81");
    answered(client.ask_many(lab.vip(81), 60), 60)?;
    say("sh with full NAT — one connection from each of 60 addresses to 10.0.0.100:82, twice");
    let sources = client_sources(CLIENTS);
    let first = client.ask_from_each(&sources, lab.vip(82));
    let second = client.ask_from_each(&sources, lab.vip(82));
    let (moved, seen) = compare(first, second)?;
    println!("{seen}\nclients that were sent elsewhere the second time: {moved}\n");
    say("wrr, which is the default — 40 UDP datagrams to 10.0.0.100:53");
    answered(client.ask_udp_many(lab.vip(53), 40), 40)?;
    say("a port that is no service: 10.0.0.100:8081");
    let refused = client
        .ask(lab.vip(8081))
        .err()
        .context("a closed port answered")?;
    println!("{refused}\n");

    show(&director, &["services"])?;
    show(&director, &["backends", "web"])?;
    show(&director, &["drain", "web", "10.1.0.11:8080"])?;
    say("60 more connections to 10.0.0.100:80");
    answered(client.ask_many(v4, 60), 60)?;
    show(&director, &["status"])
}

fn directly() -> Result<()> {
    say("the same on one switch: real servers answer the client by themselves");
    let lab = Lab::new(LabOptions {
        name: "demo",
        ..LabOptions::tunnels()
    })?;
    let _servers = lab.start_servers(&lab.server_options())?;
    println!("{DIRECT}");
    say("wvs run --config wvs.toml");
    let mut director = Director::start(&lab, DIRECT)?;

    let client = lab.client();
    say("direct routing, wrr with weights 2:1:1 — 60 TCP connections to 10.0.0.100:80");
    answered(client.ask_many(lab.vip(80), 60), 60)?;
    say("direct routing on IPv6 — 20 TCP connections to [fd00:a::100]:80");
    answered(client.ask_many(lab.vip6(80), 20), 20)?;
    say("tunnels, IPv4 in IPv4 and in IPv6 — 60 TCP connections to 10.0.0.100:81");
    answered(client.ask_many(lab.vip(81), 60), 60)?;
    say("NAT, direct routing and a tunnel in one service — 60 TCP connections to 10.0.0.100:82");
    answered(client.ask_many(lab.vip(82), 60), 60)?;
    say("direct routing — 40 UDP datagrams to 10.0.0.100:53");
    answered(client.ask_udp_many(lab.vip(53), 40), 40)?;
    say("what the real servers of each see of a client");
    for port in [80, 81, 82] {
        seen_by_servers(&client, lab.vip(port))?;
    }

    say("100 long-lived connections by direct routing; then the director is killed and started again");
    let flows = LongLived::open(&client, lab.vip(80), 100)?;
    director.kill9()?;
    say("60 more connections while there is no director");
    answered(client.ask_many(lab.vip(80), 60), 60)?;
    director.restart()?;
    flows.settle();
    show(&director, &["backends", "direct"])?;
    let broken = flows.finish().broken();
    println!("broken connections: {broken}\n");
    ensure!(broken == 0, "connections broke");
    show(&director, &["connections", "direct", "--limit", "3"])?;
    show(&director, &["status"])
}

/// Prints where three connections in a row were seen to come from and to arrive.
fn seen_by_servers(client: &Client, to: SocketAddr) -> Result<()> {
    for _ in 0..3 {
        let answer = client.ask(to)?;
        println!("{to}: {} was asked by {} at {}", answer.server, answer.peer, answer.local);
    }
    println!();
    Ok(())
}

/// How many addresses another server answered the second time, and the distribution.
fn compare(first: Answers, second: Answers) -> Result<(usize, String)> {
    let mut counts = BTreeMap::<String, usize>::new();
    let mut moved = 0;
    for (source, before) in first {
        let after = second
            .get(&source)
            .cloned()
            .context("an address did not ask")?
            .map_err(io::Error::from)?;
        let before = before.map_err(io::Error::from)?;
        moved += usize::from(before != after);
        *counts.entry(before).or_default() += 1;
        *counts.entry(after).or_default() += 1;
    }
    let seen: Vec<_> = counts
        .iter()
        .map(|(server, count)| format!("{server} {count}"))
        .collect();
    Ok((moved, seen.join(", ")))
}

fn answered(seen: Distribution, wanted: usize) -> Result<()> {
    println!("{seen}\n");
    ensure!(seen.answered() == wanted && seen.failed() == 0, "not every request was answered");
    Ok(())
}
