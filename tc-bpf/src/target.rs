//! Listeners, backends and tables as a director speaks of them, and how the maps have them.

use std::net::{IpAddr, Ipv6Addr};

use crate::layout::{
    BACKEND_QUIESCED, Backend, KIND_ADDRESS, KIND_MARK4, KIND_MARK6, Listener, METHOD_DR, METHOD_LOCAL,
    METHOD_NAT, METHOD_TUN, SHORTCUT_BITS, SHORTCUT_HASH, SHORTCUT_USED, Shortcut, TABLE_BOTH, TABLE_CYCLE,
    TABLE_DESTINATION, TABLE_FLOW, TABLE_SOURCE, TABLE_SOURCE_PORT, TUNNEL_GRE, TUNNEL_GUE, TUNNEL_IPIP,
    TUNNEL_PLAIN,
};

/// The version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl From<IpAddr> for Family {
    fn from(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What of a packet names a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listen {
    /// A virtual address, an IP protocol (6, 17, 132), and a port; port 0 means every port.
    Address(IpAddr, u8, u16),
    /// A firewall mark of packets of this family, as tc programs before ours set it: nftables marks later than we look.
    Mark(Family, u32),
}

/// An address as the maps have it.
pub(crate) fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// An address of the maps again; `family` tells IPv4 from IPv6's addresses that look like it.
pub(crate) fn address(octets: [u8; 16], family: u8) -> IpAddr {
    let address = Ipv6Addr::from(octets);
    match address.to_ipv4_mapped() {
        Some(v4) if family == 4 => v4.into(),
        _ => address.into(),
    }
}

impl Listen {
    /// Where the shortcut to it is, if it may have one, and what it says.
    pub(crate) fn shortcut(self, service: u32) -> Option<(u32, Shortcut)> {
        let Self::Address(IpAddr::V4(address), proto, port @ 1..) = self else {
            return None;
        };
        let [a, b, c, d] = address.octets();
        let [high, low] = port.to_be_bytes();
        let name = SHORTCUT_USED | u64::from_le_bytes([a, b, c, d, high, low, proto, 0]);
        let at = name.wrapping_mul(SHORTCUT_HASH) >> (64 - SHORTCUT_BITS);
        let shortcut = Shortcut {
            name,
            service,
            pad: 0,
        };
        Some((at as u32, shortcut))
    }
}

impl From<Listen> for Listener {
    fn from(listen: Listen) -> Self {
        match listen {
            Listen::Address(address, proto, port) => Self {
                address: octets(address),
                port: port.to_be(),
                proto,
                kind: KIND_ADDRESS,
            },
            Listen::Mark(family, mark) => {
                let mut address = [0; 16];
                address[..4].copy_from_slice(&mark.to_ne_bytes());
                Self {
                    address,
                    kind: match family {
                        Family::V4 => KIND_MARK4,
                        Family::V6 => KIND_MARK6,
                    },
                    ..Self::default()
                }
            }
        }
    }
}

impl From<Listener> for Listen {
    fn from(listener: Listener) -> Self {
        let family = match listener.kind {
            KIND_MARK4 => Some(Family::V4),
            KIND_MARK6 => Some(Family::V6),
            _ => None,
        };
        if let Some(family) = family {
            let [a, b, c, d, ..] = listener.address;
            return Self::Mark(family, u32::from_ne_bytes([a, b, c, d]));
        }
        let address = Ipv6Addr::from(listener.address).to_canonical();
        Self::Address(address, listener.proto, u16::from_be(listener.port))
    }
}

/// How a backend gets its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// By nftables: the packet goes up with [`crate::layout::PRIORITY_TAG`] and the id.
    Nat,
    /// By its hardware address, with the virtual address in it.
    DirectRouting,
    /// Within another IP packet.
    Tunnel,
    /// It is the director itself: the packet goes up likewise.
    Local,
}

impl Method {
    /// Whether the program sends the packets itself, past the director's stack.
    pub fn is_direct(self) -> bool {
        matches!(self, Method::DirectRouting | Method::Tunnel)
    }
}

/// What a tunnelled packet lies in, behind the outer IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// Nothing else (RFC 2003, RFC 2473, RFC 4213).
    #[default]
    Ipip,
    /// GRE (RFC 2784).
    Gre {
        /// With a checksum over the packet. Packets that GRO has merged are lost then: it must be off on the interfaces
        /// that packets arrive at.
        checksum: bool,
    },
    /// Generic UDP encapsulation, version 0 (draft-ietf-intarea-gue), from a port that tells flows apart.
    Gue {
        /// Where the other end listens.
        port: u16,
        /// With UDP's checksum; packets that GRO has merged go without.
        checksum: bool,
    },
}

