//! GitHub and GitHub Enterprise Server.
//!
//! Design: `wire` is GitHub's JSON; `app` is what a GitHub App comes as, `manifest` how one comes to be, `commits` makes commits that GitHub signs; `add` (labels and reviewers), `judge` (reviews and checks), `merge` and `queue`
//! (merge queues) are what GitHub does in its own way, `batch` asks about many pull requests at once. The rest is in `hosted`.

mod add;
mod addresses;
mod app;
mod batch;
mod commits;
mod judge;
mod manifest;
mod merge;
mod queue;
mod settings;
mod status;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as Shared};

use http::HeaderMap;
use http::header::ACCEPT;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use url::form_urlencoded::Serializer;

use self::addresses::{DEFAULT_API, pages_of};
use self::app::{App, AppConfig, AppSettings};
use self::commits::{CommitMaker, CommitWay};
pub use self::manifest::{AppError, AppManifest, AppSite, NewApp};
pub use self::settings::GitHubSettings;
use self::wire::{WireError, WirePull, WireRepository};
use super::error::{ForgeError, Problem};
use super::hosted::{
    Ahead, Api, ApiClient, Ask, Dialect, Hosted, Login, Pages, Repeat, States, WireComment, WireWritten, word,
};
use super::{LenderOpening, Opening, PullError, StatusApi};
use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::document::value;
use crate::git::{LendsToken, MakesCommits};
use crate::http::status::Deployments;
use crate::model::{BranchName, CommitId, FailureCode, Identity, PullRequestSpec};

/// The keys of GitHub.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GitHubConfig {
    /// The API; default `https://api.github.com`.
    api_url: Option<At<String>>,
    /// `owner/name`.
    repository: Option<At<String>>,
    /// A token that may write contents, pull requests and commit statuses.
    token: Option<At<Secret>>,
    /// A GitHub App, in place of a token: its installation needs Contents and Pull requests write.
    app: Option<At<AppConfig>>,
    /// How commits are made; default `git`.
    commits: Option<At<CommitWay>>,
}

impl GitHubConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<GitHubForgeSettings> {
        let repository = check.required(at, "github", "repository", self.repository.as_ref());
        let repository = repository.and_then(|at| check.text(at, value::owner_and_name));
        let login = match (&self.token, &self.app) {
            (None, Some(app)) => app.value.check(check).map(GitHubLogin::App),
            (Some(_), Some(app)) => {
                check.sink.error(app.mark, "`app` and `token` are both given; the bot comes as one of them".to_owned());
                None
            }
            (token, None) => {
                let token = check.required(at, "github", "token", token.as_ref()).and_then(|at| check.secret(at));
                token.map(GitHubLogin::Token)
            }
        };
        let api_url = check.url_or(self.api_url.as_ref(), DEFAULT_API);
        let (owner, repository) = repository?;
        let commits = self.commits.as_ref().map_or(CommitWay::Git, |at| at.value);
        Some(GitHubForgeSettings { api_url: api_url?, owner, repository, login: login?, commits })
    }
}

/// A repository on GitHub, the token not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubForgeSettings {
    api_url: String,
    owner: String,
    repository: String,
    login: GitHubLogin,
    commits: CommitWay,
}

/// As whom the bot comes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum GitHubLogin {
    Token(SecretSource),
    App(AppSettings),
}

impl GitHubForgeSettings {
    fn open_app(&self, app: &AppSettings, opening: &LenderOpening<'_>) -> Result<Arc<App>, PullError> {
        let wrong = |message: String| PullError { message, code: FailureCode::ConfigError };
        let key =
            opening.secrets.get(&app.key).ok_or_else(|| wrong(format!("the secret in {} was not read", app.key)))?;
        let repository = format!("{}/{}", self.owner, self.repository);
        App::new(app, &key, &self.api_url, &repository, opening).map(Arc::new).map_err(wrong)
    }
}

/// One repository on GitHub.
pub type GitHub = Hosted<GitHubApi>;

/// What GitHub does in its own way.
pub struct GitHubApi {
    api: Arc<ApiClient>,
    /// Makes the bot's commits, where the configuration says so.
    maker: Option<Arc<CommitMaker>>,
    /// The app as which the bot comes.
    app: Option<Arc<App>>,
    /// The pull requests that this process has added to merge queues, with their tips.
    enqueued: Shared<BTreeMap<u64, CommitId>>,
    /// The account that the token belongs to, once it was asked for.
    login: Mutex<Option<String>>,
}

impl GitHubApi {
    fn over(api: ApiClient) -> Self {
        Self { api: Arc::new(api), maker: None, app: None, enqueued: Shared::default(), login: Mutex::default() }
    }

    async fn commits(&self, number: u64) -> Result<Vec<WireWritten>, ForgeError> {
        self.api.list(format!("pulls/{number}/commits?per_page=100")).await
    }
}

