//! A forge with one repository, as far as pull requests go: stateful, faithful in its refusals, scriptable in its faults.
//! It speaks as GitHub does, or, with the same state, as GitLab (`gitlab`), Gitea (`gitea`) or Bitbucket (`bitbucket`, `bitbucket_dc`) and Azure DevOps (`azure`) do.
//!
//! It runs on a thread of its own, so that tests without Tokio, and tests that block, may use it too. What it answers is
//! checked by prism against GitHub's own OpenAPI description (see `github_prism`). What it refuses is what GitHub
//! refuses: a second open pull request of the same head and base (422), reviewers who are no collaborators (422), a
//! missing `User-Agent` (403), a wrong token (401), and anything unknown (404).

#![allow(dead_code, reason = "each test uses a part of it")]

mod azure;
mod batch;
mod bitbucket;
mod bitbucket_dc;
mod commits;
mod gitea;
mod gitlab;
mod judge;
mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use serde_json::{Map, Value, json};

pub(crate) use commits::APP;
use commits::Objects;
pub(crate) use gitea::DELETED;
use judge::Judged;
pub(crate) use judge::StubMerge;
use queue::Queue;

use super::github_shape::{Shape, TIME, comment, event, label, pull_commit, pull_details, team, user};
use super::server::Server;

/// The token that the stub takes unless told otherwise.
pub(crate) const TOKEN: &str = "ghp_stubStubStubStubStubStubStubStub0000";
/// The bot's account.
pub(crate) const BOT: &str = "landfall-bot";

/// As which forge a stub speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    GitHub,
    GitLab,
    Gitea,
    Bitbucket,
    BitbucketDc,
    Azure,
}

/// The id of the first repository; each has its own.
static NEXT_ID: AtomicU64 = AtomicU64::new(4242);

/// A pull request as the stub keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StubPull {
    pub(crate) number: u64,
    pub(crate) state: &'static str,
    pub(crate) merged: bool,
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    pub(crate) head: String,
    pub(crate) base: String,
    pub(crate) draft: bool,
    pub(crate) labels: Vec<String>,
    pub(crate) reviewers: Vec<String>,
    pub(crate) teams: Vec<String>,
    /// `None`: this repository; `Some((owner, id))`: a fork; an id of `None`: a fork that was deleted.
    pub(crate) fork: Option<(String, Option<u64>)>,
    /// The head's tip when it was closed: what becomes of the branch afterwards changes nothing.
    pub(crate) tip: Option<String>,
    pub(crate) updated: &'static str,
}

impl StubPull {
    fn merge(&mut self) {
        self.state = "closed";
        self.merged = true;
    }
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

/// What goes wrong, and when.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    method: &'static str,
    /// A part of path and query.
    target: &'static str,
    /// How many matching requests pass first.
    skip: usize,
    /// How many then fail.
    times: usize,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// The work is done, and then the answer is this status.
    Done(u16),
    /// The answer comes so much later.
    Slow(Duration),
    /// Half of the right answer, then the end of the connection.
    Cut,
    /// Somebody merges the first pull request in this moment, and so it is answered with this status.
    Merged(u16),
}

impl Fault {
    /// A fault of the first request with this method (empty: any) whose path and query contain `target`.
    pub(crate) fn on(method: &'static str, target: &'static str) -> Self {
        let kind = Kind::Answer { status: 500, headers: Vec::new(), body: String::new() };
        Self { method, target, skip: 0, times: 1, kind }
    }

