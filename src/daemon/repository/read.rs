//! From Git's objects to what the pure core works on.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::config::DecisionKind;
use crate::git::{Blob, GitError, Mirror, TreeChange, TreeEntry, TreePath};
use crate::model::{CommitId, Identity, RepoPath, SkipReason, Skipped};
use crate::overlay::{FileChange, is_candidate};
use crate::plan::{BRANCH_PREFIX, Head, Problem, carried, update_ids};
use crate::policy::{PolicySet, Write};

/// How many files are read at once: bounds memory, not speed.
const BATCH: usize = 512;

/// What changed between two tips.
pub(in crate::daemon) struct Changed {
    /// Files that may hold pins, and paths that are reported.
    pub(in crate::daemon) files: Vec<FileChange>,
    /// Files of the policy folder: path, and what is there now.
    pub(in crate::daemon) policies: Vec<(String, Option<PolicyFile>)>,
    /// Freezes and holds, in the same way.
    pub(in crate::daemon) decisions: Vec<(String, Option<PolicyFile>)>,
}

/// Where what the bot goes by stands in the repository.
#[derive(Debug, Clone, Copy)]
pub(in crate::daemon) struct Folders<'a> {
    /// Policies; `None`: they are elsewhere, or on another branch.
    pub(in crate::daemon) policies: Option<&'a str>,
    /// Freezes and holds, each in a folder of its own below this one.
    pub(in crate::daemon) decisions: &'a str,
}

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Policy,
    Decision,
    Pins,
}

impl Folders<'_> {
    fn is_for(self, path: &RepoPath) -> Option<Use> {
        if is_policy(path, self.policies) {
            return Some(Use::Policy);
        }
        if decision_kind(path, self.decisions).is_some() {
            return Some(Use::Decision);
        }
        is_candidate(path).then_some(Use::Pins)
    }
}

/// The content of a policy file or a decision, or why it cannot be read.
pub(in crate::daemon) type PolicyFile = Result<Vec<u8>, String>;

/// Reads what changed from `from` (nothing: everything) to `to`.
pub(in crate::daemon) fn changes(
    mirror: &Mirror,
    from: Option<&CommitId>,
    to: &CommitId,
    folders: Folders<'_>,
) -> Result<Changed, GitError> {
    let mut changed = Changed { files: Vec::new(), policies: Vec::new(), decisions: Vec::new() };
    let mut wanted = Vec::new();
    for change in mirror.changes(from, to)? {
        sort(change, folders, &mut changed, &mut wanted);
    }
    for batch in wanted.chunks(BATCH) {
        let ids: Vec<_> = batch.iter().map(|(_, id)| *id).collect();
        for ((path, _), blob) in batch.iter().zip(mirror.read_blobs(&ids)?) {
            let content = match blob {
                Blob::Body(bytes) => Ok(bytes),
                Blob::TooLarge(size) => Err(too_large(size)),
            };
            match (folders.is_for(path), content) {
                (Some(Use::Policy), content) => changed.policies.push((path.to_string(), Some(said(content)))),
                (Some(Use::Decision), content) => changed.decisions.push((path.to_string(), Some(said(content)))),
                (_, Ok(bytes)) => changed.files.push(FileChange::File { path: path.clone(), bytes }),
                (_, Err(reason)) => changed.files.push(FileChange::Special { path: path.to_string(), reason }),
            }
        }
    }
    Ok(changed)
}

fn sort(
    change: TreeChange,
    folders: Folders<'_>,
    changed: &mut Changed,
    wanted: &mut Vec<(RepoPath, crate::git::BlobId)>,
) {
    let path = match change.path {
        TreePath::Usable(path) => path,
        TreePath::Odd { shown, reason } => {
            changed.files.push(match change.now {
                Some(_) => {
                    FileChange::Special { path: shown, reason: SkipReason::BadName { reason: reason.to_owned() } }
                }
                None => FileChange::Gone { path: shown },
            });
            return;
        }
    };
    let reason = match change.now {
        Some(TreeEntry::File { id, .. }) if folders.is_for(&path).is_some() => {
            wanted.push((path, id));
            return;
        }
        Some(TreeEntry::Symlink) => Some(SkipReason::SymbolicLink),
        Some(TreeEntry::Submodule) => Some(SkipReason::Submodule),
        // A file or folder without a meaning here; it may stand where something with one stood.
        Some(TreeEntry::File { .. } | TreeEntry::Folder) | None => None,
    };
    let shown = path.to_string();
    match folders.is_for(&path) {
        Some(Use::Policy) => {
            changed.policies.push((shown.clone(), reason.as_ref().map(|reason| Err(reason.to_string()))));
        }
        Some(Use::Decision) => {
            changed.decisions.push((shown.clone(), reason.as_ref().map(|reason| Err(reason.to_string()))));
        }
        Some(Use::Pins) | None => {}
    }
    changed.files.push(match reason {
        Some(reason) => FileChange::Special { path: shown, reason },
        None => FileChange::Gone { path: shown },
    });
}

fn too_large(bytes: u64) -> SkipReason {
    SkipReason::TooLargeBlob { bytes }
}

