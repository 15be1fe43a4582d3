//! What our rules are made of.

use std::net::IpAddr;
use std::time::Duration;

use super::{IdMap, MapName, Protocol};
use crate::scheduler::HashKey;

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
    /// `goto CHAIN`
    Goto(String),
    /// `return`: on with the chain that jumped here, gotos in between or not.
    Return,
    /// `accept`: no more of this base chain.
    Accept,
    /// `ip daddr . meta l4proto . th dport vmap @services` (or `@service-ranges`, `@asked`)
    GotoService(MapName),
    /// `meta mark vmap @marks` (or `@asked-marks`)
    GotoMarked(MapName),
    /// `ct status ! confirmed`: the packet is the first of its connection that comes so far.
    Unconfirmed,
    /// `meta l4proto @attended`: the director is there.
    Attended,
    /// `queue flags bypass to NUMBER`: the packet waits until somebody has decided. Where nobody listens, it goes on.
    Queue(u16),
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
    /// `meta priority set ip saddr & MASK map @MAP`: who the client's backend is.
    LookUpClient {
        /// Of clients.
        map: IdMap,
        /// How many bits of the address make a client.
        bits: u8,
    },
    /// `meta priority set meta priority map @MAP`: which of the service's backends that is.
    LookUpHeld(IdMap),
    /// `update @MAP { ip saddr & MASK timeout TIMEOUT : meta priority }`: remembers the client's backend, or begins
    /// its time anew. Ends the rule where there is no room.
    Remember {
        /// Of clients.
        map: IdMap,
        /// How many bits of the address make a client.
        bits: u8,
        /// For how long; whole milliseconds.
        timeout: Duration,
    },
    /// `delete @MAP { ip saddr & MASK : meta priority }`: forgets the client.
    Forget {
        /// Of clients.
        map: IdMap,
        /// How many bits of the address make a client.
        bits: u8,
    },
    /// `meta priority vmap @backends`
    GotoBackend,
    /// `meta priority vmap @chosen`
    GotoChosen,
    /// `iif 0`: the packet comes from the director itself.
    FromHere,
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
