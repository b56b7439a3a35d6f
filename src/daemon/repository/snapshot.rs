//! What else may be asked of a repository that was read: its releases, what it declares, a branch as a plan sees it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::git::GitError;
use crate::model::{BranchName, CommitId, Pin, UpdateId};
use crate::plan::{Action, Answers, Declared, Plan, Releases, Snapshot, declared};

use super::{Repository, empty};

impl Repository {
    /// What the main branch's history releases.
    pub(in crate::daemon) fn releases(&self) -> Releases {
        let main = self.branches.get(&self.settings.branch);
        main.map(|branch| branch.ledger.releases().clone()).unwrap_or_default()
    }

    /// The branches that were read, the main branch first.
    pub(in crate::daemon) fn branch_names(&self) -> Vec<BranchName> {
        let mut names: Vec<BranchName> = self.branches.keys().cloned().collect();
        names.sort_by_key(|branch| (*branch != self.settings.branch, branch.clone()));
        names
    }

    /// Looks at a branch as a plan does, before anything is asked.
    pub(in crate::daemon) fn look<T>(
        &self,
        name: &BranchName,
        now: Timestamp,
        look: impl FnOnce(&Snapshot<'_>) -> T,
    ) -> Result<Option<T>, GitError> {
        let (policies, _) = self.policies();
        let set = self.policy_set(name, &policies);
        let Some(branch) = self.branches.get(name) else { return Ok(None) };
        let heads = self.heads(branch)?;
        let pins = branch.index.pins(&|path| set.names_file(path)).pins;
        let pins: Vec<Arc<Pin>> = pins.into_iter().map(Arc::new).collect();
        Ok(Some(look(&Snapshot {
            repository: &self.settings.name,
            branch: name,
            revision: &branch.tip,
            pins: &pins,
            skipped: &[],
            policies: &set,
            answers: &Answers::default(),
            ledger: &branch.ledger,
            heads: &heads,
            soaks: &self.standings,
            decisions: &self.decisions,
            request: None,
            gathered: None,
            failed: None,
            now,
        })))
    }

    /// A plan of these actions and nothing else, at the tip that was read.
    pub(in crate::daemon) fn plan_of(&self, name: &BranchName, actions: Vec<Action>) -> Option<Plan> {
        let branch = self.branches.get(name)?;
        Some(Plan { actions, ..empty(name, &branch.tip) })
    }

    /// Whether an update was ever taken back through the bot.
    pub(in crate::daemon) fn was_rolled_back(&self, branch: &BranchName, id: &UpdateId) -> bool {
        self.branches.get(branch).is_some_and(|branch| branch.ledger.rolled_back(id).is_some())
    }

    /// The main branch's tip as last read.
    pub(in crate::daemon) fn main_tip(&self) -> Option<CommitId> {
        self.branches.get(&self.settings.branch).map(|branch| branch.tip.clone())
    }

    /// What every branch that was read declares.
    pub(in crate::daemon) fn declared(&self) -> Vec<Declared> {
        let (policies, _) = self.policies();
        let mut all = Vec::new();
        for (name, branch) in &self.branches {
            let set = self.policy_set(name, &policies);
            let pins = branch.index.pins(&|path| set.names_file(path)).pins;
            let pins: Vec<Arc<Pin>> = pins.into_iter().map(Arc::new).collect();
            all.extend(declared(name, &pins, &set));
        }
        all
    }
}
