//! Commits: edits, commits, pushes, and verifies.
//!
//! Invariant: every push names the tip it was planned at, and its result is read from the remote's ref.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::git::{Blob, Force, GitError, NewCommit, RefResult, RefUpdate, RefusalKind, Stamp, TreeEntry};
use crate::model::{BranchName, CommitId, Pin, RepoPath};
use crate::overlay::{PinEdit, chart_lock_of, edit, every_pin, relock};
use crate::plan::{Action, ActionKind, Plan, Update};

use super::{Executor, Making, Remote};
use crate::daemon::outcome::{ActionFailure, ActionFailureCode, ActionOutcome, Done};

/// The result of pushing one branch's commits.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Pushed {
    /// The outcome of each of them.
    pub(in crate::daemon) outcomes: Vec<ActionOutcome>,
    /// What was seen of a lost race, for people: it is worth another attempt.
    pub(in crate::daemon) lost: Option<String>,
}

/// A commit that no branch has yet.
struct Made<'a> {
    action: &'a Action,
    parent: CommitId,
    commit: CommitId,
}

/// The commits of one branch on their way.
struct Underway<'p> {
    plan: &'p Plan,
    now: Timestamp,
    /// Where the branch is, after what was pushed.
    tip: CommitId,
    making: Making,
    pushed: Pushed,
}

impl<R: Remote, P> Executor<R, P> {
    /// Creates and pushes every commit of one branch: one on top of the other, in one push, unless making them takes long.
    pub(in crate::daemon) async fn commits(&self, plan: &Plan, now: Timestamp) -> Pushed {
        let actions: Vec<&Action> = plan.actions.iter().filter(|action| action.kind == ActionKind::Commit).collect();
        let (tip, making, pushed) = (plan.revision.clone(), Making::default(), Pushed::default());
        let mut way = Underway { plan, now, tip, making, pushed };
        let mut left = &actions[..];
        while !left.is_empty() {
            let (stack, rest) = self.stack(&mut way, left).await;
            left = rest;
            if let ControlFlow::Break(failure) = self.push_stack(&mut way, &stack).await {
                way.fail(left.iter().copied(), &failure);
                break;
            }
        }
        self.remember_refusals(&way.pushed.outcomes, now);
        way.pushed
    }

