//! No secret of a receiver is in a log line, an error, a health report, a memory or a `Debug` output.

use std::io::Write;
use std::sync::{Arc, Mutex};

use landfall::notify::SinkSettings;

use super::contracts::redirect;
use super::scene::{Scene, dead, sink_at, stuck};
use super::stub::{Answer, Seen, Stub};

const SECRET: &str = "s3cret-4711";
/// The login `u:s3cret-4711` as it is sent.
const BASIC: &str = "dTpzM2NyZXQtNDcxMQ";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn sinks(url: &str) -> Vec<SinkSettings> {
    let secret_url = format!("{url}/{SECRET}?key={SECRET}");
    let discord = format!("{url}/api/webhooks/1/{SECRET}");
    let chat = format!("{url}/v1/spaces/A/messages?token={SECRET}");
    let urls = [("URL", secret_url.as_str()), ("DISCORD", discord.as_str()), ("CHAT", chat.as_str())];
    let secrets = [&[("SECRET", SECRET), ("TOKEN", SECRET)][..], &urls].concat();
    let webhook = "kind: webhook, webhookUrl: { env: URL }, credentials: { username: u, password: { env: SECRET } }, \
                   signingKey: { env: SECRET }";
    [
        ("log", "kind: log".to_owned()),
        ("webhook", webhook.to_owned()),
        ("slack-webhook", "kind: slack, webhookUrl: { env: URL }".to_owned()),
        ("slack-bot", format!("kind: slack, url: '{url}', token: {{ env: SECRET }}, channel: C1")),
        ("alertmanager", format!("kind: alertmanager, url: '{url}', credentials: {{ token: {{ env: SECRET }} }}")),
        ("pagerduty", format!("kind: pagerduty, url: '{url}', routingKey: {{ env: SECRET }}")),
        ("github", "kind: github".to_owned()),
        ("teams", "kind: teams, webhookUrl: { env: URL }".to_owned()),
        ("discord", "kind: discord, webhookUrl: { env: DISCORD }".to_owned()),
        ("chat", "kind: google-chat, webhookUrl: { env: CHAT }".to_owned()),
        ("matrix", format!("kind: matrix, url: '{url}', token: {{ env: SECRET }}, room: '!r'")),
        ("opsgenie", format!("kind: opsgenie, url: '{url}', apiKey: {{ env: SECRET }}")),
        ("template", "kind: template, webhookUrl: { env: URL }, signingKey: { env: SECRET }, body: '{\"a\": \"{text}\"}'".to_owned()),
        ("email", "kind: email, host: 127.0.0.1, port: 1, from: a@example.com, to: [b@example.com], credentials: { username: u, password: { env: SECRET } }".to_owned()),
    ]
    .map(|(name, keys)| sink_at(url, name, &keys, &secrets))
    .to_vec()
}

/// A receiver that repeats everything it was sent.
fn parrot(status: u16) -> impl FnMut(&Seen) -> Answer + Send + 'static {
    move |seen| {
        let query: Vec<_> = seen.query.values().cloned().collect();
        let login = seen.header("authorization");
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        Answer::Say(status, Vec::new(), format!("{SECRET} {login} {} {query:?} {body}", seen.path))
    }
}

#[test]
fn nothing_that_is_written_holds_a_secret() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .with_env_filter("trace,hyper=off,h2=off,reqwest=off,hyper_util=off")
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let thief = Stub::start(parrot(200));
            let mut seen = String::new();
            for status in [200, 302, 400, 401, 403, 404, 429, 500] {
                let stub = Stub::start(parrot(status));
                if status == 302 {
                    stub.answer(redirect(format!("{}/{SECRET}", thief.url())));
                }
                let sinks = sinks(&stub.url());
                let mut scene = Scene::new(sinks.clone());
                tracing::info!(?sinks, notifier = ?scene.notifier, "settings and notifiers may be printed");
                scene.cycle(&[stuck("web")]);
                stub.wait(12).await;
                scene.cycle(&[dead("web")]);
                let _left = scene.notifier.flush(std::time::Duration::from_millis(100)).await;
                let is_known = |scene: &Scene| {
                    let pagerduty = scene.health("pagerduty");
                    status == 200 || pagerduty.failing.is_some() || pagerduty.rejected > 0
                };
                scene.until("every answer is known", is_known).await;
                seen.push_str(&format!("{:?}", scene.notifier.health()));
                seen.push_str(&serde_json::to_string(&scene.notifier.memory()).unwrap());
                seen.push_str(&serde_json::to_string(&scene.notifier.health()).unwrap());
            }
            assert_eq!(thief.seen().len(), 0);
            for secret in [SECRET, BASIC] {
                let at =
                    seen.find(secret).map(|at| seen[..at + secret.len()].chars().rev().take(300).collect::<String>());
                assert_eq!(at.map(|text| text.chars().rev().collect::<String>()), None);
            }
            assert!(seen.contains("***") && seen.contains("next:"), "the parrot was not heard");
        });
    });
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("may be printed"), "{log}");
    for secret in [SECRET, BASIC] {
        assert!(!log.contains(secret), "{}", log.lines().find(|line| line.contains(secret)).unwrap_or_default());
    }
}
