//! What the stub knows beyond pull requests themselves: reviews, rights, checks, merges, comments, labels taken off.
//!
//! It refuses what GitHub refuses: a merge at a head that moved (409), one in a way that is not allowed, of a draft, or
//! against a rule of the branch (405), a label that is not on (404), rights of who is nobody (404).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, ForgeStub, State, StubPull, refuse};
use crate::support::github_shape::{check_run, comment, label, review, status, user};

/// A merge that the stub is about to make.
#[derive(Debug, Clone)]
pub(crate) struct StubMerge {
    pub(crate) number: u64,
    pub(crate) head: String,
    pub(crate) base: String,
    pub(crate) method: String,
    pub(crate) title: Option<String>,
    pub(crate) message: Option<String>,
}

type Merger = Box<dyn Fn(&StubMerge) -> Result<String, String> + Send>;

/// What is said about changes, and how they are merged.
#[derive(Default)]
pub(super) struct Judged {
    /// By number: who, GitHub's word, the commit.
    reviews: BTreeMap<u64, Vec<(String, String, String)>>,
    pub(super) rights: BTreeMap<String, String>,
    /// Who pushed which commit.
    pub(super) pushed: Vec<(String, String)>,
    /// And to which branch.
    pushed_to: BTreeMap<String, String>,
    pub(super) statuses: BTreeMap<String, Vec<(String, String)>>,
    pub(super) runs: BTreeMap<String, Vec<(String, String, Option<String>)>>,
    forbidden: Vec<&'static str>,
    pub(super) rule: Option<(u16, String)>,
    /// Whether branches must be up to date.
    pub(super) strict: bool,
    merger: Option<Merger>,
    merged: BTreeMap<u64, String>,
    /// What was merged, in order.
    pub(super) merges: Vec<StubMerge>,
}

impl Judged {
    /// The reviews of a pull request in the order in which they were given.
    pub(super) fn reviews_of(&self, number: u64) -> impl Iterator<Item = &(String, String, String)> {
        self.reviews.get(&number).into_iter().flatten()
    }

    /// The last word of each person, but for comments.
    pub(super) fn standing(&self, number: u64) -> Vec<(String, String, String)> {
        let mut last = BTreeMap::new();
        for review in self.reviews_of(number).filter(|(_, word, _)| word != "COMMENTED") {
            last.insert(review.0.clone(), review.clone());
        }
        last.into_values().collect()
    }
}

impl ForgeStub {
    /// Somebody reviews a pull request at its head of now; the word is GitHub's: `APPROVED`, `CHANGES_REQUESTED`, ….
    pub(crate) fn review(&self, number: u64, by: &str, word: &str) {
        let mut state = self.state.lock();
        let head = state.pull(number).unwrap().head.clone();
        let tip = state.tip(&head);
        state.judged.reviews.entry(number).or_default().push((by.to_owned(), word.to_owned(), tip));
    }

    /// Notes who pushed what a branch has now.
    pub(crate) fn pushed_by(&self, branch: &str, by: &str) {
        let mut state = self.state.lock();
        let tip = state.tip(branch);
        state.judged.pushed_to.insert(tip.clone(), branch.to_owned());
        state.judged.pushed.push((tip, by.to_owned()));
    }

    /// Nothing is known any more of pushes to a branch.
    pub(crate) fn forget_push(&self, branch: &str) {
        let mut state = self.state.lock();
        let tip = state.tip(branch);
        state.judged.pushed.retain(|(of, _)| *of != tip);
    }

    /// What somebody may do: `admin`, `write`, `read`, `none`. Collaborators may write unless told otherwise.
    pub(crate) fn right(&self, login: &str, permission: &str) {
        self.state.lock().judged.rights.insert(login.to_owned(), permission.to_owned());
    }

    /// A commit status at the tip of a branch; a later one of the same context replaces it.
    pub(crate) fn status(&self, branch: &str, context: &str, word: &str) {
        let mut state = self.state.lock();
        let tip = state.tip(branch);
        let all = state.judged.statuses.entry(tip).or_default();
        all.retain(|(other, _)| other != context);
        all.push((context.to_owned(), word.to_owned()));
    }

    /// A check run at the tip of a branch; each is one more.
    pub(crate) fn run(&self, branch: &str, name: &str, status: &str, conclusion: Option<&str>) {
        let mut state = self.state.lock();
        let tip = state.tip(branch);
        let run = (name.to_owned(), status.to_owned(), conclusion.map(str::to_owned));
        state.judged.runs.entry(tip).or_default().push(run);
    }

