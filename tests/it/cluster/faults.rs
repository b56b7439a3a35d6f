//! What must be survived: a watch that expires, falls silent or breaks, a server that is gone, a kind that is not there or
//! not permitted. Each is told as what it is, stays with its kind and its cluster, and ends by itself.

use std::time::Duration;

use landfall::cluster::{Cluster, KindState, Snapshot, WatchedKind};
use landfall::demo::kube::{Effect, KubeOptions, KubeStub, Quirk, Served, Verb};

use super::support::*;

const PODS: &str = "pods";

fn pods(effect: Effect) -> Quirk {
    Quirk::new(effect).resource(PODS)
}

/// A cluster with one pod, synced.
async fn with_a_pod() -> (KubeStub, Cluster) {
    let stub = stub().await;
    stub.apply(pod("one")).unwrap();
    let cluster = watch(settings(&stub));
    synced(&cluster).await;
    asked(&stub, "watching pods", |targets| watches(targets, PODS) == 1).await;
    (stub, cluster)
}

#[tokio::test]
async fn one_sick_cluster_or_kind_delays_no_other() {
    let (sick, healthy) = (stub().await, stub().await);
    sick.quirk(Quirk::new(Effect::Silent));
    healthy.quirk(pods(Effect::Silent).verb(Verb::List));
    let one = watch(settings(&sick));
    let two = watch(settings(&healthy));
    let others = |kind: &WatchedKind| *kind != WatchedKind::Pod;
    let wait =
        until(&two, "all but pods", |now| WatchedKind::ALL.iter().filter(|k| others(k)).all(|k| is_synced(now, *k)));
    let snapshot = wait.await;
    assert_eq!(snapshot.kinds[&WatchedKind::Pod].state, KindState::Starting);
    assert_eq!(snapshot.gaps().map(|(kind, _)| kind).collect::<Vec<_>>(), [WatchedKind::Pod]);
    // The silence is bounded and told.
    let snapshot = until(&two, "given up", |now| is_disconnected(now, WatchedKind::Pod)).await;
    let told = format!("{:?}", snapshot.kinds[&WatchedKind::Pod].state);
    assert!(told.contains("did not answer within 3000 ms"), "{told}");
    assert!(!one.snapshot().kinds.values().any(|status| status.state.is_complete()));
}

#[tokio::test]
async fn an_expired_watch_lists_again_in_both_shapes() {
    for effect in [Effect::Gone, Effect::GoneInStream] {
        let (stub, cluster) = with_a_pod().await;
        stub.quirk(pods(effect.clone()).verb(Verb::Watch).times(1));
        if effect == Effect::Gone {
            // The running watch must end before another can be refused.
            stub.quirk(pods(Effect::Cut).verb(Verb::Watch).times(1));
        }
        asked(&stub, "listed again", |targets| lists(targets, PODS) == 2).await;
        stub.apply(pod("two")).unwrap();
        let snapshot = until(&cluster, "two pods", |now| names(now, WatchedKind::Pod).len() == 2).await;
        assert!(is_synced(&snapshot, WatchedKind::Pod), "{effect:?}");
    }
}

#[tokio::test]
async fn a_compacted_history_loses_nothing() {
    let (stub, cluster) = with_a_pod().await;
    stub.down();
    stub.delete(PODS, "web", "one").unwrap();
    stub.apply(pod("two")).unwrap();
    stub.compact();
    stub.up();
    let two = |now: &landfall::cluster::Snapshot| names(now, WatchedKind::Pod).iter().eq(["two"]);
    until(&cluster, "the new pod alone", two).await;
}

#[tokio::test]
async fn a_server_that_always_forgets_is_told_and_not_hammered() {
    let (stub, cluster) = with_a_pod().await;
    stub.quirk(pods(Effect::GoneInStream).verb(Verb::Watch));
    let snapshot = until(&cluster, "told", |now| is_disconnected(now, WatchedKind::Pod)).await;
    assert!(format!("{:?}", snapshot.kinds[&WatchedKind::Pod].state).contains("410"));
    assert!(lists(&targets(&stub), PODS) <= 4, "{:?}", targets(&stub));
    stub.clear_all();
    synced(&cluster).await;
}

