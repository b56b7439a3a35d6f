//! GitLab's JSON → the model: only the keys that are used; unknown ones are ignored.

use jiff::Timestamp;
use serde::Deserialize;

use super::checks::WirePipeline;
use crate::forge::hosted::{self, or_empty, web_address};
use crate::model::{BranchName, CommitId, MergeMethod, PullRequest, PullState};

/// A merge request as returned by lists and single reads.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::forge) struct WireMergeRequest {
    iid: u64,
    web_url: String,
    state: String,
    title: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    draft: Option<bool>,
    source_branch: String,
    target_branch: String,
    /// `null` if the fork has been deleted.
    #[serde(default)]
    source_project_id: Option<u64>,
    target_project_id: u64,
    /// The tip of its branch.
    #[serde(default)]
    pub(super) sha: Option<String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) labels: Vec<String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) reviewers: Vec<WirePerson>,
    #[serde(default)]
    updated_at: Option<String>,
    #[serde(default)]
    closed_at: Option<String>,
    #[serde(default)]
    merged_at: Option<String>,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    #[serde(default)]
    squash_commit_sha: Option<String>,
    /// What is in the way of a merge; the words become more with each version of GitLab.
    #[serde(default)]
    pub(super) detailed_merge_status: Option<String>,
    /// How many commits its base has beyond it; only if asked for.
    #[serde(default)]
    pub(super) diverged_commits_count: Option<u64>,
    /// The pipeline that GitLab itself judges it by; only in single reads.
    #[serde(default)]
    pub(super) head_pipeline: Option<WirePipeline>,
}

impl WireMergeRequest {
    pub(super) fn is_merged(&self) -> bool {
        self.state == "merged"
    }

    pub(super) fn is_draft(&self) -> bool {
        self.draft.unwrap_or(false)
    }
}

impl hosted::ForgePull for WireMergeRequest {
    fn number(&self) -> u64 {
        self.iid
    }

    fn is_own(&self) -> bool {
        self.source_project_id == Some(self.target_project_id)
    }

    fn head(&self) -> &str {
        &self.source_branch
    }

    fn base(&self) -> &str {
        &self.target_branch
    }

    fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at.as_ref()?.parse().ok()
    }

    fn waits_for(&self, reviewer: &str) -> bool {
        self.reviewers.iter().any(|person| person.username.eq_ignore_ascii_case(reviewer))
    }

    /// A merge commit, a squash, or, of a fast-forward, the tip itself.
    fn merge_commits(&self) -> impl Iterator<Item = &str> {
        let tip = self.sha.as_ref().filter(|_| self.merge_commit_sha.is_none() && self.squash_commit_sha.is_none());
        [self.merge_commit_sha.as_ref(), self.squash_commit_sha.as_ref(), tip].into_iter().flatten().map(String::as_str)
    }

    fn into_model(self) -> Result<PullRequest, String> {
        let state = match self.state.as_str() {
            // One that is locked is being merged.
            "opened" | "locked" => PullState::Open,
            "merged" => PullState::Merged,
            "closed" => PullState::Closed,
            other => return Err(format!("merge request {} has the state `{other}`", self.iid)),
        };
        let branch = |name: &str| BranchName::parse(name).map_err(|error| error.to_string());
        let draft = self.is_draft();
        Ok(PullRequest {
            number: self.iid,
            url: web_address(self.web_url, self.iid)?,
            state,
            title: if draft { without_draft(&self.title).to_owned() } else { self.title },
            body: self.description.unwrap_or_default(),
            head: branch(&self.source_branch)?,
            base: branch(&self.target_branch)?,
            head_commit: self.sha.as_deref().and_then(|sha| CommitId::parse(sha).ok()),
            draft,
            labels: self.labels,
            updated_at: self.updated_at.and_then(|at| at.parse().ok()),
            closed_at: self.merged_at.or(self.closed_at).and_then(|at| at.parse().ok()),
        })
    }
}

/// What makes a merge request a draft is the beginning of its title.
pub(super) const DRAFT: &str = "Draft: ";

fn without_draft(title: &str) -> &str {
    let is = |prefix: &&str| title.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
    let prefix = ["draft:", "[draft]", "(draft)"].into_iter().find(is);
    prefix.map_or(title, |prefix| title[prefix.len()..].trim_start())
}

/// Somebody with an account.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WirePerson {
    pub(super) id: u64,
    pub(super) username: String,
}

/// The project.
#[derive(Debug, Deserialize)]
pub(super) struct WireProject {
    #[expect(dead_code, reason = "an answer without a name is no project")]
    path_with_namespace: String,
    #[serde(default)]
    pub(super) archived: bool,
    #[serde(default)]
    pub(super) default_branch: Option<String>,
    #[serde(default)]
    pub(super) merge_requests_access_level: Option<String>,
    #[serde(default)]
    pub(super) merge_requests_enabled: Option<bool>,
    #[serde(default)]
    permissions: Option<WirePermissions>,
    /// `merge`, `rebase_merge` (a merge commit on an up-to-date branch) or `ff`.
    #[serde(default)]
    merge_method: Option<String>,
    /// `never`, `always`, `default_on` or `default_off`.
    #[serde(default)]
    squash_option: Option<String>,
    #[serde(default)]
    pub(super) merge_trains_enabled: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct WirePermissions {
    #[serde(default)]
    project_access: Option<WireAccess>,
    #[serde(default)]
    group_access: Option<WireAccess>,
}

/// What somebody may do: 30 is the role Developer.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct WireAccess {
    pub(super) access_level: u64,
}

