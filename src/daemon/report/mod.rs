//! What a cycle decided and did, in the shape of CLI.md (`plan` and `apply`).

mod diff;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{CommitId, FailureCode, Version};
use crate::plan::{Action, ActionKind, Attention, HeldBy, Hold, Plan, Problem, Update};

/// One repository's part of the answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryReport {
    /// The repository's name in the configuration.
    pub name: String,
    /// The tip of its main branch that was planned at; `null` where it could not be read.
    pub revision: Option<CommitId>,
    /// What would be done, or was.
    pub actions: Vec<ActionReport>,
    /// What waits.
    pub holds: Vec<HoldReport>,
    /// How many images in overlays have nothing newer.
    pub up_to_date: usize,
    /// How many pins no policy covers or a policy says never for.
    pub unmanaged: usize,
    /// What could not be decided.
    pub problems: Vec<ProblemReport>,
    /// Whether one of the problems concerns the repository as a whole.
    #[serde(skip)]
    pub blocked: bool,
}

impl RepositoryReport {
    /// An empty report.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            revision: None,
            actions: Vec::new(),
            holds: Vec::new(),
            up_to_date: 0,
            unmanaged: 0,
            problems: Vec::new(),
            blocked: false,
        }
    }

    /// Adds what was planned for one branch; actions are added by who carries them out.
    pub fn add_plan(&mut self, plan: &Plan) {
        self.holds.extend(plan.holds.iter().map(HoldReport::from));
        self.up_to_date += plan.up_to_date;
        self.unmanaged += plan.unmanaged;
        let branch = Some(plan.branch.to_string());
        let here = |problem: &Problem| ProblemReport { branch: branch.clone(), ..ProblemReport::from(problem) };
        self.problems.extend(plan.problems.iter().map(here));
    }

    /// Adds problems that keep the whole repository from being planned.
    pub fn add_blocking(&mut self, problems: &[Problem]) {
        self.blocked |= !problems.is_empty();
        self.problems.extend(problems.iter().map(ProblemReport::from));
    }

    /// Whether something could not be done (exit code 2): an action, or anything in a repository as a whole.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.blocked || self.actions.iter().any(|action| matches!(action.result, Some(ActionResult::Failed { .. })))
    }

    /// Whether something that had to be known could not be (exit code 2): the repository, a registry, a forge, a policy.
    /// What was only found wanting (a tag without an order, a file that cannot be read) is a problem, but no failure.
    #[must_use]
    pub fn incomplete(&self) -> bool {
        self.revision.is_none() || self.problems.iter().any(|problem| problem.code.is_some())
    }

    /// Whether the failure is one of permission (exit code 4).
    #[must_use]
    pub fn refused(&self) -> bool {
        let code = Some(FailureCode::Authentication);
        self.problems.iter().any(|problem| problem.code == code)
            || self.actions.iter().any(
                |action| matches!(&action.result, Some(ActionResult::Failed { error }) if error.code == "authentication"),
            )
    }
}

/// One commit or pull request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionReport {
    /// `commit`, `pull-request`, `merge`, `close` or `remind`.
    pub kind: &'static str,
    /// The branch it goes into.
    pub branch: String,
    /// The branch that carries a pull request.
    pub head: Option<String>,
    /// The policy.
    pub policy: String,
    /// The environment.
    pub environment: Option<String>,
    /// The grouping key.
    pub group: String,
    /// What moves.
    pub updates: Vec<UpdateReport>,
    /// The open pull request that is merged, closed or called to mind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<String>,
    /// What is done where nothing moves, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The unified diff of its files, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// What came of it; `null` while it is only planned.
    pub result: Option<ActionResult>,
}