impl Encapsulation {
    /// Bytes that it puts between the outer IP header and the packet.
    #[must_use]
    pub const fn size(self) -> u8 {
        match self {
            Self::Ipip => 0,
            Self::Gre { checksum: false } => 4,
            Self::Gre { checksum: true } => 8,
            Self::Gue { .. } => 12,
        }
    }

    const fn checksum(self) -> bool {
        matches!(self, Self::Gre { checksum: true } | Self::Gue { checksum: true, .. })
    }

    fn of(backend: &Backend) -> Self {
        let checksum = backend.checksum > 0;
        match backend.tunnel {
            TUNNEL_GRE => Self::Gre { checksum },
            TUNNEL_GUE => Self::Gue {
                port: u16::from_be(backend.port),
                checksum,
            },
            _ => Self::Ipip,
        }
    }
}

/// How to reach a backend of direct routing or tunnelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The interface.
    pub ifindex: u32,
    /// The largest IP packet it takes.
    pub mtu: u16,
    /// The next hop's hardware address and the interface's. Without them the kernel resolves the next hop for every
    /// packet, which costs more but cannot grow old; and what is too big and has no DF is answered, not fragmented.
    pub macs: Option<([u8; 6], [u8; 6])>,
    /// The outer source of tunnelled packets, of the backend's family.
    pub source: Option<IpAddr>,
    /// The length of a prefix of `source`: what is behind it, the last 32 bits at most, is the flow's hash, for those
    /// on the way and behind it who spread flows by the outer addresses.
    pub source_prefix: Option<u8>,
}

/// The bits of an address.
const fn width(family: u8) -> u8 {
    if family == 4 { 32 } else { 128 }
}

impl Way {
    /// The source without the bits behind its prefix, and how many those are.
    fn source_and_bits(&self) -> (Option<IpAddr>, u8) {
        let Some(source) = self.source else {
            return (None, 0);
        };
        let width = width(if source.is_ipv4() { 4 } else { 6 });
        let bits = self
            .source_prefix
            .map_or(0, |prefix| width.saturating_sub(prefix));
        let kept = u128::MAX.checked_shl(bits.into()).unwrap_or(0);
        let source = match source {
            IpAddr::V4(source) => IpAddr::V4((source.to_bits() & kept as u32).into()),
            IpAddr::V6(source) => IpAddr::V6((source.to_bits() & kept).into()),
        };
        (Some(source), bits)
    }
}

/// A backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// How it gets its packets.
    pub method: Method,
    /// Where it is.
    pub address: IpAddr,
    /// Moves on whenever the id gets another meaning: connections of other generations are void.
    pub generation: u16,
    /// How to reach it; `None` only for [`Method::Nat`] and [`Method::Local`].
    pub way: Option<Way>,
    /// Of [`Method::Tunnel`].
    pub encapsulation: Encapsulation,
    /// It takes no new clients: no slot should name it, and [`crate::WhenQuiesced`] says what becomes of clients that
    /// keep it.
    pub quiesced: bool,
}

impl Target {
    /// Bytes that are put before its packets.
    #[must_use]
    pub const fn overhead(&self) -> u8 {
        match (self.method, self.address) {
            (Method::Tunnel, IpAddr::V4(_)) => 20 + self.encapsulation.size(),
            (Method::Tunnel, IpAddr::V6(_)) => 40 + self.encapsulation.size(),
            _ => 0,
        }
    }
}

impl From<Target> for Backend {
    fn from(target: Target) -> Self {
        let mut backend = Self {
            address: octets(target.address),
            generation: target.generation,
            family: if target.address.is_ipv4() { 4 } else { 6 },
            method: match target.method {
                Method::Nat => METHOD_NAT,
                Method::DirectRouting => METHOD_DR,
                Method::Tunnel => METHOD_TUN,
                Method::Local => METHOD_LOCAL,
            },
            flags: if target.quiesced { BACKEND_QUIESCED } else { 0 },
            ..Self::default()
        };
        if let Some(way) = target.way {
            backend.ifindex = way.ifindex;
            backend.mtu = way.mtu;
            (backend.mac, backend.source_mac) = way.macs.unwrap_or_default();
            let (source, bits) = way.source_and_bits();
            backend.source = source.map_or([0; 16], octets);
            backend.source_bits = bits;
        }
        if target.method == Method::Tunnel {
            backend.overhead = target.overhead();
            backend.checksum = target.encapsulation.checksum().into();
            backend.tunnel = match target.encapsulation {
                Encapsulation::Ipip if backend.source_bits == 0 => TUNNEL_PLAIN,
                Encapsulation::Ipip => TUNNEL_IPIP,
                Encapsulation::Gre { .. } => TUNNEL_GRE,
                Encapsulation::Gue { port, .. } => {
                    backend.port = port.to_be();
                    TUNNEL_GUE
                }
            };
        }
        backend
    }
}

