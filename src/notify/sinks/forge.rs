//! The repositories' own forges: a commit status per environment and cluster, and a deployment where the forge has such.
//!
//! Promise: a status or deployment reports success only if nothing that the commit declares in that place is known to be wrong, and
//! nothing is posted twice. If the forge refuses one of the two, the other is still posted. How a forge takes them, it says
//! itself ([`StatusSpeech`](crate::http::status::StatusSpeech), [`DeploymentSpeech`]).

use std::collections::BTreeMap;

use http::StatusCode;
use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::http::status::{
    CommitDeployment, CommitState, CommitStatus, DeploymentSpeech, Deployments, NumberedDeployments,
};
use crate::model::NoticeKind;
use crate::notify::client::{Answer, Failure, SinkClient, address};
use crate::notify::memory::SinkMemory;
use crate::notify::opening::{Opening, StatusNeed, StatusTarget};

use super::commit::{NO_COMMIT, page, place, said, tolerate};
use super::{Delivered, Delivery, Receiver};

/// Maximum length of a status' name, in characters.
const MAX_NAME: usize = 255;

/// Where to post, the repositories' forges say.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ForgeStatusConfig {
    /// Whether deployments are posted, too; default: where the forge has them (GitLab, Bitbucket Data Center).
    deployments: Option<At<bool>>,
}

impl ForgeStatusConfig {
    pub(super) fn check(&self, _: Mark, _: &mut Check<'_, '_>) -> Option<ForgeStatusSettings> {
        Some(ForgeStatusSettings(match self.deployments.as_ref().map(|at| at.value) {
            None => Wanted::WhereThereAre,
            Some(true) => Wanted::Everywhere,
            Some(false) => Wanted::Nowhere,
        }))
    }
}

/// Where deployments are posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeStatusSettings(Wanted);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    WhereThereAre,
    /// The same, but `check` says where there are none.
    Everywhere,
    Nowhere,
}

#[derive(Debug)]
pub(crate) struct ForgeStatusSink {
    client: SinkClient,
    targets: BTreeMap<String, StatusTarget>,
    deployments: Wanted,
}

/// A deployment in a forge's list.
#[derive(Debug, Deserialize)]
struct Listed {
    id: u64,
    sha: String,
    status: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Made {
    id: u64,
}

impl Receiver for ForgeStatusSink {
    type Settings = ForgeStatusSettings;

    fn needs(settings: &ForgeStatusSettings) -> StatusNeed {
        match settings.0 {
            Wanted::Everywhere => StatusNeed::StatusesAndDeployments,
            Wanted::WhereThereAre | Wanted::Nowhere => StatusNeed::Statuses,
        }
    }

    fn open(settings: &ForgeStatusSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let mut secrets = Vec::new();
        let mut targets = BTreeMap::new();
        for (name, target) in opening.repositories {
            address(&target.base)?;
            let (token, kept) = target.token.kept();
            secrets.extend(kept);
            targets.insert(name.clone(), StatusTarget { token, ..target.clone() });
        }
        let client = SinkClient::new(opening.ca_pem, opening.timeout, secrets)?;
        Ok(Self { client, targets, deployments: settings.0 })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
        if delivery.notice.kind == NoticeKind::Test {
            for target in self.targets.values() {
                drop(self.ask(target, Method::GET, target.speech.look, None).await?);
                self.try_out(target).await?;
            }
            return Ok(None);
        }
        let incident = &delivery.notice.incident;
        let Some(target) = self.targets.get(&incident.repository) else { return Ok(None) };
        let (Some(commit), Some(said)) = (&incident.commit, said(delivery, memory)) else { return Ok(None) };
        let place = place(delivery.notice);
        let name: String = format!("landfall/{place}").chars().take(MAX_NAME).collect();
        let own = format!("{}{commit}", target.commit_page);
        let page = page(delivery.notice).unwrap_or(&own);
        let status = CommitStatus { commit, name: &name, state: said.state, description: &said.description, page };
        let mut left_out = Vec::new();
        left_out.extend(tolerate(self.status(target, &status, memory).await)?);
        if let (Deployments::Posted(speech), Wanted::WhereThereAre | Wanted::Everywhere) =
            (target.deployments, self.deployments)
        {
            let (branch, repository) = (&target.branch, &target.full_name);
            let deployment = CommitDeployment { status, environment: &place, branch, repository };
            left_out.extend(tolerate(self.deployment(target, speech, &deployment, memory).await)?);
        }
        Ok((!left_out.is_empty()).then(|| left_out.join("; ")))
    }
}

impl ForgeStatusSink {
    async fn status(
        &self,
        target: &StatusTarget,
        status: &CommitStatus<'_>,
        memory: &mut SinkMemory,
    ) -> Result<(), Failure> {
        let (key, now) =
            (format!("{} {}", status.commit, status.name), format!("{:?} {}", status.state, status.description));
        if memory.statuses.get(&key) == Some(&now) {
            return Ok(());
        }
        let (path, body) = (target.speech.post)(status);
        drop(self.ask(target, Method::POST, &path, Some(&body)).await?);
        memory.statuses.put(&key, now);
        Ok(())
    }

