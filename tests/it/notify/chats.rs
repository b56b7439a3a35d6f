//! Chat services, Opsgenie and templates, through the life of an incident; and text from outside that must mean nothing there.

use std::sync::{Arc, Mutex};

use landfall::model::{CauseCode, State, Tracked};
use landfall::notify::SinkSettings;
use serde_json::{Value, json};

use super::contracts::anything;
use super::scene::{Scene, dead, landed, pending, row, sink, stuck, with_landings};
use super::services::{GENIE_KEY, ROOM, card_lines, discord, google_chat, matrix, opsgenie, teams};
use super::stub::{Answer, Seen, Stub, say};

fn teams_at(stub: &Stub) -> SinkSettings {
    let url = format!("{}/workflows/0a/triggers/manual/paths/invoke?api-version=1&sig=s3cret", stub.url());
    sink("teams", "kind: teams, webhookUrl: { env: URL }", &[("URL", &url)])
}

fn discord_at(stub: &Stub) -> SinkSettings {
    let url = format!("{}/api/webhooks/1/s3cret-token", stub.url());
    sink("discord", "kind: discord, webhookUrl: { env: URL }", &[("URL", &url)])
}

fn chat_at(stub: &Stub) -> SinkSettings {
    let url = format!("{}/v1/spaces/AAA/messages?key=k&token=s3cret-token", stub.url());
    sink("chat", "kind: google-chat, webhookUrl: { env: URL }", &[("URL", &url)])
}

fn matrix_at(stub: &Stub) -> SinkSettings {
    let keys = format!("kind: matrix, url: '{}', token: {{ env: TOKEN_M }}, room: '{ROOM}'", stub.url());
    sink("matrix", &keys, &[("TOKEN_M", "syt_s3cret")])
}

fn opsgenie_at(stub: &Stub) -> SinkSettings {
    let keys = format!("kind: opsgenie, url: '{}', apiKey: {{ env: KEY }}", stub.url());
    sink("genie", &keys, &[("KEY", GENIE_KEY)])
}

fn template_at(stub: &Stub, body: &str) -> SinkSettings {
    sink("mine", &format!("kind: template, url: '{}', body: '{body}'", stub.url()), &[])
}

fn bodies(stub: &Stub) -> Vec<Value> {
    stub.seen().iter().map(Seen::json).collect()
}

/// Raised, escalated, a reminder, and over.
async fn life(scene: &mut Scene) {
    scene.look(&[pending("web")]).await;
    scene.look(&[stuck("web")]).await;
    scene.look(&[dead("web")]).await;
    scene.pass(5 * 3_600);
    scene.look(&[dead("web")]).await;
    scene.look(&[landed("web")]).await;
}

const STUCK: &str = "🔴 prod/eu-1: web 1.3.0 → 1.4.0 is stuck before running: crash-loop";
const LANDED: &str = "✅ prod/eu-1: web 1.3.0 → 1.4.0 has landed";

#[tokio::test]
async fn teams_gets_a_card_per_change() {
    let stub = teams();
    // It wants landings, too: one that ends an alarm is told once.
    let mut scene = Scene::new(vec![with_landings(teams_at(&stub))]);
    life(&mut scene).await;
    let told: Vec<_> = bodies(&stub).iter().map(card_lines).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!((told[0][0].as_str(), told[3][0].as_str()), (STUCK, LANDED));
    assert!(told[0].contains(&"Cause: web says crash-loop".to_owned()), "{told:?}");
    assert!(
        told[0].contains(&"Next: look at the pod".to_owned()) && told[0].contains(&"pod web-1: crash-loop".to_owned())
    );
    let actions = &bodies(&stub)[0]["attachments"][0]["content"]["actions"];
    assert_eq!(actions[0]["url"], super::scene::PULL);
}

#[tokio::test]
async fn discord_edits_one_message_per_incident_and_tells_each_change() {
    let gone = Arc::new(Mutex::new(Vec::new()));
    let stub = discord(Arc::clone(&gone));
    let mut scene = Scene::new(vec![discord_at(&stub)]);
    scene.look(&[stuck("web")]).await;
    // A restart that kept the memory goes on in the same message.
    let kept = serde_json::to_string(&scene.notifier.memory()).unwrap();
    scene.restart(serde_json::from_str(&kept).unwrap());
    scene.look(&[dead("web")]).await;
    scene.pass(5 * 3_600);
    scene.look(&[dead("web")]).await;
    scene.look(&[landed("web")]).await;
    let told: Vec<_> = stub
        .seen()
        .iter()
        .map(|seen| (seen.method.clone(), seen.path.trim_start_matches("/api/webhooks/1/s3cret-token").to_owned()))
        .collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(method, path)| (method.as_str(), path.as_str())).collect();
    let (post, edit) = (("POST", ""), ("PATCH", "/messages/1"));
    assert_eq!(told, [post, edit, post, post, edit, post]);
    let last = &bodies(&stub)[4];
    assert_eq!(last["content"], "✅ `prod/eu-1: web 1.3.0 → 1.4.0 has landed`");
    // A message that somebody deleted is posted again.
    scene.look(&[stuck("api")]).await;
    gone.lock().unwrap().push("5".to_owned());
    stub.forget();
    scene.look(&[dead("api")]).await;
    let methods: Vec<_> = stub.seen().iter().map(|seen| seen.method.clone()).collect();
    assert_eq!(methods, ["PATCH", "POST"]);
}

