//! Commits: edits, commits, pushes, and the second look that says whether it is done.
//!
//! Promise: at most one commit per update (G1), no foreign commit lost (G2), and `verified` only after the remote's ref
//! was read again. Every push names the tip it was planned at; whoever was faster makes it fail, and then everything is
//! read and planned again, at most [`ATTEMPTS`] times.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::git::{Force, GitError, NewCommit, RefResult, RefUpdate};
use crate::message::commit_message;
use crate::model::{BranchName, CommitId, FailureCode, Identity, RepoPath};
use crate::overlay::{PinEdit, edit, scan_file};
use crate::plan::{Action, ActionKind, Plan, Problem, Update};

use super::sources;
use crate::daemon::queries::Lookup;
use crate::daemon::report::{ActionError, ActionReport, ActionResult, RepositoryReport};
use crate::daemon::repository::{Repository, RepositoryError, RepositoryPlan};

/// How often a lost race is planned and pushed again.
pub const ATTEMPTS: u32 = 10;

/// What came of pushing one branch's commits.
pub(in crate::daemon) enum Pushed {
    /// Every action has its result.
    Done(Vec<ActionReport>),
    /// Somebody was faster; read and plan again.
    Again(String),
}

/// One cycle's time: when it began, and the pauses between attempts.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The time of the plan and of its commits.
    pub now: Timestamp,
    /// Registry answers older than this are asked for again.
    pub since: Timestamp,
    /// The first pause after a lost race; it grows by half each time, with jitter, up to thirty seconds.
    pub pause: Duration,
}

