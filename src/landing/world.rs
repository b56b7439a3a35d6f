//! The objects of one cluster at one time, and how to get from one to another.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::{SignedDuration, Timestamp};

use crate::model::observation::{Body, Event, Object, ObjectKey, ObjectRef, Revision};

use super::question;
use super::tie::Ties;

/// Namespace, kind and name, hashed: how owner references and events name objects. Whoever reads compares the names.
type Id = u64;

fn id(namespace: &str, kind: &str, name: &str) -> Id {
    let mut hasher = DefaultHasher::new();
    (namespace, kind, name).hash(&mut hasher);
    hasher.finish()
}

/// Argo CD polls every 120 s with up to 60 s of jitter; a status older than three of these is stale.
const STALE_AFTER: SignedDuration = SignedDuration::from_secs(3 * (120 + 60));

/// Objects, indexed, and the time at which they are judged.
#[derive(Debug)]
pub struct World<'a> {
    now: Timestamp,
    stale_after: SignedDuration,
    objects: Vec<&'a Object>,
    by_name: HashMap<Id, Vec<&'a Object>>,
    children: HashMap<Id, Vec<&'a Object>>,
    events: HashMap<Id, Vec<&'a Event>>,
    ties: Ties<'a>,
    unowned: Vec<&'a Object>,
}

impl<'a> World<'a> {
    /// Indexes objects. Where one is there twice, the later one counts.
    #[must_use]
    pub fn new(objects: impl IntoIterator<Item = &'a Object>, now: Timestamp) -> Self {
        let mut newest: HashMap<ObjectKey, usize> = HashMap::new();
        let mut kept: Vec<Option<&'a Object>> = Vec::new();
        for object in objects {
            if let Some(earlier) = newest.insert(object.key(), kept.len()) {
                kept[earlier] = None;
            }
            kept.push(Some(object));
        }
        let mut world = Self {
            now,
            stale_after: STALE_AFTER,
            objects: kept.into_iter().flatten().collect(),
            by_name: HashMap::new(),
            children: HashMap::new(),
            events: HashMap::new(),
            ties: Ties::default(),
            unowned: Vec::new(),
        };
        for object in &world.objects {
            let namespace = object.namespace.as_deref().unwrap_or_default();
            world.by_name.entry(id(namespace, &object.kind, &object.name)).or_default().push(object);
            for owner in &object.owners {
                world.children.entry(id(namespace, &owner.kind, &owner.name)).or_default().push(object);
            }
            if matches!(object.body, Body::Pod(_)) && object.owners.is_empty() {
                world.unowned.push(object);
            }
            if let Body::Event(event) = &object.body {
                let namespace = event.about.namespace.as_deref().unwrap_or(namespace);
                let kind = event.about.kind.as_deref().unwrap_or_default();
                world.events.entry(id(namespace, kind, &event.about.name)).or_default().push(event);
            }
        }
        world.ties = Ties::find(&world);
        world
    }

    /// The same world, with another age from which on a controller's status is too old: three of its polling intervals.
    #[must_use]
    pub fn stale_after(mut self, age: SignedDuration) -> Self {
        self.stale_after = age;
        self
    }

    /// The revisions that occur, as keys of [`super::Git::Facts`]: what Git is to be asked about.
    #[must_use]
    pub fn revisions(&self) -> BTreeSet<String> {
        Self::revisions_of(self.objects())
    }

