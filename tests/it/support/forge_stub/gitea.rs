//! The same as a Gitea or Forgejo with one repository: its paths, its JSON, its refusals.
//!
//! From Gitea's description and code: labels are known by ids; no filter by branch; the name of a branch is `label`, `ref`
//! becomes another as soon as the branch is gone; a merge answers with nothing; what is refused is 405 or 409.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::gitlab::{id_of, ids};
use super::{Answer, Logged, State, StubMerge, StubPull, TIME, decoded, page_of};

fn refuse(status: u16, message: &str) -> Answer {
    (status, Vec::new(), json!({ "message": message, "url": "https://gitea.example.com/api/swagger" }))
}

fn person(name: &str) -> Value {
    json!({ "id": id_of(name), "login": name, "full_name": "" })
}

fn label(name: &str) -> Value {
    json!({ "id": id_of(name), "name": name, "color": "ededed" })
}

/// The labels that the repository has.
const LABELS: [&str; 4] = ["release", "needs review", "ship it/now", "other"];

/// Somebody whose account is no more.
pub(crate) const DELETED: &str = "deleted";

/// The label that its organization has.
const EVERYWHERE: &str = "everywhere";

impl State {
    pub(super) fn gitea(&mut self, logged: &Logged, prefix: &str) -> Answer {
        let token = format!("token {}", self.token);
        if logged.headers.get("authorization").is_none_or(|given| given.as_bytes() != token.as_bytes()) {
            return refuse(401, "invalid username, password or token");
        }
        let (path, query) = logged.target.split_once('?').unwrap_or((&logged.target, ""));
        let Some(path) = path.strip_prefix(prefix).and_then(|path| path.strip_prefix("/api/v1/")) else {
            return refuse(404, "Not Found");
        };
        let parts: Vec<&str> = path.split('/').collect();
        let former = self.former.clone();
        match parts.as_slice() {
            ["orgs", _, "labels"] => match self.gitea_lacks("organization", "GET") {
                Some(refusal) => refusal,
                None => self.gitea_silent(&["labels"], query, vec![label(EVERYWHERE)]),
            },
            ["repos", owner, name, rest @ ..] if format!("{owner}/{name}") == self.shape.full_name() => {
                self.gitea_repository(logged, rest, query)
            }
            ["repos", owner, name, rest @ ..] if former == Some(((*owner).to_owned(), (*name).to_owned())) => {
                let below: String = rest.iter().map(|word| format!("/{word}")).collect();
                let query = if query.is_empty() { String::new() } else { format!("?{query}") };
                let target = format!("{}/api/v1/repos/{}{below}{query}", self.shape.api, self.shape.full_name());
                (if logged.method == "GET" { 301 } else { 307 }, vec![("location", target)], json!({}))
            }
            _ => refuse(404, "The target couldn't be found."),
        }
    }

