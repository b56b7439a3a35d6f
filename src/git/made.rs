//! Commits that somebody else makes for the bot: a forge that signs what its API makes.
//!
//! Promise: what the mirror has afterwards, and what may be pushed, is what was planned, made by somebody else: the same tree,
//! parents and message, under the names that the configuration says. Nothing that the other side answers is believed: the
//! commit is put together here, and its id must be the one that was answered. No ref moves, here or there.

use std::fmt;

use futures::future::BoxFuture;
use gix::objs::{Kind, Write as _};

use crate::model::{CommitId, FailureCode, Identity, RepoPath};

use super::error::GitError;
use super::mirror::Mirror;
use super::read::{RawCommit, commit_id};
use super::tree::{Blob, BlobId, TreeBudget, TreeChange, TreeEntry, TreePath};

/// Somebody who makes commits as the bot has planned them.
pub trait MakesCommits: fmt::Debug + Send + Sync {
    /// Makes a commit that no branch has yet. Asked twice, there may be two, of which one is never used.
    fn make<'a>(&'a self, order: &'a CommitOrder) -> BoxFuture<'a, Result<MadeCommit, NotMade>>;
}

/// A commit to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitOrder {
    /// Its message.
    pub message: String,
    /// Its parents.
    pub parents: Vec<CommitId>,
    /// Who has to be its author. Only the address counts: a name says on whose behalf.
    pub author: Identity,
    /// Who has to be its committer; again, the address counts.
    pub committer: Identity,
    /// The id of the tree that the changes start from, which one of the parents has.
    pub base: String,
    /// What differs from it.
    pub changes: Vec<OrderedChange>,
    /// The id of the tree that must come out.
    pub tree: String,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedChange {
    /// The file.
    pub path: RepoPath,
    /// Its new content; `None`: it is removed.
    pub put: Option<OrderedFile>,
}

/// A file's new content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedFile {
    /// The content.
    pub content: Vec<u8>,
    /// Whether it is marked executable.
    pub executable: bool,
}

/// What somebody says they have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeCommit {
    /// The commit's id.
    pub id: String,
    /// The commit as it was signed.
    pub payload: String,
    /// The signature, in armour.
    pub signature: String,
}

/// Why no commit was made. The message has no secret, and says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotMade {
    /// For a person.
    pub message: String,
    /// The kind of failure.
    pub code: FailureCode,
}

impl From<NotMade> for GitError {
    fn from(NotMade { message, code }: NotMade) -> Self {
        Self::NotMade { message, code }
    }
}

impl Mirror {
    /// The commit that takes the place of a planned one: the same, or the one that somebody else made, where somebody does
    /// so for this mirror. It is in the mirror then.
    ///
    /// # Errors
    /// [`GitError::NotMade`] if there is none, [`GitError::Refused`] if it is not as planned; and if objects cannot be
    /// read or written.
    pub async fn made(&self, planned: &CommitId) -> Result<CommitId, GitError> {
        let Some(maker) = self.maker() else { return Ok(planned.clone()) };
        let order = self.order(planned)?;
        let made = maker.make(&order).await?;
        self.take(&order, &made)
    }

    /// What a planned commit is made of.
    fn order(&self, planned: &CommitId) -> Result<CommitOrder, GitError> {
        let refuse = |reason: &str| GitError::refused("the commit", reason);
        let entry = self.log(planned, None, 1)?.into_iter().next().ok_or_else(|| refuse("it cannot be read"))?;
        // Of a merge, the parent that it differs least from: the base that was merged.
        let mut nearest: Option<(CommitId, Vec<TreeChange>)> = None;
        for parent in &entry.parents {
            let changes = match self.changes_within(Some(parent), planned, TreeBudget::COMMIT) {
                // The other side of a merge may be far away.
                Err(GitError::Refused { .. }) if entry.parents.len() > 1 => continue,
                changes => changes?,
            };
            if nearest.as_ref().is_none_or(|(_, least)| changes.len() < least.len()) {
                nearest = Some((parent.clone(), changes));
            }
        }
        let (parent, changes) = nearest.ok_or_else(|| refuse("it has no parent, or differs from each too much"))?;
        let mut ordered = Vec::with_capacity(changes.len());
        for TreeChange { path, now } in changes {
            let TreePath::Usable(path) = path else { return Err(refuse("a path in it cannot be used")) };
            let put = match now {
                None => None,
                Some(TreeEntry::File { id, executable }) => {
                    Some(OrderedFile { content: self.ordered_content(&path, id)?, executable })
                }
                Some(TreeEntry::Symlink | TreeEntry::Submodule | TreeEntry::Folder) => {
                    return Err(refuse("it changes something that is no regular file"));
                }
            };
            ordered.push(OrderedChange { path, put });
        }
        let repo = self.repo()?;
        let tree = |commit: &CommitId| self.tree_of(&repo, commit).map(|id| id.to_string());
        Ok(CommitOrder {
            base: tree(&parent)?,
            tree: tree(planned)?,
            message: entry.message,
            parents: entry.parents,
            author: entry.author,
            committer: entry.committer,
            changes: ordered,
        })
    }

    fn ordered_content(&self, path: &RepoPath, id: BlobId) -> Result<Vec<u8>, GitError> {
        match self.read_blobs(&[id])?.pop() {
            Some(Blob::Body(content)) => Ok(content),
            Some(Blob::TooLarge(_)) | None => {
                Err(GitError::refused(format!("writing {path}"), "it is too large to read"))
            }
        }
    }

