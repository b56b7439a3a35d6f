//! The basis for judging a merge: the reviews of a merge request, the checks of a commit.
//!
//! Invariants: an approval counts only if its author has at least the role Developer, and only for what the branch was
//! when it was given. GitLab does not say for which commit an approval is, so that the times of approvals are compared
//! with those of the branch's versions.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::GitLabApi;
use super::checks::{WireJobStatus, WirePipeline};
use super::wire::{
    DEVELOPER, WireAccess, WireApproval, WireApprovals, WireMergeRequest, WireNote, WirePerson, WireProject, WirePush,
    WireReviewer, WireVersion,
};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{
    Api as _, Ask, ForgePull as _, Judges, PushedTip, Writer, are_known, may_be_unknown, to_weigh,
};
use crate::model::{CheckState, Checks, CommitId, Review, ReviewState, Reviews, Weight};

/// How many pages of a project's pushes are read back for who pushed what was approved.
const PUSH_PAGES: u32 = 5;

impl Judges for GitLabApi {
    async fn reviews(&self, number: u64) -> Result<Reviews, ForgeError> {
        let path = |rest: &str| format!("merge_requests/{number}/{rest}");
        let approvals: WireApprovals = self.api.ask(Ask::get(path("approvals"))).await?;
        let reviewers = self.api.list::<WireReviewer>(path("reviewers?per_page=100")).await;
        let reviewers = may_be_unknown(reviewers)?.unwrap_or_default();
        let mut people: BTreeMap<String, WirePerson> = BTreeMap::new();
        let mut given = Vec::new();
        if !approvals.approved_by.is_empty() {
            let versions: Vec<WireVersion> = self.api.list(path("versions?per_page=100")).await?;
            let notes = self.notes(number).await?;
            for approval in approvals.approved_by {
                let commit = approved_commit(&approval, &notes, &versions);
                let by = approval.user.username.clone();
                given.push(Review { by, state: ReviewState::Approved, commit, weight: Weight::Counts });
                people.insert(approval.user.username.to_lowercase(), approval.user);
            }
        }
        let objections = reviewers.into_iter().filter(|reviewer| reviewer.state == "requested_changes");
        given.extend(objections.map(|reviewer| Review {
            by: reviewer.user.username,
            state: ReviewState::ChangesRequested,
            commit: None,
            weight: Weight::Counts,
        }));
        let mut reviews = Reviews::of(given);
        for review in to_weigh(&mut reviews) {
            if let Some(person) = people.get(&review.by.to_lowercase()) {
                review.weight = self.weight(person).await?;
            }
        }
        Ok(reviews)
    }

    /// The project's last pushes, if the token may read its events.
    async fn pushes(&self, _: u64, reviews: &Reviews) -> Result<Vec<PushedTip>, ForgeError> {
        let mut pushes = Vec::new();
        for page in 1..=PUSH_PAGES {
            if are_known(reviews, &pushes) {
                break;
            }
            let path = format!("events?action=pushed&sort=desc&per_page=100&page={page}");
            let Some((found, more)) = may_be_unknown(self.api.page::<WirePush>(path).await)? else { break };
            pushes.extend(found.into_iter().filter_map(WirePush::pushed));
            if !more {
                break;
            }
        }
        Ok(pushes)
    }

    /// GitLab tells addresses only, and whose they are only to administrators.
    async fn writers(&self, number: u64) -> Result<Vec<Writer>, ForgeError> {
        let commits = self.commits(number).await?.into_iter();
        Ok(commits.flat_map(|commit| [commit.author_email, commit.committer_email]).map(Writer::Address).collect())
    }

