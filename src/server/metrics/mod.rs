//! `/metrics`: what Prometheus reads.
//!
//! Promise: names and labels are a contract (`table`, docs/reference/metrics.md); units are base units; labels come from the
//! configuration and from what Git declares, never from a request, so that their number is bounded.

mod table;
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

use crate::daemon::{CYCLE_BUCKETS, Holder, ReplicasView, RepositoryVitals, SinkHealth};
use crate::meter::{self, Operation};
use crate::model::{Tracked, TrackedThing};

use super::access::may_read;
use super::listen::Peer;
use super::{Shown, Site};
use text::MetricsPage;

pub use table::{METRICS, Metric, MetricKind, metrics_table};

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
    let mut info = page.metric(&table::BUILD_INFO);
    info.add([env!("CARGO_PKG_VERSION")], 1);
    cycles(&mut page, &shown.vitals.snapshot());
    updates(&mut page, &shown.tracker.rows().borrow().rows);
    outside(&mut page, shown);
    receivers(&mut page, &shown.tracker.receivers());
    if let Some(replicas) = &shown.replicas {
        leases(&mut page, &replicas.view());
    }
    let mut samples = page.metric(&table::WEBHOOKS);
    for (source, outcomes) in site.counts.snapshot() {
        for (outcome, count) in outcomes {
            samples.add([&source, outcome], count);
        }
    }
    page.finish()
}

fn cycles(page: &mut MetricsPage, all: &BTreeMap<String, RepositoryVitals>) {
    let mut samples = page.metric(&table::CYCLES);
    for (name, vitals) in all {
        samples.add([name, "good"], vitals.good);
        samples.add([name, "incomplete"], vitals.incomplete);
    }
    let mut samples = page.metric(&table::CYCLE_DURATION);
    for (name, vitals) in all {
        let buckets: Vec<_> = CYCLE_BUCKETS.into_iter().zip(vitals.buckets).collect();
        let beyond = vitals.buckets[CYCLE_BUCKETS.len()];
        samples.histogram([name], &buckets, beyond, vitals.took.as_secs_f64());
    }
    let mut samples = page.metric(&table::REPOSITORY_SUCCESS);
    for (name, vitals) in all {
        if let Some(at) = vitals.last_success {
            samples.add([name], at.as_second());
        }
    }
    let mut samples = page.metric(&table::ACTIONS);
    for (name, vitals) in all {
        samples.add([name, "done"], vitals.actions.0);
        samples.add([name, "failed"], vitals.actions.1);
    }
    let mut samples = page.metric(&table::PROBLEMS);
    for (name, vitals) in all {
        for (code, count) in &vitals.problems {
            let code = code.and_then(|code| Some(serde_json::to_value(code).ok()?.as_str()?.to_owned()));
            samples.add([name, code.as_deref().unwrap_or("none")], count);
        }
    }
    let mut samples = page.metric(&table::HOLDS);
    for (name, vitals) in all {
        for (gate, count) in &vitals.holds {
            samples.add([name, gate], count);
        }
    }
}

/// What was asked of others, and when they last answered well.
fn outside(page: &mut MetricsPage, shown: &Shown) {
    let counts = meter::counts();
    let mut samples = page.metric(&table::HTTP_REQUESTS);
    for (counted, count) in counts.iter().filter(|(counted, _)| counted.operation == Operation::Http) {
        samples.add([&counted.host, counted.outcome], count);
    }
    let mut samples = page.metric(&table::GIT_OPERATIONS);
    for (counted, count) in counts.iter().filter(|(counted, _)| counted.operation != Operation::Http) {
        samples.add([&counted.host, counted.operation.as_str(), counted.outcome], count);
    }
    let now = shown.clock.now();
    let mut samples = page.metric(&table::HOST_SUCCESS);
    for ((host, operation), last) in meter::last(Instant::now()) {
        let Some(age) = last.success else { continue };
        let at = SignedDuration::try_from(age).ok().and_then(|age| now.checked_sub(age).ok());
        if let Some(at) = at {
            samples.add([host.as_str(), operation.as_str()], at.as_second());
        }
    }
    budgets(page, shown);
    let mut samples = page.metric(&table::CLUSTER_SUCCESS);
    for (cluster, heard) in shown.tracker.heard() {
        if let Some(at) = heard {
            samples.add([&cluster], at.as_second());
        }
    }
}

/// Who works for what, where several replicas share the repositories.
fn leases(page: &mut MetricsPage, view: &ReplicasView) {
    let mut samples = page.metric(&table::LEASE_HELD);
    for (repository, holder) in &view.holders {
        samples.add([repository], u8::from(matches!(holder, Holder::This { .. })));
    }
    let mut samples = page.metric(&table::REPLICAS);
    samples.add([], view.living.len());
    let mut samples = page.metric(&table::LEASES_SUCCESS);
    if let Some(at) = view.last_success {
        samples.add([], at.as_second());
    }
}

/// Whether alerts arrive.
fn receivers(page: &mut MetricsPage, all: &[SinkHealth]) {
    let mut samples = page.metric(&table::RECEIVER_FAILING);
    for receiver in all {
        samples.add([&receiver.name, receiver.kind], u8::from(receiver.failing.is_some()));
    }
    let mut samples = page.metric(&table::RECEIVER_WAITING);
    for receiver in all {
        samples.add([&receiver.name], receiver.waiting);
    }
    let mut samples = page.metric(&table::RECEIVER_LOST);
    for receiver in all {
        samples.add([&receiver.name, "dropped"], receiver.dropped);
        samples.add([&receiver.name, "rejected"], receiver.rejected);
    }
    let mut samples = page.metric(&table::RECEIVER_SUCCESS);
    for receiver in all {
        if let Some(at) = receiver.last_success {
            samples.add([&receiver.name], at.as_second());
        }
    }
}

/// What hosts say is left of their limits.
fn budgets(page: &mut MetricsPage, shown: &Shown) {
    let (quotas, now) = (meter::quotas(Instant::now()), shown.clock.now());
    let mut samples = page.metric(&table::RATE_REMAINING);
    for ((host, resource), quota) in &quotas {
        samples.add([host, resource], quota.remaining);
    }
    let mut samples = page.metric(&table::RATE_MAX);
    for ((host, resource), quota) in &quotas {
        if let Some(limit) = quota.limit {
            samples.add([host, resource], limit);
        }
    }
    let mut samples = page.metric(&table::RATE_RESET);
    for ((host, resource), quota) in &quotas {
        let reset = quota.reset.and_then(|reset| SignedDuration::try_from(reset).ok());
        if let Some(at) = reset.and_then(|reset| now.checked_add(reset).ok()) {
            samples.add([host, resource], at.as_second());
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
    let mut samples = page.metric(&table::UPDATES);
    for ([repository, environment, cluster, state], count) in counts {
        samples.add([&repository, &environment, &cluster, &state], count);
    }
    let mut samples = page.metric(&table::LOST);
    for (what, count) in lost {
        samples.add([what], count);
    }
}
