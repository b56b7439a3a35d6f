//! What the receivers' documentation says they take and refuse.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::stub::{Answer, Seen, Stub, say};

pub(super) fn only(object: &Value, known: &[&str]) -> Result<(), String> {
    let mut keys = object.as_object().ok_or("no object")?.keys();
    match keys.find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("unknown field {key}")),
        None => Ok(()),
    }
}

pub(super) fn text(object: &Value, key: &str, most: usize) -> Result<(), String> {
    let value = object[key].as_str().ok_or(format!("{key} is required"))?;
    if value.is_empty() || value.chars().count() > most { Err(format!("{key} has a bad length")) } else { Ok(()) }
}

fn time(object: &Value, key: &str) -> Result<Timestamp, String> {
    object[key].as_str().and_then(|text| text.parse().ok()).ok_or(format!("{key} is no time"))
}

/// PagerDuty's Events API v2, both kinds of events.
pub(super) const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

fn pagerduty_event(seen: &Seen) -> Result<(), String> {
    let event = seen.json();
    if event["routing_key"] != ROUTING_KEY {
        return Err("'routing_key' is invalid".to_owned());
    }
    let payload = &event["payload"];
    let change = seen.path == "/v2/change/enqueue";
    if change {
        only(&event, &["routing_key", "payload", "links"])?;
        only(payload, &["summary", "source", "timestamp", "custom_details"])?;
        text(payload, "summary", 1_024)?;
        time(payload, "timestamp")?;
        return Ok(());
    }
    only(&event, &["routing_key", "event_action", "dedup_key", "payload", "links", "images", "client", "client_url"])?;
    text(&event, "dedup_key", 255)?;
    match event["event_action"].as_str() {
        Some("resolve" | "acknowledge") => return Ok(()),
        Some("trigger") => {}
        _ => return Err("'event_action' is missing or invalid".to_owned()),
    }
    let known = ["summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"];
    only(payload, &known)?;
    text(payload, "summary", 1_024)?;
    text(payload, "source", 255)?;
    time(payload, "timestamp")?;
    let severity = payload["severity"].as_str().unwrap_or_default();
    if !["critical", "warning", "error", "info"].contains(&severity) {
        return Err("'payload.severity' is invalid".to_owned());
    }
    for link in event["links"].as_array().into_iter().flatten() {
        only(link, &["href", "text"])?;
    }
    if seen.body.len() > 512 << 10 { Err("too large".to_owned()) } else { Ok(()) }
}

pub(super) fn pagerduty() -> Stub {
    Stub::start(|seen| match pagerduty_event(seen) {
        Ok(()) => say(202, json!({ "status": "success", "message": "Event processed", "dedup_key": "x" })),
        Err(error) => {
            say(400, json!({ "status": "invalid event", "message": "Event object is invalid", "errors": [error] }))
        }
    })
}

/// An alert as Alertmanager keeps it: its labels are its name.
pub(super) type Alerts = Arc<Mutex<Vec<(Value, Timestamp)>>>;

fn alertmanager_alert(alert: &Value) -> Result<(), String> {
    only(alert, &["labels", "annotations", "startsAt", "endsAt", "generatorURL"])?;
    let labels = alert["labels"].as_object().ok_or("labels are required")?;
    if labels.is_empty() {
        return Err("at least one label pair required".to_owned());
    }
    for (name, value) in labels.iter().chain(alert["annotations"].as_object().into_iter().flatten()) {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.starts_with(char::is_numeric);
        if !plain || value.as_str().is_none_or(str::is_empty) {
            return Err(format!("invalid label set: {name}"));
        }
    }
    if time(alert, "startsAt")? > time(alert, "endsAt")? {
        return Err("start time must be before end time".to_owned());
    }
    Ok(())
}

