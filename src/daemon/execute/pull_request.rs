//! The branches and pull requests of a plan.
//!
//! Promise: whatever is reported as proposed was seen on the remote. A pull request's approving labels are removed
//! before its branch gets content that nobody has seen.

use jiff::Timestamp;

use crate::git::{Force, GitError, RefResult, RefUpdate, RefusalKind};
use crate::model::{BranchName, CommitId, PullRequestSpec, RepoPath};
use crate::plan::{Action, ActionKind, CloseAction, OpenPull, Plan, PullAction, replaced_by};
use crate::policy::{CODE_OWNERS, code_owners};

use super::merge::waiting;
use super::stale_base::Ready;
use super::update::QUEUED;
use super::{Carried, Executor, PullRequests, PushedHead, Refs, Remote};
use crate::daemon::outcome::{ActionFailure, ActionFailureCode, ActionOutcome, Done, Step};

/// Maximum number of pull request branches in one push; servers limit it.
const HEADS: usize = 200;

/// A pull request whose branch the remote does not allow rewriting, with the remote's message.
struct NotRewritten<'a> {
    action: &'a Action,
    pull: &'a PullAction,
    next: BranchName,
    said: String,
}

impl<R: Remote, P: PullRequests> Executor<R, P> {
    /// Pushes the branches of all pull requests, then finds or opens each of them. Content that cannot go onto its
    /// existing branch goes onto the next one of the series, as one commit on the base like every other, and the old
    /// branch is abandoned.
    pub(super) async fn propose(&mut self, plan: &Plan, now: Timestamp, carried: &mut Carried) {
        let stuck = self.propose_all(plan, &plan.actions, now, carried).await;
        let renamed: Vec<Action> = stuck.iter().map(NotRewritten::renamed).collect();
        let done = carried.actions.len();
        self.propose_all(plan, &renamed, now, carried).await;
        for mut outcome in carried.actions.split_off(done) {
            let Some(from) = stuck.iter().find(|from| Some(&from.next) == outcome.action.kind.head()) else { continue };
            match &mut outcome.step {
                Step::Done(Done { pull_request: Some(url), .. }) => {
                    let url = url.clone();
                    carried.actions.push(outcome);
                    self.leave(plan, from, &url, now, carried).await;
                    continue;
                }
                Step::Failed(failure) => failure.message = format!("{}; and then: {}", from.said, failure.message),
                Step::Done(_) | Step::Planned { .. } => {}
            }
            carried.actions.push(outcome);
        }
    }

    /// Closes the pull request of a branch that was replaced, and deletes the branch.
    async fn leave(&mut self, plan: &Plan, from: &NotRewritten<'_>, url: &str, now: Timestamp, carried: &mut Carried) {
        let NotRewritten { action, pull, .. } = from;
        let Some(tip) = &pull.replaces else { return };
        let Some(open) = &pull.open else {
            self.delete(&pull.head, tip).await;
            return;
        };
        let close = CloseAction {
            pull: OpenPull::of(open, tip),
            reasons: vec![format!("{}: {}", replaced_by(&pull.head, url), from.said)],
        };
        let kind = ActionKind::Close(close.clone());
        let action = Action { kind, updates: Vec::new(), ..(*action).clone() };
        self.close(plan, &action, &close, now, carried).await;
    }

