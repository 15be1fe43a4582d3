//! Commands that look inside.

use std::net::SocketAddr;

use clap::Args;
use wvs_core::api::Explain;
use wvs_core::config::Endpoint;
use wvs_core::config::text::number;
use wvs_core::ruleset::Protocol;

/// `wvs explain`
#[derive(Args, Debug)]
#[command(after_help = "\
The answer holds for now: another connection may take the slot of a cycle first. Nothing is changed by asking.

Examples:
  wvs explain --from 192.0.2.7:40001 --to 10.0.0.100:80
  wvs explain --from [2001:db8::7]:40001 --to [2001:db8::100]:53 --protocol udp -o json
  wvs explain --from 192.0.2.7:40001 --to 203.0.113.9:443 --mark 7")]
pub struct ExplainArgs {
    /// The client, with its port
    #[arg(long, value_name = "ADDR:PORT", value_parser = socket)]
    pub from: SocketAddr,
    /// What it asks for, with the port
    #[arg(long, value_name = "VIP:PORT", value_parser = socket)]
    pub to: SocketAddr,
    /// tcp, udp or sctp
    #[arg(short, long, value_name = "PROTOCOL", default_value = "tcp", value_parser = protocol)]
    pub protocol: Protocol,
    /// The packet's firewall mark
    #[arg(short, long, value_name = "N", default_value = "0", value_parser = mark)]
    pub mark: u32,
}

impl ExplainArgs {
    /// The packet.
    pub fn packet(&self) -> Explain {
        Explain {
            from: self.from,
            to: self.to,
            protocol: self.protocol,
            mark: self.mark,
        }
    }
}

/// `wvs events`
#[derive(Args, Debug)]
#[command(after_help = "\
Each event is a line: the time in UTC, what happened, and of whom.
  TIME applied|not-applied|repaired WHAT: STEPS or WHY
  TIME backend-lost|backend-found|backend-full|backend-free SERVICE BACKEND[: WHY]
  TIME scheduler-failed|scheduler-works|scheduler-exchanged|scheduler-refused SERVICE (FAMILY) PLUGIN[: WHY]
  TIME scheduled|refused PACKET
  TIME dropped|noticed REASON: PACKET
  TIME unreported|missed HOW MANY
A PACKET is SERVICE PROTOCOL CLIENT > TARGET [to BACKEND], BYTES on INTERFACE[, mark N] (1 in N).
With -o json, it is an object on a line, with \"time\" and \"event\".

Without --sample the tc program reports nothing. With it, it reports one in N of the packets that open a connection or
are lost; who asks for fewer than another reader gets fewer. Whoever reads too slowly is told how many were missed.

Examples:
  wvs events
  wvs events -f
  wvs events -f --sample 1000 -o json")]
pub struct EventsArgs {
    /// Go on, with all that happens from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Also show one in so many packets that the tc program has scheduled or lost
    #[arg(short, long, value_name = "N", requires = "follow", value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: Option<u32>,
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    let Endpoint { address, port } = text.parse().map_err(|error| format!("{error}"))?;
    match port {
        Some(port) => Ok(SocketAddr::new(address, port)),
        None => {
            let example = SocketAddr::new(address, 40001);
            Err(format!("`{text}` has no port, and connections have one at both ends: {example}"))
        }
    }
}

fn protocol(text: &str) -> Result<Protocol, String> {
    let known = Protocol::ALL.into_iter().find(|it| it.name() == text);
    known.ok_or_else(|| format!("`{text}` is not a protocol that wvs forwards: tcp, udp or sctp"))
}

fn mark(text: &str) -> Result<u32, String> {
    number(text)
        .ok_or_else(|| format!("`{text}` is not a firewall mark: a number, decimal or hexadecimal, 7 or 0x7"))
}
