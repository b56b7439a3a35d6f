//! Reading commits of the mirror into the graph.

use std::collections::HashSet;

use gix::ObjectId;

use crate::git::error::GitError;
use crate::git::mirror::Mirror;
use crate::git::read::RawCommit;

use super::graph::{CommitNumber, Graph};

/// The outcome of reading a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoadedCommit {
    CommitNumber(CommitNumber),
    /// The mirror does not have it.
    Missing,
}

struct Frame {
    id: ObjectId,
    parents: Vec<ObjectId>,
    next: usize,
}

/// Reads a commit and all of its history that is not in the graph yet. Depth-first with an explicit stack: a history is
/// one long path.
pub(super) fn load(graph: &mut Graph, mirror: &Mirror, id: ObjectId, limit: usize) -> Result<LoadedCommit, GitError> {
    if let Some(node) = graph.find(&id) {
        return Ok(LoadedCommit::CommitNumber(node));
    }
    let repo = mirror.repo()?;
    let Some(frame) = read(mirror, &repo, id)? else { return Ok(LoadedCommit::Missing) };
    let before = graph.len();
    // Missing, or beyond the limit.
    let mut absent = HashSet::new();
    let mut stack = vec![frame];
    while let Some(frame) = stack.last_mut() {
        if let Some(parent) = frame.parents.get(frame.next).copied() {
            frame.next += 1;
            if graph.find(&parent).is_some() || absent.contains(&parent) {
                continue;
            }
            // The limit counts this read only: new commits must be read, however many the graph already has.
            let room = graph.len() - before + stack.len() < limit;
            match if room { read(mirror, &repo, parent)? } else { None } {
                Some(frame) => stack.push(frame),
                None => {
                    absent.insert(parent);
                }
            }
        } else if let Some(frame) = stack.pop() {
            graph.add(frame.id, &frame.parents);
        }
    }
    Ok(graph.find(&id).map_or(LoadedCommit::Missing, LoadedCommit::CommitNumber))
}

fn read(mirror: &Mirror, repo: &gix::Repository, id: ObjectId) -> Result<Option<Frame>, GitError> {
    let Some(commit) = mirror.read_commit(repo, id)? else { return Ok(None) };
    Ok(Some(Frame { id, parents: RawCommit::parse(&commit.data).parents, next: 0 }))
}