    /// Ways of merging (`merge`, `squash`, `rebase`) that the repository does not allow.
    pub(crate) fn forbid(&self, methods: &[&'static str]) {
        self.state.lock().judged.forbidden = methods.to_vec();
    }

    /// A rule of the branch that refuses every merge with this status and these words; `None`: there is none any more.
    pub(crate) fn rule(&self, rule: Option<(u16, &str)>) {
        self.state.lock().judged.rule = rule.map(|(status, words)| (status, words.to_owned()));
    }

    /// From now on only branches are merged that have all of their base.
    pub(crate) fn strict(&self) {
        self.state.lock().judged.strict = true;
    }

    /// Lets a function make merges; it gives the new commit, or why it cannot.
    pub(crate) fn merger(&self, merger: impl Fn(&StubMerge) -> Result<String, String> + Send + 'static) {
        self.state.lock().judged.merger = Some(Box::new(merger));
    }

    /// What was merged over the API, in order.
    pub(crate) fn merges(&self) -> Vec<StubMerge> {
        self.state.lock().judged.merges.clone()
    }
}

impl State {
    /// What a pull request showed over time, oldest first: the tip, who pushed it, when in half minutes. If it is known who
    /// pushed the first that was reviewed, it was created with something else.
    pub(super) fn versions(&self, number: u64) -> Vec<(String, String, usize)> {
        let head = &self.pull(number).unwrap().head;
        let mut tips: Vec<String> = self.judged.reviews_of(number).map(|(_, _, tip)| tip.clone()).collect();
        tips.push(self.tip(head));
        tips.dedup();
        let by = |tip: &str| self.judged.pushed.iter().find(|(of, _)| of == tip).map(|(_, by)| by.clone());
        let mut all = Vec::new();
        if by(&tips[0]).is_some() {
            all.push(("0".repeat(40), super::BOT.to_owned(), 0));
        }
        for (at, tip) in tips.iter().enumerate() {
            all.push((tip.clone(), by(tip).unwrap_or_else(|| super::BOT.to_owned()), 2 * at + 2));
        }
        all
    }

    /// The tip of a branch.
    pub(super) fn tip(&self, branch: &str) -> String {
        let told = self.heads.as_ref().and_then(|heads| heads(branch));
        told.unwrap_or_else(|| format!("{:08x}", branch.bytes().map(u64::from).sum::<u64>()).repeat(5))
    }

    pub(super) fn merge_commit(&self, number: u64) -> Value {
        json!(self.judged.merged.get(&number))
    }

    /// Whether a way of merging is allowed, as the repository says it.
    pub(super) fn allowed(&self, method: &str) -> bool {
        !self.judged.forbidden.contains(&method)
    }

    pub(super) fn reviews(&self, number: u64, query: &str) -> Answer {
        let given = self.judged.reviews.get(&number).into_iter().flatten();
        let all: Vec<Value> =
            given.enumerate().map(|(at, (by, word, sha))| review(&self.shape, number, at, by, word, sha)).collect();
        let (headers, page) = self.page(&format!("pulls/{number}/reviews"), query, all);
        (200, headers, json!(page))
    }

    pub(super) fn activity(&self, query: &str) -> Answer {
        let push = |(tip, by): &(String, String)| {
            json!({
                "id": 1,
                "node_id": "PSH_1",
                "before": "0".repeat(40),
                "after": tip,
                "ref": format!("refs/heads/{}", self.judged.pushed_to.get(tip).map_or("landfall/prod", String::as_str)),
                "timestamp": "2026-01-05T12:00:00Z",
                "activity_type": "force_push",
                "actor": user(&self.shape.api, by),
            })
        };
        let all: Vec<Value> = self.judged.pushed.iter().map(push).collect();
        let (headers, page) = self.page("activity", query, all);
        (200, headers, json!(page))
    }

    pub(super) fn permission(&self, login: &str) -> Answer {
        let own = self.collaborators.contains(login).then(|| "write".to_owned());
        match self.judged.rights.get(login).cloned().or(own) {
            Some(right) => (200, Vec::new(), {
                let mut person = user(&self.shape.api, login);
                person["role_name"] = json!(right);
                json!({ "permission": right, "role_name": right, "user": person })
            }),
            None => refuse(404, &format!("{login} is not a user")),
        }
    }

    pub(super) fn combined(&self, sha: &str, query: &str) -> Answer {
        let all: Vec<Value> = self
            .judged
            .statuses
            .get(sha)
            .into_iter()
            .flatten()
            .map(|(context, word)| status(&self.shape, sha, context, word))
            .collect();
        let total = all.len();
        let (headers, page) = self.page(&format!("commits/{sha}/status"), query, all);
        let commit = format!("{}/commits/{sha}", self.shape.repository_url());
        let body = json!({
            "state": "pending", "sha": sha, "total_count": total, "statuses": page, "commit_url": commit,
            "url": format!("{commit}/status"), "repository": self.shape.repository(&self.shape.owner, self.shape.id),
        });
        (200, headers, body)
    }

