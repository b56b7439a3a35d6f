//! Google Artifact Registry and Container Registry: an access token as the password of `oauth2accesstoken`.
//!
//! The identity is the one of a credentials file (a service account's key, workload identity federation, or what `gcloud` leaves for
//! applications), else the one that the metadata server says (Compute Engine, GKE's workload identity).

mod file;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::secret::{Environment, Secret, SecretSource};
use crate::registry::exchange::Session;
use crate::registry::host::Failure;

use super::renewed::{Fetched, Renewed, Shown};
use super::tools::{self, LoginTools};
use super::{LoginOpening, LogsIn, Proof};
use file::CredentialsFile;

/// The user name that goes with an access token (documentation of Artifact Registry, "Configure authentication").
const USERNAME: &str = "oauth2accesstoken";
/// How long a token is used that says nothing.
const LIFE: Duration = Duration::from_secs(300);

/// The keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GoogleConfig {
    /// Google Artifact Registry or Container Registry: `{}` for the identity that the bot runs with.
    google: At<GoogleKeys>,
}

/// What may be said besides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping, `{}` for the identity that the bot runs with"
)]
pub(crate) struct GoogleKeys {
    /// A credentials file (a service account's key, or workload identity federation), in place of `GOOGLE_APPLICATION_CREDENTIALS`.
    credentials: Option<At<Secret>>,
}

impl GoogleConfig {
    pub(super) fn check(&self, check: &mut Check<'_, '_>) -> Option<GoogleSettings> {
        let given = self.google.value.credentials.as_ref().map(|at| check.secret(at));
        Some(GoogleSettings { credentials: given.map_or(Some(None), |given| given.map(Some))? })
    }
}

/// How to log in to Google's registries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleSettings {
    credentials: Option<SecretSource>,
}

/// A login to Google's registries.
#[derive(Debug, Clone)]
pub struct GoogleLogin {
    identity: Arc<GoogleIdentity>,
    tools: LoginTools,
    kept: Arc<Renewed>,
}

#[derive(Debug)]
enum GoogleIdentity {
    File(Box<CredentialsFile>),
    Metadata { server: Url },
}

/// An access token, as every one of these services gives it.
#[derive(Deserialize)]
struct AccessToken {
    access_token: SecretString,
    expires_in: Option<u64>,
}

impl AccessToken {
    fn life(&self) -> Duration {
        self.expires_in.map_or(LIFE, |seconds| Duration::from_secs(seconds.clamp(30, 24 * 3600)))
    }
}

/// The code in an answer of Google's token services that say no.
fn code(body: &serde_json::Value) -> Option<String> {
    let error = body.get("error")?;
    let code = error.as_str().or_else(|| error.get("status")?.as_str())?;
    Some(code.to_owned())
}

impl GoogleLogin {
    async fn fetch(&self) -> Result<Fetched, Failure> {
        let token = match &*self.identity {
            GoogleIdentity::File(file) => file.token(&self.tools).await?,
            GoogleIdentity::Metadata { server } => metadata(&self.tools, server).await?,
        };
        let life = token.life();
        let shown = Shown::Pair { username: USERNAME.to_owned(), password: token.access_token };
        Ok(Fetched { shown: Some(shown), life })
    }
}

async fn metadata(tools: &LoginTools, server: &Url) -> Result<AccessToken, Failure> {
    let url = server.join("computeMetadata/v1/instance/service-accounts/default/token");
    let url = url.map_err(|_| Failure::protocol("the address cannot be formed"))?;
    let request = tools.direct()?.get(url).header("Metadata-Flavor", "Google");
    let hint = "outside Google's cloud give `google` the `credentials` of a service account, or set GOOGLE_APPLICATION_CREDENTIALS";
    let answer = tools::ask(request, "Google's metadata server").await;
    answer.and_then(|answer| answer.json(code)).map_err(|failure| failure.hint(hint))
}

impl LogsIn for GoogleLogin {
    type Settings = GoogleSettings;

    fn secrets(settings: &GoogleSettings) -> Vec<(&'static str, &SecretSource)> {
        settings.credentials.iter().map(|source| ("credentials", source)).collect()
    }

    fn open(settings: &GoogleSettings, opening: &LoginOpening<'_>) -> Result<Self, String> {
        let text = match &settings.credentials {
            Some(source) => Some(opening.secret(source)?),
            None => ambient(opening.environment)?,
        };
        let identity = match text {
            Some(text) => GoogleIdentity::File(Box::new(CredentialsFile::read(&text)?)),
            None => {
                let host = opening.variable("GCE_METADATA_HOST");
                let server = format!("http://{}/", host.as_deref().unwrap_or("metadata.google.internal"));
                GoogleIdentity::Metadata { server: tools::address(&server, "GCE_METADATA_HOST")? }
            }
        };
        let name = match &identity {
            GoogleIdentity::File(file) => format!("google {}", file.who()),
            GoogleIdentity::Metadata { server } => format!("google {server}"),
        };
        Ok(Self { identity: Arc::new(identity), tools: opening.tools.clone(), kept: opening.tools.credential(&name) })
    }

    fn who(settings: &GoogleSettings) -> String {
        match &settings.credentials {
            Some(source) => format!("by the Google credentials in {source}"),
            None => "by the Google identity that the bot runs with".to_owned(),
        }
    }

    async fn proofs(&self, _: &Session<'_>) -> Result<Vec<Proof>, Failure> {
        let shown = self.kept.get(self.fetch()).await?;
        shown.into_iter().map(Shown::proof).collect()
    }

    async fn forget(&self) -> bool {
        self.kept.forget().await
    }
}

/// The file that Google's own programs look for.
fn ambient(environment: &Environment) -> Result<Option<SecretString>, String> {
    let Some(path) = environment.get("GOOGLE_APPLICATION_CREDENTIALS") else { return Ok(None) };
    let read = SecretSource::File(path.into()).read(environment);
    read.map(Some).map_err(|error| format!("GOOGLE_APPLICATION_CREDENTIALS: {error}"))
}

/// A form to a token service.
async fn exchange(tools: &LoginTools, url: &Url, form: &[(&str, &str)], service: &str) -> Result<AccessToken, Failure> {
    let answer = tools::ask(tools.public()?.post(url.clone()).form(form), service).await?;
    answer.json(code)
}

/// A form's value that is a secret.
fn exposed(secret: &SecretString) -> &str {
    secret.expose_secret()
}
