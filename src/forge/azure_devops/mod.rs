//! Azure DevOps: Services (dev.azure.com) or Server, with a personal access token, or Services with tokens of Entra ID.
//!
//! Design: `wire` and `policies` are its JSON; `add` (labels and reviewers), `judge` (votes and statuses) and `merge` are what it does in its
//! own way; `entra` has tokens of Entra ID. The rest is in [`hosted`](super::hosted). Source of all of it: Microsoft's "Azure DevOps Services REST API", 7.1.

mod add;
mod entra;
mod judge;
mod merge;
mod policies;
mod status;
mod wire;

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded::{Serializer, byte_serialize};

use self::entra::EntraLender;
use self::wire::{AzureCommit, AzurePull, AzureRepository, AzureThread};
use super::error::{ForgeError, Problem};
use super::hosted::{
    Api, ApiClient, Ask, Dialect, ForgePull as _, Hosted, Listed, Login, Pages, Repeat, States, may_be_unknown,
};
use super::{Feature, LenderOpening, Opening, PullError, StatusApi};
use crate::document::at::At;
use crate::document::check::Check;
use crate::document::entra::{EntraKeys, EntraSettings};
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::document::value;
use crate::git::LendsToken;
use crate::http::status::Deployments;
use crate::model::{BranchName, CommitId, Merge, MergeOutcome, PullRequestSpec, one_line};

/// The keys of Azure DevOps.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AzureDevOpsConfig {
    /// The organization's address, such as `https://dev.azure.com/acme`; of a Server, the collection's.
    url: Option<At<String>>,
    /// `project/repository`.
    repository: Option<At<String>>,
    /// A personal access token with the scope *Code (Read, write & status)*.
    token: Option<At<Secret>>,
    /// In place of a token: tokens of Microsoft Entra ID, `{}` for the identity that the bot runs with (workload identity, managed identity, or `AZURE_…` variables).
    entra: Option<At<EntraKeys>>,
}

impl AzureDevOpsConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<AzureDevOpsForgeSettings> {
        let kind = "azure-devops";
        let url = check.required(at, kind, "url", self.url.as_ref());
        let url = url.and_then(|at| check.text(at, value::http_url));
        let repository = check.required(at, kind, "repository", self.repository.as_ref());
        let repository = repository.and_then(|at| check.text(at, |text| check_name(text).map(|()| text.to_owned())));
        let login = match (&self.token, &self.entra) {
            (Some(token), Some(entra)) => {
                drop(check.secret(token));
                let hint = "keep one of them: both say as whom the bot comes";
                check.sink.error_with_hint(entra.mark, "`entra` and `token` are both set", hint);
                None
            }
            (None, Some(entra)) => entra.value.check(check).map(AzureLogin::Entra),
            (token, None) => {
                let token = check.required(at, kind, "token", token.as_ref());
                token.and_then(|at| check.secret(at)).map(AzureLogin::Token)
            }
        };
        Some(AzureDevOpsForgeSettings { site: url?, repository: repository?, login: login? })
    }
}

/// As whom the bot comes, no secret read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AzureLogin {
    /// With a personal access token.
    Token(SecretSource),
    /// As an identity of Entra ID.
    Entra(EntraSettings),
}

/// A repository on Azure DevOps, no secret read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureDevOpsForgeSettings {
    /// The organization's address.
    site: String,
    repository: String,
    login: AzureLogin,
}

/// One repository on Azure DevOps.
pub type AzureDevOps = Hosted<AzureDevOpsApi>;

/// What Azure DevOps does in its own way.
pub struct AzureDevOpsApi {
    api: ApiClient,
    /// The address of the repository's pages.
    pages: String,
}

/// The version of the API.
const VERSION: &str = "7.1";
/// The same of what is not in its final shape.
const PREVIEW: &str = "7.1-preview.1";

const DIALECT: Dialect = Dialect {
    forge: "Azure DevOps",
    address: "https://dev.azure.com/ORGANIZATION",
    needs: "the scope Code (Read, write & status)",
    repositories: "",
    full_name: "name",
    check_name,
    route: |name| {
        let (project, name) = name.split_once('/').unwrap_or((name, ""));
        format!("/{}/_apis/git/repositories/{}", encoded(project), encoded(name))
    },
    // Old names are understood.
    moved: |_| None,
    authorize: |request, login, token| match login {
        Login::Lent(_) => request.bearer_auth(token),
        Login::Token(_) | Login::Basic { .. } => request.basic_auth("", Some(token)),
    },
    message: |body| body["message"].as_str().unwrap_or_default().to_owned(),
    next: |_, _| {
        "give the token the scope Code (Read, write & status), and its owner the permissions Contribute and Contribute to pull requests".to_owned()
    },
    accepted: |_| String::new(),
    pages: Pages::Skip,
};

