//! The web server of `landfall run`: webhooks, metrics, health.
//!
//! Promise: whatever is sent to it, it takes bounded memory, time and connections, and never holds up a cycle. It changes
//! nothing: a webhook is a hint to the [`Waker`](crate::daemon::Waker), everything else is read from what the bot shows
//! of itself.
//!
//! Design: [`listen`] accepts connections within limits and ends them in time; the handlers here, in [`webhooks`] and in
//! [`metrics`] answer from [`Shown`], which is replaced when the bot is set up anew. The listener stays through that, and
//! until then the former bot is shown.

mod access;
mod body;
mod counts;
mod listen;
mod metrics;
mod webhooks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{ServerSettings, Settings, Trigger};
use crate::daemon::{Bot, Clock, Tracker, Vitals, Waker};
use crate::webhooks::WebhookSource;

use body::BodyRoom;
use counts::WebhookCounts;

/// A repository of which no cycle ends for this long is stuck, unless its interval is longer: one operation on a remote may
/// take ten minutes, and a remote that is down is no reason to restart the bot.
const STALLED: Duration = Duration::from_secs(45 * 60);
/// A repository is stuck after this many intervals.
const STALLED_INTERVALS: u32 = 3;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Somebody else listens there.
    #[error(
        "`server.listen` is {address}, where another program listens already; next: stop it, or choose another port"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address is not this machine's, or a port needs more rights.
    #[error("the server cannot listen on {address}, as `server.listen` says")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// The server, listening.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    site: Arc<Site>,
}

/// What all handlers share.
#[derive(Debug)]
struct Site {
    shown: watch::Sender<Option<Arc<Shown>>>,
    room: BodyRoom,
    counts: WebhookCounts,
    stop: CancellationToken,
}

/// Lets the server show another bot.
#[derive(Debug, Clone)]
pub struct Stage(Arc<Site>);

/// What the server shows of a running bot, and whom it gives hints to.
#[derive(Debug)]
pub struct Shown {
    sources: BTreeMap<String, WebhookSource>,
    waker: Arc<Waker>,
    vitals: Arc<Vitals>,
    tracker: Arc<Tracker>,
    token: Option<SecretString>,
    stalled: Duration,
    clock: Clock,
}

impl Shown {
    /// What to show of this bot.
    #[must_use]
    pub fn new(
        settings: &Settings,
        bot: &Bot,
        tracker: &Arc<Tracker>,
        (sources, token): (Vec<WebhookSource>, Option<SecretString>),
        clock: Clock,
    ) -> Self {
        let interval = match &settings.interval {
            Trigger::Every(interval) => *interval,
            Trigger::Cron(schedule) => {
                let now = clock.now();
                let first = schedule.next(now);
                let gap = first.and_then(|first| Duration::try_from(schedule.next(first)?.duration_since(first)).ok());
                gap.unwrap_or(STALLED)
            }
        };
        Self {
            sources: sources.into_iter().map(|source| (source.name().to_owned(), source)).collect(),
            waker: Arc::clone(bot.waker()),
            vitals: Arc::clone(bot.vitals()),
            tracker: Arc::clone(tracker),
            token,
            stalled: STALLED.max(interval.saturating_mul(STALLED_INTERVALS)),
            clock,
        }
    }
}

impl Server {
    /// Listens, and answers nothing yet.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn bind(settings: &ServerSettings, stop: CancellationToken) -> Result<Self, ServerError> {
        let address = settings.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => ServerError::InUse { address },
            _ => ServerError::Listen { address, source },
        })?;
        let address = listener.local_addr().unwrap_or(address);
        let site =
            Site { shown: watch::Sender::new(None), room: BodyRoom::default(), counts: WebhookCounts::default(), stop };
        Ok(Self { listener, address, site: Arc::new(site) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets it show a bot.
    #[must_use]
    pub fn stage(&self) -> Stage {
        Stage(Arc::clone(&self.site))
    }

    /// Serves until it is stopped; requests that have begun are answered, for at most some seconds.
    pub async fn run(self) {
        let stop = self.site.stop.clone();
        listen::serve(self.listener, &router(self.site), &stop).await;
    }
}

impl Stage {
    /// From now on this is shown.
    pub fn show(&self, shown: Shown) {
        self.0.shown.send_replace(Some(Arc::new(shown)));
    }
}

impl Site {
    fn shown(&self) -> Option<Arc<Shown>> {
        self.shown.borrow().clone()
    }
}

fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::metrics))
        .route("/webhooks/{name}", post(webhooks::webhook))
        .route("/webhooks/{name}/{secret}", post(webhooks::webhook))
        .with_state(site)
}

/// Whether every loop makes progress. What is outside, such as a remote that is down, does not count: a restart would not
/// mend it. Which loop it is stands in the log, not in an answer that everybody may read.
async fn live(State(site): State<Arc<Site>>) -> Response {
    let Some(shown) = site.shown() else { return "starting\n".into_response() };
    let stalled = shown.vitals.stalled(shown.stalled, Instant::now());
    // A bot that stops, or is replaced, ends its tracker first.
    let tracks = shown.tracker.is_alive() || site.stop.is_cancelled();
    if stalled.is_empty() && tracks {
        return "ok\n".into_response();
    }
    tracing::error!(
        repositories = stalled.join(", "),
        tracker = tracks,
        "/livez fails: a loop of the bot makes no progress; next: restart it, and report this"
    );
    (StatusCode::INTERNAL_SERVER_ERROR, "a loop makes no progress; see the log\n").into_response()
}

/// Whether it was set up, a cycle of each repository has ended, and it is not stopping.
async fn ready(State(site): State<Arc<Site>>) -> Response {
    let unready = |text: &'static str| (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    match site.shown() {
        _ if site.stop.is_cancelled() => unready("stopping\n"),
        None => unready("starting\n"),
        Some(shown) if !shown.vitals.unread().is_empty() => unready("the first cycle has not ended\n"),
        Some(_) => "ok\n".into_response(),
    }
}
