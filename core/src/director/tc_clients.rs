//! The clients that the tc program keeps with their backends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use wvs_tc_bpf::{Persistence, PersistentEntry, WhenQuiesced};

use super::engine::Engine;
use crate::api::PersistentClient;
use crate::config::Prefix;
use crate::kernel::tc::TcError;
use crate::ruleset::Family;
use crate::scheduler::BackendId;
use crate::tc::TcService;

impl Engine {
    /// Those of one service or of all, by address, and where they go.
    pub(super) fn tc_persistence(&mut self, only: Option<&str>) -> Result<Vec<PersistentClient>, TcError> {
        let mut entries: BTreeMap<(u16, IpAddr), (PersistentEntry, Duration)> = BTreeMap::new();
        for (entry, silent) in self.doors.tc.persistent()? {
            let client = (entry.group, entry.client);
            // The program looks among those that are proved first.
            if entry.proved || !entries.contains_key(&client) {
                entries.insert(client, (entry, silent));
            }
        }
        let mut found: Vec<_> = entries
            .into_values()
            .filter_map(|(entry, silent)| self.kept_by_tc(only, &entry, silent))
            .collect();
        found.sort_by_key(|it| (it.client.address, it.service.clone()));
        Ok(found)
    }

    /// A client as a service sees it: this one, or the one that it came to last, or another of the group. None where
    /// it would be sent elsewhere.
    fn kept_by_tc(
        &self,
        only: Option<&str>,
        entry: &PersistentEntry,
        silent: Duration,
    ) -> Option<PersistentClient> {
        let last = self
            .ids
            .whose(BackendId(entry.backend))
            .map(|(service, _)| service);
        let family = Family::of(entry.client);
        let services = self.tc.numbers.iter().filter_map(|(pool, number)| {
            let asked = pool.family == family && only.is_none_or(|name| name == pool.service);
            let service = self.tc.installed.services.get(&number).filter(|_| asked)?;
            let kept = service.settings.persistence?;
            let here = kept.group == entry.group && silent <= kept.timeout;
            let backend = here.then(|| self.own_backend(service, &kept, entry))??;
            Some((&pool.service, kept, backend))
        });
        let (service, kept, backend) = services.min_by_key(|(name, ..)| Some(name.as_str()) != last)?;
        let length = match family {
            Family::V4 => kept.mask,
            Family::V6 => kept.mask6,
        };
        let configured = self.config.service(service)?.persistence.as_ref();
        Some(PersistentClient {
            service: service.clone(),
            group: configured.and_then(|it| it.group.clone()),
            client: Prefix {
                address: entry.client,
                length,
            },
            backend: self.ids.whose(backend)?.1,
            expires: kept.timeout.saturating_sub(silent).as_secs() as u32,
        })
    }

    /// What a service makes of the backend that a client keeps: that one, or in a group its own on the same server.
    /// None where it takes the client no more.
    fn own_backend(
        &self,
        service: &TcService,
        kept: &Persistence,
        entry: &PersistentEntry,
    ) -> Option<BackendId> {
        let installed = |id, generation| {
            let target = self.tc.installed.backends.get(&BackendId(id));
            target.filter(|it| it.generation == generation)
        };
        let last = installed(entry.backend, entry.generation)?;
        let (id, target) = match service.kin.iter().find(|it| it.of == entry.backend) {
            _ if !kept.shared => (entry.backend, last),
            kin => kin.and_then(|it| Some((it.backend, installed(it.backend, it.generation)?)))?,
        };
        let left = kept.when_quiesced == WhenQuiesced::Expire && target.quiesced;
        (!left).then_some(BackendId(id))
    }
}
