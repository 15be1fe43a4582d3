//! Commands that make one change of the running configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use wvs_core::config::persistence::{whole_v4, whole_v6};
use wvs_core::config::text::parse_duration;
use wvs_core::config::{
    Backend, Endpoint, Forward, HIGHEST_WEIGHT, Listen, ManageVip, Persistence, SchedulerSpec, Service,
    SourcePool, Tunnel, default_slots, default_weight,
};

/// `wvs add`
#[derive(Debug, Subcommand)]
pub enum Add {
    /// Add a virtual service
    Service(AddServiceArgs),
    /// Add a backend to a service
    Backend(AddBackendArgs),
}

/// `wvs remove`
#[derive(Debug, Subcommand)]
pub enum Remove {
    /// Remove a virtual service
    Service(RemoveServiceArgs),
    /// Remove a backend from a service
    Backend(RemoveBackendArgs),
}

/// `wvs add service`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wvs add service web --listen tcp://10.0.0.100:80,443 --backend 10.1.0.11,weight=3
  wvs add service dns --listen udp://10.0.0.100:53 --forward full-nat --source 10.0.0.1-10.0.0.8
  wvs add service all --listen fwmark:7 --scheduler ./mine.wasm --param key=value --slots 1024
  wvs add service sip --listen udp://10.0.0.100:5060 --forward dr --one-packet
  wvs add service shop --listen tcp://10.0.0.100:443 --forward dr --persistence 6m --mask 24
  wvs add service vip --listen tcp://[2001:db8::100]:80 --manage-vip eth0 --reject-other-ports")]
pub struct AddServiceArgs {
    /// Its name
    pub name: String,
    /// What it answers to, as in a file; may be given again
    #[arg(short, long, required = true, value_name = "LISTEN")]
    pub listen: Vec<Listen>,
    /// How packets reach the backends: nat, full-nat, dr or tun
    #[arg(short, long, value_name = "METHOD", default_value_t)]
    pub forward: Forward,
    /// For full-nat: a source address or a range of them; may be given again
    #[arg(long, value_name = "POOL")]
    pub source: Vec<SourcePool>,
    /// Who chooses the backend: a plugin's name, or its path with a `/`
    #[arg(short, long, value_name = "PLUGIN", default_value_t = SchedulerSpec::default().plugin)]
    pub scheduler: String,
    /// A parameter of the scheduler; may be given again
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parameter)]
    pub param: Vec<(String, String)>,
    /// Slots of the dispatch table, a power of two from 16 to 4096
    #[arg(long, value_name = "N", default_value_t = default_slots())]
    pub slots: u32,
    /// Bring up the addresses on this interface
    #[arg(long, value_name = "INTERFACE")]
    pub manage_vip: Option<String>,
    /// Answer with a reject on the addresses' other ports
    #[arg(long, requires = "manage_vip")]
    pub reject_other_ports: bool,
    /// Keep a client with its backend until it has had no connection for so long, as in 6m
    #[arg(long, value_name = "TIMEOUT", value_parser = parse_duration)]
    pub persistence: Option<Duration>,
    /// How many bits of an IPv4 address make a client for --persistence, 1 to 32
    #[arg(long, value_name = "BITS", requires = "persistence")]
    pub mask: Option<u8>,
    /// How many bits of an IPv6 address make a client for --persistence, 1 to 128
    #[arg(long, value_name = "BITS", requires = "persistence")]
    pub mask6: Option<u8>,
    /// Take every UDP datagram for a connection of its own
    #[arg(long)]
    pub one_packet: bool,
    /// For tun: ipip, gre, gue or gue:PORT, perhaps with `+checksum` behind it
    #[arg(long, value_name = "TUNNEL")]
    pub tunnel: Option<Tunnel>,
    /// A backend: its address, and what differs from a plain one after commas: `weight=N`, `forward=METHOD`,
    /// `max-connections=N`, `min-connections=N`, `tunnel=TUNNEL`, `drain`; may be given again
    #[arg(short, long, value_name = "ADDRESS[,weight=N]", value_parser = backend)]
    pub backend: Vec<Backend>,
}

impl AddServiceArgs {
    /// The service that was described, or what is wrong with the description.
    pub fn service(&self) -> Result<Service, String> {
        let mut params = BTreeMap::new();
        for (key, value) in &self.param {
            if params.insert(key.clone(), value.clone()).is_some() {
                return Err(format!("the parameter `{}` is given twice", key.escape_debug()));
            }
        }
        let persistence = self.persistence.map(|timeout| Persistence {
            mask: self.mask.unwrap_or_else(whole_v4),
            mask6: self.mask6.unwrap_or_else(whole_v6),
            ..Persistence::lasting(timeout)
        });
        Ok(Service {
            forward: self.forward,
            source: self.source.clone(),
            scheduler: SchedulerSpec {
                plugin: self.scheduler.clone(),
                params,
            },
            slots: self.slots,
            manage_vip: self.manage_vip.clone().map(|interface| ManageVip {
                interface,
                reject_other_ports: self.reject_other_ports,
            }),
            persistence,
            one_packet: self.one_packet,
            tunnel: self.tunnel,
            backends: self.backend.clone(),
            ..Service::named(&self.name, self.listen.clone())
        })
    }
}

