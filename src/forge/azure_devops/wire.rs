//! Azure DevOps' JSON → the model: only the keys that are used; unknown ones are ignored.
//!
//! From Microsoft's "Azure DevOps Services REST API" 7.1: branches are `refs/heads/…`; what a pull request was over time is
//! its iterations, and who voted when is told by threads of its history, with properties that have a `$value`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::forge::hosted::{self, or_empty, web_address};
use crate::model::{BranchName, CheckState, CommitId, PullRequest, PullState, ReviewState, one_line};

const BRANCH: &str = "refs/heads/";
/// As whom Azure DevOps itself writes lines of the history.
const SERVICE: &str = "00000002-0000-8888-8000-000000000000";

/// A pull request as returned by lists and single reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::forge) struct AzurePull {
    pull_request_id: u64,
    pub(super) title: String,
    #[serde(default)]
    description: Option<String>,
    status: String,
    #[serde(default)]
    pub(super) is_draft: bool,
    source_ref_name: String,
    target_ref_name: String,
    /// Only of pull requests from forks.
    #[serde(default)]
    fork_source: Option<Value>,
    pub(super) repository: AzureRepository,
    #[serde(default)]
    last_merge_source_commit: Option<AzureCommitId>,
    /// What was merged; before that, the trial merge.
    #[serde(default)]
    last_merge_commit: Option<AzureCommitId>,
    #[serde(default)]
    pub(super) merge_status: Option<String>,
    #[serde(default)]
    merge_failure_message: Option<String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) reviewers: Vec<AzureReviewer>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) labels: Vec<AzureLabel>,
    #[serde(default)]
    closed_date: Option<String>,
    /// Where a person reads it.
    #[serde(skip)]
    pub(super) page: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AzureCommitId {
    pub(super) commit_id: String,
}

/// The repository.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::forge) struct AzureRepository {
    pub(super) id: String,
    pub(super) project: AzureProject,
    #[serde(default)]
    pub(super) is_disabled: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(in crate::forge) struct AzureProject {
    pub(super) id: String,
}

/// Somebody with an account, or a group.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AzurePerson {
    pub(super) id: String,
    /// Mostly their e-mail address.
    #[serde(default)]
    pub(super) unique_name: String,
    #[serde(default)]
    pub(super) display_name: String,
}

impl AzurePerson {
    /// By what they are told apart and shown.
    pub(super) fn name(&self) -> &str {
        if self.unique_name.is_empty() { &self.id } else { &self.unique_name }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        [&self.id, &self.unique_name, &self.display_name].into_iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// A reviewer, and their vote.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AzureReviewer {
    #[serde(flatten)]
    pub(super) person: AzurePerson,
    #[serde(default)]
    vote: i64,
    /// Whether it is a group, for whom somebody else votes.
    #[serde(default)]
    pub(super) is_container: bool,
}

impl AzureReviewer {
    /// What the vote says; `None` if there is none.
    pub(super) fn said(&self) -> Option<ReviewState> {
        Some(match self.vote {
            0 => return None,
            5 | 10 => ReviewState::Approved,
            -5 | -10 => ReviewState::ChangesRequested,
            other => ReviewState::Unknown(format!("vote {other}")),
        })
    }
}

/// A label; those that are not active were removed.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct AzureLabel {
    pub(super) name: String,
    #[serde(default = "yes")]
    active: bool,
}

fn yes() -> bool {
    true
}

/// What the pull request was from some time on.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AzureIteration {
    pub(super) id: u64,
    #[serde(default)]
    author: Option<AzurePerson>,
    created_date: String,
    source_ref_commit: AzureCommitId,
}

impl AzureIteration {
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.created_date.parse().ok()
    }

    pub(super) fn tip(&self) -> &str {
        &self.source_ref_commit.commit_id
    }

    /// The push that made it.
    pub(super) fn pushed(self) -> Option<hosted::PushedTip> {
        Some(hosted::PushedTip { by: self.author?.name().to_owned(), tip: self.source_ref_commit.commit_id })
    }
}

