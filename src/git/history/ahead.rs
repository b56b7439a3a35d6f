//! The large files that a walk over a partially cloned history will read, fetched before it reads them.
//!
//! Promise: a walk that needs n files which the mirror lacks fetches them in some log(n) conversations, and one that ends early has
//! fetched at most [`GROWTH`] times what it needed. Where nothing is lacking, nothing is looked at twice.

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
        let wanted = lacking.len().max(self.batch);
        for changed in later.take(COMMITS) {
            if lacking.len() >= wanted {
                break;
            }
            lacking.extend(mirror.lacking(read(&changed?))?);
        }
        self.batch = (self.batch * GROWTH).min(LARGEST);
        mirror.complete(lacking)
    }

    /// The same for files that are read at once.
    ///
    /// # Errors
    /// If the remote does not answer.
    pub(super) fn complete(mirror: &Mirror, files: impl IntoIterator<Item = BlobId>) -> Result<(), GitError> {
        mirror.complete(files.into_iter().map(|file| file.0))
    }
}
