//! Writing people's decisions: one commit on the main branch per decision, pushed with a lease and verified on the
//! remote.
//!
//! Promise: a decision that is reported is on the remote. After a lost race everything starts again from the new tip;
//! if the push is refused, the error says what to do by hand.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::config::{DecisionKind, decision_text};
use crate::git::{GitError, RefResult};
use crate::message::{DecidedBy, decision_message, release_message, unfreeze_message};
use crate::model::{About, CommitId, Decision, FailureCode, Held, ImageName, RepoPath, instead};
use crate::plan::{Gate, Hold, KnownNames, Update, decision_file_name};

use crate::daemon::execute::{Attempt, FileChanges, retry_on_lost_race};
use crate::daemon::queries::Lookup;
use crate::daemon::repository::{Repository, RepositoryError, RepositoryPlan, Timing};

/// Who decides what, and why.
#[derive(Debug, Clone)]
pub struct Deciding {
    /// Who.
    pub by: String,
    /// The reason; the command line requires it where it is mandatory.
    pub reason: Option<String>,
    /// What.
    pub what: NewDecision,
}

/// The decision.
#[derive(Debug, Clone)]
pub enum NewDecision {
    /// Freezes an environment; `None`: every environment.
    Freeze {
        /// The environment.
        environment: Option<String>,
        /// The end.
        until: Option<Timestamp>,
    },
    /// Ends the freezes of an environment.
    Unfreeze {
        /// The environment.
        environment: Option<String>,
    },
    /// Holds an app or image.
    Hold {
        /// The app or image, as named on the command line.
        subject: String,
        /// Only in this environment.
        environment: Option<String>,
        /// Only this version.
        version: Option<crate::model::Version>,
        /// The end.
        until: Option<Timestamp>,
    },
    /// Ends every person's decision that holds an app or image.
    Release {
        /// The app or image.
        subject: String,
        /// Only in this environment.
        environment: Option<String>,
    },
}

/// The result of a decision.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The commit on the remote.
    pub commit: CommitId,
    /// Files that were written.
    pub written: Vec<String>,
    /// Files that were removed.
    pub removed: Vec<String>,
    /// Updates that may be made again.
    pub released: Vec<Update>,
    /// What is still held.
    pub still_held: Vec<Hold>,
    /// What could not be queried; more may be held than was released.
    pub problems: Vec<String>,
}

/// Why a decision was not written.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The repository cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Nothing of that name is declared.
    #[error("{repository} has no {what} `{name}`; {known}")]
    Unknown {
        /// The repository.
        repository: String,
        /// What kind of thing was looked for.
        what: &'static str,
        /// The name.
        name: String,
        /// What exists instead.
        known: String,
    },
    /// There is nothing to end.
    #[error("{0}")]
    Nothing(String),
    /// Others kept writing to the branch.
    #[error("the commit to {branch} could not be pushed, because others pushed first each time: {lost}; try again")]
    LostRace {
        /// The branch.
        branch: String,
        /// What was observed.
        lost: String,
    },
    /// The remote refused the commit.
    #[error("the remote refuses the commit to {branch}: {message}")]
    Rejected {
        /// The branch.
        branch: String,
        /// The remote's message.
        message: String,
        /// What to do by hand.
        by_hand: String,
    },
}

impl DecideError {
    /// The kind of failure.
    #[must_use]
    pub fn code(&self) -> Option<FailureCode> {
        match self {
            Self::Repository(error) => error.code(),
            Self::Git(error) => error.code(),
            Self::Unknown { .. } | Self::Nothing(_) | Self::Rejected { .. } | Self::LostRace { .. } => None,
        }
    }
}

/// The content of one commit.
#[derive(Default)]
struct Draft {
    put: Vec<(RepoPath, Vec<u8>)>,
    remove: Vec<RepoPath>,
    message: String,
    released: Vec<Update>,
    /// The file that has the same effect as the message, for people who cannot push as the bot.
    in_place: Option<(RepoPath, Vec<u8>)>,
    /// What could not be queried.
    problems: Vec<String>,
}

