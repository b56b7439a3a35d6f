//! What the controllers leave behind, read as `kubectl get` would read it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::meta::text;
use super::{Reconciler, Suspended};
use crate::daemon::Clock;
use crate::demo::world::DemoWorld;

const WEB: &str = "apps/web/overlays/dev/kustomization.yaml";

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + 60 * minute).unwrap()
}

/// A world in which everything of the first commit runs.
async fn world() -> (tempfile::TempDir, DemoWorld) {
    let folder = tempfile::tempdir().unwrap();
    let world = DemoWorld::create(folder.path(), &Clock::from_fn(|| at(0))).await.unwrap();
    for (app, tag) in [("web", "1.2.3"), ("api", "2.0.0"), ("worker", "v0.9.0")] {
        world.push(app, tag, at(0)).unwrap();
    }
    world.cluster.reconcile(at(1)).await.unwrap();
    (folder, world)
}

fn object(cluster: &Reconciler, resource: &str, namespace: &str, name: &str) -> Arc<Value> {
    cluster.kube.object(resource, namespace, name).unwrap_or_else(|| panic!("no {resource} {namespace}/{name}"))
}

/// The image, phase and reason of every pod of a namespace, sorted.
fn pods(cluster: &Reconciler, namespace: &str) -> Vec<String> {
    let all = cluster.kube.objects();
    let here = all.iter().filter(|it| it["kind"] == "Pod" && it["metadata"]["namespace"] == namespace);
    let line = |pod: &Arc<Value>| {
        let image = text(pod, "/spec/containers/0/image").rsplit('/').next().unwrap_or_default().to_owned();
        let reason = text(pod, "/status/containerStatuses/0/state/waiting/reason");
        format!("{image} {} {reason}", text(pod, "/status/phase")).trim_end().to_owned()
    };
    let mut lines: Vec<String> = here.map(line).collect();
    lines.sort();
    lines
}

fn application(cluster: &Reconciler, name: &str) -> (String, String, String) {
    let it = object(cluster, "applications.argoproj.io", "argocd", name);
    let get = |pointer| text(&it, pointer).to_owned();
    (get("/status/sync/status"), get("/status/health/status"), get("/status/operationState/phase"))
}

fn words(sync: &str, health: &str, phase: &str) -> (String, String, String) {
    (sync.to_owned(), health.to_owned(), phase.to_owned())
}

#[tokio::test]
async fn what_git_declares_runs_and_a_second_look_changes_nothing() {
    let (_folder, world) = world().await;
    let cluster = &world.cluster;
    assert_eq!(
        pods(cluster, "prod"),
        [vec!["api:2.0.0 Running"; 3], vec!["web:1.2.3 Running", "worker:v0.9.0 Succeeded"]].concat()
    );
    for name in ["web-dev", "web-prod", "api-staging"] {
        assert_eq!(application(cluster, name), words("Synced", "Healthy", "Succeeded"), "{name}");
    }
    let multi = object(cluster, "applications.argoproj.io", "argocd", "api-dev");
    assert_eq!(multi["status"]["sync"]["revisions"][0], "1.8.2");
    let source = object(cluster, "gitrepositories.source.toolkit.fluxcd.io", "flux-system", "deploys");
    let kustomization = object(cluster, super::flux::KUSTOMIZATIONS, "flux-system", "worker-dev");
    assert_eq!(kustomization["status"]["lastAppliedRevision"], source["status"]["artifact"]["revision"]);
    assert_eq!(kustomization["status"]["observedGeneration"], kustomization["metadata"]["generation"]);
    let before = cluster.kube.revision();
    cluster.reconcile(at(1)).await.unwrap();
    assert_eq!(cluster.kube.revision(), before);
}

