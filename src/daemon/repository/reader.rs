//! The state of a repository's remote, as last read: its branches with their pins, policies, decisions and history.
//!
//! Promise: if nothing has moved, reading costs one `ls-remote` and parses nothing; otherwise it costs the changed
//! files. Invariant: pins, policies, ledger and heads of one reading are all from the same tips.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::config::RepositorySettings;
use crate::git::{GitError, History, Mirror};
use crate::model::{Answer, BranchName, CommitId, Pin, Skipped, UpdateId};
use crate::overlay::{PinIndex, TreeScan};
use crate::plan::{
    Action, Answers, Decisions, Declared, Head, HistoryQuery, Ledger, Origin, Plan, Problem, Releases, Snapshot,
    SoakStates, declared, is_own_branch,
};
use crate::policy::{Policy, PolicySet};

use super::first_seen::{FIRST_SEEN, FirstSeen, RecordedRepository};
use super::ledger::{self, RecordRules};
use super::origins::origins;
use super::places::{Places, ROOM};
use super::policies::ReadPolicies;
use super::read::{self, Folders, KnownHeads, MoreRoom};
use super::{RepositoryError, unreadable};
use crate::daemon::decisions::DecisionFiles;
use crate::daemon::execute::Refs;
use crate::daemon::tracker::BranchView;
use crate::forge::RECORDS;
use crate::store::Store;

/// Maximum number of remembered tips of a rewritten branch.
const FORMER: usize = 20;

/// A repository, as on its remote.
#[derive(Debug)]
pub struct Reader {
    pub(super) settings: Arc<RepositorySettings>,
    pub(super) mirror: Mirror,
    pub(super) branches: HashMap<BranchName, Branch>,
    /// Tips that are beyond every limit: reading one again comes to the same.
    refused: HashMap<BranchName, (CommitId, String, String)>,
    /// Branches that policies name and that could not be read.
    unread: BTreeMap<BranchName, Problem>,
    pub(super) policies: ReadPolicies,
    pub(super) refs: Refs,
    decision_files: DecisionFiles,
    decisions: Decisions,
    /// When images that wait for their age were first seen, as stored in the repository itself.
    pub(super) first_seen: FirstSeen,
}

/// What was read of one branch.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) tip: CommitId,
    /// The most recent tips that are no longer in its history.
    former: Vec<CommitId>,
    pub(super) index: PinIndex,
    /// The room that its index takes.
    places: Places,
    ledger: Ledger,
    /// Where the versions of its pins come from, which commits it contains, and the bot's branches next to it.
    history: Mutex<(History, KnownHeads)>,
    /// What it declares under the policies of the last reading.
    pub(super) view: Option<(PolicySet, BranchView)>,
}

/// One branch, as a plan sees it.
pub(in crate::daemon) struct BranchReading<'r> {
    reader: &'r Reader,
    name: &'r BranchName,
    branch: &'r Branch,
    pub(super) policies: PolicySet,
    pub(super) pins: Vec<Arc<Pin>>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) heads: BTreeMap<String, Head>,
}

impl Reader {
    /// A reader for a repository that has not been read yet; `given` are policies from files next to the configuration,
    /// if they are not in the repository.
    pub(super) fn new(settings: Arc<RepositorySettings>, mirror: Mirror, given: Option<Vec<Policy>>) -> Self {
        let first_seen = FirstSeen::new(RecordedRepository::of(&settings, &mirror));
        Self {
            policies: ReadPolicies::new(&settings.policies, &settings.caps, given),
            settings,
            mirror,
            branches: HashMap::new(),
            refused: HashMap::new(),
            unread: BTreeMap::new(),
            refs: Refs::new(),
            decision_files: DecisionFiles::default(),
            decisions: Decisions::default(),
            first_seen,
        }
    }

    /// Whether the remote's branches differ from those last read. Costs one `ls-remote`.
    ///
    /// # Errors
    /// If the remote does not answer.
    pub async fn moved(&self) -> Result<bool, GitError> {
        Ok(self.mirror.ls_remote().await? != self.refs)
    }

    /// Reads what has changed on the remote since last time.
    ///
    /// # Errors
    /// If the remote does not answer or has no such branch.
    pub async fn refresh(&mut self) -> Result<(), RepositoryError> {
        let refs = self.mirror.ls_remote().await?;
        self.begin_cycle();
        let default = self.mirror.default_branch().filter(|_| !self.settings.branch_given);
        if let Some(default) = default.filter(|default| *default != self.settings.branch) {
            Arc::make_mut(&mut self.settings).branch = default;
        }
        let main = self.settings.branch.clone();
        if !refs.contains_key(&main.full()) {
            return Err(self.no_branch(&refs));
        }
        self.fetch(&refs, |name| {
            name == main.full()
                || [FIRST_SEEN, RECORDS].contains(&name)
                || name.strip_prefix("refs/heads/").is_some_and(is_own_branch)
        })
        .await?;
        self.first_seen.read(&self.mirror, &refs)?;
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
        self.refs = refs;
        self.decide_by_files(&BTreeSet::new());
        Ok(())
    }

