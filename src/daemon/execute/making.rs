//! Commits as whoever makes this repository's commits makes them, and what is remembered where they do not.
//!
//! Promise: nobody is asked in vain. After an error that is about no action in particular, no other action of the plan is tried, be it
//! a new pull request or one that is brought up to date; what is wrong in the configuration, and what the remote refuses of a commit
//! that somebody else had to make, is reported again for ten minutes, without another request.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::{Executor, Remote};
use crate::daemon::outcome::{ActionFailure, ActionFailureCode, ActionOutcome, Step};
use crate::daemon::pulls::is_recent;
use crate::git::GitError;
use crate::model::{BranchName, CommitId, FailureCode, UpdateId};
use crate::plan::{Action, ActionKind};

/// How much time making commits may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct MakingTime {
    /// For one commit.
    pub(super) for_one: Duration,
    /// For several, before they are pushed: the longer it takes, the likelier somebody else pushes first.
    pub(super) before_push: Duration,
}

impl Default for MakingTime {
    fn default() -> Self {
        Self { for_one: Duration::from_mins(1), before_push: Duration::from_secs(20) }
    }
}

/// What became of making the commits of one plan so far.
#[derive(Debug, Default)]
pub(super) struct Making {
    /// Why no further one is made.
    stopped: Option<ActionFailure>,
}

/// What was refused recently.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Any commit, because of the configuration.
    unmade: Option<(Timestamp, ActionFailure)>,
    /// Single actions.
    refused: HashMap<ActionKey, (Timestamp, ActionFailure)>,
}

/// What tells an action from another one: the branch that is not its base, and its updates.
type ActionKey = (Option<BranchName>, Vec<UpdateId>);

fn key(action: &Action) -> ActionKey {
    let mut updates: Vec<UpdateId> = action.updates.iter().map(|update| update.id.clone()).collect();
    updates.sort();
    (action.kind.head().cloned(), updates)
}

impl Refusals {
    /// Why an action need not be tried for now.
    pub(super) fn of(&self, action: &Action, now: Timestamp) -> Option<ActionFailure> {
        let refused = self.unmade.as_ref().filter(|(at, _)| is_recent(*at, now));
        let refused = refused.or_else(|| self.refused.get(&key(action)).filter(|(at, _)| is_recent(*at, now)));
        refused.map(|(_, failure)| failure.clone())
    }
}

/// Whether an error would meet every other action, too.
fn concerns_all(error: &GitError) -> bool {
    !matches!(
        error,
        GitError::Refused { .. }
            | GitError::UnknownCommit { .. }
            | GitError::NotMade { code: FailureCode::Protocol, .. }
    )
}

impl<R: Remote, P> Executor<R, P> {
    /// The commit of one action on `parent`. No branch has it yet.
    pub(super) async fn made(
        &self,
        action: &Action,
        parent: &CommitId,
        now: Timestamp,
        making: &mut Making,
    ) -> Result<CommitId, ActionFailure> {
        if let Some(failure) = self.hindrance(action, now, making) {
            return Err(failure);
        }
        self.make_of_plan(&self.commit(action, parent, now)?, now, making).await
    }

    /// Why no commit is made for an action for now.
    pub(super) fn hindrance(&self, action: &Action, now: Timestamp, making: &Making) -> Option<ActionFailure> {
        making.stopped.clone().or_else(|| self.refusals().of(action, now))
    }

    /// The commit in place of a planned one of a plan. After an error that would meet every other one, too, none is made any more.
    pub(super) async fn make_of_plan(
        &self,
        planned: &CommitId,
        now: Timestamp,
        making: &mut Making,
    ) -> Result<CommitId, ActionFailure> {
        self.make(planned, now).await.map_err(|error| {
            let failure = ActionFailure::from(&error);
            making.stopped = concerns_all(&error).then(|| failure.clone());
            failure
        })
    }

    /// The commit in place of a planned one, in time.
    pub(super) async fn make(&self, planned: &CommitId, now: Timestamp) -> Result<CommitId, GitError> {
        let within = self.pace.for_one;
        let made = tokio::time::timeout(within, self.remote.made(planned)).await.unwrap_or_else(|_| {
            let message = format!(
                "the forge of repository {} has not made a commit within {within:?}; next: nothing to do, the next cycle tries again",
                self.settings.name
            );
            Err(GitError::NotMade { message, code: FailureCode::Network })
        });
        if let Err(error @ GitError::NotMade { code: FailureCode::ConfigError, .. }) = &made {
            self.refusals().unmade = Some((now, error.into()));
        }
        made
    }

    /// Remembers which of these actions the remote refused, where somebody else has to make a commit for each attempt.
    pub(super) fn remember_refusals(&self, outcomes: &[ActionOutcome], now: Timestamp) {
        if !self.remote.has_maker() {
            return;
        }
        let mut refusals = self.refusals();
        refusals.refused.retain(|_, (at, _)| is_recent(*at, now));
        for ActionOutcome { action, step, .. } in outcomes {
            if let Step::Failed(failure) = step
                && failure.code == ActionFailureCode::Refused
                && matches!(action.kind, ActionKind::Commit | ActionKind::PullRequest(_) | ActionKind::Update(_))
            {
                // What is told again is as old as it was.
                refusals.refused.entry(key(action)).or_insert_with(|| (now, failure.clone()));
            }
        }
    }

    pub(super) fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
