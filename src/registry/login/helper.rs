//! Credential helpers: programs called `docker-credential-NAME` that know a registry's credentials.
//!
//! The protocol is that of Docker: the action `get` as an argument, the registry on standard input, JSON on standard output. That
//! there are none is said on standard output, too, with an exit status that is not 0. Nothing of what a helper prints is shown: it
//! may be a secret.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::process::Command;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::secret::SecretSource;
use crate::model::DOCKER_HUB;
use crate::process::{self, Bounds};
use crate::registry::error::Cause;
use crate::registry::exchange::Session;
use crate::registry::host::Failure;

use super::renewed::{Fetched, Renewed, Shown};
use super::{LoginOpening, LogsIn, Proof};

/// What a program that runs may take.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(30), output: 64 << 10, memory: Some(1 << 30) };
/// How long its answer is used. Helpers keep what is costly to get themselves.
const LIFE: Duration = Duration::from_secs(300);
/// What a helper prints where it knows no credentials (docker-credential-helpers, `credentials/error.go`).
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user name with which a helper says that its secret is an identity token.
const IDENTITY_TOKEN: &str = "<token>";

/// The keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HelperConfig {
    /// The program's name without `docker-credential-`, such as `ecr-login`.
    helper: At<String>,
}

impl HelperConfig {
    pub(super) fn check(&self, check: &mut Check<'_, '_>) -> Option<HelperSettings> {
        check.text(&self.helper, name).map(|name| HelperSettings { name })
    }
}

/// A helper's name, which becomes part of a program's.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= 100
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fits {
        return Ok(text.strip_prefix("docker-credential-").unwrap_or(text).to_owned());
    }
    Err("this is not the name of a credential helper (letters, digits, `-`, `_` and `.`)".to_owned())
}

/// Which helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperSettings {
    name: String,
}

/// A helper and what it said last.
#[derive(Debug, Clone)]
pub struct HelperLogin {
    helper: Helper,
    kept: Arc<Renewed>,
}

/// A helper program.
#[derive(Clone)]
pub(super) struct Helper {
    name: String,
    environment: Vec<(OsString, OsString)>,
}

impl std::fmt::Debug for Helper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is in the environment may be secret.
        f.debug_tuple("Helper").field(&self.name).finish()
    }
}

impl Helper {
    /// A helper with the part of our environment that it may see.
    pub(super) fn new(name: String) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "what a credential program sees of our environment is decided here"
        )]
        let variables = std::env::vars_os();
        let environment = variables.filter(|(name, _)| name.to_str().is_some_and(process::may_see)).collect();
        Self { name, environment }
    }

    fn program(&self) -> String {
        format!("docker-credential-{}", self.name)
    }

    /// What came of asking it, where that is no credential.
    fn failure(&self, registry: &str, text: &str) -> Failure {
        let program = self.program();
        Failure::from(Cause::Authentication(format!("the credential helper {program} {text}")))
            .hint(format!("run `echo {registry} | {program} get` as the bot's user, with its environment"))
    }

    /// Asks for the credentials of a registry. Without any, nothing is shown to it.
    pub(super) async fn ask(&self, registry: &str) -> Result<Fetched, Failure> {
        let program = self.program();
        let failed = |text: &str| self.failure(registry, text);
        #[expect(clippy::disallowed_methods, reason = "the one place where credential helpers are started")]
        let mut command = Command::new(&program);
        command.arg("get").env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        let server = if registry == DOCKER_HUB { "https://index.docker.io/v1/" } else { registry };
        let done = process::run(&mut command, Some(server.as_bytes()), BOUNDS).await;
        let done = done.map_err(|error| failed(&error.to_string()))?;
        if !done.success {
            let said = String::from_utf8_lossy(&done.stdout);
            return match said.trim() == NOT_FOUND {
                true => Ok(Fetched { shown: None, life: LIFE }),
                false => Err(failed("failed")),
            };
        }
        read(&done.stdout).map(|shown| Fetched { shown, life: LIFE }).map_err(failed)
    }
}

fn read(stdout: &[u8]) -> Result<Option<Shown>, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: SecretString,
    }
    let answer: Answer = serde_json::from_slice(stdout).map_err(|_| "printed something else than credentials")?;
    Ok(Some(match answer.username.as_str() {
        IDENTITY_TOKEN => Shown::Refresh(answer.secret),
        _ => Shown::Pair { username: answer.username, password: answer.secret },
    }))
}

impl LogsIn for HelperLogin {
    type Settings = HelperSettings;

    fn secrets(_: &HelperSettings) -> Vec<(&'static str, &SecretSource)> {
        Vec::new()
    }

    fn open(settings: &HelperSettings, _: &LoginOpening<'_>) -> Result<Self, String> {
        Ok(Self { helper: Helper::new(settings.name.clone()), kept: Arc::default() })
    }

    fn who(settings: &HelperSettings) -> String {
        format!("by the credential helper docker-credential-{}", settings.name)
    }

    async fn proofs(&self, session: &Session<'_>) -> Result<Vec<Proof>, Failure> {
        let registry = &session.host.name;
        let proofs = self.kept.proofs(session, self.helper.ask(registry)).await?;
        if !proofs.is_empty() {
            return Ok(proofs);
        }
        // Amazon's helper says the same where Amazon refuses its own login, and keeps the reason in its log.
        let failure = self.helper.failure(registry, "has no credentials for it, or was refused them");
        Ok(vec![Proof::Unavailable(failure)])
    }

    async fn forget(&self, session: &Session<'_>) -> bool {
        self.kept.forget(session).await
    }
}