    /// Looking for what policies declare may cost what it may in a cycle again, wherever that is kept.
    fn begin_cycle(&self) {
        self.policies.declared.begin_cycle();
        self.mirror.declared().begin_cycle();
        self.branches.values().for_each(|branch| branch.index.declared().begin_cycle());
    }

    /// Adds to the records of first sight what the state folder has of them, if the remote's lack it.
    pub(super) fn recall(&mut self, store: &Store) -> Result<(), GitError> {
        self.first_seen.recall(&self.mirror, (&self.settings.name, store))
    }

    /// Updates the refs that `which` selects in the mirror; costs nothing if they are current.
    async fn fetch(&self, refs: &Refs, which: impl Fn(&str) -> bool) -> Result<(), GitError> {
        let wanted: Vec<String> = refs.keys().filter(|name| which(name)).cloned().collect();
        self.mirror.fetch_listed(refs, &wanted).await
    }

    fn read_branch(&mut self, name: &BranchName, refs: &Refs) -> Result<(), GitError> {
        let Some(tip) = refs.get(&name.full()) else {
            drop(self.branches.remove(name));
            return Ok(());
        };
        // The fetched tip may be newer than the one just listed; the mirror counts.
        let tip = self.mirror.tip(&name.full())?.unwrap_or_else(|| tip.clone());
        if self.is_current(name, &tip) {
            return Ok(());
        }
        if let Some((_, what, reason)) = self.refused.get(name).filter(|(refused, ..)| *refused == tip) {
            return Err(GitError::Refused { what: what.clone(), reason: reason.clone() });
        }
        let mut read = self.read_tip(name, tip.clone());
        // The policies that were just read may declare something else of the files.
        if read.is_ok() && !self.is_current(name, &tip) {
            read = self.read_tip(name, tip.clone());
        }
        drop(self.refused.remove(name));
        if let Err(GitError::Refused { what, reason }) = &read {
            self.refused.insert(name.clone(), (tip, what.clone(), reason.clone()));
        }
        read
    }

    /// Whether a branch was read at this tip, with what its policies declare.
    fn is_current(&self, name: &BranchName, tip: &CommitId) -> bool {
        let declared = &self.policies.declared;
        self.branches.get(name).is_some_and(|branch| branch.tip == *tip && branch.index.declared() == declared)
    }

    fn read_tip(&mut self, name: &BranchName, tip: CommitId) -> Result<(), GitError> {
        // A rewritten history invalidates the old ledger: what is not in the history was not done. An old tip that the
        // mirror no longer has counts as rewritten: everything is read again.
        let from = self.branches.get(name).map(|old| old.tip.clone());
        let from = from.filter(|old| self.mirror.is_ancestor(old, &tip).unwrap_or(false));
        let main = *name == self.settings.branch;
        let settings = Arc::clone(&self.settings);
        let decisions = settings.policies.decision_folder();
        let declared = self.policies.declared.clone();
        let policies = settings.policies.folder().filter(|_| main);
        let folders = Folders { policies, decisions, declared: &declared };
        // Everything is read before anything is replaced, so that a failure leaves the known state.
        let known = self.branches.get(name).filter(|_| from.is_some());
        // Where there was no room for some files, everything is read again: there may be, now.
        let same = |old: &&Branch| *old.index.declared() == declared;
        let partly = known.filter(|old| !old.index.is_short()).filter(same);
        let read_from = from.as_ref().filter(|_| partly.is_some());
        let whole = read_from.is_none();
        let mut index = partly.map_or_else(|| PinIndex::with(declared.clone()), |old| old.index.clone());
        let mut growth = ROOM.none();
        let (held, beside) = self.taken_by(name);
        let changed = read::changes(&self.mirror, read_from, &tip, folders, |files| {
            index.set_room(growth.most(beside + held) + held);
            index.update(files);
            growth.hold(index.places().saturating_sub(held));
            if index.has_room() { MoreRoom::Left } else { MoreRoom::Spent }
        })?;
        // Below, files are read one by one, as they were at some commit. Other branches may have other repositories.
        let others = self.branches.iter().filter(|(branch, _)| *branch != name).map(|(_, other)| &other.index);
        let repositories = others.fold(index.repositories(), |all, other| all.and(&other.repositories()));
        self.mirror.declares(declared.clone().knowing(repositories));
        let author = settings.forge.commits_as().map(|_| &settings.author);
        let rules = RecordRules { branch: name, bot: &settings.committer, author, decisions };
        let ledger = match (known.filter(same), &from) {
            (Some(old), Some(from)) => {
                let mut ledger = old.ledger.clone();
                ledger::go_on(&mut ledger, &self.mirror, rules, (&tip, from))?;
                ledger
            }
            _ => ledger::read(&self.mirror, rules, &tip)?,
        };
        let mut before = self.branches.remove(name);
        let mut places =
            before.as_mut().map_or_else(|| ROOM.none(), |old| std::mem::replace(&mut old.places, ROOM.none()));
        places.hold(index.places());
        drop(growth);
        let (history, former) = match before {
            Some(old) if from.is_some() => (old.history, old.former),
            Some(mut old) => {
                old.former.push(old.tip);
                let former = old.former.split_off(old.former.len().saturating_sub(FORMER));
                (Mutex::default(), former)
            }
            None => {
                let history = History::open(&self.mirror, &kept_as(name));
                (Mutex::new((history, KnownHeads::default())), Vec::new())
            }
        };
        if main {
            if whole {
                self.decision_files.clear();
            }
            self.decision_files.update(decisions, changed.decisions);
            self.policies.update(whole, changed.policies);
        }
        drop(self.branches.insert(name.clone(), Branch { tip, former, index, places, ledger, history, view: None }));
        Ok(())
    }

