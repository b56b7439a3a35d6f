//! A remote and its pull requests, played in memory: what each push meets is said before, and what was sent is kept.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use jiff::Timestamp;

use super::super::{PullRequests, Refs, Remote};
use crate::forge::{Ensured, PullError};
use crate::git::{
    Blob, BlobId, Force, GitError, LogEntry, NewCommit, NewFiles, NewTree, RefResult, RefUpdate, RefusalKind, Stamp,
    TreeBudget, TreeChange, TreeEntry, TreePath,
};
use crate::model::{
    CommitId, DequeueOutcome, FailureCode, Identity, KeyPaths, Merge, MergeOutcome, PullRequest, PullRequestSpec,
    PullState, RepoPath,
};

pub(super) const MAIN: &str = "refs/heads/main";

type Tree = BTreeMap<RepoPath, BlobId>;

/// What a push meets, beside the lease.
pub(super) enum Meets {
    /// The ref moves to this commit a moment before.
    Race { name: String, to: CommitId },
    /// A server that takes it, and an answer that never comes.
    LostAnswer,
    /// No server.
    Nobody,
    /// A server that says yes and does nothing.
    Lie,
}

#[derive(Clone)]
struct Commit {
    entry: LogEntry,
    tree: Tree,
}

#[derive(Default)]
pub(super) struct PlayedWorld {
    commits: HashMap<CommitId, Commit>,
    blobs: HashMap<BlobId, Vec<u8>>,
    /// Where the server's refs are.
    pub(super) refs: Refs,
    /// Where the mirror believes them to be.
    fetched: Refs,
    /// What the next pushes meet; then they go through.
    pub(super) meets: VecDeque<Meets>,
    /// A hook that takes no push with a commit that changes this file, and what it says.
    pub(super) closed: Option<(&'static str, &'static str)>,
    /// Whether the server takes no branch that is rewritten.
    pub(super) no_rewrites: bool,
    /// Whoever makes the commits makes none, and this is why.
    pub(super) unmade: Option<FailureCode>,
    /// Whether they never answer.
    pub(super) hangs: bool,
    /// Whether somebody else makes them.
    pub(super) has_maker: bool,
    /// How many they were asked for.
    pub(super) asked: usize,
    /// What happened, in order.
    pub(super) events: Vec<String>,
}

#[derive(Clone, Default)]
pub(super) struct Played(Rc<RefCell<PlayedWorld>>);

