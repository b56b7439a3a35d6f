//! Google Artifact Registry and Container Registry: an access token as the password of `oauth2accesstoken`.
//!
//! The identity is the one of a credentials file (a service account's key, workload identity federation, or what `gcloud` leaves for
//! applications), else the one that the metadata server says (Compute Engine, GKE's workload identity).

mod file;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use crate::document::at::At;
use crate::document::check::{Check, optional};
use crate::document::secret::{Secret, SecretSource, read_token, token_file};
use crate::registry::error::Cause;
use crate::registry::exchange::Session;
use crate::registry::host::Failure;

use super::renewed::{Fetched, Renewed, Shown};
use super::tools::{self, LoginTools};
use super::{LoginOpening, LogsIn, Proof};
use file::CredentialsFile;

/// The user name that goes with an access token (documentation of Artifact Registry, "Configure authentication").
const USERNAME: &str = "oauth2accesstoken";
/// Where Google's own programs look for the path of a credentials file.
const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
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
        let credentials = optional(self.google.value.credentials.as_ref(), |at| check.secret(at))?;
        Some(GoogleSettings { credentials })
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
    /// A file that is read anew for each token, since it may be replaced while the bot runs.
    Path(String),
    Metadata {
        server: Url,
    },
}

/// An access token, as every one of these services gives it.
#[derive(Deserialize)]
struct AccessToken {
    #[serde(deserialize_with = "crate::http::token")]
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
            GoogleIdentity::Path(path) => {
                let file = ambient(path).await.map_err(|reason| Failure::from(Cause::Authentication(reason)))?;
                file.token(&self.tools).await?
            }
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
        let tools = opening.tools;
        let (identity, kept) = match (&settings.credentials, opening.variable(VARIABLE)) {
            (Some(source), _) => {
                let text = opening.secret(source)?;
                let file = GoogleIdentity::File(Box::new(CredentialsFile::read(&text)?));
                (file, tools.credential(&["google file", exposed(&text)]))
            }
            (None, Some(path)) => {
                drop(ambient_of(&path, read_token(Path::new(&path)))?);
                let kept = tools.credential(&["google path", &path]);
                (GoogleIdentity::Path(path), kept)
            }
            (None, None) => {
                let host = opening.variable("GCE_METADATA_HOST");
                let server = format!("http://{}/", host.as_deref().unwrap_or("metadata.google.internal"));
                let server = tools::address(&server, "GCE_METADATA_HOST")?;
                let kept = tools.credential(&["google metadata", server.as_str()]);
                (GoogleIdentity::Metadata { server }, kept)
            }
        };
        Ok(Self { identity: Arc::new(identity), tools: tools.clone(), kept })
    }

    fn who(settings: &GoogleSettings) -> String {
        match &settings.credentials {
            Some(source) => format!("by the Google credentials in {source}"),
            None => "by the Google identity that the bot runs with".to_owned(),
        }
    }

    async fn proofs(&self, session: &Session<'_>) -> Result<Vec<Proof>, Failure> {
        self.kept.proofs(session, self.fetch()).await
    }

    async fn forget(&self, session: &Session<'_>) -> bool {
        self.kept.forget(session).await
    }
}

/// The file that Google's own programs look for.
async fn ambient(path: &str) -> Result<CredentialsFile, String> {
    ambient_of(path, token_file(path).await)
}

fn ambient_of(path: &str, read: Result<SecretString, String>) -> Result<CredentialsFile, String> {
    CredentialsFile::read(&read.map_err(|reason| format!("{VARIABLE} ({path}) {reason}"))?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_of_the_environment_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("google.json");
        let text = r#"{"type":"authorized_user","client_id":"ID","client_secret":"s","refresh_token":"r"}"#;
        for id in ["first", "second"] {
            std::fs::write(&path, text.replace("ID", id)).unwrap();
            let CredentialsFile::AuthorizedUser { client_id, .. } = ambient(path.to_str().unwrap()).await.unwrap()
            else {
                panic!("another type")
            };
            assert_eq!(client_id, id);
        }
        std::fs::write(&path, "hunter2").unwrap();
        let error = ambient(path.to_str().unwrap()).await.unwrap_err();
        assert!(error.contains("not what they should be") && !error.contains("hunter2"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(ambient(path.to_str().unwrap()).await.unwrap_err().contains(VARIABLE));
    }
}
