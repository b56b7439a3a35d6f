//! Each receiver by its contract, through the life of an incident.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use landfall::model::{Affected, CauseCode, State, Tag, TrackedThing, Version};
use landfall::notify::{Cycle, FailureKind, Heartbeat, HeartbeatSettings, Pace, SinkSettings};
use serde_json::{Value, json};

use super::contracts::{
    ROUTING_KEY, SLACK_TOKEN, alertmanager, anything, firing, pagerduty, redirect, slack_bot, slack_webhook,
};
use super::scene::{Scene, at, dead, landed, pending, quick, row, sink, slack, stuck, webhook, with_landings};
use super::stub::{Answer, Seen, Stub, say};

fn plain_alertmanager(stub: &Stub) -> SinkSettings {
    sink("am", &format!("kind: alertmanager, url: '{}'", stub.url()), &[])
}

fn slack_as_bot(stub: &Stub, token: &str) -> SinkSettings {
    let keys = format!("kind: slack, url: '{}/api', token: {{ env: SLACK }}, channel: '#alerts'", stub.url());
    sink("slack", &keys, &[("SLACK", token)])
}

fn bodies(stub: &Stub) -> Vec<Value> {
    stub.seen().iter().map(Seen::json).collect()
}

#[tokio::test]
async fn pagerduty_is_triggered_and_resolved_under_one_key() {
    let stub = pagerduty();
    let keys = format!("kind: pagerduty, url: '{}', routingKey: {{ env: KEY }}", stub.url());
    let mut scene = Scene::new(vec![with_landings(sink("pd", &keys, &[("KEY", ROUTING_KEY)]))]);
    scene.look(&[pending("web")]).await;
    scene.look(&[stuck("web")]).await;
    scene.look(&[dead("web")]).await;
    scene.pass(5 * 3_600);
    scene.look(&[dead("web")]).await;
    scene.look(&[landed("web")]).await;
    let seen = bodies(&stub);
    let actions: Vec<_> = seen.iter().map(|event| event["event_action"].as_str().unwrap_or("change")).collect();
    assert_eq!(actions, ["trigger", "trigger", "resolve", "change"], "a reminder is PagerDuty's own business");
    assert_eq!(seen[0]["payload"]["severity"], "error");
    assert_eq!(seen[1]["payload"]["severity"], "critical");
    assert!(seen[..3].iter().all(|event| event["dedup_key"] == seen[0]["dedup_key"]));
    assert_eq!(seen[0]["payload"]["class"], "crash-loop");
    assert_eq!(seen[0]["payload"]["custom_details"]["next"], "look at the pod");
    assert_eq!(seen[0]["links"][0]["text"], "pull request");
    assert_eq!(seen[3]["payload"]["custom_details"]["from"], json!(["1.3.0"]));
    let paths: Vec<_> = stub.seen().iter().map(|seen| seen.path.clone()).collect();
    assert_eq!(paths, ["/v2/enqueue", "/v2/enqueue", "/v2/enqueue", "/v2/change/enqueue"]);
}

