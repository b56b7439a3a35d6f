//! One registry host: its address, its HTTP client, its concurrency limit, its health.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::HeaderMap;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

use super::accepted::Accepted;
use super::budget::{Budget, Counted};
use super::error::Cause;
use super::login::{RegistryLogin, SecretHash};
use super::settings::{DEFAULT_REQUESTS, HostSettings, Limits};
use super::token::Tokens;
use crate::http::{self, ClientError, ClientSettings, Reach, address, quota};
use crate::model::{DOCKER_HUB, Quota};

/// Docker Hub's registry host; `docker.io` itself is a web site.
const DOCKER_HUB_SERVER: &str = "registry-1.docker.io";
/// How long a host is left alone if the last attempt got "too many requests" without a time.
const UNNAMED_PAUSE: Duration = Duration::from_secs(30);

/// A cause with a next step; the error type of everything below the public functions.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) hint: Option<String>,
    /// A pause that the server asked for.
    pub(super) pause: Option<Duration>,
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self { cause, hint: None, pause: None }
    }
}

impl Failure {
    pub(super) fn protocol(text: impl Into<String>) -> Self {
        Cause::Protocol(text.into()).into()
    }

    /// The same, with the place where it happened before its message.
    #[must_use]
    pub(super) fn at(mut self, place: &str) -> Self {
        let text = self.cause.text_mut();
        *text = format!("{place}: {text}");
        self
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// One registry host. It shares nothing with other hosts.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) base: Url,
    pub(super) plain_http: bool,
    pub(super) login: Option<RegistryLogin>,
    pub(super) token_realms: Vec<String>,
    pub(super) limits: Limits,
    clients: Clients,
    pub(super) tokens: Tokens,
    pub(super) turns: Semaphore,
    /// The host has required `Basic`, so that it may be sent at once.
    asked_basic: AtomicBool,
    /// The host has required `Bearer`, so that a cached token may be sent at once.
    asked_bearer: AtomicBool,
    accepted: Mutex<Accepted>,
    budget: Mutex<Budget>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// Consecutive operations that could not connect or timed out.
    failed: u32,
    /// Consecutive operations that ended in a server fault.
    faults: u32,
    /// Until when the host counts as sick, and why.
    sick: Option<(Instant, Failure)>,
    /// No requests before this time.
    not_before: Option<Instant>,
    /// Whether operations fail immediately instead of waiting for `not_before`.
    given_up: bool,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Host {
    /// A host; `settings.host` is canonical.
    pub(super) fn new(settings: &HostSettings, limits: Limits, clients: Clients) -> Result<Self, String> {
        let requests = settings.max_requests.unwrap_or(DEFAULT_REQUESTS);
        if requests == 0 || requests > Semaphore::MAX_PERMITS {
            return Err("the number of concurrent requests must be at least 1".to_owned());
        }
        Ok(Self {
            name: settings.host.clone(),
            base: base(&settings.host, settings.plain_http)?,
            plain_http: settings.plain_http,
            login: settings.login.clone(),
            token_realms: settings.token_realms.clone(),
            limits,
            clients,
            tokens: Tokens::default(),
            turns: Semaphore::new(requests),
            asked_basic: AtomicBool::new(false),
            asked_bearer: AtomicBool::new(false),
            accepted: Mutex::default(),
            budget: Mutex::default(),
            health: Mutex::default(),
        })
    }

    /// Whether this address is the registry's own, the only place where its `Authorization` may go.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// The client for requests with this reach, and the reach it actually has.
    pub(super) fn client(&self, reach: Reach) -> (&reqwest::Client, Reach) {
        match reach {
            Reach::Configured | Reach::Private => (&self.clients.own, self.clients.reach),
            Reach::Public => (&self.clients.strangers, Reach::Public),
        }
    }

    /// Forgets what was learnt of every repository but these.
    pub(super) fn forget(&self, named: &HashSet<&str>) {
        self.tokens.forget(named);
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).forget(named);
    }

    /// The login's proof that this repository accepted last, if that is not the first.
    pub(super) fn accepted(&self, repository: &str) -> Option<SecretHash> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).of(repository, Instant::now())
    }

    /// Remembers that a repository accepted the proof at this place.
    pub(super) fn remember_accepted(&self, repository: &str, at: usize, proof: SecretHash) {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.remember(repository, at, proof, Instant::now());
    }

    pub(super) fn asked_basic(&self) -> bool {
        self.asked_basic.load(Ordering::Relaxed)
    }

    pub(super) fn asked_bearer(&self) -> bool {
        self.asked_bearer.load(Ordering::Relaxed)
    }

    pub(super) fn remember_basic(&self) {
        self.asked_basic.store(true, Ordering::Relaxed);
    }

    pub(super) fn remember_bearer(&self) {
        self.asked_bearer.store(true, Ordering::Relaxed);
    }

    /// Fails immediately if the host is sick. After its pause, one operation is let through as a probe.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), Failure> {
        let now = Instant::now();
        let mut health = self.health();
        let Some((until, failure)) = &mut health.sick else { return Ok(()) };
        if now >= *until {
            *until = now + limits.sick_pause;
            return Ok(());
        }
        let wait = until.duration_since(now).as_secs() + 1;
        let hint = format!("the host failed {} times in a row and is left alone for {wait} s", limits.sick_after);
        Err(failure.clone().hint(hint))
    }

    /// How long to wait before the next request.
    ///
    /// # Errors
    /// If that is longer than `patience`, or if an operation has already given up waiting.
    pub(super) fn pause(&self, patience: Duration) -> Result<Duration, Failure> {
        let now = Instant::now();
        let mut health = self.health();
        let Some(until) = health.not_before.filter(|until| *until > now) else {
            health.not_before = None;
            health.given_up = false;
            return Ok(Duration::ZERO);
        };
        let wait = until - now;
        if health.given_up || wait > patience {
            return Err(self.rate_limited("too many requests; not asked again before the pause is over", Some(wait)));
        }
        Ok(wait)
    }

    /// How long a request has to wait so that those that the host still accepts last.
    ///
    /// # Errors
    /// If that is longer than `patience`.
    pub(super) fn turn(&self, kind: Counted, patience: Duration) -> Result<Duration, Failure> {
        self.budget().turn(kind, patience, Instant::now()).map_err(|wait| {
            let detail = "it accepts few more requests for now, and they are spread over the time until there are more";
            self.hinted(Cause::Spread { detail: detail.to_owned(), wait })
        })
    }

    /// Takes in what an answer says of how many requests are left.
    pub(super) fn heard(&self, kind: Counted, headers: &HeaderMap) {
        self.budget().heard(kind.told_by(headers), quota::read(headers), Instant::now());
    }

    /// The least that is left, as the host said last.
    pub(super) fn left(&self) -> Option<Quota> {
        self.budget().left(Instant::now())
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the host alone for a while.
    pub(super) fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut health = self.health();
        health.not_before = Some(health.not_before.map_or(until, |old| old.max(until)));
    }

    pub(super) fn rate_limited(&self, detail: &str, retry_after: Option<Duration>) -> Failure {
        self.hinted(Cause::RateLimited { detail: detail.to_owned(), retry_after })
    }

    /// Too many requests, and what raises the limit.
    fn hinted(&self, cause: Cause) -> Failure {
        let failure = Failure::from(cause);
        if self.login.is_none() {
            return failure.hint(format!(
                "credentials for {} usually raise the limit (`registries` in the configuration)",
                self.name
            ));
        }
        failure
    }

    /// Maximum number of attempts for a request: one while the server keeps failing, so that many images do not wait
    /// long.
    pub(super) fn attempts(&self, limits: &Limits) -> u32 {
        if self.health().faults >= limits.sick_after { 1 } else { limits.attempts.max(1) }
    }

    /// Records how an operation ended.
    pub(super) fn record(&self, failure: Option<&Failure>, limits: &Limits) {
        let mut health = self.health();
        match failure {
            Some(failure) if failure.cause.is_sick_host() => {
                health.failed = health.failed.saturating_add(1);
                if health.failed >= limits.sick_after {
                    health.sick = Some((Instant::now() + limits.sick_pause, failure.clone()));
                }
            }
            Some(Failure { cause: Cause::RateLimited { retry_after, .. }, .. }) => {
                let until = Instant::now() + retry_after.unwrap_or(UNNAMED_PAUSE);
                health.not_before = Some(health.not_before.map_or(until, |old| old.max(until)));
                health.given_up = true;
            }
            // It says nothing of the host's health.
            Some(Failure { cause: Cause::Spread { .. }, .. }) => {}
            other => {
                health.failed = 0;
                health.sick = None;
                let fault = other.is_some_and(|failure| matches!(failure.cause, Cause::Server(_)));
                health.faults = if fault { health.faults.saturating_add(1) } else { 0 };
            }
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // The health consists of plain numbers; a panic elsewhere cannot leave it half written.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn base(host: &str, plain_http: bool) -> Result<Url, String> {
    let server = if host == DOCKER_HUB { DOCKER_HUB_SERVER } else { host };
    let scheme = if plain_http { "http" } else { "https" };
    Url::parse(&format!("{scheme}://{server}/")).map_err(|_| "it is not a host name".to_owned())
}

/// The clients of a host.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// For the registry itself, and for addresses that it names in its own network.
    own: reqwest::Client,
    /// The reach of that client.
    reach: Reach,
    /// For all other addresses that it names.
    strangers: reqwest::Client,
}

