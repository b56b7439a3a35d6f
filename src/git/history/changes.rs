//! Every change of the values of some pins on a branch's first-parent line, kept for the next process.

use std::collections::HashMap;

use gix::ObjectId;
use jiff::Timestamp;

use crate::git::error::GitError;
use crate::git::kept::KeptKey;
use crate::git::mirror::Mirror;
use crate::git::read::{commit_id, object_id};
use crate::git::tree::{self, TreeEntry, WatchedFiles};
use crate::model::{CommitId, RepoPath, Version};

use super::History;
use super::ahead::{Ahead, Changed};
use super::kept::{READING, take};
use super::values::{PinKey, ValueAt};

/// A commit of the line that changed what a pin declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueChange {
    /// The commit of the branch's own line.
    pub arrived: CommitId,
    /// When it was made, to the second.
    pub merged: Timestamp,
    /// Which of the pins that were asked for.
    pub pin: usize,
    /// What it declared before; `None` if nothing.
    pub from: Option<Version>,
    /// What it has declared since.
    pub to: Version,
}

impl Mirror {
    /// Every change of these pins' values up to a tip of the branch, newest first. What was found is kept, so that a
    /// later call, also of another process, walks only what is new. `history` names what is kept of the branch's commits.
    ///
    /// # Errors
    /// If the mirror does not have the tip, or an object cannot be read.
    pub fn value_changes(&self, tip: &CommitId, pins: &[PinKey], history: &str) -> Result<Vec<ValueChange>, GitError> {
        let (name, made_from) = (format!("changes {history}"), made_from(pins));
        let key = KeptKey { name: &name, made_from: &made_from };
        let kept = self.kept(key).and_then(|bytes| parse(&bytes, pins.len()));
        if let Some((at, changes)) = &kept
            && *at == object_id(tip)
        {
            return Ok(changes.clone());
        }
        let mut history = History::open(self, history);
        history.follow(self, tip)?;
        let changes = Walk::new(self, &mut history, pins)?.run(tip, kept)?;
        self.keep(key, &bytes(object_id(tip), &changes));
        Ok(changes)
    }
}

/// What decides about the changes besides the branch: the pins, in their order.
fn made_from(pins: &[PinKey]) -> String {
    let pins = pins.iter().map(|pin| format!("\n{}\t{}\t{}\t{}", pin.path, pin.kind.as_str(), pin.key, pin.name));
    std::iter::once(READING.to_owned()).chain(pins).collect()
}

struct Walk<'a> {
    mirror: &'a Mirror,
    repo: gix::Repository,
    history: &'a mut History,
    pins: &'a [PinKey],
    by_path: HashMap<&'a RepoPath, Vec<usize>>,
    watched: WatchedFiles,
    ahead: Ahead,
    /// What each pin declares where the walk is.
    values: Vec<Option<Version>>,
    changes: Vec<ValueChange>,
}

impl<'a> Walk<'a> {
    fn new(mirror: &'a Mirror, history: &'a mut History, pins: &'a [PinKey]) -> Result<Self, GitError> {
        let mut by_path: HashMap<&RepoPath, Vec<usize>> = HashMap::new();
        for (number, pin) in pins.iter().enumerate() {
            by_path.entry(&pin.path).or_default().push(number);
        }
        let watched = WatchedFiles::new(by_path.keys().copied());
        let (repo, values, changes) = (mirror.repo()?, Vec::with_capacity(pins.len()), Vec::new());
        let ahead = Ahead::new(mirror);
        Ok(Self { mirror, repo, history, pins, by_path, watched, ahead, values, changes })
    }

    fn run(mut self, tip: &CommitId, kept: Option<(ObjectId, Vec<ValueChange>)>) -> Result<Vec<ValueChange>, GitError> {
        let now = self.mirror.entries(tip, self.by_path.keys().copied())?;
        let files =
            now.into_values().filter_map(|it| if let TreeEntry::File { id, .. } = it { Some(id) } else { None });
        Ahead::complete(self.mirror, files)?;
        for pin in self.pins {
            let value = self.history.value_at(self.mirror, tip, pin)?;
            self.values.push(declared(value, pin));
        }
        let line: Vec<ObjectId> = self.history.line.newest_first().map(|node| self.history.graph.id(node)).collect();
        let (walked_to, older) = match kept {
            Some((at, older)) => match line.iter().position(|commit| *commit == at) {
                Some(place) => (place, older),
                // The branch was rewritten.
                None => (line.len(), Vec::new()),
            },
            None => (line.len(), Vec::new()),
        };
        for step in 0..walked_to {
            self.step(&line[step..], walked_to - step)?;
        }
        self.changes.extend(older);
        Ok(self.changes)
    }

    /// Notes what the first commit of a line changed, and goes below it; of the line, so many more will be walked.
    fn step(&mut self, line: &[ObjectId], walked: usize) -> Result<(), GitError> {
        let Some(&commit) = line.first() else { return Ok(()) };
        let (mirror, repo, watched) = (self.mirror, &self.repo, &self.watched);
        let change = |at: usize| changed(mirror, repo, watched, &line[at..]);
        let changed = change(0)?;
        self.ahead.prepare(mirror, &changed, (1..walked).map(change), |_| true)?;
        let mut made = None;
        for (path, entry) in changed {
            for number in self.by_path.get(&path).into_iter().flatten() {
                let (Some(pin), Some(value)) = (self.pins.get(*number), self.values.get_mut(*number)) else { continue };
                let from = declared(self.history.values.of_entry(self.mirror, entry, pin)?, pin);
                let to = std::mem::replace(value, from.clone());
                let Some(to) = to.filter(|to| Some(to) != from.as_ref()) else { continue };
                let merged = match made {
                    Some(made) => made,
                    None => *made.insert(self.mirror.log_entry(&self.repo, commit)?.time),
                };
                self.changes.push(ValueChange { arrived: commit_id(commit), merged, pin: *number, from, to });
            }
        }
        Ok(())
    }
}