/// `wvs add backend`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wvs add backend web 10.1.0.13:8080 --weight 2
  wvs add backend web [2001:db8::13]:8080
  wvs add backend web 10.1.0.14 --forward dr --max-connections 10000 --min-connections 8000
  wvs add backend web 198.51.100.15 --forward tun --tunnel gue:6080+checksum")]
pub struct AddBackendArgs {
    /// The service
    pub service: String,
    /// Its address; without a port it gets the client's
    pub address: Endpoint,
    /// Its weight
    #[arg(short, long, value_name = "N", default_value_t = default_weight(), value_parser = weight)]
    pub weight: u32,
    /// How packets reach it, if not as the service says: nat, full-nat, dr or tun
    #[arg(short, long, value_name = "METHOD")]
    pub forward: Option<Forward>,
    /// With so many connections it gets no new ones
    #[arg(long, value_name = "N")]
    pub max_connections: Option<u32>,
    /// Once at its limit, it gets new ones again with fewer than so many
    #[arg(long, value_name = "N", requires = "max_connections")]
    pub min_connections: Option<u32>,
    /// For tun, if not as the service says: ipip, gre, gue or gue:PORT, perhaps with `+checksum` behind it
    #[arg(long, value_name = "TUNNEL")]
    pub tunnel: Option<Tunnel>,
}

impl AddBackendArgs {
    /// The backend that was described.
    pub fn backend(&self) -> Backend {
        Backend {
            weight: self.weight,
            forward: self.forward,
            max_connections: self.max_connections,
            min_connections: self.min_connections,
            tunnel: self.tunnel,
            ..Backend::at(self.address)
        }
    }
}

/// `wvs remove service`
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  wvs remove service web\n  wvs remove service web --cut")]
pub struct RemoveServiceArgs {
    /// Its name
    pub name: String,
    /// Also forget its connections, so that clients are reset
    #[arg(long)]
    pub cut: bool,
}

/// `wvs remove backend`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wvs remove backend web 10.1.0.13:8080
  wvs remove backend web 10.1.0.13:8080 --cut")]
pub struct RemoveBackendArgs {
    /// The service
    pub service: String,
    /// Its address
    pub address: Endpoint,
    /// Also forget its connections, so that clients are reset
    #[arg(long)]
    pub cut: bool,
}

/// `wvs drain`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wvs drain web 10.1.0.11:8080
  wvs drain web 10.1.0.11:8080 --undo")]
pub struct DrainArgs {
    /// The service
    pub service: String,
    /// The backend's address
    pub backend: Endpoint,
    /// Give it new connections again
    #[arg(long)]
    pub undo: bool,
}

/// `wvs weight`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wvs weight web 10.1.0.11:8080 5
  wvs weight web 10.1.0.11:8080 0")]
pub struct WeightArgs {
    /// The service
    pub service: String,
    /// The backend's address
    pub backend: Endpoint,
    /// The new weight; with 0 it gets no new connections and keeps those it has
    #[arg(value_parser = weight)]
    pub weight: u32,
}

/// Reads a weight.
fn weight(text: &str) -> Result<u32, String> {
    let weight = text.parse().ok().filter(|weight| *weight <= HIGHEST_WEIGHT);
    weight.ok_or_else(|| format!("a weight is a number from 0 to {HIGHEST_WEIGHT}"))
}

/// Reads a number of connections.
fn connections(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("a number of connections is a whole number up to {}", u32::MAX))
}

/// Reads `KEY=VALUE`.
fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a parameter is KEY=VALUE".to_owned()),
    }
}

/// Reads `ADDRESS`, and after commas what differs from a plain backend.
fn backend(text: &str) -> Result<Backend, String> {
    let mut parts = text.split(',');
    let address = parts
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|error| format!("{error}"))?;
    let mut backend = Backend::at(address);
    for part in parts {
        match part.split_once('=') {
            Some(("weight", value)) => backend.weight = weight(value)?,
            Some(("forward", value)) => {
                backend.forward = Some(value.parse().map_err(|error| format!("{error}"))?);
            }
            Some(("max-connections", value)) => backend.max_connections = Some(connections(value)?),
            Some(("min-connections", value)) => backend.min_connections = Some(connections(value)?),
            Some(("tunnel", value)) => {
                backend.tunnel = Some(value.parse().map_err(|error| format!("{error}"))?);
            }
            None if part == "drain" => backend.drain = true,
            _ => {
                return Err(format!(
                    "`{}` is not `weight=N`, `forward=METHOD`, `max-connections=N`, `min-connections=N`, \
                     `tunnel=TUNNEL` or `drain`",
                    part.escape_debug()
                ));
            }
        }
    }
    Ok(backend)
}