impl Clients {
    /// Answers are decompressed while they are read, so that limits apply to the decompressed size.
    pub(super) fn new(
        limits: &Limits,
        (ca_pem, identity_pem): (Option<&[u8]>, Option<&[u8]>),
        named: Named,
        loopback: bool,
    ) -> Result<Self, ClientError> {
        let client = |reach, identity_pem| {
            http::client(ClientSettings {
                ca_pem,
                identity_pem,
                timeout: limits.request_timeout,
                connect_timeout: Some(limits.connect_timeout),
                reach,
                direct: loopback,
            })
        };
        // Whom the registry names is not shown who we are.
        let strangers = client(Reach::Public, None)?;
        let (own, reach) = match named {
            Named::ByConfiguration => (client(Reach::Private, identity_pem)?, Reach::Private),
            Named::ByImage => (strangers.clone(), Reach::Public),
        };
        Ok(Self { own, reach, strangers })
    }
}

/// How a host became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// From the configuration: it may be in a private network.
    ByConfiguration,
    /// From an image name, that is, from anybody who can change a file: it must be public.
    ByImage,
}

/// Whether the host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let Ok(url) = base(host, true) else { return false };
    address::literal(&url).map_or_else(|| url.host_str() == Some("localhost"), |address| address.is_loopback())
}
