//! All metrics: the one place where their names, meanings and labels are.

mod backends;
mod director;
mod planes;
mod schedulers;
mod services;

use std::fmt;

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::Scrape;
use super::samples::Samples;

/// A metric.
pub struct Metric {
    /// Without the unit and a counter's `_total`.
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) kind: MetricType,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) fill: fn(&Scrape, &mut Samples<'_>) -> fmt::Result,
}

/// All of them, in the order of the text.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    let groups = [
        director::METRICS,
        services::METRICS,
        backends::METRICS,
        schedulers::METRICS,
        planes::METRICS,
    ];
    groups.into_iter().flatten()
}

#[cfg(test)]
impl Metric {
    pub(super) fn is_counter(&self) -> bool {
        matches!(self.kind, MetricType::Counter)
    }

    /// As queries have it.
    pub(super) fn full_name(&self) -> String {
        let unit = self.unit.iter().map(|unit| format!("_{}", unit.as_str()));
        let total = self.is_counter().then(|| "_total".to_owned());
        unit.chain(total)
            .fold(self.name.to_owned(), |name, part| name + &part)
    }
}

fn each<T>(all: impl IntoIterator<Item = T>, mut work: impl FnMut(T) -> fmt::Result) -> fmt::Result {
    all.into_iter().try_for_each(&mut work)
}

fn both(sent: u64, received: u64, mut work: impl FnMut(&str, u64) -> fmt::Result) -> fmt::Result {
    work("sent", sent)?;
    work("received", received)
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
