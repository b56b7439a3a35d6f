//! What is configured about receivers: where they are, what they are told, and when not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::model::{Notice, NoticeKind, Severity};

/// One receiver.
#[derive(Debug, Clone)]
pub struct SinkSettings {
    /// Its short name.
    pub name: String,
    /// What it is and where.
    pub kind: SinkKind,
    /// What it is told.
    pub filter: Filter,
    /// When it is not disturbed.
    pub mute: Mute,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_pem: Option<Vec<u8>>,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Only these environments; empty: all, and what has none.
    pub environments: Vec<String>,
    /// Only what these policies cover; empty: all.
    pub policies: Vec<String>,
    /// Only what is as bad as this.
    pub minimum_severity: Severity,
    /// Least time between two reminders of one incident; `None`: as they come.
    pub reminder: Option<Duration>,
    /// Whether it is told of landings, too.
    pub landings: Landings,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            environments: Vec::new(),
            policies: Vec::new(),
            minimum_severity: Severity::Info,
            reminder: None,
            landings: Landings::Untold,
        }
    }
}

/// Whether landings are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landings {
    /// As change events.
    Told,
    /// Not at all: no news is good news.
    Untold,
}

impl Filter {
    /// Whether a notice is for this receiver.
    #[must_use]
    pub fn wants(&self, notice: &Notice) -> bool {
        let incident = &notice.incident;
        let among = |list: &[String], name: Option<&String>| list.is_empty() || name.is_some_and(|n| list.contains(n));
        let bad_enough = match notice.kind {
            NoticeKind::Landed => self.landings == Landings::Told,
            _ => incident.severity >= self.minimum_severity,
        };
        bad_enough
            && among(&self.environments, incident.key.environment.as_ref())
            && among(&self.policies, incident.policy.as_ref())
    }
}

/// When a receiver is not disturbed: until when, asked with the time. What is over is told even then.
#[derive(Clone)]
pub struct Mute(Arc<dyn Fn(Timestamp) -> Option<Timestamp> + Send + Sync>);

impl Mute {
    /// Never muted.
    #[must_use]
    pub fn never() -> Self {
        Self::from_fn(|_| None)
    }

    /// Muted as `until` says.
    pub fn from_fn(until: impl Fn(Timestamp) -> Option<Timestamp> + Send + Sync + 'static) -> Self {
        Self(Arc::new(until))
    }

    /// Until when it is muted at `now`; `None`: it is not.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        (self.0)(now).filter(|until| *until > now)
    }
}

impl fmt::Debug for Mute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mute")
    }
}

/// What a receiver is and where. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum SinkKind {
    /// Structured log lines.
    Log,
    /// An HTTP address.
    Webhook(WebhookSettings),
    /// Slack.
    Slack(SlackSettings),
    /// Prometheus Alertmanager, API v2.
    Alertmanager {
        /// Its address, without `/api/v2/alerts`.
        url: String,
        /// How to log in.
        login: Option<Login>,
    },
    /// PagerDuty, Events API v2.
    PagerDuty {
        /// `https://events.pagerduty.com`, or that of another region.
        url: String,
        /// The integration's key.
        routing_key: SecretString,
    },
    /// GitHub: commit statuses, deployments, pull request comments.
    GitHub(BTreeMap<String, GitHubTarget>),
}

impl SinkKind {
    /// The word used in configurations.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Webhook(WebhookSettings { format: WebhookFormat::Json, .. }) => "webhook",
            Self::Webhook(WebhookSettings { format: WebhookFormat::CloudEvents, .. }) => "cloudevents",
            Self::Slack(_) => "slack",
            Self::Alertmanager { .. } => "alertmanager",
            Self::PagerDuty { .. } => "pagerduty",
            Self::GitHub(_) => "github",
        }
    }
}

/// An HTTP address that notices are posted to.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// The address, which may be a secret itself.
    pub url: SecretString,
    /// What is posted.
    pub format: WebhookFormat,
    /// How to log in.
    pub login: Option<Login>,
    /// The key of the signature in `X-Landfall-Signature-256`.
    pub signing_key: Option<SecretString>,
}

/// What is posted to a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookFormat {
    /// The notice and its sentences.
    Json,
    /// The same as the data of a CloudEvent 1.0, structured mode.
    CloudEvents,
}

/// Slack by webhook or as a bot.
#[derive(Debug, Clone)]
pub enum SlackSettings {
    /// An incoming webhook: messages cannot be edited, so each change is a message.
    Webhook(SecretString),
    /// A bot: one message per incident, edited, with the changes in its thread.
    Bot {
        /// `https://slack.com/api`.
        api_url: String,
        /// The bot's token; it needs `chat:write`.
        token: SecretString,
        /// The channel's id or name.
        channel: String,
    },
}

/// How to log in.
#[derive(Debug, Clone)]
pub enum Login {
    /// By name and password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// By a bearer token.
    Bearer(SecretString),
}

/// A GitOps repository on GitHub.
#[derive(Debug, Clone)]
pub struct GitHubTarget {
    /// The REST API: `https://api.github.com`, or `https://HOST/api/v3`.
    pub api_url: String,
    /// The repository's owner.
    pub owner: String,
    /// Its name.
    pub repository: String,
    /// A token that may write statuses, deployments and pull requests.
    pub token: SecretString,
}
