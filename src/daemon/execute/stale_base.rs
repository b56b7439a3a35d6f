//! The last check before a pull request is opened: has the base changed in exactly these files?
//!
//! Promise: an instance that was frozen or slow does not reopen what another one has opened, merged and cleaned up in
//! the meantime (G1). Its lease cannot detect that, because the branch that it expects not to exist does not exist
//! again. So once its branch is on the remote, where no other instance can have the same branch, the base is read once
//! more.

use crate::git::{Force, GitError, RefUpdate};
use crate::model::CommitId;
use crate::plan::{Action, Plan, PullAction};

use super::{Executor, Refs, Remote};
use crate::daemon::outcome::{ActionFailure, ActionFailureCode, ActionOutcome};

/// A pull request whose branch is on the remote, at this tip.
pub(super) type Ready<'a> = (&'a Action, &'a PullAction, CommitId);

impl<R: Remote, P> Executor<R, P> {
    /// Removes those whose files have changed on the base since planning, and reverts their branches.
    pub(super) async fn without_stale_bases<'a>(
        &self,
        plan: &Plan,
        ready: Vec<Ready<'a>>,
        refs: Result<Refs, GitError>,
        reports: &mut Vec<ActionOutcome>,
    ) -> Vec<Ready<'a>> {
        let mut left = Vec::new();
        if ready.is_empty() {
            return left;
        }
        let base = self.base_now(plan, refs).await;
        for (action, pull, tip) in ready {
            let stale = match &base {
                Ok(base) => self.remote.is_outdated(&plan.revision, &tip, base).map_err(ActionFailure::from),
                Err(failure) => Err(failure.clone()),
            };
            let failure = match stale {
                Ok(false) => {
                    left.push((action, pull, tip));
                    continue;
                }
                Ok(true) => ActionFailure::new(
                    ActionFailureCode::LostRace,
                    format!("the same files changed on {} in the meantime; the next cycle tries again", plan.branch),
                ),
                Err(ActionFailure { code, message }) => {
                    ActionFailure::new(code, format!("{} cannot be read again: {message}", plan.branch))
                }
            };
            if !pull.pushed
                && let Err(error) = self.restore(pull, &tip).await
            {
                tracing::warn!(repository = self.settings.name, branch = %pull.head, %error, "the branch remains for now");
            }
            reports.push(ActionOutcome::failed(&plan.branch, action, failure));
        }
        left
    }

    pub(super) async fn base_now(&self, plan: &Plan, refs: Result<Refs, GitError>) -> Result<CommitId, ActionFailure> {
        let name = plan.branch.full();
        self.remote.fetch_listed(&refs?, std::slice::from_ref(&name)).await?;
        self.remote.tip(&name)?.ok_or_else(|| ActionFailure::new(ActionFailureCode::LostRace, "it is gone"))
    }

    /// Restores the branch to its state before this cycle pushed it.
    async fn restore(&self, pull: &PullAction, tip: &CommitId) -> Result<(), GitError> {
        let (expected, new) = (Some(tip.clone()), pull.replaces.clone());
        let update = RefUpdate { name: pull.head.full(), expected, new, force: Force::WithLease };
        self.remote.push(&[update]).await.map(drop)
    }
}