#[tokio::test]
async fn google_chat_has_one_thread_per_incident() {
    let stub = google_chat();
    let mut scene = Scene::new(vec![chat_at(&stub)]);
    life(&mut scene).await;
    let told = bodies(&stub);
    assert_eq!(told.len(), 4);
    assert_eq!((&told[0]["fallbackText"], &told[3]["fallbackText"]), (&json!(STUCK), &json!(LANDED)));
    assert!(told.iter().all(|one| one["thread"] == told[0]["thread"]), "one thread");
    let asked = stub.seen()[0].query["messageReplyOption"].clone();
    assert_eq!(asked, "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD");
}

#[tokio::test]
async fn matrix_edits_one_message_per_incident_and_repeats_nothing() {
    let (stub, events) = matrix();
    let mut scene = Scene::new(vec![matrix_at(&stub)]);
    scene.look(&[stuck("web")]).await;
    // The answer to what comes next is lost once, after the homeserver has taken it.
    let lost = Mutex::new(false);
    let taken = Arc::clone(&events);
    stub.answer(move |seen| {
        let transaction = seen.path.rsplit('/').next().unwrap().to_owned();
        let mut taken = taken.lock().unwrap();
        let next = format!("$event-{}", taken.len() + 1);
        let id = taken.entry(transaction).or_insert(next).clone();
        let mut lost = lost.lock().unwrap();
        if *lost {
            return say(200, json!({ "event_id": id }));
        }
        *lost = true;
        Answer::Say(502, Vec::new(), "lost".to_owned())
    });
    scene.look(&[dead("web")]).await;
    scene.look(&[landed("web")]).await;
    let told: Vec<_> = events.lock().unwrap().keys().map(|key| key.rsplit('-').next().unwrap().to_owned()).collect();
    assert_eq!(told, ["edit", "reply", "message", "edit", "reply"], "escalated, raised, resolved: each once");
    assert_eq!(stub.seen().len(), 6, "one of them twice");
    let edits: Vec<_> = bodies(&stub).into_iter().filter(|body| !body["m.new_content"].is_null()).collect();
    assert!(
        edits.iter().all(|edit| edit["m.relates_to"] == json!({ "rel_type": "m.replace", "event_id": "$event-1" }))
    );
    let last = &bodies(&stub)[5];
    assert_eq!((&last["m.relates_to"]["rel_type"], &last["body"]), (&json!("m.thread"), &json!(LANDED)));
}

#[tokio::test]
async fn opsgenie_keeps_one_alert_and_closes_it() {
    let (stub, open) = opsgenie();
    let mut scene = Scene::new(vec![opsgenie_at(&stub)]);
    scene.look(&[stuck("web")]).await;
    let alerts = |open: &super::services::OpenAlerts| open.lock().unwrap().values().cloned().collect::<Vec<_>>();
    let (message, priority, count) = alerts(&open).remove(0);
    assert_eq!((message.as_str(), priority.as_str(), count), (STUCK.trim_start_matches("🔴 "), "P2", 1));
    assert_eq!(bodies(&stub)[0]["details"]["code"], "crash-loop");
    scene.look(&[dead("web")]).await;
    assert_eq!(alerts(&open)[0].1, "P1", "an alert that is open is changed, too");
    // Somebody closes it, and it becomes worse in another way: it is there again.
    open.lock().unwrap().clear();
    scene.look(&[Tracked { live: Vec::new(), ..row("web", State::Stuck, Some(CauseCode::OutOfMemory)) }]).await;
    assert!(alerts(&open)[0].0.ends_with("out-of-memory"));
    scene.pass(5 * 3_600);
    stub.forget();
    scene.look(&[Tracked { live: Vec::new(), ..row("web", State::Stuck, Some(CauseCode::OutOfMemory)) }]).await;
    assert_eq!(stub.seen().len(), 0, "a reminder is Opsgenie's own business");
    scene.look(&[landed("web")]).await;
    assert_eq!(alerts(&open), []);
}

