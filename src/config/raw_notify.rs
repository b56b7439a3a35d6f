//! Receivers of alerts as they are written; see [`raw`](super::raw).

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;
use super::raw::{Credentials, Secret};
use super::raw_policy::Window;

/// A receiver of alerts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a receiver as a mapping with `name` and `kind`")]
pub(super) struct Notify {
    /// A short name, unique in this file.
    pub(super) name: At<String>,
    /// What kind of receiver it is.
    pub(super) kind: At<NotifyKind>,
    /// The address, where it is no secret: for `webhook`, `cloudevents` and `alertmanager`; for `pagerduty` (default
    /// `https://events.pagerduty.com`) and a `slack` bot (default `https://slack.com/api`).
    pub(super) url: Option<At<String>>,
    /// The address, where it is a secret: for a `slack` webhook, `webhook` and `cloudevents`.
    pub(super) webhook_url: Option<At<Secret>>,
    /// How to log in, as `username` and `password`, or `token`: for `webhook`, `cloudevents` and `alertmanager`.
    pub(super) credentials: Option<At<Credentials>>,
    /// For `slack`: the token of a bot, in place of `webhookUrl`.
    pub(super) token: Option<At<Secret>>,
    /// For a `slack` bot: the channel's id or name.
    pub(super) channel: Option<At<String>>,
    /// For `pagerduty`: the integration key.
    pub(super) routing_key: Option<At<Secret>>,
    /// For `webhook` and `cloudevents`: the key that bodies are signed with (HMAC-SHA256).
    pub(super) signing_key: Option<At<Secret>>,
    /// Certificates (PEM) to trust for it, besides the system's.
    pub(super) ca_file: Option<At<String>>,
    /// Only alerts of these environments; default: all.
    #[serde(default)]
    pub(super) environments: Vec<At<String>>,
    /// Only alerts about what these policies cover; default: all.
    #[serde(default)]
    pub(super) policies: Vec<At<String>>,
    /// Only alerts as bad as this; default `info`.
    pub(super) minimum_severity: Option<At<AlertSeverity>>,
    /// When it is not disturbed; what is still wrong at the end is told then.
    #[serde(default)]
    pub(super) mute: Vec<At<Window>>,
    /// Time between two reminders of what is still wrong; default `4h`.
    pub(super) reminder: Option<At<String>>,
    /// Whether it is told of landings, too; default: all but `slack` and `alertmanager` are.
    pub(super) landings: Option<At<bool>>,
}

/// Kinds of receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum NotifyKind {
    /// Structured lines in the log.
    Log,
    /// JSON to any address.
    Webhook,
    /// CloudEvents 1.0 (structured mode) to any address.
    Cloudevents,
    /// Slack, by incoming webhook or as a bot.
    Slack,
    /// Prometheus Alertmanager, API v2.
    Alertmanager,
    /// PagerDuty, Events API v2.
    Pagerduty,
    /// Commit statuses, deployments and comments, in the repositories whose forge is `github`.
    Github,
}

impl NotifyKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Webhook => "webhook",
            Self::Cloudevents => "cloudevents",
            Self::Slack => "slack",
            Self::Alertmanager => "alertmanager",
            Self::Pagerduty => "pagerduty",
            Self::Github => "github",
        }
    }
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

/// Who is told that all is well, so that silence is an alarm.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "`{ webhookUrl: { env: NAME } }`, or `{ url: ADDRESS }` where it is no secret"
)]
pub(super) struct Heartbeat {
    /// The address that is asked for after each good cycle, where it is no secret.
    pub(super) url: Option<At<String>>,
    /// The same, where it is a secret.
    pub(super) webhook_url: Option<At<Secret>>,
    /// Certificates (PEM) to trust for it, besides the system's.
    pub(super) ca_file: Option<At<String>>,
}
