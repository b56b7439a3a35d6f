//! A ready bearer token.

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::secret::{ReadSecrets, Secret, SecretSource};
use crate::registry::host::Failure;

use super::{LogsIn, Proof, secret_header};

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

    fn open(settings: &TokenSettings, secrets: &ReadSecrets) -> Option<Self> {
        secrets.get(&settings.token).map(|token| Self { token })
    }

    fn who(_: &TokenSettings) -> String {
        "a token".to_owned()
    }

    async fn proof(&self) -> Result<Proof, Failure> {
        secret_header("Bearer", self.token.expose_secret()).map(Proof::Bearer)
    }
}
