//! The basis for judging a merge: votes, statuses.
//!
//! Invariants: a vote counts only for what the branch was when it was given, which its line in the history tells, whether
//! or not a policy resets votes when something is pushed; a group's vote is somebody else's. Whoever may contribute to
//! pull requests may vote, Readers included unless that is denied; nothing tells the rights of a voter.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::wire::{AzureCommit, AzureIteration, AzurePull, AzureStatus, AzureThread};
use super::{AzureDevOpsApi, versioned};
use crate::forge::error::ForgeError;
use crate::forge::hosted::{Api as _, Ask, ForgePull as _, Judges, Listed, PushedTip, Repeat, Writer, may_be_unknown};
use crate::model::{Checks, CommitId, Review, ReviewState, Reviews, Weight};

/// The most statuses of a commit.
const STATUSES: usize = 1_000;

impl Judges for AzureDevOpsApi {
    async fn reviews(&self, number: u64) -> Result<Reviews, ForgeError> {
        let there = self.one(number).await?;
        let said: Vec<_> =
            there.reviewers.iter().filter(|it| !it.is_container).filter_map(|it| Some((it, it.said()?))).collect();
        if said.is_empty() {
            return Ok(Reviews::default());
        }
        let iterations = self.iterations(number).await?;
        let mut approved: BTreeMap<String, Timestamp> = BTreeMap::new();
        for (by, at) in self.threads(number).await?.iter().filter_map(AzureThread::approval) {
            let last = approved.entry(by.to_lowercase()).or_insert(at);
            *last = at.max(*last);
        }
        let given = said.into_iter().map(|(reviewer, state)| {
            let at = approved.get(&reviewer.person.id.to_lowercase()).filter(|_| state == ReviewState::Approved);
            let then = at.and_then(|at| iterations.iter().rfind(|it| it.at().is_some_and(|since| since <= *at)));
            let commit = then.and_then(|iteration| CommitId::parse(iteration.tip()).ok());
            Review { by: reviewer.person.name().to_owned(), state, commit, weight: Weight::Counts }
        });
        Ok(Reviews::of(given))
    }

    /// Each iteration but the first is a push; who pushed what it was created with, is not told.
    async fn pushes(&self, number: u64, _: &Reviews) -> Result<Vec<PushedTip>, ForgeError> {
        let iterations = self.iterations(number).await?;
        Ok(iterations.into_iter().skip(1).filter_map(AzureIteration::pushed).collect())
    }

    async fn writers(&self, number: u64) -> Result<Vec<Writer>, ForgeError> {
        Ok(self.commits(number).await?.into_iter().flat_map(AzureCommit::writers).collect())
    }

    /// The statuses of the commit, and those of open pull requests that show it.
    async fn checks(&self, commit: &CommitId) -> Result<Checks, ForgeError> {
        let most = STATUSES.to_string();
        let path = versioned(&format!("commits/{commit}/statuses"), &[("latestOnly", "true"), ("top", &most)]);
        let all = self.api.ask::<Listed<AzureStatus>>(Ask::get(path)).await?.values;
        if all.len() >= STATUSES {
            return Err(self.api.nonsense("GET commits/…/statuses", &format!("there are {STATUSES} of them, or more")));
        }
        let mut checks = Checks::default();
        add_newest(&mut checks, all);
        for pull in self.with_tip(commit).await? {
            let iterations = self.iterations(pull.number()).await?;
            let path = versioned(&format!("pullRequests/{}/statuses", pull.number()), &[]);
            let mut all = self.api.ask::<Listed<AzureStatus>>(Ask::get(path)).await?.values;
            all.retain(|status| status.is_of_latest(&iterations));
            add_newest(&mut checks, all);
        }
        Ok(checks)
    }

    /// Azure DevOps asks for no branches that are up to date.
    async fn is_behind(&self, number: u64, _: &CommitId) -> Result<bool, ForgeError> {
        self.one(number).await.map(|_| false)
    }
}

/// Adds the newest of each name. Each list numbers its own; of two lists, both count.
fn add_newest(checks: &mut Checks, all: Vec<AzureStatus>) {
    let mut newest: BTreeMap<String, AzureStatus> = BTreeMap::new();
    for status in all {
        if newest.get(&status.name()).is_none_or(|there| there.id <= status.id) {
            drop(newest.insert(status.name(), status));
        }
    }
    for (name, status) in newest {
        checks.add(&name, status.state());
    }
}

impl AzureDevOpsApi {
    /// Oldest first.
    async fn iterations(&self, number: u64) -> Result<Vec<AzureIteration>, ForgeError> {
        let path = versioned(&format!("pullRequests/{number}/iterations"), &[]);
        let mut all = self.api.ask::<Listed<AzureIteration>>(Ask::get(path)).await?.values;
        all.sort_by_key(|iteration| iteration.id);
        Ok(all)
    }

    pub(super) async fn threads(&self, number: u64) -> Result<Vec<AzureThread>, ForgeError> {
        let path = versioned(&format!("pullRequests/{number}/threads"), &[]);
        Ok(self.api.ask::<Listed<AzureThread>>(Ask::get(path)).await?.values)
    }

    pub(super) async fn commits(&self, number: u64) -> Result<Vec<AzureCommit>, ForgeError> {
        let path = versioned(&format!("pullRequests/{number}/commits"), &[("$top", "500")]);
        self.api.list(path).await
    }

    /// The open pull requests that show this commit.
    async fn with_tip(&self, commit: &CommitId) -> Result<Vec<AzurePull>, ForgeError> {
        #[derive(serde::Deserialize)]
        struct Found {
            results: Vec<BTreeMap<String, Vec<AzurePull>>>,
        }
        let query = json!({ "queries": [{ "type": "commit", "items": [commit.as_str()] }] });
        let ask = Ask::post(versioned("pullrequestquery", &[]), query, Repeat::Harmless);
        let found = may_be_unknown(self.api.ask::<Found>(ask).await)?;
        let all = found.into_iter().flat_map(|found| found.results).flat_map(BTreeMap::into_values).flatten();
        Ok(all.filter(|pull| pull.is_own() && pull.is_active() && pull.tip() == Some(commit.as_str())).collect())
    }
}
