//! A room in Matrix, by the client-server API: one message per incident, which is edited, with the changes in its thread.
//!
//! Each message is sent under a transaction id that follows from the notice, so one that was sent again after its answer
//! was lost is there once. Text from outside is in `<code>`, and `m.mentions` names nobody. In an encrypted room the
//! messages are not encrypted.

use reqwest::Method;
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
use crate::model::NoticeKind;
use crate::notify::client::{Failure, FailureKind, SinkClient, address};
use crate::notify::memory::{PostedMessage, SinkMemory};
use crate::notify::opening::Opening;

use super::fit::Room;
use super::{Delivered, Delivery, LandingNews, Readers, Receiver};

/// Maximum size of the plain form of a message and ...
const MAX_PLAIN: usize = 6_000;
/// ... of the one in HTML, in bytes. An edit carries both twice; the limit for an event is 65,536 bytes.
const MAX_HTML: usize = 16_000;

/// Matrix's keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MatrixConfig {
    /// The homeserver's address.
    url: Option<At<String>>,
    /// The access token of the account that posts, which is a member of the room.
    token: Option<At<Secret>>,
    /// The room's id, which begins with `!`.
    room: Option<At<String>>,
}

impl MatrixConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<MatrixSettings> {
        let url = check.required(at, "matrix", "url", self.url.as_ref());
        let url = url.and_then(|at| check.text(at, value::http_url));
        let token = check.required(at, "matrix", "token", self.token.as_ref());
        let token = token.and_then(|at| check.secret(at));
        let room = check.required(at, "matrix", "room", self.room.as_ref());
        let room = room.and_then(|at| check.text(at, room_id));
        Some(MatrixSettings { url: url?, token: token?, room: room? })
    }
}

/// A room's id: `!` and what the homeserver made it of.
fn room_id(text: &str) -> Result<String, String> {
    let text = value::line(text)?;
    if text.starts_with('!') && text.len() > 1 && text.len() <= 255 {
        return Ok(text);
    }
    Err("this is not the id of a room, which begins with `!`; most programs show it in the room's settings, under \
         \"Advanced\""
        .to_owned())
}

/// Which room is posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatrixSettings {
    url: String,
    token: SecretSource,
    room: String,
}

#[derive(Debug)]
pub(crate) struct MatrixSink {
    client: SinkClient,
    /// Where events of the kind `m.room.message` are sent; a transaction id follows.
    send: Url,
    token: SecretString,
}

/// The event that was made.
#[derive(Debug, Deserialize)]
struct Sent {
    event_id: String,
}

impl Receiver for MatrixSink {
    type Settings = MatrixSettings;
    const LANDINGS: LandingNews = LandingNews::OnRequest;
    const READERS: Readers = Readers::People;

    fn secrets(settings: &MatrixSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("token", &settings.token)]
    }

    fn open(settings: &MatrixSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let token = opening.secret(&settings.token)?;
        let mut send = address(&format!("{}/", settings.url.trim_end_matches('/')))?;
        let path = ["_matrix", "client", "v3", "rooms", &settings.room, "send", "m.room.message"];
        match send.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(path)),
            Err(()) => return Err(Failure::new(FailureKind::Misplaced, "the address cannot be a base URL")),
        }
        Ok(Self { client: SinkClient::new(opening.ca_pem, opening.timeout, vec![token.clone()])?, send, token })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
        let posted = match memory.posted(&delivery.id).cloned() {
            None => self.put(delivery, "message", &message(delivery)).await?,
            Some(first) => {
                if delivery.notice.kind != NoticeKind::Reminder {
                    self.put(delivery, "edit", &edit(delivery, &first)).await?;
                }
                self.put(delivery, "reply", &reply(delivery, &first)).await?;
                first
            }
        };
        memory.keep(delivery.notice, delivery.now, posted);
        Ok(None)
    }
}

impl MatrixSink {
    async fn put(&self, delivery: &Delivery<'_>, part: &str, content: &Value) -> Result<PostedMessage, Failure> {
        let notice = delivery.notice;
        let transaction = format!("{}-{}-{}-{part}", delivery.id, notice.kind.as_str(), notice.at.as_millisecond());
        let mut url = self.send.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(&transaction);
        }
        let request =
            self.client.http().request(Method::PUT, url).bearer_auth(self.token.expose_secret()).json(content);
        let answer = self.client.send(request).await?;
        let sent: Sent = self.client.read("the homeserver", &answer)?;
        Ok(PostedMessage { place: String::new(), id: sent.event_id })
    }
}

/// The message of an incident.
fn message(delivery: &Delivery<'_>) -> Value {
    let texts = delivery.texts;
    let plain = Room::new(MAX_PLAIN).text(texts.plain.lines().map(|line| format!("{line}\n")), str::len);
    let head = format!("<p>{} <b>{}</b></p>", delivery.sign(), code(&texts.title));
    let facts = texts.facts.iter().map(|(word, fact)| format!("<b>{word}:</b> {}<br>", code(fact)));
    let links = texts.links.iter().map(|(word, url)| format!("<a href=\"{}\">{word}</a><br>", escape(url)));
    let seen = texts.evidence.iter().map(|line| format!("<pre><code>{}</code></pre>", escape(line)));
    let pieces = std::iter::once(head).chain(facts).chain(links).chain(seen);
    content(delivery, &format!("{} {plain}", delivery.sign()), &Room::new(MAX_HTML).text(pieces, str::len))
}

/// The same in place of the first one.
fn edit(delivery: &Delivery<'_>, first: &PostedMessage) -> Value {
    let new = message(delivery);
    let mut edit = new.clone();
    // What programs show that know no edits.
    edit["body"] = json!(format!("* {}", new["body"].as_str().unwrap_or_default()));
    edit["m.new_content"] = new;
    edit["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": first.id });
    edit
}

/// One line in the thread of the first one.
fn reply(delivery: &Delivery<'_>, first: &PostedMessage) -> Value {
    let title = &delivery.texts.title;
    let plain = format!("{} {title}", delivery.sign());
    let mut reply = content(delivery, &plain, &format!("{} {}", delivery.sign(), code(title)));
    reply["m.relates_to"] = json!({
        "rel_type": "m.thread",
        "event_id": first.id,
        "is_falling_back": true,
        "m.in_reply_to": { "event_id": first.id },
    });
    reply
}

fn content(delivery: &Delivery<'_>, plain: &str, html: &str) -> Value {
    json!({
        // A notice is what bots say without expecting a reaction.
        "msgtype": if delivery.alarms() { "m.text" } else { "m.notice" },
        "body": plain.trim_end(),
        "format": "org.matrix.custom.html",
        "formatted_body": html,
        "m.mentions": {},
    })
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_named_by_its_id() {
        for (text, good) in [
            ("!abc:example.com", true),
            ("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", true),
            ("#ops:example.com", false),
            ("!", false),
            ("!a\nb", false),
        ] {
            assert_eq!(room_id(text).is_ok(), good, "{text}");
        }
    }
}
