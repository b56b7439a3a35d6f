//! Pull requests on GitHub: listed completely, found or created once, brought up to date, closed.
//!
//! Promise: see [`crate::forge`]. Everything is idempotent: every call may be repeated after a crash at any point.
//!
//! Design: `client` is the HTTP side, `answer` interprets answers, `wire` is GitHub's JSON; this file, `ensure` (find
//! or create), `judge` (reviews and checks), `conclude` (merge, close, comment) and `queue` (merge queues) hold the
//! rules. Creations are serialised: GitHub asks for that, and within one process it closes the gap between looking and
//! creating. Between processes GitHub closes the gap: it refuses a second open pull request with the same head and base
//! (422), and then the first one is adopted.

mod answer;
mod client;
mod closed;
mod conclude;
mod ensure;
mod judge;
mod queue;
mod settings;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex as Shared;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::form_urlencoded::Serializer;

use self::client::{ApiClient, Ask};
use self::closed::ClosedPulls;
use self::ensure::Settled;
pub use self::settings::GitHubSettings;
use self::wire::{WirePull, WireRepository};
use super::error::{ForgeError, Problem};
use super::{Ensured, Opening, PullError, PullForge, StatusApi, Wanted};
use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::document::value;
use crate::model::{Answer, BranchName, Checks, CommitId, DequeueOutcome, Merge, MergeOutcome, PullRequest, Reviews};

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
}

impl GitHubConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<GitHubForgeSettings> {
        let repository = check.required(at, "github", "repository", self.repository.as_ref());
        let repository = repository.and_then(|at| check.text(at, value::owner_and_name));
        let token = check.required(at, "github", "token", self.token.as_ref()).and_then(|at| check.secret(at));
        let api_url = check.url_or(self.api_url.as_ref(), DEFAULT_API);
        let (owner, repository) = repository?;
        Some(GitHubForgeSettings { api_url: api_url?, owner, repository, token: token? })
    }
}

/// A repository on GitHub, the token not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubForgeSettings {
    api_url: String,
    owner: String,
    repository: String,
    token: SecretSource,
}

const DEFAULT_API: &str = "https://api.github.com";

impl PullForge for GitHub {
    type Settings = GitHubForgeSettings;

