//! Building commits from objects, without a work tree or an index.

use std::collections::BTreeSet;
use std::path::Path;

use gix::objs::tree::EntryKind;
use jiff::Timestamp;

use crate::model::{BranchName, CommitId, Identity, RepoPath};

use super::error::GitError;
use super::folder;
use super::mirror::Mirror;
use super::read::{commit_id, object_id};
use super::signature::CommitSigner;
use super::tree::{self, PathLookup, TreeEntry};

/// Author, committer and time of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Who wrote the change.
    pub author: Identity,
    /// Who makes the commit.
    pub committer: Identity,
    /// When, for both; the zone is UTC.
    pub time: Timestamp,
}

/// A commit that replaces the content of existing files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommit {
    /// Its parents, usually `base` alone.
    pub parents: Vec<CommitId>,
    /// The commit whose tree is edited.
    pub base: CommitId,
    /// The files with their new content; each is a regular file of `base` and keeps its mode.
    pub files: Vec<(RepoPath, Vec<u8>)>,
    /// The message.
    pub message: String,
    /// Who wrote the change.
    pub author: Identity,
    /// Who makes the commit.
    pub committer: Identity,
    /// When.
    pub time: Timestamp,
}

/// A commit that adds, replaces and removes files, or has only a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFiles {
    /// Its parent, whose tree is edited.
    pub parent: CommitId,
    /// Files with their new content; at each path there is now a regular file or nothing.
    pub put: Vec<(RepoPath, Vec<u8>)>,
    /// Files to remove; each is a regular file now.
    pub remove: Vec<RepoPath>,
    /// The message.
    pub message: String,
    /// Who and when.
    pub stamp: Stamp,
}

/// A commit whose tree is these files and nothing else: records below `refs/landfall/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTree {
    /// Its parents; none for the first record.
    pub parents: Vec<CommitId>,
    /// All files of the tree, as plain ones.
    pub files: Vec<(RepoPath, Vec<u8>)>,
    /// The message.
    pub message: String,
    /// Who and when.
    pub stamp: Stamp,
}

impl Mirror {
    /// Writes a commit and the blobs and trees it needs. No ref moves, here or on the remote.
    ///
    /// # Errors
    /// [`GitError::Refused`] if a path is not a regular file of the base, leads through a symlink or submodule, or is
    /// named twice, or if nothing would change; otherwise if objects cannot be read or written.
    pub fn commit(&self, new: &NewCommit) -> Result<CommitId, GitError> {
        let repo = self.repo()?;
        let base = self.tree_of(&repo, &new.base)?;
        let tree = self.edited_tree(&repo, base, &new.files)?;
        if tree == base {
            return Err(GitError::refused("the commit", "it would change nothing"));
        }
        let stamp = Stamp { author: new.author.clone(), committer: new.committer.clone(), time: new.time };
        self.write_commit(&repo, tree, &new.parents, &new.message, &stamp)
    }

    /// The tree of `base` with these files' contents replaced.
    fn edited_tree(
        &self,
        repo: &gix::Repository,
        base: gix::ObjectId,
        files: &[(RepoPath, Vec<u8>)],
    ) -> Result<gix::ObjectId, GitError> {
        let mut editor = repo.edit_tree(base).map_err(|error| self.damage(&error))?;
        let found =
            tree::find_all(repo, base, files.iter().map(|(path, _)| path)).map_err(|error| self.damage(&error))?;
        let mut seen = BTreeSet::new();
        for (path, content) in files {
            let kind = replaceable(path, found.get(path))?;
            if !seen.insert(path) {
                return Err(GitError::refused(format!("writing {path}"), TWICE));
            }
            let blob = repo.write_blob(content).map_err(|error| self.write_error(&error))?;
            editor.upsert(path.as_str(), kind, blob).map_err(|error| self.damage(&error))?;
        }
        Ok(editor.write().map_err(|error| self.write_error(&error))?.detach())
    }

    /// Compares a commit with what the bot would have made: `parent` as its only parent, and its tree with these
    /// contents and no other change. The author is ignored: anybody can claim any name.
    ///
    /// # Errors
    /// If the commit or the parent is unknown, or an object cannot be read or written.
    pub fn compare_with_edits(
        &self,
        commit: &CommitId,
        parent: &CommitId,
        files: &[(RepoPath, Vec<u8>)],
    ) -> Result<EditComparison, GitError> {
        let repo = self.repo()?;
        let found = self.commit_of(&repo, commit)?;
        let found = self.find_commit(&repo, found)?;
        let parents: Vec<gix::ObjectId> = found.parent_ids().map(gix::Id::detach).collect();
        if parents != [object_id(parent)] {
            return Ok(EditComparison::OtherParents);
        }
        let base = self.tree_of(&repo, parent)?;
        let wanted = match self.edited_tree(&repo, base, files) {
            // What cannot be edited at the parent was not edited there.
            Err(GitError::Refused { .. }) => return Ok(EditComparison::OtherTree),
            wanted => wanted?,
        };
        Ok(if wanted == self.tree_of(&repo, commit)? { EditComparison::Same } else { EditComparison::OtherTree })
    }