#[tokio::test]
async fn alertmanager_keeps_one_alert_through_all_changes() {
    let (stub, alerts) = alertmanager();
    let login = "credentials: { username: landfall, password: { env: PASSWORD } }";
    let keys = format!("kind: alertmanager, url: '{}', {login}", stub.url());
    let mut scene = Scene::new(vec![sink("am", &keys, &[("PASSWORD", "s3cret")])]);
    scene.look(&[stuck("web")]).await;
    assert_eq!(firing(&alerts, scene.now()), ["error"]);
    let alert = stub.seen()[0].json()[0].clone();
    let labels: Vec<_> = alert["labels"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(labels, ["alertname", "app", "cluster", "environment", "image", "severity"]);
    assert_eq!((&alert["annotations"]["to"], &alert["annotations"]["code"]), (&json!("1.4.0"), &json!("crash-loop")));
    assert!(stub.seen()[0].header("authorization").starts_with("Basic "));
    // Another cause is the same alert; a higher severity ends the one under the old label.
    scene.look(&[row("web", State::Stuck, Some(CauseCode::OutOfMemory))]).await;
    assert_eq!(alerts.lock().unwrap().len(), 1);
    scene.look(&[dead("web")]).await;
    assert_eq!(firing(&alerts, scene.now()), ["critical"]);
    scene.look(&[landed("web")]).await;
    assert_eq!(firing(&alerts, scene.now()), [""; 0]);
}

#[tokio::test]
async fn alertmanager_does_not_end_what_fires_for_the_next_version() {
    let (stub, alerts) = alertmanager();
    let mut scene = Scene::new(vec![plain_alertmanager(&stub)]);
    scene.look(&[stuck("web")]).await;
    let mut next = stuck("web");
    next.declared.version = Version { tag: Some(Tag::parse("1.5.0").unwrap()), digest: None };
    // The old incident is over and the new one begins in the same cycle, under the same labels.
    scene.look(&[next]).await;
    assert_eq!(firing(&alerts, scene.now()), ["error"]);
    scene.look(&[]).await;
    scene.pass(600);
    scene.look(&[]).await;
    assert_eq!(firing(&alerts, scene.now()), [""; 0]);
}

#[tokio::test]
async fn alertmanager_is_told_again_while_it_fires() {
    let (stub, alerts) = alertmanager();
    let pace = Pace { repeat: Duration::from_millis(20), ..quick() };
    let mut scene = Scene::paced(vec![plain_alertmanager(&stub)], pace);
    scene.look(&[stuck("web"), stuck("api")]).await;
    stub.forget();
    scene.pass(3_000);
    let again = stub.wait(3).await;
    assert_eq!(again[2].json().as_array().unwrap().len(), 2, "all of it in one request");
    assert_eq!(firing(&alerts, scene.now()), ["error", "error"], "the end moves on");
}

#[tokio::test]
async fn a_slack_webhook_gets_a_message_per_change() {
    let stub = slack_webhook();
    // It wants landings, too: one that ends an alarm is told once.
    let mut scene = Scene::new(vec![with_landings(slack(&stub.url()))]);
    for rows in [pending("web"), stuck("web"), stuck("web"), dead("web"), landed("web")] {
        scene.look(&[rows]).await;
    }
    let seen = bodies(&stub);
    let titles: Vec<_> = seen.iter().map(|message| message["blocks"][0]["text"]["text"].as_str().unwrap()).collect();
    assert_eq!(
        titles,
        [
            "🔴 prod/eu-1: web 1.3.0 → 1.4.0 is stuck before running: crash-loop",
            "🔴 prod/eu-1: web 1.3.0 → 1.4.0 is stuck before running: crash-loop",
            "✅ prod/eu-1: web 1.3.0 → 1.4.0 has landed",
        ]
    );
    assert!(
        seen.iter().all(|message| message["blocks"][1]["text"]["verbatim"] == true && message["link_names"] == false)
    );
}

#[tokio::test]
async fn a_slack_bot_keeps_one_message_per_incident() {
    let gone = Arc::new(Mutex::new(Vec::new()));
    let stub = slack_bot(Arc::clone(&gone));
    let mut scene = Scene::new(vec![slack_as_bot(&stub, SLACK_TOKEN)]);
    scene.look(&[stuck("web")]).await;
    scene.look(&[dead("web")]).await;
    // A restart that kept the memory goes on in the same message.
    let kept = serde_json::to_string(&scene.notifier.memory()).unwrap();
    scene.restart(serde_json::from_str(&kept).unwrap());
    scene.pass(5 * 3_600);
    scene.look(&[dead("web")]).await;
    scene.look(&[landed("web")]).await;
    let told: Vec<_> = stub
        .seen()
        .iter()
        .map(|seen| {
            let body = seen.json();
            let method = seen.path.trim_start_matches("/api/chat.").to_owned();
            (method, body["channel"].clone(), body["ts"].clone(), body["thread_ts"].clone())
        })
        .collect();
    let first = json!("1700000000.000001");
    let c1 = json!("C1");
    let edit = ("update".to_owned(), c1.clone(), first.clone(), Value::Null);
    let reply = ("postMessage".to_owned(), c1.clone(), Value::Null, first.clone());
    let post = ("postMessage".to_owned(), json!("#alerts"), Value::Null, Value::Null);
    assert_eq!(told, [post.clone(), edit.clone(), reply.clone(), reply.clone(), edit, reply]);

    // A message that somebody deleted is posted anew.
    stub.forget();
    scene.look(&[stuck("api")]).await;
    gone.lock().unwrap().push("1700000000.000005".to_owned());
    scene.look(&[dead("api")]).await;
    let methods: Vec<_> = stub.seen().iter().map(|seen| seen.path.clone()).collect();
    assert_eq!(methods, ["/api/chat.postMessage", "/api/chat.update", "/api/chat.postMessage"]);
}

#[tokio::test]
async fn slack_says_no_with_status_200() {
    let stub = slack_bot(Arc::default());
    let mut scene = Scene::new(vec![slack_as_bot(&stub, "xoxb-wr0ng")]);
    scene.cycle(&[stuck("web")]);
    stub.wait(2).await;
    let health = scene.health("slack");
    let failing = health.failing.unwrap();
    assert!(failing.error.contains("invalid_auth") && failing.error.contains("next:"), "{}", failing.error);
    assert_eq!((health.waiting, health.last_success), (1, None));
}

#[tokio::test]
async fn a_webhook_gets_json_that_is_signed() {
    let stub = anything();
    let keys =
        "kind: webhook, webhookUrl: { env: URL }, credentials: { token: { env: LOGIN } }, signingKey: { env: KEY }";
    let url = format!("{}/hook?key=k3y", stub.url());
    let secrets = [("URL", url.as_str()), ("LOGIN", "b3arer"), ("KEY", "It's a Secret to Everybody")];
    let mut scene = Scene::new(vec![with_landings(sink("hook", keys, &secrets))]);
    scene.look(&[stuck("web")]).await;
    scene.look(&[landed("web")]).await;
    let seen = stub.seen();
    let kinds: Vec<_> = seen.iter().map(|seen| seen.json()["kind"].clone()).collect();
    assert_eq!(kinds, ["raised", "resolved", "landed"]);
    for request in &seen {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"It's a Secret to Everybody");
        let hex = request.header("x-landfall-signature-256").strip_prefix("sha256=").unwrap();
        let tag: Vec<u8> = (0..32).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect();
        aws_lc_rs::hmac::verify(&key, &request.body, &tag).unwrap();
        assert_eq!((request.header("authorization"), request.query["key"].as_str()), ("Bearer b3arer", "k3y"));
    }
    let raised = seen[0].json();
    for key in ["version", "id", "title", "text", "at", "cause", "next"] {
        assert!(!raised[key].is_null(), "{key}");
    }
    assert_eq!((&raised["incident"]["state"], &raised["incident"]["code"]), (&json!("stuck"), &json!("crash-loop")));
    assert_eq!(seen[1].json()["resolution"], json!({ "reason": "landed" }));
    assert_eq!(seen[1].json()["id"], raised["id"]);
}

