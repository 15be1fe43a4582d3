//! What a service listens on, and the other values that have a text form of their own.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Endpoint, SchedulerSpec, SourcePool};
use crate::ruleset::Protocol;

/// What a virtual service answers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    /// `tcp://10.0.0.100:80`, `udp://[2001:db8::100]:53`, `tcp://10.0.0.100:80,443,8000-8010`
    Socket {
        /// The protocol.
        protocol: Protocol,
        /// The virtual IP.
        address: IpAddr,
        /// Sorted, without overlap, at least one.
        ports: Vec<PortRange>,
    },
    /// `fwmark:7`: packets that carry the mark, whatever their address, protocol and port.
    Mark(u32),
}

/// A port or a range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The first port, at least 1.
    pub first: u16,
    /// The last port, not below the first.
    pub last: u16,
}

impl PortRange {
    /// Whether it is one port only.
    pub fn is_single(self) -> bool {
        self.first == self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}
