//! Opsgenie, Alert API v2: an incident is an alert under one alias, which is created, updated and closed.
//!
//! Opsgenie counts an alert that is created again under the alias of an open one, and does not change it; so its message
//! and priority are set besides. Requests are processed after they are answered (202).

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::model::{NoticeKind, Severity, one_line};
use crate::notify::client::{Failure, FailureKind, SinkClient, address};
use crate::notify::memory::SinkMemory;
use crate::notify::opening::Opening;

use super::{Delivered, Delivery, LandingNews, Receiver};

const DEFAULT_URL: &str = "https://api.opsgenie.com";
/// Maximum length of `message`, less the mark of what was cut.
const MAX_MESSAGE: usize = 129;
/// Maximum length of `description`.
const MAX_DESCRIPTION: usize = 15_000;
/// Maximum length of a tag.
const MAX_TAG: usize = 49;
/// Maximum length of `entity` and of a detail, less than Opsgenie's so that all details together stay below its limit.
const MAX_DETAIL: usize = 400;

/// Opsgenie's keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OpsgenieConfig {
    /// The API; default `https://api.opsgenie.com`, in the EU `https://api.eu.opsgenie.com`.
    url: Option<At<String>>,
    /// The key of an API integration.
    api_key: Option<At<Secret>>,
}

impl OpsgenieConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<OpsgenieSettings> {
        let url = check.url_or(self.url.as_ref(), DEFAULT_URL);
        let key = check.required(at, "opsgenie", "apiKey", self.api_key.as_ref());
        let api_key = key.and_then(|at| check.secret(at));
        Some(OpsgenieSettings { url: url?, api_key: api_key? })
    }
}

/// Which account is alerted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsgenieSettings {
    url: String,
    api_key: SecretSource,
}

#[derive(Debug)]
pub(crate) struct OpsgenieSink {
    client: SinkClient,
    alerts: Url,
    api_key: SecretString,
}

impl Receiver for OpsgenieSink {
    type Settings = OpsgenieSettings;
    const LANDINGS: LandingNews = LandingNews::Never;

    fn secrets(settings: &OpsgenieSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("API key", &settings.api_key)]
    }

    fn open(settings: &OpsgenieSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let base = address(&format!("{}/", settings.url.trim_end_matches('/')))?;
        let alerts = base.join("v2/alerts");
        let api_key = opening.secret(&settings.api_key)?;
        Ok(Self {
            client: SinkClient::new(opening.ca_pem, opening.timeout, vec![api_key.clone()])?,
            alerts: alerts.map_err(|_| Failure::new(FailureKind::Misplaced, "the address cannot be a base URL"))?,
            api_key,
        })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
        match delivery.notice.kind {
            // Opsgenie's own escalations send the reminders.
            NoticeKind::Reminder | NoticeKind::Landed => Ok(None),
            NoticeKind::Raised => self.create(delivery).await,
            NoticeKind::Escalated => {
                // Creates it where somebody has closed it meanwhile.
                self.create(delivery).await?;
                self.change(delivery, "message", &json!({ "message": message(delivery) })).await?;
                let before = memory.notified.get(&delivery.id).map(|told| told.notice.incident.severity);
                if before != Some(delivery.notice.incident.severity) {
                    self.change(delivery, "priority", &json!({ "priority": priority(delivery) })).await?;
                }
                self.change(delivery, "description", &json!({ "description": description(delivery) })).await
            }
            NoticeKind::Resolved => self.close(delivery).await,
            // A test leaves nobody paged.
            NoticeKind::Test => {
                self.create(delivery).await?;
                self.close(delivery).await
            }
        }
    }
}

impl OpsgenieSink {
    async fn create(&self, delivery: &Delivery<'_>) -> Delivered {
        self.send(reqwest::Method::POST, self.alerts.clone(), &alert(delivery)).await
    }

    async fn close(&self, delivery: &Delivery<'_>) -> Delivered {
        let url = self.under_alias(delivery, "close");
        let note = one_line(&delivery.texts.title, MAX_DETAIL);
        self.send(reqwest::Method::POST, url, &json!({ "source": "Landfall", "note": note })).await
    }

    async fn change(&self, delivery: &Delivery<'_>, what: &str, body: &Value) -> Delivered {
        self.send(reqwest::Method::PUT, self.under_alias(delivery, what), body).await
    }

    /// `…/v2/alerts/ALIAS/what?identifierType=alias`
    fn under_alias(&self, delivery: &Delivery<'_>, what: &str) -> Url {
        let mut url = self.alerts.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend([delivery.id.as_str(), what]);
        }
        url.query_pairs_mut().append_pair("identifierType", "alias");
        url
    }

    async fn send(&self, method: reqwest::Method, url: Url, body: &Value) -> Delivered {
        let key = format!("GenieKey {}", self.api_key.expose_secret());
        let request = self.client.http().request(method, url).header(http::header::AUTHORIZATION, key).json(body);
        self.client.send(request).await.map(|_| None)
    }
}

fn alert(delivery: &Delivery<'_>) -> Value {
    let incident = &delivery.notice.incident;
    let key = &incident.key;
    let tags: Vec<String> = [key.environment.as_deref(), key.cluster.as_deref(), Some(&key.app)]
        .into_iter()
        .flatten()
        .map(|tag| one_line(tag, MAX_TAG))
        .collect();
    json!({
        "message": message(delivery),
        "alias": delivery.id,
        "description": description(delivery),
        "priority": priority(delivery),
        "source": "Landfall",
        "entity": one_line(&key.app, MAX_DETAIL),
        "tags": tags,
        "details": details(delivery),
    })
}

fn message(delivery: &Delivery<'_>) -> String {
    one_line(&delivery.texts.title, MAX_MESSAGE)
}

fn description(delivery: &Delivery<'_>) -> String {
    delivery.texts.plain.chars().take(MAX_DESCRIPTION).collect()
}

fn priority(delivery: &Delivery<'_>) -> &'static str {
    match delivery.notice.incident.severity {
        Severity::Critical => "P1",
        Severity::Error => "P2",
        Severity::Warning => "P3",
        Severity::Info => "P5",
    }
}

/// Texts by name, those that are known.
fn details(delivery: &Delivery<'_>) -> Value {
    let notice = delivery.notice;
    let incident = &notice.incident;
    let all = [
        ("state", Some(incident.state.to_string())),
        ("code", incident.code.map(|code| code.to_string())),
        ("image", Some(incident.key.image.clone())),
        ("from", (!notice.from.is_empty()).then(|| notice.from.join(", "))),
        ("to", Some(incident.key.version.clone())),
        ("environment", incident.key.environment.clone()),
        ("cluster", incident.key.cluster.clone()),
        ("repository", Some(incident.repository.clone())),
        ("overlay", Some(incident.overlay.clone())),
        ("policy", incident.policy.clone()),
        ("commit", incident.commit.clone()),
        ("since", Some(incident.since.to_string())),
        ("pullRequest", notice.links.pull_request.clone()),
        ("runbook", notice.links.runbook.clone()),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), json!(one_line(&value?, MAX_DETAIL)))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
