//! A bot that has watched for long says the same as one that has just been started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use landfall::config::{self, Environment};
use landfall::daemon::{self, Bot, Clock, Rows, Tracker};
use landfall::demo::kube::KubeStub;
use landfall::model::{Landing, Version};

use super::cluster::{Cluster, tip};
use crate::support::process::PATIENCE;
use crate::support::world::World;

const APPS: [&str; 3] = ["web", "api", "jobs"];

/// What is said of each image, by app, environment and cluster; of what flaps only that it is there, since that is known
/// to nobody who was not there to see it, no more than why it soaks anew.
type Said = BTreeMap<(String, Option<String>, Option<String>), Option<(Landing, Vec<Version>, Vec<String>)>>;

fn said(rows: &Rows) -> Said {
    let rows = rows.rows.iter().map(|row| {
        let key = (row.app.clone(), row.environment.clone(), row.cluster.clone());
        let notes = row.notes.iter().filter(|note| !note.starts_with("it has been soaking since")).cloned().collect();
        (key, (!row.flapping).then(|| (row.landing.clone(), row.live.clone(), notes)))
    });
    rows.collect()
}

/// One change of a cluster, or of what Git says of it.
fn change(world: &World, cluster: &Cluster, revisions: &[String], dice: &mut fastrand::Rng) -> String {
    let app = *dice.choice(&APPS).unwrap();
    let image = |tag: &str| format!("{}/acme/{app}:{tag}", world.host);
    let stub: &KubeStub = &cluster.stub;
    let objects = stub.objects();
    let of = |kind: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["namespace"] == app);
        found.and_then(|object| object["metadata"]["name"].as_str()).map(str::to_owned)
    };
    match dice.u8(0..12) {
        0..=2 => {
            cluster.workload(app, &image("1.0.0"), None);
            format!("{app} is up")
        }
        3 => {
            cluster.workload(app, &image("0.9.0"), None);
            format!("{app} is another version")
        }
        4 | 5 => {
            cluster.workload(app, &image("1.0.0"), Some(("ImagePullBackOff", "manifest unknown: not found")));
            format!("{app} cannot be pulled")
        }
        6 => {
            cluster.workload(app, &image("1.0.0"), Some(("CrashLoopBackOff", "back-off 5m0s")));
            format!("{app} crashes")
        }
        7 => {
            let revision = dice.choice(revisions).unwrap();
            cluster.application(world, app, "dev", revision);
            format!("{app}'s Application is at {revision}")
        }
        8 => {
            cluster.application_at(world, app, &format!("apps/{app}/overlays/other"), &revisions[0]);
            format!("{app}'s Application reads something else")
        }
        9 => {
            let gone = stub.delete("applications", app_namespace(), &format!("{app}-dev"));
            format!("{app}'s Application is deleted: {gone:?}")
        }
        10 => {
            let gone = of("Pod").map(|name| stub.delete("pods", app, &name));
            format!("a pod of {app} is deleted: {gone:?}")
        }
        _ => {
            let (kind, resource) =
                *dice.choice(&[("Deployment", "deployments"), ("ReplicaSet", "replicasets")]).unwrap();
            let gone = of(kind).map(|name| stub.delete(resource, app, &name));
            format!("a {kind} of {app} is deleted: {gone:?}")
        }
    }
}

fn app_namespace() -> &'static str {
    "argocd"
}

/// A tracker that begins now.
async fn tracker(bot: &mut Bot, settings: &config::Settings, clock: &Clock) -> Arc<Tracker> {
    let lookup = Arc::clone(bot.lookup());
    let tracker =
        daemon::tracker(settings, &Environment::from_fn(|_| None), clock.clone(), lookup, Vec::new()).unwrap();
    tracker.listed(PATIENCE).await;
    bot.view(&tracker).await;
    tracker
}

#[test]
fn what_was_kept_from_look_to_look_is_what_a_new_start_finds() {
    // A failure names its seed; put it here to see it again.
    let seed = fastrand::u64(..);
    let mut dice = fastrand::Rng::with_seed(seed);
    let world = APPS.iter().fold(World::setup(), |setup, app| setup.app(app, "1.0.0", &["dev", "prod"])).start();
    for app in APPS {
        world.push(&format!("acme/{app}"), "1.0.0");
    }
    let cluster = Cluster::start(&world);
    let first = tip(&world);
    world.write(&[("README", "nothing that is deployed")]);
    let revisions = [tip(&world), first, "0".repeat(40)];
    for app in APPS {
        cluster.application(&world, app, "dev", &revisions[0]);
        cluster.workload(app, &format!("{}/acme/{app}:1.0.0", world.host), None);
    }
    // Long after everything was committed; it stands still but for a second now and then, so that little is judged only
    // because time has passed.
    let time = Arc::new(AtomicI64::new(2_000_000_000));
    let read = Arc::clone(&time);
    let clock = Clock::from_fn(move || Timestamp::from_second(read.load(Ordering::SeqCst)).unwrap());
    let loaded = config::load(&world.path("landfall.yaml")).unwrap();
    world.block_on(async {
        let mut bot = daemon::bot(&loaded.settings, &Environment::from_fn(|_| None), clock.clone()).await.unwrap();
        let old = tracker(&mut bot, &loaded.settings, &clock).await;
        assert!(old.look().await.unwrap().rows.len() >= 6);
        let mut told = Vec::new();
        let mut states = std::collections::BTreeSet::new();
        for _ in 0..40 {
            for _ in 0..dice.u8(1..4) {
                told.push(change(&world, &cluster, &revisions, &mut dice));
            }
            if dice.u8(0..6) == 0 {
                time.fetch_add(1, Ordering::SeqCst);
                bot.view(&old).await;
            }
            let new = tracker(&mut bot, &loaded.settings, &clock).await;
            let expected = said(&new.look().await.unwrap());
            states.extend(expected.values().flatten().map(|(landing, ..)| landing.state.to_string()));
            let begun = Instant::now();
            loop {
                let found = said(&old.look().await.unwrap());
                let same = |(key, it): (&_, &Option<_>)| expected.get(key).is_some_and(|new| it.is_none() || it == new);
                if found.len() == expected.len() && found.iter().all(same) {
                    break;
                }
                assert!(begun.elapsed() < PATIENCE, "seed {seed}: {told:#?}\n{found:#?}\n{expected:#?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        assert!(states.len() >= 3, "seed {seed}: {states:?}");
    });
}
