//! The same as a Bitbucket Data Center with one repository: its paths, its JSON, its refusals.
//!
//! From Atlassian's documentation: every change names the version that was read, else it is 409; a push makes another
//! version; a change without reviewers removes them; reviewers who are none are 409, each with a sentence; a list goes on
//! at `nextPageStart` until `isLastPage`; times are milliseconds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::gitlab::id_of;
use super::{Answer, BOT, Logged, State, StubMerge, StubPull, words};

const NOW: i64 = 1_767_614_400_000;

fn refuse(status: u16, message: &str) -> Answer {
    let error = json!({ "context": null, "message": message, "exceptionName": "com.atlassian.bitbucket.Exception" });
    (status, Vec::new(), json!({ "errors": [error] }))
}

fn person(name: &str) -> Value {
    json!({ "name": name, "slug": name, "id": id_of(name), "displayName": name, "emailAddress": format!("{name}@example.com") })
}

fn names(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten().filter_map(|it| it["user"]["name"].as_str());
    all.map(str::to_owned).collect()
}

impl State {
    pub(super) fn center(&mut self, logged: &Logged, prefix: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        if logged.headers.get("authorization").is_none_or(|given| given.as_bytes() != bearer.as_bytes()) {
            return refuse(401, "Authentication failed. Please check your credentials and try again.");
        }
        let (path, query) = logged.target.split_once('?').unwrap_or((&logged.target, ""));
        let Some(path) = path.strip_prefix(prefix).and_then(|path| path.strip_prefix("/rest/")) else {
            return refuse(404, "null for uri");
        };
        if logged.method != "GET" && logged.headers.get("x-atlassian-token").is_none() {
            return refuse(403, "XSRF check failed");
        }
        let given: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let parts: Vec<&str> = path.split('/').collect();
        let full = self.shape.full_name();
        match parts.as_slice() {
            ["api", "1.0", "projects", key, "repos", slug, rest @ ..] if format!("{key}/{slug}") == full => {
                self.center_repository(logged, rest, &given)
            }
            ["default-reviewers", "1.0", "projects", ..] => {
                (200, Vec::new(), self.default_reviewers.iter().map(|name| person(name)).collect())
            }
            ["build-status", "1.0", "commits", hash] => {
                let status = |(key, word): (String, String)| {
                    let state = match word.as_str() {
                        "success" => "SUCCESSFUL",
                        "pending" => "INPROGRESS",
                        "error" | "failure" => "FAILED",
                        other => other,
                    };
                    json!({ "key": key, "state": state, "url": "https://ci.example.com" })
                };
                self.started(&given, self.outcomes(hash).into_iter().map(status).collect())
            }
            ["api", "1.0", "users"] => {
                let wanted = given.get("filter").map(String::as_str).unwrap_or_default();
                let own = self.collaborators.iter().map(|name| (name.clone(), "write".to_owned()));
                let mut all: BTreeMap<String, String> = own.collect();
                drop(all.insert(BOT.to_owned(), if self.push { "write" } else { "read" }.to_owned()));
                all.extend(self.judged.rights.clone());
                all.retain(|name, right| name.contains(wanted) && right != "read");
                self.started(&given, all.keys().map(|name| person(name)).collect())
            }
            _ => refuse(404, "null for uri"),
        }
    }

