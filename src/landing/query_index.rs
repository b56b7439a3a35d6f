//! The query index of one cluster: its objects, indexed by the queries asked about them, kept from pass to pass.
//!
//! Design: every query (what has this name, what does this own, which events are about it, …) has a key. A changed
//! object dirties every key it was or is indexed under. Whoever judges an object notes the keys it read ([`Reads`]);
//! after a change, only the verdicts that read a dirty key ([`DirtyKeys`]) are computed again. Which controller manages
//! which workload is a query across keys: it is answered again as a whole when any of its inputs changes, and the keys
//! whose answer differs are dirty.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::model::observation::{Body, Object, ObjectKey, ObjectRef};

use super::tie::{self, Ties};

/// A hashed query. Readers compare names too, so a collision of two keys does no harm.
pub(super) type IndexKey = u64;

/// The queries.
#[derive(Hash, Clone, Copy)]
pub(super) enum IndexQuery {
    /// Objects with this name.
    Named,
    /// Objects that name this one as their owner.
    OwnedBy,
    /// Events about this object.
    About,
    /// Objects with this name, in any namespace.
    Anywhere,
    /// Pods of ReplicaSets that are named after this object.
    PodsBelow,
    /// Pods without an owner.
    BarePods,
    /// Kustomizations, HelmReleases and HelmCharts that are made from this source.
    MadeFrom,
    /// The controllers of this workload.
    Controllers,
    /// The workloads of this controller.
    Workloads,
}

impl IndexQuery {
    pub(super) fn of(self, namespace: &str, kind: &str, name: &str) -> IndexKey {
        let mut hasher = DefaultHasher::new();
        (self, namespace, kind, name).hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn key(self, key: &ObjectKey) -> IndexKey {
        self.of(&key.namespace, &key.kind, &key.name)
    }
}

/// The keys that a verdict was based on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reads {
    pub(super) keys: Box<[IndexKey]>,
    /// Whether all objects were read.
    pub(super) everything: bool,
}

/// The keys that changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirtyKeys(HashSet<IndexKey>);

impl DirtyKeys {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a verdict that was based on these keys may be different now.
    #[must_use]
    pub fn meets(&self, reads: &Reads) -> bool {
        !self.0.is_empty() && (reads.everything || reads.keys.iter().any(|key| self.0.contains(key)))
    }
}

/// A change to a cluster's objects.
#[derive(Debug, Clone)]
pub enum ObjectChange {
    /// The object was added or changed.
    Is(Arc<Object>),
    /// The object was deleted.
    Gone(ObjectKey),
}

type Buckets = HashMap<IndexKey, Vec<Arc<Object>>>;

/// The objects of one cluster.
#[derive(Debug, Default)]
pub struct QueryIndex {
    /// Every object once, by name.
    named: Buckets,
    /// Some of them again, by the other queries.
    others: Buckets,
    ties: Ties,
    /// Whether something changed that ties depend on.
    untied: bool,
}

impl QueryIndex {
    /// An index of these objects. If an object occurs twice, the later one counts.
    #[must_use]
    pub fn of(objects: impl IntoIterator<Item = Arc<Object>>) -> Self {
        let mut index = Self { untied: true, ..Self::default() };
        let _all = index.update(objects.into_iter().map(ObjectChange::Is));
        index
    }

    /// Applies changes, and returns the keys they touch.
    pub fn update(&mut self, changes: impl IntoIterator<Item = ObjectChange>) -> DirtyKeys {
        let mut touched = HashSet::new();
        for change in changes {
            #[cfg(test)]
            self.break_off(&change);
            match change {
                ObjectChange::Is(object) => self.replace(&object.key(), Some(&object), &mut touched),
                ObjectChange::Gone(key) => self.replace(&key, None, &mut touched),
            }
        }
        if std::mem::take(&mut self.untied) {
            let ties = Ties::find(self);
            let before = std::mem::replace(&mut self.ties, ties);
            touched.extend(self.ties.differences(&before));
        }
        DirtyKeys(touched)
    }

    /// Tests break off at an object of one name, and at the second one of another.
    #[cfg(test)]
    fn break_off(&self, change: &ObjectChange) {
        let ObjectChange::Is(object) = change else { return };
        assert!(object.name != "breaks-the-index", "on purpose");
        let other = |it: &Object| it.name == "breaks-together" && it.kind != object.kind;
        assert!(object.name != "breaks-together" || !self.all().any(other), "on purpose");
    }

    fn replace(&mut self, key: &ObjectKey, after: Option<&Arc<Object>>, touched: &mut HashSet<IndexKey>) {
        let before =
            self.named.get(&IndexQuery::Named.key(key)).and_then(|row| row.iter().find(|it| is(it, key))).cloned();
        let alike = before.as_ref().zip(after).is_some_and(|(before, after)| tie::is_alike(before, after));
        let ties_stay = self.untied || alike;
        // Whoever asks what a controller manages also reads the templates.
        if before.as_deref().map(tie::own_template) != after.map(|after| tie::own_template(after)) {
            touched.extend(self.ties.controllers(key).iter().map(|key| IndexQuery::Workloads.key(key)));
        }
        // Pods and ReplicaSets come and go all the time, and few of them are workloads in their own right.
        let meant = |it: &Self| tie::decides(&key.kind) || it.decides_at(key);
        let meant_before = !ties_stay && meant(self);
        for object in before.iter().chain(after) {
            touched.insert(IndexQuery::Named.key(key));
            touched.extend(bucket_keys(object));
        }
        if let Some(before) = &before {
            take(&mut self.named, IndexQuery::Named.key(key), key);
            bucket_keys(before).for_each(|bucket| take(&mut self.others, bucket, key));
        }
        if let Some(after) = after {
            put(&mut self.named, IndexQuery::Named.key(key), after);
            bucket_keys(after).for_each(|bucket| put(&mut self.others, bucket, after));
        }
        self.untied |= !ties_stay && (meant_before || meant(self));
    }

