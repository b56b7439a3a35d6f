//! The same as a GitLab with one project: its paths, its JSON, its refusals.
//!
//! From GitLab's documentation of its REST API: a second open merge request of one branch is 409, a head that moved is
//! 409, what cannot be merged is 405, a token without the scope is 403 `insufficient_scope`, and messages come as text,
//! list or object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Logged, State, StubMerge, StubPull, TIME, decoded, page_of};

/// The id of a user or label, which is made from its name.
pub(super) fn id_of(name: &str) -> u64 {
    name.bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003)
}

fn refuse(status: u16, message: &Value) -> Answer {
    (status, Vec::new(), json!({ "message": message }))
}

fn person(name: &str) -> Value {
    json!({ "id": id_of(name), "username": name, "name": name, "state": "active" })
}

/// A time so many half minutes after the beginning.
pub(super) fn time(halves: usize) -> String {
    let seconds = halves * 30;
    format!("2026-01-05T12:{:02}:{:02}.000Z", seconds / 60, seconds % 60)
}

impl State {
    pub(super) fn gitlab(&mut self, logged: &Logged, prefix: &str) -> Answer {
        let given = logged.headers.get("private-token");
        if given.is_none_or(|given| given.as_bytes() != self.token.as_bytes()) {
            return refuse(401, &json!("401 Unauthorized"));
        }
        let (path, query) = logged.target.split_once('?').unwrap_or((&logged.target, ""));
        let Some(path) = path.strip_prefix(prefix).and_then(|path| path.strip_prefix("/api/v4/")) else {
            return (404, Vec::new(), json!({ "error": "404 Not Found" }));
        };
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["personal_access_tokens", "self"] => {
                let token = json!({ "id": 1, "active": true, "revoked": false, "scopes": self.scopes, "expires_at": "2027-01-31" });
                (200, Vec::new(), token)
            }
            ["user"] => (200, Vec::new(), person("landfall-bot")),
            ["users"] => {
                let asked = query.strip_prefix("username=").map(decoded).unwrap_or_default();
                let found = self.collaborators.iter().filter(|name| name.eq_ignore_ascii_case(&asked));
                (200, Vec::new(), found.map(|name| person(name)).collect())
            }
            ["projects", name, rest @ ..] => self.gitlab_project(logged, &decoded(name), rest, query),
            _ => (404, Vec::new(), json!({ "error": "404 Not Found" })),
        }
    }

    fn gitlab_project(&mut self, logged: &Logged, name: &str, rest: &[&str], query: &str) -> Answer {
        let full = self.shape.full_name();
        let former = self.former.as_ref().map(|(owner, name)| format!("{owner}/{name}"));
        if former.as_deref() == Some(name) {
            return self.gitlab_moved(logged, rest, query);
        }
        if name != full && name != self.shape.id.to_string() {
            return refuse(404, &json!("404 Project Not Found"));
        }
        if !self.scopes.iter().any(|scope| scope == "api") && logged.method != "GET" {
            let error = json!({ "error": "insufficient_scope", "error_description": "The request requires higher privileges than provided by the access token.", "scope": "api" });
            return (403, Vec::new(), error);
        }
        let number = rest.iter().find_map(|word| word.parse::<u64>().ok()).filter(|_| rest[0].starts_with("merge"));
        if number.is_some_and(|number| self.pull(number).is_none()) {
            return refuse(404, &json!("404 Not found"));
        }
        match (logged.method.as_str(), rest, number) {
            ("GET", [], _) => (200, Vec::new(), self.gitlab_settings()),
            ("GET", ["merge_requests"], _) => self.gitlab_list(query),
            ("POST", ["merge_requests"], _) => self.gitlab_create(&logged.body),
            ("GET", ["merge_requests", _], Some(number)) => {
                let mut one = self.merge_request(self.pull(number).unwrap());
                if query.contains("include_diverged_commits_count=true") {
                    let behind = self.mergeable_state(self.pull(number).unwrap()) == "behind";
                    one["diverged_commits_count"] = json!(u8::from(behind));
                }
                one["head_pipeline"] = self.head_pipeline.clone();
                (200, Vec::new(), one)
            }
            ("PUT", ["merge_requests", _], Some(number)) => self.gitlab_change(number, &logged.body),
            ("PUT", ["merge_requests", _, "merge"], Some(number)) => self.gitlab_merge(number, &logged.body),
            ("GET", ["merge_requests", _, what], Some(number)) => self.gitlab_part(number, what, query),
            ("POST", ["merge_requests", _, "notes"], Some(number)) => {
                let text = logged.body["body"].as_str().unwrap_or_default().to_owned();
                self.comments.push((number, text.clone()));
                (201, Vec::new(), json!({ "id": self.comments.len(), "body": text, "system": false }))
            }
            ("GET", ["merge_trains", "merge_requests", _], Some(number)) => match self.queue.has(number) {
                true => (200, Vec::new(), json!({ "id": 1, "status": "fresh" })),
                false => refuse(404, &json!("404 Not Found")),
            },
            ("POST", ["merge_trains", "merge_requests", _], Some(number)) => {
                let tip = self.tip(&self.pull(number).unwrap().head);
                if logged.body["sha"] != json!(tip) {
                    return refuse(409, &json!("SHA does not match HEAD of source branch"));
                }
                self.queue.add(number);
                self.queue_event(number, "added_to_merge_queue", "landfall-bot");
                (201, Vec::new(), json!([]))
            }
            ("GET", ["merge_trains", _], _) if self.queue.merges() => {
                let car = |number: &u64| json!({ "id": 1, "status": "fresh", "merge_request": { "iid": number } });
                (200, Vec::new(), self.queue.all().iter().map(car).collect())
            }
            ("POST", ["merge_requests", _, "cancel_merge_when_pipeline_succeeds"], Some(number)) => {
                self.queue.remove(number);
                self.queue_event(number, "removed_from_merge_queue", "landfall-bot");
                (201, Vec::new(), self.merge_request(self.pull(number).unwrap()))
            }
            ("GET", rest, _) => self.gitlab_about(rest, query),
            _ => (404, Vec::new(), json!({ "error": "404 Not Found" })),
        }
    }

    /// What is known of people, pushes and commits.
    fn gitlab_about(&self, rest: &[&str], query: &str) -> Answer {
        let path = format!("api/v4/projects/{}/{}", self.shape.id, rest.join("/"));
        match rest {
            ["members", "all", id] => self.gitlab_member(id),
            ["events"] => {
                let push = |(tip, by): &(String, String)| json!({ "action_name": "pushed to", "author_username": by, "push_data": { "commit_to": tip, "ref_type": "branch" } });
                page_of(&self.shape.api, &path, query, "per_page", 100, self.judged.pushed.iter().map(push).collect())
            }
            ["repository", "commits", sha, "statuses"] => {
                let all = self.outcomes(sha).into_iter();
                let all = all.enumerate().map(|(at, (name, word))| {
                    let word = match word.as_str() {
                        "error" | "failure" => "failed",
                        other => other,
                    };
                    json!({ "id": at, "name": name, "status": word, "allow_failure": false, "sha": sha })
                });
                page_of(&self.shape.api, &path, query, "per_page", 100, all.collect())
            }
            ["repository", "commits", sha, "merge_requests"] => {
                let about = self.pulls.iter().filter(|pull| pull.state == "open" && self.tip(&pull.head) == **sha);
                (200, Vec::new(), about.map(|pull| self.merge_request(pull)).collect())
            }
            ["repository", "branches", name] => (
                200,
                Vec::new(),
                json!({ "name": decoded(name), "protected": self.protected, "developers_can_merge": false }),
            ),
            ["pipelines"] => (200, Vec::new(), json!(self.pipelines)),
            _ => (404, Vec::new(), json!({ "error": "404 Not Found" })),
        }
    }

    /// Where the project is now.
    fn gitlab_moved(&self, logged: &Logged, rest: &[&str], query: &str) -> Answer {
        if logged.method != "GET" {
            return refuse(405, &json!("Non GET methods are not allowed for moved projects"));
        }
        let below: String = rest.iter().map(|word| format!("/{word}")).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        let target = format!("{}/api/v4/projects/{}{below}{query}", self.shape.api, self.shape.id);
        (301, vec![("location", target)], json!({ "message": "Moved" }))
    }

    fn gitlab_settings(&self) -> Value {
        let method = if self.allowed("merge") { "merge" } else { "ff" };
        let squash = match (self.allowed("squash"), self.allowed("merge") || self.allowed("rebase")) {
            (false, _) => "never",
            (true, false) => "always",
            (true, true) => "default_off",
        };
        json!({
            "id": self.shape.id, "path_with_namespace": self.shape.full_name(), "archived": self.archived, "default_branch": "main",
            "merge_requests_access_level": "enabled", "merge_method": method, "squash_option": squash,
            "permissions": { "project_access": { "access_level": if self.push { 30 } else { 20 } }, "group_access": null },
            "merge_trains_enabled": self.queue.merges(),
        })
    }

    fn merge_request(&self, pull: &StubPull) -> Value {
        let state = match (pull.merged, pull.state) {
            (true, _) => "merged",
            (false, "open") => "opened",
            (false, other) => other,
        };
        let source = pull.fork.as_ref().map_or(Some(self.shape.id), |(_, id)| *id);
        let title = if pull.draft { format!("Draft: {}", pull.title) } else { pull.title.clone() };
        let tip = pull.tip.clone().unwrap_or_else(|| self.tip(&pull.head));
        let status = match self.mergeable_state(pull) {
            _ if pull.state != "open" => "not_open",
            _ if pull.draft => "draft_status",
            "behind" => "need_rebase",
            _ => self.merge_status.as_deref().unwrap_or("mergeable"),
        };
        json!({
            "id": 1000 + pull.number, "iid": pull.number, "state": state, "title": title, "description": pull.body,
            "web_url": format!("https://gitlab.example.com/{}/-/merge_requests/{}", self.shape.full_name(), pull.number),
            "source_branch": pull.head, "target_branch": pull.base, "draft": pull.draft, "sha": tip,
            "source_project_id": source, "target_project_id": self.shape.id, "labels": pull.labels,
            "reviewers": pull.reviewers.iter().map(|name| person(name)).collect::<Vec<_>>(), "author": person("landfall-bot"),
            "created_at": TIME, "updated_at": pull.updated, "merged_at": pull.merged.then_some(TIME),
            "closed_at": (state == "closed").then_some(TIME), "merge_commit_sha": self.merge_commit(pull.number),
            "squash_commit_sha": null, "detailed_merge_status": status,
        })
    }

    fn gitlab_list(&self, query: &str) -> Answer {
        let given: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut found: Vec<&StubPull> = self.pulls.iter().collect();
        found.retain(|pull| match given.get("state").map(String::as_str) {
            Some("opened") => pull.state == "open",
            Some("closed") => pull.state == "closed" && !pull.merged,
            _ => true,
        });
        found.retain(|pull| given.get("source_branch").is_none_or(|head| *head == pull.head));
        found.retain(|pull| given.get("target_branch").is_none_or(|base| *base == pull.base));
        if given.get("sort").is_none_or(|sort| sort == "desc") {
            found.reverse();
        }
        let all = found.into_iter().map(|pull| self.merge_request(pull)).collect();
        let path = format!("api/v4/projects/{}/merge_requests", self.shape.id);
        page_of(&self.shape.api, &path, query, "per_page", 100, all)
    }

    fn gitlab_create(&mut self, body: &Value) -> Answer {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let (head, base, title) = (text("source_branch"), text("target_branch"), text("title"));
        if self.heads.as_ref().is_some_and(|heads| heads(&head).is_none()) {
            return refuse(422, &json!({ "source_branch": ["does not exist"] }));
        }
        let same =
            |pull: &&StubPull| (&pull.head, &pull.base, pull.state) == (&head, &base, "open") && pull.fork.is_none();
        if let Some(there) = self.pulls.iter().find(same) {
            let message =
                format!("Another open merge request already exists for this source branch: !{}", there.number);
            return refuse(409, &json!([message]));
        }
        let plain = title.strip_prefix("Draft: ");
        let number =
            self.add(&head, &base, plain.unwrap_or(&title), body["description"].as_str(), plain.is_some(), None);
        (201, Vec::new(), self.merge_request(self.pull(number).unwrap()))
    }

    fn gitlab_change(&mut self, number: u64, body: &Value) -> Answer {
        let list = |key: &str| body[key].as_str().map(|names| names.split(',').map(str::to_owned).collect::<Vec<_>>());
        if let Some(names) = list("add_labels") {
            drop(self.labels(number, &json!({ "labels": names })));
        }
        if let Some(ids) = body["reviewer_ids"].as_array() {
            let known = self.collaborators.iter().filter(|name| ids.contains(&json!(id_of(name)))).cloned();
            let there = &self.pull(number).unwrap().reviewers;
            let more: Vec<String> = known.filter(|name| !there.contains(name)).take(self.reviewer_limit).collect();
            drop(self.reviewers(number, &json!({ "reviewers": more })));
        }
        let removed = list("remove_labels").unwrap_or_default();
        let pull = self.pull_mut(number).unwrap();
        pull.labels.retain(|label| !removed.contains(label));
        if let Some(title) = body["title"].as_str() {
            let plain = title.strip_prefix("Draft: ");
            (pull.title, pull.draft) = (plain.unwrap_or(title).to_owned(), plain.is_some());
        }
        if let Some(text) = body["description"].as_str() {
            pull.body = Some(text.to_owned());
        }
        match body["state_event"].as_str() {
            Some("close") => pull.state = "closed",
            Some("reopen") => pull.state = "open",
            _ => {}
        }
        (200, Vec::new(), self.merge_request(self.pull(number).unwrap()))
    }

    fn gitlab_merge(&mut self, number: u64, body: &Value) -> Answer {
        let pull = self.pull(number).unwrap().clone();
        if pull.state != "open" || pull.draft {
            return refuse(405, &json!("405 Method Not Allowed"));
        }
        let sha = body["sha"].as_str();
        assert!(sha.is_some(), "a merge without `sha` merges whatever is there");
        if sha != Some(&self.tip(&pull.head)) {
            return refuse(409, &json!("SHA does not match HEAD of source branch"));
        }
        if let Some((status, words)) = &self.judged.rule {
            return refuse(*status, &json!(words));
        }
        let squash = body["squash"].as_bool() == Some(true);
        let method = if squash {
            "squash"
        } else if self.allowed("merge") {
            "merge"
        } else {
            "rebase"
        };
        let text = body["squash_commit_message"].as_str().filter(|_| squash);
        let (title, message) = text.map(|text| text.split_once('\n').unwrap_or((text, ""))).unzip();
        let (title, message) = (title.map(str::to_owned), message.map(str::to_owned));
        let merge = StubMerge { number, head: pull.head, base: pull.base, method: method.to_owned(), title, message };
        match self.merged(merge) {
            Some(_) => (200, Vec::new(), self.merge_request(self.pull(number).unwrap())),
            None => refuse(406, &json!("Branch cannot be merged")),
        }
    }

    fn gitlab_part(&self, number: u64, what: &str, query: &str) -> Answer {
        let pull = self.pull(number).unwrap();
        let events = self.events.get(&number).into_iter().flatten();
        let path = format!("api/v4/projects/{}/merge_requests/{number}/{what}", self.shape.id);
        let list = |all: Vec<Value>| page_of(&self.shape.api, &path, query, "per_page", 100, all);
        // What the branch was, as far as somebody reviewed it, and what it is now.
        let mut tips: Vec<String> = self.judged.reviews_of(number).map(|(_, _, tip)| tip.clone()).collect();
        tips.push(self.tip(&pull.head));
        tips.dedup();
        let at = |tip: &str| tips.iter().position(|there| there == tip).unwrap() * 2;
        match what {
            "commits" => {
                let (_, address) = self.writer();
                let commit = |(id, message): (String, String)| json!({ "id": id, "message": message, "author_email": address, "committer_email": address });
                list(self.beyond(number).into_iter().map(commit).collect())
            }
            "versions" => {
                let version = |tip: &String| json!({ "head_commit_sha": tip, "created_at": time(at(tip)) });
                list(tips.iter().rev().map(version).collect())
            }
            "approvals" => {
                let given = self.judged.standing(number).into_iter().filter(|(_, word, _)| word == "APPROVED");
                let all: Vec<Value> = given
                    .map(|(by, _, tip)| {
                        let said = (!self.is_old).then(|| time(at(&tip) + 1));
                        json!({ "user": person(&by), "approved_at": said })
                    })
                    .collect();
                (200, Vec::new(), json!({ "iid": number, "approved": true, "approved_by": all }))
            }
            "reviewers" => {
                let given = self.judged.standing(number).into_iter().filter(|(_, word, _)| word == "CHANGES_REQUESTED");
                let no = given.map(|(by, _, _)| json!({ "user": person(&by), "state": "requested_changes" }));
                let asked = pull.reviewers.iter().map(|name| json!({ "user": person(name), "state": "unreviewed" }));
                list(no.chain(asked).collect())
            }
            "notes" => {
                let comments = self.comments.iter().filter(|(of, _)| *of == number);
                let comments =
                    comments.map(|(_, text)| json!({ "body": text, "system": false, "created_at": time(0) }));
                let line = |text: String, by: &str, at: String| json!({ "body": text, "system": true, "author": person(by), "created_at": at });
                let asked = events.clone().filter_map(|event| event["requested_reviewer"]["login"].as_str());
                let asked = asked.map(|name| line(format!("requested review from @{name}"), "landfall-bot", time(0)));
                let approved = self.judged.reviews_of(number).filter(|(_, word, _)| word == "APPROVED");
                let approved =
                    approved.map(|(by, _, tip)| line("approved this merge request".to_owned(), by, time(at(tip) + 1)));
                let train = events.clone().filter_map(|event| {
                    let text = match event["event"].as_str()? {
                        "added_to_merge_queue" => "started a merge train",
                        "removed_from_merge_queue" => {
                            "removed this merge request from the merge train because no stages"
                        }
                        _ => return None,
                    };
                    let (by, at) = (event["actor"]["login"].as_str()?, event["created_at"].as_str()?);
                    Some(line(text.to_owned(), by, at.to_owned()))
                });
                let train: Vec<Value> = train.collect();
                list(comments.chain(asked).chain(approved).chain(train).collect())
            }
            "resource_label_events" => {
                let added = events.filter(|event| event["event"] == "labeled");
                list(
                    added
                        .map(|event| json!({ "action": "add", "label": { "id": 1, "name": event["label"]["name"] } }))
                        .collect(),
                )
            }
            _ => (404, Vec::new(), json!({ "error": "404 Not Found" })),
        }
    }

    fn gitlab_member(&self, id: &str) -> Answer {
        let rights = self.judged.rights.iter().map(|(name, right)| (name.clone(), right.clone()));
        let own = self.collaborators.iter().map(|name| (name.clone(), "write".to_owned()));
        let found = rights.chain(own).find(|(name, _)| id_of(name).to_string() == id);
        match found {
            Some((name, right)) => {
                let level = match right.as_str() {
                    "admin" => 50,
                    "write" => 30,
                    _ => 20,
                };
                (200, Vec::new(), json!({ "id": id_of(&name), "username": name, "access_level": level }))
            }
            None => refuse(404, &json!("404 Not found")),
        }
    }

    /// The statuses and check runs of a commit, as statuses.
    pub(super) fn outcomes(&self, sha: &str) -> Vec<(String, String)> {
        let statuses = self.judged.statuses.get(sha).into_iter().flatten().cloned();
        let runs =
            self.judged.runs.get(sha).into_iter().flatten().map(|(name, _, conclusion)| {
                (name.clone(), conclusion.clone().unwrap_or_else(|| "pending".to_owned()))
            });
        statuses.chain(runs).collect()
    }
}

/// Names given as ids.
pub(super) fn ids(value: &Value) -> Vec<u64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}
