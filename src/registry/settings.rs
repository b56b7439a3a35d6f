//! Settings of registries: hosts, credentials, limits.

use std::time::Duration;

use crate::model::{TagList, Validators};

use super::login::RegistryLogin;

/// Concurrent operations on one host, unless its settings say otherwise.
pub(super) const DEFAULT_REQUESTS: usize = 8;

/// Settings of one registry host. Hosts without settings are used over https, anonymously.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// The host as in image names, with its port, e.g. `registry.example.com:5000`; Docker Hub is `docker.io`.
    pub host: String,
    /// Mirrors of it, as in image names: `host` or `host/path`. Images pulled from there are looked up here.
    pub mirrors: Vec<String>,
    /// Use plain HTTP for this host. There is no fallback in either direction, and no exception for `localhost`.
    pub plain_http: bool,
    /// Certificates (PEM) trusted for this host besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// A certificate with its private key (PEM), to show where this host asks for one.
    pub identity_pem: Option<Vec<u8>>,
    /// How to log in; `None`: anonymously.
    pub login: Option<RegistryLogin>,
    /// How many operations may run at the same time; default 8.
    pub max_requests: Option<usize>,
    /// Hosts, besides this one and its siblings, that may receive the credentials in order to issue a token.
    pub token_realms: Vec<String>,
    /// Maximum time for one operation, instead of [`Limits::total_timeout`].
    pub timeout: Option<Duration>,
}

impl HostSettings {
    /// A host with default settings.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            mirrors: Vec::new(),
            plain_http: false,
            ca_pem: None,
            identity_pem: None,
            login: None,
            max_requests: None,
            token_realms: Vec::new(),
            timeout: None,
        }
    }
}

/// Limits on the cost of one operation, whatever a registry sends.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one answer, after decompression.
    pub max_body: u64,
    /// Tags of one repository, names outside the grammar included.
    pub max_tags: usize,
    /// Pages of one listing.
    pub max_pages: usize,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time for one request, its whole answer included.
    pub request_timeout: Duration,
    /// Time for one operation with its pages, tokens, pauses and retries, from the moment it gets its turn.
    pub total_timeout: Duration,
    /// Maximum number of attempts for one request.
    pub attempts: u32,
    /// The first pause between two attempts; it doubles each time, with jitter.
    pub backoff: Duration,
    /// How many consecutive operations must fail to connect or time out before the host is left alone.
    pub sick_after: u32,
    /// How long a sick host is left alone.
    pub sick_pause: Duration,
}

impl Limits {
    /// The same limits with another time for one operation, which also limits its parts.
    pub(super) fn within(&self, timeout: Option<Duration>) -> Self {
        let total_timeout = timeout.unwrap_or(self.total_timeout);
        Self {
            total_timeout,
            request_timeout: self.request_timeout.min(total_timeout),
            connect_timeout: self.connect_timeout.min(total_timeout),
            ..self.clone()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: 16 * 1024 * 1024,
            max_tags: 1_000_000,
            max_pages: 10_000,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(120),
            attempts: 3,
            backoff: Duration::from_millis(500),
            sick_after: 3,
            sick_pause: Duration::from_secs(60),
        }
    }
}

/// A complete answer about the tags of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagsAnswer {
    /// All current tags.
    Fresh {
        /// The tags in the registry's order, without duplicates.
        tags: TagList,
        /// How many names were dropped because they are outside the OCI grammar.
        dropped: usize,
        /// The validators for the next request, if the registry sends them and the listing was one page.
        validators: Option<Validators>,
    },
    /// The listing that the validators belong to is still current.
    NotModified,
}
