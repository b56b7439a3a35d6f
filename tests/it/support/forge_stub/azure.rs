//! The same as Azure DevOps with one repository: its paths, its JSON, its refusals.
//!
//! From Microsoft's documentation and from clients' workarounds: every request names the API's version; a token that is none is
//! answered with a sign-in page and 203; descriptions have at most 4,000 characters; completing takes place after the answer,
//! and only at the commit that is named (409); what is merged where is said by policies; a second pull request of the same
//! branches is 409 TF401179; long messages of commits are cut in lists.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Value, json};

use super::gitlab::{id_of, time};
use super::{Answer, BOT, Logged, State, StubMerge, StubPull, TIME, decoded};

fn refuse(status: u16, message: &str) -> Answer {
    (status, Vec::new(), json!({ "$id": "1", "message": message, "typeKey": "GitException", "errorCode": 0 }))
}

fn guid(name: &str) -> String {
    format!("00000000-0000-0000-0000-{:012}", id_of(name))
}

fn person(name: &str) -> Value {
    json!({ "id": guid(name), "uniqueName": name, "displayName": name })
}

fn values(all: Vec<Value>) -> Answer {
    let count = all.len();
    (200, Vec::new(), json!({ "count": count, "value": Value::Array(all) }))
}

impl State {
    pub(super) fn azure(&mut self, logged: &Logged, prefix: &str) -> Answer {
        // A personal access token is a password, one of Entra ID a bearer.
        let login = match self.token.starts_with("eyJ") {
            true => format!("Bearer {}", self.token),
            false => format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!(":{}", self.token))),
        };
        if logged.headers.get("authorization").is_none_or(|given| given.as_bytes() != login.as_bytes()) {
            return (203, Vec::new(), json!("<html><title>Azure DevOps Services | Sign In</title></html>"));
        }
        let (path, query) = logged.target.split_once('?').unwrap_or((&logged.target, ""));
        let given: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if !given.contains_key("api-version") {
            return refuse(400, "No api-version was supplied");
        }
        let Some(path) = path.strip_prefix(prefix).and_then(|path| path.strip_prefix('/')) else {
            return refuse(404, "Page not found.");
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (owner, name) = (self.shape.owner.clone(), self.shape.name.clone());
        match parts.as_slice() {
            [project, "_apis", "git", "repositories", repository, rest @ ..]
                if (*project, *repository) == (owner.as_str(), name.as_str()) =>
            {
                self.azure_repository(logged, rest, &given)
            }
            [_, "_apis", "policy", "evaluations"] => self.azure_policies(),
            ["_apis", "permissions", _, "4"] => values(vec![json!(self.push)]),
            ["_apis", "permissions", _, _] => values(vec![json!(self.votes)]),
            ["_apis", "projects", _, "teams"] => values(vec![json!({ "id": guid("sre"), "name": "sre" })]),
            ["_apis", "projects", _, "teams", _, "members"] => {
                let people = self.collaborators.iter().filter(|name| !name.contains('/'));
                values(people.map(|name| json!({ "identity": person(name) })).collect())
            }
            _ => refuse(404, "TF401019: The Git repository does not exist or you do not have permissions for it."),
        }
    }

    fn azure_policies(&self) -> Answer {
        let allow = |method: &str| json!(self.allowed(method));
        let settings = json!({
            "allowNoFastForward": allow("merge"), "allowSquash": allow("squash"), "allowRebase": allow("rebase"),
            "allowRebaseMerge": false,
        });
        let mut all = vec![json!({ "status": "approved", "configuration": {
            "isEnabled": true, "isBlocking": true, "settings": settings,
            "type": { "id": "fa4e907d-c16b-4a4c-9dfa-4916e5d171ab", "displayName": "Require a merge strategy" },
        } })];
        if let Some(status) = &self.merge_status {
            all.push(json!({ "status": status, "configuration": {
                "isEnabled": true, "isBlocking": true, "type": { "id": "0609b952", "displayName": "Build" }, "settings": {},
            } }));
        }
        values(all)
    }

    fn azure_repository(&mut self, logged: &Logged, rest: &[&str], given: &BTreeMap<String, String>) -> Answer {
        let numbered = rest.first() == Some(&"pullRequests");
        let number = rest.get(1).filter(|_| numbered).and_then(|word| word.parse::<u64>().ok());
        if number.is_some_and(|number| self.pull(number).is_none()) {
            return refuse(404, "TF401180: The requested pull request was not found.");
        }
        match (logged.method.as_str(), rest, number) {
            ("GET", [], _) => (200, Vec::new(), self.azure_settings()),
            ("GET", ["pullrequests"], _) => self.azure_list(given),
            ("POST", ["pullrequests"], _) => self.azure_create(&logged.body),
            ("POST", ["pullrequestquery"], _) => {
                let tip = logged.body["queries"][0]["items"][0].as_str().unwrap_or_default();
                let found = self.pulls.iter().filter(|pull| pull.state == "open" && self.tip(&pull.head) == tip);
                let found: Vec<Value> = found.map(|pull| self.azure_pull(pull)).collect();
                let results = if found.is_empty() { json!([]) } else { json!([{ tip: found }]) };
                (200, Vec::new(), json!({ "results": results }))
            }
            ("GET", ["pullRequests", _], Some(number)) => {
                (200, Vec::new(), self.azure_pull(self.pull(number).unwrap()))
            }
            ("PATCH", ["pullRequests", _], Some(number)) => self.azure_change(number, &logged.body),
            ("GET", ["pullRequests", _, "statuses"], _) => values(Vec::new()),
            ("GET", ["pullRequests", _, "iterations"], Some(number)) => {
                let iteration = |(at, (tip, by, when)): (usize, (String, String, usize))| json!({ "id": at + 1, "author": person(&by), "createdDate": time(when), "sourceRefCommit": { "commitId": tip } });
                values(self.versions(number).into_iter().enumerate().map(iteration).collect())
            }
            ("GET", ["pullRequests", _, "threads"], Some(number)) => values(self.azure_threads(number)),
            ("POST", ["pullRequests", _, "threads"], Some(number)) => {
                let text = logged.body["comments"][0]["content"].as_str().unwrap_or_default().to_owned();
                self.comments.push((number, text));
                (200, Vec::new(), json!({ "id": self.comments.len() }))
            }
            ("GET", ["pullRequests", _, "commits"], Some(number)) => {
                let (_, address) = self.writer();
                let who = json!({ "name": "somebody", "email": address });
                let commit = |(id, message): (String, String)| {
                    let cut: String = message.chars().take(20).collect();
                    json!({ "commitId": id, "commentTruncated": cut != message, "comment": cut, "author": who, "committer": who })
                };
                values(self.beyond(number).into_iter().map(commit).collect())
            }
            ("GET", ["commits", id], _) => {
                let all = self.pulls.iter().flat_map(|pull| self.beyond(pull.number));
                match all.into_iter().find(|(of, _)| of == id) {
                    Some((id, message)) => (200, Vec::new(), json!({ "commitId": id, "comment": message })),
                    None => refuse(404, "TF401175: The version descriptor could not be resolved."),
                }
            }
            ("GET", ["commits", id, "statuses"], _) => {
                let status = |(at, (name, word)): (usize, (String, String))| {
                    let state = match word.as_str() {
                        "success" => "succeeded",
                        "error" | "failure" => "failed",
                        other => other,
                    };
                    json!({ "id": at + 1, "state": state, "context": { "name": name, "genre": null } })
                };
                values(self.outcomes(id).into_iter().enumerate().map(status).collect())
            }
            (method, ["pullRequests", _, rest @ ..], Some(number)) => {
                self.azure_added(method, number, rest, &logged.body)
            }
            _ => refuse(404, "Page not found."),
        }
    }

    /// Labels, reviewers, properties.
    fn azure_added(&mut self, method: &str, number: u64, rest: &[&str], body: &Value) -> Answer {
        match (method, rest) {
            ("POST", ["labels"]) => {
                drop(self.labels(number, &json!({ "labels": [body["name"]] })));
                (200, Vec::new(), json!({ "name": body["name"], "active": true }))
            }
            ("DELETE", ["labels", name]) => {
                let (pull, name) = (self.pull_mut(number).unwrap(), decoded(name));
                let before = pull.labels.len();
                pull.labels.retain(|on| *on != name);
                if pull.labels.len() == before {
                    refuse(404, "The label is not there.")
                } else {
                    (200, Vec::new(), json!({}))
                }
            }
            ("PUT", ["reviewers", id]) => {
                let found = self.collaborators.iter().find(|name| guid(name) == *id).cloned();
                let Some(name) = found else { return refuse(404, "TF50309: the identity is unknown") };
                drop(self.reviewers(number, &json!({ "reviewers": [name] })));
                (200, Vec::new(), person(&name))
            }
            ("GET", ["properties"]) => {
                let noted = self.properties.get(&number).cloned().unwrap_or_default();
                (
                    200,
                    Vec::new(),
                    json!({ "count": 1, "value": { "Landfall.Labels": { "$type": "System.String", "$value": noted } } }),
                )
            }
            ("PATCH", ["properties"]) => {
                let noted = body[0]["value"].as_str().unwrap_or_default().to_owned();
                drop(self.properties.insert(number, noted));
                (200, Vec::new(), json!({}))
            }
            _ => refuse(404, "Page not found."),
        }
    }

    fn azure_settings(&self) -> Value {
        json!({ "id": "repository", "name": self.shape.name, "isDisabled": self.archived, "project": { "id": "project", "name": self.shape.owner } })
    }

    fn azure_pull(&self, pull: &StubPull) -> Value {
        let status = match (pull.merged, pull.state) {
            (true, _) => "completed",
            (false, "open") => "active",
            (false, _) => "abandoned",
        };
        let tip = pull.tip.clone().unwrap_or_else(|| self.tip(&pull.head));
        let said = self.judged.standing(pull.number);
        let may_vote = |by: &str| self.judged.rights.get(by).is_none_or(|right| right != "read");
        let vote = |name: &str| {
            let word = said.iter().find(|(by, _, _)| by == name && may_vote(by)).map(|(_, word, _)| word.as_str());
            match word {
                Some("APPROVED") => 10,
                Some("CHANGES_REQUESTED") => -10,
                _ => 0,
            }
        };
        let others = said.iter().map(|(by, _, _)| by).filter(|by| !pull.reviewers.contains(by) && may_vote(by));
        let reviewers = pull.reviewers.iter().chain(others).map(|name| {
            let mut reviewer = person(name);
            reviewer["vote"] = json!(vote(name));
            reviewer
        });
        let mut value = json!({
            "pullRequestId": pull.number, "title": pull.title, "status": status, "isDraft": pull.draft,
            "sourceRefName": format!("refs/heads/{}", pull.head), "targetRefName": format!("refs/heads/{}", pull.base),
            "repository": self.azure_settings(), "createdBy": person(BOT), "creationDate": TIME, "mergeStatus": "succeeded",
            "lastMergeSourceCommit": { "commitId": tip }, "reviewers": reviewers.collect::<Vec<_>>(),
            "labels": pull.labels.iter().map(|name| json!({ "id": guid(name), "name": name, "active": true })).collect::<Vec<_>>(),
        });
        if let Some(body) = &pull.body {
            value["description"] = json!(body);
        }
        if pull.fork.is_some() {
            value["forkSource"] = json!({ "name": "refs/heads/x" });
        }
        if status != "active" {
            value["closedDate"] = json!(pull.updated);
        }
        if let Some(commit) = self.merge_commit(pull.number).as_str() {
            value["lastMergeCommit"] = json!({ "commitId": commit });
        }
        value
    }

    fn azure_list(&self, given: &BTreeMap<String, String>) -> Answer {
        let has = |key: &str| given.get(&format!("searchCriteria.{key}")).map(String::as_str);
        let mut found: Vec<Value> = self.pulls.iter().rev().map(|pull| self.azure_pull(pull)).collect();
        if has("status") != Some("all") {
            found.retain(|pull| pull["status"] == json!(has("status").unwrap_or("active")));
        }
        for (key, field) in [("sourceRefName", "sourceRefName"), ("targetRefName", "targetRefName")] {
            if let Some(name) = has(key) {
                found.retain(|pull| pull[field] == json!(name));
            }
        }
        if has("queryTimeRangeType") == Some("closed") {
            found.retain(|pull| {
                pull["closedDate"].as_str().is_some_and(|at| has("minTime").is_none_or(|since| at >= since))
            });
        }
        let number = |key: &str, or: usize| given.get(key).and_then(|text| text.parse().ok()).unwrap_or(or);
        values(found.into_iter().skip(number("$skip", 0)).take(number("$top", 101)).collect())
    }

    fn azure_create(&mut self, body: &Value) -> Answer {
        let branch = |end: &str| body[end].as_str().unwrap_or_default().trim_start_matches("refs/heads/").to_owned();
        let (head, base) = (branch("sourceRefName"), branch("targetRefName"));
        if self.heads.as_ref().is_some_and(|heads| heads(&head).is_none()) {
            return refuse(
                400,
                "TF401398: The pull request cannot be activated because the source branch no longer exists.",
            );
        }
        if let Some(refused) = too_long(body) {
            return refused;
        }
        let same =
            |pull: &&StubPull| (&pull.head, &pull.base, pull.state) == (&head, &base, "open") && pull.fork.is_none();
        if self.pulls.iter().any(|pull| same(&pull)) {
            return refuse(409, "TF401179: An active pull request for the source and target branch already exists.");
        }
        let (title, draft) = (body["title"].as_str().unwrap_or_default(), body["isDraft"] == json!(true));
        let number = self.add(&head, &base, title, body["description"].as_str(), draft, None);
        (201, Vec::new(), self.azure_pull(self.pull(number).unwrap()))
    }

    fn azure_change(&mut self, number: u64, body: &Value) -> Answer {
        if let Some(refused) = too_long(body) {
            return refused;
        }
        if body["status"] == json!("completed") {
            return self.azure_complete(number, body);
        }
        let pull = self.pull_mut(number).unwrap();
        if pull.state != "open" {
            return refuse(400, "TF401181: The pull request cannot be edited due to its state.");
        }
        if let Some(title) = body["title"].as_str() {
            title.clone_into(&mut pull.title);
        }
        if let Some(text) = body["description"].as_str() {
            pull.body = Some(text.to_owned());
        }
        if body["status"] == json!("abandoned") {
            pull.state = "closed";
        }
        (200, Vec::new(), self.azure_pull(self.pull(number).unwrap()))
    }

    fn azure_complete(&mut self, number: u64, body: &Value) -> Answer {
        if let Some(tip) = self.slips_in.take() {
            self.heads = Some(Box::new(move |_| Some(tip.clone())));
        }
        let pull = self.pull(number).unwrap().clone();
        let tip = self.tip(&pull.head);
        let named = body["lastMergeSourceCommit"]["commitId"].as_str();
        assert!(named.is_some(), "a completion without a commit is of whatever is there");
        if pull.state != "open" || pull.draft {
            return refuse(400, "TF401181: The pull request cannot be edited due to its state.");
        }
        if named != Some(&tip) {
            return refuse(409, "TF401192: The pull request was not completed: the source branch has been modified.");
        }
        if let Some((status, words)) = &self.judged.rule {
            return refuse(*status, words);
        }
        let options = &body["completionOptions"];
        assert_eq!(options["bypassPolicy"], json!(false));
        let method = match options["mergeStrategy"].as_str().unwrap_or_default() {
            "noFastForward" => "merge",
            "squash" => "squash",
            _ => "rebase",
        };
        if !self.allowed(method) {
            return refuse(403, "TF402455: the merge strategy is not allowed by policy");
        }
        let text = options["mergeCommitMessage"].as_str();
        let (title, message) = text.map(|text| text.split_once('\n').unwrap_or((text, ""))).unzip();
        let (title, message) = (title.map(str::to_owned), message.map(str::to_owned));
        let mut before = self.azure_pull(&pull);
        before["mergeStatus"] = json!("queued");
        let merge = StubMerge { number, head: pull.head, base: pull.base, method: method.to_owned(), title, message };
        if self.merged(merge).is_none() {
            return refuse(409, "conflicts");
        }
        self.pull_mut(number).unwrap().tip = Some(tip);
        (200, Vec::new(), before)
    }

    fn azure_threads(&self, number: u64) -> Vec<Value> {
        let line = |kind: &str, more: Value, who: &str, at: usize| {
            let mut properties = json!({ "CodeReviewThreadType": { "$type": "System.String", "$value": kind } });
            for (key, value) in more.as_object().unwrap() {
                properties[key] = json!({ "$value": value });
            }
            json!({ "publishedDate": time(at), "properties": properties, "identities": { "1": person(who) },
                "comments": [{ "content": "a line of the history", "commentType": "system", "author": person(who) }] })
        };
        let asked = self.events.get(&number).into_iter().flatten();
        let asked = asked.filter_map(|event| event["requested_reviewer"]["login"].as_str());
        let mut all: Vec<Value> = asked
            .map(|name| line("ReviewersUpdate", json!({ "CodeReviewReviewersUpdatedAddedIdentity": "1" }), name, 0))
            .collect();
        for (tip, _, when) in self.versions(number) {
            let given = self.judged.reviews_of(number).filter(|(_, word, of)| *of == tip && word == "APPROVED");
            let vote = json!({ "CodeReviewVoteResult": "10", "CodeReviewVotedByIdentity": "1" });
            all.extend(given.map(|(by, _, _)| line("VoteUpdate", vote.clone(), by, when + 1)));
        }
        let comments = self.comments.iter().filter(|(of, _)| *of == number);
        all.extend(comments.map(
            |(_, text)| json!({ "publishedDate": time(0), "comments": [{ "content": text, "author": person(BOT) }] }),
        ));
        all
    }
}

fn too_long(body: &Value) -> Option<Answer> {
    let long = body["description"].as_str().is_some_and(|text| text.chars().count() > 4000);
    long.then(|| refuse(400, "The description must be 4000 characters or less."))
}