    pub(super) fn runs(&self, sha: &str, query: &str) -> Answer {
        let given = self.judged.runs.get(sha).into_iter().flatten().enumerate();
        let mut all: Vec<Value> = given
            .map(|(at, (name, status, conclusion))| {
                check_run(&self.shape, sha, at, name, status, conclusion.as_deref())
            })
            .collect();
        // Newest first, as GitHub lists them.
        all.reverse();
        let total = all.len();
        let (headers, page) = self.page(&format!("commits/{sha}/check-runs"), query, all);
        (200, headers, json!({ "total_count": total, "check_runs": page }))
    }

    pub(super) fn merge(&mut self, number: u64, body: &Value) -> Answer {
        let pull = self.pull(number).unwrap().clone();
        let text = |key: &str| body[key].as_str().map(str::to_owned);
        let method = text("merge_method").unwrap_or_else(|| "merge".to_owned());
        if pull.state != "open" {
            return refuse(405, "Pull Request is not mergeable");
        }
        if pull.draft {
            return refuse(405, "Pull Request is still a draft");
        }
        if !self.allowed(&method) {
            return refuse(405, &format!("{method} merges are not allowed on this repository."));
        }
        if text("sha").is_some_and(|sha| sha != self.tip(&pull.head)) {
            return refuse(409, "Head branch was modified. Review and try the merge again.");
        }
        if self.mergeable_state(&pull) == "behind" {
            return refuse(405, "Head branch is out of date. Review and try the merge again.");
        }
        if self.queue.merges() {
            return refuse(405, "Changes must be made through the merge queue");
        }
        if let Some((status, words)) = &self.judged.rule {
            return refuse(*status, words);
        }
        let (title, message) = (text("commit_title"), text("commit_message"));
        let merge = StubMerge { number, head: pull.head, base: pull.base, method, title, message };
        let Some(sha) = self.merged(merge) else { return refuse(405, "Pull Request is not mergeable") };
        (200, Vec::new(), json!({ "sha": sha, "merged": true, "message": "Pull Request successfully merged" }))
    }

    /// Merges, if that can be done; the new commit.
    pub(super) fn merged(&mut self, merge: StubMerge) -> Option<String> {
        let made = self.judged.merger.as_ref().map(|merger| merger(&merge));
        let sha = made.unwrap_or_else(|| Ok("d".repeat(40))).ok()?;
        let pull = self.pull_mut(merge.number).unwrap();
        pull.state = "closed";
        pull.merged = true;
        self.judged.merged.insert(merge.number, sha.clone());
        self.judged.merges.push(merge);
        Some(sha)
    }

    /// GitHub's word for what is in the way of a merge.
    pub(super) fn mergeable_state(&self, pull: &StubPull) -> &'static str {
        let lacks = |commits: &super::Commits| !commits(&self.tip(&pull.base), &pull.head).is_empty();
        if self.judged.strict && self.commits.as_ref().is_some_and(lacks) { "behind" } else { "clean" }
    }

    pub(super) fn comments_of(&self, number: u64, query: &str) -> Answer {
        let given = self.comments.iter().enumerate().filter(|(_, (of, _))| *of == number);
        let all: Vec<Value> = given.map(|(at, (_, text))| comment(&self.shape, number, at as u64 + 1, text)).collect();
        let (headers, page) = self.page(&format!("issues/{number}/comments"), query, all);
        (200, headers, json!(page))
    }

    pub(super) fn take_label(&mut self, number: u64, name: &str) -> Answer {
        let pull = self.pull_mut(number).unwrap();
        let before = pull.labels.len();
        pull.labels.retain(|on| !on.eq_ignore_ascii_case(name));
        if pull.labels.len() == before {
            return refuse(404, "Label does not exist");
        }
        let left = pull.labels.clone();
        (200, Vec::new(), left.iter().map(|name| label(&self.shape, name)).collect())
    }

    /// One page of a list, and the links to the others.
    fn page(&self, path: &str, query: &str, all: Vec<Value>) -> (Vec<(&'static str, String)>, Vec<Value>) {
        let given: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let number = |key: &str, or: usize| given.get(key).and_then(|text| text.parse().ok()).unwrap_or(or);
        let (size, page) = (number("per_page", 30).clamp(1, 100), number("page", 1).max(1));
        let last = all.len().div_ceil(size).max(1);
        let mut headers = Vec::new();
        if page < last {
            let (api, id) = (&self.shape.api, self.shape.id);
            let next = format!("<{api}/repositories/{id}/{path}?per_page={size}&page={}>; rel=\"next\"", page + 1);
            headers.push(("link", next));
        }
        (headers, all.into_iter().skip((page - 1) * size).take(size).collect())
    }
}
