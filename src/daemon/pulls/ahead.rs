//! Questions about many pull requests, asked of the forge at once where it can be asked so, and kept for one plan.
//!
//! Promise: an answer from here is what a single question in the same plan would have got. A forge that does not tell of many at once
//! costs one request, and is asked about each of them then.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::forge::Judged;
use crate::model::{BranchName, CommitId, PullState};
use crate::plan::ForgeQuery;

use super::{CLOSED_PATIENCE, Pulls, Remembered, is_recent};

/// From this many on, they are asked about at once.
pub(super) const MANY: usize = 4;

/// What was told of many pull requests within one plan.
#[derive(Debug, Default)]
pub(super) struct AskedAhead {
    plan: u64,
    /// Whatever was asked about, also without an answer.
    asked: BTreeSet<u64>,
    judged: BTreeMap<u64, Judged>,
}

impl AskedAhead {
    /// What is known of a pull request in this plan.
    pub(super) fn of(&self, number: u64, plan: u64) -> Option<&Judged> {
        self.judged.get(&number).filter(|_| self.plan == plan)
    }

    /// The same of the one with this tip.
    pub(super) fn at(&self, tip: &CommitId, plan: u64) -> Option<&Judged> {
        self.judged.values().find(|judged| judged.tip == *tip).filter(|_| self.plan == plan)
    }
}

impl Pulls {
    /// Asks at once what these queries want to know of many pull requests.
    pub(super) async fn look_ahead(&mut self, queries: &BTreeSet<ForgeQuery>) {
        if self.ahead.plan != self.plan {
            self.ahead = AskedAhead { plan: self.plan, ..AskedAhead::default() };
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
        if wanted.len() < MANY {
            return;
        }
        let numbers: Vec<u64> = wanted.into_iter().collect();
        match tokio::time::timeout(CLOSED_PATIENCE, self.forge.judged(&numbers)).await {
            Ok(Ok(judged)) => self.ahead.judged.extend(judged.into_iter().map(|judged| (judged.number, judged))),
            Ok(Err(error)) => {
                tracing::debug!(repository = self.name, %error, "many pull requests cannot be asked about at once");
            }
            Err(_) => tracing::debug!(repository = self.name, "asking about many pull requests at once took too long"),
        }
        self.ahead.asked.extend(numbers);
    }

    /// Asks at once for the pull requests of many branches of which nothing recent is known.
    pub(super) async fn remember_many(&mut self, heads: &[&BranchName], base: &BranchName, now: Timestamp) {
        let open = self.open.as_ref().map_or(&[][..], |(_, open)| open);
        let current = |head: &BranchName| open.iter().find(|pull| pull.head == *head && pull.base == *base);
        let is_known = |head: &BranchName| {
            self.remembered.get(head).is_some_and(|Remembered { at, pulls, .. }| {
                is_recent(*at, now) && pulls.iter().find(|pull| pull.state == PullState::Open) == current(head)
            })
        };
        let unknown: Vec<BranchName> =
            heads.iter().filter(|head| !is_known(head)).map(|head| (*head).clone()).collect();
        if unknown.len() < MANY {
            return;
        }
        let asked = tokio::time::timeout(CLOSED_PATIENCE, self.forge.past(&unknown, base)).await;
        let past = match asked {
            Ok(Ok(past)) => past,
            Ok(Err(error)) => {
                tracing::debug!(repository = self.name, %error, "many branches cannot be asked about at once");
                return;
            }
            Err(_) => {
                tracing::debug!(repository = self.name, "asking about many branches at once took too long");
                return;
            }
        };
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
}
