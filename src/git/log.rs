//! History, newest first, without what is already known.
//!
//! Design: the walk goes by commit time, as `git log` does, and paints what `known` reaches. A wrong clock can bring a
//! commit up before the paint reaches it; so nothing is returned until the walk ends, paint is passed down to commits
//! that were visited before, and the walk continues for a while after only painted commits are left.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use gix::ObjectId;
use gix::bstr::ByteSlice as _;
use jiff::Timestamp;

use crate::model::{BranchName, CommitId, Identity};

use super::error::GitError;
use super::mirror::Mirror;
use super::read::{RawCommit, commit_id, object_id};

/// How many painted commits are walked after the last unpainted one: the span that wrong clocks may cover.
const SLACK: usize = 256;

/// How many commits older than the one searched for are walked before giving up: clocks are sometimes wrong.
const ANCESTOR_SLACK: usize = 4096;

/// The commits of a history whose messages have a text.
#[derive(Debug)]
pub struct MarkedLog {
    /// These commits, newest first by where they came onto the branch; [`Mirror::log_of`] reads them.
    pub marked: Vec<MarkedCommit>,
    /// How many were read.
    pub read: usize,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedCommit {
    /// The commit.
    pub id: CommitId,
    /// How it came onto the branch.
    pub came: CameBy,
    /// When it came: the time of the commit of the branch's own line that brought it.
    pub at: Timestamp,
}

/// How a commit came onto a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameBy {
    /// The branch itself went through it.
    Itself,
    /// The branch had gone through it when somebody pulled it into a branch of their own, and pushed that (`git pull` makes the
    /// remote's branch the second parent).
    Pull,
    /// By this merge.
    Merge(CommitId),
}

/// One commit of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The commit.
    pub id: CommitId,
    /// Its parents; the first is the one it was made on.
    pub parents: Vec<CommitId>,
    /// Who wrote the change.
    pub author: Identity,
    /// Who made the commit.
    pub committer: Identity,
    /// When the commit was made, according to its committer.
    pub time: Timestamp,
    /// The whole message.
    pub message: String,
}

impl Mirror {
    /// The history of `tip`, newest first, at most `limit` commits, without `known` and its ancestors. A `known` that
    /// is not in the mirror (the branch was rewritten) excludes nothing.
    ///
    /// # Errors
    /// If `tip` is unknown or a commit cannot be read.
    pub fn log(&self, tip: &CommitId, known: Option<&CommitId>, limit: usize) -> Result<Vec<LogEntry>, GitError> {
        let repo = self.repo()?;
        let tip = self.commit_of(&repo, tip)?;
        let mut walk = Walk::new(self, &repo);
        walk.meet(tip, false)?;
        if let Some(known) = known
            && self.has_commit(known)?
        {
            walk.meet(object_id(known), true)?;
        }
        // Without `known`, no commit can turn out to be known.
        let newest = walk.run(limit, if known.is_some() { limit.saturating_add(SLACK) } else { limit })?;
        newest.into_iter().map(|id| self.log_entry(&repo, id)).collect()
    }

    /// As [`Mirror::log`] of a branch, but returns only which commits have a message that contains `mark`, and how each came onto
    /// the branch. It keeps no message: each may be of megabytes.
    ///
    /// # Errors
    /// As there.
    pub fn marked(
        &self,
        tip: &CommitId,
        known: Option<&CommitId>,
        (branch, mark): (&BranchName, &str),
        limit: usize,
    ) -> Result<MarkedLog, GitError> {
        let repo = self.repo()?;
        let tip = self.commit_of(&repo, tip)?;
        let mut walk = Walk::new(self, &repo);
        walk.mark = Some((branch, mark));
        walk.meet(tip, false)?;
        if let Some(known) = known
            && self.has_commit(known)?
        {
            walk.meet(object_id(known), true)?;
        }
        let newest = walk.run(limit, if known.is_some() { limit.saturating_add(SLACK) } else { limit })?;
        let marked = newest.iter().filter(|id| walk.seen.get(*id).is_some_and(|visited| visited.marked));
        let lineage = Lineage::of(&walk, tip);
        let mut came: Vec<(usize, MarkedCommit)> = marked.filter_map(|id| lineage.came(&walk, *id)).collect();
        came.sort_by_key(|(nth, commit)| (*nth, matches!(commit.came, CameBy::Merge(_))));
        Ok(MarkedLog { marked: came.into_iter().map(|(_, commit)| commit).collect(), read: newest.len() })
    }