    /// The same under the current names; returns those that cannot continue under them but have another name.
    async fn propose_all<'a>(
        &mut self,
        plan: &Plan,
        actions: &'a [Action],
        now: Timestamp,
        carried: &mut Carried,
    ) -> Vec<NotRewritten<'a>> {
        let reports = &mut carried.actions;
        let making = &mut carried.making;
        let mut ready: Vec<Ready<'a>> = Vec::new();
        let mut pushes: Vec<(RefUpdate, Ready<'a>)> = Vec::new();
        for action in actions {
            let ActionKind::PullRequest(pull) = &action.kind else { continue };
            if let (true, Some(tip)) = (pull.pushed, &pull.replaces) {
                ready.push((action, pull, tip.clone()));
                continue;
            }
            match self.is_queued(pull).await {
                Ok(None) => {}
                Ok(Some(open)) => {
                    carried.holds.extend(waiting(action, (&open, None), QUEUED));
                    continue;
                }
                Err(failure) => {
                    reports.push(ActionOutcome::failed(&plan.branch, action, failure));
                    continue;
                }
            }
            // The commit first: where none can be made, the approval of the present content stays. Nothing is pushed before the
            // labels are gone.
            let made = match self.made(action, &plan.revision, now, making).await {
                Ok(commit) => self.take_labels(pull, now).await.map(|()| commit),
                Err(failure) => Err(failure),
            };
            match made {
                Err(failure) => reports.push(ActionOutcome::failed(&plan.branch, action, failure)),
                Ok(commit) => {
                    let update = RefUpdate {
                        name: pull.head.full(),
                        expected: pull.replaces.clone(),
                        new: Some(commit.clone()),
                        force: Force::WithLease,
                    };
                    pushes.push((update, (action, pull, commit)));
                }
            }
        }
        if ready.is_empty() && pushes.is_empty() {
            return Vec::new();
        }
        let (updates, actions): (Vec<RefUpdate>, Vec<_>) = pushes.into_iter().unzip();
        let answers = self.push_batches(&updates).await;
        // The current state of the remote, not the answer to the push, shows which branches exist.
        let refs = self.remote.ls_remote().await;
        let PushedHeads { pushed, refused, stuck } = pushed_heads(plan, actions, &answers, refs.as_ref().ok());
        let new = pushed.iter().map(|(action, pull, tip)| PushedHead::of(&pull.head, tip, &action.updates));
        carried.pushed.extend(new);
        ready.extend(pushed);
        reports.extend(refused);
        let ready = self.without_stale_bases(plan, ready, refs, reports).await;
        reports.extend(self.ensure(plan, ready, now).await);
        stuck
    }

    /// Its pull request, if it is in a merge queue.
    async fn is_queued(&mut self, pull: &PullAction) -> Result<Option<OpenPull>, ActionFailure> {
        let Some((open, tip)) = pull.open.as_ref().zip(pull.replaces.as_ref()) else { return Ok(None) };
        match self.pulls.is_queued(open.number).await {
            Ok(queued) => Ok(queued.then(|| OpenPull::of(open, tip))),
            Err(error) => {
                let number = open.number;
                let message = format!("it is unknown whether pull request #{number} is in a merge queue: {error}");
                Err(ActionFailure::new(error.code.into(), message))
            }
        }
    }

    /// Removes the labels that approve the branch's previous content.
    async fn take_labels(&mut self, pull: &PullAction, now: Timestamp) -> Result<(), ActionFailure> {
        let Some(number) = pull.open.as_ref().map(|open| open.number) else { return Ok(()) };
        for label in &pull.withdraw {
            let taken = self.pulls.take_label(number, label, now).await;
            taken.map_err(|error| {
                let message = format!(
                    "pull request #{number} keeps its content, since its label `{label}` cannot be removed: {error}"
                );
                ActionFailure::new(error.code.into(), message)
            })?;
        }
        Ok(())
    }

    /// The reviewers: those named by the policy, and the owners of the changed files.
    fn reviewers(&self, plan: &Plan, action: &Action, pull: &PullAction) -> Vec<String> {
        let mut reviewers = pull.reviewers.clone();
        if !pull.code_owners {
            return reviewers;
        }
        match self.owners_file(&plan.revision) {
            Ok(Some(text)) => {
                let paths = action.updates.iter().flat_map(crate::plan::Update::files);
                let owners = code_owners(&text, paths);
                if let Some(problem) = owners.problem {
                    tracing::warn!(
                        repository = self.settings.name,
                        "CODEOWNERS of {}: {problem}; not all owners are asked for a review of `{}`",
                        plan.branch,
                        pull.head
                    );
                }
                for owner in owners.names {
                    if !reviewers.iter().any(|there| there.eq_ignore_ascii_case(&owner)) {
                        reviewers.push(owner);
                    }
                }
            }
            Ok(None) => {
                tracing::warn!(
                    repository = self.settings.name,
                    "`codeOwners` is enabled, but {} has no CODEOWNERS",
                    plan.branch
                );
            }
            Err(error) => tracing::warn!(repository = self.settings.name, %error, "CODEOWNERS cannot be read"),
        }
        reviewers
    }

    fn owners_file(&self, revision: &CommitId) -> Result<Option<String>, GitError> {
        for place in CODE_OWNERS {
            let Ok(path) = RepoPath::parse(place) else { continue };
            if let Some(bytes) = self.remote.content(revision, &path)? {
                return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
        Ok(None)
    }

    async fn push_batches(&self, updates: &[RefUpdate]) -> Result<Vec<RefResult>, GitError> {
        let mut pushed = Ok(Vec::new());
        for batch in updates.chunks(HEADS) {
            match (self.remote.push(batch).await, &mut pushed) {
                (Ok(results), Ok(all)) => all.extend(results),
                (Err(error), _) => pushed = Err(error),
                (Ok(_), Err(_)) => {}
            }
        }
        pushed
    }

    /// Finds or opens the pull requests whose branches are on the remote.
    async fn ensure(&mut self, plan: &Plan, ready: Vec<Ready<'_>>, now: Timestamp) -> Vec<ActionOutcome> {
        let spec = |action: &Action, pull: &PullAction| PullRequestSpec {
            title: self.wording().title(&action.policy, action.environment.as_deref(), &action.updates),
            body: self.wording().body(
                (&action.policy, action.environment.as_deref()),
                &action.updates,
                pull.automerge.as_ref(),
                &pull.head,
            ),
            head: pull.head.clone(),
            base: plan.branch.clone(),
            labels: pull.labels.clone(),
            reviewers: self.reviewers(plan, action, pull),
            draft: pull.draft,
        };
        let wanted: Vec<_> = ready.iter().map(|(action, pull, tip)| (spec(action, pull), tip.clone())).collect();
        let mut reports = Vec::new();
        for ((action, _, tip), made) in ready.into_iter().zip(self.pulls.ensure(&wanted, now).await) {
            reports.push(match made {
                Ok((made, warnings)) => {
                    for warning in warnings {
                        tracing::warn!(repository = self.settings.name, pull_request = made.number, "{warning}");
                    }
                    let done = Done { commit: tip, pull_request: Some(made.url), verified: true };
                    ActionOutcome::done(&plan.branch, action, done)
                }
                Err(error) => ActionOutcome::failed(&plan.branch, action, ActionFailure::from(&error)),
            });
        }
        reports
    }
}

impl NotRewritten<'_> {
    /// The same under the next name.
    fn renamed(&self) -> Action {
        let kind = ActionKind::PullRequest(PullAction {
            head: self.next.clone(),
            replaces: None,
            next: None,
            open: None,
            withdraw: Vec::new(),
            ..self.pull.clone()
        });
        Action { kind, ..self.action.clone() }
    }
}

