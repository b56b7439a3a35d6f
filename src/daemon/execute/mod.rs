//! Carries out a plan on the remote: one cycle of a repository.
//!
//! Promise: at most one commit per update (G1), no foreign commit lost (G2), and `verified` only after the remote's ref
//! was read again. Every push names the tip it was planned at; whoever was faster makes it fail, and then everything is
//! read and planned again.

mod commit;
mod merge;
mod pull_request;
mod sources;
mod stale_base;

use std::time::Duration;

use jiff::Timestamp;

use crate::model::BranchName;
use crate::plan::ActionKind;

use super::outcome::{ActionFailure, ActionFailureCode, ActionOutcome, CycleOutcome};
use super::queries::Lookup;
use super::repository::{Repository, RepositoryError, RepositoryPlan};

pub use crate::git::ATTEMPTS;
pub(super) use crate::git::{Attempt, LostEveryRace, retry_on_lost_race};
pub(super) use commit::Pushed;

/// One cycle's time: when it began, and the pauses between attempts.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// The time of the plan and of its commits.
    pub now: Timestamp,
    /// Registry answers older than this are asked for again.
    pub since: Timestamp,
    /// The first pause after a lost race.
    pub pause: Duration,
}

impl Repository {
    /// One cycle: read, plan, do, look again.
    ///
    /// # Errors
    /// When the repository cannot be read at all; everything else stands in the outcome.
    pub async fn apply(&mut self, lookup: &Lookup, timing: Timing) -> Result<CycleOutcome, RepositoryError> {
        let mut outcome = CycleOutcome::new(self.name());
        let mut last = None;
        let mut raced_for = None;
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
            let mut planned = self.plan(lookup, timing.since, timing.now).await;
            sources::add(&mut planned.plans, lookup, timing.since).await;
            outcome.actions.retain(ActionOutcome::is_done);
            let lost = self.all_commits(&planned, timing.now, &mut outcome.actions).await;
            last = Some(planned);
            Ok(match lost {
                None => Attempt::Over(()),
                Some((branch, message)) => {
                    raced_for = Some(branch);
                    Attempt::LostRace(message)
                }
            })
        });
        let raced = raced.await?;
        let Some(planned) = last else { return Ok(outcome) };
        if let (Err(lost), Some(branch)) = (raced, raced_for) {
            outcome.actions.extend(gave_up(&planned, &branch, &lost));
        }
        self.pulls.settle(timing.now).await;
        for plan in &planned.plans {
            outcome.actions.extend(self.pull_requests(plan, timing.now).await);
            outcome.add_plan(plan);
            self.finish_pull_requests(plan, timing.now, &mut outcome).await;
        }
        outcome.add_blocking(self.record_first_seen(&planned.plans, timing.now).await);
        outcome.add_blocking(planned.problems);
        outcome.revision = planned.revision;
        self.remember_failures(&outcome);
        self.keep_seen(lookup.store());
        Ok(outcome)
    }

    /// The commits of every branch; the last branch on which somebody was faster, where one was.
    async fn all_commits(
        &mut self,
        planned: &RepositoryPlan,
        now: Timestamp,
        done: &mut Vec<ActionOutcome>,
    ) -> Option<(BranchName, String)> {
        let mut lost = None;
        for plan in &planned.plans {
            match self.commits(plan, now).await {
                Pushed::Over(actions) => done.extend(actions),
                Pushed::LostRace(message) => lost = Some((plan.branch.clone(), message)),
            }
        }
        lost
    }
}

/// The outcomes of commits that lost every race.
fn gave_up(planned: &RepositoryPlan, branch: &BranchName, lost: &LostEveryRace) -> Vec<ActionOutcome> {
    let message = format!("the push to {branch} lost every race; the next cycle tries again: {lost}");
    let failure = ActionFailure::new(ActionFailureCode::LostRace, message);
    let plans = planned.plans.iter().filter(|plan| plan.branch == *branch);
    let commits = plans.flat_map(|plan| &plan.actions).filter(|action| action.kind == ActionKind::Commit);
    commits.map(|action| ActionOutcome::failed(branch, action, failure.clone())).collect()
}
