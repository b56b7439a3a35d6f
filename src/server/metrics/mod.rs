//! `/metrics`: what Prometheus reads.
//!
//! Promise: names and labels are a contract (docs/reference/metrics.md); units are base units; labels come from the
//! configuration and from what Git declares, never from a request, so that their number is bounded.

mod text;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::SignedDuration;

use crate::daemon::{CYCLE_BUCKETS, RepositoryVitals};
use crate::meter::{self, Operation};
use crate::model::{Tracked, TrackedThing};

use super::access::may_read;
use super::listen::Peer;
use super::{Shown, Site};
use text::{MetricKind, MetricsPage};

pub(super) async fn metrics(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let Some(shown) = site.shown() else { return (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response() };
    if !may_read(&shown.access, peer, &headers) {
        let text = "metrics need the token of `server.token`, unless they are read on this machine\n";
        let mut response = (StatusCode::UNAUTHORIZED, text).into_response();
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    let headers = [(CONTENT_TYPE, text::CONTENT_TYPE), (CACHE_CONTROL, "no-store")];
    (headers, page(&site, &shown)).into_response()
}

fn page(site: &Site, shown: &Shown) -> String {
    let mut page = MetricsPage::default();
    let info = page.metric("build_info", MetricKind::Gauge, "The version that is running; always 1.");
    { info }.add(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    cycles(&mut page, &shown.vitals.snapshot());
    updates(&mut page, &shown.tracker.rows().borrow().rows);
    outside(&mut page, shown);
    let help = "Webhooks received, by source and what came of them.";
    let mut samples = page.metric("webhooks_total", MetricKind::Counter, help);
    for (source, outcomes) in site.counts.snapshot() {
        for (outcome, count) in outcomes {
            samples.add(&[("source", &source), ("outcome", outcome)], count);
        }
    }
    page.finish()
}

fn cycles(page: &mut MetricsPage, all: &BTreeMap<String, RepositoryVitals>) {
    let help = "Cycles, by whether everything that had to be known could be read.";
    let mut samples = page.metric("cycles_total", MetricKind::Counter, help);
    for (name, vitals) in all {
        samples.add(&[("repository", name), ("result", "good")], vitals.good);
        samples.add(&[("repository", name), ("result", "incomplete")], vitals.incomplete);
    }
    let mut samples = page.metric("cycle_duration_seconds", MetricKind::Histogram, "How long cycles take.");
    for (name, vitals) in all {
        let buckets: Vec<_> = CYCLE_BUCKETS.into_iter().zip(vitals.buckets).collect();
        let beyond = vitals.buckets[CYCLE_BUCKETS.len()];
        samples.histogram(&[("repository", name)], &buckets, beyond, vitals.took.as_secs_f64());
    }
    let help = "When the last cycle ended in which everything could be read.";
    let mut samples = page.metric("repository_last_success_timestamp_seconds", MetricKind::Gauge, help);
    for (name, vitals) in all {
        if let Some(at) = vitals.last_success {
            samples.add(&[("repository", name)], at.as_second());
        }
    }
    let help = "Commits, pull requests and merges, by whether they are on the remote.";
    let mut samples = page.metric("actions_total", MetricKind::Counter, help);
    for (name, vitals) in all {
        samples.add(&[("repository", name), ("result", "done")], vitals.actions.0);
        samples.add(&[("repository", name), ("result", "failed")], vitals.actions.1);
    }
    let help = "Problems of the last cycle, by code; those without a code need no repair outside.";
    let mut samples = page.metric("problems", MetricKind::Gauge, help);
    for (name, vitals) in all {
        for (code, count) in &vitals.problems {
            let code = code.and_then(|code| Some(serde_json::to_value(code).ok()?.as_str()?.to_owned()));
            samples.add(&[("repository", name), ("code", code.as_deref().unwrap_or("none"))], count);
        }
    }
    let mut samples = page.metric("holds", MetricKind::Gauge, "Updates that a gate held in the last cycle.");
    for (name, vitals) in all {
        for (gate, count) in &vitals.holds {
            samples.add(&[("repository", name), ("gate", gate)], count);
        }
    }
}

/// What was asked of others, and when they last answered well.
fn outside(page: &mut MetricsPage, shown: &Shown) {
    let counts = meter::counts();
    let help = "HTTP requests to registries, forges, clouds and receivers of alerts, by host and what came of them.";
    let mut samples = page.metric("http_requests_total", MetricKind::Counter, help);
    for (counted, count) in counts.iter().filter(|(counted, _)| counted.operation == Operation::Http) {
        samples.add(&[("host", &counted.host), ("outcome", counted.outcome)], count);
    }
    let help = "Operations of git on remotes, by host and what came of them.";
    let mut samples = page.metric("git_operations_total", MetricKind::Counter, help);
    for (counted, count) in counts.iter().filter(|(counted, _)| counted.operation != Operation::Http) {
        samples.add(
            &[("host", &counted.host), ("operation", counted.operation.as_str()), ("result", counted.outcome)],
            count,
        );
    }
    let now = shown.clock.now();
    let help = "When a host last answered well.";
    let mut samples = page.metric("host_last_success_timestamp_seconds", MetricKind::Gauge, help);
    for ((host, operation), last) in meter::last(Instant::now()) {
        let Some(age) = last.success else { continue };
        let at = SignedDuration::try_from(age).ok().and_then(|age| now.checked_sub(age).ok());
        if let Some(at) = at {
            samples.add(&[("host", host.as_str()), ("operation", operation.as_str())], at.as_second());
        }
    }
    budgets(page, shown);
    let help = "When a cluster was last heard of.";
    let mut samples = page.metric("cluster_last_success_timestamp_seconds", MetricKind::Gauge, help);
    for (cluster, heard) in shown.tracker.heard() {
        if let Some(at) = heard {
            samples.add(&[("cluster", &cluster)], at.as_second());
        }
    }
}

/// What hosts say is left of their limits.
fn budgets(page: &mut MetricsPage, shown: &Shown) {
    let (quotas, now) = (meter::quotas(Instant::now()), shown.clock.now());
    let help = "Requests that a host still accepts, as it said last.";
    let mut samples = page.metric("rate_limit_remaining", MetricKind::Gauge, help);
    for ((host, resource), quota) in &quotas {
        samples.add(&[("host", host), ("resource", resource)], quota.remaining);
    }
    let help = "Requests that a host accepts in a whole window, as it said last.";
    let mut samples = page.metric("rate_limit_max", MetricKind::Gauge, help);
    for ((host, resource), quota) in &quotas {
        if let Some(limit) = quota.limit {
            samples.add(&[("host", host), ("resource", resource)], limit);
        }
    }
    let help = "When a host accepts more requests again, as it said last.";
    let mut samples = page.metric("rate_limit_reset_timestamp_seconds", MetricKind::Gauge, help);
    for ((host, resource), quota) in &quotas {
        let reset = quota.reset.and_then(|reset| SignedDuration::try_from(reset).ok());
        if let Some(at) = reset.and_then(|reset| now.checked_add(reset).ok()) {
            samples.add(&[("host", host), ("resource", resource)], at.as_second());
        }
    }
}

fn updates(page: &mut MetricsPage, rows: &[Tracked]) {
    let mut counts: BTreeMap<[String; 4], u64> = BTreeMap::new();
    let mut lost: BTreeMap<&'static str, u64> = BTreeMap::from([("repository", 0), ("cluster", 0)]);
    for row in rows {
        let place = |text: &Option<String>| text.clone().unwrap_or_default();
        match row.thing {
            TrackedThing::Image => {
                let state = row.landing.state.to_string();
                *counts
                    .entry([row.repository.clone(), place(&row.environment), place(&row.cluster), state])
                    .or_default() += 1;
            }
            TrackedThing::Repository => *lost.entry("repository").or_default() += 1,
            TrackedThing::Cluster => *lost.entry("cluster").or_default() += 1,
        }
    }
    let help = "Images that Git declares, by how far they have come to running.";
    let mut samples = page.metric("updates", MetricKind::Gauge, help);
    for ([repository, environment, cluster, state], count) in counts {
        let labels =
            [("repository", &*repository), ("environment", &*environment), ("cluster", &*cluster), ("state", &*state)];
        samples.add(&labels, count);
    }
    let mut samples = page.metric("lost", MetricKind::Gauge, "Repositories and clusters without contact.");
    for (what, count) in lost {
        samples.add(&[("what", what)], count);
    }
}
