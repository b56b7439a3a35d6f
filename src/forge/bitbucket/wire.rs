//! Bitbucket Cloud's JSON → the model: only the keys that are used; unknown ones are ignored.
//!
//! From Atlassian's "Bitbucket Cloud REST API": people have a `uuid`, an `account_id` and a nickname that need not be
//! theirs alone; the commits of a pull request are told by their first twelve digits only; lists of pull requests have
//! reviewers only if these are asked for.

use jiff::Timestamp;
use serde::Deserialize;

use crate::forge::hosted::{self, or_empty, web_address};
use crate::model::{BranchName, CheckState, CommitId, MergeMethod, PullRequest, PullState, one_line};

/// A pull request as returned by lists and single reads.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::forge) struct CloudPull {
    id: u64,
    title: String,
    #[serde(default)]
    description: Option<String>,
    state: String,
    #[serde(default)]
    draft: bool,
    pub(super) source: CloudEnd,
    pub(super) destination: CloudEnd,
    #[serde(default)]
    pub(super) merge_commit: Option<CloudHash>,
    /// In lists only if asked for; a change without them removes them all.
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) reviewers: Vec<CloudPerson>,
    /// Only in single reads.
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) participants: Vec<CloudParticipant>,
    links: CloudLinks,
    #[serde(default)]
    updated_on: Option<String>,
    /// The tip of its branch in full, once it was looked up.
    #[serde(skip)]
    pub(super) tip: Option<CommitId>,
}

/// One end of a pull request.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CloudEnd {
    pub(super) branch: CloudBranch,
    /// `null` if the branch is gone.
    #[serde(default)]
    pub(super) commit: Option<CloudHash>,
    /// `null` if the fork has been deleted.
    #[serde(default)]
    repository: Option<CloudId>,
}

/// A branch, with the ways of merging into it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CloudBranch {
    pub(super) name: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) merge_strategies: Vec<String>,
}

/// A commit, or the first digits of one.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CloudHash {
    pub(super) hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct CloudId {
    uuid: String,
}

#[derive(Debug, Clone, Deserialize)]
struct CloudLinks {
    html: CloudLink,
}

#[derive(Debug, Clone, Deserialize)]
struct CloudLink {
    href: String,
}

/// A branch with its tip.
#[derive(Debug, Deserialize)]
pub(super) struct CloudTip {
    pub(super) name: String,
    pub(super) target: CloudHash,
}

/// Somebody with an account.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CloudPerson {
    pub(super) uuid: String,
    #[serde(default)]
    pub(super) account_id: Option<String>,
    #[serde(default)]
    pub(super) nickname: Option<String>,
}

/// Somebody whose account may be gone, in which case the forge says `null`.
fn or_gone<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<CloudPerson, D::Error> {
    let gone = || CloudPerson { uuid: String::new(), account_id: None, nickname: Some("a deleted account".to_owned()) };
    Ok(Option::<CloudPerson>::deserialize(deserializer)?.unwrap_or_else(gone))
}

impl CloudPerson {
    /// What people call them.
    pub(super) fn name(&self) -> &str {
        self.nickname.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.uuid)
    }

    /// Whether the account was deleted. Accounts that were cannot be told apart.
    pub(super) fn is_gone(&self) -> bool {
        self.uuid.is_empty()
    }

    /// All by which they may be named.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        [Some(self.uuid.as_str()), self.account_id.as_deref(), self.nickname.as_deref()].into_iter().flatten()
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.names().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Somebody who has to do with a pull request.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CloudParticipant {
    #[serde(deserialize_with = "or_gone")]
    pub(super) user: CloudPerson,
    #[serde(default)]
    pub(super) approved: bool,
    /// `approved`, `changes_requested` or `null`.
    #[serde(default)]
    pub(super) state: Option<String>,
}

/// A person in a list of people, of members or of rights.
#[derive(Debug, Deserialize)]
pub(super) struct CloudHolder {
    #[serde(deserialize_with = "or_gone")]
    pub(super) user: CloudPerson,
    /// `read`, `write` or `admin`, in lists of rights.
    #[serde(default)]
    pub(super) permission: Option<String>,
}

/// An entry of a pull request's history: exactly one of these, or something else.
#[derive(Debug, Deserialize)]
pub(super) struct CloudActivity {
    #[serde(default)]
    pub(super) approval: Option<CloudApproval>,
    #[serde(default)]
    pub(super) update: Option<CloudUpdate>,
}

