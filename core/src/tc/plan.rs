//! What would change in the program's maps: the difference of two states, as steps in an order that no packet falls through.

use std::collections::BTreeSet;
use std::fmt;

use wvs_tc_bpf::{Family, Kin, Listen, Method, Pin, ServiceSettings, Target};

use super::{TcService, TcState};
use crate::dispatch::DispatchTable;
use crate::scheduler::BackendId;

/// One change of a map, or of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sets a backend, or the way to it.
    Backend(BackendId, Target),
    /// Sets how a service treats new connections.
    Service(u32, ServiceSettings),
    /// Exchanges a service's table.
    Table(u32, DispatchTable),
    /// Exchanges a service's pinned clients.
    Pins(u32, BTreeSet<Pin>),
    /// Exchanges what a service makes of its group's backends.
    Kin(u32, BTreeSet<Kin>),
    /// Leads what it names to a service.
    Listen(Listen, u32),
    /// Attaches the program to an interface (`tc filter add dev … ingress bpf`).
    Attach(String),
    /// Ends a listener. Its connections go on.
    Unlisten(Listen),
    /// Removes a service that nobody listens for any more.
    RemoveService(u32),
}

/// The steps from what is installed to what is desired.
///
/// What packets are led to is there before they are led. Backends that are not wanted any more stay while their
/// connections live, and so do the interfaces that these come in by: both go when the connections have gone.
pub fn plan(desired: &TcState, installed: &TcState) -> Vec<Step> {
    let mut steps = Vec::new();
    for (id, target) in &desired.backends {
        if installed.backends.get(id) != Some(target) {
            steps.push(Step::Backend(*id, *target));
        }
    }
    for (number, service) in &desired.services {
        let before = installed.services.get(number);
        if before.is_none_or(|it| it.settings != service.settings) {
            steps.push(Step::Service(*number, service.settings));
        }
        if before.map_or(!service.pins.is_empty(), |it| it.pins != service.pins) {
            steps.push(Step::Pins(*number, service.pins.clone()));
        }
        if before.map_or(!service.kin.is_empty(), |it| it.kin != service.kin) {
            steps.push(Step::Kin(*number, service.kin.clone()));
        }
    }
    // In a row: the kernel takes several tables at the price of one.
    for (number, service) in &desired.services {
        let before = installed.services.get(number);
        if before.is_none_or(|it| it.table != service.table) {
            steps.push(Step::Table(*number, service.table.clone()));
        }
    }
    for (listen, number) in &desired.listeners {
        if installed.listeners.get(listen) != Some(number) {
            steps.push(Step::Listen(*listen, *number));
        }
    }
    let attach = desired.interfaces.difference(&installed.interfaces);
    steps.extend(attach.cloned().map(Step::Attach));
    let gone = installed
        .listeners
        .keys()
        .filter(|it| !desired.listeners.contains_key(it));
    steps.extend(gone.copied().map(Step::Unlisten));
    let gone = installed
        .services
        .keys()
        .filter(|it| !desired.services.contains_key(it));
    steps.extend(gone.copied().map(Step::RemoveService));
    steps
}

/// The steps that come before a new ruleset, and those that have to wait for it: by these nftables gets packets that the
/// program has forwarded until now, or for backends that it may not know yet. It would reject them.
pub fn around_ruleset(steps: Vec<Step>, installed: &TcState) -> (Vec<Step>, Vec<Step>) {
    let in_use: BTreeSet<u32> = installed.listeners.values().copied().collect();
    let waits = |step: &Step| match step {
        Step::Unlisten(_) | Step::RemoveService(_) => true,
        Step::Listen(listen, _) => installed.listeners.contains_key(listen),
        Step::Table(number, _) | Step::Pins(number, _) | Step::Kin(number, _) => in_use.contains(number),
        Step::Backend(id, target) => {
            let before = installed.backends.get(id);
            !target.method.is_direct() && before.is_some_and(|it| it.method.is_direct())
        }
        Step::Service(..) | Step::Attach(_) => false,
    };
    steps.into_iter().partition(|step| !waits(step))
}

impl Step {
    /// The table that it sets.
    pub fn table(&self) -> Option<(u32, &DispatchTable)> {
        match self {
            Step::Table(number, table) => Some((*number, table)),
            _ => None,
        }
    }
}

impl TcState {
    /// Takes in a step that was made.
    pub fn follow(&mut self, step: &Step) {
        match step {
            Step::Backend(id, target) => drop(self.backends.insert(*id, *target)),
            Step::Service(number, settings) => self.service(*number).settings = *settings,
            Step::Table(number, table) => self.service(*number).table = table.clone(),
            Step::Pins(number, pins) => self.service(*number).pins.clone_from(pins),
            Step::Kin(number, kin) => self.service(*number).kin.clone_from(kin),
            Step::Listen(listen, number) => drop(self.listeners.insert(*listen, *number)),
            Step::Attach(interface) => drop(self.interfaces.insert(interface.clone())),
            Step::Unlisten(listen) => drop(self.listeners.remove(listen)),
            Step::RemoveService(number) => drop(self.services.remove(number)),
        }
    }

