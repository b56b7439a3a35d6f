//! PagerDuty, Events API v2: an incident is triggered and resolved under one deduplication key; landings are change events.

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::model::NoticeKind;
use crate::notify::client::{Failure, FailureKind, SinkClient, address};
use crate::notify::memory::SinkMemory;
use crate::notify::opening::Opening;

use super::{Delivered, Delivery, Receiver};

/// Maximum length of `payload.summary`, in characters.
const MAX_SUMMARY: usize = 1_024;

const DEFAULT_URL: &str = "https://events.pagerduty.com";

/// PagerDuty's keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PagerDutyConfig {
    /// The events API; default `https://events.pagerduty.com`.
    url: Option<At<String>>,
    /// The integration key.
    routing_key: Option<At<Secret>>,
}

impl PagerDutyConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<PagerDutySettings> {
        let url = check.url_or(self.url.as_ref(), DEFAULT_URL);
        let key = check.required(at, "pagerduty", "routingKey", self.routing_key.as_ref());
        let routing_key = key.and_then(|at| check.secret(at));
        Some(PagerDutySettings { url: url?, routing_key: routing_key? })
    }
}

/// Which service is paged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagerDutySettings {
    url: String,
    routing_key: SecretSource,
}

#[derive(Debug)]
pub(crate) struct PagerDutySink {
    client: SinkClient,
    events: Url,
    changes: Url,
    routing_key: SecretString,
}

impl Receiver for PagerDutySink {
    type Settings = PagerDutySettings;

    fn secrets(settings: &PagerDutySettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("routing key", &settings.routing_key)]
    }

    fn open(settings: &PagerDutySettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let base = address(&format!("{}/", settings.url))?;
        let join = |path: &str| {
            base.join(path).map_err(|_| Failure::new(FailureKind::Misplaced, "the address cannot be a base URL"))
        };
        let routing_key = opening.secret(&settings.routing_key)?;
        Ok(Self {
            client: SinkClient::new(opening.ca_pem, opening.timeout, vec![routing_key.clone()])?,
            events: join("v2/enqueue")?,
            changes: join("v2/change/enqueue")?,
            routing_key,
        })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, _: &mut SinkMemory) -> Delivered {
        match delivery.notice.kind {
            // PagerDuty's own escalation policy sends the reminders.
            NoticeKind::Reminder => Ok(None),
            NoticeKind::Landed => self.send(&self.changes, &self.change(delivery)).await,
            NoticeKind::Resolved => self.send(&self.events, &self.event(delivery, "resolve")).await,
            NoticeKind::Raised | NoticeKind::Escalated => {
                self.send(&self.events, &self.event(delivery, "trigger")).await
            }
            // A test leaves nobody paged.
            NoticeKind::Test => {
                self.send(&self.events, &self.event(delivery, "trigger")).await?;
                self.send(&self.events, &self.event(delivery, "resolve")).await
            }
        }
    }
}

impl PagerDutySink {
    async fn send(&self, url: &Url, event: &Value) -> Delivered {
        self.client.send(self.client.http().post(url.clone()).json(event)).await.map(|_| None)
    }

    fn event(&self, delivery: &Delivery<'_>, action: &str) -> Value {
        let notice = delivery.notice;
        let incident = &notice.incident;
        let mut event = json!({
            "routing_key": self.routing_key.expose_secret(),
            "event_action": action,
            "dedup_key": delivery.id,
        });
        if action == "resolve" {
            return event;
        }
        event["payload"] = json!({
            "summary": summary(delivery),
            "source": source(delivery),
            "severity": incident.severity,
            "timestamp": incident.since.to_string(),
            "component": incident.key.app,
            "group": incident.key.environment,
            "class": incident.code.map(|code| code.to_string()),
            "custom_details": details(delivery),
        });
        if let Some(payload) = event["payload"].as_object_mut() {
            // Optional fields are strings or absent.
            payload.retain(|_, value| !value.is_null());
        }
        event["links"] = links(delivery);
        event["client"] = json!("Landfall");
        event
    }

    fn change(&self, delivery: &Delivery<'_>) -> Value {
        json!({
            "routing_key": self.routing_key.expose_secret(),
            "payload": {
                "summary": summary(delivery),
                "source": source(delivery),
                "timestamp": delivery.notice.at.to_string(),
                "custom_details": details(delivery),
            },
            "links": links(delivery),
        })
    }
}

fn summary(delivery: &Delivery<'_>) -> String {
    delivery.texts.title.chars().take(MAX_SUMMARY).collect()
}

/// The affected place.
fn source(delivery: &Delivery<'_>) -> String {
    let incident = &delivery.notice.incident;
    let cluster = incident.key.cluster.as_deref().unwrap_or(&incident.repository);
    format!("{cluster}/{}", incident.key.app)
}

fn details(delivery: &Delivery<'_>) -> Value {
    let notice = delivery.notice;
    let incident = &notice.incident;
    json!({
        "cause": notice.cause,
        "next": notice.next,
        "evidence": notice.evidence,
        "state": incident.state,
        "rung": incident.rung,
        "image": incident.key.image,
        "from": notice.from,
        "to": incident.key.version,
        "environment": incident.key.environment,
        "cluster": incident.key.cluster,
        "repository": incident.repository,
        "overlay": incident.overlay,
        "policy": incident.policy,
        "commit": incident.commit,
        "since": incident.since,
        "deadline": incident.deadline,
        "text": delivery.texts.plain,
    })
}

fn links(delivery: &Delivery<'_>) -> Value {
    let links = &delivery.notice.links;
    let all = [
        (&links.pull_request, "pull request"),
        (&links.commit, "commit"),
        (&links.controller, "controller"),
        (&links.runbook, "runbook"),
    ];
    all.into_iter().filter_map(|(url, text)| Some(json!({ "href": url.as_deref()?, "text": text }))).collect()
}
