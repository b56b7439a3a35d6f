//! Bitbucket Data Center, with an HTTP access token of an account, a project or a repository.
//!
//! Design: `wire` is Bitbucket's JSON; `judge` (reviews, build statuses, merges) and `add` (reviewers) are what it does in
//! its own way. The rest is in [`hosted`](super::hosted).

mod add;
mod judge;
mod status;
mod wire;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use self::wire::{CenterActivity, CenterCommit, CenterPull, CenterRepository, CenterUser};
use super::error::{ForgeError, Problem};
use super::hosted::{
    Api, ApiClient, Ask, Dialect, ForgePull as _, Hosted, Login, Pages, Repeat, States, is_plain, may_be_unknown, word,
};
use super::{Feature, Opening, PullError, StatusApi};
use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::document::value;
use crate::http::status::Deployments;
use crate::model::{BranchName, PullRequestSpec, one_line};

/// The keys of Bitbucket Data Center.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BitbucketDcConfig {
    /// The address of Bitbucket, such as `https://bitbucket.example.com`.
    url: Option<At<String>>,
    /// `PROJECT/repository`; of a person, `~name/repository`.
    repository: Option<At<String>>,
    /// An HTTP access token with the permission *Repository write*, of an account, the project or the repository.
    token: Option<At<Secret>>,
}

impl BitbucketDcConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<BitbucketDcForgeSettings> {
        let kind = "bitbucket-dc";
        let url = check.required(at, kind, "url", self.url.as_ref());
        let url = url.and_then(|at| check.text(at, value::http_url));
        let repository = check.required(at, kind, "repository", self.repository.as_ref());
        let repository = repository.and_then(|at| check.text(at, |text| check_name(text).map(|()| text.to_owned())));
        let token = check.required(at, kind, "token", self.token.as_ref()).and_then(|at| check.secret(at));
        Some(BitbucketDcForgeSettings { site: url?, repository: repository?, token: token? })
    }
}

/// A repository on Bitbucket Data Center, the token not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitbucketDcForgeSettings {
    /// The address of its pages.
    site: String,
    repository: String,
    token: SecretSource,
}

/// One repository on Bitbucket Data Center.
pub type BitbucketDc = Hosted<BitbucketDcApi>;

/// What Bitbucket Data Center does in its own way.
pub struct BitbucketDcApi {
    api: ApiClient,
}

const DIALECT: Dialect = Dialect {
    forge: "Bitbucket Data Center",
    address: "https://HOST",
    needs: "the permission Repository write",
    repositories: "",
    full_name: "slug",
    check_name,
    route: |name| {
        let (project, slug) = name.split_once('/').unwrap_or((name, ""));
        format!("/api/1.0/projects/{project}/repos/{slug}")
    },
    // What has moved is not found under its old name.
    moved: |_| None,
    authorize: |request, _: &Login, token| {
        // Without it, what looks like a form is refused.
        request.bearer_auth(token).header("X-Atlassian-Token", "no-check")
    },
    message: |body| wire::message(&body),
    next: |_, _| "give the token the permission Repository write".to_owned(),
    accepted: |_| String::new(),
    pages: Pages::Start,
};

/// Refuses names that cannot be: they become parts of paths.
fn check_name(name: &str) -> Result<(), String> {
    let own = |project: &str| is_plain(project.strip_prefix('~').unwrap_or(project));
    match name.split_once('/') {
        Some((project, slug)) if own(project) && is_plain(slug) => Ok(()),
        _ => Err(format!("`{}` is not `PROJECT/repository`", one_line(name, 80))),
    }
}

impl Api for BitbucketDcApi {
    type Settings = BitbucketDcForgeSettings;
    type Pull = CenterPull;

    const LACKS: &'static [Feature] = &[Feature::Labels, Feature::TeamReviewers];
    const PAGE: u32 = 100;
    const MAX_TITLE: usize = 255;

