//! Live: a snapshot whenever the bot publishes something, and to open pages what has changed.
//!
//! Promise: a change is sent as soon as it is published. A stream that does not keep up is told that something has changed,
//! and its page reads itself anew; nothing is kept for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, sleep_until};

use crate::daemon::{Holder, ReplicasView};
use crate::page::{Changes, Chronicle, LiveCells, RowFilter, matrix};

use super::super::{Shown, Site};
use super::snapshot::PageSnapshot;
use super::{Asked, respond};

/// Deadlines pass although nothing is published.
const AT_LEAST: Duration = Duration::from_secs(15);
/// A comment in a silent stream, so that nothing in between takes it for dead.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// More changed cells than this are read anew with the whole page.
const MOST_CELLS: usize = 200;

/// What is remembered from snapshot to snapshot.
#[derive(Debug, Default)]
struct Known {
    cells: LiveCells,
    chronicle: Arc<Chronicle>,
    last: Option<PageSnapshot>,
    taken: Option<Instant>,
    revision: u64,
}

/// Makes snapshots until the server stops.
pub(in crate::server) async fn publish(site: Arc<Site>) {
    let (mut known, mut shown) = (Known::default(), site.shown.subscribe());
    loop {
        let now = shown.borrow_and_update().clone();
        match now {
            Some(now) => known = follow(&site, known, &now, &mut shown).await,
            None => drop(shown.changed().await),
        }
    }
}

/// Makes snapshots of one bot until another one is shown.
async fn follow(
    site: &Arc<Site>,
    mut known: Known,
    bot: &Arc<Shown>,
    shown: &mut tokio::sync::watch::Receiver<Option<Arc<Shown>>>,
) -> Known {
    let (mut rows, mut reports, mut incidents) = (bot.tracker.rows(), bot.reports.subscribe(), bot.tracker.incidents());
    loop {
        let snapshot = PageSnapshot {
            shown: Arc::clone(bot),
            rows: Arc::clone(&rows.borrow_and_update()),
            reports: Arc::clone(&reports.borrow_and_update()),
            incidents: Arc::clone(&incidents.borrow_and_update()),
            notes: bot.replicas.as_ref().map(|replicas| notes(&replicas.view())).unwrap_or_default(),
            chronicle: Arc::clone(&known.chronicle),
            revision: known.revision,
        };
        let work = tokio::task::spawn_blocking(move || known.take(snapshot));
        let Ok((next, snapshot, changes)) = work.await else {
            tracing::error!("the page could not be made because of a bug in the bot; it goes on with the next change");
            known = Known::default();
            sleep(AT_LEAST).await;
            continue;
        };
        known = next;
        site.desk.snapshot.send_replace(Some(Arc::new(snapshot)));
        if !changes.is_empty() {
            // Nobody listens: nobody has to be told.
            drop(site.desk.changes.send(message(&changes)));
        }
        let later = Instant::now() + AT_LEAST;
        tokio::select! {
            Ok(()) = rows.changed() => {}
            Ok(()) = reports.changed() => {}
            Ok(()) = incidents.changed() => {}
            () = sleep_until(later) => {}
            _ = shown.changed() => return known,
        }
    }
}

impl Known {
    /// Takes what was published; returns the snapshot, and what has changed in the page.
    fn take(mut self, mut snapshot: PageSnapshot) -> (Self, PageSnapshot, Changes) {
        snapshot.complete();
        let is_same = self.last.as_ref().is_some_and(|last| {
            Arc::ptr_eq(&last.reports, &snapshot.reports)
                && Arc::ptr_eq(&last.incidents, &snapshot.incidents)
                && last.rows.rows == snapshot.rows.rows
                && last.rows.problems == snapshot.rows.problems
                && last.notes == snapshot.notes
        });
        let fresh = self.taken.is_some_and(|taken| taken.elapsed() < AT_LEAST);
        let mut changes = Changes::default();
        if !(is_same && fresh) {
            let now = snapshot.shown.clock.now();
            drop(std::mem::take(&mut snapshot.chronicle));
            self.last = None;
            Arc::make_mut(&mut self.chronicle).observe(&snapshot.rows.rows, now);
            snapshot.chronicle = Arc::clone(&self.chronicle);
            let facts = snapshot.facts(now);
            changes = self.cells.take(&facts, &matrix(&facts, &RowFilter::default()));
            self.revision += u64::from(!changes.is_empty());
            self.taken = Some(Instant::now());
        }
        snapshot.revision = self.revision;
        self.last = Some(snapshot.clone());
        (self, snapshot, changes)
    }
}

