//! Reading the mirror: refs, trees, contents, ancestry. Nothing here contacts the remote.

use std::collections::HashMap;

use crate::model::{CommitId, RepoPath};

use super::error::GitError;
use super::mirror::Mirror;
use super::tree::{self, Blob, BlobId, DiffError, MAX_BLOB, PathLookup, TreeBudget, TreeChange, TreeEntry};

/// Maximum size of a commit, of whose message somebody else is the author. Linux' largest has not a megabyte; one of hundreds
/// is pushed in a few hundred kilobytes, to take memory.
pub(super) const MAX_COMMIT: u64 = 16 << 20;

/// From this many on, contents are read by several threads.
const PARALLEL_FROM: usize = 512;

/// How many files one conversation with the remote fetches: their names are held several times meanwhile.
const FETCHED_AT_ONCE: usize = 20_000;

impl Mirror {
    /// The ref's (full name) value at the last fetch or push; `None`: the remote did not have it.
    ///
    /// # Errors
    /// If the mirror is damaged.
    pub fn tip(&self, full_ref: &str) -> Result<Option<CommitId>, GitError> {
        let repo = self.repo()?;
        let found = repo.try_find_reference(full_ref).map_err(|error| self.damage(&error))?;
        Ok(found.and_then(|found| found.try_id().map(|id| commit_id(id.detach()))))
    }

    /// The differences between `from`'s tree and `to`'s; without `from`, everything. Sorted by path; equal folders cost
    /// nothing; a rename shows as one path that is gone and one that is new.
    ///
    /// # Errors
    /// If a commit is unknown or an object cannot be read.
    pub fn changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<TreeChange>, GitError> {
        self.changes_within(from, to, TreeBudget::REPOSITORY)
    }

    /// As [`Mirror::changes`], within this budget.
    ///
    /// # Errors
    /// As [`Mirror::changes`]; [`GitError::Refused`] if there are more.
    pub fn changes_within(
        &self,
        from: Option<&CommitId>,
        to: &CommitId,
        budget: TreeBudget,
    ) -> Result<Vec<TreeChange>, GitError> {
        let repo = self.repo()?;
        let new = self.tree_of(&repo, to)?;
        let old = from.map(|from| self.tree_of(&repo, from)).transpose()?;
        tree::diff(&repo, old, new, budget).map_err(|error| match error {
            DiffError::Object(error) => self.damage(&error),
            DiffError::TooLarge => GitError::refused(
                format!("reading the tree of {}", to.short()),
                format!("it has more than {} entries or {} MiB of them", budget.entries, budget.bytes >> 20),
            ),
        })
    }

