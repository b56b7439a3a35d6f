//! Which commit brought a value to a branch.
//!
//! Rules: on the branch's first-parent line, it is the newest commit before which the place declared something else (or
//! nothing, or was unreadable); so a revert counts as itself, and a commit that sets the same value again does not
//! count. If that commit is a merge, the commit that wrote the value is searched among those that the merge brought.

use std::collections::HashMap;

use gix::ObjectId;
use jiff::Timestamp;

use crate::git::error::GitError;
use crate::git::log::LogEntry;
use crate::git::mirror::Mirror;
use crate::git::read::object_id;
use crate::git::tree::{self, WatchedFiles};
use crate::model::{CommitId, ImageName, Pin, RepoPath, Version};

use super::History;
use super::ahead::{Ahead, Changed};
use super::graph::CommitNumber;
use super::values::{PinKey, ValueAt};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueOrigin {
    /// From this commit.
    Commit(IntroducedBy),
    /// From this commit or an earlier one: nothing older was read.
    Older(CommitInfo),
}

/// The commit that wrote a value, and how it came to the branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntroducedBy {
    /// Who wrote it and when.
    pub wrote: CommitInfo,
    /// The merge that brought it to the branch's first-parent line, if it was not written there.
    pub merge: Option<CommitInfo>,
}

impl IntroducedBy {
    /// When it reached the branch: the merge, else the commit itself.
    #[must_use]
    pub fn arrived(&self) -> &CommitInfo {
        self.merge.as_ref().unwrap_or(&self.wrote)
    }
}

/// A commit, with what people want to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// The commit.
    pub commit: CommitId,
    /// Its author's name.
    pub author: String,
    /// When it was committed, according to its committer.
    pub time: Timestamp,
}

impl From<LogEntry> for CommitInfo {
    fn from(entry: LogEntry) -> Self {
        Self { commit: entry.id, author: entry.author.name, time: entry.time }
    }
}

/// What the last walk found, and for which tip.
#[derive(Debug, Default)]
pub(super) struct OriginRecords {
    pub(super) tip: Option<ObjectId>,
    pub(super) found: HashMap<PinKey, OriginRecord>,
}

impl OriginRecords {
    /// The record of a pin. If its list has grown, its key has changed; then its image in that file counts, if all
    /// records of it agree.
    fn of(&self, pin: &OpenPin) -> Option<&OriginRecord> {
        let same = |record: &&OriginRecord| record.version == pin.version;
        if let Some(record) = self.found.get(&pin.key) {
            return Some(record).filter(same);
        }
        let like = |key: &PinKey| key.path == pin.key.path && key.kind == pin.key.kind && key.name == pin.key.name;
        let mut others = self.found.iter().filter(|(key, _)| like(key)).map(|(_, record)| record).filter(same);
        let first = others.next()?;
        others.all(|other| other.origin == first.origin).then_some(first)
    }
}

#[derive(Debug, Clone)]
pub(super) struct OriginRecord {
    pub(super) version: Version,
    pub(super) origin: ValueOrigin,
}

pub(super) fn introduced(
    history: &mut History,
    mirror: &Mirror,
    pins: &[Pin],
) -> Result<HashMap<PinKey, ValueOrigin>, GitError> {
    let line: Vec<CommitNumber> = history.line.newest_first().take(history.limits.walked.saturating_add(1)).collect();
    let open = pins.iter().map(|pin| OpenPin::new(pin.into(), pin.version.clone()));
    let found = walk(history, mirror, open, &line)?;
    history.records = OriginRecords { tip: line.first().map(|tip| history.graph.id(*tip)), found: found.clone() };
    Ok(found.into_iter().map(|(key, record)| (key, record.origin)).collect())
}

/// For places that the followed tip no longer has: the commit that brought what each of them declared before a commit
/// on the line.
pub(super) fn introduced_before(
    history: &mut History,
    mirror: &Mirror,
    commit: CommitNumber,
    places: Vec<(PinKey, Version)>,
) -> Result<HashMap<PinKey, ValueOrigin>, GitError> {
    let before = history.line.newest_first().skip_while(|node| *node != commit).skip(1);
    let line: Vec<CommitNumber> = before.take(history.limits.walked.saturating_add(1)).collect();
    let open = places.into_iter().map(|(key, version)| OpenPin::new(key, version));
    let found = walk(history, mirror, open, &line)?;
    Ok(found.into_iter().map(|(key, record)| (key, record.origin)).collect())
}

fn walk(
    history: &mut History,
    mirror: &Mirror,
    open: impl Iterator<Item = OpenPin>,
    line: &[CommitNumber],
) -> Result<HashMap<PinKey, OriginRecord>, GitError> {
    let mut walk = Walk::new(mirror, open)?;
    for (step, node) in line.iter().copied().enumerate() {
        if walk.open.is_empty() {
            break;
        }
        if history.records.tip == Some(history.graph.id(node)) {
            walk.remember(&history.records);
        }
        match line.get(step + 1) {
            Some(_) if step < history.limits.walked => walk.step(history, &line[step..])?,
            _ if !history.graph.is_cut(node) && history.graph.parents(node).is_empty() => {
                walk.step(history, &line[step..=step])?;
            }
            _ => {
                let oldest = ValueOrigin::Older(walk.arrival(history, node)?);
                walk.close(&oldest);
            }
        }
    }
    Ok(walk.found)
}

