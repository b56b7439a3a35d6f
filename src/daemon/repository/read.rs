//! From Git objects to the input of the pure core.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::proof;
use super::turns::Turns;
use crate::config::DecisionKind;
use crate::daemon::execute::{Refs, Remote as _};
use crate::git::{
    Ancestry, Blob, BlobId, GitError, History, MAX_BLOB, Mirror, TreeBudget, TreeChange, TreeEntry, TreePath,
};
use crate::model::{CommitId, Identity, KeyPaths, RepoPath, SkipReason, Skipped};
use crate::overlay::{FileChange, IGNORE_FILE, is_read};
use crate::plan::{BRANCH_PREFIXES, Head, Problem, RecordLimit, carried, update_ids};
use crate::policy::{PolicySet, Write};

/// Maximum number of files read at once; this limits memory, not speed.
const BATCH: usize = 512;
/// Maximum size of one batch in bytes; a single file may be larger.
const BATCH_BYTES: u64 = 4 << 20;
/// From this size on, a file counts as large.
const LARGE: u64 = 1 << 20;
/// Maximum total size of large files in one reading: generated or hostile files must not starve the rest.
const LARGE_BYTES: u64 = 64 << 20;
/// Maximum total size of all files in one reading.
const ALL_BYTES: u64 = 512 << 20;

/// The limits of a small read: entries of trees, and bytes read at once.
const SMALL: TreeBudget = TreeBudget { entries: 20_000, bytes: 4 << 20 };
const SMALL_BATCH: u64 = 1 << 20;

/// Who lists a large tree does so alone until everything in it is read, so that lists do not add up.
static LARGE_LIST: Mutex<()> = Mutex::new(());

/// Large batches of all repositories are read and scanned one at a time, so that their memory does not add up; in turns,
/// so that nobody waits for more than one of each other repository. Small ones do not wait.
static LARGE_READING: Turns = Turns::new();

/// Whether there is room for more of what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MoreRoom {
    /// There is.
    Left,
    /// Files for their pins need not be read.
    Spent,
}

/// What changed between two tips, besides the files that may hold pins.
#[derive(Default)]
pub(in crate::daemon) struct Changed {
    /// Files in the policy folder: path, and current content.
    pub(in crate::daemon) policies: Vec<(String, Option<PolicyFile>)>,
    /// Freezes and holds, in the same way.
    pub(in crate::daemon) decisions: Vec<(String, Option<PolicyFile>)>,
}

/// Where the bot's rules are in the repository.
#[derive(Debug, Clone, Copy)]
pub(in crate::daemon) struct Folders<'a> {
    /// Policies; `None`: they are elsewhere, or on another branch.
    pub(in crate::daemon) policies: Option<&'a str>,
    /// Freezes and holds, each in its own folder below this one.
    pub(in crate::daemon) decisions: &'a str,
    /// What the policies declare of files.
    pub(in crate::daemon) declared: &'a KeyPaths,
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
        is_read(self.declared, path).then_some(Use::Pins)
    }
}

/// The content of a policy file or a decision, or why it cannot be read.
pub(in crate::daemon) type PolicyFile = Result<Vec<u8>, String>;

