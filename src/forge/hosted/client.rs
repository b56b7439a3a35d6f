//! The only way to a forge's REST API: builds the client, sends, retries what may be repeated, follows pages and
//! renames. What differs between kinds of forges is in their [`Dialect`].
//!
//! How such services behave, and what follows from it:
//! - a creation that is answered 502 may have been done: only what is harmless to repeat is retried
//! - reads and absolute changes are retried on network failures, 5xx and 409 (GitHub sometimes answers 409 wrongly)
//! - a renamed or transferred repository answers 301 or 307; its new name is learned from there
//! - `Link` and `Location` may name any host: they must name ours, and only their path and query are used
//! - a rate limit (403 or 429) blocks the client until it is over; integrations that ignore it get banned

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderMap, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::answer::{Reply, problem_of};
use super::ask::{Ask, Repeat, Start};
use super::dialect::{Dialect, Login, Place};
use super::settings::{split_address, token};
use crate::forge::error::{ForgeError, Problem};
use crate::git::NoToken;
use crate::http::{self, Broken, BrokenKind, ClientSettings, Secrets, retry};
use crate::model::{Fence, NotHeld};

/// A page of 100 pull requests with the longest texts that forges accept is about 10 MB.
const BODY_LIMIT: u64 = 32 << 20;
/// The most values, and objects among them, of an answer: such a page has some 70,000 and 4,000.
const MOST_VALUES: usize = 500_000;
const MOST_OBJECTS: usize = 100_000;
/// How often a repeatable request is tried, and the pauses in between.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(400);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The maximum length of a forge's message in an error.
pub(super) const WORDS: usize = 600;
const REDIRECT_LIMIT: usize = 3;

/// The client of one repository.
pub(in crate::forge) struct ApiClient {
    dialect: &'static Dialect,
    /// Scheme, host and port.
    origin: Url,
    /// The API's own path without a trailing `/`: empty, or as `/api/v3` on an Enterprise Server.
    prefix: String,
    client: reqwest::Client,
    login: Login,
    /// The tokens that were sent: of those that end, the last one.
    secrets: Mutex<Secrets>,
    /// The repository's name as configured, for messages.
    configured: String,
    /// The same as the forge knows it now.
    current: Mutex<String>,
    /// When the wait that the forge demanded is over.
    closed_until: Mutex<Option<Instant>>,
    /// Asked before each change, with the repository's name in the configuration; unset: nobody shares the work.
    fence: OnceLock<(Fence, String)>,
}

