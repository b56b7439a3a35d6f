//! The HTTP client of the sinks, and its errors.
//!
//! Promise: every request ends in bounded time with a bounded answer. Redirects are not followed, because requests are
//! secret or carry secrets. No error contains a secret, or the path of an address, which for webhooks is a secret.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::StatusCode;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use crate::http::{self, Broken, BrokenKind, ClientSettings, Secrets, retry};

use super::opening::{LendsStatusToken, StatusToken};

/// Maximum number of bytes of an answer that are read.
const MAX_BODY: u64 = 1 << 20;
/// Maximum length of the other side's message in an error, in characters.
const MAX_WORDS: usize = 200;

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Login or permission refused.
    Refused,
    /// Too many requests.
    Limited,
    /// The receiver has a fault of its own, or is unreachable.
    Unavailable,
    /// The receiver will never accept this message, however often it is sent.
    Rejected,
    /// The settings cannot work, or the receiver is not what they say.
    Misplaced,
}

/// Why a message did not arrive, in one line with a next step and without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// What happened, where, and what to do next.
    pub message: String,
    /// How long the receiver asked us to wait.
    pub after: Option<Duration>,
    /// The status of the answer, if there was one.
    pub(super) status: Option<StatusCode>,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), after: None, status: None }
    }
}

/// An answer that was not a failure.
pub(super) struct Answer {
    pub(super) body: http::Body,
}

/// A client for one receiver.
#[derive(Debug, Clone)]
pub(super) struct SinkClient {
    http: Client,
    secrets: Secrets,
    /// The tokens that were lent last.
    lent: Arc<Mutex<VecDeque<SecretString>>>,
}

/// How many of them are remembered: one of each repository, and those before.
const LENT: usize = 256;

impl SinkClient {
    pub(super) fn new(ca_pem: Option<&[u8]>, timeout: Duration, secrets: Vec<SecretString>) -> Result<Self, Failure> {
        let http = http::client(ClientSettings { ca_pem, timeout, ..ClientSettings::default() })
            .map_err(|error| Failure::new(FailureKind::Misplaced, error.to_string()))?;
        Ok(Self { http, secrets: Secrets::new(secrets), lent: Arc::default() })
    }

    pub(super) fn http(&self) -> &Client {
        &self.http
    }

    /// Sends a request with a token of a repository's forge. One that was lent and is refused is tried once more with another
    /// one.
    pub(super) async fn send_as(
        &self,
        token: &StatusToken,
        request: impl Fn(&str) -> RequestBuilder,
    ) -> Result<Answer, Failure> {
        let lender = match token {
            StatusToken::Kept(token) => return self.send(request(token.expose_secret())).await,
            StatusToken::Lent(lender) => lender,
        };
        let first = self.borrow(lender.as_ref()).await?;
        let sent = self.send(request(first.expose_secret())).await;
        let Err(Failure { status: Some(StatusCode::UNAUTHORIZED), .. }) = &sent else { return sent };
        lender.refused().await;
        let second = self.borrow(lender.as_ref()).await?;
        if second.expose_secret() == first.expose_secret() {
            return sent;
        }
        self.send(request(second.expose_secret())).await
    }

    async fn borrow(&self, lender: &dyn LendsStatusToken) -> Result<SecretString, Failure> {
        let token = lender.token().await.map_err(|(kind, message)| Failure::new(kind, message))?;
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        if lent.iter().all(|known| known.expose_secret() != token.expose_secret()) {
            lent.push_back(token.clone());
            let over = lent.len().saturating_sub(LENT);
            drop(lent.drain(..over));
        }
        Ok(token)
    }

    /// Sends a request; any answer that is not a success becomes a failure with a message.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let (http, request) = request.build_split();
        let request = request.map_err(|error| self.unsent("the request", &error.into()))?;
        let place = format!("{} {}", request.method(), http::origin(request.url()));
        let response = http::send(RequestBuilder::from_parts(http, request)).await;
        let response = response.map_err(|broken| self.unsent(&place, &broken))?;
        let status = response.status();
        let asked = retry::after(response.headers());
        let limited = response.headers().get("x-ratelimit-remaining").is_some_and(|left| left == "0");
        let accepted = response.headers().get("x-accepted-github-permissions").and_then(|text| text.to_str().ok());
        let accepted = accepted.filter(|text| !text.is_empty() && !status.is_success()).map(|text| self.clean(text));
        let body = match status.is_success() {
            true => http::read(response, MAX_BODY).await.map_err(|broken| self.unsent(&place, &broken))?,
            false => http::read_error(response).await,
        };
        if status.is_success() {
            return Ok(Answer { body });
        }
        let wait = asked.or_else(|| wait_in(&body).filter(|_| status == StatusCode::TOO_MANY_REQUESTS));
        let words = self.clean(&String::from_utf8_lossy(&body));
        let (kind, next) = classify(status, limited || wait.is_some(), &words);
        // GitHub says which permission would be sufficient.
        let words = match accepted {
            Some(accepted) => format!("{words}; it requires {accepted}"),
            None => words,
        };
        let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
        let message = format!("{place}: answered {}{words}; next: {next}", status.as_u16());
        Err(Failure { kind, message, after: wait, status: Some(status) })
    }

    /// Reads an answer as JSON.
    pub(super) fn read<T: DeserializeOwned>(&self, what: &str, answer: &Answer) -> Result<T, Failure> {
        serde_json::from_slice(&answer.body).map_err(|_| {
            let words = self.clean(&String::from_utf8_lossy(&answer.body));
            let message = format!("{what}: unexpected answer ({words}); next: check the address");
            Failure::new(FailureKind::Misplaced, message)
        })
    }

    fn unsent(&self, place: &str, broken: &Broken) -> Failure {
        let why = self.clean(&broken.text);
        match broken.kind {
            BrokenKind::TooLong => {
                Failure::new(FailureKind::Misplaced, format!("{place}: {why}; next: check the address"))
            }
            _ => {
                let next = "check that the address can be reached from here";
                Failure::new(FailureKind::Unavailable, format!("{place}: no answer: {why}; next: {next}"))
            }
        }
    }

    /// A message of the receiver, made one line without secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        let lent: Vec<SecretString> =
            self.lent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        self.secrets.clean(&Secrets::new(lent).clean(text, usize::MAX), MAX_WORDS)
    }
}

