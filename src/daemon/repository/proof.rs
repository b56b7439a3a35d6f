//! Whether a branch is what the bot writes: one commit on the base that changes only pins, and above it at most merges
//! of the base that add nothing of their own, as a forge's "Update branch" makes them.
//!
//! Promise: only this proof makes a branch the bot's own or lets it be merged. Names, e-mail addresses, messages and
//! times are whatever a commit's writer claims; trees and parents are not.

use std::collections::{HashMap, HashSet};

use super::examined::Examined;
use crate::daemon::execute::Remote;
use crate::git::{GitError, LogEntry, TreeBudget, TreeEntry, TreePath};
use crate::model::{CommitId, Digest, Pin, PinKind, RepoPath, Tag, Version};
use crate::overlay::{PinEdit, chart_of_lock, edit, every_pin, lock_time, relock};
use crate::plan::{CarriedUpdate, RecordLimit, carried, trailer};

/// How often the base may have been merged into a branch.
const MERGES: usize = 50;

/// Why a branch is not the bot's, for people: what somebody else has done.
pub(in crate::daemon) type Foreign = String;

/// A branch that holds what its commit says, and nothing else.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct OwnBranch {
    /// The commit that changed the pins; its author is not checked here.
    pub(in crate::daemon) commit: LogEntry,
    /// Merges of the base into the branch, the newest first.
    merges: Vec<(CommitId, CommitId)>,
    /// What the commit was made on.
    parent: CommitId,
}

impl OwnBranch {
    /// The commit of the base that the tip is based on.
    pub(in crate::daemon) fn start(&self) -> &CommitId {
        self.merges.first().map_or(&self.parent, |(_, start)| start)
    }

    /// Every commit that must belong to the base.
    pub(in crate::daemon) fn starts(&self) -> impl Iterator<Item = &CommitId> {
        self.merges.iter().map(|(_, start)| start).chain(std::iter::once(&self.parent))
    }

    /// The commits with the same change as the tip, the tip first: whoever reviewed one of them reviewed all.
    pub(in crate::daemon) fn same(&self) -> Vec<CommitId> {
        let merges = self.merges.iter().map(|(merge, _)| merge);
        merges.chain(std::iter::once(&self.commit.id)).cloned().collect()
    }
}

/// Examines a branch from its tip down to its claimed base; the caller checks that the base contains it. Each tree must
/// be the one that it is based on, with exactly the pins changed that the commit's trailers name, each to the version
/// that they name; and each merge must bring a later state of the base.
///
/// # Errors
/// If an object cannot be read.
pub(in crate::daemon) fn own<R: Remote>(remote: &R, tip: &CommitId) -> Result<Result<OwnBranch, Foreign>, GitError> {
    let mut merges: Vec<(CommitId, CommitId)> = Vec::new();
    let mut at = tip.clone();
    let (commit, parent) = loop {
        let Some(entry) = remote.log(&at, None, 1)?.into_iter().next() else {
            return Ok(Err("it has no commit".to_owned()));
        };
        match entry.parents.as_slice() {
            [parent] => break (entry.clone(), parent.clone()),
            [below, start] if merges.len() < MERGES => {
                merges.push((at, start.clone()));
                at = below.clone();
            }
            parents => return Ok(Err(format!("it has {} parents", parents.len()))),
        }
    };
    if !RecordLimit::PULL_REQUEST.allows(&commit.message) {
        return Ok(Err("its message records more than the bot ever does".to_owned()));
    }
    let carries = Carries::of(&carried(&commit.message));
    let trees = merges.iter().map(|(merge, start)| (start, merge)).chain(std::iter::once((&parent, &commit.id)));
    for (start, commit) in trees {
        if let Err(reason) = only_moves(remote, (start, commit), &carries)? {
            return Ok(Err(reason));
        }
    }
    let own = OwnBranch { commit, merges, parent };
    Ok(only_goes_on(remote, &own)?.map(|()| own))
}