    /// Whether statuses may be posted, where the forge tells that by a commit that does not exist.
    async fn try_out(&self, target: &StatusTarget) -> Result<(), Failure> {
        let Some(missing) = target.speech.missing else { return Ok(()) };
        let (commit, state) = (NO_COMMIT, CommitState::Pending);
        let status = CommitStatus { commit, name: "landfall", state, description: "", page: &target.commit_page };
        let (path, body) = (target.speech.post)(&status);
        match self.ask(target, Method::POST, &path, Some(&body)).await {
            Err(failure) if failure.status == Some(missing) => Ok(()),
            tried => tried.map(drop),
        }
    }

    async fn deployment(
        &self,
        target: &StatusTarget,
        speech: &DeploymentSpeech,
        deployment: &CommitDeployment<'_>,
        memory: &mut SinkMemory,
    ) -> Result<(), Failure> {
        let state = deployment.status.state;
        let key = format!("{} {}", deployment.status.commit, deployment.environment);
        let (told, now) = (format!("deployment {key}"), format!("{state:?}"));
        if memory.statuses.get(&told) == Some(&now) {
            return Ok(());
        }
        match speech {
            DeploymentSpeech::Keyed(post) => {
                let (path, body) = post(deployment);
                drop(self.ask(target, Method::POST, &path, Some(&body)).await?);
            }
            DeploymentSpeech::Numbered(numbered) => {
                match self.number(target, numbered, deployment, &key, memory).await? {
                    Some((id, was)) => {
                        self.change(target, (numbered.change)(id, state, was.as_deref()), &key, memory).await?;
                        memory.deployments.put(&key, id);
                    }
                    None => {
                        let (path, body) = (numbered.make)(deployment);
                        let answer = self.ask(target, Method::POST, &path, Some(&body)).await?;
                        memory.deployments.put(&key, self.client.read::<Made>("the deployment", &answer)?.id);
                    }
                }
            }
        }
        memory.statuses.put(&told, now);
        Ok(())
    }

    /// The number of the deployment, and its state if it was looked up: it may have been made before this process started, or by another replica.
    async fn number(
        &self,
        target: &StatusTarget,
        numbered: &NumberedDeployments,
        deployment: &CommitDeployment<'_>,
        key: &str,
        memory: &SinkMemory,
    ) -> Result<Option<(u64, Option<String>)>, Failure> {
        if let Some(id) = memory.deployments.get(key) {
            return Ok(Some((*id, None)));
        }
        let path = (numbered.list)(deployment.environment);
        let listed = match self.ask(target, Method::GET, &path, None).await {
            // There is no such environment yet.
            Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => return Ok(None),
            answer => self.client.read::<Vec<Listed>>("deployments", &answer?)?,
        };
        let ours = listed.into_iter().find(|it| it.sha == deployment.status.commit);
        Ok(ours.map(|it| (it.id, it.status)))
    }

    async fn change(
        &self,
        target: &StatusTarget,
        change: Option<(String, Value)>,
        key: &str,
        memory: &mut SinkMemory,
    ) -> Result<(), Failure> {
        let Some((path, body)) = change else { return Ok(()) };
        let changed = self.ask(target, Method::PUT, &path, Some(&body)).await;
        // Somebody may have deleted it; the next notice looks again.
        if changed.as_ref().is_err_and(|failure| failure.status == Some(StatusCode::NOT_FOUND)) {
            memory.deployments.remove(key);
        }
        changed.map(drop)
    }

    async fn ask(
        &self,
        target: &StatusTarget,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let request = |token: &str| {
            let request = self.client.http().request(method.clone(), format!("{}{path}", target.base));
            let request = (target.speech.authorize)(request, target.user.as_deref(), token);
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        self.client.send_as(&target.token, request).await
    }
}
