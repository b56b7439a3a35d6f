//! What an action would change in its files, as a unified diff.

use crate::plan::{Action, Plan};

use super::{Repository, RepositoryPlan};
use crate::daemon::outcome::{ActionOutcome, CycleOutcome, Step};

impl Repository {
    /// The plan as an outcome of which nothing is done; with `diff`, each action carries the change of its files.
    #[must_use]
    pub fn preview(&self, planned: &RepositoryPlan, diff: bool) -> CycleOutcome {
        let mut outcome = CycleOutcome::new(self.name());
        outcome.revision.clone_from(&planned.revision);
        for plan in &planned.plans {
            outcome.add_plan(plan);
            for action in &plan.actions {
                let diff = (diff && !action.updates.is_empty()).then(|| self.diff(plan, action));
                let step = Step::Planned { diff };
                outcome.actions.push(ActionOutcome { step, ..ActionOutcome::planned(&plan.branch, action) });
            }
        }
        outcome.add_blocking(planned.problems.iter().cloned());
        outcome
    }

    /// The unified diff of an action against the tip it was planned at; where it cannot be made, the reason in its place.
    fn diff(&self, plan: &Plan, action: &Action) -> String {
        let files = match self.edited(&action.updates, &plan.revision) {
            Ok(files) => files,
            Err(error) => return format!("# {}\n", error.message),
        };
        let mut text = String::new();
        for (path, after) in files {
            let before = self.mirror.read(&plan.revision, &path).ok().flatten().unwrap_or_default();
            let (before, after) = (String::from_utf8_lossy(&before), String::from_utf8_lossy(&after));
            let diff = similar::TextDiff::from_lines(before.as_ref(), after.as_ref());
            text.push_str(&diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string());
        }
        text
    }
}