    /// The places that a branch takes, and those that the other branches take.
    fn taken_by(&self, name: &BranchName) -> (usize, usize) {
        let all: usize = self.branches.values().map(|branch| branch.places.count()).sum();
        let own = self.branches.get(name).map_or(0, |branch| branch.places.count());
        (own, all - own)
    }

    fn no_branch(&self, refs: &Refs) -> RepositoryError {
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

    /// The branches that were read, main branch first.
    pub(in crate::daemon) fn branch_names(&self) -> Vec<BranchName> {
        let mut names: Vec<BranchName> = self.branches.keys().cloned().collect();
        names.sort_by_key(|branch| (*branch != self.settings.branch, branch.clone()));
        names
    }

    /// The tips at which they were read last.
    pub(in crate::daemon) fn tips(&self) -> impl Iterator<Item = (BranchName, CommitId)> {
        let tip = |name: BranchName| self.branches.get(&name).map(|branch| branch.tip.clone()).map(|tip| (name, tip));
        self.branch_names().into_iter().filter_map(tip)
    }

    /// The same without those that could not be read last time: nothing is planned at an old tip.
    pub(super) fn plannable(&self) -> Vec<BranchName> {
        let mut names = self.branch_names();
        names.retain(|branch| !self.unread.contains_key(branch));
        names
    }

    /// Whether a branch was read last time.
    pub(super) fn is_read(&self, branch: &BranchName) -> bool {
        self.branches.contains_key(branch) && !self.unread.contains_key(branch)
    }

    /// Why branches that policies name cannot be planned.
    pub(super) fn missing(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.unread.values().cloned().collect();
        let there = |branch: &BranchName| self.branches.contains_key(branch) || self.unread.contains_key(branch);
        problems.extend(self.named_branches().iter().filter(|branch| !there(branch)).map(|branch| Problem {
            path: None,
            line: None,
            image: None,
            message: format!("a policy names branch `{branch}`, which the repository does not have"),
            code: Some(crate::model::FailureCode::ConfigError),
        }));
        problems
    }

    /// The main branch's tip.
    #[must_use]
    pub fn tip(&self) -> Option<CommitId> {
        self.branches.get(&self.settings.branch).map(|branch| branch.tip.clone())
    }

    /// Checks whether the remote would accept a push to the main branch; nothing is pushed.
    ///
    /// # Errors
    /// If it would not, as far as it says so in advance, or cannot be queried.
    pub async fn try_push(&self) -> Result<(), GitError> {
        match self.tip() {
            Some(tip) => self.mirror.try_push(&self.settings.branch.full(), &tip).await,
            None => Ok(()),
        }
    }

    /// The pins of the main branch, and what was skipped.
    #[must_use]
    pub fn main_pins(&self, policies: &PolicySet) -> TreeScan {
        let branch = self.branches.get(&self.settings.branch);
        branch.map(|branch| branch.index.pins(&|path| policies.names_file(path))).unwrap_or_default()
    }

    /// What every branch declares.
    pub(in crate::daemon) fn declared(&self) -> Vec<Declared> {
        let mut all = Vec::new();
        for (name, branch) in &self.branches {
            let set = self.policy_set(name);
            let pins = branch.index.pins(&|path| set.names_file(path)).pins;
            let pins: Vec<Arc<Pin>> = pins.into_iter().map(Arc::new).collect();
            all.extend(declared(name, &pins, &set));
        }
        all
    }

    /// Freezes and holds of the main branch.
    pub(super) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The folder that contains their folders.
    pub(in crate::daemon) fn decision_folder(&self) -> &str {
        self.settings.policies.decision_folder()
    }

    /// Their files.
    pub(in crate::daemon) fn decision_files(&self) -> &DecisionFiles {
        &self.decision_files
    }

    /// Makes the next plans use the decisions in the files and the releases in the main branch's history, without these
    /// files.
    pub(in crate::daemon) fn decide_by_files(&mut self, without: &BTreeSet<String>) {
        let known = if self.decision_files.is_empty() { Default::default() } else { self.known() };
        let main = self.branches.get(&self.settings.branch);
        let releases = main.map_or_else(Releases::default, |branch| branch.ledger.releases().clone());
        let decisions = self.decision_files.decisions(&known, releases).without(without);
        // A branch that is not read may contain what a decision names: then nothing counts as gone.
        self.decisions = if self.reads_every_branch() { decisions.with_known(known) } else { decisions };
    }

    /// A branch as a plan sees it, before any query; `None` if it was not read.
    pub(in crate::daemon) fn reading<'r>(
        &'r self,
        name: &'r BranchName,
    ) -> Result<Option<BranchReading<'r>>, GitError> {
        let Some(branch) = self.branches.get(name) else { return Ok(None) };
        let policies = self.policy_set(name);
        let bot = [&self.settings.author, &self.settings.committer];
        let (history, known) = &mut *branch.history();
        let heads = read::heads(&self.mirror, (history, known), &self.refs, (&branch.tip, &branch.former, bot))?;
        let mut found = branch.index.pins(&|path| policies.names_file(path));
        found.skipped.retain(|skipped| !skipped.reason.is_expected());
        let pins = found.pins.into_iter().map(Arc::new).collect();
        Ok(Some(BranchReading { reader: self, name, branch, policies, pins, skipped: found.skipped, heads }))
    }
}

