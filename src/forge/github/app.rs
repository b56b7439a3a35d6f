//! A GitHub App: installation tokens for one repository, made when they are first needed and renewed before they end.
//!
//! Sources: GitHub's "Generating a JSON Web Token (JWT) for a GitHub App" (RS256; `iat` 60 seconds in the past, `exp` at most ten
//! minutes in the future) and "REST API endpoints for GitHub Apps". The statement is dated by GitHub's own clock, as its answers tell
//! it, so that a wrong clock here does no harm; a token lives for an hour, counted from when it was asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ::http::{HeaderMap, StatusCode, header};
use futures::future::BoxFuture;
use jiff::Timestamp;
use reqwest::RequestBuilder;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::secret::{Secret, SecretSource};
use crate::forge::LenderOpening;
use crate::forge::hosted::{Lending, MadeToken, split_address};
use crate::git::{LendsToken, NoToken};
use crate::http::jwt::StatementKey;
use crate::http::{self, Broken, ClientSettings, Secrets};

/// The largest answer that is read.
const BODY_LIMIT: u64 = 1 << 20;
/// How long a token lives that says nothing; the documented life is one hour.
const LIFE: Duration = Duration::from_mins(30);
/// What an installation must be allowed.
const NEEDED: [(&str, &str); 2] = [("contents", "write"), ("pull_requests", "write")];
/// What it may be allowed, and what for.
const USEFUL: [(&str, &str, &str); 3] = [
    ("checks", "read", "check runs, also those that merges wait for"),
    ("statuses", "write", "statuses of landings, and those that merges wait for"),
    ("deployments", "write", "deployments of landings"),
];

/// The keys under `app`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AppConfig {
    /// The App ID.
    id: At<u32>,
    /// A private key of the app, in PEM format as GitHub gives it.
    private_key: At<Secret>,
    /// The installation; default: the one that has the repository.
    installation_id: Option<At<u32>>,
}

impl AppConfig {
    pub(super) fn check(&self, check: &mut Check<'_, '_>) -> Option<AppSettings> {
        let key = check.secret(&self.private_key)?;
        Some(AppSettings { id: self.id.value, key, installation: self.installation_id.as_ref().map(|at| at.value) })
    }
}

/// Which app, its key not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AppSettings {
    pub(super) id: u32,
    pub(super) key: SecretSource,
    pub(super) installation: Option<u32>,
}

/// An app that lends its tokens for one repository.
pub(super) struct App {
    id: u32,
    key: StatementKey,
    installation: Option<u32>,
    origin: Url,
    prefix: String,
    repository: String,
    client: reqwest::Client,
    lending: Lending,
    /// What the installation is allowed, by name; empty: GitHub did not say.
    granted: Mutex<BTreeMap<String, String>>,
}

/// GitHub's answer to the request for a token.
#[derive(Deserialize)]
struct WireToken {
    token: SecretString,
    expires_at: Option<Timestamp>,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct WireInstallation {
    id: u64,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("id", &self.id).field("repository", &self.repository).finish_non_exhaustive()
    }
}

impl App {
    /// Prepares it; connects to nothing.
    ///
    /// # Errors
    /// Why it cannot work, without the key.
    pub(super) fn new(
        settings: &AppSettings,
        key: &SecretString,
        api_url: &str,
        repository: &str,
        opening: &LenderOpening<'_>,
    ) -> Result<Self, String> {
        let key = StatementKey::from_pem(key);
        let key =
            key.ok_or("`privateKey` is not an RSA key in PEM format; next: make one on the app's page on GitHub")?;
        let (origin, prefix) = split_address(api_url, &super::DIALECT)?;
        let client = http::client(ClientSettings {
            ca_pem: opening.ca_pem,
            identity_pem: opening.identity_pem,
            timeout: opening.timeout,
            ..ClientSettings::default()
        });
        Ok(Self {
            id: settings.id,
            key,
            installation: settings.installation,
            origin,
            prefix,
            repository: repository.to_owned(),
            client: client.map_err(|error| error.to_string())?,
            lending: Lending::default(),
            granted: Mutex::default(),
        })
    }

    /// The permissions that the bot needs and the installation has not.
    pub(super) async fn lacks(&self) -> Vec<String> {
        let granted = self.granted.lock().await;
        let lacking = NEEDED.iter().filter(|(name, level)| !allows(&granted, name, level));
        lacking.map(|(name, level)| format!("{name}: {level}")).collect()
    }

    /// The same of those that it can do without, with what they are for.
    pub(super) async fn misses(&self) -> Vec<String> {
        let granted = self.granted.lock().await;
        let lacking = USEFUL.iter().filter(|(name, level, _)| !allows(&granted, name, level));
        lacking.map(|(name, level, what)| format!("{name}: {level} ({what})")).collect()
    }

