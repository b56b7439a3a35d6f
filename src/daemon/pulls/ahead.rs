//! Questions about many pull requests, asked of the forge at once where it can be asked so, and kept for one plan.
//!
//! Promise: an answer from here is what a single question in the same plan would have got. A forge that does not tell of many at once
//! costs one request, and is asked about each of them then.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::forge::{AT_ONCE, Judged};
use crate::model::{BranchName, CommitId, PullRequest, PullState};
use crate::plan::{BRANCH_ROOT, ForgeQuery};

use super::{PATIENCE, Pulls, Remembered, is_recent};

/// From this many on, they are asked about at once.
pub(super) const MANY: usize = 4;
/// From this many branches on, the list of what was ever closed costs less than asking about each: it has at most thirty pages.
const VERY_MANY: usize = 31;

/// For how long each is asked about on its own after a question about many was not answered in time.
const PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// What was told of many pull requests within one plan.
#[derive(Debug, Default)]
pub(super) struct AskedAhead {
    plan: u64,
    /// Whatever was asked about, also without an answer.
    asked: BTreeSet<u64>,
    /// When a question about many was last not answered in time, in whichever plan.
    unanswered: Option<Timestamp>,
    judged: BTreeMap<u64, Judged>,
}

impl AskedAhead {
    /// What is known of a pull request in this plan.
    pub(super) fn of(&self, number: u64, plan: u64) -> Option<&Judged> {
        self.judged.get(&number).filter(|_| self.plan == plan)
    }

    /// Whether many may be asked about at once: each question that is not answered in time keeps the repository waiting.
    fn may_ask(&self, now: Timestamp) -> bool {
        self.unanswered.is_none_or(|at| now.duration_since(at).abs() >= PAUSE)
    }

    /// The same of the one with this tip.
    pub(super) fn at(&self, tip: &CommitId, plan: u64) -> Option<&Judged> {
        self.judged.values().find(|judged| judged.tip == *tip).filter(|_| self.plan == plan)
    }
}

impl Pulls {
    /// Asks at once what these queries want to know of many pull requests. What is not answered in time says nothing about the
    /// forge's other answers: each is asked about on its own then.
    pub(super) async fn look_ahead(&mut self, queries: &BTreeSet<ForgeQuery>, now: Timestamp) {
        if self.ahead.plan != self.plan {
            let unanswered = self.ahead.unanswered;
            self.ahead = AskedAhead { plan: self.plan, unanswered, ..AskedAhead::default() };
        }
        let open = self.open.as_ref().map_or(&[][..], |(_, open)| open);
        let numbers: BTreeMap<&CommitId, u64> =
            open.iter().filter_map(|pull| Some((pull.head_commit.as_ref()?, pull.number))).collect();
        let wanted = queries.iter().filter_map(|query| match query {
            ForgeQuery::Reviews(number) | ForgeQuery::Behind(number, _) => Some(*number),
            ForgeQuery::Checks(commit) => numbers.get(commit).copied(),
            _ => None,
        });
        let wanted: BTreeSet<u64> = wanted.filter(|number| !self.ahead.asked.contains(number)).collect();
        if wanted.len() < MANY || !self.ahead.may_ask(now) {
            return;
        }
        let numbers: Vec<u64> = wanted.into_iter().collect();
        let end = Instant::now() + PATIENCE;
        for some in numbers.chunks(AT_ONCE) {
            match tokio::time::timeout_at(end, self.forge.judged(some)).await {
                Ok(Ok(judged)) => self.ahead.judged.extend(judged.into_iter().map(|judged| (judged.number, judged))),
                Ok(Err(error)) => {
                    tracing::debug!(repository = self.name, %error, "many pull requests cannot be asked about at once");
                    break;
                }
                Err(_) => {
                    tracing::debug!(repository = self.name, "asking about many pull requests at once took too long");
                    self.ahead.unanswered = Some(now);
                    break;
                }
            }
        }
        self.ahead.asked.extend(numbers);
    }

