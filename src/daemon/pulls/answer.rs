//! The forge queries of a plan: open pull requests, reviews, checks, reminders.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::message::REMINDER;
use crate::model::{Answer, BranchName, CommitId, FailureCode, PullRequest};
use crate::plan::{Answers, BRANCH_ROOT, CarriedUpdate, ForgeQuery, Plan, carried, is_own_branch};

use super::{CLOSED_PATIENCE, PATIENCE, Pulls, is_recent};

impl Pulls {
    /// Answers the forge queries in `queries` into `answers`. A forge that stays silent gets no further queries in this
    /// cycle, so that commits, which need no forge, do not wait for it (G6).
    pub async fn answer(
        &mut self,
        queries: &BTreeSet<ForgeQuery>,
        (base, since, now): (&BranchName, Timestamp, Timestamp),
        answers: &mut Answers,
    ) {
        let heads =
            queries.iter().filter_map(|query| if let ForgeQuery::Pulls(head) = query { Some(head) } else { None });
        answers.pulls.extend(self.of_all(heads, base, since, now).await);
        self.look_ahead(queries, now).await;
        let mut silent = false;
        for query in queries {
            match query {
                ForgeQuery::Open => answers.open = Some(in_time(&mut silent, self.all_open(since, now)).await),
                ForgeQuery::Reviews(number) => {
                    let told = self.ahead.of(*number, self.plan).and_then(|judged| judged.reviews.clone());
                    let reviews = match told {
                        Some(reviews) => Answer::Known(reviews),
                        None => in_time(&mut silent, self.forge.reviews(*number)).await,
                    };
                    drop(answers.reviews.insert(*number, reviews));
                }
                ForgeQuery::Checks(commit) => {
                    let told = self.ahead.at(commit, self.plan).and_then(|judged| judged.checks.clone());
                    let checks = match told {
                        Some(checks) => Answer::Known(checks),
                        None => in_time(&mut silent, self.forge.checks(commit)).await,
                    };
                    drop(answers.checks.insert(commit.clone(), checks));
                }
                ForgeQuery::Reminded(number) => {
                    drop(answers.reminded.insert(*number, in_time(&mut silent, self.reminded(*number)).await));
                }
                ForgeQuery::Behind(number, tip) => {
                    let behind = in_time(&mut silent, self.is_behind(*number, tip, now)).await;
                    drop(answers.behind.insert(*number, behind));
                }
                ForgeQuery::Closed => answers.closed = Some(self.all_closed(&mut silent, since, now).await),
                ForgeQuery::Carried(number) => {
                    let Some(Answer::Known(closed)) = &answers.closed else { continue };
                    let Some(pull) = closed.iter().find(|pull| pull.number == *number) else { continue };
                    let carries = in_time(&mut silent, self.carried_by(pull)).await;
                    drop(answers.carried.insert(*number, carries));
                }
                ForgeQuery::Queue => answers.queue = Some(in_time(&mut silent, self.queue(base, now)).await),
                ForgeQuery::Pulls(_) => {}
            }
        }
    }

    /// Queries again the pull requests that the plan would touch, if their answer was a cached one. Returns true if
    /// nothing had to be queried, so that the plan stands.
    pub async fn confirm(&mut self, plan: &Plan, now: Timestamp, answers: &mut Answers) -> bool {
        let mut stands = true;
        for action in &plan.actions {
            let Some(head) = action.kind.head().filter(|head| !self.is_fresh(head)) else { continue };
            let fresh = self.fresh(head, &plan.branch, now).await;
            // For a branch that belongs to no group, only open pull requests were queried, in this cycle.
            stands &= answers.pulls.get(head).is_none_or(|before| *before == fresh);
            drop(answers.pulls.insert(head.clone(), fresh));
        }
        stands
    }

    /// The bot's open pull requests as of this cycle, into any branch.
    async fn all_open(&mut self, since: Timestamp, now: Timestamp) -> Answer<Vec<PullRequest>> {
        if !self.forge.has_pulls() {
            return Answer::Known(Vec::new());
        }
        match self.open(since, now).await {
            Ok(open) => Answer::Known(open.to_vec()),
            Err(error) => Answer::Failed { message: error.message, code: error.code, last: None },
        }
    }

