//! What can go wrong, split where a caller acts differently. A rejected push is not an error but a value
//! ([`super::RefResult`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{CommitId, FailureCode};

/// Why an operation failed. Every message names the remote or the place, the cause, and the next step; none contains a
/// secret or a control character.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The remote requires other credentials, or it could not prove its identity (ssh host key).
    #[error("{remote} refuses access: {message}; check the repository's credentials and their permissions")]
    Authentication {
        /// The remote's address.
        remote: String,
        /// What the remote or Git said.
        message: String,
    },
    /// No such repository, or these credentials may not see it: forges do not distinguish the two.
    #[error(
        "{remote} is not found, or these credentials may not see it: {message}; check the address and the permissions"
    )]
    NotFound {
        /// The remote's address.
        remote: String,
        /// What the remote or Git said.
        message: String,
    },
    /// No connection, or one that broke. After a push the outcome is unknown until the remote is read again.
    #[error(
        "{remote} cannot be reached: {message}; it is retried; if this persists, check the address and the network"
    )]
    Unreachable {
        /// The remote's address.
        remote: String,
        /// What Git said.
        message: String,
    },
    /// The time limit has passed and the process was killed. After a push the outcome is unknown, as above.
    #[error("{remote} did not finish within {} s: the remote hangs, or the limit is too short for its size", after.as_secs())]
    Timeout {
        /// The remote's address.
        remote: String,
        /// The limit.
        after: Duration,
    },
    /// Too many requests.
    #[error("{remote} reports too many requests: {message}; it is retried later")]
    RateLimited {
        /// The remote's address.
        remote: String,
        /// What the remote or Git said.
        message: String,
    },
    /// The remote reports an error of its own.
    #[error("{remote} reports an internal error: {message}; it is retried")]
    Server {
        /// The remote's address.
        remote: String,
        /// What the remote or Git said.
        message: String,
    },
    /// An answer that violates the protocol or exceeds a limit.
    #[error("{remote} did not answer as a Git repository should: {message}")]
    Protocol {
        /// The remote's address.
        remote: String,
        /// What is wrong.
        message: String,
    },
    /// The mirror does not have this commit: it was not fetched, or it is no longer in the repository.
    #[error("commit {commit} is not in the mirror; it was not fetched, or the repository has dropped it")]
    UnknownCommit {
        /// The commit.
        commit: CommitId,
    },
    /// The mirror's own files are damaged. It is a cache: the next fetch, or the next start, recreates it.
    #[error("the mirror {} is damaged: {message}; the next fetch recreates it", dir.display())]
    Damaged {
        /// The mirror's folder.
        dir: PathBuf,
        /// What was found.
        message: String,
    },
    /// The disk is full, or the folder is not writable.
    #[error("cannot write below {}: {message}; free space or change its permissions", path.display())]
    Disk {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// Something that Landfall never does: write through a symlink, rewrite a base branch, …
    #[error("refused: {what}: {reason}")]
    Refused {
        /// What was requested.
        what: String,
        /// Why it was refused.
        reason: String,
    },
    /// Whoever makes commits for the bot has made none; no ref has moved.
    #[error("{message}")]
    NotMade {
        /// What they said, and what to do.
        message: String,
        /// The kind of failure.
        code: FailureCode,
    },
    /// The `git` program is missing, too old, or cannot be started.
    #[error("cannot use the git program: {message}; install Git {}.{} or newer", super::MINIMUM_GIT.0, super::MINIMUM_GIT.1)]
    Program {
        /// What happened.
        message: String,
    },
}

impl GitError {
    /// The kind of failure as it is counted and shown; `None` for failures of this machine.
    #[must_use]
    pub fn code(&self) -> Option<FailureCode> {
        match self {
            Self::Authentication { .. } | Self::NotFound { .. } => Some(FailureCode::Authentication),
            Self::Unreachable { .. } | Self::Timeout { .. } => Some(FailureCode::Network),
            Self::RateLimited { .. } => Some(FailureCode::RateLimited),
            Self::Server { .. } => Some(FailureCode::Server),
            Self::Protocol { .. } => Some(FailureCode::Protocol),
            Self::Disk { .. } => Some(FailureCode::Disk),
            Self::NotMade { code, .. } => Some(*code),
            Self::UnknownCommit { .. } | Self::Damaged { .. } | Self::Refused { .. } | Self::Program { .. } => None,
        }
    }

    /// Whether the same call can succeed later without anybody's intervention.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use FailureCode::{Network, RateLimited, Server};
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Timeout { .. }
                | Self::RateLimited { .. }
                | Self::Server { .. }
                | Self::Damaged { .. }
                | Self::NotMade { code: Network | RateLimited | Server, .. }
        )
    }

    pub(super) fn refused(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), reason: reason.into() }
    }

    /// An error for a failed file operation of our own below `path`.
    pub(super) fn disk(path: &Path, error: &std::io::Error) -> Self {
        Self::Disk { path: path.to_owned(), message: error.to_string() }
    }
}