impl Repository {
    /// One cycle: read, plan, do, look again.
    ///
    /// # Errors
    /// When the repository cannot be read at all; everything else stands in the report.
    pub async fn apply(&mut self, lookup: &Lookup, timing: Timing) -> Result<RepositoryReport, RepositoryError> {
        let mut report = RepositoryReport::new(self.name());
        let mut pause = timing.pause;
        for attempt in 1..=ATTEMPTS {
            if let Err(error) = self.refresh().await {
                if attempt == 1 {
                    return Err(error);
                }
                // What was pushed before is done, whatever cannot be read now.
                report.add_blocking(&[Problem {
                    path: None,
                    line: None,
                    message: error.to_string(),
                    code: error.code(),
                }]);
                break;
            }
            let mut planned = self.plan(lookup, timing.since, timing.now).await;
            sources::add(&mut planned.plans, lookup, timing.since).await;
            report.actions.retain(ActionReport::is_done);
            let lost = self.all_commits(&planned, timing.now, &mut report.actions).await;
            if lost.is_some() && attempt < ATTEMPTS {
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 3 / 2).min(Duration::from_secs(30));
                continue;
            }
            if let Some((branch, message)) = lost {
                report.actions.extend(gave_up(&planned, &branch, &message));
            }
            for plan in &planned.plans {
                report.actions.extend(self.pull_requests(plan, timing.now).await);
                report.add_plan(plan);
                self.finish_pull_requests(plan, timing.now, &mut report).await;
            }
            report.add_blocking(&planned.problems);
            report.revision = planned.revision;
            self.remember_failures(&report);
            break;
        }
        Ok(report)
    }

    /// The commits of every branch; the last branch on which somebody was faster, where one was.
    async fn all_commits(
        &mut self,
        planned: &RepositoryPlan,
        now: Timestamp,
        done: &mut Vec<ActionReport>,
    ) -> Option<(BranchName, String)> {
        let mut lost = None;
        for plan in &planned.plans {
            match self.commits(plan, now).await {
                Pushed::Done(actions) => done.extend(actions),
                Pushed::Again(message) => lost = Some((plan.branch.clone(), message)),
            }
        }
        lost
    }

    /// Makes and pushes every commit of one branch: one after the other, one push.
    pub(in crate::daemon) async fn commits(&mut self, plan: &Plan, now: Timestamp) -> Pushed {
        let actions: Vec<&Action> = plan.actions.iter().filter(|action| action.kind == ActionKind::Commit).collect();
        if actions.is_empty() {
            return Pushed::Done(Vec::new());
        }
        let (stack, mut reports) = self.stack(plan, &actions, now);
        let Some(last) = stack.last().map(|(_, commit)| commit.clone()) else { return Pushed::Done(reports) };
        match self.push_base(plan, &last).await {
            Ok(RefResult::Updated | RefResult::UpToDate) => {
                reports.extend(stack.iter().map(|(action, commit)| done(&plan.branch, action, commit, None, true)));
                Pushed::Done(reports)
            }
            Ok(RefResult::LostRace { message }) => Pushed::Again(message),
            // One commit that the server refuses must not hold up the others: each on its own then.
            Ok(RefResult::Rejected { .. }) if stack.len() > 1 => {
                reports.extend(self.one_by_one(plan, &actions, now).await);
                Pushed::Done(reports)
            }
            Ok(RefResult::Rejected { message }) => {
                let message = format!("the remote rejects the push to {}: {message}", plan.branch);
                reports.extend(stack.iter().map(|(action, _)| failed(&plan.branch, action, "push-rejected", &message)));
                Pushed::Done(reports)
            }
            Err(error) => {
                reports.extend(
                    stack.iter().map(|(action, _)| failed(&plan.branch, action, code(&error), &error.to_string())),
                );
                Pushed::Done(reports)
            }
        }
    }

    /// Commits each action on top of the one before; an action that cannot be edited is reported and left out.
    fn stack<'a>(
        &self,
        plan: &Plan,
        actions: &[&'a Action],
        now: Timestamp,
    ) -> (Vec<(&'a Action, CommitId)>, Vec<ActionReport>) {
        let mut parent = plan.revision.clone();
        let mut stack = Vec::new();
        let mut reports = Vec::new();
        for action in actions {
            match self.commit(action, &parent, now) {
                Ok(commit) => {
                    parent = commit.clone();
                    stack.push((*action, commit));
                }
                Err(error) => reports.push(failed(&plan.branch, action, error.code, &error.message)),
            }
        }
        (stack, reports)
    }

    async fn one_by_one(&mut self, plan: &Plan, actions: &[&Action], now: Timestamp) -> Vec<ActionReport> {
        let mut reports = Vec::new();
        let mut plan = plan.clone();
        for action in actions {
            let report = match self.commit(action, &plan.revision, now) {
                Err(error) => failed(&plan.branch, action, error.code, &error.message),
                Ok(commit) => match self.push_base(&plan, &commit).await {
                    Ok(RefResult::Updated | RefResult::UpToDate) => {
                        plan.revision = commit.clone();
                        done(&plan.branch, action, &commit, None, true)
                    }
                    Ok(RefResult::LostRace { message } | RefResult::Rejected { message }) => {
                        let message = format!("the remote rejects the push to {}: {message}", plan.branch);
                        failed(&plan.branch, action, "push-rejected", &message)
                    }
                    Err(error) => failed(&plan.branch, action, code(&error), &error.to_string()),
                },
            };
            reports.push(report);
        }
        reports
    }

    /// Pushes the branch and reads it again: the remote's ref, not the exit code, says whether it is done.
    async fn push_base(&self, plan: &Plan, commit: &CommitId) -> Result<RefResult, GitError> {
        self.push_commit(&plan.branch, &plan.revision, commit).await
    }

    /// The same for any commit on the tip that a branch is expected to have.
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
        let pushed = self.mirror.push(&[update]).await;
        if let Ok([RefResult::LostRace { .. } | RefResult::Rejected { .. }]) = pushed.as_deref() {
            return pushed.map(|mut results| results.remove(0));
        }
        // After an error, too: a push can have landed although its answer was lost.
        let tip = self.mirror.ls_remote().await?.remove(&name);
        match (tip, pushed) {
            (Some(tip), _) if tip == *commit => Ok(RefResult::Updated),
            (Some(tip), pushed) if tip != *revision => {
                // Someone pushed on top, or instead. What is reachable tells which.
                self.mirror.fetch(&[name]).await?;
                if self.mirror.is_ancestor(commit, &tip).unwrap_or(false) {
                    return Ok(RefResult::Updated);
                }
                pushed.map(|_| RefResult::LostRace { message: format!("{branch} went to {}", tip.short()) })
            }
            (_, Err(error)) => Err(error),
            (_, Ok(_)) => Ok(RefResult::Rejected {
                message: "the remote said yes, but its branch does not have the commit".to_owned(),
            }),
        }
    }

    /// The commit of one action on `parent`; nothing on the remote moves.
    pub(in crate::daemon) fn commit(
        &self,
        action: &Action,
        parent: &CommitId,
        now: Timestamp,
    ) -> Result<CommitId, ActionError> {
        let files = self.edited(&action.updates, parent)?;
        let committer = self.settings.author.clone();
        // What a person has asked for is that person's change, committed by the bot.
        let by = action.updates.iter().find_map(|update| update.rollback.as_ref()?.by.clone());
        let author = by.map_or_else(|| committer.clone(), |name| Identity { name, email: committer.email.clone() });
        let new = NewCommit {
            parents: vec![parent.clone()],
            base: parent.clone(),
            files,
            message: commit_message(&action.policy, action.environment.as_deref(), &action.updates),
            author,
            committer,
            time: now,
        };
        self.mirror.commit(&new).map_err(|error| ActionError { code: code(&error), message: error.to_string() })
    }

    /// Every file of these updates with its pins moved, as it would stand on top of `parent`.
    pub(in crate::daemon) fn edited(
        &self,
        updates: &[Update],
        parent: &CommitId,
    ) -> Result<Vec<(RepoPath, Vec<u8>)>, ActionError> {
        let mut by_file: BTreeMap<&RepoPath, Vec<(&Update, &crate::model::Pin)>> = BTreeMap::new();
        for update in updates {
            for pin in &update.pins {
                by_file.entry(&pin.path).or_default().push((update, pin));
            }
        }
        let wrong =
            |path: &RepoPath, message: String| ActionError { code: "unknown", message: format!("{path}: {message}") };
        let mut files = Vec::new();
        for (path, pins) in by_file {
            let bytes = self
                .mirror
                .read(parent, path)
                .map_err(|error| ActionError { code: code(&error), message: error.to_string() })?
                .ok_or_else(|| wrong(path, "the file is gone".to_owned()))?;
            // A commit before this one in the same push may have moved the spans; the same key finds the pin again.
            let now = scan_file(path, &bytes);
            let mut edits = Vec::new();
            for (update, pin) in pins {
                let here = now.pins.iter().chain(&now.values).find(|here| here.key == pin.key && here.kind == pin.kind);
                let here = here.filter(|here| here.version == pin.version && here.name == pin.name);
                let here =
                    here.ok_or_else(|| wrong(path, format!("{} is not what was planned for any more", pin.key)))?;
                edits.push(PinEdit { pin: here, to: update.to.clone(), rename: None });
            }
            let edited = edit(path, &bytes, &edits).map_err(|error| wrong(path, error.to_string()))?;
            files.push((path.clone(), edited));
        }
        Ok(files)
    }
}

