//! Google's credentials files: the key of a service account, workload identity federation, and a user's refresh token.
//!
//! Sources: "Using OAuth 2.0 for server to server applications" (signed assertion), AIP-4117 (external account).

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::http::jwt::StatementKey;
use crate::registry::error::Cause;
use crate::registry::host::Failure;

use super::super::tools::{self, LoginTools};
use super::{AccessToken, code, exchange, exposed};

/// What an access token is for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// How long an assertion is good, in seconds: the longest that is allowed.
const ASSERTION: i64 = 3600;

/// A credentials file. `Debug` shows no secret.
#[derive(Debug)]
pub(super) enum CredentialsFile {
    ServiceAccount(ServiceAccount),
    ExternalAccount(ExternalAccount),
    AuthorizedUser { client_id: String, client_secret: SecretString, refresh_token: SecretString, token_url: Url },
}

#[derive(Debug)]
pub(super) struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: StatementKey,
    token_url: Url,
}

#[derive(Debug)]
pub(super) struct ExternalAccount {
    audience: String,
    subject_token_type: String,
    token_url: Url,
    subject: SubjectSource,
    /// The field of a JSON answer that holds the token; `None`: all of it is the token.
    field: Option<String>,
    impersonation: Option<Url>,
}

#[derive(Debug)]
enum SubjectSource {
    File(String),
    Url { url: Url, headers: BTreeMap<String, SecretString> },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Raw {
    ServiceAccount {
        client_email: String,
        private_key: SecretString,
        private_key_id: Option<String>,
        token_uri: Option<String>,
    },
    ExternalAccount {
        audience: String,
        subject_token_type: String,
        token_url: String,
        credential_source: RawSource,
        service_account_impersonation_url: Option<String>,
    },
    AuthorizedUser {
        client_id: String,
        client_secret: SecretString,
        refresh_token: SecretString,
        token_uri: Option<String>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct RawSource {
    file: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, SecretString>,
    format: Option<RawFormat>,
}

#[derive(Deserialize)]
struct RawFormat {
    #[serde(rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

impl CredentialsFile {
    /// Reads a file's text.
    ///
    /// # Errors
    /// With the reason, without the text.
    pub(super) fn read(text: &SecretString) -> Result<Self, String> {
        let raw: Raw = serde_json::from_str(text.expose_secret()).map_err(|error| {
            format!(
                "the Google credentials are not what they should be (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        let token_url = |given: Option<String>| {
            tools::address(given.as_deref().unwrap_or(TOKEN_URL), "`token_uri` of the Google credentials")
        };
        match raw {
            Raw::ServiceAccount { client_email, private_key, private_key_id, token_uri } => {
                let key = StatementKey::from_pem(&private_key);
                let key = key.ok_or("`private_key` of the Google credentials is not an RSA key in PEM format")?;
                let token_url = token_url(token_uri)?;
                Ok(Self::ServiceAccount(ServiceAccount { email: client_email, key_id: private_key_id, key, token_url }))
            }
            Raw::ExternalAccount { audience, subject_token_type, token_url, credential_source, service_account_impersonation_url } => {
                let field = match credential_source.format {
                    Some(format) if format.kind == "json" => {
                        Some(format.subject_token_field_name.ok_or("`subject_token_field_name` of the Google credentials is missing")?)
                    }
                    _ => None,
                };
                let subject = match (credential_source.file, credential_source.url) {
                    (Some(path), _) => SubjectSource::File(path),
                    (None, Some(url)) => {
                        let url = tools::address(&url, "`credential_source` of the Google credentials")?;
                        SubjectSource::Url { url, headers: credential_source.headers }
                    }
                    (None, None) => return Err("`credential_source` of the Google credentials is neither `file` nor `url`: only these are supported".to_owned()),
                };
                let address = |text: &str| tools::address(text, "an address of the Google credentials");
                Ok(Self::ExternalAccount(ExternalAccount {
                    audience,
                    subject_token_type,
                    token_url: address(&token_url)?,
                    subject,
                    field,
                    impersonation: service_account_impersonation_url.as_deref().map(address).transpose()?,
                }))
            }
            Raw::AuthorizedUser { client_id, client_secret, refresh_token, token_uri } => {
                Ok(Self::AuthorizedUser { client_id, client_secret, refresh_token, token_url: token_url(token_uri)? })
            }
            Raw::Other => Err("the Google credentials are of a type that is not supported (service_account, external_account and authorized_user are)".to_owned()),
        }
    }

    /// An access token.
    pub(super) async fn token(&self, tools: &LoginTools) -> Result<AccessToken, Failure> {
        match self {
            Self::ServiceAccount(account) => {
                let assertion = account.assertion(tools.now().as_second())?;
                let form =
                    [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", exposed(&assertion))];
                exchange(tools, &account.token_url, &form, "Google's token service").await
            }
            Self::ExternalAccount(account) => account.token(tools).await,
            Self::AuthorizedUser { client_id, client_secret, refresh_token, token_url } => {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("client_id", client_id),
                    ("client_secret", exposed(client_secret)),
                    ("refresh_token", exposed(refresh_token)),
                ];
                exchange(tools, token_url, &form, "Google's token service").await
            }
        }
    }
}

impl ServiceAccount {
    /// A signed statement that the bearer is this account.
    fn assertion(&self, now: i64) -> Result<SecretString, Failure> {
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_url.as_str(),
            "iat": now,
            "exp": now + ASSERTION,
        });
        let signed = self.key.sign(self.key_id.as_deref(), &claims);
        signed.ok_or_else(|| Failure::from(Cause::Authentication("the service account's key cannot sign".to_owned())))
    }
}

impl ExternalAccount {
    async fn token(&self, tools: &LoginTools) -> Result<AccessToken, Failure> {
        let subject = self.subject(tools).await?;
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", self.audience.as_str()),
            ("scope", SCOPE),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", &self.subject_token_type),
            ("subject_token", exposed(&subject)),
        ];
        let federated = exchange(tools, &self.token_url, &form, "Google's security token service").await?;
        let Some(url) = &self.impersonation else { return Ok(federated) };
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Impersonated {
            #[serde(deserialize_with = "crate::http::token")]
            access_token: SecretString,
            expire_time: Option<jiff::Timestamp>,
        }
        let bearer = super::super::secret_header("Bearer", exposed(&federated.access_token))?;
        let request = tools.public()?.post(url.clone()).header(http::header::AUTHORIZATION, bearer);
        let answer =
            tools::ask(request.json(&json!({ "scope": [SCOPE] })), "Google's service account impersonation").await?;
        let hint = "the federated identity needs `roles/iam.workloadIdentityUser` on the service account";
        let Impersonated { access_token, expire_time } = answer.json(code).map_err(|failure| failure.hint(hint))?;
        let left = expire_time.map(|end| end.as_second() - tools.now().as_second());
        Ok(AccessToken { access_token, expires_in: left.and_then(|left| u64::try_from(left).ok()) })
    }

    /// The token of the other identity provider.
    async fn subject(&self, tools: &LoginTools) -> Result<SecretString, Failure> {
        let text = match &self.subject {
            SubjectSource::File(path) => tools::token_file(path, "the subject token of the Google credentials").await?,
            SubjectSource::Url { url, headers } => {
                let mut request = tools.direct()?.get(url.clone());
                for (name, value) in headers {
                    request = request.header(name, super::super::secret_text(exposed(value))?);
                }
                let answer = tools::ask(request, "the source of the subject token").await?;
                if !answer.status.is_success() {
                    return Err(answer.refused(None));
                }
                String::from_utf8_lossy(&answer.body).trim().to_owned().into()
            }
        };
        let Some(field) = &self.field else { return Ok(text) };
        let value: Option<Value> = serde_json::from_str(exposed(&text)).ok();
        let token = value.as_ref().and_then(|value| value.get(field)?.as_str());
        token.map(SecretString::from).ok_or_else(|| {
            Failure::from(Cause::Authentication(format!(
                "the subject token of the Google credentials has no field `{field}`"
            )))
        })
    }
}
