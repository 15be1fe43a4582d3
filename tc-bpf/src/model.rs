//! The program's decision in plain Rust, for differential tests: the same packets in the same order give the same
//! verdicts and bytes. It has no clock and no limits, and its tables are never full.

mod encap;
mod output;
mod parse;
mod persist;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::filter;
use crate::jhash::nft_slot;
use crate::layout::{
    ANSWER_NOBODY, Event, FlowKey, PRIORITY_TAG, STATE_CLOSED, STATE_DATAGRAM, STATE_ESTABLISHED, STATE_FIN,
    STATE_SYN, STATE_TIME_WAIT,
};
use crate::service::{Kin, Pin, ServiceSettings};
use crate::target::{Kind, Listen, Method, Target};
use parse::{Extent, Packet, Parsed, TCP, UDP};
use persist::Client;

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on as if the program were not there.
    Pass,
    /// It goes on with this priority.
    HandUp(u32),
    /// User space is asked, and lets it arrive again.
    Asked,
    /// It is lost.
    Drop,
    /// It leaves with these bytes; where it was cut in two, they are the second part's.
    Redirect(Vec<u8>),
}

/// A connection's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Connection {
    from: IpAddr,
    to: IpAddr,
    sport: u16,
    dport: u16,
    proto: u8,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    backend: u16,
    generation: u16,
    state: u8,
    /// The service whose client keeps the backend.
    persistent: Option<u32>,
}

/// A service's table.
#[derive(Clone, Debug)]
struct Table {
    kind: Kind,
    seed: u32,
    slots: Vec<Option<u16>>,
}

/// The program's tables and what it would do.
#[derive(Clone, Debug, Default)]
pub struct Model {
    listeners: BTreeMap<Listen, u32>,
    services: BTreeMap<u32, ServiceSettings>,
    tables: BTreeMap<u32, Table>,
    cycles: BTreeMap<u32, u64>,
    backends: BTreeMap<u16, Target>,
    established: HashMap<Connection, Entry>,
    half_open: HashMap<Connection, Entry>,
    fragments: HashMap<(IpAddr, IpAddr, u32, u8), (u16, u16)>,
    pins: BTreeMap<u32, Vec<Pin>>,
    kin: BTreeMap<u32, Vec<Kin>>,
    persistent: HashMap<Client, (u16, u16)>,
    asking: bool,
    answers: HashMap<Connection, (u16, u16)>,
    events: BTreeMap<Event, u64>,
}

impl Model {
    /// As [`crate::Maps::set_listener`].
    pub fn set_listener(&mut self, listen: Listen, service: u32) {
        self.listeners.insert(listen, service);
    }

    /// As [`crate::Maps::set_service`].
    pub fn set_service(&mut self, service: u32, settings: ServiceSettings) {
        self.services.insert(service, settings);
    }

    /// As [`crate::Maps::set_table`].
    pub fn set_table(&mut self, service: u32, kind: Kind, seed: u32, slots: &[Option<u16>]) {
        let slots = slots.to_vec();
        self.tables.insert(service, Table { kind, seed, slots });
    }

    /// As [`crate::Maps::set_backend`].
    pub fn set_backend(&mut self, id: u16, target: Target) {
        self.backends.insert(id, target);
    }

    /// As [`crate::Maps::remove_backend`].
    pub fn remove_backend(&mut self, id: u16) {
        self.backends.remove(&id);
    }

    /// Whether there is somebody to ask: a living [`crate::Questions`].
    pub fn set_asking(&mut self, asking: bool) {
        self.asking = asking;
    }

    /// As [`crate::Questions::note`]; the answer holds while somebody is there.
    pub fn note(&mut self, key: &FlowKey, backend: u16, generation: u16) {
        let (from, to) = key.ends();
        let name = Connection {
            from: from.ip(),
            to: to.ip(),
            sport: from.port(),
            dport: to.port(),
            proto: key.proto,
        };
        self.answers.insert(name, (backend, generation));
    }

    /// How often each event has happened.
    #[must_use]
    pub fn events(&self) -> &BTreeMap<Event, u64> {
        &self.events
    }

