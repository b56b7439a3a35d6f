//! Whether what people have decided since a plan was made lets it go on. Policies, freezes and holds are on the main branch.

use crate::git::{GitError, TreeBudget};
use crate::model::CommitId;
use crate::plan::Plan;

use super::{Executor, Remote};

impl<R: Remote, P> Executor<R, P> {
    /// Checks that policies, freezes and holds are still those of a plan; otherwise returns the reason. `base` is the tip of the
    /// plan's branch, where it was just read: a plan for the main branch then takes no further request.
    ///
    /// Without it, nothing is checked for the main branch: a push to it fails if it has moved.
    ///
    /// # Errors
    /// If the main branch cannot be read again.
    pub(super) async fn rules_hold(&self, plan: &Plan, base: Option<&CommitId>) -> Result<Option<String>, GitError> {
        let main = &plan.main;
        if plan.branch == *main {
            return base.map_or(Ok(None), |tip| self.same_rules(plan, tip));
        }
        let refs = self.remote.ls_remote().await?;
        let Some(tip) = refs.get(&main.full()) else { return Ok(Some(format!("{main} is gone"))) };
        if *tip != plan.rules {
            self.remote.fetch_listed(&refs, &[main.full()]).await?;
        }
        self.same_rules(plan, tip)
    }

    /// The same for a commit of the main branch.
    fn same_rules(&self, plan: &Plan, now: &CommitId) -> Result<Option<String>, GitError> {
        if *now == plan.rules {
            return Ok(None);
        }
        let folder = self.settings.policies.decision_folder();
        let changes = self.remote.changes_within(Some(&plan.rules), now, TreeBudget::REPOSITORY)?;
        // A name that cannot be read, or a link in place of the folder, may be a decision as well.
        let is_changed = changes.iter().any(|change| change.path.is_within(folder));
        let main = &plan.main;
        Ok(is_changed
            .then(|| format!("policies or decisions on {main} changed in the meantime; the next cycle tries again")))
    }
}