/// Whether each merge brought a base that contains what the branch already had of it. A merge of an older base with that
/// base's tree looks as clean, and reverts what the base got in between.
fn only_goes_on<R: Remote>(remote: &R, own: &OwnBranch) -> Result<Result<(), Foreign>, GitError> {
    for (newer, older) in own.starts().zip(own.starts().skip(1)) {
        if newer != older && !remote.is_ancestor(older, newer)? {
            let reason = format!("it merges {}, which lacks {} below it", newer.short(), older.short());
            return Ok(Err(reason));
        }
    }
    Ok(Ok(()))
}

/// Whether a commit's tree is another one's with pins moved as these updates say.
fn only_moves<R: Remote>(
    remote: &R,
    (start, commit): (&CommitId, &CommitId),
    carries: &Carries,
) -> Result<Result<(), Foreign>, GitError> {
    let changes = match remote.changes_within(Some(start), commit, TreeBudget::COMMIT) {
        Ok(changes) => changes,
        // More than anybody may make the bot read, so the bot did not write it.
        Err(GitError::Refused { reason, .. }) => return Ok(Err(reason)),
        Err(error) => return Err(error),
    };
    for change in changes {
        let TreePath::Usable(path) = change.path else {
            return Ok(Err("it has a path that cannot be used".to_owned()));
        };
        let recorded = match chart_of_lock(&path) {
            Some(chart) => lock_as_recorded(remote, (start, commit), (&chart, &path))?,
            None => file_as_recorded(remote, (start, commit), &path, carries)?,
        };
        if let Err(reason) = recorded {
            return Ok(Err(reason));
        }
    }
    Ok(Ok(()))
}

fn file_as_recorded<R: Remote>(
    remote: &R,
    (before, after): (&CommitId, &CommitId),
    path: &RepoPath,
    carries: &Carries,
) -> Result<Result<(), Foreign>, GitError> {
    let other = || Ok(Err(format!("{path} has changes that the bot did not write")));
    let (was, is) = (is_program(remote, before, path)?, is_program(remote, after, path)?);
    if was.is_none() || was != is {
        return other();
    }
    let read = |commit: &CommitId| match remote.content(commit, path) {
        Err(GitError::Refused { .. }) => Ok(None),
        read => read,
    };
    let (Some(old), Some(new)) = (read(before)?, read(after)?) else { return other() };
    // Reading may mean asking the remote: it comes before anything is held that others wait for.
    let beside = [remote.beside(before, path)?, remote.beside(after, path)?];
    let mut examined = Examined::nothing();
    examined.begin(old.len() + new.len() + beside.iter().flatten().map(|(_, bytes)| bytes.len()).sum::<usize>());
    let declared = remote.declared();
    let there = every_pin(&declared, path, &old, &beside[0]);
    let here = every_pin(&declared, path, &new, &beside[1]);
    if examined.hold(&there).and_then(|()| examined.hold(&here)).is_err() {
        return Ok(Err(format!("{path} has more images than the bot reads of a repository")));
    }
    let mut now: HashMap<(PinKind, &str), &Version> = HashMap::new();
    for pin in &here {
        now.entry((pin.kind, &pin.key)).or_insert(&pin.version);
    }
    let mut edited: HashSet<(PinKind, &str)> = HashSet::new();
    let mut edits: Vec<PinEdit<'_>> = Vec::new();
    let mut changed: HashSet<(PinKind, &str)> = HashSet::new();
    for pin in &there {
        let place = (pin.kind, pin.key.as_str());
        if now.get(&place).is_some_and(|now| **now == pin.version) {
            continue;
        }
        changed.insert(place);
        // Where a file alone does not say which of several names a place has, it is the one that was recorded.
        if let Some(to) = carries.version(pin)
            && edited.insert(place)
        {
            edits.push(PinEdit { pin, to, rename: None });
        }
    }
    if changed.len() != edited.len() {
        return other();
    }
    match edit(path, &old, &edits) {
        Ok(rebuilt) if rebuilt == new => Ok(Ok(())),
        Ok(_) | Err(_) => other(),
    }
}