    /// The first `count` such requests pass.
    pub(crate) fn after(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// So many requests fail.
    pub(crate) fn times(mut self, count: usize) -> Self {
        self.times = count;
        self
    }

    /// They are answered with this and nothing is done.
    pub(crate) fn answer(mut self, status: u16, headers: &[(&'static str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.kind = Kind::Answer { status, headers, body: body.to_owned() };
        self
    }

    /// As `answer`, with a message as GitHub wraps it.
    pub(crate) fn message(self, status: u16, message: &str) -> Self {
        let body = json!({ "message": message, "documentation_url": "https://docs.example.com/rest", "status": status.to_string() });
        self.answer(status, &[("content-type", "application/json")], &body.to_string())
    }

    /// They are done, and answered with this status.
    pub(crate) fn done_but(mut self, status: u16) -> Self {
        self.kind = Kind::Done(status);
        self
    }

    /// They are done, and answered late.
    pub(crate) fn slow(mut self, by: Duration) -> Self {
        self.kind = Kind::Slow(by);
        self
    }

    /// Somebody merges the first pull request before they are done, and so they are not.
    pub(crate) fn merged_first(mut self, status: u16) -> Self {
        self.kind = Kind::Merged(status);
        self
    }

    /// They are done, and the answer breaks off.
    pub(crate) fn cut(mut self) -> Self {
        self.kind = Kind::Cut;
        self
    }
}

type Heads = Box<dyn Fn(&str) -> Option<String> + Send>;
/// What a tip has beyond a base: ids and messages.
type Commits = Box<dyn Fn(&str, &str) -> Vec<(String, String)> + Send>;

/// What the stub knows.
struct State {
    speech: Speech,
    shape: Shape,
    /// The former name, which redirects.
    former: Option<(String, String)>,
    token: String,
    pulls: Vec<StubPull>,
    comments: Vec<(u64, String)>,
    events: BTreeMap<u64, Vec<Value>>,
    collaborators: BTreeSet<String>,
    heads: Option<Heads>,
    commits: Option<Commits>,
    /// Who wrote the commits of pull requests.
    writer: String,
    drafts: bool,
    push: bool,
    archived: bool,
    /// The scopes of the token.
    scopes: Vec<String>,
    /// GitLab's word for what is in the way of a merge, or, once, Gitea's.
    merge_status: Option<String>,
    /// How many reviewers may be added at once.
    reviewer_limit: usize,
    /// GitLab's pipelines.
    pipelines: Vec<Value>,
    /// The one that GitLab judges merge requests by.
    head_pipeline: Value,
    /// Whether the token may administer the repository, and make pull requests.
    admin: bool,
    votes: bool,
    /// Whom the repository wants to be asked.
    default_reviewers: Vec<String>,
    /// How often each pull request was changed.
    changes: BTreeMap<u64, u64>,
    /// What was noted beside each pull request.
    properties: BTreeMap<u64, String>,
    /// What somebody pushes in the moment of the next merge.
    slips_in: Option<String>,
    /// Whether it is an older version.
    is_old: bool,
    /// Whether the default branch takes merges of the highest roles only.
    protected: bool,
    judged: Judged,
    queue: Queue,
    objects: Option<Objects>,
    no_graphql: bool,
    /// The app that the owner's name, as a code, is exchanged for.
    app: Option<Value>,
    /// A permission that the token has not.
    lacks: &'static str,
    faults: Vec<Fault>,
    log: Vec<Logged>,
}

/// What a server answers from; clones share it.
#[derive(Clone)]
pub(crate) struct ForgeState(Arc<Mutex<State>>);

/// A running stub; it ends when dropped.
pub(crate) struct ForgeStub {
    state: ForgeState,
    prefix: String,
    _server: Option<Server>,
}

impl ForgeStub {
    /// `acme/deploys` at the root, as on api.github.com.
    pub(crate) fn start() -> Self {
        Self::start_at("")
    }

    /// `acme/deploys` below a path, as on an Enterprise Server.
    pub(crate) fn start_at(prefix: &str) -> Self {
        Self::start_around(prefix, |routes| routes)
    }

    /// The same with something around its routes.
    pub(crate) fn start_around(prefix: &str, around: impl FnOnce(Router) -> Router) -> Self {
        Self::speaking(Speech::GitHub, prefix, around)
    }

    /// The same as any forge.
    pub(crate) fn speaking(speech: Speech, prefix: &str, around: impl FnOnce(Router) -> Router) -> Self {
        let state = ForgeState::new("acme", "deploys");
        state.lock().speech = speech;
        let (served, below) = (state.clone(), prefix.to_owned());
        let routes = Router::new().fallback(move |request| served.clone().serve(request, below.clone()));
        let server = Server::start(around(routes));
        state.lock().shape.api = format!("{}{prefix}", server.origin);
        Self { state, prefix: prefix.to_owned(), _server: Some(server) }
    }

    /// A state that somebody else serves at `api`.
    pub(crate) fn behind(state: ForgeState, api: &str) -> Self {
        api.clone_into(&mut state.lock().shape.api);
        Self { state, prefix: String::new(), _server: None }
    }

    /// The API's address.
    pub(crate) fn url(&self) -> String {
        self.state.lock().shape.api.clone()
    }

    /// The owner's name.
    pub(crate) fn owner(&self) -> String {
        self.state.lock().shape.owner.clone()
    }

    /// The pull requests, in order of creation.
    pub(crate) fn pulls(&self) -> Vec<StubPull> {
        self.state.lock().pulls.clone()
    }

    /// One pull request.
    pub(crate) fn pull(&self, number: u64) -> StubPull {
        self.state.lock().pull(number).unwrap().clone()
    }

    /// Comments: number of the pull request, text.
    pub(crate) fn comments(&self) -> Vec<(u64, String)> {
        self.state.lock().comments.clone()
    }

    /// A person merges it.
    pub(crate) fn merge(&self, number: u64) {
        self.edit(number, StubPull::merge);
    }

    /// A person closes it.
    pub(crate) fn close(&self, number: u64) {
        let mut state = self.state.lock();
        let head = state.pull(number).unwrap().head.clone();
        let tip = state.tip(&head);
        let pull = state.pull_mut(number).unwrap();
        (pull.state, pull.tip) = ("closed", Some(tip));
    }

    /// A person changes it.
    pub(crate) fn edit(&self, number: u64, change: impl FnOnce(&mut StubPull)) {
        change(self.state.lock().pull_mut(number).unwrap());
    }

    /// A person opens one; `fork` as in [`StubPull`].
    pub(crate) fn open(&self, head: &str, base: &str, fork: Option<(&str, Option<u64>)>) -> u64 {
        let fork = fork.map(|(owner, id)| (owner.to_owned(), id));
        self.state.lock().add(head, base, "by a person", None, false, fork)
    }

    /// Plans a fault.
    pub(crate) fn fault(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    /// Nothing goes wrong any more.
    pub(crate) fn no_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// Where a person reads one.
    pub(crate) fn pull_url(&self, number: u64) -> String {
        format!("https://github.example.com/{}/pull/{number}", self.state.lock().shape.full_name())
    }

    /// Plans a fault that comes before those that are planned already.
    pub(crate) fn fault_first(&self, fault: Fault) {
        self.state.lock().faults.insert(0, fault);
    }

    /// Lets a function tell each branch's tip; a branch without one does not exist, and cannot be the head of anything.
    pub(crate) fn heads(&self, heads: impl Fn(&str) -> Option<String> + Send + 'static) {
        self.state.lock().heads = Some(Box::new(heads));
    }

    /// Lets a function tell what a tip has beyond a base.
    pub(crate) fn commits(&self, commits: impl Fn(&str, &str) -> Vec<(String, String)> + Send + 'static) {
        self.state.lock().commits = Some(Box::new(commits));
    }

    /// Who wrote the commits of pull requests: an account, with an address of the same name.
    pub(crate) fn written_by(&self, account: &str) {
        account.clone_into(&mut self.state.lock().writer);
    }

    /// People, and teams as `org/slug`, who may review; at first `ann`, `ben` and `acme/sre`.
    pub(crate) fn collaborators(&self, names: &[&str]) {
        self.state.lock().collaborators = names.iter().map(|name| (*name).to_owned()).collect();
    }

    /// Takes another token from now on.
    pub(crate) fn token(&self, token: &str) {
        token.clone_into(&mut self.state.lock().token);
    }

    /// The token has these scopes and no others.
    pub(crate) fn scopes(&self, scopes: &[&str]) {
        self.state.lock().scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    }

    /// What is in the way of a merge: GitLab's word until it is told another, or the words of Gitea's next refusal.
    pub(crate) fn merge_status(&self, word: Option<&str>) {
        self.state.lock().merge_status = word.map(str::to_owned);
    }

    /// How many reviewers may be added at once.
    pub(crate) fn reviewer_limit(&self, limit: usize) {
        self.state.lock().reviewer_limit = limit;
    }

    /// GitLab's pipelines: id and status.
    pub(crate) fn pipelines(&self, all: &[(u64, &str)]) {
        let pipeline = |(id, status): &(u64, &str)| json!({ "id": id, "status": status, "source": "push", "ref": "landfall/prod" });
        self.state.lock().pipelines = all.iter().map(pipeline).collect();
    }

    /// The state of GitLab's pipeline of merged results and of its one job, on a commit that GitLab made.
    pub(crate) fn merged_results(&self, job: &str, word: &str) {
        let (mut state, sha) = (self.state.lock(), "5".repeat(40));
        state.head_pipeline = json!({ "id": 9, "status": word, "source": "merge_request_event", "ref": "refs/merge-requests/1/merge", "sha": sha });
        drop(state.judged.statuses.insert(sha, vec![(job.to_owned(), word.to_owned())]));
    }

    /// Whether the token may administer the repository.
    pub(crate) fn administers(&self, admin: bool) {
        self.state.lock().admin = admin;
    }

    /// Whom the repository wants to be asked for reviews.
    pub(crate) fn default_reviewers(&self, names: &[&str]) {
        self.state.lock().default_reviewers = names.iter().map(|name| (*name).to_owned()).collect();
    }

    /// Whether the token's owner may make pull requests.
    pub(crate) fn votes(&self, votes: bool) {
        self.state.lock().votes = votes;
    }

    /// In the moment of the next merge, somebody pushes this.
    pub(crate) fn slip_in(&self, tip: &str) {
        self.state.lock().slips_in = Some(tip.to_owned());
    }

    /// It is an older version from now on.
    pub(crate) fn is_old(&self) {
        self.state.lock().is_old = true;
    }

    /// The default branch takes merges of the highest roles only.
    pub(crate) fn protect(&self) {
        self.state.lock().protected = true;
    }

    /// An app was created, which the owner's name, as a code, is exchanged for.
    pub(crate) fn has_app(&self, app: &Value) {
        let owner = user(&self.url(), &self.owner());
        let mut whole = json!({
            "node_id": "A_1", "client_id": "Iv1.0", "client_secret": "client-S3cret", "name": "Landfall", "description": null,
            "external_url": "https://github.example.com", "created_at": TIME, "updated_at": TIME,
            "permissions": { "contents": "write" }, "events": [], "owner": owner,
        });
        for (key, value) in app.as_object().unwrap().iter().filter(|(key, _)| *key != "owner") {
            whole[key] = value.clone();
        }
        self.state.lock().app = Some(whole);
    }

    /// The token has every permission but this one.
    pub(crate) fn lacks(&self, permission: &'static str) {
        self.state.lock().lacks = permission;
    }

    /// As which forge it speaks.
    pub(crate) fn speech(&self) -> Speech {
        self.state.lock().speech
    }

    /// Whether drafts are supported.
    pub(crate) fn drafts(&self, drafts: bool) {
        self.state.lock().drafts = drafts;
    }

    /// Whether the token's owner may push, and whether the repository is archived.
    pub(crate) fn rights(&self, push: bool, archived: bool) {
        let mut state = self.state.lock();
        state.push = push;
        state.archived = archived;
    }

    /// Renames the repository; the old name redirects from now on.
    pub(crate) fn rename(&self, owner: &str, name: &str) {
        let mut state = self.state.lock();
        let former = (state.shape.owner.clone(), state.shape.name.clone());
        state.former = Some(former);
        owner.clone_into(&mut state.shape.owner);
        name.clone_into(&mut state.shape.name);
    }

    /// What was asked so far.
    pub(crate) fn requests(&self) -> Vec<Logged> {
        self.state.lock().log.clone()
    }

    /// What was asked so far as `METHOD path`, without queries and the repository's own path.
    pub(crate) fn asked(&self) -> Vec<String> {
        let state = self.state.lock();
        let base = format!("{}/repos/{}/", self.prefix, state.shape.full_name());
        let short = |logged: &Logged| {
            let path = logged.target.split('?').next().unwrap();
            format!("{} {}", logged.method, path.strip_prefix(&base).unwrap_or(path))
        };
        state.log.iter().map(short).collect()
    }

    /// Forgets what was asked.
    pub(crate) fn forget(&self) {
        self.state.lock().log.clear();
    }
}

/// An answer: status, further headers, JSON.
type Answer = (u16, Vec<(&'static str, String)>, Value);

fn refuse(status: u16, message: &str) -> Answer {
    let body = json!({ "message": message, "documentation_url": "https://docs.example.com/rest", "status": status.to_string() });
    (status, Vec::new(), body)
}

fn invalid(errors: &Value) -> Answer {
    let body = json!({ "message": "Validation Failed", "documentation_url": "https://docs.example.com/rest", "errors": errors });
    (422, Vec::new(), body)
}

impl ForgeState {
    pub(crate) fn new(owner: &str, name: &str) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let shape = Shape { api: String::new(), owner: owner.to_owned(), name: name.to_owned(), id };
        let state = State {
            speech: Speech::GitHub,
            shape,
            former: None,
            token: TOKEN.to_owned(),
            pulls: Vec::new(),
            comments: Vec::new(),
            events: BTreeMap::new(),
            collaborators: ["ann", "ben", "acme/sre"].map(str::to_owned).into(),
            heads: None,
            commits: None,
            writer: BOT.to_owned(),
            drafts: true,
            push: true,
            archived: false,
            scopes: ["api", "write:repository", "write:issue", "pullrequest:write"].map(str::to_owned).into(),
            merge_status: None,
            reviewer_limit: usize::MAX,
            pipelines: Vec::new(),
            head_pipeline: Value::Null,
            admin: true,
            votes: true,
            default_reviewers: Vec::new(),
            changes: BTreeMap::new(),
            properties: BTreeMap::new(),
            slips_in: None,
            is_old: false,
            protected: false,
            judged: Judged::default(),
            queue: Queue::default(),
            objects: None,
            no_graphql: false,
            app: None,
            lacks: "",
            faults: Vec::new(),
            log: Vec::new(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The repository's id.
    pub(crate) fn id(&self) -> u64 {
        self.lock().shape.id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Answers one request, faults included.
    pub(crate) async fn serve(self, request: Request, prefix: String) -> Response {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 1 << 24).await.unwrap_or_default();
        let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let logged = Logged {
            method: parts.method.to_string(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            target,
        };
        let fault = {
            let mut state = self.lock();
            state.log.push(logged.clone());
            state.fault_for(&logged)
        };
        let (status, headers, value) = match &fault {
            Some(Kind::Answer { status, headers, body }) => return raw(*status, headers, body.clone().into()),
            Some(Kind::Merged(status)) => {
                self.lock().pull_mut(1).unwrap().merge();
                return raw(*status, &[], "{\"message\": \"it is merged\"}".into());
            }
            _ => {
                let mut state = self.lock();
                match state.speech {
                    Speech::GitHub => state.answer(&logged, &prefix),
                    Speech::GitLab => state.gitlab(&logged, &prefix),
                    Speech::Gitea => state.gitea(&logged, &prefix),
                    Speech::Bitbucket => state.bitbucket(&logged, &prefix),
                    Speech::BitbucketDc => state.center(&logged, &prefix),
                    Speech::Azure => state.azure(&logged, &prefix),
                }
            }
        };
        let text = value.to_string();
        match fault {
            Some(Kind::Done(status)) => return raw(status, &[], "<html>Bad Gateway</html>".into()),
            Some(Kind::Slow(by)) => tokio::time::sleep(by).await,
            Some(Kind::Cut) => {
                let half = Bytes::from(text[..text.len() / 2].to_owned());
                let end = std::io::Error::other("cut");
                let stream = futures::stream::iter([Ok(half), Err(end)]);
                let mut response = raw(status, &headers, Body::from_stream(stream));
                response.headers_mut().insert("content-length", text.len().into());
                return response;
            }
            _ => {}
        }
        let mut headers = headers;
        headers.push(("content-type", "application/json; charset=utf-8".to_owned()));
        raw(status, &headers, text.into())
    }
}

fn raw(status: u16, headers: &[(&'static str, String)], body: Body) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(body).unwrap()
}

impl State {
    fn fault_for(&mut self, logged: &Logged) -> Option<Kind> {
        let fits = |fault: &Fault| {
            (fault.method.is_empty() || fault.method == logged.method) && logged.target.contains(fault.target)
        };
        let mut kind = None;
        for fault in self.faults.iter_mut().filter(|fault| fits(fault)) {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if fault.times > 0 && kind.is_none() {
                fault.times -= 1;
                kind = Some(fault.kind.clone());
            }
        }
        kind
    }

    fn pull(&self, number: u64) -> Option<&StubPull> {
        self.pulls.iter().find(|pull| pull.number == number)
    }

    fn pull_mut(&mut self, number: u64) -> Option<&mut StubPull> {
        self.pulls.iter_mut().find(|pull| pull.number == number)
    }

    fn answer(&mut self, logged: &Logged, prefix: &str) -> Answer {
        if logged.headers.get("user-agent").is_none() {
            return refuse(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
            );
        }
        if let ("POST", Some(app)) = (logged.method.as_str(), &self.app)
            && logged.target == format!("{prefix}/app-manifests/{}/conversions", self.shape.owner)
        {
            return (201, Vec::new(), app.clone());
        }
        let bearer = format!("Bearer {}", self.token);
        if logged.headers.get("authorization").is_none_or(|given| given.as_bytes() != bearer.as_bytes()) {
            return refuse(401, "Bad credentials");
        }
        let (path, query) = logged.target.split_once('?').unwrap_or((&logged.target, ""));
        let Some(path) = path.strip_prefix(prefix) else { return refuse(404, "Not Found") };
        if path == "/graphql" && self.no_graphql {
            return refuse(403, "Resource not accessible by integration");
        }
        if path == "/graphql" {
            return self.graphql(&logged.body);
        }
        let words: Vec<&str> = path.split('/').skip(1).collect();
        let id = self.shape.id.to_string();
        let rest = match words.as_slice() {
            ["user"] => return (200, Vec::new(), user(&self.shape.api, BOT)),
            ["repositories", given, rest @ ..] if *given == id => rest,
            ["repos", owner, name, rest @ ..] if self.is_named(owner, name) => rest,
            ["repos", owner, name, rest @ ..] if self.was_named(owner, name) => {
                return self.redirect(rest, logged, query);
            }
            _ => return refuse(404, "Not Found"),
        };
        self.route(logged, rest, query)
    }

    fn is_named(&self, owner: &str, name: &str) -> bool {
        owner.eq_ignore_ascii_case(&self.shape.owner) && name.eq_ignore_ascii_case(&self.shape.name)
    }

    fn was_named(&self, owner: &str, name: &str) -> bool {
        self.former.as_ref().is_some_and(|(o, n)| (o.as_str(), n.as_str()) == (owner, name))
    }

    fn redirect(&self, rest: &[&str], logged: &Logged, query: &str) -> Answer {
        let mut target = format!("{}/repositories/{}", self.shape.api, self.shape.id);
        for word in rest {
            target = format!("{target}/{word}");
        }
        if !query.is_empty() {
            target = format!("{target}?{query}");
        }
        let status = if logged.method == "GET" { 301 } else { 307 };
        let body =
            json!({ "message": "Moved Permanently", "url": target, "documentation_url": "https://docs.example.com" });
        (status, vec![("location", target)], body)
    }

    fn route(&mut self, logged: &Logged, rest: &[&str], query: &str) -> Answer {
        let numbered = matches!(rest.first(), Some(&("pulls" | "issues")));
        let number = rest.get(1).filter(|_| numbered).and_then(|word| word.parse::<u64>().ok());
        if let Some(number) = number
            && self.pull(number).is_none()
        {
            return refuse(404, "Not Found");
        }
        match (logged.method.as_str(), rest, number) {
            ("GET", [], _) => self.repository(),
            ("GET", ["pulls"], _) => self.list(query),
            ("POST", ["pulls"], _) => self.create(&logged.body),
            ("GET", ["pulls", _], Some(number)) => (200, Vec::new(), self.one(number)),
            ("PATCH", ["pulls", _], Some(number)) => self.patch(number, &logged.body),
            ("POST", ["pulls", _, "requested_reviewers"], Some(number)) => self.reviewers(number, &logged.body),
            ("POST", ["issues", _, "labels"], Some(number)) => self.labels(number, &logged.body),
            ("POST", ["issues", _, "comments"], Some(number)) => {
                let text = logged.body["body"].as_str().unwrap_or_default().to_owned();
                self.comments.push((number, text.clone()));
                (201, Vec::new(), comment(&self.shape, number, self.comments.len() as u64, &text))
            }
            ("GET", ["issues", _, "comments"], Some(number)) => self.comments_of(number, query),
            ("DELETE", ["issues", _, "labels", name], Some(number)) => self.take_label(number, &decoded(name)),
            ("GET", ["pulls", _, "commits"], Some(number)) => self.commits_of(number),
            ("GET", ["pulls", _, "reviews"], Some(number)) => self.reviews(number, query),
            ("PUT", ["pulls", _, "merge"], Some(number)) => self.merge(number, &logged.body),
            ("POST", [part @ ("statuses" | "deployments"), ..], _) if self.lacks == *part => {
                let (status, mut headers, body) = refuse(403, "Resource not accessible by integration");
                headers.push(("x-accepted-github-permissions", format!("{part}=write")));
                (status, headers, body)
            }
            ("POST", ["statuses", sha], _) => refuse(422, &format!("No commit found for SHA: {sha}")),
            ("POST", ["deployments"], _) => refuse(422, "No ref found for: 0000000000000000000000000000000000000000"),
            ("GET", ["activity"], _) => self.activity(query),
            (method, ["git", rest @ ..], _) => self.git_database(method, rest, &logged.body),
            ("GET", ["collaborators", login, "permission"], _) => self.permission(login),
            ("GET", ["commits", branch], _) => self.commit_at(&decoded(branch)),
            ("GET", ["commits", sha, "status"], _) => self.combined(sha, query),
            ("GET", ["commits", sha, "check-runs"], _) => self.runs(sha, query),
            ("GET", ["issues", _, "events"], Some(number)) => {
                (200, Vec::new(), json!(self.events.get(&number).cloned().unwrap_or_default()))
            }
            _ => refuse(404, "Not Found"),
        }
    }

    fn repository(&self) -> Answer {
        let mut repository = self.shape.repository(&self.shape.owner, self.shape.id);
        repository["permissions"]["push"] = json!(self.push);
        repository["archived"] = json!(self.archived);
        for (key, method) in
            [("allow_merge_commit", "merge"), ("allow_squash_merge", "squash"), ("allow_rebase_merge", "rebase")]
        {
            repository[key] = json!(self.allowed(method));
        }
        (200, Vec::new(), repository)
    }

    fn list(&self, query: &str) -> Answer {
        let given: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let has = |key: &str| given.get(key).map(String::as_str);
        let state = has("state").unwrap_or("open");
        let mut found: Vec<&StubPull> = self.pulls.iter().collect();
        found.retain(|pull| state == "all" || pull.state == state);
        found.retain(|pull| has("base").is_none_or(|base| base == pull.base));
        // As GitHub: the owner of the head's repository and the branch; a filter without a colon filters nothing.
        if let Some((owner, branch)) = has("head").and_then(|head| head.split_once(':')) {
            let owner_of = |pull: &StubPull| pull.fork.as_ref().map_or(self.shape.owner.clone(), |fork| fork.0.clone());
            found.retain(|pull| pull.head == branch && owner_of(pull).eq_ignore_ascii_case(owner));
        }
        if has("direction").unwrap_or("desc") == "desc" {
            found.reverse();
        }
        let size = has("per_page").and_then(|size| size.parse().ok()).unwrap_or(30usize).clamp(1, 100);
        let page = has("page").and_then(|page| page.parse().ok()).unwrap_or(1usize).max(1);
        let last = found.len().div_ceil(size).max(1);
        let mut headers = Vec::new();
        if page < last {
            let link = |page: usize, rel: &str| {
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                query.extend_pairs(given.iter().filter(|(key, _)| *key != "page"));
                query.append_pair("page", &page.to_string());
                let (api, id) = (&self.shape.api, self.shape.id);
                format!("<{api}/repositories/{id}/pulls?{}>; rel=\"{rel}\"", query.finish())
            };
            headers.push(("link", format!("{}, {}", link(page + 1, "next"), link(last, "last"))));
        }
        let items: Vec<Value> =
            found.into_iter().skip((page - 1) * size).take(size).map(|p| Value::Object(self.simple(p))).collect();
        (200, headers, Value::Array(items))
    }

    fn simple(&self, pull: &StubPull) -> Map<String, Value> {
        let tip = |branch: &str| self.tip(branch);
        let own = (self.shape.owner.clone(), Some(self.shape.id));
        let (head_owner, head_id) = pull.fork.clone().unwrap_or(own);
        let ended = (pull.state == "closed").then_some(pull.updated);
        let value = json!({
            "number": pull.number, "state": pull.state, "locked": false, "title": pull.title, "body": pull.body,
            "user": user(&self.shape.api, BOT), "draft": pull.draft,
            "labels": pull.labels.iter().map(|name| label(&self.shape, name)).collect::<Vec<_>>(),
            "milestone": null, "active_lock_reason": null, "created_at": TIME, "updated_at": pull.updated, "closed_at": ended,
            "merged_at": pull.merged.then_some(pull.updated), "merge_commit_sha": self.merge_commit(pull.number), "assignee": null, "assignees": [],
            "requested_reviewers": pull.reviewers.iter().map(|name| user(&self.shape.api, name)).collect::<Vec<_>>(),
            "requested_teams": pull.teams.iter().map(|slug| team(&self.shape.api, &self.shape.owner, slug)).collect::<Vec<_>>(),
            "head": self.shape.end(&head_owner, head_id, &pull.head, &pull.tip.clone().unwrap_or_else(|| tip(&pull.head))),
            "base": self.shape.end(&self.shape.owner, Some(self.shape.id), &pull.base, &tip(&pull.base)),
            "author_association": "MEMBER", "auto_merge": null,
        });
        let mut value = value.as_object().unwrap().clone();
        self.shape.pull_urls(pull.number, &mut value);
        value
    }

    fn commits_of(&self, number: u64) -> Answer {
        let (writer, address) = self.writer();
        let commit = |(sha, message): &(String, String)| pull_commit(&self.shape, sha, message, writer, &address);
        (200, Vec::new(), self.beyond(number).iter().map(commit).collect())
    }

    /// What a pull request has beyond its base: ids and messages, unless told otherwise one commit.
    fn beyond(&self, number: u64) -> Vec<(String, String)> {
        let pull = self.pull(number).unwrap();
        let tip = pull.tip.clone().unwrap_or_else(|| self.tip(&pull.head));
        match &self.commits {
            Some(commits) => commits(&tip, &pull.base),
            None => vec![(tip, "a change".to_owned())],
        }
    }

    /// Who wrote commits: the account and the address.
    fn writer(&self) -> (&str, String) {
        let name = if self.writer == BOT { "landfall" } else { &self.writer };
        (&self.writer, format!("{name}@example.com"))
    }

    fn one(&self, number: u64) -> Value {
        let pull = self.pull(number).unwrap();
        let mut value = self.simple(pull);
        value.extend(pull_details(pull.merged, self.mergeable_state(pull)));
        Value::Object(value)
    }

    fn create(&mut self, body: &Value) -> Answer {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let (head, base, title) = (text("head"), text("base"), text("title"));
        let missing = |field: &str| invalid(&json!([{ "resource": "PullRequest", "field": field, "code": "invalid" }]));
        if self.heads.as_ref().is_some_and(|heads| heads(&head).is_none()) {
            return missing("head");
        }
        if title.is_empty() {
            return missing("title");
        }
        let same =
            |pull: &&StubPull| (&pull.head, &pull.base, pull.state) == (&head, &base, "open") && pull.fork.is_none();
        if self.pulls.iter().any(|pull| same(&pull)) {
            let message = format!("A pull request already exists for {}:{head}.", self.shape.owner);
            return invalid(&json!([{ "resource": "PullRequest", "code": "custom", "message": message }]));
        }
        let draft = body["draft"].as_bool().unwrap_or(false);
        if draft && !self.drafts {
            return refuse(422, "Draft pull requests are not supported in this repository.");
        }
        let number = self.add(&head, &base, &title, body["body"].as_str(), draft, None);
        (201, Vec::new(), self.one(number))
    }

    fn add(
        &mut self,
        head: &str,
        base: &str,
        title: &str,
        body: Option<&str>,
        draft: bool,
        fork: Option<(String, Option<u64>)>,
    ) -> u64 {
        let number = self.pulls.len() as u64 + 1;
        self.pulls.push(StubPull {
            number,
            state: "open",
            merged: false,
            title: title.to_owned(),
            body: body.map(str::to_owned),
            head: head.to_owned(),
            base: base.to_owned(),
            draft,
            labels: Vec::new(),
            reviewers: Vec::new(),
            teams: Vec::new(),
            fork,
            tip: None,
            updated: TIME,
        });
        number
    }

    fn patch(&mut self, number: u64, body: &Value) -> Answer {
        let pull = self.pull_mut(number).unwrap();
        if let Some(title) = body["title"].as_str() {
            title.clone_into(&mut pull.title);
        }
        if let Some(text) = body["body"].as_str() {
            pull.body = Some(text.to_owned());
        }
        match body["state"].as_str() {
            Some("closed") => pull.state = "closed",
            Some("open") if !pull.merged => (pull.state, pull.tip) = ("open", None),
            _ => {}
        }
        (200, Vec::new(), self.one(number))
    }

    fn labels(&mut self, number: u64, body: &Value) -> Answer {
        let names = words(&body["labels"]);
        let events = names
            .iter()
            .map(|name| event(&self.shape, "labeled", &json!({ "label": { "name": name, "color": "ededed" } })));
        let events: Vec<Value> = events.collect();
        self.events.entry(number).or_default().extend(events);
        let pull = self.pull_mut(number).unwrap();
        for name in names {
            if !pull.labels.contains(&name) {
                pull.labels.push(name);
            }
        }
        let labels = pull.labels.clone();
        (200, Vec::new(), labels.iter().map(|name| label(&self.shape, name)).collect())
    }

    fn reviewers(&mut self, number: u64, body: &Value) -> Answer {
        let people = words(&body["reviewers"]);
        let teams = words(&body["team_reviewers"]);
        let owner = self.shape.owner.clone();
        let known = people.iter().all(|name| self.collaborators.contains(name))
            && teams.iter().all(|slug| self.collaborators.iter().any(|known| known.ends_with(&format!("/{slug}"))));
        if !known {
            return refuse(
                422,
                "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the repository.",
            );
        }
        let api = self.shape.api.clone();
        let bot = user(&api, BOT);
        let asked =
            people.iter().map(|name| json!({ "requested_reviewer": user(&api, name), "review_requester": bot }));
        let asked = asked.chain(
            teams.iter().map(|slug| json!({ "requested_team": team(&api, &owner, slug), "review_requester": bot })),
        );
        let events: Vec<Value> = asked.map(|more| event(&self.shape, "review_requested", &more)).collect();
        self.events.entry(number).or_default().extend(events);
        let pull = self.pull_mut(number).unwrap();
        pull.reviewers.extend(people);
        pull.teams.extend(teams);
        let pull = self.pull(number).unwrap();
        (201, Vec::new(), Value::Object(self.simple(pull)))
    }
}

/// One page of a list, and the link to the next one.
fn page_of(api: &str, path: &str, query: &str, key: &str, most: usize, all: Vec<Value>) -> Answer {
    let given: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let number = |key: &str, or: usize| given.get(key).and_then(|text| text.parse().ok()).unwrap_or(or);
    let (size, page) = (number(key, 20).clamp(1, most), number("page", 1).max(1));
    let mut headers = Vec::new();
    if page < all.len().div_ceil(size).max(1) {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(given.iter().filter(|(key, _)| *key != "page"));
        query.append_pair("page", &(page + 1).to_string());
        headers.push(("link", format!("<{api}/{path}?{}>; rel=\"next\"", query.finish())));
    }
    (200, headers, all.into_iter().skip((page - 1) * size).take(size).collect())
}

/// A part of a path as it was meant.
fn decoded(word: &str) -> String {
    let pair = format!("x={}", word.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, text)| text.into_owned()).unwrap_or_default()
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}
