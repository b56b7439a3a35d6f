//! What the page is made from: everything the bot knows at one moment, borrowed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::{BranchName, Cause, CauseCode, Landing, Notice, State, Tracked, UpdateId, is_web_address};
use crate::plan::{Decisions, Declared, Hold};
use crate::policy::PolicySet;

use super::chronicle::Chronicle;

/// Everything that is known at one moment.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The moment.
    pub now: Timestamp,
    /// When the rows were judged; `None`: nothing has been judged yet.
    pub judged: Option<Timestamp>,
    /// How far every declared image has come.
    pub rows: &'a [Tracked],
    /// What could not be read.
    pub problems: &'a [String],
    /// What else there is to know before anything is concluded: which repositories another replica works for.
    pub notes: &'a [String],
    /// The repositories, by name; those that no cycle has read yet are missing.
    pub repositories: BTreeMap<&'a str, RepositoryFacts<'a>>,
    /// The open incidents.
    pub incidents: &'a [Notice],
    /// What rows said before.
    pub chronicle: &'a Chronicle,
    /// Counts what the page shows: it changes with it.
    pub revision: u64,
}

/// A repository after its last cycle.
#[derive(Debug)]
pub struct RepositoryFacts<'a> {
    /// Its address, without secrets.
    pub address: &'a str,
    /// What a commit's id is put behind to get its page on the forge.
    pub commit_page: Option<&'a str>,
    /// What waits in it, and why.
    pub holds: &'a [Hold],
    /// Freezes and holds of people.
    pub decisions: &'a Decisions,
    /// Its branches, main branch first.
    pub branches: Vec<BranchFacts<'a>>,
}

/// A branch after the last cycle.
#[derive(Debug)]
pub struct BranchFacts<'a> {
    /// The branch.
    pub name: &'a BranchName,
    /// The policies in force on it.
    pub policies: &'a PolicySet,
    /// What it declares.
    pub declared: &'a Arc<Vec<Declared>>,
}

impl<'a> Facts<'a> {
    /// Whether an address may be a link: http(s), on the host of the repository's forge. What a repository says of itself is no
    /// reason to send its reader anywhere else.
    pub(super) fn linked(&self, repository: &str, address: &str) -> bool {
        let page = self.repositories.get(repository).and_then(|it| it.commit_page);
        is_web_address(address) && page.is_some_and(|page| origin(page) == origin(address))
    }

    /// The page of a commit on the forge.
    pub(super) fn commit_link(&self, repository: &str, commit: &str) -> Option<String> {
        let page = self.repositories.get(repository)?.commit_page?;
        let address = format!("{page}{commit}");
        is_web_address(&address).then_some(address)
    }

    /// What holds updates, by repository and update.
    pub(super) fn holds(&self) -> BTreeMap<(&'a str, &'a UpdateId), &'a Hold> {
        let all = self.repositories.iter();
        all.flat_map(|(name, it)| it.holds.iter().map(|hold| ((*name, &hold.update.id), hold))).collect()
    }
}

/// What a repository declares under its policies and no row is about: without clusters, nobody sees how it runs.
#[must_use]
pub fn beyond_sight(repository: &str, rows: &[Tracked], declared: &[Declared]) -> Vec<Tracked> {
    let known: BTreeSet<&UpdateId> =
        rows.iter().filter(|row| row.repository == repository).map(|row| &row.id).collect();
    let missing = declared.iter().filter(|it| it.policy.is_some() && !known.contains(&it.id));
    let row = |it: &Declared| {
        let cause = Cause {
            code: CauseCode::Unproven,
            message: "it is in Git; no cluster is configured, so that nobody sees whether it runs".to_owned(),
            evidence: Vec::new(),
            next: "name the cluster under `clusters` in the configuration".to_owned(),
            blame: CauseCode::Unproven.blame(),
        };
        let landing = Landing { state: State::Unknown, rung: None, cause: Some(cause) };
        Tracked {
            overlay: it.overlay.clone(),
            environment: it.environment.clone(),
            policy: it.policy.clone(),
            ..Tracked::new(it.id.clone(), repository, &it.app, it.name.clone(), it.version.clone(), landing)
        }
    };
    missing.map(row).collect()
}

/// Scheme, host and port of an address.
fn origin(address: &str) -> Option<&str> {
    let scheme = address.find("://")? + 3;
    let end = address[scheme..].find(['/', '?', '#']).map_or(address.len(), |at| scheme + at);
    Some(&address[..end])
}
