//! What the program and the director share: the maps' keys and values, and the numbers in them.
//!
//! This is the one definition. [`c_header`] writes it as the C header `src/bpf/layout.h`, which asserts sizes and
//! offsets; a test holds the header in the repository to it.
//!
//! Addresses and ports are in network byte order, IPv4 addresses in the last four bytes of sixteen, numbers in the
//! machine's order. All padding is named, because the kernel compares keys byte by byte.

mod declare;
mod records;

use std::fmt::Write as _;
use std::mem::size_of;

use declare::{InC, events, layout, numbers};
pub use records::{Answer, Asked, Asking, KinKey, Persistent, PersistentKey, PinKey, Pinned, Report};

/// Changes whenever a map's key, value or meaning does; it is part of the pin path.
pub const SCHEMA: u32 = 5;

/// A type that C and Rust lay out alike, valid for every pattern of bits.
///
/// # Safety
/// `repr(C)`, without implicit padding, and without bit patterns that are invalid.
pub unsafe trait Plain: Copy + Default {}

layout! {
    /// A connection of IPv4, as the client's packets name it. Map `flows4`.
    struct FlowKey4 = flow_key4 {
        /// The client's port.
        sport: u16,
        /// The service's port.
        dport: u16,
        /// IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP.
        proto: u8,
        /// 4.
        family: u8,
        /// Zero.
        pad: [u8; 2],
        /// The client.
        saddr: [u8; 4],
        /// The virtual address.
        daddr: [u8; 4],
    }

    /// A connection of IPv6; in listings also of IPv4, as [`FlowKey4`] and zeros. Map `flows6`.
    struct FlowKey = flow_key {
        /// The client's port.
        sport: u16,
        /// The service's port.
        dport: u16,
        /// IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP.
        proto: u8,
        /// 4 or 6.
        family: u8,
        /// Zero.
        pad: [u8; 2],
        /// Client and virtual address, 4 or 16 bytes each, then zeros.
        addresses: [u8; 32],
    }

    /// What is known of a connection. With IPv6's key and the kernel's own 64 bytes it fills 120 bytes.
    struct Flow = flow {
        /// Its backend.
        backend: u16,
        /// The generation of the backend's id; another one now means that the entry is void.
        generation: u16,
        /// When the client's last packet came, in the kernel's ticks.
        seen: u32,
        /// The service that chose.
        service: u16,
        /// One of `STATE_*`.
        state: u8,
        /// `FLOW_*`.
        flags: u8,
        /// When it began, in the kernel's ticks.
        opened: u32,
    }

    /// A half-open connection of IPv4.
    struct HalfOpen4 = half_open4 {
        /// What is known of it.
        flow: Flow,
        /// Its name, with a stamp of that in `pad` (`half_open.h`); the protocol is 0 where there is none.
        key: FlowKey4,
    }

    /// A half-open connection of IPv6.
    struct HalfOpen6 = half_open6 {
        /// What is known of it.
        flow: Flow,
        /// As in [`HalfOpen4`].
        key: FlowKey,
    }

    /// The connections that their hash puts in one place, of which the oldest gives way. Map `half_open4`.
    struct HalfOpenSet4 = half_open_set4 {
        /// Two cache lines.
        ways: [HalfOpen4; HALF_OPEN_WAYS],
    }

    /// The same of IPv6. Map `half_open6`.
    struct HalfOpenSet6 = half_open_set6 {
        /// Three and a half.
        ways: [HalfOpen6; HALF_OPEN_WAYS],
    }

    /// What of a packet names a service. Map `listeners`.
    struct Listener = listener {
        /// The virtual address; of a mark, itself in the first four bytes, in the machine's order.
        address: [u8; 16],
        /// 0 means every port.
        port: u16,
        /// 0 of a mark.
        proto: u8,
        /// One of `KIND_*`.
        kind: u8,
    }

    /// An address, protocol and port of IPv4 that need not be searched for. Map `shortcuts`, by the hash of `name`; of
    /// several listeners with one hash the last has it, and all are in `listeners`.
    struct Shortcut = shortcut {
        /// Address, port and protocol as they follow one another in memory, and [`SHORTCUT_USED`].
        name: u64,
        /// The service that listens there.
        service: u32,
        /// Zero.
        pad: u32,
    }

    /// A service. Map `services`, by service number.
    struct Service = service {
        /// `SERVICE_*`.
        flags: u32,
        /// Of persistence: services of one group share their clients' backends.
        group: u16,
        /// Zero.
        pad: u16,
        /// How long a persistent client may be away, in the kernel's ticks.
        timeout: u32,
        /// What of an IPv4 address names a persistent client.
        mask4: [u8; 4],
        /// Of an IPv6 address.
        mask6: [u8; 16],
    }

    /// A backend. Map `backends`, by backend id; all zero where there is none.
    struct Backend = backend {
        /// Where it is: the real server, or for tunnels where they end.
        address: [u8; 16],
        /// The outer source of tunnelled packets.
        source: [u8; 16],
        /// The interface it is reached through.
        ifindex: u32,
        /// Moves on when the id gets another meaning.
        generation: u16,
        /// The largest IP packet that the way there takes.
        mtu: u16,
        /// Its hardware address; all zero lets the kernel resolve it for each packet.
        mac: [u8; 6],
        /// That of the interface.
        source_mac: [u8; 6],
        /// One of `METHOD_*`; 0 is no backend.
        method: u8,
        /// 4 or 6: of `address` and `source`.
        family: u8,
        /// `BACKEND_*`.
        flags: u8,
        /// Zero.
        pad: [u8; 3],
        /// One of `TUNNEL_*`.
        tunnel: u8,
        /// Bytes that the tunnel puts before the packet.
        overhead: u8,
        /// The last bits of `source`: zero here, and in packets the flow's hash, or zeros and all of it.
        source_bits: u8,
        /// Not 0: the tunnel's header has a checksum over the packet.
        checksum: u8,
        /// Where GUE listens.
        port: u16,
    }

    /// A datagram whose first fragment has passed. Map `fragments`.
    struct FragmentKey = fragment_key {
        /// Source and destination, 4 or 16 bytes each, then zeros.
        addresses: [u8; 32],
        /// The identification field.
        id: u32,
        /// The protocol.
        proto: u8,
        /// 4 or 6.
        family: u8,
        /// Zero.
        pad: [u8; 2],
    }

    /// Where the other fragments go.
    struct FragmentWay = fragment_way {
        /// The backend.
        backend: u16,
        /// Its generation.
        generation: u16,
    }

    /// What is looked at first, and the limits. Map `settings`, one element.
    struct Settings = settings {
        /// A Bloom filter of one hash over the virtual addresses: what is not in it is not ours.
        filter: [u64; 128],
        /// Not 0: there are services by mark.
        marks: u32,
        /// New entries that a CPU may put in a table within one [`GATE_TICKS`]; 0 means no limit.
        insert_limit: u32,
        /// Too-big messages that a CPU may send within one [`GATE_TICKS`].
        icmp_limit: u32,
        /// One in so many scheduled or lost packets is reported; 0 means none.
        report_every: u32,
        /// Elements of the maps of half-open connections.
        half_open_sets: u32,
        /// Zero.
        pad: u32,
        /// Of their hash, so that nobody else knows which connections meet.
        half_open_seed: u64,
    }

    /// What a CPU has used of its limits. Map `gates`.
    struct Gate = gate {
        /// In which [`GATE_TICKS`].
        window: u32,
        /// Entries made.
        inserts: u32,
        /// Messages sent.
        icmps: u32,
        /// Zero.
        pad: u32,
    }

    /// What has gone to a backend, on one CPU. Map `backend_stats`.
    struct BackendStats = backend_stats {
        /// Packets; one that was merged by GRO counts once.
        packets: u64,
        /// Bytes, from the Ethernet header on.
        bytes: u64,
        /// Times it was chosen.
        connections: u64,
    }

    /// What a service has done besides what its backends count, on one CPU. Map `service_stats`.
    struct ServiceStats = service_stats {
        /// Packets handed to nftables to be refused, because no backend takes them.
        refused: u64,
    }
}

