//! What a forge refused or failed to do, as a sentence that says where, what and what next; never with a secret.

use std::time::Duration;

use crate::model::{FailureCode, one_line};

/// An error of one call to a forge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("GitHub {repository}: {call}: {problem}")]
pub struct ForgeError {
    repository: String,
    call: String,
    pub(super) problem: Problem,
}

/// What went wrong. Texts of the other side are one line without secrets (see [`Secrets`](crate::http::Secrets)).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    /// The settings cannot work.
    #[error("{0}")]
    Settings(String),
    /// 401.
    #[error("answered 401 ({message}): token refused or expired; next: give the bot a valid token")]
    Token {
        /// GitHub's words.
        message: String,
    },
    /// 403 that is no limit.
    #[error("answered 403 ({message}): no permission; next: {next}")]
    Forbidden {
        /// GitHub's words.
        message: String,
        /// What to do.
        next: String,
    },
    /// 404. GitHub answers 404, not 403, where the token may not see a thing.
    #[error(
        "answered 404 ({message}): not found or no permission: the token needs Contents and Pull requests write; next: check the repository's name and the token's permissions{accepted}"
    )]
    NotFound {
        /// GitHub's words.
        message: String,
        /// The permissions that GitHub says would do, as a half-sentence.
        accepted: String,
    },
    /// 429, or a 403 that is a limit.
    #[error("answered {status} ({message}): too many requests; next: nothing, it is tried again {when}", when = when(*.after))]
    RateLimited {
        /// 403 or 429.
        status: u16,
        /// GitHub's words.
        message: String,
        /// How long to wait.
        after: Option<Duration>,
    },
    /// 5xx.
    #[error(
        "answered {status} ({message}): GitHub has a fault of its own; next: nothing, it is tried again; see the status page of GitHub if it stays"
    )]
    Server {
        /// The status.
        status: u16,
        /// GitHub's words.
        message: String,
    },
    /// Any other refusal: 409, 410, 422, …
    #[error("answered {status}: {message}; next: {}", next(*.status))]
    Rejected {
        /// The status.
        status: u16,
        /// GitHub's words, details included.
        message: String,
    },
    /// What GraphQL refuses, with a status of success.
    #[error("refused: {0}; next: check the repository's settings on GitHub")]
    Refused(String),
    /// A redirect, where it was not or could not be followed.
    #[error("answered with a redirect to {}", one_line(.0, 600))]
    Redirect(String),
    /// The repository answers from another host.
    #[error("the repository has moved to {}, where the token is not sent; next: set apiUrl and repository to the new place", one_line(.0, 600))]
    Moved(String),
    /// No answer, or not all of it.
    #[error("no complete answer: {0}; next: check that the address can be reached from here")]
    Network(String),
    /// An answer that makes no sense.
    #[error("the answer is not GitHub's: {0}; next: check apiUrl")]
    Protocol(String),
}

fn when(after: Option<Duration>) -> String {
    after.map_or_else(|| "later".to_owned(), |after| format!("in {} s", after.as_secs()))
}

fn next(status: u16) -> &'static str {
    match status {
        409 => "nothing, it is tried again",
        422 => "check that both branches exist and differ, and that the texts are within GitHub's limits",
        _ => "check the repository's settings on GitHub",
    }
}

impl ForgeError {
    pub(super) fn new(repository: &str, call: &str, problem: Problem) -> Self {
        Self { repository: repository.to_owned(), call: call.to_owned(), problem }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn code(&self) -> FailureCode {
        match &self.problem {
            Problem::Token { .. } | Problem::Forbidden { .. } | Problem::NotFound { .. } => FailureCode::Authentication,
            Problem::RateLimited { .. } => FailureCode::RateLimited,
            Problem::Server { .. } => FailureCode::Server,
            Problem::Network(_) => FailureCode::Network,
            Problem::Settings(_)
            | Problem::Rejected { .. }
            | Problem::Refused(_)
            | Problem::Redirect(_)
            | Problem::Moved(_)
            | Problem::Protocol(_) => FailureCode::Protocol,
        }
    }

    /// How long the forge asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.problem {
            Problem::RateLimited { after, .. } => *after,
            _ => None,
        }
    }
}
