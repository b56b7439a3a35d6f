//! Pre-merge rows: what a cycle could not commit, what waits, and what is unknown, as rows.
//!
//! Promise: each update in an outcome that is not in Git yet, and each pin that could not be decided, has a row with
//! its reason and the next step, so that it cannot vanish anywhere between "the registry has it" and "it runs".

use std::collections::HashMap;

use jiff::Timestamp;

use crate::landing::pre_merge;
use crate::landing::row::{Row, RowSubject};
use crate::model::{
    Affected, BranchName, CauseCode, FailureCode, ImageName, Landing, Rung, State, Tag, Tracked, TrackedThing,
    UpdateId, Version,
};
use crate::plan::{ActionKind, Attention, Declared as DeclaredImage, Gate};

use super::super::outcome::{ActionFailure, ActionFailureCode, ActionOutcome, CycleOutcome, CycleProblem, Done, Step};
use super::view::{BranchView, View};

/// Since when each of the bot's branches has carried its updates: when its tip was made, according to Git, or longer if
/// the bot has seen the same updates there before.
pub(super) type HeadTimes = HashMap<String, Timestamp>;

/// The rows from the cycle itself: updates that are not in Git yet, and what could not be decided.
pub(super) fn all(view: &View) -> Vec<Row> {
    let undecided = view.branches.iter().flat_map(|branch| undecided(&view.outcome, branch));
    undecided.chain(rows(&view.outcome, &view.heads)).chain(whole(view)).collect()
}

/// The rows of one outcome's updates.
fn rows(outcome: &CycleOutcome, heads: &HeadTimes) -> Vec<Row> {
    let repository = outcome.repository.as_str();
    let mut rows: Vec<Row> = outcome.actions.iter().flat_map(|action| action_rows(repository, action)).collect();
    // What can never be written is not on its way: no row of it would ever end.
    for hold in outcome.holds.iter().filter(|hold| hold.attention != Attention::Never) {
        let mut row = Row::of_update(repository, &hold.update, pre_merge::held(hold));
        row.tracked.pull_request = hold.pull.as_ref().map(|pull| pull.url.clone());
        row.tracked.declared.since = hold.pull.as_ref().and_then(|pull| heads.get(pull.head.as_str()).copied());
        if hold.gate == Gate::Approval {
            row.within = hold.review_within;
        }
        rows.push(row);
    }
    rows
}

/// The rows of one action's updates; none if they are in Git by now.
fn action_rows(repository: &str, outcome: &ActionOutcome) -> Vec<Row> {
    let rows = |landing: Landing| -> Vec<Row> {
        outcome.action.updates.iter().map(|update| Row::of_update(repository, update, landing.clone())).collect()
    };
    let behind = |outcome: &ActionOutcome, url: &str, what: &str| {
        let base = &outcome.branch;
        let message = format!("its branch is behind {base}, and its forge requires it to be up to date: {what}");
        let mut rows = rows(pre_merge::review(url, &message));
        rows.iter_mut().for_each(|row| row.tracked.pull_request = Some(url.to_owned()));
        rows
    };
    match (&outcome.step, &outcome.action.kind) {
        (Step::Failed(failure), _) => {
            let landing = failed(repository, outcome, failure);
            let updates = outcome.action.updates.iter();
            updates.map(|update| Row::of_failure(repository, update, landing.clone())).collect()
        }
        (Step::Done(Done { pull_request: Some(url), .. }), ActionKind::PullRequest(_)) => {
            let mut rows = rows(pre_merge::review(url, "it was opened or updated by this cycle"));
            for row in &mut rows {
                row.tracked.pull_request = Some(url.clone());
                // From the next cycle on it waits, with the clock of the review.
                row.within = None;
            }
            rows
        }
        (Step::Done(Done { pull_request: Some(url), .. }), ActionKind::Update(_)) => {
            behind(outcome, url, "it has been brought up to date, and its checks run again")
        }
        (Step::Done(_), _) => Vec::new(),
        (Step::Planned { .. }, ActionKind::Update(update)) => {
            behind(outcome, &update.pull.url, "the next cycle brings it up to date")
        }
        // An update that is about to be merged has been committed to its own branch.
        (Step::Planned { .. }, ActionKind::Merge(_)) => rows(pre_merge::planned(Rung::Merged)),
        (
            Step::Planned { .. },
            ActionKind::Commit
            | ActionKind::PullRequest(_)
            | ActionKind::Close(_)
            | ActionKind::Remind(_)
            | ActionKind::Dequeue(_),
        ) => rows(pre_merge::planned(Rung::Committed)),
    }
}

