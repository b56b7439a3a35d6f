//! What a forge refused or failed to do, as a sentence that says where, what and what to do next; never with a secret.

use std::time::Duration;

use crate::model::{FailureCode, one_line};

/// An error of one call to a forge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{forge} {repository}: {call}: {problem}")]
pub struct ForgeError {
    /// The name of this kind of forge.
    forge: &'static str,
    repository: Box<str>,
    call: Box<str>,
    pub(super) problem: Problem,
}

/// What went wrong. Texts from the forge are one line without secrets (see [`Secrets`](crate::http::Secrets)).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    /// The settings cannot work.
    #[error("{0}")]
    Settings(String),
    /// 401.
    #[error("answered 401 ({message}): token refused or expired; next: give the bot a valid token")]
    Token {
        /// The forge's message.
        message: String,
    },
    /// 403 other than a rate limit.
    #[error("answered 403 ({message}): no permission; next: {next}")]
    Forbidden {
        /// The forge's message.
        message: String,
        /// What to do.
        next: String,
    },
    /// 404. Forges answer 404, not 403, if the token may not see something.
    #[error(
        "answered 404 ({message}): not found or no permission: the token needs {needs}; next: check the repository's name and the token's permissions{accepted}"
    )]
    NotFound {
        /// The forge's message.
        message: String,
        /// The permissions that the bot needs there.
        needs: &'static str,
        /// The permissions that the forge says are sufficient, as a half-sentence.
        accepted: String,
    },
    /// 429, or a 403 that is a rate limit.
    #[error("answered {status} ({message}): too many requests; next: nothing to do, it is retried {when}", when = when(*.after))]
    RateLimited {
        /// 403 or 429.
        status: u16,
        /// The forge's message.
        message: String,
        /// How long to wait.
        after: Option<Duration>,
    },
    /// 5xx.
    #[error(
        "answered {status} ({message}): the forge has an internal error; next: nothing to do, it is retried; if it persists, see the forge's status page or log"
    )]
    Server {
        /// The status.
        status: u16,
        /// The forge's message.
        message: String,
    },
    /// Any other refusal: 409, 410, 422, …
    #[error("answered {status}: {message}; next: {}", next(*.status))]
    Rejected {
        /// The status.
        status: u16,
        /// The forge's message, details included.
        message: String,
    },
    /// A refusal by GraphQL, which answers with a success status.
    #[error("refused: {0}; next: check the repository's settings on the forge")]
    Refused(String),
    /// A redirect that was not or could not be followed.
    #[error("answered with a redirect to {}", one_line(.0, 600))]
    Redirect(String),
    /// The repository is now on another host.
    #[error("the repository has moved to {}, where the token is not sent; next: set the forge's address and repository to the new ones", one_line(.0, 600))]
    Moved(String),
    /// No answer, or an incomplete one.
    #[error("no complete answer: {0}; next: check that the address can be reached from here")]
    Network(String),
    /// The forge is still working on it, or there is more to read than was read in time.
    #[error("{0}; next: nothing to do, the bot asks again in the next cycle")]
    NotYet(String),
    /// A reviewer that the bot itself found to be none.
    #[error("{0}; next: correct `pullRequest.reviewers` in the policy")]
    NoReviewer(String),
    /// Nothing was sent: another replica of the bot goes on with the repository.
    #[error("nothing was sent: {0}")]
    NotHeld(String),
    /// An answer that makes no sense.
    #[error("the answer is not one of this kind of forge: {0}; next: check `kind` and the forge's address")]
    Protocol(String),
}

fn when(after: Option<Duration>) -> String {
    after.map_or_else(|| "later".to_owned(), |after| format!("in {} s", after.as_secs()))
}

fn next(status: u16) -> &'static str {
    match status {
        409 => "nothing to do, it is retried",
        422 => "check that both branches exist and differ, and that the texts are within the forge's limits",
        _ => "check the repository's settings on the forge",
    }
}

impl ForgeError {
    pub(super) fn new(forge: &'static str, repository: &str, call: &str, problem: Problem) -> Self {
        Self { forge, repository: repository.into(), call: call.into(), problem }
    }

    /// The kind of failure.
    #[must_use]
    pub fn code(&self) -> FailureCode {
        match &self.problem {
            Problem::Token { .. } | Problem::Forbidden { .. } | Problem::NotFound { .. } => FailureCode::Authentication,
            Problem::RateLimited { .. } => FailureCode::RateLimited,
            Problem::Server { .. } => FailureCode::Server,
            Problem::Network(_) | Problem::NotYet(_) | Problem::NotHeld(_) => FailureCode::Network,
            Problem::Settings(_)
            | Problem::Rejected { .. }
            | Problem::Refused(_)
            | Problem::NoReviewer(_)
            | Problem::Redirect(_)
            | Problem::Moved(_)
            | Problem::Protocol(_) => FailureCode::Protocol,
        }
    }

    /// How long the forge asked to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.problem {
            Problem::RateLimited { after, .. } => *after,
            _ => None,
        }
    }
}
