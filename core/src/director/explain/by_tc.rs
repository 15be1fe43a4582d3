//! Why the tc program chooses as it says.

use std::net::IpAddr;

use wvs_tc_bpf::layout::{STATE_CLOSED, STATE_FIN};
use wvs_tc_bpf::{Listen, Method, Persistence};

use super::{ExplainError, pool_of, refusal};
use crate::api::{Because, Explain, Explanation, ForService, Plane, Then};
use crate::config::Prefix;
use crate::director::engine::Engine;
use crate::director::tc_views::expires;
use crate::kernel::tc::TcFlow;
use crate::ruleset::Protocol;
use crate::ruleset::build::HASH_SEED;
use crate::ruleset::draw::draw;
use crate::scheduler::{BackendId, Dispatch};
use crate::tc::{TcService, Words};

impl Engine {
    /// The program gives the packet to a backend.
    pub(super) fn by_tc(
        &mut self,
        explanation: &mut Explanation,
        answer: BackendId,
    ) -> Result<(), ExplainError> {
        let packet = explanation.packet;
        let known = self.known_connection(&packet)?;
        // The program is asked about established connections and about new ones, but not about those in between.
        let id = known.as_ref().map_or(answer, |flow| flow.backend);
        let found = self.listener_in_tc(&packet);
        explanation.service = match (&known, &found) {
            (None, Some((listen, number))) => self.service_in_tc(listen, *number),
            _ => self.service_of(id, Plane::Tc),
        };
        explanation.backend = self.chosen(id);
        explanation.because = match (known, found) {
            (Some(flow), _) => {
                let timeouts = self.timeouts();
                let timeouts = timeouts.get(&flow.service).copied().unwrap_or_default();
                Because::Connection {
                    state: flow.state.to_owned(),
                    expires: expires(&flow, &timeouts),
                }
            }
            (None, Some((_, number))) => self.reason_in_tc(&packet, number, id)?,
            (None, None) => Because::Program,
        };
        let Some(target) = self.tc.installed.backends.get(&id).copied() else {
            // It has just been removed.
            return Ok(());
        };
        if target.method != Method::Nat {
            explanation.then = Then::Forward(self.way(id, &target));
            return Ok(());
        }
        let mut after = explanation.clone();
        self.by_nft(&mut after, Some(id))?;
        explanation.then = after.then;
        if matches!(after.because, Because::Connection { .. }) {
            explanation.because = after.because;
            explanation.backend = after.backend;
        }
        Ok(())
    }

    /// The program would ask the service's scheduler.
    pub(super) fn by_tc_asked(&self, explanation: &mut Explanation) {
        let found = self.listener_in_tc(&explanation.packet);
        explanation.service = found.and_then(|(listen, number)| self.service_in_tc(&listen, number));
        explanation.because = Because::Asked;
        explanation.then = Then::Ask;
    }

    /// The program has nobody for the packet.
    pub(super) fn by_tc_refused(&mut self, explanation: &mut Explanation) -> Result<(), ExplainError> {
        let packet = explanation.packet;
        explanation.then = refusal(packet.protocol);
        let found = self.listener_in_tc(&packet);
        explanation.service = found.and_then(|(listen, number)| self.service_in_tc(&listen, number));
        let backends = match &explanation.service {
            Some(service) => {
                let name = service.name.clone();
                self.obstacles(&name, pool_of(&packet, &name).family)?
            }
            None => Vec::new(),
        };
        explanation.because = Because::Nobody { backends };
        Ok(())
    }

