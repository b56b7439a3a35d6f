//! Receives webhooks: authenticated, then read, then given to the [`Waker`] as hints.
//!
//! Promise: nothing of a body is parsed before its sender is known, and nothing of it reaches the log or an answer. A
//! webhook that was accepted is never lost: beyond what can be parsed, everything is taken to have changed.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::daemon::{Heard, Waker};
use crate::webhooks::{Admission, Received, WebhookHint, WebhookSource};

use super::body::NoBody;
use super::outcome::WebhookOutcome;
use super::{Shown, Site};

/// Bodies from this size on are parsed apart from other requests.
const LARGE: usize = 64 << 10;

pub(super) async fn webhook(
    State(site): State<Arc<Site>>,
    Path(path): Path<HashMap<String, String>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(shown) = site.shown() else { return (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response() };
    let name = path.get("name").map_or("", String::as_str);
    let Some(source) = shown.sources.get(name) else {
        return (StatusCode::NOT_FOUND, "there is no such webhook source\n").into_response();
    };
    let secret = path.get("secret").map(String::as_str);
    let outcome = receive(&site, &shown, source, (&headers, secret), body).await;
    site.counts.count(source.name(), outcome, Instant::now());
    let mut response = (outcome.status(), format!("{}\n", outcome.as_words())).into_response();
    if outcome.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

async fn receive(
    site: &Arc<Site>,
    shown: &Arc<Shown>,
    source: &WebhookSource,
    (headers, secret): (&HeaderMap, Option<&str>),
    body: Body,
) -> WebhookOutcome {
    let now = shown.clock.now();
    let admission = source.admit(headers, secret, now).await;
    if admission == Admission::Refused {
        return refused(site, source);
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let body = match site.room.read(admission, body, length).await {
        Ok(body) => body,
        Err(no) => return without_body(site, source, no),
    };
    if !source.verify(admission, headers, &body.bytes, now) {
        return refused(site, source);
    }
    if !site.counts.may_parse(source.name(), Instant::now()) {
        waker(site, shown).wake_all();
        return WebhookOutcome::Flood;
    }
    if body.bytes.len() < LARGE {
        return take(site, shown, source, headers, &body.bytes);
    }
    // One at a time: what is parsed takes several times the memory of its text.
    let Ok(_turn) = site.parsing.acquire().await else { return WebhookOutcome::Unreadable };
    let (name, headers) = (source.name().to_owned(), headers.clone());
    let (site, shown) = (Arc::clone(site), Arc::clone(shown));
    // Reading and waking are one: a sender that hangs up in between would be told that it was received before.
    let work = move || shown.sources.get(&name).map(|source| take(&site, &shown, source, &headers, &body.bytes));
    tokio::task::spawn_blocking(work).await.ok().flatten().unwrap_or(WebhookOutcome::Unreadable)
}

/// Reads a webhook that is from its sender, and wakes whom it concerns.
fn take(site: &Site, shown: &Shown, source: &WebhookSource, headers: &HeaderMap, body: &[u8]) -> WebhookOutcome {
    match source.read(headers, body) {
        Received::Hints(hints) => woken(&waker(site, shown), &hints),
        Received::Everything => {
            waker(site, shown).wake_all();
            WebhookOutcome::NamesTooMany
        }
        Received::Nothing => WebhookOutcome::Ignored,
        Received::Repeated => WebhookOutcome::Repeated,
        Received::Unreadable => {
            if let Some(count) = site.counts.tell(source.name(), Instant::now()) {
                tracing::warn!(
                    source = source.name(),
                    count,
                    "a webhook cannot be read; next: compare `kind` and the events that are sent with docs/reference/webhooks.md"
                );
            }
            WebhookOutcome::Unreadable
        }
    }
}

/// The waker of the bot that runs now: while a body arrived, the one that it was sent to may have been replaced.
fn waker(site: &Site, shown: &Shown) -> Arc<Waker> {
    site.shown().map_or_else(|| Arc::clone(&shown.waker), |now| Arc::clone(&now.waker))
}

fn woken(waker: &Waker, hints: &[WebhookHint]) -> WebhookOutcome {
    let mut heard = Heard::Unknown;
    for hint in hints {
        match waker.wake(hint) {
            Heard::Unknown => {}
            Heard::Known => heard = Heard::Known,
            Heard::Kept if heard == Heard::Unknown => heard = Heard::Kept,
            Heard::Kept => {}
        }
    }
    match heard {
        Heard::Known => WebhookOutcome::Scheduled,
        Heard::Kept => WebhookOutcome::ScheduledLater,
        Heard::Unknown => WebhookOutcome::Unknown,
    }
}

fn refused(site: &Site, source: &WebhookSource) -> WebhookOutcome {
    if let Some(count) = site.counts.tell(source.name(), Instant::now()) {
        tracing::warn!(
            source = source.name(),
            count,
            "a webhook was refused: its signature or secret is missing or wrong; next: compare the secret at the sender with the \
             one in the configuration"
        );
    }
    WebhookOutcome::Refused
}

fn without_body(site: &Site, source: &WebhookSource, no: NoBody) -> WebhookOutcome {
    if let Some(count) = site.counts.tell(source.name(), Instant::now()) {
        tracing::warn!(source = source.name(), count, reason = no.as_str(), "the body of a webhook was not read");
    }
    WebhookOutcome::NoBody(no)
}
