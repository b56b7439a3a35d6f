//! What a receiver needs to be opened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};

use crate::document::secret::{Address, CredentialSource, ReadSecrets, SecretSource};
use crate::http::status::{Deployments, StatusSpeech};

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

/// A GitOps repository whose forge takes statuses of commits.
#[derive(Debug, Clone)]
pub struct StatusTarget {
    /// The address of the repository's part of the REST API: `https://api.github.com/repos/acme/deploys`.
    pub base: String,
    /// Its full name.
    pub full_name: String,
    /// The account's name, if the token goes with one.
    pub user: Option<String>,
    /// A token that may write statuses; where there are deployments, these and pull requests, too.
    pub token: StatusToken,
    /// How the forge takes statuses.
    pub speech: &'static StatusSpeech,
    /// The address of the page of a commit, up to the commit's id.
    pub commit_page: String,
    /// Whether the forge takes deployments, too.
    pub deployments: Deployments,
    /// The branch that is deployed.
    pub branch: String,
}

/// The token for a repository's forge. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum StatusToken {
    /// One that stays.
    Kept(SecretString),
    /// One that ends, of an app of the forge.
    Lent(Arc<dyn LendsStatusToken>),
}

/// Somebody who has a token that ends, and makes another one in time.
pub trait LendsStatusToken: fmt::Debug + Send + Sync {
    /// A token that is good now.
    ///
    /// # Errors
    /// Why there is none, without a secret.
    fn token(&self) -> BoxFuture<'_, Result<SecretString, (FailureKind, String)>>;

    /// Called when a token was refused.
    fn refused(&self) -> BoxFuture<'_, ()>;
}

impl StatusToken {
    /// The same without the spaces and line ends that often surround a token, and the token itself, if it is one that stays.
    pub(super) fn kept(&self) -> (Self, Option<SecretString>) {
        match self {
            Self::Kept(token) => {
                let token = SecretString::from(token.expose_secret().trim());
                (Self::Kept(token.clone()), Some(token))
            }
            Self::Lent(lender) => (Self::Lent(Arc::clone(lender)), None),
        }
    }
}

/// What a kind of receiver needs of the repositories' forges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusNeed {
    /// Nothing.
    None,
    /// One of them takes statuses of commits.
    Statuses,
    /// One of them takes statuses of commits, and all that do should take deployments, too.
    StatusesAndDeployments,
    /// One of them is the forge that this receiver is for, and takes deployments.
    OwnDeployments,
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
