//! Clients that keep their backends, questions, and reports.

use std::fmt::Write as _;
use std::mem::size_of;

use super::declare::{InC, layout};
use super::{FlowKey, Plain};

layout! {
    /// A persistent client. Maps `persistent`, `persistent_new`.
    struct PersistentKey = persistent_key {
        /// Its masked address, 4 or 16 bytes, then zeros.
        address: [u8; 16],
        /// The group of services.
        group: u16,
        /// 4 or 6.
        family: u8,
        /// Zero.
        pad: u8,
    }

    /// What it has got.
    struct Persistent = persistent {
        /// Its backend.
        backend: u16,
        /// The generation of the backend's id.
        generation: u16,
        /// When it last began a connection, in the kernel's ticks.
        seen: u32,
    }

    /// Clients that the operator has pinned. Map `pins`: of several that match, the longest prefix counts.
    struct PinKey = pin_key {
        /// [`super::PIN_PREFIX`] and the bits of the address.
        prefix: u32,
        /// The service.
        service: u16,
        /// 4 or 6.
        family: u16,
        /// 4 or 16 bytes, then zeros.
        address: [u8; 16],
    }

    /// Where they are pinned to.
    struct Pinned = pinned {
        /// The backend.
        backend: u16,
        /// Its generation.
        generation: u16,
    }

    /// What a service of a group makes of a backend that the group's clients keep. Map `kin`, to [`Pinned`].
    struct KinKey = kin_key {
        /// The service.
        service: u16,
        /// The backend that a client keeps.
        backend: u16,
    }

    /// A packet that begins a connection, and wants to know its backend. Ring `asked`; the whole frame follows.
    struct Asked = asked {
        /// The connection; of IPv4 as [`super::FlowKey4`] and zeros.
        key: FlowKey,
        /// The service.
        service: u32,
        /// The hash of the client's address and port, by the table's seed.
        hash: u32,
        /// The packet's mark.
        mark: u32,
        /// Where it arrived.
        ifindex: u32,
        /// When, in the kernel's ticks.
        tick: u32,
        /// Bytes of the frame.
        length: u32,
        /// Where in it the transport header is.
        l4: u32,
        /// Where the IP packet ends.
        end: u32,
        /// The VLAN tag that a device has taken off; 0 is none.
        vlan_proto: u32,
        /// Its content.
        vlan_tci: u32,
    }

    /// User space's answer. Map `answers`.
    struct Answer = answer {
        /// The backend; 0 where there is none.
        backend: u16,
        /// Its generation; without a backend [`super::ANSWER_NOBODY`] or [`super::ANSWER_UNDECIDED`].
        generation: u16,
        /// When it was given, in the kernel's ticks.
        given: u32,
    }

    /// Whether there is somebody to ask. Map `asking`, one element.
    struct Asking = asking {
        /// When that one last looked for questions, in the kernel's ticks.
        heartbeat: u32,
        /// How long it may be silent, and how long answers hold; 0 means that nobody is there.
        patience: u32,
    }

    /// A packet that was scheduled or lost. Ring `reports`.
    struct Report = report {
        /// The connection; of IPv4 as [`super::FlowKey4`] and zeros.
        key: FlowKey,
        /// When, in the kernel's ticks.
        tick: u32,
        /// Where it arrived.
        ifindex: u32,
        /// Its mark.
        mark: u32,
        /// Bytes of the IP packet.
        length: u32,
        /// [`super::REPORT_CHOSEN`], or an [`super::Event`].
        what: u16,
        /// The service, or [`super::REPORT_NO_SERVICE`].
        service: u16,
        /// The backend; 0 is none.
        backend: u16,
        /// Zero.
        pad: u16,
    }
}

/// Their part of the header.
pub(super) fn c_records(out: &mut String) {
    c_structs(out);
}
