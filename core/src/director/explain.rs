//! Where a packet would go, and why.
//!
//! Of services that the tc program chooses for, the program itself is asked, and its choice is traced back; of all
//! others the way through the ruleset is walked as the kernel would.

mod by_nft;
mod by_tc;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::engine::Engine;
use super::views::ViewError;
use crate::api::{
    BackendState, Because, Chosen, Explain, Explanation, ForService, Listening, Obstacle, Plane, Refusal,
    Then,
};
use crate::kernel::tc::{Answer, TcError};
use crate::kernel::{ConntrackError, NftError};
use crate::pool::{PoolKey, members};
use crate::ruleset::service_of;
use crate::ruleset::{Family, Key, Protocol, walk};
use crate::scheduler::BackendId;
use crate::tc::frame;

/// Why it cannot be said where a packet would go.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is no such packet.
    #[error("{0}")]
    Senseless(String),
    /// The kernel does not say who the client is.
    #[error("cannot look up the director's own addresses")]
    Addresses(#[source] std::io::Error),
    /// The kernel does not say which connections there are.
    #[error("cannot read the connections")]
    Connections(#[from] ConntrackError),
    /// The kernel does not say where a schedule is.
    #[error("cannot read where the schedule is")]
    Position(#[from] NftError),
    /// The tc program does not answer.
    #[error("cannot ask the tc program")]
    Program(#[from] TcError),
    /// The backends' connections cannot be counted.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl Engine {
    /// Where a packet that would begin a connection goes, and why. Nothing is changed by it.
    pub fn explain(&mut self, packet: &Explain) -> Result<Explanation, ExplainError> {
        check(packet)?;
        let client = packet.from.ip();
        let holders = self.doors.addresses.holders(&BTreeSet::from([client]));
        let holders = holders.map_err(ExplainError::Addresses)?;
        let local = client.is_loopback() || holders.contains_key(&client);
        let mut explanation = Explanation {
            packet: *packet,
            local,
            service: None,
            backend: None,
            because: Because::NotOurs {
                listeners: Vec::new(),
            },
            then: Then::Pass,
            notes: Vec::new(),
        };
        // Clients on the director do not pass the program.
        let answer = if local || self.tc.is_idle() {
            Answer::NotOurs
        } else {
            self.doors.tc.explain(&frame(packet), packet.mark)?
        };
        match answer {
            Answer::NotOurs => self.by_nft(&mut explanation, None)?,
            Answer::Asked => self.by_tc_asked(&mut explanation),
            Answer::Refused => self.by_tc_refused(&mut explanation)?,
            Answer::Backend(id) => self.by_tc(&mut explanation, id)?,
        }
        self.remark(&mut explanation);
        Ok(explanation)
    }

    fn chosen(&self, id: BackendId) -> Option<Chosen> {
        let (_, address) = self.ids.whose(id)?;
        Some(Chosen { address, id: id.0 })
    }

    /// The service that an id belongs to, where its connection says so.
    fn service_of(&self, id: BackendId, by: Plane) -> Option<ForService> {
        let (name, _) = self.ids.whose(id)?;
        Some(ForService {
            name: name.to_owned(),
            listener: None,
            by,
        })
    }

    /// Why nobody of a service's pool takes a connection.
    fn obstacles(&mut self, service: &str, family: Family) -> Result<Vec<Obstacle>, ExplainError> {
        let loads = self.loads().map_err(ViewError::from)?;
        let unreachable = self.tc_unreachable();
        let Some(service) = self.config.service(service) else {
            return Ok(Vec::new());
        };
        let backends = members(service, family).filter_map(|backend| {
            let id = self.ids.get(&service.name, backend.address)?;
            let state = self.state(backend, id, &unreachable);
            let load = loads.get(&id).copied().unwrap_or_default();
            let detail = match state {
                BackendState::Full => backend.max_connections.map(|most| {
                    format!("{} of {most} connections", load.active.saturating_add(load.inactive))
                }),
                BackendState::Unreachable => unreachable.get(&id).map(ToString::to_string),
                _ => None,
            };
            Some(Obstacle {
                address: backend.address,
                state,
                detail,
            })
        });
        Ok(backends.collect())
    }

    /// What listens on the address that was asked for.
    fn listening(&self, packet: &Explain) -> Vec<Listening> {
        let table = self.desired.tables.get(&Family::of(packet.to.ip()));
        let listeners = table.map(|table| walk::listeners(table, packet.to.ip()));
        let listeners = listeners.unwrap_or_default().into_iter();
        listeners
            .map(|(key, chain)| Listening {
                listener: listener(&key),
                service: service_of(&chain).unwrap_or_default().to_owned(),
            })
            .collect()
    }

    /// What else is to be known.
    fn remark(&self, explanation: &mut Explanation) {
        let Some(chosen) = &explanation.backend else {
            return;
        };
        if let Some(why) = self.unreachable.get(&chosen.address.address) {
            explanation
                .notes
                .push(format!("backend {} cannot be reached: {why}", chosen.address));
        }
        let by_tc = explanation.service.as_ref().is_some_and(|it| it.by == Plane::Tc);
        if by_tc && self.tc.installed.interfaces.is_empty() {
            explanation.notes.push(
                "the tc program is attached to no interface, so no packet comes to it; name those that clients come \
                 in by: director.interfaces = [\"eth0\"]"
                    .to_owned(),
            );
        } else if by_tc {
            let interfaces: Vec<_> = self.tc.installed.interfaces.iter().map(String::as_str).collect();
            explanation
                .notes
                .push(format!("this holds for what comes in by {}", interfaces.join(", ")));
        }
    }
}

/// Whether there is such a packet.
fn check(packet: &Explain) -> Result<(), ExplainError> {
    let Explain { from, to, .. } = packet;
    let fault = if from.is_ipv4() != to.is_ipv4() {
        let (from, to) = (Family::of(from.ip()), Family::of(to.ip()));
        Some(format!("the client's address is {from} and the service's {to}: no packet has both"))
    } else {
        [("client", from), ("service", to)]
            .into_iter()
            .find_map(|(whose, socket)| {
                let what = match socket {
                    it if it.port() == 0 => "port is 0",
                    it if it.ip().is_unspecified() => "address stands for any",
                    it if it.ip().is_multicast() => "address is a multicast address",
                    _ => return None,
                };
                Some(format!("the {whose}'s {what}: {socket}; no connection has such an end"))
            })
    };
    fault.map_or(Ok(()), |fault| Err(ExplainError::Senseless(fault)))
}

fn refusal(protocol: Protocol) -> Then {
    let with = match protocol {
        Protocol::Tcp => Refusal::TcpReset,
        Protocol::Udp | Protocol::Sctp => Refusal::PortUnreachable,
    };
    Then::Refuse { with }
}

fn pool_of(packet: &Explain, service: &str) -> PoolKey {
    PoolKey {
        service: service.to_owned(),
        family: Family::of(packet.to.ip()),
    }
}

/// A listener as a configuration has it.
fn listener(key: &Key) -> String {
    match *key {
        Key::Service(address, protocol, port) => format!("{protocol}://{}", SocketAddr::new(address, port)),
        Key::ServiceRange(address, protocol, first, last) => {
            format!("{protocol}://{}-{last}", SocketAddr::new(address, first))
        }
        Key::Mark(mark) => format!("fwmark:{mark}"),
        other => other.to_string(),
    }
}