    /// The connection that a packet is of. A closing one is none: a packet that opens another begins anew.
    fn known_connection(&mut self, packet: &Explain) -> Result<Option<TcFlow>, ExplainError> {
        let current = |flow: &TcFlow| {
            let installed = self.tc.installed.backends.get(&flow.backend);
            installed.is_some_and(|it| it.generation == flow.generation)
        };
        let closing = |flow: &TcFlow| {
            packet.protocol == Protocol::Tcp && (STATE_FIN..=STATE_CLOSED).contains(&flow.kind)
        };
        let ends = (packet.protocol, packet.from, packet.to);
        let flows = self.doors.tc.flows()?;
        let mut flows = flows
            .into_iter()
            .filter(|flow| (flow.protocol, flow.client, flow.target) == ends);
        Ok(flows.find(|flow| current(flow) && !closing(flow)))
    }

    /// What the program finds a service by: marks first, then the port.
    fn listener_in_tc(&self, packet: &Explain) -> Option<(Listen, u32)> {
        let address = packet.to.ip();
        let keys = [
            Some(Listen::Mark(address.into(), packet.mark)).filter(|_| packet.mark != 0),
            Some(Listen::Address(address, packet.protocol.number(), packet.to.port())),
            Some(Listen::Address(address, packet.protocol.number(), 0)),
        ];
        let listeners = &self.tc.installed.listeners;
        keys.into_iter()
            .flatten()
            .find_map(|key| Some((key, *listeners.get(&key)?)))
    }

    fn service_in_tc(&self, listen: &Listen, number: u32) -> Option<ForService> {
        let pool = self.tc.numbers.pool(number)?;
        Some(ForService {
            name: pool.service.clone(),
            listener: Some(Words(listen).to_string()),
            by: Plane::Tc,
        })
    }

    /// Why a service's new connection goes to this backend: in the order in which the program looks.
    fn reason_in_tc(
        &mut self,
        packet: &Explain,
        number: u32,
        id: BackendId,
    ) -> Result<Because, ExplainError> {
        let Some(service) = self.tc.installed.services.get(&number).cloned() else {
            return Ok(Because::Program);
        };
        if let Some(client) = pin_of(&service, packet.from.ip(), id) {
            return Ok(Because::Pin { client });
        }
        if let Some(persistence) = service.settings.persistence
            && let Some(kept) = self.kept_client(&persistence, packet.from.ip(), id)?
        {
            return Ok(kept);
        }
        let table = &service.table;
        if table.dispatch == Dispatch::Flow {
            return Ok(Because::Asked);
        }
        let slots = table.slots.len() as u32;
        let ends = (packet.from, packet.to);
        let drawn = draw(table.dispatch, slots, HASH_SEED, ends, || self.doors.tc.position(number))?;
        Ok(match drawn {
            Some(drawn) if table.slots.get(drawn.slot()) == Some(&Some(id)) => Because::Schedule(drawn),
            _ => Because::Program,
        })
    }

    /// Whether a client keeps this backend from connections before.
    fn kept_client(
        &mut self,
        persistence: &Persistence,
        client: IpAddr,
        id: BackendId,
    ) -> Result<Option<Because>, ExplainError> {
        let bits = if client.is_ipv4() {
            persistence.mask
        } else {
            persistence.mask6
        };
        let client = Prefix::around(client, bits);
        let entries = self.doors.tc.persistent()?;
        let found = entries.into_iter().find(|(entry, silent)| {
            (entry.group, entry.client) == (persistence.group, client.address)
                && entry.backend == id.0
                && *silent <= persistence.timeout
        });
        Ok(found.map(|(_, silent)| Because::Persistence {
            client,
            expires: persistence.timeout.saturating_sub(silent).as_secs() as u32,
        }))
    }
}

/// The pin that gives a client this backend: of several that match, the longest prefix counts.
fn pin_of(service: &TcService, client: IpAddr, id: BackendId) -> Option<Prefix> {
    let pins = service
        .pins
        .iter()
        .map(|pin| (Prefix::around(pin.client, pin.prefix), pin.backend));
    let matching = pins.filter(|(prefix, _)| prefix.contains(client));
    let (prefix, backend) = matching.max_by_key(|(prefix, _)| prefix.length)?;
    (backend == id.0).then_some(prefix)
}
