//! What is read when all is well: every kind, complete lists, changes, and nothing but reading.

use landfall::cluster::{Access, KindState, WatchedKind};
use landfall::demo::kube::{KubeOptions, Served, StatusRule};
use landfall::model::observation::Body;
use serde_json::json;

use super::support::*;

#[tokio::test]
async fn every_kind_is_read_in_pages_and_kept_as_its_type() {
    let stub = stub().await;
    for served in Served::all().iter().filter(|served| served.kind != "Event") {
        let version = &served.versions[0];
        let api_version = if served.group.is_empty() { version.clone() } else { format!("{}/{version}", served.group) };
        for number in 0..7 {
            stub.apply(object(&api_version, &served.kind, "web", &format!("o-{number}"))).unwrap();
        }
    }
    let cluster = watch(settings(&stub));
    let snapshot = synced(&cluster).await;
    for kind in WatchedKind::ALL {
        assert_eq!(names(&snapshot, kind).len(), 7, "{kind}");
        let object = snapshot.get(kind, "web", "o-3").unwrap();
        // Items of lists of built-in kinds do not say what they are.
        assert_eq!((object.kind.as_str(), object.group()), (kind.name(), kind.group()));
        assert!(
            !matches!(object.body, Body::Other(_))
                || kind.is_crossplane()
                || matches!(kind, WatchedKind::HelmRepository | WatchedKind::Revision),
            "{kind}: {object:?}"
        );
        assert!(snapshot.kinds[&kind].heard.is_some() && snapshot.kinds[&kind].api_version.is_some(), "{kind}");
    }
    assert_eq!(snapshot.objects().count(), 7 * WatchedKind::ALL.len());
    assert_eq!(lists(&targets(&stub), "pods"), 3, "7 objects in pages of 3");
}

#[tokio::test]
async fn changes_arrive_one_by_one() {
    let stub = stub().await;
    stub.apply(object("apps/v1", "Deployment", "web", "api")).unwrap();
    let cluster = watch(settings(&stub));
    let before = synced(&cluster).await;
    assert!(before.get(WatchedKind::Deployment, "web", "api").is_some());

    stub.patch_status("deployments.apps", "web", "api", &json!({ "observedGeneration": 1, "replicas": 3 })).unwrap();
    let is_new = |object: &landfall::model::observation::Object| match &object.body {
        Body::Deployment(deployment) => deployment.counts.replicas == 3,
        _ => false,
    };
    until(&cluster, "three replicas", |now| now.get(WatchedKind::Deployment, "web", "api").is_some_and(|o| is_new(o)))
        .await;

    stub.apply(pod("new")).unwrap();
    until(&cluster, "a new pod", |now| now.get(WatchedKind::Pod, "web", "new").is_some()).await;
    stub.delete("pods", "web", "new").unwrap();
    let after = until(&cluster, "no pod", |now| now.get(WatchedKind::Pod, "web", "new").is_none()).await;
    assert!(after.generation > before.generation);
    // A snapshot is of its moment, whatever came after.
    assert!(!before.get(WatchedKind::Deployment, "web", "api").is_some_and(|object| is_new(object)));
    assert_eq!(lists(&targets(&stub), "pods"), 1);
}

#[tokio::test]
async fn the_version_that_the_server_prefers_is_read() {
    let (source, subresource) = ("source.toolkit.fluxcd.io", StatusRule::SubresourceOfFlux);
    let served = vec![
        Served::new("helm.toolkit.fluxcd.io", &["v2beta2", "v2beta1"], "HelmRelease", "helmreleases", subresource),
        Served::new(source, &["v1"], "GitRepository", "gitrepositories", subresource),
        Served::new(source, &["v1beta2"], "OCIRepository", "ocirepositories", subresource),
        Served::new("", &["v1"], "Pod", "pods", StatusRule::Subresource),
    ];
    let stub = stub_with(KubeOptions { served, ..KubeOptions::default() }).await;
    let cluster = watch(settings(&stub));
    let wanted = [WatchedKind::HelmRelease, WatchedKind::GitRepository, WatchedKind::OciRepository];
    let snapshot = until(&cluster, "synced", |now| wanted.iter().all(|kind| is_synced(now, *kind))).await;
    let versions = wanted.map(|kind| snapshot.kinds[&kind].api_version.clone().unwrap());
    let expected =
        ["helm.toolkit.fluxcd.io/v2beta2", "source.toolkit.fluxcd.io/v1", "source.toolkit.fluxcd.io/v1beta2"];
    assert_eq!(versions, expected);
    // A kind that every API server has, and this one answers 404 for, is a fault and not "none".
    until(&cluster, "told about deployments", |now| is_disconnected(now, WatchedKind::Deployment)).await;
}

