//! The rules of tunnels.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, listens};
use crate::config::place::{BackendKey, Place, ServiceKey};
use crate::config::{Forward, Service, Tunnel, TunnelKind};
use crate::ruleset::Family;

/// Checks one service.
pub(super) fn check(checker: &mut Checker<'_>, index: usize, service: &Service) {
    if let Some(tunnel) = service.tunnel {
        alone(checker, index, ServiceKey::Tunnel, tunnel);
    }
    needed(checker, index, service);
    sources(checker, index, service);
    for (number, backend) in service.backends.iter().enumerate() {
        let Some(tunnel) = backend.tunnel else { continue };
        let key = ServiceKey::Backend(number, BackendKey::Tunnel);
        alone(checker, index, key.clone(), tunnel);
        let forward = service.forward_of(backend);
        if forward != Forward::Tun {
            let message = format!("`tunnel` is for `tun`, and the backend is forwarded to by `{forward}`");
            let problem = checker.at(index, key, message);
            problem.help("set forward = \"tun\", or leave `tunnel` out");
            problem.from_absence = true;
        }
    }
}

fn alone(checker: &mut Checker<'_>, index: usize, key: ServiceKey, tunnel: Tunnel) {
    if tunnel.kind == (TunnelKind::Gue { port: 0 }) {
        checker
            .at(index, key.clone(), "port 0 is out of range")
            .help("give the UDP port that the backends listen on, 1 to 65535, or none for 6080");
    }
    if tunnel.checksum && tunnel.kind == TunnelKind::Ipip {
        checker
            .at(index, key, "`ipip` has no checksum")
            .help("leave `checksum` out, or take \"gre\" or \"gue\"");
    }
}

/// Settings of tunnels where nothing goes through one.
fn needed(checker: &mut Checker<'_>, index: usize, service: &Service) {
    let tunnels = service
        .backends
        .iter()
        .any(|it| service.forward_of(it) == Forward::Tun);
    if tunnels || service.forward == Forward::Tun {
        return;
    }
    for (key, name, given) in [
        (ServiceKey::Tunnel, "tunnel", service.tunnel.is_some()),
        (ServiceKey::TunnelSources, "tunnel_source", !service.tunnel_source.is_empty()),
    ] {
        if given {
            let message = format!("`{name}` is for `tun`, and no backend is forwarded to that way");
            let problem = checker.at(index, key, message);
            problem.help(format!("set forward = \"tun\", or leave `{name}` out"));
            problem.from_absence = true;
        }
    }
}

fn sources(checker: &mut Checker<'_>, index: usize, service: &Service) {
    let tunnels = service
        .backends
        .iter()
        .filter(|it| service.forward_of(it) == Forward::Tun);
    let outer: BTreeSet<Family> = tunnels.map(|it| Family::of(it.address.address)).collect();
    let mut first: BTreeMap<Family, usize> = BTreeMap::new();
    for (number, source) in service.tunnel_source.iter().enumerate() {
        let key = ServiceKey::TunnelSource(number);
        let family = source.family();
        let senseless = listens::senseless(source.address);
        let senseless = senseless.or(source.address.is_loopback().then_some("for this host alone"));
        if let Some(message) = source.fault() {
            checker
                .at(index, key, message)
                .help("write a network as in \"10.99.0.0/16\"");
        } else if let Some(kind) = senseless {
            checker
                .at(index, key, format!("{source} cannot be the source of tunnels: it is {kind}"))
                .help(
                    "give a network that routers on the way accept from the director, as in \"10.99.0.0/16\"",
                );
        } else if let Some(&earlier) = first.get(&family) {
            let problem = checker.at(index, key, format!("a second source of tunnels for {family}"));
            problem.help("give one prefix per family, such as \"10.99.0.0/16\"");
            problem.related = Some(Place::Service(index, ServiceKey::TunnelSource(earlier)));
        } else {
            first.insert(family, number);
            if !outer.is_empty() && !outer.contains(&family) {
                let problem = checker.at(index, key, format!("no tunnel leads to an {family} backend"));
                problem.help("give a prefix of the backends' family: it is the outer source address");
                problem.from_absence = true;
            }
        }
    }
}
