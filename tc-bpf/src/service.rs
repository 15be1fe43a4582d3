//! What a service is besides its listeners and its table.

use std::net::IpAddr;
use std::time::Duration;

use crate::flows::tick;
use crate::layout::{
    KinKey, PIN_PREFIX, PinKey, Pinned, SERVICE_EXPIRE_QUIESCED, SERVICE_GROUPED, SERVICE_KNOWN,
    SERVICE_ONE_PACKET, SERVICE_PERSISTENT, SERVICE_PINS, Service,
};

/// How a service treats new connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Each datagram is scheduled for itself.
    pub one_packet: bool,
    /// Clients keep the backend that they got first.
    pub persistence: Option<Persistence>,
    /// Clients may be pinned to backends: [`crate::Maps::set_pins`].
    pub pins: bool,
}

/// How clients keep their backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Services of one group share it: a client has one backend in all of them.
    pub group: u16,
    /// Its clients may come from the group's other services, whose backends stand for its own: [`crate::Maps::set_kin`].
    pub shared: bool,
    /// How long a client may begin no connection and still find its backend; up to 24 days.
    pub timeout: Duration,
    /// How many bits of an IPv4 address name a client.
    pub mask: u8,
    /// Of an IPv6 address.
    pub mask6: u8,
    /// What becomes of the clients of a backend that takes no new ones. The same holds for pins.
    pub when_quiesced: WhenQuiesced,
}

/// What becomes of a quiesced backend's clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenQuiesced {
    /// They go on to it, as in LVS.
    #[default]
    Keep,
    /// They are scheduled anew (LVS's `expire_quiescent_template`).
    Expire,
}

/// A longer time cannot be told from one that lies ahead.
const LONGEST: u32 = i32::MAX as u32;

/// A mask of so many bits.
fn mask<const N: usize>(bits: u8) -> [u8; N] {
    std::array::from_fn(|byte| {
        let here = usize::from(bits).saturating_sub(byte * 8).min(8);
        !(0xff_u16 >> here) as u8
    })
}

fn bits(mask: &[u8]) -> u8 {
    mask.iter().map(|byte| byte.leading_ones() as u8).sum()
}

impl From<ServiceSettings> for Service {
    fn from(settings: ServiceSettings) -> Self {
        let mut service = Self {
            flags: SERVICE_KNOWN,
            ..Self::default()
        };
        if settings.one_packet {
            service.flags |= SERVICE_ONE_PACKET;
        }
        if settings.pins {
            service.flags |= SERVICE_PINS;
        }
        if let Some(kept) = settings.persistence {
            service.flags |= SERVICE_PERSISTENT;
            if kept.shared {
                service.flags |= SERVICE_GROUPED;
            }
            if kept.when_quiesced == WhenQuiesced::Expire {
                service.flags |= SERVICE_EXPIRE_QUIESCED;
            }
            let ticks = kept.timeout.as_nanos().div_ceil(tick().as_nanos().max(1));
            service.timeout = u32::try_from(ticks).unwrap_or(LONGEST).min(LONGEST);
            service.group = kept.group;
            service.mask4 = mask(kept.mask);
            service.mask6 = mask(kept.mask6);
        }
        service
    }
}

impl ServiceSettings {
    /// What a service of the map is; `None` where there is none.
    #[must_use]
    pub fn of(service: &Service) -> Option<Self> {
        let has = |flag| service.flags & flag != 0;
        let persistence = has(SERVICE_PERSISTENT).then(|| Persistence {
            group: service.group,
            shared: has(SERVICE_GROUPED),
            timeout: tick().saturating_mul(service.timeout),
            mask: bits(&service.mask4),
            mask6: bits(&service.mask6),
            when_quiesced: if has(SERVICE_EXPIRE_QUIESCED) {
                WhenQuiesced::Expire
            } else {
                WhenQuiesced::Keep
            },
        });
        has(SERVICE_KNOWN).then_some(Self {
            one_packet: has(SERVICE_ONE_PACKET),
            persistence,
            pins: has(SERVICE_PINS),
        })
    }

    /// The same as the map gives it back: times are whole ticks of the kernel's there.
    #[must_use]
    pub fn as_installed(self) -> Self {
        Self::of(&self.into()).unwrap_or(self)
    }
}

