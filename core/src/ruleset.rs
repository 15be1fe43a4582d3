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
pub mod draw;
mod hook;
mod ids;
mod maps;
mod overlap;
mod refusal;
mod statement;
#[cfg(test)]
mod tests;
pub mod text;
pub mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

pub use hook::Hook;
pub use ids::{IdMap, Ids, MOST_CLIENTS};
pub use maps::{CHOSEN, Elements, Key, MapName, Slots};
pub use refusal::{Refusal, service_of};
pub use statement::{Direction, Statement};

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

    /// How many bits an address has.
    pub fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
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
    /// The other maps to backend ids.
    pub ids: BTreeMap<IdMap, Ids>,
    /// The other maps and sets.
    pub maps: BTreeMap<MapName, Elements>,
    /// The chains by name.
    pub chains: BTreeMap<String, Chain>,
}

/// A chain, base chain where it has a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where the kernel enters it by itself.
    pub hook: Option<Hook>,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// A rule: statements in order, the first that does not match ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it does.
    pub statements: Vec<Statement>,
    /// `svc=NAME` or `svc=NAME be=ADDRESS`: whom it is for; at most 128 bytes.
    pub comment: Option<String>,
}