impl Repository {
    /// Writes a decision: reads the remote, commits, pushes, and reads the remote again.
    ///
    /// # Errors
    /// If the remote cannot be read or refuses, or the decision is about something unknown.
    pub async fn decide(
        &mut self,
        deciding: &Deciding,
        lookup: &Lookup,
        timing: Timing,
    ) -> Result<Decided, DecideError> {
        let raced = retry_on_lost_race(timing.pause, async |_| {
            self.refresh().await?;
            let draft = self.draft(deciding, lookup, timing.now).await?;
            let gone = || DecideError::Nothing("the main branch is gone".to_owned());
            let tip = self.reader.tip().ok_or_else(gone)?;
            let branch = self.branch().clone();
            let change = FileChanges { put: &draft.put, remove: &draft.remove, message: &draft.message };
            let (commit, pushed) = self.executor.write((&branch, &tip), (&deciding.by, timing.now), change).await?;
            match pushed {
                RefResult::Updated | RefResult::UpToDate => {
                    Ok(Attempt::Over(self.decided(draft, commit, lookup, timing.now).await?))
                }
                RefResult::LostRace { message } => Ok(Attempt::LostRace(message)),
                RefResult::Rejected { message, .. } => {
                    Err(DecideError::Rejected { branch: branch.to_string(), message, by_hand: by_hand(&draft) })
                }
            }
        });
        let raced: Result<Decided, _> = raced.await?;
        raced.map_err(|lost| DecideError::LostRace { branch: self.branch().to_string(), lost: lost.to_string() })
    }

    /// The situation now that the commit is on the remote.
    async fn decided(
        &mut self,
        draft: Draft,
        commit: CommitId,
        lookup: &Lookup,
        now: Timestamp,
    ) -> Result<Decided, DecideError> {
        let mut still_held = Vec::new();
        if !draft.released.is_empty() || !draft.remove.is_empty() {
            self.refresh().await?;
            let released: BTreeSet<_> = draft.released.iter().map(|update| update.id.clone()).collect();
            let plans = self.plan(lookup, now, now).await.plans;
            let held = plans.iter().flat_map(|plan| &plan.holds).filter(|hold| released.contains(&hold.update.id));
            still_held.extend(held.cloned());
        }
        let names = |paths: &[RepoPath]| paths.iter().map(ToString::to_string).collect();
        Ok(Decided {
            commit,
            written: draft.put.iter().map(|(path, _)| path.to_string()).collect(),
            removed: names(&draft.remove),
            released: draft.released,
            still_held,
            problems: draft.problems,
        })
    }

    async fn draft(&mut self, deciding: &Deciding, lookup: &Lookup, now: Timestamp) -> Result<Draft, DecideError> {
        let known = self.reader.known();
        let environment = match &deciding.what {
            NewDecision::Freeze { environment, .. } | NewDecision::Unfreeze { environment } => environment,
            NewDecision::Hold { environment, .. } | NewDecision::Release { environment, .. } => environment,
        };
        // Ending a decision must work whatever has become of the environment since.
        let takes_back = matches!(deciding.what, NewDecision::Unfreeze { .. } | NewDecision::Release { .. });
        if let Some(environment) = environment.as_ref().filter(|_| !takes_back) {
            self.check_environment(environment, &known)?;
        }
        match &deciding.what {
            NewDecision::Freeze { environment, until } => {
                let about = About::Freeze { environment: environment.clone() };
                self.write(deciding, about, *until, now)
            }
            NewDecision::Hold { subject, environment, version, until } => {
                let of = self.subject(subject, &known)?;
                let about = About::Hold { of, environment: environment.clone(), version: version.clone() };
                self.write(deciding, about, *until, now)
            }
            NewDecision::Unfreeze { environment } => self.unfreeze(deciding, environment.as_deref()),
            NewDecision::Release { subject, environment } => {
                self.release(deciding, (subject, environment.as_deref()), &known, (lookup, now)).await
            }
        }
    }