    /// Asks at once for the pull requests of many branches of which nothing recent is known.
    pub(super) async fn remember_many(&mut self, heads: &[&BranchName], base: &BranchName, now: Timestamp) {
        self.remembered.retain(|_, remembered| is_recent(remembered.at, now));
        let open = self.open.as_ref().map_or(&[][..], |(_, open)| open);
        let current = |head: &BranchName| open.iter().find(|pull| pull.head == *head && pull.base == *base);
        let is_known = |head: &BranchName| {
            self.remembered.get(head).is_some_and(|Remembered { at, pulls, .. }| {
                is_recent(*at, now) && pulls.iter().find(|pull| pull.state == PullState::Open) == current(head)
            })
        };
        let unknown: Vec<BranchName> =
            heads.iter().filter(|head| !is_known(head)).map(|head| (*head).clone()).collect();
        if unknown.len() < MANY || !self.ahead.may_ask(now) {
            return;
        }
        let (past, is_late) = self.past(&unknown, base).await;
        if is_late {
            self.ahead.unanswered = Some(now);
        } else {
            let told: HashSet<&BranchName> = past.iter().map(|(head, _)| head).collect();
            let untold: Vec<&BranchName> = unknown.iter().filter(|head| !told.contains(head)).collect();
            self.remember_closed(&untold, base, now).await;
        }
        for (head, mut pulls) in past {
            let open = self.open.as_ref().map_or(&[][..], |(_, open)| open);
            // Of what is open, the list is as new, and says the same in the same way each time.
            for pull in &mut pulls {
                if let Some(there) = open.iter().find(|there| there.number == pull.number && pull.state == there.state)
                {
                    *pull = there.clone();
                }
            }
            pulls.iter().rev().for_each(|pull| self.hear(pull));
            drop(self.remembered.insert(head, Remembered { at: now, plan: self.plan, pulls }));
        }
    }

    /// What the forge tells of many branches at once, as much as it tells in time; and whether time ran out.
    async fn past(&self, heads: &[BranchName], base: &BranchName) -> (Vec<(BranchName, Vec<PullRequest>)>, bool) {
        let (mut past, end) = (Vec::new(), Instant::now() + PATIENCE);
        for some in heads.chunks(AT_ONCE) {
            match tokio::time::timeout_at(end, self.forge.past(some, base)).await {
                Ok(Ok(told)) => past.extend(told),
                Ok(Err(error)) => {
                    tracing::debug!(repository = self.name, %error, "many branches cannot be asked about at once");
                    break;
                }
                Err(_) => {
                    tracing::debug!(repository = self.name, "asking about many branches at once took too long");
                    return (past, true);
                }
            }
        }
        (past, false)
    }

    /// Puts together, from the lists of what is open and what was closed, what a forge tells of very many branches one by one
    /// only. The list of closed ones has an end: before anything is written to a branch, it is asked about again.
    async fn remember_closed(&mut self, heads: &[&BranchName], base: &BranchName, now: Timestamp) {
        if heads.len() < VERY_MANY {
            return;
        }
        let Ok(closed) = self.forge.closed_pulls(BRANCH_ROOT, now, PATIENCE).await else {
            self.ahead.unanswered = Some(now);
            return;
        };
        let open = self.open.as_ref().map_or(&[][..], |(_, open)| open);
        let mut of: HashMap<&BranchName, Vec<PullRequest>> = heads.iter().map(|head| (*head, Vec::new())).collect();
        for pull in open.iter().chain(&closed).filter(|pull| pull.base == *base) {
            // One that is in both lists was closed, or opened again, in between: it counts as open.
            if let Some(pulls) = of.get_mut(&pull.head)
                && pulls.iter().all(|there| there.number != pull.number)
            {
                pulls.push(pull.clone());
            }
        }
        for (head, mut pulls) in of {
            pulls.sort_by_key(|pull| std::cmp::Reverse(pull.number));
            let plan = self.plan.wrapping_sub(1);
            drop(self.remembered.insert(head.clone(), Remembered { at: now, plan, pulls }));
        }
    }
}