    fn gitea_repository(&mut self, logged: &Logged, rest: &[&str], query: &str) -> Answer {
        let category = if matches!(rest.first(), Some(&("issues" | "labels"))) { "issue" } else { "repository" };
        if let Some(refusal) = self.gitea_lacks(category, &logged.method) {
            return refusal;
        }
        let numbered = matches!(rest.first(), Some(&("pulls" | "issues")));
        let number = rest.get(1).filter(|_| numbered).and_then(|word| word.parse::<u64>().ok());
        if number.is_some_and(|number| self.pull(number).is_none()) {
            return refuse(404, "pull request does not exist");
        }
        match (logged.method.as_str(), rest, number) {
            ("GET", [], _) => (200, Vec::new(), self.gitea_settings()),
            ("GET", ["labels"], _) => self.gitea_silent(rest, query, LABELS.iter().map(|name| label(name)).collect()),
            ("GET", ["pulls"], _) => self.gitea_list(query),
            ("POST", ["pulls"], _) => self.gitea_create(&logged.body),
            ("GET", ["pulls", _], Some(number)) => (200, Vec::new(), self.gitea_pull(self.pull(number).unwrap())),
            ("PATCH", ["pulls", _], Some(number)) => self.gitea_change(number, &logged.body),
            ("POST", ["pulls", _, "merge"], Some(number)) => self.gitea_merge(number, &logged.body),
            ("GET", ["pulls" | "issues", _, what], Some(number)) => self.gitea_part(number, what, query),
            ("POST", ["pulls", _, "requested_reviewers"], Some(number)) => {
                // The owner of a repository that is a person's has no teams, and nothing says so.
                if logged.body.get("team_reviewers").is_some()
                    && !self.collaborators.iter().any(|name| name.contains('/'))
                {
                    return (201, Vec::new(), json!([]));
                }
                match self.reviewers(number, &logged.body) {
                    (422, ..) => refuse(404, "User 'ghost' not exist"),
                    (status, headers, _) => (status, headers, json!([{ "id": 1, "state": "REQUEST_REVIEW" }])),
                }
            }
            ("POST", ["issues", _, "labels"], Some(number)) => {
                let wanted = ids(&logged.body["labels"]);
                let known = LABELS.into_iter().chain([EVERYWHERE]);
                let names: Vec<&str> = known.filter(|name| wanted.contains(&id_of(name))).collect();
                drop(self.labels(number, &json!({ "labels": names })));
                (200, Vec::new(), json!([]))
            }
            ("DELETE", ["issues", _, "labels", id], Some(number)) => {
                let pull = self.pull_mut(number).unwrap();
                pull.labels.retain(|name| id_of(name).to_string() != *id);
                (204, Vec::new(), Value::Null)
            }
            ("POST", ["issues", _, "comments"], Some(number)) => {
                let text = logged.body["body"].as_str().unwrap_or_default().to_owned();
                self.comments.push((number, text.clone()));
                (201, Vec::new(), json!({ "id": self.comments.len(), "body": text }))
            }
            ("GET", ["activities", "feeds"], _) => {
                let push = |(tip, by): &(String, String)| {
                    let content = json!({ "Commits": [{ "Sha1": tip }], "HeadCommit": { "Sha1": tip }, "Len": 1 });
                    json!({ "op_type": "commit_repo", "act_user": person(by), "content": content.to_string() })
                };
                self.gitea_silent(rest, query, self.judged.pushed.iter().map(push).collect())
            }
            ("GET", ["commits", sha, "status"], _) => {
                let all = self.outcomes(sha);
                let all: Vec<Value> =
                    all.into_iter().map(|(name, word)| json!({ "context": name, "status": word })).collect();
                let (status, headers, page) = self.gitea_silent(rest, query, all);
                let total = page.as_array().map_or(0, Vec::len);
                (status, headers, json!({ "state": "pending", "sha": sha, "total_count": total, "statuses": page }))
            }
            ("GET", ["branches", name], _) => {
                let rule = if self.judged.strict { "main" } else { "" };
                (200, Vec::new(), json!({ "name": decoded(name), "effective_branch_protection_name": rule }))
            }
            ("GET", ["branch_protections", _], _) => (200, Vec::new(), json!({ "block_on_outdated_branch": true })),
            _ => refuse(404, "The target couldn't be found."),
        }
    }

    /// The refusal of what the token has not the scope for.
    fn gitea_lacks(&self, category: &str, method: &str) -> Option<Answer> {
        let level = if method == "GET" { "read" } else { "write" };
        let enough = [format!("{level}:{category}"), format!("write:{category}")];
        let given =
            self.scopes.iter().filter(|scope| scope.contains(':')).map(String::as_str).collect::<Vec<_>>().join(",");
        let words = format!(
            "token does not have at least one of required scope(s), required=[{}], token scope={given}",
            enough[0]
        );
        (!self.scopes.iter().any(|scope| enough.contains(scope))).then(|| refuse(403, &words))
    }

    fn gitea_path(&self, rest: &[&str]) -> String {
        format!("api/v1/repos/{}/{}", self.shape.full_name(), rest.join("/"))
    }

    /// A page of a list that does not say where it goes on, as most of Gitea's do not.
    fn gitea_silent(&self, rest: &[&str], query: &str, all: Vec<Value>) -> Answer {
        let (status, _, page) = page_of(&self.shape.api, &self.gitea_path(rest), query, "limit", 50, all);
        (status, Vec::new(), page)
    }

    fn gitea_settings(&self) -> Value {
        json!({
            "id": self.shape.id, "full_name": self.shape.full_name(), "archived": self.archived, "mirror": false,
            "has_pull_requests": true, "permissions": { "admin": false, "push": self.push, "pull": true },
            "allow_merge_commits": self.allowed("merge"), "allow_squash_merge": self.allowed("squash"),
            "allow_rebase": self.allowed("rebase"),
        })
    }

