//! The same as Bitbucket Cloud with one repository: its paths, its JSON, its refusals.
//!
//! From Atlassian's documentation and from clients' workarounds: commits of pull requests have twelve digits; lists have no
//! reviewers unless asked for; a change without reviewers removes them; one reviewer who is none refuses them all (400,
//! "Malformed reviewers list"); a second pull request of the same branches is answered with the first; a merge takes no
//! commit to compare with; nothing but `next` says that a list goes on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::gitlab::time;
use super::{Answer, BOT, Logged, State, StubMerge, StubPull, decoded};

pub(super) fn refuse(status: u16, message: &str) -> Answer {
    (status, Vec::new(), json!({ "type": "error", "error": { "message": message } }))
}

/// An account; `null` is what Bitbucket says of one that was deleted, here called `gone`.
fn person(name: &str) -> Value {
    if name == "gone" {
        return Value::Null;
    }
    json!({ "uuid": format!("{{{name}}}"), "account_id": format!("557058:{name}"), "nickname": name, "display_name": name })
}

fn short(hash: &str) -> Value {
    json!({ "hash": hash[..hash.len().min(12)] })
}

fn fields(query: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// What stands between the first quotes after these words.
fn quoted<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    text.split_once(words)?.1.split('"').nth(1)
}

impl State {
    pub(super) fn bitbucket(&mut self, logged: &Logged, prefix: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        if logged.headers.get("authorization").is_none_or(|given| given.as_bytes() != bearer.as_bytes()) {
            return refuse(401, "Token is invalid, expired, or not supported for this endpoint.");
        }
        let (path, query) = logged.target.split_once('?').unwrap_or((&logged.target, ""));
        let Some(path) = path.strip_prefix(prefix).and_then(|path| path.strip_prefix("/2.0/")) else {
            return refuse(404, "Resource not found");
        };
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["repositories", owner, name, rest @ ..] if format!("{owner}/{name}") == self.shape.full_name() => {
                self.bitbucket_repository(logged, rest, query)
            }
            ["workspaces", _, "members"] => {
                let people = self.collaborators.iter().filter(|name| !name.contains('/'));
                let all = people.map(|name| json!({ "user": person(name) })).collect();
                self.valued(path, query, 100, all)
            }
            ["workspaces", _, "permissions", "repositories", _] => {
                if !self.admin {
                    return refuse(403, "Your credentials lack one or more required privilege scopes.");
                }
                let filter = fields(query).remove("q").unwrap_or_default();
                let name = quoted(&filter, "user.uuid=").unwrap_or_default().trim_matches(['{', '}']).to_owned();
                let own = self.collaborators.contains(&name).then_some("write");
                let right = self.judged.rights.get(&name).map(String::as_str).or(own);
                let all = right.map(|right| json!({ "permission": right, "user": person(&name) }));
                self.valued(path, query, 100, all.into_iter().collect())
            }
            _ => refuse(404, "Resource not found"),
        }
    }

    fn bitbucket_repository(&mut self, logged: &Logged, rest: &[&str], query: &str) -> Answer {
        let path = format!("repositories/{}/{}", self.shape.full_name(), rest.join("/"));
        let number = rest.get(1).filter(|_| rest[0] == "pullrequests").and_then(|word| word.parse::<u64>().ok());
        if number.is_some_and(|number| self.pull(number).is_none()) {
            return refuse(404, "There is no pull request with this id.");
        }
        let may_write = self.scopes.iter().any(|scope| scope == "pullrequest:write");
        if !may_write && logged.method != "GET" {
            let detail = json!({ "required": ["pullrequest:write"], "granted": self.scopes });
            let message = "Your credentials lack one or more required privilege scopes.";
            return (403, Vec::new(), json!({ "type": "error", "error": { "message": message, "detail": detail } }));
        }
        match (logged.method.as_str(), rest, number) {
            ("GET", [], _) => {
                let scopes = vec![("x-oauth-scopes", self.scopes.join(", "))];
                (200, scopes, json!({ "full_name": self.shape.full_name(), "uuid": "{repository}" }))
            }
            ("GET", ["pullrequests"], _) => self.bitbucket_list(&path, query),
            ("POST", ["pullrequests"], _) => self.bitbucket_create(&logged.body),
            ("GET", ["pullrequests", _], Some(number)) => (200, Vec::new(), self.bitbucket_pull(number)),
            ("PUT", ["pullrequests", _], Some(number)) => self.bitbucket_change(number, &logged.body),
            ("POST", ["pullrequests", _, "decline"], Some(number)) => {
                self.pull_mut(number).unwrap().state = "closed";
                (200, Vec::new(), self.bitbucket_pull(number))
            }
            ("POST", ["pullrequests", _, "merge"], Some(number)) => self.bitbucket_merge(number, &logged.body),
            ("POST", ["pullrequests", _, "comments"], Some(number)) => {
                let text = logged.body["content"]["raw"].as_str().unwrap_or_default().to_owned();
                self.comments.push((number, text.clone()));
                (201, Vec::new(), json!({ "id": self.comments.len(), "content": { "raw": text } }))
            }
            ("GET", ["pullrequests", _, "comments"], Some(number)) => {
                let all = self.comments.iter().filter(|(of, _)| *of == number);
                let all = all.map(|(_, text)| json!({ "content": { "raw": text } })).collect();
                self.valued(&path, query, 100, all)
            }
            ("GET", ["pullrequests", _, "activity"], Some(number)) => {
                let all = self.bitbucket_activity(number);
                self.valued(&path, query, 50, all)
            }
            ("GET", ["pullrequests", _, "commits"], Some(number)) => {
                let (writer, address) = self.writer();
                let author = json!({ "raw": format!("{writer} <{address}>"), "user": person(writer) });
                let commit =
                    |(hash, message): (String, String)| json!({ "hash": hash, "message": message, "author": author });
                self.valued(&path, query, 100, self.beyond(number).into_iter().map(commit).collect())
            }
            ("GET", ["effective-default-reviewers"], _) => {
                let all = self.default_reviewers.iter().map(|name| json!({ "user": person(name) })).collect();
                self.valued(&path, query, 100, all)
            }
            ("GET", rest, _) => self.bitbucket_git(&path, rest, query),
            _ => refuse(404, "Resource not found"),
        }
    }

    /// Branches and commits.
    fn bitbucket_git(&self, path: &str, rest: &[&str], query: &str) -> Answer {
        let branch = |name: &str| json!({ "name": name, "target": { "hash": self.tip(name) } });
        let mut names: Vec<&str> = self.pulls.iter().map(|pull| pull.head.as_str()).chain(["main"]).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| self.heads.as_ref().is_none_or(|heads| heads(name).is_some()));
        match rest {
            ["refs", "branches"] => {
                let filter = fields(query).remove("q").unwrap_or_default();
                let part = quoted(&filter, "name ~").unwrap_or_default();
                let all = names.into_iter().filter(|name| name.contains(part)).map(branch).collect();
                self.valued(path, query, 100, all)
            }
            ["refs", "branches", name] => match names.contains(&decoded(name).as_str()) {
                true => (200, Vec::new(), branch(&decoded(name))),
                false => refuse(404, "No such branch"),
            },
            ["commit", digits] => {
                let tips = self.pulls.iter().map(|pull| pull.tip.clone().unwrap_or_else(|| self.tip(&pull.head)));
                let reviewed = self.pulls.iter().flat_map(|pull| self.judged.reviews_of(pull.number));
                let reviewed = reviewed.map(|(_, _, tip)| tip.clone());
                let merged =
                    self.pulls.iter().filter_map(|pull| self.merge_commit(pull.number).as_str().map(str::to_owned));
                match tips.chain(reviewed).chain(merged).find(|hash| hash.starts_with(digits)) {
                    Some(hash) => (200, Vec::new(), json!({ "hash": hash })),
                    None => refuse(404, "Commit not found"),
                }
            }
            ["commit", hash, "statuses"] => {
                let status = |(key, word): (String, String)| {
                    let state = match word.as_str() {
                        "success" => "SUCCESSFUL",
                        "pending" => "INPROGRESS",
                        "error" | "failure" => "FAILED",
                        other => other,
                    };
                    json!({ "key": key, "name": key, "state": state, "url": "https://ci.example.com" })
                };
                self.valued(path, query, 100, self.outcomes(hash).into_iter().map(status).collect())
            }
            ["commits", base] => {
                let tip = fields(query).remove("exclude").unwrap_or_default();
                let all = self.commits.as_ref().map(|commits| commits(base, &tip)).unwrap_or_default();
                self.valued(path, query, 100, all.iter().map(|(hash, _)| json!({ "hash": hash })).collect())
            }
            _ => refuse(404, "Resource not found"),
        }
    }

    /// A page of a list, which says itself where it goes on.
    fn valued(&self, path: &str, query: &str, most: usize, all: Vec<Value>) -> Answer {
        let given: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let number = |key: &str, or: usize| {
            given.iter().find(|(name, _)| name == key).and_then(|(_, text)| text.parse().ok()).unwrap_or(or)
        };
        let (size, page) = (number("pagelen", 10), number("page", 1).max(1));
        if size > most {
            return refuse(400, "Invalid pagelen");
        }
        let mut body = json!({ "pagelen": size, "page": page });
        if page < all.len().div_ceil(size) {
            let mut next = url::form_urlencoded::Serializer::new(String::new());
            next.extend_pairs(given.iter().filter(|(name, _)| name != "page"))
                .append_pair("page", &(page + 1).to_string());
            body["next"] = json!(format!("{}/2.0/{path}?{}", self.shape.api, next.finish()));
        }
        body["values"] = all.into_iter().skip((page - 1) * size).take(size).collect();
        (200, Vec::new(), body)
    }

    fn strategies(&self) -> Vec<&'static str> {
        if self.judged.strict {
            return vec!["fast_forward"];
        }
        let all = [("merge", "merge_commit"), ("squash", "squash"), ("rebase", "fast_forward")];
        all.into_iter().filter(|(method, _)| self.allowed(method)).map(|(_, strategy)| strategy).collect()
    }

    fn bitbucket_simple(&self, pull: &StubPull) -> Value {
        let state = match (pull.merged, pull.state) {
            (true, _) => "MERGED",
            (false, "open") => "OPEN",
            (false, _) => "DECLINED",
        };
        let known = self.heads.as_ref().is_none_or(|heads| heads(&pull.head).is_some());
        let tip = pull.tip.clone().or_else(|| known.then(|| self.tip(&pull.head)));
        let source = match &pull.fork {
            None => json!({ "uuid": "{repository}" }),
            Some((_, Some(id))) => json!({ "uuid": format!("{{{id}}}") }),
            Some((_, None)) => Value::Null,
        };
        json!({
            "id": pull.number, "title": pull.title, "description": pull.body, "state": state, "draft": pull.draft,
            "source": { "branch": { "name": pull.head }, "commit": tip.map(|tip| short(&tip)), "repository": source },
            "destination": {
                "branch": { "name": pull.base, "merge_strategies": self.strategies() },
                "commit": short(&self.tip(&pull.base)), "repository": { "uuid": "{repository}" },
            },
            "merge_commit": self.merge_commit(pull.number).as_str().map(short),
            "links": { "html": { "href": format!("https://bitbucket.example.com/acme/deploys/pull-requests/{}", pull.number) } },
            "author": person(BOT), "created_on": "2026-01-05T12:00:00+00:00", "updated_on": pull.updated,
        })
    }

    fn bitbucket_pull(&self, number: u64) -> Value {
        let pull = self.pull(number).unwrap();
        let mut value = self.bitbucket_simple(pull);
        value["reviewers"] = pull.reviewers.iter().map(|name| person(name)).collect();
        let said = self.judged.standing(number).into_iter().map(|(by, word, _)| {
            let state = match word.as_str() {
                "APPROVED" => json!("approved"),
                "CHANGES_REQUESTED" => json!("changes_requested"),
                _ => Value::Null,
            };
            json!({ "user": person(&by), "role": "REVIEWER", "approved": word == "APPROVED", "state": state })
        });
        value["participants"] = said.collect();
        value
    }

    fn bitbucket_list(&self, path: &str, query: &str) -> Answer {
        let given: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let all =
            |key: &str| given.iter().filter(|(name, _)| name == key).map(|(_, text)| text.clone()).collect::<Vec<_>>();
        let (states, filter) = (all("state"), all("q").concat());
        let mut found: Vec<Value> = self.pulls.iter().map(|pull| self.bitbucket_simple(pull)).collect();
        found.retain(|pull| states.iter().any(|state| pull["state"] == json!(state)));
        if let Some(head) = quoted(&filter, "source.branch.name=") {
            found.retain(|pull| pull["source"]["branch"]["name"] == json!(head));
        }
        if let Some(base) = quoted(&filter, "destination.branch.name=") {
            found.retain(|pull| pull["destination"]["branch"]["name"] == json!(base));
        }
        if all("fields").concat().contains("+values.reviewers") {
            for pull in &mut found {
                let reviewers = &self.pull(pull["id"].as_u64().unwrap()).unwrap().reviewers;
                pull["reviewers"] = reviewers.iter().map(|name| person(name)).collect();
            }
        }
        if all("sort").concat().starts_with('-') {
            found.reverse();
        }
        self.valued(path, query, 50, found)
    }

    fn bitbucket_create(&mut self, body: &Value) -> Answer {
        let branch = |end: &str| body[end]["branch"]["name"].as_str().unwrap_or_default().to_owned();
        let (head, base) = (branch("source"), branch("destination"));
        if self.heads.as_ref().is_some_and(|heads| heads(&head).is_none()) {
            return refuse(400, "source: branch not found");
        }
        if let Some(refused) = self.refuses_reviewers(&body["reviewers"]) {
            return refused;
        }
        let same =
            |pull: &&StubPull| (&pull.head, &pull.base, pull.state) == (&head, &base, "open") && pull.fork.is_none();
        if let Some(there) = self.pulls.iter().find(same).map(|pull| pull.number) {
            return self.bitbucket_change(there, body);
        }
        let (title, draft) = (body["title"].as_str().unwrap_or_default(), body["draft"] == json!(true));
        let number = self.add(&head, &base, title, body["description"].as_str(), draft, None);
        self.pull_mut(number).unwrap().reviewers = uuids(&body["reviewers"]);
        (201, Vec::new(), self.bitbucket_pull(number))
    }

    fn refuses_reviewers(&self, given: &Value) -> Option<Answer> {
        let known = uuids(given).iter().all(|name| self.collaborators.contains(name));
        let error = json!({ "message": "Bad request", "fields": { "reviewers": ["Malformed reviewers list"] } });
        (!known).then(|| (400, Vec::new(), json!({ "type": "error", "error": error })))
    }

    fn bitbucket_change(&mut self, number: u64, body: &Value) -> Answer {
        if let Some(refused) = self.refuses_reviewers(&body["reviewers"]) {
            return refused;
        }
        if self.pull(number).unwrap().state != "open" {
            return refuse(400, "This pull request is already closed.");
        }
        let asked: Vec<String> = uuids(&body["reviewers"]);
        let there = self.pull(number).unwrap().reviewers.clone();
        let new: Vec<&String> = asked.iter().filter(|name| !there.contains(name)).collect();
        drop(self.reviewers(number, &json!({ "reviewers": new })));
        let pull = self.pull_mut(number).unwrap();
        pull.reviewers = asked;
        if let Some(title) = body["title"].as_str() {
            title.clone_into(&mut pull.title);
        }
        if let Some(text) = body["description"].as_str() {
            pull.body = Some(text.to_owned());
        }
        (200, Vec::new(), self.bitbucket_pull(number))
    }

    fn bitbucket_merge(&mut self, number: u64, body: &Value) -> Answer {
        if let Some(tip) = self.slips_in.take() {
            self.heads = Some(Box::new(move |_| Some(tip.clone())));
        }
        let pull = self.pull(number).unwrap().clone();
        if pull.state != "open" {
            return refuse(400, "This pull request is already closed.");
        }
        if pull.draft {
            return refuse(400, "This pull request is a draft.");
        }
        if let Some((status, words)) = &self.judged.rule {
            return refuse(*status, words);
        }
        let strategy = body["merge_strategy"].as_str().unwrap_or_default().to_owned();
        if !self.strategies().contains(&strategy.as_str()) || self.mergeable_state(&pull) == "behind" {
            return refuse(409, "This merge strategy cannot be used.");
        }
        let method = match strategy.as_str() {
            "merge_commit" => "merge",
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
                (200, Vec::new(), self.bitbucket_pull(number))
            }
            None => refuse(409, "merge conflict"),
        }
    }

    /// Newest first.
    fn bitbucket_activity(&self, number: u64) -> Vec<Value> {
        let pull = self.pull(number).unwrap();
        let update = |tip: &str, by: &str, at: usize, changes: Value| {
            let source = json!({ "branch": { "name": pull.head }, "commit": short(tip), "repository": { "uuid": "{repository}" } });
            json!({ "update": { "date": time(at), "author": person(by), "state": "OPEN", "source": source, "changes": changes } })
        };
        let versions = self.versions(number);
        let first = versions[0].0.clone();
        let mut all = Vec::new();
        for (tip, by, when) in versions {
            all.push(update(&tip, &by, when, json!({})));
            if tip == first {
                for event in self.events.get(&number).into_iter().flatten() {
                    if let Some(name) = event["requested_reviewer"]["login"].as_str() {
                        all.push(update(
                            &tip,
                            BOT,
                            when,
                            json!({ "reviewers": { "added": [person(name)], "removed": [] } }),
                        ));
                    }
                }
            }
            let given = self.judged.reviews_of(number).filter(|(_, word, of)| *of == tip && word == "APPROVED");
            all.extend(given.map(|(by, _, _)| json!({ "approval": { "date": time(when + 1), "user": person(by) } })));
        }
        all.extend(self.comments.iter().filter(|(of, _)| *of == number).map(|_| json!({ "comment": {} })));
        all.reverse();
        all
    }
}

fn uuids(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten().filter_map(|person| person["uuid"].as_str());
    all.map(|uuid| uuid.trim_matches(['{', '}']).to_owned()).collect()
}