    /// How many connections are in the tables: established, half-open.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        (self.established.len(), self.half_open.len())
    }

    /// What becomes of a frame that arrives at the loopback interface with this mark.
    pub fn receive(&mut self, frame: &[u8], mark: u32) -> Outcome {
        // Loopback's own address is zero: another destination is another host.
        if frame.get(..6) != Some(&[0; 6]) {
            return Outcome::Pass;
        }
        match self.decide(frame, mark) {
            Ok((packet, id, target)) => self.forward(frame, &packet, id, &target),
            Err(outcome) => outcome,
        }
    }

    fn count(&mut self, event: Event) {
        *self.events.entry(event).or_default() += 1;
    }

    fn passes(&self, address: IpAddr, mark: u32) -> bool {
        let mut bits = [0; 128];
        let mut marks = false;
        for listen in self.listeners.keys() {
            match listen {
                Listen::Address(address, ..) => filter::insert(&mut bits, *address),
                Listen::Mark(..) => marks = true,
            }
        }
        filter::passes(&bits, address) || (marks && mark != 0)
    }

    fn decide(&mut self, frame: &[u8], mark: u32) -> Result<(Packet, u16, Target), Outcome> {
        let packet = match parse::parse(frame, |address| self.passes(address, mark)) {
            Parsed::NotOurs => return Err(Outcome::Pass),
            Parsed::Malformed => {
                self.count(Event::Malformed);
                return Err(Outcome::Pass);
            }
            Parsed::Ready(packet) => packet,
            Parsed::Icmp(packet) => return self.quoted(frame, packet),
        };
        let datagram = (packet.connection.from, packet.connection.to, packet.fragment, packet.proto);
        if packet.extent == Extent::LaterFragment {
            let Some((id, generation)) = self.fragments.get(&datagram).copied() else {
                self.count(Event::Fragment);
                return Err(Outcome::Pass);
            };
            let target = self.valid(id, generation).ok_or(Outcome::Pass)?;
            return Ok((packet, id, target));
        }
        let (id, target) = match self.known(&packet) {
            Some(found) => found,
            None => self.schedule(&packet, mark)?,
        };
        if packet.extent == Extent::FirstFragment {
            self.fragments.insert(datagram, (id, target.generation));
        }
        Ok((packet, id, target))
    }

    /// An ICMP error belongs to the connection that it quotes.
    fn quoted(&mut self, frame: &[u8], mut packet: Packet) -> Result<(Packet, u16, Target), Outcome> {
        let name = parse::quoted(frame, &packet).ok_or(Outcome::Pass)?;
        let found = self
            .established
            .get(&name)
            .or_else(|| self.half_open.get(&name))
            .copied();
        let Some(entry) = found else {
            self.count(Event::IcmpUnknown);
            return Err(Outcome::Pass);
        };
        let target = self.valid(entry.backend, entry.generation).ok_or(Outcome::Pass)?;
        packet.connection = name;
        Ok((packet, entry.backend, target))
    }

    /// Whether there is a backend of this id and generation.
    #[must_use]
    pub fn knows(&self, id: u16, generation: u16) -> bool {
        self.valid(id, generation).is_some()
    }

    fn valid(&self, id: u16, generation: u16) -> Option<Target> {
        let target = self.backends.get(&id).copied();
        target.filter(|target| target.generation == generation)
    }

    /// The backend of a connection that is in a table.
    fn known(&mut self, packet: &Packet) -> Option<(u16, Target)> {
        let name = packet.connection;
        if let Some(mut entry) = self.established.get(&name).copied() {
            if begins_anew(packet, entry.state) {
                self.established.remove(&name);
            } else if let Some(target) = self.valid(entry.backend, entry.generation) {
                entry.state = next_state(entry.state, packet);
                self.established.insert(name, entry);
                return Some((entry.backend, target));
            } else {
                self.count(Event::Stale);
            }
        }
        let mut entry = self.half_open.get(&name).copied()?;
        if begins_anew(packet, entry.state) {
            return None;
        }
        let Some(target) = self.valid(entry.backend, entry.generation) else {
            self.count(Event::Stale);
            return None;
        };
        entry.state = next_state(entry.state, packet);
        if matches!(entry.state, STATE_ESTABLISHED | STATE_DATAGRAM) {
            self.half_open.remove(&name);
            self.established.insert(name, entry);
            if let Some(service) = entry.persistent {
                self.prove(service, packet, (entry.backend, entry.generation));
            }
        } else {
            self.half_open.insert(name, entry);
        }
        Some((entry.backend, target))
    }

    fn service(&self, packet: &Packet, mark: u32) -> Option<u32> {
        let to = packet.connection.to;
        let marked = (mark != 0)
            .then(|| self.listeners.get(&Listen::Mark(to.into(), mark)))
            .flatten();
        let at = |port| self.listeners.get(&Listen::Address(to, packet.proto, port));
        marked
            .or_else(|| at(packet.connection.dport))
            .or_else(|| at(0))
            .copied()
    }

    fn schedule(&mut self, packet: &Packet, mark: u32) -> Result<(u16, Target), Outcome> {
        let service = self.service(packet, mark).ok_or(Outcome::Pass)?;
        let tcp = packet.proto == TCP;
        let opens = !(tcp && packet.flags & (parse::FIN | parse::RST) != 0);
        let stateless = !opens || (tcp && !is_syn(packet));
        if stateless {
            self.count(Event::NoSyn);
        }
        let settings = self.services.get(&service).copied().unwrap_or_default();
        let pinned = self.pinned(service, &settings, packet);
        let kept = pinned.or_else(|| self.kept(service, &settings, packet));
        let chosen = match kept {
            Some(id) => Some(id),
            None => self.choose(service, packet, stateless)?,
        };
        let Some((id, target)) = chosen.and_then(|id| Some((id, *self.backends.get(&id)?))) else {
            self.count(Event::NoBackend);
            return Err(Outcome::HandUp(PRIORITY_TAG));
        };
        let persistent = settings.persistence.is_some() && pinned.is_none();
        if opens && persistent {
            self.keep(&settings, packet, (id, target.generation));
        }
        let one_packet = packet.proto == UDP && settings.one_packet;
        if opens && !one_packet {
            let state = match (tcp, is_syn(packet)) {
                (false, _) => STATE_DATAGRAM,
                (true, true) => STATE_SYN,
                (true, false) => STATE_ESTABLISHED,
            };
            let entry = Entry {
                backend: id,
                generation: target.generation,
                state,
                persistent: persistent.then_some(service),
            };
            self.half_open.insert(packet.connection, entry);
        }
        Ok((id, target))
    }

    fn choose(&mut self, service: u32, packet: &Packet, stateless: bool) -> Result<Option<u16>, Outcome> {
        if self
            .tables
            .get(&service)
            .is_some_and(|table| table.kind == Kind::Flow)
        {
            let answer = self
                .answers
                .get(&packet.connection)
                .filter(|_| self.asking)
                .copied();
            match answer {
                Some((0, ANSWER_NOBODY)) => return Ok(None),
                Some((id, generation)) if self.valid(id, generation).is_some() => return Ok(Some(id)),
                _ => {}
            }
            let undecided = answer.is_some_and(|(id, _)| id == 0);
            if !stateless && !undecided && self.asking && packet.extent == Extent::Whole {
                self.count(Event::Asked);
                return Err(Outcome::Asked);
            }
            if !stateless {
                self.count(Event::Unasked);
            }
        }
        Ok(self.slot(service, packet, stateless))
    }

    fn slot(&mut self, service: u32, packet: &Packet, stateless: bool) -> Option<u16> {
        let table = self.tables.get(&service)?;
        let slots = table.slots.len();
        if table.kind == Kind::Cycle && !stateless {
            let cycle = self.cycles.entry(service).or_default();
            let slot = *cycle as usize % slots;
            *cycle += 1;
            return table.slots[slot];
        }
        let key = hash_key(table.kind, &packet.connection);
        table.slots[nft_slot(&key, table.seed, slots as u32) as usize]
    }

    fn forward(&mut self, frame: &[u8], packet: &Packet, id: u16, target: &Target) -> Outcome {
        match target.method {
            Method::Nat | Method::Local if matches!(packet.proto, 1 | 58) => return Outcome::Pass,
            Method::Nat | Method::Local => return Outcome::HandUp(PRIORITY_TAG | u32::from(id)),
            Method::DirectRouting | Method::Tunnel => {}
        }
        let overhead = usize::from(target.overhead());
        let Some(way) = target.way else {
            return Outcome::Pass;
        };
        if packet.hops <= 1 {
            self.count(Event::HopLimit);
            return Outcome::Pass;
        }
        if packet.length + overhead > usize::from(way.mtu) {
            if let Some(part) = output::cut(frame, packet, target, &way) {
                self.count(Event::Cut);
                return Outcome::Redirect(part);
            }
            let answer = output::too_big(frame, packet, way.mtu - overhead as u16);
            self.count(if answer.is_some() {
                Event::TooBig
            } else {
                Event::TooBigUntold
            });
            return answer.map_or(Outcome::Drop, Outcome::Redirect);
        }
        Outcome::Redirect(output::forwarded(frame, packet, target, &way))
    }
}