/// The watched files that the first commit of a line changed.
fn changed(
    mirror: &Mirror,
    repo: &gix::Repository,
    watched: &WatchedFiles,
    line: &[ObjectId],
) -> Result<Changed, GitError> {
    let tree = |commit: &ObjectId| mirror.tree_of(repo, &commit_id(*commit));
    let (Some(new), old) = (line.first().map(tree), line.get(1).map(tree)) else { return Ok(Changed::new()) };
    tree::changed(repo, old.transpose()?, new?, watched).map_err(|error| mirror.damage(&error))
}

fn declared(value: ValueAt, pin: &PinKey) -> Option<Version> {
    match value {
        ValueAt::Declared(name, version) if name == pin.name => Some(version),
        _ => None,
    }
}

/// The versions that changes name, each once.
#[derive(Default)]
struct Table<'c> {
    versions: Vec<&'c Version>,
    numbers: HashMap<&'c Version, u32>,
}

impl<'c> Table<'c> {
    /// What stands for "nothing" in place of a version.
    const NOTHING: u32 = u32::MAX;

    fn number(&mut self, version: Option<&'c Version>) -> u32 {
        let Some(version) = version else { return Self::NOTHING };
        let Self { versions, numbers } = self;
        *numbers.entry(version).or_insert_with(|| {
            versions.push(version);
            u32::try_from(versions.len() - 1).unwrap_or(Self::NOTHING)
        })
    }
}

/// The tip, the number of changes, each in 40 bytes, and the table of versions.
fn bytes(tip: ObjectId, changes: &[ValueChange]) -> Vec<u8> {
    let mut table = Table::default();
    let mut out = Vec::with_capacity(24 + changes.len() * 40);
    out.extend(tip.as_slice());
    out.extend(u32::try_from(changes.len()).unwrap_or(0).to_le_bytes());
    for change in changes {
        out.extend(object_id(&change.arrived).as_slice());
        out.extend(change.merged.as_second().to_le_bytes());
        let numbers = [
            u32::try_from(change.pin).unwrap_or(u32::MAX),
            table.number(change.from.as_ref()),
            table.number(Some(&change.to)),
        ];
        numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
    }
    out.extend(serde_json::to_vec(&table.versions).unwrap_or_default());
    out
}

/// `None` where it makes no sense, whatever its checksum says.
fn parse(bytes: &[u8], pins: usize) -> Option<(ObjectId, Vec<ValueChange>)> {
    let mut rest = bytes;
    let tip = ObjectId::from(take::<20>(&mut rest)?);
    let count = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
    let (mut rest, versions) = rest.split_at_checked(count.checked_mul(40)?)?;
    let versions: Vec<Version> = serde_json::from_slice(versions).ok()?;
    let mut changes = Vec::with_capacity(count);
    for _ in 0..count {
        let arrived = commit_id(ObjectId::from(take::<20>(&mut rest)?));
        let merged = Timestamp::from_second(i64::from_le_bytes(take(&mut rest)?)).ok()?;
        let [pin, from, to] = [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?].map(u32::from_le_bytes);
        let pin = usize::try_from(pin).ok().filter(|pin| *pin < pins)?;
        let version = |number: u32| versions.get(usize::try_from(number).ok()?).cloned();
        let from = if from == Table::NOTHING { None } else { Some(version(from)?) };
        changes.push(ValueChange { arrived, merged, pin, from, to: version(to)? });
    }
    Some((tip, changes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tag;

    fn sample() -> Vec<ValueChange> {
        let version = |tag: &str| Version { tag: Tag::parse(tag).ok(), digest: None };
        let change = |byte: u8, second, pin, from: Option<&str>, to: &str| ValueChange {
            arrived: commit_id(ObjectId::from([byte; 20])),
            merged: Timestamp::from_second(second).unwrap(),
            pin,
            from: from.map(version),
            to: version(to),
        };
        vec![change(3, 30, 1, Some("1.0"), "1.1"), change(2, -20, 0, Some("1.1"), "1.0"), change(1, 10, 0, None, "1.1")]
    }

    #[test]
    fn changes_come_back_as_they_were() {
        let tip = ObjectId::from([9; 20]);
        assert_eq!(parse(&bytes(tip, &sample()), 2).unwrap(), (tip, sample()));
        assert_eq!(parse(&bytes(tip, &[]), 0).unwrap(), (tip, Vec::new()));
    }

    #[test]
    fn what_makes_no_sense_is_none_and_no_panic() {
        let whole = bytes(ObjectId::from([9; 20]), &sample());
        assert!(parse(&whole, 1).is_none(), "a pin that nobody asked for");
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut], 2).is_none(), "{cut}");
            let mut bent = whole.clone();
            bent[cut] ^= 0xff;
            let _any = parse(&bent, 2);
        }
    }
}