/// Clients that belong to one backend, whatever the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin {
    /// Their address; what lies beyond the prefix does not count.
    pub client: IpAddr,
    /// How many bits of it count.
    pub prefix: u8,
    /// The backend.
    pub backend: u16,
    /// Its generation: another one now means that the pin is void.
    pub generation: u16,
}

impl Pin {
    /// As the map has it.
    pub(crate) fn entry(&self, service: u16) -> (PinKey, Pinned) {
        let mut address = [0; 16];
        let (family, prefix) = match self.client {
            IpAddr::V4(client) => {
                address[..4].copy_from_slice(&client.octets());
                (4, self.prefix.min(32))
            }
            IpAddr::V6(client) => {
                address = client.octets();
                (6, self.prefix.min(128))
            }
        };
        let mask: [u8; 16] = mask(prefix);
        let key = PinKey {
            prefix: PIN_PREFIX + u32::from(prefix),
            service,
            family,
            address: std::array::from_fn(|byte| address[byte] & mask[byte]),
        };
        let pinned = Pinned {
            backend: self.backend,
            generation: self.generation,
        };
        (key, pinned)
    }

    pub(crate) fn of(key: &PinKey, pinned: &Pinned) -> Self {
        Self {
            client: client(&key.address, key.family as u8),
            prefix: key.prefix.saturating_sub(PIN_PREFIX) as u8,
            backend: pinned.backend,
            generation: pinned.generation,
        }
    }
}

/// What a service makes of a backend that a client of its group keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kin {
    /// The backend that the client keeps.
    pub of: u16,
    /// The service's own backend on the same real server.
    pub backend: u16,
    /// The generation of that one's id.
    pub generation: u16,
}

impl Kin {
    /// As the map has it.
    pub(crate) fn entry(&self, service: u16) -> (KinKey, Pinned) {
        let key = KinKey {
            service,
            backend: self.of,
        };
        let own = Pinned {
            backend: self.backend,
            generation: self.generation,
        };
        (key, own)
    }

    pub(crate) fn of(key: &KinKey, own: &Pinned) -> Self {
        Self {
            of: key.backend,
            backend: own.backend,
            generation: own.generation,
        }
    }
}

/// A client's address: 4 or 16 bytes, then zeros.
pub(crate) fn client(address: &[u8; 16], family: u8) -> IpAddr {
    match (family, address) {
        (4, [a, b, c, d, ..]) => [*a, *b, *c, *d].into(),
        _ => (*address).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_as_many_bits_as_asked_for() {
        for count in 0..=128 {
            assert_eq!(bits(&mask::<16>(count)), count);
        }
        assert_eq!(mask::<4>(20), [255, 255, 240, 0]);
        assert_eq!(mask::<4>(99), [255; 4]);
    }

    #[test]
    fn services_survive_the_map() {
        let persistence = Persistence {
            group: 9,
            shared: true,
            timeout: Duration::from_secs(360),
            mask: 24,
            mask6: 64,
            when_quiesced: WhenQuiesced::Expire,
        };
        for settings in [
            ServiceSettings::default(),
            ServiceSettings {
                one_packet: true,
                persistence: None,
                pins: true,
            },
            ServiceSettings {
                persistence: Some(persistence),
                ..ServiceSettings::default()
            },
        ] {
            let settings = settings.as_installed();
            assert_eq!(ServiceSettings::of(&settings.into()), Some(settings));
        }
        // Beyond what can be told apart it is as long as can be.
        let forever = Persistence {
            timeout: Duration::MAX,
            ..persistence
        };
        let service = Service::from(ServiceSettings {
            persistence: Some(forever),
            ..ServiceSettings::default()
        });
        assert_eq!(service.timeout, LONGEST);
        assert_eq!(ServiceSettings::of(&Service::default()), None);
    }

    #[test]
    fn pins_survive_the_map() {
        for (client, prefix) in [("10.9.0.0", 16), ("0.0.0.0", 0), ("2001:db8::", 32), ("::1", 128)] {
            let pin = Pin {
                client: client.parse().unwrap(),
                prefix,
                backend: 3,
                generation: 4,
            };
            let (key, pinned) = pin.entry(7);
            assert_eq!((Pin::of(&key, &pinned), key.service), (pin, 7));
        }
    }
}
