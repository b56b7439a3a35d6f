//! Merge queues: GitHub merges by itself, one after the other, with a commit of its own.
//!
//! Promise: a pull request is put into the queue once for each tip; what the queue or a person has taken out again is not put
//! back. A GitHub that knows no queues (an older Enterprise Server) has none; one that cannot be asked may have one.

use std::sync::PoisonError;

use serde::Deserialize;
use serde_json::json;

use super::GitHub;
use super::wire::WireEvent;
use crate::forge::error::{ForgeError, Problem};
use crate::model::{CommitId, Merge, MergeOutcome};

const LOOK: &str = "query($owner: String!, $name: String!, $number: Int!) { repository(owner: $owner, name: $name) { \
                    pullRequest(number: $number) { id state mergeCommit { oid } isInMergeQueue \
                    mergeQueueEntry { position } } } }";
const ENQUEUE: &str = "mutation($id: ID!, $tip: GitObjectID!) { enqueuePullRequest(input: { pullRequestId: $id, \
                       expectedHeadOid: $tip }) { mergeQueueEntry { position } } }";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireQueued {
    id: String,
    state: String,
    #[serde(default)]
    merge_commit: Option<WireOid>,
    is_in_merge_queue: bool,
    #[serde(default)]
    merge_queue_entry: Option<WireEntry>,
}

#[derive(Debug, Deserialize)]
struct WireOid {
    oid: String,
}

/// A place in a queue.
#[derive(Debug, Deserialize)]
struct WireEntry {
    position: u64,
}

#[derive(Debug, Deserialize)]
struct WireLook {
    repository: WireIn,
}

#[derive(Debug, Deserialize)]
struct WireIn {
    #[serde(rename = "pullRequest")]
    pull_request: WireQueued,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEnqueue {
    enqueue_pull_request: WireEnqueued,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEnqueued {
    #[serde(default)]
    merge_queue_entry: Option<WireEntry>,
}

/// Whether GitHub's words ask for the queue.
pub(super) fn asks_for_queue(words: &str) -> bool {
    words.to_ascii_lowercase().contains("merge queue")
}

impl GitHub {
    /// Whether a pull request is in a merge queue.
    ///
    /// # Errors
    /// When that is not known.
    pub async fn is_queued(&self, number: u64) -> Result<bool, ForgeError> {
        let looked = self.in_time("look into the merge queue", self.look(number)).await?;
        Ok(looked.is_some_and(|pull| pull.is_in_merge_queue))
    }

    /// `None` where this GitHub has no queues.
    async fn look(&self, number: u64) -> Result<Option<WireQueued>, ForgeError> {
        let (owner, name) = self.api.name();
        let asked = self.api.graphql(LOOK, json!({ "owner": owner, "name": name, "number": number })).await;
        match asked {
            Ok(WireLook { repository }) => Ok(Some(repository.pull_request)),
            Err(error) if knows_no_queue(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether this process has put it into the queue at this tip.
    pub(super) fn has_enqueued(&self, merge: &Merge) -> bool {
        let enqueued = self.enqueued.lock().unwrap_or_else(PoisonError::into_inner);
        enqueued.get(&merge.number) == Some(&merge.tip)
    }

    /// Lets the queue merge it, which GitHub's `words` ask for.
    pub(super) async fn enqueue(&self, merge: &Merge, words: String) -> Result<MergeOutcome, ForgeError> {
        let Some(pull) = self.look(merge.number).await? else { return Ok(MergeOutcome::Refused { reason: words }) };
        if pull.is_in_merge_queue {
            return Ok(queued(pull.merge_queue_entry));
        }
        let merged = pull.merge_commit.filter(|_| pull.state == "MERGED");
        if let Some(commit) = merged.and_then(|commit| CommitId::parse(&commit.oid).ok()) {
            return Ok(MergeOutcome::Merged { commit });
        }
        if self.has_enqueued(merge) || self.was_taken_out(merge.number).await? {
            let reason = "GitHub's merge queue no longer has it: something failed there, or somebody removed it; see its page, and add it again by hand";
            return Ok(MergeOutcome::Refused { reason: reason.to_owned() });
        }
        let asked = self.api.graphql(ENQUEUE, json!({ "id": pull.id, "tip": merge.tip.as_str() })).await;
        match asked {
            Ok(WireEnqueue { enqueue_pull_request }) => {
                let mut enqueued = self.enqueued.lock().unwrap_or_else(PoisonError::into_inner);
                enqueued.insert(merge.number, merge.tip.clone());
                Ok(queued(enqueue_pull_request.merge_queue_entry))
            }
            Err(ForgeError { problem: Problem::Refused(words), .. }) => {
                Ok(MergeOutcome::Refused { reason: format!("GitHub says: {words}") })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether it was in the queue since its branch was last made anew.
    async fn was_taken_out(&self, number: u64) -> Result<bool, ForgeError> {
        let events: Vec<WireEvent> = self.api.list(format!("issues/{number}/events?per_page=100")).await?;
        let newest = events.iter().rev().take_while(|event| event.event != "head_ref_force_pushed");
        Ok(newest.into_iter().any(|event| event.event == "removed_from_merge_queue"))
    }
}

fn queued(entry: Option<WireEntry>) -> MergeOutcome {
    let place = entry.map_or(String::new(), |entry| format!(", at place {}", entry.position));
    MergeOutcome::Queued { reason: format!("it is in GitHub's merge queue{place}") }
}

fn knows_no_queue(error: &ForgeError) -> bool {
    match &error.problem {
        Problem::NotFound { .. } => true,
        Problem::Refused(words) => words.contains("doesn't exist on type"),
        _ => false,
    }
}
