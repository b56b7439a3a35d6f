//! Moved files and changed registries, followed back: a person may have decided about a value where it was before.
//!
//! Rules: a commit on the line moved a pin if, before it, the place did not exist (or declared an image of the same
//! short name and tag from elsewhere) and a file that the commit removed declared that image and tag. If there are
//! several, the one with the same content wins, then the one whose path has most in common. A copy is not a move while
//! both files exist; once the original is gone, it is one if their contents were the same.

use std::collections::{BTreeMap, HashMap};

use crate::git::error::GitError;
use crate::git::mirror::Mirror;
use crate::git::tree::{BlobId, TreeBudget, TreeEntry, TreePath};
use crate::model::{CommitId, Pin, RepoPath, Version};
use crate::overlay::is_read;

use super::History;
use super::ahead::Ahead;
use super::graph::CommitNumber;
use super::origin::{ValueOrigin, introduced_before};
use super::values::{PinKey, ValueAt};

/// How many moves of a place are followed.
const MOVES: usize = 20;
/// How many removed files are read in search of one pin.
const READ: usize = 50;
/// How many commits are searched for copies whose original is gone by now, in one answer.
const COPIES: usize = 50;
/// Above this many remembered moves all are forgotten; each then costs another walk.
const REMEMBERED: usize = 50_000;

/// Where a pin was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerPin {
    /// The place.
    pub key: PinKey,
    /// Which commit brought the value there that it had when it was moved.
    pub origin: ValueOrigin,
}

/// What is known about moves: a commit and its changes never change.
#[derive(Debug, Default)]
pub(super) struct Moves {
    known: HashMap<(CommitId, PinKey), Option<FormerPin>>,
    /// Of those that were not moved: the tip up to which nothing that they may be copies of was gone.
    no_copy: HashMap<(CommitId, PinKey), CommitId>,
}

/// A place whose origin may be a move.
struct Arrival {
    /// The pin of the tip that this is about.
    of: PinKey,
    key: PinKey,
    version: Version,
    /// The commit on the line that brought it.
    by: CommitId,
}

pub(super) fn former(
    history: &mut History,
    mirror: &Mirror,
    pins: &[Pin],
    found: &HashMap<PinKey, ValueOrigin>,
) -> Result<HashMap<PinKey, Vec<FormerPin>>, GitError> {
    if history.moves.known.len() > REMEMBERED {
        history.moves.known.clear();
        history.moves.no_copy.clear();
    }
    let mut chains: HashMap<PinKey, Vec<FormerPin>> = HashMap::new();
    let arrived = |origin: &ValueOrigin| match origin {
        ValueOrigin::Commit(introduced) => Some(introduced.arrived().commit.clone()),
        ValueOrigin::Older(_) => None,
    };
    let mut open: Vec<Arrival> = pins
        .iter()
        .filter_map(|pin| {
            let key = PinKey::from(pin);
            let by = arrived(found.get(&key)?)?;
            Some(Arrival { of: key.clone(), key, version: pin.version.clone(), by })
        })
        .collect();
    for _ in 0..MOVES {
        resolve(history, mirror, &open)?;
        let mut next = Vec::new();
        for arrival in open {
            let known = history.moves.known.get(&(arrival.by, arrival.key));
            let Some(former) = known.cloned().flatten() else { continue };
            if let Some(by) = arrived(&former.origin) {
                // The tag stays the same; a digest may have come with the move.
                next.push(Arrival { of: arrival.of.clone(), key: former.key.clone(), version: arrival.version, by });
            }
            chains.entry(arrival.of).or_default().push(former);
        }
        if next.is_empty() {
            break;
        }
        open = next;
    }
    Ok(chains)
}

