//! Pull requests as every forge has them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BranchName, CommitId};

/// How far a pull request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullState {
    /// Waiting.
    Open,
    /// Merged into its base.
    Merged,
    /// Closed without a merge: a person's "no".
    Closed,
}

/// A pull request, whichever forge holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// Its number in the repository.
    pub number: u64,
    /// Where a person reads it.
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
    /// When anything about it last changed, by the forge's clock: its branch is no younger.
    #[serde(skip)]
    pub updated_at: Option<Timestamp>,
}

/// What a pull request should look like.
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

/// How a pull request becomes part of its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MergeMethod {
    /// A merge commit with both as parents.
    Merge,
    /// One new commit on the base.
    Squash,
    /// The commits themselves, made anew on the base.
    Rebase,
}

impl MergeMethod {
    /// All of them, in the order in which they are tried where nobody prefers one: the first keeps the bot's commit as it
    /// is.
    pub const ALL: [Self; 3] = [Self::Merge, Self::Squash, Self::Rebase];

    /// The word used in policy files and by forges.
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

/// A merge that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The pull request.
    pub number: u64,
    /// The head's tip that was judged; where it has moved since, nothing is merged.
    pub tip: CommitId,
    /// The preferred way; another one where the repository does not allow it.
    pub method: Option<MergeMethod>,
    /// The whole message of the bot's commit: a squash keeps its trailers, which are the record of what was done.
    pub message: String,
}

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeOutcome {
    /// It is in the base.
    Merged {
        /// The commit that the base then had.
        commit: CommitId,
    },
    /// The forge merges it by itself once it is its turn; for a person.
    Queued {
        /// How it stands there.
        reason: String,
    },
    /// The forge will not, or not yet; its words, for a person.
    Refused {
        /// Why.
        reason: String,
    },
}