/// The rows for the declared images of a branch that could not be decided.
fn undecided(outcome: &CycleOutcome, branch: &BranchView) -> Vec<Row> {
    let problems = outcome.problems.iter().filter_map(|problem| Some((problem, problem.problem.code?)));
    let rows = problems.flat_map(|(problem, code)| {
        let images = branch.declared.iter().filter(|image| concerns(problem, &branch.name, image));
        images.map(move |image| unknown(&outcome.repository, image, problem, code))
    });
    rows.collect()
}

/// The row of a repository in which something unknown affects more than a single pin: it cannot be read, its policies
/// are broken, its forge or a registry is silent. Its previous state says nothing about the present.
pub(super) fn whole(view: &View) -> Option<Row> {
    let outcome = &view.outcome;
    let on = |problem: &CycleProblem, branch: &BranchView| {
        branch.declared.iter().any(|image| concerns(problem, &branch.name, image))
    };
    let apart = |problem: &&CycleProblem| !view.branches.iter().any(|branch| on(problem, branch));
    let counts = |it: &&CycleProblem| it.problem.code.is_some() || outcome.revision.is_none();
    let mut problems = outcome.problems.iter().filter(counts).filter(apart).peekable();
    let code = problems.peek()?.problem.code.unwrap_or(FailureCode::Network);
    let messages: Vec<String> = problems.map(|it| it.problem.message.clone()).collect();
    let (code, next) = pre_merge::unknown(code, None, &view.name);
    let message = messages.first().cloned().unwrap_or_default();
    let mut landing = pre_merge::landing(State::Unknown, None, code, &message, next);
    if let Some(cause) = &mut landing.cause {
        cause.evidence = messages.into_iter().skip(1).take(5).collect();
    }
    of_repository(view, landing)
}

/// No cycle of a repository has ended for so long that one must be stuck, or none can run.
pub(super) fn stalled(view: &View) -> Option<Row> {
    let message = format!("no cycle of repository {} has ended since {:.0}", view.name, view.at);
    let next = "check the bot's log for what it is waiting for; restarting the bot does no harm".to_owned();
    of_repository(view, pre_merge::landing(State::Unknown, None, CauseCode::Stale, &message, next))
}

/// A row for a repository as a whole.
fn of_repository(view: &View, landing: Landing) -> Option<Row> {
    let main = BranchName::parse("main").ok();
    let branch = view.branches.first().map(|branch| &branch.name).or(main.as_ref())?;
    let image = subject(&view.address, &view.name)?;
    let version = Version { tag: Tag::parse(branch.as_str()).ok(), digest: None };
    let id = UpdateId::of(branch, "", &view.name, &image, &version);
    let declared = view.branches.iter().flat_map(|branch| branch.declared.iter());
    let tracked = Tracked {
        thing: TrackedThing::Repository,
        affects: declared
            .map(|it| Affected { environment: it.environment.clone(), policy: it.policy.clone() })
            .collect(),
        ..Tracked::new(id, &view.name, &view.name, image, version, landing)
    };
    Some(Row::new(tracked, RowSubject::Undecided, None))
}

/// A repository as the subject of an alert, written like an image: host and path of its address.
fn subject(address: &str, name: &str) -> Option<ImageName> {
    let path = address.rsplit_once("://").map_or(address, |(_, rest)| rest);
    let path = path.rsplit_once('@').map_or(path, |(_, rest)| rest).replace(':', "/");
    let path = path.trim_start_matches('/').trim_end_matches(".git").to_ascii_lowercase();
    let named = || format!("repository/{}", name.to_ascii_lowercase());
    // There must be an alert, whatever its name.
    let all = || ImageName::parse("repository/unnamed");
    ImageName::parse(&path).or_else(|_| ImageName::parse(&named())).or_else(|_| all()).ok()
}

