//! The kinds of receivers: one file or folder for each, and one line in the table below.
//!
//! A kind's file has its keys in the configuration (`…Config`, which is also its JSON Schema), what they mean once they are checked
//! (`…Settings`, in which secrets are not read yet), and the receiver itself ([`Receiver`]). Everything else follows from the
//! table: names, dispatch, the words of errors, the schema's texts, and the test message of `landfall doctor`.

use jiff::Timestamp;

use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::SecretSource;
use crate::model::{IncidentId, Notice, NoticeKind, Texts};

use super::client::Failure;
use super::memory::SinkMemory;
use super::opening::Opening;

mod alertmanager;
mod cloudevents;
mod github;
mod log;
mod pagerduty;
mod slack;
mod webhook;

/// Makes everything that depends on the kind from one line for each.
macro_rules! sinks {
    ($( #[doc = $text:literal] $name:literal => $Kind:ident($Config:ty, $Settings:ty, $Sink:ty); )*) => {
        crate::document::kinds::kinds! {
            /// The keys of each kind, as they are written.
            enum SinkConfig, expecting "a receiver as a mapping with `name` and `kind`";
            $( #[doc = $text] $name => $Kind($Config), )*
        }

        impl SinkConfig {
            /// What the keys mean, where they are right.
            pub(crate) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<SinkKind> {
                match self {
                    $( Self::$Kind(config) => config.check(at, check).map(SinkKind::$Kind), )*
                }
            }

            /// Whether it hears of landings.
            pub(crate) fn landings(&self) -> LandingNews {
                match self {
                    $( Self::$Kind(_) => <$Sink as Receiver>::LANDINGS, )*
                }
            }
        }

        /// What a receiver is and where, the secrets not yet read.
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

            /// Where its secrets are, each with what it is.
            #[must_use]
            pub fn secrets(&self) -> Vec<(&'static str, &SecretSource)> {
                match self {
                    $( Self::$Kind(settings) => <$Sink as Receiver>::secrets(settings), )*
                }
            }

            /// Whether it speaks where the repositories' forges take statuses, and nowhere else.
            #[must_use]
            pub fn needs_statuses(&self) -> bool {
                match self {
                    $( Self::$Kind(_) => <$Sink as Receiver>::NEEDS_STATUSES, )*
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

            /// Whether it must be told again and again that something is still so.
            pub(super) fn repeats(&self) -> bool {
                match self {
                    $( Self::$Kind(_) => <$Sink as Receiver>::REPEATS, )*
                }
            }

            /// Tells one notice. What it remembers of it besides is noted only where it arrived.
            pub(super) async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
                match self {
                    $( Self::$Kind(sink) => sink.deliver(delivery, memory).await, )*
                }
            }

            /// Tells everything that is open again.
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

/// A kind of receiver at work.
pub(super) trait Receiver: Sized {
    /// What it is made from.
    type Settings;

    /// Whether it hears of landings.
    const LANDINGS: LandingNews = LandingNews::Notified;
    /// Whether it must be told again and again that something is still so.
    const REPEATS: bool = false;
    /// Whether it speaks where the repositories' forges take statuses, and nowhere else.
    const NEEDS_STATUSES: bool = false;

    /// Where its secrets are, each with what it is.
    fn secrets(_: &Self::Settings) -> Vec<(&'static str, &SecretSource)> {
        Vec::new()
    }

    /// Makes it ready; connects to nothing.
    fn open(settings: &Self::Settings, opening: &Opening<'_>) -> Result<Self, Failure>;

    /// Tells one notice, a test message among them.
    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered;

    /// Tells everything that is open again.
    async fn repeat(&self, _: &SinkMemory, _: Timestamp, _: &TextsOf<'_>) -> Delivered {
        Ok(None)
    }
}

/// Whether a kind of receiver hears of landings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LandingNews {
    /// Unless the configuration says otherwise.
    Notified,
    /// Only where the configuration says so: no news is good news.
    OnRequest,
    /// It has no way to be told.
    Never,
}

/// Makes the sentences of a notice.
pub(super) type TextsOf<'a> = dyn Fn(&Notice) -> Texts + Sync + 'a;

/// What became of a delivery that did not fail: nothing to say, or what was left out and why.
pub(super) type Delivered = Result<Option<String>, Failure>;

/// One notice on its way to one receiver.
pub(super) struct Delivery<'a> {
    pub(super) notice: &'a Notice,
    pub(super) texts: &'a Texts,
    pub(super) id: IncidentId,
    pub(super) now: Timestamp,
}

impl Delivery<'_> {
    /// Whether it says that something is wrong.
    pub(super) fn alarms(&self) -> bool {
        matches!(self.notice.kind, NoticeKind::Raised | NoticeKind::Escalated | NoticeKind::Reminder)
    }
}
