//! What the last cycle of each repository found, for whoever shows it.
//!
//! Promise: a report is a value that nobody changes any more; whoever reads it holds up no cycle.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::model::{BranchName, CommitId};
use crate::plan::{Decisions, Declared};
use crate::policy::PolicySet;

use super::outcome::CycleOutcome;

/// A repository as its last cycle left it.
#[derive(Debug, Clone)]
pub struct RepositoryReport {
    /// Its name in the configuration.
    pub name: String,
    /// Its address, without secrets.
    pub address: String,
    /// What a commit's id is put behind to get its page on the forge, if the forge has such pages.
    pub commit_page: Option<String>,
    /// When the cycle ended.
    pub at: Timestamp,
    /// What the cycle did, what it holds, and what it could not decide.
    pub outcome: CycleOutcome,
    /// Freezes and holds that people have written into it.
    pub decisions: Decisions,
    /// Its branches, main branch first.
    pub branches: Vec<ReportedBranch>,
}

/// A branch of a repository as its last cycle left it.
#[derive(Debug, Clone)]
pub struct ReportedBranch {
    /// The branch.
    pub name: BranchName,
    /// Its tip.
    pub tip: CommitId,
    /// The policies that are in force on it.
    pub policies: PolicySet,
    /// What it declares.
    pub declared: Arc<Vec<Declared>>,
}

/// The last report of every repository, by name.
pub type ReportsByName = BTreeMap<String, Arc<RepositoryReport>>;

/// Where reports are published.
#[derive(Debug)]
pub struct Reports(watch::Sender<Arc<ReportsByName>>);

impl Reports {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }

    /// A cycle has ended.
    pub(super) fn publish(&self, report: RepositoryReport) {
        self.0.send_modify(|all| {
            let mut next = ReportsByName::clone(all);
            next.insert(report.name.clone(), Arc::new(report));
            *all = Arc::new(next);
        });
    }

    /// The reports as they are, and each later one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<ReportsByName>> {
        self.0.subscribe()
    }
}
