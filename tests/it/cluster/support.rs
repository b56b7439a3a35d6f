//! A stub, a cluster that watches it, and a way to wait for what must become true.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use landfall::cluster::{Access, Cluster, KindState, Now, Pace, Settings, Snapshot, WatchedKind};
use landfall::demo::kube::{KubeOptions, KubeStub};
use serde_json::{Value, json};

/// The longest that anything may take before a test gives up; shorter than [`Pace::idle`], after which everything is read
/// anew.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Short times, so that a timeout is had within a test.
pub(super) fn pace() -> Pace {
    Pace {
        connect: Duration::from_secs(2),
        request: Duration::from_secs(3),
        watch: Duration::from_secs(240),
        idle: Duration::from_secs(150),
        relist: Duration::from_secs(600),
        probe: Duration::from_millis(50),
        backoff: Duration::from_millis(20),
        max_backoff: Duration::from_millis(100),
        page: 3,
        ..Pace::default()
    }
}

pub(super) fn settings(stub: &KubeStub) -> Settings {
    Settings {
        name: "eu-1".to_owned(),
        access: Access::Text(stub.kubeconfig().into()),
        context: None,
        environments: vec!["prod".to_owned()],
        namespaces: Vec::new(),
        pace: pace(),
    }
}

pub(super) fn watch(settings: Settings) -> Cluster {
    Cluster::start(settings, Now::new(|| at("2026-01-05T08:00:00Z")))
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A clock that stands where it is put.
#[derive(Debug, Clone, Default)]
pub(super) struct Hand(Arc<AtomicI64>);

impl Hand {
    pub(super) fn now(&self) -> Now {
        let hand = self.clone();
        Now::new(move || hand.at())
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
    }

    pub(super) fn turn(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

/// Waits until a snapshot is as told.
pub(super) async fn until(cluster: &Cluster, what: &str, is: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let wait = async {
        let mut snapshot = cluster.snapshot();
        while !is(&snapshot) {
            cluster.changed(snapshot.generation).await;
            snapshot = cluster.snapshot();
        }
        snapshot
    };
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(snapshot) => snapshot,
        Err(_) => panic!("never {what}; now {:#?}", cluster.snapshot().kinds),
    }
}

/// Waits until the stub has been asked something.
pub(super) async fn asked(stub: &KubeStub, what: &str, is: impl Fn(&[String]) -> bool) {
    let wait = async {
        let mut answered = 0;
        while !is(&targets(stub)) {
            answered = stub.answered(answered).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("never {what}; asked were {:#?}", targets(stub));
    }
}

pub(super) fn targets(stub: &KubeStub) -> Vec<String> {
    stub.log().into_iter().map(|seen| seen.target).collect()
}

/// Requests for watches of a plural.
pub(super) fn watches(targets: &[String], plural: &str) -> usize {
    let (path, flag) = (format!("/{plural}?"), "watch=true");
    targets.iter().filter(|target| target.contains(&path) && target.contains(flag)).count()
}

/// Requests for lists of a plural.
pub(super) fn lists(targets: &[String], plural: &str) -> usize {
    let path = format!("/{plural}?");
    targets.iter().filter(|target| target.contains(&path) && !target.contains("watch=")).count()
}

pub(super) async fn synced(cluster: &Cluster) -> Snapshot {
    until(cluster, "synced", |snapshot| snapshot.gaps().next().is_none()).await
}

pub(super) fn is_synced(snapshot: &Snapshot, kind: WatchedKind) -> bool {
    matches!(snapshot.kinds[&kind].state, KindState::Synced { .. })
}

pub(super) fn is_disconnected(snapshot: &Snapshot, kind: WatchedKind) -> bool {
    matches!(snapshot.kinds[&kind].state, KindState::Disconnected { .. })
}

pub(super) async fn stub() -> KubeStub {
    KubeStub::start().await.unwrap()
}

pub(super) async fn stub_with(options: KubeOptions) -> KubeStub {
    KubeStub::with(options).await.unwrap()
}

/// A small object of any kind.
pub(super) fn object(api_version: &str, kind: &str, namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "metadata": { "namespace": namespace, "name": name },
        "spec": {}
    })
}

pub(super) fn pod(name: &str) -> Value {
    object("v1", "Pod", "web", name)
}

/// The names of a kind's objects.
pub(super) fn names(snapshot: &Snapshot, kind: WatchedKind) -> BTreeSet<String> {
    snapshot.of(kind).map(|object| object.name.clone()).collect()
}

/// What Landfall logs on this thread, from now until it is dropped.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(super) fn start(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || log.clone()).with_ansi(false).finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(super) fn lines_with(&self, text: &str) -> usize {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(text)).count()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
