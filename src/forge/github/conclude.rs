//! How a pull request ends, and what its reviewers see: merging, closing, commenting, removing labels.
//!
//! Promise: a merge happens at exactly the commit that was judged and respects GitHub's own rules: nothing is
//! overridden, and a refusal by GitHub (a branch rule, a moved head, a conflict, a merge queue) is a value with
//! GitHub's message, not an error. If an answer is lost, the outcome is looked up before anything is reported.

use serde_json::{Value, json};
use url::form_urlencoded;

use super::GitHub;
use super::client::{Ask, Repeat};
use super::queue::asks_for_queue;
use super::wire::{WireComment, WireMerged, WirePull, WireRepository};
use crate::forge::error::{ForgeError, Problem};
use crate::model::{CommitId, Merge, MergeMethod, MergeOutcome, PullState};

impl GitHub {
    /// Merges a pull request at the commit that was judged: with the preferred method, or else with one that the
    /// repository allows.
    ///
    /// # Errors
    /// If it is unknown whether it was merged.
    pub async fn merge(&self, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        let _turn = self.writing.lock().await;
        self.in_time("merge a pull request", async {
            if self.has_enqueued(merge) {
                return self.enqueue(merge, String::new()).await;
            }
            let repository: WireRepository = self.api.ask(Ask::get("")).await?;
            let ways = merge.method.into_iter().chain(MergeMethod::ALL);
            let Some(method) = ways.into_iter().find(|method| repository.allows(*method)) else {
                let reason = "the repository allows no merge method; allow one in its settings";
                return Ok(MergeOutcome::Refused { reason: reason.to_owned() });
            };
            if let Some(wanted) = merge.method.filter(|wanted| *wanted != method) {
                tracing::warn!(number = merge.number, %wanted, %method, "the repository does not allow the preferred merge method");
            }
            let ask = Ask::put(format!("pulls/{}/merge", merge.number), body(merge, method));
            match self.api.ask::<WireMerged>(ask).await {
                Ok(merged) if merged.merged => match CommitId::parse(&merged.sha) {
                    Ok(commit) => Ok(MergeOutcome::Merged { commit }),
                    Err(error) => self.merged_meanwhile(merge.number, self.api.nonsense("PUT merge", &error.to_string())).await,
                },
                Ok(refused) => Ok(MergeOutcome::Refused { reason: crate::model::one_line(&refused.message, 600) }),
                Err(error) => match refusal(&error) {
                    Some(reason) if asks_for_queue(&reason) => self.enqueue(merge, reason).await,
                    Some(reason) => Ok(MergeOutcome::Refused { reason }),
                    None => self.merged_meanwhile(merge.number, error).await,
                },
            }
        })
        .await
    }

    /// Checks whether a merge whose answer was lost has happened; otherwise returns the error.
    async fn merged_meanwhile(&self, number: u64, error: ForgeError) -> Result<MergeOutcome, ForgeError> {
        if !(error.problem.may_pass() || matches!(error.problem, Problem::Protocol(_))) {
            return Err(error);
        }
        let pull: WirePull = self.api.ask(Ask::get(format!("pulls/{number}"))).await?;
        let commit = pull.merge_commit_sha.as_deref().and_then(|sha| CommitId::parse(sha).ok());
        match (self.model(pull)?.state, commit) {
            (PullState::Merged, Some(commit)) => Ok(MergeOutcome::Merged { commit }),
            _ => Err(error),
        }
    }

    /// Closes a pull request and explains why in a comment; with `body`, its text is replaced in the same step. Does
    /// nothing if it is no longer open.
    ///
    /// The comment is posted after closing and never twice: a crash in between loses the comment, not the closing.
    ///
    /// # Errors
    /// If it could not be closed, or was closed but the comment could not be posted; the error's text says which.
    pub async fn close(&self, number: u64, body: Option<&str>, comment: Option<&str>) -> Result<(), ForgeError> {
        let _turn = self.writing.lock().await;
        self.in_time("close a pull request", async {
            if self.one(number).await?.state != PullState::Open {
                return Ok(());
            }
            let mut change = json!({ "state": "closed" });
            if let Some(body) = body {
                change["body"] = json!(body);
            }
            self.api.tell(Ask::patch(format!("pulls/{number}"), change)).await?;
            match comment {
                Some(comment) => self.comment(number, comment).await,
                None => Ok(()),
            }
        })
        .await
    }

    /// Whether a comment that contains this marker exists.
    ///
    /// # Errors
    /// If not all comments could be read.
    pub async fn has_comment(&self, number: u64, marker: &str) -> Result<bool, ForgeError> {
        self.in_time("read comments", async {
            let comments: Vec<WireComment> = self.api.list(format!("issues/{number}/comments?per_page=100")).await?;
            Ok(comments.iter().any(|comment| comment.body.as_deref().is_some_and(|body| body.contains(marker))))
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
    pub(super) async fn comment(&self, number: u64, text: &str) -> Result<(), ForgeError> {
        let ask = Ask::post(format!("issues/{number}/comments"), json!({ "body": text }), Repeat::LookFirst);
        match self.api.tell(ask).await {
            Err(ForgeError { problem: Problem::Forbidden { message, .. }, .. }) if message.contains("locked") => {
                tracing::info!(number, "the conversation of the pull request is locked, so no comment is posted");
                Ok(())
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
                return Err(self.api.error("DELETE a label", Problem::Settings("no label has this name".to_owned())));
            }
            let encoded = form_urlencoded::byte_serialize(label.as_bytes()).collect::<String>().replace('+', "%20");
            let ask = Ask::delete(format!("issues/{number}/labels/{encoded}"));
            let Err(error) = self.api.tell(ask).await else { return Ok(()) };
            // GitHub answers 404 for a label that is not on the pull request, and in many other cases.
            let is_on = self.one(number).await?.labels.iter().any(|on| on.eq_ignore_ascii_case(label));
            if is_on { Err(error) } else { Ok(()) }
        })
        .await
    }
}

/// A squash uses the bot's own message: its trailers are the record of what was done. The other methods keep the bot's
/// commit, or its message.
fn body(merge: &Merge, method: MergeMethod) -> Value {
    let mut body = json!({ "sha": merge.tip.as_str(), "merge_method": method.as_str() });
    if method == MergeMethod::Squash {
        let (title, text) = merge.message.split_once('\n').unwrap_or((&merge.message, ""));
        body["commit_title"] = json!(format!("{} (#{})", title.trim(), merge.number));
        body["commit_message"] = json!(text.trim());
    }
    body
}

/// GitHub's reason for not merging, or not yet: a rule, a moved head, a conflict, no permission.
fn refusal(error: &ForgeError) -> Option<String> {
    match &error.problem {
        Problem::Rejected { status: 405 | 409 | 422, message } => Some(format!("GitHub says: {message}")),
        Problem::Forbidden { message, next } => Some(format!("GitHub says: {message}; next: {next}")),
        _ => None,
    }
}
