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
use super::settings::ServerSettings;
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
    /// The token for `/metrics`; default: none, and only this machine may read them.
    token: Option<At<Secret>>,
    /// How long webhooks are gathered before a registry or repository is asked, 1 to 60 seconds; default `1s`.
    debounce: Option<At<String>>,
    /// Who may send webhooks; each has the address `/webhooks/NAME`.
    #[serde(default)]
    webhooks: Vec<At<Tagged<WebhookKeys, SourceConfig>>>,
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
        let webhooks = raw.webhooks.iter().filter_map(|at| self.source(at)).collect();
        Some(ServerSettings { listen: listen?, token: token?, debounce: debounce?, webhooks })
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
