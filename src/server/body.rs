//! Bodies of requests, within limits: the size of one, the memory of all, the time that one may take.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::webhooks::Admission;

/// Maximum size of one body: Flux takes as much; GitHub's pushes with thousands of files stay below.
const LARGEST: usize = 3 << 20;
/// The memory of all bodies together of senders that are known by their headers, the same of those whose bodies will tell, and
/// the steps in which a body takes some of it. Who only claims to be somebody takes no room from those who are.
const ROOM: usize = 15 << 20;
const CLAIMED_ROOM: usize = 9 << 20;
const STEP: usize = 16 << 10;
/// Maximum time for one body.
const TIME: Duration = Duration::from_secs(10);

/// The memory for the bodies of all requests. A body takes what has arrived of it, so that whoever promises much and
/// sends little keeps nobody out.
#[derive(Debug)]
pub(super) struct BodyRoom {
    proved: Arc<Semaphore>,
    claimed: Arc<Semaphore>,
}

/// A body, which holds its memory.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NoBody {
    /// It is too large.
    TooLarge,
    /// It took too long.
    TooSlow,
    /// There is no memory for it now.
    Busy,
    /// The connection broke.
    CutOff,
}

impl NoBody {
    /// The word in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::TooSlow => "too-slow",
            Self::Busy => "busy",
            Self::CutOff => "cut-off",
        }
    }

    /// The status of the answer.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::CutOff => StatusCode::BAD_REQUEST,
        }
    }
}

impl Default for BodyRoom {
    fn default() -> Self {
        let room = |bytes: usize| Arc::new(Semaphore::new(bytes / STEP));
        Self { proved: room(ROOM), claimed: room(CLAIMED_ROOM) }
    }
}

impl BodyRoom {
    /// Reads the body of a sender that was admitted to its end; `announced` is its length if the headers say it.
    pub(super) async fn read(&self, admission: Admission, body: Body, announced: Option<u64>) -> Result<Held, NoBody> {
        if announced.is_some_and(|length| length > LARGEST as u64) {
            return Err(NoBody::TooLarge);
        }
        let room = match admission {
            Admission::Proved => &self.proved,
            Admission::Claimed | Admission::Refused => &self.claimed,
        };
        read_within(TIME, room, body).await
    }
}

async fn read_within(time: Duration, room: &Arc<Semaphore>, body: Body) -> Result<Held, NoBody> {
    timeout(time, read_all(room, body)).await.unwrap_or(Err(NoBody::TooSlow))
}

async fn read_all(all: &Arc<Semaphore>, mut body: Body) -> Result<Held, NoBody> {
    let (mut bytes, mut room) = (Vec::new(), None::<OwnedSemaphorePermit>);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| NoBody::CutOff)?.into_data() else { continue };
        if bytes.len() + data.len() > LARGEST {
            return Err(NoBody::TooLarge);
        }
        let steps = (bytes.len() + data.len()).div_ceil(STEP);
        let more = steps.saturating_sub(room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if let Some(more) = u32::try_from(more).ok().filter(|more| *more > 0) {
            let more = Arc::clone(all).try_acquire_many_owned(more).map_err(|_| NoBody::Busy)?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Held { bytes, _room: room })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(count: usize, size: usize) -> Body {
        let chunk = move |_| Ok::<_, std::convert::Infallible>(vec![b'x'; size]);
        Body::from_stream(futures::stream::iter((0..count).map(chunk)))
    }

    #[tokio::test]
    async fn a_body_is_read_within_its_limit() {
        let room = BodyRoom::default();
        assert_eq!(room.read(Admission::Proved, Body::empty(), None).await.unwrap().bytes, b"");
        assert_eq!(room.read(Admission::Proved, chunks(3, 10), None).await.unwrap().bytes.len(), 30);
        assert_eq!(room.read(Admission::Proved, Body::empty(), Some(100 << 20)).await.unwrap_err(), NoBody::TooLarge);
        assert_eq!(room.read(Admission::Proved, chunks(100, 1 << 20), None).await.unwrap_err(), NoBody::TooLarge);
        assert_eq!(room.proved.available_permits(), ROOM / STEP, "everything was given back");
    }

    #[tokio::test]
    async fn all_bodies_together_have_a_limit() {
        let room = BodyRoom::default();
        let mut held = Vec::new();
        let refused = loop {
            match room.read(Admission::Proved, chunks(3, 1 << 20), None).await {
                Ok(body) => held.push(body),
                Err(error) => break error,
            }
        };
        assert_eq!((refused, held.len()), (NoBody::Busy, ROOM / LARGEST));
        let claims = room.read(Admission::Claimed, chunks(3, 1 << 20), None).await;
        assert!(claims.is_ok(), "who is not known yet has room of their own");
        held.pop();
        assert!(room.read(Admission::Proved, chunks(3, 1 << 20), None).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_not_waited_for() {
        let body = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::convert::Infallible>>());
        let soon = Duration::from_millis(1);
        assert_eq!(read_within(soon, &BodyRoom::default().claimed, body).await.unwrap_err(), NoBody::TooSlow);
    }
}
