//! Gitea and Forgejo, which one client serves: where their APIs differ, what both understand is sent.
//!
//! Design: `wire` is their JSON; `add` (labels and reviewers) and `judge` (reviews, checks, merges) are what they do in
//! their own way. The rest is in [`hosted`](super::hosted). They cannot list the pull requests of one branch (their
//! filters differ, and older versions have none), so that these are found among the open ones and those read back.

mod add;
mod judge;
mod status;
mod wire;

use std::borrow::Cow;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use self::wire::{DRAFT, WirePull, WireRepository};
use super::error::{ForgeError, Problem};
use super::hosted::{
    Api, ApiClient, Ask, Dialect, ForgePull as _, Hosted, Login, Pages, Repeat, States, WireComment, WireWritten,
    is_plain,
};
use super::{Opening, PullError, StatusApi};
use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::document::value;
use crate::http::status::Deployments;
use crate::model::{BranchName, PullRequestSpec};

/// The keys of Gitea and Forgejo.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GiteaConfig {
    /// The address of Gitea or Forgejo, such as `https://codeberg.org`.
    url: Option<At<String>>,
    /// `owner/name`.
    repository: Option<At<String>>,
    /// An access token with the scopes `write:repository` and `write:issue`, of somebody who may write to the repository.
    token: Option<At<Secret>>,
}

/// The same keys for Forgejo.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct ForgejoConfig(GiteaConfig);

impl JsonSchema for ForgejoConfig {
    fn schema_name() -> Cow<'static, str> {
        "ForgejoConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        GiteaConfig::json_schema(generator)
    }
}

impl GiteaConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<GiteaForgeSettings> {
        self.check_as(Brand::Gitea, at, check)
    }

    fn check_as(&self, brand: Brand, at: Mark, check: &mut Check<'_, '_>) -> Option<GiteaForgeSettings> {
        let kind = brand.kind();
        let url = check.required(at, kind, "url", self.url.as_ref());
        let url = url.and_then(|at| check.text(at, value::http_url));
        let repository = check.required(at, kind, "repository", self.repository.as_ref());
        let repository = repository.and_then(|at| check.text(at, value::owner_and_name));
        let token = check.required(at, kind, "token", self.token.as_ref()).and_then(|at| check.secret(at));
        let (url, (owner, name)) = (url?, repository?);
        let site = url.strip_suffix("/api/v1").unwrap_or(&url).to_owned();
        Some(GiteaForgeSettings { brand, site, repository: format!("{owner}/{name}"), token: token? })
    }
}

impl ForgejoConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<GiteaForgeSettings> {
        self.0.check_as(Brand::Forgejo, at, check)
    }
}

/// Which of the two a server is said to be: only messages depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Brand {
    Gitea,
    Forgejo,
}

impl Brand {
    fn kind(self) -> &'static str {
        match self {
            Self::Gitea => "gitea",
            Self::Forgejo => "forgejo",
        }
    }

    fn dialect(self) -> &'static Dialect {
        match self {
            Self::Gitea => &GITEA,
            Self::Forgejo => &FORGEJO,
        }
    }
}

/// A repository on Gitea or Forgejo, the token not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiteaForgeSettings {
    brand: Brand,
    /// The address of its pages.
    site: String,
    repository: String,
    token: SecretSource,
}

/// One repository on Gitea or Forgejo.
pub type Gitea = Hosted<GiteaApi>;

/// What Gitea and Forgejo do in their own way.
pub struct GiteaApi {
    api: ApiClient,
}

static GITEA: Dialect = dialect("Gitea");
static FORGEJO: Dialect = dialect("Forgejo");