impl Played {
    pub(super) fn world(&self) -> RefMut<'_, PlayedWorld> {
        self.0.borrow_mut()
    }

    fn known(&self, commit: &CommitId) -> Result<Ref<'_, Commit>, GitError> {
        Ref::filter_map(self.0.borrow(), |world| world.commits.get(commit))
            .map_err(|_| GitError::UnknownCommit { commit: commit.clone() })
    }

    /// Somebody's commit on these parents, with these files in place of the first parent's; no ref moves.
    pub(super) fn commit_by(
        &self,
        who: &str,
        parents: &[&CommitId],
        files: &[(&str, &str)],
        message: &str,
    ) -> CommitId {
        let person = Identity { name: who.to_owned(), email: format!("{who}@example.com") };
        let files = files.iter().map(|(path, text)| (RepoPath::parse(path).unwrap(), text.as_bytes().to_vec()));
        let stamp = Stamp { author: person.clone(), committer: person, time: Timestamp::UNIX_EPOCH };
        let parents: Vec<CommitId> = parents.iter().copied().cloned().collect();
        self.made(&parents, parents.first(), files.collect(), message, &stamp)
    }

    fn made(
        &self,
        parents: &[CommitId],
        base: Option<&CommitId>,
        files: Vec<(RepoPath, Vec<u8>)>,
        message: &str,
        stamp: &Stamp,
    ) -> CommitId {
        let mut tree = base.map_or_else(Tree::new, |base| self.known(base).unwrap().tree.clone());
        let mut world = self.world();
        for (path, content) in files {
            let id = BlobId::of(&content);
            world.blobs.insert(id, content);
            tree.insert(path, id);
        }
        let id = CommitId::parse(&format!("{:040x}", world.commits.len() + 1)).unwrap();
        let Stamp { author, committer, time } = stamp.clone();
        let parents = parents.to_vec();
        let entry = LogEntry { id: id.clone(), parents, author, committer, time, message: message.to_owned() };
        world.commits.insert(id.clone(), Commit { entry, tree });
        id
    }

    /// The server's ref.
    pub(super) fn at(&self, name: &str) -> Option<CommitId> {
        self.0.borrow().refs.get(name).cloned()
    }

    /// Moves the server's ref.
    pub(super) fn set(&self, name: &str, to: &CommitId) {
        self.world().refs.insert(name.to_owned(), to.clone());
    }

    /// A file's text at a commit.
    pub(super) fn text(&self, commit: &CommitId, path: &str) -> String {
        String::from_utf8(self.content(commit, &RepoPath::parse(path).unwrap()).unwrap().unwrap()).unwrap()
    }

    /// The commits that a ref went through, newest first, by the names of their authors.
    pub(super) fn authors(&self, name: &str) -> Vec<String> {
        let mut authors = Vec::new();
        let mut next = self.at(name);
        while let Some(id) = next {
            let commit = self.known(&id).unwrap().clone();
            authors.push(commit.entry.author.name);
            next = commit.entry.parents.first().cloned();
        }
        authors
    }

    fn past(&self, of: &CommitId) -> BTreeSet<CommitId> {
        let (mut past, mut next) = (BTreeSet::new(), vec![of.clone()]);
        while let Some(id) = next.pop() {
            if past.insert(id.clone()) {
                next.extend(self.known(&id).unwrap().entry.parents.clone());
            }
        }
        past
    }

    /// What the hook says about an update.
    fn refusal(&self, update: &RefUpdate) -> Option<String> {
        let (path, words) = self.0.borrow().closed?;
        let path = RepoPath::parse(path).unwrap();
        let before = update.expected.as_ref().map(|id| self.past(id)).unwrap_or_default();
        let sent = self.past(update.new.as_ref()?);
        let at = |id: &CommitId| self.known(id).unwrap().tree.get(&path).copied();
        let changes = |id: &&CommitId| {
            let parent = self.known(id).unwrap().entry.parents.first().cloned();
            at(id) != parent.and_then(|parent| at(&parent))
        };
        sent.difference(&before).any(|id| changes(&id)).then(|| words.to_owned())
    }

    fn push_one(&self, update: &RefUpdate) -> RefResult {
        let there = self.at(&update.name);
        if there == update.new {
            return RefResult::UpToDate;
        }
        if there != update.expected {
            return RefResult::LostRace { message: format!("{} is now elsewhere", update.name) };
        }
        if let Some(message) = self.refusal(update) {
            return RefResult::Rejected { kind: RefusalKind::Other, message };
        }
        if let (Some(expected), Some(new)) = (&update.expected, &update.new)
            && !self.past(new).contains(expected)
        {
            assert!(update.force == Force::WithLease, "a base branch was to be rewritten");
            if self.0.borrow().no_rewrites {
                return RefResult::Rejected { kind: RefusalKind::Rewrite, message: "non-fast-forward".to_owned() };
            }
        }
        let mut world = self.world();
        let PlayedWorld { refs, fetched, .. } = &mut *world;
        for refs in [refs, fetched] {
            match &update.new {
                Some(new) => drop(refs.insert(update.name.clone(), new.clone())),
                None => drop(refs.remove(&update.name)),
            }
        }
        RefResult::Updated
    }

    fn unreachable() -> GitError {
        GitError::Unreachable { remote: "played".to_owned(), message: "connection reset".to_owned() }
    }
}

