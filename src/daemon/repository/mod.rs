//! One GitOps repository: its mirror, what was read from it, and the plan for its branches.
//!
//! Promise: a cycle in which nothing moved costs one `ls-remote` and parses nothing; what changed costs its changed files.
//! Invariant: pins, policies, ledger and heads of one plan were all read at the same tips.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::config::RepositorySettings;
use crate::git::{GitError, History, Mirror};
use crate::model::{Answer, BranchName, CommitId, FailureCode, ImageName, Pin, UpdateId};
use crate::overlay::{PinIndex, TreeScan};
use crate::plan::{
    Answers, BRANCH_PREFIX, Decisions, Gathered, Head, HistoryQuery, Ledger, Plan, Planned, Problem, PromotionRequest,
    Queries, RegistryQuery, Snapshot, SoakStates, plan,
};
use crate::policy::{Policy, PolicySet};

use self::first_seen::FirstSeen;
use self::ledger::RecordRules;
use self::origins::origins;
use self::read::Folders;
use self::seen_heads::SeenHeads;
use crate::daemon::decisions::DecisionFiles;
use crate::daemon::pulls::Pulls;
use crate::daemon::queries::Lookup;
use crate::daemon::tracker::BranchView;

mod first_seen;
mod ledger;
mod origins;
mod policies;
mod preview;
pub(super) mod proof;
pub(super) mod read;
mod seen_heads;
mod session;
mod snapshot;
mod view;

/// How many commits of history are read for the ledger when it is read for the first time: all of any real repository.
const LEDGER_DEPTH: usize = 1_000_000;

/// How many tips of a rewritten branch are remembered.
const FORMER: usize = 20;

/// How many rounds of questions a plan may take: listings, then creation times, then manifests, then pull requests, then
/// their reviews, then checks.
const ROUNDS: usize = 12;

/// One repository and everything known about it.
#[derive(Debug)]
pub struct Repository {
    pub(in crate::daemon) settings: RepositorySettings,
    pub(in crate::daemon) mirror: Mirror,
    pub(in crate::daemon) pulls: Pulls,
    /// Policies from files beside the configuration, where they are not in the repository.
    given: Option<Vec<Policy>>,
    branches: HashMap<BranchName, Branch>,
    /// Branches that policies name and that could not be read.
    unread: BTreeMap<BranchName, Problem>,
    policy_files: BTreeMap<String, read::PolicyFile>,
    refs: BTreeMap<String, CommitId>,
    answers: Answers,
    /// When images were first seen that wait for their age, as the repository itself keeps it.
    first_seen: FirstSeen,
    /// Questions that the last plan went on without.
    late: BTreeSet<RegistryQuery>,
    /// How images stand, as of the last look at the clusters.
    standings: Arc<SoakStates>,
    /// Whether a policy asks how images stand: for a promotion or an automatic rollback.
    promotes: bool,
    pub(in crate::daemon) decisions: Decisions,
    pub(in crate::daemon) decision_files: DecisionFiles,
    /// What a person asks for now.
    request: Option<PromotionRequest>,
    /// When the updates that are being gathered were first planned; `None`: nothing is gathered.
    gathered: Option<BTreeMap<UpdateId, Gathered>>,
    /// The first of the updates that are being gathered, by overlay and image: a newer version takes its place, not its time.
    first: BTreeMap<(String, ImageName), Timestamp>,
    /// When the next gate opens by itself.
    opens: Option<Timestamp>,
    /// Updates that could not be written the last time.
    failed: BTreeSet<UpdateId>,
    /// Since when the tips of the bot's branches are there, as far as the bot has seen them.
    seen: SeenHeads,
}

/// What was read of one branch.
#[derive(Debug)]
struct Branch {
    tip: CommitId,
    /// Tips that it had and that are not in its history any more, the last ones.
    former: Vec<CommitId>,
    index: PinIndex,
    ledger: Ledger,
    /// Where the versions of its pins come from, and what it contains.
    history: Mutex<History>,
    /// What it declares under the policies of the last look.
    view: Option<(PolicySet, BranchView)>,
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
        /// What it has instead, for the message.
        others: String,
    },
}

