//! The director itself.

use prometheus_client::metrics::MetricType::{Counter, Gauge};
use prometheus_client::registry::Unit;

use super::super::unix;
use super::{Metric, whole};

pub const METRICS: &[Metric] = &[
    Metric {
        name: "wvs_build_info",
        unit: None,
        kind: Gauge,
        help: "Always 1; the version of the director.",
        labels: &["version"],
        fill: |it, out| out.gauge(&[&it.status.version], 1_u32),
    },
    Metric {
        name: "wvs_start_time",
        unit: Some(Unit::Seconds),
        kind: Gauge,
        help: "When the director started, in seconds since 1970.",
        labels: &[],
        fill: |it, out| out.gauge(&[], unix(it.started)),
    },
    Metric {
        name: "wvs_commits",
        unit: None,
        kind: Counter,
        help: "Batches of changes that were sent to nftables.",
        labels: &[],
        fill: |it, out| out.count(&[], it.status.commits),
    },
    Metric {
        name: "wvs_repairs",
        unit: None,
        kind: Counter,
        help: "How often somebody else's change to the tables of wvs was put right.",
        labels: &[],
        fill: |it, out| out.count(&[], it.status.repairs),
    },
    Metric {
        name: "wvs_warnings",
        unit: None,
        kind: Gauge,
        help: "How many things are not as they should be; `wvs status` names them and what to do.",
        labels: &[],
        fill: |it, out| out.gauge(&[], whole(it.status.warnings.len())),
    },
    Metric {
        name: "wvs_config_edited",
        unit: None,
        kind: Gauge,
        help: "1 where the running configuration was changed by commands since its file was read.",
        labels: &[],
        fill: |it, out| out.gauge(&[], u32::from(it.status.edited)),
    },
    Metric {
        name: "wvs_config_last_reload_successful",
        unit: None,
        kind: Gauge,
        help: "0 where the last configuration that the director was given, at start, by reload or by apply, was refused.",
        labels: &[],
        fill: |it, out| out.gauge(&[], u32::from(it.reload.successful)),
    },
    Metric {
        name: "wvs_config_last_reload_success_timestamp",
        unit: Some(Unit::Seconds),
        kind: Gauge,
        help: "When a configuration was taken last, in seconds since 1970.",
        labels: &[],
        fill: |it, out| match it.reload.success_at {
            Some(time) => out.gauge(&[], unix(time)),
            None => Ok(()),
        },
    },
];
