//! Three-way merges for the local forge.

use gix::merge::tree::TreatAsUnresolved;

use crate::model::CommitId;

use super::error::GitError;
use super::mirror::Mirror;
use super::read::commit_id;
use super::tree::{self, TreeEntry};
use super::write::Stamp;

/// The outcome of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeOutcome {
    /// A merge commit on the base's tip; no ref has moved.
    Merged(CommitId),
    /// Both sides changed the same lines of these paths.
    Conflict(Vec<String>),
    /// The base already contains the head.
    AlreadyMerged,
}

impl Mirror {
    /// Merges `head` into `base_tip`: a commit with both as parents. Renames are not followed.
    ///
    /// # Errors
    /// If a commit is unknown, the histories have nothing in common, or objects cannot be read or written.
    pub fn merge(
        &self,
        base_tip: &CommitId,
        head: &CommitId,
        message: &str,
        stamp: &Stamp,
    ) -> Result<MergeOutcome, GitError> {
        if self.is_ancestor(head, base_tip)? {
            return Ok(MergeOutcome::AlreadyMerged);
        }
        let repo = self.repo()?;
        let (ours, theirs) = (self.commit_of(&repo, base_tip)?, self.commit_of(&repo, head)?);
        let common = repo.merge_bases_many(ours, &[theirs]).map_err(|error| self.damage(&error))?;
        if common.is_empty() {
            let what = format!("merging {} into {}", head.short(), base_tip.short());
            return Err(GitError::refused(what, "their histories have nothing in common"));
        }
        let common: Vec<CommitId> = common.into_iter().map(|id| commit_id(id.detach())).collect();
        self.complete_between(&[base_tip, head], &common)?;
        // What was just fetched is seen by whoever opens the repository again.
        let repo = self.repo()?;
        let options = gix::merge::plumbing::tree::Options { rewrites: None, ..Default::default() };
        let labels = gix::merge::blob::builtin_driver::text::Labels {
            ancestor: Some("common".into()),
            current: Some("base".into()),
            other: Some("head".into()),
        };
        let mut outcome =
            repo.merge_commits(ours, theirs, labels, options.into()).map_err(|error| self.damage(&error))?.tree_merge;
        let how = TreatAsUnresolved::git();
        let mut paths: Vec<String> = outcome
            .conflicts
            .iter()
            .filter(|conflict| conflict.is_unresolved(how))
            .map(|conflict| tree::TreePath::of(conflict.ours.location()).to_string())
            .collect();
        if !paths.is_empty() {
            paths.sort_unstable();
            paths.dedup();
            return Ok(MergeOutcome::Conflict(paths));
        }
        let tree = outcome.tree.write().map_err(|error| self.write_error(&error))?.detach();
        let commit = self.write_commit(&repo, tree, &[base_tip.clone(), head.clone()], message, stamp)?;
        Ok(MergeOutcome::Merged(commit))
    }

    /// Fetches what a merge of these sides reads: files that differ between a side and what they have in common are merged line by
    /// line, whatever their size.
    fn complete_between(&self, sides: &[&CommitId], common: &[CommitId]) -> Result<(), GitError> {
        for base in common {
            for side in sides {
                for (from, to) in [(base, *side), (*side, base)] {
                    let changed = self.changes(Some(from), to)?;
                    self.complete(changed.iter().filter_map(|change| match change.now {
                        Some(TreeEntry::File { id, .. }) => Some(id.0),
                        _ => None,
                    }))?;
                }
            }
        }
        Ok(())
    }
}