    /// Commits each action on top of the previous one, as long as that does not take too long, and what is left then; an
    /// action that cannot be applied is reported and left out.
    async fn stack<'a, 's>(
        &self,
        way: &mut Underway<'_>,
        actions: &'s [&'a Action],
    ) -> (Vec<Made<'a>>, &'s [&'a Action]) {
        let begun = Instant::now();
        let mut stack: Vec<Made<'a>> = Vec::new();
        for (at, action) in actions.iter().enumerate() {
            if !stack.is_empty() && begun.elapsed() >= self.pace.before_push {
                return (stack, &actions[at..]);
            }
            let parent = stack.last().map_or(&way.tip, |made| &made.commit).clone();
            match self.made(action, &parent, way.now, &mut way.making).await {
                Ok(commit) => stack.push(Made { action, parent, commit }),
                Err(failure) => way.fail([*action], &failure),
            }
        }
        (stack, &[])
    }

    /// Pushes commits that stand one on the other. It breaks with the reason why nothing further can be pushed.
    async fn push_stack(&self, way: &mut Underway<'_>, stack: &[Made<'_>]) -> ControlFlow<ActionFailure> {
        let Some(last) = stack.last() else { return ControlFlow::Continue(()) };
        match self.push_as_planned(way, &last.commit).await {
            // One commit that the server refuses must not hold up the others: push each on its own.
            Ok(RefResult::Rejected { .. }) if stack.len() > 1 => self.one_by_one(way, stack).await,
            pushed => way.settle(stack, pushed),
        }
    }

    /// The same one by one. What stood on a commit that was refused is made again.
    async fn one_by_one(&self, way: &mut Underway<'_>, stack: &[Made<'_>]) -> ControlFlow<ActionFailure> {
        for (at, Made { action, parent, commit }) in stack.iter().enumerate() {
            let made = match *parent == way.tip {
                true => Ok(commit.clone()),
                false => self.made(action, &way.tip, way.now, &mut way.making).await,
            };
            let commit = match made {
                Ok(commit) => commit,
                Err(failure) => {
                    way.fail([*action], &failure);
                    continue;
                }
            };
            let pushed = self.push_as_planned(way, &commit).await;
            let made = Made { action, parent: way.tip.clone(), commit };
            if let ControlFlow::Break(failure) = way.settle(&[made], pushed) {
                way.fail(stack[at + 1..].iter().map(|made| made.action), &failure);
                return ControlFlow::Break(failure);
            }
        }
        ControlFlow::Continue(())
    }

    /// Pushes a commit of a plan, unless somebody has decided something else since it was made.
    async fn push_as_planned(&self, way: &Underway<'_>, commit: &CommitId) -> Result<RefResult, GitError> {
        match self.rules_hold(way.plan, None).await? {
            None => self.push_commit(&way.plan.branch, &way.tip, commit).await,
            Some(message) => Ok(RefResult::LostRace { message }),
        }
    }

    /// Pushes a commit onto the tip that a branch is expected to have, and reads the branch again: the remote's ref,
    /// not the exit code, decides whether it is done.
    pub(in crate::daemon) async fn push_commit(
        &self,
        branch: &BranchName,
        revision: &CommitId,
        commit: &CommitId,
    ) -> Result<RefResult, GitError> {
        let name = branch.full();
        let update = RefUpdate {
            name: name.clone(),
            expected: Some(revision.clone()),
            new: Some(commit.clone()),
            force: Force::No,
        };
        let pushed = self.remote.push(&[update]).await;
        if let Ok([RefResult::LostRace { .. } | RefResult::Rejected { .. }]) = pushed.as_deref() {
            return pushed.map(|mut results| results.remove(0));
        }
        // After an error, too: a push may have succeeded although its answer was lost.
        let refs = self.remote.ls_remote().await?;
        match (refs.get(&name).cloned(), pushed) {
            (Some(tip), _) if tip == *commit => Ok(RefResult::Updated),
            (Some(tip), pushed) if tip != *revision => {
                // Somebody pushed on top of it, or instead of it; reachability shows which.
                self.remote.fetch_listed(&refs, &[name]).await?;
                if self.remote.is_ancestor(commit, &tip).unwrap_or(false) {
                    return Ok(RefResult::Updated);
                }
                pushed.map(|_| RefResult::LostRace { message: format!("{branch} went to {}", tip.short()) })
            }
            (_, Err(error)) => Err(error),
            (_, Ok(_)) => Ok(RefResult::Rejected {
                kind: RefusalKind::Other,
                message: "the remote accepted the push, but its branch does not have the commit".to_owned(),
            }),
        }
    }

    /// The commit of one action on `parent`, as planned; nothing on the remote changes.
    pub(in crate::daemon) fn commit(
        &self,
        action: &Action,
        parent: &CommitId,
        now: Timestamp,
    ) -> Result<CommitId, ActionFailure> {
        let files = self.edited(&action.updates, parent, now)?;
        // A change that a person requested has that person as author, and the bot as committer.
        let by = action.updates.iter().find_map(|update| update.rollback.as_ref()?.by.as_deref());
        let Stamp { author, committer, time } = self.stamp(by, now);
        let new = NewCommit {
            parents: vec![parent.clone()],
            base: parent.clone(),
            files,
            message: self.wording().commit(&action.policy, action.environment.as_deref(), &action.updates, &author),
            author,
            committer,
            time,
        };
        Ok(self.remote.commit(&new)?)
    }

    /// Every file of these updates with its pins changed, as it would be on top of `parent`, and the locks of charts that repeat
    /// them.
    pub(in crate::daemon) fn edited(
        &self,
        updates: &[Update],
        parent: &CommitId,
        now: Timestamp,
    ) -> Result<Vec<(RepoPath, Vec<u8>)>, ActionFailure> {
        let mut by_file: BTreeMap<&RepoPath, Vec<(&Update, &Pin)>> = BTreeMap::new();
        for update in updates {
            for pin in &update.pins {
                by_file.entry(&pin.path).or_default().push((update, pin));
            }
        }
        let wrong = |path: &RepoPath, message: String| {
            ActionFailure::new(ActionFailureCode::NotAsPlanned, format!("{path}: {message}"))
        };
        let paths: Vec<RepoPath> = by_file.keys().copied().cloned().collect();
        let entries = self.remote.entries(parent, &paths)?;
        let declared = self.remote.declared();
        let mut files = Vec::new();
        for (path, pins) in by_file {
            let Some(TreeEntry::File { id, .. }) = entries.get(path) else {
                return Err(wrong(path, "the file is gone".to_owned()));
            };
            let blob = self.remote.read_blobs(&[*id])?.pop();
            let Some(Blob::Body(bytes)) = blob else {
                return Err(wrong(path, "it is too large to read".to_owned()));
            };
            // An earlier commit in the same push may have shifted the spans; the same key finds the pin again.
            let pins_now = every_pin(&declared, path, &bytes, &self.remote.beside(parent, path)?);
            let mut edits = Vec::new();
            for (update, pin) in pins {
                let is_it = |here: &&Pin| {
                    (&here.key, here.kind, &here.version, &here.name) == (&pin.key, pin.kind, &pin.version, &pin.name)
                };
                let here = pins_now.iter().find(is_it);
                let here = here.ok_or_else(|| wrong(path, format!("{} is no longer what was planned for", pin.key)))?;
                edits.push(PinEdit { pin: here, to: update.to.clone(), rename: None });
            }
            let edited = edit(path, &bytes, &edits).map_err(|error| wrong(path, error.to_string()))?;
            if let Some(lock) = chart_lock_of(path)
                && let Some(old) = self.remote.content(parent, &lock)?
            {
                let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                let new = relock((&bytes, &edited), &old, &time);
                let new = new.map_err(|reason| wrong(&lock, format!("it cannot be kept true: {reason}")))?;
                files.push((lock, new));
            }
            files.push((path.clone(), edited));
        }
        Ok(files)
    }
}

