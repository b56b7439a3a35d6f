//! The one HTTP layer below registries, forges and receivers of alerts.
//!
//! Promise: every request ends in bounded time with a bounded answer. Redirects are followed only by edges that check
//! where they lead. An error contains neither a URL's path nor any secret given to [`Secrets`].
//!
//! Invariants:
//! - [`client`] is the only place that creates HTTP clients; certificates, time limits, proxies, the user agent and the
//!   address rules are set there
//! - a host that the configuration does not name is connected to only if [`Reach`] allows its address. The resolver
//!   decides this for each connection, so that a name cannot lead where its address could not. A proxy from the
//!   environment resolves names itself: names that this machine can resolve are checked beforehand ([`may_ask`])
//! - the bodies of all answers held at the same time, across all edges, take a bounded amount of memory, from which no
//!   host can exclude the others ([`Body`])
//! - nothing is retried here: only an edge knows which of its requests may be sent again ([`retry`] says when)

pub mod address;
pub mod entra;
mod extent;
pub mod jwt;
pub mod link;
mod proxy;
pub mod quota;
pub mod retry;
mod room;
mod secrets;
pub mod status;

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use url::Url;

use crate::meter;

pub use extent::{Extent, extent};
pub use proxy::may_ask;
pub use room::{Body, read, read_error, stream};
pub use secrets::{SecretUrl, Secrets};
pub(crate) use secrets::{is_token, token};

use proxy::Proxies;

/// The user agent.
pub const USER_AGENT: &str = concat!("landfall/", env!("CARGO_PKG_VERSION"));
/// Maximum time to connect, if a request may take longer.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Which addresses a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reach {
    /// Anything in the configuration.
    #[default]
    Configured,
    /// For names from a server in a private network: everything except link-local addresses and metadata services.
    Private,
    /// For names from outside: public addresses only.
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

/// Settings of a client.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientSettings<'a> {
    /// Certificates (PEM) to trust besides the system's.
    pub ca_pem: Option<&'a [u8]>,
    /// A certificate with its chain and its private key (PEM), to show where a server asks for one.
    pub identity_pem: Option<&'a [u8]>,
    /// Maximum time for one request, including its whole answer.
    pub timeout: Duration,
    /// Maximum time to connect; at most ten seconds.
    pub connect_timeout: Option<Duration>,
    /// Where it may connect to.
    pub reach: Reach,
    /// Whether to bypass the proxies in the environment: no proxy reaches this machine's own loopback.
    pub direct: bool,
}

/// Why a client could not be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The certificate file is invalid.
    #[error("the CA file holds no certificate in PEM format; next: look at caFile")]
    Certificates,
    /// The certificate to show, or its key, is invalid.
    #[error("no client certificate with its private key in PEM format; next: look at clientCertificate")]
    Identity,
    /// Anything else.
    #[error("no HTTP client: {0}")]
    Other(String),
}

/// Creates a client.
///
/// # Errors
/// If the certificates cannot be used.
pub fn client(settings: ClientSettings<'_>) -> Result<Client, ClientError> {
    #[expect(clippy::disallowed_methods, reason = "the one place where HTTP clients are made")]
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        // An edge that follows redirects decides which headers go along; the client would decide on its own.
        .redirect(reqwest::redirect::Policy::none())
        // Not even requests that HTTP/2 reports as unprocessed are retried implicitly.
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
    if let Some(pem) = settings.identity_pem {
        builder = builder.identity(reqwest::Identity::from_pem(pem).map_err(|_| ClientError::Identity)?);
    }
    builder.build().map_err(|error| ClientError::Other(chain(&error.without_url())))
}

/// Resolves names like the system, and drops the addresses that are out of reach.
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
    /// The same as a message, without the URL.
    pub text: String,
}

/// Why there is no complete answer.
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
    /// The answer exceeds the limit.
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
            // A URL may contain a signature or be a secret itself.
            _ => chain(&error.without_url()),
        };
        Self { kind, text }
    }
}

/// Sends a request.
///
/// # Errors
/// If there is no answer.
pub async fn send(request: RequestBuilder) -> Result<Response, Broken> {
    let (client, request) = request.build_split();
    let request = request?;
    let host = request.url().host_str().map(str::to_owned);
    let answer = client.execute(request).await;
    meter::http(host.as_deref(), answer.as_ref().ok().map(|answer| answer.status().as_u16()));
    let answer = answer?;
    if let Some(left) = quota::read(answer.headers()) {
        meter::quota(host.as_deref(), quota::resource(answer.headers()), left);
    }
    Ok(answer)
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

/// An error with its causes, as one clause. Its URL must already be removed.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    clause(&causes.map(ToString::to_string).collect::<Vec<_>>())
}

/// What an error and its causes say: what only tells which layer speaks is left out, and nothing is said twice.
fn clause(causes: &[String]) -> String {
    const LAYERS: [&str; 4] = ["error sending request", "client error (", "connection error", "tcp connect error"];
    let last = causes.last().map_or("", String::as_str);
    if causes.iter().any(|cause| cause == "dns error") {
        let why = last.strip_prefix("failed to lookup address information: ").unwrap_or(last);
        return format!("its name cannot be resolved ({why})");
    }
    let says = |cause: &&String| !LAYERS.iter().any(|layer| cause.starts_with(layer));
    let mut text = String::new();
    for cause in causes.iter().filter(says) {
        if !text.contains(cause.as_str()) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(cause);
        }
    }
    if text.is_empty() { last.to_owned() } else { text }
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
    fn an_error_says_its_cause_once_and_no_layer() {
        let lookup = "failed to lookup address information: Name or service not known";
        for (causes, expected) in [
            (
                &["error sending request", "client error (Connect)", "dns error", lookup][..],
                "its name cannot be resolved (Name or service not known)",
            ),
            (
                &[
                    "error sending request",
                    "client error (Connect)",
                    "tcp connect error",
                    "Connection refused (os error 111)",
                ],
                "Connection refused (os error 111)",
            ),
            (
                &["error decoding response body", "end of file", "end of file"],
                "error decoding response body: end of file",
            ),
            (&["error sending request"], "error sending request"),
            (&[], ""),
        ] {
            let causes: Vec<String> = causes.iter().map(|cause| (*cause).to_owned()).collect();
            assert_eq!(clause(&causes), expected);
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