const fn dialect(forge: &'static str) -> Dialect {
    Dialect {
        forge,
        address: "https://HOST",
        needs: "the scopes `write:repository` and `write:issue`",
        repositories: "/repos",
        full_name: "full_name",
        check_name,
        route: |name| format!("/repos/{name}"),
        moved: |path| match path.split('/').skip(1).collect::<Vec<_>>().as_slice() {
            ["repos", owner, name, ..] => Some(format!("/repos/{owner}/{name}")),
            ["repositories", id, ..] => Some(format!("/repositories/{id}")),
            _ => None,
        },
        authorize: |request, _: &Login, token| {
            let Ok(mut value) = HeaderValue::from_str(&format!("token {token}")) else { return request };
            value.set_sensitive(true);
            request.header(AUTHORIZATION, value)
        },
        message: |body| message(&body),
        next: |_, _| {
            "give the token the scopes `write:repository` and `write:issue`, and its owner write access".to_owned()
        },
        accepted: |_| String::new(),
        pages: Pages::Link,
    }
}

/// The message of a refusal; that of a conflict is what Git has printed.
fn message(body: &Value) -> String {
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    match body["Style"].as_str() {
        Some(_) => format!("conflict: {} {}", text("StdOut"), text("StdErr")),
        None => text("message").to_owned(),
    }
}

/// Refuses names that cannot be: they become parts of paths.
fn check_name(name: &str) -> Result<(), String> {
    match name.split_once('/') {
        Some((owner, name)) if is_plain(owner) && is_plain(name) => Ok(()),
        _ => Err("the repository's name is not valid; next: write `repository: owner/name`".to_owned()),
    }
}

impl Api for GiteaApi {
    type Settings = GiteaForgeSettings;
    type Pull = WirePull;

    /// What a server answers at most, unless its administrator changed that.
    const PAGE: u32 = 50;
    const MAX_TITLE: usize = 255 - DRAFT.len();
    const LISTS_BRANCHES: bool = false;

    fn secrets(settings: &GiteaForgeSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("access token", &settings.token)]
    }

    fn commit_page(settings: &GiteaForgeSettings) -> Option<String> {
        Some(format!("{}/{}/commit/", settings.site, settings.repository))
    }

    fn statuses(settings: &GiteaForgeSettings) -> Option<StatusApi<'_>> {
        let base = format!("{}/api/v1/repos/{}", settings.site, settings.repository);
        let (repository, user) = (settings.repository.clone(), None);
        let token = Some(&settings.token);
        let deployments = Deployments::None;
        Some(StatusApi { base, repository, user, token, speech: &status::SPEECH, deployments })
    }

    fn open(settings: &GiteaForgeSettings, opening: &Opening<'_>) -> Result<Self, PullError> {
        let api_url = format!("{}/api/v1", settings.site);
        let login = Login::Token(opening.secret(&settings.token)?);
        let place = opening.place(api_url, settings.repository.clone(), login);
        Ok(Self { api: ApiClient::new(settings.brand.dialect(), &place)? })
    }

    fn client(&self) -> &ApiClient {
        &self.api
    }

    async fn check(&self) -> Result<(), ForgeError> {
        let refuse = |message: &str, next: &str| {
            let problem = Problem::Forbidden { message: message.to_owned(), next: next.to_owned() };
            Err(self.api.error("GET the repository", problem))
        };
        let repository: WireRepository = self.api.ask(Ask::get("")).await?;
        if repository.archived || repository.mirror {
            let next = "unarchive it, or remove it from the configuration";
            return refuse("the repository is archived or a mirror", next);
        }
        if repository.has_pull_requests == Some(false) {
            return refuse("the repository has no pull requests", "switch them on in its settings");
        }
        if repository.permissions.is_some_and(|may| !may.push) {
            return refuse("the token's owner may not push", "give it write access to the repository");
        }
        self.api.ask::<Vec<WirePull>>(Ask::get("pulls?state=open&limit=1")).await?;
        for path in NOWHERE {
            self.may_write(path).await?;
        }
        Ok(())
    }

    fn open_path(&self) -> String {
        query(&[("state", "open"), ("sort", "oldest")])
    }

    /// The branches are told in all ways that some version understands.
    fn branch_path(&self, head: &BranchName, base: &BranchName, states: States) -> String {
        let state = if states == States::Open { "open" } else { "all" };
        let (head, base) = (head.as_str(), base.as_str());
        query(&[("state", state), ("sort", "oldest"), ("head", head), ("base", base), ("base_branch", base)])
    }

    fn closed_path(&self, page: u32, _: Option<Timestamp>) -> String {
        query(&[("state", "closed"), ("sort", "recentupdate"), ("page", &page.to_string())])
    }

    async fn one(&self, number: u64) -> Result<WirePull, ForgeError> {
        self.api.ask(Ask::get(format!("pulls/{number}"))).await
    }

    async fn messages(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        Ok(self.commits(number).await?.into_iter().map(WireWritten::message).collect())
    }

    fn creating(&self, spec: &PullRequestSpec, draft: bool, _: &[String]) -> Ask {
        let body = json!({
            "title": title(&spec.title, draft), "body": spec.body, "head": spec.head.as_str(), "base": spec.base.as_str(),
        });
        Ask::post("pulls", body, Repeat::LookFirst)
    }

    fn exists(problem: &Problem) -> bool {
        matches!(problem, Problem::Rejected { status: 409, message } if message.contains("already exists"))
    }

    fn rewriting(&self, there: &WirePull, text: &str, body: &str) -> Ask {
        Ask::patch(format!("pulls/{}", there.number()), json!({ "title": title(text, there.draft), "body": body }))
    }

    async fn close(&self, there: WirePull, body: Option<&str>) -> Result<(), ForgeError> {
        let mut change = json!({ "state": "closed" });
        if let Some(body) = body {
            change["body"] = json!(body);
        }
        self.api.tell(Ask::patch(format!("pulls/{}", there.number()), change)).await
    }

    async fn comments(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        let all = self.api.list::<WireComment>(format!("issues/{number}/comments")).await?;
        Ok(all.into_iter().filter_map(|comment| comment.body).collect())
    }

    fn commenting(&self, number: u64, text: &str) -> Ask {
        Ask::post(format!("issues/{number}/comments"), json!({ "body": text }), Repeat::LookFirst)
    }
}