    /// Jobs and external statuses by name, and as `pipeline` the pipelines themselves.
    async fn checks(&self, commit: &CommitId) -> Result<Checks, ForgeError> {
        let mut checks = Checks::default();
        for status in self.jobs(commit).await? {
            checks.add(&status.name, status.state());
        }
        for (ran_on, state) in self.of_merged_results(commit).await? {
            checks.add("pipeline", state);
            for status in may_be_unknown(self.jobs(&ran_on).await)?.unwrap_or_default() {
                checks.add(&status.name, status.state());
            }
        }
        let path = format!("pipelines?sha={commit}&order_by=id&sort=desc&per_page=100");
        // Where pipelines are switched off, they may not be listed.
        let pipelines = may_be_unknown(self.api.list::<WirePipeline>(path).await)?.unwrap_or_default();
        let mut latest: BTreeMap<_, WirePipeline> = BTreeMap::new();
        for pipeline in pipelines {
            if latest.get(&pipeline.place()).is_none_or(|there| there.id < pipeline.id) {
                drop(latest.insert(pipeline.place(), pipeline));
            }
        }
        let states: Vec<CheckState> = latest.values().map(WirePipeline::state).collect();
        states.into_iter().for_each(|state| checks.add("pipeline", state));
        Ok(checks)
    }

    async fn is_behind(&self, number: u64, tip: &CommitId) -> Result<bool, ForgeError> {
        let path = format!("merge_requests/{number}?include_diverged_commits_count=true");
        let request: WireMergeRequest = self.api.ask(Ask::get(path)).await?;
        if request.sha.as_deref() != Some(tip.as_str()) {
            return Ok(false);
        }
        match request.detailed_merge_status.as_deref() {
            Some(word) if super::merge::is_undecided(word) => {
                let text = format!("GitLab has not computed yet whether it can be merged ({word})");
                Err(self.api.error("GET the merge request", Problem::NotYet(text)))
            }
            Some("need_rebase") => Ok(true),
            // Other words may hide that one.
            _ if request.diverged_commits_count.is_some_and(|count| count > 0) => {
                Ok(self.api.ask::<WireProject>(Ask::get("")).await?.wants_rebase())
            }
            _ => Ok(false),
        }
    }
}

impl GitLabApi {
    /// Whether somebody's approval counts. GitLab answers 404 for those who are no members.
    async fn weight(&self, person: &WirePerson) -> Result<Weight, ForgeError> {
        let no = |reason: &str| Weight::DoesNotCount(reason.to_owned());
        let access = self.api.ask::<WireAccess>(Ask::get(format!("members/all/{}", person.id))).await;
        Ok(match may_be_unknown(access)? {
            Some(access) if access.access_level >= DEVELOPER => Weight::Counts,
            Some(_) => no("they may not write to the repository"),
            None => no("it is unknown whether they may write to the repository"),
        })
    }

    async fn jobs(&self, commit: &CommitId) -> Result<Vec<WireJobStatus>, ForgeError> {
        self.api.list(format!("repository/commits/{commit}/statuses?per_page=100")).await
    }

    /// Pipelines of merged results run on a commit that GitLab makes of the branch and its base: only the merge request
    /// says that they are about the branch's tip. Each with that commit.
    async fn of_merged_results(&self, tip: &CommitId) -> Result<Vec<(CommitId, CheckState)>, ForgeError> {
        let path = format!("repository/commits/{tip}/merge_requests?state=opened&per_page=100");
        let about = may_be_unknown(self.api.list::<WireMergeRequest>(path).await)?.unwrap_or_default();
        let mut found = Vec::new();
        for request in about.iter().filter(|request| request.is_own() && request.sha.as_deref() == Some(tip.as_str())) {
            let Some(pipeline) = self.one(request.number()).await?.head_pipeline else { continue };
            let ran_on = pipeline.sha.as_deref().and_then(|sha| CommitId::parse(sha).ok());
            found.extend(ran_on.filter(|ran_on| ran_on != tip).map(|ran_on| (ran_on, pipeline.state())));
        }
        Ok(found)
    }
}

/// What the branch was when somebody approved; `None` if that is unknown.
fn approved_commit(approval: &WireApproval, notes: &[WireNote], versions: &[WireVersion]) -> Option<CommitId> {
    let said = approval.approved_at.as_ref().and_then(|at| at.parse::<Timestamp>().ok());
    let noted = notes
        .iter()
        .filter(|note| note.event() == Some("approved this merge request") && note.is_by(&approval.user))
        .filter_map(WireNote::at)
        .max();
    let at = said.or(noted)?;
    let dated = versions.iter().filter_map(|version| Some((version.created_at.parse::<Timestamp>().ok()?, version)));
    let (_, version) = dated.filter(|(created, _)| *created <= at).max_by_key(|(created, _)| *created)?;
    CommitId::parse(&version.head_commit_sha).ok()
}
