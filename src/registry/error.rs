//! Why a registry gave no good answer: a message for people, and a classification for callers.

use std::fmt;
use std::time::Duration;

use crate::model::FailureCode;

/// Why a registry gave no good answer. Names host, repository, request, cause and next step; never a secret, and of
/// other addresses only scheme and host.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    /// The settings of a host cannot be used.
    #[error("registry settings for `{host}`: {reason}")]
    Settings {
        /// The host as configured.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// A request failed.
    #[error("{0}")]
    Request(Box<RequestError>),
}

/// One failed request.
#[derive(Debug, Clone)]
pub struct RequestError {
    /// The registry host of the image.
    pub host: String,
    /// The repository on it.
    pub repository: String,
    /// What was asked, e.g. `list tags`.
    pub request: String,
    /// What went wrong.
    pub cause: Cause,
    /// What a person can do, if there is anything.
    pub hint: Option<String>,
}

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The registry says that there is no such repository or manifest.
    Absent(String),
    /// Refused.
    Authentication(String),
    /// Too many requests.
    RateLimited {
        /// What was answered.
        detail: String,
        /// How long the registry asked us to wait.
        retry_after: Option<Duration>,
    },
    /// It was not sent, because the registry accepts few more requests and they are spread over the time until there are
    /// more.
    Spread {
        /// Why.
        detail: String,
        /// After how long it would be its turn.
        wait: Duration,
    },
    /// No connection.
    Unreachable(String),
    /// A time limit passed.
    TimedOut(String),
    /// The answer was cut off or the connection broke.
    CutOff(String),
    /// The answer violates the protocol, is hostile, or exceeds a limit.
    Protocol(String),
    /// The registry reports a fault of its own.
    Server(String),
}

impl Cause {
    /// Whether the same request may succeed when sent again, at once or after a pause.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. } | Self::Unreachable(_) | Self::TimedOut(_) | Self::CutOff(_) | Self::Server(_)
        )
    }

    /// Whether it is about the host's health rather than about one repository.
    pub(super) fn is_sick_host(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut(_))
    }

    /// The message, for additions.
    pub(super) fn text_mut(&mut self) -> &mut String {
        match self {
            Self::Absent(text)
            | Self::Authentication(text)
            | Self::RateLimited { detail: text, .. }
            | Self::Spread { detail: text, .. }
            | Self::Unreachable(text)
            | Self::TimedOut(text)
            | Self::CutOff(text)
            | Self::Protocol(text)
            | Self::Server(text) => text,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {}: {}", self.host, self.repository, self.request, self.cause.clone().text_mut())?;
        if let Cause::RateLimited { retry_after: Some(wait), .. } | Cause::Spread { wait, .. } = self.cause {
            write!(f, " (again in {} s)", wait.as_secs_f64().ceil())?;
        }
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl RegistryError {
    /// The kind of failure. Absence is a state of its own (see [`Self::is_absent`]); as a failure it counts as
    /// `Protocol`.
    #[must_use]
    pub fn code(&self) -> FailureCode {
        match self {
            Self::Settings { .. } => FailureCode::Protocol,
            Self::Request(error) => match error.cause {
                Cause::Authentication(_) => FailureCode::Authentication,
                Cause::RateLimited { .. } | Cause::Spread { .. } => FailureCode::RateLimited,
                Cause::Unreachable(_) | Cause::TimedOut(_) | Cause::CutOff(_) => FailureCode::Network,
                Cause::Absent(_) | Cause::Protocol(_) => FailureCode::Protocol,
                Cause::Server(_) => FailureCode::Server,
            },
        }
    }

    /// Whether the registry says that the repository or manifest does not exist, or that we may not see it.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self.cause(), Some(Cause::Absent(_)))
    }

    /// How long the registry asked us to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.cause() {
            Some(Cause::RateLimited { retry_after, .. }) => *retry_after,
            Some(Cause::Spread { wait, .. }) => Some(*wait),
            _ => None,
        }
    }

    /// What went wrong with the request, if there was one.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Settings { .. } => None,
            Self::Request(error) => Some(&error.cause),
        }
    }
}
