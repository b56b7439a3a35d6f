//! What the bot may do in a cluster, and what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use landfall::cluster::{EventsError, KindState, WatchedKind, events_rule};
use landfall::demo::kube::{Effect, Quirk, Verb};
use serde::Deserialize;

use super::support::*;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    kind: String,
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    rules: Vec<Rule>,
    role_ref: Option<BTreeMap<String, String>>,
    #[serde(default)]
    subjects: Vec<BTreeMap<String, String>>,
}

/// Group and plural → verbs.
type Rights = BTreeMap<(String, String), BTreeSet<String>>;

fn rights(rules: &[Rule]) -> Rights {
    let mut rights = Rights::new();
    for rule in rules {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let verbs = rights.entry((group.clone(), resource.clone())).or_default();
                verbs.extend(rule.verbs.iter().cloned());
            }
        }
    }
    rights
}

fn shipped() -> Vec<Manifest> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes/rbac.yaml");
    serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_shipped_role_permits_exactly_what_is_watched() {
    let manifests = shipped();
    let role = manifests.iter().find(|manifest| manifest.kind == "ClusterRole").unwrap();
    let rules: Vec<String> = WatchedKind::ALL.into_iter().map(WatchedKind::rule).chain([events_rule()]).collect();
    let wanted: Vec<Rule> = serde_saphyr::from_str(&rules.concat()).unwrap();
    assert_eq!(rights(&role.rules), rights(&wanted));
    let reading: BTreeSet<String> = ["get", "list", "watch"].map(str::to_owned).into();
    for (what, verbs) in rights(&role.rules) {
        assert!(verbs.is_subset(&reading) && !what.1.contains('*') && !what.0.contains('*'), "{what:?}: {verbs:?}");
    }
}

#[test]
fn the_shipped_role_is_bound_to_the_shipped_account() {
    let manifests = shipped();
    let of = |kind: &str| manifests.iter().find(|manifest| manifest.kind == kind).unwrap();
    let (account, binding) = (of("ServiceAccount"), of("ClusterRoleBinding"));
    assert_eq!(binding.role_ref.as_ref().unwrap()["name"], of("ClusterRole").metadata["name"]);
    assert_eq!(binding.subjects.len(), 1);
    assert_eq!(binding.subjects[0]["name"], account.metadata["name"]);
    assert_eq!(binding.subjects[0]["namespace"], account.metadata["namespace"]);
    assert_eq!(manifests.len(), 3);
}

#[tokio::test]
async fn nothing_but_reading_is_ever_sent() {
    let stub = stub().await;
    stub.apply(pod("one")).unwrap();
    let cluster = watch(settings(&stub));
    let snapshot = synced(&cluster).await;
    let pod = snapshot.get(WatchedKind::Pod, "web", "one").unwrap();
    cluster.events(pod).await.unwrap();
    // Trouble of every kind, since what is sent then is another code path.
    for effect in [Effect::Forbidden, Effect::Unauthorized, Effect::Gone, Effect::Cut, Effect::Status(500)] {
        let seen = stub.log().len();
        stub.quirk(Quirk::new(effect));
        stub.quirk(Quirk::new(Effect::Cut).verb(Verb::Watch).times(18));
        asked(&stub, "tried again", |targets| targets.len() > seen + 40).await;
        stub.clear_all();
        synced(&cluster).await;
    }
    let log = stub.log();
    assert!(log.len() > 200, "{}", log.len());
    assert!(log.iter().all(|seen| seen.method == "GET"));
    let known: BTreeSet<String> = shipped()[..]
        .iter()
        .flat_map(|manifest| rights(&manifest.rules).into_keys())
        .map(|(_, resource)| resource)
        .collect();
    for seen in &log {
        let path = seen.target.split('?').next().unwrap();
        let last = path.rsplit('/').next().unwrap();
        let discovery = path == "/apis" || (path.starts_with("/apis/") && path.split('/').count() == 4);
        assert!(discovery || known.contains(last), "{}", seen.target);
    }
}

#[tokio::test]
async fn events_that_are_not_permitted_name_their_rule() {
    let stub = stub().await;
    stub.apply(pod("one")).unwrap();
    stub.quirk(Quirk::new(Effect::Forbidden).resource("events"));
    let cluster = watch(settings(&stub));
    let snapshot = synced(&cluster).await;
    let error = cluster.events(snapshot.get(WatchedKind::Pod, "web", "one").unwrap()).await.unwrap_err();
    assert_eq!(error, EventsError::Forbidden { rule: events_rule() });
    assert!(error.to_string().contains("resources: [\"events\"]"), "{error}");
    assert!(matches!(snapshot.kinds[&WatchedKind::Pod].state, KindState::Synced { .. }));
}