/// Resolves those of which nothing is known, with one walk for each commit that moved some.
fn resolve(history: &mut History, mirror: &Mirror, open: &[Arrival]) -> Result<(), GitError> {
    let Some(tip) = history.tip() else { return Ok(()) };
    // In a fixed order, so that what is not searched for copies now is searched the next time.
    let mut by_commit: BTreeMap<&CommitId, Vec<&Arrival>> = BTreeMap::new();
    for arrival in open {
        let key = (arrival.by.clone(), arrival.key.clone());
        let moves = &history.moves;
        let settled =
            moves.known.get(&key).is_some_and(|known| known.is_some() || moves.no_copy.get(&key) == Some(&tip));
        if !settled {
            by_commit.entry(&arrival.by).or_default().push(arrival);
        }
    }
    for (nth, (commit, arrivals)) in by_commit.into_iter().enumerate() {
        let Some((node, parent)) = line_step(history, commit) else { continue };
        let mut gone = [(commit, None), (&tip, None)];
        let looked = if nth < COPIES { &mut gone[..] } else { &mut gone[..1] };
        let mut moved: Vec<(&Arrival, PinKey, Version)> = Vec::new();
        for arrival in arrivals {
            match source(history, mirror, (commit, &parent), arrival, looked)? {
                Some((key, version)) => moved.push((arrival, key, version)),
                None => {
                    let key = (commit.clone(), arrival.key.clone());
                    if nth < COPIES {
                        drop(history.moves.no_copy.insert(key.clone(), tip.clone()));
                    }
                    drop(history.moves.known.insert(key, None));
                }
            }
        }
        if moved.is_empty() {
            continue;
        }
        let places = moved.iter().map(|(_, key, version)| (key.clone(), version.clone())).collect();
        let found = introduced_before(history, mirror, node, places)?;
        for (arrival, key, _) in moved {
            let former = found.get(&key).map(|origin| FormerPin { key, origin: origin.clone() });
            drop(history.moves.known.insert((commit.clone(), arrival.key.clone()), former));
        }
    }
    Ok(())
}

/// A commit on the line and the one before it.
fn line_step(history: &History, commit: &CommitId) -> Option<(CommitNumber, CommitId)> {
    let node = history.graph.find(&crate::git::read::object_id(commit))?;
    let parent = history.graph.parents(node).first()?;
    Some((node, history.id(*parent)))
}

/// A file that a commit removed.
type GoneFile = (RepoPath, BlobId);

/// Files that existed before a commit and do not at a later one, once that was looked up.
type GoneBy<'c> = (&'c CommitId, Option<Vec<GoneFile>>);

/// Where a value was before the commit, among what was gone by each of these commits.
fn source(
    history: &mut History,
    mirror: &Mirror,
    (commit, parent): (&CommitId, &CommitId),
    Arrival { key, version, .. }: &Arrival,
    gone_by: &mut [GoneBy<'_>],
) -> Result<Option<(PinKey, Version)>, GitError> {
    match history.values.at(mirror, parent, key)? {
        ValueAt::Declared(name, before)
            if name != key.name && name.short() == key.name.short() && before.tag == version.tag =>
        {
            return Ok(Some((PinKey { name, ..key.clone() }, before)));
        }
        ValueAt::NoPin | ValueAt::NoFile => {}
        _ => return Ok(None),
    }
    let here = match mirror.entry(commit, &key.path)? {
        Some(TreeEntry::File { id, .. }) => Some(id),
        _ => None,
    };
    for (nth, (by, gone)) in gone_by.iter_mut().enumerate() {
        let gone = match gone {
            Some(gone) => gone,
            None => gone.insert(gone_files(mirror, by, parent)?),
        };
        let mut near: Vec<&GoneFile> = gone
            .iter()
            .filter(|(path, id)| {
                let moved = nth == 0 && (path.file_name() == key.path.file_name() || gone.len() <= READ);
                moved || Some(*id) == here
            })
            .collect();
        near.sort_by_key(|(path, id)| std::cmp::Reverse((Some(*id) == here, in_common(path, &key.path))));
        near.truncate(READ);
        Ahead::complete(mirror, near.iter().map(|(_, id)| *id))?;
        for (path, id) in near {
            if let Some(found) = history.values.alike(mirror, (path, *id), (key, version))? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// The files with pins that a commit removed. A commit that changes more than a repository holds moved nothing.
fn gone_files(mirror: &Mirror, commit: &CommitId, parent: &CommitId) -> Result<Vec<GoneFile>, GitError> {
    let changes = match mirror.changes_within(Some(parent), commit, TreeBudget::REPOSITORY) {
        Err(GitError::Refused { .. }) => return Ok(Vec::new()),
        changes => changes?,
    };
    let declared = mirror.declared();
    let paths: Vec<RepoPath> = changes
        .into_iter()
        .filter(|change| change.now.is_none())
        .filter_map(|change| if let TreePath::Usable(path) = change.path { Some(path) } else { None })
        .filter(|path| is_read(&declared, path))
        .collect();
    let mut gone: Vec<GoneFile> = mirror
        .entries(parent, &paths)?
        .into_iter()
        .filter_map(|(path, entry)| if let TreeEntry::File { id, .. } = entry { Some((path, id)) } else { None })
        .collect();
    gone.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(gone)
}

/// How many trailing folders and names two paths have in common.
fn in_common(one: &RepoPath, other: &RepoPath) -> usize {
    let parts: Vec<&str> = other.as_str().split('/').collect();
    let shared = one.as_str().split('/').filter(|part| parts.contains(part)).count();
    let end = one.as_str().rsplit('/').zip(parts.iter().rev()).take_while(|(a, b)| a == *b).count();
    shared + end
}
