//! Pools: the backends of one family of a service, for which one scheduler makes one table.
//!
//! A service that listens on IPv4 and IPv6 has two, because forwarding does not translate between families; only
//! a tunnel can carry one in the other.

use std::collections::BTreeMap;

use crate::config::{Backend, Config, Forward, Listen, Service};
use crate::ids::BackendIds;
use crate::ruleset::Family;
use crate::scheduler::{BackendId, Candidate};

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

/// Which of a service's backends every id stands for that its clients may keep: the backend's own id, and those of the
/// backends on the same real server (of the same port first) in the other services of its persistence group. Only what
/// stands is looked at of its own.
pub fn kin<'c>(
    config: &'c Config,
    ids: &BackendIds,
    service: &'c Service,
    family: Family,
    stands: impl Fn(&Backend) -> bool,
) -> Vec<(BackendId, BackendId)> {
    let identified = |service: &'c Service| {
        let members = members(service, family);
        members.filter_map(|it| Some((ids.get(&service.name, it.address)?, it)))
    };
    let own: Vec<_> = identified(service).filter(|(_, it)| stands(it)).collect();
    let mut kin: Vec<_> = own.iter().map(|(id, _)| (*id, *id)).collect();
    let group = |service: &'c Service| service.persistence.as_ref()?.group.as_deref();
    let others = config.services.iter().filter(|other| {
        other.name != service.name && group(service).is_some() && group(other) == group(service)
    });
    for (theirs, backend) in others.flat_map(identified) {
        let same_port = own.iter().find(|(_, it)| it.address == backend.address);
        let same_server = || {
            own.iter()
                .find(|(_, it)| it.address.address == backend.address.address)
        };
        if let Some((ours, _)) = same_port.or_else(same_server) {
            kin.push((theirs, *ours));
        }
    }
    kin
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
                down: false,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(listens: &[&str], backends: &[(&str, Forward)]) -> Service {
        let backend = |(address, forward): &(&str, Forward)| Backend {
            forward: Some(*forward),
            ..Backend::at(address.parse().expect("an address"))
        };
        let listens = listens.iter().map(|it| it.parse().expect("a listen"));
        Service {
            backends: backends.iter().map(backend).collect(),
            ..Service::named("web", listens.collect())
        }
    }

    /// The backends of each pool.
    fn pools_of(service: &Service) -> Vec<(Family, Vec<String>)> {
        let names = |family| {
            members(service, family)
                .map(|it| it.address.to_string())
                .collect()
        };
        families(service).map(|family| (family, names(family))).collect()
    }

    const V4: &str = "tcp://10.0.0.100:80";
    const V6: &str = "tcp://[2001:db8::100]:80";
    const BOTH: [(&str, Forward); 2] = [("10.1.0.11", Forward::Tun), ("2001:db8::11", Forward::Tun)];

    #[test]
    fn a_backend_serves_its_own_family_where_it_can() {
        let expected = [
            (Family::V4, vec!["10.1.0.11".to_owned()]),
            (Family::V6, vec!["2001:db8::11".to_owned()]),
        ];
        for listens in [&[V4, V6][..], &["fwmark:7"], &["fwmark:7", V4]] {
            assert_eq!(pools_of(&service(listens, &BOTH)), expected, "{listens:?}");
        }
    }

    #[test]
    fn a_tunnel_serves_the_family_that_is_listened_in() {
        let all = vec!["10.1.0.11".to_owned(), "2001:db8::11".to_owned()];
        assert_eq!(pools_of(&service(&[V4], &BOTH)), [(Family::V4, all.clone())]);
        assert_eq!(pools_of(&service(&[V6], &BOTH)), [(Family::V6, all)]);
    }

    #[test]
    fn nothing_else_leads_to_another_family() {
        for forward in [Forward::Nat, Forward::FullNat, Forward::Dr] {
            let service = service(&[V4], &[("2001:db8::11", forward)]);
            assert_eq!(pools_of(&service), [(Family::V4, vec![])]);
            assert_eq!(family_of(&service, &service.backends[0]), None);
        }
    }

    #[test]
    fn one_backend_of_the_tc_program_is_enough_to_need_it() {
        assert!(!service(&[V4], &[("10.1.0.11", Forward::Nat), ("10.1.0.12", Forward::FullNat)]).uses_tc());
        assert!(service(&[V4], &[("10.1.0.11", Forward::Nat), ("10.1.0.12", Forward::Dr)]).uses_tc());
        let mut waiting = service(&[V4], &[]);
        assert!(!waiting.uses_tc());
        waiting.forward = Forward::Tun;
        assert!(waiting.uses_tc());
        waiting.backends = service(&[V4], &[("10.1.0.11", Forward::Nat)]).backends;
        assert!(!waiting.uses_tc());
    }
}