/// Whether a chart's lock is what the changes of its dependencies make of it; those are examined by themselves. Only its time is what the
/// commit says.
fn lock_as_recorded<R: Remote>(
    remote: &R,
    (before, after): (&CommitId, &CommitId),
    (chart, lock): (&RepoPath, &RepoPath),
) -> Result<Result<(), Foreign>, GitError> {
    let other = || Ok(Err(format!("{lock} has changes that the bot did not write")));
    if is_program(remote, before, lock)?.is_none()
        || is_program(remote, before, lock)? != is_program(remote, after, lock)?
    {
        return other();
    }
    let mut texts = Vec::new();
    for (commit, path) in [(before, chart), (after, chart), (before, lock), (after, lock)] {
        match remote.content(commit, path) {
            Ok(Some(text)) => texts.push(text),
            Ok(None) | Err(GitError::Refused { .. }) => return other(),
            Err(error) => return Err(error),
        }
    }
    let mut examined = Examined::nothing();
    examined.begin(texts.iter().map(Vec::len).sum());
    let [chart_before, chart_after, lock_before, lock_after] = texts.as_slice() else { return other() };
    let Some(time) = lock_time(lock_after) else { return other() };
    match relock((chart_before, chart_after), lock_before, &time) {
        Ok(rebuilt) if rebuilt == *lock_after => Ok(Ok(())),
        Ok(_) | Err(_) => other(),
    }
}

/// Whether a file may be run as a program; `None` if there is no such file.
fn is_program<R: Remote>(remote: &R, commit: &CommitId, path: &RepoPath) -> Result<Option<bool>, GitError> {
    Ok(match remote.entries(commit, std::slice::from_ref(path))?.remove(path) {
        Some(TreeEntry::File { executable, .. }) => Some(executable),
        Some(TreeEntry::Symlink | TreeEntry::Submodule | TreeEntry::Folder) | None => None,
    })
}

/// The versions that a commit's trailers name, by image and overlay, so that what many records say of many pins is looked
/// up, not searched.
struct Carries {
    /// With the record's number: where several are about a pin, the first decides.
    to: HashMap<String, HashMap<String, (usize, Version)>>,
}

impl Carries {
    fn of(carries: &[CarriedUpdate]) -> Self {
        let mut to: HashMap<String, HashMap<String, (usize, Version)>> = HashMap::new();
        for (nth, carried) in carries.iter().enumerate() {
            if let Some(version) = version(&carried.to) {
                let places = to.entry(carried.image.clone()).or_default();
                places.entry(carried.overlay.clone()).or_insert((nth, version));
            }
        }
        Self { to }
    }

    /// The version that a pin is said to go to: by a record of its image for a folder above its file, or for the file
    /// without its extension, if it has one.
    fn version(&self, pin: &Pin) -> Option<Version> {
        let places = self.to.get(&pin.name.to_string())?;
        let path = pin.path.as_str();
        let overlays = path.match_indices(['/', '.']).map(|(at, _)| &path[..at]).chain(["", path]);
        let found = overlays.filter_map(|overlay| places.get(overlay)).min_by_key(|(nth, _)| *nth);
        found.map(|(_, version)| version.clone())
    }
}

/// A version as written in trailers.
fn version(text: &str) -> Option<Version> {
    let (tag, digest) = match text.split_once('@') {
        Some((tag, digest)) => (tag, Some(Digest::parse(digest).ok()?)),
        None => (text, None),
    };
    let tag = if tag.is_empty() { None } else { Some(Tag::parse(tag).ok()?) };
    (tag.is_some() || digest.is_some()).then_some(Version { tag, digest })
}

