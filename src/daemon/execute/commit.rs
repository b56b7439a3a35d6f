//! Commits: edits, commits, pushes, and verifies.
//!
//! Invariant: every push names the tip it was planned at, and its result is read from the remote's ref.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::git::{Blob, Force, GitError, NewCommit, RefResult, RefUpdate, RefusalKind, Stamp, TreeEntry};
use crate::model::{BranchName, CommitId, RepoPath};
use crate::overlay::{PinEdit, edit, scan_with};
use crate::plan::{Action, ActionKind, Plan, Update};

use super::{Executor, Making, Remote};
use crate::daemon::outcome::{ActionFailure, ActionFailureCode, ActionOutcome, Done};

/// The result of pushing one branch's commits.
#[derive(Debug)]
pub(in crate::daemon) struct Pushed {
    /// The outcome of each of them.
    pub(in crate::daemon) outcomes: Vec<ActionOutcome>,
    /// What was seen of a lost race, for people: it is worth another attempt.
    pub(in crate::daemon) lost: Option<String>,
}

impl<R: Remote, P> Executor<R, P> {
    /// Creates and pushes every commit of one branch: one on top of the other, in one push.
    pub(in crate::daemon) async fn commits(&self, plan: &Plan, now: Timestamp) -> Pushed {
        let actions: Vec<&Action> = plan.actions.iter().filter(|action| action.kind == ActionKind::Commit).collect();
        if actions.is_empty() {
            return Pushed { outcomes: Vec::new(), lost: None };
        }
        let (stack, mut outcomes) = self.stack(plan, &actions, now).await;
        let Some(last) = stack.last().map(|(_, commit)| commit.clone()) else { return Pushed { outcomes, lost: None } };
        let mut lost = None;
        let all = |failure: &ActionFailure| {
            let failed = |(action, _): &(&Action, _)| ActionOutcome::failed(&plan.branch, action, failure.clone());
            stack.iter().map(failed).collect::<Vec<_>>()
        };
        match self.push_commit(&plan.branch, &plan.revision, &last).await {
            Ok(RefResult::Updated | RefResult::UpToDate) => {
                outcomes.extend(stack.iter().map(|(action, commit)| committed(plan, action, commit)));
            }
            Ok(RefResult::LostRace { message }) => {
                outcomes.extend(all(&lost_race(plan, &message)));
                lost = Some(message);
            }
            // One commit that the server refuses must not hold up the others: push each on its own.
            Ok(RefResult::Rejected { .. }) if stack.len() > 1 => {
                outcomes.extend(self.one_by_one(plan, &actions, now).await);
            }
            Ok(RefResult::Rejected { message, .. }) => outcomes.extend(all(&refused(plan, &message))),
            Err(error) => outcomes.extend(all(&ActionFailure::from(&error))),
        }
        Pushed { outcomes, lost }
    }

    /// Commits each action on top of the previous one; an action that cannot be applied is reported and left out.
    async fn stack<'a>(
        &self,
        plan: &Plan,
        actions: &[&'a Action],
        now: Timestamp,
    ) -> (Vec<(&'a Action, CommitId)>, Vec<ActionOutcome>) {
        let mut parent = plan.revision.clone();
        let mut stack = Vec::new();
        let mut outcomes = Vec::new();
        let mut making = Making::default();
        for action in actions {
            match self.made(action, &parent, now, &mut making).await {
                Ok(commit) => {
                    parent = commit.clone();
                    stack.push((*action, commit));
                }
                Err(error) => outcomes.push(ActionOutcome::failed(&plan.branch, action, error)),
            }
        }
        (stack, outcomes)
    }

    async fn one_by_one(&self, plan: &Plan, actions: &[&Action], now: Timestamp) -> Vec<ActionOutcome> {
        let mut outcomes = Vec::new();
        let mut plan = plan.clone();
        let mut making = Making::default();
        for action in actions {
            let outcome = match self.made(action, &plan.revision, now, &mut making).await {
                Err(error) => ActionOutcome::failed(&plan.branch, action, error),
                Ok(commit) => match self.push_commit(&plan.branch, &plan.revision, &commit).await {
                    Ok(RefResult::Updated | RefResult::UpToDate) => {
                        plan.revision = commit.clone();
                        committed(&plan, action, &commit)
                    }
                    Ok(RefResult::Rejected { message, .. }) => {
                        ActionOutcome::failed(&plan.branch, action, refused(&plan, &message))
                    }
                    Ok(RefResult::LostRace { message }) => {
                        ActionOutcome::failed(&plan.branch, action, lost_race(&plan, &message))
                    }
                    Err(error) => ActionOutcome::failed(&plan.branch, action, error.into()),
                },
            };
            outcomes.push(outcome);
        }
        outcomes
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
        let files = self.edited(&action.updates, parent)?;
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

    /// Every file of these updates with its pins changed, as it would be on top of `parent`.
    pub(in crate::daemon) fn edited(
        &self,
        updates: &[Update],
        parent: &CommitId,
    ) -> Result<Vec<(RepoPath, Vec<u8>)>, ActionFailure> {
        let mut by_file: BTreeMap<&RepoPath, Vec<(&Update, &crate::model::Pin)>> = BTreeMap::new();
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
            let now = scan_with(&declared, path, &bytes);
            let mut edits = Vec::new();
            for (update, pin) in pins {
                let here = now.pins.iter().chain(&now.values).find(|here| here.key == pin.key && here.kind == pin.kind);
                let here = here.filter(|here| here.version == pin.version && here.name == pin.name);
                let here = here.ok_or_else(|| wrong(path, format!("{} is no longer what was planned for", pin.key)))?;
                edits.push(PinEdit { pin: here, to: update.to.clone(), rename: None });
            }
            let edited = edit(path, &bytes, &edits).map_err(|error| wrong(path, error.to_string()))?;
            files.push((path.clone(), edited));
        }
        Ok(files)
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