/// How long the body of a refusal asks us to wait: Matrix's milliseconds, or Discord's seconds. At most an hour.
fn wait_in(body: &[u8]) -> Option<Duration> {
    #[derive(serde::Deserialize)]
    struct Limited {
        retry_after_ms: Option<f64>,
        retry_after: Option<f64>,
    }
    let limited: Limited = serde_json::from_slice(body).ok()?;
    let seconds = limited.retry_after_ms.map(|ms| ms / 1_000.0).or(limited.retry_after)?;
    Duration::try_from_secs_f64(seconds.min(3_600.0)).ok()
}

/// Classifies a refusal by its status. GitHub answers 403 for "forbidden" as well as for "slow down".
fn classify(status: StatusCode, limited: bool, words: &str) -> (FailureKind, &'static str) {
    let secondary = words.to_ascii_lowercase().contains("rate limit");
    match status.as_u16() {
        429 => (FailureKind::Limited, "nothing, it will be sent again later"),
        403 if limited || secondary => (FailureKind::Limited, "nothing, it will be sent again later"),
        401 | 403 => (FailureKind::Refused, "give it a valid key or token with the permissions it needs"),
        404 | 405 | 410 => (FailureKind::Refused, "check the address; a permission may also be missing"),
        408 | 425 | 500..=599 => (FailureKind::Unavailable, "nothing, it will be sent again"),
        300..=399 => (FailureKind::Misplaced, "configure the final address; redirects are not followed with secrets"),
        _ => (FailureKind::Rejected, "this message is dropped; see what the receiver objects to"),
    }
}

/// How to log in.
#[derive(Debug, Clone)]
pub(super) enum Login {
    /// By name and password.
    Basic { username: String, password: SecretString },
    /// By a bearer token.
    Bearer(SecretString),
}

/// Adds the login.
pub(super) fn with_login(request: RequestBuilder, login: Option<&Login>) -> RequestBuilder {
    match login {
        None => request,
        Some(Login::Basic { username, password }) => request.basic_auth(username, Some(password.expose_secret())),
        Some(Login::Bearer(token)) => request.bearer_auth(token.expose_secret()),
    }
}

/// The secrets of a login.
pub(super) fn login_secrets(login: Option<&Login>) -> Vec<SecretString> {
    match login {
        None => Vec::new(),
        Some(Login::Basic { username, password }) => {
            // Encoded as it is in the header.
            let pair = format!("{username}:{}", password.expose_secret());
            let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair);
            vec![password.clone(), SecretString::from(encoded)]
        }
        Some(Login::Bearer(token)) => vec![token.clone()],
    }
}

/// An http(s) address.
pub(super) fn address(text: &str) -> Result<Url, Failure> {
    let wrong =
        |why: &str| Failure::new(FailureKind::Misplaced, format!("the address {why}; next: write https://HOST/…"));
    let url = Url::parse(text.trim()).map_err(|_| wrong("is not a URL"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err(wrong("is not an http(s) URL"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        use FailureKind as F;
        for (status, limited, words, kind) in [
            (401, false, "", F::Refused),
            (403, false, "no_permission", F::Refused),
            (403, true, "", F::Limited),
            (403, false, "You have exceeded a secondary rate limit", F::Limited),
            (404, false, "", F::Refused),
            (429, false, "", F::Limited),
            (400, false, "", F::Rejected),
            (422, false, "", F::Rejected),
            (500, false, "", F::Unavailable),
            (503, true, "", F::Unavailable),
            (302, false, "", F::Misplaced),
        ] {
            assert_eq!(classify(StatusCode::from_u16(status).unwrap(), limited, words).0, kind, "{status} {words}");
        }
    }

    #[test]
    fn a_pause_may_be_asked_for_in_the_body() {
        for (body, seconds) in [
            (r#"{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}"#, Some(2.5)),
            (r#"{"message": "slow down", "retry_after": 0.3, "global": false}"#, Some(0.3)),
            (r#"{"retry_after_ms": 1e300}"#, Some(3_600.0)),
            (r#"{"retry_after": -1}"#, None),
            (r#"{"retry_after": "soon"}"#, None),
            ("slow down", None),
        ] {
            assert_eq!(wait_in(body.as_bytes()), seconds.map(Duration::from_secs_f64), "{body}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_not_repeated() {
        let error = address("ftp://user:pass@host/secret").unwrap_err().to_string();
        assert!(!error.contains("pass") && error.contains("next:"), "{error}");
    }
}
