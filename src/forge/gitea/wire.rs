//! Gitea's and Forgejo's JSON → the model: only the keys that are used; unknown ones are ignored.

use jiff::Timestamp;
use serde::Deserialize;

use crate::forge::hosted::{self, PushedTip, or_empty, web_address};
use crate::model::{
    BranchName, CheckState, CommitId, MergeMethod, PullRequest, PullState, Review, ReviewState, Weight, one_line,
};

/// A pull request as returned by lists and single reads.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::forge) struct WirePull {
    number: u64,
    html_url: String,
    state: String,
    title: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    pub(super) draft: bool,
    #[serde(default)]
    pub(super) merged: bool,
    #[serde(default)]
    merged_at: Option<String>,
    #[serde(default)]
    closed_at: Option<String>,
    #[serde(default)]
    updated_at: Option<String>,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    /// The commit that base and head have in common.
    #[serde(default)]
    pub(super) merge_base: Option<String>,
    pub(super) head: WireEnd,
    pub(super) base: WireEnd,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) labels: Vec<WireLabel>,
    /// `null` for each whose account has been deleted.
    #[serde(default, deserialize_with = "or_empty")]
    requested_reviewers: Vec<Option<WirePerson>>,
    #[serde(default, deserialize_with = "or_empty")]
    requested_reviewers_teams: Vec<Option<WireTeam>>,
}

/// One end of a pull request.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WireEnd {
    /// The branch's name; `ref` is another one as soon as the branch is gone.
    #[serde(rename = "label")]
    pub(super) name: String,
    #[serde(default)]
    pub(super) sha: String,
    #[serde(default)]
    repo_id: i64,
}

/// A label.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WireLabel {
    pub(super) id: u64,
    pub(super) name: String,
}

/// Somebody with an account.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WirePerson {
    /// Below 1 of an account that has been deleted: it is shown as `Ghost`.
    #[serde(default)]
    id: Option<i64>,
    pub(super) login: String,
}

impl WirePerson {
    fn exists(&self) -> bool {
        self.id.is_none_or(|id| id > 0)
    }
}

/// A team.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WireTeam {
    pub(super) name: String,
}

/// What makes a pull request a draft is the beginning of its title, unless an administrator set other words.
pub(super) const DRAFT: &str = "WIP: ";

fn without_draft(title: &str) -> &str {
    let is = |prefix: &&str| title.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
    let prefix = ["wip:", "[wip]", "draft:", "[draft]"].into_iter().find(is);
    prefix.map_or(title, |prefix| title[prefix.len()..].trim_start())
}

impl hosted::ForgePull for WirePull {
    fn number(&self) -> u64 {
        self.number
    }

    fn is_own(&self) -> bool {
        self.base.repo_id > 0 && self.head.repo_id == self.base.repo_id
    }

    fn head(&self) -> &str {
        &self.head.name
    }

    fn base(&self) -> &str {
        &self.base.name
    }

    fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at.as_ref()?.parse().ok()
    }

    fn waits_for(&self, reviewer: &str) -> bool {
        match reviewer.split_once('/') {
            Some((_, team)) => {
                self.requested_reviewers_teams.iter().flatten().any(|it| it.name.eq_ignore_ascii_case(team))
            }
            None => self.requested_reviewers.iter().flatten().any(|it| it.login.eq_ignore_ascii_case(reviewer)),
        }
    }

    fn merge_commits(&self) -> impl Iterator<Item = &str> {
        self.merge_commit_sha.as_deref().into_iter()
    }

    fn into_model(self) -> Result<PullRequest, String> {
        let state = match (self.merged, self.state.as_str()) {
            (true, _) => PullState::Merged,
            (false, "open") => PullState::Open,
            (false, "closed") => PullState::Closed,
            (false, other) => return Err(format!("pull request {} has the state `{other}`", self.number)),
        };
        let branch = |name: &str| BranchName::parse(name).map_err(|error| error.to_string());
        Ok(PullRequest {
            number: self.number,
            url: web_address(self.html_url, self.number)?,
            state,
            title: if self.draft { without_draft(&self.title).to_owned() } else { self.title },
            body: self.body.unwrap_or_default(),
            head_commit: CommitId::parse(&self.head.sha).ok(),
            head: branch(&self.head.name)?,
            base: branch(&self.base.name)?,
            draft: self.draft,
            labels: self.labels.into_iter().map(|label| label.name).collect(),
            updated_at: self.updated_at.and_then(|at| at.parse().ok()),
            closed_at: self.merged_at.or(self.closed_at).and_then(|at| at.parse().ok()),
        })
    }
}

