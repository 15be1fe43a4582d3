//! The rules of backends: each alone, among each other, and against what the services listen on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Checker, listens};
use crate::config::place::{BackendKey, DirectorKey, Place, ServiceKey};
use crate::config::{Backend, Endpoint, Forward, HIGHEST_WEIGHT, Listen, PortRange, Service};
use crate::pool::family_of;
use crate::ruleset::{Family, Protocol};

/// Checks the backends of all services.
pub(super) fn check(checker: &mut Checker<'_>) {
    let vips = Vips::of(&checker.config.services);
    for (index, service) in checker.config.services.iter().enumerate() {
        duplicates(checker, index, service);
        families(checker, index, service);
        for (number, backend) in service.backends.iter().enumerate() {
            alone(checker, index, number, backend);
            thresholds(checker, index, number, backend);
            loops(checker, &vips, index, number);
            port_stays(checker, index, number);
        }
    }
    ids(checker);
}

fn key(number: usize, key: BackendKey) -> ServiceKey {
    ServiceKey::Backend(number, key)
}

fn alone(checker: &mut Checker<'_>, index: usize, number: usize, backend: &Backend) {
    let Endpoint { address, port } = backend.address;
    if let Some(kind) = listens::senseless(address) {
        checker
            .at(
                index,
                key(number, BackendKey::Address),
                format!("{address} cannot be a backend: it is {kind}"),
            )
            .help("give the address of one real server");
    } else if port == Some(0) {
        checker
            .at(index, key(number, BackendKey::Address), "port 0 is out of range")
            .help("give a port from 1 to 65535, or none to keep the client's");
    }
    if backend.weight > HIGHEST_WEIGHT {
        checker
            .at(
                index,
                key(number, BackendKey::Weight),
                format!("the weight {} is out of range", backend.weight),
            )
            .help(format!("a weight is 0 to {HIGHEST_WEIGHT}"));
    }
}

fn thresholds(checker: &mut Checker<'_>, index: usize, number: usize, backend: &Backend) {
    let at = |it| key(number, it);
    match (backend.max_connections, backend.min_connections) {
        (Some(0), _) => {
            checker
                .at(index, at(BackendKey::MaxConnections), "a limit of 0 connections lets none through")
                .help("give 1 or more; for none, set weight = 0 or drain = true");
        }
        (Some(max), Some(min)) if min >= max => {
            let message = format!("`min_connections` is {min}, and `max_connections` is {max}");
            let problem = checker.at(index, at(BackendKey::MinConnections), message);
            problem.help("give fewer than `max_connections`: below them it gets new ones again");
            problem.related = Some(Place::Service(index, at(BackendKey::MaxConnections)));
        }
        (None, Some(_)) => {
            let message = "`min_connections` is for backends with a limit";
            let problem = checker.at(index, at(BackendKey::MinConnections), message);
            problem.help("add `max_connections`, or leave `min_connections` out");
            problem.from_absence = true;
        }
        _ => {}
    }
}

fn duplicates(checker: &mut Checker<'_>, index: usize, service: &Service) {
    let mut first: BTreeMap<Endpoint, usize> = BTreeMap::new();
    for (number, backend) in service.backends.iter().enumerate() {
        if let Some(&earlier) = first.get(&backend.address) {
            let message = format!("the service has the backend {} already", backend.address);
            let problem = checker.at(index, key(number, BackendKey::Address), message);
            problem.help("for a larger share, give the one backend a larger weight");
            problem.related = Some(Place::Service(index, key(earlier, BackendKey::Address)));
        } else {
            first.insert(backend.address, number);
        }
    }
}

/// Who listens on a family needs a backend for it, and the other way round: only a tunnel leads to another one.
fn families(checker: &mut Checker<'_>, index: usize, service: &Service) {
    if service.backends.is_empty() {
        return;
    }
    let served: BTreeSet<Family> = service
        .backends
        .iter()
        .filter_map(|backend| family_of(service, backend))
        .collect();
    for (number, listen) in service.listen.iter().enumerate() {
        let Some(address) = listen.address() else { continue };
        let family = Family::of(address);
        if !served.contains(&family) {
            let message = format!("the service listens on {family} and has no {family} backend");
            let problem = checker.at(index, ServiceKey::Listen(number), message);
            problem.help(format!("add an {family} backend: {}", between_families(service)));
            problem.from_absence = true;
        }
    }
    if service.listen.is_empty() {
        return;
    }
    for (number, backend) in service.backends.iter().enumerate() {
        if family_of(service, backend).is_none() {
            let family = Family::of(backend.address.address);
            let message = format!("no client reaches the {family} backend {}", backend.address);
            let problem = checker.at(index, key(number, BackendKey::Address), message);
            problem.help(format!("add an {family} listen: {}", between_families(service)));
            problem.from_absence = true;
        }
    }
}

