//! What the tracker needs to know about a repository.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::git::Mirror;
use crate::landing::watchers::RepositoryAddresses;
use crate::model::{BranchName, Pin, RepoPath, UpdateId};
use crate::plan::declared;
use crate::policy::PolicySet;

use super::read;
use super::reader::{Branch, Reader};
use crate::daemon::outcome::CycleOutcome;
use crate::daemon::tracker::{BranchView, View};

impl Reader {
    /// What the tracker needs to know after a cycle with this outcome.
    pub(super) fn view(
        &mut self,
        outcome: CycleOutcome,
        pulls: Arc<HashMap<UpdateId, String>>,
        now: Timestamp,
    ) -> View {
        let sets: Vec<(BranchName, PolicySet)> =
            self.branch_names().into_iter().map(|name| (name.clone(), self.policy_set(&name))).collect();
        let branches = sets.into_iter().filter_map(|(name, set)| {
            let branch = self.branches.get_mut(&name)?;
            if branch.view.as_ref().is_none_or(|(before, _)| *before != set) {
                let view = branch_view(&name, branch, &set, &self.mirror);
                branch.view = Some((set, view));
            }
            branch.view.as_ref().map(|(_, view)| view.clone())
        });
        let branches = branches.collect();
        View {
            name: self.settings.name.clone(),
            repository: Arc::new(self.watched()),
            address: self.mirror.remote().to_owned(),
            mirror: self.mirror.clone(),
            branches,
            outcome,
            heads: read::head_times(&self.mirror, &self.refs),
            pulls,
            at: now,
        }
    }

    /// The repository's addresses, as controllers may write them. `HEAD` means the remote's default branch; if the
    /// remote does not say which that is, the branch that is read.
    fn watched(&self) -> RepositoryAddresses {
        let aliases = self.settings.aliases.iter().map(String::as_str);
        let default = self.mirror.default_branch().unwrap_or_else(|| self.settings.branch.clone());
        RepositoryAddresses::new(std::iter::once(self.mirror.remote()).chain(aliases), Some(default))
    }
}

fn branch_view(name: &BranchName, branch: &Branch, policies: &PolicySet, mirror: &Mirror) -> BranchView {
    // An unreadable one hides nothing: at worst, the tracker waits for a file that Flux leaves out.
    let ignore = RepoPath::parse(".sourceignore").ok().and_then(|path| mirror.read(&branch.tip, &path).ok()?);
    let pins = branch.index.pins(&|path| policies.names_file(path)).pins;
    let shared: Vec<Arc<Pin>> = pins.iter().cloned().map(Arc::new).collect();
    BranchView {
        name: name.clone(),
        tip: branch.tip.clone(),
        declared: Arc::new(declared(name, &shared, policies)),
        pins: Arc::new(pins),
        source_ignore: String::from_utf8_lossy(&ignore.unwrap_or_default()).into(),
        reach: Arc::new(branch.index.reach().clone()),
    }
}
