//! What Git says about a branch's past, queried thousands of times: does a revision contain a commit, what did a file
//! declare at a revision, which commit brought what the head declares.
//!
//! Promises:
//! - **No guess.** A revision or commit that the mirror does not have, and history that is cut off (shallow, or longer
//!   than the limit), is [`Ancestry::Unknown`] and [`ValueOrigin::Older`], never "no".
//! - **Read once.** The commits of a branch are read once; later tips cost only their own commits. An answer about a
//!   commit on the branch's first-parent line costs a few comparisons, any other at most the commits in between.
//! - **Bounded.** The commits kept, commits walked and files cached have limits.
//!
//! Design: `graph` keeps commits as numbers with their parents and generations, and `line` the first-parent line of the
//! followed tip: for every commit, the first position on the line that contains it. That position is also the merge
//! that brought the commit to the branch. `values` reads pins from trees, cached by content; `origin` walks the line
//! backwards for all pins at once and stops where the last walk began; `changes` walks all of it; `ahead` fetches what they will read of files
//! that the mirror lacks. `kept` stores what was found
//! for the next process.
//!
//! The functions read files: call them where blocking is allowed.

mod ahead;
mod changes;
mod graph;
mod kept;
mod line;
mod load;
mod moves;
mod origin;
mod values;

use std::collections::HashMap;

use crate::model::{CommitId, Pin};

use super::error::GitError;
use super::mirror::Mirror;
use super::read::object_id;

use graph::{CommitNumber, Graph};
use line::FirstParentLine;
use load::LoadedCommit;
use moves::Moves;
use origin::OriginRecords;
use values::Values;

pub use changes::ValueChange;
pub use moves::FormerPin;
pub use origin::{CommitInfo, IntroducedBy, ValueOrigin};
pub use values::{PinKey, ValueAt};

/// How much is kept and walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// How many commits back one read goes; at most twice as many are kept, about a hundred bytes each.
    pub commits: usize,
    /// How many commits of the first-parent line are walked to find where values come from.
    pub walked: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { commits: 1_000_000, walked: 1_000_000 }
    }
}

/// Whether a revision contains a commit: is the same commit or descends from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// It does.
    Contains,
    /// It does not.
    DoesNot,
    /// Unknown; the value in the revision's tree may help.
    Unknown(AncestryGap),
}

/// Why the ancestry is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AncestryGap {
    /// The mirror does not have the revision: it is from another repository or branch, not fetched yet, or dropped by a
    /// force push.
    Revision,
    /// The mirror does not have the commit.
    Commit,
    /// The history is incomplete: a shallow repository, or one longer than the limit.
    History,
}

/// How a branch's tip moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TipMove {
    /// It did not move.
    Same,
    /// Forward on its first-parent line, by this many of its commits.
    Forward(usize),
    /// To another line: the first tip, a force push, or a merge in the opposite direction.
    Anew,
}

/// The past of one branch of one mirror.
#[derive(Debug, Default)]
pub struct History {
    limits: HistoryLimits,
    graph: Graph,
    line: FirstParentLine,
    values: Values,
    records: OriginRecords,
    moves: Moves,
    /// How many commits are kept for the next process.
    kept: usize,
}

impl History {
    /// An empty history with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty history with these limits.
    #[must_use]
    pub fn with_limits(limits: HistoryLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// How many commits are known.
    #[must_use]
    pub fn commits(&self) -> usize {
        self.graph.len()
    }

    /// The tip followed last.
    #[must_use]
    pub fn tip(&self) -> Option<CommitId> {
        self.line.tip().map(|tip| self.graph.commit_id(tip))
    }

    /// Reads what is new up to a tip of the branch.
    ///
    /// # Errors
    /// If the mirror does not have the tip, or an object cannot be read.
    pub fn follow(&mut self, mirror: &Mirror, tip: &CommitId) -> Result<TipMove, GitError> {
        if self.graph.len() > self.limits.commits.saturating_mul(2) {
            // Full of branches that were rewritten: start over and read only what is needed.
            (self.graph, self.line) = (Graph::default(), FirstParentLine::default());
        }
        match self.load(mirror, tip)? {
            LoadedCommit::CommitNumber(node) => Ok(self.line.follow(&self.graph, node)),
            LoadedCommit::Missing => Err(GitError::UnknownCommit { commit: tip.clone() }),
        }
    }

    /// Whether `revision` contains `commit`.
    ///
    /// # Errors
    /// If an object cannot be read. A missing one is not an error but [`Ancestry::Unknown`].
    pub fn contains(&mut self, mirror: &Mirror, revision: &CommitId, commit: &CommitId) -> Result<Ancestry, GitError> {
        let LoadedCommit::CommitNumber(above) = self.load(mirror, revision)? else {
            return Ok(Ancestry::Unknown(AncestryGap::Revision));
        };
        let LoadedCommit::CommitNumber(below) = self.load(mirror, commit)? else {
            return Ok(Ancestry::Unknown(AncestryGap::Commit));
        };
        let contains = match self.line.contains(above, below) {
            Some(answer) => answer,
            None => self.graph.reaches(above, below),
        };
        Ok(if contains {
            Ancestry::Contains
        } else if self.graph.is_cut(above) {
            Ancestry::Unknown(AncestryGap::History)
        } else {
            Ancestry::DoesNot
        })
    }

    /// The first commit on the followed branch's first-parent line that contains a commit: the commit itself, or the
    /// merge that brought it. `None` if the branch does not contain it, as far as is known.
    ///
    /// # Errors
    /// If an object cannot be read.
    pub fn arrived(&mut self, mirror: &Mirror, commit: &CommitId) -> Result<Option<CommitId>, GitError> {
        let LoadedCommit::CommitNumber(node) = self.load(mirror, commit)? else { return Ok(None) };
        Ok(self.line.landed(node).map(|node| self.graph.commit_id(node)))
    }

    /// What a revision's tree declares at the pin.
    ///
    /// # Errors
    /// If an object cannot be read.
    pub fn value_at(&mut self, mirror: &Mirror, revision: &CommitId, pin: &PinKey) -> Result<ValueAt, GitError> {
        self.values.at(mirror, revision, pin)
    }

    /// For each pin of the followed tip, the commit that brought its value to the branch. One walk answers for all
    /// pins; a later call walks only what is new since.
    ///
    /// # Errors
    /// If an object cannot be read.
    pub fn introduced(&mut self, mirror: &Mirror, pins: &[Pin]) -> Result<HashMap<PinKey, ValueOrigin>, GitError> {
        origin::introduced(self, mirror, pins)
    }

    /// Where the values of these pins were before their files were moved, or before their images changed registry: for
    /// those whose commit in `found` only moved them, each place with its own origin, the latest first.
    ///
    /// # Errors
    /// If an object cannot be read.
    pub fn former(
        &mut self,
        mirror: &Mirror,
        pins: &[Pin],
        found: &HashMap<PinKey, ValueOrigin>,
    ) -> Result<HashMap<PinKey, Vec<FormerPin>>, GitError> {
        moves::former(self, mirror, pins, found)
    }

    fn load(&mut self, mirror: &Mirror, commit: &CommitId) -> Result<LoadedCommit, GitError> {
        load::load(&mut self.graph, mirror, object_id(commit), self.limits.commits)
    }

    fn id(&self, node: CommitNumber) -> CommitId {
        self.graph.commit_id(node)
    }
}