    /// The contents, in the order of the ids; those above [`MAX_BLOB`] are not loaded. To save memory, pass few ids at
    /// a time.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read_blobs(&self, ids: &[BlobId]) -> Result<Vec<Blob>, GitError> {
        self.complete(ids.iter().map(|id| id.0))?;
        self.read_present(ids)
    }

    /// The same of contents that are in the mirror: nothing is fetched, so that it may be called by who keeps others waiting.
    ///
    /// # Errors
    /// If one cannot be read, or is not there.
    pub fn read_present(&self, ids: &[BlobId]) -> Result<Vec<Blob>, GitError> {
        if ids.len() < PARALLEL_FROM {
            return self.read_some(ids);
        }
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8);
        let parts: Vec<Result<Vec<Blob>, GitError>> = std::thread::scope(|scope| {
            let parts = ids.chunks(ids.len().div_ceil(threads));
            let running: Vec<_> = parts.map(|part| scope.spawn(move || self.read_some(part))).collect();
            let lost = || Err(self.damaged("a reader of objects panicked".to_owned()));
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| lost())).collect()
        });
        let mut all = Vec::with_capacity(ids.len());
        for part in parts {
            all.extend(part?);
        }
        Ok(all)
    }

    fn read_some(&self, ids: &[BlobId]) -> Result<Vec<Blob>, GitError> {
        let mut repo = self.repo()?;
        // Each content is read once; caching would only cost memory.
        repo.object_cache_size(None);
        ids.iter().map(|id| self.read_one(&repo, *id)).collect()
    }

    fn read_one(&self, repo: &gix::Repository, id: BlobId) -> Result<Blob, GitError> {
        let size = repo.find_header(id.0).map_err(|error| self.damage(&error))?.size();
        if size > MAX_BLOB {
            return Ok(Blob::TooLarge(size));
        }
        let mut blob = repo.find_blob(id.0).map_err(|error| self.damage(&error))?;
        Ok(Blob::Body(blob.take_data()))
    }

    /// The sizes of contents in bytes, in the order of the ids; no content is read.
    ///
    /// # Errors
    /// If one is missing.
    pub fn blob_sizes(&self, ids: &[BlobId]) -> Result<Vec<u64>, GitError> {
        self.complete(ids.iter().map(|id| id.0))?;
        self.sizes_present(ids)
    }

    /// Those of these contents that an earlier fetch left out, because they are large.
    ///
    /// # Errors
    /// If the mirror is damaged.
    pub fn left_out(&self, ids: impl IntoIterator<Item = BlobId>) -> Result<Vec<BlobId>, GitError> {
        if !self.may_lack_files() {
            return Ok(Vec::new());
        }
        Ok(self.lacking(ids.into_iter().map(|id| id.0))?.into_iter().map(BlobId).collect())
    }

    /// Fetches those of these contents that an earlier fetch left out. The remote may take as long as its time limit permits: call it
    /// where nobody waits.
    ///
    /// # Errors
    /// If the remote does not answer, or does not send them.
    pub fn fetch_left_out(&self, ids: &[BlobId]) -> Result<(), GitError> {
        for some in ids.chunks(FETCHED_AT_ONCE) {
            self.complete(some.iter().map(|id| id.0))?;
        }
        let lacking = self.left_out(ids.iter().copied())?.len();
        if lacking == 0 {
            return Ok(());
        }
        let message = format!("it has not sent {lacking} files of its own commits that it was asked for");
        Err(GitError::Protocol { remote: self.remote().to_owned(), message })
    }

    /// The same as [`Mirror::blob_sizes`] of contents that are in the mirror: nothing is fetched.
    ///
    /// # Errors
    /// If one is missing.
    pub fn sizes_present(&self, ids: &[BlobId]) -> Result<Vec<u64>, GitError> {
        let repo = self.repo()?;
        let size =
            |id: &BlobId| repo.find_header(id.0).map(|header| header.size()).map_err(|error| self.damage(&error));
        ids.iter().map(size).collect()
    }

    /// The entry at each of these paths, as [`Mirror::entry`] returns it; every folder is read once.
    ///
    /// # Errors
    /// As there.
    pub fn entries<'p>(
        &self,
        commit: &CommitId,
        paths: impl IntoIterator<Item = &'p RepoPath>,
    ) -> Result<HashMap<RepoPath, TreeEntry>, GitError> {
        let repo = self.repo()?;
        let root = self.tree_of(&repo, commit)?;
        let found = tree::find_all(&repo, root, paths).map_err(|error| self.damage(&error))?;
        let entry = |(path, found)| match found {
            PathLookup::Node(mode, id) => Some((path, tree::entry((mode, id)))),
            PathLookup::Nothing | PathLookup::Through(..) => None,
        };
        Ok(found.into_iter().filter_map(entry).collect())
    }

    /// The content of one regular file; `None` if there is no file, or a symlink or submodule.
    ///
    /// # Errors
    /// If the commit is unknown, an object cannot be read, or the file is larger than [`MAX_BLOB`].
    pub fn read(&self, commit: &CommitId, path: &RepoPath) -> Result<Option<Vec<u8>>, GitError> {
        let Some(TreeEntry::File { id, .. }) = self.entry(commit, path)? else { return Ok(None) };
        self.complete([id.0])?;
        match self.read_one(&self.repo()?, id)? {
            Blob::Body(body) => Ok(Some(body)),
            Blob::TooLarge(size) => {
                Err(GitError::refused(format!("reading {path}"), format!("it has {size} bytes, more than {MAX_BLOB}")))
            }
        }
    }

    /// The entry at a path; `None` if there is none, or the path leads through a symlink or submodule.
    ///
    /// # Errors
    /// If the commit is unknown or an object cannot be read.
    pub fn entry(&self, commit: &CommitId, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        let repo = self.repo()?;
        let root = self.tree_of(&repo, commit)?;
        Ok(match self.find(&repo, root, path)? {
            PathLookup::Node(mode, id) => Some(tree::entry((mode, id))),
            PathLookup::Nothing | PathLookup::Through(..) => None,
        })
    }

    pub(super) fn find(
        &self,
        repo: &gix::Repository,
        root: gix::ObjectId,
        path: &RepoPath,
    ) -> Result<PathLookup, GitError> {
        use gix::objs::FindExt as _;
        let mut buffer = Vec::new();
        let mut folder = root;
        let mut parts = path.as_str().split('/').peekable();
        let mut walked = String::new();
        while let Some(part) = parts.next() {
            if folder.is_empty_tree() {
                return Ok(PathLookup::Nothing);
            }
            walked.push_str(part);
            let mut entries = repo.objects.find_tree_iter(&folder, &mut buffer).map_err(|error| self.damage(&error))?;
            let found = entries.find(|entry| entry.as_ref().map_or(true, |entry| entry.filename == part));
            let Some(found) = found.transpose().map_err(|error| self.damage(&error))? else {
                return Ok(PathLookup::Nothing);
            };
            if parts.peek().is_none() {
                return Ok(PathLookup::Node(found.mode, found.oid.to_owned()));
            }
            if !found.mode.is_tree() {
                return Ok(PathLookup::Through(walked, tree::entry((found.mode, found.oid.to_owned()))));
            }
            folder = found.oid.to_owned();
            walked.push('/');
        }
        Ok(PathLookup::Nothing)
    }

    /// Whether two commits have the same tree.
    ///
    /// # Errors
    /// If one of them is unknown.
    pub fn same_tree(&self, one: &CommitId, other: &CommitId) -> Result<bool, GitError> {
        let repo = self.repo()?;
        Ok(self.tree_of(&repo, one)? == self.tree_of(&repo, other)?)
    }

    /// Whether the mirror has this commit.
    pub(super) fn has_commit(&self, commit: &CommitId) -> Result<bool, GitError> {
        match self.commit_of(&self.repo()?, commit) {
            Ok(_) => Ok(true),
            Err(GitError::UnknownCommit { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn commit_of(&self, repo: &gix::Repository, commit: &CommitId) -> Result<gix::ObjectId, GitError> {
        let id = object_id(commit);
        match repo.try_find_header(id).map_err(|error| self.damage(&error))? {
            Some(header) if header.kind() == gix::objs::Kind::Commit => Ok(id),
            _ => Err(GitError::UnknownCommit { commit: commit.clone() }),
        }
    }

    /// Reads a commit; `None` if there is no such object, or it is no commit. Everything that is read of commits comes through
    /// here, so that one of somebody else's takes no more memory than [`MAX_COMMIT`].
    pub(super) fn read_commit<'r>(
        &self,
        repo: &'r gix::Repository,
        id: gix::ObjectId,
    ) -> Result<Option<gix::Commit<'r>>, GitError> {
        let Some(header) = repo.try_find_header(id).map_err(|error| self.damage(&error))? else { return Ok(None) };
        if header.kind() != gix::objs::Kind::Commit {
            return Ok(None);
        }
        if header.size() > MAX_COMMIT {
            let what = format!("reading commit {}", commit_id(id).short());
            let reason = format!("it is larger than {} MiB ({} MiB)", MAX_COMMIT >> 20, header.size() >> 20);
            return Err(GitError::refused(what, reason));
        }
        repo.find_commit(id).map(Some).map_err(|error| self.damage(&error))
    }

    /// Reads a commit that must be there.
    pub(super) fn find_commit<'r>(
        &self,
        repo: &'r gix::Repository,
        id: gix::ObjectId,
    ) -> Result<gix::Commit<'r>, GitError> {
        self.read_commit(repo, id)?.ok_or_else(|| GitError::UnknownCommit { commit: commit_id(id) })
    }

    pub(super) fn tree_of(&self, repo: &gix::Repository, commit: &CommitId) -> Result<gix::ObjectId, GitError> {
        let id = self.commit_of(repo, commit)?;
        let commit = self.find_commit(repo, id)?;
        commit.tree_id().map(gix::Id::detach).map_err(|error| self.damage(&error))
    }
}

