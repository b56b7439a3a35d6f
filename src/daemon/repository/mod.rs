//! One GitOps repository: a [`Reader`] of its remote, a [`Session`] that is remembered between cycles, and an
//! [`Executor`] of plans.
//!
//! Promise: a cycle reads, plans, executes and reads again; its outcome mentions every update.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::RepositorySettings;
use crate::git::{GitError, Mirror};
use crate::landing::watchers::Address;
use crate::model::{BranchName, CommitId, FailureCode, Fence};
use crate::plan::{KnownNames, Plan, Planned, Problem, PromotionRequest, Queries, RegistryQuery, SoakStates, plan};
use crate::policy::Policy;

use self::session::Session;
use super::execute::{ATTEMPTS, Attempt, Carried, Executor, retry_on_lost_race, sources, still_verified};
use super::outcome::{ActionFailure, ActionFailureCode, ActionOutcome, CycleOutcome, Step};
use super::pulls::Pulls;
use super::queries::Lookup;
use super::report::{ReportedBranch, RepositoryReport};
use super::tracker::View;

mod examined;
mod first_seen;
mod ledger;
mod origins;
mod places;
mod policies;
pub(super) mod proof;
pub(super) mod read;
mod reader;
mod seen_heads;
mod session;
mod turns;
mod view;

pub use reader::Reader;
pub(super) use reader::{BranchReading, kept_as};

/// Maximum number of query rounds for a plan: listings, then creation times, then manifests, then signatures, then pull
/// requests, then their reviews, then checks; some of them for one candidate after the other.
const ROUNDS: usize = 18;

/// One repository: its reader, its session and its executor.
#[derive(Debug)]
pub struct Repository {
    pub(super) reader: Reader,
    session: Session,
    pub(super) executor: Executor,
}

/// The times of one cycle: when it started, and the pauses between attempts.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The time of the plan and of its commits.
    pub now: Timestamp,
    /// Registry answers older than this are requested again.
    pub since: Timestamp,
    /// The first pause after a lost race.
    pub pause: Duration,
}

/// Why a repository cannot be planned at all.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The remote or the mirror failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The remote has no such branch.
    #[error("repository {repository} has no branch `{branch}`{others}")]
    NoBranch {
        /// The repository's name.
        repository: String,
        /// The branch.
        branch: BranchName,
        /// What it has instead.
        others: String,
    },
}

impl RepositoryError {
    /// The same, as a problem of the whole repository.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem { path: None, line: None, image: None, message: self.to_string(), code: self.code() }
    }

    /// The kind of failure.
    #[must_use]
    pub fn code(&self) -> Option<FailureCode> {
        match self {
            Self::Git(error) => error.code(),
            Self::NoBranch { .. } => None,
        }
    }
}

/// The plans for every branch of a repository.
#[derive(Debug, Clone)]
pub struct RepositoryPlan {
    /// The main branch's tip, if it was read.
    pub revision: Option<CommitId>,
    /// One plan per branch, main branch first.
    pub plans: Vec<Plan>,
    /// Problems that belong to no branch: unreadable policies.
    pub problems: Vec<Problem>,
}

impl Repository {
    /// A repository with its mirror; nothing is read yet. `given` are policies from files next to the configuration, if
    /// they are not in the repository.
    #[must_use]
    pub fn new(settings: RepositorySettings, mirror: Mirror, pulls: Pulls, given: Option<Vec<Policy>>) -> Self {
        let settings = Arc::new(settings);
        Self {
            reader: Reader::new(Arc::clone(&settings), mirror.clone(), given),
            session: Session::default(),
            executor: Executor::new(settings, mirror, pulls),
        }
    }

