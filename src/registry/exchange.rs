//! One request with everything around it: concurrency, pauses, retries, login, redirects, limits.
//!
//! From the inside out: `once` sends one HTTP request and reads a bounded answer; `redirected` follows redirects
//! itself; `authorized` logs in when required; `send` retries what may succeed later. Only GET and HEAD are ever sent,
//! so retrying is always harmless.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::header::{ACCEPT, AUTHORIZATION, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::budget::Counted;
use super::error::Cause;
use super::host::{Failure, Host};
use super::login::SecretHash;
use super::realm;
use super::settings::Limits;
use crate::http::{self, Body, Broken, BrokenKind, Reach, address, quota, retry};
use crate::model::Validators;

/// The longest pause between two attempts that is our own choice.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// Maximum number of redirects followed for one request.
const MAX_REDIRECTS: usize = 5;
/// How much of an error's body is read, for its codes.
const MAX_ERROR_BODY: u64 = 64 * 1024;

/// What to request.
#[derive(Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'static str,
    pub(super) validators: Option<&'a Validators>,
    /// The fields of the form to post.
    pub(super) form: Option<Vec<(&'static str, &'a str)>>,
    /// Maximum size of the answer.
    pub(super) limit: u64,
    /// What takes in the body of a successful answer as it arrives; `None`: it is kept as a whole.
    pub(super) sink: Option<&'a dyn BodySink>,
    /// Which addresses it may go to, before anybody redirects it.
    pub(super) reach: Reach,
}

impl Ask<'_> {
    /// A GET for an answer of at most `limit` bytes.
    pub(super) fn get(url: Url, accept: &'static str, limit: u64) -> Self {
        let reach = Reach::Private;
        Self { method: Method::GET, url, accept, validators: None, form: None, limit, sink: None, reach }
    }
}

/// Takes in a long body part by part.
pub(super) trait BodySink: Sync {
    /// A body begins, perhaps again: what was taken in before does not count.
    fn begin(&self);
    /// The next part of it. How many bytes are held of all parts so far.
    fn take(&self, part: &[u8]) -> Result<usize, Failure>;
}

/// Why a body was not taken in to its end.
enum Stopped {
    Broken(Broken),
    Refused(Failure),
}

impl From<Broken> for Stopped {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// An answer that is not a redirect, a refusal or a server fault: 2xx, 304, 404 or another 4xx.
pub(super) struct RegistryResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Where it came from, after redirects.
    pub(super) url: Url,
    /// The address of the server that sent it.
    pub(super) peer: Option<IpAddr>,
}

/// One operation on one repository.
pub(super) struct Session<'a> {
    pub(super) host: &'a Host,
    pub(super) limits: &'a Limits,
    pub(super) repository: &'a str,
    pub(super) deadline: Instant,
    pub(super) requests: &'a AtomicU64,
    pub(super) presented: Mutex<Presented>,
}

/// What of a login's proofs was presented.
#[derive(Debug, Default)]
pub(super) struct Presented {
    /// The one to begin with, if that is not the first.
    pub(super) first: Option<SecretHash>,
    /// How many were refused since.
    pub(super) refused: usize,
    /// How many there are.
    pub(super) of: usize,
    /// The last one, and its place among them.
    pub(super) last: Option<(usize, SecretHash)>,
    /// Which of all that the login has fetched was among them, from 1.
    pub(super) generation: u64,
    /// Why there was none to present.
    pub(super) unavailable: Option<Failure>,
}

