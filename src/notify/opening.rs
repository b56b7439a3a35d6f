//! What a receiver needs to be opened.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::document::secret::{Address, CredentialSource, ReadSecrets, SecretSource};

use super::client::{Failure, FailureKind, Login};

/// The inputs shared by all receivers.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    /// Certificates (PEM) to trust besides the system's.
    pub(super) ca_pem: Option<&'a [u8]>,
    /// Maximum time for one request.
    pub(super) timeout: Duration,
    /// Time between two repetitions of open incidents.
    pub(super) repeat: Duration,
    pub(super) secrets: &'a ReadSecrets,
    pub(super) repositories: &'a BTreeMap<String, StatusTarget>,
}

/// A GitOps repository whose forge accepts commit statuses like GitHub's.
#[derive(Debug, Clone)]
pub struct StatusTarget {
    /// The REST API: `https://api.github.com`, or `https://HOST/api/v3`.
    pub api_url: String,
    /// `owner/name`.
    pub full_name: String,
    /// A token that may write statuses, deployments and pull requests.
    pub token: SecretString,
}

impl Opening<'_> {
    /// A secret, without the spaces and line ends that often surround it.
    pub(super) fn secret(&self, source: &SecretSource) -> Result<SecretString, Failure> {
        let found = self.secrets.get(source).map(|secret| SecretString::from(secret.expose_secret().trim()));
        found.ok_or_else(|| Failure::new(FailureKind::Misplaced, format!("the secret in {source} was not read")))
    }

    /// An address that may be a secret.
    pub(super) fn address(&self, address: &Address) -> Result<SecretString, Failure> {
        match address {
            Address::Plain(url) => Ok(SecretString::from(url.as_str())),
            Address::Secret(source) => self.secret(source),
        }
    }

    pub(super) fn login(&self, source: Option<&CredentialSource>) -> Result<Option<Login>, Failure> {
        Ok(match source {
            None | Some(CredentialSource::SshKey { .. }) => None,
            Some(CredentialSource::Basic { username, password }) => {
                Some(Login::Basic { username: username.clone(), password: self.secret(password)? })
            }
            Some(CredentialSource::Token(token)) => Some(Login::Bearer(self.secret(token)?)),
        })
    }
}

/// The secrets of an address and a login, each with a description.
pub(super) fn secrets_of<'a>(
    url: Option<&'a Address>,
    login: Option<&'a CredentialSource>,
) -> Vec<(&'static str, &'a SecretSource)> {
    let url = url.and_then(Address::secret).map(|source| ("address", source));
    let login = login.map(|login| match login {
        CredentialSource::Basic { password, .. } => ("password", password),
        CredentialSource::Token(source) | CredentialSource::SshKey { key: source, .. } => ("token", source),
    });
    url.into_iter().chain(login).collect()
}
