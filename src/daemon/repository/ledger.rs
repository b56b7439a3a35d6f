//! The ledger of a branch, read from its history: what commit messages record, as far as the commits' trees support it.
//! A long history is read once; the result is kept for the next process.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::examined::Examined;
use crate::daemon::execute::Remote as _;
use crate::git::{
    Blob, CameBy, GitError, KeptKey, LogEntry, MarkedCommit, MarkedLog, Mirror, TreeBudget, TreeChange, TreeEntry,
    TreePath,
};
use crate::model::{BranchName, CommitId, Identity, ImageName, PinKind, RepoPath, Version};
use crate::overlay::{beside, every_pin, is_read};
use crate::plan::{
    CommitProof, Ledger, MovedPin, RecordLimit, ReleaseAuthority, is_recorded, trailer, trailer_lines, verdicts,
};

/// Maximum number of commits read: more than any real repository has.
const DEPTH: usize = 1_000_000;

/// The number of commits read from which on the ledger is worth keeping.
const WORTH: usize = 1_000;

/// From this number on, commits are examined by several threads.
const PARALLEL_FROM: usize = 64;

/// How many commits, and how much of their messages, are examined at once.
const AT_ONCE: usize = 1_024;
const BYTES_AT_ONCE: usize = 8 << 20;

/// How much of a commit's trailers is kept, in total or for each record that counts.
const KEPT: usize = 1 << 20;
const KEPT_FOR_EACH: usize = 4 << 10;

/// Whose records count: the bot's address, and the folder of decisions.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordRules<'a> {
    pub(super) branch: &'a BranchName,
    pub(super) bot: &'a Identity,
    /// The author's address, where the forge commits for the bot, and for everybody else, too.
    pub(super) author: Option<&'a Identity>,
    /// The folder of freezes and holds.
    pub(super) decisions: &'a str,
}

/// What is kept of a ledger for the next process.
#[derive(Default, Serialize, Deserialize)]
struct KeptLedger {
    /// The tip that it was read at.
    tip: String,
    /// Oldest first.
    records: Vec<Judged>,
}

/// A commit with records for the ledger, and which of them count.
#[derive(Serialize, Deserialize)]
struct Judged {
    commit: String,
    at: Timestamp,
    /// Its trailers.
    message: String,
    verdicts: Vec<bool>,
}

impl Judged {
    fn enter(&self, ledger: &mut Ledger) {
        if let Ok(commit) = CommitId::parse(&self.commit) {
            ledger.record_judged(&commit, (self.at, &self.message), &self.verdicts);
        }
    }
}

/// Reads the whole ledger of a branch: what an earlier process kept, and what is new since.
pub(super) fn read(mirror: &Mirror, rules: RecordRules<'_>, tip: &CommitId) -> Result<Ledger, GitError> {
    // Everything that a verdict depends on besides the commits themselves.
    let (version, signed_by) = (env!("CARGO_PKG_VERSION"), mirror.signing_keys());
    let author = rules.author.map_or("", |author| &author.email);
    let declared = mirror.declared().fingerprint();
    let made_from =
        format!("ledger of merges {version} {} {author} {} {signed_by} {declared}", rules.bot.email, rules.decisions);
    let name = format!("ledger {}", rules.branch);
    let key = KeptKey { name: &name, made_from: &made_from };
    let kept = mirror.kept(key).and_then(|bytes| serde_json::from_slice::<KeptLedger>(&bytes).ok());
    let kept = kept.and_then(|kept| Some((CommitId::parse(&kept.tip).ok()?, kept)));
    // A tip that is no longer in the history does not count.
    let kept = kept.filter(|(before, _)| mirror.is_ancestor(before, tip).unwrap_or(false));
    let (before, mut kept) = kept.map_or((None, KeptLedger::default()), |(before, kept)| (Some(before), kept));
    let log = mirror.marked(tip, before.as_ref(), (rules.branch, trailer::MARK), DEPTH)?;
    let mut ledger = Ledger::default();
    kept.records.extend(judged(mirror, rules, &log)?);
    kept.records.iter().for_each(|record| record.enter(&mut ledger));
    if log.read >= WORTH {
        tip.as_str().clone_into(&mut kept.tip);
        if let Ok(bytes) = serde_json::to_vec(&kept) {
            mirror.keep(key, &bytes);
        }
    }
    Ok(ledger)
}

/// Adds to the ledger what is new in the history of `tip` since a commit that it already has.
pub(super) fn go_on(
    ledger: &mut Ledger,
    mirror: &Mirror,
    rules: RecordRules<'_>,
    (tip, known): (&CommitId, &CommitId),
) -> Result<(), GitError> {
    let log = mirror.marked(tip, Some(known), (rules.branch, trailer::MARK), DEPTH)?;
    judged(mirror, rules, &log)?.iter().for_each(|record| record.enter(ledger));
    Ok(())
}

