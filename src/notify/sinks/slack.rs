//! Slack: an incoming webhook, or a bot that edits its message and tells changes in the thread.
//!
//! Slack answers 200 with `ok: false` to what it refuses; webhooks answer a status and a word. Webhooks cannot edit, so that
//! there each change is a message of its own.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::http::SecretUrl;
use crate::model::NoticeKind;

use super::Delivery;
use crate::notify::client::{Failure, FailureKind, SinkClient, address};
use crate::notify::memory::{SinkMemory, SlackMessage};
use crate::notify::settings::SlackSettings;

#[derive(Debug)]
pub(crate) struct Slack {
    client: SinkClient,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Webhook(SecretUrl),
    Bot { api: Url, token: SecretString, channel: String },
}

/// What the API answers.
#[derive(Debug, Deserialize)]
struct Answered {
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
}

impl Slack {
    pub(super) fn new(settings: &SlackSettings, ca: Option<&[u8]>, timeout: Duration) -> Result<Self, Failure> {
        let (secret, way) = match settings {
            SlackSettings::Webhook(url) => (url.clone(), Way::Webhook(SecretUrl(address(url.expose_secret())?))),
            SlackSettings::Bot { api_url, token, channel } => {
                let api = address(&format!("{}/", api_url.trim_end_matches('/')))?;
                (token.clone(), Way::Bot { api, token: token.clone(), channel: channel.clone() })
            }
        };
        Ok(Self { client: SinkClient::new(ca, timeout, vec![secret])?, way })
    }

    pub(super) async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Result<(), Failure> {
        match &self.way {
            Way::Webhook(url) => {
                self.client.send(self.client.http().post(url.0.clone()).json(&message(delivery))).await.map(drop)
            }
            Way::Bot { channel, .. } => {
                let told = memory.told.get(&delivery.id).and_then(|told| told.slack.clone());
                let posted = match told {
                    Some(first) => self.follow(delivery, first, channel).await?,
                    None => self.post(message(delivery), channel).await?,
                };
                memory.remember(delivery.notice, delivery.now);
                if let Some(told) = memory.told.get_mut(&delivery.id) {
                    Arc::make_mut(told).slack = Some(posted);
                }
                Ok(())
            }
        }
    }

    /// The incident has a message: it is edited to say how things stand, and the change is told in its thread, since
    /// edits notify nobody. One that is gone is posted anew.
    async fn follow(
        &self,
        delivery: &Delivery<'_>,
        first: SlackMessage,
        channel: &str,
    ) -> Result<SlackMessage, Failure> {
        if delivery.notice.kind != NoticeKind::Reminder {
            let mut edit = message(delivery);
            edit["channel"] = json!(first.channel);
            edit["ts"] = json!(first.ts);
            let edited = self.call("chat.update", &edit).await?;
            match edited.error.as_deref() {
                None => {}
                Some("message_not_found" | "cant_update_message" | "edit_window_closed" | "channel_not_found") => {
                    return self.post(message(delivery), channel).await;
                }
                Some(error) => return Err(self.refusal("chat.update", error)),
            }
        }
        let mut reply = json!({ "text": delivery.texts.title, "mrkdwn": false });
        reply["thread_ts"] = json!(first.ts);
        self.post(reply, &first.channel).await?;
        Ok(first)
    }

    async fn post(&self, mut message: Value, channel: &str) -> Result<SlackMessage, Failure> {
        message["channel"] = json!(channel);
        let answer = self.call("chat.postMessage", &message).await?;
        match answer {
            Answered { error: Some(error), .. } => Err(self.refusal("chat.postMessage", &error)),
            Answered { channel: Some(channel), ts: Some(ts), .. } => Ok(SlackMessage { channel, ts }),
            _ => {
                let text = "chat.postMessage: the answer names no message; next: check the address";
                Err(Failure::new(FailureKind::Misplaced, text))
            }
        }
    }

    async fn call(&self, method: &str, message: &Value) -> Result<Answered, Failure> {
        let Way::Bot { api, token, .. } = &self.way else {
            return Err(Failure::new(FailureKind::Misplaced, "a webhook has no methods"));
        };
        let url = api.join(method).map_err(|_| Failure::new(FailureKind::Misplaced, "the address is not Slack's"))?;
        let request = self.client.http().post(url).bearer_auth(token.expose_secret().trim()).json(message);
        let answer = self.client.send(request).await?;
        let mut answered: Answered = self.client.read(method, &answer)?;
        if !answered.ok {
            answered.error.get_or_insert_with(|| "no reason given".to_owned());
        } else {
            answered.error = None;
        }
        Ok(answered)
    }

    fn refusal(&self, method: &str, error: &str) -> Failure {
        let (kind, next) = match error {
            "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired"
            | "no_permission" => (FailureKind::Refused, "give it a valid bot token"),
            "missing_scope" | "restricted_action" => (FailureKind::Refused, "give the bot the scope chat:write"),
            "not_in_channel" | "channel_not_found" | "is_archived" => {
                (FailureKind::Refused, "invite the bot to the channel, and check its name")
            }
            "ratelimited" | "rate_limited" | "message_limit_exceeded" => {
                (FailureKind::Limited, "nothing, it is sent again later")
            }
            "fatal_error" | "internal_error" | "service_unavailable" | "request_timeout" => {
                (FailureKind::Unavailable, "nothing, it is sent again")
            }
            _ => (FailureKind::Rejected, "this message is given up; look the word up in Slack's documentation"),
        };
        Failure::new(kind, format!("Slack {method}: refused ({}); next: {next}", self.client.clean(error)))
    }
}

/// Blocks, with the title as the text of notifications. Nothing is made of words that look like mentions, names of
/// channels or addresses.
fn message(delivery: &Delivery<'_>) -> Value {
    let title = &delivery.texts.title;
    let mut blocks = vec![json!({
        "type": "header",
        "text": { "type": "plain_text", "text": format!("{} {title}", sign(delivery)), "emoji": false },
    })];
    if !delivery.texts.slack.is_empty() {
        blocks.push(json!({
            "type": "section",
            "text": { "type": "mrkdwn", "text": delivery.texts.slack, "verbatim": true },
        }));
    }
    json!({
        "text": title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        "blocks": blocks,
        "mrkdwn": false,
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// A sign that is seen before anything is read.
fn sign(delivery: &Delivery<'_>) -> &'static str {
    use crate::model::Severity as S;
    match (delivery.alarms(), delivery.notice.incident.severity) {
        (false, _) => "✅",
        (true, S::Critical | S::Error) => "🔴",
        (true, S::Warning) => "🟠",
        (true, S::Info) => "🔵",
    }
}
