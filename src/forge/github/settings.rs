//! What is needed to reach a repository on GitHub.

use std::time::Duration;

use secrecy::SecretString;

use crate::forge::hosted::{Login, Place, is_plain};

/// What to connect to, and as whom.
#[derive(Debug, Clone)]
pub struct GitHubSettings {
    /// The REST API: `https://api.github.com`, `https://api.SUBDOMAIN.ghe.com`, or `https://HOST/api/v3` on an
    /// Enterprise Server.
    pub api_url: String,
    /// The repository's owner.
    pub owner: String,
    /// The repository's name.
    pub repository: String,
    /// A personal access token or an installation's token.
    pub token: SecretString,
    /// Certificates to trust besides the system's, in PEM format.
    pub ca_pem: Option<Vec<u8>>,
    /// The time limit of one request; an operation of several requests may take [`REQUESTS`](crate::forge::REQUESTS) times as
    /// long.
    pub timeout: Duration,
}

/// Refuses names that GitHub does not allow: they become parts of paths.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let (owner, repository) = name.rsplit_once('/').unwrap_or((name, ""));
    for (what, name) in [("owner", owner), ("repository", repository)] {
        if name.len() > 100 || !is_plain(name) {
            return Err(format!("the {what} is not a GitHub name; next: write `repository: owner/name`"));
        }
    }
    Ok(())
}

impl From<GitHubSettings> for Place {
    fn from(GitHubSettings { api_url, owner, repository, token, ca_pem, timeout }: GitHubSettings) -> Self {
        let login = Login::Token(token);
        Self { api_url, repository: format!("{owner}/{repository}"), login, ca_pem, identity_pem: None, timeout }
    }
}
