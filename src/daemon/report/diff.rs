//! What an action would change in its files, as a unified diff.

use crate::plan::{Action, Plan};

use crate::daemon::report::{ActionReport, RepositoryReport};
use crate::daemon::repository::{Repository, RepositoryPlan};

impl Repository {
    /// The plan as a report; with `diff`, each action carries the change of its files.
    #[must_use]
    pub fn report(&self, planned: &RepositoryPlan, diff: bool) -> RepositoryReport {
        let mut report = RepositoryReport::new(self.name());
        report.revision.clone_from(&planned.revision);
        for plan in &planned.plans {
            report.add_plan(plan);
            for action in &plan.actions {
                let mut planned = ActionReport::planned(plan.branch.as_str(), action);
                if diff && !action.updates.is_empty() {
                    planned.diff = Some(self.diff(plan, action));
                }
                report.actions.push(planned);
            }
        }
        report.add_blocking(&planned.problems);
        report
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