/// An action that was attempted and is not on the remote.
fn failed(repository: &str, outcome: &ActionOutcome, failure: &ActionFailure) -> Landing {
    let (state, next) = match failure.code {
        ActionFailureCode::LostRace => {
            (State::Pending, "nothing to do: the next cycle plans again from the new state".to_owned())
        }
        ActionFailureCode::Refused => (
            State::Stuck,
            format!(
                "let the bot's account push to {}, or set `write: pull-request` in policy {}",
                outcome.action.kind.head().unwrap_or(&outcome.branch),
                outcome.action.policy
            ),
        ),
        ActionFailureCode::Authentication => (
            State::Stuck,
            format!("renew the credentials of repository {repository}; they are read again automatically"),
        ),
        ActionFailureCode::FetchFailed => (
            State::Pending,
            format!("check that the remote and the forge of repository {repository} answer; every cycle tries again"),
        ),
        ActionFailureCode::ConfigError => (State::Stuck, "correct the policy or the configuration".to_owned()),
        ActionFailureCode::Disk => (State::Stuck, pre_merge::DISK.to_owned()),
        ActionFailureCode::NotAsPlanned => (State::Stuck, "see the bot's log; every cycle tries again".to_owned()),
    };
    pre_merge::landing(state, Some(Rung::Committed), failure.code.cause(), &failure.message, next)
}

/// Whether a problem is about a declared image: by branch, file and line.
fn concerns(
    CycleProblem { branch: about, problem }: &CycleProblem,
    branch: &BranchName,
    image: &DeclaredImage,
) -> bool {
    if about.as_ref().is_some_and(|name| name != branch) {
        return false;
    }
    let here = |pin: &std::sync::Arc<crate::model::Pin>| {
        Some(pin.path.as_str()) == problem.path.as_deref() && Some(pin.line) == problem.line
    };
    image.pins.iter().any(here)
}

/// It is unknown what the newest version of this image is.
fn unknown(repository: &str, image: &DeclaredImage, problem: &CycleProblem, code: FailureCode) -> Row {
    let (code, next) = pre_merge::unknown(code, Some(&image.name), repository);
    let message = format!("it is unknown whether there is a newer version: {}", problem.problem.message);
    let tracked =
        Row::declared(repository, image, None, pre_merge::landing(State::Unknown, None, code, &message, next));
    Row::new(tracked, RowSubject::Undecided, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Action, Problem};

    /// A branch with one pinned image.
    fn branch(name: &str) -> BranchView {
        super::super::tests::branch(name, &["web"])
    }

    #[test]
    fn what_the_next_cycle_mends_is_pending_and_the_rest_is_stuck() {
        use ActionFailureCode as Code;
        let action = Action {
            kind: ActionKind::Commit,
            policy: "dev".to_owned(),
            environment: None,
            group: "web".to_owned(),
            updates: Vec::new(),
        };
        let outcome = ActionOutcome::planned(&BranchName::parse("main").unwrap(), &action);
        for (code, state) in [
            (Code::LostRace, State::Pending),
            (Code::FetchFailed, State::Pending),
            (Code::Refused, State::Stuck),
            (Code::Authentication, State::Stuck),
            (Code::Disk, State::Stuck),
        ] {
            let landing = failed("deploys", &outcome, &ActionFailure::new(code, "said so"));
            assert_eq!((landing.state, landing.cause.unwrap().code), (state, code.cause()));
        }
    }

    #[test]
    fn a_problem_of_one_branch_is_none_of_another_with_the_same_file() {
        let problem = |branch: Option<&str>| CycleProblem {
            branch: branch.map(|name| BranchName::parse(name).unwrap()),
            problem: Problem {
                path: Some("apps/web/kustomization.yaml".to_owned()),
                image: None,
                line: Some(3),
                message: "the registry is silent".to_owned(),
                code: Some(FailureCode::Network),
            },
        };
        let (main, prod) = (branch("main"), branch("env/prod"));
        for (about, expected) in [(Some("env/prod"), (0, 1)), (Some("main"), (1, 0)), (None, (1, 1))] {
            let outcome = CycleOutcome { problems: vec![problem(about)], ..CycleOutcome::new("deploys") };
            let rows = (undecided(&outcome, &main).len(), undecided(&outcome, &prod).len());
            assert_eq!(rows, expected, "{about:?}");
        }
    }
}
