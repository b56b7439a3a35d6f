//! How a pull request ends, and what its reviewers see: merging, closing, commenting, removing labels.
//!
//! Promise: a merge happens at exactly the commit and into the branch that were judged and respects the forge's own rules: nothing is
//! overridden, and a refusal by the forge (a branch rule, a moved head, a conflict, a merge queue) is a value with
//! its message, not an error. If an answer is lost, the outcome is looked up before anything is reported; if that fails too, it is the
//! first failure that is reported.

use super::Hosted;
use super::api::{Api, ForgePull};
use super::ensure::{fitting, is_same};
use crate::forge::error::{ForgeError, Problem};
use crate::model::{CommitId, DequeueOutcome, Merge, MergeMethod, MergeOutcome, PullState};

/// The refusal where somebody has pointed it at another base branch.
pub(in crate::forge) fn other_base(merge: &Merge, now: &str) -> MergeOutcome {
    let now = crate::model::one_line(now, 200);
    MergeOutcome::Refused { reason: format!("its base is now {now}, but it was judged for {}", merge.base) }
}

impl<A: Api> Hosted<A> {
    /// Merges a pull request at the commit that was judged: with the preferred method, or else with one that the
    /// repository allows.
    ///
    /// # Errors
    /// If it is unknown whether it was merged.
    pub async fn merge(&self, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        let _turn = self.writing.lock().await;
        self.in_time("merge a pull request", async {
            let there = self.api.one(merge.number).await?;
            if there.base() != merge.base.as_str() {
                return Ok(other_base(merge, there.base()));
            }
            match self.api.merge(merge).await {
                Err(error) => self.merged_meanwhile(merge, error).await,
                outcome => outcome,
            }
        })
        .await
    }

    /// Checks whether a merge whose answer was lost has happened; otherwise returns the error.
    async fn merged_meanwhile(&self, merge: &Merge, error: ForgeError) -> Result<MergeOutcome, ForgeError> {
        if !error.may_be_done() {
            return Err(error);
        }
        let Ok(there) = self.api.one(merge.number).await else { return Err(error) };
        let commit = there.merge_commits().find_map(|sha| CommitId::parse(sha).ok());
        match (self.model(there.clone())?.state, commit) {
            (PullState::Merged, Some(commit)) => self.api.merged_as(&there, merge, commit),
            _ => Err(error),
        }
    }

    /// Takes a pull request out of its merge queue and says why, unless somebody has put it back after the bot had done
    /// so.
    ///
    /// # Errors
    /// If it may still be there.
    pub async fn dequeue(&self, number: u64, comment: &str) -> Result<DequeueOutcome, ForgeError> {
        let _turn = self.writing.lock().await;
        self.in_time("take a pull request out of the merge queue", async {
            let outcome = self.api.dequeue(number).await?;
            if outcome == DequeueOutcome::Out {
                self.comment(number, comment).await?;
            }
            Ok(outcome)
        })
        .await
    }

    /// Closes a pull request and explains why in a comment; with `body`, its text is replaced in the same step. Does
    /// nothing if it is no longer open, and says nothing on one that was merged in the meantime.
    ///
    /// The comment is posted after closing and never twice: a crash in between loses the comment, not the closing. Where
    /// an answer is lost, what has happened is looked up.
    ///
    /// # Errors
    /// If it could not be closed, or was closed but the comment could not be posted; the error's text says which.
    pub async fn close(&self, number: u64, body: Option<&str>, comment: Option<&str>) -> Result<(), ForgeError> {
        let _turn = self.writing.lock().await;
        self.in_time("close a pull request", async {
            let there = self.api.one(number).await?;
            if self.model(there.clone())?.state != PullState::Open {
                return Ok(());
            }
            let body = body.map(|body| fitting(body, A::MAX_BODY));
            if let Err(error) = self.api.close(there, body.as_deref()).await
                && self.ended_meanwhile(number, error).await? == PullState::Merged
            {
                return Ok(());
            }
            match comment {
                Some(comment) => self.comment(number, comment).await,
                None => Ok(()),
            }
        })
        .await
    }

