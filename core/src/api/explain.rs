//! Where a packet would go, and why: `POST /v1/explain`.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::config::{Endpoint, Prefix, Tunnel};
use crate::ruleset::Protocol;
use crate::scheduler::HashKey;

use super::BackendState;

/// A packet that would begin a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// The client.
    pub from: SocketAddr,
    /// What it asks for.
    pub to: SocketAddr,
    /// TCP, UDP or SCTP.
    #[serde(default = "tcp")]
    pub protocol: Protocol,
    /// The packet's firewall mark; 0 is none.
    #[serde(default)]
    pub mark: u32,
}

fn tcp() -> Protocol {
    Protocol::Tcp
}

/// What would become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The packet.
    pub packet: Explain,
    /// Whether the client is the director itself.
    pub local: bool,
    /// The service that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ForService>,
    /// Who gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Chosen>,
    /// Why that one, or why nobody.
    pub because: Because,
    /// What is done with it.
    pub then: Then,
    /// What else is to be known, such as that no packet comes to the backend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A service, and by what a packet is its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForService {
    /// The service.
    pub name: String,
    /// The listener that matched, as in a configuration; none where the connection was there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// Who chooses.
    pub by: Plane,
}

/// What chooses a backend for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// The tc program, at the ingress of an interface.
    Tc,
    /// The nftables ruleset.
    Nftables,
}

/// A backend that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Its address, as configured.
    pub address: Endpoint,
    /// Its id.
    pub id: u16,
}

/// Why a packet goes where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Because {
    /// The connection is there already.
    Connection {
        /// Its state, as `wvs connections` has it.
        state: String,
        /// Seconds until it is forgotten.
        expires: u32,
    },
    /// The operator pinned the client.
    Pin {
        /// The pin.
        client: Prefix,
    },
    /// The client was there before.
    Persistence {
        /// What counts as one client.
        client: Prefix,
        /// Seconds until it is forgotten.
        expires: u32,
    },
    /// The schedule names it.
    Schedule(Draw),
    /// The tc program says so, for a reason that cannot be told any more: what it looks at changes all the time.
    Program,
    /// The scheduler is asked for each connection, and has not been for this one: it keeps account of those it decides.
    /// A backend is who gets it where nobody answers.
    Asked,
    /// No backend takes new connections.
    Nobody {
        /// All of the service for this family, and what hinders them.
        backends: Vec<Obstacle>,
    },
    /// The other ports of the address are rejected.
    Closed {
        /// What listens on the address.
        listeners: Vec<Listening>,
    },
    /// A packet for direct routing or a tunnel that the tc program has not seen.
    Unseen,
    /// It is for nobody of ours.
    NotOurs {
        /// What listens on the address.
        listeners: Vec<Listening>,
    },
}

/// How a slot was drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "draw", rename_all = "kebab-case")]
pub enum Draw {
    /// The table is walked. Another connection before this one moves it on.
    Cycle {
        /// How many connections were given a slot so far.
        position: u64,
        /// The next slot.
        slot: u32,
        /// How many slots there are.
        slots: u32,
    },
    /// The table is indexed by a hash.
    Hash {
        /// What is hashed.
        key: HashKey,
        /// Its hash.
        hash: u32,
        /// The slot of it.
        slot: u32,
        /// How many slots there are.
        slots: u32,
    },
}

impl Draw {
    /// The slot that was drawn.
    pub fn slot(&self) -> usize {
        match self {
            Draw::Cycle { slot, .. } | Draw::Hash { slot, .. } => *slot as usize,
        }
    }
}

/// A backend that does not take a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// Its address.
    pub address: Endpoint,
    /// How it is. One that is up was given no slot by the scheduler.
    pub state: BackendState,
    /// More on that, such as why it cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// As in a configuration.
    pub listener: String,
    /// The service.
    pub service: String,
}

/// What is done with a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Then {
    /// Its addresses are translated.
    Translate {
        /// Where it goes.
        to: SocketAddr,
        /// Its source address from then on: `masquerade` for that of the outgoing interface. None stays the client's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
    },
    /// The tc program sends it.
    Forward(Way),
    /// It waits for the answer of the scheduler.
    Ask,
    /// It is refused at once.
    Refuse {
        /// With what.
        with: Refusal,
    },
    /// It goes on through the director's own stack, untouched.
    Pass,
}

/// The answer to what is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// A TCP reset.
    TcpReset,
    /// ICMP port unreachable.
    PortUnreachable,
}

/// How the tc program sends packets to a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Way {
    /// It leaves them to nftables, which translates.
    Nat,
    /// It leaves them to the director's own stack: the backend is the director.
    Local,
    /// Direct routing.
    Dr(Link),
    /// A tunnel.
    Tun {
        /// Its kind.
        tunnel: Tunnel,
        /// The outer source.
        source: IpAddr,
        /// The outer destination.
        to: IpAddr,
        /// How the outer packet gets there.
        #[serde(flatten)]
        link: Link,
    },
}

/// The first step of a way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The interface.
    pub interface: String,
    /// The largest IP packet that fits.
    pub mtu: u16,
    /// The next hop's hardware address; none where the kernel resolves it for each packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}
