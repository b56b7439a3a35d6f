//! The objects with their history, and what a write does to them; no networking.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::catalogue::{Served, StatusRule};
use super::quirk::Quirks;
use crate::daemon::Clock;

/// Number of changes remembered; a watch from before them is too old.
const HISTORY: usize = 100_000;

/// Why an object could not be stored or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StubError {
    /// The object's `apiVersion` and `kind` are not installed.
    #[error("{kind} in {api_version} is not installed in this server")]
    NotInstalled {
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
    /// The object has no `metadata.name`.
    #[error("the object has no metadata.name")]
    NoName,
    /// There is no such object.
    #[error("{resource} {namespace}/{name} does not exist in this server")]
    NotFound {
        /// The resource.
        resource: String,
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    },
}

/// Identifies an object: resource with group, namespace, name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoredPlace {
    pub(super) resource: Arc<str>,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub(super) struct WatchChange {
    pub(super) revision: u64,
    pub(super) place: StoredPlace,
    pub(super) old: Option<Arc<Value>>,
    /// For a deletion, the last state of the object with the revision of the deletion.
    pub(super) new: Arc<Value>,
    pub(super) removed: bool,
}

/// Which part of an object a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything except the status, if that is a subresource.
    Main,
    /// Only the status.
    Status,
    /// Everything, as given.
    Everything,
}

#[derive(Debug)]
pub(super) struct ClusterState {
    served: BTreeMap<Arc<str>, Served>,
    objects: BTreeMap<StoredPlace, Arc<Value>>,
    history: VecDeque<WatchChange>,
    revision: u64,
    /// Changes up to this revision are forgotten.
    oldest: u64,
    bookmarks: u64,
    clock: Clock,
    pub(super) quirks: Quirks,
}

impl ClusterState {
    pub(super) fn new(served: Vec<Served>, clock: Clock) -> Self {
        let served = served.into_iter().map(|served| (served.resource().into(), served)).collect();
        Self {
            served,
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            // On a real server, the first revisions belong to its own objects.
            revision: 100,
            oldest: 0,
            bookmarks: 0,
            clock,
            quirks: Quirks::default(),
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    pub(super) fn bookmarks(&self) -> u64 {
        self.bookmarks
    }

    pub(super) fn bookmark(&mut self) {
        self.bookmarks += 1;
    }

    pub(super) fn compact(&mut self) {
        // On a real server, the current version remains valid; only older ones are gone.
        self.oldest = self.revision;
        self.revision += 1;
        self.history.clear();
    }

    pub(super) fn served(&self) -> impl Iterator<Item = &Served> {
        self.served.values()
    }

    /// The kind behind a plural in a group and version.
    pub(super) fn find(&self, group: &str, version: &str, plural: &str) -> Option<(Arc<str>, Served)> {
        let found = self.served.iter().find(|(_, served)| {
            served.group == group && served.plural == plural && served.versions.iter().any(|known| known == version)
        });
        found.map(|(resource, served)| (Arc::clone(resource), served.clone()))
    }

    pub(super) fn install(&mut self, served: Served) {
        self.served.insert(served.resource().into(), served);
    }

    pub(super) fn uninstall(&mut self, resource: &str) {
        self.served.remove(resource);
        self.objects.retain(|place, _| &*place.resource != resource);
        self.history.retain(|change| &*change.place.resource != resource);
        self.revision += 1;
    }

    pub(super) fn is_served(&self, resource: &str) -> bool {
        self.served.contains_key(resource)
    }

    pub(super) fn objects(&self) -> Vec<Arc<Value>> {
        self.objects.values().cloned().collect()
    }

    pub(super) fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.objects.get(&place(resource.into(), namespace, name)).cloned()
    }

    /// Objects of a resource after a namespace and name, in order.
    pub(super) fn list<'a>(
        &'a self,
        resource: &Arc<str>,
        after: Option<(&str, &str)>,
    ) -> impl Iterator<Item = (&'a StoredPlace, &'a Arc<Value>)> {
        let (namespace, name) = after.unwrap_or_default();
        let from = place(Arc::clone(resource), namespace, name);
        let wanted = Arc::clone(resource);
        let range = self.objects.range((std::ops::Bound::Excluded(from), std::ops::Bound::Unbounded));
        range.take_while(move |(place, _)| place.resource == wanted)
    }

    /// Changes of a resource after a revision.
    pub(super) fn changes<'a>(&'a self, resource: &'a str, after: u64) -> impl Iterator<Item = &'a WatchChange> {
        let begin = self.history.partition_point(|change| change.revision <= after);
        self.history.range(begin..).filter(move |change| &*change.place.resource == resource)
    }

