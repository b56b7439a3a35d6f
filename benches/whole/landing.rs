//! The running bot over a cluster with 20,000 objects: from nothing to the verdict of every image, and from one changed object
//! to its new verdict.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use landfall::config::{self, Environment};
use landfall::daemon::{self, Clock};
use landfall::model::State;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fleet::{APPS, Fleet, Server, name, namespace};
use crate::measure::{LANDFALL, Run, command, count, figure, memory_of, within};
use crate::world::{COMMIT, World};

/// How many objects are changed, one after another.
const CHANGES: usize = 50;

pub(crate) async fn landing() -> anyhow::Result<()> {
    let world = World::new().await?;
    world.commit(world.registry.host(), APPS, 1, COMMIT)?;
    world.push(APPS, "1.0.0")?;
    let clock = Clock::system();
    let fleet = Fleet {
        registry: world.registry.host().to_owned(),
        repository: world.git.url("deploys.git"),
        revision: world.git(&["rev-parse", "main"])?.trim().to_owned(),
        time: clock.now().to_string(),
    };
    let server = Server::start(&fleet)?;
    let path = world.config("state", "none")?;
    let kubeconfig = world.folder.path().join("kubeconfig");
    fs::write(&kubeconfig, &server.kubeconfig)?;
    let cluster = format!("clusters:\n  - {{ name: eu-1, kubeconfig: {{ file: {} }} }}\n", kubeconfig.display());
    fs::write(&path, format!("{}{cluster}", fs::read_to_string(&path)?))?;
    let loaded = config::load(&path).map_err(|error| anyhow::anyhow!("{error}"))?;

    let mut bot = daemon::bot(&loaded.settings, &Environment::process(), clock.clone()).await?;
    let environment = Environment::process();
    let tracker =
        daemon::tracker(&loaded.settings, &environment, clock, std::sync::Arc::clone(bot.lookup()), Vec::new())?;
    tracker.listed(Duration::from_secs(60)).await;
    bot.view(&tracker).await;
    let (first, rows) = within(tracker.look()).await;
    let rows = rows.context("a look broke off")?;
    let landed = rows.rows.iter().filter(|row| row.landing.state == State::Landed).count();
    anyhow::ensure!(landed == APPS, "{landed} of {APPS} have landed: {:?}", rows.rows.first());
    figure("the first look at 2,000 images of a cluster with 20,000 objects", "5 s with listing", &[first]);
    // After every cycle all are judged again.
    let mut looks = Vec::new();
    for _ in 0..5 {
        bot.view(&tracker).await;
        looks.push(within(tracker.look()).await.0);
    }
    figure("... each look after a cycle", "", &looks);

    let stop = CancellationToken::new();
    let running = tokio::spawn(std::sync::Arc::clone(&tracker).run(stop.clone()));
    let changes = changes(&server, &tracker).await?;
    figure("one changed object among them to its new verdict", "50 ms", &changes);
    stop.cancel();
    running.await?;
    // With a cache of its own, as this process holds the other.
    let alone = world.config("alone", "none")?;
    let again = world.config("again", "none")?;
    fs::write(&again, format!("{}{cluster}", fs::read_to_string(&again)?))?;
    process(&again, "landfall run on the same").await?;
    process(&alone, "landfall run without the cluster").await
}

/// What the program itself takes, in a process of its own.
async fn process(config: &Path, what: &str) -> anyhow::Result<()> {
    let mut child = command(LANDFALL).args(["run", "--config"]).arg(config).stderr(Stdio::null()).spawn()?;
    let pid = child.id().to_string();
    let mut before = 0;
    // It has read and judged everything when it grows no more.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = memory_of(&pid, "VmRSS")?;
        if now > 50 && now == before {
            break;
        }
        before = now;
    }
    count(&format!("{what}: resident, MiB"), memory_of(&pid, "VmRSS")?);
    count("... peak, MiB", memory_of(&pid, "VmHWM")?);
    child.kill()?;
    let _status = child.wait()?;
    Ok(())
}

/// One Deployment after another is on its way, and up again.
async fn changes(server: &Server, tracker: &daemon::Tracker) -> anyhow::Result<Vec<Run>> {
    #[expect(clippy::disallowed_methods, reason = "a bench changes an object as its controller would")]
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut rows = tracker.rows();
    let mut changes = Vec::new();
    for number in 0..CHANGES {
        let app = (number / 2) * 37;
        let well = number % 2 == 1;
        let (name, expected) = (name(app), if well { State::Landed } else { State::Pending });
        let address = format!("{}/apis/apps/v1/namespaces/{}/deployments/{name}/status", server.url, namespace(app));
        // The Deployment's controller has not yet seen the newest specification, and then it has.
        let patch = json!({ "status": { "observedGeneration": if well { 3 } else { 2 } } });
        let request =
            http.patch(address).header("content-type", "application/merge-patch+json").body(patch.to_string());
        // The bot rests after a look; a change comes when it comes.
        tokio::time::sleep(Duration::from_millis(100 + 7 * u64::try_from(number)?)).await;
        let begin = Instant::now();
        let answer = tokio::spawn(request.send());
        let is = |rows: &daemon::Rows| rows.rows.iter().any(|row| row.app == name && row.landing.state == expected);
        let seen = tokio::time::timeout(Duration::from_secs(5), rows.wait_for(|rows| is(rows))).await;
        drop(seen.with_context(|| format!("{name} did not become {expected}"))??);
        changes.push(Run { wall: begin.elapsed(), cpu: 0.0, peak: 0.0 });
        anyhow::ensure!(answer.await??.status().is_success(), "the change was refused");
    }
    Ok(changes)
}
