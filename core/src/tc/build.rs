//! From services to what the program should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use wvs_tc_bpf::Listen as Key;

use super::clients::{groups, kin, pins, settings};
use super::route::{NoWay, Route, in_tunnel, target};
use super::{ServiceNumbers, TcService, TcState};
use crate::config::{Config, Listen, Service};
use crate::dispatch::DispatchTable;
use crate::ids::BackendIds;
use crate::pool::{PoolKey, families, members};
use crate::ruleset::{self, Family};
use crate::scheduler::{BackendId, Dispatch};

/// What the kernel says of the world around, as far as a configuration asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// How the kernel would send packets to backends of direct routing and tunnelling.
    pub routes: BTreeMap<IpAddr, Result<Route, String>>,
    /// The interfaces that hold the services' addresses, but for the loopback.
    pub holders: BTreeMap<IpAddr, BTreeSet<String>>,
    /// The interfaces that there are.
    pub present: BTreeSet<String>,
}

impl Facts {
    /// What has to be asked of the kernel for a configuration: routes to these backends.
    pub fn backends(config: &Config) -> BTreeSet<IpAddr> {
        let services = config.services.iter().filter(|service| service.uses_tc());
        let backends = services.flat_map(|service| {
            let direct = |it: &&crate::config::Backend| service.forward_of(it).uses_tc();
            service.backends.iter().filter(direct)
        });
        backends.map(|backend| backend.address.address).collect()
    }

    /// Who holds these addresses.
    pub fn virtual_addresses(config: &Config) -> BTreeSet<IpAddr> {
        let services = config.services.iter().filter(|service| service.uses_tc());
        services.flat_map(addresses).collect()
    }

    /// What of it the ruleset has to know: which backends are this host itself; and the queue in which connections
    /// may wait.
    pub fn for_ruleset(&self, queue: Option<u16>) -> ruleset::build::Facts {
        let is_local = |route: &Result<Route, String>| route.as_ref().is_ok_and(|route| route.local);
        let local = self.routes.iter().filter(|(_, route)| is_local(route));
        ruleset::build::Facts {
            local: local.map(|(address, _)| *address).collect(),
            queue,
        }
    }

    /// The direct and tunnelled backends that cannot be reached, and why.
    pub fn unreachable(&self, config: &Config, ids: &BackendIds) -> BTreeMap<BackendId, NoWay> {
        let services = config.services.iter().filter(|service| service.uses_tc());
        let backends = services.flat_map(|service| service.backends.iter().map(move |it| (service, it)));
        backends
            .filter_map(|(service, backend)| {
                let address = backend.address.address;
                let forward = service.forward_of(backend);
                let id = ids.get(&service.name, backend.address)?;
                Some((id, target(address, forward, self.routes.get(&address), 0).err()?))
            })
            .collect()
    }
}

/// What the program should hold: every service with a backend of direct routing or tunnelling.
///
/// A backend that cannot be reached is left out; its scheduler is told that it is down.
pub fn build(
    config: &Config,
    ids: &BackendIds,
    numbers: &ServiceNumbers,
    tables: &BTreeMap<PoolKey, DispatchTable>,
    facts: &Facts,
) -> TcState {
    let mut state = TcState::default();
    let groups = groups(config);
    for service in config.services.iter().filter(|service| service.uses_tc()) {
        for family in families(service) {
            let key = PoolKey {
                service: service.name.clone(),
                family,
            };
            let (Some(number), Some(table)) = (numbers.get(&key), tables.get(&key)) else {
                continue;
            };
            state
                .listeners
                .extend(listeners(service, family).map(|key| (key, number)));
            let backends = members(service, family).filter_map(|backend| {
                let (address, forward) = (backend.address.address, service.forward_of(backend));
                let id = ids.get(&service.name, backend.address)?;
                let route = facts.routes.get(&address);
                let target = target(address, forward, route, ids.generation(id)).ok()?;
                let mut target = in_tunnel(target, service.tunnel_of(backend), &service.tunnel_source);
                target.quiesced = !backend.takes_clients();
                Some((id, target))
            });
            state.backends.extend(backends.collect::<Vec<(BackendId, _)>>());
            let service_now = TcService {
                settings: settings(service, number, &groups),
                table: asked(table),
                pins: pins(service, family, ids, &state.backends),
                kin: kin(config, service, family, ids),
            };
            state.services.insert(number, service_now);
        }
    }
    if !state.services.is_empty() {
        let wanted = wanted_interfaces(config, facts);
        state.interfaces = wanted.intersection(&facts.present).cloned().collect();
    }
    state
}

/// The interfaces that packets for direct and tunnelled services come in by: those that the director names, else those
/// that hold the services' addresses, or will.
pub fn wanted_interfaces(config: &Config, facts: &Facts) -> BTreeSet<String> {
    if !config.director.interfaces.is_empty() {
        return config.director.interfaces.iter().cloned().collect();
    }
    let services = config.services.iter().filter(|service| service.uses_tc());
    let of = |service: &Service| {
        let managed = service.manage_vip.iter().map(|vip| vip.interface.clone());
        let holders = addresses(service).filter_map(|address| facts.holders.get(&address));
        let holders: Vec<_> = holders.flatten().cloned().collect();
        managed.chain(holders).collect::<Vec<_>>()
    };
    services.flat_map(of).collect()
}

/// Nobody is asked where nobody can be chosen: such connections are refused at once.
fn asked(table: &DispatchTable) -> DispatchTable {
    let mut table = table.clone();
    if table.slots.iter().all(Option::is_none) {
        table.dispatch = Dispatch::Cycle;
    }
    table
}

fn addresses(service: &Service) -> impl Iterator<Item = IpAddr> + '_ {
    service.listen.iter().filter_map(|listen| match listen {
        Listen::Socket { address, .. } => Some(*address),
        Listen::Mark(_) => None,
    })
}

fn in_program(family: Family) -> wvs_tc_bpf::Family {
    match family {
        Family::V4 => wvs_tc_bpf::Family::V4,
        Family::V6 => wvs_tc_bpf::Family::V6,
    }
}

/// A family's listeners of a service, each port for itself.
fn listeners(service: &Service, family: Family) -> impl Iterator<Item = Key> + '_ {
    let marks = service
        .marks()
        .map(move |mark| Key::Mark(in_program(family), mark));
    let ports = service.ports_of(family).flat_map(|(address, protocol, range)| {
        (range.first..=range.last).map(move |port| Key::Address(address, protocol.number(), port))
    });
    marks.chain(ports)
}