impl RepositoryError {
    /// The same as a problem of the whole repository.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem { path: None, line: None, message: self.to_string(), code: self.code() }
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

/// The plans of every branch of a repository.
#[derive(Debug, Clone)]
pub struct RepositoryPlan {
    /// The main branch's tip, where it was read.
    pub revision: Option<CommitId>,
    /// One plan per branch, the main branch first.
    pub plans: Vec<Plan>,
    /// Problems that belong to no branch: policies that cannot be read.
    pub problems: Vec<Problem>,
}

impl Repository {
    /// A repository over its mirror; nothing is read yet.
    #[must_use]
    pub fn new(settings: RepositorySettings, mirror: Mirror, pulls: Pulls, given: Option<Vec<Policy>>) -> Self {
        Self {
            settings,
            mirror,
            pulls,
            given,
            branches: HashMap::new(),
            unread: BTreeMap::new(),
            policy_files: BTreeMap::new(),
            refs: BTreeMap::new(),
            answers: Answers::default(),
            first_seen: FirstSeen::default(),
            late: BTreeSet::new(),
            standings: Arc::default(),
            promotes: false,
            decisions: Decisions::default(),
            decision_files: DecisionFiles::default(),
            request: None,
            gathered: None,
            first: BTreeMap::new(),
            opens: None,
            failed: BTreeSet::new(),
            seen: SeenHeads::default(),
        }
    }

    /// Lets the next plans know how images stand in their environments.
    pub fn set_standings(&mut self, standings: Arc<SoakStates>) {
        self.standings = standings;
    }

    /// Whether a policy asks how images stand: for a promotion or an automatic rollback.
    #[must_use]
    pub fn promotes(&self) -> bool {
        self.promotes
    }

    /// The main branch's tip, as last read.
    #[must_use]
    pub fn tip(&self) -> Option<CommitId> {
        self.branches.get(&self.settings.branch).map(|branch| branch.tip.clone())
    }

    /// Plans only what a person asks for, from now on.
    pub fn ask(&mut self, request: PromotionRequest) {
        self.request = Some(request);
    }

    /// The questions that the last plan went on without, because their registry was silent.
    #[must_use]
    pub fn late(&self) -> &BTreeSet<RegistryQuery> {
        &self.late
    }

    /// The repository's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Its main branch.
    #[must_use]
    pub fn branch(&self) -> &BranchName {
        &self.settings.branch
    }

    /// The pull requests.
    #[must_use]
    pub fn pulls(&self) -> &Pulls {
        &self.pulls
    }

    /// Whether the remote's branches are not those last read. One `ls-remote`.
    ///
    /// # Errors
    /// When the remote does not answer.
    pub async fn moved(&self) -> Result<bool, GitError> {
        Ok(self.mirror.ls_remote().await? != self.refs)
    }

    /// Reads what changed on the remote since the last time.
    ///
    /// # Errors
    /// When the remote does not answer or has no such branch.
    pub async fn refresh(&mut self) -> Result<(), RepositoryError> {
        let refs = self.mirror.ls_remote().await?;
        let main = self.settings.branch.clone();
        if !refs.contains_key(&main.full()) {
            return Err(self.no_branch(&refs));
        }
        self.fetch(&refs, |name| {
            name == main.full()
                || name.starts_with("refs/landfall/")
                || name.starts_with(&format!("refs/heads/{BRANCH_PREFIX}"))
        })
        .await?;
        self.first_seen.read(&self.mirror)?;
        self.read_branch(&main, &refs)?;
        let named = self.named_branches();
        self.fetch(&refs, |name| named.iter().any(|branch| branch.full() == name)).await?;
        self.unread.clear();
        for branch in &named {
            if let Err(error) = self.read_branch(branch, &refs) {
                drop(self.unread.insert(branch.clone(), unreadable(branch, &error)));
            }
        }
        self.branches.retain(|branch, _| named.contains(branch) || *branch == main);
        let asks = |policy: &Policy| policy.fields.promote_from.is_some() || policy.fields.rollback.is_some();
        self.promotes = self.policies().0.iter().any(asks);
        self.refs = refs;
        self.decide_by_files(&BTreeSet::new());
        Ok(())
    }

    /// The pins of the main branch as last read, and what was skipped.
    #[must_use]
    pub fn main_pins(&self, policies: &PolicySet) -> TreeScan {
        let branch = self.branches.get(&self.settings.branch);
        branch.map(|branch| branch.index.pins(&|path| policies.names_file(path))).unwrap_or_default()
    }

    /// Every app and environment that the branches declare, as last read.
    #[must_use]
    pub fn places(&self) -> BTreeSet<(String, String)> {
        self.declared().into_iter().filter_map(|image| Some((image.app, image.environment?))).collect()
    }