/// The repository.
#[derive(Debug, Deserialize)]
pub(super) struct WireRepository {
    #[expect(dead_code, reason = "an answer without a name is no repository")]
    full_name: String,
    #[serde(default)]
    pub(super) archived: bool,
    #[serde(default)]
    pub(super) mirror: bool,
    #[serde(default)]
    pub(super) has_pull_requests: Option<bool>,
    #[serde(default)]
    pub(super) permissions: Option<WirePermissions>,
    #[serde(default)]
    allow_merge_commits: Option<bool>,
    #[serde(default)]
    allow_squash_merge: Option<bool>,
    #[serde(default)]
    allow_rebase: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WirePermissions {
    #[serde(default)]
    pub(super) push: bool,
}

impl WireRepository {
    pub(super) fn allows(&self, method: MergeMethod) -> bool {
        let allowed = match method {
            MergeMethod::Merge => self.allow_merge_commits,
            MergeMethod::Squash => self.allow_squash_merge,
            MergeMethod::Rebase => self.allow_rebase,
        };
        allowed.unwrap_or(true)
    }
}

/// One entry of a pull request's history.
#[derive(Debug, Deserialize)]
pub(super) struct WireEvent {
    #[serde(rename = "type", default)]
    kind: String,
    /// Of a label: `1` if it was added.
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    label: Option<WireLabel>,
    #[serde(default)]
    assignee: Option<WirePerson>,
    #[serde(default)]
    assignee_team: Option<WireTeam>,
    /// Whether it is about somebody who is no longer asked.
    #[serde(default)]
    removed_assignee: bool,
}

impl WireEvent {
    /// The label that it added.
    pub(super) fn added_label(&self) -> Option<String> {
        let added = self.kind == "label" && self.body.as_deref() == Some("1");
        self.label.as_ref().filter(|_| added).map(|label| label.name.to_lowercase())
    }

    /// Who was asked for a review.
    pub(super) fn asked(&self) -> Option<String> {
        let asked = self.kind == "review_request" && !self.removed_assignee;
        let person = self.assignee.as_ref().map(|person| person.login.to_lowercase());
        let team = self.assignee_team.as_ref().map(|team| format!("/{}", team.name.to_lowercase()));
        person.or(team).filter(|_| asked)
    }
}

/// A review.
#[derive(Debug, Deserialize)]
pub(super) struct WireReview {
    /// `null` for a team.
    #[serde(default)]
    user: Option<WirePerson>,
    state: String,
    #[serde(default)]
    commit_id: Option<String>,
    /// Whether the reviewer may write to the repository, or is one of those whom the branch's rule names.
    #[serde(default)]
    official: bool,
    #[serde(default)]
    dismissed: bool,
    /// Whether the branch has changed since.
    #[serde(default)]
    stale: bool,
}

impl WireReview {
    /// The review of the model; `None` if it is only a request for one.
    pub(super) fn into_model(self) -> Option<Review> {
        let state = match self.state.as_str() {
            "REQUEST_REVIEW" => return None,
            _ if self.dismissed => ReviewState::Dismissed,
            "REQUEST_CHANGES" => ReviewState::ChangesRequested,
            "COMMENT" => ReviewState::Comment,
            word => ReviewState::parse(word),
        };
        let (by, weight) = match (self.user.filter(WirePerson::exists), self.official) {
            (Some(user), true) => (user.login, Weight::Counts),
            (Some(user), false) => {
                let reason = "the forge does not count it: they may not write to the repository, or the branch's rule names others";
                (user.login, Weight::DoesNotCount(reason.to_owned()))
            }
            (None, _) => ("ghost".to_owned(), Weight::DoesNotCount("the account no longer exists".to_owned())),
        };
        let commit = self.commit_id.as_deref().and_then(|id| CommitId::parse(id).ok()).filter(|_| !self.stale);
        Some(Review { by, state, commit, weight })
    }
}

/// An entry of a repository's activities.
#[derive(Debug, Deserialize)]
pub(super) struct WireActivity {
    #[serde(default)]
    op_type: String,
    #[serde(default)]
    act_user: Option<WirePerson>,
    /// Of a push, JSON within the JSON.
    #[serde(default)]
    content: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WirePush {
    #[serde(default)]
    head_commit: Option<WirePushed>,
    #[serde(default, deserialize_with = "or_empty")]
    commits: Vec<WirePushed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WirePushed {
    #[serde(default)]
    sha1: String,
}

impl WireActivity {
    /// The commits that were pushed.
    pub(super) fn pushed(self) -> Vec<PushedTip> {
        let Some(by) = self.act_user.filter(|_| self.op_type == "commit_repo") else { return Vec::new() };
        let Ok(push) = serde_json::from_str::<WirePush>(&self.content) else { return Vec::new() };
        let commits = push.head_commit.into_iter().chain(push.commits);
        commits.map(|commit| PushedTip { tip: commit.sha1, by: by.login.clone() }).collect()
    }
}

/// A page of a commit's statuses, the latest of each context.
#[derive(Debug, Deserialize)]
pub(super) struct WireStatuses {
    #[expect(dead_code, reason = "an answer without a count is none; it counts the page only")]
    total_count: usize,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) statuses: Vec<WireStatus>,
}

/// A commit status.
#[derive(Debug, Deserialize)]
pub(super) struct WireStatus {
    #[serde(default)]
    pub(super) context: String,
    status: String,
}

impl WireStatus {
    pub(super) fn state(&self) -> CheckState {
        match self.status.as_str() {
            "success" | "skipped" => CheckState::Passed,
            "pending" => CheckState::Pending,
            // A warning satisfies no rule of a branch either.
            "failure" | "error" | "warning" => CheckState::Failed,
            word => CheckState::Unknown(one_line(word, 40)),
        }
    }
}

/// The rule of a branch.
#[derive(Debug, Deserialize)]
pub(super) struct WireRule {
    #[serde(default)]
    pub(super) block_on_outdated_branch: bool,
}

/// A branch.
#[derive(Debug, Deserialize)]
pub(super) struct WireBranch {
    pub(super) effective_branch_protection_name: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn review(more: &serde_json::Value) -> Option<Review> {
        let mut review = json!({ "user": { "login": "ann" }, "commit_id": "a".repeat(40), "official": true });
        for (key, value) in more.as_object().unwrap() {
            review[key] = value.clone();
        }
        serde_json::from_value::<WireReview>(review).unwrap().into_model()
    }

