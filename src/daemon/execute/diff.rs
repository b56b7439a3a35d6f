//! The changes of an action to its files, as a unified diff.

use jiff::Timestamp;

use crate::plan::{Action, Plan};

use super::{Executor, Remote};

impl<R: Remote, P> Executor<R, P> {
    /// The unified diff of an action against the tip it was planned at; if it cannot be made, the reason.
    pub(in crate::daemon) fn diff(&self, plan: &Plan, action: &Action, now: Timestamp) -> String {
        let files = match self.edited(&action.updates, &plan.revision, now) {
            Ok(files) => files,
            Err(error) => return format!("# {}\n", error.message),
        };
        let mut text = String::new();
        for (path, after) in files {
            let before = self.remote.content(&plan.revision, &path).ok().flatten().unwrap_or_default();
            let (before, after) = (String::from_utf8_lossy(&before), String::from_utf8_lossy(&after));
            let diff = similar::TextDiff::from_lines(before.as_ref(), after.as_ref());
            text.push_str(&diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string());
        }
        text
    }
}
