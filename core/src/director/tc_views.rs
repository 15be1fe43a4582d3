//! What operators are shown of the tc program.

use std::collections::BTreeMap;

use wvs_tc_bpf::layout::{STATE_ESTABLISHED, STATE_FIN, STATE_SYN, STATE_TIME_WAIT};
use wvs_tc_bpf::{Method, Timeouts};

use super::engine::Engine;
use crate::api::TcView;
use crate::kernel::Flow;
use crate::kernel::tc::{TcError, TcFlow};
use crate::scheduler::BackendId;
use crate::tc::NoWay;

impl Engine {
    /// How the tc program is; nothing where no service uses it.
    pub(super) fn tc_view(&mut self) -> Option<TcView> {
        if self.tc.is_idle() {
            return None;
        }
        let events = self.doors.tc.events().unwrap_or_default();
        let counted = |drop: bool| {
            let of_kind = events.iter().filter(move |(event, _)| event.is_drop() == drop);
            of_kind
                .map(|(event, count)| (event.name().to_owned(), *count))
                .collect()
        };
        Some(TcView {
            interfaces: self.tc.installed.interfaces.iter().cloned().collect(),
            pin_dir: self.tc_settings(&self.config).pin_dir.display().to_string(),
            connections: self.tc.connections,
            expired: self.tc.expired,
            drops: counted(true),
            events: counted(false),
        })
    }

    /// What hinders direct routing and tunnels.
    pub(super) fn tc_warnings(&self) -> Vec<String> {
        let facts = &self.tc.facts;
        let missing = Self::missing_interfaces(&self.config, facts).into_iter().map(|interface| {
            format!("interface {interface} is not there; clients that come in by it are not served until it returns")
        });
        let unattached = self.tc.desired.interfaces.is_empty() && !self.tc.desired.services.is_empty();
        let nowhere = unattached.then(|| {
            "no interface holds the addresses of the services with direct routing or tunnels, so nothing is \
             forwarded; name the interfaces that clients come in by: director.interfaces = [\"eth0\"]"
                .to_owned()
        });
        let unreachable = self.tc_unreachable().into_iter().map(|(id, why)| {
            let (service, backend) = match self.ids.whose(id) {
                Some((service, backend)) => (service.to_owned(), backend.to_string()),
                None => ("?".to_owned(), id.0.to_string()),
            };
            format!("service {service}: backend {backend} gets no connections: {why}")
        });
        missing.chain(nowhere).chain(unreachable).collect()
    }

    /// The direct and tunnelled backends that cannot be reached, and why.
    pub(super) fn tc_unreachable(&self) -> BTreeMap<BackendId, NoWay> {
        self.tc.facts.unreachable(&self.config, &self.ids)
    }

    /// The connections that only the program knows: those to NAT backends are conntrack's too.
    pub(super) fn tc_flows(&mut self) -> Result<Vec<Flow>, TcError> {
        let flows = self.doors.tc.flows()?;
        let timeouts = self.timeouts();
        let backends = &self.tc.installed.backends;
        let shown = flows.into_iter().filter_map(|flow| {
            let target = backends
                .get(&flow.backend)
                .filter(|it| it.method != Method::Nat)?;
            let timeouts = timeouts.get(&flow.service).copied().unwrap_or_default();
            let port = flow.target.port();
            Some(Flow {
                protocol: flow.protocol,
                client: flow.client,
                target: flow.target,
                server: (target.address, port).into(),
                backend: flow.backend,
                state: flow.state.to_owned(),
                expires: expires(&flow, &timeouts),
            })
        });
        Ok(shown.collect())
    }
}

/// Seconds until a connection is forgotten if its client stays silent.
pub(super) fn expires(flow: &TcFlow, timeouts: &Timeouts) -> u32 {
    let timeout = match flow.kind {
        STATE_SYN => timeouts.syn,
        STATE_ESTABLISHED => timeouts.established,
        STATE_FIN | STATE_TIME_WAIT => timeouts.fin,
        wvs_tc_bpf::layout::STATE_CLOSED => timeouts.closed,
        _ => timeouts.datagram,
    };
    u32::try_from(timeout.saturating_sub(flow.silent).as_secs()).unwrap_or(u32::MAX)
}
