//! The pull requests of one repository, on any forge, and the last known state of each.

mod act;
mod ahead;
mod answer;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::forge::{Ensured, Forge, PullError, Wanted};
use crate::model::{Answer, BranchName, CommitId, FailureCode, PullRequest, PullRequestSpec, PullState, UpdateId};
use crate::plan::{BRANCH_ROOT, CarriedUpdate, body_ids, is_own_branch};

use super::outcome::ActionFailure;

/// How long the closed pull requests of a branch are cached.
const REMEMBER: SignedDuration = SignedDuration::from_mins(10);

/// How long a cycle waits for the pull requests of one branch.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it waits for the list of closed ones, which is long the first time.
const CLOSED_PATIENCE: Duration = Duration::from_secs(60);

/// Maximum number of updates with a known pull request URL.
const KNOWN: usize = 20_000;

impl From<&PullError> for ActionFailure {
    fn from(error: &PullError) -> Self {
        Self::new(error.code.into(), error.message.clone())
    }
}

/// The pull requests of one repository.
#[derive(Debug)]
pub struct Pulls {
    forge: Forge,
    name: String,
    remembered: HashMap<BranchName, Remembered>,
    open: Option<(Timestamp, Vec<PullRequest>)>,
    /// The number of plans so far.
    plan: u64,
    /// The last plan in which the open ones could not be listed, and why.
    unlisted: Option<(u64, PullError)>,
    /// What was asked about many pull requests at once.
    ahead: ahead::AskedAhead,
    /// Merges that the forge refused recently.
    refused: HashMap<u64, act::Refused>,
    /// When the forge last said that the branch of a pull request, at this tip, is up to date enough.
    enough: HashMap<(u64, CommitId), Timestamp>,
    /// Bases without a merge queue, and why that is assumed.
    no_queue: HashMap<BranchName, (Timestamp, String)>,
    /// Pull requests on which something could not be done (a label, a reviewer), by number.
    unsettled: BTreeMap<u64, Wanted>,
    /// Pull requests whose reviewers have been reminded.
    reminded: HashSet<u64>,
    /// What closed pull requests carried, by number and tip.
    carried: HashMap<(u64, Option<CommitId>), Vec<CarriedUpdate>>,
    /// Which pull request brings, or brought, an update, as far as this process knows.
    known: Arc<HashMap<UpdateId, String>>,
}

/// The last answer about one branch.
#[derive(Debug)]
struct Remembered {
    at: Timestamp,
    /// The plan that queried it.
    plan: u64,
    pulls: Vec<PullRequest>,
}

impl Pulls {
    /// The pull requests of the repository named `name`.
    #[must_use]
    pub fn new(forge: Forge, name: &str) -> Self {
        Self {
            forge,
            name: name.to_owned(),
            remembered: HashMap::new(),
            open: None,
            plan: 0,
            unlisted: None,
            ahead: ahead::AskedAhead::default(),
            refused: HashMap::new(),
            enough: HashMap::new(),
            no_queue: HashMap::new(),
            unsettled: BTreeMap::new(),
            reminded: HashSet::new(),
            carried: HashMap::new(),
            known: Arc::default(),
        }
    }

    /// The forge itself.
    #[must_use]
    pub fn forge(&self) -> &Forge {
        &self.forge
    }

    /// The URLs of pull requests for updates, as far as this process knows.
    #[must_use]
    pub fn known(&self) -> Arc<HashMap<UpdateId, String>> {
        Arc::clone(&self.known)
    }

    /// Records which updates a pull request is about.
    fn hear(&mut self, pull: &PullRequest) {
        let known = Arc::make_mut(&mut self.known);
        if known.len() >= KNOWN {
            known.clear();
        }
        known.extend(body_ids(&pull.body).into_iter().map(|id| (id, pull.url.clone())));
    }

    /// A new plan starts: earlier answers may be out of date.
    pub fn begin(&mut self) {
        self.plan += 1;
    }

    /// The pull requests of each of these branches. A forge that stays silent, or has failed for as long, gets no further
    /// queries, so that commits, which need no forge, do not wait for it (G6).
    pub async fn of_all(
        &mut self,
        heads: impl Iterator<Item = &BranchName>,
        base: &BranchName,
        since: Timestamp,
        now: Timestamp,
    ) -> Vec<(BranchName, Answer<Vec<PullRequest>>)> {
        let heads: Vec<&BranchName> = heads.collect();
        let (mut stopped, mut failing) = (None, Duration::ZERO);
        if self.forge.has_pulls() && heads.len() >= ahead::MANY {
            match tokio::time::timeout(PATIENCE, self.open(since, now)).await.map(|open| open.is_ok()) {
                Ok(true) => self.remember_many(&heads, base, now).await,
                // Each of them is answered with the same error, and nothing is asked.
                Ok(false) => {}
                Err(_) => stopped = Some(self.silence()),
            }
        }
        let mut answers = Vec::with_capacity(heads.len());
        for head in heads {
            let fact = match &stopped {
                Some(stopped) => stopped.clone(),
                None => {
                    let begun = Instant::now();
                    let asked = tokio::time::timeout(PATIENCE, self.of(head, base, since, now)).await;
                    let fact = asked.unwrap_or_else(|_| self.silence());
                    if let Answer::Failed { .. } = fact {
                        failing += begun.elapsed();
                        stopped = (failing >= PATIENCE).then(|| fact.clone());
                    }
                    fact
                }
            };
            answers.push((head.clone(), fact));
        }
        answers
    }