/// A thread of comments, or a line of the history.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AzureThread {
    #[serde(default)]
    published_date: Option<String>,
    /// Never absent: what has none is no thread, and what is looked for may be in it.
    #[serde(deserialize_with = "or_empty")]
    comments: Vec<AzureComment>,
    #[serde(default)]
    properties: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    identities: Option<BTreeMap<String, AzurePerson>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AzureComment {
    /// `text`, or `system` for lines of the history.
    #[serde(default)]
    comment_type: String,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    author: Option<AzurePerson>,
}

impl AzureThread {
    fn property(&self, name: &str) -> Option<String> {
        let property = self.properties.as_ref()?.get(name)?;
        let value = property.get("$value").unwrap_or(property);
        value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|number| number.to_string()))
    }

    fn is(&self, kind: &str) -> bool {
        self.property("CodeReviewThreadType").as_deref() == Some(kind)
    }

    fn identity(&self, name: &str) -> Option<&AzurePerson> {
        self.identities.as_ref()?.get(&self.property(name)?)
    }

    /// Who approved, by id, and when. Whoever may comment may give a thread any properties: it is believed if it is a line
    /// of the history that Azure DevOps, or the voter, has written.
    pub(super) fn approval(&self) -> Option<(String, Timestamp)> {
        let positive = matches!(self.property("CodeReviewVoteResult").as_deref(), Some("5" | "10"));
        if !positive || !self.is("VoteUpdate") {
            return None;
        }
        let named = self.identity("CodeReviewVotedByIdentity").map(|person| person.id.clone());
        let by = named.or_else(|| self.property("CodeReviewVotedByTfId"));
        let line = self.comments.first().filter(|line| line.comment_type == "system")?;
        let author = line.author.as_ref()?.id.as_str();
        let by = by.unwrap_or_else(|| author.to_owned());
        let is_true = [by.as_str(), SERVICE].into_iter().any(|id| id.eq_ignore_ascii_case(author));
        is_true.then_some((by, self.published_date.as_ref()?.parse().ok()?))
    }

    /// Who was asked for a review.
    pub(super) fn asked(&self) -> Option<&AzurePerson> {
        self.identity("CodeReviewReviewersUpdatedAddedIdentity").filter(|_| self.is("ReviewersUpdate"))
    }

    /// What people wrote.
    pub(super) fn said(self) -> Vec<String> {
        let is_history = self.property("CodeReviewThreadType").is_some();
        let comments = self.comments.into_iter().filter(|_| !is_history);
        comments.filter_map(|comment| comment.content).collect()
    }
}

/// A status of a commit or a pull request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AzureStatus {
    #[serde(default)]
    pub(super) id: u64,
    context: AzureContext,
    #[serde(default)]
    state: Option<String>,
    /// Of a pull request's: what it is about.
    #[serde(default)]
    iteration_id: Option<u64>,
    #[serde(default)]
    creation_date: Option<String>,
}

#[derive(Debug, Deserialize)]
struct AzureContext {
    name: String,
    #[serde(default)]
    genre: Option<String>,
}

impl AzureStatus {
    /// Whether it is about the latest of these, oldest first: the one that it names, or else if nothing was pushed since.
    pub(super) fn is_of_latest(&self, iterations: &[AzureIteration]) -> bool {
        let Some(latest) = iterations.last() else { return false };
        let at = || self.creation_date.as_ref()?.parse::<Timestamp>().ok();
        match self.iteration_id {
            Some(of) => of == latest.id,
            None => iterations.len() == 1 || at().zip(latest.at()).is_some_and(|(at, since)| since <= at),
        }
    }

    pub(super) fn name(&self) -> String {
        match self.context.genre.as_deref() {
            None | Some("") => self.context.name.clone(),
            Some(genre) => format!("{genre}/{}", self.context.name),
        }
    }

