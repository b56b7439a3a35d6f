//! Azure Container Registry: a token of Entra ID, exchanged at the registry for one of its own.
//!
//! The scope is the registry's own, not that of the resource manager: registries with `authentication-as-arm` disabled refuse the
//! latter. The exchange is a POST (a GET is answered with 404); its refresh token is the password of an empty GUID.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::entra::{EntraKeys, EntraSettings};
use crate::document::secret::SecretSource;
use crate::http::Reach;
use crate::http::entra::{EntraIdentity, EntraNames, EntraService, EntraToken, refusal_code};
use crate::registry::exchange::Session;
use crate::registry::host::Failure;

use super::renewed::{Fetched, Renewed, Shown};
use super::tools::{self, LoginTools};
use super::{LoginOpening, LogsIn, Proof};

/// The user name that goes with a refresh token.
const USERNAME: &str = "00000000-0000-0000-0000-000000000000";
const RESOURCE: &str = "https://containerregistry.azure.net";
/// How long a token is used that says nothing; the documented life is three hours.
const LIFE: Duration = Duration::from_secs(3600);

/// The keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AzureConfig {
    /// Azure Container Registry: `{}` for the identity that the bot runs with (workload identity, managed identity, or `AZURE_…` variables).
    azure: At<EntraKeys>,
}

impl AzureConfig {
    pub(super) fn check(&self, check: &mut Check<'_, '_>) -> Option<AzureSettings> {
        self.azure.value.check(check).map(AzureSettings)
    }
}

/// How to log in to ACR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureSettings(EntraSettings);

/// A login to ACR.
#[derive(Debug, Clone)]
pub struct AzureLogin {
    identity: Arc<EntraIdentity>,
    tools: LoginTools,
    kept: Arc<Renewed>,
}

#[derive(Deserialize)]
struct RefreshToken {
    #[serde(deserialize_with = "crate::http::token")]
    refresh_token: SecretString,
}

fn code(body: &serde_json::Value) -> Option<String> {
    let registry = || body.get("errors")?.get(0)?.get("code")?.as_str();
    refusal_code(body).or_else(|| registry().map(str::to_owned))
}

/// A token of Entra ID for registries.
async fn token(identity: &EntraIdentity, tools: &LoginTools) -> Result<EntraToken, Failure> {
    let client = match identity.service() {
        EntraService::Public => tools.public()?,
        EntraService::Local => tools.direct()?,
    };
    let assertion = match identity.assertion_file() {
        Some(path) => Some(tools::token_file(path, "the token of AZURE_FEDERATED_TOKEN_FILE").await?),
        None => None,
    };
    let request = identity.request(client, assertion.as_ref());
    tools::ask(request, identity.service_name()).await?.json(refusal_code)
}

impl AzureLogin {
    async fn fetch(&self, session: &Session<'_>) -> Result<Fetched, Failure> {
        let host = session.host;
        let token = token(&self.identity, &self.tools).await?;
        let url = host.base.join("oauth2/exchange").map_err(|_| Failure::protocol("the address cannot be formed"))?;
        let form = [
            ("grant_type", "access_token"),
            ("service", host.name.as_str()),
            ("access_token", token.access_token.expose_secret()),
        ];
        // The registry itself, which the configuration names.
        let (client, _) = host.client(Reach::Configured);
        let request = client.post(url).form(&form);
        let answer = tools::ask(request, &format!("{}'s token exchange", host.name)).await?;
        let hint = "the identity needs the role AcrPull (or Container Registry Repository Reader) on the registry";
        let RefreshToken { refresh_token } = answer.json(code).map_err(|failure| failure.hint(hint))?;
        let life = life(refresh_token.expose_secret(), self.tools.now());
        Ok(Fetched { shown: Some(Shown::Pair { username: USERNAME.to_owned(), password: refresh_token }), life })
    }
}

/// How long a JWT is good: `exp`, or an hour where it does not say.
fn life(token: &str, now: Timestamp) -> Duration {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Claims> = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let left = claims.and_then(|claims| u64::try_from(claims.exp.checked_sub(now.as_second())?).ok());
    left.map_or(LIFE, |left| Duration::from_secs(left.clamp(30, 24 * 3600)))
}

impl LogsIn for AzureLogin {
    type Settings = AzureSettings;

    fn secrets(settings: &AzureSettings) -> Vec<(&'static str, &SecretSource)> {
        settings.0.secrets()
    }

    fn open(settings: &AzureSettings, opening: &LoginOpening<'_>) -> Result<Self, String> {
        let EntraSettings { tenant, client, secret } = &settings.0;
        let secret = secret.as_ref().map(|source| opening.secret(source)).transpose()?;
        let names = EntraNames { tenant: tenant.as_deref(), client: client.as_deref(), secret };
        let identity = Arc::new(EntraIdentity::of(&names, RESOURCE, |name| opening.variable(name))?);
        // What a registry gives is for that registry alone.
        Ok(Self { identity, tools: opening.tools.clone(), kept: Arc::default() })
    }

    fn who(settings: &AzureSettings) -> String {
        settings.0.who()
    }

    async fn proofs(&self, session: &Session<'_>) -> Result<Vec<Proof>, Failure> {
        self.kept.proofs(session, self.fetch(session)).await
    }

    async fn forget(&self, session: &Session<'_>) -> bool {
        self.kept.forget(session).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_until_when_it_is_good() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let token = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        for (text, seconds) in [
            (token(r#"{"exp":1010800}"#), 10_800),
            (token(r#"{"exp":1000001}"#), 30),
            (token(r#"{"exp":1}"#), 3600),
            (token(r#"{"sub":"x"}"#), 3600),
            ("opaque".to_owned(), 3600),
            ("a.!.c".to_owned(), 3600),
        ] {
            assert_eq!(life(&text, now).as_secs(), seconds, "{text}");
        }
    }
}