    fn center_repository(&mut self, logged: &Logged, rest: &[&str], given: &BTreeMap<String, String>) -> Answer {
        let number = rest.get(1).filter(|_| rest[0] == "pull-requests").and_then(|word| word.parse::<u64>().ok());
        if number.is_some_and(|number| self.pull(number).is_none()) {
            return refuse(404, "Pull request does not exist.");
        }
        match (logged.method.as_str(), rest, number) {
            ("GET", [], _) => {
                let body = json!({ "id": self.shape.id, "slug": self.shape.name, "project": { "key": self.shape.owner }, "archived": self.archived });
                (200, vec![("x-ausername", BOT.to_owned())], body)
            }
            ("GET", ["settings", "pull-requests"], _) => {
                let all: Vec<Value> = ["no-ff", "ff", "ff-only", "squash"]
                    .map(|id| json!({ "id": id, "enabled": self.center_strategies().contains(&id) }))
                    .into();
                (200, Vec::new(), json!({ "mergeConfig": { "strategies": all } }))
            }
            ("GET", ["pull-requests"], _) => self.center_list(given),
            ("POST", ["pull-requests"], _) => self.center_create(&logged.body),
            ("GET", ["pull-requests", _], Some(number)) => (200, Vec::new(), self.center_pull(number)),
            ("PUT", ["pull-requests", _], Some(number)) => self.center_change(number, &logged.body),
            ("POST", ["pull-requests", _, what @ ("decline" | "merge")], Some(number)) => {
                if let Some(tip) = self.slips_in.take() {
                    self.heads = Some(Box::new(move |_| Some(tip.clone())));
                }
                let version = given.get("version").and_then(|version| version.parse::<u64>().ok());
                assert!(version.is_some(), "a {what} without a version is of whatever is there");
                if version != Some(self.version(number)) {
                    return refuse(
                        409,
                        "You are attempting to modify a pull request based on out-of-date information.",
                    );
                }
                if *what == "merge" {
                    return self.center_merge(number, &logged.body);
                }
                self.pull_mut(number).unwrap().state = "closed";
                (200, Vec::new(), self.center_pull(number))
            }
            ("POST", ["pull-requests", _, "comments"], Some(number)) => {
                let text = logged.body["text"].as_str().unwrap_or_default().to_owned();
                self.comments.push((number, text.clone()));
                (201, Vec::new(), json!({ "id": self.comments.len(), "text": text }))
            }
            ("GET", ["pull-requests", _, "activities"], Some(number)) => {
                let all = self.center_activities(number);
                self.started(given, all)
            }
            ("GET", ["pull-requests", _, "commits"], Some(number)) => {
                let (writer, address) = self.writer();
                let who = json!({ "name": writer, "emailAddress": address, "id": id_of(writer) });
                let commit = |(id, message): (String, String)| json!({ "id": id, "message": message, "author": who, "committer": who });
                self.started(given, self.beyond(number).into_iter().map(commit).collect())
            }
            ("GET", ["commits"], _) => {
                let of = |key: &str| given.get(key).map(String::as_str).unwrap_or_default();
                let base = self.tip(of("until").trim_start_matches("refs/heads/"));
                let all = self.commits.as_ref().map(|commits| commits(&base, of("since"))).unwrap_or_default();
                self.started(given, all.iter().map(|(id, _)| json!({ "id": id })).collect())
            }
            _ => refuse(404, "null for uri"),
        }
    }

    /// Counts changes, and is another after each push.
    fn version(&self, number: u64) -> u64 {
        let pull = self.pull(number).unwrap();
        let changes = self.changes.get(&number).copied().unwrap_or_default();
        let tip = pull.tip.clone().unwrap_or_else(|| self.tip(&pull.head));
        changes * 10_000 + tip.bytes().map(u64::from).sum::<u64>()
    }

    /// A page of a list.
    fn started(&self, given: &BTreeMap<String, String>, all: Vec<Value>) -> Answer {
        let number = |key: &str, or: usize| given.get(key).and_then(|text| text.parse().ok()).unwrap_or(or);
        let (limit, start) = (number("limit", 25).clamp(1, 1000), number("start", 0));
        let is_last = start + limit >= all.len();
        let next = if is_last { Value::Null } else { json!(start + limit) };
        let page: Vec<Value> = all.into_iter().skip(start).take(limit).collect();
        let body = json!({ "size": page.len(), "limit": limit, "isLastPage": is_last, "values": page, "start": start, "nextPageStart": next });
        (200, Vec::new(), body)
    }

