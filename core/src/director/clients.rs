//! The clients that the kernel remembers: forgetting those of backends that are gone, and listing them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::engine::Engine;
use super::views::ViewError;
use crate::api::{PersistentClient, PersistentClients};
use crate::config::Prefix;
use crate::kernel::{NftError, Remembered};
use crate::plan::{Op, Plan};
use crate::ruleset::build::{client_bits, client_map};
use crate::ruleset::{Family, IdMap, Ids, Key};
use crate::scheduler::BackendId;

/// How often clients are looked for anew because they came and went meanwhile.
const ATTEMPTS: usize = 3;
/// How many clients of a map are looked at for a change: what the kernel tells in half a second, for which everything
/// waits.
pub(in crate::director) const LOOK_AT: usize = 65_536;
/// How many clients are forgotten in one batch: a megabyte of messages.
const AT_ONCE: usize = 10_000;

impl Engine {
    /// Forgets the clients of backends that a plan has taken from their services. Says how many there were.
    ///
    /// The kernel follows no such client since that plan, and replaces those that come again. This clears away
    /// the others, so that a backend that comes back finds nobody waiting for it; where it cannot be done, their
    /// time does it.
    pub(super) fn forget_clients(&mut self, plan: &Plan) -> usize {
        let mut forgotten = 0;
        for (family, map) in self.bereft(plan) {
            match self.forget_clients_of(family, &map) {
                Ok(count) => forgotten += count,
                Err(error) => {
                    tracing::debug!(%map, error = &error as &dyn std::error::Error, "clients stay until their time");
                }
            }
        }
        forgotten
    }

    /// A plan that makes a table anew, with the clients that the table remembered.
    pub(super) fn with_clients(&mut self, mut plan: Plan) -> Plan {
        let anew = plan.ops.iter().filter_map(|op| match op {
            Op::DeleteTable(family) => Some(*family),
            _ => None,
        });
        let anew: BTreeSet<Family> = anew.collect();
        let made = plan.ops.iter().filter_map(|op| match op {
            Op::AddIdMap(family, map) if map.is_dynamic() && anew.contains(family) => {
                Some((*family, map.clone()))
            }
            _ => None,
        });
        for (family, map) in made.collect::<Vec<_>>() {
            // Where they cannot be read they are new clients, which is no reason not to make the table.
            let clients = self
                .doors
                .nft
                .remembered(family, &map, LOOK_AT)
                .unwrap_or_default();
            if !clients.is_empty() {
                plan.ops.push(Op::Remember(family, map, clients));
            }
        }
        plan
    }

    /// The maps of clients whose services have lost backends by a plan.
    fn bereft(&self, plan: &Plan) -> BTreeSet<(Family, IdMap)> {
        let mut maps = BTreeSet::new();
        for op in &plan.ops {
            match op {
                Op::DeleteIds(family, IdMap::Held(service), _) => {
                    let map = self.config.service(service).and_then(client_map);
                    maps.extend(map.map(|map| (*family, map)));
                }
                // A service that was in a group perhaps, which nothing tells any more.
                Op::DeleteIdMap(family, IdMap::Held(_)) => {
                    let groups = self.client_maps(*family);
                    let groups = groups.into_iter().filter(|map| matches!(map, IdMap::Group(_)));
                    maps.extend(groups.map(|map| (*family, map)));
                }
                _ => {}
            }
        }
        maps
    }

    fn forget_clients_of(&mut self, family: Family, map: &IdMap) -> Result<usize, NftError> {
        let standing = self.standing(family, map);
        let mut forgotten = 0;
        for attempt in 1.. {
            let remembered = self.doors.nft.remembered(family, map, LOOK_AT)?;
            let gone = remembered.iter().filter(|it| !standing.contains(&it.backend));
            let gone: Vec<_> = gone.map(|it| (Key::Address(it.client), it.backend)).collect();
            match self.forget(family, map, &gone) {
                Ok(()) => return Ok(forgotten + gone.len()),
                Err((done, NftError::Refused { .. })) if attempt < ATTEMPTS => forgotten += done,
                Err((_, error)) => return Err(error),
            }
        }
        Ok(forgotten)
    }

    /// Forgets some clients; or says how many it did before it could not go on.
    fn forget(
        &mut self,
        family: Family,
        map: &IdMap,
        clients: &[(Key, BackendId)],
    ) -> Result<(), (usize, NftError)> {
        for (number, some) in clients.chunks(AT_ONCE).enumerate() {
            let some: Ids = some.iter().copied().collect();
            let plan = Plan {
                ops: vec![Op::Forget(family, map.clone(), some)],
            };
            let committed = self.doors.nft.commit(&plan, self.observed.generation);
            self.observed.generation = committed.map_err(|error| (number * AT_ONCE, error))?;
            self.commits += 1;
        }
        Ok(())
    }

