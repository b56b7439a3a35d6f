//! GitHub's JSON → the model: only the keys that are used; unknown ones are ignored.

use jiff::Timestamp;
use serde::Deserialize;

use crate::forge::hosted::{self, or_empty, web_address};
use crate::model::{
    BranchName, CheckState, CommitId, MergeMethod, PullRequest, PullState, Review, ReviewState, Weight, one_line,
};

/// A pull request as returned by lists and single reads.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::forge) struct WirePull {
    pub(super) number: u64,
    html_url: String,
    state: String,
    title: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    draft: Option<bool>,
    #[serde(default)]
    merged_at: Option<String>,
    #[serde(default)]
    closed_at: Option<String>,
    #[serde(default)]
    updated_at: Option<String>,
    pub(super) head: WireRef,
    pub(super) base: WireRef,
    #[serde(default, deserialize_with = "or_empty")]
    labels: Vec<WireLabel>,
    #[serde(default, deserialize_with = "or_empty")]
    requested_reviewers: Vec<WireUser>,
    #[serde(default, deserialize_with = "or_empty")]
    requested_teams: Vec<WireTeam>,
    /// The commit that merged it; before that, the trial merge.
    #[serde(default)]
    pub(super) merge_commit_sha: Option<String>,
    /// Whether it can be merged, and else what is in the way; only where a single one is read.
    #[serde(default)]
    pub(super) mergeable_state: Option<String>,
}

/// An answer of GraphQL.
#[derive(Debug, Deserialize)]
pub(super) struct WireGraph {
    #[serde(default)]
    pub(super) data: serde_json::Value,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) errors: Vec<WireGraphError>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireGraphError {
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) message: String,
}

/// One end of a pull request.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WireRef {
    /// The short branch name.
    #[serde(rename = "ref")]
    pub(super) name: String,
    pub(super) sha: String,
    /// `null` if the fork has been deleted.
    #[serde(default)]
    repo: Option<WireId>,
}

#[derive(Debug, Clone, Deserialize)]
struct WireId {
    id: u64,
}

/// A label.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WireLabel {
    pub(super) name: String,
}

/// A person.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WireUser {
    pub(super) login: String,
}

/// A team.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WireTeam {
    pub(super) slug: String,
}

/// The repository itself.
#[derive(Debug, Deserialize)]
pub(super) struct WireRepository {
    #[expect(dead_code, reason = "an answer without a name is no repository")]
    full_name: String,
    #[serde(default)]
    pub(super) default_branch: String,
    #[serde(default)]
    pub(super) archived: bool,
    #[serde(default)]
    pub(super) disabled: bool,
    /// The permissions of the token's owner; absent for some kinds of tokens.
    #[serde(default)]
    pub(super) permissions: Option<WirePermissions>,
    // Absent if the token may not see the settings: then the requested method is tried.
    #[serde(default)]
    allow_merge_commit: Option<bool>,
    #[serde(default)]
    allow_squash_merge: Option<bool>,
    #[serde(default)]
    allow_rebase_merge: Option<bool>,
}

impl WireRepository {
    /// Whether pull requests may be merged with this method.
    pub(super) fn allows(&self, method: MergeMethod) -> bool {
        let allowed = match method {
            MergeMethod::Merge => self.allow_merge_commit,
            MergeMethod::Squash => self.allow_squash_merge,
            MergeMethod::Rebase => self.allow_rebase_merge,
        };
        allowed.unwrap_or(true)
    }
}

/// The permissions of the token's owner in a repository.
#[derive(Debug, Deserialize)]
pub(super) struct WirePermissions {
    #[serde(default)]
    pub(super) push: bool,
}

/// One entry of an issue's history.
#[derive(Debug, Deserialize)]
pub(super) struct WireEvent {
    pub(super) event: String,
    #[serde(default)]
    pub(super) label: Option<WireLabel>,
    #[serde(default)]
    pub(super) requested_reviewer: Option<WireUser>,
    #[serde(default)]
    pub(super) requested_team: Option<WireTeam>,
    #[serde(default)]
    pub(super) actor: Option<WireUser>,
    #[serde(default)]
    created_at: Option<String>,
}

impl WireEvent {
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.created_at.as_ref()?.parse().ok()
    }
}

/// A review.
#[derive(Debug, Deserialize)]
pub(super) struct WireReview {
    /// `null` if the account has been deleted.
    #[serde(default)]
    user: Option<WireUser>,
    state: String,
    #[serde(default)]
    commit_id: Option<String>,
}

/// A push, or another change of a branch.
#[derive(Debug, Deserialize)]
pub(super) struct WireActivity {
    /// The branch, by its full name.
    #[serde(rename = "ref")]
    branch: String,
    /// The new tip.
    after: String,
    /// Who did it; `null` if the account has been deleted.
    #[serde(default)]
    actor: Option<WireUser>,
}

