//! The nftables ruleset as data: what the kernel should hold for the services.
//!
//! One table `wvs` per address family. A new connection takes this way, all in the nat hook, so that
//! packets of established connections never see it:
//!
//! ```text
//! prerouting, output ─ jump ─► dispatch ─ services, service-ranges, marks ─ goto ─► svc-NAME
//!         │                       └─ not ours: accept               slots-NAME: return with an id, else reject
//!         └─ backends ─ goto ─► be-ID
//! ```
//!
//! `svc-NAME` chooses: it draws a slot (`numgen` or `jhash`) and looks the slot up in `slots-NAME`. The
//! answer, a backend id, lies in the packet's priority until the base chain has looked it up in `backends`:
//! nft's language cannot feed one map's answer to another, and unlike the packet mark and the conntrack mark
//! the priority of a packet that has just arrived carries nothing. `be-ID` clears it again, writes the id
//! into *our* bits of the conntrack mark (the kernels before 6.13 can only OR constants into a mark, which is
//! why each backend has a chain) and translates the destination.
//!
//! No service's chain leads to a backend's: at every commit that touches chains the kernel walks all ways
//! through them, which with that layout took 336 ms at 1,000 services of 10 backends, and takes 10 ms so.
//!
//! A schedule that changes is new slot contents, never a new rule: a replaced rule restarts `numgen`.

pub mod build;
pub mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::scheduler::{BackendId, HashKey};

/// The name of our table, in every family.
pub const TABLE: &str = "wvs";
/// The name of the guard table, in every family: one nat chain with one conntrack rule.
///
/// While it stands the kernel's NAT hooks stay registered, so that somebody who deletes [`TABLE`] by
/// mistake breaks no established connection before the director has put it back.
pub const GUARD: &str = "wvs-guard";

/// An address family with a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// `table ip`
    V4,
    /// `table ip6`
    V6,
}

impl Family {
    /// Both families, in the order of their tables.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// nft's word for it, `ip` or `ip6`.
    pub fn nft(self) -> &'static str {
        match self {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// A transport protocol that services are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, 6.
    Tcp,
    /// UDP, 17.
    Udp,
    /// SCTP, 132.
    Sctp,
}

impl Protocol {
    /// All protocols, by number.
    pub const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

    /// The IANA number.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    /// The protocol of an IANA number.
    pub fn from_number(number: u8) -> Option<Self> {
        Protocol::ALL
            .into_iter()
            .find(|protocol| protocol.number() == number)
    }

    /// `tcp`, `udp` or `sctp`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// All that the kernel should hold: one table per family that has services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// The tables by family.
    pub tables: BTreeMap<Family, Table>,
}

/// One `table wvs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The slot maps by name: a scheduler's table as the kernel reads it.
    pub slots: BTreeMap<String, Slots>,
    /// The other maps and sets.
    pub maps: BTreeMap<MapName, Elements>,
    /// The chains by name.
    pub chains: BTreeMap<String, Chain>,
}

/// The contents of a slot map, `typeof numgen inc mod SIZE : meta priority`.
///
/// Entry n is the backend of slot n; `None` is a missing element, for which the service's chain goes on to
/// its reject.
pub type Slots = Vec<Option<BackendId>>;

/// The elements of a map or set: to which chain the key goes, or `None` in a set.
pub type Elements = BTreeMap<Key, Option<String>>;

/// The maps and sets of a table. The name says all of the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MapName {
    /// `backends`: classid → verdict, with a counter: connections sent to each backend.
    Backends,
    /// `closed`: set of addresses whose other ports answer with a reject.
    Closed,
    /// `marks`: firewall mark → verdict.
    Marks,
    /// `received`: set of our bits of the conntrack mark, with a counter: packets from backends.
    Received,
    /// `sent`: set of our bits of the conntrack mark, with a counter: packets to backends.
    Sent,
    /// `service-ranges`: address . protocol . port interval → verdict.
    ServiceRanges,
    /// `services`: address . protocol . port → verdict.
    Services,
    /// `sources`: our bits of the conntrack mark → verdict: who gets which source address (full NAT).
    Sources,
}

impl MapName {
    /// All names, in the order of the text.
    pub const ALL: [MapName; 8] = [
        MapName::Backends,
        MapName::Closed,
        MapName::Marks,
        MapName::Received,
        MapName::Sent,
        MapName::ServiceRanges,
        MapName::Services,
        MapName::Sources,
    ];

    /// The name in the kernel.
    pub fn as_str(self) -> &'static str {
        match self {
            MapName::Backends => "backends",
            MapName::Closed => "closed",
            MapName::Marks => "marks",
            MapName::Received => "received",
            MapName::Sent => "sent",
            MapName::ServiceRanges => "service-ranges",
            MapName::Services => "services",
            MapName::Sources => "sources",
        }
    }

    /// The map of a kernel name.
    pub fn from_kernel(name: &str) -> Option<Self> {
        MapName::ALL.into_iter().find(|map| map.as_str() == name)
    }

    /// Whether elements carry a verdict (a map) or only count as members (a set).
    pub fn has_verdicts(self) -> bool {
        !matches!(self, MapName::Closed | MapName::Received | MapName::Sent)
    }

    /// Whether each element counts its packets and bytes.
    pub fn has_counters(self) -> bool {
        matches!(self, MapName::Backends | MapName::Received | MapName::Sent)
    }
}

