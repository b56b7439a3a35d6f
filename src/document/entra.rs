//! How files name an identity of Microsoft Entra ID: `{}` for the one that the bot runs with.

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;
use super::check::{Check, optional};
use super::secret::{Secret, SecretSource};

/// What may be said besides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping, `{}` for the identity that the bot runs with"
)]
pub(crate) struct EntraKeys {
    /// The tenant; default: `AZURE_TENANT_ID`.
    tenant_id: Option<At<String>>,
    /// The application, or the managed identity; default: `AZURE_CLIENT_ID`.
    client_id: Option<At<String>>,
    /// The application's secret, in place of the identity that the bot runs with.
    client_secret: Option<At<Secret>>,
}

impl EntraKeys {
    pub(crate) fn check(&self, check: &mut Check<'_, '_>) -> Option<EntraSettings> {
        let tenant = optional(self.tenant_id.as_ref(), |at| check.text(at, identifier));
        let client = optional(self.client_id.as_ref(), |at| check.text(at, identifier));
        let secret = optional(self.client_secret.as_ref(), |at| check.secret(at));
        Some(EntraSettings { tenant: tenant?, client: client?, secret: secret? })
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

/// An identity of Entra ID, its secret not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntraSettings {
    /// The tenant, where the file names it.
    pub tenant: Option<String>,
    /// The application or the managed identity, where the file names it.
    pub client: Option<String>,
    /// The application's secret.
    pub secret: Option<SecretSource>,
}

impl EntraSettings {
    /// The sources of its secrets, each with a description.
    #[must_use]
    pub fn secrets(&self) -> Vec<(&'static str, &SecretSource)> {
        self.secret.iter().map(|source| ("client secret", source)).collect()
    }

    /// Who it is, for people.
    #[must_use]
    pub fn who(&self) -> String {
        match (&self.secret, &self.client) {
            (Some(_), Some(client)) => format!("as the Azure application {client}"),
            (Some(_), None) => "as an Azure application".to_owned(),
            (None, Some(client)) => format!("by the Azure identity {client}"),
            (None, None) => "by the Azure identity that the bot runs with".to_owned(),
        }
    }
}