/// Of files that are read by themselves the reason is only shown.
fn said(content: Result<Vec<u8>, SkipReason>) -> PolicyFile {
    content.map_err(|reason| reason.to_string())
}

/// Whether a path is a policy file: a YAML file directly in the folder (CONFIG.md, `policies`).
fn is_policy(path: &RepoPath, folder: Option<&str>) -> bool {
    let Some(folder) = folder else { return false };
    path.parent() == folder.trim_end_matches('/')
        && std::path::Path::new(path.file_name()).extension().is_some_and(|end| end == "yaml" || end == "yml")
}

/// What kind of decision a path is: a YAML file directly in one of the two folders.
pub(in crate::daemon) fn decision_kind(path: &RepoPath, folder: &str) -> Option<DecisionKind> {
    let yaml = std::path::Path::new(path.file_name()).extension().is_some_and(|end| end == "yaml" || end == "yml");
    let below = path.parent().strip_prefix(folder.trim_end_matches('/'))?.strip_prefix('/')?;
    let kinds = [DecisionKind::Freeze, DecisionKind::Hold];
    kinds.into_iter().find(|kind| yaml && kind.folder() == below)
}

/// What was skipped where a policy would write: it may hide an update, so it is said with every plan.
pub(in crate::daemon) fn problems(skipped: &[Skipped], policies: &PolicySet) -> Vec<Problem> {
    let concerns = |skipped: &&Skipped| {
        let path = RepoPath::parse(&skipped.path);
        path.is_ok_and(|path| policies.effective_for(&path, None).write != Write::Never)
    };
    let problem = |skipped: &Skipped| Problem {
        path: Some(skipped.path.clone()),
        line: skipped.line,
        message: skipped.reason.to_string(),
        code: None,
    };
    skipped.iter().filter(|skipped| !skipped.reason.is_expected()).filter(concerns).map(problem).collect()
}

/// The bot's branches on the remote, and what stands on them beyond `base`.
pub(in crate::daemon) fn heads(
    mirror: &Mirror,
    refs: &BTreeMap<String, CommitId>,
    base: &CommitId,
    bot: &Identity,
) -> Result<BTreeMap<String, Head>, GitError> {
    let prefix = format!("refs/heads/{BRANCH_PREFIX}");
    let mut heads = BTreeMap::new();
    for name in refs.range(prefix.clone()..).map(|(name, _)| name).take_while(|name| name.starts_with(&prefix)) {
        // Between the listing and the fetch it may have moved, or gone.
        let Some(tip) = mirror.tip(name)? else { continue };
        let short = name.trim_start_matches("refs/heads/").to_owned();
        drop(heads.insert(short, head(mirror, &tip, base, bot)?));
    }
    Ok(heads)
}

/// When the tips of the bot's branches were made, by short name. One that cannot be read has no time.
pub(in crate::daemon) fn head_times(mirror: &Mirror, refs: &BTreeMap<String, CommitId>) -> HashMap<String, Timestamp> {
    let prefix = format!("refs/heads/{BRANCH_PREFIX}");
    let heads = refs.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
    let time = |tip: &CommitId| Some(mirror.log(tip, None, 1).ok()?.first()?.time);
    heads.filter_map(|(name, tip)| Some((name.trim_start_matches("refs/heads/").to_owned(), time(tip)?))).collect()
}

/// What one branch of the bot holds. The bot makes such a branch of one commit on what was the base then; so the tip alone
/// tells whose the branch is, whatever became of the base since.
fn head(mirror: &Mirror, tip: &CommitId, base: &CommitId, bot: &Identity) -> Result<Head, GitError> {
    let mut head =
        Head { tip: tip.clone(), updates: Vec::new(), carries: Vec::new(), made: None, foreign: None, stale: false };
    if mirror.is_ancestor(tip, base)? {
        return Ok(head);
    }
    let Some(commit) = mirror.log(tip, None, 1)?.into_iter().next() else { return Ok(head) };
    head.made = Some(commit.time);
    head.carries = carried(&commit.message);
    head.updates = update_ids(&commit.message);
    head.updates.sort();
    head.updates.dedup();
    // Whoever amends or rebases the bot's commit stays its author in name, but not its committer.
    let people = [&commit.author, &commit.committer];
    let other = people.into_iter().find(|person| person.email != bot.email);
    if other.is_some() || head.updates.is_empty() {
        let person = other.unwrap_or(&commit.author);
        head.foreign = Some(format!("{} <{}>", person.name, person.email));
    }
    if let Some(start) = commit.parents.first() {
        head.stale = outdated(mirror, start, tip, base)?;
    }
    Ok(head)
}

/// Whether a file that the branch changes is another one on the base by now.
pub(in crate::daemon) fn outdated(
    mirror: &Mirror,
    start: &CommitId,
    tip: &CommitId,
    base: &CommitId,
) -> Result<bool, GitError> {
    if start == base {
        return Ok(false);
    }
    for change in mirror.changes(Some(start), tip)? {
        let TreePath::Usable(path) = change.path else { return Ok(true) };
        if mirror.entry(start, &path)? != mirror.entry(base, &path)? {
            return Ok(true);
        }
    }
    Ok(false)
}
