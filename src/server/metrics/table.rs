//! Every metric: its name, type, labels and meaning. What `/metrics` says of itself and the table in
//! docs/reference/metrics.md are made of this.
//!
//! Promise: a sample has the labels of its metric, all of them and in their order.

use serde::Serialize;

/// A metric.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Metric {
    /// Its name, without `landfall_`.
    pub name: &'static str,
    /// What kind of metric it is.
    #[serde(rename = "type")]
    pub kind: MetricKind,
    /// Its labels, each with the values that it can have, in Markdown; none if they are names from outside.
    pub labels: &'static [(&'static str, &'static str)],
    /// What it says, as one line without a line break or a backslash.
    pub help: &'static str,
}

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It is as it is now.
    Gauge,
    /// How often values were within bounds.
    Histogram,
}

impl MetricKind {
    /// The word in Prometheus's text format.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Makes a constant of each line, and the list of them all.
macro_rules! metrics {
    ($( $NAME:ident = $Kind:ident $name:literal [$( $label:literal ($values:literal) ),*] $help:literal; )*) => {
        $(
            pub(super) const $NAME: Metric =
                Metric { name: $name, kind: MetricKind::$Kind, labels: &[$( ($label, $values) ),*], help: $help };
        )*

        /// All of them, in the order of the page.
        pub const METRICS: &[Metric] = &[$( $NAME ),*];
    };
}

metrics! {
    BUILD_INFO = Gauge "build_info" ["version" ("")] "the version that is running; always 1";
    CYCLES = Counter "cycles_total" ["repository" (""), "result" ("`good`, `incomplete`")]
        "cycles, by whether everything that had to be known could be read";
    CYCLE_DURATION = Histogram "cycle_duration_seconds" ["repository" ("")] "how long cycles took";
    REPOSITORY_SUCCESS = Gauge "repository_last_success_timestamp_seconds" ["repository" ("")]
        "the end of the last cycle in which everything could be read";
    ACTIONS = Counter "actions_total" ["repository" (""), "result" ("`done`, `failed`")]
        "commits, pull requests and merges, by whether they are on the remote";
    PROBLEMS = Gauge "problems" ["repository" (""), "code" ("a [code](../runbooks/causes.md), or `none`")]
        "problems of the last cycle; `none` is a shortcoming that blocks nothing";
    HOLDS = Gauge "holds" ["repository" (""), "gate" ("a [gate](gates.md)")] "updates that were held in the last cycle";
    HTTP_REQUESTS = Counter "http_requests_total"
        ["host" (""), "outcome" ("`ok`, `not-found`, `refused`, `rate-limited`, `client-error`, `server-error`, `no-answer`")]
        "HTTP requests to registries, forges, clouds and receivers";
    GIT_OPERATIONS = Counter "git_operations_total"
        ["host" ("`local` for a path"), "operation" ("`ls-remote`, `fetch`, `push`"), "result" ("`ok`, `failed`")]
        "operations of git on remotes";
    HOST_SUCCESS = Gauge "host_last_success_timestamp_seconds" ["host" (""), "operation" ("`http`, or git's")]
        "when a host last answered well";
    RATE_REMAINING = Gauge "rate_limit_remaining"
        ["host" (""), "resource" ("GitHub's `core`, `graphql`, `search`; else empty")]
        "requests that a registry or forge still accepts, as it said last; absent where it says nothing, and once its window is over";
    RATE_MAX = Gauge "rate_limit_max" ["host" (""), "resource" ("")] "the same for a whole window";
    RATE_RESET = Gauge "rate_limit_reset_timestamp_seconds" ["host" (""), "resource" ("")] "when there are more again";
    CLUSTER_SUCCESS = Gauge "cluster_last_success_timestamp_seconds" ["cluster" ("")] "when a cluster was last heard of";
    RECEIVER_FAILING = Gauge "receiver_failing" ["receiver" (""), "kind" ("`slack`, …")]
        "1 while what a receiver was last sent did not arrive, else 0";
    RECEIVER_WAITING = Gauge "receiver_waiting" ["receiver" ("")] "notices that wait for a receiver";
    RECEIVER_LOST = Counter "receiver_lost_total" ["receiver" (""), "reason" ("`dropped`, `rejected`")]
        "notices that a receiver never got: too many waited, or it will never take them";
    RECEIVER_SUCCESS = Gauge "receiver_last_success_timestamp_seconds" ["receiver" ("")]
        "when a receiver last took something";
    UPDATES = Gauge "updates"
        ["repository" (""), "environment" (""), "cluster" (""), "state" ("a [landing state](landing.md)")]
        "declared images, by how far they have come to running";
    LOST = Gauge "lost" ["what" ("`repository`, `cluster`")] "repositories and clusters without contact";
    LEASE_HELD = Gauge "lease_held" ["repository" ("")]
        "1 while this replica holds a repository's Lease and may write, else 0; only where several replicas share them";
    REPLICAS = Gauge "replicas" [] "replicas that are alive, as this one sees them; only where several share the repositories";
    LEASES_SUCCESS = Gauge "leases_last_success_timestamp_seconds" []
        "when this replica last read and wrote all its Leases";
    WEBHOOKS = Counter "webhooks_total"
        ["source" (""), "outcome" ("`accepted`, `unknown`, `ignored`, `repeated`, `flood`, `refused`, `unreadable`, `too-large`, `too-slow`, `busy`, `cut-off`")]
        "webhooks received";
}

/// The table of docs/reference/metrics.md.
#[must_use]
pub fn metrics_table() -> String {
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for metric in METRICS {
        let label = |(name, values): &(&str, &str)| match *values {
            "" => format!("`{name}`"),
            values => format!("`{name}` ({values})"),
        };
        let labels: Vec<String> = metric.labels.iter().map(label).collect();
        let (name, kind) = (metric.name, metric.kind.as_str());
        table.push_str(&format!("| `landfall_{name}` | {kind} | {} | {} |\n", labels.join(", "), metric.help));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_prometheus_advises() {
        let word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        for Metric { name, kind, labels, help } in METRICS {
            assert!(word(name) && labels.iter().all(|(label, _)| word(label)), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricKind::Counter, "{name}");
            assert!(!help.contains(['\\', '\n', '|']), "{name}: {help}");
        }
        let names: std::collections::BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
    }
}