    fn service(&mut self, number: u32) -> &mut TcService {
        self.services.entry(number).or_insert_with(TcService::unknown)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Backend(id, target) => write!(f, "backend {} {}", id.0, Words(target)),
            Step::Service(number, settings) => write!(f, "service {number}{}", Words(settings)),
            Step::Table(number, table) => write!(f, "table {number} of {} slots", table.slots.len()),
            Step::Pins(number, pins) => write!(f, "pin {} prefixes of service {number}", pins.len()),
            Step::Kin(number, kin) => write!(f, "{} backends of the group of service {number}", kin.len()),
            Step::Listen(listen, number) => write!(f, "listen {} to service {number}", Words(listen)),
            Step::Attach(interface) => write!(f, "attach to {interface}"),
            Step::Unlisten(listen) => write!(f, "listen no more {}", Words(listen)),
            Step::RemoveService(number) => write!(f, "remove service {number}"),
        }
    }
}

/// What the maps' types look like to operators.
#[derive(Debug)]
pub struct Words<'a, T>(pub &'a T);

impl fmt::Display for Words<'_, Listen> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Listen::Address(address, protocol, port) => {
                let protocol = match protocol {
                    6 => "tcp",
                    17 => "udp",
                    132 => "sctp",
                    _ => "?",
                };
                write!(f, "{protocol}://{}", std::net::SocketAddr::new(*address, *port))
            }
            // As nft calls the families.
            Listen::Mark(Family::V4, mark) => write!(f, "fwmark:{mark} (ip)"),
            Listen::Mark(Family::V6, mark) => write!(f, "fwmark:{mark} (ip6)"),
        }
    }
}

impl fmt::Display for Words<'_, ServiceSettings> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.one_packet {
            f.write_str(", each datagram for itself")?;
        }
        if let Some(kept) = self.0.persistence {
            write!(f, ", clients (/{} /{}) stay for {:?}", kept.mask, kept.mask6, kept.timeout)?;
        }
        Ok(())
    }
}

impl fmt::Display for Words<'_, Target> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.0.method {
            Method::Nat => "nat",
            Method::Local => "local",
            Method::DirectRouting => "dr",
            Method::Tunnel => "tun",
        };
        write!(f, "{method} {}", self.0.address)?;
        if let Some(way) = self.0.way {
            write!(f, " by interface {} mtu {}", way.ifindex, way.mtu)?;
            if let Some(([a, b, c, d, e, g], _)) = way.macs {
                write!(f, " at {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wvs_tc_bpf::Encapsulation;

    use super::*;

    fn state(method: Method) -> TcState {
        let target = Target {
            method,
            address: "10.1.0.11".parse().unwrap(),
            generation: 1,
            way: None,
            encapsulation: Encapsulation::Ipip,
            quiesced: false,
        };
        let mut state = TcState::default();
        state.backends.insert(BackendId(1), target);
        state.service(1);
        state
            .listeners
            .insert(Listen::Address("10.0.0.100".parse().unwrap(), 6, 80), 1);
        state
    }

    fn told(desired: &TcState, installed: &TcState) -> Vec<(String, bool)> {
        let (before, after) = around_ruleset(plan(desired, installed), installed);
        let told = |steps: Vec<Step>, waits| steps.into_iter().map(move |step| (step.to_string(), waits));
        told(before, false).chain(told(after, true)).collect()
    }

    #[test]
    fn what_nftables_has_to_know_first_comes_last() {
        let (nat, dr) = (state(Method::Nat), state(Method::DirectRouting));
        assert_eq!(told(&dr, &nat), [("backend 1 dr 10.1.0.11".to_owned(), false)]);
        assert_eq!(told(&nat, &dr), [("backend 1 nat 10.1.0.11".to_owned(), true)]);
        assert_eq!(
            told(&TcState::default(), &dr),
            [
                ("listen no more tcp://10.0.0.100:80".to_owned(), true),
                ("remove service 1".to_owned(), true)
            ]
        );
        assert!(told(&dr, &TcState::default()).iter().all(|(_, waits)| !waits));
    }

    #[test]
    fn a_table_in_use_waits_and_a_new_one_does_not() {
        let before = state(Method::DirectRouting);
        let mut after = before.clone();
        after.service(1).table = DispatchTable::empty().resized(4);
        assert_eq!(told(&after, &before), [("table 1 of 4 slots".to_owned(), true)]);
        after.service(2).table = DispatchTable::empty().resized(8);
        let waiting: Vec<_> = told(&after, &before)
            .into_iter()
            .filter(|(_, waits)| *waits)
            .collect();
        assert_eq!(waiting, [("table 1 of 4 slots".to_owned(), true)]);
    }
}
