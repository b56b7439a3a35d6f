//! A name and a password.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::secret::{Secret, SecretSource};
use crate::registry::exchange::Session;
use crate::registry::host::Failure;

use super::{LoginOpening, LogsIn, Proof};

/// The keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BasicConfig {
    /// The user's name.
    username: At<String>,
    /// The user's password.
    password: At<Secret>,
}

impl BasicConfig {
    pub(super) fn check(&self, check: &mut Check<'_, '_>) -> Option<BasicSettings> {
        let (username, password) = (check.username(&self.username), check.secret(&self.password));
        Some(BasicSettings { username: username?, password: password? })
    }
}

/// A name, and where the password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicSettings {
    username: String,
    password: SecretSource,
}

/// A name and a password.
#[derive(Debug, Clone)]
pub struct BasicLogin {
    /// The name.
    pub username: String,
    /// The password.
    pub password: SecretString,
}

impl LogsIn for BasicLogin {
    type Settings = BasicSettings;

    fn secrets(settings: &BasicSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("password", &settings.password)]
    }

    fn open(settings: &BasicSettings, opening: &LoginOpening<'_>) -> Result<Self, String> {
        Ok(Self { username: settings.username.clone(), password: opening.secret(&settings.password)? })
    }

    fn who(settings: &BasicSettings) -> String {
        format!("user {}", settings.username)
    }

    async fn proofs(&self, _: &Session<'_>) -> Result<Vec<Proof>, Failure> {
        Proof::pair(&self.username, &self.password).map(|proof| vec![proof])
    }
}
