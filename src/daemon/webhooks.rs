//! From settings to what the web server needs: sources of webhooks and its token, with their secrets read.

use secrecy::SecretString;

use crate::config::{Environment, Settings};
use crate::webhooks::{SourceSettings, WebhookSource};

use super::setup::{SetupError, secret};

/// The sources of webhooks of a configuration.
///
/// # Errors
/// If a secret cannot be read or used.
pub fn webhook_sources(settings: &Settings, environment: &Environment) -> Result<Vec<WebhookSource>, SetupError> {
    let all = settings.server.iter().flat_map(|server| &server.webhooks);
    all.map(|source| webhook_source(source, environment)).collect()
}

/// One source of webhooks.
///
/// # Errors
/// If its secret cannot be read or used.
pub fn webhook_source(source: &SourceSettings, environment: &Environment) -> Result<WebhookSource, SetupError> {
    let read = |from| secret(from, &format!("secret of webhook source {}", source.name), environment);
    let key = source.proof.secret().map(read).transpose()?;
    WebhookSource::open(source, key).map_err(|error| SetupError::Webhook { name: source.name.clone(), source: error })
}

/// The token for what not everybody may read.
///
/// # Errors
/// If it cannot be read.
pub fn server_token(settings: &Settings, environment: &Environment) -> Result<Option<SecretString>, SetupError> {
    let source = settings.server.as_ref().and_then(|server| server.token.as_ref());
    source.map(|source| secret(source, "token of the server", environment)).transpose()
}