    pub(super) fn state(&self) -> CheckState {
        match self.state.as_deref().unwrap_or("notSet") {
            "succeeded" | "notApplicable" => CheckState::Passed,
            "failed" | "error" => CheckState::Failed,
            "pending" | "notSet" => CheckState::Pending,
            word => CheckState::Unknown(one_line(word, 40)),
        }
    }
}

/// A commit of a pull request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AzureCommit {
    pub(super) commit_id: String,
    /// The message.
    #[serde(default)]
    pub(super) comment: String,
    /// In lists, long messages are cut.
    #[serde(default)]
    pub(super) comment_truncated: bool,
    #[serde(default)]
    author: Option<AzureSignature>,
    #[serde(default)]
    committer: Option<AzureSignature>,
}

#[derive(Debug, Deserialize)]
struct AzureSignature {
    #[serde(default)]
    email: String,
}

impl AzureCommit {
    /// Whose the addresses are, is not told.
    pub(super) fn writers(self) -> [hosted::Writer; 2] {
        [self.author, self.committer].map(|who| hosted::Writer::Address(who.map(|who| who.email).unwrap_or_default()))
    }
}

impl AzurePull {
    pub(super) fn tip(&self) -> Option<&str> {
        self.last_merge_source_commit.as_ref().map(|commit| commit.commit_id.as_str())
    }

    pub(super) fn is_completed(&self) -> bool {
        self.status == "completed"
    }

    pub(super) fn is_active(&self) -> bool {
        self.status == "active"
    }

    /// Why it could not be merged.
    pub(super) fn failure(&self) -> Option<String> {
        let status =
            self.merge_status.as_deref().filter(|it| matches!(*it, "conflicts" | "failure" | "rejectedByPolicy"))?;
        let more = self.merge_failure_message.as_deref().map(|text| format!(": {}", one_line(text, 300)));
        Some(format!("{status}{}", more.unwrap_or_default()))
    }
}

fn branch_of(name: &str) -> &str {
    name.strip_prefix(BRANCH).unwrap_or(name)
}

impl hosted::ForgePull for AzurePull {
    fn number(&self) -> u64 {
        self.pull_request_id
    }

    fn is_own(&self) -> bool {
        self.fork_source.is_none()
    }

    fn head(&self) -> &str {
        branch_of(&self.source_ref_name)
    }

    fn base(&self) -> &str {
        branch_of(&self.target_ref_name)
    }

    /// Nothing says it of those that are open.
    fn updated_at(&self) -> Option<Timestamp> {
        self.closed_date.as_ref()?.parse().ok()
    }

