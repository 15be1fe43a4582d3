//! Clients that stay with their backends: those that are remembered, and those that are pinned.

use std::collections::BTreeSet;

use super::Builder;
use crate::config::{Backend, Config, Persistence, Service, WhenQuiesced};
use crate::ids::BackendIds;
use crate::pool::{family_of, kin};
use crate::ruleset::{Family, IdMap, Ids, Key, Rule, Statement};

/// Where a service's clients are remembered, if they are.
pub fn client_map(service: &Service) -> Option<IdMap> {
    let persistence = service.persistence.as_ref()?;
    Some(match &persistence.group {
        Some(group) => IdMap::Group(group.clone()),
        None => IdMap::Persist(service.name.clone()),
    })
}

/// How many bits of an address make a client.
pub fn client_bits(persistence: &Persistence, family: Family) -> u8 {
    match family {
        Family::V4 => persistence.mask,
        Family::V6 => persistence.mask6,
    }
}

/// Whether more than the dispatch tables of a service depends on the weights of its backends.
pub fn follows_weights(service: &Service) -> bool {
    let expires = |it: &Persistence| it.when_quiesced == WhenQuiesced::Expire;
    !service.pins.is_empty() || service.persistence.as_ref().is_some_and(expires)
}

fn keep_chain(service: &str) -> String {
    format!("keep-{service}")
}

impl Builder<'_> {
    /// What a service's chain does before a backend is chosen, and how it ends when one is.
    ///
    /// A client that is remembered goes where it went, where `held-…` says that the service still has that backend.
    /// If not, it is forgotten, because `update` never gives an element another backend. Whoever is sent to a
    /// backend is remembered in a chain of its own: where there is no room, that ends its rule, and must not end
    /// the choice.
    pub(super) fn clients(
        &mut self,
        config: &Config,
        ids: &BackendIds,
        service: &Service,
    ) -> (Vec<Vec<Statement>>, Statement) {
        let mut before = self.pins(ids, service);
        let (Some(persistence), Some(map)) = (&service.persistence, client_map(service)) else {
            return (before, Statement::Return);
        };
        let held = IdMap::Held(service.name.clone());
        let standing = self.held(config, ids, service, persistence);
        self.table.ids.insert(held.clone(), standing);
        self.table.ids.entry(map.clone()).or_default();
        let bits = client_bits(persistence, self.family);
        let remember = Statement::Remember {
            map: map.clone(),
            bits,
            timeout: persistence.timeout,
        };
        before.push(vec![
            Statement::LookUpClient {
                map: map.clone(),
                bits,
            },
            Statement::LookUpHeld(held),
            remember.clone(),
            Statement::Return,
        ]);
        before.push(vec![Statement::Forget { map, bits }]);
        let keep = keep_chain(&service.name);
        let rule = Rule {
            statements: vec![remember],
            comment: Some(format!("svc={}", service.name)),
        };
        self.chain(keep.clone(), None, vec![rule]);
        (before, Statement::Goto(keep))
    }

    /// The maps of pinned clients, one for each length of prefixes, and their rules, the longest first. Pins to a
    /// backend that takes nobody rest.
    fn pins(&mut self, ids: &BackendIds, service: &Service) -> Vec<Vec<Statement>> {
        let pins = || {
            service
                .pins
                .iter()
                .filter(|pin| pin.client.family() == self.family)
        };
        let lengths: BTreeSet<u8> = pins().map(|pin| pin.client.length).collect();
        let backend = |address| service.backends.iter().find(|it| it.address == address);
        let mut maps: Vec<(IdMap, u8, Ids)> = Vec::new();
        for &length in lengths.iter().rev() {
            let element = |pin: &crate::config::ClientPin| {
                let to = backend(pin.backend).filter(|it| it.takes_clients())?;
                let id = ids.get(&service.name, pin.backend)?;
                let ours = family_of(service, to) == Some(self.family);
                ours.then_some((Key::Address(pin.client.address), id))
            };
            let elements = pins()
                .filter(|pin| pin.client.length == length)
                .filter_map(element);
            maps.push((IdMap::Pins(length, service.name.clone()), length, elements.collect()));
        }
        let mut rules = Vec::new();
        for (map, bits, elements) in maps {
            self.table.ids.insert(map.clone(), elements);
            rules.push(vec![Statement::LookUpClient { map, bits }, Statement::Return]);
        }
        rules
    }

    /// What [`kin`] says, as far as clients may stay.
    fn held(&self, config: &Config, ids: &BackendIds, service: &Service, persistence: &Persistence) -> Ids {
        let stands = |own: &Backend| persistence.when_quiesced == WhenQuiesced::Keep || own.takes_clients();
        kin(config, ids, service, self.family, stands)
            .into_iter()
            .map(|(kept, own)| (Key::Backend(kept), own))
            .collect()
    }
}
