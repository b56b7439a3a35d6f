//! What the logins of all registries share: a clock, clients for the services of clouds, and their credentials, by identity.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;

pub(super) use crate::http::address::named as address;
use crate::http::{self, Body, Broken, BrokenKind, ClientSettings};
use crate::registry::error::Cause;
use crate::registry::host::Failure;

use super::pull_secret::PullSecretReader;
use super::renewed::Renewed;

/// Most time for one answer of a cloud's service.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The codes with which AWS says with status 400 that it was asked too often (its "Common Errors"), and that the fault is not ours.
const THROTTLED: [&str; 4] = ["Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"];
const TROUBLED: [&str; 3] = ["IDPCommunicationError", "IDPCommunicationErrorException", "ServiceUnavailable"];
/// The largest answer that is read.
const MAX_BODY: u64 = 256 * 1024;

/// What the logins of all registries share.
#[derive(Clone)]
pub struct LoginTools(Arc<Shared>);

struct Shared {
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    pull_secrets: Arc<dyn PullSecretReader>,
    /// For addresses that a cloud serves within the machine: no proxy reaches them.
    direct: OnceLock<Client>,
    public: OnceLock<Client>,
    /// One credential serves every registry that the same identity may read.
    credentials: Mutex<HashMap<SecretHash, Arc<Renewed>>>,
}

impl fmt::Debug for LoginTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginTools")
    }
}

/// A hash of something secret, by which it is told from others; nothing can be read back from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::registry) struct SecretHash(Vec<u8>);

impl SecretHash {
    /// The hash of all these parts; where one ends and the next begins counts, too.
    pub(super) fn of(parts: &[impl AsRef<[u8]>]) -> Self {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in parts.iter().map(AsRef::as_ref) {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        Self(context.finish().as_ref().to_vec())
    }
}

/// An answer of a cloud's service.
pub(super) struct CloudAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Who answered, for messages.
    service: String,
}

impl LoginTools {
    /// Tools whose clock is `now`.
    pub fn new(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        pull_secrets: impl PullSecretReader + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            now: Box::new(now),
            pull_secrets: Arc::new(pull_secrets),
            direct: OnceLock::new(),
            public: OnceLock::new(),
            credentials: Mutex::default(),
        }))
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        (self.0.now)()
    }

    /// What reads pull secrets of clusters.
    pub(super) fn pull_secrets(&self) -> Arc<dyn PullSecretReader> {
        Arc::clone(&self.0.pull_secrets)
    }

    /// The credential of an identity, given by all that it consists of, secrets included: who differs in any of it shares nothing.
    pub(super) fn credential(&self, identity: &[&str]) -> Arc<Renewed> {
        let mut credentials = self.0.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(credentials.entry(SecretHash::of(identity)).or_default())
    }

    /// A client for the public services of a cloud, through the proxies of the environment.
    pub(super) fn public(&self) -> Result<&Client, Failure> {
        made(&self.0.public, false)
    }

    /// A client for what a cloud serves within the machine.
    pub(super) fn direct(&self) -> Result<&Client, Failure> {
        made(&self.0.direct, true)
    }
}

fn made(slot: &OnceLock<Client>, direct: bool) -> Result<&Client, Failure> {
    if let Some(client) = slot.get() {
        return Ok(client);
    }
    let settings = ClientSettings { timeout: TIMEOUT, direct, ..ClientSettings::default() };
    let client = http::client(settings).map_err(|error| Failure::protocol(error.to_string()))?;
    Ok(slot.get_or_init(|| client))
}

/// Asks a cloud's service. What its answer says is for the caller; redirects are not followed.
///
/// # Errors
/// When there is no complete answer, or it is a fault of the server.
pub(super) async fn ask(request: RequestBuilder, service: &str) -> Result<CloudAnswer, Failure> {
    let failed = |broken: Broken| {
        let text = format!("{service}: {}", broken.text);
        let is_untrusted = text.contains("certificate");
        let failure = Failure::from(match broken.kind {
            BrokenKind::ConnectTimeout | BrokenKind::Timeout => Cause::TimedOut(text),
            BrokenKind::Unreachable => Cause::Unreachable(text),
            BrokenKind::CutOff => Cause::CutOff(text),
            _ => Cause::Protocol(text),
        });
        match is_untrusted {
            true => failure.hint("if its certificate is from a private CA, name that in SSL_CERT_FILE"),
            false => failure,
        }
    };
    let mut response = http::send(request).await.map_err(failed)?;
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let body = http::read(response, MAX_BODY).await.map_err(failed)?;
    if status.is_server_error() {
        return Err(Cause::Server(format!("{service} answered {}", status.as_u16())).into());
    }
    Ok(CloudAnswer { status, headers, body, service: service.to_owned() })
}

