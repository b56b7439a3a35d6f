//! A cluster with 20,000 objects: from nothing to a complete snapshot, and from one change to the next one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use landfall::cluster::{Access, Cluster, Now, Pace, Settings, Snapshot, WatchedKind};
use landfall::landing::{Contains, Git, QueryIndex, Question, RevisionFact, Scope, World, judge};
use landfall::model::{ImageReference, State};
use serde_json::json;

use crate::fleet::{APPS, Fleet, OBJECTS, Server, name, namespace};
use crate::measure::{Run, count, figure, memory, within};

const SHA: &str = "7f3c0d5b9a1e4c2d8b6f0a9e3d1c5b7a2f4e6d8c";

pub(crate) async fn clusters() -> anyhow::Result<()> {
    let fleet = Fleet {
        registry: "registry.example.com".to_owned(),
        repository: "https://git.example.com/acme/deploys.git".to_owned(),
        revision: SHA.to_owned(),
        time: "2026-01-05T08:00:00Z".to_owned(),
    };
    let server = Server::start(&fleet)?;

    count("resident before a cluster is watched, MiB", memory("VmRSS")?);
    let mut starts = Vec::new();
    let mut cluster = None;
    for _ in 0..3 {
        drop(cluster.take());
        let settings = Settings {
            name: "bench".to_owned(),
            access: Access::Text(server.kubeconfig.clone().into()),
            context: None,
            environments: Vec::new(),
            namespaces: Vec::new(),
            pace: Pace::default(),
        };
        #[expect(clippy::disallowed_methods, reason = "a bench has no clock to be given")]
        let now = Now::new(Timestamp::now);
        let started = Cluster::start(settings, now);
        let (run, ()) = within(async {
            let mut snapshot = started.snapshot();
            while snapshot.gaps().next().is_some() {
                started.changed(snapshot.generation).await;
                snapshot = started.snapshot();
            }
        })
        .await;
        anyhow::ensure!(started.snapshot().objects().count() == OBJECTS, "not all objects are there");
        if starts.is_empty() {
            count("... resident after one start, MiB", memory("VmRSS")?);
        }
        starts.push(run);
        cluster = Some(started);
    }
    let cluster = cluster.context("no cluster")?;
    figure("20,000 objects of a cluster, start to complete snapshot", "5 s with judging", &starts);
    let judging = (0..5).map(|_| judge_all(&cluster.snapshot())).collect::<anyhow::Result<Vec<Run>>>()?;
    figure("... and the verdict of every one of the 2,000 images", "5 s together", &judging);
    count("... resident after three starts, MiB", memory("VmRSS")?);
    count("... peak, MiB", memory("VmHWM")?);

    let http = http()?;
    let mut changes = Vec::new();
    for number in 0..50_usize {
        let name = name(number * 37);
        let patch = json!({ "status": { "observedGeneration": 1000 + number } });
        let address =
            format!("{}/apis/apps/v1/namespaces/{}/deployments/{name}/status", server.url, namespace(number * 37));
        let old = cluster.snapshot().get(WatchedKind::Deployment, &namespace(number * 37), &name).cloned();
        let request =
            http.patch(address).header("content-type", "application/merge-patch+json").body(patch.to_string());
        let begin = Instant::now();
        let answer = tokio::spawn(request.send());
        loop {
            let snapshot = cluster.snapshot();
            if snapshot.get(WatchedKind::Deployment, &namespace(number * 37), &name) != old.as_ref() {
                break;
            }
            tokio::time::timeout(Duration::from_secs(5), cluster.changed(snapshot.generation)).await?;
        }
        changes.push(Run { wall: begin.elapsed(), cpu: 0.0, peak: 0.0 });
        anyhow::ensure!(answer.await??.status().is_success(), "the change was refused");
    }
    figure("one changed object among them to a snapshot with it", "50 ms with judging", &changes);
    Ok(())
}

/// One look at a snapshot: indexes it and judges every image that Git declares, as the tracking does after each change.
fn judge_all(snapshot: &Snapshot) -> anyhow::Result<Run> {
    let begin = Instant::now();
    let now: Timestamp = "2026-01-05T08:01:00Z".parse()?;
    let index = QueryIndex::of(snapshot.objects().cloned());
    let world = World::new(&index, now);
    let contained = BTreeMap::from([(SHA.to_owned(), RevisionFact { contains: Contains::Yes, declares: None })]);
    for app in 0..APPS {
        let name = name(app);
        let image = ImageReference::parse(&format!("registry.example.com/acme/{name}:1.0.0"))?;
        let application =
            snapshot.get(WatchedKind::Application, &namespace(app), &name).context("no Application")?.key();
        let scope = Scope { controllers: Some(vec![application]), ..Scope::default() };
        let question = Question { git: Git::Facts(contained.clone()), scope, ..Question::new(image) };
        let landing = judge(&world, &question).landing;
        anyhow::ensure!(landing.state == State::Landed, "{name} is {landing:?}");
    }
    Ok(Run { wall: begin.elapsed(), cpu: 0.0, peak: 0.0 })
}

#[expect(clippy::disallowed_methods, reason = "a bench changes an object as its controller would")]
fn http() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}