    fn gitea_pull(&self, pull: &StubPull) -> Value {
        let known = self.heads.as_ref().is_none_or(|heads| heads(&pull.head).is_some());
        let head_id = pull.fork.as_ref().map_or(Some(self.shape.id), |(_, id)| *id).map_or(-1, u64::cast_signed);
        let tip = pull.tip.clone().unwrap_or_else(|| self.tip(&pull.head));
        let base = self.tip(&pull.base);
        let common = if self.mergeable_state(pull) == "behind" { "0".repeat(40) } else { base.clone() };
        let reference = if known { pull.head.clone() } else { format!("refs/pull/{}/head", pull.number) };
        json!({
            "id": 1000 + pull.number, "number": pull.number, "state": pull.state, "merged": pull.merged,
            "title": if pull.draft { format!("WIP: {}", pull.title) } else { pull.title.clone() }, "body": pull.body,
            "html_url": format!("https://gitea.example.com/{}/pulls/{}", self.shape.full_name(), pull.number),
            "draft": pull.draft, "labels": pull.labels.iter().map(|name| label(name)).collect::<Vec<_>>(),
            "requested_reviewers": pull.reviewers.iter().map(|name| if name == DELETED { Value::Null } else { person(name) }).collect::<Vec<_>>(),
            "requested_reviewers_teams": pull.teams.iter().map(|name| json!({ "id": 1, "name": name })).collect::<Vec<_>>(),
            "head": { "label": pull.head, "ref": reference, "sha": tip, "repo_id": head_id },
            "base": { "label": pull.base, "ref": pull.base, "sha": base, "repo_id": self.shape.id },
            "merge_base": common, "merge_commit_sha": self.merge_commit(pull.number), "mergeable": true,
            "created_at": TIME, "updated_at": pull.updated, "merged_at": pull.merged.then_some(TIME),
            "closed_at": (pull.state == "closed").then_some(TIME),
        })
    }

    fn gitea_list(&self, query: &str) -> Answer {
        let given: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let state = given.get("state").map_or("open", String::as_str);
        let mut found: Vec<&StubPull> =
            self.pulls.iter().filter(|pull| state == "all" || pull.state == state).collect();
        if given.get("sort").is_none_or(|sort| sort != "oldest") {
            found.reverse();
        }
        let all = found.into_iter().map(|pull| self.gitea_pull(pull)).collect();
        page_of(&self.shape.api, &self.gitea_path(&["pulls"]), query, "limit", 50, all)
    }

    fn gitea_create(&mut self, body: &Value) -> Answer {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let (head, base, title) = (text("head"), text("base"), text("title"));
        if self.heads.as_ref().is_some_and(|heads| heads(&head).is_none()) {
            return refuse(404, "The target couldn't be found.");
        }
        let same =
            |pull: &&StubPull| (&pull.head, &pull.base, pull.state) == (&head, &base, "open") && pull.fork.is_none();
        if self.pulls.iter().any(|pull| same(&pull)) {
            return refuse(409, "pull request already exists for these targets [id: 1, issue_id: 1]");
        }
        let plain = title.strip_prefix("WIP: ");
        let number = self.add(&head, &base, plain.unwrap_or(&title), body["body"].as_str(), plain.is_some(), None);
        (201, Vec::new(), self.gitea_pull(self.pull(number).unwrap()))
    }

    fn gitea_change(&mut self, number: u64, body: &Value) -> Answer {
        let pull = self.pull_mut(number).unwrap();
        if let Some(title) = body["title"].as_str() {
            let plain = title.strip_prefix("WIP: ");
            (pull.title, pull.draft) = (plain.unwrap_or(title).to_owned(), plain.is_some());
        }
        if let Some(text) = body["body"].as_str() {
            pull.body = Some(text.to_owned());
        }
        match body["state"].as_str() {
            Some("closed") => pull.state = "closed",
            Some("open") => pull.state = "open",
            _ => {}
        }
        (201, Vec::new(), self.gitea_pull(self.pull(number).unwrap()))
    }

