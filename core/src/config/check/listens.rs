//! The rules of what services listen on.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::Checker;
use crate::config::listen::MARK_ZERO;
use crate::config::place::{Place, ServiceKey};
use crate::config::{Listen, PortRange};
use crate::ruleset::Protocol;

/// Checks every listen by itself and all of them against each other.
pub(super) fn check(checker: &mut Checker<'_>) {
    for (index, service) in checker.config.services.iter().enumerate() {
        if service.listen.is_empty() {
            let problem = checker.at(index, ServiceKey::Listens, "the service listens on nothing");
            problem
                .help("give an address, as in listen = [\"tcp://10.0.0.100:80\"]")
                .from_absence = true;
        }
        for (number, listen) in service.listen.iter().enumerate() {
            alone(checker, Place::Service(index, ServiceKey::Listen(number)), listen);
        }
    }
    marks(checker);
    sockets(checker);
}

/// Why an address can be neither a VIP nor a source nor a backend, if so.
pub(super) fn senseless(address: IpAddr) -> Option<&'static str> {
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("the broadcast address")
    } else if mapped {
        Some("an IPv4-mapped address, which no packet carries")
    } else {
        None
    }
}

fn alone(checker: &mut Checker<'_>, place: Place, listen: &Listen) {
    match listen {
        Listen::Mark(0) => {
            checker
                .report(place, MARK_ZERO.to_owned())
                .help("use a mark of 1 or more");
        }
        Listen::Mark(_) => {}
        Listen::Socket { address, ports, .. } => {
            if let Some(kind) = senseless(*address) {
                let help = if address.is_unspecified() {
                    "give the virtual IP; for many addresses, mark their packets and listen on fwmark:N"
                } else {
                    "give a virtual IP that clients can reach"
                };
                checker
                    .report(place, format!("{address} cannot be a virtual IP: it is {kind}"))
                    .help(help);
            } else if address.is_loopback() {
                checker
                    .report(
                        place,
                        format!("{address} cannot be a virtual IP: only the director itself reaches it"),
                    )
                    .help("give a virtual IP that clients can reach");
            } else if !in_order(ports) {
                checker
                    .report(
                        place,
                        "the ports are not sorted ranges from 1 to 65535 without overlap".to_owned(),
                    )
                    .help("write them as in tcp://10.0.0.100:80,443,8000-8010");
            }
        }
    }
}

/// The promise of [`Listen::Socket`], which also bounds the number of ports by 65,535.
fn in_order(ports: &[PortRange]) -> bool {
    let well_formed = ports
        .iter()
        .all(|range| 0 < range.first && range.first <= range.last);
    !ports.is_empty() && well_formed && ports.is_sorted_by(|one, next| one.last < next.first)
}

fn marks(checker: &mut Checker<'_>) {
    let mut first: BTreeMap<u32, Owner> = BTreeMap::new();
    for (index, service) in checker.config.services.iter().enumerate() {
        for (number, listen) in service.listen.iter().enumerate() {
            let Listen::Mark(mark) = listen else { continue };
            match first.get(mark) {
                Some(&earlier) => {
                    taken(checker, &format!("firewall mark {mark} is"), (index, number), earlier)
                }
                None => {
                    first.insert(*mark, (index, number));
                }
            }
        }
    }
}

/// A listen: its service and its number there.
type Owner = (usize, usize);
/// A range of ports and whose it is.
type Claim = (PortRange, Owner);

fn sockets(checker: &mut Checker<'_>) {
    let mut claims: BTreeMap<(Protocol, IpAddr), Vec<Claim>> = BTreeMap::new();
    for (index, service) in checker.config.services.iter().enumerate() {
        for (number, listen) in service.listen.iter().enumerate() {
            if let Listen::Socket {
                protocol,
                address,
                ports,
            } = listen
            {
                let claims = claims.entry((*protocol, *address)).or_default();
                claims.extend(ports.iter().map(|range| (*range, (index, number))));
            }
        }
    }
    for ((protocol, address), mut claims) in claims {
        claims.sort_unstable();
        for ((one, other), shared) in conflicts(&claims) {
            let what = if shared.is_single() {
                format!("{protocol} port {shared} of {address} is")
            } else {
                format!("{protocol} ports {shared} of {address} are")
            };
            taken(checker, &what, other, one);
        }
    }
}

/// Which listens claim the same port: pairs in the order of the file, with the ports that are shared first.
///
/// The claims are sorted, so a claim that overlaps any before it overlaps the one that reaches farthest.
fn conflicts(claims: &[Claim]) -> BTreeMap<(Owner, Owner), PortRange> {
    let mut found = BTreeMap::new();
    let mut farthest: Option<Claim> = None;
    for &(range, owner) in claims {
        if let Some((reach, earlier)) = farthest
            && range.overlaps(reach)
            && owner != earlier
        {
            let shared = PortRange {
                first: range.first,
                last: range.last.min(reach.last),
            };
            found
                .entry((owner.min(earlier), owner.max(earlier)))
                .or_insert(shared);
        }
        if farthest.is_none_or(|(reach, _)| range.last > reach.last) {
            farthest = Some((range, owner));
        }
    }
    found
}

fn taken(checker: &mut Checker<'_>, what: &str, later: Owner, earlier: Owner) {
    let whose = if later.0 == earlier.0 {
        "the same service has it already".to_owned()
    } else {
        format!("{} has it already", checker.service_words(earlier.0))
    };
    let problem = checker.at(later.0, ServiceKey::Listen(later.1), format!("{what} taken: {whose}"));
    problem.help("a packet can go to one service only; take one of the two out");
    problem.related = Some(Place::Service(earlier.0, ServiceKey::Listen(earlier.1)));
}