    /// Writes a commit that adds, replaces and removes files. No ref moves, here or on the remote.
    ///
    /// # Errors
    /// [`GitError::Refused`] if a path leads through a file, symlink or submodule, is not a regular file now, or is
    /// named twice; otherwise if objects cannot be read or written.
    pub fn commit_files(&self, new: &NewFiles) -> Result<CommitId, GitError> {
        let repo = self.repo()?;
        let base = self.tree_of(&repo, &new.parent)?;
        let mut editor = repo.edit_tree(base).map_err(|error| self.damage(&error))?;
        let mut seen = BTreeSet::new();
        for path in new.put.iter().map(|(path, _)| path).chain(&new.remove) {
            if !seen.insert(path) {
                return Err(GitError::refused(format!("writing {path}"), "it is named twice"));
            }
        }
        let paths = new.put.iter().map(|(path, _)| path).chain(&new.remove);
        let found = tree::find_all(&repo, base, paths).map_err(|error| self.damage(&error))?;
        for (path, content) in &new.put {
            let kind = match found.get(path) {
                None | Some(PathLookup::Nothing) => EntryKind::Blob,
                there => replaceable(path, there)?,
            };
            let blob = repo.write_blob(content).map_err(|error| self.write_error(&error))?;
            editor.upsert(path.as_str(), kind, blob).map_err(|error| self.damage(&error))?;
        }
        for path in &new.remove {
            replaceable(path, found.get(path))?;
            editor.remove_leaf(path.as_str()).map_err(|error| self.damage(&error))?;
        }
        let tree = editor.write().map_err(|error| self.write_error(&error))?.detach();
        self.write_commit(&repo, tree, std::slice::from_ref(&new.parent), &new.message, &new.stamp)
    }

    /// Writes a commit with exactly these files.
    ///
    /// # Errors
    /// If a path is named twice or is both a file and a folder, or objects cannot be written.
    pub fn commit_tree(&self, new: &NewTree) -> Result<CommitId, GitError> {
        let repo = self.repo()?;
        let tree = write_tree(&repo, &new.files).map_err(|error| error.told(self))?;
        self.write_commit(&repo, tree, &new.parents, &new.message, &new.stamp)
    }

    pub(super) fn write_commit(
        &self,
        repo: &gix::Repository,
        tree: gix::ObjectId,
        parents: &[CommitId],
        message: &str,
        stamp: &Stamp,
    ) -> Result<CommitId, GitError> {
        for parent in parents {
            self.commit_of(repo, parent)?;
        }
        let parents = parents.iter().map(object_id).collect::<Vec<_>>();
        let mut commit = assemble(tree, parents, message, stamp)?;
        if let Some(signer) = self.signer() {
            let mut bytes = Vec::new();
            let written = gix::objs::WriteTo::write_to(&commit, &mut bytes);
            written.map_err(|error| GitError::refused("the commit", error.to_string()))?;
            commit.extra_headers.push(("gpgsig".into(), signer.sign(&bytes).into()));
        }
        let id = repo.write_object(&commit).map_err(|error| self.write_error(&error))?;
        Ok(commit_id(id.detach()))
    }

    /// The public keys whose signatures [`Mirror::bears_our_signature`] accepts; empty if none is required.
    #[must_use]
    pub fn signing_keys(&self) -> String {
        self.signer().map(CommitSigner::accepted_keys).unwrap_or_default()
    }

    /// Whether a commit bears the signature that the bot's commits must have; where they need none, every one does.
    ///
    /// # Errors
    /// When the commit is unknown or cannot be read.
    pub fn bears_our_signature(&self, commit: &CommitId) -> Result<bool, GitError> {
        let Some(signer) = self.signer() else { return Ok(true) };
        let repo = self.repo()?;
        let id = self.commit_of(&repo, commit)?;
        let object = self.find_commit(&repo, id)?;
        Ok(signer.has_signed(&object.data))
    }

    /// Why an object could not be written: gix checks the names in every tree it writes, those of untouched neighbours
    /// included; otherwise it is a matter of the disk, and nothing in the mirror is worse for it.
    pub(super) fn write_error(&self, error: &gix::Error) -> GitError {
        let message = super::mirror::whole(error);
        if error.is_validation() {
            return GitError::refused("writing a folder", message);
        }
        GitError::Disk { path: self.git_dir(), message }
    }
}

/// How a commit compares with the expected edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditComparison {
    /// Its only parent is the expected one, and its tree is the parent's with the edits.
    Same,
    /// It has another parent, several, or none.
    OtherParents,
    /// Its tree has something else, or lacks something.
    OtherTree,
}

