//! Microsoft Teams: an Adaptive Card, given to a workflow that posts what it is sent (*Post to a channel when a webhook
//! request is received*).
//!
//! A workflow answers 202 and no message's id, so nothing can be edited: each change is a message. Text is in `TextRun`s,
//! which read no Markdown, and a card mentions only whom it lists as an entity; these list nobody.

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
use super::{Delivered, Delivery, LandingNews, Readers, Receiver, Urgency};

/// Teams refuses messages of more than about 28 KB, envelope and rendered card together; this leaves room for both.
const MAX_CARD: usize = 18_000;
/// Teams shows at most this many actions of a card.
const MAX_ACTIONS: usize = 6;
/// Where the connectors were that Teams replaced by workflows; they took another format.
const RETIRED: [&str; 3] = ["webhook.office.com", "outlook.office.com", "outlook.office365.com"];

/// Teams' key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TeamsConfig {
    /// The URL of the workflow, which is a secret.
    webhook_url: Option<At<Secret>>,
}

impl TeamsConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<TeamsSettings> {
        let url = check.required(at, "teams", "webhookUrl", self.webhook_url.as_ref())?;
        check.secret(url).map(|url| TeamsSettings { url })
    }
}

/// A workflow of Teams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamsSettings {
    url: SecretSource,
}

#[derive(Debug)]
pub(crate) struct TeamsSink {
    client: SinkClient,
    url: SecretUrl,
}

impl Receiver for TeamsSink {
    type Settings = TeamsSettings;
    const LANDINGS: LandingNews = LandingNews::OnRequest;
    const READERS: Readers = Readers::People;

    fn secrets(settings: &TeamsSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("address", &settings.url)]
    }

    fn open(settings: &TeamsSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let secret = opening.secret(&settings.url)?;
        let url = workflow(address(secret.expose_secret())?)?;
        Ok(Self { client: SinkClient::new(opening.ca_pem, opening.timeout, vec![secret])?, url: SecretUrl(url) })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, _: &mut SinkMemory) -> Delivered {
        let request = self.client.http().post(self.url.0.clone()).json(&message(delivery));
        self.client.send(request).await.map(|_| None)
    }
}

/// The address, unless it is one of a retired connector.
fn workflow(url: Url) -> Result<Url, Failure> {
    let host = url.host_str().unwrap_or_default();
    let retired = RETIRED.iter().any(|old| host == *old || host.ends_with(&format!(".{old}")));
    if retired {
        let text = "the address is one of an Office 365 connector, which Teams no longer serves; next: make a workflow from \
                    the template \"Post to a channel when a webhook request is received\", and use its address";
        return Err(Failure::new(FailureKind::Misplaced, text));
    }
    Ok(url)
}

fn message(delivery: &Delivery<'_>) -> Value {
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card(delivery),
        }],
    })
}

fn card(delivery: &Delivery<'_>) -> Value {
    let texts = delivery.texts;
    let run = |text: &str| json!({ "type": "TextRun", "text": text });
    let bold = |text: &str| json!({ "type": "TextRun", "text": text, "weight": "bolder" });
    let block = |runs: Value| json!({ "type": "RichTextBlock", "spacing": "small", "inlines": runs });
    let style = match delivery.urgency() {
        Urgency::Good => "good",
        Urgency::Bad => "attention",
        Urgency::Warning => "warning",
        Urgency::Info => "accent",
    };
    let title = block(json!([bold(&format!("{} {}", delivery.sign(), texts.title))]));
    let mut body = vec![json!({ "type": "Container", "style": style, "bleed": true, "items": [title] })];
    let facts = texts.facts.iter().map(|(word, fact)| block(json!([bold(&format!("{word}: ")), run(fact)])));
    let seen = texts
        .evidence
        .iter()
        .map(|line| block(json!([{ "type": "TextRun", "text": line, "fontType": "monospace", "isSubtle": true }])));
    let mut room = Room::new(MAX_CARD);
    let actions: Vec<Value> = texts
        .links
        .iter()
        .map(|(word, url)| json!({ "type": "Action.OpenUrl", "title": word, "url": url }))
        .filter(|action| room.takes(action.to_string().len()))
        .take(MAX_ACTIONS)
        .collect();
    body.extend(facts.chain(seen).filter(|piece| room.takes(piece.to_string().len())));
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": { "width": "Full" },
        "body": body,
        "actions": actions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_of_the_old_kind_is_named() {
        for (url, good) in [
            ("https://prod-7.westeurope.logic.azure.com:443/workflows/0a/triggers/manual/paths/invoke?sig=s", true),
            ("https://default1.0a.environment.api.powerplatform.com/powerautomate/automations/direct/x?sig=s", true),
            ("https://acme.webhook.office.com/webhookb2/0a@0b/IncomingWebhook/0c/0d", false),
            ("https://outlook.office.com/webhook/0a", false),
            ("https://webhook.office.com.example.com/x", true),
        ] {
            let read = workflow(Url::parse(url).unwrap()).map(|_| ()).map_err(|failure| failure.message);
            assert_eq!(read.is_ok(), good, "{url}: {read:?}");
            assert!(read.err().is_none_or(|message| message.contains("next: make a workflow")));
        }
    }
}