    /// How a pull request has ended although closing it failed: the answer was lost, or somebody else was faster. If it is
    /// still open, returns the error.
    async fn ended_meanwhile(&self, number: u64, error: ForgeError) -> Result<PullState, ForgeError> {
        // A request that is repeated because its answer was lost is refused for what is closed by then.
        if !error.may_be_done() && !matches!(error.problem, Problem::Rejected { .. }) {
            return Err(error);
        }
        match self.one(number).await {
            Ok(there) if there.state != PullState::Open => Ok(there.state),
            _ => Err(error),
        }
    }

    /// Whether a comment that contains this marker exists.
    ///
    /// # Errors
    /// If not all comments could be read.
    pub async fn has_comment(&self, number: u64, marker: &str) -> Result<bool, ForgeError> {
        self.in_time("read comments", async {
            Ok(self.api.comments(number).await?.iter().any(|text| text.contains(marker)))
        })
        .await
    }

    /// Posts a comment, unless one with this marker exists.
    ///
    /// # Errors
    /// If the comment may not be there.
    pub async fn comment_once(&self, number: u64, marker: &str, text: &str) -> Result<(), ForgeError> {
        let _turn = self.writing.lock().await;
        if self.has_comment(number, marker).await? {
            return Ok(());
        }
        self.in_time("write a comment", self.comment(number, &format!("{marker}\n{text}"))).await
    }

    /// Says something, unless the conversation is locked: then nobody wants to hear it there.
    async fn comment(&self, number: u64, text: &str) -> Result<(), ForgeError> {
        match self.api.client().tell(self.api.commenting(number, text)).await {
            Err(ForgeError { problem: Problem::Forbidden { message, .. }, .. }) if message.contains("locked") => {
                tracing::info!(number, "the conversation of the pull request is locked, so no comment is posted");
                Ok(())
            }
            Err(error) if error.may_be_done() => {
                let there = self.api.comments(number).await.unwrap_or_default();
                if there.iter().any(|there| is_same(there, text)) { Ok(()) } else { Err(error) }
            }
            said => said,
        }
    }

    /// Removes a label from a pull request.
    ///
    /// # Errors
    /// If the label may still be there.
    pub async fn take_label(&self, number: u64, label: &str) -> Result<(), ForgeError> {
        let _turn = self.writing.lock().await;
        self.in_time("remove a label", async {
            // A path that ends in dots would mean something else: all labels.
            if label.is_empty() || label.bytes().all(|b| b == b'.') {
                let problem = Problem::Settings("no label has this name".to_owned());
                return Err(self.api.client().error("DELETE a label", problem));
            }
            let Err(error) = self.api.remove_label(number, label).await else { return Ok(()) };
            // A label that is not on the pull request is answered with an error, as are many other cases.
            let is_on = self.one(number).await?.labels.iter().any(|on| on.eq_ignore_ascii_case(label));
            if is_on { Err(error) } else { Ok(()) }
        })
        .await
    }
}

/// The bot's own reason for not merging.
pub(in crate::forge) fn not_merged(reason: &str) -> MergeOutcome {
    MergeOutcome::Refused { reason: reason.to_owned() }
}

/// The refusal where the repository allows no merge method.
pub(in crate::forge) fn no_method() -> MergeOutcome {
    not_merged("the repository allows no merge method; allow one in its settings")
}

/// The forge's reason for not merging.
pub(in crate::forge) fn refused_by(forge: &str, words: &str) -> MergeOutcome {
    MergeOutcome::Refused { reason: format!("{forge} says: {words}") }
}

/// The forge's reason for not merging, as its answer to the merge gives it.
///
/// # Errors
/// If it is unknown whether it has merged.
pub(in crate::forge) fn refusal(forge: &str, error: ForgeError) -> Result<MergeOutcome, ForgeError> {
    match &error.problem {
        Problem::Forbidden { message, next } => Ok(refused_by(forge, &format!("{message}; next: {next}"))),
        Problem::Rejected { status: 400 | 405 | 406 | 409 | 422 | 423, message } => Ok(refused_by(forge, message)),
        _ => Err(error),
    }
}

/// Logs that a merge is made with another method than the preferred one.
pub(in crate::forge) fn tell_other(merge: &Merge, method: MergeMethod) {
    if let Some(wanted) = merge.method.filter(|wanted| *wanted != method) {
        tracing::warn!(number = merge.number, %wanted, %method, "the repository does not allow the preferred merge method");
    }
}