#[tokio::test]
async fn only_the_named_namespaces_are_read() {
    let stub = stub().await;
    for namespace in ["web", "shop", "other"] {
        stub.apply(object("v1", "Pod", namespace, "one")).unwrap();
    }
    let namespaces = vec!["web".to_owned(), "shop".to_owned()];
    let cluster = watch(landfall::cluster::Settings { namespaces, ..settings(&stub) });
    let snapshot = synced(&cluster).await;
    let found: Vec<_> = snapshot.of(WatchedKind::Pod).map(|object| object.namespace.clone().unwrap()).collect();
    assert_eq!(found, ["shop", "web"]);
    let targets = targets(&stub);
    let elsewhere = |target: &&String| {
        !target.contains("/namespaces/web/") && !target.contains("/namespaces/shop/") && target.contains('?')
    };
    assert_eq!(targets.iter().find(elsewhere), None);
}

#[tokio::test]
async fn a_watch_that_the_server_ends_goes_on_where_it_was() {
    let stub = stub().await;
    let mut settings = settings(&stub);
    settings.pace.watch = std::time::Duration::from_secs(1);
    let cluster = watch(settings);
    synced(&cluster).await;
    asked(&stub, "watched again", |targets| watches(targets, "pods") >= 2).await;
    stub.apply(pod("new")).unwrap();
    let snapshot = until(&cluster, "a new pod", |now| now.get(WatchedKind::Pod, "web", "new").is_some()).await;
    assert!(is_synced(&snapshot, WatchedKind::Pod));
    assert_eq!(lists(&targets(&stub), "pods"), 1, "nothing was lost, so nothing was listed again");
}

#[tokio::test]
async fn events_are_asked_for_by_uid_and_only_then() {
    let stub = stub().await;
    let pod = stub.apply(pod("one")).unwrap();
    let event = |name: &str, uid: &serde_json::Value, reason: &str, last: &str| {
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "namespace": "web", "name": name },
            "involvedObject": { "kind": "Pod", "namespace": "web", "name": "one", "uid": uid },
            "reason": reason, "message": "x", "type": "Warning", "lastTimestamp": last
        })
    };
    let uid = &pod["metadata"]["uid"];
    stub.apply(event("b", uid, "Failed", "2026-01-05T08:02:00Z")).unwrap();
    stub.apply(event("a", uid, "FailedMount", "2026-01-05T08:01:00Z")).unwrap();
    stub.apply(event("c", &json!("of-the-pod-before"), "Killing", "2026-01-05T08:03:00Z")).unwrap();
    let cluster = watch(settings(&stub));
    let snapshot = synced(&cluster).await;
    assert!(!targets(&stub).iter().any(|target| target.contains("/events")));
    let events = cluster.events(snapshot.get(WatchedKind::Pod, "web", "one").unwrap()).await.unwrap();
    let reasons: Vec<&str> = events.iter().map(|event| event.reason.as_str()).collect();
    assert_eq!(reasons, ["FailedMount", "Failed"]);
}

#[tokio::test]
async fn a_refused_token_is_told_without_it_and_a_new_one_is_taken() {
    let stub = stub_with(KubeOptions { token: Some("right-token".to_owned()), ..KubeOptions::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, stub.kubeconfig().replace("right-token", "wrong-token")).unwrap();
    let cluster = watch(landfall::cluster::Settings { access: Access::File(file.clone()), ..settings(&stub) });
    let snapshot = until(&cluster, "refused", |now| is_disconnected(now, WatchedKind::Pod)).await;
    let KindState::Disconnected { message, .. } = &snapshot.kinds[&WatchedKind::Pod].state else { panic!() };
    assert!(message.contains("401") && !message.contains("wrong-token"), "{message}");
    std::fs::write(&file, stub.kubeconfig()).unwrap();
    synced(&cluster).await;
    assert!(stub.log().iter().all(|seen| seen.authorization));
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_yet_is_waited_for() {
    let stub = stub().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let cluster = watch(landfall::cluster::Settings { access: Access::File(file.clone()), ..settings(&stub) });
    let snapshot = until(&cluster, "told", |now| is_disconnected(now, WatchedKind::Pod)).await;
    let told = format!("{:?}", snapshot.kinds[&WatchedKind::Pod].state);
    assert!(told.contains("cannot be read") && told.contains(file.to_str().unwrap()), "{told}");
    std::fs::write(&file, stub.kubeconfig()).unwrap();
    synced(&cluster).await;
}

#[tokio::test]
async fn a_context_that_is_not_there_is_named() {
    let stub = stub().await;
    let cluster = watch(landfall::cluster::Settings { context: Some("elsewhere".to_owned()), ..settings(&stub) });
    let snapshot = until(&cluster, "told", |now| is_disconnected(now, WatchedKind::Pod)).await;
    assert!(format!("{:?}", snapshot.kinds[&WatchedKind::Pod].state).contains("no context `elsewhere`"));
}
