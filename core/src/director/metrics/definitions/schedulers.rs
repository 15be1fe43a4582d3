//! Schedulers.

use prometheus_client::metrics::MetricType::{Counter, Gauge, Histogram};
use prometheus_client::registry::Unit;

use super::super::Scheduler;
use super::{Metric, each};
use crate::api::{SchedulerHealth, SchedulerView};
use crate::ruleset::Family;

const SCHEDULER: &[&str] = &["service", "family", "plugin"];
const STATE: &[&str] = &["service", "family", "plugin", "state"];
const KIND: &[&str] = &["service", "family", "plugin", "kind"];

const STATES: [&str; 4] = ["running", "backing-off", "refusing", "quarantined"];

pub const METRICS: &[Metric] = &[
    Metric {
        name: "wvs_scheduler_state",
        unit: None,
        kind: Gauge,
        help: "1 for the state that a scheduler is in, 0 for the others: running, backing-off (it failed and is tried \
               again), refusing (it said no to these backends), quarantined (it failed too often).",
        labels: STATE,
        fill: |it, out| {
            each(&it.schedulers, |scheduler| {
                let is = match scheduler.view.health {
                    SchedulerHealth::Running => "running",
                    SchedulerHealth::BackingOff { .. } => "backing-off",
                    SchedulerHealth::Refusing { .. } => "refusing",
                    SchedulerHealth::Quarantined { .. } => "quarantined",
                };
                out.state(&scheduler.labels(), &STATES, is)
            })
        },
    },
    Metric {
        name: "wvs_scheduler_fallback",
        unit: None,
        kind: Gauge,
        help: "1 while the built-in round robin stands in for a scheduler that failed without a table to go on with.",
        labels: SCHEDULER,
        fill: |it, out| {
            each(&it.schedulers, |scheduler| {
                out.gauge(&scheduler.labels(), u32::from(stood_in_for(&scheduler.view)))
            })
        },
    },
    Metric {
        name: "wvs_scheduler_version_refused",
        unit: None,
        kind: Gauge,
        help: "1 where a plugin's file has changed and what is in it now is not used.",
        labels: SCHEDULER,
        fill: |it, out| {
            each(&it.schedulers, |scheduler| {
                out.gauge(&scheduler.labels(), u32::from(scheduler.view.refused.is_some()))
            })
        },
    },
    Metric {
        name: "wvs_scheduler_calls",
        unit: None,
        kind: Counter,
        help: "How often a scheduler was asked for a table.",
        labels: SCHEDULER,
        fill: |it, out| {
            each(&it.schedulers, |scheduler| out.count(&scheduler.labels(), scheduler.view.calls))
        },
    },
    Metric {
        name: "wvs_scheduler_failures",
        unit: None,
        kind: Counter,
        help: "How often a scheduler failed and was started anew: trap (a stack that overflowed too), deadline, memory, \
               contract (a wrong answer), refused (it said no at its start), failed (it could not be asked).",
        labels: KIND,
        fill: |it, out| {
            each(&it.schedulers, |scheduler| {
                let [service, family, plugin] = scheduler.labels();
                each(&scheduler.failures, |(kind, count)| out.count(&[service, family, plugin, kind], *count))
            })
        },
    },
    Metric {
        name: "wvs_scheduler_picks",
        unit: None,
        kind: Counter,
        help: "Connections that a scheduler chose for, where it is asked for each.",
        labels: SCHEDULER,
        fill: |it, out| {
            each(&it.schedulers, |scheduler| out.count(&scheduler.labels(), scheduler.view.picks))
        },
    },
    Metric {
        name: "wvs_scheduler_stand_ins",
        unit: None,
        kind: Counter,
        help: "Connections that the built-in round robin chose for instead, where a scheduler is asked for each.",
        labels: SCHEDULER,
        fill: |it, out| {
            each(&it.schedulers, |scheduler| out.count(&scheduler.labels(), scheduler.view.stand_ins))
        },
    },
    Metric {
        name: "wvs_scheduler_call_duration",
        unit: Some(Unit::Seconds),
        kind: Histogram,
        help: "How long a scheduler took for a table, with all that it was told before.",
        labels: SCHEDULER,
        fill: |it, out| {
            each(&it.schedulers, |scheduler| out.histogram(&scheduler.labels(), &scheduler.durations))
        },
    },
];

impl Scheduler {
    /// The family as in the API's JSON.
    fn labels(&self) -> [&str; 3] {
        let family = match self.view.family {
            Family::V4 => "v4",
            Family::V6 => "v6",
        };
        [&self.view.service, family, &self.view.plugin]
    }
}

fn stood_in_for(scheduler: &SchedulerView) -> bool {
    match scheduler.health {
        SchedulerHealth::Running => false,
        SchedulerHealth::BackingOff { fallback, .. }
        | SchedulerHealth::Refusing { fallback }
        | SchedulerHealth::Quarantined { fallback } => fallback,
    }
}
