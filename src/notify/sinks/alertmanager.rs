//! Alertmanager, API v2: alerts are re-sent while they fire, and end when their end is sent.
//!
//! Labels are an alert's identity, so only what does not change is a label; the cause and the version are annotations.
//! The severity is a label because routes need it; when it rises, the alert with the old severity is ended.
//!
//! A firing alert gets an end time somewhat in the future, so that it neither ends while this process restarts nor
//! stays forever once the process is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{CredentialSource, Credentials, SecretSource};
use crate::document::value;
use crate::model::{IncidentId, Notice, NoticeKind, Severity, Texts};
use crate::notify::client::{Failure, FailureKind, Login, SinkClient, address, login_secrets, with_login};
use crate::notify::memory::SinkMemory;
use crate::notify::opening::{Opening, secrets_of};

use super::{Delivered, Delivery, LandingNews, Receiver, TextsOf};

const ALERT_NAME: &str = "LandfallUpdateNotLanded";
const TEST_NAME: &str = "LandfallTest";
/// How many repetitions may be missed before an alert expires, ...
const MISSED: u32 = 4;
/// ... and how long it lasts at least.
const SHORTEST: Duration = Duration::from_secs(15 * 60);

type Labels = BTreeMap<&'static str, String>;

/// Alertmanager's keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AlertmanagerConfig {
    /// Its address, without `/api/v2/alerts`.
    url: Option<At<String>>,
    /// How to log in, as `username` and `password`, or `token`.
    credentials: Option<At<Credentials>>,
}

impl AlertmanagerConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<AlertmanagerSettings> {
        let url = check.required(at, "alertmanager", "url", self.url.as_ref());
        let url = url.and_then(|at| check.text(at, value::http_url));
        let login = check.login(self.credentials.as_ref(), "a receiver");
        Some(AlertmanagerSettings { url: url?, login })
    }
}

/// Where Alertmanager is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertmanagerSettings {
    url: String,
    login: Option<CredentialSource>,
}

#[derive(Debug)]
pub(crate) struct AlertmanagerSink {
    client: SinkClient,
    url: Url,
    login: Option<Login>,
    stays: SignedDuration,
}

impl Receiver for AlertmanagerSink {
    type Settings = AlertmanagerSettings;
    const LANDINGS: LandingNews = LandingNews::Never;
    const REPEATS: bool = true;

    fn secrets(settings: &AlertmanagerSettings) -> Vec<(&'static str, &SecretSource)> {
        secrets_of(None, settings.login.as_ref())
    }

    fn open(settings: &AlertmanagerSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let login = opening.login(settings.login.as_ref())?;
        let base = address(&format!("{}/", settings.url))?;
        let url = base.join("api/v2/alerts");
        let stays = (opening.repeat * MISSED).max(SHORTEST);
        Ok(Self {
            client: SinkClient::new(opening.ca_pem, opening.timeout, login_secrets(login.as_ref()))?,
            url: url.map_err(|_| Failure::new(FailureKind::Misplaced, "the address cannot be a base URL"))?,
            login,
            stays: SignedDuration::try_from(stays).unwrap_or(SignedDuration::from_mins(15)),
        })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
        let (notice, now) = (delivery.notice, delivery.now);
        let own = labels(notice, notice.incident.severity);
        let alert = |labels: &Labels, ends| alert(notice, labels, delivery.texts, ends);
        let before = memory.notified.get(&delivery.id).map(|told| labels(&told.notice, told.notice.incident.severity));
        let mut alerts = Vec::new();
        match notice.kind {
            NoticeKind::Landed => return Ok(None),
            NoticeKind::Resolved => {
                let ended = before.unwrap_or(own);
                // Another version may already be firing under the same labels.
                if !fires(memory, &delivery.id, &ended) {
                    alerts.push(alert(&ended, now));
                }
            }
            NoticeKind::Test => alerts.push(alert(&own, add(now, SignedDuration::from_mins(1)))),
            NoticeKind::Raised | NoticeKind::Escalated | NoticeKind::Reminder => {
                if let Some(before) = before.filter(|before| *before != own && !fires(memory, &delivery.id, before)) {
                    alerts.push(alert(&before, now));
                }
                alerts.push(alert(&own, add(now, self.stays)));
            }
        }
        self.send(&alerts).await
    }

    /// Re-sends everything that is firing. Incidents with the same labels are one alert; the most severe known one
    /// represents it.
    async fn repeat(&self, memory: &SinkMemory, now: Timestamp, texts: &TextsOf<'_>) -> Delivered {
        let mut firing: BTreeMap<Labels, &Notice> = BTreeMap::new();
        for told in memory.notified.values() {
            firing.entry(labels(&told.notice, told.notice.incident.severity)).or_insert(&told.notice);
        }
        let ends = add(now, self.stays);
        let alerts: Vec<Value> =
            firing.iter().map(|(labels, notice)| alert(notice, labels, &texts(notice), ends)).collect();
        self.send(&alerts).await
    }
}

impl AlertmanagerSink {
    async fn send(&self, alerts: &[Value]) -> Delivered {
        if alerts.is_empty() {
            return Ok(None);
        }
        let request = with_login(self.client.http().post(self.url.clone()), self.login.as_ref()).json(alerts);
        self.client.send(request).await.map(|_| None)
    }
}

fn add(now: Timestamp, duration: SignedDuration) -> Timestamp {
    now.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// Whether an incident other than this one is firing under these labels.
fn fires(memory: &SinkMemory, but: &IncidentId, under: &Labels) -> bool {
    let mut others = memory.notified.iter().filter(|(id, _)| *id != but);
    others.any(|(_, told)| labels(&told.notice, told.notice.incident.severity) == *under)
}

/// The labels that identify the alert. Alertmanager treats an empty label as absent.
fn labels(notice: &Notice, severity: Severity) -> Labels {
    let key = &notice.incident.key;
    let name = if notice.kind == NoticeKind::Test { TEST_NAME } else { ALERT_NAME };
    let all = [
        ("alertname", name.to_owned()),
        ("environment", key.environment.clone().unwrap_or_default()),
        ("cluster", key.cluster.clone().unwrap_or_default()),
        ("app", key.app.clone()),
        ("image", key.image.clone()),
        ("severity", severity.to_string()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn alert(notice: &Notice, labels: &Labels, texts: &Texts, ends: Timestamp) -> Value {
    let incident = &notice.incident;
    let text = |value: Option<String>| value.unwrap_or_default();
    let annotations: BTreeMap<&str, String> = [
        ("summary", texts.title.clone()),
        ("description", texts.plain.clone()),
        ("cause", notice.cause.clone()),
        ("code", text(incident.code.map(|code| code.to_string()))),
        ("state", incident.state.to_string()),
        ("next", notice.next.clone()),
        ("from", notice.from.join(", ")),
        ("to", incident.key.version.clone()),
        ("commit", text(incident.commit.clone())),
        ("overlay", incident.overlay.clone()),
        ("runbook_url", text(notice.links.runbook.clone())),
        ("pull_request", text(notice.links.pull_request.clone())),
        ("resolution", text(notice.resolution.as_ref().map(|over| over.as_str().to_owned()))),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .collect();
    let links = &notice.links;
    let more = links.controller.as_ref().or(links.pull_request.as_ref()).or(links.commit.as_ref());
    let mut alert = json!({
        "labels": labels,
        "annotations": annotations,
        // The end must not be before the start.
        "startsAt": incident.since.min(ends).to_string(),
        "endsAt": ends.to_string(),
    });
    if let Some(url) = more {
        alert["generatorURL"] = json!(url);
    }
    alert
}
