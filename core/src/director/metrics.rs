//! What is told to Prometheus, in OpenMetrics' text form.
//!
//! A scrape is one step of the engine, which writes down how things are; the text is made of that on another thread.
//! Nothing is counted here: what a scrape tells is what `wvs status`, `services` and `backends` tell.

mod address;
mod definitions;
mod http;
mod samples;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use address::{AddressError, Addresses, Moves};
pub use http::{routes, serve};

use super::counting::cpu_time;
use super::engine::Engine;
use super::views::ViewError;
use crate::api::{BackendView, SchedulerView, ServiceView, Status};
use crate::kernel::ConntrackError;
use crate::scheduler::{BackendId, Load};
use definitions::metrics;
use samples::Samples;

/// What the text is, to HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How many times the CPU time of a walk of conntrack the pause is before another one for the sake of a scrape.
const RESPITE: u32 = 10;

/// How things are.
#[derive(Debug)]
pub struct Scrape {
    status: Status,
    started: SystemTime,
    reload: LastReload,
    services: Vec<ServiceView>,
    backends: Vec<Backend>,
    schedulers: Vec<Scheduler>,
}

/// A backend, with its labels.
#[derive(Debug)]
struct Backend {
    view: BackendView,
    address: String,
    forward: String,
}

/// A scheduler, and what its view does not have.
#[derive(Debug)]
struct Scheduler {
    view: SchedulerView,
    failures: BTreeMap<&'static str, u64>,
    durations: Histogram,
}

/// What the engine keeps for metrics.
#[derive(Debug, Default)]
pub struct Memory {
    /// Where they are told on TCP.
    pub addresses: Addresses,
    /// What came of the last configuration.
    pub reload: LastReload,
    counted: Counted,
}

/// What came of the last configuration that the director was given, edits aside.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastReload {
    /// Whether it was taken.
    pub successful: bool,
    /// When one was taken last.
    pub success_at: Option<SystemTime>,
}

impl LastReload {
    /// Notes what came of another one, unless that was only a question.
    pub fn note(&mut self, successful: bool, question: bool) {
        if question {
            return;
        }
        self.successful = successful;
        if successful {
            self.success_at = Some(SystemTime::now());
        }
    }
}

/// The connections of backends, as scrapes see them.
#[derive(Debug)]
struct Counted {
    next: Instant,
    loads: BTreeMap<BackendId, Load>,
}

impl Default for Counted {
    fn default() -> Self {
        Counted {
            next: Instant::now(),
            loads: BTreeMap::new(),
        }
    }
}

impl Engine {
    /// How things are now.
    pub fn scrape(&mut self) -> Result<Scrape, ViewError> {
        self.read_counters()?;
        self.read_tc_counters()?;
        self.count_for_scrape()?;
        // This also reads what was refused.
        let status = self.status();
        let with_labels = |view: BackendView| Backend {
            address: view.address.to_string(),
            forward: view.forward.to_string(),
            view,
        };
        let backends = self.backend_views(None, &self.metrics.counted.loads);
        let pools = self.pools.iter();
        let schedulers = pools.map(|(key, pool)| Scheduler {
            view: pool.view(key),
            failures: pool.scheduler.status().failures_by_kind,
            durations: pool.scheduler.durations(),
        });
        Ok(Scrape {
            started: SystemTime::now() - self.started.elapsed(),
            reload: self.metrics.reload,
            services: self.service_views(),
            backends: backends.into_iter().map(with_labels).collect(),
            schedulers: schedulers.collect(),
            status,
        })
    }

    /// Counts the backends' connections, unless they were counted just now. The walk takes 2.7 µs for each tracked
    /// connection: with the pause, scrapes never take more than a tenth of a core for it, however many come. The tc
    /// program's connections are counted by sweeps of its own.
    fn count_for_scrape(&mut self) -> Result<(), ConntrackError> {
        if Instant::now() < self.metrics.counted.next {
            return Ok(());
        }
        let begun = cpu_time();
        let loads = self.loads()?;
        let spent = cpu_time().saturating_sub(begun);
        self.metrics.counted = Counted {
            next: Instant::now() + spent * RESPITE,
            loads,
        };
        Ok(())
    }
}

impl Scrape {
    /// The text.
    pub fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Only the writer could fail, and a string takes everything.
        if let Err(error) = text::encode(&mut text, &registry) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in metrics() {
            let values =
                encoder.encode_descriptor(metric.name, metric.help, metric.unit.as_ref(), metric.kind)?;
            (metric.fill)(self, &mut Samples::new(metric.labels, values))?;
        }
        Ok(())
    }
}

/// All names, as queries have them, and whether they are counters'.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = (String, bool)> {
    metrics().map(|it| (it.full_name(), it.is_counter()))
}

/// All metrics as a table, in Markdown.
#[cfg(test)]
pub fn reference() -> String {
    let row = |metric: &definitions::Metric| {
        let labels: Vec<_> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
        let (name, kind, help) = (metric.full_name(), metric.kind.as_str(), metric.help);
        format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "))
    };
    let rows: String = metrics().map(row).collect();
    format!("| metric | kind | labels | what it tells |\n|---|---|---|---|\n{rows}")
}

/// Seconds since 1970.
fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |it| it.as_secs_f64())
}