/// The mode of a file that may be replaced.
fn replaceable(path: &RepoPath, found: Option<&PathLookup>) -> Result<EntryKind, GitError> {
    let refuse = |reason: String| Err(GitError::refused(format!("writing {path}"), reason));
    match found {
        None | Some(PathLookup::Nothing) => refuse("there is no such file".to_owned()),
        Some(PathLookup::Through(place, entry)) => refuse(format!("`{place}` on its path is {}", named(*entry))),
        Some(PathLookup::Node(mode, id)) => match tree::entry((*mode, *id)) {
            TreeEntry::File { executable: true, .. } => Ok(EntryKind::BlobExecutable),
            TreeEntry::File { executable: false, .. } => Ok(EntryKind::Blob),
            other => refuse(format!("it is {}", named(other))),
        },
    }
}

/// Creates an empty bare repository at `dir` whose branch is `branch`; with files, a first commit holds them.
///
/// # Errors
/// If the folder is not empty or not writable.
pub fn create_bare(
    dir: &Path,
    branch: &BranchName,
    files: &[(RepoPath, Vec<u8>)],
    stamp: &Stamp,
) -> Result<Option<CommitId>, GitError> {
    use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit};
    let failed = |message: String| GitError::Disk { path: dir.to_owned(), message };
    folder::bare(dir, branch.as_str()).map_err(|error| failed(error.to_string()))?;
    if files.is_empty() {
        return Ok(None);
    }
    let repo = folder::open(dir).map_err(failed)?;
    let tree = write_tree(&repo, files).map_err(|error| match error {
        TreeError::Twice(path) => GitError::refused(format!("writing {path}"), TWICE),
        TreeError::Object(error) => failed(super::mirror::whole(&error)),
    })?;
    let commit = assemble(tree, Vec::new(), "Initial commit", stamp)?;
    let id = repo.write_object(&commit).map_err(|error| failed(super::mirror::whole(&error)))?.detach();
    let name = branch.full().try_into().map_err(|_| GitError::refused(branch.full(), "it is not a ref name"))?;
    let change = Change::Update {
        log: LogChange::default(),
        expected: PreviousValue::MustNotExist,
        new: gix::refs::Target::Object(id),
    };
    let edit = RefEdit { change, name, deref: false };
    repo.edit_reference(edit).map_err(|error| failed(super::mirror::whole(&error)))?;
    Ok(Some(commit_id(id)))
}

const TWICE: &str = "it is named twice, or is both a file and a folder";

enum TreeError {
    Twice(RepoPath),
    Object(gix::Error),
}

impl TreeError {
    fn told(self, mirror: &Mirror) -> GitError {
        match self {
            Self::Twice(path) => GitError::refused(format!("writing {path}"), TWICE),
            Self::Object(error) => mirror.write_error(&error),
        }
    }
}

fn write_tree(repo: &gix::Repository, files: &[(RepoPath, Vec<u8>)]) -> Result<gix::ObjectId, TreeError> {
    let empty = gix::ObjectId::empty_tree(repo.object_hash());
    let mut editor = repo.edit_tree(empty).map_err(TreeError::Object)?;
    let names: BTreeSet<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    for (path, content) in files {
        let parents = path.as_str().match_indices('/').any(|(at, _)| names.contains(&path.as_str()[..at]));
        if parents || names.len() != files.len() {
            return Err(TreeError::Twice(path.clone()));
        }
        let blob = repo.write_blob(content).map_err(TreeError::Object)?;
        editor.upsert(path.as_str(), EntryKind::Blob, blob).map_err(TreeError::Object)?;
    }
    editor.write().map(gix::Id::detach).map_err(TreeError::Object)
}

/// The commit object. Refuses what would break its format or hide a part of it from a reader.
fn assemble(
    tree: gix::ObjectId,
    parents: Vec<gix::ObjectId>,
    message: &str,
    stamp: &Stamp,
) -> Result<gix::objs::Commit, GitError> {
    if message.contains('\0') || message.trim().is_empty() {
        return Err(GitError::refused("the commit", "its message is empty or has a NUL character"));
    }
    let time = gix::date::Time { seconds: stamp.time.as_second(), offset: 0 };
    if time.seconds < 0 {
        return Err(GitError::refused("the commit", "its time is before 1970"));
    }
    let signed = |identity: &Identity| {
        let odd = |text: &str| text.chars().any(|c| c.is_control() || matches!(c, '<' | '>'));
        if odd(&identity.name) || odd(&identity.email) || identity.name.trim().is_empty() {
            return Err(GitError::refused("the commit", "a name or address is empty or has a line break, < or >"));
        }
        Ok(gix::actor::Signature { name: identity.name.trim().into(), email: identity.email.trim().into(), time })
    };
    let message = if message.ends_with('\n') { message.to_owned() } else { format!("{message}\n") };
    Ok(gix::objs::Commit {
        tree,
        parents: parents.into(),
        author: signed(&stamp.author)?,
        committer: signed(&stamp.committer)?,
        encoding: None,
        message: message.into(),
        extra_headers: Vec::new(),
    })
}

fn named(entry: TreeEntry) -> &'static str {
    match entry {
        TreeEntry::File { .. } => "a file",
        TreeEntry::Symlink => "a symbolic link",
        TreeEntry::Submodule => "a submodule",
        TreeEntry::Folder => "a folder",
    }
}
