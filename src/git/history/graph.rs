//! Commits as numbers: parents, generations, and whether their history is complete.

use std::collections::{HashMap, HashSet};

use gix::ObjectId;

use crate::git::read::commit_id;
use crate::model::CommitId;

/// A commit's number. Parents have smaller ones than their children.
pub(super) type CommitNumber = u32;

/// Commits, each after its parents.
#[derive(Debug, Default)]
pub(super) struct Graph {
    numbers: HashMap<ObjectId, CommitNumber>,
    ids: Vec<ObjectId>,
    /// Where the parents of a commit end in `parents`; they begin at the end of the previous commit's.
    ends: Vec<u32>,
    parents: Vec<CommitNumber>,
    /// One more than the greatest generation of the parents: an ancestor's is always smaller.
    generations: Vec<u32>,
    /// Whether part of the history below is missing.
    cut: Vec<bool>,
}

impl Graph {
    /// Room for so many.
    pub(super) fn with_room(count: usize) -> Self {
        Self {
            numbers: HashMap::with_capacity(count),
            ids: Vec::with_capacity(count),
            ends: Vec::with_capacity(count),
            parents: Vec::with_capacity(count),
            generations: Vec::with_capacity(count),
            cut: Vec::with_capacity(count),
        }
    }

    /// The last that was taken in.
    pub(super) fn last(&self) -> Option<ObjectId> {
        self.ids.last().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn find(&self, id: &ObjectId) -> Option<CommitNumber> {
        self.numbers.get(id).copied()
    }

    pub(super) fn commit_id(&self, node: CommitNumber) -> CommitId {
        commit_id(self.id(node))
    }

    pub(super) fn id(&self, node: CommitNumber) -> ObjectId {
        self.ids.get(node as usize).copied().unwrap_or_else(|| ObjectId::null(gix::hash::Kind::Sha1))
    }

    /// Adds a commit whose parents are already present; absent parents are `missing`.
    pub(super) fn add(&mut self, id: ObjectId, parents: &[ObjectId]) {
        if self.numbers.contains_key(&id) {
            return;
        }
        let known: Vec<CommitNumber> = parents.iter().filter_map(|parent| self.find(parent)).collect();
        let cut = known.len() < parents.len() || known.iter().any(|parent| self.is_cut(*parent));
        self.push(id, &known, cut);
    }

    /// The same with the numbers of the parents that are in.
    pub(super) fn push(&mut self, id: ObjectId, parents: &[CommitNumber], cut: bool) {
        let generation = parents.iter().map(|parent| self.generation(*parent) + 1).max().unwrap_or(0);
        self.parents.extend_from_slice(parents);
        // The limit of commits keeps both far below what fits.
        let node = CommitNumber::try_from(self.ids.len()).unwrap_or(CommitNumber::MAX);
        self.numbers.insert(id, node);
        self.ids.push(id);
        self.ends.push(u32::try_from(self.parents.len()).unwrap_or(u32::MAX));
        self.generations.push(generation);
        self.cut.push(cut);
    }

    /// The parents that are known, in their order.
    pub(super) fn parents(&self, node: CommitNumber) -> &[CommitNumber] {
        let node = node as usize;
        let start = node.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(node).copied().unwrap_or(start);
        self.parents.get(start as usize..end as usize).unwrap_or(&[])
    }

    fn generation(&self, node: CommitNumber) -> u32 {
        self.generations.get(node as usize).copied().unwrap_or(0)
    }

    /// Whether some of a commit's history is not there.
    pub(super) fn is_cut(&self, node: CommitNumber) -> bool {
        self.cut.get(node as usize).copied().unwrap_or(true)
    }

    /// Whether a parent of this very commit is not there.
    pub(super) fn lacks_parents(&self, node: CommitNumber) -> bool {
        self.is_cut(node) && !self.parents(node).iter().any(|parent| self.is_cut(*parent))
    }

    /// Whether `above` is `below` or was made on it, as far as is known. Only commits of greater generations than `below`
    /// are looked at.
    pub(super) fn reaches(&self, above: CommitNumber, below: CommitNumber) -> bool {
        if above == below {
            return true;
        }
        let floor = self.generation(below);
        let (mut seen, mut open) = (HashSet::from([above]), vec![above]);
        while let Some(node) = open.pop() {
            if self.generation(node) <= floor {
                continue;
            }
            for parent in self.parents(node) {
                if *parent == below {
                    return true;
                }
                if seen.insert(*parent) {
                    open.push(*parent);
                }
            }
        }
        false
    }
}
