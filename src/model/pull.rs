//! Pull requests as every forge has them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BranchName, CommitId};

/// The state of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullState {
    /// Waiting.
    Open,
    /// Merged into its base.
    Merged,
    /// Closed without a merge: a person rejected it.
    Closed,
}

/// A pull request on any forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// Its number in the repository.
    pub number: u64,
    /// Its web address.
    pub url: String,
    /// Its state.
    pub state: PullState,
    /// Its title.
    pub title: String,
    /// Its text, hidden trailer included.
    pub body: String,
    /// The branch with the change.
    pub head: BranchName,
    /// The branch it goes into.
    pub base: BranchName,
    /// The head's tip as the forge knows it.
    pub head_commit: Option<CommitId>,
    /// Whether it is a draft.
    pub draft: bool,
    /// Its labels.
    pub labels: Vec<String>,
    /// When it was closed or merged.
    pub closed_at: Option<Timestamp>,
    /// When anything about it last changed, by the forge's clock: no later commit is on its branch.
    #[serde(skip)]
    pub updated_at: Option<Timestamp>,
}

/// The desired content of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestSpec {
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// The branch with the change.
    pub head: BranchName,
    /// The branch it goes into.
    pub base: BranchName,
    /// Labels to add.
    pub labels: Vec<String>,
    /// People (`user`) and teams (`org/team`) asked to review.
    pub reviewers: Vec<String>,
    /// Open it as a draft.
    pub draft: bool,
}

/// How a pull request is merged into its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MergeMethod {
    /// A merge commit with both as parents.
    Merge,
    /// One new commit on the base.
    Squash,
    /// The commits themselves, recreated on the base.
    Rebase,
}

impl MergeMethod {
    /// All methods, in the order in which they are tried if none is preferred: the first keeps the bot's commit
    /// unchanged.
    pub const ALL: [Self; 3] = [Self::Merge, Self::Squash, Self::Rebase];

    /// The name used in policy files and by forges.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Squash => "squash",
            Self::Rebase => "rebase",
        }
    }
}

impl std::fmt::Display for MergeMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A requested merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The pull request.
    pub number: u64,
    /// The branch that it was planned for; if it goes into another one by now, nothing is merged.
    pub base: BranchName,
    /// The head's tip that was judged; if it has moved since, nothing is merged.
    pub tip: CommitId,
    /// When that commit was made, according to Git.
    pub made: Timestamp,
    /// The preferred method; another one if the repository does not allow it.
    pub method: Option<MergeMethod>,
    /// The full message of the bot's commit: a squash keeps its trailers, which are the record of what was done.
    pub message: String,
}

/// What came of taking a pull request out of a merge queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DequeueOutcome {
    /// It has left the queue.
    Out,
    /// It is in none.
    NotThere,
    /// Somebody has put it back after the bot had taken it out: that stands.
    PutBack {
        /// Who.
        by: String,
    },
}

/// The result of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeOutcome {
    /// It is in the base.
    Merged {
        /// The resulting commit of the base.
        commit: CommitId,
    },
    /// The forge merges it when its turn in the queue comes.
    Queued {
        /// Its state there, for a person.
        reason: String,
    },
    /// The forge does not know yet whether it can be merged; the next cycle asks again.
    NotYet {
        /// What it waits for, for a person.
        reason: String,
    },
    /// The forge refuses, at least for now.
    Refused {
        /// The forge's message.
        reason: String,
    },
}
