//! The HTTP client of this edge, and what can go wrong behind it.
//!
//! Promise: every request ends in bounded time with a bounded answer; redirects are not followed, since what is sent is
//! secret or carries secrets; no error holds a secret, nor the path of an address, which with webhooks is one.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use crate::model::one_line;

use super::settings::Login;

/// How receivers see us.
const USER_AGENT: &str = concat!("landfall/", env!("CARGO_PKG_VERSION"));
/// Most bytes of an answer that are read.
const MAX_BODY: usize = 1 << 20;
/// Most characters of the other side's words in an error.
const MAX_WORDS: usize = 200;
/// The shortest part of a secret address that is taken for a secret.
const SECRET_PART: usize = 6;
/// The longest that a receiver can make us wait with one header.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// What sort of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Login or permission refused.
    Refused,
    /// Too many requests.
    Limited,
    /// The other side has a fault of its own, or cannot be reached.
    Unavailable,
    /// The other side will not take this message, however often it is sent.
    Rejected,
    /// The settings cannot work, or the other side is not what they say.
    Misplaced,
}

/// Why a message did not arrive, in one line with a next step and without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What sort of failure.
    pub kind: FailureKind,
    /// What happened, where, and what next.
    pub message: String,
    /// How long the other side asked to be left alone.
    pub after: Option<Duration>,
    /// The status of the answer, where there was one.
    pub(super) status: Option<StatusCode>,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), after: None, status: None }
    }
}

/// An answer that was not a failure.
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
}

/// An address that does not print.
#[derive(Clone)]
pub(super) struct SecretUrl(pub(super) Url);

impl std::fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretUrl")
    }
}

/// A client for one receiver.
#[derive(Debug, Clone)]
pub(super) struct SinkClient {
    http: Client,
    /// What must not be repeated in errors, should the other side do so.
    secrets: Vec<SecretString>,
}

impl SinkClient {
    /// The one place where HTTP clients for receivers are made.
    pub(super) fn new(ca_pem: Option<&[u8]>, timeout: Duration, secrets: Vec<SecretString>) -> Result<Self, Failure> {
        let unusable = |why: String| Failure::new(FailureKind::Misplaced, why);
        #[expect(clippy::disallowed_methods, reason = "the one HTTP client of this edge")]
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(30));
        if let Some(pem) = ca_pem {
            let wrong = || unusable("the CA file holds no certificate in PEM format; next: look at caFile".to_owned());
            let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| wrong())?;
            if certificates.is_empty() {
                return Err(wrong());
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder.build().map_err(|error| unusable(format!("no HTTP client: {}", error.without_url())))?;
        Ok(Self { http, secrets })
    }

    pub(super) fn http(&self) -> &Client {
        &self.http
    }

    /// Sends; whatever is not a success is a failure, put in words.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let request = request.build().map_err(|error| self.unsent("the request", &error))?;
        let place = format!("{} {}", request.method(), origin(request.url()));
        let mut response = self.http.execute(request).await.map_err(|error| self.unsent(&place, &error))?;
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let limited = response.headers().get("x-ratelimit-remaining").is_some_and(|left| left == "0");
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unsent(&place, &error))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Failure::new(FailureKind::Misplaced, format!("{place}: the answer is longer than 1 MiB")));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(Answer { body });
        }
        let words = self.clean(&String::from_utf8_lossy(&body));
        let (kind, next) = classify(status, limited || wait.is_some(), &words);
        let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
        let after = wait.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        let message = format!("{place}: answered {}{words}; next: {next}", status.as_u16());
        Err(Failure { kind, message, after, status: Some(status) })
    }

    /// Reads an answer as JSON.
    pub(super) fn read<T: DeserializeOwned>(&self, what: &str, answer: &Answer) -> Result<T, Failure> {
        serde_json::from_slice(&answer.body).map_err(|_| {
            let words = self.clean(&String::from_utf8_lossy(&answer.body));
            let message = format!("{what}: the answer is not what it should be ({words}); next: check the address");
            Failure::new(FailureKind::Misplaced, message)
        })
    }

    fn unsent(&self, place: &str, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() { "it took too long".to_owned() } else { self.clean(&chain(error)) };
        let message = format!("{place}: no answer: {why}; next: check that the address can be reached from here");
        Failure::new(FailureKind::Unavailable, message)
    }

    /// Words of the other side as a part of one line, without secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "***");
            let Ok(url) = Url::parse(secret) else { continue };
            // Of an address any part may be the secret one, but for words such as `v1` that are everywhere.
            let path = url.path().split('/').map(str::to_owned);
            for part in path.chain(url.query_pairs().map(|(_, value)| value.into_owned())) {
                if part.len() >= SECRET_PART {
                    text = text.replace(&part, "***");
                }
            }
        }
        one_line(&text, MAX_WORDS)
    }
}

/// A refusal by its status. GitHub answers 403 both to say "no" and to say "not so fast".
fn classify(status: StatusCode, limited: bool, words: &str) -> (FailureKind, &'static str) {
    let secondary = words.to_ascii_lowercase().contains("rate limit");
    match status.as_u16() {
        429 => (FailureKind::Limited, "nothing, it is sent again later"),
        403 if limited || secondary => (FailureKind::Limited, "nothing, it is sent again later"),
        401 | 403 => (FailureKind::Refused, "give it a valid key or token with the permissions it needs"),
        404 | 405 | 410 => (FailureKind::Refused, "check the address; it may also be a permission that is missing"),
        408 | 425 | 500..=599 => (FailureKind::Unavailable, "nothing, it is sent again"),
        300..=399 => (FailureKind::Misplaced, "configure the final address; redirects are not followed with secrets"),
        _ => (FailureKind::Rejected, "this message is given up; look at what the receiver objects to"),
    }
}

/// Scheme, host and port: paths and queries may be secrets.
fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| format!("{}://{host}", url.scheme()), |port| format!("{}://{host}:{port}", url.scheme()))
}

/// An error with its causes, without the address.
fn chain(error: &reqwest::Error) -> String {
    // reqwest puts the whole address into its own words; its causes do not know it.
    let mut parts: Vec<String> = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        next = cause.source();
    }
    if parts.is_empty() { "the request failed".to_owned() } else { parts.join(": ") }
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
            // As it stands in the header.
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
    fn no_secret_and_no_path_of_a_secret_address_is_repeated() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let secrets = vec!["tok3n".into(), "https://hooks.example.com/services/T0/B0/s3cret".into()];
        let client = SinkClient::new(None, Duration::from_secs(1), secrets).unwrap();
        let text = "no tok3n at https://hooks.example.com/services/T0/B0/s3cret nor /services/T0/B0/s3cret\r\n";
        let clean = client.clean(text);
        assert!(!clean.contains("tok3n") && !clean.contains("s3cret") && !clean.contains('\n'), "{clean}");
        assert!(!format!("{client:?}").contains("tok3n"));
        let error = address("ftp://user:pass@host/secret").unwrap_err().to_string();
        assert!(!error.contains("pass") && error.contains("next:"), "{error}");
    }
}
