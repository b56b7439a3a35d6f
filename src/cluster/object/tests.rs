//! Objects as the API has them, whole and broken.

#![expect(clippy::needless_pass_by_value, reason = "helpers take what `json!` makes")]

use serde_json::{Value, json};

use super::{Unreadable, read};
use crate::model::observation::{AutoSync, Body, ContainerState, Object, Revision};

fn object(value: Value) -> Object {
    read(&value).unwrap()
}

fn named(api_version: &str, kind: &str, rest: Value) -> Value {
    let mut value = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web", "namespace": "web"}});
    for (key, part) in rest.as_object().unwrap() {
        value[key] = part.clone();
    }
    value
}

#[test]
fn what_does_not_say_what_it_is_is_refused() {
    for (value, why) in [
        (json!("text"), Unreadable::NoObject),
        (json!(null), Unreadable::NoObject),
        (json!({"apiVersion": "v1", "metadata": {"name": "x"}}), Unreadable::Missing("kind")),
        (json!({"kind": "Pod", "metadata": {"name": "x"}}), Unreadable::Missing("apiVersion")),
        (json!({"apiVersion": "v1", "kind": "Pod"}), Unreadable::Missing("metadata.name")),
        (json!({"apiVersion": "v1", "kind": "Pod", "metadata": "x"}), Unreadable::Missing("metadata.name")),
    ] {
        assert_eq!(read(&value), Err(why), "{value}");
    }
}

#[test]
fn names_are_visible_and_long_texts_keep_their_beginning_and_end() {
    let said = format!("begin{}end", "ä".repeat(100_000));
    let object = object(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "we\u{1b}[8mb\u{202e}", "namespace": "a\nb" },
        "status": { "conditions": [{ "type": "Progressing", "status": "False", "message": said }] },
    }));
    assert_eq!(object.label(), "Deployment a\\u{a}b/we\\u{1b}[8mb\\u{202e}");
    let Body::Deployment(it) = &object.body else { panic!("{object:?}") };
    let kept = &it.conditions[0].message;
    assert!(kept.len() <= 33 << 10 && kept.starts_with("beginä") && kept.ends_with("äend"), "{}", kept.len());
}

#[test]
fn fields_of_the_wrong_type_are_absent_and_named() {
    let object = object(named(
        "apps/v1",
        "Deployment",
        json!({"spec": {"replicas": "three", "template": {"spec": {"containers": {"name": "web"}}}},
               "status": {"observedGeneration": [], "conditions": [{"type": "Available", "status": []}]}}),
    ));
    assert_eq!(
        object.malformed,
        ["spec.replicas", "spec.template.spec.containers", "status.conditions[].status", "status.observedGeneration"]
    );
}

#[test]
fn an_application_with_several_sources() {
    let object = object(named(
        "argoproj.io/v1alpha1",
        "Application",
        json!({"spec": {"source": {"repoURL": "ignored"},
                        "sources": [{"repoURL": "https://charts.example", "chart": "web"},
                                    {"repoURL": "git@github.com:acme/deploys.git", "ref": "values"}],
                        "syncPolicy": {"automated": {}}},
               "status": {"sync": {"revision": "", "revisions": ["1.2.3", "abc"]}}}),
    ));
    let Body::Application(app) = object.body else { panic!("{object:?}") };
    assert_eq!(app.sources.len(), 2);
    assert_eq!(app.sources[1].reference.as_deref(), Some("values"));
    assert_eq!(app.sync_revisions, [Revision::new("1.2.3"), Revision::new("abc")]);
    assert_eq!(app.auto_sync, AutoSync::On);
}

#[test]
fn a_rollout_writes_its_observed_generation_as_text() {
    let object =
        object(named("argoproj.io/v1alpha1", "Rollout", json!({"status": {"observedGeneration": "7", "abort": true}})));
    let Body::Rollout(rollout) = object.body else { panic!("{object:?}") };
    assert_eq!(rollout.observed_generation, Some(7));
    assert!(rollout.abort && object.malformed.is_empty());
}

#[test]
fn managers_of_images_are_found_in_managed_fields() {
    let fields = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
        "k:{\"name\":\"web\"}": {".": {}, "f:image": {}}}}}}});
    let object = object(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "managedFields": [
            {"manager": "kubectl-set", "operation": "Update", "time": "2026-05-01T10:00:00Z", "fieldsV1": fields},
            {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
             "fieldsV1": {"f:status": {}}}]},
    }));
    assert_eq!(object.image_writers.len(), 1);
    assert_eq!(object.image_writers[0].manager, "kubectl-set");
}

#[test]
fn events_of_both_versions_say_the_same() {
    for value in [
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "FailedCreate",
               "involvedObject": {"kind": "ReplicaSet", "name": "web-1"}, "message": "exceeded quota",
               "lastTimestamp": "2026-05-01T10:00:00Z"}),
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "FailedCreate",
               "regarding": {"kind": "ReplicaSet", "name": "web-1"}, "note": "exceeded quota",
               "deprecatedLastTimestamp": null, "eventTime": "2026-05-01T10:00:00Z"}),
    ] {
        let Body::Event(event) = object(value).body else { panic!() };
        assert_eq!((event.about.name.as_str(), event.message.as_str()), ("web-1", "exceeded quota"));
        assert!(event.last_seen.is_some());
    }
}

#[test]
fn inventories_split_into_keys() {
    let object = object(named(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        json!({"status": {"observedGeneration": -1, "inventory": {"entries": [
            {"id": "web_web_apps_Deployment", "v": "v1"}, {"id": "_system__admin_rbac.authorization.k8s.io_ClusterRole"},
            {"id": "nonsense"}, {"id": "web_config__Service"}]}}}),
    ));
    let Body::Kustomization(it) = object.body else { panic!() };
    let entries: Vec<_> = it.inventory.unwrap().into_iter().map(|e| (e.namespace, e.name, e.group, e.kind)).collect();
    assert_eq!(entries[0], (Some("web".into()), "web".into(), "apps".into(), "Deployment".into()));
    assert_eq!(entries[1].1, "system__admin");
    assert_eq!(entries[2], (Some("web".into()), "config".into(), String::new(), "Service".into()));
    assert_eq!(it.observed_generation, Some(-1));
}

#[test]
fn states_of_containers() {
    let state = |state: Value| {
        let value = named("v1", "Pod", json!({"status": {"containerStatuses": [{"name": "web", "state": state}]}}));
        let Body::Pod(pod) = object(value).body else { panic!() };
        pod.statuses.into_iter().next().unwrap().state
    };
    assert!(matches!(state(json!({"waiting": {"reason": "ErrImagePull"}})), ContainerState::Waiting { .. }));
    assert!(matches!(state(json!({"running": {}})), ContainerState::Running { started_at: None }));
    assert!(matches!(state(json!({"terminated": {"exitCode": 1}})), ContainerState::Terminated(t) if t.exit_code == 1));
    assert_eq!(state(json!({})), ContainerState::Unknown);
    assert_eq!(state(json!(null)), ContainerState::Unknown);
}
