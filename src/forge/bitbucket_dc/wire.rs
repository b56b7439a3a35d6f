//! Bitbucket Data Center's JSON → the model: only the keys that are used; unknown ones are ignored.
//!
//! From Atlassian's "Bitbucket Data Center REST API": times are milliseconds, branches are `refs/heads/…`, a pull request
//! has a version that each change must name, and an approval names the commit that it is for.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::forge::hosted::{self, or_empty, web_address};
use crate::model::{BranchName, CommitId, MergeMethod, PullRequest, PullState, Review, ReviewState, Weight, one_line};

const BRANCH: &str = "refs/heads/";

/// A pull request as returned by lists and single reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::forge) struct CenterPull {
    id: u64,
    /// Counts its changes, those of its branch too.
    pub(super) version: u64,
    pub(super) title: String,
    #[serde(default)]
    description: Option<String>,
    state: String,
    /// Since 8.18.
    #[serde(default)]
    pub(super) draft: bool,
    pub(super) from_ref: CenterEnd,
    to_ref: CenterEnd,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) reviewers: Vec<CenterReviewer>,
    /// Others who said something.
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) participants: Vec<CenterReviewer>,
    #[serde(default)]
    properties: CenterProperties,
    links: CenterLinks,
    #[serde(default)]
    updated_date: Option<i64>,
    #[serde(default)]
    closed_date: Option<i64>,
}

/// One end of a pull request.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CenterEnd {
    id: String,
    pub(super) latest_commit: String,
    repository: CenterId,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct CenterId {
    id: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CenterProperties {
    #[serde(default)]
    merge_commit: Option<CenterHash>,
}

#[derive(Debug, Clone, Deserialize)]
struct CenterHash {
    id: String,
}

#[derive(Debug, Clone, Deserialize)]
struct CenterLinks {
    #[serde(rename = "self", deserialize_with = "or_empty")]
    own: Vec<CenterLink>,
}

#[derive(Debug, Clone, Deserialize)]
struct CenterLink {
    href: String,
}

/// Somebody with an account.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CenterUser {
    pub(super) name: String,
}

/// A person, and what they said last.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CenterReviewer {
    pub(super) user: CenterUser,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    last_reviewed_commit: Option<String>,
}

impl CenterReviewer {
    /// The review of the model; `None` if they said nothing yet.
    pub(super) fn into_review(self) -> Option<Review> {
        let state = match self.status.as_deref() {
            None | Some("UNAPPROVED") => return None,
            Some("APPROVED") => ReviewState::Approved,
            Some("NEEDS_WORK") => ReviewState::ChangesRequested,
            Some(word) => ReviewState::Unknown(one_line(word, 40)),
        };
        let commit = self.last_reviewed_commit.as_deref().and_then(|id| CommitId::parse(id).ok());
        Some(Review { by: self.user.name, state, commit, weight: Weight::Counts })
    }
}

/// An entry of a pull request's history.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CenterActivity {
    action: String,
    #[serde(default)]
    user: Option<CenterUser>,
    /// Of a push: the new tip.
    #[serde(default)]
    from_hash: Option<String>,
    #[serde(default)]
    previous_from_hash: Option<String>,
    #[serde(default, deserialize_with = "or_empty")]
    added_reviewers: Vec<CenterUser>,
    #[serde(default)]
    comment: Option<CenterComment>,
}

#[derive(Debug, Deserialize)]
struct CenterComment {
    /// Never absent: what has none is no comment, and what is looked for may be in it.
    text: String,
}

impl CenterActivity {
    /// The push to its branch, if it is one: the base may also have moved.
    pub(super) fn pushed(self) -> Option<hosted::PushedTip> {
        let moved = self.action == "RESCOPED" && self.from_hash != self.previous_from_hash;
        let (tip, by) = (self.from_hash?, self.user?.name);
        moved.then_some(hosted::PushedTip { tip, by })
    }

    /// Who was asked for a review.
    pub(super) fn asked(self) -> Vec<String> {
        self.added_reviewers.into_iter().map(|user| user.name.to_lowercase()).collect()
    }

    /// The comment that was written.
    pub(super) fn said(self) -> Option<String> {
        self.comment.filter(|_| self.action == "COMMENTED").map(|comment| comment.text)
    }
}

/// The repository.
#[derive(Debug, Deserialize)]
pub(super) struct CenterRepository {
    pub(super) id: u64,
    #[expect(dead_code, reason = "an answer without a name is no repository")]
    slug: String,
    #[serde(default)]
    pub(super) archived: bool,
}

/// The repository's settings of pull requests.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CenterSettings {
    merge_config: CenterMerges,
}

#[derive(Debug, Deserialize)]
struct CenterMerges {
    #[serde(default, deserialize_with = "or_empty")]
    strategies: Vec<CenterStrategy>,
}

#[derive(Debug, Deserialize)]
struct CenterStrategy {
    id: String,
    #[serde(default)]
    enabled: bool,
}

impl CenterSettings {
    fn allowed(&self) -> impl Iterator<Item = &str> {
        self.merge_config.strategies.iter().filter(|strategy| strategy.enabled).map(|strategy| strategy.id.as_str())
    }

    /// The strategy to merge by, if the repository allows that way.
    pub(super) fn strategy(&self, method: MergeMethod) -> Option<&str> {
        let names: &[&str] = match method {
            MergeMethod::Merge => &["no-ff", "rebase-no-ff"],
            MergeMethod::Squash => &["squash", "squash-ff-only"],
            MergeMethod::Rebase => &["ff-only", "rebase-ff-only", "ff"],
        };
        self.allowed().find(|name| names.contains(name))
    }

