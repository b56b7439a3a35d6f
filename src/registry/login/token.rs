//! A ready bearer token.

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
pub(crate) struct TokenConfig {
    /// A token, used alone.
    token: At<Secret>,
}

impl TokenConfig {
    pub(super) fn check(&self, check: &mut Check<'_, '_>) -> Option<TokenSettings> {
        check.secret(&self.token).map(|token| TokenSettings { token })
    }
}

/// Where the token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    token: SecretSource,
}

/// A ready bearer token.
#[derive(Debug, Clone)]
pub struct TokenLogin {
    /// The token.
    pub token: SecretString,
}

impl LogsIn for TokenLogin {
    type Settings = TokenSettings;

    fn secrets(settings: &TokenSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("token", &settings.token)]
    }

    fn open(settings: &TokenSettings, opening: &LoginOpening<'_>) -> Result<Self, String> {
        opening.secret(&settings.token).map(|token| Self { token })
    }

    fn who(_: &TokenSettings) -> String {
        "a token".to_owned()
    }

    async fn proofs(&self, _: &Session<'_>) -> Result<Vec<Proof>, Failure> {
        Proof::bearer(&self.token).map(|proof| vec![proof])
    }
}
