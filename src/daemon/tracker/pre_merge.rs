//! Pre-merge rows: what a cycle could not commit, what waits, and what could not be known, as rows.
//!
//! Promise: each update of a report that is not in Git yet, and each pin that could not be decided, has a row with its
//! reason and the next step, so that from "the registry has it" to "it runs" there is no place where it can vanish.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::model::{
    BranchName, Cause, CauseCode, Declared, FailureCode, ImageName, Landing, PullState, Rung, State, Tag, Tracked,
    UpdateId, Version,
};
use crate::plan::{Attention, Declared as DeclaredImage};

use super::super::report::{ActionReport, ActionResult, HoldReport, ProblemReport, RepositoryReport, UpdateReport};
use super::view::{BranchView, View};
use super::{About, Row};

/// What Git says about the bot's branches: when the tip of each was made.
pub(super) type HeadTimes = HashMap<String, Timestamp>;

/// The rows of one report's updates.
pub(super) fn rows(report: &RepositoryReport, heads: &HeadTimes) -> Vec<Row> {
    let mut rows = Vec::new();
    for action in &report.actions {
        if let Some(ActionResult::Failed { error }) = &action.result {
            let landing = failed(&report.name, action, error.code, &error.message);
            rows.extend(action.updates.iter().filter_map(|update| row(&report.name, update, landing.clone())));
        } else if let ("pull-request", Some(ActionResult::Done { pull_request: Some(url), .. })) =
            (action.kind, &action.result)
        {
            let landing = review(url, "it was opened or updated by this cycle");
            rows.extend(action.updates.iter().filter_map(|update| {
                let mut row = row(&report.name, update, landing.clone())?;
                row.tracked.pull_request = Some(url.clone());
                // From the next cycle on it waits, and its clock is that of the review.
                row.within = None;
                Some(row)
            }));
        }
    }
    for action in report.actions.iter().filter(|action| action.result.is_none()) {
        // What is about to be merged has been committed to its own branch.
        let rung = if action.kind == "merge" { Rung::Merged } else { Rung::Committed };
        let landing = Landing { state: State::Pending, rung: Some(rung), cause: None };
        rows.extend(action.updates.iter().filter_map(|update| row(&report.name, update, landing.clone())));
    }
    for hold in &report.holds {
        if let Some(mut row) = row(&report.name, &hold.update, held(hold)) {
            row.tracked.pull_request.clone_from(&hold.pull_request);
            row.tracked.declared.since = hold.pull.as_ref().and_then(|pull| heads.get(pull.head.as_str()).copied());
            if hold.gate == "approval" {
                row.within = hold.review_within;
            }
            rows.push(row);
        }
    }
    rows
}

/// The rows of what could not be decided about the declared images of a branch.
pub(super) fn undecided(report: &RepositoryReport, branch: &BranchView) -> Vec<Row> {
    let problems = report.problems.iter().filter_map(|problem| Some((problem, problem.code?)));
    let rows = problems.flat_map(|(problem, code)| {
        let images = branch.declared.iter().filter(|image| concerns(problem, &branch.name, image));
        images.map(move |image| unknown(&report.name, image, problem, code))
    });
    rows.collect()
}

/// The row of a repository in which something is not known that concerns no single pin: it cannot be read, its policies are
/// broken, its forge or a registry is silent. What it was the last time says nothing about now.
pub(super) fn whole(view: &View) -> Option<Row> {
    let report = &view.report;
    let on = |problem: &ProblemReport, branch: &BranchView| {
        branch.declared.iter().any(|image| concerns(problem, &branch.name, image))
    };
    let apart = |problem: &&ProblemReport| !view.branches.iter().any(|branch| on(problem, branch));
    let mut problems =
        report.problems.iter().filter(|it| it.code.is_some() || report.revision.is_none()).filter(apart).peekable();
    let code = problems.peek()?.code.unwrap_or(FailureCode::Network);
    let messages: Vec<String> = problems.map(|problem| problem.message.clone()).collect();
    let branch = BranchName::parse("main").ok()?;
    let branch = view.branches.first().map_or(&branch, |branch| &branch.name);
    let image = subject(&view.address, &view.name)?;
    let version = Version { tag: Tag::parse(branch.as_str()).ok(), digest: None };
    let (code, next) = match code {
        FailureCode::Authentication => {
            (CauseCode::Authentication, format!("renew the credentials that repository {} names", view.name))
        }
        FailureCode::RateLimited => (CauseCode::ImageRateLimited, "wait, or log in for a higher limit".to_owned()),
        FailureCode::ImageNotFound => (CauseCode::ImageNotFound, "see whether the image is still there".to_owned()),
        FailureCode::ConfigError => (CauseCode::ConfigError, "correct the policy or the configuration".to_owned()),
        FailureCode::Network | FailureCode::Protocol | FailureCode::Server => {
            (CauseCode::FetchFailed, "see that what is named answers; every cycle asks again".to_owned())
        }
    };
    let message = messages.first().cloned().unwrap_or_default();
    let mut landing = landing(State::Unknown, None, code, &message, next);
    if let Some(cause) = &mut landing.cause {
        cause.evidence = messages.into_iter().skip(1).take(5).collect();
    }
    let tracked = Tracked {
        id: UpdateId::of(branch, "", &view.name, &image, &version),
        repository: view.name.clone(),
        overlay: String::new(),
        app: view.name.clone(),
        environment: None,
        policy: None,
        cluster: None,
        image,
        declared: Declared { version, commit: None, since: None, by: None },
        live: Vec::new(),
        landing,
        since: None,
        deadline: None,
        pull_request: None,
        notes: Vec::new(),
    };
    Some(Row::new(tracked, About::Undecided, None))
}

