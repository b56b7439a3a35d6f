//! The objects of one cluster at one time, and how to get from one to the next.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use crate::model::Verdict;
use crate::model::observation::{Body, Event, Object, ObjectKey, ObjectRef, Revision};

use super::query_index::{IndexKey, IndexQuery, QueryIndex, Reads, order, source_of, space};
use super::{Assessment, question};

/// Argo CD polls every 120 s with up to 60 s of jitter; a status older than three of these is stale.
const STALE_AFTER: SignedDuration = SignedDuration::from_secs(3 * (120 + 60));

/// Maximum number of keys noted for one verdict; a verdict with more is computed again after every change.
const MAX_NOTED: usize = 1_000;

/// The objects of a cluster, and the time at which they are judged.
#[derive(Debug)]
pub struct World<'a> {
    now: Timestamp,
    stale_after: SignedDuration,
    all: &'a QueryIndex,
    /// What has been read since [`World::note`].
    noted: RefCell<Noted>,
    /// Assessments by the address of their object: every image that a controller applies asks for the controller's.
    assessed: RefCell<HashMap<usize, (Assessment, Reads)>>,
    /// The objects that are being assessed, by their addresses, outermost first.
    underway: RefCell<Vec<usize>>,
}

/// How many objects may wait for one another in a chain. Real ones are a few deep; a longer one is anybody's who may write objects.
const MAX_CHAIN: usize = 50;

#[derive(Debug, Default)]
struct Noted {
    keys: Vec<IndexKey>,
    everything: bool,
}

impl Noted {
    fn add(&mut self, keys: &[IndexKey], everything: bool) {
        self.everything |= everything;
        if self.everything {
            self.keys = Vec::new();
            return;
        }
        self.keys.extend_from_slice(keys);
        if self.keys.len() > 2 * MAX_NOTED {
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        self.keys.sort_unstable();
        self.keys.dedup();
        if self.keys.len() > MAX_NOTED {
            (self.keys, self.everything) = (Vec::new(), true);
        }
    }

    fn reads(mut self) -> Reads {
        self.tidy();
        Reads { keys: self.keys.into(), everything: self.everything }
    }
}

impl<'a> World<'a> {
    /// A cluster at one time.
    #[must_use]
    pub fn new(objects: &'a QueryIndex, now: Timestamp) -> Self {
        let (noted, assessed, underway) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { now, stale_after: STALE_AFTER, all: objects, noted, assessed, underway }
    }

    /// Forgets what has been read so far.
    pub fn note(&self) {
        drop(self.noted.take());
    }

    /// What has been read since [`World::note`].
    #[must_use]
    pub fn noted(&self) -> Reads {
        self.noted.take().reads()
    }

    fn look(&self, key: IndexKey) -> IndexKey {
        self.noted.borrow_mut().add(&[key], false);
        key
    }

    /// The assessment of an object; `assess` computes it the first time. One that waits for itself, through however many others, or for
    /// very many in a chain, is unknown to whoever waits for it.
    pub(super) fn assessed(&self, object: &Object, assess: impl FnOnce() -> Assessment) -> Assessment {
        let kept = self.all.get(&object.key()).filter(|kept| std::ptr::eq(*kept, object));
        // An object elsewhere in memory may be dropped and its address used again.
        let Some(address) = kept.map(|kept| std::ptr::from_ref(kept).addr()) else { return assess() };
        if let Some((found, reads)) = self.assessed.borrow().get(&address) {
            self.noted.borrow_mut().add(&reads.keys, reads.everything);
            return found.clone();
        }
        {
            let mut underway = self.underway.borrow_mut();
            if underway.contains(&address) || underway.len() >= MAX_CHAIN {
                return Assessment::new(Verdict::Unknown);
            }
            underway.push(address);
        }
        let outer = self.noted.take();
        let found = assess();
        self.underway.borrow_mut().pop();
        let reads = self.noted.replace(outer).reads();
        self.noted.borrow_mut().add(&reads.keys, reads.everything);
        self.assessed.borrow_mut().insert(address, (found.clone(), reads));
        found
    }

    /// The same view with another age at which a controller's status is stale: three of its polling intervals.
    #[must_use]
    pub fn stale_after(mut self, age: SignedDuration) -> Self {
        self.stale_after = age;
        self
    }