impl Underway<'_> {
    fn fail<'a>(&mut self, actions: impl IntoIterator<Item = &'a Action>, failure: &ActionFailure) {
        let branch = &self.plan.branch;
        let failed = actions.into_iter().map(|action| ActionOutcome::failed(branch, action, failure.clone()));
        self.pushed.outcomes.extend(failed);
    }

    /// Notes what became of a push. It breaks where the next one would fare no better.
    fn settle(&mut self, made: &[Made<'_>], pushed: Result<RefResult, GitError>) -> ControlFlow<ActionFailure> {
        let (failure, goes_on) = match pushed {
            Ok(RefResult::Updated | RefResult::UpToDate) => {
                let done = made.iter().map(|made| committed(self.plan, made.action, &made.commit));
                self.pushed.outcomes.extend(done);
                self.tip = made.last().map_or(&self.tip, |made| &made.commit).clone();
                return ControlFlow::Continue(());
            }
            Ok(RefResult::Rejected { message, .. }) => (refused(self.plan, &message), true),
            Ok(RefResult::LostRace { message }) => {
                let failure = lost_race(self.plan, &message);
                self.pushed.lost = Some(message);
                (failure, false)
            }
            Err(error) => (error.into(), false),
        };
        self.fail(made.iter().map(|made| made.action), &failure);
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(failure) }
    }
}

fn committed(plan: &Plan, action: &Action, commit: &CommitId) -> ActionOutcome {
    ActionOutcome::done(&plan.branch, action, Done { commit: commit.clone(), pull_request: None, verified: true })
}

/// The failure of a commit that was not pushed because of a lost race.
fn lost_race(plan: &Plan, message: &str) -> ActionFailure {
    let message = format!("the push to {} lost a race; the next cycle tries again: {message}", plan.branch);
    ActionFailure::new(ActionFailureCode::LostRace, message)
}

fn refused(plan: &Plan, message: &str) -> ActionFailure {
    ActionFailure::new(ActionFailureCode::Refused, format!("the remote refuses the push to {}: {message}", plan.branch))
}