    fn secrets(settings: &GitHubForgeSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("GitHub token", &settings.token)]
    }

    fn commit_page(settings: &GitHubForgeSettings) -> Option<String> {
        let site = match settings.api_url.strip_suffix("/api/v3") {
            Some(site) => site,
            None if settings.api_url == DEFAULT_API => "https://github.com",
            // For any other API address, the address of its web pages is unknown.
            None => return None,
        };
        Some(format!("{site}/{}/{}/commit/", settings.owner, settings.repository))
    }

    fn statuses(settings: &GitHubForgeSettings) -> Option<StatusApi<'_>> {
        let GitHubForgeSettings { api_url, owner, repository, token } = settings;
        Some(StatusApi { api_url, owner, repository, token })
    }

    fn open(settings: &GitHubForgeSettings, opening: &Opening<'_>) -> Result<Self, PullError> {
        Ok(Self::new(GitHubSettings {
            api_url: settings.api_url.clone(),
            owner: settings.owner.clone(),
            repository: settings.repository.clone(),
            token: opening.secret(&settings.token)?,
            ca_pem: opening.ca_pem.map(<[u8]>::to_vec),
            timeout: opening.timeout,
        })?)
    }

    async fn doctor(&self, head_prefix: &str) -> Result<Option<String>, PullError> {
        self.check().await?;
        let open = self.open_pulls(head_prefix).await?;
        let queue = self.queue_words().await;
        Ok(Some(format!("{} open pull requests of ours{queue}", open.len())))
    }

    async fn open_pulls(&self, head_prefix: &str) -> Result<Vec<PullRequest>, PullError> {
        Ok(self.open_pulls(head_prefix).await?)
    }

    async fn pulls_of(&self, head: &BranchName, base: &BranchName) -> Result<Vec<PullRequest>, PullError> {
        Ok(self.pulls_of(head, base).await?)
    }

    async fn closed_pulls(
        &self,
        prefix: &str,
        now: Timestamp,
        within: Duration,
    ) -> Result<Vec<PullRequest>, PullError> {
        Ok(self.closed_pulls(prefix, now, within).await?)
    }

    async fn messages(&self, pull: &PullRequest) -> Answer<Vec<String>> {
        answered(self.messages(pull.number).await)
    }

    async fn merged_messages(&self, number: u64, commit: &CommitId, prefix: &str) -> Result<Vec<String>, PullError> {
        Ok(self.merged_messages(number, commit, prefix).await?)
    }

    async fn ensure(&self, wanted: &[Wanted], _: Timestamp) -> Vec<Ensured> {
        let mut made = Vec::new();
        for Wanted { spec, known, .. } in wanted {
            made.push(self.ensure(spec, known.as_ref()).await.map_err(PullError::from));
        }
        made
    }

    async fn merge(&self, merge: &Merge, _: Timestamp) -> Result<MergeOutcome, PullError> {
        Ok(self.merge(merge).await?)
    }

    async fn close(&self, number: u64, body: &str, comment: &str, _: Timestamp) -> Result<(), PullError> {
        Ok(self.close(number, Some(body), Some(comment)).await?)
    }

    async fn take_label(&self, number: u64, label: &str, _: Timestamp) -> Result<(), PullError> {
        Ok(self.take_label(number, label).await?)
    }

    async fn reviews(&self, number: u64) -> Answer<Reviews> {
        answered(self.reviews(number).await)
    }

    async fn checks(&self, commit: &CommitId) -> Answer<Checks> {
        answered(self.checks(commit).await)
    }

    async fn is_behind(&self, number: u64, tip: &CommitId) -> Answer<bool> {
        answered(self.is_behind(number, tip).await)
    }

    async fn is_queued(&self, number: u64) -> Result<bool, PullError> {
        Ok(self.is_queued(number).await?)
    }

    async fn queue(&self, base: &BranchName) -> Answer<BTreeSet<u64>> {
        self.queue(base).await
    }

    async fn dequeue(&self, number: u64, comment: &str) -> Result<DequeueOutcome, PullError> {
        Ok(self.dequeue(number, comment).await?)
    }

    async fn has_comment(&self, number: u64, marker: &str) -> Answer<bool> {
        answered(self.has_comment(number, marker).await)
    }

    async fn comment_once(&self, number: u64, marker: &str, text: &str) -> Result<(), PullError> {
        Ok(self.comment_once(number, marker, text).await?)
    }
}

fn answered<T>(answer: Result<T, ForgeError>) -> Answer<T> {
    answer.map_or_else(|error| PullError::from(error).answer(), Answer::Known)
}

/// An operation's total time limit as a multiple of one request's.
pub const REQUESTS: u32 = 8;

/// One repository on GitHub.
pub struct GitHub {
    api: ApiClient,
    deadline: Duration,
    /// Held while something is created or changed.
    writing: Mutex<()>,
    /// What this process has already done, so that an unchanged pull request costs no request.
    settled: Shared<BTreeMap<u64, Settled>>,
    /// The account that the token belongs to, once it was asked for.
    login: Mutex<Option<String>>,
    /// The pull requests that this process has added to merge queues, with their tips.
    enqueued: Shared<BTreeMap<u64, CommitId>>,
    /// What is known about closed pull requests.
    closed: Mutex<ClosedPulls>,
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("owner", &self.api.name().0).finish_non_exhaustive()
    }
}

