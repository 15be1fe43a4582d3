//! Clients that keep their backends: persistence and pins in the program's words.

use std::collections::{BTreeMap, BTreeSet};

use wvs_tc_bpf::{Kin, Persistence, Pin, ServiceSettings, Target, WhenQuiesced};

use super::MOST_SERVICES;
use crate::config::{self, Config, Service};
use crate::ids::BackendIds;
use crate::jhash::jhash;
use crate::pool::{self, members};
use crate::ruleset::Family;
use crate::scheduler::BackendId;

/// The numbers of the persistence groups, above those of services, which are the groups of services without one.
///
/// They come from the names, so that a client keeps its backend over restarts and when groups come and go; names that
/// meet on one number move on to the next.
pub fn groups(config: &Config) -> BTreeMap<&str, u16> {
    let names: BTreeSet<&str> = config
        .services
        .iter()
        .filter_map(|service| service.persistence.as_ref()?.group.as_deref())
        .collect();
    let first = MOST_SERVICES as u16;
    let room = u16::MAX - first;
    let mut taken = BTreeSet::new();
    let mut numbers = BTreeMap::new();
    for name in names {
        let mut number = (jhash(name.as_bytes(), 0) % u32::from(room)) as u16;
        while !taken.insert(number) {
            number = (number + 1) % room;
        }
        numbers.insert(name, first + number);
    }
    numbers
}

/// How a service treats new connections, as the program gives it back.
pub fn settings(service: &Service, number: u32, groups: &BTreeMap<&str, u16>) -> ServiceSettings {
    let kept = |persistence: &config::Persistence| Persistence {
        group: match &persistence.group {
            Some(name) => groups.get(name.as_str()).copied().unwrap_or_default(),
            None => number as u16,
        },
        shared: persistence.group.is_some(),
        timeout: persistence.timeout,
        mask: persistence.mask,
        mask6: persistence.mask6,
        when_quiesced: match persistence.when_quiesced {
            config::WhenQuiesced::Keep => WhenQuiesced::Keep,
            config::WhenQuiesced::Expire => WhenQuiesced::Expire,
        },
    };
    let settings = ServiceSettings {
        one_packet: service.one_packet,
        persistence: service.persistence.as_ref().map(kept),
        pins: !service.pins.is_empty(),
    };
    settings.as_installed()
}

/// The pins of one family of a service. Those to a backend that takes no clients or cannot be reached rest: of the
/// program's, only the longest prefix would be looked at.
pub fn pins(
    service: &Service,
    family: Family,
    ids: &BackendIds,
    reached: &BTreeMap<BackendId, Target>,
) -> BTreeSet<Pin> {
    let of_family = service
        .pins
        .iter()
        .filter(|pin| Family::of(pin.client.address) == family);
    of_family
        .filter_map(|pin| {
            let backend = members(service, family).find(|it| it.address == pin.backend)?;
            let id = ids.get(&service.name, backend.address)?;
            let takes = backend.takes_clients() && reached.contains_key(&id);
            takes.then(|| Pin {
                client: pin.client.address,
                prefix: pin.client.length,
                backend: id.0,
                generation: ids.generation(id),
            })
        })
        .collect()
}

/// What a service of a group makes of the backends that the group's clients keep.
pub fn kin(config: &Config, service: &Service, family: Family, ids: &BackendIds) -> BTreeSet<Kin> {
    let grouped = service.persistence.as_ref().is_some_and(|it| it.group.is_some());
    // Whether they take clients, the program knows.
    let all = grouped.then(|| pool::kin(config, ids, service, family, |_| true));
    all.into_iter()
        .flatten()
        .map(|(kept, own)| Kin {
            of: kept.0,
            backend: own.0,
            generation: ids.generation(own),
        })
        .collect()
}