impl ApiClient {
    pub(in crate::forge) fn new(dialect: &'static Dialect, place: &Place) -> Result<Self, ForgeError> {
        let wrong = |text: String| {
            let named = Secrets::default().clean(&place.repository, WORDS);
            ForgeError::new(dialect.forge, &named, "settings", Problem::Settings(text))
        };
        (dialect.check_name)(&place.repository).map_err(&wrong)?;
        let (origin, prefix) = split_address(&place.api_url, dialect).map_err(&wrong)?;
        let (login, secrets) = match &place.login {
            Login::Token(given) => {
                let token = token(given).map_err(&wrong)?;
                (Login::Token(token.clone()), Secrets::new(vec![token]))
            }
            Login::Basic { user, token: given } => {
                let token = token(given).map_err(&wrong)?;
                (Login::Basic { user: user.clone(), token: token.clone() }, Secrets::new(vec![token]))
            }
            lent @ Login::Lent(_) => (lent.clone(), Secrets::default()),
        };
        let client = http::client(ClientSettings {
            ca_pem: place.ca_pem.as_deref(),
            identity_pem: place.identity_pem.as_deref(),
            timeout: place.timeout,
            ..ClientSettings::default()
        })
        .map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            dialect,
            origin,
            prefix,
            client,
            secrets: Mutex::new(secrets),
            login,
            current: Mutex::new(place.repository.clone()),
            configured: place.repository.clone(),
            closed_until: Mutex::new(None),
            fence: OnceLock::new(),
        })
    }

    /// Asks this right before each change; a second call changes nothing.
    pub(super) fn fenced(&self, fence: Fence, repository: &str) {
        self.fence.get_or_init(|| (fence, repository.to_owned()));
    }

    /// Whether a change may begin now. What only asks may be a POST, too (GraphQL), and waits as well.
    fn check_held(&self, ask: &Ask) -> Result<(), Problem> {
        let Some((fence, repository)) = self.fence.get().filter(|_| ask.method != Method::GET) else { return Ok(()) };
        fence.check(repository).map_err(|NotHeld(reason)| Problem::NotHeld(reason))
    }

    /// The repository's name as the forge knows it now.
    pub(in crate::forge) fn name(&self) -> String {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The repository's name as configured.
    pub(in crate::forge) fn configured(&self) -> &str {
        &self.configured
    }

    /// An error for this repository.
    pub(in crate::forge) fn error(&self, call: &str, problem: Problem) -> ForgeError {
        ForgeError::new(self.dialect.forge, &self.configured, call, problem)
    }

    /// An error for an answer that makes no sense; `reason` may contain text from the forge.
    pub(in crate::forge) fn nonsense(&self, call: &str, reason: &str) -> ForgeError {
        self.error(call, Problem::Protocol(self.clean(reason)))
    }

    /// Sends a request and parses the answer.
    pub(in crate::forge) async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, ForgeError> {
        let reply = self.reply(&ask).await?;
        self.read(&ask.label(), &reply)
    }

    /// Sends a request to a route of its own, below the API's origin, and parses the answer.
    pub(in crate::forge) async fn ask_at<T: DeserializeOwned>(&self, ask: Ask, route: &str) -> Result<T, ForgeError> {
        let reply = self.persist(&ask, route).await.map_err(|problem| self.error(&ask.label(), problem))?;
        self.read(&ask.label(), &reply)
    }

    /// As [`Self::ask`], with the headers of the answer.
    pub(in crate::forge) async fn ask_heard<T: DeserializeOwned>(
        &self,
        ask: Ask,
    ) -> Result<(T, HeaderMap), ForgeError> {
        let reply = self.reply(&ask).await?;
        Ok((self.read(&ask.label(), &reply)?, reply.headers))
    }

    pub(super) fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    /// The API's own path.
    pub(in crate::forge) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Sends a request and ignores the body of the answer.
    pub(in crate::forge) async fn tell(&self, ask: Ask) -> Result<(), ForgeError> {
        self.reply(&ask).await.map(drop)
    }

    pub(super) fn read<T: DeserializeOwned>(&self, label: &str, reply: &Reply) -> Result<T, ForgeError> {
        parse(&reply.body).map_err(|reason| self.nonsense(label, &reason))
    }

    /// Sends the request to the repository's current address.
    pub(super) async fn reply(&self, ask: &Ask) -> Result<Reply, ForgeError> {
        let failed = |problem| self.error(&ask.label(), problem);
        match self.persist(ask, &self.route(ask)).await {
            Err(Problem::Redirect(location)) if ask.start == Start::Repository => {
                self.relocate(&location).await.map_err(failed)?;
                self.persist(ask, &self.route(ask)).await.map_err(failed)
            }
            other => other.map_err(failed),
        }
    }

    pub(super) fn route(&self, ask: &Ask) -> String {
        let below = match ask.start {
            Start::Repository => (self.dialect.route)(&self.name()),
            Start::Api => String::new(),
        };
        let slash = if ask.path.is_empty() || ask.path.starts_with('?') { "" } else { "/" };
        format!("{}{below}{slash}{}", self.prefix, ask.path)
    }

    /// Learns the repository's new name from the target of a redirect.
    async fn relocate(&self, location: &str) -> Result<(), Problem> {
        let mut location = location.to_owned();
        for _ in 0..REDIRECT_LIMIT {
            let path = self.local(&location).map_err(|_| Problem::Moved(location.clone()))?;
            let path = path.split('?').next().unwrap_or_default();
            let below = path.strip_prefix(&self.prefix).unwrap_or(path);
            let Some(repository) = (self.dialect.moved)(below) else { return Err(Problem::Redirect(location)) };
            match self.persist(&Ask::get(""), &format!("{}{repository}", self.prefix)).await {
                Err(Problem::Redirect(further)) => location = further,
                Err(problem) => return Err(problem),
                Ok(reply) => return self.rename(&reply),
            }
        }
        Err(Problem::Redirect(location))
    }

    fn rename(&self, reply: &Reply) -> Result<(), Problem> {
        let nonsense = |text: &str| Problem::Protocol(self.clean(text));
        let found: Value = parse(&reply.body).map_err(|reason| nonsense(&reason))?;
        let name = found[self.dialect.full_name].as_str().ok_or_else(|| nonsense("the repository has no name"))?;
        (self.dialect.check_name)(name).map_err(|_| nonsense("the repository moved to an invalid name"))?;
        tracing::warn!(from = %self.configured, to = %name, "the repository has been renamed; update `forge.repository`");
        name.clone_into(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// Path and query of an address that must be on our host.
    pub(super) fn local(&self, address: &str) -> Result<String, Problem> {
        let foreign = || Problem::Protocol(format!("it points to another host: {}", self.clean(address)));
        let url = self.origin.join(address).map_err(|_| foreign())?;
        // The scheme and port may differ behind a proxy in front of the server; neither is used.
        if url.host_str() != self.origin.host_str() || !url.username().is_empty() || url.password().is_some() {
            return Err(foreign());
        }
        let path = url.path();
        if !path.starts_with(&format!("{}{}", self.prefix, self.dialect.repositories)) {
            return Err(Problem::Protocol(format!("it points outside the API: {}", self.clean(address))));
        }
        Ok(url.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
    }

    /// A text from the forge as one line without secrets.
    pub(in crate::forge) fn clean(&self, text: &str) -> String {
        self.secrets().clean(text, WORDS)
    }

    fn secrets(&self) -> Secrets {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The token for one request.
    async fn token(&self) -> Result<SecretString, Problem> {
        let lender = match &self.login {
            Login::Token(token) | Login::Basic { token, .. } => return Ok(token.clone()),
            Login::Lent(lender) => lender,
        };
        let token = lender.token().await.map_err(|error| match error {
            NoToken::Refused(message) => Problem::Token { message },
            NoToken::Unavailable(message) => Problem::Network(message),
        })?;
        *self.secrets.lock().unwrap_or_else(PoisonError::into_inner) = Secrets::new(vec![token.clone()]);
        Ok(token)
    }

    /// Sends, and retries if that is harmless and may help.
    pub(super) async fn persist(&self, ask: &Ask, route: &str) -> Result<Reply, Problem> {
        let mut tried = 0;
        loop {
            tried += 1;
            let result = self.once(ask, route).await;
            match &result {
                Err(problem) if tried < ATTEMPTS && ask.repeat == Repeat::Harmless && problem.may_pass() => {
                    let wait = retry::backoff(PAUSE, LONGEST_PAUSE, tried, fastrand::f64());
                    tracing::debug!(%problem, ?wait, "trying again");
                    tokio::time::sleep(wait).await;
                }
                _ => return result,
            }
        }
    }

    async fn once(&self, ask: &Ask, route: &str) -> Result<Reply, Problem> {
        self.check_open()?;
        let url = self.origin.join(route).map_err(|_| Problem::Protocol("the URL cannot be built".to_owned()))?;
        let token = self.token().await?;
        let mut request = self.client.request(ask.method.clone(), url);
        request = (self.dialect.authorize)(request, &self.login, token.expose_secret());
        if let Some(body) = &ask.body {
            request = request.json(body);
            if let Some(content) = ask.content {
                request = request.header(CONTENT_TYPE, content);
            }
        }
        self.check_held(ask)?;
        let mut response = http::send(request).await.map_err(|broken| self.broken(broken))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        tracing::debug!(forge = self.dialect.forge, method = %ask.method, route, status = status.as_u16(), "asked the forge");
        let body = match status.is_success() {
            true => http::read(response, BODY_LIMIT).await.map_err(|broken| self.broken(broken))?,
            false => http::read_error(response).await,
        };
        let reply = Reply { status, headers, body };
        match problem_of(&reply, self.dialect, &self.secrets(), token.expose_secret()) {
            None => Ok(reply),
            Some(problem) => {
                if let (Problem::Token { .. }, Login::Lent(lender)) = (&problem, &self.login) {
                    lender.refused().await;
                }
                self.close_for(&problem);
                Err(problem)
            }
        }
    }

    fn broken(&self, Broken { kind, text }: Broken) -> Problem {
        let text = self.clean(&text);
        if kind == BrokenKind::TooLong { Problem::Protocol(text) } else { Problem::Network(text) }
    }

    /// Fails immediately while a rate limit applies.
    fn check_open(&self) -> Result<(), Problem> {
        let until = *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default();
        if left.is_zero() {
            return Ok(());
        }
        let message = "an earlier answer said to wait".to_owned();
        Err(Problem::RateLimited { status: StatusCode::TOO_MANY_REQUESTS.as_u16(), message, after: Some(left) })
    }

    fn close_for(&self, problem: &Problem) {
        if let Problem::RateLimited { after: Some(after), .. } = problem {
            // Bounded: a wrong clock must not block the client for good. Limits are reset every hour.
            let after = (*after).min(Duration::from_hours(1));
            *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + after);
        }
    }
}

impl ForgeError {
    /// Whether what was asked may have been done all the same: the answer is lost, or cannot be read.
    pub(in crate::forge) fn may_be_done(&self) -> bool {
        self.problem.may_pass() || matches!(self.problem, Problem::Protocol(_))
    }
}

/// Parses an answer, unless it has far more in it than any page of 100 pull requests: what it becomes in memory is bounded, too.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let extent = http::extent(body);
    if extent.values > MOST_VALUES || extent.objects > MOST_OBJECTS {
        return Err(format!("it has more than {MOST_VALUES} values or {MOST_OBJECTS} objects"));
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

impl Problem {
    /// Whether the same request may succeed a moment later.
    pub(in crate::forge) fn may_pass(&self) -> bool {
        matches!(self, Self::Network(_) | Self::NotYet(_) | Self::Server { .. } | Self::Rejected { status: 409, .. })
    }

    /// Whether it was refused for somebody who is no reviewer.
    pub(in crate::forge) fn names_reviewers(&self) -> bool {
        let says = |message: &str| message.to_lowercase().contains("reviewer");
        matches!(self, Self::Rejected { status: 400 | 409 | 422, message } if says(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_very_many_values_is_not_parsed() {
        let all = |of: &str, count: usize| format!("[{}]", vec![of; count].join(","));
        for (text, parsed) in [
            (all("0", MOST_VALUES - 1), true),
            (all("0", MOST_VALUES + 1), false),
            (all("{}", MOST_OBJECTS), true),
            (all("{}", MOST_OBJECTS + 1), false),
            (format!("[\"{}\"]", ",".repeat(2 * MOST_VALUES)), true),
        ] {
            assert_eq!(parse::<Value>(text.as_bytes()).is_ok(), parsed, "{text:.20}");
        }
    }
}
