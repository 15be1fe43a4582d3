//! The values of a metric.

use std::fmt::{self, Write};

use prometheus_client::encoding::{
    EncodeGaugeValue, EncodeLabelValue, EncodeMetric, LabelValueEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::histogram::Histogram;

/// Takes the values of a metric.
pub struct Samples<'a> {
    labels: &'static [&'static str],
    encoder: MetricEncoder<'a>,
}

/// What a label says. The format's writer does not escape it, and paths of plugins may hold anything.
struct Text<'a>(&'a str);

impl EncodeLabelValue for Text<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        if !self.0.contains(['\\', '"', '\n']) {
            return encoder.write_str(self.0);
        }
        self.0.chars().try_for_each(|it| match it {
            '\\' => encoder.write_str("\\\\"),
            '"' => encoder.write_str("\\\""),
            '\n' => encoder.write_str("\\n"),
            other => encoder.write_char(other),
        })
    }
}

impl<'a> Samples<'a> {
    pub(super) fn new(labels: &'static [&'static str], encoder: MetricEncoder<'a>) -> Self {
        Samples { labels, encoder }
    }

    /// A counter's value.
    pub(super) fn count(&mut self, labels: &[&str], value: u64) -> fmt::Result {
        self.with(labels, |it| it.encode_counter::<NoLabelSet, _, f64>(&value, None))
    }

    /// A gauge's value.
    pub(super) fn gauge(&mut self, labels: &[&str], value: impl EncodeGaugeValue) -> fmt::Result {
        self.with(labels, |it| it.encode_gauge(&value))
    }

    /// Which of some states something is in: the last label says which, and that one is 1.
    pub(super) fn state(&mut self, labels: &[&str], all: &[&str], is: &str) -> fmt::Result {
        all.iter().try_for_each(|state| {
            let labels = [labels, &[*state]].concat();
            self.gauge(&labels, u32::from(*state == is))
        })
    }

    /// A histogram's.
    pub(super) fn histogram(&mut self, labels: &[&str], value: &Histogram) -> fmt::Result {
        let labels = self.named(labels);
        value.encode(self.encoder.encode_family(&labels)?)
    }

    fn with(
        &mut self,
        labels: &[&str],
        work: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        match self.named(labels) {
            // Else there would be empty braces.
            none if none.is_empty() => work(&mut self.encoder),
            labels => work(&mut self.encoder.encode_family(&labels)?),
        }
    }

    fn named<'v>(&self, values: &[&'v str]) -> Vec<(&'static str, Text<'v>)> {
        debug_assert_eq!(values.len(), self.labels.len(), "{:?} by {values:?}", self.labels);
        let names = self.labels.iter().copied();
        names.zip(values.iter().map(|it| Text(it))).collect()
    }
}
