//! Carries out a plan on the remote.
//!
//! Promise: at most one commit per update (G1), no foreign commit lost (G2), and `verified` only after the remote's ref
//! was read again. Every push names the tip it was planned at; if somebody else pushed first it fails, and everything
//! is read and planned again.
//!
//! Design: the executor has a remote and its pull requests, and remembers nothing about plans but what was refused recently.
//! Everything it needs is in the plan; its results, and what the session must remember, are what it returns.

mod commit;
mod diff;
mod making;
mod merge;
mod pull_request;
mod remote;
mod rules;
pub(super) mod sources;
mod stale_base;
pub(super) mod still_verified;
#[cfg(test)]
pub(super) mod tests;
mod update;

use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use crate::config::RepositorySettings;
use crate::git::{Force, GitError, Mirror, NewFiles, NewTree, RefResult, RefUpdate, Stamp};
use crate::message::Wording;
use crate::model::{BranchName, CommitId, Identity, RepoPath, UpdateId};
use crate::plan::{Hold, Plan, Update};

use self::making::{Making, MakingTime, Refusals};
use super::outcome::ActionOutcome;
use super::pulls::Pulls;

pub use crate::git::ATTEMPTS;
pub(super) use crate::git::{Attempt, retry_on_lost_race};
pub(super) use remote::{PullRequests, Refs, Remote};

/// Carries out plans on a remote and its pull requests.
#[derive(Debug)]
pub(in crate::daemon) struct Executor<R = Mirror, P = Pulls> {
    remote: R,
    pulls: P,
    settings: Arc<RepositorySettings>,
    refusals: Mutex<Refusals>,
    pace: MakingTime,
}

/// The files that a commit adds, replaces and removes, and its message.
#[derive(Debug, Clone, Copy)]
pub(in crate::daemon) struct FileChanges<'a> {
    pub(in crate::daemon) put: &'a [(RepoPath, Vec<u8>)],
    pub(in crate::daemon) remove: &'a [RepoPath],
    pub(in crate::daemon) message: &'a str,
}

/// The result of a plan's actions on pull requests.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Carried {
    /// What was done, and what failed.
    pub(in crate::daemon) actions: Vec<ActionOutcome>,
    /// What may not be merged for now.
    pub(in crate::daemon) holds: Vec<Hold>,
    /// The bot's branches that were pushed.
    pub(in crate::daemon) pushed: Vec<PushedHead>,
    /// What became of making their commits.
    making: Making,
}

/// A branch of the bot that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::daemon) struct PushedHead {
    pub(in crate::daemon) head: BranchName,
    pub(in crate::daemon) tip: CommitId,
    /// The updates that it carries, sorted.
    pub(in crate::daemon) updates: Vec<UpdateId>,
}

impl PushedHead {
    fn of(head: &BranchName, tip: &CommitId, updates: &[Update]) -> Self {
        let mut updates: Vec<UpdateId> = updates.iter().map(|update| update.id.clone()).collect();
        updates.sort();
        updates.dedup();
        Self { head: head.clone(), tip: tip.clone(), updates }
    }
}

impl<R, P> Executor<R, P> {
    /// An executor for this remote.
    pub(in crate::daemon) fn new(settings: Arc<RepositorySettings>, remote: R, pulls: P) -> Self {
        Self { remote, pulls, settings, refusals: Mutex::default(), pace: MakingTime::default() }
    }

    /// The pull requests.
    pub(in crate::daemon) fn pulls(&self) -> &P {
        &self.pulls
    }

    /// The pull requests, for queries.
    pub(in crate::daemon) fn pulls_mut(&mut self) -> &mut P {
        &mut self.pulls
    }
}

impl<R: Remote, P: PullRequests> Executor<R, P> {
    /// Carries out all actions of a plan except its commits.
    pub(in crate::daemon) async fn pull_requests(&mut self, plan: &Plan, now: Timestamp) -> Carried {
        let mut carried = Carried::default();
        self.propose(plan, now, &mut carried).await;
        self.finish(plan, now, &mut carried).await;
        self.remember_refusals(&carried.actions, now);
        carried
    }
}

impl<R: Remote, P> Executor<R, P> {
    /// As this person, commits added and removed files onto the tip of a branch, and pushes. The commit is not older
    /// than the tip: a later decision has a later time.
    pub(in crate::daemon) async fn write(
        &self,
        (branch, tip): (&BranchName, &CommitId),
        (by, now): (&str, Timestamp),
        change: FileChanges<'_>,
    ) -> Result<(CommitId, RefResult), GitError> {
        let before = self.remote.log(tip, None, 1)?.first().map(|entry| entry.time);
        let commit = self.remote.commit_files(&NewFiles {
            parent: tip.clone(),
            put: change.put.to_vec(),
            remove: change.remove.to_vec(),
            message: change.message.to_owned(),
            stamp: self.stamp(Some(by), before.map_or(now, |before| before.max(now))),
        })?;
        let commit = self.make(&commit, now).await?;
        // Whoever makes it dates it, too.
        let made = self.remote.log(&commit, None, 1)?.first().map(|entry| entry.time);
        if let (Some(made), Some(before)) = (made, before)
            && made < before
        {
            let reason = format!(
                "{branch} ends with a commit of {before}, which is later than now, so that the decision would count as the older one; next: repeat it after that time, or push a commit with a right date"
            );
            return Err(GitError::Refused { what: "the decision".to_owned(), reason });
        }
        let pushed = self.push_commit(branch, tip, &commit).await?;
        Ok((commit, pushed))
    }

    /// Moves a ref with the bot's own records from `tip` to a commit with only this file, and says which; its parent is the
    /// tip, or none where the tip is no record.
    pub(in crate::daemon) async fn record(
        &self,
        name: &str,
        (tip, parent): (Option<&CommitId>, Option<&CommitId>),
        file: (RepoPath, Vec<u8>),
        message: &str,
        now: Timestamp,
    ) -> Result<(CommitId, Option<RefResult>), GitError> {
        let commit = self.remote.commit_tree(&NewTree {
            parents: parent.into_iter().cloned().collect(),
            files: vec![file],
            message: message.to_owned(),
            stamp: self.stamp(None, now),
        })?;
        let (name, expected) = (name.to_owned(), tip.cloned());
        let force = if parent == tip { Force::No } else { Force::WithLease };
        let update = RefUpdate { name, expected, new: Some(commit.clone()), force };
        Ok((commit, self.remote.push(&[update]).await?.into_iter().next()))
    }

    /// What commits and pull requests say.
    fn wording(&self) -> Wording<'_> {
        Wording { templates: &self.settings.messages }
    }

    /// The bot is the committer; a change that a person requested has that person as author.
    fn stamp(&self, by: Option<&str>, time: Timestamp) -> Stamp {
        let Identity { name, email } = self.settings.author.clone();
        let name = by.map_or(name, str::to_owned);
        Stamp { author: Identity { name, email }, committer: self.settings.committer.clone(), time }
    }
}