#[tokio::test]
async fn cloud_events_have_their_attributes() {
    let stub = anything();
    let keys = format!("kind: cloudevents, url: '{}'", stub.url());
    let mut scene = Scene::new(vec![sink("events", &keys, &[])]);
    scene.look(&[stuck("web")]).await;
    scene.look(&[dead("web")]).await;
    let seen = stub.seen();
    assert!(seen[0].header("content-type").starts_with("application/cloudevents+json"));
    let (first, second) = (seen[0].json(), seen[1].json());
    assert_eq!((&first["specversion"], &first["type"]), (&json!("1.0"), &json!("landfall.incident.raised")));
    assert_eq!((&first["subject"], &first["source"]), (&json!("prod/eu-1/web"), &json!("/landfall")));
    assert_eq!(first["datacontenttype"], "application/json");
    assert_eq!(first["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap(), at(60));
    assert_ne!(first["id"], second["id"], "an id with its source is unique");
    assert_eq!(first["data"]["id"], second["data"]["id"], "and the incident is the same");
    // CloudEvents attribute names are lower-case letters and digits.
    for name in first.as_object().unwrap().keys() {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{name}");
    }
}

#[tokio::test]
async fn filters_decide_who_is_told() {
    let stub = anything();
    let mut names = Vec::new();
    let mut add = |name: &str, edit: &dyn Fn(&mut landfall::notify::Filter)| {
        let mut sink = webhook(name, &format!("{}/{name}", stub.url()));
        edit(&mut sink.filter);
        names.push(sink);
    };
    add("all", &|_| {});
    add("staging", &|filter| filter.environments = vec!["staging".to_owned()]);
    add("other-policy", &|filter| filter.policies = vec!["dev".to_owned()]);
    add("prod", &|filter| filter.policies = vec!["prod".to_owned()]);
    add("critical", &|filter| filter.minimum_severity = landfall::model::Severity::Critical);
    add("daily", &|filter| filter.reminder = Some(Duration::from_secs(24 * 3_600)));
    let mut scene = Scene::new(names);
    let mut told = Vec::new();
    for (hours, row) in [(0, stuck("web")), (0, dead("web")), (5, dead("web")), (25, dead("web")), (0, landed("web"))] {
        scene.pass(hours * 3_600);
        scene.look(&[row]).await;
        let mut kinds: Vec<_> = stub
            .seen()
            .iter()
            .map(|seen| format!("{} {}", seen.path.trim_start_matches('/'), seen.json()["kind"].as_str().unwrap()))
            .collect();
        kinds.sort();
        told.push(kinds.join(", "));
        stub.forget();
    }
    assert_eq!(
        told,
        [
            "all raised, daily raised, prod raised",
            "all escalated, critical raised, daily escalated, prod escalated",
            "all reminder, critical reminder, prod reminder",
            "all reminder, critical reminder, daily reminder, prod reminder",
            "all resolved, critical resolved, daily resolved, prod resolved",
        ]
    );
}

#[tokio::test]
async fn one_fault_over_several_environments_is_told_to_the_receivers_of_each_and_to_no_other() {
    let stub = anything();
    let sink = |name: &str, environments: &[&str], policies: &[&str]| {
        let mut sink = webhook(name, &format!("{}/{name}", stub.url()));
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        (sink.filter.environments, sink.filter.policies) = (owned(environments), owned(policies));
        sink
    };
    let mut scene = Scene::new(vec![
        sink("all", &[], &[]),
        sink("prod", &["prod"], &[]),
        sink("staging", &["staging", "qa"], &[]),
        sink("slow", &["staging"], &["slow"]),
        sink("qa", &["qa"], &[]),
        sink("slow-in-prod", &["prod"], &["slow"]),
    ]);
    let held = |app: &str, environment: &str, policy: &str| {
        let mut row = row(app, State::Stuck, Some(CauseCode::NotReady));
        let cause = row.landing.cause.as_mut().unwrap();
        cause.blame = landfall::model::Blame::Platform;
        cause.message = format!("Pod {app}-1 is marked not ready: its node node-7 no longer reports");
        (row.environment, row.policy) = (Some(environment.to_owned()), Some(policy.to_owned()));
        row
    };
    scene.look(&[held("api", "prod", "fast"), held("jobs", "prod", "fast"), held("web", "staging", "slow")]).await;
    let mut told: Vec<_> = stub.seen().iter().map(|seen| seen.path.trim_start_matches('/').to_owned()).collect();
    told.sort();
    assert_eq!(told, ["all", "prod", "slow", "staging"]);
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_is_told_to_whom_it_affects_and_one_that_never_was_to_all() {
    let stub = anything();
    let sink = |environment: &str| {
        let mut sink = webhook(environment, &format!("{}/{environment}", stub.url()));
        sink.filter.environments = vec![environment.to_owned()];
        sink
    };
    let mut scene = Scene::new(vec![sink("prod"), sink("qa")]);
    let unread = |repository: &str, affects: &[&str]| {
        let mut row = row(repository, State::Unknown, Some(CauseCode::Authentication));
        (row.thing, row.environment, row.policy) = (TrackedThing::Repository, None, None);
        let affected = |name: &&str| Affected { environment: Some((*name).to_owned()), policy: Some("all".to_owned()) };
        row.affects = affects.iter().map(affected).collect();
        row
    };
    let rows = [unread("never-read", &[]), unread("deploys", &["prod", "dev"])];
    scene.look(&rows).await;
    // A repository that does not answer is given a while.
    scene.pass(3_600);
    scene.look(&rows).await;
    let mut told = std::collections::BTreeSet::new();
    for seen in stub.seen() {
        let about = ["never-read", "deploys"]
            .into_iter()
            .find(|name| String::from_utf8_lossy(&seen.body).contains(&format!("{name} says")));
        told.insert((seen.path.trim_start_matches('/').to_owned(), about.unwrap()));
    }
    let told: Vec<_> = told.iter().map(|(to, about)| (to.as_str(), *about)).collect();
    assert_eq!(told, [("prod", "deploys"), ("prod", "never-read"), ("qa", "never-read")]);
}

#[tokio::test]
async fn the_heart_beats_after_good_cycles_only() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let stub = Stub::start(|_| say(200, "OK"));
    let settings = |url: String| HeartbeatSettings { url: url.into(), ca_pem: None };
    let mut heart = Heartbeat::new(&settings(format!("{}/ping/s3cret", stub.url()))).unwrap();
    heart.after(Cycle::Failed, at(0)).await.unwrap();
    assert_eq!((stub.seen().len(), heart.last()), (0, None));
    heart.after(Cycle::Good, at(60)).await.unwrap();
    assert_eq!((stub.seen()[0].path.as_str(), heart.last()), ("/ping/s3cret", Some(at(60))));
    // A fault is tried twice; what is refused is not, and its secret address is not repeated.
    stub.forget();
    stub.answer(|_| say(503, "busy"));
    assert_eq!(heart.after(Cycle::Good, at(120)).await.unwrap_err().kind, FailureKind::Unavailable);
    assert_eq!(stub.seen().len(), 2);
    stub.answer(|seen| Answer::Say(404, Vec::new(), format!("no {}", seen.path)));
    let error = heart.after(Cycle::Good, at(180)).await.unwrap_err();
    assert!(
        error.kind == FailureKind::Refused && !format!("{error} {error:?} {heart:?}").contains("s3cret"),
        "{error}"
    );
    let thief = anything();
    stub.answer(redirect(thief.url()));
    assert_eq!(heart.after(Cycle::Good, at(240)).await.unwrap_err().kind, FailureKind::Misplaced);
    assert_eq!((thief.seen().len(), heart.last()), (0, Some(at(60))));
}
