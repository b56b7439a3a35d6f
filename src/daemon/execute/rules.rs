//! Whether what people have decided since a plan was made lets it go on. Policies, freezes and holds are on the main branch.

use crate::git::{GitError, TreeBudget, TreePath};
use crate::model::CommitId;
use crate::plan::Plan;

use super::{Executor, Remote};

impl<R: Remote, P> Executor<R, P> {
    /// Checks that policies, freezes and holds, which are on the main branch, are still those of a plan for another branch;
    /// otherwise returns the reason. A push to the main branch itself fails if that has moved.
    pub(super) async fn rules_hold(&self, plan: &Plan) -> Result<(), String> {
        let main = &plan.main;
        if plan.branch == *main {
            return Ok(());
        }
        let unreadable = |error: GitError| format!("{main} cannot be read again: {error}");
        let refs = self.remote.ls_remote().await.map_err(unreadable)?;
        let Some(tip) = refs.get(&main.full()) else { return Err(format!("{main} is gone")) };
        if *tip == plan.rules {
            return Ok(());
        }
        self.remote.fetch_listed(&refs, &[main.full()]).await.map_err(unreadable)?;
        self.same_rules(plan, tip)
    }

    /// The same for a commit of the main branch.
    pub(super) fn same_rules(&self, plan: &Plan, now: &CommitId) -> Result<(), String> {
        let (main, folder) = (&plan.main, self.settings.policies.decision_folder());
        let changes = self.remote.changes_within(Some(&plan.rules), now, TreeBudget::REPOSITORY);
        let changes = changes.map_err(|error| format!("{main} cannot be compared: {error}"))?;
        let is_rule = |path: &TreePath| match path {
            TreePath::Usable(path) => path.as_str().strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
            TreePath::Odd { .. } => false,
        };
        match changes.iter().any(|change| is_rule(&change.path)) {
            true => Err(format!("policies or decisions on {main} changed in the meantime; the next cycle tries again")),
            false => Ok(()),
        }
    }
}