/// The name under which a branch's history is kept for the next process.
pub(in crate::daemon) fn kept_as(branch: &BranchName) -> String {
    format!("plan {branch}")
}

impl Branch {
    fn history(&self) -> MutexGuard<'_, (History, KnownHeads)> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BranchReading<'_> {
    /// The inputs of a plan, as far as they come from the remote.
    pub(in crate::daemon) fn snapshot<'s>(
        &'s self,
        answers: &'s Answers,
        soaks: &'s SoakStates,
        now: Timestamp,
    ) -> Snapshot<'s> {
        Snapshot {
            repository: &self.reader.settings.name,
            branch: self.name,
            revision: &self.branch.tip,
            main: &self.reader.settings.branch,
            rules: self.rules(),
            pins: &self.pins,
            skipped: &self.skipped,
            policies: &self.policies,
            answers,
            ledger: &self.branch.ledger,
            refs: &self.reader.refs,
            heads: &self.heads,
            soaks,
            decisions: &self.reader.decisions,
            request: None,
            gathered: None,
            failed: None,
            tags: Some(&self.reader.first_seen.tags),
            filter_time: None,
            now,
        }
    }

    /// The tip of the main branch.
    fn rules(&self) -> &CommitId {
        let main = self.reader.branches.get(&self.reader.settings.branch);
        main.map_or(&self.branch.tip, |main| &main.tip)
    }

    /// A plan with only these actions.
    pub(in crate::daemon) fn plan_of(&self, actions: Vec<Action>) -> Plan {
        Plan {
            branch: self.name.clone(),
            revision: self.branch.tip.clone(),
            main: self.reader.settings.branch.clone(),
            rules: self.rules().clone(),
            actions,
            holds: Vec::new(),
            up_to_date: 0,
            unmanaged: 0,
            problems: Vec::new(),
            sightings: BTreeSet::new(),
        }
    }

    /// Whether an update was ever rolled back through the bot.
    pub(in crate::daemon) fn was_rolled_back(&self, id: &UpdateId) -> bool {
        self.branch.ledger.rolled_back(id).is_some()
    }

    /// Where the current values of these pins come from.
    pub(super) fn origins(&self, queries: &BTreeSet<HistoryQuery>) -> HashMap<HistoryQuery, Answer<Origin>> {
        let wanted = self.pins.iter().filter(|pin| queries.contains(&HistoryQuery::from(pin.as_ref())));
        let wanted: Vec<Pin> = wanted.map(|pin| Pin::clone(pin)).collect();
        if wanted.is_empty() {
            return HashMap::new();
        }
        let Branch { tip, ledger, .. } = self.branch;
        let (mirror, mut history) = (&self.reader.mirror, self.branch.history());
        let found = origins(mirror, &mut history.0, (tip, ledger), &wanted);
        history.0.keep(mirror, &kept_as(self.name));
        found
    }
}
