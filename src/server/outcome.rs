//! What came of a webhook: for metrics, for the page and for its sender.

use http::StatusCode;

use super::body::NoBody;

/// What came of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WebhookOutcome {
    /// It wakes what it names.
    Scheduled,
    /// It may be about a repository that has not been read yet.
    ScheduledLater,
    /// It names so much that everything is checked.
    NamesTooMany,
    /// There are so many that everything is checked.
    Flood,
    /// It is about something else than a version.
    Ignored,
    /// It was received before.
    Repeated,
    /// It names nothing that is configured.
    Unknown,
    /// It is not proved who sent it.
    Refused,
    /// It is not what such a source sends.
    Unreadable,
    /// Its body was not read.
    NoBody(NoBody),
}

impl WebhookOutcome {
    /// The word in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled | Self::ScheduledLater | Self::NamesTooMany => "accepted",
            Self::Flood => "flood",
            Self::Ignored => "ignored",
            Self::Repeated => "repeated",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::NoBody(no) => no.as_str(),
        }
    }

    /// Whether its sender has proved who it is, and sent what such a source sends.
    pub(super) fn is_proved(self) -> bool {
        match self {
            Self::Scheduled
            | Self::ScheduledLater
            | Self::NamesTooMany
            | Self::Flood
            | Self::Ignored
            | Self::Repeated
            | Self::Unknown => true,
            Self::Refused | Self::Unreadable | Self::NoBody(_) => false,
        }
    }

    /// The status of the answer.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Refused => StatusCode::UNAUTHORIZED,
            Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::NoBody(no) => no.status(),
            _ => StatusCode::ACCEPTED,
        }
    }

    /// The answer.
    pub(super) fn as_words(self) -> &'static str {
        match self {
            Self::Scheduled => "a check is scheduled",
            Self::ScheduledLater => "a check is scheduled for when all repositories have been read",
            Self::NamesTooMany => "it names too many images: everything will be checked",
            Self::Flood => "too many webhooks: everything will be checked",
            Self::Ignored => "it is not about a push or a change",
            Self::Repeated => "it was received before",
            Self::Unknown => "no repository declares this image or has this address",
            Self::Refused => "the signature or secret is missing or wrong",
            Self::Unreadable => "this is not a payload of this kind of source",
            Self::NoBody(_) => "the body was not read",
        }
    }
}