#[tokio::test]
async fn a_template_says_what_it_was_told_to() {
    let stub = anything();
    let body =
        r#"{"msg": "{sign} {title}", "state": "{status}/{kind}", "at": [1, true, "{{{app}}}"], "why": "{cause}"}"#;
    let mut scene = Scene::new(vec![template_at(&stub, body)]);
    let mut hostile = stuck("web");
    hostile.landing.cause.as_mut().unwrap().message = "\"}, {\"msg\": \"@channel <!here>".to_owned();
    scene.look(&[hostile]).await;
    scene.look(&[landed("web")]).await;
    let told = bodies(&stub);
    assert_eq!(told[0]["msg"], STUCK);
    assert_eq!((&told[0]["state"], &told[1]["state"]), (&json!("firing/raised"), &json!("resolved/resolved")));
    assert_eq!(told[0]["at"], json!([1, true, "{web}"]));
    let why = told[0]["why"].as_str().unwrap();
    assert!(why.starts_with("\"}, {") && !why.contains("@channel") && !why.contains("<!here>"), "{why}");
}

#[tokio::test]
async fn a_limit_in_the_body_is_kept_like_one_in_a_header() {
    let stub = Stub::start(|_| say(429, json!({ "errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 3_600_000 })));
    let alive = anything();
    let mut scene = Scene::new(vec![matrix_at(&stub), super::scene::webhook("alive", &alive.url())]);
    scene.cycle(&[stuck("web")]);
    stub.wait(1).await;
    scene.cycle(&[dead("web")]);
    alive.wait(2).await;
    let left = scene.notifier.flush(std::time::Duration::from_millis(300)).await;
    assert_eq!((left, stub.seen().len()), (1, 1));
}

#[tokio::test]
async fn an_address_of_something_else_is_refused_before_anything_is_sent() {
    let stub = anything();
    let url = format!("{}/services/T0/B0/s3cret", stub.url());
    let of =
        |name: &str, kind: &str| sink(name, &format!("kind: {kind}, webhookUrl: {{ env: URL }}"), &[("URL", &url)]);
    let mut scene = Scene::new(vec![of("d", "discord"), of("g", "google-chat")]);
    scene.cycle(&[stuck("web")]);
    for name in ["d", "g"] {
        let error = scene.health(name).failing.unwrap().error;
        assert!(error.contains("next: copy it from") && !error.contains("s3cret"), "{error}");
    }
    assert_eq!(stub.seen().len(), 0);
}

/// What a cluster or a repository may say.
const HOSTILE: &str = "@everyone <!here> <@1> <users/all> <img src=x onerror=alert(1)> [a](https://evil.example) `x` **b** https://evil.example";

fn hostile() -> Tracked {
    let mut row = dead("web");
    let cause = row.landing.cause.as_mut().unwrap();
    cause.message = HOSTILE.to_owned();
    cause.next = HOSTILE.to_owned();
    cause.evidence = vec![format!("{HOSTILE} {}", "é&<\"`".repeat(80)); 9];
    row.overlay = format!("apps/{}", "x&<`".repeat(200));
    row
}

#[tokio::test]
async fn text_from_outside_means_nothing_anywhere_and_always_fits() {
    let (t, d, g, (m, _), (o, _)) = (teams(), discord(Arc::default()), google_chat(), matrix(), opsgenie());
    let sinks = vec![teams_at(&t), discord_at(&d), chat_at(&g), matrix_at(&m), opsgenie_at(&o)];
    let mut scene = Scene::new(sinks);
    scene.look(&[stuck("web")]).await;
    scene.look(&[hostile()]).await;
    for health in scene.notifier.health() {
        assert!(health.failing.is_none() && health.rejected == 0, "{health:?}");
    }
    for stub in [&t, &d, &g, &m, &o] {
        let all = stub.seen().iter().map(|seen| String::from_utf8(seen.body.clone()).unwrap()).collect::<String>();
        assert!(!all.contains("@everyone") && !all.contains("<!here>") && !all.contains("<users/all>"), "{all}");
    }
    let html = bodies(&m)[1]["formatted_body"].as_str().unwrap().to_owned();
    let tags: std::collections::BTreeSet<_> =
        html.split('<').skip(1).map(|tag| tag.split(['>', ' ']).next().unwrap()).collect();
    assert_eq!(
        tags.into_iter().collect::<Vec<_>>(),
        ["/a", "/b", "/code", "/p", "/pre", "a", "b", "br", "code", "p", "pre"]
    );
    let widgets = &bodies(&g)[1]["cardsV2"][0]["card"]["sections"][0]["widgets"];
    let shown = widgets.to_string();
    assert!(!shown.contains("<img") && shown.contains("&lt;") && !shown.contains("https://evil"), "{shown}");
    let embed = bodies(&d)[1]["embeds"][0]["description"].as_str().unwrap().to_owned();
    let hostile: Vec<&str> =
        embed.lines().filter(|line| line.contains("evil.example") && line.starts_with("**")).collect();
    assert!(!hostile.is_empty(), "{embed}");
    for line in hostile {
        let code = line.split_once(":** `").unwrap().1;
        assert_eq!(code.matches('`').count(), 1, "it ends the span itself: {line}");
    }
}
