//! A history as bytes, for the next process: the commits of the graph, and where values came from as of one tip.

use gix::ObjectId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::git::kept::KeptKey;
use crate::git::mirror::Mirror;
use crate::git::read::commit_id;
use crate::model::{CommitId, ImageName, RepoPath, Version};
use crate::overlay::pin_kind;

use super::graph::Graph;
use super::origin::{CommitInfo, IntroducedBy, OriginRecord, OriginRecords, ValueOrigin};
use super::values::PinKey;
use super::{CommitNumber, History};

/// From so many new commits on it is worth writing: fewer are read as fast.
const WORTH: usize = 1_000;

/// How values are read; another version of the bot may find others in the same files.
pub(super) const READING: &str = concat!("values ", env!("CARGO_PKG_VERSION"));

#[derive(Serialize, Deserialize)]
struct KeptOrigin {
    path: String,
    kind: String,
    key: String,
    name: ImageName,
    version: Version,
    /// The commit that wrote it, or the oldest that was read.
    wrote: KeptCommit,
    merge: Option<KeptCommit>,
    older: bool,
}

/// A commit, its author, and its time.
type KeptCommit = (String, String, Timestamp);

impl History {
    /// The history that was kept of a branch for this use; one of nothing where there is none.
    #[must_use]
    pub fn open(mirror: &Mirror, name: &str) -> Self {
        let mut history = Self::new();
        let Some(bytes) = mirror.kept(key(name)) else { return history };
        let Some((graph, records)) = parse(&bytes) else { return history };
        // A mirror that was made anew may lack it: then what was read of it is of no use.
        let is_there = |tip: ObjectId| mirror.has_commit(&commit_id(tip)).unwrap_or(false);
        if graph.last().is_some_and(is_there) && records.tip.is_none_or(is_there) {
            history.kept = graph.len();
            (history.graph, history.records) = (graph, records);
        }
        history
    }

    /// Keeps what was read, where that is worth it.
    pub fn keep(&mut self, mirror: &Mirror, name: &str) {
        if self.graph.len() < self.kept + WORTH || self.graph.len() > self.limits.commits {
            return;
        }
        self.kept = self.graph.len();
        mirror.keep(key(name), &bytes(&self.graph, &self.records));
    }
}

fn key(name: &str) -> KeptKey<'_> {
    KeptKey { name, made_from: READING }
}

fn bytes(graph: &Graph, records: &OriginRecords) -> Vec<u8> {
    let nodes = 0..CommitNumber::try_from(graph.len()).unwrap_or(CommitNumber::MAX);
    let mut out = Vec::with_capacity(graph.len() * 30);
    out.extend(nodes.end.to_le_bytes());
    for node in nodes {
        let parents = graph.parents(node);
        out.extend(graph.id(node).as_slice());
        out.push(u8::from(graph.is_cut(node)));
        out.extend(u32::try_from(parents.len()).unwrap_or(0).to_le_bytes());
        parents.iter().for_each(|parent| out.extend(parent.to_le_bytes()));
    }
    out.extend(records.tip.unwrap_or_else(|| ObjectId::null(gix::hash::Kind::Sha1)).as_slice());
    let origins: Vec<KeptOrigin> = records.found.iter().map(|(key, record)| KeptOrigin::of(key, record)).collect();
    out.extend(serde_json::to_vec(&origins).unwrap_or_default());
    out
}

/// `None` where it makes no sense, whatever its checksum says.
fn parse(bytes: &[u8]) -> Option<(Graph, OriginRecords)> {
    let mut rest = bytes;
    let count = u32::from_le_bytes(take(&mut rest)?);
    let mut graph = Graph::with_room(usize::try_from(count).ok()?.min(bytes.len() / 25));
    let mut parents = Vec::new();
    for node in 0..count {
        let id = ObjectId::from(take::<20>(&mut rest)?);
        let [cut] = take::<1>(&mut rest)?;
        parents.clear();
        for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
            parents.push(Some(u32::from_le_bytes(take(&mut rest)?)).filter(|parent| *parent < node)?);
        }
        graph.push(id, &parents, cut != 0);
    }
    let tip = ObjectId::from(take::<20>(&mut rest)?);
    let origins: Vec<KeptOrigin> = serde_json::from_slice(rest).ok()?;
    let found = origins.into_iter().filter_map(KeptOrigin::record).collect();
    Some((graph, OriginRecords { tip: (!tip.is_null()).then_some(tip), found }))
}

pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

impl KeptOrigin {
    fn of(key: &PinKey, record: &OriginRecord) -> Self {
        let commit = |info: &CommitInfo| (info.commit.to_string(), info.author.clone(), info.time);
        let (wrote, merge, older) = match &record.origin {
            ValueOrigin::Commit(IntroducedBy { wrote, merge }) => (commit(wrote), merge.as_ref().map(commit), false),
            ValueOrigin::Older(oldest) => (commit(oldest), None, true),
        };
        Self {
            path: key.path.to_string(),
            kind: key.kind.as_str().to_owned(),
            key: key.key.clone(),
            name: key.name.clone(),
            version: record.version.clone(),
            wrote,
            merge,
            older,
        }
    }

    fn record(self) -> Option<(PinKey, OriginRecord)> {
        let Self { path, kind, key, name, version, wrote, merge, older } = self;
        let commit = |(commit, author, time): KeptCommit| {
            Some(CommitInfo { commit: CommitId::parse(&commit).ok()?, author, time })
        };
        let key = PinKey { path: RepoPath::parse(&path).ok()?, kind: pin_kind(&kind)?, key, name };
        let merge = match merge {
            Some(merge) => Some(commit(merge)?),
            None => None,
        };
        let origin = match older {
            true => ValueOrigin::Older(commit(wrote)?),
            false => ValueOrigin::Commit(IntroducedBy { wrote: commit(wrote)?, merge }),
        };
        Some((key, OriginRecord { version, origin }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ObjectId {
        ObjectId::from([byte; 20])
    }

    fn sample() -> Vec<u8> {
        let mut graph = Graph::default();
        graph.add(id(1), &[id(9)]);
        graph.add(id(2), &[id(1)]);
        graph.add(id(3), &[id(1)]);
        graph.add(id(4), &[id(2), id(3)]);
        bytes(&graph, &OriginRecords { tip: Some(id(4)), ..OriginRecords::default() })
    }

    #[test]
    fn a_graph_comes_back_as_it_was() {
        let (graph, records) = parse(&sample()).unwrap();
        let (first, last) = (graph.find(&id(1)).unwrap(), graph.find(&id(4)).unwrap());
        assert_eq!((graph.len(), graph.parents(last), records.tip), (4, &[1, 2][..], Some(id(4))));
        assert!(graph.is_cut(first) && graph.is_cut(last), "what is missing below is not forgotten");
        assert!(graph.reaches(last, first) && !graph.reaches(first, last));
        assert_eq!(bytes(&graph, &records), sample());
    }

    #[test]
    fn what_makes_no_sense_is_none_and_no_panic() {
        let whole = sample();
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_none(), "{cut}");
        }
        let mut later = whole.clone();
        // The first parent of the second commit is the commit itself.
        let at = 4 + 25 + 25;
        later[at..at + 4].copy_from_slice(&1_u32.to_le_bytes());
        assert!(parse(&later).is_none());
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 0xff;
            let _any = parse(&bent);
        }
    }
}
