//! Services.

use prometheus_client::metrics::MetricType::{Counter, Gauge};
use prometheus_client::registry::Unit;

use super::{Metric, both, each, whole};

const SERVICE: &[&str] = &["service"];
const TRAFFIC: &[&str] = &["service", "direction"];

pub const METRICS: &[Metric] = &[
    Metric {
        name: "wvs_service_connections",
        unit: None,
        kind: Counter,
        help: "Connections of a service, also to backends that were removed.",
        labels: SERVICE,
        fill: |it, out| each(&it.services, |service| out.count(&[&service.name], service.connections)),
    },
    Metric {
        name: "wvs_service_refused_packets",
        unit: None,
        kind: Counter,
        help: "Packets of a service that were refused because no backend took them.",
        labels: SERVICE,
        fill: |it, out| each(&it.services, |service| out.count(&[&service.name], service.refused)),
    },
    Metric {
        name: "wvs_service_packets",
        unit: None,
        kind: Counter,
        help: "Packets of a service's connections, sent by clients or received by them. Backends of direct routing and \
               tunnels answer clients by themselves: nothing is counted as received.",
        labels: TRAFFIC,
        fill: |it, out| {
            each(&it.services, |service| {
                let (sent, received) = (service.sent.packets, service.received.packets);
                both(sent, received, |direction, value| out.count(&[&service.name, direction], value))
            })
        },
    },
    Metric {
        name: "wvs_service",
        unit: Some(Unit::Bytes),
        kind: Counter,
        help: "The same in bytes, from the network layer's header on.",
        labels: TRAFFIC,
        fill: |it, out| {
            each(&it.services, |service| {
                let (sent, received) = (service.sent.bytes, service.received.bytes);
                both(sent, received, |direction, value| out.count(&[&service.name, direction], value))
            })
        },
    },
    Metric {
        name: "wvs_service_backends",
        unit: None,
        kind: Gauge,
        help: "Backends that a service has.",
        labels: SERVICE,
        fill: |it, out| each(&it.services, |service| out.gauge(&[&service.name], whole(service.backends))),
    },
    Metric {
        name: "wvs_service_backends_available",
        unit: None,
        kind: Gauge,
        help: "Backends of a service that take new connections.",
        labels: SERVICE,
        fill: |it, out| each(&it.services, |service| out.gauge(&[&service.name], whole(service.available))),
    },
];
