//! The web server of `landfall run`, and the keys that all sources of webhooks share. Their own keys are in
//! [`crate::webhooks`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::check::{Check, optional};
use crate::document::kinds::Tagged;
use crate::document::secret::Secret;
use crate::webhooks::{SourceConfig, SourceSettings};

use super::at::At;
use super::settings::{Audience, Network, ServerSettings, TrustedProxySettings};
use super::value;

/// Where it listens unless told otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// How long hints are gathered unless told otherwise.
const DEFAULT_DEBOUNCE: Duration = Duration::from_secs(1);
/// Whoever wants to wait longer than this does not need webhooks.
const LONGEST_DEBOUNCE: Duration = Duration::from_secs(60);

/// The web server of `landfall run`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "the server as a mapping, such as `{ listen: 127.0.0.1:8080 }`"
)]
pub(super) struct Server {
    /// The address and port to listen on; default `127.0.0.1:8080`, which only this machine reaches.
    listen: Option<At<String>>,
    /// The token for the page, its API and `/metrics`; default: none, and only this machine may read them.
    token: Option<At<Secret>>,
    /// A proxy in front that logs people in; whoever it names may read as with the token.
    trusted_proxy: Option<At<TrustedProxy>>,
    /// Who may read badges: `private` (the default), whoever may read the page, or `public`, everybody who reaches the server.
    badges: Option<At<BadgeReaders>>,
    /// How long webhooks are gathered before a registry or repository is asked, 1 to 60 seconds; default `1s`.
    debounce: Option<At<String>>,
    /// Who may send webhooks; each has the address `/webhooks/NAME`.
    #[serde(default)]
    webhooks: Vec<At<Tagged<WebhookKeys, SourceConfig>>>,
}

/// A proxy that logs people in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "the proxy as a mapping, such as `{ header: X-Forwarded-User, addresses: [10.0.0.0/8] }`"
)]
struct TrustedProxy {
    /// The header in which it names whom it has logged in, such as `X-Forwarded-User`. It must remove this header from what
    /// it is sent.
    header: At<String>,
    /// The addresses that it sends from: IP addresses, or networks such as `10.0.0.0/8`.
    addresses: Vec<At<String>>,
}

/// Who may read badges.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", expecting = "`private` or `public`")]
enum BadgeReaders {
    /// Whoever may read the page.
    Private,
    /// Everybody who reaches the server.
    Public,
}

/// The keys of every source of webhooks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WebhookKeys {
    /// A short name, unique in this file; the last part of its address.
    name: At<String>,
    /// The registry that its images are on, as image names write it; default: what the webhook says.
    registry: Option<At<String>>,
}

impl Check<'_, '_> {
    pub(super) fn server(&mut self, at: &At<Server>) -> Option<ServerSettings> {
        let raw = &at.value;
        self.unique("webhook source", raw.webhooks.iter().map(|at| &at.value.common.name), str::to_owned);
        let listen = match &raw.listen {
            None => Some(DEFAULT_LISTEN),
            Some(at) => self.text(at, listen),
        };
        let token = optional(raw.token.as_ref(), |at| self.secret(at));
        let debounce = match &raw.debounce {
            None => Some(DEFAULT_DEBOUNCE),
            Some(at) => self.text(at, |text| {
                value::duration(text).and_then(|time| match time <= LONGEST_DEBOUNCE {
                    true => Ok(time),
                    false => Err("`debounce` must be from 1s to 60s".to_owned()),
                })
            }),
        };
        let trusted_proxy = optional(raw.trusted_proxy.as_ref(), |at| self.trusted_proxy(at));
        let badges = match raw.badges.as_ref().map(|at| at.value) {
            None | Some(BadgeReaders::Private) => Audience::Private,
            Some(BadgeReaders::Public) => Audience::Public,
        };
        let webhooks = raw.webhooks.iter().filter_map(|at| self.source(at)).collect();
        Some(ServerSettings {
            listen: listen?,
            token: token?,
            trusted_proxy: trusted_proxy?,
            badges,
            debounce: debounce?,
            webhooks,
        })
    }

