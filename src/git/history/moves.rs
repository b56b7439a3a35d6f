//! Moved files and changed registries, followed back: a person may have decided about a value where it was before.
//!
//! Rules: a commit on the line moved a pin if, before it, the place did not exist (or declared an image of the same
//! short name and tag from elsewhere) and a file that the commit removed declared that image and tag. If there are
//! several, the one with the same content wins, then the one whose path has most in common. A copy is not a move while
//! both files exist; once the original is gone, it is one if their contents were the same.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use crate::git::error::GitError;
use crate::git::mirror::Mirror;
use crate::git::tree::{BlobId, TreeBudget, TreeEntry, TreePath};
use crate::model::{CommitId, Pin, PinKind, RepoPath, Tag, Version};
use crate::overlay::is_read;

use super::History;
use super::ahead::Ahead;
use super::graph::CommitNumber;
use super::origin::{ValueOrigin, introduced_before};
use super::values::{PinKey, ValueAt};

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
    // Each move is of an older commit than the one before it.
    while !open.is_empty() {
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
        open = next;
    }
    Ok(chains)
}

/// Resolves those of which nothing is known, with one walk for each commit that moved some.
fn resolve(history: &mut History, mirror: &Mirror, open: &[Arrival]) -> Result<(), GitError> {
    let Some(tip) = history.tip() else { return Ok(()) };
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
    let mut gone_since = HashMap::new();
    for (commit, arrivals) in by_commit {
        let Some((node, parent)) = line_step(history, commit) else { continue };
        let mut search = Search {
            commit,
            parent: &parent,
            tip: &tip,
            gone: None,
            gone_since: &mut gone_since,
            copies: HashMap::new(),
        };
        let mut moved: Vec<(&Arrival, PinKey, Version)> = Vec::new();
        for arrival in arrivals {
            match search.source(history, mirror, arrival)? {
                Some((key, version)) => moved.push((arrival, key, version)),
                None => {
                    let key = (commit.clone(), arrival.key.clone());
                    drop(history.moves.no_copy.insert(key.clone(), tip.clone()));
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

/// The files that a commit removed.
struct Gone {
    files: Vec<GoneFile>,
    /// Which of them declare images of a kind, short name and tag.
    alike: HashMap<(PinKind, String, Option<Tag>), Vec<usize>>,
}

impl Gone {
    fn read(history: &mut History, mirror: &Mirror, commit: &CommitId, parent: &CommitId) -> Result<Self, GitError> {
        let mut files = files_at(mirror, parent, &gone_paths(mirror, parent, commit)?)?;
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Ahead::complete(mirror, files.iter().map(|(_, id)| *id))?;
        let mut alike: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, (path, id)) in files.iter().enumerate() {
            let pins = history.values.pins(mirror, *id, path)?;
            for (kind, _, name, version) in pins.iter().flatten() {
                alike.entry((*kind, name.short().to_owned(), version.tag.clone())).or_default().push(at);
            }
        }
        Ok(Self { files, alike })
    }
}

/// The search for where values were before one commit.
struct Search<'s> {
    commit: &'s CommitId,
    parent: &'s CommitId,
    tip: &'s CommitId,
    /// What the commit removed, once that was looked up.
    gone: Option<Gone>,
    /// Paths that existed at a commit and do not at the tip.
    gone_since: &'s mut HashMap<CommitId, Vec<RepoPath>>,
    /// Those of them that are files at the parent, by their contents.
    copies: HashMap<CommitId, HashMap<BlobId, Vec<RepoPath>>>,
}

impl Search<'_> {
    fn source(
        &mut self,
        history: &mut History,
        mirror: &Mirror,
        arrival: &Arrival,
    ) -> Result<Option<(PinKey, Version)>, GitError> {
        let Arrival { key, version, .. } = arrival;
        match history.values.at(mirror, self.parent, key)? {
            ValueAt::Declared(name, before)
                if name != key.name && name.short() == key.name.short() && before.tag == version.tag =>
            {
                return Ok(Some((PinKey { name, ..key.clone() }, before)));
            }
            ValueAt::NoPin | ValueAt::NoFile => {}
            _ => return Ok(None),
        }
        let here = match mirror.entry(self.commit, &key.path)? {
            Some(TreeEntry::File { id, .. }) => Some(id),
            _ => None,
        };
        let since = history.moves.no_copy.get(&(self.commit.clone(), key.clone())).cloned();
        if since.is_none()
            && let Some(moved) = self.moved(history, mirror, arrival, here)?
        {
            return Ok(Some(moved));
        }
        let Some(here) = here else { return Ok(None) };
        self.copied(history, mirror, arrival, (here, since))
    }

    /// The file that the commit removed and that declared the value.
    fn moved(
        &mut self,
        history: &mut History,
        mirror: &Mirror,
        Arrival { key, version, .. }: &Arrival,
        here: Option<BlobId>,
    ) -> Result<Option<(PinKey, Version)>, GitError> {
        let gone = match &mut self.gone {
            Some(gone) => gone,
            gone => gone.insert(Gone::read(history, mirror, self.commit, self.parent)?),
        };
        let alike = gone.alike.get(&(key.kind, key.name.short().to_owned(), version.tag.clone()));
        let files = alike.into_iter().flatten().filter_map(|at| gone.files.get(*at));
        let near = |(path, id): &&GoneFile| Reverse((Some(*id) == here, in_common(path, &key.path)));
        match files.min_by_key(near) {
            Some((path, id)) => history.values.alike(mirror, (path, *id), (key, version)),
            None => Ok(None),
        }
    }

    /// The file of the same content that is gone at the tip and was not at a commit up to which that is known.
    fn copied(
        &mut self,
        history: &mut History,
        mirror: &Mirror,
        Arrival { key, version, .. }: &Arrival,
        (here, since): (BlobId, Option<CommitId>),
    ) -> Result<Option<(PinKey, Version)>, GitError> {
        // The tip of a branch that was rewritten may be lost.
        let since = since.filter(|since| mirror.has_commit(since).unwrap_or(false));
        let since = since.unwrap_or_else(|| self.parent.clone());
        let mut same: Vec<&RepoPath> = self.copies_of(mirror, &since, here)?.iter().collect();
        same.sort_by(|a, b| in_common(b, &key.path).cmp(&in_common(a, &key.path)).then_with(|| a.cmp(b)));
        for path in same {
            if let Some(found) = history.values.alike(mirror, (path, here), (key, version))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The files of this content at the parent that existed at a commit and do not at the tip.
    fn copies_of(&mut self, mirror: &Mirror, since: &CommitId, content: BlobId) -> Result<&[RepoPath], GitError> {
        if !self.copies.contains_key(since) {
            if !self.gone_since.contains_key(since) {
                drop(self.gone_since.insert(since.clone(), gone_paths(mirror, since, self.tip)?));
            }
            let paths = self.gone_since.get(since).map_or(&[][..], Vec::as_slice);
            let mut by_content: HashMap<BlobId, Vec<RepoPath>> = HashMap::new();
            for (path, id) in files_at(mirror, self.parent, paths)? {
                by_content.entry(id).or_default().push(path);
            }
            drop(self.copies.insert(since.clone(), by_content));
        }
        Ok(self.copies.get(since).and_then(|all| all.get(&content)).map_or(&[], Vec::as_slice))
    }
}

/// The paths that may hold pins and exist at one commit, but not at another. What changes more than a repository holds moved
/// nothing.
fn gone_paths(mirror: &Mirror, from: &CommitId, to: &CommitId) -> Result<Vec<RepoPath>, GitError> {
    let changes = match mirror.changes_within(Some(from), to, TreeBudget::REPOSITORY) {
        Err(GitError::Refused { .. }) => return Ok(Vec::new()),
        changes => changes?,
    };
    let gone = changes.into_iter().filter(|change| change.now.is_none());
    let usable = gone.filter_map(|change| if let TreePath::Usable(path) = change.path { Some(path) } else { None });
    let declared = mirror.declared();
    Ok(usable.filter(|path| is_read(&declared, path)).collect())
}

/// Those of the paths that are regular files at a commit.
fn files_at(mirror: &Mirror, commit: &CommitId, paths: &[RepoPath]) -> Result<Vec<GoneFile>, GitError> {
    let entries = mirror.entries(commit, paths)?.into_iter();
    let file = |(path, entry)| if let TreeEntry::File { id, .. } = entry { Some((path, id)) } else { None };
    Ok(entries.filter_map(file).collect())
}

/// How many trailing folders and names two paths have in common.
fn in_common(one: &RepoPath, other: &RepoPath) -> usize {
    let parts: Vec<&str> = other.as_str().split('/').collect();
    let shared = one.as_str().split('/').filter(|part| parts.contains(part)).count();
    let end = one.as_str().rsplit('/').zip(parts.iter().rev()).take_while(|(a, b)| a == *b).count();
    shared + end
}
