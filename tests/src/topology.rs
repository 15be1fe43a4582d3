//! How the hosts of a lab are connected, as `ip` batches.

use std::fmt::Write;
use std::net::IpAddr;

use crate::addresses::{self, DIRECTOR, ROUTER, backend_host, client_hosts};
use crate::namespace::Namespace;

/// How a lab's hosts are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// The director stands between the client and the real servers: everything passes it, both ways. For NAT.
    #[default]
    TwoArms,
    /// Everybody is on one switch and in one network; real servers hold the virtual addresses on `lo`, hidden from
    /// ARP, and answer clients directly. For direct routing and tunnels; NAT works too, as what real servers send
    /// from their own addresses to clients goes by way of the director.
    OneArm,
    /// Client and director are on a switch with a router, and the real servers are behind that, in a network of their
    /// own. They hold the virtual addresses on `lo` and answer through the router. For tunnels.
    Routed,
}

/// Where what real servers send from their own addresses finds the director.
const BY_DIRECTOR: u32 = 100;

impl Topology {
    /// Whether clients and director are on a switch.
    pub(crate) fn has_switch(self) -> bool {
        self != Self::TwoArms
    }

    /// How long the prefixes of IPv4 and IPv6 networks are. 10.0.0.0/15 and fd00:a::/31 hold clients and real servers
    /// both, so that nobody's address depends on the topology.
    fn prefixes(self) -> (u8, u8) {
        match self {
            Self::OneArm => (15, 31),
            Self::TwoArms | Self::Routed => (24, 64),
        }
    }

    fn addresses(self, v4: impl Into<IpAddr>, v6: impl Into<IpAddr>, interface: &str) -> String {
        let (short, long) = self.prefixes();
        format!(
            "addr add {}/{short} dev {interface}\naddr add {}/{long} dev {interface} nodad\n",
            v4.into(),
            v6.into()
        )
    }

    /// The client's end of its cable.
    pub(crate) fn client(self, addresses: usize) -> String {
        let mut batch = String::from("link set lo up\nlink set eth0 up\n");
        for host in client_hosts(addresses) {
            batch += &self.addresses(addresses::client_net(host), addresses::client_net6(host), "eth0");
        }
        batch
            + &default_routes(addresses::client_net(DIRECTOR).into(), addresses::client_net6(DIRECTOR).into())
    }

    /// The director's addresses, and its way to the real servers.
    pub(crate) fn director(self) -> String {
        let mut batch = String::from("link set lo up\nlink set eth0 up\n");
        batch += &self.addresses(addresses::client_net(DIRECTOR), addresses::client_net6(DIRECTOR), "eth0");
        match self {
            Self::OneArm => {}
            Self::TwoArms => {
                batch += &self.addresses(
                    addresses::backend_net(DIRECTOR),
                    addresses::backend_net6(DIRECTOR),
                    "br-rs",
                );
            }
            Self::Routed => {
                let (v4, v6) = (addresses::client_net(ROUTER), addresses::client_net6(ROUTER));
                let _ = writeln!(batch, "route add {}/24 via {v4}", addresses::backend_net(0));
                let _ = writeln!(batch, "route add {}/64 via {v6}", addresses::backend_net6(0));
            }
        }
        batch
    }

    /// The router's addresses.
    pub(crate) fn router(self) -> String {
        String::from("link set lo up\nlink set eth0 up\n")
            + &self.addresses(addresses::client_net(ROUTER), addresses::client_net6(ROUTER), "eth0")
            // What is the director's address in other labs: it is the real servers' next hop either way.
            + &self.addresses(addresses::backend_net(DIRECTOR), addresses::backend_net6(DIRECTOR), "br-rs")
    }

    /// Real server `n`'s end of its cable.
    pub(crate) fn backend(self, n: usize) -> String {
        let host = backend_host(n);
        let (v4, v6) = (addresses::backend_net(host), addresses::backend_net6(host));
        let mut batch = String::from("link set lo up\nlink set eth0 up\n");
        batch += &self.addresses(v4, v6, "eth0");
        if self != Self::TwoArms {
            for vip in addresses::served_directly() {
                batch += &match vip {
                    IpAddr::V4(_) => format!("addr add {vip}/32 dev lo\n"),
                    IpAddr::V6(_) => format!("addr add {vip}/128 dev lo nodad\n"),
                };
            }
        }
        let (by4, by6) = match self {
            Self::OneArm => (addresses::client_net(DIRECTOR), addresses::client_net6(DIRECTOR)),
            Self::TwoArms | Self::Routed => {
                (addresses::backend_net(DIRECTOR), addresses::backend_net6(DIRECTOR))
            }
        };
        if self != Self::OneArm {
            return batch + &default_routes(by4.into(), by6.into());
        }
        // The one network knows a shorter way to clients than NAT needs.
        let _ = write!(
            batch,
            "rule add from {v4} to {}/24 lookup {BY_DIRECTOR}\n\
             route add default via {by4} table {BY_DIRECTOR}\n\
             route add ::/0 via {by6} table {BY_DIRECTOR}\n",
            addresses::client_net(0)
        );
        batch
    }

    /// What of it `ip` does not do in a batch.
    pub(crate) fn rule6(self, n: usize) -> Option<String> {
        let (from, to) = (addresses::backend_net6(backend_host(n)), addresses::client_net6(0));
        (self == Self::OneArm).then(|| format!("-6 rule add from {from} to {to}/64 lookup {BY_DIRECTOR}"))
    }
}

/// A bridge with a cable to each of these namespaces, where it ends in `eth0`.
pub(crate) fn bridge<'n>(name: &str, cables: impl Iterator<Item = (String, &'n Namespace)>) -> String {
    let mut batch = format!("link set lo up\nlink add {name} index 101 type bridge\nlink set {name} up\n");
    for (index, (port, to)) in (102..).zip(cables) {
        batch += &cable(&port, index, to);
        let _ = writeln!(batch, "link set {port} master {name} up");
    }
    batch
}

/// A cable to the `eth0` of another namespace.
///
/// Far ends get low interface numbers, near ends high ones. Were the two ends of a veth numbered alike, the kernel
/// would take it for a device without a peer and could delay the news that its carrier is up, and with it IPv6, by a
/// second (`linkwatch_urgent_event`).
pub(crate) fn cable(name: &str, index: u32, to: &Namespace) -> String {
    format!("link add {name} index {index} type veth peer name eth0 netns {}\n", to.name())
}

fn default_routes(v4: IpAddr, v6: IpAddr) -> String {
    format!("route add default via {v4}\nroute add ::/0 via {v6}\n")
}