pub(super) const DIALECT: Dialect = Dialect {
    forge: "GitHub",
    address: "https://api.github.com, https://api.SUBDOMAIN.ghe.com or https://HOST/api/v3",
    needs: "Contents and Pull requests write",
    repositories: "/repos",
    full_name: "full_name",
    check_name: settings::check_name,
    route: |name| format!("/repos/{name}"),
    moved: |path| match path.split('/').skip(1).collect::<Vec<_>>().as_slice() {
        ["repositories", id, ..] => Some(format!("/repositories/{id}")),
        ["repos", owner, name, ..] => Some(format!("/repos/{owner}/{name}")),
        _ => None,
    },
    authorize: |request, _: &Login, token| {
        let request = request.bearer_auth(token).header("X-GitHub-Api-Version", "2022-11-28");
        request.header(ACCEPT, "application/vnd.github+json")
    },
    message: |body| serde_json::from_value::<WireError>(body).map(|error| error.text()).unwrap_or_default(),
    next: |headers, _| match headers.contains_key("x-github-sso") {
        true => "authorize the token for the organization's single sign-on".to_owned(),
        false => format!("give the token Contents and Pull requests write {}", accepted(headers)).trim().to_owned(),
    },
    accepted,
    pages: Pages::Link,
};

/// The permissions that GitHub says are sufficient.
fn accepted(headers: &HeaderMap) -> String {
    let said = word(headers, "x-accepted-github-permissions").filter(|text| !text.is_empty());
    said.map(|text| format!("(GitHub requires {text})")).unwrap_or_default()
}

impl GitHub {
    /// Prepares the client; connects to nothing.
    ///
    /// # Errors
    /// If a setting cannot work: an invalid address, names that GitHub does not allow, an empty token, a bad CA file.
    pub fn new(settings: GitHubSettings) -> Result<Self, ForgeError> {
        let timeout = settings.timeout;
        let api = ApiClient::new(&DIALECT, &settings.into())?;
        Ok(Self::over(GitHubApi::over(api), timeout, &[]))
    }
}

impl Api for GitHubApi {
    type Settings = GitHubForgeSettings;
    type Pull = WirePull;

    const PAGE: u32 = 100;
    const MAX_TITLE: usize = 256;

    fn secrets(settings: &GitHubForgeSettings) -> Vec<(&'static str, &SecretSource)> {
        match &settings.login {
            GitHubLogin::Token(token) => vec![("GitHub token", token)],
            GitHubLogin::App(app) => vec![("private key of the GitHub App", &app.key)],
        }
    }

    fn commit_page(settings: &GitHubForgeSettings) -> Option<String> {
        let site = pages_of(&settings.api_url)?;
        Some(format!("{site}/{}/{}/commit/", settings.owner, settings.repository))
    }