impl fmt::Display for MapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The key of an element. Which kind a map takes follows from its name. The order is nft's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `services`: address, protocol, port.
    Service(IpAddr, Protocol, u16),
    /// `service-ranges`: address, protocol, first and last port.
    ServiceRange(IpAddr, Protocol, u16, u16),
    /// `marks`: a firewall mark; `received`, `sent`, `sources`: our bits of a conntrack mark, in place.
    Mark(u32),
    /// `backends`: a backend id in the packet's priority.
    Backend(BackendId),
    /// `closed`: an address.
    Address(IpAddr),
}

/// A chain, base chain where it has a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where the kernel enters it by itself.
    pub hook: Option<Hook>,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// The base chains we have. All have policy accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// `type nat hook prerouting priority dstnat`
    NatPrerouting,
    /// `type nat hook output priority -100`: clients on the director.
    NatOutput,
    /// `type nat hook postrouting priority srcnat`: full NAT.
    NatPostrouting,
    /// `type filter hook forward priority filter`: accounting.
    FilterForward,
    /// `type filter hook input priority filter`: accounting of clients on the director.
    FilterInput,
    /// `type filter hook output priority filter`: accounting of clients on the director.
    FilterOutput,
}

impl Hook {
    /// nft's chain type: `nat` or `filter`.
    pub fn chain_type(self) -> &'static str {
        match self {
            Hook::NatPrerouting | Hook::NatOutput | Hook::NatPostrouting => "nat",
            Hook::FilterForward | Hook::FilterInput | Hook::FilterOutput => "filter",
        }
    }

    /// nft's name of the hook.
    pub fn name(self) -> &'static str {
        match self {
            Hook::NatPrerouting => "prerouting",
            Hook::NatOutput | Hook::FilterOutput => "output",
            Hook::NatPostrouting => "postrouting",
            Hook::FilterForward => "forward",
            Hook::FilterInput => "input",
        }
    }

    /// The hook number of `enum nf_inet_hooks`.
    pub fn number(self) -> u32 {
        match self {
            Hook::NatPrerouting => 0,
            Hook::FilterInput => 1,
            Hook::FilterForward => 2,
            Hook::NatOutput | Hook::FilterOutput => 3,
            Hook::NatPostrouting => 4,
        }
    }

    /// The priority of `enum nf_ip_hook_priorities`.
    pub fn priority(self) -> i32 {
        match self {
            Hook::NatPrerouting | Hook::NatOutput => -100,
            Hook::NatPostrouting => 100,
            Hook::FilterForward | Hook::FilterInput | Hook::FilterOutput => 0,
        }
    }
}

/// A rule: statements in order, the first that does not match ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it does.
    pub statements: Vec<Statement>,
    /// `svc=NAME` or `svc=NAME be=ADDRESS`: whom it is for; at most 128 bytes.
    pub comment: Option<String>,
}

/// A direction of a tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client.
    Original,
    /// To the client.
    Reply,
}

/// The statements that our rules are made of, each with its nft text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `jump CHAIN`
    Jump(String),
    /// `return`: on with the chain that jumped here, gotos in between or not.
    Return,
    /// `accept`: no more of this base chain.
    Accept,
    /// `ip daddr . meta l4proto . th dport vmap @services` (or `@service-ranges`)
    GotoService(MapName),
    /// `meta mark vmap @marks`
    GotoMarked,
    /// `ip daddr @closed`
    ToClosed,
    /// `counter`
    Counter,
    /// `meta priority set numgen inc mod SIZE map @MAP`
    Cycle {
        /// The slot map.
        map: String,
        /// How many slots it has.
        size: u32,
    },
    /// `meta priority set jhash KEY mod SIZE seed SEED map @MAP`
    Hash {
        /// The slot map.
        map: String,
        /// How many slots it has.
        size: u32,
        /// What is hashed.
        key: HashKey,
        /// jhash's initval.
        seed: u32,
    },
    /// `meta priority vmap @backends`
    GotoBackend,
    /// `meta priority set none`
    ClearPriority,
    /// `ct mark set ct mark & !MASK | BITS`: writes our bits and leaves the others.
    SetMark {
        /// Our bits.
        mask: u32,
        /// What they become; none outside `mask`.
        bits: u32,
    },
    /// `meta l4proto P`, or `meta l4proto { P, Q }`; sorted, at least one.
    Protocols(Vec<Protocol>),
    /// `dnat to ADDRESS[:PORT]`; with a port only behind [`Statement::Protocols`].
    Dnat {
        /// The backend.
        address: IpAddr,
        /// Its port; `None` keeps the client's.
        port: Option<u16>,
    },
    /// `snat to FIRST[-LAST]`
    Snat {
        /// The first address of the pool.
        first: IpAddr,
        /// The last; equal to the first for a single address.
        last: IpAddr,
    },
    /// `masquerade`
    Masquerade,
    /// `reject with tcp reset`, for TCP only (the match on TCP is part of it).
    RejectTcp,
    /// `reject`: ICMP port unreachable.
    Reject,
    /// `ct direction original` (or `reply`)
    Direction(Direction),
    /// `ct mark & MASK == @SET`: the element counts.
    Account {
        /// [`MapName::Sent`] or [`MapName::Received`].
        set: MapName,
        /// Our bits.
        mask: u32,
    },
    /// `ct mark & MASK vmap @sources`
    GotoSource {
        /// Our bits.
        mask: u32,
    },
}