    pub(super) fn apply(&mut self, object: Value) -> Result<Arc<Value>, StubError> {
        let (place, served) = self.locate(&object)?;
        let merged = match self.objects.get(&place) {
            None => object,
            Some(old) => {
                let mut merged = Value::clone(old);
                merge(&mut merged, object);
                merged
            }
        };
        Ok(self.write(place, &served, merged, Part::Main))
    }

    pub(super) fn load(&mut self, object: Value) -> Result<Arc<Value>, StubError> {
        let (place, served) = self.locate(&object)?;
        Ok(self.write(place, &served, object, Part::Everything))
    }

    pub(super) fn patch_status(
        &mut self,
        resource: &str,
        namespace: &str,
        name: &str,
        status: &Value,
    ) -> Result<Arc<Value>, StubError> {
        let (place, old) = self.named(resource, namespace, name)?;
        let served = self.served.get(&place.resource).cloned();
        let mut object = Value::clone(&old);
        merge(&mut object, json!({ "status": status }));
        let served = served.ok_or_else(|| not_found(resource, namespace, name))?;
        let part = if served.status == StatusRule::Ordinary { Part::Main } else { Part::Status };
        Ok(self.write(place, &served, object, part))
    }

    pub(super) fn delete_named(&mut self, resource: &str, namespace: &str, name: &str) -> Result<(), StubError> {
        let (place, _) = self.named(resource, namespace, name)?;
        self.delete(&place);
        Ok(())
    }