    /// Writes what was made into the mirror, if it is what was ordered.
    fn take(&self, order: &CommitOrder, made: &MadeCommit) -> Result<CommitId, GitError> {
        let refuse = |reason: &str| {
            let what = format!("the commit {} that the forge has made", crate::model::one_line(&made.id, 40));
            GitError::refused(what, format!("{reason}; no branch has got it"))
        };
        let object = assembled(made).ok_or_else(|| refuse("its parts make another commit than the one it names"))?;
        if let Some(reason) = differs(order, &object) {
            return Err(refuse(reason));
        }
        let repo = self.repo()?;
        let written = repo.objects.write_buf(Kind::Commit, &object);
        written.map(commit_id).map_err(|error| GitError::Disk { path: self.git_dir(), message: error.to_string() })
    }
}

/// The commit object with its signature, if it has the id that was answered. Armour ends with a line end, or two, or none:
/// answers do not say which.
fn assembled(made: &MadeCommit) -> Option<Vec<u8>> {
    let headers = made.payload.find("\n\n")? + 1;
    let (head, rest) = made.payload.split_at(headers);
    let armour = made.signature.trim_end_matches(['\n', '\r']);
    ["", "\n", "\n\n"].into_iter().find_map(|end| {
        let signature = format!("{armour}{end}").replace('\n', "\n ");
        let object = format!("{head}gpgsig {signature}\n{rest}").into_bytes();
        let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, Kind::Commit, &object).ok()?;
        (gix::ObjectId::from_hex(made.id.as_bytes()).ok()? == id).then_some(object)
    })
}

/// What about a commit is not as ordered.
fn differs(order: &CommitOrder, object: &[u8]) -> Option<&'static str> {
    let raw = RawCommit::parse(object);
    let address = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let (_, rest) = line.rsplit_once('<')?;
        rest.split_once('>').map(|(address, _)| address.to_owned())
    };
    let parents = raw.parents.iter().map(|id| commit_id(*id));
    let message = String::from_utf8_lossy(raw.message);
    if !object.starts_with(format!("tree {}\n", order.tree).as_bytes()) {
        Some("it has another tree than planned")
    } else if !parents.eq(order.parents.iter().cloned()) {
        Some("it has other parents than planned")
    } else if message.trim_end() != order.message.trim_end() {
        Some("it has another message than planned")
    } else if address(raw.author).as_ref() != Some(&order.author.email) {
        Some("it has another author than the configuration says")
    } else if address(raw.committer).as_ref() != Some(&order.committer.email) {
        Some("it has another committer than the configuration says")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    const ARMOUR: &str = "-----BEGIN PGP SIGNATURE-----\n\nwsBc\n=abcd\n-----END PGP SIGNATURE-----";

    fn order() -> CommitOrder {
        let who = |email: &str| Identity { name: "Ada".to_owned(), email: email.to_owned() };
        CommitOrder {
            message: "bump\n\nLandfall-Update: 1\n".to_owned(),
            parents: vec![CommitId::parse(&"a".repeat(40)).unwrap()],
            author: who("1+x[bot]@users.noreply.github.com"),
            committer: who("noreply@github.com"),
            base: TREE.to_owned(),
            changes: Vec::new(),
            tree: TREE.to_owned(),
        }
    }

    fn payload() -> String {
        format!(
            "tree {TREE}\nparent {}\nauthor x[bot] <1+x[bot]@users.noreply.github.com> 1767600000 +0000\ncommitter GitHub <noreply@github.com> 1767600000 +0000\n\nbump\n\nLandfall-Update: 1",
            "a".repeat(40)
        )
    }

    /// What a forge answers whose object ends its signature in this way.
    fn made(payload: &str, end: &str) -> MadeCommit {
        let head = payload.find("\n\n").unwrap() + 1;
        let signature = format!("{ARMOUR}{end}").replace('\n', "\n ");
        let object = format!("{}gpgsig {signature}\n{}", &payload[..head], &payload[head..]);
        let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, Kind::Commit, object.as_bytes()).unwrap();
        MadeCommit { id: id.to_string(), payload: payload.to_owned(), signature: format!("{ARMOUR}\n") }
    }

    #[test]
    fn a_commit_is_put_together_however_its_armour_ends() {
        for end in ["", "\n", "\n\n"] {
            let object = assembled(&made(&payload(), end)).unwrap();
            assert_eq!(differs(&order(), &object), None, "{end:?}");
        }
        let other = MadeCommit { signature: ARMOUR.replace("wsBc", "wsBd"), ..made(&payload(), "\n") };
        assert_eq!(assembled(&other), None);
        assert_eq!(assembled(&MadeCommit { payload: "tree".to_owned(), ..made(&payload(), "\n") }), None);
    }

    #[test]
    fn a_commit_that_is_not_as_ordered_is_none() {
        for (from, to, says) in [
            (TREE, "5b825dc642cb6eb9a060e54bf8d69288fbee4904", "tree"),
            ("parent aaaa", "parent baaa", "parents"),
            ("\nparent ", "\nx ", "parents"),
            ("Update: 1", "Update: 2", "message"),
            ("1+x[bot]", "2+y[bot]", "author"),
            ("<noreply@github.com>", "<noreply@example.com>", "committer"),
        ] {
            let object = assembled(&made(&payload().replace(from, to), "\n")).unwrap();
            let reason = differs(&order(), &object).unwrap();
            assert!(reason.contains(says), "{from}: {reason}");
        }
    }
}
