//! The web server of `landfall run`: the page and its API, webhooks, metrics, health.
//!
//! Promise: whatever is sent to it, it takes bounded memory, time and connections, and never holds up a cycle. It changes
//! nothing: a webhook is a hint to the [`Waker`], everything else is read from what the bot shows
//! of itself.
//!
//! Design: `listen` accepts connections within limits and ends them in time; the handlers here, in `webhooks`, `metrics` and
//! `page` answer from [`Shown`], which is replaced when the bot is set up anew. The listener stays through that, and
//! until then the former bot is shown.

mod access;
mod body;
mod counts;
mod listen;
mod metrics;
mod outcome;
mod page;
mod webhooks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Audience, ServerSettings, Settings, Trigger};
use crate::daemon::{Bot, Clock, Replicas, Reports, Tracker, Vitals, Waker};
use crate::webhooks::WebhookSource;

use access::Access;
use body::BodyRoom;
use counts::{TELL, WebhookCounts};

pub use metrics::{METRICS, Metric, MetricKind, metrics_table};

/// A repository of which no cycle ends for this long after one was due is stuck, unless its interval is longer: one operation
/// on a remote may take ten minutes, and a remote that is down is no reason to restart the bot.
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
    /// Held while a large body is parsed.
    parsing: Semaphore,
    counts: WebhookCounts,
    /// When it was last told that the bot is not alive.
    stall_told: Mutex<Option<Instant>>,
    desk: page::Desk,
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
    reports: Arc<Reports>,
    access: Access,
    badges: Audience,
    trigger: Trigger,
    clock: Clock,
    /// The replicas that share the repositories; `None`: there is one.
    replicas: Option<Arc<Replicas>>,
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
        Self {
            sources: sources.into_iter().map(|source| (source.name().to_owned(), source)).collect(),
            waker: Arc::clone(bot.waker()),
            vitals: Arc::clone(bot.vitals()),
            tracker: Arc::clone(tracker),
            reports: Arc::clone(bot.reports()),
            access: Access { token, proxy: settings.server.as_ref().and_then(|server| server.trusted_proxy.clone()) },
            badges: settings.server.as_ref().map(|server| server.badges).unwrap_or_default(),
            trigger: settings.interval.clone(),
            clock,
            replicas: bot.replicas().cloned(),
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
        let site = Site {
            shown: watch::Sender::new(None),
            room: BodyRoom::default(),
            parsing: Semaphore::new(1),
            counts: WebhookCounts::default(),
            stall_told: Mutex::default(),
            desk: page::Desk::default(),
            stop,
        };
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
        let publishing = tokio::spawn(page::publish(Arc::clone(&self.site)));
        listen::serve(self.listener, &router(self.site), &stop).await;
        publishing.abort();
    }
}

impl Stage {
    /// From now on this is shown.
    pub fn show(&self, shown: Shown) {
        self.0.shown.send_replace(Some(Arc::new(shown)));
    }
}

impl Site {
    /// Whether it is time to tell, again, that the bot is not alive: once a minute.
    fn may_tell_stall(&self, now: Instant) -> bool {
        let mut told = self.stall_told.lock().unwrap_or_else(PoisonError::into_inner);
        let may = told.is_none_or(|told| now.saturating_duration_since(told) >= TELL);
        if may {
            *told = Some(now);
        }
        may
    }

    fn shown(&self) -> Option<Arc<Shown>> {
        self.shown.borrow().clone()
    }
}

/// Whether a repository is stuck of which no cycle has ended for this time. With a schedule it depends on when the next one
/// was due after that: nights and weekends may be without any.
fn is_stuck(trigger: &Trigger, without: Duration, now: Timestamp) -> bool {
    match trigger {
        Trigger::Every(interval) => without > STALLED.max(interval.saturating_mul(STALLED_INTERVALS)),
        Trigger::Cron(schedule) => {
            let due = now.checked_sub(without).ok().and_then(|ended| schedule.next(ended));
            let late = due.and_then(|due| Duration::try_from(now.duration_since(due)).ok());
            late.is_some_and(|late| late > STALLED)
        }
    }
}

fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::metrics))
        .merge(page::router())
        .route("/webhooks/{name}", post(webhooks::webhook))
        .route("/webhooks/{name}/{secret}", post(webhooks::webhook))
        .with_state(site)
}

/// Whether every loop makes progress. What is outside, such as a remote that is down, does not count: a restart would not
/// mend it. Which loop it is stands in the log, not in an answer that everybody may read.
async fn live(State(site): State<Arc<Site>>) -> Response {
    let Some(shown) = site.shown() else { return "starting\n".into_response() };
    let now = shown.clock.now();
    let stalled = shown.vitals.stalled(Instant::now(), |without| is_stuck(&shown.trigger, without, now));
    // A bot that stops, or is replaced, ends its tracker first.
    let tracks = shown.tracker.is_alive() || site.stop.is_cancelled();
    if stalled.is_empty() && tracks {
        return "ok\n".into_response();
    }
    // Everybody may ask, as often as they like.
    if site.may_tell_stall(Instant::now()) {
        tracing::error!(
            repositories = stalled.join(", "),
            tracker = tracks,
            "/livez fails: a loop of the bot makes no progress; next: restart it, and report this"
        );
    }
    (StatusCode::INTERNAL_SERVER_ERROR, "a loop makes no progress; see the log\n").into_response()
}

/// Whether it was set up, a cycle of each repository has ended, and it is not stopping. One of several replicas is ready, too,
/// if it works for no repository, but not while it cannot keep its Leases.
async fn ready(State(site): State<Arc<Site>>) -> Response {
    let unready = |text: &'static str| (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    match site.shown() {
        _ if site.stop.is_cancelled() => unready("stopping\n"),
        None => unready("starting\n"),
        Some(shown) if !shown.vitals.unread().is_empty() => unready("the first cycle has not ended\n"),
        Some(shown) => match shown.replicas.as_ref().map(|replicas| replicas.view()) {
            Some(view) if !view.looked => unready("the Leases have not been read\n"),
            Some(view) if view.cut_off => {
                unready("the Leases cannot be kept, so that nothing is written; see the log\n")
            }
            Some(_) | None => "ok\n".into_response(),
        },
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::policy::Schedule;

    #[test]
    fn a_night_without_a_cycle_is_no_stall_and_a_missed_one_is() {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        let every = Trigger::Every(5 * minute);
        let daily = Trigger::Every(24 * hour);
        let office = Trigger::Cron(Schedule::parse("*/5 8-17 * * 1-5", TimeZone::UTC).unwrap());
        for (trigger, now, without, stuck) in [
            (&every, "2026-11-30T12:00:00Z", 45 * minute, false),
            (&every, "2026-11-30T12:00:00Z", 46 * minute, true),
            (&daily, "2026-11-30T12:00:00Z", 72 * hour, false),
            (&daily, "2026-11-30T12:00:00Z", 73 * hour, true),
            (&office, "2026-11-30T12:00:00Z", 46 * minute, false),
            (&office, "2026-11-30T12:00:00Z", 51 * minute, true),
            // Monday, from 8 on; the last cycle was on Friday.
            (&office, "2026-11-30T07:59:00Z", 62 * hour, false),
            (&office, "2026-11-30T08:40:00Z", 62 * hour, false),
            (&office, "2026-11-30T08:46:00Z", 62 * hour, true),
        ] {
            assert_eq!(is_stuck(trigger, without, now.parse().unwrap()), stuck, "{trigger:?} {now} {without:?}");
        }
    }
}
