//! History, newest first, without what is known already.
//!
//! Design: the walk goes by commit time, as `git log` does, and paints what `known` reaches. A clock that was wrong can
//! bring a commit up before the paint arrives; so nothing is given out until the walk ends, paint runs down through
//! commits that were visited before, and the walk goes on for a while after only painted commits are left.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use gix::ObjectId;
use gix::bstr::ByteSlice as _;
use jiff::Timestamp;

use crate::model::{CommitId, Identity};

use super::error::GitError;
use super::mirror::Mirror;
use super::read::{commit_id, object_id};

/// How many painted commits are walked after the last unpainted one: what a run of wrong clocks may span.
const SLACK: usize = 256;

/// One commit of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The commit.
    pub id: CommitId,
    /// Its parents, the first being what it was made on.
    pub parents: Vec<CommitId>,
    /// Who wrote the change.
    pub author: Identity,
    /// Who made the commit.
    pub committer: Identity,
    /// When the commit was made, as its committer says.
    pub time: Timestamp,
    /// The whole message.
    pub message: String,
}

impl Mirror {
    /// The history of `tip`, newest first, at most `limit` commits; `known` and everything before it are left out. A
    /// `known` that is not in the mirror (the branch was rewritten) leaves nothing out.
    ///
    /// # Errors
    /// When `tip` is unknown or a commit cannot be read.
    pub fn log(&self, tip: &CommitId, known: Option<&CommitId>, limit: usize) -> Result<Vec<LogEntry>, GitError> {
        let repo = self.repo()?;
        let tip = self.commit_of(&repo, tip)?;
        let mut walk = Walk { mirror: self, repo: &repo, seen: HashMap::new(), queue: BinaryHeap::new(), pushed: 0 };
        walk.meet(tip, false)?;
        if let Some(known) = known
            && self.has_commit(known)?
        {
            walk.meet(object_id(known), true)?;
        }
        // A commit can only turn out to be known while something is.
        let newest = walk.run(limit, if known.is_some() { limit.saturating_add(SLACK) } else { limit })?;
        newest.into_iter().map(|id| self.log_entry(&repo, id)).collect()
    }

    pub(super) fn log_entry(&self, repo: &gix::Repository, id: ObjectId) -> Result<LogEntry, GitError> {
        let commit = repo.find_commit(id).map_err(|error| self.damage(&error))?;
        let decoded = commit.decode().map_err(|error| self.damage(&error))?;
        let author = decoded.author().map_err(|error| self.damage(&error))?;
        let committer = decoded.committer().map_err(|error| self.damage(&error))?;
        Ok(LogEntry {
            id: commit_id(id),
            parents: decoded.parents().map(commit_id).collect(),
            author: identity(author),
            committer: identity(committer),
            time: Timestamp::from_second(seconds(committer)).unwrap_or(Timestamp::UNIX_EPOCH),
            message: decoded.message.to_str_lossy().into_owned(),
        })
    }
}

fn identity(signature: gix::actor::SignatureRef<'_>) -> Identity {
    let text = |bytes: &gix::bstr::BStr| bytes.to_str_lossy().trim().to_owned();
    Identity { name: text(signature.name), email: text(signature.email) }
}

/// A committer may write anything there; an unreadable time is the oldest.
fn seconds(committer: gix::actor::SignatureRef<'_>) -> i64 {
    committer.time().map_or(0, |time| time.seconds)
}

struct Visited {
    painted: bool,
    walked: bool,
    parents: Vec<ObjectId>,
}

struct Walk<'a> {
    mirror: &'a Mirror,
    repo: &'a gix::Repository,
    seen: HashMap<ObjectId, Visited>,
    /// By time, then in the order of meeting.
    queue: BinaryHeap<(i64, Reverse<usize>, ObjectId)>,
    pushed: usize,
}

impl Walk<'_> {
    fn run(mut self, limit: usize, enough: usize) -> Result<Vec<ObjectId>, GitError> {
        let (mut newest, mut slack) = (Vec::new(), SLACK);
        let unpainted = |walk: &Self| walk.queue.iter().any(|(_, _, id)| !walk.painted(id));
        let mut open = unpainted(&self);
        while let Some((_, _, id)) = self.queue.pop() {
            let painted = self.painted(&id);
            if painted && !open {
                slack -= 1;
            }
            if slack == 0 || newest.len() >= enough {
                break;
            }
            if !painted {
                newest.push(id);
            }
            let parents = match self.seen.get_mut(&id) {
                Some(visited) => {
                    visited.walked = true;
                    visited.parents.clone()
                }
                None => Vec::new(),
            };
            for parent in parents {
                self.meet(parent, painted)?;
            }
            // Once nothing unpainted waits, nothing unpainted can come: parents of painted commits are painted.
            open = open && unpainted(&self);
        }
        newest.retain(|id| !self.painted(id));
        newest.truncate(limit);
        Ok(newest)
    }

    fn painted(&self, id: &ObjectId) -> bool {
        self.seen.get(id).is_some_and(|visited| visited.painted)
    }

    /// Queues a commit on its first meeting; on a later one, hands paint down through what was walked already.
    fn meet(&mut self, id: ObjectId, paint: bool) -> Result<(), GitError> {
        if !self.seen.contains_key(&id) {
            let (time, parents) = self.look_up(id)?;
            self.seen.insert(id, Visited { painted: paint, walked: false, parents });
            self.queue.push((time, Reverse(self.pushed), id));
            self.pushed += 1;
            return Ok(());
        }
        let mut to_paint = if paint { vec![id] } else { Vec::new() };
        while let Some(id) = to_paint.pop() {
            if let Some(visited) = self.seen.get_mut(&id).filter(|visited| !visited.painted) {
                visited.painted = true;
                if visited.walked {
                    to_paint.extend(visited.parents.iter().copied());
                }
            }
        }
        Ok(())
    }

    fn look_up(&self, id: ObjectId) -> Result<(i64, Vec<ObjectId>), GitError> {
        let commit = self.repo.find_commit(id).map_err(|error| self.mirror.damage(&error))?;
        let decoded = commit.decode().map_err(|error| self.mirror.damage(&error))?;
        let committer = decoded.committer().map_err(|error| self.mirror.damage(&error))?;
        Ok((seconds(committer), decoded.parents().collect()))
    }
}