impl Session<'_> {
    /// What was presented so far.
    pub(super) fn presented(&self) -> MutexGuard<'_, Presented> {
        self.presented.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL of something in this repository.
    pub(super) fn url(&self, rest: &str) -> Result<Url, Failure> {
        let path = format!("v2/{}/{rest}", self.repository);
        self.host.base.join(&path).map_err(|_| Failure::protocol("the URL cannot be built"))
    }

    /// Sends requests until there is an answer, the attempts are used up, or it is certain that none will come.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<RegistryResponse, Failure> {
        let attempts = self.host.attempts(self.limits);
        let mut tried = 0;
        loop {
            let pause = self.host.pause(self.remaining())?;
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let turn = self.host.turn(Counted::of(&ask.method, &ask.url), self.remaining())?;
            if !turn.is_zero() {
                tokio::time::sleep(turn).await;
            }
            tried += 1;
            let failure = match self.authorized(ask).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !failure.cause.is_transient() || tried >= attempts {
                return Err(failure);
            }
            let own = retry::backoff(self.limits.backoff, LONGEST_BACKOFF, tried, fastrand::f64());
            let pause = failure.pause.unwrap_or(own);
            if pause >= self.remaining() {
                return Err(failure);
            }
            tracing::debug!(host = self.host.name, repository = self.repository, tried, ?pause, "asking again");
            if matches!(failure.cause, Cause::RateLimited { .. }) {
                // The host itself asks for a pause, so nobody else sends requests in the meantime.
                self.host.rest(pause);
            } else {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Requests once, without credentials, what the host names at another one. How that fares says nothing of the host itself.
    pub(super) async fn elsewhere(&self, ask: &Ask<'_>) -> Result<RegistryResponse, Failure> {
        let vouched = realm::vouched(&self.host.base, &ask.url, &[]);
        let reach = address::check_target(&ask.url, self.host.plain_http, vouched, None)
            .map_err(|reason| Failure::protocol(format!("refused to read it: {reason}")))?;
        self.redirected(&Ask { reach, ..ask.clone() }, None, None).await
    }

    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Sends a request with each of the login's proofs in turn until one is accepted, and once more if the login can fetch new ones.
    async fn authorized(&self, ask: &Ask<'_>) -> Result<RegistryResponse, Failure> {
        *self.presented() = Presented { first: self.host.accepted(self.repository), ..Presented::default() };
        let mut renewed = false;
        loop {
            let result = self.logged_in(ask).await;
            let (refused, of, last) = {
                let presented = self.presented();
                (presented.refused + 1, presented.of, presented.last.clone())
            };
            match &result {
                Err(failure) if matches!(failure.cause, Cause::Authentication(_)) => {}
                Err(_) => return result,
                Ok(_) => {
                    if let Some((at, proof)) = last.filter(|_| of > 1) {
                        self.host.remember_accepted(self.repository, at, proof);
                    }
                    return result;
                }
            }
            if refused < of {
                self.presented().refused = refused;
            } else if !renewed && self.forgets().await {
                renewed = true;
                if let Some((_, proof)) = last {
                    self.host.tokens.slot(self.repository, &proof).lock().await.forget();
                }
                *self.presented() = Presented::default();
            } else {
                return self.presented().unavailable.take().map_or(result, Err);
            }
        }
    }

    /// Sends a request, logs in if required, and sends it again once.
    async fn logged_in(&self, ask: &Ask<'_>) -> Result<RegistryResponse, Failure> {
        let mut own = self.known_authorization().await?;
        let mut answer = self.redirected(ask, own.clone(), None).await?;
        if answer.status == StatusCode::UNAUTHORIZED && self.host.is_own(&answer.url) {
            own = Some(self.answer_challenge(&answer, own.as_ref()).await?);
            answer = self.redirected(ask, own.clone(), None).await?;
        }
        if answer.status == StatusCode::UNAUTHORIZED && !self.host.is_own(&answer.url) {
            // The redirect's target is unknown to us: it gets none of our credentials, only a token that it issues to
            // everybody.
            let token = self.anonymous_token(&answer).await?;
            answer = self.redirected(ask, own, Some((&answer.url.origin(), &token))).await?;
        }
        self.classified(answer)
    }

    /// Follows redirects. `Authorization` stays with the registry's own scheme, host and port, and is not sent again
    /// once another host has decided where to go.
    async fn redirected(
        &self,
        ask: &Ask<'_>,
        authorization: Option<HeaderValue>,
        elsewhere: Option<(&url::Origin, &HeaderValue)>,
    ) -> Result<RegistryResponse, Failure> {
        let mut url = ask.url.clone();
        let mut reach = ask.reach;
        let mut authorization = authorization.filter(|_| self.host.is_own(&url));
        for _hop in 0..=MAX_REDIRECTS {
            let foreign = elsewhere.filter(|(origin, _)| **origin == url.origin()).map(|(_, token)| token);
            let answer = self.once(ask, &url, reach, authorization.as_ref().or(foreign)).await?;
            if !is_redirect(answer.status) {
                return Ok(answer);
            }
            let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            let next = next.ok_or_else(|| Failure::protocol("redirected to an unreadable address"))?;
            let downgrade = url.scheme() == "https" && next.scheme() == "http";
            let vouched = realm::vouched(&self.host.base, &next, &[]);
            reach = address::check_target(&next, self.host.plain_http && !downgrade, vouched, answer.peer)
                .map_err(|reason| Failure::protocol(format!("refused to follow its redirect: {reason}")))?;
            if !self.host.is_own(&next) {
                authorization = None;
            }
            url = next;
        }
        Err(Failure::protocol(format!("redirected more than {MAX_REDIRECTS} times")))
    }

    /// Sends one HTTP request and reads its answer, up to the limit.
    pub(super) async fn once(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        reach: Reach,
        authorization: Option<&HeaderValue>,
    ) -> Result<RegistryResponse, Failure> {
        let (client, reach) = self.host.client(reach);
        http::may_ask(url, reach).await.map_err(|broken| self.broken(broken))?;
        let mut request = client.request(ask.method.clone(), url.clone());
        if let Some(form) = &ask.form {
            request = request.form(form);
        }
        request = request.header(ACCEPT, ask.accept);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(validators) = ask.validators {
            // Values that are not valid in a header are left out; then the whole answer arrives.
            let value = |text: &Option<String>| text.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
            if let Some(etag) = value(&validators.etag) {
                request = request.header(IF_NONE_MATCH, etag);
            } else if let Some(date) = value(&validators.last_modified) {
                request = request.header(IF_MODIFIED_SINCE, date);
            }
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut response = http::send(request).await.map_err(|broken| self.broken(broken))?;
        let status = response.status();
        let peer = response.remote_addr().map(|address| address.ip());
        let headers = std::mem::take(response.headers_mut());
        if self.host.is_own(url) && status != StatusCode::UNAUTHORIZED {
            self.host.heard(Counted::of(&ask.method, url), &headers);
        }
        let read = if ask.method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
            None
        } else if let Some(sink) = ask.sink.filter(|_| status.is_success()) {
            self.hand_on(response, ask.limit, sink).await?;
            None
        } else if status.is_success() {
            Some(self.read(response, ask.limit).await?)
        } else {
            // The body of an error is a bonus; if it cannot be read, nothing changes.
            self.read(response, MAX_ERROR_BODY.min(ask.limit)).await.ok()
        };
        Ok(RegistryResponse { status, headers, body: read.unwrap_or_default(), url: url.clone(), peer })
    }

    async fn hand_on(&self, response: reqwest::Response, limit: u64, sink: &dyn BodySink) -> Result<(), Failure> {
        sink.begin();
        let taken = http::stream(response, limit, |part| sink.take(part).map_err(Stopped::Refused)).await;
        taken.map_err(|stopped| match stopped {
            Stopped::Broken(broken) => self.broken(broken),
            Stopped::Refused(failure) => failure,
        })
    }

    async fn read(&self, response: reqwest::Response, limit: u64) -> Result<Body, Failure> {
        http::read(response, limit).await.map_err(|broken| self.broken(broken))
    }

    /// Turns refusals, limits and server faults into failures; everything else is an answer.
    pub(super) fn classified(&self, answer: RegistryResponse) -> Result<RegistryResponse, Failure> {
        let status = answer.status;
        let pause = retry::after(&answer.headers);
        // Where nothing is left, the same headers say when there is more.
        let reset = || quota::read(&answer.headers).filter(|quota| quota.remaining == 0).and_then(|quota| quota.reset);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.refused(&answer)),
            StatusCode::TOO_MANY_REQUESTS => {
                let pause = pause.or_else(reset);
                let failure = self.host.rate_limited(&said(&answer), pause);
                Err(Failure { pause, ..failure })
            }
            StatusCode::REQUEST_TIMEOUT => Err(Cause::TimedOut(said(&answer)).into()),
            _ if status.is_server_error() => Err(Failure { cause: Cause::Server(said(&answer)), hint: None, pause }),
            _ if is_redirect(status) => Err(Failure::protocol("redirected where redirects are not followed")),
            _ => Ok(answer),
        }
    }

    fn broken(&self, Broken { kind, text }: Broken) -> Failure {
        let hint = match &text {
            text if text.contains("InvalidContentType") => Some("if it uses plain HTTP, set `plainHttp: true`"),
            text if text.contains("CaUsedAsEndEntity") => Some(
                "its certificate is itself a CA (openssl's default for self-signed ones); make one with \
                 basicConstraints=CA:FALSE, or one signed by that CA",
            ),
            text if text.contains("CertificateRequired") => {
                Some("it wants to see a certificate of the client: set `clientCertificate`")
            }
            text if text.contains("certificate") => Some("if its certificate is from a private CA, set `caFile`"),
            _ => None,
        };
        let cause = match kind {
            BrokenKind::ConnectTimeout => {
                Cause::TimedOut(format!("no connection within {:?}", self.limits.connect_timeout))
            }
            BrokenKind::Timeout => {
                Cause::TimedOut(format!("no complete answer within {:?}", self.limits.request_timeout))
            }
            BrokenKind::Unreachable => Cause::Unreachable(text),
            BrokenKind::CutOff => Cause::CutOff(format!("the answer was cut off: {text}")),
            BrokenKind::TooLong => Cause::Protocol(text),
            // It says nothing of the host's health.
            BrokenKind::NoRoom => Cause::CutOff(text),
        };
        Failure { cause, hint: hint.map(str::to_owned), pause: None }
    }
}

/// The status and the codes of an error answer (`errors[].code` in the OCI distribution specification). Its free text
/// is left out: it comes from outside and may repeat what we sent.
pub(super) fn said(answer: &RegistryResponse) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<Code>,
    }
    #[derive(serde::Deserialize)]
    struct Code {
        code: String,
    }
    let status = match answer.status.canonical_reason() {
        Some(reason) => format!("{} {reason}", answer.status.as_u16()),
        None => answer.status.as_u16().to_string(),
    };
    let errors = serde_json::from_slice::<Errors>(&answer.body).map(|errors| errors.errors).unwrap_or_default();
    let known = |code: &&Code| {
        code.code.len() <= 40 && code.code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') && !code.code.is_empty()
    };
    let codes: Vec<&str> = errors.iter().filter(known).take(3).map(|code| code.code.as_str()).collect();
    if codes.is_empty() { status } else { format!("{status} ({})", codes.join(", ")) }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
