//! The last look before a pull request is opened: has the base moved on in just these files?
//!
//! Promise: an instance that was frozen or slow does not open again what was opened, merged and cleaned away by another
//! in the meantime (G1). Its lease cannot tell: the branch that it expects not to exist does not exist again. So after
//! its branch is on the remote, where no other instance can have one beside it, the base is read once more.

use crate::git::{Force, GitError, RefUpdate};
use crate::model::CommitId;
use crate::plan::{Action, Plan, PullAction};

use super::{Executor, Refs, Remote};
use crate::daemon::outcome::{ActionFailure, ActionFailureCode, ActionOutcome};

/// A pull request whose branch is on the remote, at this tip.
pub(super) type Ready<'a> = (&'a Action, &'a PullAction, CommitId);

impl<R: Remote, P> Executor<R, P> {
    /// Takes out those whose files have changed on the base since it was planned at, and takes their branches back.
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
                    format!("{} moved meanwhile in the same files; the next cycle looks again", plan.branch),
                ),
                Err(ActionFailure { code, message }) => {
                    ActionFailure::new(code, format!("{} cannot be read again: {message}", plan.branch))
                }
            };
            if !pull.pushed
                && let Err(error) = self.restore(pull, &tip).await
            {
                tracing::warn!(repository = self.settings.name, branch = %pull.head, %error, "the branch stays for now");
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

    /// Puts the branch back to what it was before this cycle pushed it.
    async fn restore(&self, pull: &PullAction, tip: &CommitId) -> Result<(), GitError> {
        let (expected, new) = (Some(tip.clone()), pull.replaces.clone());
        let update = RefUpdate { name: pull.head.full(), expected, new, force: Force::WithLease };
        self.remote.push(&[update]).await.map(drop)
    }
}
