//! The one HTTP layer below registries, forges and receivers of alerts.
//!
//! Promise: every request ends in bounded time with a bounded answer; redirects are followed by nobody but an edge that
//! checks where they lead; an error holds neither an address's path nor a secret that was given to [`Secrets`].
//!
//! Invariants:
//! - [`client`] is the only place where HTTP clients are made; certificates, time limits, proxies, the user agent and the rule
//!   about addresses are decided there
//! - what the configuration does not name is connected to only where [`Reach`] allows the address, and that is decided in
//!   the resolver, for each connection, so that a name cannot lead where its address could not; a proxy of the environment
//!   resolves names itself: what this machine can resolve is judged before it is asked ([`may_ask`])
//! - the bodies of all answers that are held at one time, of all edges together, take a bounded amount of memory, of which no host
//!   keeps the others out ([`Body`])
//! - nothing is repeated here: only an edge knows which of its requests may be sent again ([`retry`] says when)

pub mod address;
pub mod link;
mod proxy;
pub mod retry;
mod room;
mod secrets;

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use url::Url;

pub use proxy::may_ask;
pub use room::{Body, read};
pub use secrets::{SecretUrl, Secrets};

use proxy::Proxies;

/// How servers see us.
pub const USER_AGENT: &str = concat!("landfall/", env!("CARGO_PKG_VERSION"));
/// The longest time to connect where a request may take longer.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Which addresses a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reach {
    /// Wherever the configuration says.
    #[default]
    Configured,
    /// What a server in a private network may name: everything but link-local addresses and metadata services.
    Private,
    /// What a stranger may name: public addresses only.
    Public,
}

impl Reach {
    fn allows(self, ip: std::net::IpAddr) -> bool {
        match self {
            Self::Configured => true,
            Self::Private => !address::forbidden(ip),
            Self::Public => !address::forbidden(ip) && !address::internal(ip),
        }
    }

    /// Why a name is not asked whose addresses are out of reach.
    fn refusal(self) -> &'static str {
        match self {
            Self::Public => "the name leads to a private or local address, which only the configuration may name",
            Self::Private | Self::Configured => "the name has no address that may be asked",
        }
    }
}

/// What a client is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientSettings<'a> {
    /// Certificates (PEM) to trust besides the system's.
    pub ca_pem: Option<&'a [u8]>,
    /// Most time for one request, its whole answer included.
    pub timeout: Duration,
    /// Most time to connect; at most ten seconds.
    pub connect_timeout: Option<Duration>,
    /// Where it may connect to.
    pub reach: Reach,
    /// Whether the proxies of the environment are passed over: no proxy reaches this machine's own loopback.
    pub direct: bool,
}

/// Why there is no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The file is not what it should be.
    #[error("the CA file holds no certificate in PEM format; next: look at caFile")]
    Certificates,
    /// The rest.
    #[error("no HTTP client: {0}")]
    Other(String),
}

/// Makes a client.
///
/// # Errors
/// When the certificates cannot be used.
pub fn client(settings: ClientSettings<'_>) -> Result<Client, ClientError> {
    #[expect(clippy::disallowed_methods, reason = "the one place where HTTP clients are made")]
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        // An edge that follows redirects decides what travels along; the client would decide by itself.
        .redirect(reqwest::redirect::Policy::none())
        // Not even what HTTP/2 calls "not processed" is sent again unasked.
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(settings.connect_timeout.unwrap_or(CONNECT).min(settings.timeout).min(CONNECT))
        .timeout(settings.timeout)
        .pool_idle_timeout(IDLE);
    if settings.reach != Reach::Configured {
        builder = builder.dns_resolver(CheckedResolver(settings.reach));
    }
    if settings.direct {
        builder = builder.no_proxy();
    }
    if let Some(pem) = settings.ca_pem {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| ClientError::Certificates)?;
        if certificates.is_empty() {
            return Err(ClientError::Certificates);
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|error| ClientError::Other(chain(&error.without_url())))
}

/// Resolves names as the system does, and drops the addresses that are out of reach.
struct CheckedResolver(Reach);

impl reqwest::dns::Resolve for CheckedResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // A proxy is named by the operator.
            let named = Proxies::system().has(name.as_str());
            let allowed: Vec<_> = found.into_iter().filter(|found| named || reach.allows(found.ip())).collect();
            if allowed.is_empty() {
                return Err(reach.refusal().into());
            }
            Ok(Box::new(allowed.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

/// Why there is no complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What happened.
    pub kind: BrokenKind,
    /// The same in words, without the address.
    pub text: String,
}

/// What kept a complete answer away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenKind {
    /// No connection.
    Unreachable,
    /// No connection in time.
    ConnectTimeout,
    /// No complete answer in time.
    Timeout,
    /// The connection broke.
    CutOff,
    /// The answer is longer than is read.
    TooLong,
    /// There was no room for an answer so long, or its sender was too slow for those who waited for its room.
    NoRoom,
}

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        let kind = match (error.is_connect(), error.is_timeout()) {
            (true, true) => BrokenKind::ConnectTimeout,
            (false, true) => BrokenKind::Timeout,
            (true, false) => BrokenKind::Unreachable,
            (false, false) => BrokenKind::CutOff,
        };
        let text = match kind {
            BrokenKind::ConnectTimeout | BrokenKind::Timeout => "it took too long".to_owned(),
            // An address may hold a signature or be a secret itself.
            _ => chain(&error.without_url()),
        };
        Self { kind, text }
    }
}

/// Sends a request.
///
/// # Errors
/// When there is no answer.
pub async fn send(request: RequestBuilder) -> Result<Response, Broken> {
    Ok(request.send().await?)
}

/// Scheme, host and port: paths and queries may be secrets.
#[must_use]
pub fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or("no host");
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// An error with its causes, each said once. Its address must have been taken out before.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(reach: Reach, url: &str) -> Broken {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let settings = ClientSettings { timeout: Duration::from_secs(5), reach, direct: true, ..Default::default() };
        send(client(settings).unwrap().get(url)).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_name_leads_nowhere_that_its_address_could_not() {
        // Nothing listens at port 1, so that what is in reach is refused by the machine and not by the rule.
        let refused = ask(Reach::Public, "http://localhost:1/").await;
        assert!(refused.text.contains("only the configuration may name"), "{}", refused.text);
        for reach in [Reach::Private, Reach::Configured] {
            let tried = ask(reach, "http://localhost:1/").await;
            assert!(!tried.text.contains("address"), "{}", tried.text);
        }
    }

    #[test]
    fn reach_is_what_it_says() {
        for (ip, private, public) in [
            ("203.0.113.9", true, true),
            ("10.0.0.1", true, false),
            ("127.0.0.1", true, false),
            ("169.254.169.254", false, false),
            ("168.63.129.16", false, false),
            ("fd20:ce::254", false, false),
            ("fd12::1", true, false),
        ] {
            let ip = ip.parse().unwrap();
            assert_eq!((Reach::Private.allows(ip), Reach::Public.allows(ip)), (private, public), "{ip}");
            assert!(Reach::Configured.allows(ip));
        }
    }

    #[test]
    fn certificates_that_are_none_are_refused() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        for pem in [&b""[..], b"nonsense"] {
            let settings = ClientSettings { ca_pem: Some(pem), ..Default::default() };
            assert_eq!(client(settings).unwrap_err(), ClientError::Certificates);
        }
    }
}
