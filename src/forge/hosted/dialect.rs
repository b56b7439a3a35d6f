//! What one kind of forge says differently over HTTP.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use reqwest::RequestBuilder;
use secrecy::SecretString;
use serde_json::Value;

use super::pages::Pages;
use crate::git::LendsToken;

/// A kind of forge, as far as single requests and answers go.
pub(in crate::forge) struct Dialect {
    /// Its name, for people.
    pub(in crate::forge) forge: &'static str,
    /// An example of its address, for people.
    pub(in crate::forge) address: &'static str,
    /// The permissions that the bot's token needs.
    pub(in crate::forge) needs: &'static str,
    /// The path below the API's that all repositories have in common.
    pub(in crate::forge) repositories: &'static str,
    /// The key of a repository's JSON with its full name.
    pub(in crate::forge) full_name: &'static str,
    /// Refuses names of repositories that it does not allow: they become parts of paths.
    pub(in crate::forge) check_name: fn(&str) -> Result<(), String>,
    /// The path of the repository with this name, below the API's.
    pub(in crate::forge) route: fn(&str) -> String,
    /// The path of the repository that a path, below the API's, belongs to.
    pub(in crate::forge) moved: fn(&str) -> Option<String>,
    /// Adds the token, and what else each request has.
    pub(in crate::forge) authorize: fn(RequestBuilder, &Login, &str) -> RequestBuilder,
    /// The message in an error's body; empty if there is none.
    pub(in crate::forge) message: fn(Value) -> String,
    /// What to do about a 403 with these headers and this message.
    pub(in crate::forge) next: fn(&HeaderMap, &str) -> String,
    /// The permissions that the headers say are sufficient, as a half-sentence; empty if they do not say.
    pub(in crate::forge) accepted: fn(&HeaderMap) -> String,
    /// How its lists say where they go on.
    pub(in crate::forge) pages: Pages,
}

/// As whom the bot comes.
#[derive(Debug, Clone)]
pub(in crate::forge) enum Login {
    /// With a token that stays.
    Token(SecretString),
    /// With a name and a token that stays.
    Basic {
        /// The account's name.
        user: String,
        /// Its token.
        token: SecretString,
    },
    /// With tokens that end.
    Lent(Arc<dyn LendsToken>),
}

/// Where a repository is, and what is needed to reach it.
#[derive(Debug, Clone)]
pub(in crate::forge) struct Place {
    /// The REST API's address.
    pub(in crate::forge) api_url: String,
    /// The repository's full name.
    pub(in crate::forge) repository: String,
    pub(in crate::forge) login: Login,
    /// Certificates to trust besides the system's, in PEM format.
    pub(in crate::forge) ca_pem: Option<Vec<u8>>,
    /// A certificate with its private key to show where a server asks for one, in PEM format.
    pub(in crate::forge) identity_pem: Option<Vec<u8>>,
    /// The time limit of one request.
    pub(in crate::forge) timeout: Duration,
}

/// Whether this is the name of an owner, a group or a repository.
pub(in crate::forge) fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= 255 && !matches!(name, "." | "..") && name.bytes().all(plain)
}
