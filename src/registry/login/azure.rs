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
use url::Url;

use crate::document::at::At;
use crate::document::check::{Check, optional};
use crate::document::secret::{Secret, SecretSource};
use crate::http::Reach;
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
    azure: At<AzureKeys>,
}

/// What may be said besides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping, `{}` for the identity that the bot runs with"
)]
pub(crate) struct AzureKeys {
    /// The tenant; default: `AZURE_TENANT_ID`.
    tenant_id: Option<At<String>>,
    /// The application, or the managed identity; default: `AZURE_CLIENT_ID`.
    client_id: Option<At<String>>,
    /// The application's secret, in place of the identity that the bot runs with.
    client_secret: Option<At<Secret>>,
}

impl AzureConfig {
    pub(super) fn check(&self, check: &mut Check<'_, '_>) -> Option<AzureSettings> {
        let keys = &self.azure.value;
        let tenant = optional(keys.tenant_id.as_ref(), |at| check.text(at, identifier));
        let client = optional(keys.client_id.as_ref(), |at| check.text(at, identifier));
        let secret = optional(keys.client_secret.as_ref(), |at| check.secret(at));
        Some(AzureSettings { tenant: tenant?, client: client?, secret: secret? })
    }
}

/// A tenant or client, which becomes part of an address.
fn identifier(text: &str) -> Result<String, String> {
    let fits =
        (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("this is not an id such as 11111111-2222-3333-4444-555555555555".to_owned())
    }
}

/// How to log in to ACR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureSettings {
    tenant: Option<String>,
    client: Option<String>,
    secret: Option<SecretSource>,
}

/// A login to ACR.
#[derive(Debug, Clone)]
pub struct AzureLogin {
    identity: Arc<AzureIdentity>,
    tools: LoginTools,
    kept: Arc<Renewed>,
}

/// Whom Entra ID takes the bot for.
#[derive(Debug)]
enum AzureIdentity {
    /// An application, by its secret or by the token of the cluster that it runs in.
    Application { token_url: Url, client: String, proof: ApplicationProof },
    /// A managed identity, at the instance's metadata service.
    Managed { url: Url },
    /// A managed identity where the platform names another service (App Service, Container Apps).
    Platform { url: Url, header: SecretString },
}

#[derive(Debug)]
enum ApplicationProof {
    Secret(SecretString),
    FederatedFile(String),
}

#[derive(Deserialize)]
struct EntraToken {
    access_token: SecretString,
}

#[derive(Deserialize)]
struct RefreshToken {
    refresh_token: SecretString,
}

fn code(body: &serde_json::Value) -> Option<String> {
    let own = || body.get("error")?.as_str();
    let registry = || body.get("errors")?.get(0)?.get("code")?.as_str();
    // `AADSTS700016: …` says more than `unauthorized_client`.
    let detail =
        || body.get("error_description")?.as_str()?.split(':').next().filter(|code| code.starts_with("AADSTS"));
    detail().or_else(own).or_else(registry).map(str::to_owned)
}

impl AzureIdentity {
    fn of(settings: &AzureSettings, opening: &LoginOpening<'_>) -> Result<Self, String> {
        let variable = |name: &str| opening.variable(name);
        let client = settings.client.clone().or_else(|| variable("AZURE_CLIENT_ID"));
        let tenant = settings.tenant.clone().or_else(|| variable("AZURE_TENANT_ID"));
        let secret = match &settings.secret {
            Some(source) => Some(opening.secret(source)?),
            None => variable("AZURE_CLIENT_SECRET").map(SecretString::from),
        };
        let proof = match secret {
            Some(secret) => Some(ApplicationProof::Secret(secret)),
            None => variable("AZURE_FEDERATED_TOKEN_FILE").map(ApplicationProof::FederatedFile),
        };
        if let Some(proof) = proof {
            let (Some(client), Some(tenant)) = (client, tenant) else {
                return Err("`azure` needs a tenant and a client: give `tenantId` and `clientId`, or set AZURE_TENANT_ID and AZURE_CLIENT_ID".to_owned());
            };
            let authority =
                variable("AZURE_AUTHORITY_HOST").unwrap_or_else(|| "https://login.microsoftonline.com".to_owned());
            let token_url = format!("{}/{}/oauth2/v2.0/token", authority.trim_end_matches('/'), identifier(&tenant)?);
            let token_url = tools::address(&token_url, "AZURE_AUTHORITY_HOST")?;
            return Ok(Self::Application { token_url, client, proof });
        }
        let with = |mut url: Url, version: &str| {
            url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", RESOURCE);
            if let Some(client) = &client {
                url.query_pairs_mut().append_pair("client_id", client);
            }
            url
        };
        if let (Some(endpoint), Some(header)) = (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER")) {
            let url = with(tools::address(&endpoint, "IDENTITY_ENDPOINT")?, "2019-08-01");
            return Ok(Self::Platform { url, header: header.into() });
        }
        let host = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or_else(|| "http://169.254.169.254".to_owned());
        let url = format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/'));
        Ok(Self::Managed { url: with(tools::address(&url, "AZURE_POD_IDENTITY_AUTHORITY_HOST")?, "2018-02-01") })
    }

    /// A token of Entra ID for registries.
    async fn token(&self, tools: &LoginTools) -> Result<EntraToken, Failure> {
        let (request, service) = match self {
            Self::Application { token_url, client, proof } => {
                let scope = format!("{RESOURCE}/.default");
                let token;
                let mut form =
                    vec![("grant_type", "client_credentials"), ("client_id", client.as_str()), ("scope", &scope)];
                match proof {
                    ApplicationProof::Secret(secret) => form.push(("client_secret", secret.expose_secret())),
                    ApplicationProof::FederatedFile(path) => {
                        token = tools::token_file(path, "the token of AZURE_FEDERATED_TOKEN_FILE")?;
                        form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
                        form.push(("client_assertion", token.expose_secret()));
                    }
                }
                (tools.public()?.post(token_url.clone()).form(&form), "Entra ID")
            }
            Self::Managed { url } => {
                (tools.direct()?.get(url.clone()).header("Metadata", "true"), "the instance's metadata service")
            }
            Self::Platform { url, header } => {
                let header = super::secret_text(header.expose_secret())?;
                (
                    tools.direct()?.get(url.clone()).header("X-IDENTITY-HEADER", header),
                    "the platform's identity service",
                )
            }
        };
        tools::ask(request, service).await?.json(code)
    }
}

impl AzureLogin {
    async fn fetch(&self, session: &Session<'_>) -> Result<Fetched, Failure> {
        let host = session.host;
        let token = self.identity.token(&self.tools).await?;
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
        settings.secret.iter().map(|source| ("client secret", source)).collect()
    }

    fn open(settings: &AzureSettings, opening: &LoginOpening<'_>) -> Result<Self, String> {
        let identity = Arc::new(AzureIdentity::of(settings, opening)?);
        // What a registry gives is for that registry alone.
        Ok(Self { identity, tools: opening.tools.clone(), kept: Arc::default() })
    }

    fn who(settings: &AzureSettings) -> String {
        match (&settings.secret, &settings.client) {
            (Some(_), Some(client)) => format!("as the Azure application {client}"),
            (Some(_), None) => "as an Azure application".to_owned(),
            (None, Some(client)) => format!("by the Azure identity {client}"),
            (None, None) => "by the Azure identity that the bot runs with".to_owned(),
        }
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
