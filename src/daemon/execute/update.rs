//! Branches of open pull requests that get what their base has by now, and nothing else.
//!
//! Promise: what is pushed is the planned change on the base that was planned with; a branch that moved meanwhile, or whose
//! pull request is in a merge queue, is left alone.

use jiff::Timestamp;

use crate::git::{Force, NewCommit, RefResult, RefUpdate, RefusalKind, Stamp};
use crate::model::CommitId;
use crate::plan::{Action, OpenPull, Plan, UpdateAction, UpdateWay};

use super::merge::waiting;
use super::pull_request::unpushed;
use super::{Carried, Executor, Making, PullRequests, PushedHead, Remote};
use crate::daemon::outcome::{ActionFailure, ActionOutcome, Done};

/// What is said of a pull request to which nothing may be pushed.
pub(super) const QUEUED: &str = "is in the merge queue of its forge, so nothing is pushed to its branch";

impl<R: Remote, P: PullRequests> Executor<R, P> {
    pub(super) async fn update(
        &mut self,
        plan: &Plan,
        action: &Action,
        update: &UpdateAction,
        now: Timestamp,
        carried: &mut Carried,
    ) {
        let pull = &update.pull;
        let outcome = match self.pulls.is_queued(pull.number).await {
            Ok(true) => {
                carried.holds.extend(waiting(action, (pull, None), QUEUED));
                return;
            }
            Ok(false) => self.updated(plan, action, update, (now, &mut carried.making)).await,
            Err(error) => Err(ActionFailure::from(&error)),
        };
        carried.actions.push(match outcome {
            Ok(commit) => {
                carried.pushed.push(PushedHead::of(&pull.head, &commit, &action.updates));
                let done = Done { commit, pull_request: Some(pull.url.clone()), verified: true };
                ActionOutcome::done(&plan.branch, action, done)
            }
            Err(failure) => ActionOutcome::failed(&plan.branch, action, failure),
        });
    }

    /// A remote that lets no branch be rewritten takes a merge.
    async fn updated(
        &self,
        plan: &Plan,
        action: &Action,
        update: &UpdateAction,
        (now, making): (Timestamp, &mut Making),
    ) -> Result<CommitId, ActionFailure> {
        let pull = &update.pull;
        if let Some(failure) = self.hindrance(action, now, making) {
            return Err(failure);
        }
        let mut way = update.way;
        loop {
            let commit = self.make_of_plan(&self.brought_up(plan, action, (pull, way), now)?, now, making).await?;
            let name = pull.head.full();
            let (expected, new) = (Some(pull.tip.clone()), Some(commit.clone()));
            let update = RefUpdate { name: name.clone(), expected, new, force: Force::WithLease };
            let pushed = self.remote.push(&[update]).await;
            // What is on the remote now, not what the push answered, says whether it is there.
            if self.remote.ls_remote().await?.get(&name) == Some(&commit) {
                return Ok(commit);
            }
            let refused = pushed.as_ref().ok().and_then(|results| results.first());
            let rewrite = matches!(refused, Some(RefResult::Rejected { kind: RefusalKind::Rewrite, .. }));
            if !(rewrite && way == UpdateWay::Anew) {
                return Err(unpushed(&pull.head, &pushed, 0));
            }
            way = UpdateWay::Merge;
        }
    }

    /// The planned change on the base, as one commit or as a merge; nothing on the remote moves.
    fn brought_up(
        &self,
        plan: &Plan,
        action: &Action,
        (pull, way): (&OpenPull, UpdateWay),
        now: Timestamp,
    ) -> Result<CommitId, ActionFailure> {
        if way == UpdateWay::Anew {
            return self.commit(action, &plan.revision, now);
        }
        let Stamp { author, committer, time } = self.stamp(None, now);
        Ok(self.remote.commit(&NewCommit {
            parents: vec![pull.tip.clone(), plan.revision.clone()],
            base: plan.revision.clone(),
            files: self.edited(&action.updates, &plan.revision, now)?,
            message: format!("Merge branch '{}' into {}\n", plan.branch, pull.head),
            author,
            committer,
            time,
        })?)
    }
}