numbers! {
    /// A listener is an address, a protocol and a port.
    KIND_ADDRESS: u8 = 0;
    /// A listener is a firewall mark of packets of IPv4. The number is the family's, which saves the program a question.
    KIND_MARK4: u8 = 4;
    /// Of IPv6: another service, whose backends are other ones.
    KIND_MARK6: u8 = 6;

    /// What a packet's priority is when nftables takes it on: this, and the backend's id in the low half. An id of 0
    /// means that no backend takes it: it is to be refused.
    PRIORITY_TAG: u32 = 0x7776_0000;

    /// UDP without connections: every packet is scheduled.
    SERVICE_ONE_PACKET: u32 = 1;
    /// Clients keep their backends.
    SERVICE_PERSISTENT: u32 = 2;
    /// Not those of quiesced backends.
    SERVICE_EXPIRE_QUIESCED: u32 = 4;
    /// Clients may be pinned.
    SERVICE_PINS: u32 = 8;
    /// Clients keep backends of other services too, which stand for its own.
    SERVICE_GROUPED: u32 = 16;
    /// The service was set: for those who read the map.
    SERVICE_KNOWN: u32 = 1 << 31;

    /// The bits of a pin's key that are no address: service and family.
    PIN_PREFIX: u32 = 32;

    /// The backend takes no new clients.
    BACKEND_QUIESCED: u8 = 1;

    /// The connection's client keeps its backend.
    FLOW_PERSISTENT: u8 = 1;

    /// Network address translation: the packet goes up to nftables.
    METHOD_NAT: u8 = 1;
    /// Direct routing.
    METHOD_DR: u8 = 2;
    /// IP in IP.
    METHOD_TUN: u8 = 3;
    /// The director itself: the packet goes up.
    METHOD_LOCAL: u8 = 4;

    /// IP in IP, always from the same address.
    TUNNEL_PLAIN: u8 = 0;
    /// IP in IP.
    TUNNEL_IPIP: u8 = 1;
    /// RFC 2784.
    TUNNEL_GRE: u8 = 2;
    /// Generic UDP encapsulation, version 0 (draft-ietf-intarea-gue).
    TUNNEL_GUE: u8 = 3;

    /// SYN seen.
    STATE_SYN: u8 = 1;
    /// ACK seen.
    STATE_ESTABLISHED: u8 = 2;
    /// The client has sent FIN.
    STATE_FIN: u8 = 3;
    /// FIN before anything was acknowledged.
    STATE_TIME_WAIT: u8 = 4;
    /// RST seen.
    STATE_CLOSED: u8 = 5;
    /// UDP and SCTP have no states.
    STATE_DATAGRAM: u8 = 6;

    /// A table is walked.
    TABLE_CYCLE: u32 = 0;
    /// A table is indexed by the source address.
    TABLE_SOURCE: u32 = 1;
    /// By source address and port.
    TABLE_SOURCE_PORT: u32 = 2;
    /// By the destination address.
    TABLE_DESTINATION: u32 = 3;
    /// By both addresses and ports.
    TABLE_BOTH: u32 = 4;
    /// User space is asked; by source address and port where it does not answer.
    TABLE_FLOW: u32 = 5;
    /// A table's element 0 is its kind, shifted by this, and the number of slots.
    TABLE_KIND_SHIFT: u32 = 24;
    /// The first element that is a slot; element 1 is the hash's seed.
    TABLE_SLOTS: u32 = 2;

    /// A backend was chosen.
    REPORT_CHOSEN: u16 = 0xffff;
    /// It is not known which service it was.
    REPORT_NO_SERVICE: u16 = 0xffff;
    /// Bytes of the ring: 3,600 reports.
    REPORT_RING: usize = 1 << 18;

    /// Frames up to this size go to user space in small records: SYNs with all options.
    ASKED_SMALL: usize = 184;
    /// And up to this in large ones: datagrams of the usual MTU. Larger ones are not asked for: with records for 9,000
    /// bytes a hundred packets would fill the ring, and who begins with such datagrams is not told to send them again.
    ASKED_LARGE: usize = 1976;
    /// Bytes of the ring: 3,800 SYNs.
    ASKED_RING: usize = 1 << 20;
    /// Answers that wait for their packets.
    ANSWERS: u32 = 1 << 14;
    /// Generation of an answer without a backend: the connection is refused.
    ANSWER_NOBODY: u16 = 0;
    /// Nobody has decided: the hash chooses.
    ANSWER_UNDECIDED: u16 = 1;
    /// Half-open connections that share a place.
    HALF_OPEN_WAYS: usize = 4;

    /// Shortcuts are 2 to the power of this.
    SHORTCUT_BITS: u32 = 12;
    /// Marks a shortcut that is one.
    SHORTCUT_USED: u64 = 1 << 56;
    /// The product with it begins with the hash of a shortcut's name.
    SHORTCUT_HASH: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Limits hold for 2 to the power of this of the kernel's ticks: 128 ms with the usual 250 in a second.
    GATE_TICKS: u32 = 5;
}

