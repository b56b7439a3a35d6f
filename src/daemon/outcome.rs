//! The outcome of a cycle, as types: what the executor returns, the tracker consumes, and reports are made from.
//!
//! Invariant: nothing is decided by a report's text; JSON and tables are written from this value at the very end.

use crate::git::GitError;
use crate::model::{BranchName, CauseCode, CommitId, FailureCode};
use crate::plan::{Action, Hold, Plan, Problem};

/// The result of one read-plan-execute pass over a repository; for a plan that is not executed, what it would do.
#[derive(Debug, Clone)]
pub struct CycleOutcome {
    /// The repository's name in the configuration.
    pub repository: String,
    /// The tip of its main branch at planning time; `None` if it could not be read.
    pub revision: Option<CommitId>,
    /// What would be done, or was done.
    pub actions: Vec<ActionOutcome>,
    /// Held updates.
    pub holds: Vec<Hold>,
    /// How many images in overlays are up to date.
    pub up_to_date: usize,
    /// How many pins are covered by no policy, or by one with `write: never`.
    pub unmanaged: usize,
    /// What could not be decided.
    pub problems: Vec<CycleProblem>,
}

/// A problem, and how much of the repository it affects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleProblem {
    /// The planned branch; `None`: the repository as a whole. With a branch per environment, the same path exists on
    /// each of them.
    pub branch: Option<BranchName>,
    /// The problem.
    pub problem: Problem,
}

/// One action, and its progress.
#[derive(Debug, Clone)]
pub struct ActionOutcome {
    /// The branch it goes into.
    pub branch: BranchName,
    /// What was planned.
    pub action: Action,
    /// Its progress.
    pub step: Step,
}

/// The progress of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is only planned.
    Planned {
        /// The unified diff of its files, if requested.
        diff: Option<String>,
    },
    /// It is on the remote.
    Done(Done),
    /// It is not.
    Failed(ActionFailure),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The commit that carries it.
    pub commit: CommitId,
    /// Where the pull request can be read.
    pub pull_request: Option<String>,
    /// Whether the remote ref was read again and holds the commit (G1).
    pub verified: bool,
}

/// Why an action is not on the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionFailure {
    /// Which kind of failure.
    pub code: ActionFailureCode,
    /// For people.
    pub message: String,
}

/// The kinds of failure that need different reactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActionFailureCode {
    /// Somebody else pushed first; the next cycle plans again.
    LostRace,
    /// The server refuses it, and would refuse it next time.
    Refused,
    /// Bad, missing or expired credentials, or no permission.
    Authentication,
    /// The remote or the forge did not answer, or not properly.
    FetchFailed,
    /// Something in the configuration cannot be carried out.
    ConfigError,
    /// The bot's own disk is full or not writable.
    Disk,
    /// The files as they are do not allow the planned change.
    NotAsPlanned,
}

impl ActionFailureCode {
    /// The corresponding cause code.
    #[must_use]
    pub fn cause(self) -> CauseCode {
        match self {
            Self::LostRace => CauseCode::LostRace,
            Self::Refused => CauseCode::PushRejected,
            Self::Authentication => CauseCode::Authentication,
            Self::FetchFailed => CauseCode::FetchFailed,
            Self::ConfigError => CauseCode::ConfigError,
            Self::Disk => CauseCode::Disk,
            Self::NotAsPlanned => CauseCode::Unknown,
        }
    }
}

impl From<FailureCode> for ActionFailureCode {
    fn from(code: FailureCode) -> Self {
        match code {
            FailureCode::Authentication => Self::Authentication,
            FailureCode::RateLimited | FailureCode::Network | FailureCode::Server => Self::FetchFailed,
            FailureCode::ConfigError => Self::ConfigError,
            FailureCode::Disk => Self::Disk,
            FailureCode::Protocol | FailureCode::ImageNotFound | FailureCode::Internal => Self::NotAsPlanned,
        }
    }
}

