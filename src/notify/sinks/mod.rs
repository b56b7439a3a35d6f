//! The kinds of receivers: one file or folder per kind, and one line in the table below.
//!
//! A kind's file has its configuration keys (`…Config`, which is also its JSON Schema), their checked form
//! (`…Settings`, in which secrets are not read yet), and the receiver itself ([`Receiver`]). Everything else follows
//! from the table: names, dispatch, error messages, schema texts, and the test message of `landfall doctor`.

use jiff::Timestamp;

use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::SecretSource;
use crate::model::{IncidentId, Notice, NoticeKind, Severity, Texts};

use super::client::Failure;
use super::memory::SinkMemory;
use super::opening::{Opening, StatusNeed};

mod alertmanager;
mod cloudevents;
mod commit;
mod discord;
mod email;
mod fit;
mod forge;
mod github;
mod google_chat;
mod log;
mod matrix;
mod opsgenie;
mod pagerduty;
mod slack;
mod teams;
mod template;
mod webhook;

/// Generates everything that depends on the kind from one line per kind.
macro_rules! sinks {
    ($( #[doc = $text:literal] $name:literal => $Kind:ident($Config:ty, $Settings:ty, $Sink:ty); )*) => {
        crate::document::kinds::kinds! {
            /// The keys of each kind, as written.
            enum SinkConfig, expecting "a receiver as a mapping with `name` and `kind`";
            $( #[doc = $text] $name => $Kind($Config), )*
        }

        impl SinkConfig {
            /// Checks the keys and returns the settings if they are valid.
            pub(crate) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<SinkKind> {
                match self {
                    $( Self::$Kind(config) => config.check(at, check).map(SinkKind::$Kind), )*
                }
            }

            /// Whether it is notified of landings.
            pub(crate) fn landings(&self) -> LandingNews {
                match self {
                    $( Self::$Kind(_) => <$Sink as Receiver>::LANDINGS, )*
                }
            }
        }

        /// The kind of receiver and where it is, with secrets not yet read.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum SinkKind {
            $( #[doc = $text] $Kind($Settings), )*
        }

        impl SinkKind {
            /// The word used in configurations.
            #[must_use]
            pub fn as_str(&self) -> &'static str {
                match self {
                    $( Self::$Kind(_) => $name, )*
                }
            }

            /// The sources of its secrets, each with a description.
            #[must_use]
            pub fn secrets(&self) -> Vec<(&'static str, &SecretSource)> {
                match self {
                    $( Self::$Kind(settings) => <$Sink as Receiver>::secrets(settings), )*
                }
            }

            /// Who reads what it is sent.
            pub(super) fn readers(&self) -> Readers {
                match self {
                    $( Self::$Kind(_) => <$Sink as Receiver>::READERS, )*
                }
            }

            /// What it needs of the repositories' forges.
            #[must_use]
            pub fn needs(&self) -> StatusNeed {
                match self {
                    $( Self::$Kind(settings) => <$Sink as Receiver>::needs(settings), )*
                }
            }
        }

        /// A receiver.
        #[derive(Debug)]
        pub(super) enum Sink {
            $( $Kind($Sink), )*
        }

        impl Sink {
            pub(super) fn open(kind: &SinkKind, opening: &Opening<'_>) -> Result<Self, Failure> {
                Ok(match kind {
                    $( SinkKind::$Kind(settings) => Self::$Kind(Receiver::open(settings, opening)?), )*
                })
            }

            /// Whether it must be notified repeatedly while an incident is open.
            pub(super) fn repeats(&self) -> bool {
                match self {
                    $( Self::$Kind(_) => <$Sink as Receiver>::REPEATS, )*
                }
            }

            /// Delivers one notice. Changes to its memory are kept only if the delivery succeeds.
            pub(super) async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
                match self {
                    $( Self::$Kind(sink) => sink.deliver(delivery, memory).await, )*
                }
            }

            /// Re-sends all open incidents.
            pub(super) async fn repeat(&self, memory: &SinkMemory, now: Timestamp, texts: &TextsOf<'_>) -> Delivered {
                match self {
                    $( Self::$Kind(sink) => sink.repeat(memory, now, texts).await, )*
                }
            }
        }
    };
}