    fn secrets(settings: &BitbucketDcForgeSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("Bitbucket token", &settings.token)]
    }

    fn commit_page(settings: &BitbucketDcForgeSettings) -> Option<String> {
        let (project, slug) = settings.repository.split_once('/')?;
        Some(format!("{}/projects/{project}/repos/{slug}/commits/", settings.site))
    }

    fn statuses(settings: &BitbucketDcForgeSettings) -> Option<StatusApi<'_>> {
        let base = format!("{}/rest", settings.site);
        let (repository, user) = (settings.repository.clone(), None);
        let token = Some(&settings.token);
        let deployments = Deployments::Posted(&status::DEPLOYMENTS);
        Some(StatusApi { base, repository, user, token, speech: &status::SPEECH, deployments })
    }

    fn open(settings: &BitbucketDcForgeSettings, opening: &Opening<'_>) -> Result<Self, PullError> {
        let login = Login::Token(opening.secret(&settings.token)?);
        let place = opening.place(format!("{}/rest", settings.site), settings.repository.clone(), login);
        Ok(Self { api: ApiClient::new(&DIALECT, &place)? })
    }

    fn client(&self) -> &ApiClient {
        &self.api
    }

    async fn check(&self) -> Result<(), ForgeError> {
        let refuse = |message: &str, next: &str| {
            let problem = Problem::Forbidden { message: message.to_owned(), next: next.to_owned() };
            Err(self.api.error("GET the repository", problem))
        };
        let (repository, headers) = self.api.ask_heard::<CenterRepository>(Ask::get("")).await?;
        if repository.archived {
            return refuse("the repository is archived", "unarchive it, or remove it from the configuration");
        }
        // Tokens of projects and repositories come as accounts that nobody can look up.
        let me = word(&headers, "x-ausername").filter(|name| !name.is_empty() && !name.contains(['/', '%']));
        if let Some(me) = me
            && !self.may_write(me).await?
        {
            return refuse("the token's owner may not push", "give it write access to the repository");
        }
        self.api.ask::<Value>(Ask::get("pull-requests?state=OPEN&limit=1")).await.map(drop)
    }

    fn open_path(&self) -> String {
        query(&[("state", "OPEN"), ("order", "OLDEST")])
    }

    fn branch_path(&self, head: &BranchName, _: &BranchName, states: States) -> String {
        let state = if states == States::Open { "OPEN" } else { "ALL" };
        let at = format!("refs/heads/{head}");
        query(&[("state", state), ("direction", "OUTGOING"), ("at", &at), ("order", "NEWEST")])
    }

    /// In every state, as one may be reopened.
    fn closed_path(&self, page: u32, _: Option<Timestamp>) -> String {
        let start = (page.saturating_sub(1) * Self::PAGE).to_string();
        query(&[("state", "ALL"), ("order", "NEWEST"), ("start", &start)])
    }

    async fn one(&self, number: u64) -> Result<CenterPull, ForgeError> {
        self.api.ask(Ask::get(format!("pull-requests/{number}"))).await
    }

    async fn messages(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        Ok(self.commits(number).await?.into_iter().map(|commit| commit.message).collect())
    }

    async fn default_reviewers(&self, spec: &PullRequestSpec) -> Result<Vec<String>, ForgeError> {
        let id = self.api.ask::<CenterRepository>(Ask::get("")).await?.id.to_string();
        let (head, base) = (format!("refs/heads/{}", spec.head), format!("refs/heads/{}", spec.base));
        let pairs =
            [("sourceRepoId", id.as_str()), ("targetRepoId", &id), ("sourceRefId", &head), ("targetRefId", &base)];
        let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
        let full = self.api.name();
        let (project, slug) = full.split_once('/').unwrap_or((&full, ""));
        let path = format!("default-reviewers/1.0/projects/{project}/repos/{slug}/reviewers?{query}");
        let people = may_be_unknown(self.api.ask::<Vec<CenterUser>>(Ask::get(path).of_api()).await)?;
        Ok(people.unwrap_or_default().into_iter().map(|user| user.name).collect())
    }

    fn creating(&self, spec: &PullRequestSpec, draft: bool, defaults: &[String]) -> Ask {
        let full = self.api.name();
        let (project, slug) = full.split_once('/').unwrap_or((&full, ""));
        let end = |name: &BranchName| json!({ "id": format!("refs/heads/{name}"), "repository": { "slug": slug, "project": { "key": project } } });
        let mut body = json!({
            "title": spec.title, "description": spec.body, "fromRef": end(&spec.head), "toRef": end(&spec.base),
            "reviewers": defaults.iter().map(|name| json!({ "user": { "name": name } })).collect::<Vec<_>>(),
        });
        if draft {
            body["draft"] = json!(true);
        }
        Ask::post("pull-requests", body, Repeat::LookFirst)
    }

    fn exists(problem: &Problem) -> bool {
        matches!(problem, Problem::Rejected { status: 409, message } if message.contains("Only one pull request may be open"))
    }

    fn rewriting(&self, there: &CenterPull, title: &str, body: &str) -> Ask {
        let reviewers: Vec<&str> = there.reviewers.iter().map(|it| it.user.name.as_str()).collect();
        self.change(there, title, Some(body), &reviewers)
    }

    async fn close(&self, there: CenterPull, body: Option<&str>) -> Result<(), ForgeError> {
        let mut there = there;
        if let Some(body) = body {
            there = self.api.ask(self.rewriting(&there, &there.title, body)).await?;
        }
        let path = format!("pull-requests/{}/decline?version={}", there.number(), there.version);
        self.api.tell(Ask::post(path, json!({}), Repeat::LookFirst)).await
    }

    async fn comments(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        Ok(self.activities(number).await?.into_iter().filter_map(CenterActivity::said).collect())
    }

    fn commenting(&self, number: u64, text: &str) -> Ask {
        Ask::post(format!("pull-requests/{number}/comments"), json!({ "text": text }), Repeat::LookFirst)
    }
}

impl BitbucketDcApi {
    async fn commits(&self, number: u64) -> Result<Vec<CenterCommit>, ForgeError> {
        self.api.list(format!("pull-requests/{number}/commits?limit=100")).await
    }
}

/// The path of a list of pull requests, with 100 per page.
fn query(pairs: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(pairs).append_pair("limit", "100").finish();
    format!("pull-requests?{query}")
}
