//! What is refused and dropped, and the tc program.

use prometheus_client::metrics::MetricType::{Counter, Gauge};

use super::{Metric, each, whole};
use crate::api::TcView;

pub const METRICS: &[Metric] = &[
    Metric {
        name: "wvs_refused_packets",
        unit: None,
        kind: Counter,
        help: "Packets that nftables refused: no-backend (nobody of the service takes new connections), closed-port \
               (nobody listens there), not-forwarded (the tc program has not), unknown-backend.",
        labels: &["reason"],
        fill: |it, out| each(&it.status.refused, |(reason, count)| out.count(&[reason], *count)),
    },
    Metric {
        name: "wvs_tc_connections",
        unit: None,
        kind: Gauge,
        help: "Connections that the tc program remembers, by the last sweep; only where a service uses it.",
        labels: &[],
        fill: |it, out| each(&it.status.tc, |tc| out.gauge(&[], whole(tc.connections))),
    },
    Metric {
        name: "wvs_tc_expired_connections",
        unit: None,
        kind: Counter,
        help: "Connections in the tc program that have run out.",
        labels: &[],
        fill: |it, out| each(&it.status.tc, |tc| out.count(&[], tc.expired)),
    },
    Metric {
        name: "wvs_tc_dropped_packets",
        unit: None,
        kind: Counter,
        help: "Packets that the tc program dropped, by reason.",
        labels: &["reason"],
        fill: |it, out| {
            each(&it.status.tc, |tc: &TcView| {
                each(&tc.drops, |(reason, count)| out.count(&[reason], *count))
            })
        },
    },
    Metric {
        name: "wvs_tc_events",
        unit: None,
        kind: Counter,
        help: "What else happened in the tc program, besides forwarding.",
        labels: &["event"],
        fill: |it, out| {
            each(&it.status.tc, |tc: &TcView| {
                each(&tc.events, |(event, count)| out.count(&[event], *count))
            })
        },
    },
];
