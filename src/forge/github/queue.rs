//! Merge queues: GitHub merges by itself, one after the other, with a commit of its own.
//!
//! Promise: a pull request is put into the queue once for each tip; what the queue or a person has taken out again is not put
//! back, until its branch has another tip. What the bot took out for a hold, a freeze or a window it may put back, but
//! what a person put back stays.
//!
//! A GitHub that knows no queues (an older Enterprise Server), or a token that may not see them, has none: a branch must
//! not stay as it is for ever because nobody can be asked. `landfall doctor` says so. One that this process itself has
//! put into a queue may be there, and a GitHub that does not answer may have one.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::GitHubApi;
use super::wire::{WireEvent, WireGraph, WireUser};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{Ask, Repeat};
use crate::model::{Answer, BranchName, CommitId, DequeueOutcome, Merge, MergeOutcome};

const IS_QUEUED: &str = "query($owner: String!, $name: String!, $number: Int!) { repository(owner: $owner, name: $name) { \
                         pullRequest(number: $number) { isInMergeQueue } } }";
const LOOK: &str = "query($owner: String!, $name: String!, $number: Int!) { repository(owner: $owner, name: $name) { \
                    pullRequest(number: $number) { id state mergeCommit { oid } isInMergeQueue \
                    mergeQueueEntry { position } } } }";
const QUEUE: &str = "query($owner: String!, $name: String!, $branch: String, $after: String) { repository(owner: $owner, \
                     name: $name) { mergeQueue(branch: $branch) { entries(first: 100, after: $after) { nodes { \
                     pullRequest { number } } pageInfo { hasNextPage endCursor } } } } }";
const VIEWER: &str = "query { viewer { login } }";
const ENQUEUE: &str = "mutation($id: ID!, $tip: GitObjectID!) { enqueuePullRequest(input: { pullRequestId: $id, \
                       expectedHeadOid: $tip }) { mergeQueueEntry { position } } }";
const DEQUEUE: &str = "mutation($id: ID!) { dequeuePullRequest(input: { id: $id }) { clientMutationId } }";
/// How many pages of a queue are read: a queue holds some dozens.
const PAGES: usize = 10;

const ADDED: &str = "added_to_merge_queue";
const REMOVED: &str = "removed_from_merge_queue";

/// What of a pull request may be read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireQueued {
    id: Option<String>,
    state: Option<String>,
    merge_commit: Option<WireOid>,
    is_in_merge_queue: Option<bool>,
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
    repository: Option<WireIn>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireIn {
    #[serde(default)]
    pull_request: Option<WireQueued>,
    #[serde(default)]
    merge_queue: Option<WireQueue>,
}