    async fn fetch(&self) -> Result<MadeToken, NoToken> {
        let now = self.clock().await?;
        let claims = json!({ "iat": now.as_second() - 60, "exp": now.as_second() + 540, "iss": self.id.to_string() });
        let statement = self.key.sign(None, &claims).ok_or_else(|| self.refusal("its private key cannot sign"))?;
        let installation = match self.installation {
            Some(id) => id.into(),
            None => self.installed(&statement).await?.id,
        };
        let name = self.repository.rsplit('/').next().unwrap_or_default();
        let route = format!("/app/installations/{installation}/access_tokens");
        let made = Instant::now();
        let request = self.request(&reqwest::Method::POST, &route)?.json(&json!({ "repositories": [name] }));
        let WireToken { token, expires_at, permissions } =
            self.ask(request, &statement, "an installation token").await?;
        let life = expires_at.and_then(|end| Duration::try_from(end.duration_since(now)).ok()).unwrap_or(LIFE);
        *self.granted.lock().await = permissions;
        Ok(MadeToken { secret: token, made, life })
    }

    /// The installation that has the repository.
    async fn installed(&self, statement: &SecretString) -> Result<WireInstallation, NoToken> {
        let route = format!("/repos/{}/installation", self.repository);
        self.ask(self.request(&reqwest::Method::GET, &route)?, statement, "its installation").await
    }

    /// GitHub's own time.
    async fn clock(&self) -> Result<Timestamp, NoToken> {
        let (_, headers, _) = self.send(self.request(&reqwest::Method::GET, "/meta")?).await?;
        let date = headers.get(header::DATE).and_then(|date| http::retry::date(date.to_str().ok()?));
        date.ok_or_else(|| self.outage("its answer has no date"))
    }

    fn request(&self, method: &reqwest::Method, route: &str) -> Result<RequestBuilder, NoToken> {
        let url = self.origin.join(&format!("{}{route}", self.prefix));
        let url = url.map_err(|_| self.refusal("the address cannot be built"))?;
        Ok(self.client.request(method.clone(), url).header(header::ACCEPT, "application/vnd.github+json"))
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        request: RequestBuilder,
        statement: &SecretString,
        what: &str,
    ) -> Result<T, NoToken> {
        let (status, _, body) = self.send(request.bearer_auth(statement.expose_secret())).await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| self.outage(&format!("asked for {what}, it answered nonsense: {error}")));
        }
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let said = Secrets::new(vec![statement.clone()]).clean(said["message"].as_str().unwrap_or_default(), 300);
        let text = format!("asked for {what}, it answered {}: {said}", status.as_u16());
        let next = match status {
            StatusCode::UNAUTHORIZED => "check the app's id and private key",
            StatusCode::NOT_FOUND => "install the app on the repository",
            StatusCode::FORBIDDEN | StatusCode::UNPROCESSABLE_ENTITY => {
                "check that the app's installation has the repository and is not suspended"
            }
            _ => return Err(self.outage(&text)),
        };
        Err(self.refusal(&format!("{text}; next: {next}")))
    }

    async fn send(&self, request: RequestBuilder) -> Result<(StatusCode, HeaderMap, http::Body), NoToken> {
        let broken = |Broken { text, .. }: Broken| self.outage(&text);
        let mut response = http::send(request).await.map_err(broken)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let body = match status.is_success() {
            true => http::read(response, BODY_LIMIT).await.map_err(broken)?,
            false => http::read_error(response).await,
        };
        Ok((status, headers, body))
    }

    fn refusal(&self, text: &str) -> NoToken {
        NoToken::Refused(format!("GitHub App {} for {}: {text}", self.id, self.repository))
    }

    fn outage(&self, text: &str) -> NoToken {
        NoToken::Unavailable(format!("GitHub App {} for {}: {text}", self.id, self.repository))
    }
}

impl LendsToken for App {
    fn token(&self) -> BoxFuture<'_, Result<SecretString, NoToken>> {
        Box::pin(self.lending.lend(self.fetch()))
    }

    fn refused(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.lending.refused())
    }
}

/// Whether these permissions have one at this level or a higher one; so it is where nothing is known of them.
fn allows(granted: &BTreeMap<String, String>, name: &str, level: &str) -> bool {
    let rank = |level: &str| ["read", "write", "admin"].iter().position(|word| *word == level);
    granted.is_empty() || granted.get(name).is_some_and(|has| rank(has) >= rank(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_level_of_a_permission_is_enough_and_unknown_is_no_refusal() {
        let granted: BTreeMap<String, String> = [("contents", "write"), ("checks", "admin"), ("statuses", "x")]
            .map(|(n, l)| (n.to_owned(), l.to_owned()))
            .into();
        for (name, level, allowed) in [
            ("contents", "write", true),
            ("contents", "read", true),
            ("contents", "admin", false),
            ("checks", "write", true),
            ("statuses", "read", false),
            ("deployments", "read", false),
        ] {
            assert_eq!(allows(&granted, name, level), allowed, "{name}: {level}");
        }
        assert!(allows(&BTreeMap::new(), "contents", "write"));
    }
}