#[tokio::test]
async fn an_image_that_is_not_there_leaves_the_old_pods_serving() {
    let (_folder, world) = world().await;
    let cluster = &world.cluster;
    world.edit(WEB, "1.2.3", "1.2.4", "bump", at(2)).await.unwrap();
    cluster.reconcile(at(3)).await.unwrap();
    let stuck =
        ["api:2.0.0 Running", "web:1.2.3 Running", "web:1.2.4 Pending ImagePullBackOff", "worker:v0.9.0 Succeeded"];
    assert_eq!(pods(cluster, "dev"), stuck);
    assert_eq!(application(cluster, "web-dev"), words("Synced", "Progressing", "Succeeded"));
    let status = object(cluster, "deployments.apps", "dev", "dev-web")["status"].clone();
    let counts = ["replicas", "updatedReplicas", "readyReplicas", "unavailableReplicas"].map(|key| status[key].clone());
    assert_eq!(counts, [json!(2), json!(1), json!(1), json!(1)]);
    // It is pushed after all: the kubelet finds it by itself.
    world.push("web", "1.2.4", at(4)).unwrap();
    cluster.reconcile(at(5)).await.unwrap();
    assert_eq!(pods(cluster, "dev"), ["api:2.0.0 Running", "web:1.2.4 Running", "worker:v0.9.0 Succeeded"]);
    // And what runs goes on running when its tag is deleted.
    assert!(world.delete("web", "1.2.4").unwrap());
    cluster.reconcile(at(6)).await.unwrap();
    assert_eq!(application(cluster, "web-dev"), words("Synced", "Healthy", "Succeeded"));
}

#[tokio::test]
async fn what_was_refused_is_tried_again_only_when_asked_for() {
    let (_folder, world) = world().await;
    let cluster = &world.cluster;
    world.push("web", "1.2.4", at(2)).unwrap();
    cluster.refuse("dev", "admission webhook \"x\" denied the request: no");
    world.edit(WEB, "1.2.3", "1.2.4", "bump", at(2)).await.unwrap();
    cluster.reconcile(at(3)).await.unwrap();
    assert_eq!(application(cluster, "web-dev"), words("OutOfSync", "Healthy", "Failed"));
    let failed = object(cluster, "applications.argoproj.io", "argocd", "web-dev");
    let result = &failed["status"]["operationState"]["syncResult"]["resources"][0];
    assert_eq!((text(result, "/status"), text(&failed, "/status/conditions/0/type")), ("SyncFailed", "SyncError"));
    cluster.admit("dev");
    cluster.reconcile(at(4)).await.unwrap();
    assert_eq!(application(cluster, "web-dev").2, "Failed", "automated sync does not try one revision twice");
    cluster.argocd_sync("web-dev");
    cluster.reconcile(at(5)).await.unwrap();
    assert_eq!(application(cluster, "web-dev"), words("Synced", "Healthy", "Succeeded"));
    assert!(object(cluster, "applications.argoproj.io", "argocd", "web-dev")["status"]["conditions"].is_null());
}

#[tokio::test]
async fn hands_are_written_down_and_pauses_kept() {
    let (_folder, world) = world().await;
    let cluster = &world.cluster;
    let image = format!("{}/acme/web:1.2.2", world.registry.host());
    world.push("web", "1.2.2", at(1)).unwrap();
    cluster.kubectl_set_image("dev", "dev-web", "web", &image).unwrap();
    let writer =
        || text(&object(cluster, "deployments.apps", "dev", "dev-web"), "/metadata/managedFields/0/manager").to_owned();
    assert_eq!(writer(), "kubectl-set");
    cluster.reconcile(at(2)).await.unwrap();
    // What was synced once is not synced again by itself: it is said to differ, and no more.
    assert_eq!(application(cluster, "web-dev"), words("OutOfSync", "Healthy", "Succeeded"));
    cluster.flux_suspend("worker-dev", Suspended::Yes).unwrap();
    world.push("worker", "v0.9.1", at(2)).unwrap();
    world.edit("apps/worker/overlays/dev/cronjob.yaml", "v0.9.0", "v0.9.1", "bump", at(2)).await.unwrap();
    cluster.reconcile(at(3)).await.unwrap();
    assert_eq!(writer(), "argocd-controller");
    // A new commit, and automated sync takes the change by hand back: as the real one does without self-healing.
    assert_eq!(application(cluster, "web-dev"), words("Synced", "Healthy", "Succeeded"));
    let running = || pods(cluster, "dev").into_iter().find(|line| line.starts_with("worker")).unwrap();
    assert_eq!(running(), "worker:v0.9.0 Succeeded");
    cluster.flux_suspend("worker-dev", Suspended::No).unwrap();
    cluster.reconcile(at(4)).await.unwrap();
    assert_eq!(pods(cluster, "dev").iter().filter(|line| line.starts_with("worker")).count(), 2);
    assert!(cluster.flux_suspend("nobody", Suspended::Yes).is_err());
}