    /// The repository's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.reader.settings.name
    }

    /// Its mirror.
    #[must_use]
    pub fn mirror(&self) -> &Mirror {
        &self.reader.mirror
    }

    /// Its main branch.
    #[must_use]
    pub fn branch(&self) -> &BranchName {
        &self.reader.settings.branch
    }

    /// The remote's state, as last read.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The pull requests.
    #[must_use]
    pub fn pulls(&self) -> &Pulls {
        self.executor.pulls()
    }

    /// Every app and environment declared on the branches, as last read.
    #[must_use]
    pub fn places(&self) -> BTreeSet<(String, String)> {
        self.reader.declared().into_iter().filter_map(|image| Some((image.app, image.environment?))).collect()
    }

    /// The names in its files and policies, as last read; `None` if a branch could not be read, which may have others.
    #[must_use]
    pub fn known(&self) -> Option<KnownNames> {
        let read = self.reader.tip().is_some() && self.reader.missing().is_empty();
        read.then(|| self.reader.known())
    }

    /// Whether a policy needs the health of images: for a promotion or an automatic rollback.
    #[must_use]
    pub fn promotes(&self) -> bool {
        self.reader.promotes()
    }

    /// Sets the health of images in their environments for the next plans.
    pub fn set_soak_states(&mut self, soak_states: Arc<SoakStates>) {
        self.session.soak_states = soak_states;
    }

    /// The health of images in their environments, as far as known.
    pub(super) fn soak_states(&self) -> &SoakStates {
        &self.session.soak_states
    }

    /// From now on updates are collected as the policies say, because there will be further cycles.
    pub fn gather(&mut self) {
        self.session.gather();
    }

    /// From now on only what a person requests is planned.
    pub fn ask(&mut self, request: PromotionRequest) {
        self.session.request = Some(request);
    }

    /// The queries that the last plan did without, because their registry was silent.
    #[must_use]
    pub fn late(&self) -> &BTreeSet<RegistryQuery> {
        &self.session.late
    }

    /// When the next gate opens on its own, as of the last plan.
    #[must_use]
    pub fn opens(&self) -> Option<Timestamp> {
        self.session.opens
    }

    /// Asks this right before everything that is written to its remote or its forge.
    pub(super) fn fenced(&self, fence: &Fence) {
        self.mirror().fenced(fence.clone(), self.name());
        self.pulls().forge().fenced(fence.clone(), self.name());
    }

    /// Something happened on the forge at this time: its answers must be newer.
    pub(super) fn has_forge_news(&mut self, at: Timestamp) {
        self.session.forge_news = Some(at);
    }

    /// The addresses that others may know it by.
    pub(super) fn addresses(&self) -> Vec<Address> {
        let settings = &self.reader.settings;
        // The page of a commit is below that of its repository.
        let page = settings.forge.commit_page();
        let page =
            page.as_deref().map(|page| page.trim_end_matches('/').trim_end_matches("commit").trim_end_matches("/-/"));
        let all =
            std::iter::once(self.reader.mirror.remote()).chain(settings.aliases.iter().map(String::as_str)).chain(page);
        all.filter_map(Address::parse).collect()
    }

    /// The awaited gate is open: stop waiting for it.
    pub(super) fn has_opened(&mut self) {
        self.session.opens = None;
    }

    /// Reads what has changed on the remote since last time.
    ///
    /// # Errors
    /// If the remote does not answer or has no such branch.
    pub async fn refresh(&mut self) -> Result<(), RepositoryError> {
        self.reader.refresh().await
    }

    /// What the tracker needs to know after a cycle with this outcome.
    pub fn view(&mut self, outcome: CycleOutcome, now: Timestamp) -> View {
        let mut view = self.reader.view(outcome, self.executor.pulls().known(), now);
        let refs = &self.reader.refs;
        for (name, at) in &mut view.heads {
            let tip = refs.get(&format!("refs/heads/{name}"));
            *at = tip.and_then(|tip| self.session.seen.since(name, tip)).map_or(*at, |since| since.min(*at));
        }
        view
    }

    /// What is shown of it after the cycle of this view.
    pub(super) fn report(&self, view: &View) -> RepositoryReport {
        let branches = view.branches.iter().map(|branch| ReportedBranch {
            name: branch.name.clone(),
            tip: branch.tip.clone(),
            policies: self.reader.policy_set(&branch.name),
            declared: Arc::clone(&branch.declared),
        });
        RepositoryReport {
            name: view.name.clone(),
            address: view.address.clone(),
            commit_page: self.reader.settings.forge.commit_page(),
            at: view.at,
            outcome: view.outcome.clone(),
            decisions: self.reader.decisions().clone(),
            branches: branches.collect(),
        }
    }

    /// Plans every branch and queries what is missing; answers older than `since` are requested again, and queries to
    /// silent registries are [`Repository::late`].
    pub async fn plan(&mut self, lookup: &Lookup, since: Timestamp, now: Timestamp) -> RepositoryPlan {
        let mut problems = self.reader.policy_problems();
        problems.extend(self.reader.decisions().problems());
        let mut plans = Vec::new();
        self.session.begin();
        self.executor.pulls_mut().begin();
        // What was pushed again could pass where it is not known what is remembered.
        let plannable = match self.reader.recall(lookup.store()) {
            Ok(()) => self.reader.plannable(),
            Err(error) => {
                problems.push(unreadable(&self.reader.settings.branch, &error));
                Vec::new()
            }
        };
        for branch in plannable {
            match self.plan_branch(&branch, lookup, (since, now)).await {
                Ok(plan) => plans.extend(plan),
                Err(error) => problems.push(unreadable(&branch, &error)),
            }
        }
        problems.extend(self.reader.missing());
        self.session.look_ahead(&plans, now);
        RepositoryPlan { revision: self.reader.tip(), plans, problems }
    }

    async fn plan_branch(
        &mut self,
        name: &BranchName,
        lookup: &Lookup,
        (since, now): (Timestamp, Timestamp),
    ) -> Result<Option<Plan>, GitError> {
        let Self { reader, session, executor } = self;
        let Some(mut reading) = reader.reading(name)? else { return Ok(None) };
        session.seen.date(&mut reading.heads, (&reader.settings.name, lookup.store()), now);
        // These apply only to this branch's tip.
        session.answers.origins.clear();
        let forge_since = session.forge_news.map_or(since, |at| since.max(at.min(now)));
        let mut asked = Queries::default();
        let mut planned = Planned { plan: reading.plan_of(Vec::new()), queries: Queries::default() };
        for _ in 0..ROUNDS {
            planned = plan(&session.snapshot(&reading, now));
            let queries = planned.queries.without(&asked);
            let answers = &mut session.answers;
            if queries.is_empty() && executor.pulls_mut().confirm(&planned.plan, now, answers).await {
                break;
            }
            // What a mutable tag stands for now decides by itself whether a file is behind: an answer that is older than this plan
            // may be older than what another bot has written meanwhile.
            let (digests, others): (BTreeSet<_>, BTreeSet<_>) =
                queries.registry.iter().cloned().partition(|query| matches!(query, RegistryQuery::Digest(..)));
            session.late.extend(lookup.answer_soon(&others, since, answers).await);
            session.late.extend(lookup.answer_soon(&digests, now, answers).await);
            reader.first_seen.add_to(answers);
            executor.pulls_mut().answer(&queries.forge, (name, forge_since, now), answers).await;
            answers.origins.extend(reading.origins(&queries.history));
            asked.extend(queries);
        }
        planned.plan.problems.extend(read::problems(&reading.skipped, &reading.policies));
        Ok(Some(planned.plan))
    }

    /// The plan as an outcome in which nothing is done; with `diff`, each action includes the diff that its files would have now.
    #[must_use]
    pub fn preview(&self, planned: &RepositoryPlan, diff: bool, now: Timestamp) -> CycleOutcome {
        let mut outcome = CycleOutcome::new(self.name());
        outcome.revision.clone_from(&planned.revision);
        for plan in &planned.plans {
            outcome.add_plan(plan);
            for action in &plan.actions {
                let diff = (diff && !action.updates.is_empty()).then(|| self.executor.diff(plan, action, now));
                let step = Step::Planned { diff };
                outcome.actions.push(ActionOutcome { step, ..ActionOutcome::planned(&plan.branch, action) });
            }
        }
        outcome.add_blocking(planned.problems.iter().cloned());
        outcome
    }

    /// One cycle: read, plan, execute, verify.
    ///
    /// # Errors
    /// If the repository cannot be read at all; everything else is in the outcome.
    pub async fn apply(&mut self, lookup: &Lookup, timing: Timing) -> Result<CycleOutcome, RepositoryError> {
        let mut outcome = CycleOutcome::new(self.name());
        let mut last = None;
        let raced = retry_on_lost_race(timing.pause, async |attempt| {
            if let Err(error) = self.refresh().await {
                if attempt == 1 {
                    return Err(error);
                }
                // What was pushed before is done, whatever cannot be read now.
                last = None;
                outcome.add_blocking([error.problem()]);
                return Ok(Attempt::Over(()));
            }
            // What others have written in the meantime is newer than the earlier answers.
            let now = if attempt == 1 { timing.now } else { timing.now.max(lookup.now()) };
            let mut planned = self.plan(lookup, timing.since, now).await;
            sources::add(&mut planned.plans, lookup, timing.since).await;
            self.executor.note_values(&mut planned.plans);
            still_verified::hold_moved(&mut planned.plans, lookup).await;
            outcome.actions.retain(ActionOutcome::is_done);
            let lost = self.all_commits(&planned, timing.now, &mut outcome.actions).await;
            last = Some(planned);
            Ok(lost.map_or(Attempt::Over(()), Attempt::LostRace))
        });
        let raced = raced.await?;
        let Some(planned) = last else { return Ok(outcome) };
        if raced.is_err() {
            for action in &mut outcome.actions {
                if let Step::Failed(ActionFailure { code: ActionFailureCode::LostRace, message }) = &mut action.step {
                    message.push_str(&format!("; it moved {ATTEMPTS} times in the meantime"));
                }
            }
        }
        self.executor.pulls_mut().settle(timing.now).await;
        for plan in &planned.plans {
            outcome.add_plan(plan);
            let Carried { actions, holds, .. } = self.pull_requests(plan, timing.now).await;
            outcome.actions.extend(actions);
            outcome.holds.extend(holds);
        }
        let asked = (planned.plans.as_slice(), &self.session.answers);
        let Reader { first_seen, mirror, settings, .. } = &mut self.reader;
        let place = (settings.name.as_str(), lookup.store().as_ref());
        outcome.add_blocking(first_seen.record(asked, (&self.executor, mirror), place, timing.now).await);
        outcome.add_blocking(planned.problems);
        outcome.revision = planned.revision;
        self.session.remember_failures(&outcome);
        self.session.seen.keep(&self.reader.refs, (&self.reader.settings.name, lookup.store()));
        Ok(outcome)
    }

    /// The commits of every branch; returns what was seen of a lost race, if there was one.
    async fn all_commits(
        &self,
        planned: &RepositoryPlan,
        now: Timestamp,
        outcomes: &mut Vec<ActionOutcome>,
    ) -> Option<String> {
        let mut lost = None;
        for plan in &planned.plans {
            let pushed = self.executor.commits(plan, now).await;
            outcomes.extend(pushed.outcomes);
            lost = pushed.lost.or(lost);
        }
        lost
    }

    /// Everything in a plan except its commits; records since when the pushed branches have existed.
    pub(super) async fn pull_requests(&mut self, plan: &Plan, now: Timestamp) -> Carried {
        let carried = self.executor.pull_requests(plan, now).await;
        for pushed in &carried.pushed {
            self.session.seen.has_pushed(pushed, now);
        }
        carried
    }
}

fn unreadable(branch: &BranchName, error: &GitError) -> Problem {
    Problem {
        path: None,
        line: None,
        image: None,
        message: format!("branch {branch} cannot be planned: {error}"),
        code: error.code(),
    }
}
