//! The outside of the executor: a repository with its remote, and its pull requests. The real ones are a mirror and a
//! forge; in the executor's tests both are played in memory.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::forge::{Ensured, PullError};
use crate::git::{
    Blob, BlobId, GitError, LogEntry, Mirror, NewCommit, NewFiles, NewTree, RefResult, RefUpdate, TreeBudget,
    TreeChange, TreeEntry, TreePath,
};
use crate::model::{CommitId, DequeueOutcome, KeyPaths, Merge, MergeOutcome, PullRequestSpec, RepoPath};
use crate::overlay;

/// Branches or other refs of a remote, full name → commit.
pub(in crate::daemon) type Refs = BTreeMap<String, CommitId>;

/// Defines [`Remote`] from a list, and implements it for the mirror with its functions of the same names.
macro_rules! remote {
    (
        asked { $( fn $ask:ident(&self $(, $arg:ident: $Arg:ty)*) -> $Answer:ty; )* }
        mirrored { $( fn $read:ident(&self $(, $of:ident: $Of:ty)*) -> $Found:ty; )* }
        $($provided:tt)*
    ) => {
        /// A remote, and its mirror; each function has the contract of [`Mirror`]'s function with that name.
        pub(in crate::daemon) trait Remote {
            $( async fn $ask(&self $(, $arg: $Arg)*) -> $Answer; )*
            $( fn $read(&self $(, $of: $Of)*) -> $Found; )*
            $($provided)*
        }

        impl Remote for Mirror {
            $( async fn $ask(&self $(, $arg: $Arg)*) -> $Answer { Self::$ask(self $(, $arg)*).await } )*
            $( fn $read(&self $(, $of: $Of)*) -> $Found { Self::$read(self $(, $of)*) } )*
        }
    };
}

remote! {
    asked {
        fn ls_remote(&self) -> Result<Refs, GitError>;
        fn fetch_listed(&self, listed: &Refs, refs: &[String]) -> Result<(), GitError>;
        fn push(&self, updates: &[RefUpdate]) -> Result<Vec<RefResult>, GitError>;
        fn made(&self, planned: &CommitId) -> Result<CommitId, GitError>;
    }
    mirrored {
        fn declared(&self) -> KeyPaths;
        fn has_maker(&self) -> bool;
        fn tip(&self, full_ref: &str) -> Result<Option<CommitId>, GitError>;
        fn log(&self, tip: &CommitId, known: Option<&CommitId>, limit: usize) -> Result<Vec<LogEntry>, GitError>;
        fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> Result<bool, GitError>;
        fn same_tree(&self, one: &CommitId, other: &CommitId) -> Result<bool, GitError>;
        fn changes_within(
            &self, from: Option<&CommitId>, to: &CommitId, budget: TreeBudget
        ) -> Result<Vec<TreeChange>, GitError>;
        fn entries(&self, commit: &CommitId, paths: &[RepoPath]) -> Result<HashMap<RepoPath, TreeEntry>, GitError>;
        fn read_blobs(&self, ids: &[BlobId]) -> Result<Vec<Blob>, GitError>;
        fn commit(&self, new: &NewCommit) -> Result<CommitId, GitError>;
        fn commit_files(&self, new: &NewFiles) -> Result<CommitId, GitError>;
        fn commit_tree(&self, new: &NewTree) -> Result<CommitId, GitError>;
    }

    /// The content of a file; `None` if it does not exist.
    fn content(&self, commit: &CommitId, path: &RepoPath) -> Result<Option<Vec<u8>>, GitError> {
        let found = self.entries(commit, std::slice::from_ref(path))?.remove(path);
        let Some(TreeEntry::File { id, .. }) = found else { return Ok(None) };
        match self.read_blobs(&[id])?.pop() {
            Some(Blob::Body(bytes)) => Ok(Some(bytes)),
            Some(Blob::TooLarge(size)) => {
                Err(GitError::Refused { what: format!("reading {path}"), reason: format!("it has {size} bytes") })
            }
            None => Ok(None),
        }
    }

    /// The files that may say what the versions in a file are of; those that cannot be read say nothing.
    fn beside(&self, commit: &CommitId, path: &RepoPath) -> Result<Vec<(RepoPath, Vec<u8>)>, GitError> {
        let mut found = Vec::new();
        for other in overlay::beside(path) {
            match self.content(commit, &other) {
                Ok(bytes) => found.extend(bytes.map(|bytes| (other, bytes))),
                Err(GitError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Whether a file changed between `start` and `tip` on a branch has also changed on the base.
    fn is_outdated(&self, start: &CommitId, tip: &CommitId, base: &CommitId) -> Result<bool, GitError> {
        if start == base {
            return Ok(false);
        }
        let mut paths = Vec::new();
        for change in self.changes_within(Some(start), tip, TreeBudget::COMMIT)? {
            let TreePath::Usable(path) = change.path else { return Ok(true) };
            paths.push(path);
        }
        Ok(self.entries(start, &paths)? != self.entries(base, &paths)?)
    }
}

/// The write operations on a repository's pull requests.
pub(in crate::daemon) trait PullRequests {
    /// Finds or opens each pull request; after a failure, repeating the call is safe.
    async fn ensure(&mut self, wanted: &[(PullRequestSpec, CommitId)], now: Timestamp) -> Vec<Ensured>;
    /// Merges at the judged commit. On an error, it is unknown whether it was merged.
    async fn merge(&mut self, merge: &Merge, now: Timestamp) -> Result<MergeOutcome, PullError>;
    /// Whether it is in a merge queue, so that nothing may be pushed to its branch. On an error, this is unknown.
    async fn is_queued(&mut self, number: u64) -> Result<bool, PullError>;
    /// Takes it out of the merge queue, and posts `comment`. On an error, it may still be there.
    async fn dequeue(&mut self, number: u64, comment: &str) -> Result<DequeueOutcome, PullError>;
    /// Closes a pull request; `body` becomes its text, and `comment` is posted if the forge has comments.
    async fn close(&mut self, number: u64, body: &str, comment: &str, now: Timestamp) -> Result<(), PullError>;
    /// Posts the reminder on a pull request, once.
    async fn remind(&mut self, number: u64, text: &str) -> Result<(), PullError>;
    /// Removes a label. On an error, it may still be there.
    async fn take_label(&mut self, number: u64, label: &str, now: Timestamp) -> Result<(), PullError>;
}
