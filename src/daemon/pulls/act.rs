//! What the bot does to pull requests that are open: merge, close, remind, a label taken off.

use jiff::Timestamp;

use crate::message::REMINDER;
use crate::model::{CommitId, Merge, MergeOutcome};

use super::{Pulls, is_recent};
use crate::forge::PullError;

/// A merge that the forge refused.
#[derive(Debug)]
pub(super) struct Refused {
    at: Timestamp,
    tip: CommitId,
    reason: String,
}

impl Pulls {
    /// Merges at the judged commit. What the forge refused is not tried again for ten minutes: its rules ask for something
    /// that the bot cannot see, and a request every minute will not bring it.
    ///
    /// # Errors
    /// When it is not known whether it was merged.
    pub async fn merge(&mut self, merge: &Merge, now: Timestamp) -> Result<MergeOutcome, PullError> {
        self.refused.retain(|_, refused| is_recent(refused.at, now));
        if let Some(refused) = self.refused.get(&merge.number).filter(|refused| refused.tip == merge.tip) {
            return Ok(MergeOutcome::Refused { reason: refused.reason.clone() });
        }
        self.forget();
        let outcome = self.forge.merge(merge, now).await?;
        if let MergeOutcome::Refused { reason } = &outcome {
            let refused = Refused { at: now, tip: merge.tip.clone(), reason: reason.clone() };
            drop(self.refused.insert(merge.number, refused));
        }
        Ok(outcome)
    }

    /// Closes a pull request; its text becomes `body`, and `comment` is said where there are comments.
    ///
    /// # Errors
    /// When it could not be closed.
    pub async fn close(&mut self, number: u64, body: &str, comment: &str, now: Timestamp) -> Result<(), PullError> {
        self.forget();
        self.forge.close(number, body, comment, now).await
    }

    /// Writes the reminder of a pull request, once.
    ///
    /// # Errors
    /// When it is not known to be there.
    pub async fn remind(&mut self, number: u64, text: &str) -> Result<(), PullError> {
        self.forge.comment_once(number, REMINDER, text).await?;
        self.reminded.insert(number);
        Ok(())
    }

    /// Takes a label off.
    ///
    /// # Errors
    /// When it is not known to be off.
    pub async fn take_label(&mut self, number: u64, label: &str, now: Timestamp) -> Result<(), PullError> {
        self.forget();
        self.forge.take_label(number, label, now).await
    }

    /// What is remembered of open pull requests is about to change.
    fn forget(&mut self) {
        self.open = None;
    }
}
