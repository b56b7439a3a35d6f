//! Merging on GitHub: by itself, or by its merge queue.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::GitHubApi;
use super::queue::asks_for_queue;
use super::wire::{WireMerged, WireRepository};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{Ask, Merges, no_method, tell_other};
use crate::model::{Answer, BranchName, CommitId, DequeueOutcome, Merge, MergeMethod, MergeOutcome};

impl Merges for GitHubApi {
    async fn is_queued(&self, number: u64) -> Result<bool, ForgeError> {
        self.looks_queued(number).await
    }

    async fn queue(&self, base: &BranchName) -> Answer<BTreeSet<u64>> {
        self.queue_of(base).await
    }

    async fn dequeue(&self, number: u64) -> Result<DequeueOutcome, ForgeError> {
        self.take_out(number).await
    }

    async fn merge(&self, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        if self.has_enqueued(merge) {
            return self.enqueue(merge, String::new()).await;
        }
        let repository: WireRepository = self.api.ask(Ask::get("")).await?;
        let ways = merge.method.into_iter().chain(MergeMethod::ALL);
        let Some(method) = ways.into_iter().find(|method| repository.allows(*method)) else {
            return Ok(no_method());
        };
        tell_other(merge, method);
        let ask = Ask::put_once(format!("pulls/{}/merge", merge.number), body(merge, method));
        match self.api.ask::<WireMerged>(ask).await {
            Ok(merged) if merged.merged => match CommitId::parse(&merged.sha) {
                Ok(commit) => Ok(MergeOutcome::Merged { commit }),
                Err(error) => Err(self.api.nonsense("PUT merge", &error.to_string())),
            },
            Ok(refused) => Ok(MergeOutcome::Refused { reason: crate::model::one_line(&refused.message, 600) }),
            Err(error) => match refusal(&error) {
                Some(reason) if asks_for_queue(&reason) => self.enqueue(merge, reason).await,
                Some(reason) => Ok(MergeOutcome::Refused { reason }),
                None => Err(error),
            },
        }
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