/// The lowest access level that may push and approve.
pub(super) const DEVELOPER: u64 = 30;
/// The one that protected branches let push and merge unless told otherwise.
pub(super) const MAINTAINER: u64 = 40;

/// Who may do what with a branch.
#[derive(Debug, Deserialize)]
pub(super) struct WireProtection {
    #[serde(default)]
    pub(super) protected: bool,
    #[serde(default)]
    pub(super) developers_can_merge: bool,
}

impl WireProject {
    /// The token's access level, if GitLab says it.
    pub(super) fn access(&self) -> Option<u64> {
        let permissions = self.permissions.as_ref()?;
        let levels = [permissions.project_access, permissions.group_access].into_iter().flatten();
        levels.map(|access| access.access_level).max()
    }

    /// Whether branches must be up to date to be merged.
    pub(super) fn wants_rebase(&self) -> bool {
        self.merge_method.as_deref().is_some_and(|method| method != "merge")
    }

    pub(super) fn allows(&self, method: MergeMethod) -> bool {
        let squash = self.squash_option.as_deref().unwrap_or("default_off");
        let forward = self.merge_method.as_deref() == Some("ff");
        match method {
            MergeMethod::Merge => squash != "always" && !forward,
            MergeMethod::Squash => squash != "never",
            MergeMethod::Rebase => squash != "always" && forward,
        }
    }
}

/// What a token may do.
#[derive(Debug, Deserialize)]
pub(super) struct WireToken {
    #[serde(deserialize_with = "or_empty")]
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) expires_at: Option<String>,
}

/// A label that was added or removed.
#[derive(Debug, Deserialize)]
pub(super) struct WireLabelEvent {
    pub(super) action: String,
    /// `null` if the label has been deleted.
    #[serde(default)]
    pub(super) label: Option<WireLabelName>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireLabelName {
    pub(super) name: String,
}

/// A comment, or, if it is GitLab's own, a line of the history.
#[derive(Debug, Deserialize)]
pub(super) struct WireNote {
    #[serde(default)]
    body: String,
    #[serde(default)]
    system: bool,
    #[serde(default)]
    author: Option<WirePerson>,
    #[serde(default)]
    created_at: Option<String>,
}

impl WireNote {
    /// The text of a line of the history.
    pub(super) fn event(&self) -> Option<&str> {
        self.system.then_some(self.body.trim())
    }

    /// Who wrote it.
    pub(super) fn name(&self) -> Option<&str> {
        self.author.as_ref().map(|author| author.username.as_str())
    }

    pub(super) fn is_by(&self, person: &WirePerson) -> bool {
        self.author.as_ref().is_some_and(|author| author.id == person.id)
    }

    pub(super) fn at(&self) -> Option<Timestamp> {
        self.created_at.as_ref()?.parse().ok()
    }
}

/// Who approved.
#[derive(Debug, Deserialize)]
pub(super) struct WireApprovals {
    #[serde(deserialize_with = "or_empty")]
    pub(super) approved_by: Vec<WireApproval>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireApproval {
    pub(super) user: WirePerson,
    /// Only newer versions of GitLab say it.
    #[serde(default)]
    pub(super) approved_at: Option<String>,
}

/// A person asked for a review, and what they said.
#[derive(Debug, Deserialize)]
pub(super) struct WireReviewer {
    pub(super) user: WirePerson,
    #[serde(default)]
    pub(super) state: String,
}

/// What a merge request's branch was at some time.
#[derive(Debug, Deserialize)]
pub(super) struct WireVersion {
    pub(super) head_commit_sha: String,
    pub(super) created_at: String,
}

/// Somebody pushed.
#[derive(Debug, Deserialize)]
pub(super) struct WirePush {
    #[serde(default)]
    author_username: Option<String>,
    #[serde(default)]
    push_data: Option<WirePushData>,
}

#[derive(Debug, Deserialize)]
struct WirePushData {
    #[serde(default)]
    commit_to: Option<String>,
}

impl WirePush {
    pub(super) fn pushed(self) -> Option<hosted::PushedTip> {
        Some(hosted::PushedTip { tip: self.push_data?.commit_to?, by: self.author_username? })
    }
}

/// A merge request's place in a merge train.
#[derive(Debug, Deserialize)]
pub(super) struct WireCar {
    status: String,
}

impl WireCar {
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.status.as_str(), "idle" | "stale" | "fresh" | "merging")
    }
}

/// The same in the list of a train.
#[derive(Debug, Deserialize)]
pub(super) struct WireCarOf {
    pub(super) merge_request: WireIid,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireIid {
    pub(super) iid: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_draft_is_known_by_its_title() {
        for (title, expected) in [
            ("Draft: web to 1.2", "web to 1.2"),
            ("[draft]web", "web"),
            ("(Draft) web", "web"),
            ("Drafts: web", "Drafts: web"),
            ("é", "é"),
            ("", ""),
        ] {
            assert_eq!(without_draft(title), expected);
        }
    }

    #[test]
    fn a_projects_settings_say_how_it_merges() {
        let ways = |method: &str, squash: &str| {
            let project: WireProject = serde_json::from_value(
                json!({ "path_with_namespace": "a/b", "merge_method": method, "squash_option": squash }),
            )
            .unwrap();
            MergeMethod::ALL.into_iter().filter(|way| project.allows(*way)).collect::<Vec<_>>()
        };
        use MergeMethod::{Merge, Rebase, Squash};
        assert_eq!(ways("merge", "default_off"), [Merge, Squash]);
        assert_eq!(ways("merge", "always"), [Squash]);
        assert_eq!(ways("rebase_merge", "never"), [Merge]);
        assert_eq!(ways("ff", "default_on"), [Squash, Rebase]);
    }
}