/// Refuses names that Azure DevOps does not allow: they become parts of paths. Those of projects may have spaces.
fn check_name(name: &str) -> Result<(), String> {
    let good = |part: &str| {
        let odd = |c: char| c.is_control() || "\\/:*?\"<>|#%&+".contains(c);
        !part.is_empty() && part.len() <= 255 && !part.starts_with('.') && !part.ends_with('.') && !part.contains(odd)
    };
    match name.split_once('/') {
        Some((project, name)) if good(project) && good(name) => Ok(()),
        _ => Err(format!("`{}` is not `project/repository`", one_line(name, 80))),
    }
}

impl Api for AzureDevOpsApi {
    type Settings = AzureDevOpsForgeSettings;
    type Pull = AzurePull;

    const LACKS: &'static [Feature] = &[Feature::ApprovalsOfWriters];
    const PAGE: u32 = 100;
    const MAX_TITLE: usize = 400;
    const MAX_BODY: usize = 4_000;
    const CLOSED_IN_ORDER: bool = false;

    fn secrets(settings: &AzureDevOpsForgeSettings) -> Vec<(&'static str, &SecretSource)> {
        match &settings.login {
            AzureLogin::Token(token) => vec![("Azure DevOps token", token)],
            AzureLogin::Entra(entra) => entra.secrets(),
        }
    }

    fn commit_page(settings: &AzureDevOpsForgeSettings) -> Option<String> {
        Some(format!("{}/commit/", pages_of(settings)))
    }

