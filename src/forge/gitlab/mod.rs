//! GitLab: gitlab.com or self-managed, with a personal, project or group access token.
//!
//! Design: `wire`, `checks` and `message` are GitLab's JSON; `add` (labels and reviewers), `judge` (approvals and pipelines), `merge` and `train`
//! (merge trains) are what GitLab does in its own way. The rest is in [`hosted`](super::hosted).

mod add;
mod checks;
mod judge;
mod merge;
mod message;
mod status;
mod train;
mod wire;

use std::collections::BTreeMap;
use std::sync::Mutex as Shared;

use http::HeaderValue;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded::{Serializer, byte_serialize};

use self::wire::{DEVELOPER, DRAFT, MAINTAINER, WireMergeRequest, WireProject, WireProtection, WireToken};
use super::error::{ForgeError, Problem};
use super::hosted::{
    Api, ApiClient, Ask, Dialect, ForgePull as _, Hosted, Login, Pages, Repeat, States, WireComment, is_plain,
    may_be_unknown,
};
use super::{Feature, Opening, PullError, StatusApi};
use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::http::status::Deployments;
use crate::model::{BranchName, CommitId, PullRequestSpec, one_line};

/// The keys of GitLab.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GitLabConfig {
    /// The address of GitLab; default `https://gitlab.com`.
    url: Option<At<String>>,
    /// The project with its groups: `group/project`, `group/subgroup/project`.
    repository: Option<At<String>>,
    /// A personal, project or group access token with the scope `api`, of somebody with at least the role Developer.
    token: Option<At<Secret>>,
}

impl GitLabConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<GitLabForgeSettings> {
        let project = check.required(at, "gitlab", "repository", self.repository.as_ref());
        let project = project.and_then(|at| check.text(at, |text| check_name(text).map(|()| text.to_owned())));
        let token = check.required(at, "gitlab", "token", self.token.as_ref()).and_then(|at| check.secret(at));
        let url = check.url_or(self.url.as_ref(), "https://gitlab.com")?;
        let site = url.strip_suffix("/api/v4").unwrap_or(&url).to_owned();
        Some(GitLabForgeSettings { site, project: project?, token: token? })
    }
}

/// A project on GitLab, the token not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitLabForgeSettings {
    /// The address of GitLab's pages.
    site: String,
    project: String,
    token: SecretSource,
}

/// One project on GitLab.
pub type GitLab = Hosted<GitLabApi>;

/// What GitLab does in its own way.
pub struct GitLabApi {
    api: ApiClient,
    /// The merge requests that this process has added to merge trains, with their tips.
    boarded: Shared<BTreeMap<u64, CommitId>>,
}

pub(super) const DIALECT: Dialect = Dialect {
    forge: "GitLab",
    address: "https://gitlab.com or https://HOST",
    needs: "the scope `api`, and its owner at least the role Developer",
    repositories: "/projects",
    full_name: "path_with_namespace",
    check_name,
    route: |name| format!("/projects/{}", name.replace('/', "%2F")),
    moved: |path| {
        let project = path.strip_prefix("/projects/")?.split('/').next()?;
        (!project.is_empty()).then(|| format!("/projects/{project}"))
    },
    authorize: |request, _: &Login, token| {
        let Ok(mut value) = HeaderValue::from_str(token) else { return request };
        value.set_sensitive(true);
        request.header("PRIVATE-TOKEN", value)
    },
    message: |body| message::message(&body),
    next: |_, message| match message.contains("insufficient_scope") {
        true => "make a token with the scope `api`".to_owned(),
        false => "give the token the scope `api`, and its owner at least the role Developer in the project".to_owned(),
    },
    accepted: |_| String::new(),
    pages: Pages::Link,
};

/// Refuses names that GitLab does not allow: they become parts of paths.
fn check_name(name: &str) -> Result<(), String> {
    let parts = name.split('/').count();
    match (2..=21).contains(&parts) && name.split('/').all(is_plain) {
        true => Ok(()),
        false => Err(format!("`{}` is not `group/project`, with every group above it", one_line(name, 80))),
    }
}