    /// Plans every branch, asking what is missing; answers older than `since` are asked for again, and those of silent
    /// registries are [`Repository::late`].
    pub async fn plan(&mut self, lookup: &Lookup, since: Timestamp, now: Timestamp) -> RepositoryPlan {
        let (policies, mut problems) = self.policies();
        problems.extend(self.decisions.problems());
        let mut plans = Vec::new();
        // What could not be read is not planned at an old tip.
        let read = self.branches.keys().filter(|branch| !self.unread.contains_key(*branch));
        let mut branches: Vec<BranchName> = read.cloned().collect();
        branches.sort_by_key(|branch| (*branch != self.settings.branch, branch.clone()));
        self.answers = Answers::default();
        self.late.clear();
        self.pulls.begin();
        for branch in branches {
            match self.plan_branch(&branch, &policies, lookup, (since, now)).await {
                Ok(plan) => plans.extend(plan),
                Err(error) => problems.push(unreadable(&branch, &error)),
            }
        }
        problems.extend(self.unread.values().cloned());
        let named: BTreeSet<BranchName> = self.named_branches();
        let there = |branch: &&BranchName| self.branches.contains_key(*branch) || self.unread.contains_key(*branch);
        for branch in named.iter().filter(|branch| !there(branch)) {
            problems.push(Problem {
                path: None,
                line: None,
                message: format!("a policy names branch `{branch}`, which the repository does not have"),
                code: Some(FailureCode::ConfigError),
            });
        }
        self.look_ahead(&plans, now);
        let revision = self.branches.get(&self.settings.branch).map(|branch| branch.tip.clone());
        RepositoryPlan { revision, plans, problems }
    }

    async fn plan_branch(
        &mut self,
        name: &BranchName,
        policies: &[Policy],
        lookup: &Lookup,
        (since, now): (Timestamp, Timestamp),
    ) -> Result<Option<Plan>, GitError> {
        let set = self.policy_set(name, policies);
        let Some(branch) = self.branches.get(name) else { return Ok(None) };
        let mut heads = self.heads(branch)?;
        self.since_seen(&mut heads, lookup.store(), now);
        let Some(branch) = self.branches.get(name) else { return Ok(None) };
        let mut found = branch.index.pins(&|path| set.names_file(path));
        let pins: Vec<Arc<Pin>> = std::mem::take(&mut found.pins).into_iter().map(Arc::new).collect();
        let mut answers = std::mem::take(&mut self.answers);
        found.skipped.retain(|skipped| !skipped.reason.is_expected());
        // They are about this branch's tip alone.
        answers.origins.clear();
        let mut asked = Queries::default();
        let mut planned = Planned { plan: empty(name, &branch.tip), queries: Queries::default() };
        for _ in 0..ROUNDS {
            let Some(branch) = self.branches.get(name) else { break };
            planned = plan(&Snapshot {
                repository: &self.settings.name,
                branch: name,
                revision: &branch.tip,
                pins: &pins,
                policies: &set,
                answers: &answers,
                ledger: &branch.ledger,
                skipped: &found.skipped,
                heads: &heads,
                soaks: &self.standings,
                decisions: &self.decisions,
                request: self.request.as_ref(),
                gathered: self.gathered.as_ref(),
                failed: Some(&self.failed),
                now,
            });
            let queries = planned.queries.without(&asked);
            if queries.is_empty() && self.confirm(&planned.plan, name, now, &mut answers).await {
                break;
            }
            self.late.extend(lookup.answer_soon(&queries.registry, since, &mut answers).await);
            self.first_seen.add_to(&mut answers);
            self.pulls.answer(&queries.forge, (name, since, now), &mut answers).await;
            if let Some(branch) = self.branches.get_mut(name) {
                let wanted = |pin: &&Arc<Pin>| queries.history.contains(&HistoryQuery::from(pin.as_ref()));
                let wanted: Vec<Pin> = pins.iter().filter(wanted).map(|pin| Pin::clone(pin)).collect();
                if !wanted.is_empty() {
                    let history = branch.history.get_mut().unwrap_or_else(PoisonError::into_inner);
                    answers.origins.extend(origins(&self.mirror, history, (&branch.tip, &branch.ledger), &wanted));
                }
            }
            asked.extend(queries);
        }
        self.answers = answers;
        planned.plan.problems.extend(read::problems(&found.skipped, &set));
        Ok(Some(planned.plan))
    }

    /// Asks anew about pull requests that the plan would touch, where the answer was a remembered one. True when nothing
    /// had to be asked, so that the plan stands.
    async fn confirm(&mut self, plan: &Plan, base: &BranchName, now: Timestamp, answers: &mut Answers) -> bool {
        let mut stands = true;
        for action in &plan.actions {
            let Some(head) = action.kind.head().filter(|head| !self.pulls.is_fresh(head)) else { continue };
            let fresh = self.pulls.fresh(head, base, now).await;
            // Of a branch that no group has, only what is open was asked for; that was this cycle's.
            stands &= answers.pulls.get(head).is_none_or(|before| same(Some(before), &fresh));
            drop(answers.pulls.insert(head.clone(), fresh));
        }
        stands
    }

