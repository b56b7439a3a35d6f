//! What is configured about registries: hosts, credentials, limits.

use std::time::Duration;

use crate::model::{TagList, Validators};

use super::login::RegistryLogin;

/// Requests in flight to one host where its settings name no number.
pub(super) const DEFAULT_REQUESTS: usize = 8;

/// What is said about one registry host. Hosts that nobody configured are used over https, anonymously.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// The host as image names have it, with its port, e.g. `registry.example.com:5000`; Docker Hub is `docker.io`.
    pub host: String,
    /// Mirrors of it, as images name them: `host` or `host/path`. What is pulled from there is asked for here.
    pub mirrors: Vec<String>,
    /// Speak plain HTTP to this host. There is no fallback in either direction, and no exception for `localhost`.
    pub plain_http: bool,
    /// Certificates (PEM) trusted for this host besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// How to log in; `None` is anonymous.
    pub login: Option<RegistryLogin>,
    /// How many operations may run at the same time; default 8.
    pub max_requests: Option<usize>,
    /// Hosts besides this one and its siblings that may ask for the credentials to issue a token.
    pub token_realms: Vec<String>,
    /// Most time for one operation, in the place of [`Limits::total_timeout`].
    pub timeout: Option<Duration>,
}

impl HostSettings {
    /// A host of which nothing but its name is known.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            mirrors: Vec::new(),
            plain_http: false,
            ca_pem: None,
            login: None,
            max_requests: None,
            token_realms: Vec::new(),
            timeout: None,
        }
    }
}

/// Bounds on what one operation may cost, whatever a registry sends.
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
    /// How often one request is tried.
    pub attempts: u32,
    /// The first pause between two tries; doubled each time, with jitter.
    pub backoff: Duration,
    /// Operations of one host that fail to connect or time out in a row before the host is left alone.
    pub sick_after: u32,
    /// How long a sick host is left alone.
    pub sick_pause: Duration,
}

impl Limits {
    /// The same limits with another time for one operation, which bounds its parts, too.
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
    /// All tags there are now.
    Fresh {
        /// The tags in the registry's order, each once.
        tags: TagList,
        /// How many names were dropped because they are outside the OCI grammar.
        dropped: usize,
        /// What to ask with next time, where the registry offers it and the listing was one page.
        validators: Option<Validators>,
    },
    /// The listing that the validators came from is still right.
    NotModified,
}