    /// The bot's pull requests that were closed or merged, from and into any branch, except those opened again. A
    /// forge that returns the open ones is not silent, however long this list takes: it has its own time limit.
    async fn all_closed(&mut self, silent: &mut bool, since: Timestamp, now: Timestamp) -> Answer<Vec<PullRequest>> {
        if !self.forge.has_pulls() {
            return Answer::Known(Vec::new());
        }
        let open = match in_time(silent, self.all_open(since, now)).await {
            Answer::Known(open) => open,
            unknown => return unknown,
        };
        // One may have been closed after the open ones were read.
        let again = |pull: &PullRequest| {
            let since =
                |open: &PullRequest| open.updated_at.zip(pull.closed_at).is_none_or(|(at, closed)| at >= closed);
            open.iter().any(|open| open.number == pull.number && since(open))
        };
        match self.forge.closed_pulls(BRANCH_ROOT, now, CLOSED_PATIENCE).await {
            Ok(mut closed) => {
                closed.retain(|pull| is_own_branch(pull.head.as_str()) && !again(pull));
                Answer::Known(closed)
            }
            Err(error) => Answer::Failed { message: error.message, code: error.code, last: None },
        }
    }

    /// The updates that the commits of a pull request claim to carry. These never change, so they are read once.
    async fn carried_by(&mut self, pull: &PullRequest) -> Answer<Vec<CarriedUpdate>> {
        let key = (pull.number, pull.head_commit.clone());
        if let Some(known) = self.carried.get(&key) {
            return Answer::Known(known.clone());
        }
        match self.forge.messages(pull).await {
            Answer::Known(messages) => {
                let carries: Vec<CarriedUpdate> = messages.iter().flat_map(|message| carried(message)).collect();
                drop(self.carried.insert(key, carries.clone()));
                Answer::Known(carries)
            }
            Answer::Absent { message } => Answer::Absent { message },
            Answer::Failed { message, code, .. } => Answer::Failed { message, code, last: None },
        }
    }

    /// A "no" is remembered for a while: nobody waits for it.
    async fn is_behind(&mut self, number: u64, tip: &CommitId, now: Timestamp) -> Answer<bool> {
        self.enough.retain(|_, at| is_recent(*at, now));
        let key = (number, tip.clone());
        if self.enough.contains_key(&key) {
            return Answer::Known(false);
        }
        let told =
            self.ahead.of(number, self.plan).filter(|judged| judged.tip == *tip).and_then(|judged| judged.behind);
        let answer = match told {
            Some(behind) => Answer::Known(behind),
            None => self.forge.is_behind(number, tip).await,
        };
        if answer == Answer::Known(false) {
            self.enough.insert(key, now);
        }
        answer
    }

    /// That there is no queue is remembered for a while.
    async fn queue(&mut self, base: &BranchName, now: Timestamp) -> Answer<BTreeSet<u64>> {
        self.no_queue.retain(|_, (at, _)| is_recent(*at, now));
        if let Some((_, message)) = self.no_queue.get(base) {
            return Answer::Absent { message: message.clone() };
        }
        let answer = self.forge.queue(base).await;
        if let Answer::Absent { message } = &answer {
            drop(self.no_queue.insert(base.clone(), (now, message.clone())));
        }
        answer
    }

    async fn reminded(&mut self, number: u64) -> Answer<bool> {
        if self.reminded.contains(&number) {
            return Answer::Known(true);
        }
        let answer = self.forge.has_comment(number, REMINDER).await;
        if answer == Answer::Known(true) {
            self.reminded.insert(number);
        }
        answer
    }
}

/// The answer, unless the forge is silent.
async fn in_time<T>(silent: &mut bool, answer: impl Future<Output = Answer<T>>) -> Answer<T> {
    if !*silent {
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(fact) => return fact,
            Err(_) => *silent = true,
        }
    }
    let message = format!("the forge has not answered for {} s; the next cycle tries again", PATIENCE.as_secs());
    Answer::Failed { message, code: FailureCode::Network, last: None }
}
