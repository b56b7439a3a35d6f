//! A merge queue: what GraphQL says of it, and what it does.

use landfall::daemon::Clock;
use serde_json::{Value, json};

use super::{Answer, ForgeStub, State, StubMerge, event, user};

/// Whether there is one, and what is in it.
#[derive(Default)]
pub(super) struct Queue {
    on: bool,
    entries: Vec<u64>,
    /// Everything that was ever put in.
    added: Vec<u64>,
}

impl Queue {
    /// Whether pull requests are merged by it alone.
    pub(super) fn merges(&self) -> bool {
        self.on
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.entries.contains(&number)
    }

    pub(super) fn add(&mut self, number: u64) {
        self.entries.push(number);
        self.added.push(number);
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.entries.retain(|entry| *entry != number);
    }

    pub(super) fn all(&self) -> &[u64] {
        &self.entries
    }
}

impl ForgeStub {
    /// From now on a queue merges, and nobody else.
    pub(crate) fn queue(&self) {
        self.state.lock().queue.on = true;
    }

    /// What was put into the queue, in order.
    pub(crate) fn enqueued(&self) -> Vec<u64> {
        self.state.lock().queue.added.clone()
    }

    /// What is in the queue now.
    pub(crate) fn queued(&self) -> Vec<u64> {
        self.state.lock().queue.entries.clone()
    }

    /// Somebody puts it in by hand.
    pub(crate) fn requeue(&self, number: u64, by: &str) {
        let mut state = self.state.lock();
        state.queue.entries.push(number);
        state.queue_event(number, "added_to_merge_queue", by);
    }

    /// The queue takes it out.
    pub(crate) fn unqueue(&self, number: u64) {
        let mut state = self.state.lock();
        state.queue.remove(number);
        state.queue_event(number, "removed_from_merge_queue", "github-merge-queue[bot]");
    }

    /// The queue merges what it has, as a squash with a message of its own.
    pub(crate) fn queue_merges(&self) {
        let mut state = self.state.lock();
        for number in std::mem::take(&mut state.queue.entries) {
            let pull = state.pull(number).unwrap().clone();
            let title = Some(format!("{} (#{number})", pull.title));
            let (head, base, method) = (pull.head, pull.base, "squash".to_owned());
            state.merged(StubMerge { number, head, base, method, title, message: None }).unwrap();
        }
    }
}

impl State {
    pub(super) fn graphql(&mut self, body: &Value) -> Answer {
        let (query, given) = (body["query"].as_str().unwrap_or_default(), &body["variables"]);
        if let Some(answer) = self.many(query, given) {
            return answer;
        }
        if query.contains("enqueuePullRequest") {
            let id = given["id"].as_str().unwrap_or_default();
            let number: u64 = id.trim_start_matches("PR_").parse().unwrap();
            let head = self.pull(number).unwrap().head.clone();
            if !self.queue.on {
                return errors("The base branch does not require a merge queue");
            }
            if given["tip"] != json!(self.tip(&head)) {
                return errors("Head branch was modified. Review and try again.");
            }
            self.queue.add(number);
            self.queue_event(number, "added_to_merge_queue", "landfall-bot");
            return data(&json!({ "enqueuePullRequest": { "mergeQueueEntry": self.entry(number) } }));
        }
        if query.contains("dequeuePullRequest") {
            let number: u64 = given["id"].as_str().unwrap().trim_start_matches("PR_").parse().unwrap();
            self.queue.remove(number);
            self.queue_event(number, "removed_from_merge_queue", "landfall-bot");
            return data(&json!({ "dequeuePullRequest": { "clientMutationId": null } }));
        }
        if query.contains("viewer") {
            return data(&json!({ "viewer": { "login": "landfall-bot" } }));
        }
        if query.contains("mergeQueue(") {
            let nodes: Vec<Value> =
                self.queue.entries.iter().map(|number| json!({ "pullRequest": { "number": number } })).collect();
            let page = json!({ "hasNextPage": false, "endCursor": null });
            let queue = self.queue.on.then(|| json!({ "entries": { "nodes": nodes, "pageInfo": page } }));
            return data(&json!({ "repository": { "mergeQueue": queue } }));
        }
        let number = given["number"].as_u64().unwrap_or_default();
        let Some(pull) = self.pull(number) else { return errors("Could not resolve to a PullRequest") };
        let state = if pull.merged { "MERGED" } else { pull.state };
        let merge = self.merge_commit(number).as_str().map(|oid| json!({ "oid": oid }));
        let entry = self.entry(number);
        data(&json!({ "repository": { "pullRequest": { "id": format!("PR_{number}"), "state": state.to_uppercase(),
            "mergeCommit": merge, "isInMergeQueue": !entry.is_null(), "mergeQueueEntry": entry } } }))
    }

    pub(super) fn queue_event(&mut self, number: u64, kind: &str, by: &str) {
        let now = Clock::system().now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let more = json!({ "created_at": now, "actor": user(&self.shape.api, by) });
        let event = event(&self.shape, kind, &more);
        self.events.entry(number).or_default().push(event);
    }

    fn entry(&self, number: u64) -> Value {
        let place = self.queue.entries.iter().position(|entry| *entry == number);
        place.map_or(Value::Null, |place| json!({ "position": place + 1 }))
    }
}

fn data(data: &Value) -> Answer {
    (200, Vec::new(), json!({ "data": data }))
}

fn errors(message: &str) -> Answer {
    (200, Vec::new(), json!({ "data": null, "errors": [{ "type": "UNPROCESSABLE", "message": message }] }))
}
