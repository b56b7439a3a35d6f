//! Bitbucket Cloud, with an API token of an account, or an access token of a repository, project or workspace.
//!
//! Design: `wire` and `message` are Bitbucket's JSON; `add` (reviewers), `judge` (reviews and build statuses) and `merge` are what it does
//! in its own way. The rest is in [`hosted`](super::hosted). Bitbucket tells commits of pull requests by their first
//! digits: the tips of branches are read beside a list, once for all of it.

mod add;
mod judge;
mod merge;
mod message;
mod status;
mod wire;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded::{Serializer, byte_serialize};

use self::add::of_person;
pub(super) use self::status::body as status_body;
pub(super) use self::wire::state_of;
use self::wire::{CloudComment, CloudCommit, CloudPull, CloudRepository, CloudTip};
use super::error::{ForgeError, Problem};
use super::hosted::{
    Api, ApiClient, Ask, Dialect, ForgePull as _, Hosted, Login, Pages, Repeat, States, is_plain, may_be_unknown, word,
};
use super::{Feature, Opening, PullError, StatusApi};
use crate::document::at::At;
use crate::document::check::{Check, optional};
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::document::value;
use crate::http::status::Deployments;
use crate::model::{BranchName, CommitId, Merge, MergeOutcome, PullRequestSpec, one_line};

/// The keys of Bitbucket Cloud.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BitbucketConfig {
    /// The API; default `https://api.bitbucket.org/2.0`.
    api_url: Option<At<String>>,
    /// `workspace/repository`.
    repository: Option<At<String>>,
    /// An access token of the repository, its project or workspace with the scopes `pullrequest:write` and
    /// `repository:write`; or, with `email`, an API token of an account with the same.
    token: Option<At<Secret>>,
    /// The Atlassian account of an API token.
    email: Option<At<String>>,
}

impl BitbucketConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<BitbucketForgeSettings> {
        let repository = check.required(at, "bitbucket", "repository", self.repository.as_ref());
        let repository = repository.and_then(|at| check.text(at, value::owner_and_name));
        let token = check.required(at, "bitbucket", "token", self.token.as_ref()).and_then(|at| check.secret(at));
        let email = optional(self.email.as_ref(), |at| check.username(at));
        let api_url = check.url_or(self.api_url.as_ref(), DEFAULT_API);
        let (workspace, name) = repository?;
        let repository = format!("{workspace}/{name}");
        Some(BitbucketForgeSettings { api_url: api_url?, repository, token: token?, email: email? })
    }
}

/// A repository on Bitbucket Cloud, the token not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitbucketForgeSettings {
    api_url: String,
    repository: String,
    token: SecretSource,
    email: Option<String>,
}

const DEFAULT_API: &str = "https://api.bitbucket.org/2.0";

/// One repository on Bitbucket Cloud.
pub type Bitbucket = Hosted<BitbucketApi>;

/// What Bitbucket Cloud does in its own way.
pub struct BitbucketApi {
    api: ApiClient,
}

const DIALECT: Dialect = Dialect {
    forge: "Bitbucket",
    address: DEFAULT_API,
    needs: "the scopes `pullrequest:write` and `repository:write`",
    repositories: "",
    full_name: "full_name",
    check_name,
    route: |name| format!("/repositories/{name}"),
    moved: |path| match path.split('/').skip(1).collect::<Vec<_>>().as_slice() {
        ["repositories", workspace, name, ..] => Some(format!("/repositories/{workspace}/{name}")),
        _ => None,
    },
    authorize: |request, login, token| match login {
        Login::Basic { user, .. } => request.basic_auth(user, Some(token)),
        Login::Token(_) | Login::Lent(_) => request.bearer_auth(token),
    },
    message: |body| message::message(&body),
    next: |_, _| {
        "give the token the scopes `pullrequest:write` and `repository:write`, and its owner write access".to_owned()
    },
    accepted: |_| String::new(),
    pages: Pages::Next,
};

/// Refuses names that cannot be: they become parts of paths.
fn check_name(name: &str) -> Result<(), String> {
    match name.split_once('/') {
        Some((workspace, name)) if is_plain(workspace) && is_plain(name) => Ok(()),
        _ => Err("the repository's name is not valid; next: write `repository: workspace/name`".to_owned()),
    }
}

impl Api for BitbucketApi {
    type Settings = BitbucketForgeSettings;
    type Pull = CloudPull;

    const LACKS: &'static [Feature] = &[Feature::Labels, Feature::TeamReviewers, Feature::MergeAtCommit];
    /// The most that Bitbucket answers in lists of pull requests.
    const PAGE: u32 = 50;
    const MAX_TITLE: usize = 255;