sinks! {
    /// Structured lines in the log.
    "log" => Log(log::LogConfig, log::LogSettings, log::LogSink);
    /// JSON to any address.
    "webhook" => Webhook(webhook::WebhookConfig, webhook::WebhookSettings, webhook::WebhookSink);
    /// CloudEvents 1.0 (structured mode) to any address.
    "cloudevents" => CloudEvents(cloudevents::CloudEventsConfig, webhook::WebhookSettings, webhook::WebhookSink);
    /// Slack, by incoming webhook or as a bot.
    "slack" => Slack(slack::SlackConfig, slack::SlackSettings, slack::SlackSink);
    /// Microsoft Teams, by a workflow that posts to a channel.
    "teams" => Teams(teams::TeamsConfig, teams::TeamsSettings, teams::TeamsSink);
    /// Discord, by the webhook of a channel.
    "discord" => Discord(discord::DiscordConfig, discord::DiscordSettings, discord::DiscordSink);
    /// Google Chat, by the webhook of a space.
    "google-chat" => GoogleChat(google_chat::GoogleChatConfig, google_chat::GoogleChatSettings, google_chat::GoogleChatSink);
    /// A room in Matrix.
    "matrix" => Matrix(matrix::MatrixConfig, matrix::MatrixSettings, matrix::MatrixSink);
    /// E-mail, by SMTP.
    "email" => Email(email::EmailConfig, email::EmailSettings, email::EmailSink);
    /// JSON of your own to any address.
    "template" => Template(template::TemplateConfig, template::TemplateSettings, template::TemplateSink);
    /// Prometheus Alertmanager, API v2.
    "alertmanager" => Alertmanager(alertmanager::AlertmanagerConfig, alertmanager::AlertmanagerSettings, alertmanager::AlertmanagerSink);
    /// PagerDuty, Events API v2.
    "pagerduty" => PagerDuty(pagerduty::PagerDutyConfig, pagerduty::PagerDutySettings, pagerduty::PagerDutySink);
    /// Opsgenie, Alert API v2.
    "opsgenie" => Opsgenie(opsgenie::OpsgenieConfig, opsgenie::OpsgenieSettings, opsgenie::OpsgenieSink);
    /// Commit statuses, and deployments where there are such, on the repositories' own forges.
    "forge" => Forge(forge::ForgeStatusConfig, forge::ForgeStatusSettings, forge::ForgeStatusSink);
    /// Commit statuses, deployments and comments, in the repositories whose forge is `github`.
    "github" => GitHub(github::GitHubStatusConfig, github::GitHubStatusSettings, github::GitHubStatusSink);
}

impl SinkKind {
    /// The log, which needs no settings.
    #[must_use]
    pub fn log() -> Self {
        Self::Log(log::LogSettings)
    }
}

/// A running receiver of one kind.
pub(super) trait Receiver: Sized {
    /// Its checked settings.
    type Settings;

    /// Whether it is notified of landings.
    const LANDINGS: LandingNews = LandingNews::Notified;
    /// Who reads what it is sent.
    const READERS: Readers = Readers::Programs;
    /// Whether it must be notified repeatedly while an incident is open.
    const REPEATS: bool = false;
    /// The sources of its secrets, each with a description.
    fn secrets(_: &Self::Settings) -> Vec<(&'static str, &SecretSource)> {
        Vec::new()
    }

    /// What it needs of the repositories' forges.
    fn needs(_: &Self::Settings) -> StatusNeed {
        StatusNeed::None
    }

    /// Opens it; makes no connection.
    fn open(settings: &Self::Settings, opening: &Opening<'_>) -> Result<Self, Failure>;

    /// Delivers one notice, which may be a test message.
    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered;

    /// Re-sends all open incidents.
    async fn repeat(&self, _: &SinkMemory, _: Timestamp, _: &TextsOf<'_>) -> Delivered {
        Ok(None)
    }
}

/// Whether a kind of receiver is notified of landings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LandingNews {
    /// Unless the configuration says otherwise.
    Notified,
    /// Only if the configuration says so.
    OnRequest,
    /// It cannot receive them.
    Never,
}

/// Who reads what a receiver is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// People, to whom a landing that ends an incident is one event.
    People,
    /// Programs, to which it is two.
    Programs,
}

/// Renders the sentences of a notice.
pub(super) type TextsOf<'a> = dyn Fn(&Notice) -> Texts + Sync + 'a;

/// The result of a delivery: on success, what was left out and why, if anything.
pub(super) type Delivered = Result<Option<String>, Failure>;

/// How urgent a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Nothing is wrong, or no longer.
    Good,
    /// It will not mend itself.
    Bad,
    /// It needs a look.
    Warning,
    /// Good to know.
    Info,
}

/// One notice on its way to one receiver.
pub(super) struct Delivery<'a> {
    pub(super) notice: &'a Notice,
    pub(super) texts: &'a Texts,
    pub(super) id: IncidentId,
    pub(super) now: Timestamp,
}

impl Delivery<'_> {
    /// Whether it reports a problem.
    pub(super) fn alarms(&self) -> bool {
        matches!(self.notice.kind, NoticeKind::Raised | NoticeKind::Escalated | NoticeKind::Reminder)
    }

    /// How urgent it is, for a colour or an icon.
    pub(super) fn urgency(&self) -> Urgency {
        match (self.alarms(), self.notice.incident.severity) {
            (false, _) => Urgency::Good,
            (true, Severity::Critical | Severity::Error) => Urgency::Bad,
            (true, Severity::Warning) => Urgency::Warning,
            (true, Severity::Info) => Urgency::Info,
        }
    }

    /// An icon that shows the state at a glance.
    pub(super) fn sign(&self) -> &'static str {
        match self.urgency() {
            Urgency::Good => "✅",
            Urgency::Bad => "🔴",
            Urgency::Warning => "🟠",
            Urgency::Info => "🔵",
        }
    }
}
