//! The merges, closings and reminders of a plan.
//!
//! Promise: the merged commit is the one that was judged, and that commit is exactly what the plan writes on top of a
//! commit of the base (G10) whose same files have not changed since. A refusal by the forge is a hold with the forge's
//! message, and is retried later. A branch is deleted only at the tip that was planned with.

use std::time::Duration;

use jiff::Timestamp;

use crate::git::{Force, GitError, RefUpdate};
use crate::message::{closed_body, closing_comment, dequeuing_comment, reminder};
use crate::model::{BranchName, CommitId, DequeueOutcome, Merge, MergeOutcome, PullState};
use crate::plan::{
    Action, ActionKind, CloseAction, DequeueAction, Gate, HeldBy, Hold, MergeAction, OpenPull, Plan, RemindAction,
    Update,
};

use super::{Carried, Executor, PullRequests, Remote};
use crate::daemon::outcome::{ActionFailure, ActionOutcome, Done};
use crate::daemon::repository::proof;
use crate::forge::PullError;

impl<R: Remote, P: PullRequests> Executor<R, P> {
    /// Carries out the plan's actions on open pull requests.
    pub(super) async fn finish(&mut self, plan: &Plan, now: Timestamp, carried: &mut Carried) {
        for action in &plan.actions {
            match &action.kind {
                ActionKind::Commit | ActionKind::PullRequest(_) => {}
                ActionKind::Merge(merge) => self.merge(plan, action, merge, now, carried).await,
                ActionKind::Close(close) => self.close(plan, action, close, now, carried).await,
                ActionKind::Remind(remind) => self.remind(plan, action, remind, now, carried).await,
                ActionKind::Update(update) => self.update(plan, action, update, now, carried).await,
                ActionKind::Dequeue(dequeue) => self.dequeue(plan, action, dequeue, carried).await,
            }
        }
    }

    async fn merge(
        &mut self,
        plan: &Plan,
        action: &Action,
        merge: &MergeAction,
        now: Timestamp,
        carried: &mut Carried,
    ) {
        let pull = &merge.pull;
        let proved = match self.same_files(plan, pull).await {
            Ok(base) => self.proved(action, pull, &base, now),
            Err(reason) => Err(reason),
        };
        let merged = match proved {
            Ok(message) => self.merge_judged(plan, merge, message, now).await,
            Err(reason) => Ok(MergeOutcome::Refused { reason }),
        };
        match merged {
            Ok(MergeOutcome::Merged { commit }) => {
                let verified = self.is_on_base(plan, &commit).await;
                // The forge may have done so already.
                self.delete(&pull.head, &pull.tip).await;
                let done = Done { commit, pull_request: Some(pull.url.clone()), verified };
                carried.actions.push(ActionOutcome::done(&plan.branch, action, done));
            }
            Ok(MergeOutcome::Queued { reason } | MergeOutcome::NotYet { reason }) => {
                carried.holds.extend(waiting(action, (pull, merge.review_within), &format!("waits: {reason}")));
            }
            Ok(MergeOutcome::Refused { reason }) => {
                let reason = format!("is not mergeable: {reason}");
                carried.holds.extend(waiting(action, (pull, merge.review_within), &reason));
            }
            Err(error) => {
                carried.actions.push(ActionOutcome::failed(&plan.branch, action, ActionFailure::from(&error)));
            }
        }
    }

    /// Checks that the branch is exactly what this action writes on a commit of the base: that commit's tree with the
    /// planned pins changed, and below it only the base and the bot's own commit. Returns the message that records it,
    /// or otherwise the reason.
    fn proved(&self, action: &Action, pull: &OpenPull, base: &CommitId, now: Timestamp) -> Result<String, String> {
        let unreadable = |error: GitError| format!("branch {} cannot be compared: {error}", pull.head);
        let foreign = |what: &str| {
            format!(
                "branch {} is not what the bot writes ({what}); delete it, and the next cycle recreates it",
                pull.head
            )
        };
        let own = proof::own(&self.remote, &pull.tip).map_err(unreadable)?.map_err(|reason| foreign(&reason))?;
        for start in own.starts() {
            if !self.remote.is_ancestor(start, base).map_err(unreadable)? {
                return Err(foreign("there are other commits below its own"));
            }
        }
        let rebuilt = self.commit(action, own.start(), now).map_err(|failure| foreign(&failure.message))?;
        if !self.remote.same_tree(&rebuilt, &pull.tip).map_err(unreadable)? {
            return Err(foreign("it changes something else"));
        }
        let (environment, author) = (action.environment.as_deref(), &self.settings.author);
        let message = self.wording().commit(&action.policy, environment, &action.updates, author);
        match proof::records_the_same(&own.commit.message, &message) {
            true => Ok(message),
            false => Err(foreign("its commit message records something else")),
        }
    }

    /// Checks that the base still has, in the files of the pull request, what it was planned with. Returns the current
    /// base, or otherwise the reason.
    async fn same_files(&self, plan: &Plan, pull: &OpenPull) -> Result<CommitId, String> {
        let base = self.base_now(plan, self.remote.ls_remote().await).await;
        let base = base.map_err(|error| format!("{} cannot be read again: {}", plan.branch, error.message))?;
        match self.remote.is_outdated(&plan.revision, &pull.tip, &base) {
            Ok(false) => {}
            Ok(true) => {
                let branch = &plan.branch;
                return Err(format!("the same files changed on {branch} in the meantime; the next cycle tries again"));
            }
            Err(error) => return Err(format!("{} cannot be compared: {error}", plan.branch)),
        }
        match self.rules_hold(plan, Some(&base)).await {
            Ok(None) => Ok(base),
            Ok(Some(reason)) => Err(reason),
            Err(error) => Err(format!("{} cannot be read again: {error}", plan.main)),
        }
    }

