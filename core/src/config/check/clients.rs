//! The rules of what a service remembers of clients and connections, and of clients whose backend is given.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Checker, LONGEST, SHORTEST, name_fault, name_help};
use crate::config::persistence::{whole_v4, whole_v6};
use crate::config::place::{PersistenceKey, PinKey, Place, ServiceKey, TimeoutKey};
use crate::config::text::duration_text;
use crate::config::{Backend, Endpoint, Listen, Persistence, Prefix, Service};
use crate::pool::family_of;
use crate::ruleset::{Family, Protocol};

/// Checks every service by itself, and the groups.
pub(super) fn check(checker: &mut Checker<'_>) {
    for (index, service) in checker.config.services.iter().enumerate() {
        alone(checker, index, service);
    }
    groups(checker);
}

fn alone(checker: &mut Checker<'_>, index: usize, service: &Service) {
    if let Some(it) = &service.persistence {
        persistence(checker, index, it);
    }
    for (timeout, key) in [
        (service.timeouts.established, TimeoutKey::Established),
        (service.timeouts.fin, TimeoutKey::Fin),
        (service.timeouts.udp, TimeoutKey::Udp),
    ] {
        duration(checker, index, ServiceKey::Timeouts(key), timeout);
    }
    if service.one_packet {
        one_packet(checker, index, service);
    }
    pins(checker, index, service);
}

fn duration(checker: &mut Checker<'_>, index: usize, key: ServiceKey, duration: Duration) {
    if !(SHORTEST..=LONGEST).contains(&duration) || duration.subsec_nanos() != 0 {
        let (shortest, longest) = (duration_text(SHORTEST), duration_text(LONGEST));
        checker
            .at(index, key, format!("{} is out of range", duration_text(duration)))
            .help(format!("give whole seconds from \"{shortest}\" to \"{longest}\""));
    }
}

fn persistence(checker: &mut Checker<'_>, index: usize, persistence: &Persistence) {
    let key = ServiceKey::Persistence;
    duration(checker, index, key(PersistenceKey::Timeout), persistence.timeout);
    for (bits, all, family, place) in [
        (persistence.mask, whole_v4(), Family::V4, PersistenceKey::Mask),
        (persistence.mask6, whole_v6(), Family::V6, PersistenceKey::Mask6),
    ] {
        if !(1..=all).contains(&bits) {
            let message = format!("{bits} bits of an {family} address cannot make a client");
            checker
                .at(index, key(place), message)
                .help(format!("give 1 to {all}; {all} makes every address a client of its own"));
        }
    }
    if let Some(message) = persistence.group.as_deref().and_then(name_fault) {
        checker
            .at(index, key(PersistenceKey::Group), message)
            .help(name_help());
    }
}

/// What services of a group remember is of use to each other only if they mean the same by a client.
fn groups(checker: &mut Checker<'_>) {
    let mut first: BTreeMap<&str, (usize, &Service)> = BTreeMap::new();
    for (index, service) in checker.config.services.iter().enumerate() {
        let Some(persistence) = &service.persistence else {
            continue;
        };
        let Some(group) = &persistence.group else { continue };
        let (earlier, other) = *first.entry(group).or_insert((index, service));
        if other.uses_tc() != service.uses_tc() {
            let whose = checker.service_words(earlier);
            let message = format!(
                "{whose} is of the group {group:?} too, and only one of them has backends of direct routing or tunnels: \
                 nftables remembers the clients of the other"
            );
            let key = ServiceKey::Persistence(PersistenceKey::Group);
            let problem = checker.at(index, key.clone(), message);
            problem.help("give each a group of its own, or both a backend of \"dr\" or \"tun\"");
            problem.related = Some(Place::Service(earlier, key));
        }
        let Some(other) = &other.persistence else { continue };
        if (other.mask, other.mask6) != (persistence.mask, persistence.mask6) {
            let whose = checker.service_words(earlier);
            let message = format!("{whose} is of the group {group:?} too, and takes other bits for a client");
            let key = ServiceKey::Persistence(PersistenceKey::Whole);
            let problem = checker.at(index, key.clone(), message);
            problem.help("give all services of a group the same `mask` and `mask6`");
            problem.related = Some(Place::Service(earlier, key));
        }
    }
}
/// As with ipvsadm, it is for UDP. What NAT forwards is a connection, because conntrack makes it one.
fn one_packet(checker: &mut Checker<'_>, index: usize, service: &Service) {
    let udp = service.listen.iter().any(|listen| match listen {
        Listen::Socket { protocol, .. } => *protocol == Protocol::Udp,
        Listen::Mark(_) => true,
    });
    if !udp {
        let problem = checker.at(
            index,
            ServiceKey::OnePacket,
            "`one_packet` is for UDP, and the service does not listen on it",
        );
        problem.help("leave `one_packet` out, or add a listen such as \"udp://10.0.0.100:53\"");
        problem.from_absence = true;
    }
    let methods = service.backends.iter().map(|backend| service.forward_of(backend));
    let none = service.backends.is_empty().then_some(service.forward);
    if let Some(method) = methods.chain(none).find(|method| !method.uses_tc()) {
        let message = format!("`one_packet` cannot be with `{method}`, which makes connections of datagrams");
        let problem = checker.at(index, ServiceKey::OnePacket, message);
        problem.help("leave `one_packet` out, or forward to all backends by \"dr\" or \"tun\"");
        problem.from_absence = true;
    }
}

fn pins(checker: &mut Checker<'_>, index: usize, service: &Service) {
    let mut first: BTreeMap<Prefix, usize> = BTreeMap::new();
    let place = |number, key| ServiceKey::Pin(number, key);
    let backends: BTreeMap<Endpoint, &Backend> = service.backends.iter().map(|it| (it.address, it)).collect();
    for (number, pin) in service.pins.iter().enumerate() {
        if let Some(message) = pin.client.fault() {
            checker
                .at(index, place(number, PinKey::Client), message)
                .help("write a network as in \"10.9.0.0/16\"");
        } else if let Some(&earlier) = first.get(&pin.client) {
            let message = format!("the clients {} are pinned already", pin.client);
            let problem = checker.at(index, place(number, PinKey::Client), message);
            problem.help("take one of the two out");
            problem.related = Some(Place::Service(index, place(earlier, PinKey::Client)));
        } else {
            first.insert(pin.client, number);
        }
        pinned_to(checker, index, number, backends.get(&pin.backend).copied());
    }
}

fn pinned_to(checker: &mut Checker<'_>, index: usize, number: usize, backend: Option<&Backend>) {
    let service = &checker.config.services[index];
    let pin = service.pins[number];
    let Some(backend) = backend else {
        let message = format!("the service has no backend {}", pin.backend);
        let problem = checker.at(index, ServiceKey::Pin(number, PinKey::Backend), message);
        problem.help(match service.backends.first() {
            Some(backend) => {
                format!("name a backend as its `address` does, as in \"{}\"", backend.address)
            }
            None => "add the backend, or take the pin out".to_owned(),
        });
        problem.from_absence = true;
        return;
    };
    let family = pin.client.family();
    if family_of(service, backend).is_some_and(|served| served != family) {
        let message = format!("no {family} client gets to the backend {}", pin.backend);
        let problem = checker.at(index, ServiceKey::Pin(number, PinKey::Client), message);
        problem.help(format!("pin the clients to a backend for {family}"));
        problem.from_absence = true;
    }
}
