//! GitHub: a commit status and a deployment per environment and cluster, and one comment per pull request.
//!
//! Promise: a status or deployment reports success only if nothing that the commit declares in that place is known to
//! be wrong. Nothing is posted twice. If GitHub refuses one part, the others are still posted.
//!
//! GitHub keeps at most 1,000 statuses per commit and context and answers 422 to more; then the last one stands.

mod comment;

use std::collections::BTreeMap;

use http::StatusCode;
use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::http::status::{CommitState, Deployments, at_most};
use crate::model::{Notice, NoticeKind};
use crate::notify::client::{Answer, Failure, FailureKind, SinkClient, address};
use crate::notify::memory::SinkMemory;
use crate::notify::opening::{Opening, StatusNeed, StatusTarget, StatusToken};

use super::commit::{CommitTold, NO_COMMIT, page, place, said, tolerate};
use super::{Delivered, Delivery, Receiver};

/// Maximum length of a description, in characters.
const MAX_DESCRIPTION: usize = 140;
/// Maximum length of a context, in characters.
const MAX_CONTEXT: usize = 255;

/// It has no keys of its own: the repositories' forges say where to post.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GitHubStatusConfig {}

impl GitHubStatusConfig {
    pub(super) fn check(&self, _: Mark, _: &mut Check<'_, '_>) -> Option<GitHubStatusSettings> {
        Some(GitHubStatusSettings)
    }
}

/// There is nothing to configure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubStatusSettings;

#[derive(Debug)]
pub(crate) struct GitHubStatusSink {
    client: SinkClient,
    targets: BTreeMap<String, Target>,
}

/// One repository.
#[derive(Debug)]
struct Target {
    /// `https://api.github.com/repos/acme/deploys`.
    base: String,
    name: String,
    token: StatusToken,
}

/// The content of a commit's status and deployment, in GitHub's words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    status: &'static str,
    deployment: &'static str,
    description: String,
}

impl From<CommitTold> for Said {
    fn from(CommitTold { state, description }: CommitTold) -> Self {
        let (status, deployment) = match state {
            CommitState::Succeeded => ("success", "success"),
            CommitState::Pending => ("pending", "in_progress"),
            CommitState::Failed => ("failure", "failure"),
            CommitState::Ended => ("error", "inactive"),
        };
        Self { status, deployment, description: at_most(&description, MAX_DESCRIPTION) }
    }
}

#[derive(Debug, Deserialize)]
struct Id {
    id: u64,
}

impl Receiver for GitHubStatusSink {
    type Settings = GitHubStatusSettings;

    fn needs(_: &GitHubStatusSettings) -> StatusNeed {
        StatusNeed::OwnDeployments
    }

    fn open(_: &GitHubStatusSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let own = |(_, target): &(&String, &StatusTarget)| matches!(target.deployments, Deployments::OfItsReceiver);
        let mut secrets = Vec::new();
        let mut targets = BTreeMap::new();
        for (name, target) in opening.repositories.iter().filter(own) {
            address(&target.base)?;
            let (token, kept) = target.token.kept();
            secrets.extend(kept);
            targets.insert(name.clone(), Target { base: target.base.clone(), name: target.full_name.clone(), token });
        }
        Ok(Self { client: SinkClient::new(opening.ca_pem, opening.timeout, secrets)?, targets })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
        if delivery.notice.kind == NoticeKind::Test {
            return self.test().await;
        }
        let Some(target) = self.targets.get(&delivery.notice.incident.repository) else { return Ok(None) };
        let mut left_out = Vec::new();
        if let (Some(commit), Some(said)) = (&delivery.notice.incident.commit, said(delivery, memory)) {
            let said = Said::from(said);
            left_out.extend(tolerate(self.status(target, commit, &said, delivery.notice, memory).await)?);
            left_out.extend(tolerate(self.deployment(target, commit, &said, delivery.notice, memory).await)?);
        }
        left_out.extend(tolerate(self.comment(target, delivery, memory).await)?);
        Ok((!left_out.is_empty()).then(|| left_out.join("; ")))
    }
}

impl GitHubStatusSink {
    /// There is nothing to post a test to, so this checks whether the tokens may write to the repositories.
    async fn test(&self) -> Delivered {
        for target in self.targets.values() {
            let answer = self.ask(target, Method::GET, "", None).await?;
            let repository: Value = self.client.read("the repository", &answer)?;
            if repository["permissions"]["push"] == json!(false) {
                let text = format!(
                    "the token can only read {}; next: give it write access to commit statuses, deployments and pull requests",
                    target.name
                );
                return Err(Failure::new(FailureKind::Refused, text));
            }
            self.try_out(target).await?;
        }
        Ok(None)
    }

