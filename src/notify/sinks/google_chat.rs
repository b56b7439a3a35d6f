//! Google Chat, by the webhook of a space: one thread per incident, with a card for each change, since webhooks cannot edit.
//!
//! A card's text reads a few HTML tags, so it is escaped; it mentions nobody. Chat makes links of addresses by itself, so
//! those in text from outside are broken up.

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
use crate::notify::client::{Failure, FailureKind, SinkClient, address};
use crate::notify::memory::SinkMemory;
use crate::notify::opening::Opening;

use super::fit::Room;
use super::{Delivered, Delivery, LandingNews, Readers, Receiver};

/// Maximum size of a card, in bytes of JSON; Chat's limit for a message is 32,000.
const MAX_CARD: usize = 24_000;

/// Google Chat's key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GoogleChatConfig {
    /// The URL of the webhook, which is a secret.
    webhook_url: Option<At<Secret>>,
}

impl GoogleChatConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<GoogleChatSettings> {
        let url = check.required(at, "google-chat", "webhookUrl", self.webhook_url.as_ref())?;
        check.secret(url).map(|url| GoogleChatSettings { url })
    }
}

/// A webhook of Google Chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleChatSettings {
    url: SecretSource,
}

#[derive(Debug)]
pub(crate) struct GoogleChatSink {
    client: SinkClient,
    url: SecretUrl,
}

impl Receiver for GoogleChatSink {
    type Settings = GoogleChatSettings;
    const LANDINGS: LandingNews = LandingNews::OnRequest;
    const READERS: Readers = Readers::People;

    fn secrets(settings: &GoogleChatSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("address", &settings.url)]
    }

    fn open(settings: &GoogleChatSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let secret = opening.secret(&settings.url)?;
        let url = webhook(address(secret.expose_secret())?)?;
        Ok(Self { client: SinkClient::new(opening.ca_pem, opening.timeout, vec![secret])?, url: SecretUrl(url) })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, _: &mut SinkMemory) -> Delivered {
        let request = self.client.http().post(self.url.0.clone()).json(&message(delivery));
        self.client.send(request).await.map(|_| None)
    }
}

/// The address, if it is one of a webhook, with what makes a message an answer to those before it.
fn webhook(mut url: Url) -> Result<Url, Failure> {
    if !url.path().starts_with("/v1/spaces/") || !url.path().ends_with("/messages") {
        let text = "the address is not one of a Google Chat webhook; next: copy it from the space's settings, under apps and \
                    integrations (https://chat.googleapis.com/v1/spaces/…/messages?…)";
        return Err(Failure::new(FailureKind::Misplaced, text));
    }
    url.query_pairs_mut().append_pair("messageReplyOption", "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD");
    Ok(url)
}

fn message(delivery: &Delivery<'_>) -> Value {
    let texts = delivery.texts;
    let title = format!("{} {}", delivery.sign(), texts.title);
    let mut room = Room::new(MAX_CARD);
    let mut fits = |widget: &Value| room.takes(widget.to_string().len());
    let buttons: Vec<Value> = texts
        .links
        .iter()
        .map(|(word, url)| json!({ "text": word, "onClick": { "openLink": { "url": url } } }))
        .filter(&mut fits)
        .collect();
    let head = json!({ "textParagraph": { "text": format!("<b>{}</b>", escape(&title)) } });
    let facts = texts
        .facts
        .iter()
        .map(|(word, fact)| json!({ "decoratedText": { "topLabel": word, "text": escape(fact), "wrapText": true } }));
    let seen = texts.evidence.iter().map(|line| json!({ "textParagraph": { "text": escape(line) } }));
    let mut widgets: Vec<Value> = std::iter::once(head).chain(facts).chain(seen).filter(&mut fits).collect();
    if !buttons.is_empty() {
        widgets.push(json!({ "buttonList": { "buttons": buttons } }));
    }
    json!({
        "thread": { "threadKey": delivery.id },
        // What a notification on a phone says, as plain text.
        "fallbackText": title,
        "cardsV2": [{ "cardId": delivery.id, "card": { "sections": [{ "widgets": widgets }] } }],
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace("://", ":\u{2060}//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_the_thread_of_their_incident() {
        let url = Url::parse("https://chat.googleapis.com/v1/spaces/AAA/messages?key=k&token=t").unwrap();
        let asked = "https://chat.googleapis.com/v1/spaces/AAA/messages?key=k&token=t&messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD";
        assert_eq!(webhook(url).unwrap().as_str(), asked);
        let wrong = webhook(Url::parse("https://chat.google.com/room/AAA").unwrap()).unwrap_err();
        assert!(wrong.message.contains("next: copy it"), "{wrong}");
    }

    #[test]
    fn text_is_neither_markup_nor_a_link() {
        assert_eq!(
            escape("<a href='https://e.example'>a & b</a>"),
            "&lt;a href='https:\u{2060}//e.example'&gt;a &amp; b&lt;/a&gt;"
        );
    }
}