    /// Brings the refs that `which` picks up to date in the mirror; costs nothing where they are.
    async fn fetch(&self, refs: &BTreeMap<String, CommitId>, which: impl Fn(&str) -> bool) -> Result<(), GitError> {
        let wanted: Vec<String> = refs.keys().filter(|name| which(name)).cloned().collect();
        self.mirror.fetch_listed(refs, &wanted).await
    }

    /// The bot's own branches, as they are beside this one.
    fn heads(&self, branch: &Branch) -> Result<BTreeMap<String, Head>, GitError> {
        let mut history = branch.history.lock().unwrap_or_else(PoisonError::into_inner);
        read::heads(&self.mirror, &mut history, &self.refs, (&branch.tip, &branch.former, &self.settings.author))
    }

    fn read_branch(&mut self, name: &BranchName, refs: &BTreeMap<String, CommitId>) -> Result<(), GitError> {
        let Some(tip) = refs.get(&name.full()) else {
            drop(self.branches.remove(name));
            return Ok(());
        };
        // The tip that was fetched may be newer than the one listed a moment ago; what is in the mirror counts.
        let tip = self.mirror.tip(&name.full())?.unwrap_or_else(|| tip.clone());
        if self.branches.get(name).is_some_and(|branch| branch.tip == tip) {
            return Ok(());
        }
        // A rewritten history takes the old ledger with it: what is not in the history was not done. An old tip that the
        // mirror does not have any more is as good as rewritten: everything is read anew.
        let from = self.branches.get(name).map(|old| old.tip.clone());
        let from = from.filter(|old| self.mirror.is_ancestor(old, &tip).unwrap_or(false));
        let main = *name == self.settings.branch;
        let folder = self.policy_folder().filter(|_| main);
        let decisions = self.decision_folder();
        let folders = Folders { policies: folder.as_deref(), decisions: &decisions };
        // Read before anything is replaced: what cannot be read leaves what is known.
        let known = self.branches.get(name).filter(|_| from.is_some());
        let mut index = known.map_or_else(PinIndex::new, |old| old.index.clone());
        let changed = read::changes(&self.mirror, from.as_ref(), &tip, folders, |files| index.update(files))?;
        let log = self.mirror.log(&tip, from.as_ref(), LEDGER_DEPTH)?;
        let rules = RecordRules { branch: name, bot: &self.settings.author, decisions: &decisions };
        let mut ledger = known.map_or_else(Ledger::default, |old| old.ledger.clone());
        ledger::record(&mut ledger, &self.mirror, rules, (&tip, &log))?;
        let (history, former) = match self.branches.remove(name) {
            Some(old) if from.is_some() => (old.history, old.former),
            Some(mut old) => {
                old.former.push(old.tip);
                let former = old.former.split_off(old.former.len().saturating_sub(FORMER));
                (Mutex::default(), former)
            }
            None => (Mutex::default(), Vec::new()),
        };
        if main && from.is_none() {
            self.policy_files.clear();
            self.decision_files.clear();
        }
        if main {
            self.decision_files.update(&decisions, changed.decisions);
        }
        for (path, file) in changed.policies {
            match file {
                Some(file) => drop(self.policy_files.insert(path, file)),
                None => drop(self.policy_files.remove(&path)),
            }
        }
        drop(self.branches.insert(name.clone(), Branch { tip, former, index, ledger, history, view: None }));
        Ok(())
    }

    fn no_branch(&self, refs: &BTreeMap<String, CommitId>) -> RepositoryError {
        let heads: Vec<&str> = refs.keys().filter_map(|name| name.strip_prefix("refs/heads/")).take(5).collect();
        let others = if heads.is_empty() {
            "; it is empty: push a first commit".to_owned()
        } else {
            format!("; it has {}", heads.join(", "))
        };
        RepositoryError::NoBranch {
            repository: self.settings.name.clone(),
            branch: self.settings.branch.clone(),
            others,
        }
    }
}

fn empty(branch: &BranchName, tip: &CommitId) -> Plan {
    Plan {
        branch: branch.clone(),
        revision: tip.clone(),
        actions: Vec::new(),
        holds: Vec::new(),
        up_to_date: 0,
        unmanaged: 0,
        problems: Vec::new(),
    }
}

fn unreadable(branch: &BranchName, error: &GitError) -> Problem {
    Problem {
        path: None,
        line: None,
        message: format!("branch {branch} cannot be planned: {error}"),
        code: error.code(),
    }
}

fn same<T: PartialEq>(before: Option<&Answer<T>>, after: &Answer<T>) -> bool {
    before == Some(after)
}