/// Why a listen and a backend of different families do not come together.
fn between_families(service: &Service) -> &'static str {
    let methods = service.backends.iter().map(|backend| service.forward_of(backend));
    match methods.max_by_key(|method| (method.uses_tc(), *method == Forward::Tun)) {
        Some(Forward::Tun) => "a tunnel crosses families only in a service that listens in one of them",
        Some(Forward::Dr) => "only \"tun\" leads from one family to the other",
        _ => "NAT does not translate between families",
    }
}

/// A part of a VIP: its protocol, its ports, and whose it is.
struct Claim<'c> {
    protocol: Protocol,
    ports: &'c [PortRange],
    place: Place,
}

/// The virtual IPs of all services.
struct Vips<'c>(BTreeMap<IpAddr, Vec<Claim<'c>>>);

impl<'c> Vips<'c> {
    fn of(services: &'c [Service]) -> Self {
        let mut vips: BTreeMap<IpAddr, Vec<Claim<'c>>> = BTreeMap::new();
        for (index, service) in services.iter().enumerate() {
            for (number, listen) in service.listen.iter().enumerate() {
                if let Listen::Socket {
                    protocol,
                    address,
                    ports,
                } = listen
                {
                    let place = Place::Service(index, ServiceKey::Listen(number));
                    vips.entry(*address).or_default().push(Claim {
                        protocol: *protocol,
                        ports,
                        place,
                    });
                }
            }
        }
        Vips(vips)
    }

    /// The listen that a service's connections to a backend would come to again.
    fn hit(&self, service: &Service, to: Endpoint) -> Option<&Place> {
        let claims = self.0.get(&to.address)?;
        let hits = |claim: &&Claim<'_>| {
            service.listen.iter().any(|listen| match (listen, to.port) {
                (Listen::Mark(_), Some(port)) => claim.ports.iter().any(|range| range.contains(port)),
                (Listen::Mark(_), None) => true,
                (Listen::Socket { protocol, .. }, Some(port)) => {
                    *protocol == claim.protocol && claim.ports.iter().any(|range| range.contains(port))
                }
                (Listen::Socket { protocol, ports, .. }, None) => {
                    *protocol == claim.protocol
                        && ports
                            .iter()
                            .any(|kept| claim.ports.iter().any(|range| range.overlaps(*kept)))
                }
            })
        };
        claims.iter().find(hits).map(|claim| &claim.place)
    }
}

fn loops(checker: &mut Checker<'_>, vips: &Vips<'_>, index: usize, number: usize) {
    let service = &checker.config.services[index];
    let address = service.backends[number].address;
    let Some(hit) = vips.hit(service, address) else {
        return;
    };
    let message = format!("the backend {address} is itself a virtual IP of this configuration");
    let problem = checker.at(index, key(number, BackendKey::Address), message);
    problem.help("connections would come back to the director; give the real server's address");
    problem.related = Some(hit.clone());
}

/// Direct routing and tunnelling leave the packet as it is, its port too.
fn port_stays(checker: &mut Checker<'_>, index: usize, number: usize) {
    let service = &checker.config.services[index];
    let backend = &service.backends[number];
    let forward = service.forward_of(backend);
    let (Forward::Dr | Forward::Tun, Some(port)) = (forward, backend.address.port) else {
        return;
    };
    let other = service.listen.iter().position(|listen| match listen {
        Listen::Socket { ports, .. } => {
            *ports
                != [PortRange {
                    first: port,
                    last: port,
                }]
        }
        Listen::Mark(_) => true,
    });
    if let Some(listen) = other {
        let message =
            format!("`{forward}` cannot change the port, and the service listens on others than {port}");
        let problem = checker.at(index, key(number, BackendKey::Address), message);
        problem.help(format!(
            "leave the port out: address = \"{}\"; to change ports is for \"nat\" and \"full-nat\"",
            backend.address.address
        ));
        problem.related = Some(Place::Service(index, ServiceKey::Listen(listen)));
    }
}

/// Every backend has an id of its own in our bits of the mark, and 0 is nobody's.
fn ids(checker: &mut Checker<'_>) {
    let mask = checker.config.director.ct_mark_mask;
    let room = 1usize
        .checked_shl(mask.count_ones())
        .map_or(usize::MAX, |ids| ids - 1);
    let backends = checker.config.services.iter().enumerate();
    let mut places = backends.flat_map(|(index, s)| (0..s.backends.len()).map(move |number| (index, number)));
    let total: usize = checker
        .config
        .services
        .iter()
        .map(|service| service.backends.len())
        .sum();
    if let Some((index, number)) = places.nth(room) {
        let message = format!("there are {total} backends, and the mask {mask:#010x} has room for {room}");
        let problem = checker.at(index, key(number, BackendKey::Whole), message);
        problem.help(if mask.count_ones() < super::MOST_MARK_BITS {
            "give ct_mark_mask more bits; at most 16"
        } else {
            "share the services between several directors"
        });
        problem.related = Some(Place::Director(DirectorKey::CtMarkMask));
    }
}