#[tokio::test]
async fn a_silent_watch_is_noticed_and_what_was_missed_is_read() {
    let stub = stub_with(KubeOptions { bookmark_every: Duration::from_millis(50), ..KubeOptions::default() }).await;
    let clock = Hand::default();
    let mut settings = settings(&stub);
    settings.pace.idle = Duration::from_millis(1500);
    let cluster = Cluster::start(settings, clock.now());
    synced(&cluster).await;
    asked(&stub, "watching pods", |targets| watches(targets, PODS) == 1).await;
    let silent = stub.quirk(pods(Effect::Silent).verb(Verb::Watch));
    // Nor can they be listed, so that what follows may take as long as it likes.
    let unlisted = stub.quirk(pods(Effect::Status(500)).verb(Verb::List));
    stub.apply(pod("missed")).unwrap();
    // Others are heard by their bookmarks. A bookmark of pods may still be on its way at the first turn of the clock.
    for _ in 0..2 {
        clock.turn(90);
        until_heard(&cluster, WatchedKind::Job, clock.at()).await;
    }
    let snapshot = cluster.snapshot();
    let heard = snapshot.kinds[&WatchedKind::Pod].heard.unwrap();
    assert!(heard < clock.at(), "nothing is heard of pods any more, and that shows");
    assert_eq!(snapshot.heard(), Some(heard));
    assert!(names(&snapshot, WatchedKind::Pod).is_empty());
    stub.clear(silent);
    stub.clear(unlisted);
    let snapshot = until(&cluster, "listed again", |now| names(now, WatchedKind::Pod).len() == 1).await;
    assert_eq!(snapshot.kinds[&WatchedKind::Pod].heard, Some(clock.at()));
    assert_eq!(lists(&targets(&stub), "jobs"), 1, "a kind that is heard is not listed again");
}