    fn center_strategies(&self) -> Vec<&'static str> {
        if self.judged.strict {
            return vec!["ff-only"];
        }
        let all = [("merge", "no-ff"), ("squash", "squash"), ("rebase", "ff-only")];
        all.into_iter().filter(|(method, _)| self.allowed(method)).map(|(_, strategy)| strategy).collect()
    }

    fn center_pull(&self, number: u64) -> Value {
        let pull = self.pull(number).unwrap();
        let state = match (pull.merged, pull.state) {
            (true, _) => "MERGED",
            (false, "open") => "OPEN",
            (false, _) => "DECLINED",
        };
        let tip = pull.tip.clone().unwrap_or_else(|| self.tip(&pull.head));
        let from = pull.fork.as_ref().map_or(self.shape.id, |(_, id)| id.unwrap_or(0));
        let end = |name: &str, tip: &str, id: u64| json!({ "id": format!("refs/heads/{name}"), "displayId": name, "latestCommit": tip, "repository": { "id": id } });
        let said = self.judged.standing(number);
        let of = |name: &str| {
            let found = said.iter().find(|(by, _, _)| by == name);
            let status = match found.map(|(_, word, _)| word.as_str()) {
                Some("APPROVED") => "APPROVED",
                Some("CHANGES_REQUESTED") => "NEEDS_WORK",
                _ => "UNAPPROVED",
            };
            let mut it =
                json!({ "user": person(name), "role": "REVIEWER", "approved": status == "APPROVED", "status": status });
            if let Some((_, _, tip)) = found {
                it["lastReviewedCommit"] = json!(tip);
            }
            it
        };
        let others = said.iter().map(|(by, _, _)| by).filter(|by| !pull.reviewers.contains(by));
        let mut value = json!({
            "id": number, "version": self.version(number), "title": pull.title, "state": state, "open": state == "OPEN",
            "draft": pull.draft, "fromRef": end(&pull.head, &tip, from), "toRef": end(&pull.base, &self.tip(&pull.base), self.shape.id),
            "reviewers": pull.reviewers.iter().map(|name| of(name)).collect::<Vec<_>>(),
            "participants": others.map(|name| of(name)).collect::<Vec<_>>(),
            "author": { "user": person(BOT) }, "createdDate": NOW, "updatedDate": NOW,
            "links": { "self": [{ "href": format!("https://bitbucket.example.com/projects/acme/repos/deploys/pull-requests/{number}") }] },
        });
        if let Some(body) = &pull.body {
            value["description"] = json!(body);
        }
        if state != "OPEN" {
            value["closedDate"] = json!(NOW);
        }
        if let Some(commit) = self.merge_commit(number).as_str() {
            value["properties"] = json!({ "mergeCommit": { "id": commit, "displayId": &commit[..7] } });
        }
        value
    }

    fn center_list(&self, given: &BTreeMap<String, String>) -> Answer {
        let has = |key: &str| given.get(key).map(String::as_str);
        let mut found: Vec<&StubPull> = self.pulls.iter().collect();
        found.retain(|pull| has("state") == Some("ALL") || pull.state == "open");
        if let Some(at) = has("at") {
            found.retain(|pull| format!("refs/heads/{}", pull.head) == at && pull.fork.is_none());
        }
        if has("order") != Some("OLDEST") {
            found.reverse();
        }
        self.started(given, found.into_iter().map(|pull| self.center_pull(pull.number)).collect())
    }

    fn center_create(&mut self, body: &Value) -> Answer {
        let branch =
            |end: &str| body[end]["id"].as_str().unwrap_or_default().trim_start_matches("refs/heads/").to_owned();
        let (head, base) = (branch("fromRef"), branch("toRef"));
        if self.heads.as_ref().is_some_and(|heads| heads(&head).is_none()) {
            return refuse(404, &format!("Repository does not contain {head}"));
        }
        let same =
            |pull: &&StubPull| (&pull.head, &pull.base, pull.state) == (&head, &base, "open") && pull.fork.is_none();
        if self.pulls.iter().any(|pull| same(&pull)) {
            return refuse(409, "Only one pull request may be open for a given source and target branch");
        }
        if let Some(refused) = self.center_refuses(&body["reviewers"]) {
            return refused;
        }
        let (title, draft) = (body["title"].as_str().unwrap_or_default(), body["draft"] == json!(true));
        let number = self.add(&head, &base, title, body["description"].as_str(), draft, None);
        self.pull_mut(number).unwrap().reviewers = names(&body["reviewers"]);
        (201, Vec::new(), self.center_pull(number))
    }

    fn center_refuses(&self, given: &Value) -> Option<Answer> {
        let unknown: Vec<String> = names(given).into_iter().filter(|name| !self.collaborators.contains(name)).collect();
        let errors: Vec<Value> = unknown
            .iter()
            .map(|name| json!({ "context": name, "message": format!("{name} is not a user.") }))
            .collect();
        let message = "Errors encountered while adding some reviewers to this pull request.";
        let body = json!({ "errors": [{ "message": message, "reviewerErrors": errors }] });
        (!unknown.is_empty()).then_some((409, Vec::new(), body))
    }

    fn center_change(&mut self, number: u64, body: &Value) -> Answer {
        if body["version"] != json!(self.version(number)) {
            return refuse(409, "You are attempting to modify a pull request based on out-of-date information.");
        }
        if let Some(refused) = self.center_refuses(&body["reviewers"]) {
            return refused;
        }
        if self.pull(number).unwrap().state != "open" {
            return refuse(409, "This pull request has already been closed.");
        }
        let asked = names(&body["reviewers"]);
        let there = self.pull(number).unwrap().reviewers.clone();
        let new: Vec<&String> = asked.iter().filter(|name| !there.contains(name)).collect();
        drop(self.reviewers(number, &json!({ "reviewers": new })));
        *self.changes.entry(number).or_default() += 1;
        let pull = self.pull_mut(number).unwrap();
        pull.reviewers = asked;
        pull.draft = body["draft"] == json!(true);
        pull.body = body["description"].as_str().map(str::to_owned);
        if let Some(title) = body["title"].as_str() {
            title.clone_into(&mut pull.title);
        }
        (200, Vec::new(), self.center_pull(number))
    }

    fn center_merge(&mut self, number: u64, body: &Value) -> Answer {
        let pull = self.pull(number).unwrap().clone();
        if pull.state != "open" {
            return refuse(409, "This pull request has already been closed.");
        }
        if pull.draft {
            return refuse(409, "This pull request is a draft.");
        }
        if let Some((status, said)) = &self.judged.rule {
            return refuse(*status, said);
        }
        let strategy = body["strategyId"].as_str().unwrap_or_default();
        if !self.center_strategies().contains(&strategy) || self.mergeable_state(&pull) == "behind" {
            return refuse(409, "The strategy cannot be used.");
        }
        let method = match strategy {
            "no-ff" => "merge",
            "squash" => "squash",
            _ => "rebase",
        };
        let text = body["message"].as_str();
        let (title, message) = text.map(|text| text.split_once('\n').unwrap_or((text, ""))).unzip();
        let (title, message) = (title.map(str::to_owned), message.map(str::to_owned));
        let tip = self.tip(&pull.head);
        let merge = StubMerge { number, head: pull.head, base: pull.base, method: method.to_owned(), title, message };
        match self.merged(merge) {
            Some(_) => {
                self.pull_mut(number).unwrap().tip = Some(tip);
                (200, Vec::new(), self.center_pull(number))
            }
            None => refuse(409, "merge conflict"),
        }
    }

    /// Newest first.
    fn center_activities(&self, number: u64) -> Vec<Value> {
        let mut all = vec![json!({ "action": "OPENED", "user": person(BOT), "createdDate": NOW })];
        for event in self.events.get(&number).into_iter().flatten() {
            let added: Vec<Value> =
                words(&json!([event["requested_reviewer"]["login"]])).iter().map(|name| person(name)).collect();
            all.push(
                json!({ "action": "UPDATED", "user": person(BOT), "addedReviewers": added, "removedReviewers": [] }),
            );
        }
        for (tip, by) in &self.judged.pushed {
            all.push(json!({ "action": "RESCOPED", "user": person(by), "fromHash": tip, "previousFromHash": "0".repeat(40) }));
        }
        let comments = self.comments.iter().filter(|(of, _)| *of == number);
        all.extend(comments.map(|(_, text)| json!({ "action": "COMMENTED", "commentAction": "ADDED", "user": person(BOT), "comment": { "text": text } })));
        all.reverse();
        all
    }
}
