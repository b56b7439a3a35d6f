//! What GraphQL says of many pull requests at once, from the same state that single questions are answered from.

use serde_json::{Map, Value, json};

use super::{Answer, ForgeStub, State, StubPull};

/// GitHub lets no query ask for more nodes than this.
const NODES: usize = 500_000;

impl ForgeStub {
    /// GraphQL is refused from now on.
    pub(crate) fn without_graphql(&self) {
        self.state.lock().no_graphql = true;
    }
}

impl State {
    /// The answer to a query about many, if it is one.
    pub(super) fn many(&self, query: &str, given: &Value) -> Option<Answer> {
        let mut found = Map::new();
        let mut nodes = 0;
        if query.contains("...judged") {
            for part in query.split("pullRequest(number: ").skip(1) {
                let number: u64 = part.split(')').next().unwrap().parse().unwrap();
                let pull = self.pull(number);
                found.insert(format!("p{number}"), pull.map_or(Value::Null, |pull| self.judged_in_graph(pull)));
                nodes += 1 + 50 + 1 + 100;
            }
        } else if query.contains("...pull ") {
            for at in 0.. {
                let Some(head) = given[format!("h{at}")].as_str() else { break };
                let all = self.pulls.iter().rev().filter(|pull| pull.head == head && given["base"] == *pull.base);
                let all: Vec<Value> = all.map(|pull| self.pull_in_graph(pull)).collect();
                let page = json!({ "hasNextPage": all.len() > 10 });
                let all: Vec<Value> = all.into_iter().take(10).collect();
                found.insert(format!("h{at}"), json!({ "pageInfo": page, "nodes": all }));
                nodes += 10 + 10 * 50;
            }
        } else {
            return None;
        }
        assert!(nodes < NODES, "GitHub refuses a query for {nodes} nodes");
        Some((200, Vec::new(), json!({ "data": { "repository": found } })))
    }

    fn judged_in_graph(&self, pull: &StubPull) -> Value {
        let tip = self.tip(&pull.head);
        let may = |login: &str| {
            let right = self.judged.rights.get(login).cloned();
            let own = self.collaborators.contains(login).then(|| "write".to_owned());
            right.or(own).is_some_and(|right| matches!(right.as_str(), "admin" | "maintain" | "write"))
        };
        let review = |(by, word, sha): &(String, String, String)| {
            let kind = if by.ends_with("[bot]") { "Bot" } else { "User" };
            json!({
                "author": { "login": by, "__typename": kind }, "authorCanPushToRepository": may(by), "state": word,
                "commit": { "oid": sha },
            })
        };
        let given: Vec<Value> = self.judged.reviews_of(pull.number).map(review).collect();
        let last = given.len().saturating_sub(50);
        let statuses = self.judged.statuses.get(&tip).into_iter().flatten().map(
            |(context, word)| json!({ "__typename": "StatusContext", "context": context, "state": word.to_uppercase() }),
        );
        let runs = self.judged.runs.get(&tip).into_iter().flatten().enumerate().map(|(at, (name, status, end))| {
            let end = end.as_ref().map(|end| end.to_uppercase());
            let suite = json!({ "databaseId": 5, "app": null });
            json!({
                "__typename": "CheckRun", "databaseId": at + 100, "name": name, "status": status.to_uppercase(),
                "conclusion": end, "checkSuite": suite,
            })
        });
        let contexts: Vec<Value> = statuses.chain(runs).collect();
        let page = json!({ "hasNextPage": contexts.len() > 100 });
        let rollup = json!({ "contexts": { "pageInfo": page, "nodes": contexts } });
        let rollup = if contexts.is_empty() { Value::Null } else { rollup };
        json!({
            "number": pull.number, "headRefOid": tip, "headRefName": pull.head,
            "mergeStateStatus": self.mergeable_state(pull).to_uppercase(),
            "reviews": { "pageInfo": { "hasPreviousPage": last > 0 }, "nodes": given[last..] },
            "commits": { "nodes": [{ "commit": { "oid": tip, "statusCheckRollup": rollup } }] },
        })
    }

    fn pull_in_graph(&self, pull: &StubPull) -> Value {
        let ended = (pull.state == "closed").then_some(pull.updated);
        let state = if pull.merged { "MERGED".to_owned() } else { pull.state.to_uppercase() };
        // In another order than the list has them.
        let labels: Vec<Value> = pull.labels.iter().rev().map(|name| json!({ "name": name })).collect();
        json!({
            "number": pull.number, "url": format!("https://github.example.com/{}/pull/{}", self.shape.full_name(), pull.number),
            "state": state, "title": pull.title, "body": pull.body.clone().unwrap_or_default(), "isDraft": pull.draft,
            "isCrossRepository": pull.fork.is_some(), "headRefName": pull.head, "baseRefName": pull.base,
            "headRefOid": pull.tip.clone().unwrap_or_else(|| self.tip(&pull.head)), "updatedAt": pull.updated,
            "closedAt": ended, "mergedAt": pull.merged.then_some(pull.updated), "labels": { "nodes": labels },
        })
    }
}
