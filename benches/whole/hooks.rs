//! Webhooks at the running program: from one to the commit on the remote, and ten thousand a second.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use crate::measure::{LANDFALL, Run, command, count, figure, memory_of};
use crate::sized;
use crate::world::{COMMIT, World, repository};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A running bot that takes webhooks, and looks by itself only once an hour. It is ended when this is dropped.
struct Running {
    child: Child,
    url: String,
    client: reqwest::Client,
    host: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Running {
    async fn start(world: &World) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let path = world.config("state", "none")?;
        let secret = world.folder.path().join("secret");
        fs::write(&secret, SECRET)?;
        let host = world.registry.host().to_owned();
        let server = format!(
            "interval: 1h\nserver:\n  listen: 127.0.0.1:{port}\n  debounce: 1s\n  webhooks:\n    - {{ name: it, kind: distribution, \
             secret: {{ file: {} }}, registry: \"{host}\" }}\n",
            secret.display()
        );
        fs::write(&path, format!("{}{server}", fs::read_to_string(&path)?))?;
        let child = command(LANDFALL).args(["run", "--config"]).arg(&path).stderr(Stdio::null()).spawn()?;
        #[expect(clippy::disallowed_methods, reason = "the sender is not one of the edges")]
        let client = reqwest::Client::builder().no_proxy().build()?;
        let running = Self { child, url: format!("http://127.0.0.1:{port}"), client, host };
        until("the bot is ready", Duration::from_secs(60), async || {
            let ready = running.client.get(format!("{}/readyz", running.url)).send().await;
            Ok(ready.is_ok_and(|answer| answer.status().is_success()))
        })
        .await?;
        Ok(running)
    }

    /// What docker-registry says of a pushed tag.
    fn event(&self, image: usize, tag: &str) -> String {
        let target = json!({ "repository": repository(image), "tag": tag, "mediaType": "application/vnd.oci.image.manifest.v1+json" });
        json!({ "events": [{ "id": format!("{image}-{tag}"), "action": "push", "target": target, "request": { "host": self.host } }] })
            .to_string()
    }

    async fn send(&self, body: String) -> anyhow::Result<u16> {
        let request = self.client.post(format!("{}/webhooks/it", self.url));
        let request =
            request.header("authorization", format!("Bearer {SECRET}")).header("content-type", "application/json");
        Ok(request.body(body).send().await?.status().as_u16())
    }
}

async fn until(
    what: &str,
    patience: Duration,
    mut is: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    while !is().await? {
        anyhow::ensure!(Instant::now() < end, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Until the branch has this many commits, by its packed and loose refs.
async fn committed(world: &World, commits: usize) -> anyhow::Result<()> {
    until("the commit on the remote", Duration::from_secs(60), async || Ok(world.commits()? >= commits)).await
}

/// From one webhook to the commit on the remote.
pub(crate) async fn webhook() -> anyhow::Result<()> {
    let world = World::new().await?;
    let images = sized(200, 4);
    world.commit(world.registry.host(), images, 1, COMMIT)?;
    world.push(images, "1.0.0")?;
    let bot = Running::start(&world).await?;
    let mut runs = Vec::new();
    for number in 1..=sized(11, 2) {
        let tag = format!("1.{number}.0");
        let before = world.commits()?;
        world.push(1, &tag)?;
        let begin = Instant::now();
        let status = bot.send(bot.event(0, &tag)).await?;
        anyhow::ensure!(status == 202, "the webhook was answered {status}");
        committed(&world, before + 1).await?;
        runs.push(Run { wall: begin.elapsed(), cpu: 0.0, peak: 0.0 });
    }
    figure(&format!("a webhook to its commit, {images} images, debounce 1 s"), "2 s + debounce", &runs);
    Ok(())
}

/// Ten thousand webhooks a second for a minute; what is pushed meanwhile is committed.
pub(crate) async fn flood() -> anyhow::Result<()> {
    let world = World::new().await?;
    let images = sized(200, 4);
    world.commit(world.registry.host(), images, 1, COMMIT)?;
    world.push(images, "1.0.0")?;
    let bot = Arc::new(Running::start(&world).await?);
    let pid = bot.child.id().to_string();
    let before = memory_of(&pid, "VmRSS")?;
    let (rate, seconds) = (sized(10_000, 200), sized(60, 2));
    let (sent, busy) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let begin = Instant::now();
    let senders = sized(64, 4);
    let mut tasks = tokio::task::JoinSet::new();
    for sender in 0..senders {
        let (bot, sent, busy) = (Arc::clone(&bot), Arc::clone(&sent), Arc::clone(&busy));
        tasks.spawn(async move {
            let between = Duration::from_secs_f64(senders as f64 / rate as f64);
            let mut number = 0_u32;
            while begin.elapsed() < Duration::from_secs(seconds as u64) {
                let due = begin + between * number;
                tokio::time::sleep_until(due.into()).await;
                // Images that nobody declares, as a shared registry sends them.
                let body = bot.event(images + sender, &format!("2.{number}.0"));
                match bot.send(body).await {
                    Ok(202) => sent.fetch_add(1, Ordering::Relaxed),
                    _ => busy.fetch_add(1, Ordering::Relaxed),
                };
                number += 1;
            }
        });
    }
    // In the middle of it.
    tokio::time::sleep(Duration::from_secs_f64(seconds as f64 / 2.0)).await;
    let commits = world.commits()?;
    world.push(1, "1.1.0")?;
    let pushed = Instant::now();
    until("the flooded bot takes the webhook", Duration::from_secs(60), async || {
        Ok(bot.send(bot.event(0, "1.1.0")).await.is_ok_and(|status| status == 202))
    })
    .await?;
    committed(&world, commits + 1).await?;
    figure("... a pushed tag to its commit meanwhile", "", &[Run { wall: pushed.elapsed(), cpu: 0.0, peak: 0.0 }]);
    while let Some(ended) = tasks.join_next().await {
        ended.context("a sender broke off")?;
    }
    let took = begin.elapsed().as_secs_f64();
    let accepted = sent.load(Ordering::Relaxed);
    count("a flood of webhooks: accepted a second", format!("{:.0}", accepted as f64 / took));
    count("... turned away", busy.load(Ordering::Relaxed));
    count("... resident before, MiB", before);
    count("... at most, MiB", memory_of(&pid, "VmHWM")?);
    Ok(())
}