    fn statuses(settings: &AzureDevOpsForgeSettings) -> Option<StatusApi<'_>> {
        let (token, speech) = match &settings.login {
            AzureLogin::Token(token) => (Some(token), &status::SPEECH),
            AzureLogin::Entra(_) => (None, &status::OF_IDENTITIES),
        };
        let base = format!("{}{}", settings.site, (DIALECT.route)(&settings.repository));
        let (repository, user) = (settings.repository.clone(), None);
        let deployments = Deployments::None;
        Some(StatusApi { base, repository, user, token, speech, deployments })
    }

    fn open(settings: &AzureDevOpsForgeSettings, opening: &Opening<'_>) -> Result<Self, PullError> {
        let login = match &settings.login {
            AzureLogin::Token(token) => Login::Token(opening.secret(token)?),
            AzureLogin::Entra(entra) => Login::Lent(Arc::new(EntraLender::new(entra, &opening.of_lender())?)),
        };
        let place = opening.place(settings.site.clone(), settings.repository.clone(), login);
        Ok(Self { api: ApiClient::new(&DIALECT, &place)?, pages: pages_of(settings) })
    }

    fn lender(
        settings: &Self::Settings,
        opening: &LenderOpening<'_>,
    ) -> Result<Option<Arc<dyn LendsToken>>, PullError> {
        match &settings.login {
            AzureLogin::Token(_) => Ok(None),
            AzureLogin::Entra(entra) => Ok(Some(Arc::new(EntraLender::new(entra, opening)?))),
        }
    }

    fn client(&self) -> &ApiClient {
        &self.api
    }

    async fn check(&self) -> Result<(), ForgeError> {
        let refuse = |message: &str, next: &str| {
            let problem = Problem::Forbidden { message: message.to_owned(), next: next.to_owned() };
            Err(self.api.error("GET the repository", problem))
        };
        let repository: AzureRepository = self.api.ask(Ask::get(versioned("", &[]))).await?;
        if repository.is_disabled {
            return refuse("the repository is disabled", "enable it, or remove it from the configuration");
        }
        for (bit, may) in [(CONTRIBUTE, "push"), (CONTRIBUTE_TO_PULLS, "make pull requests")] {
            let token = format!("repoV2/{}/{}", repository.project.id, repository.id);
            let path = format!("_apis/permissions/{GIT_REPOSITORIES}/{bit}");
            let ask = Ask::get(versioned(&path, &[("tokens", &token)])).of_api();
            let allowed = may_be_unknown(self.api.ask::<Listed<bool>>(ask).await)?;
            if allowed.is_some_and(|allowed| allowed.values.first() == Some(&false)) {
                let next = "give it the permissions Contribute and Contribute to pull requests on the repository";
                return refuse(&format!("the token's owner may not {may}"), next);
            }
        }
        let path = list(&[("searchCriteria.status", "active"), ("$top", "1")]);
        self.api.ask::<Listed<AzurePull>>(Ask::get(path)).await.map(drop)
    }

    fn open_path(&self) -> String {
        list(&[("searchCriteria.status", "active"), ("$top", "100")])
    }

    fn branch_path(&self, head: &BranchName, base: &BranchName, states: States) -> String {
        list(&[
            ("searchCriteria.status", if states == States::Open { "active" } else { "all" }),
            ("searchCriteria.sourceRefName", &format!("refs/heads/{head}")),
            ("searchCriteria.targetRefName", &format!("refs/heads/{base}")),
            ("$top", "100"),
        ])
    }

    /// Those that ended since then, in the order in which they were made.
    fn closed_path(&self, page: u32, since: Option<Timestamp>) -> String {
        let skip = (page.saturating_sub(1) * Self::PAGE).to_string();
        let since = since.map(|since| since.to_string()).unwrap_or_default();
        let mut pairs = vec![("searchCriteria.status", "all"), ("$top", "100"), ("$skip", &skip)];
        pairs.push(("searchCriteria.queryTimeRangeType", "closed"));
        if !since.is_empty() {
            pairs.push(("searchCriteria.minTime", &since));
        }
        list(&pairs)
    }

    async fn one(&self, number: u64) -> Result<AzurePull, ForgeError> {
        let mut there: AzurePull = self.api.ask(Ask::get(versioned(&format!("pullRequests/{number}"), &[]))).await?;
        there.page = self.page_of(&there);
        Ok(there)
    }

    async fn completed(&self, mut pulls: Vec<AzurePull>) -> Result<Vec<AzurePull>, ForgeError> {
        for pull in &mut pulls {
            pull.page = self.page_of(pull);
        }
        Ok(pulls)
    }

    fn merged_as(&self, there: &AzurePull, merge: &Merge, _: CommitId) -> Result<MergeOutcome, ForgeError> {
        self.merged(there, merge)
    }

    async fn messages(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        let mut messages = Vec::new();
        for commit in self.commits(number).await? {
            messages.push(match commit.comment_truncated {
                true => {
                    let path = versioned(&format!("commits/{}", encoded(&commit.commit_id)), &[]);
                    self.api.ask::<AzureCommit>(Ask::get(path)).await?.comment
                }
                false => commit.comment,
            });
        }
        Ok(messages)
    }

    fn creating(&self, spec: &PullRequestSpec, draft: bool, _: &[String]) -> Ask {
        let body = json!({
            "title": spec.title, "description": spec.body, "isDraft": draft,
            "sourceRefName": format!("refs/heads/{}", spec.head), "targetRefName": format!("refs/heads/{}", spec.base),
        });
        Ask::post(versioned("pullrequests", &[]), body, Repeat::LookFirst)
    }

    fn exists(problem: &Problem) -> bool {
        matches!(problem, Problem::Rejected { status: 409, message } if message.contains("TF401179"))
    }

    fn rewriting(&self, there: &AzurePull, title: &str, body: &str) -> Ask {
        let change = json!({ "title": title, "description": body });
        Ask::patch(versioned(&format!("pullRequests/{}", there.number()), &[]), change)
    }

    async fn close(&self, there: AzurePull, body: Option<&str>) -> Result<(), ForgeError> {
        let mut change = json!({ "status": "abandoned" });
        if let Some(body) = body {
            change["description"] = json!(body);
        }
        self.api.tell(Ask::patch(versioned(&format!("pullRequests/{}", there.number()), &[]), change)).await
    }

    async fn comments(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        Ok(self.threads(number).await?.into_iter().flat_map(AzureThread::said).collect())
    }

    /// As a thread that needs no answer: open ones may keep a pull request from being merged.
    fn commenting(&self, number: u64, text: &str) -> Ask {
        let comment = json!({ "parentCommentId": 0, "content": text, "commentType": "text" });
        let body = json!({ "comments": [comment], "status": "closed" });
        Ask::post(versioned(&format!("pullRequests/{number}/threads"), &[]), body, Repeat::LookFirst)
    }
}

/// The security namespace of Git repositories, and two of its permissions.
const GIT_REPOSITORIES: &str = "2e9eb7ed-3c0a-47d4-87c1-0ffdbfbe3ebe";
const CONTRIBUTE: u32 = 4;
const CONTRIBUTE_TO_PULLS: u32 = 16_384;

impl AzureDevOpsApi {
    /// The project as part of a path.
    fn project(&self) -> String {
        encoded(self.api.name().split('/').next().unwrap_or_default())
    }

    fn page_of(&self, pull: &AzurePull) -> String {
        format!("{}/pullrequest/{}", self.pages, pull.number())
    }
}

fn pages_of(settings: &AzureDevOpsForgeSettings) -> String {
    let (project, name) = settings.repository.split_once('/').unwrap_or((&settings.repository, ""));
    format!("{}/{}/_git/{}", settings.site, encoded(project), encoded(name))
}

/// A name as part of a path.
fn encoded(name: &str) -> String {
    byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A path with its query, and the version of the API.
fn versioned(path: &str, pairs: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(pairs).append_pair("api-version", VERSION).finish();
    format!("{path}?{query}")
}

/// The path of a list of pull requests.
fn list(pairs: &[(&str, &str)]) -> String {
    versioned("pullrequests", pairs)
}