/// A repository as the subject of an alarm, written like an image: host and path of its address.
fn subject(address: &str, name: &str) -> Option<ImageName> {
    let path = address.rsplit_once("://").map_or(address, |(_, rest)| rest);
    let path = path.rsplit_once('@').map_or(path, |(_, rest)| rest).replace(':', "/");
    let path = path.trim_start_matches('/').trim_end_matches(".git").to_ascii_lowercase();
    ImageName::parse(&path).or_else(|_| ImageName::parse(&format!("repository/{}", name.to_ascii_lowercase()))).ok()
}

/// A row of an update that is not in Git. An image that cannot be named was not written by the planner.
fn row(repository: &str, update: &UpdateReport, landing: Landing) -> Option<Row> {
    let tracked = Tracked {
        id: UpdateId::parse(&update.id)?,
        repository: repository.to_owned(),
        overlay: update.overlay.clone(),
        app: update.app.clone(),
        environment: update.environment.clone(),
        policy: Some(update.policy.clone()),
        cluster: None,
        image: ImageName::parse(&update.image).ok()?,
        declared: Declared { version: update.to.clone(), commit: None, since: None, by: None },
        live: Vec::new(),
        landing,
        since: None,
        deadline: None,
        pull_request: None,
        notes: Vec::new(),
    };
    Some(Row::new(tracked, About::Update, update.land_within))
}

fn landing(state: State, rung: Option<Rung>, code: CauseCode, message: &str, next: String) -> Landing {
    let cause = Cause { code, message: message.to_owned(), evidence: Vec::new(), next };
    Landing { state, rung, cause: Some(cause) }
}

/// An action that was tried and is not on the remote.
fn failed(repository: &str, action: &ActionReport, code: &str, message: &str) -> Landing {
    let (state, code, next) = match code {
        "push-rejected" => (
            State::Stuck,
            CauseCode::PushRejected,
            format!(
                "let the bot's account push to {}, or say `write: pull-request` in policy {}",
                action.head.as_deref().unwrap_or(&action.branch),
                action.policy
            ),
        ),
        "authentication" => (
            State::Stuck,
            CauseCode::Authentication,
            format!("renew the credentials of repository {repository}; they are read again by themselves"),
        ),
        "fetch-failed" => (
            State::Pending,
            CauseCode::FetchFailed,
            format!("see that the remote of repository {repository} answers; every cycle tries again"),
        ),
        "config-error" => (State::Stuck, CauseCode::ConfigError, "correct the policy or the configuration".to_owned()),
        _ => (State::Stuck, CauseCode::Unknown, "see the bot's log; every cycle tries again".to_owned()),
    };
    landing(state, Some(Rung::Committed), code, message, next)
}

fn review(url: &str, message: &str) -> Landing {
    let next = format!("review and merge {url}, or close it to hold this version");
    landing(State::Pending, Some(Rung::Merged), CauseCode::ReviewPending, message, next)
}