pub(in crate::daemon) fn done(
    branch: &BranchName,
    action: &Action,
    commit: &CommitId,
    pull_request: Option<String>,
    verified: bool,
) -> ActionReport {
    let mut report = ActionReport::planned(branch.as_str(), action);
    report.result = Some(ActionResult::Done { commit: commit.clone(), pull_request, verified });
    report
}

pub(in crate::daemon) fn failed(
    branch: &BranchName,
    action: &Action,
    code: &'static str,
    message: &str,
) -> ActionReport {
    let mut report = ActionReport::planned(branch.as_str(), action);
    report.result = Some(ActionResult::Failed { error: ActionError { code, message: message.to_owned() } });
    report
}

pub(in crate::daemon) fn code(error: &GitError) -> &'static str {
    match error.code() {
        Some(FailureCode::Authentication) => "authentication",
        Some(FailureCode::Network | FailureCode::Server | FailureCode::RateLimited) => "fetch-failed",
        Some(FailureCode::ConfigError) => "config-error",
        Some(FailureCode::Protocol | FailureCode::ImageNotFound) | None => "unknown",
    }
}

/// The results of commits that lost every race.
fn gave_up(planned: &RepositoryPlan, branch: &BranchName, message: &str) -> Vec<ActionReport> {
    let message =
        format!("{branch} moved {ATTEMPTS} times while this was pushed; the next cycle tries again: {message}");
    let plans = planned.plans.iter().filter(|plan| plan.branch == *branch);
    let commits = plans.flat_map(|plan| &plan.actions).filter(|action| action.kind == ActionKind::Commit);
    commits.map(|action| failed(branch, action, "push-rejected", &message)).collect()
}

/// Half to one and a half times the pause, so that competing writers do not meet again.
pub(in crate::daemon) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64())
}
