//! One entry of conntrack as the kernel dumps it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::kernel::netlink::{self, Attributes};
use crate::kernel::{Flow, MarkMask};
use crate::ruleset::Protocol;
use crate::scheduler::BackendId;

/// Attributes of an entry (`enum ctattr_type`).
pub mod attribute {
    pub const ORIGINAL: u16 = 1;
    pub const REPLY: u16 = 2;
    pub const STATUS: u16 = 3;
    pub const PROTOCOL_STATE: u16 = 4;
    pub const TIMEOUT: u16 = 7;
    pub const MARK: u16 = 8;
    pub const ID: u16 = 12;
    pub const ZONE: u16 = 18;
    pub const MARK_MASK: u16 = 21;
    // Inside a tuple, and inside its parts.
    pub const TUPLE_ADDRESSES: u16 = 1;
    pub const TUPLE_PROTOCOL: u16 = 2;
    pub const V4_SOURCE: u16 = 1;
    pub const V4_DESTINATION: u16 = 2;
    pub const V6_SOURCE: u16 = 3;
    pub const V6_DESTINATION: u16 = 4;
    pub const PROTOCOL_NUMBER: u16 = 1;
    pub const SOURCE_PORT: u16 = 2;
    pub const DESTINATION_PORT: u16 = 3;
    // Inside the protocol's state: which protocol, then its state.
    pub const STATE_TCP: u16 = 1;
    pub const STATE_SCTP: u16 = 3;
    pub const STATE: u16 = 1;
}

/// `IPS_SEEN_REPLY`
const SEEN_REPLY: u32 = 1 << 1;
/// `IPS_ASSURED`
const ASSURED: u32 = 1 << 2;

/// conntrack's words by number (`enum tcp_conntrack`).
const TCP_STATES: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

/// conntrack's words by number (`enum sctp_conntrack`).
const SCTP_STATES: [&str; 10] = [
    "NONE",
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
    "HEARTBEAT_SENT",
    "HEARTBEAT_ACKED",
];

/// The ends of a connection as the kernel is asked for it, the inside of a tuple.
pub fn tuple(protocol: Protocol, client: SocketAddr, target: SocketAddr) -> Vec<u8> {
    let address = |v4, v6, of: IpAddr| match of {
        IpAddr::V4(address) => netlink::attribute(v4, &address.octets()),
        IpAddr::V6(address) => netlink::attribute(v6, &address.octets()),
    };
    let addresses = [
        address(attribute::V4_SOURCE, attribute::V6_SOURCE, client.ip()),
        address(attribute::V4_DESTINATION, attribute::V6_DESTINATION, target.ip()),
    ];
    let ports = [
        netlink::attribute(attribute::PROTOCOL_NUMBER, &[protocol.number()]),
        netlink::attribute(attribute::SOURCE_PORT, &client.port().to_be_bytes()),
        netlink::attribute(attribute::DESTINATION_PORT, &target.port().to_be_bytes()),
    ];
    [
        netlink::nested(attribute::TUPLE_ADDRESSES, &addresses.concat()),
        netlink::nested(attribute::TUPLE_PROTOCOL, &ports.concat()),
    ]
    .concat()
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Tcp(u8),
    Sctp(u8),
    /// Neither, with the status bits of the entry.
    Other(u32),
}

impl State {
    fn of(entry: Attributes<'_>) -> Self {
        let protocol = entry.nested(attribute::PROTOCOL_STATE);
        let state = |of| {
            protocol
                .nested(of)
                .get(attribute::STATE)
                .and_then(|it| it.first().copied())
        };
        match (state(attribute::STATE_TCP), state(attribute::STATE_SCTP)) {
            (Some(state), _) => State::Tcp(state),
            (None, Some(state)) => State::Sctp(state),
            (None, None) => State::Other(entry.u32(attribute::STATUS).unwrap_or_default()),
        }
    }

    /// LVS's rule for ActiveConn: established, or on the way there.
    fn is_active(self) -> bool {
        match self {
            State::Tcp(state) => matches!(state, 1..=3 | 9),
            State::Sctp(state) => matches!(state, 2..=4 | 8 | 9),
            State::Other(_) => false,
        }
    }

    fn word(self) -> &'static str {
        let of =
            |words: &[&'static str], state: u8| words.get(usize::from(state)).copied().unwrap_or("UNKNOWN");
        match self {
            State::Tcp(state) => of(&TCP_STATES, state),
            State::Sctp(state) => of(&SCTP_STATES, state),
            State::Other(status) if status & ASSURED != 0 => "ASSURED",
            State::Other(status) if status & SEEN_REPLY != 0 => "REPLIED",
            State::Other(_) => "UNREPLIED",
        }
    }
}

/// An entry that carries our bits.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The backend by the mark.
    pub backend: BackendId,
    attributes: Attributes<'a>,
}

impl<'a> Entry<'a> {
    /// The entry of a dumped message, if it is ours.
    pub fn ours(mask: MarkMask, attributes: Attributes<'a>) -> Option<Self> {
        let backend = mask.id(attributes.u32(attribute::MARK)?)?;
        Some(Entry { backend, attributes })
    }

    /// Whether it counts as active.
    pub fn is_active(&self) -> bool {
        State::of(self.attributes).is_active()
    }

    /// The attributes by which the kernel finds exactly this entry again.
    pub fn identity(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let of_identity = [attribute::ORIGINAL, attribute::ID, attribute::ZONE];
        self.attributes
            .filter(move |(kind, _)| of_identity.contains(kind))
    }