/// A pin whose value is still the same at the current position of the walk.
struct OpenPin {
    key: PinKey,
    name: ImageName,
    version: Version,
}

impl OpenPin {
    fn new(key: PinKey, version: Version) -> Self {
        Self { name: key.name.clone(), key, version }
    }

    fn is(&self, value: &ValueAt) -> bool {
        matches!(value, ValueAt::Declared(name, version) if *name == self.name && *version == self.version)
    }
}

struct Walk<'m> {
    mirror: &'m Mirror,
    repo: gix::Repository,
    watched: WatchedFiles,
    ahead: Ahead,
    open: HashMap<RepoPath, Vec<OpenPin>>,
    found: HashMap<PinKey, OriginRecord>,
}

impl<'m> Walk<'m> {
    fn new(mirror: &'m Mirror, pins: impl Iterator<Item = OpenPin>) -> Result<Self, GitError> {
        let mut open: HashMap<RepoPath, Vec<OpenPin>> = HashMap::new();
        for pin in pins {
            open.entry(pin.key.path.clone()).or_default().push(pin);
        }
        let watched = WatchedFiles::new(open.keys());
        let (repo, ahead) = (mirror.repo()?, Ahead::new(mirror));
        Ok(Self { mirror, repo, watched, ahead, open, found: HashMap::new() })
    }

    /// The last walk began here: the origin found then still applies.
    fn remember(&mut self, records: &OriginRecords) {
        let found = &mut self.found;
        for pins in self.open.values_mut() {
            pins.retain(|pin| match records.of(pin) {
                Some(record) => {
                    found.insert(pin.key.clone(), record.clone());
                    false
                }
                None => true,
            });
        }
        self.open.retain(|_, pins| !pins.is_empty());
    }

    /// Closes those pins whose value differs before the first commit of this line.
    fn step(&mut self, history: &mut History, line: &[CommitNumber]) -> Result<(), GitError> {
        let Some(&node) = line.first() else { return Ok(()) };
        let changes = self.changed(history, line)?;
        // Where the last walk began, most of this one ends.
        let goes_on = |at: &usize| history.records.tip != Some(history.graph.id(line[*at]));
        let later = (1..line.len() - 1).take_while(goes_on).map(|at| self.changed(history, &line[at..]));
        let mut ahead = self.ahead;
        ahead.prepare(self.mirror, &changes, later, |path| self.open.contains_key(path))?;
        self.ahead = ahead;
        for (path, entry) in changes {
            let Some(pins) = self.open.remove(&path) else { continue };
            let mut still = Vec::new();
            for pin in pins {
                let value = history.values.of_entry(self.mirror, entry, &pin.key)?;
                if pin.is(&value) {
                    still.push(pin);
                } else {
                    let origin = self.wrote(history, node, &pin)?;
                    self.found.insert(pin.key, OriginRecord { version: pin.version, origin });
                }
            }
            if !still.is_empty() {
                self.open.insert(path, still);
            }
        }
        Ok(())
    }

    /// The watched files that the first commit of a line changed.
    fn changed(&self, history: &History, line: &[CommitNumber]) -> Result<Changed, GitError> {
        let tree = |node: &CommitNumber| self.mirror.tree_of(&self.repo, &history.id(*node));
        let Some(new) = line.first().map(tree) else { return Ok(Changed::new()) };
        let old = line.get(1).map(tree).transpose()?;
        tree::changed(&self.repo, old, new?, &self.watched).map_err(|error| self.mirror.damage(&error))
    }

    fn arrival(&self, history: &History, node: CommitNumber) -> Result<CommitInfo, GitError> {
        self.mirror.log_entry(&self.repo, object_id(&history.id(node))).map(CommitInfo::from)
    }

    /// Of a commit on the line and what it merged, the one that wrote the value.
    fn wrote(&self, history: &mut History, node: CommitNumber, pin: &OpenPin) -> Result<ValueOrigin, GitError> {
        let arrived = self.arrival(history, node)?;
        let Some(mut writer) = self.parent_with(history, node, node, pin)? else {
            return Ok(ValueOrigin::Commit(IntroducedBy { wrote: arrived, merge: None }));
        };
        for _ in 0..history.limits.walked {
            match self.parent_with(history, node, writer, pin)? {
                Some(parent) => writer = parent,
                None if history.graph.lacks_parents(writer) => break,
                None => {
                    let wrote = self.arrival(history, writer)?;
                    return Ok(ValueOrigin::Commit(IntroducedBy { wrote, merge: Some(arrived) }));
                }
            }
        }
        Ok(ValueOrigin::Older(self.arrival(history, writer)?))
    }

    /// A parent that already has the value and came to the line with this merge.
    fn parent_with(
        &self,
        history: &mut History,
        merge: CommitNumber,
        of: CommitNumber,
        pin: &OpenPin,
    ) -> Result<Option<CommitNumber>, GitError> {
        for parent in history.graph.parents(of).to_vec() {
            if history.line.landed(parent) != Some(merge) {
                continue;
            }
            let commit = history.id(parent);
            if pin.is(&history.values.at(self.mirror, &commit, &pin.key)?) {
                return Ok(Some(parent));
            }
        }
        Ok(None)
    }

    fn close(&mut self, origin: &ValueOrigin) {
        for (_, pins) in std::mem::take(&mut self.open) {
            for pin in pins {
                self.found.insert(pin.key, OriginRecord { version: pin.version, origin: origin.clone() });
            }
        }
    }
}
