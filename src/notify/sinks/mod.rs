//! The kinds of receivers: one file or folder per kind, and one line in the table below.
//!
//! A kind's file has its configuration keys (`…Config`, which is also its JSON Schema), their checked form
//! (`…Settings`, in which secrets are not read yet), and the receiver itself ([`Receiver`]). Everything else follows
//! from the table: names, dispatch, error messages, schema texts, and the test message of `landfall doctor`.

use jiff::Timestamp;

use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::SecretSource;
use crate::model::{IncidentId, Notice, NoticeKind, Texts};

use super::client::Failure;
use super::memory::SinkMemory;
use super::opening::{Opening, StatusNeed};

mod alertmanager;
mod cloudevents;
mod commit;
mod forge;
mod github;
mod log;
mod pagerduty;
mod slack;
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
    /// Prometheus Alertmanager, API v2.
    "alertmanager" => Alertmanager(alertmanager::AlertmanagerConfig, alertmanager::AlertmanagerSettings, alertmanager::AlertmanagerSink);
    /// PagerDuty, Events API v2.
    "pagerduty" => PagerDuty(pagerduty::PagerDutyConfig, pagerduty::PagerDutySettings, pagerduty::PagerDutySink);
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

/// Renders the sentences of a notice.
pub(super) type TextsOf<'a> = dyn Fn(&Notice) -> Texts + Sync + 'a;

/// The result of a delivery: on success, what was left out and why, if anything.
pub(super) type Delivered = Result<Option<String>, Failure>;

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
}
