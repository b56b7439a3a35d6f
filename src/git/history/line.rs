//! The first-parent line of a branch, and where each commit joined it.

use super::TipMove;
use super::graph::{CommitNumber, Graph};

const NOWHERE: u32 = u32::MAX;

/// The first-parent line of the followed tip.
#[derive(Debug, Default)]
pub(super) struct FirstParentLine {
    /// Oldest first.
    line: Vec<CommitNumber>,
    /// Commit → the first position on the line that contains it.
    landed: Vec<u32>,
}

impl FirstParentLine {
    pub(super) fn tip(&self) -> Option<CommitNumber> {
        self.line.last().copied()
    }

    /// Newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = CommitNumber> {
        self.line.iter().rev().copied()
    }

    pub(super) fn follow(&mut self, graph: &Graph, tip: CommitNumber) -> TipMove {
        if self.tip() == Some(tip) {
            return TipMove::Same;
        }
        let mut new = vec![tip];
        let mut at = tip;
        while let Some(parent) = graph.parents(at).first().copied() {
            at = parent;
            if self.tip() == Some(at) {
                break;
            }
            new.push(at);
        }
        let forward = self.tip().is_some_and(|old| old == at);
        if !forward {
            self.line.clear();
            self.landed.clear();
        }
        self.landed.resize(graph.len(), NOWHERE);
        for node in new.iter().rev() {
            self.append(graph, *node);
        }
        if forward { TipMove::Forward(new.len()) } else { TipMove::Anew }
    }

    /// Marks everything that this commit brings.
    fn append(&mut self, graph: &Graph, node: CommitNumber) {
        let place = u32::try_from(self.line.len()).unwrap_or(NOWHERE);
        self.line.push(node);
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            if let Some(landed) = self.landed.get_mut(node as usize).filter(|landed| **landed == NOWHERE) {
                *landed = place;
                open.extend_from_slice(graph.parents(node));
            }
        }
    }

    fn place(&self, node: CommitNumber) -> Option<u32> {
        self.landed.get(node as usize).copied().filter(|place| *place != NOWHERE)
    }

    /// The commit on the line that brought a commit.
    pub(super) fn landed(&self, node: CommitNumber) -> Option<CommitNumber> {
        self.line.get(self.place(node)? as usize).copied()
    }

    /// Whether a commit on the line contains another commit; `None` if the first is not on the line.
    pub(super) fn contains(&self, above: CommitNumber, below: CommitNumber) -> Option<bool> {
        let place = self.place(above)?;
        (self.line.get(place as usize) == Some(&above)).then(|| self.place(below).is_some_and(|below| below <= place))
    }
}