    /// Those of some objects.
    #[must_use]
    pub fn revisions_of<'o>(objects: impl IntoIterator<Item = &'o Object>) -> BTreeSet<String> {
        let mut all: BTreeSet<&Revision> = BTreeSet::new();
        for object in objects {
            match &object.body {
                Body::Application(app) => {
                    all.extend(&app.sync_revisions);
                    all.extend(app.history.iter().flat_map(|entry| &entry.revisions));
                    all.extend(app.operation.iter().flat_map(|operation| &operation.revisions));
                    let dry = app.hydration.as_ref();
                    all.extend(dry.into_iter().flat_map(|h| h.dry_sha.iter().chain(&h.last_dry_sha)));
                }
                Body::Source(source) => all.extend(source.artifact.as_ref().map(|artifact| &artifact.revision)),
                Body::Kustomization(it) => {
                    let now =
                        [&it.last_applied, &it.last_attempted, &it.last_applied_origin, &it.last_attempted_origin];
                    all.extend(now.into_iter().flatten());
                    all.extend(it.history.iter().filter_map(|entry| entry.revision.as_ref()));
                }
                Body::HelmChart(chart) => all.extend(&chart.observed_source_revision),
                _ => {}
            }
        }
        all.into_iter().map(|revision| question::key(revision).to_owned()).collect()
    }

    /// Whether a time at which a controller last looked is too long ago.
    pub(super) fn is_stale(&self, time: Timestamp) -> bool {
        self.since(time) > self.stale_after
    }

    /// Which workloads belong to which controllers.
    pub(super) fn ties(&self) -> &Ties<'a> {
        &self.ties
    }

    /// The time of judging.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// All objects, each once.
    pub fn objects(&self) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().copied()
    }

    /// The object of a key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&'a Object> {
        self.named(&key.kind, &key.namespace, &key.name).find(|object| object.group() == key.group)
    }

    /// Objects of a kind and name, whatever their group.
    pub(super) fn named<'n>(
        &'n self,
        kind: &'n str,
        namespace: &'n str,
        name: &'n str,
    ) -> impl Iterator<Item = &'a Object> + use<'a, 'n> {
        let found = self.by_name.get(&id(namespace, kind, name)).map_or(&[] as &[&Object], Vec::as_slice);
        found.iter().copied().filter(move |object| {
            object.kind == kind && object.name == name && object.namespace.as_deref().unwrap_or_default() == namespace
        })
    }

    /// What a reference means, seen from the object that holds it.
    pub(super) fn referred(&self, from: &Object, to: &ObjectRef, kind: &str) -> Option<&'a Object> {
        let namespace = to.namespace.as_deref().or(from.namespace.as_deref()).unwrap_or_default();
        self.named(to.kind.as_deref().unwrap_or(kind), namespace, &to.name).next()
    }

    /// Bare pods.
    pub(super) fn pods_without_owner<'n>(&'n self) -> impl Iterator<Item = &'a Object> + use<'a, 'n> {
        self.unowned.iter().copied()
    }

    /// What an object owns. An owner of the same name with another identity is another object.
    pub(super) fn children<'n>(&'n self, owner: &'n Object) -> impl Iterator<Item = &'a Object> + use<'a, 'n> {
        let namespace = owner.namespace.as_deref().unwrap_or_default();
        let found =
            self.children.get(&id(namespace, &owner.kind, &owner.name)).map_or(&[] as &[&Object], Vec::as_slice);
        found.iter().copied().filter(move |child| {
            let link = child.owners.iter().find(|link| link.kind == owner.kind && link.name == owner.name);
            child.namespace == owner.namespace
                && link.is_some_and(|link| match (&link.uid, &owner.uid) {
                    (Some(link), Some(owner)) => link == owner,
                    _ => true,
                })
        })
    }

    /// Events about an object.
    pub(super) fn events<'n>(&'n self, about: &'n Object) -> impl Iterator<Item = &'a Event> + use<'a, 'n> {
        let namespace = about.namespace.as_deref().unwrap_or_default();
        let found = self.events.get(&id(namespace, &about.kind, &about.name)).map_or(&[] as &[&Event], Vec::as_slice);
        found.iter().copied().filter(move |event| {
            let same = event.about.kind.as_deref() == Some(about.kind.as_str()) && event.about.name == about.name;
            same && match (&event.about_uid, &about.uid) {
                (Some(event), Some(object)) => event == object,
                _ => true,
            }
        })
    }

    /// How long ago a time was; a time to come is now.
    pub(super) fn since(&self, time: Timestamp) -> SignedDuration {
        self.now.duration_since(time).max(SignedDuration::ZERO)
    }
}
