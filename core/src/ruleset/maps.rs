//! What the maps and sets of a table hold.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::Protocol;
use crate::scheduler::BackendId;

/// The contents of a slot map, `typeof numgen inc mod SIZE : meta priority`.
///
/// Entry n is the backend of slot n; `None` is a missing element, for which the service's chain goes on to
/// its reject.
pub type Slots = Vec<Option<BackendId>>;

/// The elements of a map or set: to which chain the key goes, or `None` in a set.
pub type Elements = BTreeMap<Key, Option<String>>;

/// What the tc program writes into the priority of a packet that it leaves to us, in its upper half: the lower
/// half is the id of the backend that it has chosen. So does a scheduler that was asked. No qdisc has this handle unless somebody gives it on purpose.
pub const CHOSEN: u32 = 0x7776_0000;

/// The maps and sets of a table. The name says all of the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MapName {
    /// `asked`: address . protocol . port interval → verdict: services whose scheduler is asked for each connection.
    Asked,
    /// `asked-marks`: the same by firewall mark.
    AskedMarks,
    /// `attended`: set of protocols, as long as the director says all the time that it is there.
    Attended,
    /// `backends`: classid → verdict, with a counter: connections sent to each backend.
    Backends,
    /// `chosen`: classid → verdict, with a counter: connections that the tc program chose a backend for.
    Chosen,
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
    pub const ALL: [MapName; 12] = [
        MapName::Asked,
        MapName::AskedMarks,
        MapName::Attended,
        MapName::Backends,
        MapName::Chosen,
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
            MapName::Asked => "asked",
            MapName::AskedMarks => "asked-marks",
            MapName::Attended => "attended",
            MapName::Backends => "backends",
            MapName::Chosen => "chosen",
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
        !matches!(self, MapName::Attended | MapName::Closed | MapName::Received | MapName::Sent)
    }

    /// Whether its elements end by themselves. To us it is always empty.
    pub fn is_dynamic(self) -> bool {
        self == MapName::Attended
    }

    /// Whether ports are ranges.
    pub fn has_ranges(self) -> bool {
        matches!(self, MapName::Asked | MapName::ServiceRanges)
    }

    /// Whether each element counts its packets and bytes.
    pub fn has_counters(self) -> bool {
        matches!(self, MapName::Backends | MapName::Chosen | MapName::Received | MapName::Sent)
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
    /// `service-ranges`, `asked`: address, protocol, first and last port.
    ServiceRange(IpAddr, Protocol, u16, u16),
    /// `marks`, `asked-marks`: a firewall mark; `received`, `sent`, `sources`: our bits of a conntrack mark, in place.
    Mark(u32),
    /// `backends`, `held-…`: a backend id in the packet's priority.
    Backend(BackendId),
    /// `chosen`, `answers-…`: a backend id in the packet's priority as the tc program writes it, or who has asked a
    /// scheduler, see [`CHOSEN`]; 0 where there is no backend.
    Chosen(BackendId),
    /// `attended`: a protocol.
    Protocol(Protocol),
    /// `closed`, `pins-…`: an address, whose last bits are 0 where only the first count.
    Address(IpAddr),
}