/// An Alertmanager, and what it holds.
pub(super) fn alertmanager() -> (Stub, Alerts) {
    let alerts = Alerts::default();
    let kept = Arc::clone(&alerts);
    let stub = Stub::start(move |seen| {
        let body = seen.json();
        let sent = body.as_array().unwrap();
        if seen.path != "/api/v2/alerts" || seen.method != "POST" {
            return say(404, "path not found");
        }
        if let Some(error) = sent.iter().find_map(|alert| alertmanager_alert(alert).err()) {
            return say(400, json!(error));
        }
        let mut kept = kept.lock().unwrap();
        for alert in sent {
            let ends = time(alert, "endsAt").unwrap();
            kept.retain(|(labels, _)| *labels != alert["labels"]);
            kept.push((alert["labels"].clone(), ends));
        }
        say(200, "")
    });
    (stub, alerts)
}

/// What fires at a time, by severity.
pub(super) fn firing(alerts: &Alerts, now: Timestamp) -> Vec<String> {
    let alerts = alerts.lock().unwrap();
    let firing = alerts.iter().filter(|(_, ends)| *ends > now);
    let mut severities: Vec<_> = firing.map(|(labels, _)| labels["severity"].as_str().unwrap().to_owned()).collect();
    severities.sort();
    severities
}

pub(super) const SLACK_TOKEN: &str = "xoxb-12-secret-token";

fn slack_message(message: &Value) -> Result<(), &'static str> {
    let text = message["text"].as_str().ok_or("no_text")?;
    for block in message["blocks"].as_array().into_iter().flatten() {
        let (kind, most) = match block["type"].as_str() {
            Some("header") => ("plain_text", 150),
            Some("section") => ("mrkdwn", 3_000),
            _ => return Err("invalid_blocks"),
        };
        let shown = block["text"]["text"].as_str().ok_or("invalid_blocks")?;
        if block["text"]["type"] != kind || shown.is_empty() || shown.chars().count() > most {
            return Err("invalid_blocks");
        }
    }
    if text.is_empty() { Err("no_text") } else { Ok(()) }
}

/// Slack for bots: posts and edits in channel C1. Messages in `gone` do not exist any more.
pub(super) fn slack_bot(gone: Arc<Mutex<Vec<String>>>) -> Stub {
    let mut posted = 0;
    Stub::start(move |seen| {
        let no = |error: &str| say(200, json!({ "ok": false, "error": error }));
        if seen.header("authorization") != format!("Bearer {SLACK_TOKEN}") {
            return no("invalid_auth");
        }
        let message = seen.json();
        if let Err(error) = slack_message(&message) {
            return no(error);
        }
        match seen.path.as_str() {
            "/api/chat.postMessage" => {
                posted += 1;
                let ts = format!("1700000000.{posted:06}");
                say(200, json!({ "ok": true, "channel": "C1", "ts": ts, "message": {} }))
            }
            // Edits take the channel's id only.
            "/api/chat.update" if message["channel"] != "C1" => no("channel_not_found"),
            "/api/chat.update" if gone.lock().unwrap().iter().any(|ts| message["ts"] == *ts) => no("message_not_found"),
            "/api/chat.update" => say(200, json!({ "ok": true, "channel": "C1", "ts": message["ts"], "text": "" })),
            _ => no("unknown_method"),
        }
    })
}

/// A Slack incoming webhook at a secret path.
pub(super) fn slack_webhook() -> Stub {
    Stub::start(|seen| {
        if seen.path != "/services/T0/B0/s3cret" {
            return say(404, "no_service");
        }
        match slack_message(&seen.json()) {
            Ok(()) => say(200, "ok"),
            Err(error) => say(400, error),
        }
    })
}

/// A receiver that takes everything.
pub(super) fn anything() -> Stub {
    Stub::start(|_| say(200, "{}"))
}

/// A redirect to another place.
pub(super) fn redirect(to: String) -> impl FnMut(&Seen) -> Answer + Send + 'static {
    move |_| Answer::Say(307, vec![("location", to.clone())], String::new())
}
