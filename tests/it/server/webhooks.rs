//! What webhooks bring about, and what they cannot.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::process::Signal;
use crate::support::world::{World, kustomization, overlay};

use super::support::{SECRET, get, hint, listings, metric, post, request, signed, source, start};

fn ci() -> String {
    format!("  webhooks:\n{}", source("ci", "generic"))
}

#[test]
fn a_webhook_has_the_registry_asked_anew_and_brings_the_commit() {
    let world = World::web().interval("1h").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let (mut bot, address) = start(&world, &ci());
    bot.until("the first commit", || world.tag("web", "dev") == "1.3.0");
    bot.until("the end of the cycle", || get(&address, "/readyz").0 == 200);
    assert_eq!(listings(&world), 1);
    world.push("acme/web", "1.4.0");
    let web = json!({ "image": world.text("REG/acme/web:1.4.0") });
    for _ in 0..3 {
        let (status, text) = hint(&address, &web);
        assert_eq!((status, text.contains("a check is scheduled")), (202, true), "{text}");
    }
    bot.until("the second commit", || world.tag("web", "dev") == "1.4.0");
    assert_eq!(listings(&world), 2, "three webhooks, one question");
    // What the configuration does not know wakes nobody; what has no proof is not read.
    assert!(hint(&address, &json!({ "image": "evil.example/acme/web:9" })).1.contains("no repository declares"));
    assert!(hint(&address, &json!({ "image": world.text("REG/acme/other:9") })).1.contains("no repository declares"));
    world.push("acme/web", "1.5.0");
    let body = web.to_string();
    for headers in [String::new(), signed("x-signature", "something else"), "x-signature: sha256=00\r\n".to_owned()] {
        assert_eq!(post(&address, "/webhooks/ci", &headers, &body).0, 401, "{headers}");
    }
    assert_eq!(
        post(&address, &format!("/webhooks/ci/{SECRET}"), "", &body).0,
        401,
        "a secret in an address is none here"
    );
    assert_eq!(post(&address, "/webhooks/other", &signed("x-signature", &body), &body).0, 404);
    let counted =
        |outcome: &str| metric(&address, &format!("landfall_webhooks_total{{source=\"ci\",outcome=\"{outcome}\"}}"));
    assert_eq!(["accepted", "unknown", "refused"].map(counted), [3.0, 2.0, 4.0]);
    assert_eq!(listings(&world), 2);
    assert_eq!(world.tag("web", "dev"), "1.4.0");
    let text = bot.stop(Signal::TERM).text();
    assert!(!text.contains(SECRET) && !text.contains("evil.example"), "{text}");
    assert_eq!(text.matches("a webhook was refused").count(), 1, "told once: {text}");
}

#[test]
fn a_webhook_during_a_cycle_is_not_lost() {
    let world = World::web().interval("1h").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.hook("pre-receive", "touch at-push; while [ ! -e go ]; do sleep 0.02; done");
    let (mut bot, address) = start(&world, &ci());
    bot.until("the push", || world.bare().join("at-push").exists());
    // The registry has been asked in this cycle; what is pushed now, and hinted at, it has not told.
    let asked = listings(&world);
    world.push("acme/web", "1.4.0");
    assert_eq!(hint(&address, &json!({ "image": world.text("REG/acme/web") })).0, 202);
    assert_eq!(listings(&world), asked);
    fs::write(world.bare().join("go"), "").unwrap();
    bot.until("the commit after it", || world.tag("web", "dev") == "1.4.0");
    bot.stop(Signal::TERM);
}

#[test]
fn what_was_sent_by_somebody_who_hangs_up_is_looked_at() {
    let world = World::web().interval("1h").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let (mut bot, address) = start(&world, &ci());
    bot.until("the first commit", || world.tag("web", "dev") == "1.3.0");
    bot.until("the end of the cycle", || get(&address, "/readyz").0 == 200);
    world.push("acme/web", "1.4.0");
    // So large that it is still being read when its sender is gone.
    let body = json!({ "image": world.text("REG/acme/web"), "more": vec![0; 1_400_000] }).to_string();
    let mut stream = TcpStream::connect(&address).unwrap();
    let sent = request(&address, "/webhooks/ci", &signed("x-signature", &body), &body, "close");
    stream.write_all(&sent).unwrap();
    drop(stream);
    bot.until("the commit", || world.tag("web", "dev") == "1.4.0");
    bot.stop(Signal::TERM);
}

#[test]
fn a_push_to_the_repository_is_seen_at_once() {
    let world = World::web().interval("1h").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.configure("    branch: main\n", "    branch: main\n    aliases: [\"https://git.example/acme/deploys\"]\n");
    let (mut bot, address) = start(&world, &format!("  webhooks:\n{}", source("code", "github")));
    bot.until("the first commit", || world.tag("web", "dev") == "1.3.0");
    bot.until("the end of the cycle", || get(&address, "/readyz").0 == 200);
    world.write(&[(&overlay("shop", "dev"), &kustomization("web", "1.2.3"))]);
    let body = json!({ "ref": "refs/heads/main", "repository": { "ssh_url": "git@git.example:acme/deploys.git" } })
        .to_string();
    let push = |delivery: &str| {
        let event = format!("x-github-event: push\r\nx-github-delivery: {delivery}\r\n");
        post(&address, "/webhooks/code", &(event + &signed("x-hub-signature-256", &body)), &body)
    };
    let began = Instant::now();
    assert!(push("one").1.contains("a check is scheduled"));
    assert!(push("one").1.contains("received before"));
    bot.until("the new overlay's commit", || world.tag("shop", "dev") == "1.3.0");
    // By itself it looks every fifteen seconds.
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    bot.stop(Signal::TERM);
}

#[test]
fn a_new_secret_is_taken_up_and_a_bad_one_keeps_the_former() {
    let world = World::web().interval("1h").start();
    world.push("acme/web", "1.2.3");
    fs::write(world.path("hub"), SECRET).unwrap();
    let hub = "  webhooks: [{ name: hub, kind: dockerhub, registry: REG, secret: { file: hub } }]\n";
    let (mut bot, address) = start(&world, &hub.replace("REG", &world.host));
    bot.until("the end of the cycle", || get(&address, "/readyz").0 == 200);
    let body = json!({ "push_data": { "tag": "1.4.0" }, "repository": { "repo_name": "acme/web" } }).to_string();
    let push = |secret: &str| post(&address, &format!("/webhooks/hub/{secret}"), "", &body).0;
    assert_eq!((push(SECRET), push("Another-5ecret-0123456789")), (202, 401));
    fs::write(world.path("hub"), "too short").unwrap();
    bot.until_said("keeps running with the previous one");
    assert_eq!(push(SECRET), 202);
    fs::write(world.path("hub"), "Another-5ecret-0123456789").unwrap();
    bot.until("the new secret", || push("Another-5ecret-0123456789") == 202);
    assert_eq!(push(SECRET), 401);
    world.push("acme/web", "1.4.0");
    assert_eq!(push("Another-5ecret-0123456789"), 202);
    bot.until("the commit", || world.tag("web", "dev") == "1.4.0");
    bot.stop(Signal::TERM);
}
