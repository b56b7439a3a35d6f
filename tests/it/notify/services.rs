//! What the documentation of chat services and of Opsgenie says they take and refuse.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::contracts::{only, text};
use super::stub::{Answer, Seen, Stub, say};

/// A workflow of Teams that posts cards.
pub(super) fn teams() -> Stub {
    Stub::start(|seen| {
        if seen.query.get("sig").is_none_or(|sig| sig != "s3cret") {
            return say(401, json!({ "error": { "code": "DirectApiAuthorizationRequired" } }));
        }
        if seen.body.len() > 28 << 10 {
            return say(413, "Request Entity too large");
        }
        match teams_message(&seen.json()) {
            Ok(()) => say(202, ""),
            Err(error) => say(400, json!({ "error": { "message": error } })),
        }
    })
}

fn teams_message(message: &Value) -> Result<(), String> {
    only(message, &["type", "attachments"])?;
    let attachment = &message["attachments"][0];
    if message["type"] != "message" || attachment["contentType"] != "application/vnd.microsoft.card.adaptive" {
        return Err("not a message with a card".to_owned());
    }
    let card = &attachment["content"];
    only(card, &["$schema", "type", "version", "msteams", "body", "actions"])?;
    only(&card["msteams"], &["width"])?;
    for item in card["body"].as_array().ok_or("no body")? {
        let blocks = if item["type"] == "Container" { &item["items"] } else { &json!([item]) };
        for block in blocks.as_array().ok_or("no items")? {
            only(block, &["type", "spacing", "inlines"])?;
            for run in block["inlines"].as_array().ok_or("no inlines")? {
                only(run, &["type", "text", "weight", "fontType", "isSubtle"])?;
                // The one element that reads no Markdown.
                if run["type"] != "TextRun" || run["text"].as_str().is_none_or(str::is_empty) {
                    return Err("not a run of text".to_owned());
                }
            }
        }
    }
    let actions = card["actions"].as_array().ok_or("no actions")?;
    if actions.iter().any(|action| action["type"] != "Action.OpenUrl" || action["url"].as_str().is_none()) {
        return Err("an action without its address".to_owned());
    }
    Ok(())
}

/// The texts of a card, one line each.
pub(super) fn card_lines(message: &Value) -> Vec<String> {
    let body = message["attachments"][0]["content"]["body"].as_array().unwrap();
    let blocks = body.iter().map(|item| if item["type"] == "Container" { &item["items"][0] } else { item });
    let runs = |block: &Value| -> String {
        block["inlines"].as_array().unwrap().iter().map(|run| run["text"].as_str().unwrap()).collect()
    };
    blocks.map(runs).collect()
}

/// The webhook of a channel of Discord. Messages in `gone` do not exist any more.
pub(super) fn discord(gone: Arc<Mutex<Vec<String>>>) -> Stub {
    let mut posted = 0;
    Stub::start(move |seen| {
        let unknown = |code: u32, what: &str| say(404, json!({ "message": format!("Unknown {what}"), "code": code }));
        let Some(rest) = seen.path.strip_prefix("/api/webhooks/1/s3cret-token") else {
            return unknown(10_015, "Webhook");
        };
        if let Err(error) = discord_message(&seen.json()) {
            return say(400, json!({ "message": "Invalid Form Body", "code": 50_035, "errors": error }));
        }
        match (seen.method.as_str(), rest.strip_prefix("/messages/")) {
            ("POST", None) if rest.is_empty() => {
                posted += 1;
                // Without `wait`, the answer is empty.
                match seen.query.get("wait").map(String::as_str) {
                    Some("true") => say(200, json!({ "id": posted.to_string(), "channel_id": "7", "type": 0 })),
                    _ => say(204, ""),
                }
            }
            ("PATCH", Some(id)) if !gone.lock().unwrap().iter().any(|one| one == id) => say(200, json!({ "id": id })),
            ("PATCH", Some(_)) => unknown(10_008, "Message"),
            _ => say(405, json!({ "message": "405: Method Not Allowed", "code": 0 })),
        }
    })
}

fn discord_message(message: &Value) -> Result<(), String> {
    only(message, &["content", "embeds", "allowed_mentions"])?;
    let units = |value: &Value| value.as_str().unwrap_or_default().encode_utf16().count();
    if units(&message["content"]) == 0 || units(&message["content"]) > 2_000 {
        return Err("content: 1 to 2,000".to_owned());
    }
    for embed in message["embeds"].as_array().into_iter().flatten() {
        only(embed, &["description", "color", "timestamp"])?;
        if units(&embed["description"]) > 4_096 {
            return Err("description: 4,096 or fewer".to_owned());
        }
    }
    if message["allowed_mentions"] == json!({ "parse": [] }) {
        Ok(())
    } else {
        Err("somebody may be mentioned".to_owned())
    }
}

