//! Backend ids: small numbers that outlive the director.
//!
//! An id lies in the conntrack marks of living connections, so it must mean the same backend after a restart,
//! and a backend that is removed and comes back gets its old id and with it its old connections. Ids of
//! removed backends are handed out again only when no fresh one is left, the longest unused first.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::{Backend, Config, Endpoint};
use crate::scheduler::BackendId;

/// Who has which id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Entry>", into = "Vec<Entry>")]
pub struct BackendIds {
    by_backend: BTreeMap<(String, Endpoint), BackendId>,
    by_id: BTreeMap<BackendId, (String, Endpoint)>,
    /// Those of backends of direct routing and tunnels. A connection is translated or it is not, for as long as it lives:
    /// a backend that changes from one to the other gets another id.
    direct: BTreeSet<BackendId>,
    /// Ids whose backends are gone, the longest gone first.
    retired: Vec<BackendId>,
    /// How often an id was handed on; 0 where it never was.
    generations: BTreeMap<BackendId, u16>,
}

/// One line of the state file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    id: BackendId,
    service: String,
    backend: Endpoint,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retired: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    direct: bool,
    #[serde(default, skip_serializing_if = "is_first")]
    generation: u16,
}

fn is_first(generation: &u16) -> bool {
    *generation == 0
}

/// There are more backends than our bits of the mark can tell apart.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{backends} backends do not fit the {highest} ids of director.ct_mark_mask; give it more bits")]
pub struct TooManyBackends {
    /// How many there are.
    pub backends: usize,
    /// How many ids there are.
    pub highest: u16,
}

impl BackendIds {
    /// Gives every backend of a configuration an id of at most `highest`, and retires the ids of all others.
    pub fn assign(&mut self, config: &Config, highest: u16) -> Result<(), TooManyBackends> {
        let wanted: BTreeMap<(String, Endpoint), bool> = config
            .services
            .iter()
            .flat_map(|service| {
                let named = |it: &Backend| (service.name.clone(), it.address);
                let backends = service.backends.iter();
                backends.map(move |it| (named(it), service.forward_of(it).uses_tc()))
            })
            .collect();
        if wanted.len() > usize::from(highest) {
            return Err(TooManyBackends {
                backends: wanted.len(),
                highest,
            });
        }
        self.forget_above(highest);
        self.by_backend.retain(|backend, id| {
            wanted
                .get(backend)
                .is_none_or(|direct| *direct == self.direct.contains(id))
        });
        let is_wanted = |id: &BackendId| {
            let backend = &self.by_id[id];
            wanted.contains_key(backend) && self.by_backend.get(backend) == Some(id)
        };
        self.retired.retain(|id| !is_wanted(id));
        let gone = self.by_id.keys().copied().filter(|id| !is_wanted(id));
        let newly: Vec<_> = gone.filter(|id| !self.retired.contains(id)).collect();
        self.retired.extend(newly);
        let fresh: Vec<_> = wanted
            .into_iter()
            .filter(|(it, _)| !self.by_backend.contains_key(it))
            .collect();
        let mut candidate = 1;
        for (backend, direct) in fresh {
            let Some(id) = self.free_id(&mut candidate, highest) else {
                break;
            };
            self.by_backend.insert(backend.clone(), id);
            self.by_id.insert(id, backend);
            if direct {
                self.direct.insert(id);
            }
        }
        Ok(())
    }

    /// The next id never used, else the longest retired.
    fn free_id(&mut self, candidate: &mut u16, highest: u16) -> Option<BackendId> {
        while *candidate <= highest && self.by_id.contains_key(&BackendId(*candidate)) {
            *candidate += 1;
        }
        if *candidate <= highest {
            return Some(BackendId(*candidate));
        }
        if self.retired.is_empty() {
            return None;
        }
        let id = self.retired.remove(0);
        self.forget(id);
        let generation = self.generations.entry(id).or_default();
        *generation = generation.wrapping_add(1);
        Some(id)
    }

    /// A narrower mark mask cannot carry the higher ids.
    fn forget_above(&mut self, highest: u16) {
        let above: Vec<_> = self.by_id.keys().copied().filter(|id| id.0 > highest).collect();
        above.into_iter().for_each(|id| self.forget(id));
        self.retired.retain(|id| id.0 <= highest);
    }

    fn forget(&mut self, id: BackendId) {
        self.direct.remove(&id);
        if let Some(backend) = self.by_id.remove(&id)
            && self.by_backend.get(&backend) == Some(&id)
        {
            self.by_backend.remove(&backend);
        }
    }

    /// The id of a backend, present or retired.
    pub fn get(&self, service: &str, backend: Endpoint) -> Option<BackendId> {
        self.by_backend.get(&(service.to_owned(), backend)).copied()
    }

    /// How often an id was handed on: connections of other generations are void.
    pub fn generation(&self, id: BackendId) -> u16 {
        self.generations.get(&id).copied().unwrap_or(0)
    }

    /// The ids that had another backend before.
    pub fn handed_on<'a>(&'a self, before: &'a BackendIds) -> impl Iterator<Item = BackendId> + 'a {
        let other = |(id, backend): &(&BackendId, &(String, Endpoint))| {
            before.by_id.get(*id).is_some_and(|it| it != *backend)
        };
        self.by_id.iter().filter(other).map(|(id, _)| *id)
    }

    /// All ids and their services, also of retired ones.
    pub fn services(&self) -> impl Iterator<Item = (BackendId, &str)> {
        self.by_id
            .iter()
            .map(|(id, (service, _))| (*id, service.as_str()))
    }

    /// Whose id it is: service and backend, present or retired.
    pub fn whose(&self, id: BackendId) -> Option<(&str, Endpoint)> {
        self.by_id
            .get(&id)
            .map(|(service, backend)| (service.as_str(), *backend))
    }
}