impl Remote for Played {
    async fn ls_remote(&self) -> Result<Refs, GitError> {
        Ok(self.0.borrow().refs.clone())
    }

    async fn fetch_listed(&self, listed: &Refs, refs: &[String]) -> Result<(), GitError> {
        let mut world = self.world();
        for name in refs {
            match listed.get(name).cloned() {
                Some(id) => drop(world.fetched.insert(name.clone(), id)),
                None => drop(world.fetched.remove(name)),
            }
        }
        Ok(())
    }

    async fn made(&self, planned: &CommitId) -> Result<CommitId, GitError> {
        self.world().asked += 1;
        if self.0.borrow().hangs {
            std::future::pending::<()>().await;
        }
        match self.world().unmade {
            Some(code) => Err(GitError::NotMade { message: "not signed".to_owned(), code }),
            None => Ok(planned.clone()),
        }
    }

    async fn push(&self, updates: &[RefUpdate]) -> Result<Vec<RefResult>, GitError> {
        let names: Vec<&str> = updates.iter().map(|update| update.name.trim_start_matches("refs/heads/")).collect();
        self.world().events.push(format!("push {}", names.join(" ")));
        let meets = self.world().meets.pop_front();
        if let Some(Meets::Race { name, to }) = &meets {
            self.set(name, to);
        }
        match meets {
            Some(Meets::Nobody) => return Err(Self::unreachable()),
            Some(Meets::Lie) => return Ok(updates.iter().map(|_| RefResult::Updated).collect()),
            Some(Meets::Race { .. } | Meets::LostAnswer) | None => {}
        }
        let results = updates.iter().map(|update| self.push_one(update)).collect();
        if let Some(Meets::LostAnswer) = meets { Err(Self::unreachable()) } else { Ok(results) }
    }

    fn declared(&self) -> KeyPaths {
        KeyPaths::default()
    }

    fn has_maker(&self) -> bool {
        self.0.borrow().has_maker
    }

    fn tip(&self, full_ref: &str) -> Result<Option<CommitId>, GitError> {
        Ok(self.0.borrow().fetched.get(full_ref).cloned())
    }

    fn log(&self, tip: &CommitId, _: Option<&CommitId>, limit: usize) -> Result<Vec<LogEntry>, GitError> {
        assert_eq!(limit, 1, "the executor looks at single commits");
        Ok(vec![self.known(tip)?.entry.clone()])
    }

    fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> Result<bool, GitError> {
        drop((self.known(ancestor)?, self.known(of)?));
        Ok(self.past(of).contains(ancestor))
    }

    fn same_tree(&self, one: &CommitId, other: &CommitId) -> Result<bool, GitError> {
        Ok(self.known(one)?.tree == self.known(other)?.tree)
    }

    fn changes_within(
        &self,
        from: Option<&CommitId>,
        to: &CommitId,
        _: TreeBudget,
    ) -> Result<Vec<TreeChange>, GitError> {
        let old = from.map(|from| self.known(from).map(|from| from.tree.clone())).transpose()?.unwrap_or_default();
        let new = self.known(to)?.tree.clone();
        let paths: BTreeSet<RepoPath> = old.keys().chain(new.keys()).cloned().collect();
        let entry = |id: &BlobId| TreeEntry::File { id: *id, executable: false };
        let changed = paths.into_iter().filter(|path| old.get(path) != new.get(path));
        Ok(changed.map(|path| TreeChange { now: new.get(&path).map(entry), path: TreePath::Usable(path) }).collect())
    }

    fn entries(&self, commit: &CommitId, paths: &[RepoPath]) -> Result<HashMap<RepoPath, TreeEntry>, GitError> {
        let commit = self.known(commit)?;
        let entry =
            |path: &RepoPath| Some((path.clone(), TreeEntry::File { id: *commit.tree.get(path)?, executable: false }));
        Ok(paths.iter().filter_map(entry).collect())
    }