/// Whether two messages record the same for the ledger. Their other content (gates, evidence, sources) changes from
/// cycle to cycle and decides nothing.
pub(in crate::daemon) fn records_the_same(message: &str, expected: &str) -> bool {
    const DECIDING: [&str; 12] = [
        trailer::UPDATE,
        trailer::IMAGE,
        trailer::OVERLAY,
        trailer::FROM,
        trailer::TO,
        trailer::ROLLBACK,
        trailer::RELEASE,
        trailer::DECISION,
        trailer::ENVIRONMENT,
        trailer::OVERRIDE,
        trailer::BY,
        trailer::REASON,
    ];
    // In their order, which says what belongs to which update.
    let lines = |message: &str| {
        let pairs = message.lines().filter_map(|line| line.split_once(':'));
        let pairs = pairs.map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        let deciding = pairs.filter(|(key, _)| DECIDING.iter().any(|deciding| deciding.eq_ignore_ascii_case(key)));
        deciding.collect::<Vec<(String, String)>>()
    };
    lines(message) == lines(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::scan_file;

    #[test]
    fn a_version_is_read_back_as_it_was_written() {
        let digest = Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap();
        let tag = Tag::parse("1.2.0").unwrap();
        for given in [
            Version { tag: Some(tag.clone()), digest: None },
            Version { tag: Some(tag), digest: Some(digest.clone()) },
            Version { tag: None, digest: Some(digest) },
        ] {
            assert_eq!(version(&given.to_string()), Some(given));
        }
        assert_eq!(version("(none)"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn a_message_may_say_more_but_not_record_more() {
        let expected = "x\n\nLandfall-Update: 1\nLandfall-To: 1.2.0\nLandfall-Gates: window\n";
        for (message, same) in [
            ("y\n\nLandfall-Update: 1\nLandfall-To: 1.2.0\n", true),
            ("y\n\nLandfall-Update: 1\nLandfall-To: 1.3.0\n", false),
            ("y\n\nLandfall-Update: 1\nLandfall-To: 1.2.0\nLandfall-Release: 2\n", false),
            ("y\n\nLandfall-Update: 1\nLandfall-To: 1.2.0\nlandfall-release: 2\n", false),
            ("y\n\nLandfall-Update: 1\nLandfall-Update: 1\nLandfall-To: 1.2.0\n", false),
            ("y\n\nLandfall-To: 1.2.0\nLandfall-Update: 1\n", false),
            ("y\n\nLandfall-Update: 1\nLandfall-To: 1.2.0\nLandfall-Environment: prod2\n", false),
            ("y\n\nLandfall-Update: 1\nLandfall-To: 1.2.0\nLandfall-By: the CEO\n", false),
        ] {
            assert_eq!(records_the_same(message, expected), same, "{message:?}");
        }
    }

    #[test]
    fn the_first_record_of_an_image_and_a_place_decides() {
        let text = |overlay: &str, image: &str, to: &str| {
            format!(
                "Landfall-Update: 0123456789abcdef\nLandfall-Overlay: {overlay}\nLandfall-Image: {image}\nLandfall-To: {to}\n"
            )
        };
        let web = "docker.io/library/web";
        let records = [
            ("apps/web/prod", web, "(none)"),
            ("apps/web/prod", web, "2.0.0"),
            ("apps/web", web, "3.0.0"),
            ("", "docker.io/library/api", "4.0.0"),
            ("charts/web/values-prod", web, "5.0.0"),
            ("apps/web/pro", web, "6.0.0"),
            ("tags/prod/web", web, "7.0.0"),
        ];
        let message: String = records.iter().map(|(overlay, image, to)| text(overlay, image, to)).collect();
        let carries = Carries::of(&carried(&message));
        for (path, image, to) in [
            ("apps/web/prod/k.yaml", "web", Some("2.0.0")),
            ("apps/web/prod.yaml", "web", Some("2.0.0")),
            ("apps/web/product/k.yaml", "web", Some("3.0.0")),
            ("x/k.yaml", "api", Some("4.0.0")),
            ("tags/prod/web", "web", Some("7.0.0")),
            ("tags/prod/web2", "web", None),
            ("charts/web/values-prod.yaml", "web", Some("5.0.0")),
            ("x/k.yaml", "web", None),
            ("apps/web/prod/k.yaml", "other", None),
        ] {
            let path = RepoPath::parse(path).unwrap();
            let text = format!("apiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: '{image}:1'}}]}}\n");
            let pin = scan_file(&RepoPath::parse("pod.yaml").unwrap(), text.as_bytes()).pins.remove(0);
            let found = carries.version(&Pin { path: path.clone(), ..pin }).map(|version| version.to_string());
            assert_eq!(found.as_deref(), to, "{path} {image}");
        }
    }
}
