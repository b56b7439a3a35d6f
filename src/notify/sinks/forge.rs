//! The repositories' own forges: a commit status per environment and cluster, wherever pull requests are made.
//!
//! Promise: a status reports success only if nothing that the commit declares in that place is known to be wrong, and
//! nothing is posted twice. How a forge takes statuses, it says itself ([`StatusSpeech`](crate::http::status::StatusSpeech)).

use std::collections::BTreeMap;

use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::http::status::{CommitState, CommitStatus};
use crate::model::{Notice, NoticeKind};
use crate::notify::client::{Failure, SinkClient, address};
use crate::notify::memory::SinkMemory;
use crate::notify::opening::{Opening, StatusNeed, StatusTarget};

use super::commit::{CommitTold, NO_COMMIT, page, place, said, tolerate};
use super::{Delivered, Delivery, Receiver};

/// Maximum length of a status' name, in characters.
const MAX_NAME: usize = 255;

/// It has no keys of its own: the repositories' forges say where to post.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForgeStatusConfig {}

impl ForgeStatusConfig {
    pub(super) fn check(&self, _: Mark, _: &mut Check<'_, '_>) -> Option<ForgeStatusSettings> {
        Some(ForgeStatusSettings)
    }
}

/// There is nothing to configure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeStatusSettings;

#[derive(Debug)]
pub(crate) struct ForgeStatusSink {
    client: SinkClient,
    targets: BTreeMap<String, StatusTarget>,
}

impl Receiver for ForgeStatusSink {
    type Settings = ForgeStatusSettings;
    const NEEDS: StatusNeed = StatusNeed::Statuses;

    fn open(_: &ForgeStatusSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let mut secrets = Vec::new();
        let mut targets = BTreeMap::new();
        for (name, target) in opening.repositories {
            address(&target.base)?;
            let (token, kept) = target.token.kept();
            secrets.extend(kept);
            targets.insert(name.clone(), StatusTarget { token, ..target.clone() });
        }
        Ok(Self { client: SinkClient::new(opening.ca_pem, opening.timeout, secrets)?, targets })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
        if delivery.notice.kind == NoticeKind::Test {
            for target in self.targets.values() {
                self.ask(target, Method::GET, target.speech.look, None).await?;
                self.try_out(target).await?;
            }
            return Ok(None);
        }
        let incident = &delivery.notice.incident;
        let Some(target) = self.targets.get(&incident.repository) else { return Ok(None) };
        let (Some(commit), Some(said)) = (&incident.commit, said(delivery, memory)) else { return Ok(None) };
        tolerate(self.status(target, commit, &said, delivery.notice, memory).await)
    }
}

impl ForgeStatusSink {
    async fn status(
        &self,
        target: &StatusTarget,
        commit: &str,
        said: &CommitTold,
        notice: &Notice,
        memory: &mut SinkMemory,
    ) -> Result<(), Failure> {
        let name: String = format!("landfall/{}", place(notice)).chars().take(MAX_NAME).collect();
        let (key, now) = (format!("{commit} {name}"), format!("{:?} {}", said.state, said.description));
        if memory.statuses.get(&key) == Some(&now) {
            return Ok(());
        }
        let own = format!("{}{commit}", target.commit_page);
        let page = page(notice).unwrap_or(&own);
        let status = CommitStatus { commit, name: &name, state: said.state, description: &said.description, page };
        let (path, body) = (target.speech.post)(&status);
        self.ask(target, Method::POST, &path, Some(&body)).await?;
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
            tried => tried,
        }
    }

    async fn ask(
        &self,
        target: &StatusTarget,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(), Failure> {
        let request = |token: &str| {
            let request = self.client.http().request(method.clone(), format!("{}{path}", target.base));
            let request = (target.speech.authorize)(request, target.user.as_deref(), token);
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        self.client.send_as(&target.token, request).await.map(drop)
    }
}
