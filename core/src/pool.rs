//! Pools: the backends of one family of a service, for which one scheduler makes one table.
//!
//! A service that listens on IPv4 and IPv6 has two, because forwarding does not translate between families; only
//! a tunnel can carry one in the other.

use std::collections::BTreeMap;

use crate::config::{Backend, Config, Forward, Listen, Service};
use crate::ids::BackendIds;
use crate::ruleset::Family;
use crate::scheduler::Candidate;

/// Names a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct PoolKey {
    /// The service.
    pub service: String,
    /// The family of the clients; tunnels may end at backends of the other.
    pub family: Family,
}

impl std::fmt::Display for PoolKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.service, self.family)
    }
}

/// The families in which a service has listeners. A firewall mark has those of the backends.
pub fn families(service: &Service) -> impl Iterator<Item = Family> + '_ {
    Family::ALL.into_iter().filter(|&family| {
        service.listen.iter().any(|listen| match listen {
            Listen::Socket { address, .. } => Family::of(*address) == family,
            Listen::Mark(_) => service
                .backends
                .iter()
                .any(|it| Family::of(it.address.address) == family),
        })
    })
}

/// The family of the clients that a backend of a service gets: its own, if the service listens in it. A tunnel
/// to a backend of another family carries what the service does listen in. None: no client comes to it.
pub fn family_of(service: &Service, backend: &Backend) -> Option<Family> {
    let own = Family::of(backend.address.address);
    let asked: Vec<Option<Family>> = service
        .listen
        .iter()
        .map(|it| it.address().map(Family::of))
        .collect();
    // A mark has the families of the backends.
    if asked.iter().any(|it| it.is_none_or(|family| family == own)) {
        return Some(own);
    }
    let tunnel = service.forward_of(backend) == Forward::Tun;
    asked.into_iter().flatten().find(|_| tunnel)
}

/// The backends of one pool of a service, in the order of the file.
pub fn members(service: &Service, family: Family) -> impl Iterator<Item = &Backend> {
    let of_pool = move |backend: &&Backend| family_of(service, backend) == Some(family);
    service.backends.iter().filter(of_pool)
}

/// All pools of a configuration with their backends, in the order of the file.
///
/// Backends without an id are left out; [`BackendIds::assign`] gives every one an id.
pub fn pools(config: &Config, ids: &BackendIds) -> BTreeMap<PoolKey, Vec<Candidate>> {
    let mut pools = BTreeMap::new();
    for service in &config.services {
        for family in families(service) {
            let key = PoolKey {
                service: service.name.clone(),
                family,
            };
            pools.insert(key, candidates(service, family, ids));
        }
    }
    pools
}

/// The backends of one pool of a service as its scheduler sees them.
pub fn candidates(service: &Service, family: Family, ids: &BackendIds) -> Vec<Candidate> {
    members(service, family)
        .filter_map(|backend| {
            Some(Candidate {
                id: ids.get(&service.name, backend.address)?,
                weight: backend.weight,
                address: backend.address.address,
                port: backend.address.port.unwrap_or(0),
                draining: backend.drain,
                overloaded: false,
            })
        })
        .collect()
}