impl ActionReport {
    /// Whether it was carried out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.result, Some(ActionResult::Done { .. }))
    }

    /// The planned form of an action.
    #[must_use]
    pub fn planned(branch: &str, action: &Action) -> Self {
        Self {
            kind: action.kind.as_str(),
            branch: branch.to_owned(),
            head: action.kind.head().map(ToString::to_string),
            policy: action.policy.clone(),
            environment: action.environment.clone(),
            group: action.group.clone(),
            updates: action.updates.iter().map(UpdateReport::from).collect(),
            pull_request: action.kind.open().map(|pull| pull.url.clone()),
            note: note(&action.kind),
            diff: None,
            result: None,
        }
    }
}

/// What an action does that moves nothing.
fn note(kind: &ActionKind) -> Option<String> {
    match kind {
        ActionKind::Commit | ActionKind::PullRequest(_) | ActionKind::Merge(_) => None,
        ActionKind::Close(close) => Some(format!("nothing is left to do: {}", close.reasons.join("; "))),
        ActionKind::Remind(remind) => Some(format!("it has waited since {:.0}", remind.since)),
    }
}

/// What came of an action.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum ActionResult {
    /// It is on the remote.
    #[serde(rename_all = "camelCase")]
    Done {
        /// The commit that carries it.
        commit: CommitId,
        /// Where the pull request is read.
        pull_request: Option<String>,
        /// Whether the remote ref was read again and holds the commit (G1).
        verified: bool,
    },
    /// It is not.
    Failed {
        /// Why.
        error: ActionError,
    },
}

/// Why an action failed.
#[derive(Debug, Clone, Serialize)]
pub struct ActionError {
    /// One of CLI.md's cause codes.
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

/// One update.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateReport {
    /// Its deterministic id.
    pub id: String,
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: Option<String>,
    /// The policy.
    pub policy: String,
    /// The overlay's folder.
    pub overlay: String,
    /// The image's name as written.
    pub image: String,
    /// Before.
    pub from: Version,
    /// After.
    pub to: Version,
    /// The files that change.
    pub files: Vec<String>,
    /// How long it may take.
    #[serde(skip)]
    pub land_within: Option<Duration>,
}

impl From<&Update> for UpdateReport {
    fn from(update: &Update) -> Self {
        Self {
            id: update.id.to_string(),
            app: update.app.clone(),
            environment: update.environment.clone(),
            policy: update.policy.clone(),
            overlay: update.overlay.clone(),
            image: update.image.clone(),
            from: update.from.clone(),
            to: update.to.clone(),
            files: update.files().into_iter().map(ToString::to_string).collect(),
            land_within: update.land_within,
        }
    }
}

/// One held update.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldReport {
    /// The update.
    pub update: UpdateReport,
    /// The gate.
    pub gate: &'static str,
    /// Why.
    pub reason: String,
    /// Until when, where known.
    pub until: Option<Timestamp>,
    /// Where the pull request is read that it waits for, or that was closed.
    pub pull_request: Option<String>,
    /// That pull request.
    #[serde(skip)]
    pub pull: Option<HeldBy>,
    /// How long a review may take.
    #[serde(skip)]
    pub review_within: Option<Duration>,
    /// Whether it is an incident.
    #[serde(skip)]
    pub attention: Attention,
}

impl From<&Hold> for HoldReport {
    fn from(hold: &Hold) -> Self {
        Self {
            update: UpdateReport::from(&hold.update),
            gate: hold.gate.as_str(),
            reason: hold.reason.clone(),
            until: hold.until,
            pull_request: hold.pull.as_ref().map(|pull| pull.url.clone()),
            pull: hold.pull.clone(),
            review_within: hold.review_within,
            attention: hold.attention,
        }
    }
}

/// One problem.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemReport {
    /// The branch that was planned, where it is about one: with a branch per environment, a path is on each of them.
    pub branch: Option<String>,
    /// The file, where one is meant.
    pub path: Option<String>,
    /// The line in it.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub message: String,
    /// The kind of failure, where something outside failed.
    pub code: Option<FailureCode>,
}

impl From<&Problem> for ProblemReport {
    fn from(problem: &Problem) -> Self {
        Self {
            branch: None,
            path: problem.path.clone(),
            line: problem.line,
            message: problem.message.clone(),
            code: problem.code,
        }
    }
}
