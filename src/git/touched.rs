//! Which commits of a branch's own line changed what is at a path.

use gix::objs::tree::EntryMode;

use super::error::GitError;
use super::log::LogEntry;
use super::mirror::Mirror;
use super::read::{commit_id, object_id};
use super::tree::PathLookup;
use crate::model::{CommitId, RepoPath};

impl Mirror {
    /// The commits of `tip`'s own line, by first parents, that changed what is at this path or below it, newest first, at most
    /// `limit`. A merge stands for what it brought. In a shallow repository the line ends where the history does.
    ///
    /// # Errors
    /// If `tip` is unknown or an object cannot be read.
    pub fn touched(&self, tip: &CommitId, path: &RepoPath, limit: usize) -> Result<Vec<LogEntry>, GitError> {
        let repo = self.repo()?;
        let at = |commit: &CommitId| -> Result<Option<(EntryMode, gix::ObjectId)>, GitError> {
            let root = self.tree_of(&repo, commit)?;
            Ok(match self.find(&repo, root, path)? {
                PathLookup::Node(mode, id) => Some((mode, id)),
                PathLookup::Nothing | PathLookup::Through(..) => None,
            })
        };
        let (mut found, mut now) = (Vec::new(), at(tip)?);
        let mut next = Some(commit_id(self.commit_of(&repo, tip)?));
        while let Some(commit) = next.take_if(|_| found.len() < limit) {
            let entry = self.log_entry(&repo, object_id(&commit))?;
            if let Some(parent) = entry.parents.first()
                && self.has_commit(parent)?
            {
                next = Some(parent.clone());
            }
            let before = next.as_ref().map(&at).transpose()?.flatten();
            if before != now {
                found.push(entry);
            }
            now = before;
        }
        Ok(found)
    }
}
