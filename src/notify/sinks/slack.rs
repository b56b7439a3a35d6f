//! Slack: an incoming webhook, or a bot that edits its message and posts changes to the thread.
//!
//! For a refusal, Slack's API answers 200 with `ok: false`; webhooks answer a status and a word. Webhooks cannot edit,
//! so each change is a message of its own there.

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::document::value;
use crate::http::SecretUrl;
use crate::model::NoticeKind;
use crate::notify::client::{Failure, FailureKind, SinkClient, address};
use crate::notify::memory::{PostedMessage, SinkMemory};
use crate::notify::opening::Opening;

use super::{Delivered, Delivery, LandingNews, Readers, Receiver};

const DEFAULT_URL: &str = "https://slack.com/api";

/// Slack's keys: either `webhookUrl`, or `token` and `channel`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SlackConfig {
    /// The URL of an incoming webhook, which is a secret. Messages cannot be edited, so each change is a new message.
    webhook_url: Option<At<Secret>>,
    /// The token of a bot, instead of `webhookUrl`; it needs the scope `chat:write`.
    token: Option<At<Secret>>,
    /// For a bot: the channel's id or name.
    channel: Option<At<String>>,
    /// For a bot: the API; default `https://slack.com/api`.
    url: Option<At<String>>,
}

impl SlackConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<SlackSettings> {
        match (&self.webhook_url, &self.token, &self.channel) {
            (Some(url), None, None) => {
                if let Some(plain) = &self.url {
                    check.sink.error(plain.mark, "`url` can only be used with the `token` of a bot");
                }
                check.secret(url).map(SlackSettings::Webhook)
            }
            (None, Some(token), Some(channel)) => {
                let api_url = check.url_or(self.url.as_ref(), DEFAULT_URL);
                let (token, channel) = (check.secret(token), check.text(channel, value::line));
                Some(SlackSettings::Bot { api_url: api_url?, token: token?, channel: channel? })
            }
            _ => {
                let message = "`kind: slack` needs either `webhookUrl`, or `token` and `channel` of a bot";
                check.sink.absent(at, message);
                None
            }
        }
    }
}

/// Slack by webhook or as a bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlackSettings {
    /// An incoming webhook.
    Webhook(SecretSource),
    /// A bot: one message per incident, which is edited, with the changes in its thread.
    Bot {
        /// The API.
        api_url: String,
        /// The bot's token.
        token: SecretSource,
        /// The channel's id or name.
        channel: String,
    },
}

#[derive(Debug)]
pub(crate) struct SlackSink {
    client: SinkClient,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Webhook(SecretUrl),
    Bot { api: Url, token: SecretString, channel: String },
}

/// An answer of the API.
#[derive(Debug, Deserialize)]
struct Answered {
    ok: bool,
    error: Option<String>,
    channel: Option<String>,
    ts: Option<String>,
}

impl Receiver for SlackSink {
    type Settings = SlackSettings;
    const LANDINGS: LandingNews = LandingNews::OnRequest;
    const READERS: Readers = Readers::People;

    fn secrets(settings: &SlackSettings) -> Vec<(&'static str, &SecretSource)> {
        match settings {
            SlackSettings::Webhook(url) => vec![("address", url)],
            SlackSettings::Bot { token, .. } => vec![("token", token)],
        }
    }

    fn open(settings: &SlackSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let (secret, way) = match settings {
            SlackSettings::Webhook(url) => {
                let url = opening.secret(url)?;
                (url.clone(), Way::Webhook(SecretUrl(address(url.expose_secret())?)))
            }
            SlackSettings::Bot { api_url, token, channel } => {
                let (api, token) = (address(&format!("{api_url}/"))?, opening.secret(token)?);
                (token.clone(), Way::Bot { api, token, channel: channel.clone() })
            }
        };
        Ok(Self { client: SinkClient::new(opening.ca_pem, opening.timeout, vec![secret])?, way })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
        match &self.way {
            Way::Webhook(url) => {
                let request = self.client.http().post(url.0.clone()).json(&message(delivery));
                self.client.send(request).await?;
            }
            Way::Bot { channel, .. } => {
                let posted = match memory.posted(&delivery.id).cloned() {
                    Some(first) => self.follow(delivery, first, channel).await?,
                    None => self.post(message(delivery), channel).await?,
                };
                memory.keep(delivery.notice, delivery.now, posted);
            }
        }
        Ok(None)
    }
}

impl SlackSink {
    /// The incident has a message already: it is edited to the current state, and the change is posted in its thread,
    /// because edits notify nobody. A message that was deleted is posted again.
    async fn follow(
        &self,
        delivery: &Delivery<'_>,
        first: PostedMessage,
        channel: &str,
    ) -> Result<PostedMessage, Failure> {
        if delivery.notice.kind != NoticeKind::Reminder {
            let mut edit = message(delivery);
            edit["channel"] = json!(first.place);
            edit["ts"] = json!(first.id);
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
        reply["thread_ts"] = json!(first.id);
        self.post(reply, &first.place).await?;
        Ok(first)
    }

    async fn post(&self, mut message: Value, channel: &str) -> Result<PostedMessage, Failure> {
        message["channel"] = json!(channel);
        let answer = self.call("chat.postMessage", &message).await?;
        match answer {
            Answered { error: Some(error), .. } => Err(self.refusal("chat.postMessage", &error)),
            Answered { channel: Some(channel), ts: Some(ts), .. } => Ok(PostedMessage { place: channel, id: ts }),
            _ => {
                let text = "chat.postMessage: the answer does not identify the message; next: check the address";
                Err(Failure::new(FailureKind::Misplaced, text))
            }
        }
    }

    async fn call(&self, method: &str, message: &Value) -> Result<Answered, Failure> {
        let Way::Bot { api, token, .. } = &self.way else {
            return Err(Failure::new(FailureKind::Misplaced, "a webhook has no API methods"));
        };
        let url = api.join(method).map_err(|_| Failure::new(FailureKind::Misplaced, "the address is not Slack's"))?;
        let request = self.client.http().post(url).bearer_auth(token.expose_secret()).json(message);
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
                (FailureKind::Limited, "nothing, it will be sent again later")
            }
            "fatal_error" | "internal_error" | "service_unavailable" | "request_timeout" => {
                (FailureKind::Unavailable, "nothing, it will be sent again")
            }
            _ => (FailureKind::Rejected, "this message is dropped; look up the error in Slack's documentation"),
        };
        Failure::new(kind, format!("Slack {method}: refused ({}); next: {next}", self.client.clean(error)))
    }
}

/// The blocks of a message, with the title as the notification text. Words that look like mentions, channels or
/// addresses are not linked.
fn message(delivery: &Delivery<'_>) -> Value {
    let title = &delivery.texts.title;
    let mut blocks = vec![json!({
        "type": "header",
        "text": { "type": "plain_text", "text": format!("{} {title}", delivery.sign()), "emoji": false },
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
