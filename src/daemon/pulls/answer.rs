//! What a plan asks a forge about: open pull requests, reviews, checks, reminders.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::forge::ForgeError;
use crate::message::REMINDER;
use crate::model::{BranchName, Checks, CommitId, Fact, FailureCode, PullRequest, Reviews};
use crate::plan::{Facts, Want};

use super::{Forge, PATIENCE, PullError, Pulls};

impl Pulls {
    /// Answers what `wants` asks of the forge into `facts`. A forge that stays silent is not asked further in this cycle,
    /// so that commits, which need no forge, do not wait for it (G6).
    pub async fn answer(
        &mut self,
        wants: &BTreeSet<Want>,
        (base, since, now): (&BranchName, Timestamp, Timestamp),
        facts: &mut Facts,
    ) {
        let heads = wants.iter().filter_map(|want| if let Want::Pulls(head) = want { Some(head) } else { None });
        facts.pulls.extend(self.of_all(heads, base, since, now).await);
        let mut silent = false;
        for want in wants {
            match want {
                Want::Open => facts.open = Some(in_time(&mut silent, self.all_open(since, now)).await),
                Want::Reviews(number) => {
                    drop(facts.reviews.insert(*number, in_time(&mut silent, self.reviews(*number)).await));
                }
                Want::Checks(commit) => {
                    drop(facts.checks.insert(commit.clone(), in_time(&mut silent, self.checks(commit)).await));
                }
                Want::Reminded(number) => {
                    drop(facts.reminded.insert(*number, in_time(&mut silent, self.reminded(*number)).await));
                }
                Want::Pulls(_)
                | Want::Listing(_)
                | Want::Digest(..)
                | Want::Manifest(..)
                | Want::Created(..)
                | Want::Origin(_) => {}
            }
        }
    }

    /// The bot's open pull requests as of this cycle, into whatever branch.
    async fn all_open(&mut self, since: Timestamp, now: Timestamp) -> Fact<Vec<PullRequest>> {
        if matches!(self.forge, Forge::None) {
            return Fact::Absent { message: self.no_forge() };
        }
        match self.open(since, now).await {
            Ok(open) => Fact::Known(open.to_vec()),
            Err(error) => Fact::Failed { message: error.message, code: error.code, last: None },
        }
    }

    async fn reviews(&self, number: u64) -> Fact<Reviews> {
        match &self.forge {
            Forge::GitHub(github) => fact(github.reviews(number).await),
            Forge::Local(local) => match local.reviews(number) {
                Ok(reviews) => Fact::Known(reviews),
                Err(PullError { message, code }) => Fact::Failed { message, code, last: None },
            },
            Forge::None => Fact::Absent { message: self.no_forge() },
        }
    }

    /// The checks of a commit; a forge without checks is one that has none to show.
    async fn checks(&self, commit: &CommitId) -> Fact<Checks> {
        let absent = |why: &str| Fact::Absent { message: format!("repository {} {why}", self.name) };
        match &self.forge {
            Forge::GitHub(github) => fact(github.checks(commit).await),
            Forge::Local(_) => absent("has the local forge, which knows no checks"),
            Forge::None => absent("has no forge whose checks could be seen"),
        }
    }

    async fn reminded(&mut self, number: u64) -> Fact<bool> {
        let Forge::GitHub(github) = &self.forge else {
            return Fact::Absent { message: format!("the forge of repository {} has no comments", self.name) };
        };
        if self.reminded.contains(&number) {
            return Fact::Known(true);
        }
        let answer = fact(github.has_comment(number, REMINDER).await);
        if answer == Fact::Known(true) {
            self.reminded.insert(number);
        }
        answer
    }
}

fn fact<T>(answer: Result<T, ForgeError>) -> Fact<T> {
    match answer {
        Ok(value) => Fact::Known(value),
        Err(error) => Fact::Failed { message: error.to_string(), code: error.code(), last: None },
    }
}

/// The answer, unless the forge is silent.
async fn in_time<T>(silent: &mut bool, answer: impl Future<Output = Fact<T>>) -> Fact<T> {
    if !*silent {
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(fact) => return fact,
            Err(_) => *silent = true,
        }
    }
    let message = format!("the forge has not answered for {} s; the next cycle asks again", PATIENCE.as_secs());
    Fact::Failed { message, code: FailureCode::Network, last: None }
}