    /// As many of these commits, in their order, as have messages of no more than `bytes` in total; at least one.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn log_of(&self, commits: &[CommitId], bytes: usize) -> Result<Vec<LogEntry>, GitError> {
        let repo = self.repo()?;
        let (mut entries, mut total) = (Vec::new(), 0);
        for commit in commits {
            let entry = self.log_entry(&repo, object_id(commit))?;
            total += entry.message.len();
            if total > bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Whether `ancestor` is `of` or one of its ancestors.
    ///
    /// # Errors
    /// If one of them is unknown: that is not a "no".
    pub fn is_ancestor(&self, ancestor: &CommitId, of: &CommitId) -> Result<bool, GitError> {
        let repo = self.repo()?;
        let (ancestor, of) = (self.commit_of(&repo, ancestor)?, self.commit_of(&repo, of)?);
        if ancestor == of {
            return Ok(true);
        }
        let mut walk = Walk::new(self, &repo);
        let Some(Visited { time: made, .. }) = walk.look_up(ancestor)? else { return Ok(false) };
        walk.meet(of, false)?;
        let mut slack = ANCESTOR_SLACK;
        while let Some((time, _, id)) = walk.queue.pop() {
            if time < made {
                slack -= 1;
            }
            if slack == 0 {
                break;
            }
            let parents = walk.seen.get(&id).map_or_else(Vec::new, |visited| visited.parents.clone());
            if parents.contains(&ancestor) {
                return Ok(true);
            }
            for parent in parents {
                walk.meet(parent, false)?;
            }
        }
        Ok(false)
    }

    pub(super) fn log_entry(&self, repo: &gix::Repository, id: ObjectId) -> Result<LogEntry, GitError> {
        let mut data = self.find_commit(repo, id)?.detach().data;
        let raw = RawCommit::parse(&data);
        let start = data.len() - raw.message.len();
        let mut entry = LogEntry {
            id: commit_id(id),
            parents: raw.parents.into_iter().map(commit_id).collect(),
            author: identity(raw.author),
            committer: identity(raw.committer),
            time: Timestamp::from_second(seconds(raw.committer)).unwrap_or(Timestamp::UNIX_EPOCH),
            message: String::new(),
        };
        // A message may have megabytes: it stays where it was read.
        data.drain(..start);
        entry.message = String::from_utf8(data).unwrap_or_else(|error| error.as_bytes().to_str_lossy().into_owned());
        Ok(entry)
    }
}

/// Name and address, as far as they are present.
fn identity(line: &[u8]) -> Identity {
    let line = line.to_str_lossy();
    let (name, rest) = line.split_once('<').unwrap_or((&line, ""));
    let email = rest.split_once('>').map_or(rest, |(email, _)| email);
    Identity { name: name.trim().to_owned(), email: email.trim().to_owned() }
}

/// The line may contain anything; an unreadable time counts as the oldest.
fn seconds(line: &[u8]) -> i64 {
    let rest = line.rsplit_once_str(">").map_or(&b""[..], |(_, rest)| rest);
    rest.fields().next().and_then(|time| time.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// The own line of a branch.
struct Lineage {
    /// Its commits, newest first. Where somebody pulled the branch into their own and pushed that, the line goes on at the branch.
    line: Vec<ObjectId>,
    /// Where each commit came onto it.
    by: HashMap<ObjectId, usize>,
    /// The commits that are reached by first parents alone.
    first: HashSet<ObjectId>,
}

impl Lineage {
    fn of(walk: &Walk<'_>, tip: ObjectId) -> Self {
        let follow = |next: fn(&Visited) -> Option<ObjectId>| {
            let (mut line, mut met, mut at) = (Vec::new(), HashSet::new(), Some(tip));
            while let Some(id) = at.filter(|id| met.insert(*id)) {
                let Some(visited) = walk.seen.get(&id) else { break };
                line.push(id);
                at = next(visited);
            }
            line
        };
        let first = follow(|visited| visited.parents.first().copied()).into_iter().collect();
        let line = follow(|visited| visited.parents.get(usize::from(visited.pulls)).copied());
        let mut by: HashMap<ObjectId, usize> = line.iter().enumerate().map(|(nth, id)| (*id, nth)).collect();
        // Oldest first: what several merges reach came with the first of them.
        for (nth, id) in line.iter().enumerate().rev() {
            let mut open = walk.seen.get(id).map_or_else(Vec::new, |visited| visited.parents.clone());
            while let Some(id) = open.pop() {
                if let Some(visited) = walk.seen.get(&id).filter(|_| !by.contains_key(&id)) {
                    by.insert(id, nth);
                    open.extend(visited.parents.iter().copied());
                }
            }
        }
        Self { line, by, first }
    }

    /// Where a commit came onto the line, and how; `None` for one that is not among what was read.
    fn came(&self, walk: &Walk<'_>, id: ObjectId) -> Option<(usize, MarkedCommit)> {
        let nth = *self.by.get(&id)?;
        let by = *self.line.get(nth)?;
        let came = match () {
            () if self.first.contains(&id) => CameBy::Itself,
            () if by == id => CameBy::Pull,
            () => CameBy::Merge(commit_id(by)),
        };
        let at = Timestamp::from_second(walk.seen.get(&by)?.time).unwrap_or(Timestamp::UNIX_EPOCH);
        Some((nth, MarkedCommit { id: commit_id(id), came, at }))
    }
}

/// Whether a merge is one of the branch into the writer's own, as `git pull` makes it. What a forge merges has other words, and somebody
/// else as its committer than as its author.
fn pulls(raw: &RawCommit<'_>, branch: &BranchName) -> bool {
    let subject = raw.message.lines().next().unwrap_or_default();
    let of_url = format!("Merge branch '{branch}' of ");
    let tracked = subject.strip_prefix(b"Merge remote-tracking branch '").and_then(|rest| {
        let (name, _) = rest.split_once_str("'")?;
        name.to_str().ok()?.split_once('/').map(|(_, name)| name.to_owned())
    });
    raw.parents.len() == 2
        && raw.author == raw.committer
        && (subject.starts_with(of_url.as_bytes()) || tracked.as_deref() == Some(branch.as_str()))
}

struct Visited {
    /// Whether its message has the text that is looked for.
    marked: bool,
    /// Whether its second parent is the branch itself, pulled.
    pulls: bool,
    /// In seconds.
    time: i64,
    painted: bool,
    walked: bool,
    parents: Vec<ObjectId>,
}

struct Walk<'a> {
    mirror: &'a Mirror,
    repo: &'a gix::Repository,
    seen: HashMap<ObjectId, Visited>,
    /// By time, then in the order in which they were found.
    queue: BinaryHeap<(i64, Reverse<usize>, ObjectId)>,
    pushed: usize,
    /// How many commits in the queue are not painted: looked through for each commit, a queue of thousands, such as the parents of one
    /// merge, would take the square of their number.
    unpainted: usize,
    /// The branch, and the text that is looked for in messages.
    mark: Option<(&'a BranchName, &'a str)>,
}

impl<'a> Walk<'a> {
    fn new(mirror: &'a Mirror, repo: &'a gix::Repository) -> Self {
        Self { mirror, repo, seen: HashMap::new(), queue: BinaryHeap::new(), pushed: 0, unpainted: 0, mark: None }
    }

    fn run(&mut self, limit: usize, enough: usize) -> Result<Vec<ObjectId>, GitError> {
        let (mut newest, mut slack) = (Vec::new(), SLACK);
        while let Some((_, _, id)) = self.queue.pop() {
            let painted = self.painted(&id);
            // Once no unpainted commit is queued, none can come: parents of painted commits are painted.
            match painted {
                true if self.unpainted == 0 => slack -= 1,
                true => {}
                false => self.unpainted -= 1,
            }
            if slack == 0 || newest.len() >= enough {
                break;
            }
            if !painted {
                newest.push(id);
            }
            let parents = match self.seen.get_mut(&id) {
                Some(visited) => {
                    visited.walked = true;
                    visited.parents.clone()
                }
                None => Vec::new(),
            };
            for parent in parents {
                self.meet(parent, painted)?;
            }
        }
        newest.retain(|id| !self.painted(id));
        newest.truncate(limit);
        Ok(newest)
    }

    fn painted(&self, id: &ObjectId) -> bool {
        self.seen.get(id).is_some_and(|visited| visited.painted)
    }

    /// Queues a commit when it is first found; later, passes paint down through what was already walked.
    fn meet(&mut self, id: ObjectId, paint: bool) -> Result<(), GitError> {
        if !self.seen.contains_key(&id) {
            let Some(visited) = self.look_up(id)? else { return Ok(()) };
            self.queue.push((visited.time, Reverse(self.pushed), id));
            self.seen.insert(id, Visited { painted: paint, ..visited });
            self.pushed += 1;
            self.unpainted += usize::from(!paint);
            return Ok(());
        }
        let mut to_paint = if paint { vec![id] } else { Vec::new() };
        while let Some(id) = to_paint.pop() {
            if let Some(visited) = self.seen.get_mut(&id).filter(|visited| !visited.painted) {
                visited.painted = true;
                if visited.walked {
                    to_paint.extend(visited.parents.iter().copied());
                } else {
                    self.unpainted -= 1;
                }
            }
        }
        Ok(())
    }

    /// `None`: the history ends before this commit, as in a shallow repository.
    fn look_up(&self, id: ObjectId) -> Result<Option<Visited>, GitError> {
        let Some(commit) = self.mirror.read_commit(self.repo, id)? else {
            if self.repo.is_shallow().map_err(|error| self.mirror.damage(&error))? {
                return Ok(None);
            }
            return Err(self.mirror.damaged(format!("commit {id} is missing")));
        };
        let raw = RawCommit::parse(&commit.data);
        let marked = self.mark.is_some_and(|(_, mark)| raw.message.contains_str(mark));
        let pulls = self.mark.is_some_and(|(branch, _)| pulls(&raw, branch));
        let time = seconds(raw.committer);
        Ok(Some(Visited { marked, pulls, time, painted: false, walked: false, parents: raw.parents }))
    }
}
