//! PagerDuty, Events API v2: an incident is triggered and resolved under one deduplication key; landings are change events.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::model::NoticeKind;

use super::Delivery;
use crate::notify::client::{Failure, FailureKind, SinkClient, address};

/// Most characters of `payload.summary`.
const MAX_SUMMARY: usize = 1_024;

#[derive(Debug)]
pub(crate) struct PagerDuty {
    client: SinkClient,
    events: Url,
    changes: Url,
    routing_key: SecretString,
}

impl PagerDuty {
    pub(super) fn new(
        url: &str,
        routing_key: &SecretString,
        ca: Option<&[u8]>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let base = address(&format!("{}/", url.trim_end_matches('/')))?;
        let join =
            |path: &str| base.join(path).map_err(|_| Failure::new(FailureKind::Misplaced, "the address is no base"));
        let routing_key = SecretString::from(routing_key.expose_secret().trim());
        Ok(Self {
            client: SinkClient::new(ca, timeout, vec![routing_key.clone()])?,
            events: join("v2/enqueue")?,
            changes: join("v2/change/enqueue")?,
            routing_key,
        })
    }

    pub(super) async fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), Failure> {
        match delivery.notice.kind {
            // Who was paged is reminded by PagerDuty's own escalation policy.
            NoticeKind::Reminder => Ok(()),
            NoticeKind::Landed => self.send(&self.changes, &self.change(delivery)).await,
            NoticeKind::Resolved => self.send(&self.events, &self.event(delivery, "resolve")).await,
            NoticeKind::Raised | NoticeKind::Escalated => {
                self.send(&self.events, &self.event(delivery, "trigger")).await
            }
            // Nobody is left paged by a test.
            NoticeKind::Test => {
                self.send(&self.events, &self.event(delivery, "trigger")).await?;
                self.send(&self.events, &self.event(delivery, "resolve")).await
            }
        }
    }

    async fn send(&self, url: &Url, event: &Value) -> Result<(), Failure> {
        self.client.send(self.client.http().post(url.clone()).json(event)).await.map(drop)
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
            // Optional fields are texts or absent.
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

/// The place that is affected.
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