impl GitHub {
    /// Prepares the client; connects to nothing.
    ///
    /// # Errors
    /// If a setting cannot work: an invalid address, names that GitHub does not allow, an empty token, a bad CA file.
    #[expect(clippy::needless_pass_by_value, reason = "the token moves in; a borrowed one would stay alive outside")]
    pub fn new(settings: GitHubSettings) -> Result<Self, ForgeError> {
        let deadline = settings.timeout.saturating_mul(REQUESTS);
        let (settled, enqueued) = (Shared::default(), Shared::default());
        let (writing, closed, login) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self { api: ApiClient::new(&settings)?, deadline, writing, settled, login, enqueued, closed })
    }

    /// Every open pull request whose head is a branch of this same repository with a name that begins with `head_prefix`.
    ///
    /// Pages are requested one after the other; a pull request closed in the meantime may shift another one out of
    /// view. [`ensure`](Self::ensure) still finds that one, because it queries by name.
    ///
    /// # Errors
    /// If not every page could be read.
    pub async fn open_pulls(&self, head_prefix: &str) -> Result<Vec<PullRequest>, ForgeError> {
        let query = query(&[("state", "open"), ("sort", "created"), ("direction", "asc")]);
        self.in_time("list pull requests", async {
            let all = self.api.list::<WirePull>(query).await?;
            let ours = all.into_iter().filter(|pull| pull.is_own() && pull.head.name.starts_with(head_prefix));
            let mut found = BTreeMap::new();
            for pull in ours {
                let number = pull.number;
                match pull.into_model() {
                    Ok(pull) => drop(found.insert(number, pull)),
                    Err(reason) => return Err(self.api.nonsense("GET pulls", &reason)),
                }
            }
            Ok(found.into_values().collect())
        })
        .await
    }

    /// The pull requests from `head` into `base` in every state, newest first.
    ///
    /// # Errors
    /// If not every page could be read.
    pub async fn pulls_of(&self, head: &BranchName, base: &BranchName) -> Result<Vec<PullRequest>, ForgeError> {
        self.in_time("list pull requests", async {
            let found = self.list_of(head, base, "all").await?;
            found.into_iter().map(|pull| self.model(pull)).collect()
        })
        .await
    }

    /// Checks that the token works, sees the repository, and may push to it and read its pull requests, as far as the
    /// API shows. (Some kinds of tokens are only refused when they write.)
    ///
    /// # Errors
    /// If the check fails.
    pub async fn check(&self) -> Result<(), ForgeError> {
        self.in_time("check", async {
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
            if repository.permissions.is_some_and(|may| !may.push) {
                return refuse("the token's owner may not push", "give it write access to the repository");
            }
            let ask = Ask::get("pulls?state=open&per_page=1");
            self.api.ask::<Vec<WirePull>>(ask).await.map(drop)
        })
        .await
    }

    /// One pull request.
    async fn one(&self, number: u64) -> Result<PullRequest, ForgeError> {
        let pull: WirePull = self.api.ask(Ask::get(format!("pulls/{number}"))).await?;
        self.model(pull)
    }

    /// The pull requests of this repository from `head` into `base`, newest first.
    async fn list_of(&self, head: &BranchName, base: &BranchName, state: &str) -> Result<Vec<WirePull>, ForgeError> {
        let owned = format!("{}:{head}", self.api.name().0);
        let query = query(&[
            ("state", state),
            ("head", &owned),
            ("base", base.as_str()),
            ("sort", "created"),
            ("direction", "desc"),
        ]);
        let mut found = self.api.list::<WirePull>(query).await?;
        // Checked again: GitHub ignores a filter that it does not understand, and a fork of the same owner would pass
        // it.
        found.retain(|pull| pull.is_own() && pull.head.name == head.as_str() && pull.base.name == base.as_str());
        found.sort_by_key(|pull| std::cmp::Reverse(pull.number));
        found.dedup_by_key(|pull| pull.number);
        Ok(found)
    }

    fn model(&self, pull: WirePull) -> Result<PullRequest, ForgeError> {
        pull.into_model().map_err(|reason| self.api.nonsense("GET pulls", &reason))
    }

    async fn in_time<T>(&self, call: &str, work: impl Future<Output = Result<T, ForgeError>>) -> Result<T, ForgeError> {
        match tokio::time::timeout(self.deadline, work).await {
            Ok(result) => result,
            Err(_) => {
                let text = format!("not done within {} s", self.deadline.as_secs());
                Err(self.api.error(call, Problem::Network(text)))
            }
        }
    }
}

/// The path of a list of pull requests, with 100 per page.
fn query(pairs: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(pairs).append_pair("per_page", "100").finish();
    format!("pulls?{query}")
}