    fn trusted_proxy(&mut self, at: &At<TrustedProxy>) -> Option<TrustedProxySettings> {
        let header = self.text(&at.value.header, header);
        let mut networks = Some(Vec::new());
        for at in &at.value.addresses {
            match (self.text(at, network), &mut networks) {
                (Some(network), Some(networks)) => networks.push(network),
                _ => networks = None,
            }
        }
        if at.value.addresses.is_empty() {
            self.sink.error(at.mark, "`addresses` is empty: name the addresses that the proxy sends from".to_owned());
            return None;
        }
        Some(TrustedProxySettings { header: header?, networks: networks? })
    }

    fn source(&mut self, at: &At<Tagged<WebhookKeys, SourceConfig>>) -> Option<SourceSettings> {
        let (raw, config) = (&at.value.common, &at.value.kind);
        let name = self.text(&raw.name, value::name);
        let kind = config.check(at.mark, self);
        let registry = optional(raw.registry.as_ref(), |at| self.text(at, value::registry_host));
        let (kind, proof) = kind?;
        Some(SourceSettings { name: name?, kind, proof, registry: registry? })
    }
}

/// A header's name, in lower case. Those that anybody's client sends by itself vouch for nobody.
fn header(text: &str) -> Result<String, String> {
    let name = text.trim().to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > 100 || !name.bytes().all(is_token) {
        return Err("`header` must be the name of a header, such as X-Forwarded-User".to_owned());
    }
    let usual = [
        "host",
        "user-agent",
        "accept",
        "cookie",
        "connection",
        "forwarded",
        "authorization",
        "via",
        "x-real-ip",
        "referer",
        "origin",
    ];
    // With one of these, everybody would be somebody who is logged in.
    let families = ["accept-", "sec-", "if-", "content-"];
    let usual = usual.contains(&name.as_str()) || families.iter().any(|family| name.starts_with(family));
    let addresses = ["for", "host", "proto", "port", "server"].iter().any(|end| name == format!("x-forwarded-{end}"));
    match usual || addresses {
        true => Err(format!(
            "`{name}` says nothing of who was logged in; name the header that the proxy sets, such as X-Forwarded-User"
        )),
        false => Ok(name),
    }
}

/// An IP address, or a network such as `10.0.0.0/8`.
fn network(text: &str) -> Result<Network, String> {
    let (address, bits) = match text.trim().split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text.trim(), None),
    };
    let parsed = address.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let most = parsed.map_or(0, |address| if address.is_ipv4() { 32 } else { 128 });
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most));
    match (parsed, bits) {
        (Some(_), Some(0)) => Err("a network of all addresses trusts everybody; name those of the proxy".to_owned()),
        (Some(address), Some(bits)) => Ok(Network { address, bits }),
        _ => Err(format!(
            "`{}` is no IP address or network, such as 10.0.0.7 or 10.0.0.0/8",
            text.chars().take(60).collect::<String>()
        )),
    }
}

/// An address and port; `localhost` is 127.0.0.1.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let address = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    address.parse().map_err(|_| {
        format!(
            "`{}` is not an IP address and a port, such as 127.0.0.1:8080 or 0.0.0.0:8080",
            text.chars().take(60).collect::<String>()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::header;

    #[test]
    fn a_header_that_anybody_sends_vouches_for_nobody() {
        for name in
            ["Via", "X-Real-IP", "Accept-Language", "Sec-Fetch-Site", "If-None-Match", "X-Forwarded-Host", "Cookie"]
        {
            assert!(header(name).is_err(), "{name}");
        }
        for name in ["X-Forwarded-User", "X-Forwarded-Email", "Remote-User", "X-Auth-Request-User"] {
            assert_eq!(header(name), Ok(name.to_ascii_lowercase()));
        }
    }
}