impl GitLabApi {
    async fn commits(&self, number: u64) -> Result<Vec<WireCommit>, ForgeError> {
        self.api.list(format!("merge_requests/{number}/commits?per_page=100")).await
    }

    /// What the token says of itself; `None` for kinds of tokens that do not.
    async fn own_token(&self) -> Result<Option<WireToken>, ForgeError> {
        may_be_unknown(self.api.ask(Ask::get("personal_access_tokens/self").of_api()).await)
    }

    /// Whether the default branch takes merges of a higher role only.
    async fn protection(&self) -> Option<String> {
        let project: WireProject = self.api.ask(Ask::get("")).await.ok()?;
        let (name, access) = (project.default_branch.as_deref()?, project.access()?);
        let path = format!("repository/branches/{}", encoded(name));
        let branch: WireProtection = self.api.ask(Ask::get(path)).await.ok()?;
        let closed = branch.protected && !branch.developers_can_merge && access < MAINTAINER;
        closed.then(|| {
            format!(
                "the token's owner may not merge into {}; for automerge, give it the role Maintainer (40), or let Developers merge",
                one_line(name, 100)
            )
        })
    }
}

impl Api for GitLabApi {
    type Settings = GitLabForgeSettings;
    type Pull = WireMergeRequest;

    const LACKS: &'static [Feature] = &[Feature::TeamReviewers];
    const PAGE: u32 = 100;
    /// With what makes it a draft, 255 characters.
    const MAX_TITLE: usize = 255 - DRAFT.len();