    fn read_blobs(&self, ids: &[BlobId]) -> Result<Vec<Blob>, GitError> {
        Ok(ids.iter().map(|id| Blob::Body(self.0.borrow().blobs[id].clone())).collect())
    }

    fn commit(&self, new: &NewCommit) -> Result<CommitId, GitError> {
        let stamp = Stamp { author: new.author.clone(), committer: new.committer.clone(), time: new.time };
        Ok(self.made(&new.parents, Some(&new.base), new.files.clone(), &new.message, &stamp))
    }

    fn commit_files(&self, new: &NewFiles) -> Result<CommitId, GitError> {
        assert_eq!(new.remove, [], "no test removes files");
        Ok(self.made(std::slice::from_ref(&new.parent), Some(&new.parent), new.put.clone(), &new.message, &new.stamp))
    }

    fn commit_tree(&self, new: &NewTree) -> Result<CommitId, GitError> {
        Ok(self.made(&new.parents, None, new.files.clone(), &new.message, &new.stamp))
    }
}

/// Pull requests of a played remote; each call is an event.
pub(super) struct PlayedPulls {
    pub(super) remote: Played,
    /// Every call fails.
    pub(super) down: bool,
    /// The one in the merge queue.
    pub(super) queued: Option<u64>,
    /// Happens right after the next call that changes something.
    pub(super) then: Option<(String, CommitId)>,
}

impl PlayedPulls {
    fn did(&mut self, what: String) -> Result<(), PullError> {
        self.remote.world().events.push(what);
        if self.down {
            return Err(PullError { message: "HTTP 502".to_owned(), code: FailureCode::Server });
        }
        if let Some((name, to)) = self.then.take() {
            self.remote.set(&name, &to);
        }
        Ok(())
    }
}

impl PullRequests for PlayedPulls {
    async fn ensure(&mut self, wanted: &[(PullRequestSpec, CommitId)], _: Timestamp) -> Vec<Ensured> {
        let mut made = Vec::new();
        for (spec, tip) in wanted {
            assert_eq!(self.remote.at(&spec.head.full()).as_ref(), Some(tip), "its branch is there first");
            let open = |()| PullRequest {
                number: 7,
                url: format!("https://forge.example.com/{}", spec.head),
                state: PullState::Open,
                title: spec.title.clone(),
                body: spec.body.clone(),
                head: spec.head.clone(),
                base: spec.base.clone(),
                head_commit: Some(tip.clone()),
                draft: false,
                labels: Vec::new(),
                closed_at: None,
                updated_at: None,
            };
            made.push(self.did(format!("open {}", spec.head)).map(open).map(|pull| (pull, Vec::new())));
        }
        made
    }

    async fn merge(&mut self, merge: &Merge, _: Timestamp) -> Result<MergeOutcome, PullError> {
        self.did(format!("merge #{}", merge.number))?;
        let base = self.remote.at(MAIN).unwrap();
        let commit = self.remote.commit_by("forge", &[&merge.tip, &base], &[], &merge.message);
        self.remote.set(MAIN, &commit);
        Ok(MergeOutcome::Merged { commit })
    }

    async fn is_queued(&mut self, number: u64) -> Result<bool, PullError> {
        Ok(self.queued == Some(number))
    }

    async fn dequeue(&mut self, number: u64, _: &str) -> Result<DequeueOutcome, PullError> {
        self.did(format!("dequeue #{number}")).map(|()| DequeueOutcome::Out)
    }

    async fn close(&mut self, number: u64, _: &str, _: &str, _: Timestamp) -> Result<(), PullError> {
        self.did(format!("close #{number}"))
    }

    async fn remind(&mut self, number: u64, _: &str) -> Result<(), PullError> {
        self.did(format!("remind #{number}"))
    }

    async fn take_label(&mut self, number: u64, label: &str, _: Timestamp) -> Result<(), PullError> {
        self.did(format!("take {label} off #{number}"))
    }
}
