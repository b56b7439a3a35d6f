//! The answer to a query about something outside: known, absent, or failed with a reason.

use serde::Serialize;

/// The answer to a query about something outside: known, absent, or failed with a reason.
///
/// A failed answer means "unknown", which is never the same as "nothing to do".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// A complete answer from this cycle.
    Known(T),
    /// The registry says that it does not exist (or that we may not see it).
    Absent {
        /// What was asked and answered, for people.
        message: String,
    },
    /// No answer; the last good one, if there is one, remains valid with its age.
    Failed {
        /// What went wrong, for people; no secrets.
        message: String,
        /// What kind of failure it is.
        code: FailureCode,
        /// The last good answer.
        last: Option<T>,
    },
}

impl<T> Answer<T> {
    /// The answer from this cycle, or else the last good one.
    pub fn best(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent { .. } => None,
            Self::Failed { last, .. } => last.as_ref(),
        }
    }
}

listed! {
    /// Why a query about something outside failed (a subset of CLI.md's cause codes).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum FailureCode {
        /// Refused: bad, missing or expired credentials, or no permission.
        Authentication,
        /// Too many requests.
        RateLimited,
        /// Unreachable, slow, or cut off.
        Network,
        /// The answer violates the protocol, or is hostile.
        Protocol,
        /// The server reports a fault of its own (5xx).
        Server,
        /// The registry says that there is no such image, or lists no tags for it: it is gone, misspelt, or hidden from us.
        ImageNotFound,
        /// Nothing outside failed: a policy cannot be used as written, or needs something that is not configured.
        ConfigError,
        /// The bot's own disk is full, or its state folder is not writable.
        Disk,
        /// A fault of the bot itself.
        Internal,
    }
}