    async fn merge_judged(
        &mut self,
        plan: &Plan,
        merge: &MergeAction,
        message: String,
        now: Timestamp,
    ) -> Result<MergeOutcome, PullError> {
        let MergeAction { pull, terms, .. } = merge;
        let made = self.remote.log(&pull.tip, None, 1).ok().and_then(|log| log.first().map(|tip| tip.time));
        let made = made.unwrap_or(Timestamp::MIN);
        let base = plan.branch.clone();
        let merge = Merge { number: pull.number, base, tip: pull.tip.clone(), made, method: terms.method, message };
        self.pulls.merge(&merge, now).await
    }

    /// Reads the base again: it decides whether the merge is there, not the forge's answer.
    async fn is_on_base(&self, plan: &Plan, commit: &CommitId) -> bool {
        match self.base_now(plan, self.remote.ls_remote().await).await {
            Ok(tip) => {
                let found = self.remote.is_ancestor(commit, &tip).unwrap_or(false);
                if !found {
                    tracing::warn!(repository = self.settings.name, %commit, branch = %plan.branch, "the forge merged a pull request as a commit that is not on its base branch; next: look at the pull request for the branch that it went to");
                }
                found
            }
            Err(error) => {
                tracing::warn!(repository = self.settings.name, %commit, error = error.message, "the merge could not be verified on the remote");
                false
            }
        }
    }

    pub(super) async fn close(
        &mut self,
        plan: &Plan,
        action: &Action,
        close: &CloseAction,
        now: Timestamp,
        carried: &mut Carried,
    ) {
        let pull = &close.pull;
        // Somebody may have pushed to it since, which makes it theirs.
        match self.remote.ls_remote().await.map(|refs| refs.get(&pull.head.full()) == Some(&pull.tip)) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                carried.actions.push(ActionOutcome::failed(&plan.branch, action, error.into()));
                return;
            }
        }
        let (body, comment) = (closed_body(&pull.body, &close.reasons), closing_comment(&close.reasons));
        match self.pulls.close(pull.number, &body, &comment, now).await {
            Ok(()) => {
                let gone = self.delete(&pull.head, &pull.tip).await;
                let done = Done { commit: pull.tip.clone(), pull_request: Some(pull.url.clone()), verified: gone };
                carried.actions.push(ActionOutcome::done(&plan.branch, action, done));
            }
            Err(error) => {
                carried.actions.push(ActionOutcome::failed(&plan.branch, action, ActionFailure::from(&error)));
            }
        }
    }

    /// Deletes the branch of a finished pull request; returns whether it is gone.
    pub(super) async fn delete(&self, head: &BranchName, tip: &CommitId) -> bool {
        let name = head.full();
        let update = RefUpdate { name: name.clone(), expected: Some(tip.clone()), new: None, force: Force::WithLease };
        let pushed = self.remote.push(&[update]).await;
        let gone = self.remote.ls_remote().await.is_ok_and(|refs| !refs.contains_key(&name));
        if !gone {
            tracing::warn!(repository = self.settings.name, branch = %head, ?pushed, "the branch remains for now");
        }
        gone
    }

    async fn dequeue(&mut self, plan: &Plan, action: &Action, dequeue: &DequeueAction, carried: &mut Carried) {
        let pull = &dequeue.pull;
        match self.pulls.dequeue(pull.number, &dequeuing_comment(&dequeue.reason)).await {
            Ok(DequeueOutcome::Out) => {
                let done = Done { commit: pull.tip.clone(), pull_request: Some(pull.url.clone()), verified: true };
                carried.actions.push(ActionOutcome::done(&plan.branch, action, done));
            }
            Ok(DequeueOutcome::NotThere) => {}
            Ok(DequeueOutcome::PutBack { by }) => {
                let (repository, number) = (&self.settings.name, pull.number);
                tracing::info!(%repository, number, by, reason = dequeue.reason, "somebody has put a pull request back into the merge queue, so it stays there");
            }
            Err(error) => {
                let message = format!("pull request #{} may still be in the merge queue: {error}", pull.number);
                let failure = ActionFailure::new(error.code.into(), message);
                carried.actions.push(ActionOutcome::failed(&plan.branch, action, failure));
            }
        }
    }

    async fn remind(
        &mut self,
        plan: &Plan,
        action: &Action,
        remind: &RemindAction,
        now: Timestamp,
        carried: &mut Carried,
    ) {
        let pull = &remind.pull;
        match self.pulls.remind(pull.number, &reminder(remind, now)).await {
            Ok(()) => {
                let done = Done { commit: pull.tip.clone(), pull_request: Some(pull.url.clone()), verified: true };
                carried.actions.push(ActionOutcome::done(&plan.branch, action, done));
            }
            // Nothing depends on it; the next cycle tries again.
            Err(error) => {
                tracing::warn!(repository = self.settings.name, number = pull.number, %error, "no reminder was posted");
            }
        }
    }
}

/// What an open pull request carries waits for now.
pub(super) fn waiting(action: &Action, (pull, within): (&OpenPull, Option<Duration>), why: &str) -> Vec<Hold> {
    let reason = format!("pull request #{} {why}: {}", pull.number, pull.url);
    let by = HeldBy { url: pull.url.clone(), state: PullState::Open, head: pull.head.clone() };
    let hold = |update: &Update| Hold {
        pull: Some(by.clone()),
        review_within: within,
        ..Hold::new(update.clone(), Gate::Approval, reason.clone(), None)
    };
    action.updates.iter().map(hold).collect()
}