impl From<Vec<Entry>> for BackendIds {
    fn from(entries: Vec<Entry>) -> Self {
        let mut ids = BackendIds::default();
        for entry in entries.into_iter().filter(|it| it.id.0 != 0) {
            if ids.by_id.contains_key(&entry.id) {
                continue;
            }
            let backend = (entry.service.clone(), entry.backend);
            // One that has had another method since has two.
            if !entry.retired || !ids.by_backend.contains_key(&backend) {
                ids.by_backend.insert(backend, entry.id);
            }
            if entry.direct {
                ids.direct.insert(entry.id);
            }
            ids.by_id.insert(entry.id, (entry.service, entry.backend));
            if entry.generation != 0 {
                ids.generations.insert(entry.id, entry.generation);
            }
            if entry.retired {
                ids.retired.push(entry.id);
            }
        }
        ids
    }
}

impl From<BackendIds> for Vec<Entry> {
    fn from(ids: BackendIds) -> Self {
        let entry = |id: BackendId, retired| {
            let (service, backend) = ids.by_id[&id].clone();
            Entry {
                id,
                service,
                backend,
                retired,
                direct: ids.direct.contains(&id),
                generation: ids.generation(id),
            }
        };
        let present = ids.by_id.keys().filter(|id| !ids.retired.contains(id));
        present
            .map(|&id| entry(id, false))
            .chain(ids.retired.iter().map(|&id| entry(id, true)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Forward, Service};

    fn config(backends: &[u8]) -> Config {
        let backend = |last: &u8| {
            Backend::at(Endpoint {
                address: [10, 1, 0, *last].into(),
                port: Some(80),
            })
        };
        let service = Service {
            backends: backends.iter().map(backend).collect(),
            ..Service::named("web", vec![])
        };
        Config {
            services: vec![service],
            ..Config::default()
        }
    }

    fn id(ids: &BackendIds, last: u8) -> Option<u16> {
        ids.get(
            "web",
            Endpoint {
                address: [10, 1, 0, last].into(),
                port: Some(80),
            },
        )
        .map(|id| id.0)
    }

    #[test]
    fn a_backend_that_changes_its_method_has_another_id() {
        let by = |forward| {
            let mut config = config(&[1, 2]);
            config.services[0].forward = forward;
            config
        };
        let mut ids = BackendIds::default();
        ids.assign(&by(Forward::Nat), 255).unwrap();
        ids.assign(&by(Forward::Dr), 255).unwrap();
        assert_eq!((id(&ids, 1), id(&ids, 2)), (Some(3), Some(4)));
        ids.assign(&by(Forward::Tun), 255).unwrap();
        assert_eq!((id(&ids, 1), id(&ids, 2)), (Some(3), Some(4)));
        assert_eq!(ids.whose(BackendId(1)), ids.whose(BackendId(3)));
        let text = serde_json::to_string(&ids).unwrap();
        let mut ids: BackendIds = serde_json::from_str(&text).unwrap();
        assert_eq!((id(&ids, 1), id(&ids, 2)), (Some(3), Some(4)));
        ids.assign(&by(Forward::FullNat), 255).unwrap();
        assert_eq!((id(&ids, 1), id(&ids, 2)), (Some(5), Some(6)));
        // The longest retired is handed on first.
        ids.assign(&by(Forward::Dr), 6).unwrap();
        assert_eq!((id(&ids, 1), id(&ids, 2)), (Some(1), Some(2)));
    }

    #[test]
    fn a_backend_that_returns_has_its_old_id() {
        let mut ids = BackendIds::default();
        ids.assign(&config(&[1, 2]), 255).unwrap();
        ids.assign(&config(&[2]), 255).unwrap();
        ids.assign(&config(&[2, 3]), 255).unwrap();
        assert_eq!((id(&ids, 2), id(&ids, 3)), (Some(2), Some(3)));
        ids.assign(&config(&[1, 2, 3]), 255).unwrap();
        assert_eq!(id(&ids, 1), Some(1));
    }

    #[test]
    fn ids_are_used_again_only_when_none_is_fresh_and_the_oldest_first() {
        let mut ids = BackendIds::default();
        ids.assign(&config(&[1, 2, 3]), 3).unwrap();
        ids.assign(&config(&[1, 3]), 3).unwrap();
        ids.assign(&config(&[3]), 3).unwrap();
        let before = ids.clone();
        ids.assign(&config(&[3, 4]), 3).unwrap();
        assert_eq!(ids.handed_on(&before).collect::<Vec<_>>(), [BackendId(2)]);
        assert_eq!((id(&ids, 4), id(&ids, 2), id(&ids, 1)), (Some(2), None, Some(1)));
    }

    #[test]
    fn too_many_backends_change_nothing() {
        let mut ids = BackendIds::default();
        ids.assign(&config(&[1, 2]), 2).unwrap();
        let before = ids.clone();
        assert_eq!(
            ids.assign(&config(&[1, 2, 3]), 2),
            Err(TooManyBackends {
                backends: 3,
                highest: 2
            })
        );
        assert_eq!(ids, before);
    }

    #[test]
    fn the_state_file_keeps_ids_and_the_order_of_retirement() {
        let mut ids = BackendIds::default();
        ids.assign(&config(&[1, 2, 3]), 255).unwrap();
        ids.assign(&config(&[1, 3]), 255).unwrap();
        ids.assign(&config(&[3]), 255).unwrap();
        let text = serde_json::to_string(&ids).unwrap();
        assert_eq!(serde_json::from_str::<BackendIds>(&text).unwrap(), ids);
    }
}