    #[test]
    fn only_an_official_review_of_what_is_there_now_counts() {
        let head = [CommitId::parse(&"a".repeat(40)).unwrap()];
        for (what, more, counts) in [
            ("official", json!({ "state": "APPROVED" }), true),
            ("not official", json!({ "state": "APPROVED", "official": false }), false),
            ("dismissed", json!({ "state": "APPROVED", "dismissed": true }), false),
            ("stale", json!({ "state": "APPROVED", "stale": true }), false),
            ("nobody's", json!({ "state": "APPROVED", "user": null }), false),
            ("a deleted account's", json!({ "state": "APPROVED", "user": { "id": -1, "login": "Ghost" } }), false),
            ("an account's", json!({ "state": "APPROVED", "user": { "id": 7, "login": "ghost" } }), true),
            ("a comment", json!({ "state": "COMMENT" }), false),
            ("an unknown word", json!({ "state": "BLESSED" }), false),
        ] {
            let reviews = crate::model::Reviews::of(review(&more));
            assert_eq!(reviews.approvals(&head).len(), usize::from(counts), "{what}");
        }
        assert_eq!(review(&json!({ "state": "REQUEST_REVIEW" })), None);
        let no = crate::model::Reviews::of(review(&json!({ "state": "REQUEST_CHANGES", "stale": true })));
        assert_eq!(no.objections(), ["ann"]);
    }

    #[test]
    fn a_push_is_json_within_json() {
        let activity = |op: &str, content: &str| {
            let activity = json!({ "op_type": op, "act_user": { "login": "eve" }, "content": content });
            serde_json::from_value::<WireActivity>(activity).unwrap().pushed()
        };
        let push = r#"{"Commits":[{"Sha1":"b"}],"HeadCommit":{"Sha1":"a"},"Len":1}"#;
        let pushed = |tip: &str| PushedTip { tip: tip.to_owned(), by: "eve".to_owned() };
        assert_eq!(activity("commit_repo", push), [pushed("a"), pushed("b")]);
        for (op, content) in [("create_issue", "1|x"), ("commit_repo", ""), ("commit_repo", r#"{"Commits":null}"#)] {
            assert_eq!(activity(op, content), []);
        }
    }
}