    /// The revisions that occur, as keys of [`super::Git::Facts`]: the ones to look up in Git.
    #[must_use]
    pub fn revisions(&self) -> BTreeSet<String> {
        Self::revisions_of(self.objects())
    }

    /// The revisions that occur in some objects.
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

    /// Whether a controller's last reconciliation was too long ago.
    pub(super) fn is_stale(&self, time: Timestamp) -> bool {
        self.since(time) > self.stale_after
    }

    /// The controllers of a workload, nearest first (a HelmRelease before the Kustomization that declares it).
    pub(super) fn controllers(&self, workload: &Object) -> Vec<&'a Object> {
        let key = workload.key();
        self.look(IndexQuery::Controllers.key(&key));
        self.all.ties().controllers(&key).iter().filter_map(|key| self.get(key)).collect()
    }

    /// The workloads of a controller.
    pub(super) fn workloads(&self, controller: &Object) -> Vec<&'a Object> {
        self.templates(controller).into_iter().inspect(|workload| self.rely(workload)).collect()
    }

    /// The workloads of a controller, for callers that look only at their templates. Templates and membership are
    /// tracked together under one key, since a controller may have thousands of workloads. A caller that looks at
    /// anything else of a workload must call [`World::rely`] for it.
    pub(super) fn templates(&self, controller: &Object) -> Vec<&'a Object> {
        let key = controller.key();
        self.look(IndexQuery::Workloads.key(&key));
        self.all.ties().workloads(&key).iter().filter_map(|key| self.all.get(key)).collect()
    }

    /// Notes that an object was read.
    pub(super) fn rely(&self, object: &Object) {
        self.look(IndexQuery::Named.of(space(object), &object.kind, &object.name));
    }

    /// Whether a Deployment only provides the template for a Rollout that runs in its place. Callers must have asked
    /// for its controllers, or for what a controller manages; those answers change together with this one.
    pub(super) fn is_only_a_template(&self, workload: &Object) -> bool {
        self.all.ties().is_only_a_template(workload)
    }

    /// All objects that count as workloads.
    pub(super) fn all_workloads(&self) -> Vec<&'a Object> {
        let mut all = self.objects();
        all.retain(|object| super::tie::is_workload(self.all, object));
        all
    }

    /// The time at which the cluster is judged.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// All objects, each once, by namespace, kind and name.
    #[must_use]
    pub fn objects(&self) -> Vec<&'a Object> {
        self.noted.borrow_mut().add(&[], true);
        let mut all: Vec<&'a Object> = self.all.all().collect();
        all.sort_unstable_by(|one, other| order(one, other));
        all
    }

    /// The object of a key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&'a Object> {
        self.look(IndexQuery::Named.key(key));
        self.all.get(key)
    }

    /// Objects of a kind and name, in any API group.
    pub(super) fn named<'n>(
        &self,
        kind: &'n str,
        namespace: &'n str,
        name: &'n str,
    ) -> impl Iterator<Item = &'a Object> + use<'a, 'n> {
        self.look(IndexQuery::Named.of(namespace, kind, name));
        self.all.named(kind, namespace, name)
    }

    /// Objects of a kind and name, in any namespace.
    pub(super) fn anywhere<'n>(&self, kind: &'n str, name: &'n str) -> impl Iterator<Item = &'a Object> + use<'a, 'n> {
        let found = self.all.bucket(self.look(IndexQuery::Anywhere.of("", kind, name)));
        found.filter(move |object: &&Object| object.kind == kind && object.name == name)
    }

    /// Resolves a reference, as seen from the object that holds it.
    pub(super) fn referred(&self, from: &Object, to: &ObjectRef, kind: &str) -> Option<&'a Object> {
        let namespace = to.namespace.as_deref().or(from.namespace.as_deref()).unwrap_or_default();
        self.named(to.kind.as_deref().unwrap_or(kind), namespace, &to.name).next()
    }

    /// What Flux makes from a source.
    pub(super) fn made_from(&self, source: &Object) -> Vec<&'a Object> {
        let found = self.all.bucket(self.look(IndexQuery::MadeFrom.of(space(source), &source.kind, &source.name)));
        let is_it = |object: &&Object| {
            source_of(object)
                .is_some_and(|to| to.kind == source.kind && to.name == source.name && to.namespace == space(source))
        };
        found.filter(is_it).collect()
    }

    /// Bare pods of a namespace.
    pub(super) fn pods_without_owner(&self, namespace: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        let namespace = namespace.to_owned();
        let found = self.all.bucket(self.look(IndexQuery::BarePods.of(&namespace, "", "")));
        found.filter(move |pod: &&Object| {
            space(pod) == namespace && pod.owners.is_empty() && matches!(pod.body, Body::Pod(_))
        })
    }

    /// Pods whose ReplicaSet, known or not, is named after an object: `web-7d9c5b8f66` after `web`.
    pub(super) fn pods_below(&self, object: &Object) -> impl Iterator<Item = &'a Object> + use<'a> {
        let (namespace, stem) = (space(object).to_owned(), object.name.clone());
        let found = self.all.bucket(self.look(IndexQuery::PodsBelow.of(&namespace, "", &stem)));
        let is_below = move |pod: &&Object| {
            space(pod) == namespace
                && pod.owners.iter().any(|owner| {
                    let split = owner.name.rsplit_once('-');
                    owner.kind == "ReplicaSet" && split.is_some_and(|(before, hash)| before == stem && !hash.is_empty())
                })
        };
        found.filter(is_below)
    }

    /// A workload with what it owns, at two levels, as far as it is not up: the cluster's Events may explain these.
    #[must_use]
    pub fn unwell(&self, workload: &ObjectKey) -> Vec<&'a Object> {
        let Some(top) = self.get(workload) else { return Vec::new() };
        let mut found = vec![top];
        let below: Vec<&'a Object> = self.children(top).collect();
        for child in below {
            found.push(child);
            found.extend(self.children(child));
        }
        found.retain(|object| super::assess(self, object).verdict != Verdict::Current);
        // Pods say most; what is above them adds little.
        found.sort_by_key(|object| !matches!(object.body, Body::Pod(_)));
        found
    }

    /// What an object owns. An owner with the same name but another UID is a different object.
    pub(super) fn children<'n>(&self, owner: &'n Object) -> impl Iterator<Item = &'a Object> + use<'a, 'n> {
        let found = self.all.bucket(self.look(IndexQuery::OwnedBy.of(space(owner), &owner.kind, &owner.name)));
        found.filter(move |child: &&Object| {
            let link = child.owners.iter().find(|link| link.kind == owner.kind && link.name == owner.name);
            child.namespace == owner.namespace
                && link.is_some_and(|link| match (&link.uid, &owner.uid) {
                    (Some(link), Some(owner)) => link == owner,
                    _ => true,
                })
        })
    }

    /// What an owner of a kind and name owns, for an owner that may not be visible itself.
    pub(super) fn owned_by<'n>(
        &self,
        namespace: &'n str,
        kind: &'n str,
        name: &'n str,
    ) -> impl Iterator<Item = &'a Object> + use<'a, 'n> {
        let found = self.all.bucket(self.look(IndexQuery::OwnedBy.of(namespace, kind, name)));
        found.filter(move |child: &&Object| {
            space(child) == namespace && child.owners.iter().any(|link| link.kind == kind && link.name == name)
        })
    }

    /// Events about an object.
    pub(super) fn events<'n>(&self, about: &'n Object) -> impl Iterator<Item = &'a Event> + use<'a, 'n> {
        let found = self.all.bucket(self.look(IndexQuery::About.of(space(about), &about.kind, &about.name)));
        found.filter_map(move |object: &Object| {
            let Body::Event(event) = &object.body else { return None };
            let same = event.about.kind.as_deref() == Some(about.kind.as_str()) && event.about.name == about.name;
            let it = same
                && match (&event.about_uid, &about.uid) {
                    (Some(event), Some(object)) => event == object,
                    _ => true,
                };
            it.then_some(event.as_ref())
        })
    }

    /// How long ago a time was; a future time counts as now.
    pub(super) fn since(&self, time: Timestamp) -> SignedDuration {
        self.now.duration_since(time).max(SignedDuration::ZERO)
    }
}