/// What nftables would hash; where a `cycle` cannot be walked, the client's address and port.
fn hash_key(kind: Kind, connection: &Connection) -> Vec<u8> {
    let address = |address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let port = |port: u16| [port.to_be_bytes(), [0; 2]].concat();
    let source = || [address(connection.from), port(connection.sport)].concat();
    match kind {
        Kind::Source => address(connection.from),
        Kind::Cycle | Kind::SourceAndPort | Kind::Flow => source(),
        Kind::Destination => address(connection.to),
        Kind::Both => [source(), address(connection.to), port(connection.dport)].concat(),
    }
}

fn is_syn(packet: &Packet) -> bool {
    packet.proto == TCP && packet.flags & (parse::SYN | parse::ACK | parse::RST) == parse::SYN
}

fn begins_anew(packet: &Packet, state: u8) -> bool {
    is_syn(packet) && matches!(state, STATE_FIN | STATE_TIME_WAIT | STATE_CLOSED)
}

fn next_state(state: u8, packet: &Packet) -> u8 {
    let has = |flag| packet.flags & flag != 0;
    match state {
        _ if packet.proto != TCP => STATE_DATAGRAM,
        STATE_SYN if has(parse::RST) => STATE_SYN,
        _ if has(parse::RST) => STATE_CLOSED,
        STATE_ESTABLISHED if has(parse::SYN) => STATE_ESTABLISHED,
        _ if has(parse::SYN) => STATE_SYN,
        STATE_ESTABLISHED if has(parse::FIN) => STATE_FIN,
        STATE_SYN if has(parse::FIN) => STATE_TIME_WAIT,
        STATE_SYN if has(parse::ACK) => STATE_ESTABLISHED,
        _ => state,
    }
}