#[derive(Debug, Deserialize)]
struct WireQueue {
    entries: WireEntries,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEntries {
    nodes: Vec<Option<WireEntryOf>>,
    page_info: WirePage,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePage {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEntryOf {
    pull_request: Option<WireNumber>,
}

#[derive(Debug, Deserialize)]
struct WireNumber {
    number: u64,
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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDequeue {
    #[serde(rename = "dequeuePullRequest")]
    _done: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct WireViewer {
    viewer: WireUser,
}

/// Whether GitHub's words ask for the queue.
pub(super) fn asks_for_queue(words: &str) -> bool {
    words.to_ascii_lowercase().contains("merge queue")
}

impl GitHubApi {
    pub(super) async fn looks_queued(&self, number: u64) -> Result<bool, ForgeError> {
        match self.pull_in_queue(IS_QUEUED, number).await {
            Ok((pull, refused)) => match (pull.is_in_merge_queue, refused) {
                (Some(queued), _) => Ok(queued),
                (None, Some(refused)) if self.may_be_queued(number) => Err(refused),
                (None, _) => Ok(false),
            },
            Err(error) if knows_no_queue(&error) && !self.may_be_queued(number) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn queue_of(&self, base: &BranchName) -> Answer<BTreeSet<u64>> {
        match self.read_queue(Some(base)).await {
            Ok(Some(queued)) => Answer::Known(queued),
            Ok(None) => Answer::Absent { message: format!("{base} has no merge queue") },
            Err(error) if knows_no_queue(&error) => Answer::Absent { message: error.to_string() },
            Err(error) => Answer::Failed { message: error.to_string(), code: error.code(), last: None },
        }
    }

    /// For `landfall doctor`: what follows if queues cannot be read.
    pub(super) async fn queue_words(&self) -> Option<String> {
        match self.read_queue(None).await {
            Ok(Some(_)) => Some("the default branch has a merge queue".to_owned()),
            Ok(None) => None,
            Err(error) => {
                Some(format!("merge queues cannot be read, so that the bot assumes that there are none: {error}"))
            }
        }
    }

    /// Sends a GraphQL query; a mutation is never repeated without checking first. Data that is complete enough counts,
    /// whatever else was refused, and comes with what was.
    async fn graphql<T: DeserializeOwned>(
        &self,
        query: &str,
        variables: Value,
    ) -> Result<(T, Option<ForgeError>), ForgeError> {
        let repeat = if query.starts_with("query") { Repeat::Harmless } else { Repeat::LookFirst };
        let ask = Ask::post("graphql", json!({ "query": query, "variables": variables }), repeat);
        // On an Enterprise Server it is next to the REST API's version: `/api/graphql`.
        let prefix = self.api.prefix();
        let route = format!("{}/graphql", prefix.strip_suffix("/v3").unwrap_or(prefix));
        let WireGraph { data, errors } = self.api.ask_at(ask, &route).await?;
        let refused = errors.first().map(|error| {
            let message = self.api.clean(&error.message);
            let problem = match error.kind.as_str() {
                "RATE_LIMITED" => Problem::RateLimited { status: 200, message, after: None },
                _ => Problem::Refused(message),
            };
            self.api.error("POST graphql", problem)
        });
        match (serde_json::from_value(data), refused) {
            (Ok(data), refused) => Ok((data, refused)),
            (Err(_), Some(refused)) => Err(refused),
            (Err(error), None) => Err(self.api.nonsense("POST graphql", &error.to_string())),
        }
    }

    /// `None` where the base, else the default branch, has no queue.
    async fn read_queue(&self, base: Option<&BranchName>) -> Result<Option<BTreeSet<u64>>, ForgeError> {
        let (mut queued, mut after) = (BTreeSet::new(), None::<String>);
        for _ in 0..PAGES {
            let more = json!({ "branch": base.map(BranchName::as_str), "after": after });
            let (WireLook { repository }, refused) = self.in_repository(QUEUE, more).await?;
            let Some(WireQueue { entries }) = repository.and_then(|it| it.merge_queue) else {
                return refused.map_or(Ok(None), Err);
            };
            let numbers = entries.nodes.into_iter().flatten().filter_map(|entry| entry.pull_request);
            queued.extend(numbers.map(|pull| pull.number));
            after = entries.page_info.end_cursor.filter(|_| entries.page_info.has_next_page);
            if after.is_none() {
                return Ok(Some(queued));
            }
        }
        let limit = PAGES * 100;
        Err(self.api.nonsense("POST graphql", &format!("the merge queue has more than {limit} pull requests")))
    }

    /// Takes a pull request out of its queue, unless somebody has put it back after the bot had done so.
    pub(super) async fn take_out(&self, number: u64) -> Result<DequeueOutcome, ForgeError> {
        let (pull, _) = self.pull_in_queue(LOOK, number).await?;
        let (Some(true), Some(id)) = (pull.is_in_merge_queue, pull.id) else { return Ok(DequeueOutcome::NotThere) };
        if let Some(by) = self.put_back(number).await? {
            return Ok(DequeueOutcome::PutBack { by });
        }
        let _done: (WireDequeue, _) = self.graphql(DEQUEUE, json!({ "id": id })).await?;
        self.enqueued.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        let (after, _) = self.pull_in_queue(IS_QUEUED, number).await?;
        if after.is_in_merge_queue == Some(true) {
            return Err(self.api.nonsense("dequeuePullRequest", "it says that this is done, and it is not"));
        }
        Ok(DequeueOutcome::Out)
    }

    /// What of a pull request could be read, and what was refused.
    async fn pull_in_queue(&self, query: &str, number: u64) -> Result<(WireQueued, Option<ForgeError>), ForgeError> {
        let (WireLook { repository }, refused) = self.in_repository(query, json!({ "number": number })).await?;
        Ok((repository.and_then(|it| it.pull_request).unwrap_or_default(), refused))
    }

    pub(super) async fn in_repository<T: DeserializeOwned>(
        &self,
        query: &str,
        mut variables: Value,
    ) -> Result<(T, Option<ForgeError>), ForgeError> {
        let full = self.api.name();
        let (owner, name) = full.split_once('/').unwrap_or((&full, ""));
        (variables["owner"], variables["name"]) = (json!(owner), json!(name));
        self.graphql(query, variables).await
    }

    /// Whether this process has put it into the queue at this tip.
    pub(super) fn has_enqueued(&self, merge: &Merge) -> bool {
        let enqueued = self.enqueued.lock().unwrap_or_else(PoisonError::into_inner);
        enqueued.get(&merge.number) == Some(&merge.tip)
    }

    fn may_be_queued(&self, number: u64) -> bool {
        self.enqueued.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&number)
    }

    /// Lets the queue merge it, which GitHub's `words` ask for.
    pub(super) async fn enqueue(&self, merge: &Merge, words: String) -> Result<MergeOutcome, ForgeError> {
        let looked = match self.pull_in_queue(LOOK, merge.number).await {
            Ok((pull, refused)) => pull.id.clone().map(|id| (pull, id)).ok_or(refused),
            Err(error) if knows_no_queue(&error) => Err(Some(error)),
            Err(error) => return Err(error),
        };
        let (pull, id) = match looked {
            Ok(looked) => looked,
            Err(refused) => {
                let why = refused.map_or(String::new(), |error| format!("; its merge queue cannot be read: {error}"));
                return Ok(MergeOutcome::Refused { reason: format!("{words}{why}") });
            }
        };
        if pull.is_in_merge_queue == Some(true) {
            return Ok(queued(pull.merge_queue_entry));
        }
        let merged = pull.merge_commit.filter(|_| pull.state.as_deref() == Some("MERGED"));
        if let Some(commit) = merged.and_then(|commit| CommitId::parse(&commit.oid).ok()) {
            return Ok(MergeOutcome::Merged { commit });
        }
        if self.has_enqueued(merge) || self.was_taken_out(merge).await? {
            let reason = "GitHub's merge queue no longer has it: something failed there, or somebody removed it; see its page, and add it again by hand";
            return Ok(MergeOutcome::Refused { reason: reason.to_owned() });
        }
        let asked: Result<(WireEnqueue, _), _> =
            self.graphql(ENQUEUE, json!({ "id": id, "tip": merge.tip.as_str() })).await;
        match asked {
            Ok((WireEnqueue { enqueue_pull_request }, _)) => {
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

    async fn events(&self, number: u64) -> Result<Vec<WireEvent>, ForgeError> {
        self.api.list(format!("issues/{number}/events?per_page=100")).await
    }

    /// Whether somebody else has taken it out of the queue since its branch got this tip.
    async fn was_taken_out(&self, merge: &Merge) -> Result<bool, ForgeError> {
        let events = self.events(merge.number).await?;
        // A branch may also have moved without force.
        let later = |event: &&WireEvent| {
            event.event != "head_ref_force_pushed"
                && event.at().is_none_or(|at| at.as_second() >= merge.made.as_second())
        };
        let removed: Vec<&WireEvent> =
            events.iter().rev().take_while(later).filter(|event| event.event == REMOVED).collect();
        if removed.is_empty() {
            return Ok(false);
        }
        let me = self.login().await;
        Ok(removed.into_iter().any(|event| !is_by(event, me.as_deref())))
    }

    /// Who has put it into the queue after the bot had taken it out.
    async fn put_back(&self, number: u64) -> Result<Option<String>, ForgeError> {
        let events = self.events(number).await?;
        let mut newest = events.iter().rev().take_while(|event| event.event != "head_ref_force_pushed");
        let Some(added) = newest.by_ref().find(|event| event.event == ADDED) else { return Ok(None) };
        let Some(removed) = newest.find(|event| event.event == REMOVED) else { return Ok(None) };
        let me = self.login().await;
        let again = is_by(removed, me.as_deref()) && !is_by(added, me.as_deref());
        Ok(added.actor.as_ref().filter(|_| again).map(|actor| crate::model::one_line(&actor.login, 100)))
    }

    /// The account that the token belongs to; `None` if that cannot be asked.
    async fn login(&self) -> Option<String> {
        let mut login = self.login.lock().await;
        if login.is_none() {
            let asked: Result<(WireViewer, _), _> = self.graphql(VIEWER, json!({})).await;
            match asked {
                Ok((WireViewer { viewer }, _)) => *login = Some(viewer.login),
                Err(error) => tracing::debug!(%error, "it is unknown whose the token is"),
            }
        }
        login.clone()
    }
}

/// Whether an account did it; the one of an App has a suffix in some answers.
fn is_by(event: &WireEvent, login: Option<&str>) -> bool {
    let plain = |login: &str| login.trim_end_matches("[bot]").to_ascii_lowercase();
    matches!((&event.actor, login), (Some(actor), Some(login)) if plain(&actor.login) == plain(login))
}

fn queued(entry: Option<WireEntry>) -> MergeOutcome {
    let place = entry.map_or(String::new(), |entry| format!(", at place {}", entry.position));
    MergeOutcome::Queued { reason: format!("it is in GitHub's merge queue{place}") }
}

/// Whether GitHub has no queues, or does not let this token see them.
fn knows_no_queue(error: &ForgeError) -> bool {
    matches!(error.problem, Problem::NotFound { .. } | Problem::Forbidden { .. } | Problem::Refused(_))
}