    fn secrets(settings: &BitbucketForgeSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("Bitbucket token", &settings.token)]
    }

    fn commit_page(settings: &BitbucketForgeSettings) -> Option<String> {
        (settings.api_url == DEFAULT_API).then(|| format!("https://bitbucket.org/{}/commits/", settings.repository))
    }

    fn statuses(settings: &BitbucketForgeSettings) -> Option<StatusApi<'_>> {
        let base = format!("{}/repositories/{}", settings.api_url, settings.repository);
        let (repository, user) = (settings.repository.clone(), settings.email.as_deref());
        let token = Some(&settings.token);
        let deployments = Deployments::None;
        Some(StatusApi { base, repository, user, token, speech: &status::SPEECH, deployments })
    }

    fn open(settings: &BitbucketForgeSettings, opening: &Opening<'_>) -> Result<Self, PullError> {
        let token = opening.secret(&settings.token)?;
        let login = match &settings.email {
            Some(email) => Login::Basic { user: email.clone(), token },
            None => Login::Token(token),
        };
        let place = opening.place(settings.api_url.clone(), settings.repository.clone(), login);
        Ok(Self { api: ApiClient::new(&DIALECT, &place)? })
    }

    fn client(&self) -> &ApiClient {
        &self.api
    }

    async fn check(&self) -> Result<(), ForgeError> {
        let (_, headers) = self.api.ask_heard::<CloudRepository>(Ask::get("")).await?;
        // Of tokens of accounts the words are in another order: `write:pullrequest:bitbucket`.
        let scopes = word(&headers, "x-oauth-scopes").unwrap_or_default();
        let may_write =
            |scope: &str| scope.contains("pullrequest") && (scope.contains("write") || scope.contains("admin"));
        if !scopes.is_empty() && !scopes.split(',').any(may_write) {
            let message = format!("the token has the scopes {}", one_line(scopes, 200));
            let next = "make a token with the scopes `pullrequest:write` and `repository:write`".to_owned();
            return Err(self.api.error("GET the repository", Problem::Forbidden { message, next }));
        }
        self.api.ask::<Value>(Ask::get("pullrequests?state=OPEN&pagelen=1")).await.map(drop)
    }

    async fn words(&self) -> Option<String> {
        let rights = may_be_unknown(self.rights("permission=\"admin\"").await).ok()?;
        let hidden = "the token may not read who may write to the repository, so that only default reviewers' approvals count; give it the right to administer the repository if others' must";
        rights.is_none().then(|| hidden.to_owned())
    }

    fn open_path(&self) -> String {
        query(&[("state", "OPEN"), ("sort", "created_on"), ("fields", "+values.reviewers")])
    }

    fn branch_path(&self, head: &BranchName, base: &BranchName, states: States) -> String {
        let quoted = |name: &BranchName| name.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        let filter =
            format!("source.branch.name=\"{}\" AND destination.branch.name=\"{}\"", quoted(head), quoted(base));
        let more = [("q", filter.as_str()), ("sort", "-created_on"), ("fields", "+values.reviewers")];
        let states: &[&str] = match states {
            States::Open => &["OPEN"],
            States::All => &STATES,
        };
        let pairs: Vec<_> = states.iter().map(|state| ("state", *state)).chain(more).collect();
        query(&pairs)
    }

    /// In every state, as one may be reopened by its successor.
    fn closed_path(&self, page: u32, _: Option<Timestamp>) -> String {
        let page = page.to_string();
        let more = [("sort", "-updated_on"), ("page", page.as_str())];
        query(&STATES.map(|state| ("state", state)).into_iter().chain(more).collect::<Vec<_>>())
    }

    async fn one(&self, number: u64) -> Result<CloudPull, ForgeError> {
        let there: CloudPull = self.api.ask(Ask::get(format!("pullrequests/{number}"))).await?;
        let mut there = self.completed(vec![there]).await?.remove(0);
        if let Some(merged) = &mut there.merge_commit
            && let Some(full) = self.in_full(&merged.hash).await?
        {
            full.as_str().clone_into(&mut merged.hash);
        }
        Ok(there)
    }

    async fn completed(&self, mut pulls: Vec<CloudPull>) -> Result<Vec<CloudPull>, ForgeError> {
        let own = pulls.iter().filter(|pull| pull.is_own() && pull.source.commit.is_some());
        let heads: Vec<String> = own.map(|pull| pull.head().to_owned()).collect();
        let tips: Vec<(String, CommitId)> = match heads.as_slice() {
            [] => Vec::new(),
            [head] => self.tip_of(head).await?.map(|tip| (head.clone(), tip)).into_iter().collect(),
            // What all of them begin with is what the bot's branches begin with.
            [first, rest @ ..] => {
                self.tips(rest.iter().fold(first.as_str(), |begin, head| shared(begin, head))).await?
            }
        };
        for pull in &mut pulls {
            let tip = tips.iter().find(|(name, tip)| name == pull.head() && pull.shows(tip));
            pull.tip = tip.map(|(_, tip)| tip.clone());
        }
        Ok(pulls)
    }

    fn merged_as(&self, there: &CloudPull, merge: &Merge, _: CommitId) -> Result<MergeOutcome, ForgeError> {
        self.merged(there, merge)
    }

    async fn messages(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        let commits: Vec<CloudCommit> = self.api.list(format!("pullrequests/{number}/commits?pagelen=100")).await?;
        Ok(commits.into_iter().map(|commit| commit.message).collect())
    }

    async fn default_reviewers(&self, _: &PullRequestSpec) -> Result<Vec<String>, ForgeError> {
        let people = may_be_unknown(self.default_people().await)?.unwrap_or_default();
        Ok(people.into_iter().map(|person| person.uuid).collect())
    }

    fn creating(&self, spec: &PullRequestSpec, draft: bool, defaults: &[String]) -> Ask {
        let branch = |name: &BranchName| json!({ "branch": { "name": name.as_str() } });
        let body = json!({
            "title": spec.title, "description": spec.body, "source": branch(&spec.head), "destination": branch(&spec.base),
            "draft": draft, "close_source_branch": false,
            "reviewers": defaults.iter().map(|uuid| json!({ "uuid": uuid })).collect::<Vec<_>>(),
        });
        Ask::post("pullrequests", body, Repeat::LookFirst)
    }

    /// A second one is not refused: Bitbucket answers with the one that is there.
    fn exists(problem: &Problem) -> bool {
        matches!(problem, Problem::Rejected { status: 400 | 409, message } if message.contains("already exists"))
    }

    fn rewriting(&self, there: &CloudPull, title: &str, body: &str) -> Ask {
        let reviewers: Vec<Value> = there.reviewers.iter().map(of_person).collect();
        let change = json!({ "title": title, "description": body, "reviewers": reviewers });
        Ask::put(format!("pullrequests/{}", there.number()), change)
    }

    async fn close(&self, there: CloudPull, body: Option<&str>) -> Result<(), ForgeError> {
        if let Some(body) = body {
            let ask = self.rewriting(&there, there.title(), body);
            self.api.ask::<CloudPull>(ask).await?;
        }
        let ask = Ask::post(format!("pullrequests/{}/decline", there.number()), json!({}), Repeat::LookFirst);
        self.api.tell(ask).await
    }

    async fn comments(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        let all: Vec<CloudComment> = self.api.list(format!("pullrequests/{number}/comments?pagelen=100")).await?;
        Ok(all.into_iter().filter_map(|comment| comment.content.raw).collect())
    }

    fn commenting(&self, number: u64, text: &str) -> Ask {
        let body = json!({ "content": { "raw": text } });
        Ask::post(format!("pullrequests/{number}/comments"), body, Repeat::LookFirst)
    }
}

const STATES: [&str; 4] = ["OPEN", "MERGED", "DECLINED", "SUPERSEDED"];

impl BitbucketApi {
    /// The branches whose names begin so, with their tips.
    async fn tips(&self, begin: &str) -> Result<Vec<(String, CommitId)>, ForgeError> {
        let filter = format!("name ~ \"{}\"", begin.replace('\\', "\\\\").replace('"', "\\\""));
        let query = Serializer::new(String::new()).append_pair("q", &filter).append_pair("pagelen", "100").finish();
        let all: Vec<CloudTip> = self.api.list(format!("refs/branches?{query}")).await?;
        Ok(all.into_iter().filter_map(|tip| Some((tip.name, CommitId::parse(&tip.target.hash).ok()?))).collect())
    }
}

/// What both begin with.
fn shared<'a>(one: &'a str, other: &str) -> &'a str {
    let same = one.char_indices().zip(other.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
    let end = same.unwrap_or(one.len().min(other.len()));
    one.get(..end).unwrap_or_default()
}

/// A name as part of a path.
fn encoded(name: &str) -> String {
    byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

/// The path of a list of pull requests, with 50 per page.
fn query(pairs: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(pairs).append_pair("pagelen", "50").finish();
    format!("pullrequests?{query}")
}
