//! Tokens of Microsoft Entra ID in place of a personal access token: of an application, or of the identity that the bot runs with.
//!
//! Source: Microsoft's "Use service principals and managed identities in Azure DevOps": the resource is always the same, a token
//! lives for an hour and is sent as `Bearer` to the API; Git takes it as a password.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::document::entra::EntraSettings;
use crate::document::secret::token_file;
use crate::forge::hosted::{Lending, MadeToken};
use crate::forge::{LenderOpening, PullError};
use crate::git::{LendsToken, NoToken};
use crate::http::entra::{EntraIdentity, EntraNames, EntraService, EntraToken, refusal_code};
use crate::http::{self, ClientSettings};
use crate::model::FailureCode;

/// Azure DevOps itself, in every tenant.
const RESOURCE: &str = "499b84ac-1321-427f-aa17-267ca6975798";
/// The largest answer that is read.
const LIMIT: u64 = 256 << 10;
/// How long a token is used that says nothing; the documented life is one hour.
const LIFE: Duration = Duration::from_mins(30);

/// Lends tokens of one identity.
pub(super) struct EntraLender {
    identity: EntraIdentity,
    client: reqwest::Client,
    lending: Lending,
}

impl fmt::Debug for EntraLender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntraLender").field("service", &self.identity.service_name()).finish_non_exhaustive()
    }
}

impl EntraLender {
    /// Prepares it; connects to nothing. The certificates of the forge are not those of Entra ID, which is a public service:
    /// it is known by the system's, or those of `SSL_CERT_FILE`.
    ///
    /// # Errors
    /// If the identity is incomplete.
    pub(super) fn new(settings: &EntraSettings, opening: &LenderOpening<'_>) -> Result<Self, PullError> {
        let wrong = |message: String| PullError { message, code: FailureCode::ConfigError };
        let secret = settings.secret.as_ref().map(|source| opening.secret(source)).transpose()?;
        let names = EntraNames { tenant: settings.tenant.as_deref(), client: settings.client.as_deref(), secret };
        let identity = EntraIdentity::of(&names, RESOURCE, |name| opening.environment.get(name)).map_err(wrong)?;
        let direct = identity.service() == EntraService::Local;
        let client = http::client(ClientSettings { timeout: opening.timeout, direct, ..ClientSettings::default() });
        let client = client.map_err(|error| wrong(error.to_string()))?;
        Ok(Self { identity, client, lending: Lending::default() })
    }

    async fn fetch(&self) -> Result<MadeToken, NoToken> {
        let made = Instant::now();
        let service = self.identity.service_name();
        let outage = |text: &str| NoToken::Unavailable(format!("a token for Azure DevOps: {service}: {text}"));
        let assertion = match self.identity.assertion_file() {
            Some(path) => Some(federated(path).await?),
            None => None,
        };
        let request = self.identity.request(&self.client, assertion.as_ref());
        let response = http::send(request).await.map_err(|broken| match broken.text.contains("certificate") {
            true => outage(&format!("{}; next: if it is from a private CA, name that in SSL_CERT_FILE", broken.text)),
            false => outage(&broken.text),
        })?;
        let status = response.status();
        let body = http::read(response, LIMIT).await.map_err(|broken| outage(&broken.text))?;
        if status.is_success() {
            let token: EntraToken =
                serde_json::from_slice(&body).map_err(|_| outage("its answer is not in the documented format"))?;
            let life = token.life().unwrap_or(LIFE);
            return Ok(MadeToken { secret: token.access_token, made, life });
        }
        let said = serde_json::from_slice(&body).ok().as_ref().and_then(refusal_code);
        // Free text may repeat what was sent.
        let is_code = |code: &String| {
            code.len() <= 60 && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
        };
        let said = said.filter(is_code).map_or(String::new(), |code| format!(" ({code})"));
        let text = format!("it answered {}{said}", status.as_u16());
        if status.is_server_error() || matches!(status.as_u16(), 404 | 408 | 410 | 429) {
            return Err(outage(&text));
        }
        let next = "check `entra` and the AZURE_… variables, and that the identity is a user of the organization with access to the repository";
        Err(NoToken::Refused(format!("a token for Azure DevOps: {service}: {text}; next: {next}")))
    }
}

/// The token of the cluster.
async fn federated(path: &str) -> Result<SecretString, NoToken> {
    let read = token_file(path).await;
    read.map_err(|why| NoToken::Refused(format!("the token of AZURE_FEDERATED_TOKEN_FILE ({path}) {why}")))
}

impl LendsToken for EntraLender {
    fn token(&self) -> BoxFuture<'_, Result<SecretString, NoToken>> {
        Box::pin(self.lending.lend(self.fetch()))
    }

    fn refused(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.lending.refused())
    }
}