/// The webhook of a space of Google Chat.
pub(super) fn google_chat() -> Stub {
    Stub::start(|seen| {
        let refuse = |code: u16, status: &str| say(code, json!({ "error": { "code": code, "status": status } }));
        if seen.path != "/v1/spaces/AAA/messages" || seen.query.get("token").is_none_or(|token| token != "s3cret-token")
        {
            return refuse(403, "PERMISSION_DENIED");
        }
        let message = seen.json();
        let thread = &message["thread"]["threadKey"];
        let widgets = message["cardsV2"][0]["card"]["sections"][0]["widgets"].as_array();
        let known = only(&message, &["thread", "fallbackText", "cardsV2"]).is_ok();
        let shapes = widgets.is_some_and(|all| {
            all.iter().all(|one| only(one, &["textParagraph", "decoratedText", "buttonList"]).is_ok())
        });
        if !known || !shapes || thread.as_str().is_none() || seen.body.len() > 32_000 {
            return refuse(400, "INVALID_ARGUMENT");
        }
        say(
            200,
            json!({ "name": "spaces/AAA/messages/BBB", "thread": { "name": format!("spaces/AAA/threads/{thread}") } }),
        )
    })
}

/// A Matrix homeserver with one room, and its events by transaction.
pub(super) type Events = Arc<Mutex<BTreeMap<String, String>>>;

pub(super) const ROOM: &str = "!ops:example.com";

pub(super) fn matrix() -> (Stub, Events) {
    let events = Events::default();
    let kept = Arc::clone(&events);
    let stub = Stub::start(move |seen| {
        let refuse = |status: u16, code: &str| say(status, json!({ "errcode": code, "error": "no" }));
        if seen.header("authorization") != "Bearer syt_s3cret" {
            return refuse(401, "M_UNKNOWN_TOKEN");
        }
        let path = "/_matrix/client/v3/rooms/!ops:example.com/send/m.room.message/";
        let (Some(transaction), "PUT") = (seen.path.strip_prefix(path).map(str::to_owned), &*seen.method) else {
            return refuse(404, "M_UNRECOGNIZED");
        };
        if seen.body.len() > 65_536 {
            return refuse(413, "M_TOO_LARGE");
        }
        let content = seen.json();
        let known = ["msgtype", "body", "format", "formatted_body", "m.mentions", "m.relates_to", "m.new_content"];
        if only(&content, &known).is_err() || content["m.mentions"] != json!({}) {
            return refuse(400, "M_BAD_JSON");
        }
        let mut kept = kept.lock().unwrap();
        let next = format!("$event-{}", kept.len() + 1);
        // A transaction that is already there is answered with its event.
        let id = kept.entry(transaction).or_insert(next);
        say(200, json!({ "event_id": id }))
    });
    (stub, events)
}

/// Opsgenie, and its open alerts by alias: message, priority, and how often they were counted.
pub(super) type OpenAlerts = Arc<Mutex<BTreeMap<String, (String, String, u32)>>>;

pub(super) const GENIE_KEY: &str = "0a1b2c3d-s3cret-key";

pub(super) fn opsgenie() -> (Stub, OpenAlerts) {
    let open = OpenAlerts::default();
    let kept = Arc::clone(&open);
    let stub = Stub::start(move |seen| {
        if seen.header("authorization") != format!("GenieKey {GENIE_KEY}") {
            return say(403, json!({ "message": "You are not authorized to access this resource.", "took": 0.1 }));
        }
        match opsgenie_request(seen, &mut kept.lock().unwrap()) {
            Ok(()) => say(202, json!({ "result": "Request will be processed", "took": 0.1, "requestId": "x" })),
            Err(answer) => answer,
        }
    });
    (stub, open)
}

fn opsgenie_request(seen: &Seen, open: &mut BTreeMap<String, (String, String, u32)>) -> Result<(), Answer> {
    let body = seen.json();
    let invalid = |error: String| say(422, json!({ "message": "Request body is not processable", "errors": error }));
    let word = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    if seen.path == "/v2/alerts" && seen.method == "POST" {
        let known = ["message", "alias", "description", "priority", "source", "entity", "tags", "details"];
        only(&body, &known).and_then(|()| text(&body, "message", 130)).map_err(invalid)?;
        text(&body, "alias", 512).and_then(|()| text(&body, "description", 15_000)).map_err(invalid)?;
        let details = body["details"].as_object().unwrap();
        let total: usize = details.iter().map(|(key, value)| key.len() + value.as_str().unwrap().chars().count()).sum();
        let tags = body["tags"].as_array().unwrap();
        if total > 8_000 || tags.iter().any(|tag| tag.as_str().unwrap().chars().count() > 50) {
            return Err(invalid("details or tags are too long".to_owned()));
        }
        // An open alert under the alias is counted, and stays as it is.
        let new = (word("message"), word("priority"), 0);
        open.entry(word("alias")).or_insert(new).2 += 1;
        return Ok(());
    }
    let parts: Vec<&str> = seen.path.trim_start_matches("/v2/alerts/").split('/').collect();
    let ([alias, what], Some("alias")) = (&parts[..], seen.query.get("identifierType").map(String::as_str)) else {
        return Err(say(404, json!({ "message": "no such path" })));
    };
    match (seen.method.as_str(), *what, open.get_mut(*alias)) {
        ("POST", "close", _) => drop(open.remove(*alias)),
        // What is not there is accepted, too, and comes to nothing.
        ("PUT", "message", Some(alert)) => alert.0 = word("message"),
        ("PUT", "priority", Some(alert)) => alert.1 = word("priority"),
        ("PUT", "message" | "priority" | "description", _) => {}
        _ => return Err(say(405, json!({ "message": "no such method" }))),
    }
    Ok(())
}