impl Target {
    /// What a backend of the map is; `None` where there is none.
    #[must_use]
    pub fn of(backend: &Backend) -> Option<Self> {
        let method = match backend.method {
            METHOD_NAT => Method::Nat,
            METHOD_DR => Method::DirectRouting,
            METHOD_TUN => Method::Tunnel,
            METHOD_LOCAL => Method::Local,
            _ => return None,
        };
        let macs = (backend.mac, backend.source_mac);
        let way = Way {
            ifindex: backend.ifindex,
            mtu: backend.mtu,
            macs: (macs != Default::default()).then_some(macs),
            source: (backend.source != [0; 16]).then(|| address(backend.source, backend.family)),
            source_prefix: (backend.source_bits > 0)
                .then(|| width(backend.family).saturating_sub(backend.source_bits)),
        };
        Some(Self {
            method,
            address: address(backend.address, backend.family),
            generation: backend.generation,
            way: (way.ifindex > 0).then_some(way),
            encapsulation: Encapsulation::of(backend),
            quiesced: backend.flags & BACKEND_QUIESCED != 0,
        })
    }
}

/// How a dispatch table is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// New connections walk it.
    Cycle,
    /// The client's address chooses.
    Source,
    /// The client's address and port.
    SourceAndPort,
    /// The virtual address.
    Destination,
    /// Both addresses and ports.
    Both,
    /// User space is asked ([`crate::Questions`]); the client's address and port where nobody answers.
    Flow,
}

impl Kind {
    /// Its number in the maps.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Cycle => TABLE_CYCLE,
            Self::Source => TABLE_SOURCE,
            Self::SourceAndPort => TABLE_SOURCE_PORT,
            Self::Destination => TABLE_DESTINATION,
            Self::Both => TABLE_BOTH,
            Self::Flow => TABLE_FLOW,
        }
    }

    /// The kind with this number.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        [
            Self::Cycle,
            Self::Source,
            Self::SourceAndPort,
            Self::Destination,
            Self::Both,
            Self::Flow,
        ]
        .into_iter()
        .find(|kind| kind.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_survive_the_map() {
        for listen in [
            Listen::Address([10, 0, 0, 1].into(), 6, 80),
            Listen::Address("2001:db8::1".parse().unwrap(), 17, 0),
            Listen::Mark(Family::V4, 0x1234_5678),
            Listen::Mark(Family::V6, 0x1234_5678),
        ] {
            assert_eq!(Listen::from(Listener::from(listen)), listen);
        }
    }

    #[test]
    fn backends_survive_the_map() {
        let way = Way {
            ifindex: 3,
            mtu: 1500,
            macs: None,
            source: None,
            source_prefix: None,
        };
        let macs = Some(([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]));
        for (method, address, way) in [
            (Method::Nat, "10.0.0.1", None),
            (Method::Local, "fd00::1", None),
            (Method::DirectRouting, "10.0.0.1", Some(way)),
            (Method::DirectRouting, "fd00::1", Some(Way { macs, ..way })),
            (
                Method::Tunnel,
                "10.0.0.1",
                Some(Way {
                    source: "10.0.0.2".parse().ok(),
                    ..way
                }),
            ),
            (
                Method::Tunnel,
                "fd00::1",
                Some(Way {
                    macs,
                    source: "fd00:2::".parse().ok(),
                    source_prefix: Some(64),
                    ..way
                }),
            ),
        ] {
            for encapsulation in [
                Encapsulation::Ipip,
                Encapsulation::Gre { checksum: true },
                Encapsulation::Gue {
                    port: 6080,
                    checksum: false,
                },
            ] {
                let tunnelled = method == Method::Tunnel;
                let target = Target {
                    method,
                    address: address.parse().unwrap(),
                    generation: 7,
                    way,
                    encapsulation: if tunnelled {
                        encapsulation
                    } else {
                        Encapsulation::Ipip
                    },
                    quiesced: tunnelled,
                };
                assert_eq!(Target::of(&Backend::from(target)), Some(target));
            }
        }
        assert_eq!(Target::of(&Backend::default()), None);
    }
}
