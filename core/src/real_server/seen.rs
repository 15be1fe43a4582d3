//! What was seen of a host, as far as a real server needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Ability;
use crate::ruleset::Family;

/// What was seen of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its interfaces by name.
    pub interfaces: BTreeMap<String, Interface>,
    /// The settings of IPv4 that hold for all interfaces, `net.ipv4.conf.all`.
    pub all: Arp,
    /// Whether IPv6 is off on `lo`.
    pub ipv6_off: bool,
    /// Where GUE is taken in.
    pub gue: BTreeSet<(Family, u16)>,
    /// What our decapsulator does.
    pub decapsulation: Decapsulation,
    /// Whether there is a BPF file system to pin it on.
    pub bpffs: bool,
    /// The default route of each family.
    pub ways: BTreeMap<Family, Way>,
    /// What the kernel can do; not known where nobody has tried, since trying may load modules.
    pub abilities: Option<BTreeSet<Ability>>,
}

/// The settings of an interface that decide on virtual addresses, of IPv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arp {
    /// Whose addresses are told to those who ask.
    pub ignore: u32,
    /// Which address asks.
    pub announce: u32,
    /// Whether a packet must come in where its answer would go out: 0 no, 1 strict, 2 loose.
    pub rp_filter: u32,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's word for its kind, of those that have one: `ipip`, `veth`.
    pub kind: Option<String>,
    /// Whether neighbours ask for addresses there.
    pub asks: bool,
    /// Whether it is up.
    pub up: bool,
    /// The size of its packets.
    pub mtu: u32,
    /// Its own settings.
    pub arp: Arp,
    /// Its addresses, with the length of their networks' prefixes.
    pub addresses: BTreeSet<(IpAddr, u8)>,
}

/// What our decapsulator does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decapsulation {
    /// Where it is attached.
    pub interfaces: BTreeSet<String>,
    /// The addresses where tunnels end.
    pub addresses: BTreeSet<IpAddr>,
}

/// A default route: how answers go to clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Where they leave.
    pub interface: String,
    /// The router, if there is one.
    pub gateway: Option<IpAddr>,
    /// The size of its packets.
    pub mtu: u32,
    /// The route's `advmss`.
    pub advmss: Option<u32>,
}

impl Seen {
    /// The names of the interfaces that have neighbours.
    pub(super) fn names(&self) -> String {
        let named = self.interfaces.iter().filter(|(_, it)| it.asks);
        named
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The setting that holds for an interface: the larger of its own and that of all.
    pub(super) fn rp_filter(&self, interface: &str) -> u32 {
        let own = self.interfaces.get(interface).map_or(0, |it| it.arp.rp_filter);
        own.max(self.all.rp_filter)
    }
}