/// What of these commits counts, oldest first.
fn judged(mirror: &Mirror, rules: RecordRules<'_>, log: &MarkedLog) -> Result<Vec<Judged>, GitError> {
    let came: Vec<&MarkedCommit> = log.marked.iter().rev().collect();
    let commits: Vec<CommitId> = came.iter().map(|commit| commit.id.clone()).collect();
    let (mut judged, mut at) = (Vec::new(), 0);
    // A few megabytes of messages at a time: each may be as large as anybody made it.
    while at < commits.len() {
        let entries = mirror.log_of(&commits[at..commits.len().min(at + AT_ONCE)], BYTES_AT_ONCE)?;
        let read = entries.len().max(1);
        judged.extend(judge(mirror, rules, came[at..].iter().copied().zip(entries))?);
        at += read;
    }
    Ok(judged)
}

fn judge<'m>(
    mirror: &Mirror,
    rules: RecordRules<'_>,
    entries: impl Iterator<Item = (&'m MarkedCommit, LogEntry)>,
) -> Result<Vec<Judged>, GitError> {
    let recorded = entries.filter(|(_, entry)| is_within(entry, RecordLimit::BASE.allows(&entry.message)));
    let recorded: Vec<_> = recorded.filter(|(_, entry)| is_recorded(&entry.message)).collect();
    let brought = brought(mirror, rules.branch, &recorded)?;
    // What a commit changed is dropped as soon as it is judged: many commits may each have changed very much.
    let prove = |(came, entry): &(&MarkedCommit, LogEntry)| {
        let proof = prove(mirror, rules, entry, came.came == CameBy::Itself)?;
        Ok(verdicts(rules.branch, &entry.message, &proof))
    };
    let proofs: Vec<Result<Vec<bool>, GitError>> = if recorded.len() < PARALLEL_FROM {
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
    let mut judged = Vec::new();
    for (((came, entry), verdicts), brought) in recorded.into_iter().zip(proofs).zip(brought) {
        let mut verdicts = verdicts?;
        if let CameBy::Merge(_) = &came.came {
            let brought = brought.into_iter().chain(std::iter::repeat(false));
            verdicts.iter_mut().zip(brought).for_each(|(counts, brought)| *counts &= brought);
        }
        let counted = verdicts.iter().filter(|counts| **counts).count();
        let message = trailer_lines(&entry.message);
        if counted > 0 && is_within(&entry, message.len() <= KEPT.max(counted * KEPT_FOR_EACH)) {
            judged.push(Judged { commit: entry.id.to_string(), at: came.at, message, verdicts });
        }
    }
    Ok(judged)
}

/// Of each of these commits, which of its records the merge bears out that brought it: by what that changed on the branch itself. A
/// commit beside the branch's own line may have
/// made an update and the next one may have taken it back: only what the merge brought was ever there.
fn brought(
    mirror: &Mirror,
    branch: &BranchName,
    recorded: &[(&MarkedCommit, LogEntry)],
) -> Result<Vec<Vec<bool>>, GitError> {
    let mut by_merge: HashMap<&CommitId, Vec<usize>> = HashMap::new();
    for (at, (came, _)) in recorded.iter().enumerate() {
        if let CameBy::Merge(merge) = &came.came {
            by_merge.entry(merge).or_default().push(at);
        }
    }
    let mut brought = vec![Vec::new(); recorded.len()];
    for (merge, commits) in by_merge {
        let entry = mirror.log_of(std::slice::from_ref(merge), usize::MAX)?.pop();
        let parent = entry.and_then(|entry| entry.parents.into_iter().next());
        let moved =
            changes(mirror, parent.as_ref(), merge)?.map(|changes| moved(mirror, (parent.as_ref(), merge), changes));
        let moved = moved.transpose()?.unwrap_or_default();
        let proof = CommitProof { moved, releases: ReleaseAuthority::Nobody };
        for at in commits {
            if let (Some((_, entry)), Some(brought)) = (recorded.get(at), brought.get_mut(at)) {
                *brought = verdicts(branch, &entry.message, &proof);
            }
        }
    }
    Ok(brought)
}

/// What a commit changed; `None` if the history ends there, or it changed more than any commit of the bot does.
fn changes(mirror: &Mirror, parent: Option<&CommitId>, commit: &CommitId) -> Result<Option<Vec<TreeChange>>, GitError> {
    match mirror.changes_within(parent, commit, TreeBudget::COMMIT) {
        Err(GitError::UnknownCommit { .. } | GitError::Refused { .. }) => Ok(None),
        changes => changes.map(Some),
    }
}

/// Whether a commit's message is one that the bot may have written; one that is not is said.
fn is_within(entry: &LogEntry, within: bool) -> bool {
    if !within {
        tracing::warn!(
            "commit {} has more trailers for the ledger than the bot ever writes for what it changed; they record nothing",
            entry.id.short()
        );
    }
    within
}

fn prove(
    mirror: &Mirror,
    rules: RecordRules<'_>,
    entry: &LogEntry,
    on_the_line: bool,
) -> Result<CommitProof, GitError> {
    let nothing = CommitProof { moved: Vec::new(), releases: ReleaseAuthority::Nobody };
    let parent = entry.parents.first();
    let Some(changes) = changes(mirror, parent, &entry.id)? else { return Ok(nothing) };
    let folder = format!("{}/", rules.decisions.trim_end_matches('/'));
    let is_decision = |path: &TreePath| matches!(path, TreePath::Usable(path) if path.as_str().starts_with(&folder));
    let only_decisions = changes.iter().all(|change| is_decision(&change.path));
    let by_author = rules.author.is_none_or(|author| entry.author.email == author.email);
    let by_bot = entry.committer.email == rules.bot.email && by_author && entry.parents.len() == 1;
    let releases = if on_the_line && by_bot && only_decisions && mirror.bears_our_signature(&entry.id)? {
        ReleaseAuthority::Bot
    } else {
        ReleaseAuthority::Nobody
    };
    Ok(CommitProof { moved: moved(mirror, (parent, &entry.id), changes)?, releases })
}

/// The images whose declared version changed between a commit and its parent; none, if there are more than a repository may have.
fn moved(
    mirror: &Mirror,
    (parent, commit): (Option<&CommitId>, &CommitId),
    changes: Vec<TreeChange>,
) -> Result<Vec<MovedPin>, GitError> {
    let declared = mirror.declared();
    let paths: Vec<RepoPath> = changes
        .into_iter()
        .filter_map(|change| match change {
            TreeChange { path: TreePath::Usable(path), now: Some(TreeEntry::File { .. }) } => Some(path),
            _ => None,
        })
        .filter(|path| is_read(&declared, path))
        .collect();
    // Before anything is held that others wait for.
    for commit in parent.into_iter().chain([commit]) {
        fetch_left_out(mirror, commit, &paths)?;
    }
    let mut examined = Examined::nothing();
    let before = match parent {
        Some(parent) => versions(mirror, parent, &paths, &mut examined)?,
        None => Some(BTreeMap::new()),
    };
    let now = if before.is_some() { versions(mirror, commit, &paths, &mut examined)? } else { None };
    let (Some(before), Some(now)) = (before, now) else {
        tracing::warn!(
            "commit {} changes files with more images than are read; its records do not count",
            commit.short()
        );
        return Ok(Vec::new());
    };
    let moved = now.into_iter().filter_map(|((path, kind, key, name), to)| {
        let place = (path, kind, key, name);
        let from = before.get(&place).cloned();
        let (path, _, _, name) = place;
        (from.as_ref() != Some(&to)).then_some(MovedPin { path, name, from, to })
    });
    Ok(moved.collect())
}

/// Fetches what an earlier fetch left out of these files and of what is read beside them.
fn fetch_left_out(mirror: &Mirror, commit: &CommitId, paths: &[RepoPath]) -> Result<(), GitError> {
    if !mirror.may_lack_files() {
        return Ok(());
    }
    let beside: Vec<RepoPath> = paths.iter().flat_map(beside).collect();
    let files = mirror.entries(commit, paths.iter().chain(&beside))?;
    let ids = files.into_values().filter_map(|entry| match entry {
        TreeEntry::File { id, .. } => Some(id),
        _ => None,
    });
    mirror.fetch_left_out(&mirror.left_out(ids)?)
}

/// File, kind and key of a place, and its image.
type PinIdentity = (RepoPath, PinKind, String, ImageName);

/// The versions that these files declare at a commit; `None` if there are too many.
fn versions(
    mirror: &Mirror,
    commit: &CommitId,
    paths: &[RepoPath],
    examined: &mut Examined,
) -> Result<Option<BTreeMap<PinIdentity, Version>>, GitError> {
    let mut versions = BTreeMap::new();
    for (path, entry) in mirror.entries(commit, paths)? {
        let TreeEntry::File { id, .. } = entry else { continue };
        let Some(Blob::Body(bytes)) = mirror.read_blobs(&[id])?.pop() else { continue };
        examined.begin(bytes.len());
        let pins = every_pin(&mirror.declared(), &path, &bytes, &mirror.beside(commit, &path)?);
        if examined.hold(&pins).is_err() {
            return Ok(None);
        }
        for pin in pins {
            versions.insert((path.clone(), pin.kind, pin.key, pin.name), pin.version);
        }
    }
    Ok(Some(versions))
}
