//! Pools: the backends of one family of a service, for which one scheduler makes one table.
//!
//! A service that listens on IPv4 and IPv6 has two, because NAT does not translate between families.

use std::collections::BTreeMap;

use crate::config::{Config, Listen, Service};
use crate::ids::BackendIds;
use crate::ruleset::Family;
use crate::scheduler::Candidate;

/// Names a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct PoolKey {
    /// The service.
    pub service: String,
    /// The family of clients and backends.
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

/// The backends of one family of a service as its scheduler sees them.
pub fn candidates(service: &Service, family: Family, ids: &BackendIds) -> Vec<Candidate> {
    let of_family = service
        .backends
        .iter()
        .filter(|it| Family::of(it.address.address) == family);
    of_family
        .filter_map(|backend| {
            Some(Candidate {
                id: ids.get(&service.name, backend.address)?,
                weight: backend.weight,
                address: backend.address.address,
                port: backend.address.port.unwrap_or(0),
                draining: backend.drain,
            })
        })
        .collect()
}
