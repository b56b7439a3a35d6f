//! What the bot has published, at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::daemon::{ReportsByName, RepositoryReport, Rows};
use crate::model::Notice;
use crate::page::{BranchFacts, Chronicle, Facts, RepositoryFacts, beyond_sight};

use super::super::Shown;

/// What the bot has published. Nothing in it changes any more.
#[derive(Debug, Clone)]
pub(in crate::server) struct PageSnapshot {
    pub(super) shown: Arc<Shown>,
    pub(super) rows: Arc<Rows>,
    pub(super) reports: Arc<ReportsByName>,
    pub(super) incidents: Arc<Vec<Notice>>,
    /// Which repositories another replica works for.
    pub(super) notes: Vec<String>,
    pub(super) chronicle: Arc<Chronicle>,
    pub(super) revision: u64,
}

impl PageSnapshot {
    /// Adds what is declared and watched by nobody, where no cluster is configured.
    pub(super) fn complete(&mut self) {
        if !self.shown.tracker.heard().is_empty() {
            return;
        }
        let mut more = Vec::new();
        for report in self.reports.values() {
            let branches = report.branches.iter();
            more.extend(branches.flat_map(|branch| beyond_sight(&report.name, &self.rows.rows, &branch.declared)));
        }
        if !more.is_empty() {
            let mut rows = Rows::clone(&self.rows);
            rows.rows.extend(more);
            self.rows = Arc::new(rows);
        }
    }

    /// The same, as the page takes it.
    pub(super) fn facts(&self, now: Timestamp) -> Facts<'_> {
        Facts {
            now,
            judged: Some(self.rows.at).filter(|at| *at != Timestamp::default()),
            rows: &self.rows.rows,
            problems: &self.rows.problems,
            notes: &self.notes,
            repositories: self
                .reports
                .values()
                .map(|report| (report.name.as_str(), facts_of(report)))
                .collect::<BTreeMap<_, _>>(),
            incidents: &self.incidents,
            chronicle: &self.chronicle,
            revision: self.revision,
        }
    }
}

fn facts_of(report: &RepositoryReport) -> RepositoryFacts<'_> {
    let branches = report.branches.iter().map(|branch| BranchFacts {
        name: &branch.name,
        policies: &branch.policies,
        declared: &branch.declared,
    });
    RepositoryFacts {
        address: &report.address,
        commit_page: report.commit_page.as_deref(),
        holds: &report.outcome.holds,
        decisions: &report.decisions,
        branches: branches.collect(),
    }
}
