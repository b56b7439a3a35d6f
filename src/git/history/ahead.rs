//! The large files that a walk over a partially cloned history will read, fetched before it reads them.
//!
//! Promise: a walk that needs n files which the mirror lacks fetches them in some log(n) conversations, and one that ends early has
//! fetched at most [`GROWTH`] times what it needed. Where nothing is lacking, nothing is looked at twice. What is looked at too early
//! fails nothing.

use gix::ObjectId;

use crate::git::error::GitError;
use crate::git::mirror::Mirror;
use crate::git::tree::{BlobId, TreeEntry};
use crate::model::RepoPath;

/// How many files the first conversation of a walk fetches at most, and by how much each is larger than the last one.
const FIRST: usize = 8;
const GROWTH: usize = 8;
/// The most files of one conversation, and the most commits that are looked at for them.
const LARGEST: usize = 1_024;
const COMMITS: usize = 50_000;
/// The most bytes of one conversation after the first, as far as they can be foreseen.
const BYTES: u64 = 64 << 20;

/// What was fetched for one walk so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    /// Whether the mirror may lack files at all.
    partial: bool,
    batch: usize,
}

/// Files of one step that differ, each with what it was before.
pub(super) type Changed = Vec<(RepoPath, Option<TreeEntry>)>;

impl Ahead {
    pub(super) fn new(mirror: &Mirror) -> Self {
        Self { partial: mirror.may_lack_files(), batch: FIRST }
    }

    /// Before the files of a step are read. If the mirror lacks one of them, it is fetched together with what the steps after it
    /// (`later`, in their order) will read of files for which `reads` says so.
    ///
    /// # Errors
    /// If the remote does not answer, or a tree cannot be read.
    pub(super) fn prepare(
        &mut self,
        mirror: &Mirror,
        due: &Changed,
        later: impl Iterator<Item = Result<Changed, GitError>>,
        reads: impl Fn(&RepoPath) -> bool,
    ) -> Result<(), GitError> {
        if !self.partial {
            return Ok(());
        }
        let read = |changed: &Changed| -> Vec<ObjectId> {
            let files = changed.iter().filter(|(path, _)| reads(path));
            files
                .filter_map(|(_, was)| if let Some(TreeEntry::File { id, .. }) = was { Some(id.0) } else { None })
                .collect()
        };
        let mut lacking = mirror.lacking(read(due))?;
        if lacking.is_empty() {
            return Ok(());
        }
        let needed = lacking.len();
        let wanted = needed.max(self.batch);
        for changed in later.take(COMMITS) {
            // What is wrong with a commit that the walk may never reach is told where it reaches it.
            let Ok(changed) = changed else { break };
            if lacking.len() >= wanted {
                break;
            }
            lacking.extend(mirror.lacking(read(&changed))?);
        }
        match mirror.complete(lacking.iter().copied()) {
            // The same goes for files that the remote does not have.
            Err(error) if lacking.len() > needed && !error.is_transient() => {
                lacking.truncate(needed);
                mirror.complete(lacking.iter().copied())?;
            }
            fetched => fetched?,
        }
        let bytes: u64 = mirror.blob_sizes(&lacking.iter().copied().map(BlobId).collect::<Vec<_>>())?.iter().sum();
        self.batch = next_batch(self.batch, lacking.len(), bytes);
        Ok(())
    }

    /// The same for files that are read at once.
    ///
    /// # Errors
    /// If the remote does not answer.
    pub(super) fn complete(mirror: &Mirror, files: impl IntoIterator<Item = BlobId>) -> Result<(), GitError> {
        mirror.complete(files.into_iter().map(|file| file.0))
    }
}

/// How many files the next conversation fetches, after one of so many files with so many bytes: files of one history have
/// similar sizes.
fn next_batch(batch: usize, files: usize, bytes: u64) -> usize {
    let each = (bytes / u64::try_from(files.max(1)).unwrap_or(u64::MAX)).max(1);
    let room = usize::try_from(BYTES / each).unwrap_or(usize::MAX);
    (batch * GROWTH).min(LARGEST).min(room).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_ahead_is_bounded_by_its_bytes() {
        for (batch, files, bytes, next) in [
            (8, 8, 8 * 100_000, 64),
            (64, 64, 64 * 100_000, 512),
            (1_024, 1_024, 1_024 * 70_000, 958),
            (8, 8, 8 * (16 << 20), 4),
            (4, 4, 4 * (100 << 20), 1),
            (8, 0, 0, 64),
        ] {
            assert_eq!(next_batch(batch, files, bytes), next, "{files} files of {bytes} bytes");
        }
    }
}