/// A bookmark changes no object, so no snapshot is announced for it.
async fn until_heard(cluster: &Cluster, kind: WatchedKind, time: jiff::Timestamp) {
    let wait = async {
        while cluster.snapshot().kinds[&kind].heard != Some(time) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test]
async fn everything_is_listed_again_from_time_to_time() {
    let stub = stub().await;
    let mut settings = settings(&stub);
    settings.pace.relist = Duration::from_millis(200);
    let cluster = watch(settings);
    asked(&stub, "listed three times", |targets| lists(targets, PODS) >= 3).await;
    let snapshot = cluster.snapshot();
    assert!(snapshot.kinds.values().all(|status| !matches!(status.state, KindState::Disconnected { .. })));
}

#[tokio::test]
async fn a_broken_watch_goes_on_without_a_new_list() {
    let (stub, cluster) = with_a_pod().await;
    stub.quirk(pods(Effect::Cut).verb(Verb::Watch).times(1));
    asked(&stub, "watched again", |targets| watches(targets, PODS) >= 2).await;
    stub.apply(pod("two")).unwrap();
    until(&cluster, "two pods", |now| names(now, WatchedKind::Pod).len() == 2).await;
    assert_eq!(lists(&targets(&stub), PODS), 1);
}

#[tokio::test]
async fn a_server_that_is_down_is_disconnected_with_its_age_and_comes_back() {
    let stub = stub().await;
    stub.apply(pod("one")).unwrap();
    let (clock, log) = (Hand::default(), Log::default());
    let _guard = log.start();
    let cluster = Cluster::start(settings(&stub), clock.now());
    synced(&cluster).await;
    clock.turn(60);
    stub.down();
    let all = |now: &landfall::cluster::Snapshot| WatchedKind::ALL.iter().all(|kind| is_disconnected(now, *kind));
    until(&cluster, "all disconnected", all).await;
    clock.turn(600);
    stub.apply(pod("two")).unwrap();
    let snapshot = cluster.snapshot();
    let KindState::Disconnected { since, message } = &snapshot.kinds[&WatchedKind::Pod].state else { panic!() };
    assert_eq!(*since, at("1970-01-01T00:01:00Z"));
    assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
    assert_eq!(names(&snapshot, WatchedKind::Pod).len(), 1, "what was known is kept");
    assert_eq!(snapshot.gaps().count(), WatchedKind::ALL.len(), "and none of it is taken for fresh");
    stub.up();
    let snapshot = synced(&cluster).await;
    assert_eq!(names(&snapshot, WatchedKind::Pod).len(), 2);
    let told = async {
        while log.lines_with("is watched again") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("the return is told");
    assert_eq!(log.lines_with("is watched again"), 1, "the return of a server is one line");
    let told = log.lines_with("cannot be watched");
    assert!((1..=4).contains(&told), "a server that is gone is told once for each way it shows, not {told} times");
}

#[tokio::test]
async fn an_overloaded_server_is_left_alone_as_long_as_it_asks() {
    let stub = stub().await;
    let busy = stub.quirk(pods(Effect::TooManyRequests(120)).verb(Verb::List).times(1));
    let cluster = watch(settings(&stub));
    let only = |now: &landfall::cluster::Snapshot| now.gaps().map(|(kind, _)| kind).eq([WatchedKind::Pod]);
    let snapshot = until(&cluster, "all but pods", |now| only(now) && is_disconnected(now, WatchedKind::Pod)).await;
    assert!(format!("{:?}", snapshot.kinds[&WatchedKind::Pod].state).contains("429"));
    stub.clear(busy);
    // Ten times as many requests as a first pause would have allowed go by elsewhere.
    for number in 0..10 {
        stub.apply(object("batch/v1", "Job", "web", &format!("job-{number}"))).unwrap();
        until(&cluster, "a job more", |now| names(now, WatchedKind::Job).len() == number + 1).await;
    }
    assert_eq!(lists(&targets(&stub), PODS), 1);
}

#[tokio::test]
async fn a_server_that_fails_is_unknown_until_it_does_not() {
    for effect in
        [Effect::Status(500), Effect::Status(503), Effect::TooManyRequests(0), Effect::Cut, Effect::Status(404)]
    {
        let stub = stub().await;
        stub.apply(pod("one")).unwrap();
        let quirk = stub.quirk(pods(effect.clone()).verb(Verb::List));
        let cluster = watch(settings(&stub));
        let snapshot = until(&cluster, "told", |now| is_disconnected(now, WatchedKind::Pod)).await;
        assert!(names(&snapshot, WatchedKind::Pod).is_empty());
        stub.clear(quirk);
        let snapshot = synced(&cluster).await;
        assert_eq!(names(&snapshot, WatchedKind::Pod).len(), 1, "{effect:?}");
    }
}

#[tokio::test]
async fn half_a_list_is_no_list() {
    let stub = stub().await;
    for number in 0..5 {
        stub.apply(pod(&format!("p-{number}"))).unwrap();
    }
    let quirk = stub.quirk(pods(Effect::Slow(Duration::from_millis(1))).verb(Verb::List).times(1));
    let broken = stub.quirk(pods(Effect::Status(500)).verb(Verb::List));
    let cluster = watch(settings(&stub));
    let snapshot = until(&cluster, "told", |now| is_disconnected(now, WatchedKind::Pod)).await;
    assert!(names(&snapshot, WatchedKind::Pod).is_empty(), "the first page alone is not shown");
    stub.clear(quirk);
    stub.clear(broken);
    let snapshot = synced(&cluster).await;
    assert_eq!(names(&snapshot, WatchedKind::Pod).len(), 5);
}

/// A pod that no API server would take: it is larger than what is read of one object.
fn huge(name: &str) -> serde_json::Value {
    let mut huge = pod(name);
    huge["metadata"]["annotations"] = serde_json::json!({ "x": "y".repeat(5 * 1024 * 1024) });
    huge
}

fn unreadable(snapshot: &Snapshot, kind: WatchedKind) -> Vec<String> {
    snapshot.kinds[&kind].unreadable.iter().map(|(object, why)| format!("{object}: {why}")).collect()
}

#[tokio::test]
async fn a_change_that_is_too_large_is_told_of_its_object_and_the_watch_goes_on() {
    let (stub, cluster) = with_a_pod().await;
    stub.apply(huge("huge")).unwrap();
    stub.apply(pod("two")).unwrap();
    let snapshot = until(&cluster, "read on", |now| names(now, WatchedKind::Pod).len() == 2).await;
    assert_eq!(unreadable(&snapshot, WatchedKind::Pod), ["web/huge: it is larger than 4 MiB"]);
    assert!(is_synced(&snapshot, WatchedKind::Pod));
    // Its end is read as well as its beginning.
    stub.delete(PODS, "web", "huge").unwrap();
    let snapshot = synced(&cluster).await;
    assert_eq!(names(&snapshot, WatchedKind::Pod).len(), 2);
    assert_eq!((lists(&targets(&stub), PODS), watches(&targets(&stub), PODS)), (1, 1), "nothing was asked for again");
}

#[tokio::test]
async fn an_object_of_a_list_that_is_too_large_is_named_and_the_others_are_read() {
    let stub = stub().await;
    for name in ["a", "c"] {
        stub.apply(pod(name)).unwrap();
    }
    stub.apply(huge("b")).unwrap();
    let cluster = watch(settings(&stub));
    let snapshot = until(&cluster, "read", |now| is_synced(now, WatchedKind::Pod)).await;
    assert_eq!(names(&snapshot, WatchedKind::Pod).len(), 2);
    assert_eq!(unreadable(&snapshot, WatchedKind::Pod), ["web/b: it is larger than 4 MiB"]);
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_by_halves() {
    let stub = stub().await;
    let large = serde_json::json!({ "x": "y".repeat(3_000) });
    for number in 0..40 {
        let mut deployment = object("apps/v1", "Deployment", "team-a", &format!("large-{number:02}"));
        deployment["metadata"]["annotations"] = large.clone();
        stub.apply(deployment).unwrap();
        stub.apply(object("apps/v1", "Deployment", "web", &format!("small-{number:02}"))).unwrap();
    }
    let mut settings = settings(&stub);
    (settings.pace.page, settings.pace.page_bytes) = (250, 64 * 1024);
    let cluster = watch(settings);
    let snapshot = until(&cluster, "read", |now| is_synced(now, WatchedKind::Deployment)).await;
    assert_eq!(names(&snapshot, WatchedKind::Deployment).len(), 80);
    let limits: Vec<String> = targets(&stub)
        .iter()
        .filter(|target| target.contains("/deployments?") && !target.contains("watch="))
        .map(|target| target.split("limit=").nth(1).unwrap().split('&').next().unwrap().to_owned())
        .collect();
    assert_eq!(limits, ["250", "125", "62", "31", "15", "15", "15", "15", "30"], "as few as there must be");
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let stub = stub().await;
    stub.quirk(Quirk::new(Effect::Slow(Duration::from_millis(100))).verb(Verb::List));
    synced(&watch(settings(&stub))).await;
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_told_once_and_found_when_it_comes() {
    let served = Served::all().into_iter().filter(|served| served.kind != "Kustomization").collect();
    let stub = stub_with(KubeOptions { served, ..KubeOptions::default() }).await;
    let log = Log::default();
    let _guard = log.start();
    let cluster = watch(settings(&stub));
    let absent =
        |now: &landfall::cluster::Snapshot| now.kinds[&WatchedKind::Kustomization].state == KindState::NotInstalled;
    let snapshot = until(&cluster, "not installed", absent).await;
    assert!(snapshot.of(WatchedKind::Kustomization).next().is_none());
    let probes = |targets: &[String]| targets.iter().filter(|target| *target == "/apis").count();
    let before = probes(&targets(&stub));
    asked(&stub, "looked for again", |targets| probes(targets) >= before + 3).await;
    assert_eq!(log.lines_with("Kustomization (kustomizations.kustomize.toolkit.fluxcd.io) is not installed"), 1);
    assert_eq!(lists(&targets(&stub), "kustomizations"), 0);

    stub.install(Served::all().into_iter().find(|served| served.kind == "Kustomization").unwrap());
    stub.apply(object("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "flux-system", "apps")).unwrap();
    until(&cluster, "an object of it", |now| now.of(WatchedKind::Kustomization).count() == 1).await;
    stub.uninstall("kustomizations.kustomize.toolkit.fluxcd.io");
    let snapshot = until(&cluster, "gone again", absent).await;
    assert!(snapshot.of(WatchedKind::Kustomization).next().is_none());
}

#[tokio::test]
async fn what_is_not_permitted_names_the_rule_and_is_tried_again() {
    for (verb, word) in [(Verb::List, "list"), (Verb::Watch, "watch")] {
        let stub = stub().await;
        stub.apply(pod("one")).unwrap();
        stub.quirk(Quirk::new(Effect::Forbidden).resource("applications.argoproj.io").verb(verb));
        let log = Log::default();
        let _guard = log.start();
        let cluster = watch(settings(&stub));
        let forbidden = |now: &landfall::cluster::Snapshot| {
            matches!(now.kinds[&WatchedKind::Application].state, KindState::Forbidden { .. })
        };
        let snapshot =
            until(&cluster, "forbidden, the rest synced", |now| forbidden(now) && now.gaps().count() == 1).await;
        let expected = KindState::Forbidden {
            verb: word,
            resource: "applications.argoproj.io".to_owned(),
            namespace: None,
            rule: "- apiGroups: [\"argoproj.io\"]\n  resources: [\"applications\"]\n  \
                   verbs: [\"get\", \"list\", \"watch\"]\n"
                .to_owned(),
        };
        assert_eq!(snapshot.kinds[&WatchedKind::Application].state, expected);
        let tries = |targets: &[String]| lists(targets, "applications");
        let before = tries(&targets(&stub));
        asked(&stub, "tried again", |targets| tries(targets) >= before + 2).await;
        assert_eq!(log.lines_with(&format!("not permitted to {word} applications.argoproj.io")), 1);
        stub.clear_all();
        synced(&cluster).await;
    }
}

#[tokio::test]
async fn a_forbidden_namespace_is_named_and_the_others_are_read() {
    let stub = stub().await;
    stub.apply(object("v1", "Pod", "web", "one")).unwrap();
    stub.quirk(pods(Effect::Forbidden).namespace("shop"));
    let namespaces = vec!["web".to_owned(), "shop".to_owned()];
    let cluster = watch(landfall::cluster::Settings { namespaces, ..settings(&stub) });
    let is = |now: &landfall::cluster::Snapshot| match &now.kinds[&WatchedKind::Pod].state {
        KindState::Forbidden { namespace, .. } => namespace.as_deref() == Some("shop"),
        _ => false,
    };
    until(&cluster, "forbidden in shop and read in web", |now| is(now) && now.of(WatchedKind::Pod).count() == 1).await;
}

#[tokio::test]
async fn a_permission_that_is_taken_away_leaves_what_is_known_as_stale() {
    let (stub, cluster) = with_a_pod().await;
    stub.quirk(pods(Effect::Forbidden));
    stub.quirk(pods(Effect::Cut).verb(Verb::Watch).times(1));
    let forbidden =
        |now: &landfall::cluster::Snapshot| matches!(now.kinds[&WatchedKind::Pod].state, KindState::Forbidden { .. });
    let snapshot = until(&cluster, "forbidden", forbidden).await;
    assert_eq!(names(&snapshot, WatchedKind::Pod).len(), 1);
    assert!(snapshot.gaps().any(|(kind, _)| kind == WatchedKind::Pod));
}
