//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

use super::table::Metric;

/// The type of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics.
#[derive(Debug, Default)]
pub(super) struct MetricsPage(String);

impl MetricsPage {
    /// Begins a metric; its samples follow.
    pub(super) fn metric(&mut self, metric: &'static Metric) -> Samples<'_> {
        let Metric { name, kind, help, .. } = metric;
        let kind = kind.as_str();
        // Writing to a string cannot fail.
        let _written = write!(self.0, "# HELP landfall_{name} {help}\n# TYPE landfall_{name} {kind}\n").is_ok();
        Samples { page: self, metric }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// The samples of one metric.
pub(super) struct Samples<'p> {
    page: &'p mut MetricsPage,
    metric: &'static Metric,
}

impl Samples<'_> {
    /// One value with the values of its labels.
    pub(super) fn add<const N: usize>(&mut self, labels: [&str; N], value: impl Display) {
        let labels = self.labels(labels);
        self.sample("", &labels, value);
    }

    fn labels<'l, const N: usize>(&self, values: [&'l str; N]) -> Vec<(&'static str, &'l str)> {
        debug_assert_eq!(N, self.metric.labels.len(), "{}", self.metric.name);
        self.metric.labels.iter().map(|(name, _)| *name).zip(values).collect()
    }

    /// A histogram: the bounds with the number of values up to each, not added up; their sum; all values beyond the last.
    pub(super) fn histogram<const N: usize>(
        &mut self,
        labels: [&str; N],
        buckets: &[(f64, u64)],
        beyond: u64,
        sum: f64,
    ) {
        let labels = self.labels(labels);
        let mut count = 0;
        for (bound, values) in buckets {
            count += values;
            self.sample("_bucket", &[&labels[..], &[("le", bound.to_string().as_str())]].concat(), count);
        }
        count += beyond;
        self.sample("_bucket", &[&labels[..], &[("le", "+Inf")]].concat(), count);
        self.sample("_sum", &labels, sum);
        self.sample("_count", &labels, count);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let text = &mut self.page.0;
        text.push_str("landfall_");
        text.push_str(self.metric.name);
        text.push_str(suffix);
        for (at, (label, value)) in labels.iter().enumerate() {
            text.push(if at == 0 { '{' } else { ',' });
            text.push_str(label);
            text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    c => text.push(c),
                }
            }
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _written = writeln!(text, " {value}").is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::metrics::table::MetricKind;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        static CYCLES: Metric = Metric {
            name: "cycles_total",
            kind: MetricKind::Counter,
            labels: &[("repository", ""), ("result", "")],
            help: "Cycles.",
        };
        static UP: Metric = Metric { name: "up", kind: MetricKind::Gauge, labels: &[], help: "Up." };
        static TIME: Metric =
            Metric { name: "seconds", kind: MetricKind::Histogram, labels: &[("repository", "")], help: "Time." };
        let mut page = MetricsPage::default();
        page.metric(&CYCLES).add(["a\"b\\c\nd", "good"], 7);
        page.metric(&UP).add([], 1);
        page.metric(&TIME).histogram(["a"], &[(0.5, 1), (1.0, 2)], 3, 10.25);
        assert_eq!(
            page.finish(),
            "# HELP landfall_cycles_total Cycles.\n# TYPE landfall_cycles_total counter\n\
             landfall_cycles_total{repository=\"a\\\"b\\\\c\\nd\",result=\"good\"} 7\n\
             # HELP landfall_up Up.\n# TYPE landfall_up gauge\nlandfall_up 1\n\
             # HELP landfall_seconds Time.\n# TYPE landfall_seconds histogram\n\
             landfall_seconds_bucket{repository=\"a\",le=\"0.5\"} 1\nlandfall_seconds_bucket{repository=\"a\",le=\"1\"} 3\n\
             landfall_seconds_bucket{repository=\"a\",le=\"+Inf\"} 6\nlandfall_seconds_sum{repository=\"a\"} 10.25\n\
             landfall_seconds_count{repository=\"a\"} 6\n"
        );
    }
}
