//! The configuration: what the operator wants, as types.
//!
//! [`read()`] makes them from TOML and reports every fault of a file at once; [`check()`] holds the rules that
//! no single value can break alone. The running configuration of a director is the same types, changed by
//! the command line and kept in its state directory.

pub mod check;
mod endpoint;
pub mod fault;
pub mod listen;
pub mod persistence;
pub mod place;
pub mod prefix;
pub mod read;
pub mod sample;
pub mod text;
pub mod tunnel;
pub mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use check::{check, check_with};
pub use listen::{Listen, PortRange};
pub use persistence::{ClientPin, Persistence, Timeouts, WhenQuiesced};
pub use prefix::Prefix;
pub use read::{read, read_file, read_with};
pub use tunnel::{Tunnel, TunnelKind};
pub use write::to_toml;

use crate::kernel::MarkMask;
use crate::ruleset::{Family, Protocol};

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where things lie and which mark bits are ours.
    #[serde(default)]
    pub director: DirectorSettings,
    /// The virtual services, in the order of the file.
    #[serde(default, rename = "service", skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
}

/// `[director]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DirectorSettings {
    /// Where plugins are looked up by name. Default `/usr/lib/wvs/plugins`; plugins that are not there may be
    /// built in.
    pub plugin_dir: PathBuf,
    /// Where the running configuration and the backend ids are kept. Default `/var/lib/wvs`.
    pub state_dir: PathBuf,
    /// Our bits of the conntrack mark: contiguous, at least 8 and at most 16. Default `0xffff0000`.
    #[serde(with = "text::hex")]
    pub ct_mark_mask: u32,
    /// Where packets for direct routing and tunnels come in. None: the interfaces that hold the virtual addresses
    /// of the services that need it, and those of their `manage_vip`.
    pub interfaces: Vec<String>,
    /// Where the forwarder's program and tables are pinned, on a BPF file system; absolute. Default
    /// `/sys/fs/bpf/wvs`.
    pub pin_dir: PathBuf,
    /// Connections of each family that direct routing and tunnels keep in mind, 1,024 to 16,777,216. Default
    /// 262,144.
    pub max_flows: u32,
    /// The number of the queue in which new connections of services through NAT wait whose scheduler is asked for each
    /// (`NFQUEUE`). Nobody else may use it. Default 7776.
    pub queue: u16,
    /// Where metrics are told by HTTP on TCP, besides the control socket: `127.0.0.1:9107`. Default: nowhere.
    pub metrics: Option<SocketAddr>,
}

impl DirectorSettings {
    /// Our bits of the conntrack mark.
    pub fn mark(&self) -> MarkMask {
        MarkMask {
            mask: self.ct_mark_mask,
        }
    }
}

impl Default for DirectorSettings {
    fn default() -> Self {
        DirectorSettings {
            plugin_dir: "/usr/lib/wvs/plugins".into(),
            state_dir: "/var/lib/wvs".into(),
            ct_mark_mask: 0xffff_0000,
            interfaces: Vec::new(),
            pin_dir: "/sys/fs/bpf/wvs".into(),
            max_flows: 262_144,
            queue: 7776,
            metrics: None,
        }
    }
}

/// `[[service]]`: a virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Unique; letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most 64.
    pub name: String,
    /// What it answers to; at least one.
    pub listen: Vec<Listen>,
    /// How packets reach the backends. Default `nat`.
    #[serde(default)]
    pub forward: Forward,
    /// For `full-nat`: the source address of forwarded connections, one or a pool per family. Default: the
    /// address of the outgoing interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<SourcePool>,
    /// Who chooses the backend. Default `rr`.
    #[serde(default)]
    pub scheduler: SchedulerSpec,
    /// Slots of the dispatch table, a power of two from 16 to 4,096; default 256. More follow weights more
    /// closely and cost memory. A change restarts the cycle, but breaks nothing.
    #[serde(default = "default_slots")]
    pub slots: u32,
    /// Whether the director brings up the addresses by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage_vip: Option<ManageVip>,
    /// Whether a client stays with its backend from connection to connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
    /// How long idle connections are kept in mind.
    #[serde(default, skip_serializing_if = "Timeouts::is_default")]
    pub timeouts: Timeouts,
    /// Whether every UDP datagram is a connection of its own (`ipvsadm -o`). Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_packet: bool,
    /// Clients whose backend is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<ClientPin>,
    /// For `tun`: what the packets are wrapped in. Default `ipip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
    /// For `tun`: the outer source addresses, one prefix per family. The connection chooses among them, so that
    /// real servers and routers spread the packets. Default: the director's address towards the backend.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "prefix::one_or_many"
    )]
    pub tunnel_source: Vec<Prefix>,
    /// The real servers.
    #[serde(default, rename = "backend", skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<Backend>,
}

impl Service {
    /// A service with nothing but a name and what it answers to.
    pub fn named(name: impl Into<String>, listen: Vec<Listen>) -> Self {
        Service {
            name: name.into(),
            listen,
            forward: Forward::default(),
            source: Vec::new(),
            scheduler: SchedulerSpec::default(),
            slots: default_slots(),
            manage_vip: None,
            persistence: None,
            timeouts: Timeouts::default(),
            one_packet: false,
            pins: Vec::new(),
            tunnel: None,
            tunnel_source: Vec::new(),
            backends: Vec::new(),
        }
    }

