//! Discord, by the webhook of a channel: one message per incident, which is edited; each change is also told in a short
//! message, because edits notify nobody.
//!
//! Text from outside is in code, where Discord reads no Markdown, and `allowed_mentions` allows none.

use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Secret, SecretSource};
use crate::http::SecretUrl;
use crate::model::NoticeKind;
use crate::notify::client::{Failure, FailureKind, SinkClient, address};
use crate::notify::memory::{PostedMessage, SinkMemory};
use crate::notify::opening::Opening;

use super::fit::{Room, units};
use super::{Delivered, Delivery, LandingNews, Readers, Receiver, Urgency};

/// Maximum length of `content`; Discord's limit is 2,000.
const MAX_CONTENT: usize = 1_900;
/// Maximum length of an embed's description; Discord's limit is 4,096.
const MAX_DESCRIPTION: usize = 4_000;

/// Discord's key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DiscordConfig {
    /// The URL of the webhook, which is a secret; with `?thread_id=…` for a thread of the channel.
    webhook_url: Option<At<Secret>>,
}

impl DiscordConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<DiscordSettings> {
        let url = check.required(at, "discord", "webhookUrl", self.webhook_url.as_ref())?;
        check.secret(url).map(|url| DiscordSettings { url })
    }
}

/// A webhook of Discord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscordSettings {
    url: SecretSource,
}

#[derive(Debug)]
pub(crate) struct DiscordSink {
    client: SinkClient,
    url: SecretUrl,
}

/// The message that was made.
#[derive(Debug, Deserialize)]
struct Made {
    id: String,
}

impl Receiver for DiscordSink {
    type Settings = DiscordSettings;
    const LANDINGS: LandingNews = LandingNews::OnRequest;
    const READERS: Readers = Readers::People;

    fn secrets(settings: &DiscordSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("address", &settings.url)]
    }

    fn open(settings: &DiscordSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let secret = opening.secret(&settings.url)?;
        let url = webhook(address(secret.expose_secret())?)?;
        Ok(Self { client: SinkClient::new(opening.ca_pem, opening.timeout, vec![secret])?, url: SecretUrl(url) })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
        let posted = match memory.posted(&delivery.id).cloned() {
            Some(first) => self.follow(delivery, first).await?,
            None => self.post(&whole(delivery)).await?,
        };
        memory.keep(delivery.notice, delivery.now, posted);
        Ok(None)
    }
}

impl DiscordSink {
    /// The incident has a message already: it is edited to the current state, and the change is told. A message that was
    /// deleted is posted again.
    async fn follow(&self, delivery: &Delivery<'_>, first: PostedMessage) -> Result<PostedMessage, Failure> {
        if delivery.notice.kind != NoticeKind::Reminder {
            let mut url = self.url.0.clone();
            if let Ok(mut path) = url.path_segments_mut() {
                path.extend(["messages", &first.id]);
            }
            let edited = self.client.send(self.client.http().patch(url).json(&whole(delivery))).await;
            match edited {
                Ok(_) => {}
                Err(failure) if failure.status == Some(http::StatusCode::NOT_FOUND) => {
                    return self.post(&whole(delivery)).await;
                }
                Err(failure) => return Err(failure),
            }
        }
        self.post(&short(delivery)).await?;
        Ok(first)
    }

    async fn post(&self, message: &Value) -> Result<PostedMessage, Failure> {
        let mut url = self.url.0.clone();
        // Otherwise the answer does not say which message it is.
        url.query_pairs_mut().append_pair("wait", "true");
        let answer = self.client.send(self.client.http().post(url).json(message)).await?;
        let made: Made = self.client.read("the webhook", &answer)?;
        Ok(PostedMessage { place: String::new(), id: made.id })
    }
}

/// The address, if it is a webhook that takes Discord's own format.
fn webhook(mut url: Url) -> Result<Url, Failure> {
    let path: Vec<&str> = url.path_segments().map(Iterator::collect).unwrap_or_default();
    // `/api/webhooks/ID/TOKEN`, perhaps with a version.
    let known = matches!(path[..], ["api", "webhooks", _, _] | ["api", _, "webhooks", _, _]);
    if !known {
        let text = "the address is not one of a Discord webhook; next: copy it from the channel's settings \
                    (https://discord.com/api/webhooks/…), without /slack or /github at its end";
        return Err(Failure::new(FailureKind::Misplaced, text));
    }
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key == "thread_id")
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    Ok(url)
}

/// The message of an incident.
fn whole(delivery: &Delivery<'_>) -> Value {
    let texts = delivery.texts;
    let mut room = Room::new(MAX_DESCRIPTION);
    let facts = texts.facts.iter().map(|(word, fact)| format!("**{word}:** {}\n", code(fact)));
    let links = texts.links.iter().map(|(word, url)| format!("[{word}]({url})\n"));
    let seen = texts.evidence.iter().map(|line| format!("```\n{}\n```\n", line.replace('`', "'")));
    let colour = match delivery.urgency() {
        Urgency::Good => 0x2e_a0_43,
        Urgency::Bad => 0xd1_24_2f,
        Urgency::Warning => 0xd2_9a_22,
        Urgency::Info => 0x31_6d_ca,
    };
    let mut message = short(delivery);
    message["embeds"] = json!([{
        "description": room.text(facts.chain(links).chain(seen), units),
        "color": colour,
        "timestamp": delivery.notice.at.to_string(),
    }]);
    message
}

/// One line.
fn short(delivery: &Delivery<'_>) -> Value {
    let title: String = delivery.texts.title.chars().take(MAX_CONTENT / 2).collect();
    json!({
        "content": format!("{} {}", delivery.sign(), code(&title)),
        "allowed_mentions": { "parse": [] },
    })
}

/// A code span. Web addresses hold no bracket that could end a link, so they need none.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_webhooks_in_discords_own_format_are_taken() {
        for (url, becomes) in [
            ("https://discord.com/api/webhooks/1/tok", Some("https://discord.com/api/webhooks/1/tok")),
            (
                "https://discord.com/api/v10/webhooks/1/tok?wait=false",
                Some("https://discord.com/api/v10/webhooks/1/tok"),
            ),
            (
                "https://discord.com/api/webhooks/1/tok?thread_id=7&wait=true",
                Some("https://discord.com/api/webhooks/1/tok?thread_id=7"),
            ),
            ("https://discord.com/api/webhooks/1/tok/slack", None),
            ("https://discord.com/channels/1/2", None),
        ] {
            let read = webhook(Url::parse(url).unwrap());
            assert_eq!(read.as_ref().ok().map(Url::as_str), becomes, "{url}");
            assert!(read.err().is_none_or(|failure| !failure.message.contains("tok")));
        }
    }
}