    fn gitea_merge(&mut self, number: u64, body: &Value) -> Answer {
        let pull = self.pull(number).unwrap().clone();
        let (head, way) = (body["head_commit_id"].as_str(), body["Do"].as_str().unwrap_or_default());
        assert!(head.is_some(), "a merge without `head_commit_id` merges whatever is there");
        if pull.merged {
            return refuse(405, "The PR is already merged");
        }
        if pull.state != "open" {
            return refuse(404, "not found");
        }
        if let Some(words) = self.merge_status.take() {
            return refuse(405, &words);
        }
        if pull.draft {
            return refuse(405, "Work in progress PRs cannot be merged");
        }
        if let Some((status, words)) = &self.judged.rule {
            return refuse(*status, words);
        }
        if self.mergeable_state(&pull) == "behind" {
            return refuse(405, "The head branch is behind the base branch");
        }
        if !self.allowed(way) {
            return refuse(405, &format!("{way} is not allowed an allowed merge style for this repository"));
        }
        if head != Some(&self.tip(&pull.head)) {
            return refuse(409, "head out of date");
        }
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        let (title, message) = (text("MergeTitleField"), text("MergeMessageField"));
        let merge = StubMerge { number, head: pull.head, base: pull.base, method: way.to_owned(), title, message };
        match self.merged(merge) {
            Some(_) => (200, Vec::new(), Value::Null),
            None => {
                let said = format!("Auto-merging {way}\nCONFLICT (content): Merge conflict in apps/web\n");
                (409, Vec::new(), json!({ "Style": way, "StdOut": said, "StdErr": "", "Err": {} }))
            }
        }
    }

    fn gitea_part(&self, number: u64, what: &str, query: &str) -> Answer {
        let pull = self.pull(number).unwrap();
        let events = self.events.get(&number).into_iter().flatten();
        let list = |all: Vec<Value>| {
            let path = self.gitea_path(&["pulls", &number.to_string(), what]);
            page_of(&self.shape.api, &path, query, "limit", 50, all)
        };
        match what {
            "commits" => {
                let (writer, address) = self.writer();
                let commit = |(sha, message): (String, String)| {
                    let who = json!({ "name": writer, "email": address });
                    let text = json!({ "message": message, "author": who, "committer": who });
                    json!({ "sha": sha, "commit": text, "author": person(writer), "committer": person(writer) })
                };
                list(self.beyond(number).into_iter().map(commit).collect())
            }
            "comments" => {
                let comments = self.comments.iter().filter(|(of, _)| *of == number);
                (200, Vec::new(), comments.map(|(_, text)| json!({ "body": text })).collect())
            }
            "timeline" => {
                let event = |event: &Value| match event["event"].as_str() {
                    Some("labeled") => {
                        json!({ "type": "label", "body": "1", "label": label(event["label"]["name"].as_str().unwrap()) })
                    }
                    _ => match event["requested_reviewer"]["login"].as_str() {
                        Some(name) => {
                            json!({ "type": "review_request", "assignee": person(name), "removed_assignee": false })
                        }
                        None => {
                            json!({ "type": "review_request", "assignee_team": { "id": 1, "name": event["requested_team"]["slug"] } })
                        }
                    },
                };
                let (status, headers, page) = self.gitea_silent(&[], query, events.map(event).collect());
                // A page with nothing on it is not an empty list there.
                let nothing = page.as_array().is_none_or(Vec::is_empty);
                (status, headers, if nothing { Value::Null } else { page })
            }
            "reviews" => {
                let tip = self.tip(&pull.head);
                let review = |(by, word, at): &(String, String, String)| {
                    let state = match word.as_str() {
                        "CHANGES_REQUESTED" => "REQUEST_CHANGES",
                        "COMMENTED" => "COMMENT",
                        "DISMISSED" => "APPROVED",
                        other => other,
                    };
                    let own = self.collaborators.contains(by).then_some("write");
                    let right = self.judged.rights.get(by).map(String::as_str).or(own);
                    json!({
                        "id": 1, "user": person(by), "state": state, "commit_id": at, "stale": *at != tip,
                        "official": matches!(right, Some("write" | "admin")), "dismissed": word == "DISMISSED",
                    })
                };
                self.gitea_silent(&[], query, self.judged.reviews_of(number).map(review).collect())
            }
            _ => refuse(404, "The target couldn't be found."),
        }
    }
}
