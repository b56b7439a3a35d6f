//! The bot's write operations on open pull requests: merge, close, remind, remove a label.

use jiff::Timestamp;

use crate::daemon::execute::PullRequests;
use crate::forge::{Ensured, PullError};
use crate::message::REMINDER;
use crate::model::{CommitId, DequeueOutcome, Merge, MergeOutcome, PullRequestSpec};

use super::{Pulls, is_recent};

/// A merge that the forge refused.
#[derive(Debug)]
pub(super) struct Refused {
    at: Timestamp,
    tip: CommitId,
    reason: String,
}

impl PullRequests for Pulls {
    async fn ensure(&mut self, wanted: &[(PullRequestSpec, CommitId)], now: Timestamp) -> Vec<Ensured> {
        Self::ensure(self, wanted, now).await
    }

    /// After a refusal by the forge, the merge is not retried for ten minutes: its rules require something that the bot
    /// cannot see, and a request every minute will not help.
    async fn merge(&mut self, merge: &Merge, now: Timestamp) -> Result<MergeOutcome, PullError> {
        self.refused.retain(|_, refused| is_recent(refused.at, now));
        if let Some(refused) = self.refused.get(&merge.number).filter(|refused| refused.tip == merge.tip) {
            return Ok(MergeOutcome::Refused { reason: refused.reason.clone() });
        }
        self.open = None;
        let outcome = self.forge.merge(merge, now).await?;
        if let MergeOutcome::Refused { reason } = &outcome {
            // Its branch may have too little of its base by now.
            self.enough.remove(&(merge.number, merge.tip.clone()));
            let refused = Refused { at: now, tip: merge.tip.clone(), reason: reason.clone() };
            drop(self.refused.insert(merge.number, refused));
        }
        Ok(outcome)
    }

    async fn is_queued(&mut self, number: u64) -> Result<bool, PullError> {
        self.forge.is_queued(number).await
    }

    async fn dequeue(&mut self, number: u64, comment: &str) -> Result<DequeueOutcome, PullError> {
        self.refused.remove(&number);
        self.forge.dequeue(number, comment).await
    }

    async fn close(&mut self, number: u64, body: &str, comment: &str, now: Timestamp) -> Result<(), PullError> {
        self.open = None;
        self.forge.close(number, body, comment, now).await
    }

    async fn remind(&mut self, number: u64, text: &str) -> Result<(), PullError> {
        self.forge.comment_once(number, REMINDER, text).await?;
        self.reminded.insert(number);
        Ok(())
    }

    async fn take_label(&mut self, number: u64, label: &str, now: Timestamp) -> Result<(), PullError> {
        self.open = None;
        self.forge.take_label(number, label, now).await
    }
}