    /// What is said where the forge has said nothing.
    fn silence(&self) -> Answer<Vec<PullRequest>> {
        Answer::Failed {
            message: format!(
                "the forge of repository {} has not answered for {} s; its pull requests wait for the next cycle",
                self.name,
                PATIENCE.as_secs()
            ),
            code: FailureCode::Network,
            last: None,
        }
    }

    /// Every pull request of `head`, newest first.
    ///
    /// Open ones are from this cycle (one request for all branches). Closed ones may be cached for ten minutes, which
    /// can only hold an update longer: before anything is written, [`Pulls::fresh`] queries them again.
    pub async fn of(
        &mut self,
        head: &BranchName,
        base: &BranchName,
        since: Timestamp,
        now: Timestamp,
    ) -> Answer<Vec<PullRequest>> {
        if !self.forge.has_pulls() {
            return self.fresh(head, base, now).await;
        }
        let open = match self.open(since, now).await {
            Ok(open) => open.iter().find(|pull| pull.head == *head && pull.base == *base).cloned(),
            Err(error) => return Answer::Failed { message: error.message, code: error.code, last: None },
        };
        if let Some(Remembered { at, pulls, .. }) = self.remembered.get(head)
            && is_recent(*at, now)
            && pulls.iter().find(|pull| pull.state == PullState::Open) == open.as_ref()
        {
            return Answer::Known(pulls.clone());
        }
        self.fresh(head, base, now).await
    }

    /// Whether the pull requests of `head` were queried by this plan.
    #[must_use]
    pub fn is_fresh(&self, head: &BranchName) -> bool {
        self.remembered.get(head).is_some_and(|remembered| remembered.plan == self.plan)
    }

    /// The same as [`Pulls::of`], queried now.
    pub async fn fresh(&mut self, head: &BranchName, base: &BranchName, now: Timestamp) -> Answer<Vec<PullRequest>> {
        match self.forge.pulls_of(head, base).await {
            Ok(pulls) => {
                // If there are several, the newest, which comes first, takes precedence.
                pulls.iter().rev().for_each(|pull| self.hear(pull));
                self.remembered.retain(|_, remembered| is_recent(remembered.at, now));
                let remembered = Remembered { at: now, plan: self.plan, pulls: pulls.clone() };
                drop(self.remembered.insert(head.clone(), remembered));
                Answer::Known(pulls)
            }
            Err(error) if !self.forge.has_pulls() => Answer::Absent { message: error.message },
            Err(error) => Answer::Failed { message: error.message, code: error.code, last: None },
        }
    }

    /// Finds or opens each pull request, with its text; the text of an open one is brought up to date. After a failure,
    /// repeating the call is safe.
    pub async fn ensure(&mut self, wanted: &[(PullRequestSpec, CommitId)], now: Timestamp) -> Vec<Ensured> {
        if wanted.is_empty() {
            return Vec::new();
        }
        self.open = None;
        let wanted: Vec<Wanted> = wanted
            .iter()
            .map(|(spec, tip)| {
                let known = self.remembered.remove(&spec.head).map(|remembered| remembered.pulls).unwrap_or_default();
                // A pull request that was open a moment ago may have been closed: that is a person's decision, and no
                // new one is opened.
                let known = known.into_iter().find(|pull| pull.state == PullState::Open && pull.base == spec.base);
                Wanted { spec: spec.clone(), tip: tip.clone(), known }
            })
            .collect();
        self.ensured(wanted, now).await
    }

    /// Retries what could not be done on pull requests that are still open: labels and reviewers.
    pub async fn settle(&mut self, now: Timestamp) {
        let Some((_, open)) = self.open.as_ref().filter(|_| !self.unsettled.is_empty()) else { return };
        let open: Vec<PullRequest> = open.clone();
        let unsettled = std::mem::take(&mut self.unsettled).into_iter();
        let still_open = unsettled.filter_map(|(number, wanted)| {
            let known = open.iter().find(|pull| pull.number == number)?;
            Some(Wanted { known: Some(known.clone()), ..wanted })
        });
        for made in self.ensured(still_open.collect(), now).await {
            if let Err(error) = made {
                tracing::warn!(repository = self.name, %error, "a pull request could not be updated completely");
            }
        }
    }

    async fn ensured(&mut self, wanted: Vec<Wanted>, now: Timestamp) -> Vec<Ensured> {
        let made = self.forge.ensure(&wanted, now).await;
        for (wanted, made) in wanted.into_iter().zip(&made) {
            match made {
                Ok((pull, warnings)) if !warnings.is_empty() && pull.state == PullState::Open => {
                    drop(self.unsettled.insert(pull.number, wanted));
                }
                Ok((pull, _)) => drop(self.unsettled.remove(&pull.number)),
                Err(_) => {}
            }
        }
        made
    }

    /// The bot's open ones. A list that could not be had is not asked for again in the same plan.
    async fn open(&mut self, since: Timestamp, now: Timestamp) -> Result<&[PullRequest], PullError> {
        if self.open.as_ref().is_none_or(|(at, _)| *at < since || *at > now) {
            if let Some((_, error)) = self.unlisted.as_ref().filter(|(plan, _)| *plan == self.plan) {
                return Err(error.clone());
            }
            let open = self.forge.open_pulls(BRANCH_ROOT).await;
            let mut open = open.inspect_err(|error| self.unlisted = Some((self.plan, error.clone())))?;
            open.retain(|pull| is_own_branch(pull.head.as_str()));
            self.open = Some((now, open));
        }
        Ok(self.open.as_ref().map_or(&[], |(_, open)| open))
    }
}

/// Whether an answer from `at` is recent; one from the future was dated by a wrong clock.
pub(super) fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    (SignedDuration::ZERO..REMEMBER).contains(&now.duration_since(at))
}