/// Reads what changed from `from` (`None`: everything) to `to`. Files that may hold pins, and paths to report, are
/// passed to `take` a few megabytes at a time; it says whether there is room for more.
pub(super) fn changes(
    mirror: &Mirror,
    from: Option<&CommitId>,
    to: &CommitId,
    folders: Folders<'_>,
    mut take: impl FnMut(Vec<FileChange>) -> MoreRoom,
) -> Result<Changed, GitError> {
    let mut changed = Changed::default();
    let (mut files, mut wanted) = (Vec::new(), Vec::new());
    let (found, _alone) = listed(mirror, (from, to), folders)?;
    let ignore_moved = found.iter().any(|change| change.path.is_within(IGNORE_FILE));
    for change in found {
        sort(change, folders, (&mut changed, &mut files), &mut wanted);
    }
    if ignore_moved {
        files.extend(ignore_place(mirror, to)?);
    }
    let ids: Vec<BlobId> = wanted.iter().map(|(_, id)| *id).collect();
    let sizes = mirror.sizes_present(&ids)?;
    let mut budget = ReadBudget::default();
    let mut room = take(std::mem::take(&mut files));
    let mut batch: Vec<(RepoPath, BlobId)> = Vec::new();
    let mut bytes = 0;
    for ((path, id), size) in wanted.into_iter().zip(sizes) {
        // Policies and decisions have limits of their own, and must not go unread because of the size of other files.
        if folders.is_for(&path) == Some(Use::Pins) && path.as_str() != IGNORE_FILE {
            if room == MoreRoom::Spent {
                files.push(FileChange::Unread { path: path.to_string() });
                continue;
            }
            if let Err(reason) = budget.spend(size) {
                files.push(FileChange::Special { path: path.to_string(), reason });
                continue;
            }
        }
        if batch.len() >= BATCH || (bytes + size > BATCH_BYTES && !batch.is_empty()) {
            let _turn = (bytes > SMALL_BATCH).then(|| LARGE_READING.wait());
            read_batch(mirror, folders, &std::mem::take(&mut batch), (&mut changed, &mut files))?;
            room = take(std::mem::take(&mut files));
            bytes = 0;
        }
        bytes += size.min(MAX_BLOB);
        batch.push((path, id));
    }
    let _turn = (bytes > SMALL_BATCH).then(|| LARGE_READING.wait());
    read_batch(mirror, folders, &batch, (&mut changed, &mut files))?;
    take(files);
    Ok(changed)
}