    fn secrets(settings: &GitLabForgeSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("GitLab token", &settings.token)]
    }

    fn commit_page(settings: &GitLabForgeSettings) -> Option<String> {
        Some(format!("{}/{}/-/commit/", settings.site, settings.project))
    }

    fn statuses(settings: &GitLabForgeSettings) -> Option<StatusApi<'_>> {
        let base = format!("{}/api/v4/projects/{}", settings.site, settings.project.replace('/', "%2F"));
        let (repository, user) = (settings.project.clone(), None);
        let token = Some(&settings.token);
        let deployments = Deployments::Posted(&status::DEPLOYMENTS);
        Some(StatusApi { base, repository, user, token, speech: &status::SPEECH, deployments })
    }

    fn open(settings: &GitLabForgeSettings, opening: &Opening<'_>) -> Result<Self, PullError> {
        let api_url = format!("{}/api/v4", settings.site);
        let login = Login::Token(opening.secret(&settings.token)?);
        let place = opening.place(api_url, settings.project.clone(), login);
        Ok(Self { api: ApiClient::new(&DIALECT, &place)?, boarded: Shared::default() })
    }

    fn client(&self) -> &ApiClient {
        &self.api
    }

    async fn check(&self) -> Result<(), ForgeError> {
        let refuse = |call: &str, message: String, next: &str| {
            Err(self.api.error(call, Problem::Forbidden { message, next: next.to_owned() }))
        };
        let project: WireProject = self.api.ask(Ask::get("")).await?;
        if project.archived {
            let next = "unarchive it, or remove it from the configuration";
            return refuse("GET the project", "the project is archived".to_owned(), next);
        }
        let off = project.merge_requests_access_level.as_deref() == Some("disabled");
        if off || project.merge_requests_enabled == Some(false) {
            let next = "switch them on in the project's settings";
            return refuse("GET the project", "the project has no merge requests".to_owned(), next);
        }
        if let Some(level) = project.access().filter(|level| *level < DEVELOPER) {
            let message = format!("the token's owner has the access level {level}, and may not push");
            return refuse("GET the project", message, "give it the role Developer (30) or Maintainer (40)");
        }
        if let Some(token) = self.own_token().await?.filter(|token| !token.scopes.iter().any(|scope| scope == "api")) {
            let message = format!("the token has the scopes {}", one_line(&token.scopes.join(", "), 200));
            return refuse("GET the token", message, "make a token with the scope `api`");
        }
        self.api.ask::<Vec<WireMergeRequest>>(Ask::get("merge_requests?state=opened&per_page=1")).await.map(drop)
    }

    async fn words(&self) -> Option<String> {
        let expires = self.own_token().await.ok().flatten().and_then(|token| token.expires_at);
        let expires = expires.map(|at| format!("the token expires on {}", one_line(&at, 20)));
        let words: Vec<String> = expires.into_iter().chain(self.protection().await).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    fn open_path(&self) -> String {
        query(&[("state", "opened"), ("scope", "all"), ("order_by", "created_at"), ("sort", "asc")])
    }

    fn branch_path(&self, head: &BranchName, base: &BranchName, states: States) -> String {
        query(&[
            ("state", if states == States::Open { "opened" } else { "all" }),
            ("scope", "all"),
            ("source_branch", head.as_str()),
            ("target_branch", base.as_str()),
            ("order_by", "created_at"),
            ("sort", "desc"),
        ])
    }

    /// In every state: one that was closed, reopened and merged is to be forgotten as a closed one.
    fn closed_path(&self, page: u32, _: Option<Timestamp>) -> String {
        let page = page.to_string();
        query(&[("state", "all"), ("scope", "all"), ("order_by", "updated_at"), ("sort", "desc"), ("page", &page)])
    }

    async fn one(&self, number: u64) -> Result<WireMergeRequest, ForgeError> {
        self.api.ask(Ask::get(format!("merge_requests/{number}"))).await
    }

    async fn messages(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        Ok(self.commits(number).await?.into_iter().map(|commit| commit.message).collect())
    }

    fn creating(&self, spec: &PullRequestSpec, draft: bool, _: &[String]) -> Ask {
        let body = json!({
            "source_branch": spec.head.as_str(), "target_branch": spec.base.as_str(),
            "title": title(&spec.title, draft), "description": spec.body, "remove_source_branch": false,
        });
        Ask::post("merge_requests", body, Repeat::LookFirst)
    }

    fn exists(problem: &Problem) -> bool {
        matches!(problem, Problem::Rejected { status: 409, message } if message.contains("already exists"))
    }

    fn rewriting(&self, there: &WireMergeRequest, text: &str, body: &str) -> Ask {
        let change = json!({ "title": title(text, there.is_draft()), "description": body });
        Ask::put(format!("merge_requests/{}", there.number()), change)
    }

    async fn close(&self, there: WireMergeRequest, body: Option<&str>) -> Result<(), ForgeError> {
        let mut change = json!({ "state_event": "close" });
        if let Some(body) = body {
            change["description"] = json!(body);
        }
        self.api.tell(Ask::put(format!("merge_requests/{}", there.number()), change)).await
    }

    async fn comments(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        let path = format!("merge_requests/{number}/notes?sort=asc&per_page=100");
        let all = self.api.list::<WireComment>(path).await?;
        Ok(all.into_iter().filter_map(|comment| comment.body).collect())
    }

    fn commenting(&self, number: u64, text: &str) -> Ask {
        Ask::post(format!("merge_requests/{number}/notes"), json!({ "body": text }), Repeat::LookFirst)
    }
}

/// A commit of a merge request.
#[derive(Debug, Deserialize)]
struct WireCommit {
    #[serde(default)]
    message: String,
    #[serde(default)]
    author_email: String,
    #[serde(default)]
    committer_email: String,
}

/// A name as part of a path.
fn encoded(name: &str) -> String {
    byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

fn title(text: &str, draft: bool) -> String {
    if draft { format!("{DRAFT}{text}") } else { text.to_owned() }
}

/// The path of a list of merge requests, with 100 per page.
fn query(pairs: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(pairs).append_pair("per_page", "100").finish();
    format!("merge_requests?{query}")
}