impl ActionFailure {
    /// A failure of this kind.
    #[must_use]
    pub fn new(code: ActionFailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<&GitError> for ActionFailure {
    fn from(error: &GitError) -> Self {
        let code = match error {
            GitError::Authentication { .. } | GitError::NotFound { .. } => ActionFailureCode::Authentication,
            GitError::Unreachable { .. }
            | GitError::Timeout { .. }
            | GitError::RateLimited { .. }
            | GitError::Server { .. }
            | GitError::Protocol { .. }
            // The next fetch fixes both.
            | GitError::UnknownCommit { .. }
            | GitError::Damaged { .. } => ActionFailureCode::FetchFailed,
            GitError::Disk { .. } => ActionFailureCode::Disk,
            GitError::Program { .. } => ActionFailureCode::ConfigError,
            GitError::Refused { .. } => ActionFailureCode::NotAsPlanned,
            GitError::NotMade { code: FailureCode::Protocol, .. } => ActionFailureCode::Refused,
            GitError::NotMade { code, .. } => (*code).into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<GitError> for ActionFailure {
    fn from(error: GitError) -> Self {
        Self::from(&error)
    }
}

impl CycleOutcome {
    /// An empty outcome.
    #[must_use]
    pub fn new(repository: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            revision: None,
            actions: Vec::new(),
            holds: Vec::new(),
            up_to_date: 0,
            unmanaged: 0,
            problems: Vec::new(),
        }
    }

    /// The same, with the actions of an earlier cycle added.
    #[must_use]
    pub fn with_done_of(mut self, earlier: Self) -> Self {
        self.actions.splice(0..0, earlier.actions.into_iter().filter(ActionOutcome::is_done));
        self
    }

    /// Adds the plan of one branch, except its actions, which are added when they are executed.
    pub fn add_plan(&mut self, plan: &Plan) {
        self.holds.extend(plan.holds.iter().cloned());
        self.up_to_date += plan.up_to_date;
        self.unmanaged += plan.unmanaged;
        let here = |problem: &Problem| CycleProblem { branch: Some(plan.branch.clone()), problem: problem.clone() };
        self.problems.extend(plan.problems.iter().map(here));
    }

    /// Adds problems that prevent the whole repository from being planned.
    pub fn add_blocking(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.problems.extend(problems.into_iter().map(|problem| CycleProblem { branch: None, problem }));
    }

    /// Whether one of the problems affects the repository as a whole.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.problems.iter().any(|problem| problem.branch.is_none())
    }

    /// The failed actions.
    pub fn failures(&self) -> impl Iterator<Item = (&ActionOutcome, &ActionFailure)> {
        self.actions.iter().filter_map(|action| Some((action, action.failure()?)))
    }

    /// Whether something could not be done (exit code 2): an action, or anything in a repository that could be read.
    #[must_use]
    pub fn failed(&self) -> bool {
        (self.blocked() && self.revision.is_some()) || self.failures().next().is_some()
    }

    /// Whether something that had to be known is not (exit code 2): the repository, a registry, a forge, a policy. A
    /// mere shortcoming (a tag without an order, a file that cannot be read) is a problem, but not a failure.
    #[must_use]
    pub fn incomplete(&self) -> bool {
        self.revision.is_none() || self.problems.iter().any(|it| it.problem.code.is_some())
    }

    /// Whether the failure is a refusal of access (exit code 4).
    #[must_use]
    pub fn refused(&self) -> bool {
        let code = Some(FailureCode::Authentication);
        self.problems.iter().any(|it| it.problem.code == code)
            || self.failures().any(|(_, failure)| failure.code == ActionFailureCode::Authentication)
    }
}

impl ActionOutcome {
    /// An action that is only planned.
    #[must_use]
    pub fn planned(branch: &BranchName, action: &Action) -> Self {
        Self { branch: branch.clone(), action: action.clone(), step: Step::Planned { diff: None } }
    }

    /// An action that is on the remote.
    #[must_use]
    pub fn done(branch: &BranchName, action: &Action, done: Done) -> Self {
        Self { step: Step::Done(done), ..Self::planned(branch, action) }
    }

    /// An action that failed.
    #[must_use]
    pub fn failed(branch: &BranchName, action: &Action, failure: ActionFailure) -> Self {
        Self { step: Step::Failed(failure), ..Self::planned(branch, action) }
    }

    /// Whether it was carried out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.step, Step::Done(_))
    }

    /// Why it failed.
    #[must_use]
    pub fn failure(&self) -> Option<&ActionFailure> {
        match &self.step {
            Step::Failed(failure) => Some(failure),
            Step::Planned { .. } | Step::Done(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::PullError;

    #[test]
    fn a_forge_that_does_not_answer_is_no_refusal() {
        for (code, expected) in [
            (FailureCode::Server, CauseCode::FetchFailed),
            (FailureCode::Network, CauseCode::FetchFailed),
            (FailureCode::RateLimited, CauseCode::FetchFailed),
            (FailureCode::Authentication, CauseCode::Authentication),
            (FailureCode::ConfigError, CauseCode::ConfigError),
        ] {
            let error = PullError { message: "HTTP 502".to_owned(), code };
            assert_eq!(ActionFailure::from(&error).code.cause(), expected, "{code:?}");
        }
    }

    #[test]
    fn a_full_disk_is_a_full_disk() {
        let (path, message) = ("/state".into(), "No space left on device".to_owned());
        let failure = ActionFailure::from(GitError::Disk { path, message });
        assert_eq!(failure.code.cause(), CauseCode::Disk);
        assert!(failure.message.contains("No space left"), "{}", failure.message);
    }
}