/// The result of pushing branches.
#[derive(Default)]
struct PushedHeads<'a> {
    /// Those that are on the remote.
    pushed: Vec<Ready<'a>>,
    /// A report for each of the others.
    refused: Vec<ActionOutcome>,
    /// Those that may continue under another name.
    stuck: Vec<NotRewritten<'a>>,
}

fn pushed_heads<'a>(
    plan: &Plan,
    actions: Vec<Ready<'a>>,
    pushed: &Result<Vec<RefResult>, GitError>,
    refs: Option<&Refs>,
) -> PushedHeads<'a> {
    let mut heads = PushedHeads::default();
    for (at, (action, pull, commit)) in actions.into_iter().enumerate() {
        if refs.and_then(|refs| refs.get(&pull.head.full())) == Some(&commit) {
            heads.pushed.push((action, pull, commit));
            continue;
        }
        if let Ok(results) = pushed
            && let Some(RefResult::Rejected { kind: RefusalKind::Rewrite, .. }) = results.get(at)
            && let Some(next) = pull.next.clone()
        {
            let said = unpushed(&pull.head, pushed, at).message;
            heads.stuck.push(NotRewritten { action, pull, next, said });
            continue;
        }
        heads.refused.push(ActionOutcome::failed(&plan.branch, action, unpushed(&pull.head, pushed, at)));
    }
    heads
}

/// Why the remote does not show what was pushed to a branch.
pub(super) fn unpushed(head: &BranchName, pushed: &Result<Vec<RefResult>, GitError>, at: usize) -> ActionFailure {
    let results = match pushed {
        Err(error) => return ActionFailure::from(error),
        Ok(results) => results,
    };
    let (code, message) = match results.get(at) {
        Some(RefResult::Rejected { message, .. }) => {
            (ActionFailureCode::Refused, format!("the remote refuses the push to {head}: {message}"))
        }
        Some(RefResult::LostRace { message }) => (
            ActionFailureCode::LostRace,
            format!("{head} moved in the meantime; the next cycle tries again: {message}"),
        ),
        Some(RefResult::Updated | RefResult::UpToDate) | None => {
            (ActionFailureCode::FetchFailed, format!("{head} was pushed, but the remote does not show it"))
        }
    };
    ActionFailure::new(code, message)
}