/// An update that waits.
fn held(hold: &HoldReport) -> Landing {
    let until = hold.until.map_or(String::new(), |until| format!(" until {until:.0}"));
    let wait = |what: &str| format!("nothing to do: {what}{until}");
    let at = Some(Rung::Committed);
    if hold.attention == Attention::Incident {
        let next = format!("see who else writes to {}, and stop one of the two{until}", hold.update.overlay);
        return landing(State::Stuck, at, CauseCode::Suspended, &hold.reason, next);
    }
    match (hold.gate, hold.pull.as_ref().map(|pull| (pull.state, &pull.url))) {
        ("approval", Some((PullState::Open, url))) => review(url, &hold.reason),
        ("hold", Some((PullState::Closed, url))) => {
            let next = format!("reopen {url}, or wait for a newer version");
            landing(State::Rejected, None, CauseCode::ReviewRejected, &hold.reason, next)
        }
        ("hold", _) => {
            let next = format!(
                "nothing to do where that was meant; `landfall release {}` lets it go on{until}",
                hold.update.app
            );
            landing(State::Rejected, None, CauseCode::RolledBack, &hold.reason, next)
        }
        ("window", _) => landing(State::Paused, at, CauseCode::WindowClosed, &hold.reason, wait("the window opens")),
        ("minimum-release-age", _) => {
            landing(State::Paused, at, CauseCode::Dependency, &hold.reason, wait("it ripens"))
        }
        ("platforms", _) => landing(
            State::Pending,
            at,
            CauseCode::ImagePlatform,
            &hold.reason,
            "see whether the build of the image has ended well".to_owned(),
        ),
        ("promotion", _) => {
            landing(State::Paused, at, CauseCode::Dependency, &hold.reason, wait("it is proved upstream first"))
        }
        ("freeze", _) => {
            let next = hold.until.map_or_else(|| "`landfall unfreeze` ends it".to_owned(), |_| wait("the freeze ends"));
            landing(State::Paused, at, CauseCode::WindowClosed, &hold.reason, next)
        }
        ("rate", _) => landing(State::Paused, at, CauseCode::Suspended, &hold.reason, wait("the others have gone on")),
        _ => landing(State::Paused, at, CauseCode::Suspended, &hold.reason, wait("the gate opens")),
    }
}

/// Whether a problem is about a declared image: by branch, file and line.
fn concerns(problem: &ProblemReport, branch: &BranchName, image: &DeclaredImage) -> bool {
    if problem.branch.as_ref().is_some_and(|name| name != branch.as_str()) {
        return false;
    }
    let here = |pin: &std::sync::Arc<crate::model::Pin>| {
        Some(pin.path.as_str()) == problem.path.as_deref() && Some(pin.line) == problem.line
    };
    image.pins.iter().any(here)
}

/// What is newest of this image is not known.
fn unknown(repository: &str, image: &DeclaredImage, problem: &ProblemReport, code: FailureCode) -> Row {
    let (code, next) = match code {
        FailureCode::Authentication => (
            CauseCode::Authentication,
            format!("give the bot credentials for {} that may pull {}", image.name.registry(), image.name),
        ),
        FailureCode::RateLimited => (CauseCode::ImageRateLimited, "wait, or log in for a higher limit".to_owned()),
        FailureCode::ImageNotFound => (
            CauseCode::ImageNotFound,
            format!("see whether {} is still there and whether the bot may see it", image.name),
        ),
        FailureCode::ConfigError => (CauseCode::ConfigError, "correct the policy".to_owned()),
        FailureCode::Network | FailureCode::Protocol | FailureCode::Server => {
            (CauseCode::FetchFailed, format!("see that {} answers; every cycle asks again", image.name.registry()))
        }
    };
    let message = format!("whether there is a newer version cannot be known: {}", problem.message);
    let tracked = super::declared_row(repository, image, None, landing(State::Unknown, None, code, &message, next));
    Row::new(tracked, About::Undecided, None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{CommitId, RepoPath};
    use crate::overlay::{FileChange, PinIndex};
    use crate::plan::declared;
    use crate::policy::PolicySet;

    /// A branch with one pinned image.
    fn branch(name: &str) -> BranchView {
        let name = BranchName::parse(name).unwrap();
        let path = RepoPath::parse("apps/web/kustomization.yaml").unwrap();
        let bytes = b"images:\n  - name: ghcr.io/acme/web\n    newTag: 1.2.3\n".to_vec();
        let mut index = PinIndex::new();
        index.update(vec![FileChange::File { path, bytes }]);
        let pins = index.pins(&|_| false).pins;
        let shared: Vec<_> = pins.iter().cloned().map(Arc::new).collect();
        BranchView {
            tip: CommitId::parse(&"a".repeat(40)).unwrap(),
            declared: Arc::new(declared(&name, &shared, &PolicySet::new(Vec::new()))),
            pins: Arc::new(pins),
            source_ignore: "".into(),
            reach: Arc::new(index.reach().clone()),
            name,
        }
    }

    #[test]
    fn a_problem_of_one_branch_is_none_of_another_with_the_same_file() {
        let problem = |branch: Option<&str>| ProblemReport {
            branch: branch.map(str::to_owned),
            path: Some("apps/web/kustomization.yaml".to_owned()),
            line: Some(3),
            message: "the registry is silent".to_owned(),
            code: Some(FailureCode::Network),
        };
        let (main, prod) = (branch("main"), branch("env/prod"));
        for (about, expected) in [(Some("env/prod"), (0, 1)), (Some("main"), (1, 0)), (None, (1, 1))] {
            let report = RepositoryReport { problems: vec![problem(about)], ..RepositoryReport::new("deploys") };
            let rows = (undecided(&report, &main).len(), undecided(&report, &prod).len());
            assert_eq!(rows, expected, "{about:?}");
        }
    }
}
