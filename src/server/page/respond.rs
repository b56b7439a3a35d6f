//! From facts to answers: who may have one, how many are made at once, how much memory they take until they are read.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::timeout;

use crate::page::{Facts, Sources};

use super::super::access::may_read;
use super::snapshot::PageSnapshot;
use super::{Asked, sources};

/// Answers that are made at the same time.
const AT_ONCE: usize = 2;
/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// The memory of all answers until they are read, and the steps in which it is taken.
const ROOM: usize = 64 << 20;
const STEP: usize = 64 << 10;
/// Open streams of live updates.
const STREAMS: usize = 200;
/// Changes that a slow stream may be behind.
const BEHIND: usize = 16;

/// What may be loaded by a page: its own style sheet and script, and nothing else from anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What the handlers of the page share.
#[derive(Debug)]
pub(in crate::server) struct Desk {
    pub(super) snapshot: watch::Sender<Option<Arc<PageSnapshot>>>,
    pub(super) changes: broadcast::Sender<Bytes>,
    pub(super) streams: Arc<Semaphore>,
    turns: Semaphore,
    room: Arc<Semaphore>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            snapshot: watch::Sender::new(None),
            changes: broadcast::Sender::new(BEHIND),
            streams: Arc::new(Semaphore::new(STREAMS)),
            turns: Semaphore::new(AT_ONCE),
            room: Arc::new(Semaphore::new(ROOM / STEP)),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct PageAnswer {
    pub(super) status: StatusCode,
    pub(super) text: String,
    pub(super) content_type: &'static str,
}

impl PageAnswer {
    /// A page.
    pub(super) fn page(text: String) -> Self {
        Self { status: StatusCode::OK, text, content_type: "text/html; charset=utf-8" }
    }
}

/// Answers whoever may read.
pub(super) async fn answer(
    asked: Asked,
    render: impl FnOnce(&Facts<'_>, &dyn Fn() -> Sources) -> PageAnswer + Send + 'static,
) -> Response {
    match refusal(&asked) {
        Some(refusal) => refusal,
        None => answer_anybody(asked, render).await,
    }
}

/// Why this request gets nothing, if it does not.
pub(super) fn refusal(asked: &Asked) -> Option<Response> {
    let Some(shown) = asked.site.shown() else { return Some(not_now("starting")) };
    if may_read(&shown.access, asked.peer, &asked.headers) {
        return None;
    }
    let text = "not allowed: use the machine that the bot runs on, send the token of `server.token` (as a bearer token, or as the \
                password with any user name), or come through the proxy of `server.trustedProxy`\n";
    let mut response = (StatusCode::UNAUTHORIZED, text).into_response();
    secure(response.headers_mut());
    if shown.access.token.is_some() {
        // What a browser asks for its password by.
        response
            .headers_mut()
            .append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Landfall\", charset=\"UTF-8\""));
    }
    response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Some(response)
}

/// Answers everybody.
pub(super) async fn answer_anybody(
    asked: Asked,
    render: impl FnOnce(&Facts<'_>, &dyn Fn() -> Sources) -> PageAnswer + Send + 'static,
) -> Response {
    let desk = &asked.site.desk;
    let snapshot = desk.snapshot.borrow().clone();
    let Some(snapshot) = snapshot else { return not_now("starting") };
    let Ok(Ok(_turn)) = timeout(TURN, desk.turns.acquire()).await else { return not_now("too many requests at once") };
    let site = Arc::clone(&asked.site);
    let made = tokio::task::spawn_blocking(move || {
        let now = snapshot.shown.clock.now();
        let sources = || sources::all(&site, &snapshot.shown);
        render(&snapshot.facts(now), &sources)
    });
    let Ok(PageAnswer { status, text, content_type }) = made.await else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "a bug in the bot; see its log\n").into_response();
    };
    let Some(body) = held(&desk.room, text) else { return not_now("too many responses are still being read") };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    secure(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A body that holds its memory until it is read; `None` if there is none left.
fn held(room: &Arc<Semaphore>, text: String) -> Option<Body> {
    let bytes = Bytes::from(text);
    let steps = u32::try_from(bytes.len().div_ceil(STEP)).ok()?;
    let room = Arc::clone(room).try_acquire_many_owned(steps).ok()?;
    let chunks = stream::unfold((bytes, room), |(mut rest, room)| async move {
        if rest.is_empty() {
            return None;
        }
        let chunk = rest.split_to(rest.len().min(STEP));
        Some((Ok::<_, Infallible>(chunk), (rest, room)))
    });
    Some(Body::from_stream(chunks))
}

/// An answer that may be had later.
pub(super) fn not_now(text: &str) -> Response {
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n")).into_response();
    secure(response.headers_mut());
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

/// Headers by which a browser does nothing with an answer but to show it.
pub(super) fn secure(headers: &mut HeaderMap) {
    let fixed: [(HeaderName, &'static str); 6] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn answers_that_nobody_reads_take_bounded_memory_and_give_it_back() {
        let desk = Desk::default();
        let one = || held(&desk.room, "x".repeat(3 << 20));
        let mut all: Vec<Body> = std::iter::from_fn(one).collect();
        assert_eq!(all.len(), ROOM / (3 << 20));
        let read = all.pop().unwrap().collect().await.unwrap().to_bytes();
        assert_eq!(read.len(), 3 << 20);
        assert!(one().is_some(), "what was read has given its memory back");
    }
}
