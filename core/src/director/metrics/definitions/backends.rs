//! Backends. Whoever knows `ipvsadm` finds its figures here.

use std::fmt;

use prometheus_client::metrics::MetricType::{Counter, Gauge};
use prometheus_client::registry::Unit;

use super::super::{Backend, Samples};
use super::{Metric, both, each, whole};
use crate::api::BackendState;
use crate::kernel::Traffic;

const BACKEND: &[&str] = &["service", "backend", "forward"];
const TRAFFIC: &[&str] = &["service", "backend", "forward", "direction"];
const STATE: &[&str] = &["service", "backend", "forward", "state"];

const STATES: [&str; 5] = ["up", "quiesced", "draining", "full", "unreachable"];

pub const METRICS: &[Metric] = &[
    Metric {
        name: "wvs_backend_connections",
        unit: None,
        kind: Counter,
        help: "Connections that a backend got.",
        labels: BACKEND,
        fill: |it, out| each(&it.backends, |backend| out.count(&backend.labels(), backend.view.connections)),
    },
    Metric {
        name: "wvs_backend_packets",
        unit: None,
        kind: Counter,
        help: "Packets of a backend's connections, sent by clients or received by them.",
        labels: TRAFFIC,
        fill: |it, out| each(&it.backends, |backend| backend.traffic(out, |traffic| traffic.packets)),
    },
    Metric {
        name: "wvs_backend",
        unit: Some(Unit::Bytes),
        kind: Counter,
        help: "The same in bytes, from the network layer's header on.",
        labels: TRAFFIC,
        fill: |it, out| each(&it.backends, |backend| backend.traffic(out, |traffic| traffic.bytes)),
    },
    Metric {
        name: "wvs_backend_connections_active",
        unit: None,
        kind: Gauge,
        help: "Connections of a backend that are established or on the way there, as LVS counts them.",
        labels: BACKEND,
        fill: |it, out| each(&it.backends, |backend| out.gauge(&backend.labels(), backend.view.active)),
    },
    Metric {
        name: "wvs_backend_connections_inactive",
        unit: None,
        kind: Gauge,
        help: "All other connections of a backend that are remembered.",
        labels: BACKEND,
        fill: |it, out| each(&it.backends, |backend| out.gauge(&backend.labels(), backend.view.inactive)),
    },
    Metric {
        name: "wvs_backend_weight",
        unit: None,
        kind: Gauge,
        help: "A backend's weight, as it is configured.",
        labels: BACKEND,
        fill: |it, out| each(&it.backends, |backend| out.gauge(&backend.labels(), backend.view.weight)),
    },
    Metric {
        name: "wvs_backend_slots",
        unit: None,
        kind: Gauge,
        help: "Slots of the dispatch table that lead to a backend.",
        labels: BACKEND,
        fill: |it, out| each(&it.backends, |backend| out.gauge(&backend.labels(), whole(backend.view.slots))),
    },
    Metric {
        name: "wvs_backend_state",
        unit: None,
        kind: Gauge,
        help: "1 for the state that a backend is in, 0 for the others: up, quiesced (weight 0), draining, full \
               (max_connections), unreachable (direct routing and tunnels: no packet can be sent to it).",
        labels: STATE,
        fill: |it, out| {
            each(&it.backends, |backend| {
                let is = match backend.view.state {
                    BackendState::Up => "up",
                    BackendState::Quiesced => "quiesced",
                    BackendState::Draining => "draining",
                    BackendState::Full => "full",
                    BackendState::Unreachable => "unreachable",
                };
                out.state(&backend.labels(), &STATES, is)
            })
        },
    },
];

impl Backend {
    fn labels(&self) -> [&str; 3] {
        [&self.view.service, &self.address, &self.forward]
    }

    fn traffic(&self, out: &mut Samples<'_>, of: impl Fn(&Traffic) -> u64) -> fmt::Result {
        let [service, backend, forward] = self.labels();
        both(of(&self.view.sent), of(&self.view.received), |direction, value| {
            out.count(&[service, backend, forward, direction], value)
        })
    }
}
