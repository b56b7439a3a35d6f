//! Webhooks that a real Gitea sends to the running bot.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{By, Scene, packages};
use crate::support::process::{Running, Signal};
use crate::support::world::{kustomization, overlay};

/// The secret of webhooks.
pub(super) const SECRET: &str = "Hook-5ecret-0123456789";

const POLICIES: &str = r#"policies:
  - name: dev
    paths: ["apps/{app}/overlays/dev/**"]
    environment: dev
    write: commit
    tags: { semver: "*" }
  - name: prod
    paths: ["apps/{app}/overlays/prod/**"]
    environment: prod
    write: pull-request
    tags: { semver: "*" }
    pullRequest: { automerge: true, approvals: 1, checks: [build] }
"#;

/// A bot that waits for webhooks of Gitea, and the address at which it does.
fn started(scene: &Scene) -> (Running, String) {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let server = format!(
        "stateDir: state\nserver:\n  listen: 127.0.0.1:{port}\n  webhooks:\n    - {{ name: forge, kind: gitea, \
         secret: {{ env: HOOK_SECRET }} }}\n"
    );
    scene.reconfigure("stateDir: state\n", &server);
    let mut bot = scene.start(&["run", "--log-level", "info"]);
    bot.until_said("the web server listens on http://");
    let address = format!("http://127.0.0.1:{port}");
    let ready = format!("{address}/readyz");
    bot.until("the end of the first cycle", || read(&ready).0 == 200);
    (bot, address)
}

fn read(url: &str) -> (u16, String) {
    super::server::blocking(async {
        let Ok(answer) = crate::registry::real::http().get(url).send().await else { return (0, String::new()) };
        (answer.status().as_u16(), answer.text().await.unwrap_or_default())
    })
}

/// How many webhooks had this outcome.
fn counted(address: &str, outcome: &str) -> u32 {
    let (_, text) = read(&format!("{address}/metrics"));
    let sample = format!("landfall_webhooks_total{{source=\"forge\",outcome=\"{outcome}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&sample)).map_or(0, |count| count.parse::<f64>().unwrap() as u32)
}

fn hook(scene: &Scene, place: &str, address: &str, secret: &str, events: &[&str]) {
    let config = json!({ "url": format!("{address}/webhooks/forge"), "content_type": "json", "secret": secret });
    let hook = json!({ "type": "gitea", "config": config, "events": events, "active": true });
    scene.gitea.post(&format!("{place}/hooks"), &hook);
}

/// Without a webhook the bot looks at the repository every fifteen seconds at best, and at images once an hour.
const SOON: Duration = Duration::from_secs(8);

#[track_caller]
fn soon(bot: &mut Running, what: &str, done: impl FnMut() -> bool) {
    let began = Instant::now();
    bot.until(what, done);
    assert!(began.elapsed() < SOON, "{what}: {:?}", began.elapsed());
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn pushes_statuses_and_reviews_wake_the_bot_within_seconds() {
    let scene = Scene::with(POLICIES, &["prod"]);
    scene.push("1.3.0");
    let (mut bot, address) = started(&scene);
    assert_eq!(scene.pulls().len(), 1);
    let all = ["push", "pull_request", "pull_request_review", "status", "create", "delete"];
    hook(&scene, &scene.repository(), &address, SECRET, &all);

    let registry = format!("{}/", scene.images.host());
    scene.write(&[(&overlay("shop", "dev"), &kustomization("web", "1.2.3").replace("REG/", &registry))]);
    soon(&mut bot, "the commit after a push", || scene.tag("shop", "dev") == "1.3.0");

    scene.computed(1);
    scene.status(1, "build", "success");
    scene.review(1, &scene.ann, "APPROVED");
    soon(&mut bot, "the merge after the review", || scene.pull(1)["merged"] == true);
    assert_eq!(scene.tag("web", "prod"), "1.3.0");
    assert!(counted(&address, "accepted") > 2, "{}", read(&format!("{address}/metrics")).1);
    assert_eq!(["refused", "invalid"].map(|outcome| counted(&address, outcome)), [0, 0]);
    bot.stop(Signal::TERM);
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn what_a_person_closes_is_seen_at_once_and_a_wrong_secret_is_not_believed() {
    let scene = Scene::with(POLICIES, &["prod"]);
    scene.push("1.3.0");
    let (mut bot, address) = started(&scene);
    hook(&scene, &scene.repository(), &address, "Another-5ecret-0123456789", &["pull_request"]);
    scene.by(&scene.ann, Method::PATCH, "pulls/1", &json!({ "state": "closed" }));
    soon(&mut bot, "the refusal", || counted(&address, "refused") > 0);
    assert_eq!(counted(&address, "accepted"), 0);
    let id = scene.get("hooks")[0]["id"].to_string();
    scene.gitea.does(By::Admin, Method::DELETE, &format!("{}/hooks/{id}", scene.repository()), &Value::Null);
    hook(&scene, &scene.repository(), &address, SECRET, &["pull_request"]);
    scene.by(&scene.ann, Method::PATCH, "pulls/1", &json!({ "state": "open" }));
    soon(&mut bot, "the reopening", || counted(&address, "accepted") > 0);
    let ran = bot.stop(Signal::TERM);
    assert!(!ran.text().contains(SECRET), "{}", ran.text());
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_pushed_image_brings_the_commit_within_seconds() {
    let mut scene = packages::scene("{ username: BOT, password: { env: GITEA_TOKEN } }");
    scene.token = scene.gitea.token(&scene.bot, &["write:repository", "write:issue", "read:package"]);
    let (mut bot, address) = started(&scene);
    assert_eq!(scene.tag("web", "dev"), "1.3.0");
    hook(&scene, &format!("orgs/{}", scene.owner), &address, SECRET, &["package"]);
    packages::pushes(&scene, "1.4.0");
    soon(&mut bot, "the commit after the image", || scene.tag("web", "dev") == "1.4.0");
    assert_eq!(["refused", "invalid"].map(|outcome| counted(&address, outcome)), [0, 0]);
    bot.stop(Signal::TERM);
}