/// What a reader of this replica's page must know: what it says of the repositories of other replicas is only what Git and
/// the clusters say.
fn notes(view: &ReplicasView) -> Vec<String> {
    let trouble = view.trouble.iter().map(|trouble| match view.cut_off {
        true => format!("This replica writes nothing, because it cannot keep its Leases: {trouble}"),
        false => format!("The Leases cannot be kept at the moment: {trouble}"),
    });
    let mut notes: Vec<String> = trouble.collect();
    let of = |wanted: &dyn Fn(&Holder) -> bool| -> String {
        let names = view.holders.iter().filter(|(_, holder)| wanted(holder)).map(|(name, _)| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let mut others: Vec<&String> = view
        .holders
        .values()
        .filter_map(|holder| if let Holder::Other(by) = holder { Some(by) } else { None })
        .collect();
    others.sort();
    others.dedup();
    notes.extend(others.into_iter().map(|by| {
        let names = of(&|holder| matches!(holder, Holder::Other(other) if other == by));
        format!("Replica {by} works for {names}: what waits there, and its incidents, are on that replica's page. This one is {}.", view.identity)
    }));
    let free = of(&|holder| matches!(holder, Holder::Nobody | Holder::Lapsed));
    if !free.is_empty() {
        notes.push(format!("No replica works for {free} at the moment, as far as this one ({}) knows.", view.identity));
    }
    notes
}

fn message(changes: &Changes) -> Bytes {
    let many = changes.cells.len() > MOST_CELLS;
    let cells = if many { &[][..] } else { &changes.cells };
    event("change", &json!({ "cells": cells, "around": changes.around || many }))
}

/// An event; its data is JSON, which has no line breaks.
fn event(name: &str, data: &serde_json::Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// The stream of an open page.
pub(super) async fn events(asked: Asked) -> Response {
    if let Some(refusal) = respond::refusal(&asked) {
        return refusal;
    }
    let site = Arc::clone(&asked.site);
    let Ok(place) = Arc::clone(&site.desk.streams).try_acquire_owned() else {
        return respond::not_now("too many pages are open");
    };
    let changes = site.desk.changes.subscribe();
    let snapshot = site.desk.snapshot.borrow().clone();
    let Some(snapshot) = snapshot else { return respond::not_now("starting") };
    let hello = json!({ "now": snapshot.shown.clock.now().to_string(), "revision": snapshot.revision });
    let begin = stream::iter([Ok::<_, Infallible>(event("hello", &hello))]);
    let rest = stream::unfold((site, changes, place), |(site, mut changes, place)| async move {
        let next = tokio::select! {
            () = site.stop.cancelled() => return None,
            change = changes.recv() => match change {
                Ok(change) => change,
                Err(RecvError::Lagged(_)) => event("change", &json!({ "cells": [], "around": true })),
                Err(RecvError::Closed) => return None,
            },
            () = sleep(SIGN_OF_LIFE) => Bytes::from_static(b":\n\n"),
        };
        Some((Ok(next), (site, changes, place)))
    });
    let mut response = Body::from_stream(futures::StreamExt::chain(begin, rest)).into_response();
    let headers = response.headers_mut();
    respond::secure(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that gathers answers would hold events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