impl WireActivity {
    pub(super) fn branch(&self) -> &str {
        &self.branch
    }

    pub(super) fn pushed(self) -> Option<hosted::PushedTip> {
        Some(hosted::PushedTip { tip: self.after, by: self.actor?.login })
    }
}

/// Somebody's permission in the repository: `admin`, `write`, `read` or `none`.
#[derive(Debug, Deserialize)]
pub(super) struct WireRight {
    pub(super) permission: String,
}

/// A page of a commit's statuses, the latest of each context.
#[derive(Debug, Deserialize)]
pub(super) struct WireStatuses {
    pub(super) total_count: usize,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) statuses: Vec<WireStatus>,
}

/// A commit status.
#[derive(Debug, Deserialize)]
pub(super) struct WireStatus {
    pub(super) context: String,
    pub(super) state: String,
}

/// A page of a commit's check runs.
#[derive(Debug, Deserialize)]
pub(super) struct WireCheckRuns {
    pub(super) total_count: usize,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) check_runs: Vec<WireCheckRun>,
}

/// A check run.
#[derive(Debug, Deserialize)]
pub(super) struct WireCheckRun {
    /// Greater than the id of every earlier run.
    pub(super) id: u64,
    pub(super) name: String,
    status: String,
    #[serde(default)]
    conclusion: Option<String>,
    #[serde(default)]
    app: Option<WireId>,
    #[serde(default)]
    check_suite: Option<WireId>,
}

impl WireCheckRun {
    /// A run with its status and conclusion, of an app and a suite.
    pub(super) fn of(
        id: u64,
        name: String,
        (status, conclusion): (String, Option<String>),
        (app, suite): (Option<u64>, Option<u64>),
    ) -> Self {
        let of = |id: Option<u64>| id.map(|id| WireId { id });
        Self { id, name, status, conclusion, app: of(app), check_suite: of(suite) }
    }

    /// Identifies what a later run replaces: the same name in the same suite of the same app. Two workflows may have
    /// jobs with the same name, and each counts.
    pub(super) fn place(&self) -> (Option<u64>, Option<u64>, String) {
        let id = |of: &Option<WireId>| of.as_ref().map(|of| of.id);
        (id(&self.app), id(&self.check_suite), self.name.clone())
    }
}

/// A commit as the repository shows it.
#[derive(Debug, Deserialize)]
pub(super) struct WireTip {
    pub(super) sha: String,
    pub(super) commit: WireTree,
}

/// Its tree.
#[derive(Debug, Deserialize)]
pub(super) struct WireTree {
    pub(super) tree: WireSha,
}

/// An object by its id.
#[derive(Debug, Deserialize)]
pub(super) struct WireSha {
    pub(super) sha: String,
}

/// A commit as the Git database has it.
#[derive(Debug, Deserialize)]
pub(super) struct WireGitCommit {
    pub(super) sha: String,
    pub(super) author: WireSignature,
    pub(super) committer: WireSignature,
    #[serde(default)]
    pub(super) verification: WireVerification,
}

/// A name in a commit.
#[derive(Debug, Deserialize)]
pub(super) struct WireSignature {
    pub(super) name: String,
    pub(super) email: String,
}

/// What GitHub says of a commit's signature.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WireVerification {
    #[serde(default)]
    pub(super) verified: bool,
    #[serde(default)]
    pub(super) reason: String,
    /// What was signed, and how; absent without a signature.
    #[serde(default)]
    pub(super) payload: Option<String>,
    #[serde(default)]
    pub(super) signature: Option<String>,
}

/// The result of a merge.
#[derive(Debug, Deserialize)]
pub(super) struct WireMerged {
    #[serde(default)]
    pub(super) sha: String,
    pub(super) merged: bool,
    #[serde(default)]
    pub(super) message: String,
}

impl WireReview {
    /// The review of the model, not yet weighed.
    pub(super) fn into_model(self) -> Review {
        let (by, weight) = match self.user {
            Some(user) => (user.login, Weight::Counts),
            None => ("ghost".to_owned(), Weight::DoesNotCount("the account no longer exists".to_owned())),
        };
        let commit = self.commit_id.as_deref().and_then(|id| CommitId::parse(id).ok());
        Review { by, state: ReviewState::parse(&self.state), commit, weight }
    }
}

impl WireStatus {
    pub(super) fn state(&self) -> CheckState {
        match self.state.as_str() {
            "success" => CheckState::Passed,
            "pending" => CheckState::Pending,
            "failure" | "error" => CheckState::Failed,
            word => CheckState::Unknown(one_line(word, 40)),
        }
    }
}