    /// A new file, or a new text for the file in which the same person has decided about the same thing.
    fn write(
        &self,
        deciding: &Deciding,
        about: About,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Draft, DecideError> {
        let kind = match about {
            About::Freeze { .. } => DecisionKind::Freeze,
            About::Hold { .. } => DecisionKind::Hold,
            About::Release { .. } => DecisionKind::Release,
        };
        let own = |decision: &Decision| decision.about == about && decision.author == deciding.by;
        let taken: BTreeMap<String, bool> = self
            .reader
            .decision_files()
            .names(kind)
            .map(|(name, decision)| (name, decision.is_some_and(own)))
            .collect();
        let before = taken.iter().find(|(_, own)| **own).map(|(name, _)| name.clone());
        let name = before.unwrap_or_else(|| decision_file_name(&about, &taken));
        let file = format!("{}/{}/{name}.yaml", self.reader.decision_folder().trim_end_matches('/'), kind.folder());
        let path = RepoPath::parse(&file).map_err(|error| DecideError::Nothing(error.to_string()))?;
        let (by, reason) = (deciding.by.clone(), deciding.reason.clone().unwrap_or_default());
        let decision = Decision { file, about, reason, author: by, since: now, until };
        let put = vec![(path, decision_text(&decision).into_bytes())];
        Ok(Draft { put, message: decision_message(&decision), ..Draft::default() })
    }

    fn unfreeze(&self, deciding: &Deciding, environment: Option<&str>) -> Result<Draft, DecideError> {
        let named = environment.unwrap_or("all");
        let mine = |name: &str, decision: Option<&Decision>| match decision.map(|decision| &decision.about) {
            Some(About::Freeze { environment: of }) => of.as_deref() == environment,
            // A file that cannot be read is identified by its name.
            _ => name == named || name.strip_prefix(named).is_some_and(|rest| rest.starts_with('.')),
        };
        let (remove, decisions) = self.files(DecisionKind::Freeze, mine);
        if remove.is_empty() {
            let what = environment.unwrap_or("every environment");
            let others: Vec<String> =
                self.reader.decision_files().names(DecisionKind::Freeze).map(|(name, _)| name).collect();
            let there = if others.is_empty() {
                "no environment is".to_owned()
            } else {
                format!("frozen: {}", others.join(", "))
            };
            return Err(DecideError::Nothing(format!("{what} is not frozen in {}; {there}", self.name())));
        }
        let word = DecidedBy { by: &deciding.by, reason: deciding.reason.as_deref() };
        let message = unfreeze_message(environment, &decisions, word);
        Ok(Draft { remove, message, ..Draft::default() })
    }

    async fn release(
        &mut self,
        deciding: &Deciding,
        (subject, environment): (&str, Option<&str>),
        known: &KnownNames,
        (lookup, now): (&Lookup, Timestamp),
    ) -> Result<Draft, DecideError> {
        let of = self.subject(subject, known);
        let mine = |name: &str, decision: Option<&Decision>| match decision.map(|decision| &decision.about) {
            Some(About::Hold { of: held, environment: there, .. }) => {
                // Without an environment, every environment is meant.
                let named = of.as_ref().map_or_else(|_| held.to_string() == subject, |of| of == held);
                named && (environment.is_none() || there.as_deref() == environment)
            }
            _ => name == subject || name.strip_prefix(subject).is_some_and(|rest| rest.starts_with('.')),
        };
        let (remove, decisions) = self.files(DecisionKind::Hold, mine);
        let decisions: Vec<Decision> = decisions.into_iter().cloned().collect();
        let mut released = Vec::new();
        let mut problems = Vec::new();
        if let Ok(of) = &of {
            let planned = self.once_gone(&remove, (lookup, now)).await;
            let failed = planned.problems.iter().chain(planned.plans.iter().flat_map(|plan| &plan.problems));
            problems.extend(failed.filter(|problem| problem.code.is_some()).map(|problem| problem.message.clone()));
            let mine = |update: &Update| match of {
                Held::App(app) => update.app == *app,
                Held::Image(image) => update.name == *image,
            };
            let here = |update: &Update| environment.is_none() || update.environment.as_deref() == environment;
            let held = planned.plans.into_iter().flat_map(|plan| plan.holds).filter(|hold| hold.gate == Gate::Hold);
            released.extend(held.map(|hold| hold.update).filter(|update| mine(update) && here(update)));
        }
        if remove.is_empty() && released.is_empty() {
            of?;
            let place = environment.map_or(String::new(), |environment| format!(" in {environment}"));
            let unknown =
                problems.first().map_or(String::new(), |problem| format!("; not everything is known: {problem}"));
            return Err(DecideError::Nothing(format!(
                "no person's decision holds {subject}{place}; `landfall plan` shows what is held, and why{unknown}"
            )));
        }
        let word = DecidedBy { by: &deciding.by, reason: deciding.reason.as_deref() };
        let what = environment.map_or_else(|| subject.to_owned(), |environment| format!("{subject} in {environment}"));
        let message =
            release_message(&what, &decisions.iter().collect::<Vec<_>>(), &released.iter().collect::<Vec<_>>(), word);
        let in_place = match of {
            Ok(of) if !released.is_empty() => {
                let environment = environment.map(str::to_owned);
                let about = About::Release { of, environment, version: None };
                let reason = deciding.reason.clone().or_else(|| Some("it may go on".to_owned()));
                self.write(&Deciding { reason, ..deciding.clone() }, about, None, now)?.put.pop()
            }
            _ => None,
        };
        Ok(Draft { remove, message, released, problems, in_place, put: Vec::new() })
    }

    /// The plan as it would be without these files; anything that would still be held has to be released.
    async fn once_gone(&mut self, files: &[RepoPath], (lookup, now): (&Lookup, Timestamp)) -> RepositoryPlan {
        self.reader.decide_by_files(&files.iter().map(ToString::to_string).collect());
        let planned = self.plan(lookup, now, now).await;
        self.reader.decide_by_files(&BTreeSet::new());
        planned
    }

    /// The matching files of this kind, and their decisions as far as they can be read.
    fn files(
        &self,
        kind: DecisionKind,
        mine: impl Fn(&str, Option<&Decision>) -> bool,
    ) -> (Vec<RepoPath>, Vec<&Decision>) {
        let mut paths = Vec::new();
        let mut decisions = Vec::new();
        for (path, name, decision) in self.reader.decision_files().all(kind) {
            if mine(name, decision) {
                paths.extend(RepoPath::parse(path));
                decisions.extend(decision);
            }
        }
        (paths, decisions)
    }

    /// What a name on the command line refers to.
    fn subject(&self, name: &str, known: &KnownNames) -> Result<Held, DecideError> {
        if known.apps.contains(name) {
            return Ok(Held::App(name.to_owned()));
        }
        let image = ImageName::parse(name).ok().filter(|image| known.images.contains(image));
        let mut short = known.images.iter().filter(|image| image.short() == name);
        let only = match (short.next(), short.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        };
        image.or(only).map(Held::Image).ok_or_else(|| self.unknown("app or image", name, known.apps.iter()))
    }

    pub(in crate::daemon) fn check_environment(
        &self,
        environment: &str,
        known: &KnownNames,
    ) -> Result<(), DecideError> {
        match known.environments.contains(environment) {
            true => Ok(()),
            false => Err(self.unknown("environment", environment, known.environments.iter())),
        }
    }

    pub(in crate::daemon) fn unknown<'k>(
        &self,
        what: &'static str,
        name: &str,
        known: impl Iterator<Item = &'k String>,
    ) -> DecideError {
        let known = instead(name, known.map(String::as_str)).unwrap_or_else(|| "no policy names any".to_owned());
        DecideError::Unknown { repository: self.name().to_owned(), what, name: name.to_owned(), known }
    }
}

/// What to do if the bot may not push.
fn by_hand(draft: &Draft) -> String {
    let mut steps = Vec::new();
    // Somebody else's commit message releases nothing, but a file does, because it is content of the repository.
    for (path, content) in draft.put.iter().chain(&draft.in_place) {
        steps.push(format!("commit {path} with this text:\n{}", String::from_utf8_lossy(content).trim_end()));
    }
    steps.extend(draft.remove.iter().map(|path| format!("remove {path}")));
    format!("let the bot push to the branch, or do it with a pull request of your own: {}", steps.join("; "))
}