    pub(super) fn delete(&mut self, place: &StoredPlace) -> Option<Arc<Value>> {
        let old = self.objects.remove(place)?;
        self.revision += 1;
        let mut gone = Value::clone(&old);
        gone["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let gone = Arc::new(gone);
        self.remember(place.clone(), Some(old), Arc::clone(&gone), true);
        Some(gone)
    }

    /// Stores an object by the rules of its kind; storing an equal object changes nothing.
    pub(super) fn write(&mut self, place: StoredPlace, served: &Served, mut object: Value, part: Part) -> Arc<Value> {
        let old = self.objects.get(&place).cloned();
        keep_status(&mut object, old.as_deref(), served.status, part);
        if let (Part::Status, Some(old)) = (part, &old) {
            let status = object.get_mut("status").map(Value::take);
            object = Value::clone(old);
            object["status"] = status.unwrap_or_default();
        }
        self.stamp(&mut object, old.as_deref(), &place, served, part);
        if let Some(old) = &old {
            object["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
            if object == **old {
                return Arc::clone(old);
            }
        }
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Arc::new(object);
        self.objects.insert(place.clone(), Arc::clone(&object));
        self.remember(place, old, Arc::clone(&object), false);
        object
    }

    /// Sets the metadata that the server itself writes.
    fn stamp(&self, object: &mut Value, old: Option<&Value>, place: &StoredPlace, served: &Served, part: Part) {
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        let generation = match (part, old) {
            (Part::Everything, _) if object["metadata"]["generation"].is_u64() => {
                object["metadata"]["generation"].clone()
            }
            (_, None) => 1.into(),
            (_, Some(old)) => {
                let before = old["metadata"]["generation"].as_u64().unwrap_or(1);
                (before + u64::from(meaning(object, served.status) != meaning(old, served.status))).into()
            }
        };
        let next = self.revision + 1;
        let metadata = &mut object["metadata"];
        metadata["namespace"] = place.namespace.as_str().into();
        metadata["name"] = place.name.as_str().into();
        metadata["generation"] = generation;
        let first = |key: &str| old.map(|old| old["metadata"][key].clone()).filter(|value| !value.is_null());
        let given = |metadata: &Value, key: &str| Some(metadata[key].clone()).filter(|value| !value.is_null());
        metadata["uid"] = first("uid")
            .or_else(|| given(metadata, "uid"))
            .unwrap_or_else(|| format!("00000000-0000-4000-8000-{next:012x}").into());
        metadata["creationTimestamp"] = first("creationTimestamp")
            .or_else(|| given(metadata, "creationTimestamp"))
            .unwrap_or_else(|| format!("{:.0}", self.clock.now()).into());
    }

    fn remember(&mut self, place: StoredPlace, old: Option<Arc<Value>>, new: Arc<Value>, removed: bool) {
        if self.history.len() == HISTORY
            && let Some(forgotten) = self.history.pop_front()
        {
            self.oldest = forgotten.revision;
        }
        self.history.push_back(WatchChange { revision: self.revision, place, old, new, removed });
    }

    fn locate(&self, object: &Value) -> Result<(StoredPlace, Served), StubError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let found = self.served.iter().find(|(_, served)| served.group == group && served.kind == kind);
        let Some((resource, served)) = found else { return Err(StubError::NotInstalled { api_version, kind }) };
        let name = object["metadata"]["name"].as_str().filter(|name| !name.is_empty()).ok_or(StubError::NoName)?;
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
        Ok((place(Arc::clone(resource), namespace, name), served.clone()))
    }

    fn named(&self, resource: &str, namespace: &str, name: &str) -> Result<(StoredPlace, Arc<Value>), StubError> {
        let place = place(resource.into(), namespace, name);
        let object = self.objects.get(&place).cloned().ok_or_else(|| not_found(resource, namespace, name))?;
        Ok((place, object))
    }
}

pub(super) fn place(resource: Arc<str>, namespace: &str, name: &str) -> StoredPlace {
    StoredPlace { resource, namespace: namespace.to_owned(), name: name.to_owned() }
}

fn not_found(resource: &str, namespace: &str, name: &str) -> StubError {
    StubError::NotFound { resource: resource.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
}

/// An ordinary write cannot change a status that is a subresource, and gets no error about it.
fn keep_status(object: &mut Value, old: Option<&Value>, rule: StatusRule, part: Part) {
    if part != Part::Main || rule == StatusRule::Ordinary {
        return;
    }
    let kept = match old {
        Some(old) => old.get("status").cloned(),
        None if rule == StatusRule::SubresourceOfFlux => Some(json!({ "observedGeneration": -1 })),
        None => None,
    };
    if let Some(fields) = object.as_object_mut() {
        match kept {
            Some(status) => drop(fields.insert("status".to_owned(), status)),
            None => drop(fields.shift_remove("status")),
        }
    }
}

/// The part of an object whose change is a new generation.
fn meaning(object: &Value, rule: StatusRule) -> Map<String, Value> {
    let mut fields = object.as_object().cloned().unwrap_or_default();
    fields.shift_remove("metadata");
    if rule != StatusRule::Ordinary {
        fields.shift_remove("status");
    }
    fields
}

/// JSON merge patch (RFC 7396).
pub(super) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.shift_remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> ClusterState {
        ClusterState::new(Served::all(), Clock::from_fn(|| "2026-01-05T08:00:00Z".parse().unwrap()))
    }

    fn object(api_version: &str, kind: &str) -> Value {
        json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "web", "namespace": "web" } })
    }

    #[test]
    fn a_status_is_dropped_where_it_is_a_subresource() {
        let flux = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", json!({ "observedGeneration": -1 }));
        let argo = ("argoproj.io/v1alpha1", "Application", json!({ "sync": "Synced" }));
        let workload = ("apps/v1", "Deployment", Value::Null);
        for (api_version, kind, expected) in [flux, argo, workload] {
            let mut world = world();
            let mut object = object(api_version, kind);
            object["status"] = json!({ "sync": "Synced" });
            assert_eq!(world.apply(object).unwrap()["status"], expected, "{kind}");
        }
    }

    #[test]
    fn generations_follow_what_is_asked_for() {
        let mut world = world();
        let mut deployment = object("apps/v1", "Deployment");
        deployment["spec"] = json!({ "replicas": 1 });
        let first = world.apply(deployment.clone()).unwrap();
        assert_eq!(first["metadata"]["creationTimestamp"], "2026-01-05T08:00:00Z");
        let same = world.apply(deployment.clone()).unwrap();
        assert_eq!(first["metadata"]["resourceVersion"], same["metadata"]["resourceVersion"]);
        let status = world.patch_status("deployments.apps", "web", "web", &json!({ "replicas": 1 })).unwrap();
        assert_eq!(status["metadata"]["generation"], 1);
        deployment["spec"]["replicas"] = json!(2);
        let second = world.apply(deployment).unwrap();
        assert_eq!(second["metadata"]["generation"], 2);
        assert_eq!(second["status"]["replicas"], 1);
        assert_ne!(status["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    }

    #[test]
    fn without_a_subresource_a_status_is_a_new_generation() {
        let mut world = world();
        world.apply(object("argoproj.io/v1alpha1", "Application")).unwrap();
        let patched = world.patch_status("applications.argoproj.io", "web", "web", &json!({ "sync": {} })).unwrap();
        assert_eq!(patched["metadata"]["generation"], 2);
    }
}
