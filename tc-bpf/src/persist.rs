//! Clients that keep their backends: setting pins, listing and forgetting persistent clients.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use crate::layout::{Persistent, PersistentKey, PinKey};
use crate::maps::{MapError, Maps, refused};
use crate::service::{Kin, Pin, client};
use crate::sys::Map;

/// A client that keeps its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersistentEntry {
    /// The group of services.
    pub group: u16,
    /// Its address, or the one of its network, by the service's mask.
    pub client: IpAddr,
    /// Its backend.
    pub backend: u16,
    /// The generation of the backend's id.
    pub generation: u16,
    /// When it last began a connection, by [`Maps::now`]'s clock.
    pub seen: u32,
    /// Whether a connection of it had a second packet. Those that had not are not kept at any price.
    pub proved: bool,
}

impl Maps {
    /// Gives a service its pins, in exchange for those it had. Clients that both have see the one or the other; what is
    /// new holds before what is gone is forgotten.
    pub fn set_pins(&self, service: u16, pins: &[Pin]) -> Result<(), MapError> {
        let doing = || refused(format!("setting the pins of service {service}"));
        let wanted: BTreeMap<_, _> = pins.iter().map(|pin| pin.entry(service)).map(sortable).collect();
        let known = self.pins_of(service).map_err(doing())?;
        for (key, pinned) in wanted.values() {
            self.pins.set(key, pinned).map_err(doing())?;
        }
        for key in known.iter().filter(|key| !wanted.contains_key(&order(key))) {
            self.pins.delete(key).map_err(doing())?;
        }
        Ok(())
    }

    /// A service's pins.
    pub fn pins(&self, service: u16) -> Result<Vec<Pin>, MapError> {
        let doing = || refused(format!("reading the pins of service {service}"));
        let mut all = Vec::new();
        for key in self.pins_of(service).map_err(doing())? {
            if let Some(pinned) = self.pins.get(&key).map_err(doing())? {
                all.push(Pin::of(&key, &pinned));
            }
        }
        all.sort();
        Ok(all)
    }

    /// Gives a service of a group what it makes of the group's backends, in exchange for what it had.
    pub fn set_kin(&self, service: u16, kin: &[Kin]) -> Result<(), MapError> {
        let doing = || refused(format!("setting the kin of service {service}"));
        let known = self.kin(service)?;
        for one in kin {
            let (key, own) = one.entry(service);
            self.kin.set(&key, &own).map_err(doing())?;
        }
        for gone in known.iter().filter(|it| kin.iter().all(|one| one.of != it.of)) {
            self.kin.delete(&gone.entry(service).0).map_err(doing())?;
        }
        Ok(())
    }

    /// What a service makes of its group's backends.
    pub fn kin(&self, service: u16) -> Result<Vec<Kin>, MapError> {
        let doing = || refused(format!("reading the kin of service {service}"));
        let mut all = Vec::new();
        for key in self.kin.keys().map_err(doing())? {
            if key.service == service
                && let Some(own) = self.kin.get(&key).map_err(doing())?
            {
                all.push(Kin::of(&key, &own));
            }
        }
        all.sort();
        Ok(all)
    }

    fn pins_of(&self, service: u16) -> io::Result<Vec<PinKey>> {
        let mut keys = self.pins.keys()?;
        keys.retain(|key| key.service == service);
        Ok(keys)
    }

    /// All clients that keep their backends, those whose time is over too until they are swept.
    pub fn persistent_entries(&self) -> Result<Vec<PersistentEntry>, MapError> {
        let mut all = Vec::new();
        for (map, proved) in [(&self.persistent, true), (&self.persistent_new, false)] {
            map.walk(|keys, values| {
                all.extend(keys.iter().zip(values).map(|(key, value)| PersistentEntry {
                    group: key.group,
                    client: client(&key.address, key.family),
                    backend: value.backend,
                    generation: value.generation,
                    seen: value.seen,
                    proved,
                }));
            })
            .map_err(refused("reading the persistent clients"))?;
        }
        all.sort();
        Ok(all)
    }

    /// Lets a backend's persistent clients be scheduled anew; says how many there were.
    pub fn forget_persistent(&self, backend: u16) -> Result<usize, MapError> {
        self.forget_clients(|_, entry| entry.backend == backend)
            .map_err(refused(format!("forgetting the persistent clients of backend {backend}")))
    }

    /// Forgets those whose time is over, by the longest timeout of their group's services.
    pub(crate) fn sweep_persistent(&self, now: u32) -> Result<usize, MapError> {
        let mut timeouts: BTreeMap<u16, u32> = BTreeMap::new();
        self.persistent_services(|service| {
            let timeout = timeouts.entry(service.group).or_default();
            *timeout = service.timeout.max(*timeout);
        })?;
        // Entries may be newer than `now`: then they are not old.
        let silent = |entry: &Persistent| (now.wrapping_sub(entry.seen) as i32).max(0) as u32;
        self.forget_clients(|key, entry| {
            timeouts
                .get(&key.group)
                .is_none_or(|timeout| silent(entry) > *timeout)
        })
        .map_err(refused("sweeping the persistent clients"))
    }

    fn forget_clients(&self, which: impl Fn(&PersistentKey, &Persistent) -> bool) -> io::Result<usize> {
        let forget = |map: &Map<PersistentKey, Persistent>| {
            let mut over = Vec::new();
            map.walk(|keys, values| {
                let pairs = keys.iter().zip(values).filter(|(key, value)| which(key, value));
                over.extend(pairs.map(|(key, _)| *key));
            })?;
            map.delete_all(&over)
        };
        Ok(forget(&self.persistent)? + forget(&self.persistent_new)?)
    }
}

fn order(key: &PinKey) -> (u16, [u8; 16], u32) {
    (key.family, key.address, key.prefix)
}

fn sortable<V>((key, value): (PinKey, V)) -> ((u16, [u8; 16], u32), (PinKey, V)) {
    (order(&key), (key, value))
}