    /// Whether an object, or one that it owns, affects who manages what.
    fn decides_at(&self, key: &ObjectKey) -> bool {
        let owned = on(&self.others, IndexQuery::OwnedBy.key(key)).iter().map(AsRef::as_ref);
        let means = |object: &Object| tie::decides(&object.kind) || tie::is_workload(self, object);
        self.get(key).into_iter().chain(owned).any(means)
    }

    /// All objects, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Object> {
        self.named.values().flatten().map(AsRef::as_ref)
    }

    /// Which workloads belong to which controllers.
    pub(super) fn ties(&self) -> &Ties {
        &self.ties
    }

    /// The object of a key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Object> {
        on(&self.named, IndexQuery::Named.key(key)).iter().map(AsRef::as_ref).find(|object| is(object, key))
    }

    /// Objects of a kind and name, in any API group.
    pub(super) fn named<'c, 'n>(
        &'c self,
        kind: &'n str,
        namespace: &'n str,
        name: &'n str,
    ) -> impl Iterator<Item = &'c Object> + use<'c, 'n> {
        let row = on(&self.named, IndexQuery::Named.of(namespace, kind, name)).iter().map(AsRef::as_ref);
        row.filter(move |object: &&Object| object.kind == kind && object.name == name && space(object) == namespace)
    }

    /// The objects under a key; the caller must compare names.
    pub(super) fn bucket(&self, key: IndexKey) -> impl Iterator<Item = &Object> {
        on(&self.others, key).iter().map(AsRef::as_ref)
    }

    /// Resolves a reference, as seen from the object that holds it.
    pub(super) fn referred(&self, from: &Object, to: &ObjectRef, kind: &str) -> Option<&Object> {
        let namespace = to.namespace.as_deref().or(from.namespace.as_deref()).unwrap_or_default();
        self.named(to.kind.as_deref().unwrap_or(kind), namespace, &to.name).next()
    }
}

/// The namespace, empty where there is none.
pub(super) fn space(object: &Object) -> &str {
    object.namespace.as_deref().unwrap_or_default()
}

fn is(object: &Object, key: &ObjectKey) -> bool {
    object.kind == key.kind && object.name == key.name && space(object) == key.namespace && object.group() == key.group
}

/// The order within a bucket, so that answers do not depend on the order of arrival.
pub(super) fn order(one: &Object, other: &Object) -> Ordering {
    (space(one), &one.kind, &one.name, one.group()).cmp(&(space(other), &other.kind, &other.name, other.group()))
}

fn on(keys: &Buckets, key: IndexKey) -> &[Arc<Object>] {
    keys.get(&key).map_or(&[], Vec::as_slice)
}

fn put(keys: &mut Buckets, key: IndexKey, object: &Arc<Object>) {
    let row = keys.entry(key).or_default();
    match row.binary_search_by(|other| order(other, object)) {
        Ok(at) => row[at] = Arc::clone(object),
        Err(at) => row.insert(at, Arc::clone(object)),
    }
}

fn take(keys: &mut Buckets, bucket: IndexKey, key: &ObjectKey) {
    let Some(row) = keys.get_mut(&bucket) else { return };
    row.retain(|object| !is(object, key));
    if row.is_empty() {
        keys.remove(&bucket);
    }
}

/// The keys an object is indexed under, besides its name.
fn bucket_keys(object: &Object) -> impl Iterator<Item = IndexKey> {
    let namespace = space(object);
    let owned = object.owners.iter().map(move |owner| IndexQuery::OwnedBy.of(namespace, &owner.kind, &owner.name));
    let is_pod = matches!(object.body, Body::Pod(_));
    let sets = object.owners.iter().filter(move |owner| is_pod && owner.kind == "ReplicaSet");
    let below = sets.filter_map(|owner| owner.name.rsplit_once('-').filter(|(_, hash)| !hash.is_empty()));
    let below = below.map(move |(stem, _)| IndexQuery::PodsBelow.of(namespace, "", stem));
    let bare = (is_pod && object.owners.is_empty()).then(|| IndexQuery::BarePods.of(namespace, "", ""));
    let about = match &object.body {
        Body::Event(event) => {
            let namespace = event.about.namespace.as_deref().unwrap_or(namespace);
            Some(IndexQuery::About.of(namespace, event.about.kind.as_deref().unwrap_or_default(), &event.about.name))
        }
        _ => None,
    };
    let made = source_of(object).map(|source| IndexQuery::MadeFrom.key(&source));
    let anywhere = IndexQuery::Anywhere.of("", &object.kind, &object.name);
    owned.chain(below).chain(bare).chain(about).chain(made).chain(std::iter::once(anywhere))
}

/// The source that an object of Flux is made from; its API group is left open.
pub(super) fn source_of(object: &Object) -> Option<ObjectKey> {
    let (to, kind) = match &object.body {
        Body::Kustomization(it) => (&it.source_ref, "GitRepository"),
        Body::HelmRelease(it) => {
            (it.chart_ref.as_ref().or(it.chart.as_ref().map(|chart| &chart.source_ref))?, "HelmRepository")
        }
        Body::HelmChart(it) => (&it.spec.source_ref, "HelmRepository"),
        _ => return None,
    };
    let namespace = to.namespace.as_deref().or(object.namespace.as_deref());
    Some(ObjectKey::new("", to.kind.as_deref().unwrap_or(kind), namespace, &to.name))
}
