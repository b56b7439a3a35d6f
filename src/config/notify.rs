//! Receivers of alerts and the heartbeat: what all kinds of receivers have; their own keys are in [`crate::notify`].

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

/// Least time between reminders: what comes more often is muted by people.
const SHORTEST_REMINDER: Duration = Duration::from_secs(60);

/// What every receiver has.
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
    /// Only alerts about what these policies cover; default: all.
    #[serde(default)]
    policies: Vec<At<String>>,
    /// Only alerts as bad as this; default `info`.
    minimum_severity: Option<At<AlertSeverity>>,
    /// When it is not disturbed; what is still wrong at the end is sent then.
    #[serde(default)]
    mute: Vec<At<Window>>,
    /// Time between two reminders of what is still wrong; default `4h`.
    reminder: Option<At<String>>,
    /// Whether it hears of landings, too; default: all but `slack` and `alertmanager` do.
    landings: Option<At<bool>>,
}

/// How bad an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AlertSeverity {
    /// Good to know.
    Info,
    /// Needs a look.
    Warning,
    /// Will not mend by itself.
    Error,
    /// Will not mend by itself, and nothing of it runs.
    Critical,
}

/// A dead man's switch elsewhere, which raises the alarm when the bot falls silent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "`{ webhookUrl: { env: NAME } }`, or `{ url: ADDRESS }` where it is no secret"
)]
pub(super) struct Heartbeat {
    /// The address that is asked for after each good cycle, where it is no secret.
    url: Option<At<String>>,
    /// The same, where it is a secret.
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
                self.sink.error(at.mark, "`reminder` is at least 1m");
            }
            Some(reminder)
        });
        let (news, asked) = (config.landings(), raw.landings.as_ref());
        if let (LandingNews::Never, Some(at)) = (news, asked.filter(|at| at.value)) {
            self.sink.error(at.mark, "a receiver of this kind cannot be told of landings");
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

    /// When a receiver is not to be disturbed.
    fn mute(&mut self, windows: &[At<Window>]) -> Vec<Opening> {
        for window in windows {
            if let Some(kind) = &window.value.kind {
                self.sink.error(kind.mark, "`kind` says nothing here: the receiver is mute while a window is open");
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