/// An approval.
#[derive(Debug, Deserialize)]
pub(super) struct CloudApproval {
    date: String,
    #[serde(deserialize_with = "or_gone")]
    pub(super) user: CloudPerson,
}

impl CloudApproval {
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.date.parse().ok()
    }
}

/// What the pull request was from this time on; the first one is its creation.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CloudUpdate {
    date: String,
    #[serde(default)]
    pub(super) author: Option<CloudPerson>,
    pub(super) source: CloudEnd,
    #[serde(default)]
    changes: Option<CloudChanges>,
}

#[derive(Debug, Clone, Deserialize)]
struct CloudChanges {
    #[serde(default)]
    reviewers: Option<CloudChange>,
}

#[derive(Debug, Clone, Deserialize)]
struct CloudChange {
    #[serde(default, deserialize_with = "or_empty")]
    added: Vec<CloudPerson>,
}

impl CloudUpdate {
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.date.parse().ok()
    }

    /// The first digits of the tip.
    pub(super) fn hash(&self) -> Option<&str> {
        self.source.commit.as_ref().map(|commit| commit.hash.as_str()).filter(|hash| !hash.is_empty())
    }

    /// Who was asked for a review.
    pub(super) fn asked(self) -> Vec<CloudPerson> {
        self.changes.and_then(|changes| changes.reviewers).map(|change| change.added).unwrap_or_default()
    }
}

/// The repository.
#[derive(Debug, Deserialize)]
pub(super) struct CloudRepository {
    #[expect(dead_code, reason = "an answer without a name is no repository")]
    full_name: String,
}

/// A commit of a pull request.
#[derive(Debug, Deserialize)]
pub(super) struct CloudCommit {
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) author: Option<CloudSignature>,
    /// Told by newer versions only.
    #[serde(default)]
    pub(super) committer: Option<CloudSignature>,
}

/// Who wrote a commit.
#[derive(Debug, Deserialize)]
pub(super) struct CloudSignature {
    /// `Name <address>`.
    #[serde(default)]
    raw: String,
    /// The account, if there is one.
    #[serde(default)]
    user: Option<CloudPerson>,
}

impl CloudSignature {
    pub(super) fn writer(self) -> hosted::Writer {
        let address = self.raw.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).unwrap_or_default();
        hosted::Writer::of(self.user.map(|user| user.uuid), address.to_owned())
    }
}

/// A build status.
#[derive(Debug, Deserialize)]
pub(super) struct CloudStatus {
    key: String,
    #[serde(default)]
    name: Option<String>,
    state: String,
}

impl CloudStatus {
    /// By what policies name it: its key; those of Bitbucket's own pipelines are numbers.
    pub(super) fn name(&self) -> &str {
        let own = self.name.as_deref().is_some_and(|name| name.starts_with("Pipeline #"));
        if own { "pipeline" } else { &self.key }
    }

    pub(super) fn state(&self) -> CheckState {
        state_of(&self.state)
    }
}

/// Both Bitbuckets' words for the state of a build.
pub(in crate::forge) fn state_of(word: &str) -> CheckState {
    match word {
        "SUCCESSFUL" => CheckState::Passed,
        "INPROGRESS" => CheckState::Pending,
        "FAILED" | "STOPPED" | "CANCELLED" => CheckState::Failed,
        word => CheckState::Unknown(one_line(word, 40)),
    }
}

/// A comment.
#[derive(Debug, Deserialize)]
pub(super) struct CloudComment {
    /// Never absent: what has none is no comment, and what is looked for may be in it.
    pub(super) content: CloudContent,
}

#[derive(Debug, Deserialize)]
pub(super) struct CloudContent {
    #[serde(default)]
    pub(super) raw: Option<String>,
}

impl CloudPull {
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    pub(super) fn is_draft(&self) -> bool {
        self.draft
    }

    pub(super) fn is_merged(&self) -> bool {
        self.state == "MERGED"
    }

    /// Whether this is the tip that it shows.
    pub(super) fn shows(&self, tip: &CommitId) -> bool {
        let shown = self.source.commit.as_ref().map(|commit| commit.hash.as_str());
        shown.is_some_and(|shown| shown.len() >= 12 && tip.as_str().starts_with(shown))
    }