    /// Whether only branches are merged that have all of their base.
    pub(super) fn wants_all_of_base(&self) -> bool {
        let mut allowed = self.allowed().peekable();
        allowed.peek().is_some() && allowed.all(|name| matches!(name, "ff-only" | "squash-ff-only"))
    }
}

/// A commit of a pull request.
#[derive(Debug, Deserialize)]
pub(super) struct CenterCommit {
    #[serde(default)]
    pub(super) message: String,
    author: CenterWriter,
    committer: CenterWriter,
}

/// Who wrote a commit: an account if it has an id.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CenterWriter {
    #[serde(default)]
    name: String,
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    email_address: String,
}

impl CenterCommit {
    pub(super) fn writers(self) -> [hosted::Writer; 2] {
        [self.author, self.committer]
            .map(|who| hosted::Writer::of(Some(who.name).filter(|_| who.id.is_some()), who.email_address))
    }
}

/// A build status.
#[derive(Debug, Deserialize)]
pub(super) struct CenterStatus {
    pub(super) key: String,
    pub(super) state: String,
}

impl CenterPull {
    pub(super) fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    pub(super) fn is_merged(&self) -> bool {
        self.state == "MERGED"
    }
}

fn branch_of(end: &CenterEnd) -> &str {
    end.id.strip_prefix(BRANCH).unwrap_or(&end.id)
}

fn time(milliseconds: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds?).ok()
}

impl hosted::ForgePull for CenterPull {
    fn number(&self) -> u64 {
        self.id
    }

    fn is_own(&self) -> bool {
        self.from_ref.repository == self.to_ref.repository
    }

    fn head(&self) -> &str {
        branch_of(&self.from_ref)
    }

    fn base(&self) -> &str {
        branch_of(&self.to_ref)
    }

    fn updated_at(&self) -> Option<Timestamp> {
        time(self.updated_date)
    }

    fn waits_for(&self, reviewer: &str) -> bool {
        self.reviewers.iter().any(|it| it.user.name.eq_ignore_ascii_case(reviewer))
    }

    fn merge_commits(&self) -> impl Iterator<Item = &str> {
        self.properties.merge_commit.iter().map(|commit| commit.id.as_str())
    }

    fn into_model(self) -> Result<PullRequest, String> {
        let state = match self.state.as_str() {
            "OPEN" => PullState::Open,
            "MERGED" => PullState::Merged,
            "DECLINED" => PullState::Closed,
            other => return Err(format!("pull request {} has the state `{other}`", self.id)),
        };
        let branch = |end: &CenterEnd| BranchName::parse(branch_of(end)).map_err(|error| error.to_string());
        let (updated, closed) = (time(self.updated_date), time(self.closed_date));
        let page = self.links.own.into_iter().next().ok_or_else(|| format!("pull request {} has no page", self.id))?;
        Ok(PullRequest {
            number: self.id,
            url: web_address(page.href, self.id)?,
            state,
            title: self.title,
            body: self.description.unwrap_or_default(),
            head: branch(&self.from_ref)?,
            base: branch(&self.to_ref)?,
            head_commit: CommitId::parse(&self.from_ref.latest_commit).ok(),
            draft: self.draft,
            labels: Vec::new(),
            updated_at: updated,
            closed_at: closed.or(updated).filter(|_| state != PullState::Open),
        })
    }
}

/// The messages of an error, with what vetoes a merge and whom it says of reviewers.
pub(super) fn message(body: &Value) -> String {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    let errors = list(body, "errors").into_iter().take(5).flat_map(|error| {
        let vetoes = list(&error, "vetoes").into_iter().take(5);
        let vetoes = vetoes.filter_map(|veto| text(&veto, "detailedMessage").or_else(|| text(&veto, "summaryMessage")));
        let reviewers = list(&error, "reviewerErrors").into_iter().take(5).filter_map(|it| text(&it, "message"));
        text(&error, "message").into_iter().chain(vetoes).chain(reviewers).collect::<Vec<_>>()
    });
    let told: Vec<String> = errors.collect();
    if told.is_empty() { text(body, "message").unwrap_or_default() } else { told.join(" ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_has_vetoes_and_reviewers() {
        for (body, expected) in [
            (
                json!({ "errors": [{ "context": null, "message": "Nothing is there.", "exceptionName": "x" }] }),
                "Nothing is there.",
            ),
            (
                json!({ "errors": [{ "message": "Merging was prevented.", "vetoes": [
                    { "summaryMessage": "Not all required", "detailedMessage": "You need 2 successful builds." },
                ] }] }),
                "Merging was prevented. You need 2 successful builds.",
            ),
            (
                json!({ "errors": [{ "message": "Some reviewers were refused.", "reviewerErrors": [{ "message": "ghost is not a user." }] }] }),
                "Some reviewers were refused. ghost is not a user.",
            ),
            (json!({ "message": "plain" }), "plain"),
            (json!(7), ""),
        ] {
            assert_eq!(message(&body), expected);
        }
    }

    #[test]
    fn only_what_moves_the_branch_is_a_push() {
        let activity = |more: Value| {
            let mut activity =
                json!({ "action": "RESCOPED", "user": { "name": "eve" }, "fromHash": "a", "previousFromHash": "b" });
            for (key, value) in more.as_object().unwrap() {
                activity[key] = value.clone();
            }
            serde_json::from_value::<CenterActivity>(activity).unwrap().pushed().map(|push| push.by)
        };
        assert_eq!(activity(json!({})).as_deref(), Some("eve"));
        assert_eq!(activity(json!({ "previousFromHash": "a" })), None);
        assert_eq!(activity(json!({ "action": "OPENED" })), None);
        assert_eq!(activity(json!({ "user": null })), None);
    }
}
