//! What came of one cycle, as types: what the executor returns, the tracker takes in and reports are made from.
//!
//! Invariant: nobody decides anything by a report's text; JSON and tables are written from this value at the very end.

use crate::git::GitError;
use crate::model::{BranchName, CauseCode, CommitId, FailureCode};
use crate::plan::{Action, Hold, Plan, Problem};

/// What one read-plan-execute pass of a repository came to; of a plan that is not carried out, what it would do.
#[derive(Debug, Clone)]
pub struct CycleOutcome {
    /// The repository's name in the configuration.
    pub repository: String,
    /// The tip of its main branch that was planned at; `None` where it could not be read.
    pub revision: Option<CommitId>,
    /// What would be done, or was.
    pub actions: Vec<ActionOutcome>,
    /// What waits.
    pub holds: Vec<Hold>,
    /// How many images in overlays have nothing newer.
    pub up_to_date: usize,
    /// How many pins no policy covers or a policy says never for.
    pub unmanaged: usize,
    /// What could not be decided.
    pub problems: Vec<CycleProblem>,
}

/// A problem, and how much of the repository it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleProblem {
    /// The branch that was planned; `None`: the repository as a whole. With a branch per environment, a path is on each of
    /// them.
    pub branch: Option<BranchName>,
    /// The problem.
    pub problem: Problem,
}

/// One action, and how far it has come.
#[derive(Debug, Clone)]
pub struct ActionOutcome {
    /// The branch it goes into.
    pub branch: BranchName,
    /// What was planned.
    pub action: Action,
    /// How far it has come.
    pub step: Step,
}

/// How far an action has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is only planned.
    Planned {
        /// The unified diff of its files, where asked for.
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
    /// Where the pull request is read.
    pub pull_request: Option<String>,
    /// Whether the remote ref was read again and holds the commit (G1).
    pub verified: bool,
}

/// Why an action is not on the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionFailure {
    /// Which kind of failure.
    pub code: ActionFailureCode,
    /// For a person.
    pub message: String,
}

/// The kinds of failure that call for different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActionFailureCode {
    /// Somebody else was faster; the next cycle plans again.
    LostRace,
    /// The server does not take it, and would not take it the next time.
    Refused,
    /// Bad, missing or expired credentials, or no permission.
    Authentication,
    /// The remote or the forge did not answer, or not as it should.
    FetchFailed,
    /// Something is configured that cannot be carried out.
    ConfigError,
    /// The bot's own disk is full or not writable.
    Disk,
    /// What was planned cannot be made of the files as they are.
    NotAsPlanned,
}

impl ActionFailureCode {
    /// The same in the closed list of causes.
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
            // Both mend themselves by the next fetch.
            | GitError::UnknownCommit { .. }
            | GitError::Damaged { .. } => ActionFailureCode::FetchFailed,
            GitError::Disk { .. } => ActionFailureCode::Disk,
            GitError::Program { .. } => ActionFailureCode::ConfigError,
            GitError::Refused { .. } => ActionFailureCode::NotAsPlanned,
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

    /// The same, after what an earlier cycle did.
    #[must_use]
    pub fn with_done_of(mut self, earlier: Self) -> Self {
        self.actions.splice(0..0, earlier.actions.into_iter().filter(ActionOutcome::is_done));
        self
    }

    /// Adds what was planned for one branch; actions are added by who carries them out.
    pub fn add_plan(&mut self, plan: &Plan) {
        self.holds.extend(plan.holds.iter().cloned());
        self.up_to_date += plan.up_to_date;
        self.unmanaged += plan.unmanaged;
        let here = |problem: &Problem| CycleProblem { branch: Some(plan.branch.clone()), problem: problem.clone() };
        self.problems.extend(plan.problems.iter().map(here));
    }

    /// Adds problems that keep the whole repository from being planned.
    pub fn add_blocking(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.problems.extend(problems.into_iter().map(|problem| CycleProblem { branch: None, problem }));
    }

    /// Whether one of the problems concerns the repository as a whole.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.problems.iter().any(|problem| problem.branch.is_none())
    }

    /// What failed.
    pub fn failures(&self) -> impl Iterator<Item = (&ActionOutcome, &ActionFailure)> {
        self.actions.iter().filter_map(|action| Some((action, action.failure()?)))
    }

    /// Whether something could not be done (exit code 2): an action, or anything in a repository that could be read.
    #[must_use]
    pub fn failed(&self) -> bool {
        (self.blocked() && self.revision.is_some()) || self.failures().next().is_some()
    }

    /// Whether something that had to be known could not be (exit code 2): the repository, a registry, a forge, a policy.
    /// What was only found wanting (a tag without an order, a file that cannot be read) is a problem, but no failure.
    #[must_use]
    pub fn incomplete(&self) -> bool {
        self.revision.is_none() || self.problems.iter().any(|it| it.problem.code.is_some())
    }

    /// Whether the failure is one of permission (exit code 4).
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

    /// An action that is not.
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