events! {
    /// Handed to nftables to be refused: no slot named a backend that exists.
    NoBackend = EVENT_NO_BACKEND, false, "no-backend";
    /// Too big for the way to the backend; the client was told.
    TooBig = EVENT_TOO_BIG, true, "too-big";
    /// Too big, and the client was not told: because of the limit of messages, or it was one itself.
    TooBigUntold = EVENT_TOO_BIG_UNTOLD, true, "too-big-untold";
    /// The kernel refused to make room for the outer header, or GRO merged segments that need a checksum of GRE each.
    Encapsulation = EVENT_ENCAPSULATION, true, "encapsulation";
    /// The kernel refused to take the VLAN tag off.
    VlanTag = EVENT_VLAN, true, "vlan-tag";
    /// Left to the stack: the hop limit is used up.
    HopLimit = EVENT_HOP_LIMIT, false, "hop-limit";
    /// Left to the stack: a fragment whose first one was not seen.
    Fragment = EVENT_FRAGMENT, false, "unknown-fragment";
    /// Left to the stack: an ICMP error about a connection that is not ours.
    IcmpUnknown = EVENT_ICMP_UNKNOWN, false, "unknown-icmp";
    /// Left to the stack: lengths that contradict each other.
    Malformed = EVENT_MALFORMED, false, "malformed";
    /// An entry named a backend that is gone; the packet was scheduled anew.
    Stale = EVENT_STALE, false, "stale-flow";
    /// No entry was made because of the limit; the hash of the client chose.
    Gate = EVENT_GATE, false, "insert-limit";
    /// No entry was made because the kernel refused.
    TableFull = EVENT_TABLE_FULL, false, "table-full";
    /// A TCP packet without entry that opens nothing; the hash of the client chose.
    NoSyn = EVENT_NO_SYN, false, "no-syn";
    /// Handed to user space, which is asked for its backend.
    Asked = EVENT_ASKED, false, "asked";
    /// Not asked, because nobody answers, the ring is full, or the packet cannot arrive again; the hash chose.
    Unasked = EVENT_UNASKED, false, "unasked";
    /// Too big for the way to the backend, without DF: sent in two fragments.
    Cut = EVENT_CUT, false, "cut";
    /// Sampled, and not reported: reports came faster than they were read.
    Unreported = EVENT_UNREPORTED, false, "unreported";
}

/// The header `src/bpf/layout.h`.
#[must_use]
pub fn c_header() -> String {
    let mut out = String::from(
        "/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */\n\
         /* Written by src/layout.rs, where the comments are. WVS_BLESS=1 cargo test layout rewrites it. */\n\
         #pragma once\n#include <linux/types.h>\n\n",
    );
    c_numbers(&mut out);
    let _ = writeln!(out, "#define EVENTS {}", Event::ALL.len());
    c_events(&mut out);
    c_structs(&mut out);
    records::c_records(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bpf/layout.h");
        if std::env::var_os("WVS_BLESS").is_some() {
            std::fs::write(path, c_header()).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(kept == c_header(), "{path} is old: WVS_BLESS=1 cargo test layout rewrites it");
    }

    /// The kernel adds 48 bytes to an element of an LRU hash, and a bucket's head of 16.
    #[test]
    fn a_flow_takes_at_most_128_bytes() {
        assert!(size_of::<FlowKey>() + size_of::<Flow>() + 64 <= 128);
        assert_eq!(size_of::<Flow>(), 16);
        assert_eq!(size_of::<FlowKey4>(), 16);
        assert_eq!(size_of::<Backend>(), 64);
    }
}