pub(super) fn object_id(commit: &CommitId) -> gix::ObjectId {
    // A `CommitId` is 40 hexadecimal digits, so the null id is never used.
    gix::ObjectId::from_hex(commit.as_str().as_bytes()).unwrap_or_else(|_| gix::ObjectId::null(gix::hash::Kind::Sha1))
}

pub(super) fn commit_id(id: gix::ObjectId) -> CommitId {
    #[expect(clippy::expect_used, reason = "an SHA-1 id prints as 40 hexadecimal digits, which is what CommitId wants")]
    CommitId::parse(&id.to_hex().to_string()).expect("an object id is a commit id")
}

/// A commit object, parsed as far as possible: old histories contain author lines that no parser of today accepts, and
/// such commits are still usable. A line counts only where Git itself looks for it: parents right after the tree, then the author,
/// then the committer (git, `commit.c`, `parse_commit_buffer`). Anywhere else it is a header that Git keeps and does not read, and
/// that somebody may have put there.
pub(super) struct RawCommit<'a> {
    pub(super) parents: Vec<gix::ObjectId>,
    /// `Ada Lovelace <ada@example.com> 1700000000 +0100`, or whatever is in its place.
    pub(super) author: &'a [u8],
    pub(super) committer: &'a [u8],
    pub(super) message: &'a [u8],
}

impl<'a> RawCommit<'a> {
    pub(super) fn parse(data: &'a [u8]) -> Self {
        let end = data.windows(2).position(|two| two == b"\n\n");
        let (header, message) = end.map_or((data, &data[data.len()..]), |at| (&data[..at], &data[at + 2..]));
        let mut commit = Self { parents: Vec::new(), author: b"", committer: b"", message };
        let mut lines = header.split(|byte| *byte == b'\n').peekable();
        let _ = lines.next_if(|line| line.starts_with(b"tree "));
        while let Some(id) = lines.next_if(|line| line.starts_with(b"parent ")) {
            commit.parents.extend(gix::ObjectId::from_hex(&id[b"parent ".len()..]));
        }
        // Some old tools wrote the author twice.
        while let Some(line) = lines.next_if(|line| line.starts_with(b"author ")) {
            if commit.author.is_empty() {
                commit.author = &line[b"author ".len()..];
            }
        }
        if let Some(line) = lines.next_if(|line| line.starts_with(b"committer ")) {
            commit.committer = &line[b"committer ".len()..];
        }
        commit
    }
}