impl WireCheckRun {
    /// Its state; as for GitHub's own required checks, a skipped or neutral run has passed.
    pub(super) fn state(&self) -> CheckState {
        match (self.status.as_str(), self.conclusion.as_deref()) {
            ("completed", Some("success" | "neutral" | "skipped")) => CheckState::Passed,
            (
                "completed",
                Some("failure" | "cancelled" | "timed_out" | "action_required" | "stale" | "startup_failure"),
            ) => CheckState::Failed,
            ("queued" | "in_progress" | "waiting" | "requested" | "pending", None) => CheckState::Pending,
            (status, conclusion) => CheckState::Unknown(one_line(conclusion.unwrap_or(status), 40)),
        }
    }
}

/// An error's body.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WireError {
    #[serde(default)]
    message: String,
    /// Objects or plain strings, depending on the endpoint.
    #[serde(default, deserialize_with = "or_empty")]
    errors: Vec<serde_json::Value>,
}

impl WireError {
    /// Message and details in one line; the caller removes secrets.
    pub(super) fn text(&self) -> String {
        let mut text = self.message.clone();
        for error in self.errors.iter().take(5) {
            let word = |key: &str| error.get(key).and_then(serde_json::Value::as_str);
            let detail = match (error.as_str(), word("message")) {
                (Some(plain), _) | (None, Some(plain)) => plain.to_owned(),
                (None, None) => format!("{} {}", word("field").unwrap_or("?"), word("code").unwrap_or("?")),
            };
            text.push_str(if text.is_empty() { "" } else { "; " });
            text.push_str(&detail);
        }
        text
    }
}

impl WirePull {
    /// One of this very repository: number, page and state; title, text and draft; head with its tip and base; labels; when it was
    /// changed, closed and merged.
    pub(super) fn of_own(
        (number, html_url, state): (u64, String, &str),
        (title, body, draft): (String, String, bool),
        (head, tip, base): (String, String, String),
        labels: Vec<String>,
        (updated_at, closed_at, merged_at): (Option<String>, Option<String>, Option<String>),
    ) -> Self {
        // Both ends are in one repository, whatever its id.
        let end = |name: String, sha: String| WireRef { name, sha, repo: Some(WireId { id: 0 }) };
        Self {
            number,
            html_url,
            state: state.to_owned(),
            title,
            body: Some(body),
            draft: Some(draft),
            merged_at,
            closed_at,
            updated_at,
            head: end(head, tip),
            base: end(base, String::new()),
            labels: labels.into_iter().map(|name| WireLabel { name }).collect(),
            requested_reviewers: Vec::new(),
            requested_teams: Vec::new(),
            merge_commit_sha: None,
            mergeable_state: None,
        }
    }
}

impl hosted::ForgePull for WirePull {
    fn number(&self) -> u64 {
        self.number
    }

    fn head(&self) -> &str {
        &self.head.name
    }

    fn base(&self) -> &str {
        &self.base.name
    }

    fn merge_commits(&self) -> impl Iterator<Item = &str> {
        self.merge_commit_sha.as_deref().into_iter()
    }

    fn is_own(&self) -> bool {
        matches!((&self.head.repo, &self.base.repo), (Some(head), Some(base)) if head.id == base.id)
    }

    fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at.as_ref()?.parse().ok()
    }

    fn waits_for(&self, reviewer: &str) -> bool {
        match reviewer.split_once('/') {
            Some((_, team)) => self.requested_teams.iter().any(|t| t.slug.eq_ignore_ascii_case(team)),
            None => self.requested_reviewers.iter().any(|u| u.login.eq_ignore_ascii_case(reviewer)),
        }
    }

    fn into_model(self) -> Result<PullRequest, String> {
        let state = match (self.merged_at.is_some(), self.state.as_str()) {
            (true, _) => PullState::Merged,
            (false, "open") => PullState::Open,
            (false, "closed") => PullState::Closed,
            (false, other) => return Err(format!("pull request {} has the state `{other}`", self.number)),
        };
        let updated_at = self.updated_at();
        let url = web_address(self.html_url, self.number)?;
        let branch = |end: WireRef| BranchName::parse(&end.name).map_err(|error| error.to_string());
        Ok(PullRequest {
            number: self.number,
            url,
            state,
            title: self.title,
            body: self.body.unwrap_or_default(),
            head_commit: CommitId::parse(&self.head.sha).ok(),
            head: branch(self.head)?,
            base: branch(self.base)?,
            draft: self.draft.unwrap_or(false),
            labels: self.labels.into_iter().map(|label| label.name).collect(),
            updated_at,
            closed_at: self.merged_at.or(self.closed_at).and_then(|at| at.parse::<Timestamp>().ok()),
        })
    }
}