    /// How packets reach one of its backends.
    pub fn forward_of(&self, backend: &Backend) -> Forward {
        backend.forward.unwrap_or(self.forward)
    }

    /// What packets for one of its backends are wrapped in, if that one forwards by `tun`.
    pub fn tunnel_of(&self, backend: &Backend) -> Tunnel {
        backend.tunnel.or(self.tunnel).unwrap_or_default()
    }

    /// The ports of one family that it listens on.
    pub fn ports_of(&self, family: Family) -> impl Iterator<Item = (IpAddr, Protocol, PortRange)> + '_ {
        let sockets = self.listen.iter().filter_map(move |listen| match listen {
            Listen::Socket {
                protocol,
                address,
                ports,
            } if Family::of(*address) == family => Some((*address, *protocol, ports)),
            _ => None,
        });
        sockets
            .flat_map(|(address, protocol, ports)| ports.iter().map(move |range| (address, protocol, *range)))
    }

    /// The firewall marks that it listens for.
    pub fn marks(&self) -> impl Iterator<Item = u32> + '_ {
        self.listen.iter().filter_map(|listen| match listen {
            Listen::Mark(mark) => Some(*mark),
            Listen::Socket { .. } => None,
        })
    }

    /// Whether packets can come to it through the tc program: some backend is `dr` or `tun`, or will be.
    pub fn uses_tc(&self) -> bool {
        match self.backends.as_slice() {
            [] => self.forward.uses_tc(),
            backends => backends.iter().any(|backend| self.forward_of(backend).uses_tc()),
        }
    }
}

/// The default number of slots: weights are met to 0.4 %.
pub fn default_slots() -> u32 {
    256
}

/// How packets reach a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forward {
    /// Destination NAT; the backend sees the client and answers through the director (`ipvsadm -m`).
    #[default]
    Nat,
    /// Destination and source NAT; the backend sees the director.
    FullNat,
    /// MAC rewrite; the backend answers the client directly (`ipvsadm -g`).
    Dr,
    /// A tunnel, see [`Tunnel`]; the backend answers the client directly (`ipvsadm -i`).
    Tun,
}

impl Forward {
    /// All methods.
    pub const ALL: [Forward; 4] = [Forward::Nat, Forward::FullNat, Forward::Dr, Forward::Tun];

    /// Whether the tc program does it, rather than nftables.
    pub fn uses_tc(self) -> bool {
        matches!(self, Forward::Dr | Forward::Tun)
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Forward::Nat => "nat",
            Forward::FullNat => "full-nat",
            Forward::Dr => "dr",
            Forward::Tun => "tun",
        })
    }
}

/// Source addresses of one family for full NAT: `10.0.0.1` or `10.0.0.1-10.0.0.8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourcePool {
    /// The first address.
    pub first: IpAddr,
    /// The last, of the same family and not below the first.
    pub last: IpAddr,
}

/// A plugin and its parameters: `"wlc"`, or `{ plugin = "wlc", params = { key = "value" } }`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "text::SchedulerText", into = "text::SchedulerText")]
pub struct SchedulerSpec {
    /// A name to look up in the plugin directory and among the built-in ones, or a path with a `/`.
    pub plugin: String,
    /// The parameters, checked against what the plugin declares.
    pub params: BTreeMap<String, String>,
}

impl Default for SchedulerSpec {
    fn default() -> Self {
        SchedulerSpec {
            plugin: "wrr".to_owned(),
            params: BTreeMap::new(),
        }
    }
}

/// `manage_vip`: the director brings up the service's addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManageVip {
    /// The interface that gets the addresses (as /32 and /128).
    pub interface: String,
    /// Whether the addresses' other ports answer with a reject. Default false.
    #[serde(default)]
    pub reject_other_ports: bool,
}

/// `[[service.backend]]`: a real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// `10.1.0.11:8080`, `[2001:db8::11]:8080`, or without a port to keep the client's.
    pub address: Endpoint,
    /// 0 to 2,147,483,647; default 1. 0 takes no new connections and keeps those it has.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// Takes no new connections, whatever its weight. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drain: bool,
    /// Overrides the service's method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
    /// With so many connections it gets no new ones; at least 1. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Once at its limit, it gets new ones again with fewer than so many; below `max_connections`. Default: three
    /// quarters of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_connections: Option<u32>,
    /// Overrides the service's tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
}

impl Backend {
    /// A backend with nothing but an address.
    pub fn at(address: Endpoint) -> Self {
        Backend {
            address,
            weight: default_weight(),
            drain: false,
            forward: None,
            max_connections: None,
            min_connections: None,
            tunnel: None,
        }
    }

    /// Whether new clients are sent to it.
    pub fn takes_clients(&self) -> bool {
        self.weight > 0 && !self.drain
    }
}

/// The default weight, as ipvsadm's.
pub fn default_weight() -> u32 {
    1
}

/// The highest weight, as ipvsadm's.
pub const HIGHEST_WEIGHT: u32 = i32::MAX as u32;

/// An address with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port, 1 to 65,535.
    pub port: Option<u16>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

impl Config {
    /// The service of a name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}
