//! The ledger of a branch, read from its history: what commit messages record, as far as the commits' trees bear it out.

use std::collections::{BTreeMap, HashSet};

use crate::git::{Blob, GitError, LogEntry, Mirror, TreeBudget, TreeEntry, TreePath};
use crate::model::{BranchName, CommitId, Identity, ImageName, PinKind, RepoPath, Version};
use crate::overlay::{is_candidate, scan_file};
use crate::plan::{CommitProof, Ledger, MovedPin, ReleaseAuthority, is_recorded};

/// From this number on, commits are looked at by several threads.
const PARALLEL_FROM: usize = 64;

/// Whose records count: the bot, and where its decisions stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordRules<'a> {
    pub(super) branch: &'a BranchName,
    pub(super) bot: &'a Identity,
    /// The folder of freezes and holds.
    pub(super) decisions: &'a str,
}

/// Takes into the ledger what is new in the history of `tip`, newest first in `log`.
pub(super) fn record(
    ledger: &mut Ledger,
    mirror: &Mirror,
    rules: RecordRules<'_>,
    (tip, log): (&CommitId, &[LogEntry]),
) -> Result<(), GitError> {
    let line = first_parents(tip, log);
    let recorded: Vec<&LogEntry> = log.iter().rev().filter(|entry| is_recorded(&entry.message)).collect();
    let prove = |entry: &&LogEntry| prove(mirror, rules, entry, line.contains(&entry.id));
    let proofs: Vec<Result<CommitProof, GitError>> = if recorded.len() < PARALLEL_FROM {
        recorded.iter().map(prove).collect()
    } else {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8);
        std::thread::scope(|scope| {
            let parts = recorded.chunks(recorded.len().div_ceil(threads));
            let running: Vec<_> =
                parts.map(|part| scope.spawn(move || part.iter().map(prove).collect::<Vec<_>>())).collect();
            running.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        })
    };
    if proofs.len() < recorded.len() {
        return Err(GitError::Refused {
            what: "reading the history".to_owned(),
            reason: "a reader panicked".to_owned(),
        });
    }
    for (entry, proof) in recorded.into_iter().zip(proofs) {
        ledger.record(rules.branch, &entry.id, (entry.time, &entry.message), &proof?);
    }
    Ok(())
}

/// The commits that the branch itself went through.
fn first_parents(tip: &CommitId, log: &[LogEntry]) -> HashSet<CommitId> {
    let parents: BTreeMap<&CommitId, Option<&CommitId>> =
        log.iter().map(|entry| (&entry.id, entry.parents.first())).collect();
    let mut line = HashSet::new();
    let mut next = Some(tip);
    while let Some(id) = next.filter(|id| line.insert((*id).clone())) {
        next = parents.get(id).copied().flatten();
    }
    line
}

fn prove(
    mirror: &Mirror,
    rules: RecordRules<'_>,
    entry: &LogEntry,
    on_the_line: bool,
) -> Result<CommitProof, GitError> {
    let nothing = CommitProof { moved: Vec::new(), releases: ReleaseAuthority::Nobody };
    let parent = entry.parents.first();
    let changes = match mirror.changes_within(parent, &entry.id, TreeBudget::COMMIT) {
        // The history ends here, or the commit is larger than any of the bot.
        Err(GitError::UnknownCommit { .. } | GitError::Refused { .. }) => return Ok(nothing),
        changes => changes?,
    };
    let folder = format!("{}/", rules.decisions.trim_end_matches('/'));
    let is_decision = |path: &TreePath| matches!(path, TreePath::Usable(path) if path.as_str().starts_with(&folder));
    let only_decisions = changes.iter().all(|change| is_decision(&change.path));
    let by_bot = entry.committer.email == rules.bot.email && entry.parents.len() == 1;
    let releases =
        if on_the_line && by_bot && only_decisions { ReleaseAuthority::Bot } else { ReleaseAuthority::Nobody };
    let paths: Vec<RepoPath> = changes
        .into_iter()
        .filter_map(|change| match change {
            crate::git::TreeChange { path: TreePath::Usable(path), now: Some(TreeEntry::File { .. }) } => Some(path),
            _ => None,
        })
        .filter(is_candidate)
        .collect();
    let before = match parent {
        Some(parent) => versions(mirror, parent, &paths)?,
        None => BTreeMap::new(),
    };
    let now = versions(mirror, &entry.id, &paths)?;
    let moved = now.into_iter().filter_map(|((path, kind, key, name), to)| {
        let place = (path, kind, key, name);
        let from = before.get(&place).cloned();
        let (path, _, _, name) = place;
        (from.as_ref() != Some(&to)).then_some(MovedPin { path, name, from, to })
    });
    Ok(CommitProof { moved: moved.collect(), releases })
}

/// File, kind and key of a place, and its image.
type PinIdentity = (RepoPath, PinKind, String, ImageName);

/// What these files declare at a commit.
fn versions(
    mirror: &Mirror,
    commit: &CommitId,
    paths: &[RepoPath],
) -> Result<BTreeMap<PinIdentity, Version>, GitError> {
    let mut versions = BTreeMap::new();
    for (path, entry) in mirror.entries(commit, paths)? {
        let TreeEntry::File { id, .. } = entry else { continue };
        let Some(Blob::Body(bytes)) = mirror.read_blobs(&[id])?.pop() else { continue };
        let scan = scan_file(&path, &bytes);
        for pin in scan.pins.into_iter().chain(scan.values) {
            versions.insert((path.clone(), pin.kind, pin.key, pin.name), pin.version);
        }
    }
    Ok(versions)
}