/// What a write is tried on, for each of the scopes: numbers begin at 1.
const NOWHERE: [&str; 2] = ["pulls/0", "issues/0"];

/// The most pages that are read of one list.
const PAGES: u32 = 40;

impl GiteaApi {
    /// Whether the token has the scope to write there. Nothing says which scopes a token has, but a write without one is
    /// refused before anything is looked for; and with it, there is nothing to change.
    async fn may_write(&self, path: &str) -> Result<(), ForgeError> {
        match self.api.tell(Ask::patch(path, json!({}))).await {
            Err(error) if matches!(error.problem, Problem::NotFound { .. } | Problem::Rejected { .. }) => Ok(()),
            told => told,
        }
    }

    async fn commits(&self, number: u64) -> Result<Vec<WireWritten>, ForgeError> {
        self.api.list(format!("pulls/{number}/commits?verification=false&files=false&limit=50")).await
    }

    /// Reads a list of which nothing says where it goes on (only some have a `Link`): up to the first page that is empty.
    async fn to_the_end<P: DeserializeOwned, T>(
        &self,
        ask: impl Fn() -> Ask,
        of_page: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, ForgeError> {
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let more = of_page(self.api.ask(ask().with_query(&format!("limit=50&page={page}"))).await?);
            if more.is_empty() {
                return Ok(all);
            }
            all.extend(more);
        }
        Err(self.api.nonsense("GET a list", &format!("it has more than {PAGES} pages")))
    }
}

fn title(text: &str, draft: bool) -> String {
    if draft { format!("{DRAFT}{text}") } else { text.to_owned() }
}

/// The path of a list of pull requests, with 50 per page.
fn query(pairs: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(pairs).append_pair("limit", "50").finish();
    format!("pulls?{query}")
}