    /// The connection, if it is of a protocol that services are made for.
    pub fn flow(&self) -> Option<Flow> {
        let original = Tuple::read(self.attributes.nested(attribute::ORIGINAL))?;
        let reply = Tuple::read(self.attributes.nested(attribute::REPLY))?;
        Some(Flow {
            protocol: Protocol::from_number(original.protocol)?,
            client: original.source,
            target: original.destination,
            server: reply.source,
            backend: self.backend,
            state: State::of(self.attributes).word().to_owned(),
            expires: self.attributes.u32(attribute::TIMEOUT).unwrap_or_default(),
        })
    }
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug)]
struct Tuple {
    protocol: u8,
    source: SocketAddr,
    destination: SocketAddr,
}

impl Tuple {
    fn read(tuple: Attributes<'_>) -> Option<Self> {
        let addresses = tuple.nested(attribute::TUPLE_ADDRESSES);
        let protocol = tuple.nested(attribute::TUPLE_PROTOCOL);
        let v4 = |of| {
            addresses
                .get(of)?
                .first_chunk()
                .map(|it: &[u8; 4]| IpAddr::from(Ipv4Addr::from(*it)))
        };
        let v6 = |of| {
            addresses
                .get(of)?
                .first_chunk()
                .map(|it: &[u8; 16]| IpAddr::from(Ipv6Addr::from(*it)))
        };
        let port = |of| protocol.get(of)?.first_chunk().map(|it| u16::from_be_bytes(*it));
        let source = v4(attribute::V4_SOURCE).or_else(|| v6(attribute::V6_SOURCE))?;
        let destination = v4(attribute::V4_DESTINATION).or_else(|| v6(attribute::V6_DESTINATION))?;
        Some(Tuple {
            protocol: *protocol.get(attribute::PROTOCOL_NUMBER)?.first()?,
            source: SocketAddr::new(source, port(attribute::SOURCE_PORT)?),
            destination: SocketAddr::new(destination, port(attribute::DESTINATION_PORT)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::netlink::{Messages, Request};

    const MASK: MarkMask = MarkMask { mask: 0xffff_0000 };

    fn nest(parts: &[(u16, &[u8])]) -> Vec<u8> {
        let mut request = Request::netfilter(0, 0, 0, 0);
        for (kind, payload) in parts {
            request = request.attribute(*kind, payload);
        }
        request.finish(0).split_off(20)
    }

    fn tuple(source: [u8; 4], from: u16, destination: [u8; 4], to: u16) -> Vec<u8> {
        let addresses = nest(&[(1, &source), (2, &destination)]);
        let protocol = nest(&[(1, &[6]), (2, &from.to_be_bytes()), (3, &to.to_be_bytes())]);
        nest(&[(1 | 0x8000, &addresses), (2 | 0x8000, &protocol)])
    }

    fn entry(mark: u32, state: u8) -> Vec<u8> {
        let state = nest(&[(1 | 0x8000, &nest(&[(1, &[state])]))]);
        nest(&[
            (1 | 0x8000, &tuple([10, 0, 0, 1], 4711, [10, 0, 0, 100], 80)),
            (2 | 0x8000, &tuple([10, 1, 0, 11], 8080, [10, 0, 0, 1], 4711)),
            (3, &0u32.to_be_bytes()),
            (4 | 0x8000, &state),
            (7, &120u32.to_be_bytes()),
            (8, &mark.to_be_bytes()),
            (12, &77u32.to_be_bytes()),
        ])
    }

    #[test]
    fn a_connection_is_read() {
        let bytes = entry(0x002a_0001, 3);
        let entry = Entry::ours(MASK, Attributes(&bytes)).unwrap();
        assert!(entry.is_active());
        assert_eq!(
            entry.flow().unwrap(),
            Flow {
                protocol: Protocol::Tcp,
                client: "10.0.0.1:4711".parse().unwrap(),
                target: "10.0.0.100:80".parse().unwrap(),
                server: "10.1.0.11:8080".parse().unwrap(),
                backend: BackendId(42),
                state: "ESTABLISHED".into(),
                expires: 120,
            }
        );
        assert_eq!(entry.identity().map(|(kind, _)| kind).collect::<Vec<_>>(), [1, 12]);
    }

    #[test]
    fn a_mark_without_our_bits_is_not_ours() {
        assert!(Entry::ours(MASK, Attributes(&entry(0x0000_0001, 3))).is_none());
        assert!(Entry::ours(MASK, Attributes(&[])).is_none());
    }

    #[test]
    fn active_is_what_lvs_calls_active() {
        let active: Vec<_> = (0..TCP_STATES.len() as u8)
            .filter(|state| State::Tcp(*state).is_active())
            .map(|state| State::Tcp(state).word())
            .collect();
        assert_eq!(active, ["SYN_SENT", "SYN_RECV", "ESTABLISHED", "SYN_SENT2"]);
        assert!(State::Sctp(4).is_active() && !State::Sctp(5).is_active());
        assert!(!State::Other(ASSURED | SEEN_REPLY).is_active());
        assert_eq!(State::Other(SEEN_REPLY).word(), "REPLIED");
        assert_eq!(State::Tcp(200).word(), "UNKNOWN");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let all = Entry { backend: BackendId(1), attributes: Attributes(&bytes) };
            let _ = (all.is_active(), all.flow(), all.identity().count());
            let _ = Entry::ours(MASK, Attributes(&bytes));
        }

        #[test]
        fn a_damaged_entry_is_read_without_a_panic(at: prop::sample::Index, to: u8, cut: prop::sample::Index) {
            let mut bytes = entry(0x002a_0000, 3);
            *at.get_mut(&mut bytes) = to;
            bytes.truncate(cut.index(bytes.len() + 1));
            if let Some(entry) = Entry::ours(MASK, Attributes(&bytes)) {
                let _ = (entry.is_active(), entry.flow(), entry.identity().count());
            }
            prop_assert!(Messages(&bytes).count() <= bytes.len());
        }
    }
}