    /// Whether statuses and deployments may be posted: of a commit that does not exist, GitHub says so only to who may.
    async fn try_out(&self, target: &Target) -> Result<(), Failure> {
        let status = json!({ "state": "pending", "context": "landfall" });
        let deployment =
            json!({ "ref": NO_COMMIT, "environment": "landfall", "auto_merge": false, "required_contexts": [] });
        for (path, body) in [(format!("/statuses/{NO_COMMIT}"), status), ("/deployments".to_owned(), deployment)] {
            match self.ask(target, Method::POST, &path, Some(&body)).await {
                Err(failure) if failure.kind == FailureKind::Rejected => {}
                tried => drop(tried?),
            }
        }
        Ok(())
    }

    async fn status(
        &self,
        target: &Target,
        commit: &str,
        said: &Said,
        notice: &Notice,
        memory: &mut SinkMemory,
    ) -> Result<(), Failure> {
        let context: String = format!("landfall/{}", place(notice)).chars().take(MAX_CONTEXT).collect();
        let (key, now) = (format!("{commit} {context}"), format!("{} {}", said.status, said.description));
        if memory.statuses.get(&key) == Some(&now) {
            return Ok(());
        }
        let mut body = json!({ "state": said.status, "context": context, "description": said.description });
        if let Some(url) = page(notice) {
            body["target_url"] = json!(url);
        }
        self.ask(target, Method::POST, &format!("/statuses/{commit}"), Some(&body)).await?;
        memory.statuses.put(&key, now);
        Ok(())
    }

    async fn deployment(
        &self,
        target: &Target,
        commit: &str,
        said: &Said,
        notice: &Notice,
        memory: &mut SinkMemory,
    ) -> Result<(), Failure> {
        let place = place(notice);
        let key = format!("{commit} {place}");
        let id = match memory.deployments.get(&key) {
            Some(id) => *id,
            None => {
                let id = self.find_or_make(target, commit, &place).await?;
                memory.deployments.put(&key, id);
                id
            }
        };
        let (key_said, now) = (format!("deployment {id}"), format!("{} {}", said.deployment, said.description));
        if memory.statuses.get(&key_said) == Some(&now) {
            return Ok(());
        }
        let mut body = json!({
            "state": said.deployment,
            "description": said.description,
            "environment": place,
            "auto_inactive": true,
        });
        if let Some(url) = page(notice) {
            body["log_url"] = json!(url);
        }
        match self.ask(target, Method::POST, &format!("/deployments/{id}/statuses"), Some(&body)).await {
            Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => {
                // Somebody deleted it, or the token lacks permission; the next notice looks again.
                memory.deployments.remove(&key);
                Err(failure)
            }
            Err(failure) => Err(failure),
            Ok(_) => {
                memory.statuses.put(&key_said, now);
                Ok(())
            }
        }
    }

    /// Reuses a deployment that was created before this process started, or by another replica.
    async fn find_or_make(&self, target: &Target, commit: &str, place: &str) -> Result<u64, Failure> {
        let query = form(&[("sha", commit), ("environment", place), ("per_page", "1")]);
        let answer = self.ask(target, Method::GET, &format!("/deployments?{query}"), None).await?;
        let found: Vec<Id> = self.client.read("deployments", &answer)?;
        if let Some(first) = found.first() {
            return Ok(first.id);
        }
        let body = json!({
            "ref": commit,
            "environment": place,
            "description": "watched by Landfall",
            // Without these, GitHub merges the default branch into the ref and waits for its checks, including ours.
            "auto_merge": false,
            "required_contexts": [],
        });
        let answer = self.ask(target, Method::POST, "/deployments", Some(&body)).await?;
        self.client.read("the deployment", &answer).map(|made: Id| made.id)
    }

    async fn ask(&self, target: &Target, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let request = |token: &str| {
            let request = self
                .client
                .http()
                .request(method.clone(), format!("{}{path}", target.base))
                .bearer_auth(token)
                .header(http::header::ACCEPT, "application/vnd.github+json")
                .header("X-GitHub-Api-Version", "2022-11-28");
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        self.client.send_as(&target.token, request).await
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