    /// The ids in a map of clients that still stand for a backend in one of its services.
    fn standing(&self, family: Family, map: &IdMap) -> BTreeSet<BackendId> {
        let services = self.config.services.iter();
        services
            .filter(|service| client_map(service).as_ref() == Some(map))
            .filter_map(|service| self.held(family, &service.name))
            .flat_map(Ids::keys)
            .filter_map(|key| match key {
                Key::Backend(id) => Some(*id),
                _ => None,
            })
            .collect()
    }

    fn held(&self, family: Family, service: &str) -> Option<&Ids> {
        let table = self.desired.tables.get(&family)?;
        table.ids.get(&IdMap::Held(service.to_owned()))
    }

    fn client_maps(&self, family: Family) -> Vec<IdMap> {
        let maps = self
            .desired
            .tables
            .get(&family)
            .into_iter()
            .flat_map(|table| table.ids.keys());
        maps.filter(|map| map.is_dynamic()).cloned().collect()
    }

    /// The clients that services remember, of one service or of all, and where they go.
    pub fn persistence(&mut self, only: Option<&str>, limit: usize) -> Result<PersistentClients, ViewError> {
        self.known(only)?;
        let its_map = only.map(|name| self.config.service(name).and_then(client_map));
        let (mut more, mut clients) = (false, Vec::new());
        for family in Family::ALL {
            for map in self.client_maps(family) {
                if more || its_map.as_ref().is_some_and(|its| its.as_ref() != Some(&map)) {
                    continue;
                }
                let found = self.doors.nft.remembered(family, &map, limit)?;
                let seen = found
                    .iter()
                    .filter_map(|it| self.persistent(family, &map, only, *it));
                clients.extend(seen);
                more = found.len() > limit || clients.len() > limit;
            }
        }
        let by_tc = self.tc_persistence(only)?;
        clients.extend(by_tc);
        more |= clients.len() > limit;
        clients.truncate(limit);
        Ok(PersistentClients { more, clients })
    }

    /// The same for one client: where it stays, by each service that remembers it, or a network that it lies in. Only its
    /// own elements are looked up, however many clients there are.
    pub fn persistence_of(
        &mut self,
        only: Option<&str>,
        client: IpAddr,
    ) -> Result<PersistentClients, ViewError> {
        self.known(only)?;
        let family = Family::of(client);
        let mut clients = self.tc_persistence(only)?;
        clients.retain(|it| it.client.contains(client));
        for map in self.client_maps(family) {
            let Some(bits) = self.bits_of(&map, family) else {
                continue;
            };
            let network = Prefix::around(client, bits).address;
            let found = self.doors.nft.client(family, &map, network)?;
            clients.extend(found.and_then(|it| self.persistent(family, &map, only, it)));
        }
        let more = false;
        Ok(PersistentClients { more, clients })
    }

    /// How many bits make a client of a map: the same for all services of a group.
    fn bits_of(&self, map: &IdMap, family: Family) -> Option<u8> {
        let mut services = self.config.services.iter();
        let service = services.find(|service| client_map(service).as_ref() == Some(map))?;
        Some(client_bits(service.persistence.as_ref()?, family))
    }

    /// A client as a service sees it: this one, or the one that it came to last, or another of the group. None where
    /// it would be sent elsewhere.
    fn persistent(
        &self,
        family: Family,
        map: &IdMap,
        only: Option<&str>,
        client: Remembered,
    ) -> Option<PersistentClient> {
        let last = self.ids.whose(client.backend).map(|(service, _)| service);
        let mut services: Vec<_> = self.config.services.iter().collect();
        services.retain(|it| client_map(it).as_ref() == Some(map) && only.is_none_or(|name| name == it.name));
        services.sort_by_key(|it| Some(it.name.as_str()) != last);
        let (service, backend) = services.into_iter().find_map(|service| {
            let held = self.held(family, &service.name)?;
            Some((service, *held.get(&Key::Backend(client.backend))?))
        })?;
        let persistence = service.persistence.as_ref()?;
        Some(PersistentClient {
            service: service.name.clone(),
            group: persistence.group.clone(),
            client: Prefix {
                address: client.client,
                length: client_bits(persistence, family),
            },
            backend: self.ids.whose(backend)?.1,
            expires: client.expires,
        })
    }
}