/// What changed, with everything that is read of it in the mirror; and the lock of who holds a large list.
type Listed = (Vec<TreeChange>, Option<MutexGuard<'static, ()>>);

/// Lists what changed. What an earlier fetch left out is fetched before anybody waits: how long that takes, the remote decides, and
/// nothing below [`LARGE_LIST`] or [`LARGE_READING`] may depend on it.
fn listed(
    mirror: &Mirror,
    (from, to): (Option<&CommitId>, &CommitId),
    folders: Folders<'_>,
) -> Result<Listed, GitError> {
    let left_out = |found: &[TreeChange]| {
        let wanted = found.iter().filter_map(|change| match (&change.path, change.now) {
            (TreePath::Usable(path), Some(TreeEntry::File { id, .. })) => folders.is_for(path).map(|_| id),
            _ => None,
        });
        mirror.left_out(wanted)
    };
    match mirror.changes_within(from, to, SMALL) {
        Err(GitError::Refused { .. }) => {}
        found => {
            let found = found?;
            mirror.fetch_left_out(&left_out(&found)?)?;
            return Ok((found, None));
        }
    }
    let large = || {
        let alone = LARGE_LIST.lock().unwrap_or_else(PoisonError::into_inner);
        let _turn = LARGE_READING.wait();
        mirror.changes(from, to).map(|found| (found, alone))
    };
    let (found, alone) = large()?;
    let missing = left_out(&found)?;
    if missing.is_empty() {
        return Ok((found, Some(alone)));
    }
    drop((found, alone));
    mirror.fetch_left_out(&missing)?;
    // Listed anew: of large lists, there is one at a time.
    large().map(|(found, alone)| (found, Some(alone)))
}

/// What may still be read in one reading.
struct ReadBudget {
    large: u64,
    all: u64,
}

impl Default for ReadBudget {
    fn default() -> Self {
        Self { large: LARGE_BYTES, all: ALL_BYTES }
    }
}

impl ReadBudget {
    /// Deducts a file's size; returns the reason if not enough is left.
    fn spend(&mut self, size: u64) -> Result<(), SkipReason> {
        if size > MAX_BLOB {
            return Ok(());
        }
        let large = if size >= LARGE { size } else { 0 };
        let spent =
            |bytes: u64| SkipReason::BudgetSpent { megabytes: usize::try_from(bytes >> 20).unwrap_or_default() };
        let large = self.large.checked_sub(large).ok_or_else(|| spent(LARGE_BYTES))?;
        self.all = self.all.checked_sub(size).ok_or_else(|| spent(ALL_BYTES))?;
        self.large = large;
        Ok(())
    }
}

fn read_batch(
    mirror: &Mirror,
    folders: Folders<'_>,
    batch: &[(RepoPath, BlobId)],
    (changed, files): (&mut Changed, &mut Vec<FileChange>),
) -> Result<(), GitError> {
    let ids: Vec<_> = batch.iter().map(|(_, id)| *id).collect();
    for ((path, _), blob) in batch.iter().zip(mirror.read_present(&ids)?) {
        let content = match blob {
            Blob::Body(bytes) => Ok(bytes),
            Blob::TooLarge(size) => Err(too_large(size)),
        };
        match (folders.is_for(path), content) {
            (Some(Use::Policy), content) => changed.policies.push((path.to_string(), Some(said(content)))),
            (Some(Use::Decision), content) => changed.decisions.push((path.to_string(), Some(said(content)))),
            (_, Ok(bytes)) => files.push(FileChange::File { path: path.clone(), bytes }),
            (_, Err(reason)) => files.push(FileChange::Special { path: path.to_string(), reason }),
        }
    }
    Ok(())
}

fn sort(
    change: TreeChange,
    folders: Folders<'_>,
    (changed, files): (&mut Changed, &mut Vec<FileChange>),
    wanted: &mut Vec<(RepoPath, BlobId)>,
) {
    let path = match change.path {
        TreePath::Usable(path) => path,
        TreePath::Odd { shown, reason } => {
            // A folder is known by its last slash; what was there before may have been the other.
            let folder = format!("{shown}/");
            let reason = SkipReason::BadName { reason: reason.to_owned() };
            if decision_kind_of(&shown, folders.decisions).is_some() {
                let there = matches!(change.now, Some(TreeEntry::File { .. } | TreeEntry::Symlink));
                changed.decisions.push((shown.clone(), there.then(|| Err(reason.to_string()))));
            }
            let (now, gone) = match change.now {
                Some(TreeEntry::Folder) => (Some(folder), vec![shown]),
                Some(_) => (Some(shown), vec![folder]),
                None => (None, vec![shown, folder]),
            };
            files.extend(gone.into_iter().map(|path| FileChange::Gone { path }));
            files.extend(now.map(|path| FileChange::Special { path, reason }));
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
        // A file or folder without a meaning here; it may have replaced something with one.
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
    files.push(match reason {
        Some(reason) => FileChange::Special { path: shown, reason },
        None => FileChange::Gone { path: shown },
    });
}

/// What is in place of the ignore file, if no change of it says so: what is below a folder comes and goes on its own. A folder
/// holds no patterns, so nothing of what should be left alone is known.
fn ignore_place(mirror: &Mirror, tip: &CommitId) -> Result<Option<FileChange>, GitError> {
    let Ok(place) = RepoPath::parse(IGNORE_FILE) else { return Ok(None) };
    let path = place.to_string();
    Ok(match mirror.entry(tip, &place)? {
        None => Some(FileChange::Gone { path }),
        Some(TreeEntry::Folder) => {
            let reason = format!("{IGNORE_FILE} is a folder; next: make it a file");
            Some(FileChange::Special { path, reason: SkipReason::IgnoreUnusable { reason } })
        }
        Some(TreeEntry::File { .. } | TreeEntry::Symlink | TreeEntry::Submodule) => None,
    })
}

fn too_large(bytes: u64) -> SkipReason {
    SkipReason::TooLargeBlob { bytes }
}

/// For files that are read separately, the reason is only displayed.
fn said(content: Result<Vec<u8>, SkipReason>) -> PolicyFile {
    content.map_err(|reason| reason.to_string())
}

/// Whether a path is a policy file: a YAML file directly in the folder (CONFIG.md, `policies`).
fn is_policy(path: &RepoPath, folder: Option<&str>) -> bool {
    let Some(folder) = folder else { return false };
    path.parent() == folder.trim_end_matches('/')
        && std::path::Path::new(path.file_name()).extension().is_some_and(|end| end == "yaml" || end == "yml")
}

/// The kind of decision at a path: a YAML or JSON file, or one without an extension, in one of their folders or below, or such a folder
/// itself, in place of which there may be a link. Whatever looks like somebody's decision must not be passed over because of how it
/// is written: `Freezes/` and `freeze/` are meant, too.
fn decision_kind(path: &RepoPath, folder: &str) -> Option<DecisionKind> {
    decision_kind_of(path.as_str(), folder)
}

/// The same of a path as it is shown, which may be no path that can be used.
pub(in crate::daemon) fn decision_kind_of(path: &str, folder: &str) -> Option<DecisionKind> {
    let below = path.strip_prefix(folder.trim_end_matches('/'))?.strip_prefix('/')?;
    let (kind, file) = below.split_once('/').map_or((below, None), |(kind, file)| (kind, Some(file)));
    let is_read = file.is_none_or(|file| {
        let name = file.rsplit('/').next().unwrap_or(file);
        let end = std::path::Path::new(name).extension();
        // `.gitkeep` has no extension either.
        end.map_or(!name.starts_with('.'), |end| ["yaml", "yml", "json"].iter().any(|it| end.eq_ignore_ascii_case(it)))
    });
    let kind = kind.to_ascii_lowercase();
    let is_meant = |it: &DecisionKind| it.folder() == kind || it.folder().strip_suffix('s') == Some(&kind);
    DecisionKind::ALL.into_iter().find(|it| is_read && is_meant(it))
}

/// Files that were skipped where a policy would write: they may hide an update, so every plan reports them.
pub(in crate::daemon) fn problems(skipped: &[Skipped], policies: &PolicySet) -> Vec<Problem> {
    let concerns = |skipped: &&Skipped| {
        // What these hide is elsewhere.
        if matches!(
            skipped.reason,
            SkipReason::IgnoreUnusable { .. } | SkipReason::NoRoom { .. } | SkipReason::ValuesNotNamed { .. }
        ) {
            return true;
        }
        // A folder that is not entered may hold anything.
        if let Some(folder) = skipped.path.strip_suffix('/') {
            return policies.may_write_below(folder);
        }
        let path = RepoPath::parse(&skipped.path);
        path.is_ok_and(|path| policies.effective_for(&path, None).write != Write::Never)
    };
    let problem = |skipped: &Skipped| Problem {
        path: Some(skipped.path.clone()),
        image: None,
        line: skipped.line,
        message: skipped.reason.to_string(),
        code: None,
    };
    skipped.iter().filter(|skipped| !skipped.reason.is_expected()).filter(concerns).map(problem).collect()
}

/// Maximum number of updates that the branches of a repository carry together, as far as they are kept.
const CARRIED: usize = 20_000;

/// What is known about tips of the bot's branches.
#[derive(Debug, Default)]
pub(in crate::daemon) struct KnownHeads {
    /// The tip of the base that `heads` is about.
    base: Option<CommitId>,
    heads: HashMap<CommitId, Head>,
    /// What does not depend on the base.
    proven: HashMap<CommitId, Proven>,
}

/// One of the bot's branches without its base.
#[derive(Debug, Clone)]
struct Proven {
    head: Head,
    /// Which commits must belong to the base, the one that the tip is based on first; `None`: it is somebody else's.
    starts: Option<Vec<CommitId>>,
}

/// The bot's branches on the remote, and their content beyond `base`.
pub(in crate::daemon) fn heads(
    mirror: &Mirror,
    (history, known): (&mut History, &mut KnownHeads),
    refs: &Refs,
    (base, former, bot): (&CommitId, &[CommitId], [&Identity; 2]),
) -> Result<BTreeMap<String, Head>, GitError> {
    let mut before = std::mem::take(&mut known.heads);
    let mut proven = std::mem::take(&mut known.proven);
    if known.base.as_ref() != Some(base) {
        before.clear();
        known.base = Some(base.clone());
    }
    let mut heads = BTreeMap::new();
    let mut carried = 0;
    for (short, _) in own_branches(refs) {
        // Between the listing and the fetch, it may have moved or been deleted.
        let Some(tip) = mirror.tip(&format!("refs/heads/{short}"))? else { continue };
        // With hundreds of abandoned branches, each is looked up in the base's own history, which is read once.
        if heads.is_empty() {
            history.follow(mirror, base)?;
        }
        let mut head = match before.remove(&tip).or_else(|| known.heads.get(&tip).cloned()) {
            Some(head) => head,
            None => {
                let was = proven.remove(&tip);
                match found((mirror, &mut *history), &tip, (base, former), (bot, was, &mut *known)) {
                    // More than anybody may make the bot read, so the bot did not write it.
                    Err(GitError::Refused { reason, .. }) => {
                        Head { foreign: Some(format!("somebody else ({reason})")), ..Head::merged(&tip) }
                    }
                    head => head?,
                }
            }
        };
        if let Some(proven) = proven.remove(&tip) {
            known.proven.insert(tip.clone(), proven);
        }
        carried += head.carries.len();
        if carried > CARRIED {
            carried -= head.carries.len();
            let foreign = Some(format!("somebody else (the branches record more than {CARRIED} updates together)"));
            head = Head { foreign, ..Head::merged(&tip) };
        }
        drop(known.heads.insert(tip, head.clone()));
        drop(heads.insert(short.to_owned(), head));
    }
    Ok(heads)
}

/// One of the bot's branches, which the base may contain.
fn found(
    (mirror, history): (&Mirror, &mut History),
    tip: &CommitId,
    (base, former): (&CommitId, &[CommitId]),
    (bot, was, known): ([&Identity; 2], Option<Proven>, &mut KnownHeads),
) -> Result<Head, GitError> {
    if history.contains(mirror, base, tip)? == Ancestry::Contains {
        return Ok(Head::merged(tip));
    }
    let proven = was.map_or_else(|| prove(mirror, tip, bot), Ok)?;
    let head = beside((mirror, history), &proven, (base, former))?;
    known.proven.insert(tip.clone(), proven);
    Ok(head)
}

/// When the tips of the bot's branches were made, by short name. An unreadable one has no time.
pub(in crate::daemon) fn head_times(mirror: &Mirror, refs: &Refs) -> HashMap<String, Timestamp> {
    let time = |tip: &CommitId| Some(mirror.log(tip, None, 1).ok()?.first()?.time);
    own_branches(refs).filter_map(|(name, tip)| Some((name.to_owned(), time(tip)?))).collect()
}

/// The branches with the bot's names, by short name.
fn own_branches(refs: &Refs) -> impl Iterator<Item = (&str, &CommitId)> {
    let with = |prefix: &&str| {
        let prefix = format!("refs/heads/{prefix}");
        refs.range(prefix.clone()..).take_while(move |(name, _)| name.starts_with(&prefix))
    };
    let all = BRANCH_PREFIXES.iter().flat_map(with);
    all.filter_map(|(name, tip)| Some((name.strip_prefix("refs/heads/")?, tip)))
}

/// The content of one of the bot's branches, whatever its base. The bot creates such a branch as one commit on the base of
/// that time, and the base may have been merged into it since; any other commit on it, or below, is somebody else's,
/// whoever it claims as its author. Of somebody else's, nothing that its message says is kept.
fn prove(mirror: &Mirror, tip: &CommitId, bot: [&Identity; 2]) -> Result<Proven, GitError> {
    let mut head = Head::merged(tip);
    let Some(top) = mirror.log(tip, None, 1)?.into_iter().next() else { return Ok(Proven { head, starts: None }) };
    (head.made, head.since) = (Some(top.time), Some(top.time));
    let own = proof::own(mirror, tip)?;
    let commit = own.as_ref().map_or(&top, |own| &own.commit);
    let within = RecordLimit::PULL_REQUEST.allows(&commit.message);
    let mut updates = if within { update_ids(&commit.message) } else { Vec::new() };
    updates.sort();
    updates.dedup();
    // Whoever amends or rebases the bot's commit leaves the bot as its author, but not as its committer.
    let people = [&commit.author, &commit.committer];
    let other = people.into_iter().zip(bot).find(|(person, bot)| person.email != bot.email).map(|(person, _)| person);
    if other.is_some() || (within && updates.is_empty()) {
        let person = other.unwrap_or(&commit.author);
        head.foreign = Some(format!("{} <{}>", person.name, person.email));
    }
    let own = match own {
        Ok(own) => own,
        Err(reason) => {
            let author = &top.author;
            head.foreign.get_or_insert_with(|| format!("somebody else in the name of {} ({reason})", author.name));
            return Ok(Proven { head, starts: None });
        }
    };
    if head.foreign.is_none() {
        head.carries = carried(&own.commit.message);
        head.updates = updates;
    }
    head.same = own.same();
    Ok(Proven { head, starts: Some(own.starts().cloned().collect()) })
}

/// The same branch, beside this base. `former` are tips that the base had and lost.
fn beside(
    (mirror, history): (&Mirror, &mut History),
    proven: &Proven,
    (base, former): (&CommitId, &[CommitId]),
) -> Result<Head, GitError> {
    let mut head = proven.head.clone();
    let Some(starts) = &proven.starts else { return Ok(head) };
    for start in starts {
        if !on_base((mirror, &mut *history), start, base, former)? {
            let foreign = head.foreign.unwrap_or_else(|| format!("somebody else below the bot's ({})", start.short()));
            let (made, since) = (head.made, head.since);
            return Ok(Head { foreign: Some(foreign), made, since, ..Head::merged(&head.tip) });
        }
    }
    if let Some(start) = starts.first() {
        head.behind = start != base;
        head.stale = mirror.is_outdated(start, &head.tip, base)?;
    }
    Ok(head)
}

/// Whether the base has, or had, this commit.
fn on_base(
    (mirror, history): (&Mirror, &mut History),
    start: &CommitId,
    base: &CommitId,
    former: &[CommitId],
) -> Result<bool, GitError> {
    // The base's own line was read once for all branches.
    if history.contains(mirror, base, start)? == Ancestry::Contains {
        return Ok(true);
    }
    // A former tip that the mirror has dropped says nothing.
    Ok(former.iter().any(|tip| mirror.is_ancestor(start, tip).unwrap_or(false)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::extract::Request;
    use axum::middleware::{self, Next};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::demo::git_http::{GitServer, RequestLog, router};
    use crate::git::{GitCredentials, RemoteSettings, RemoteUrl, Stamp, create_bare};
    use crate::model::BranchName;

    /// A repository with a large tree, and a file of it that is left out of fetches.
    fn remote(folder: &std::path::Path) -> CommitId {
        let bot = || Identity { name: "Ada".to_owned(), email: "ada@example.com".to_owned() };
        let stamp = Stamp { author: bot(), committer: bot(), time: Timestamp::from_second(1_790_000_000).unwrap() };
        let other = |n: usize| (RepoPath::parse(&format!("f/{}/{n}.txt", n % 100)).unwrap(), b"x".to_vec());
        let mut files: Vec<(RepoPath, Vec<u8>)> = (0..=SMALL.entries).map(other).collect();
        files.push((RepoPath::parse("apps/web/large.yaml").unwrap(), format!("a: {}\n", "x".repeat(300_000)).into()));
        let bare = folder.join("r.git");
        let tip = create_bare(&bare, &BranchName::parse("main").unwrap(), &files, &stamp).unwrap().unwrap();
        let config = std::fs::read_to_string(bare.join("config")).unwrap();
        std::fs::write(bare.join("config"), config + "\n[uploadpack]\n\tallowFilter = true\n").unwrap();
        tip
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_waits_for_a_remote_that_does_not_send_large_files() {
        let folder = tempfile::tempdir().unwrap();
        let tip = remote(folder.path());
        // Who asks says so, and waits until it is let in.
        let (asked, open) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(1_000)));
        let (asks, door) = (Arc::clone(&asked), Arc::clone(&open));
        let layer = middleware::from_fn(move |request: Request, next: Next| {
            let (asks, door) = (Arc::clone(&asks), Arc::clone(&door));
            async move {
                asks.add_permits(1);
                drop(door.acquire().await);
                next.run(request).await
            }
        });
        let log = RequestLog::default();
        let server = GitServer::serve(router(folder.path(), None, log.clone()).layer(layer), log).await.unwrap();
        let remote = RemoteSettings {
            url: RemoteUrl::parse(&server.url("r.git")).unwrap(),
            credentials: GitCredentials::None,
            ca_file: None,
            client_certificate: None,
            timeout: Duration::from_secs(60),
        };
        let mirror = Mirror::open(&folder.path().join("mirror"), remote).await.unwrap();
        mirror.fetch(&["refs/heads/main".to_owned()]).await.unwrap();
        let all = open.acquire_many(1_000).await.unwrap();
        asked.forget_permits(usize::MAX);
        let reading = tokio::task::spawn_blocking(move || {
            let declared = KeyPaths::default();
            let folders = Folders { policies: None, decisions: ".landfall", declared: &declared };
            let mut read = Vec::new();
            let changed = changes(&mirror, None, &tip, folders, |files| {
                read.extend(files.into_iter().filter_map(|file| match file {
                    FileChange::File { path, bytes } => Some((path.to_string(), bytes.len())),
                    _ => None,
                }));
                MoreRoom::Left
            });
            changed.map(|_| read)
        });
        asked.acquire().await.unwrap().forget();
        let others = tokio::task::spawn_blocking(|| {
            drop(LARGE_LIST.lock());
            drop(LARGE_READING.wait());
        });
        // Other tests may have them for a moment; this one, while the remote is silent, must not.
        let free = tokio::time::timeout(Duration::from_secs(30), others).await.is_ok();
        drop(all);
        assert_eq!(reading.await.unwrap().unwrap(), [("apps/web/large.yaml".to_owned(), 300_004)]);
        assert!(free, "others wait for the remote");
    }
}