    /// The strategy to merge by, if its base allows that way.
    pub(super) fn strategy(&self, method: MergeMethod) -> Option<&str> {
        let allowed = &self.destination.branch.merge_strategies;
        let names: &[&str] = match method {
            MergeMethod::Merge => &["merge_commit", "rebase_merge"],
            MergeMethod::Squash => &["squash", "squash_fast_forward"],
            MergeMethod::Rebase => &["fast_forward", "rebase_fast_forward"],
        };
        if allowed.is_empty() {
            // Told by newer versions only: then the forge decides.
            return names.first().copied();
        }
        allowed.iter().find(|name| names.contains(&name.as_str())).map(String::as_str)
    }

    /// Whether its base takes only branches that have all of it.
    pub(super) fn wants_all_of_base(&self) -> bool {
        let allowed = &self.destination.branch.merge_strategies;
        !allowed.is_empty()
            && allowed.iter().all(|name| matches!(name.as_str(), "fast_forward" | "squash_fast_forward"))
    }
}

impl hosted::ForgePull for CloudPull {
    fn number(&self) -> u64 {
        self.id
    }

    fn is_own(&self) -> bool {
        self.source.repository.is_some() && self.source.repository == self.destination.repository
    }

    fn head(&self) -> &str {
        &self.source.branch.name
    }

    fn base(&self) -> &str {
        &self.destination.branch.name
    }

    fn updated_at(&self) -> Option<Timestamp> {
        self.updated_on.as_ref()?.parse().ok()
    }

    fn waits_for(&self, reviewer: &str) -> bool {
        self.reviewers.iter().any(|person| person.is(reviewer))
    }

    fn merge_commits(&self) -> impl Iterator<Item = &str> {
        self.merge_commit.iter().map(|commit| commit.hash.as_str())
    }

    fn into_model(self) -> Result<PullRequest, String> {
        let state = match self.state.as_str() {
            "OPEN" => PullState::Open,
            "MERGED" => PullState::Merged,
            "DECLINED" | "SUPERSEDED" => PullState::Closed,
            other => return Err(format!("pull request {} has the state `{other}`", self.id)),
        };
        let branch = |name: &str| BranchName::parse(name).map_err(|error| error.to_string());
        let updated: Option<Timestamp> = self.updated_on.and_then(|at| at.parse().ok());
        Ok(PullRequest {
            number: self.id,
            url: web_address(self.links.html.href, self.id)?,
            state,
            title: self.title,
            body: self.description.unwrap_or_default(),
            head: branch(&self.source.branch.name)?,
            base: branch(&self.destination.branch.name)?,
            head_commit: self.tip,
            draft: self.draft,
            labels: Vec::new(),
            updated_at: updated,
            closed_at: updated.filter(|_| state != PullState::Open),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_base_says_how_it_is_merged_into() {
        let pull = |strategies: &[&str]| -> CloudPull {
            serde_json::from_value(json!({
                "id": 1, "title": "x", "state": "OPEN", "links": { "html": { "href": "https://x" } },
                "source": { "branch": { "name": "a" }, "commit": { "hash": "aaaaaaaaaaaa" } },
                "destination": { "branch": { "name": "main", "merge_strategies": strategies } },
            }))
            .unwrap()
        };
        let ways = |strategies: &[&str]| {
            let pull = pull(strategies);
            MergeMethod::ALL
                .map(|method| pull.strategy(method).map(str::to_owned))
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        };
        assert_eq!(ways(&["merge_commit", "squash", "fast_forward"]), ["merge_commit", "squash", "fast_forward"]);
        assert_eq!(
            ways(&["squash_fast_forward", "rebase_fast_forward"]),
            ["squash_fast_forward", "rebase_fast_forward"]
        );
        assert!(pull(&["fast_forward"]).wants_all_of_base());
        assert!(!pull(&["fast_forward", "rebase_fast_forward"]).wants_all_of_base());
        assert!(pull(&[]).shows(&CommitId::parse(&"a".repeat(40)).unwrap()));
        assert!(!pull(&[]).shows(&CommitId::parse(&"b".repeat(40)).unwrap()));
    }

    #[test]
    fn an_account_that_is_gone_is_nobody_and_costs_the_others_nothing() {
        let participants: Vec<CloudParticipant> = serde_json::from_value(json!([
            { "user": null, "approved": true, "state": "approved" },
            { "user": { "uuid": "{1}", "nickname": "ada" }, "approved": false, "state": null },
        ]))
        .unwrap();
        let names: Vec<&str> = participants.iter().map(|it| it.user.name()).collect();
        assert_eq!(names, ["a deleted account", "ada"]);
        assert!(!participants[0].user.is("ada") && participants[0].user.uuid.is_empty());
    }
}