    fn statuses(settings: &GitHubForgeSettings) -> Option<StatusApi<'_>> {
        let GitHubForgeSettings { api_url, owner, repository, login, .. } = settings;
        let token = match login {
            GitHubLogin::Token(token) => Some(token),
            GitHubLogin::App(_) => None,
        };
        let repository = format!("{owner}/{repository}");
        let base = format!("{}/repos/{repository}", api_url.trim_end_matches('/'));
        let deployments = Deployments::OfItsReceiver;
        Some(StatusApi { base, repository, user: None, token, speech: &status::SPEECH, deployments })
    }

    fn open(settings: &GitHubForgeSettings, opening: &Opening<'_>) -> Result<Self, PullError> {
        let repository = format!("{}/{}", settings.owner, settings.repository);
        let mut app = None;
        let login = match &settings.login {
            GitHubLogin::Token(token) => Login::Token(opening.secret(token)?),
            GitHubLogin::App(of) => {
                Login::Lent(Arc::clone(app.insert(settings.open_app(of, &opening.of_lender())?)) as Arc<dyn LendsToken>)
            }
        };
        let place = opening.place(settings.api_url.clone(), repository, login);
        let mut opened = Self { app, ..Self::over(ApiClient::new(&DIALECT, &place)?) };
        if settings.commits == CommitWay::Api {
            let (author, committer) = (opening.author.clone(), opening.committer.clone());
            opened.maker = Some(Arc::new(CommitMaker::new(Arc::clone(&opened.api), author, committer)));
        }
        Ok(opened)
    }

    fn commits_as(settings: &Self::Settings) -> Option<Identity> {
        (settings.commits == CommitWay::Api).then(|| commits::committer(&settings.api_url))
    }

    fn maker(&self) -> Option<Arc<dyn MakesCommits>> {
        self.maker.clone().map(|maker| maker as Arc<dyn MakesCommits>)
    }

    fn lender(
        settings: &Self::Settings,
        opening: &LenderOpening<'_>,
    ) -> Result<Option<Arc<dyn LendsToken>>, PullError> {
        match &settings.login {
            GitHubLogin::Token(_) => Ok(None),
            GitHubLogin::App(app) => Ok(Some(settings.open_app(app, opening)?)),
        }
    }

    fn client(&self) -> &ApiClient {
        &self.api
    }

    async fn check(&self) -> Result<(), ForgeError> {
        let repository: WireRepository = self.api.ask(Ask::get("")).await?;
        let refuse = |message: &str, next: &str| {
            let problem = Problem::Forbidden { message: message.to_owned(), next: next.to_owned() };
            Err(self.api.error("GET the repository", problem))
        };
        if repository.archived || repository.disabled {
            return refuse(
                "the repository is archived or disabled",
                "unarchive it, or remove it from the configuration",
            );
        }
        if repository.permissions.as_ref().is_some_and(|may| !may.push) {
            return refuse("the token's owner may not push", "give it write access to the repository");
        }
        if let Some(app) = &self.app {
            let lacking = app.lacks().await;
            if !lacking.is_empty() {
                let message = format!("the app's installation lacks the permission {}", lacking.join(", "));
                return refuse(&message, "add it on the app's page, and accept it where the app is installed");
            }
        }
        let ask = Ask::get("pulls?state=open&per_page=1");
        self.api.ask::<Vec<WirePull>>(ask).await?;
        match &self.maker {
            Some(maker) => maker.try_out(&repository.default_branch).await,
            None => Ok(()),
        }
    }

    async fn words(&self) -> Option<String> {
        let signed = self.maker.as_ref().map(|maker| maker.words());
        let missing = match &self.app {
            Some(app) => app.misses().await,
            None => Vec::new(),
        };
        let missing = (!missing.is_empty()).then(|| format!("the app does without {}", missing.join(", ")));
        let words: Vec<String> = signed.into_iter().chain(missing).chain(self.queue_words().await).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    fn open_path(&self) -> String {
        query(&[("state", "open"), ("sort", "created"), ("direction", "asc")])
    }

    fn branch_path(&self, head: &BranchName, base: &BranchName, states: States) -> String {
        let name = self.api.name();
        let owned = format!("{}:{head}", name.split('/').next().unwrap_or_default());
        let state = if states == States::Open { "open" } else { "all" };
        query(&[
            ("state", state),
            ("head", &owned),
            ("base", base.as_str()),
            ("sort", "created"),
            ("direction", "desc"),
        ])
    }

    fn closed_path(&self, page: u32, _: Option<Timestamp>) -> String {
        let page = page.to_string();
        query(&[("state", "closed"), ("sort", "updated"), ("direction", "desc"), ("page", &page)])
    }

    async fn one(&self, number: u64) -> Result<WirePull, ForgeError> {
        self.api.ask(Ask::get(format!("pulls/{number}"))).await
    }

    async fn ahead(&self, numbers: &[u64]) -> Result<Vec<Ahead>, ForgeError> {
        self.ahead(numbers).await
    }

    async fn past(
        &self,
        heads: &[BranchName],
        base: &BranchName,
    ) -> Result<Vec<(BranchName, Vec<WirePull>)>, ForgeError> {
        self.past(heads, base).await
    }

    async fn messages(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        Ok(self.commits(number).await?.into_iter().map(WireWritten::message).collect())
    }

    fn creating(&self, spec: &PullRequestSpec, draft: bool, _: &[String]) -> Ask {
        let body = json!({
            "title": spec.title, "body": spec.body, "head": spec.head.as_str(), "base": spec.base.as_str(), "draft": draft,
        });
        Ask::post("pulls", body, Repeat::LookFirst)
    }

    fn exists(problem: &Problem) -> bool {
        matches!(problem, Problem::Rejected { status: 422, message } if message.contains("already exists"))
    }

    fn rewriting(&self, there: &WirePull, title: &str, body: &str) -> Ask {
        Ask::patch(format!("pulls/{}", there.number), json!({ "title": title, "body": body }))
    }

    async fn close(&self, there: WirePull, body: Option<&str>) -> Result<(), ForgeError> {
        let mut change = json!({ "state": "closed" });
        if let Some(body) = body {
            change["body"] = json!(body);
        }
        self.api.tell(Ask::patch(format!("pulls/{}", there.number), change)).await
    }

    async fn comments(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        let all = self.api.list::<WireComment>(format!("issues/{number}/comments?per_page=100")).await?;
        Ok(all.into_iter().filter_map(|comment| comment.body).collect())
    }

    fn commenting(&self, number: u64, text: &str) -> Ask {
        Ask::post(format!("issues/{number}/comments"), json!({ "body": text }), Repeat::LookFirst)
    }
}

/// The path of a list of pull requests, with 100 per page.
fn query(pairs: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(pairs).append_pair("per_page", "100").finish();
    format!("pulls?{query}")
}
