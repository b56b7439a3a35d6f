//! Answers about something outside: known, absent, or not known and why.

use serde::Serialize;

/// An answer about something outside: known, absent, or not known and why.
///
/// "Unknown" is a state of its own; it never means "nothing to do".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// A complete answer of this cycle.
    Known(T),
    /// The registry says that it does not exist (or that we may not see it).
    Absent {
        /// What was asked and answered, for a person.
        message: String,
    },
    /// No answer; the last good one stays valid with its age where there is one.
    Failed {
        /// What went wrong, for a person; no secrets.
        message: String,
        /// What kind of failure it is.
        code: FailureCode,
        /// The last good answer.
        last: Option<T>,
    },
}

impl<T> Answer<T> {
    /// The answer of this cycle, or the last good one.
    pub fn best(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent { .. } => None,
            Self::Failed { last, .. } => last.as_ref(),
        }
    }
}

/// Why something outside did not answer (a subset of CLI.md's cause codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// Refused: bad, missing or expired credentials, or no permission.
    Authentication,
    /// Too many requests.
    RateLimited,
    /// Unreachable, slow, or cut off.
    Network,
    /// The answer is not what the protocol says, or hostile.
    Protocol,
    /// The other side reports a fault of its own (5xx).
    Server,
    /// The registry says that there is no such image, or lists nothing for it: gone, misspelt, or hidden from who asks.
    ImageNotFound,
    /// Nothing outside failed: a policy cannot be used as it is written, or asks for something that is not configured.
    ConfigError,
    /// The bot's own disk is full, or its folder cannot be written.
    Disk,
    /// A fault of the bot itself.
    Internal,
}