impl CloudAnswer {
    /// The answer as JSON, where the service agreed.
    ///
    /// # Errors
    /// When it did not; with its code, where `code` finds one that is fit to be shown.
    pub(super) fn json<T: DeserializeOwned>(
        &self,
        code: impl FnOnce(&serde_json::Value) -> Option<String>,
    ) -> Result<T, Failure> {
        if self.status.is_success() {
            return serde_json::from_slice(&self.body).map_err(|_| {
                Failure::protocol(format!("{} answered something else than it is documented to", self.service))
            });
        }
        let code = serde_json::from_slice(&self.body).ok().as_ref().and_then(code);
        Err(self.refused(code.as_deref()))
    }

    /// Why the service said no.
    pub(super) fn refused(&self, code: Option<&str>) -> Failure {
        let status = self.status.as_u16();
        let text = match code.filter(|code| is_code(code)) {
            Some(code) => format!("{} answered {status} ({code})", self.service),
            None => format!("{} answered {status}", self.service),
        };
        let throttled = code.is_some_and(|code| THROTTLED.contains(&code));
        if throttled || self.status == StatusCode::TOO_MANY_REQUESTS {
            return Cause::RateLimited { detail: text, retry_after: http::retry::after(&self.headers) }.into();
        }
        if code.is_some_and(|code| TROUBLED.contains(&code)) {
            return Cause::Server(text).into();
        }
        Cause::Authentication(text).into()
    }
}

/// Whether this is a code and no free text, which may repeat what we sent.
fn is_code(code: &str) -> bool {
    (1..=60).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
}

/// The token in a file that a cloud or a cluster keeps new.
///
/// # Errors
/// Why there is none; `what` says what it would be.
pub(super) async fn token_file(path: &str, what: &str) -> Result<secrecy::SecretString, Failure> {
    let read = crate::document::secret::token_file(path).await;
    read.map_err(|reason| Cause::Authentication(format!("{what} ({path}) {reason}")).into())
}

#[cfg(test)]
pub(super) mod tests {
    use futures::future::BoxFuture;
    use secrecy::SecretString;

    use super::super::pull_secret::{NoPullSecret, PullSecretName};
    use super::*;

    pub(in super::super) struct NoClusters;

    impl PullSecretReader for NoClusters {
        fn knows(&self, _: &str) -> bool {
            false
        }

        fn read<'a>(&'a self, _: &'a PullSecretName) -> BoxFuture<'a, Result<SecretString, NoPullSecret>> {
            Box::pin(std::future::ready(Err(NoPullSecret::Refused("there is no cluster".to_owned()))))
        }
    }

    #[test]
    fn only_who_has_all_of_a_credential_shares_what_it_gives() {
        let tools = LoginTools::new(|| Timestamp::UNIX_EPOCH, NoClusters);
        let one = tools.credential(&["key", "AKIA1", "secret", "session"]);
        assert!(Arc::ptr_eq(&one, &tools.credential(&["key", "AKIA1", "secret", "session"])));
        for other in [
            ["key", "AKIA1", "other", "session"],
            ["key", "AKIA1", "secret", "other"],
            ["key", "AKIA1s", "ecret", "session"],
            ["key", "AKIA2", "secret", "session"],
        ] {
            assert!(!Arc::ptr_eq(&one, &tools.credential(&other)), "{other:?}");
        }
    }

    #[test]
    fn a_cloud_that_is_asked_too_often_or_in_trouble_refuses_nobody() {
        let cause = |code: &str| {
            let (headers, body) = (HeaderMap::new(), Body::default());
            let answer = CloudAnswer { status: StatusCode::BAD_REQUEST, headers, body, service: "STS".to_owned() };
            answer.refused(Some(code)).cause
        };
        for code in ["Throttling", "ThrottlingException", "RequestLimitExceeded"] {
            assert!(matches!(cause(code), Cause::RateLimited { .. }), "{code}");
        }
        assert!(matches!(cause("IDPCommunicationError"), Cause::Server(_)));
        assert!(matches!(cause("AccessDenied"), Cause::Authentication(_)));
    }
}
