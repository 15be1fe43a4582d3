//! Clients that keep their backends. Nothing is ever over here.

use std::net::IpAddr;

use super::Model;
use super::parse::Packet;
use crate::service::{Kin, Persistence, Pin, ServiceSettings, WhenQuiesced};

/// A group and a client of it.
pub(super) type Client = (u16, IpAddr);

fn masked(address: IpAddr, mask: u8, mask6: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let bits = u32::MAX.checked_shl(32 - u32::from(mask)).unwrap_or(0);
            IpAddr::V4((u32::from(address) & bits).into())
        }
        IpAddr::V6(address) => {
            let bits = u128::MAX.checked_shl(128 - u32::from(mask6)).unwrap_or(0);
            IpAddr::V6((u128::from(address) & bits).into())
        }
    }
}

fn client(packet: &Packet, kept: &Persistence) -> Client {
    (kept.group, masked(packet.connection.from, kept.mask, kept.mask6))
}

fn matches(pin: &Pin, client: IpAddr) -> bool {
    pin.client.is_ipv4() == client.is_ipv4()
        && masked(client, pin.prefix, pin.prefix) == masked(pin.client, pin.prefix, pin.prefix)
}

impl Model {
    /// As [`crate::Maps::set_pins`].
    pub fn set_pins(&mut self, service: u32, pins: &[Pin]) {
        self.pins.insert(service, pins.to_vec());
    }

    /// As [`crate::Maps::set_kin`].
    pub fn set_kin(&mut self, service: u32, kin: &[Kin]) {
        self.kin.insert(service, kin.to_vec());
    }

    /// As [`crate::Maps::forget_persistent`].
    pub fn forget_persistent(&mut self, backend: u16) {
        self.persistent.retain(|_, (id, _)| *id != backend);
    }

    /// How many clients keep their backends.
    #[must_use]
    pub fn persistent_clients(&self) -> usize {
        self.persistent.len()
    }

    fn may_keep(&self, id: u16, generation: u16, settings: &ServiceSettings) -> bool {
        let expires = settings
            .persistence
            .is_some_and(|kept| kept.when_quiesced == WhenQuiesced::Expire);
        self.valid(id, generation)
            .is_some_and(|target| !(target.quiesced && expires))
    }

    /// The backend of the client's longest pin, if that is valid.
    pub(super) fn pinned(&self, service: u32, settings: &ServiceSettings, packet: &Packet) -> Option<u16> {
        let pins = self.pins.get(&service).filter(|_| settings.pins)?;
        let pin = pins
            .iter()
            .filter(|pin| matches(pin, packet.connection.from))
            .max_by_key(|pin| pin.prefix)?;
        self.may_keep(pin.backend, pin.generation, settings)
            .then_some(pin.backend)
    }

    /// The backend that the client has already.
    pub(super) fn kept(&self, service: u32, settings: &ServiceSettings, packet: &Packet) -> Option<u16> {
        let persistence = settings.persistence.as_ref()?;
        let (id, generation) = *self.persistent.get(&client(packet, persistence))?;
        if persistence.shared {
            self.valid(id, generation)?;
            let own = self.kin.get(&service)?.iter().find(|it| it.of == id)?;
            return self
                .may_keep(own.backend, own.generation, settings)
                .then_some(own.backend);
        }
        self.may_keep(id, generation, settings).then_some(id)
    }

    pub(super) fn keep(&mut self, settings: &ServiceSettings, packet: &Packet, way: (u16, u16)) {
        if let Some(kept) = &settings.persistence {
            self.persistent.insert(client(packet, kept), way);
        }
    }

    /// A second packet: the client that nobody knows has got the connection's backend.
    pub(super) fn prove(&mut self, service: u32, packet: &Packet, way: (u16, u16)) {
        let settings = self.services.get(&service).copied().unwrap_or_default();
        if let Some(kept) = &settings.persistence {
            self.persistent.entry(client(packet, kept)).or_insert(way);
        }
    }
}