    fn waits_for(&self, reviewer: &str) -> bool {
        let name = reviewer.rsplit('/').next().unwrap_or(reviewer);
        // Groups are called `[project]\name`.
        let is = |it: &AzureReviewer| {
            it.person.is(name)
                || it.person.display_name.rsplit('\\').next().is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        self.reviewers.iter().any(is)
    }

    fn merge_commits(&self) -> impl Iterator<Item = &str> {
        self.last_merge_commit.iter().map(|commit| commit.commit_id.as_str())
    }

    fn into_model(self) -> Result<PullRequest, String> {
        let state = match self.status.as_str() {
            "active" => PullState::Open,
            "completed" => PullState::Merged,
            "abandoned" => PullState::Closed,
            other => return Err(format!("pull request {} has the state `{other}`", self.pull_request_id)),
        };
        let branch = |name: &str| BranchName::parse(branch_of(name)).map_err(|error| error.to_string());
        let closed: Option<Timestamp> = self.closed_date.as_ref().and_then(|at| at.parse().ok());
        Ok(PullRequest {
            number: self.pull_request_id,
            url: web_address(self.page, self.pull_request_id)?,
            state,
            title: self.title,
            body: self.description.unwrap_or_default(),
            head: branch(&self.source_ref_name)?,
            base: branch(&self.target_ref_name)?,
            head_commit: self.last_merge_source_commit.and_then(|commit| CommitId::parse(&commit.commit_id).ok()),
            draft: self.is_draft,
            labels: self.labels.into_iter().filter(|label| label.active).map(|label| label.name).collect(),
            updated_at: None,
            closed_at: closed.filter(|_| state != PullState::Open),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_vote_is_told_by_a_line_of_the_history() {
        let kind = json!({ "$type": "System.String", "$value": "VoteUpdate" });
        let vote = |vote: Value| json!({ "CodeReviewThreadType": kind, "CodeReviewVoteResult": { "$value": vote } });
        let thread = |properties: &Value, comment: &str, author: &str| {
            let comments = json!([{ "commentType": comment, "author": { "id": author } }]);
            let thread = json!({ "publishedDate": "2026-01-05T12:00:00Z", "comments": comments,
                "properties": properties, "identities": { "1": { "id": "a" } } });
            serde_json::from_value::<AzureThread>(thread).unwrap().approval().map(|(by, _)| by)
        };
        let mut named = vote(json!("10"));
        named["CodeReviewVotedByIdentity"] = json!({ "$value": "1" });
        let mut old = vote(json!(5));
        old["CodeReviewVotedByTfId"] = json!({ "$value": "b" });
        let service = SERVICE.to_uppercase();
        for (properties, author, by) in [
            (&named, SERVICE, Some("a")),
            (&named, "A", Some("a")),
            (&old, service.as_str(), Some("b")),
            (&vote(json!("10")), "c", Some("c")),
            (&vote(json!("-10")), "c", None),
            (&json!({ "CodeReviewVoteResult": "10" }), "c", None),
            // Somebody else says that they voted.
            (&named, "eve", None),
            (&old, "eve", None),
        ] {
            assert_eq!(thread(properties, "system", author).as_deref(), by, "{properties} by {author}");
            assert_eq!(thread(properties, "text", author), None, "a comment: {properties} by {author}");
        }
        let silent = json!({ "publishedDate": "2026-01-05T12:00:00Z", "comments": [], "properties": old });
        assert_eq!(serde_json::from_value::<AzureThread>(silent).unwrap().approval(), None);
    }

    #[test]
    fn a_status_is_of_the_iteration_that_it_names_or_of_that_of_its_time() {
        let iteration = |(at, minute): (usize, &u8)| -> AzureIteration {
            serde_json::from_value(json!({ "id": at + 1, "createdDate": format!("2026-01-05T12:0{minute}:00Z"),
                "sourceRefCommit": { "commitId": "x" } }))
            .unwrap()
        };
        for (iterations, of, minute, counts) in [
            (&[0, 5][..], Some(2), Some(1), true),
            (&[0, 5], Some(1), Some(6), false),
            (&[0, 5], None, Some(5), true),
            (&[0, 5], None, Some(4), false),
            (&[0, 5], None, None, false),
            (&[5], None, None, true),
            (&[], None, Some(6), false),
        ] {
            let created = minute.map(|minute: u8| format!("2026-01-05T12:0{minute}:00Z"));
            let status = json!({ "context": { "name": "ci" }, "iterationId": of, "creationDate": created });
            let status: AzureStatus = serde_json::from_value(status).unwrap();
            let iterations: Vec<AzureIteration> = iterations.iter().enumerate().map(iteration).collect();
            assert_eq!(status.is_of_latest(&iterations), counts, "{status:?} {iterations:?}");
        }
    }

    #[test]
    fn who_has_no_name_is_known_by_id() {
        let person =
            |name: &str| -> AzurePerson { serde_json::from_value(json!({ "id": "1", "uniqueName": name })).unwrap() };
        assert_eq!([person("").name(), person("ann@example.com").name()], ["1", "ann@example.com"]);
    }
}
