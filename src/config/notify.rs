//! Receivers of alerts and the heartbeat: the keys that all kinds of receivers share. Their own keys are in
//! [`crate::notify`].

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::check::Check;
use crate::document::kinds::Tagged;
use crate::document::secret::Secret;
use crate::model::Severity;
use crate::notify::{LandingNews, SinkConfig};
use crate::policy::Window as Opening;

use super::at::At;
use super::policies::window_list;
use super::raw_policy::Window;
use super::settings::{HeartbeatSettings, NotifySettings};
use super::value;

/// The shortest interval between reminders: people mute anything more frequent.
const SHORTEST_REMINDER: Duration = Duration::from_secs(60);

/// The keys of every receiver.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReceiverKeys {
    /// A short name, unique in this file.
    pub(super) name: At<String>,
    /// Certificates (PEM) to trust for it, besides the system's.
    ca_file: Option<At<String>>,
    /// Only alerts of these environments; default: all.
    #[serde(default)]
    environments: Vec<At<String>>,
    /// Only alerts about apps that these policies cover; default: all.
    #[serde(default)]
    policies: Vec<At<String>>,
    /// Only alerts of at least this severity; default `info`.
    minimum_severity: Option<At<AlertSeverity>>,
    /// When it is muted; what is still wrong at the end is sent then.
    #[serde(default)]
    mute: Vec<At<Window>>,
    /// Time between two reminders of an open incident; default `4h`.
    reminder: Option<At<String>>,
    /// Whether it is also notified of landings; by default those kinds are that programs read, except `alertmanager` and
    /// `opsgenie`.
    landings: Option<At<bool>>,
}

/// The severity of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AlertSeverity {
    /// Good to know.
    Info,
    /// Needs a look.
    Warning,
    /// Will not resolve itself.
    Error,
    /// Will not resolve itself, and no pod of it is running.
    Critical,
}

/// An external dead man's switch, which alerts when the bot falls silent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "`{ webhookUrl: { env: NAME } }`, or `{ url: ADDRESS }` if it is not a secret"
)]
pub(super) struct Heartbeat {
    /// The URL to request after each good cycle, if it is not a secret.
    url: Option<At<String>>,
    /// The same, if it is a secret.
    webhook_url: Option<At<Secret>>,
    /// Certificates (PEM) to trust for it, besides the system's.
    ca_file: Option<At<String>>,
}

impl Check<'_, '_> {
    pub(super) fn receiver(&mut self, at: &At<Tagged<ReceiverKeys, SinkConfig>>) -> Option<NotifySettings> {
        let (raw, config) = (&at.value.common, &at.value.kind);
        let name = self.text(&raw.name, value::name);
        let kind = config.check(at.mark, self);
        let minimum_severity = match raw.minimum_severity.as_ref().map(|at| at.value) {
            None | Some(AlertSeverity::Info) => Severity::Info,
            Some(AlertSeverity::Warning) => Severity::Warning,
            Some(AlertSeverity::Error) => Severity::Error,
            Some(AlertSeverity::Critical) => Severity::Critical,
        };
        let reminder = raw.reminder.as_ref().and_then(|at| {
            let reminder = self.text(at, value::duration)?;
            if reminder < SHORTEST_REMINDER {
                self.sink.error(at.mark, "`reminder` must be at least 1m");
            }
            Some(reminder)
        });
        let (news, asked) = (config.landings(), raw.landings.as_ref());
        if let (LandingNews::Never, Some(at)) = (news, asked.filter(|at| at.value)) {
            self.sink.error(at.mark, "a receiver of this kind cannot be notified of landings");
        }
        Some(NotifySettings {
            name: name?,
            kind: kind?,
            ca_file: self.path(raw.ca_file.as_ref()),
            environments: self.names(&raw.environments),
            policies: self.names(&raw.policies),
            minimum_severity,
            mute: self.mute(&raw.mute),
            reminder,
            landings: asked.map_or(news == LandingNews::Notified, |at| at.value),
        })
    }

    /// When a receiver is muted.
    fn mute(&mut self, windows: &[At<Window>]) -> Vec<Opening> {
        for window in windows {
            if let Some(kind) = &window.value.kind {
                self.sink.error(kind.mark, "`kind` has no meaning here: the receiver is muted while a window is open");
            }
        }
        window_list(windows, self.sink)
    }

    pub(super) fn heartbeat(&mut self, at: &At<Heartbeat>) -> Option<HeartbeatSettings> {
        let raw = &at.value;
        let url = self.address(at.mark, raw.url.as_ref(), raw.webhook_url.as_ref());
        Some(HeartbeatSettings { ca_file: self.path(raw.ca_file.as_ref()), url: url? })
    }
}
