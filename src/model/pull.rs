//! Pull requests as every forge has them.

use jiff::Timestamp;
use serde::Serialize;

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
