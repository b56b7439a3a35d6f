//! What is currently known about a cluster, and where it is stored.
//!
//! Promise: a snapshot never holds half a list: a list takes effect when its last page has arrived. Taking a snapshot
//! copies a few pointers; a change while one is held copies the map of its kind once, never an object. Whoever holds
//! the previous snapshot can find out what is new in the next ([`Snapshot::differences`]).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::WatchedKind;
use super::state::{KindState, KindStatus};
use crate::model::observation::Object;

/// Maximum number of unreadable objects of one kind that are named.
const MAX_UNREADABLE: usize = 1_000;
/// Stands for the unnamed ones, in any namespace.
const MORE_UNREADABLE: &str = "more";

/// A source of the current time.
#[derive(Clone)]
pub struct Now(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Now {
    /// The time is what `read` returns.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(super) fn get(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

/// Namespace and name.
pub(super) type Name = (Arc<str>, Arc<str>);
/// Objects of one kind.
pub(super) type Objects = BTreeMap<Name, Arc<Object>>;

/// One watch: a kind, in one namespace or in all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WatchScope {
    pub(super) kind: WatchedKind,
    pub(super) namespace: Option<String>,
}

/// Everything known about a cluster at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// The status of each kind.
    pub kinds: BTreeMap<WatchedKind, KindStatus>,
    /// Increases with every change of objects or states; [`Cluster::changed`](super::Cluster::changed) waits for the
    /// next one.
    pub generation: u64,
    stored: Vec<(WatchedKind, Arc<Objects>)>,
}

impl Snapshot {
    /// Every object, by kind, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.stored.iter().flat_map(|(_, objects)| objects.values())
    }

    /// The objects of one kind.
    pub fn of(&self, kind: WatchedKind) -> impl Iterator<Item = &Arc<Object>> {
        self.stored.iter().filter(move |(of, _)| *of == kind).flat_map(|(_, objects)| objects.values())
    }

    /// One object.
    #[must_use]
    pub fn get(&self, kind: WatchedKind, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        let key = (namespace.into(), name.into());
        self.stored.iter().filter(|(of, _)| *of == kind).find_map(|(_, objects)| objects.get(&key))
    }

    /// Removes an object about which nothing can be known here, with the reason.
    pub fn leave_out(&mut self, object: &Object, reason: &str) {
        let name: Name = (object.namespace.as_deref().unwrap_or_default().into(), object.name.as_str().into());
        for (kind, objects) in self.stored.iter_mut().filter(|(kind, _)| kind.name() == object.kind) {
            if Arc::make_mut(objects).remove(&name).is_some()
                && let Some(status) = self.kinds.get_mut(kind)
            {
                status.name_unreadable(shown(&name), reason.to_owned());
            }
        }
    }

    /// The same snapshot, marked as the last known state, with the reason why nothing newer is known.
    #[must_use]
    pub fn lost(mut self, since: Timestamp, reason: &str) -> Self {
        for status in self.kinds.values_mut() {
            status.state = KindState::Disconnected { since, message: reason.to_owned() };
        }
        self
    }

    /// The same without any object.
    #[must_use]
    pub fn emptied(mut self) -> Self {
        self.stored.iter_mut().for_each(|(_, objects)| *objects = Arc::default());
        self
    }

    /// Kinds that are not completely known: objects that are not seen may exist all the same.
    pub fn gaps(&self) -> impl Iterator<Item = (WatchedKind, &KindStatus)> {
        let known = |status: &KindStatus| status.state.is_complete() && status.unreadable.is_empty();
        self.kinds.iter().filter(move |(_, status)| !known(status)).map(|(kind, status)| (*kind, status))
    }

    /// When the server was last heard about the kind that has been silent for longest.
    #[must_use]
    pub fn heard(&self) -> Option<Timestamp> {
        let watched = self.kinds.values().filter(|status| status.state != KindState::NotInstalled);
        watched.map(|status| status.heard).min().flatten()
    }
}

/// An object that differs from an earlier snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Difference<'s> {
    /// Its earlier state; `None` if it did not exist.
    pub before: Option<&'s Arc<Object>>,
    /// Its current state; `None` if it was deleted.
    pub after: Option<&'s Arc<Object>>,
}

impl Snapshot {
    /// The objects that differ from an earlier snapshot of the same cluster. Kinds without news cost nothing.
    #[must_use]
    pub fn differences<'s>(&'s self, earlier: &'s Snapshot) -> Vec<Difference<'s>> {
        let mut found = Vec::new();
        // The kinds of a cluster are the same, and in the same order, as long as it is watched.
        for ((_, now), (_, before)) in self.stored.iter().zip(&earlier.stored) {
            if !Arc::ptr_eq(now, before) {
                differences(before, now, &mut found);
            }
        }
        found
    }

    /// Whether as much is visible as in an earlier snapshot, with the same reasons for what is not.
    #[must_use]
    pub fn sees_the_same(&self, earlier: &Snapshot) -> bool {
        let same = |(one, two): ((&WatchedKind, &KindStatus), (&WatchedKind, &KindStatus))| {
            let synced = matches!((&one.1.state, &two.1.state), (KindState::Synced { .. }, KindState::Synced { .. }));
            one.0 == two.0 && (synced || one.1.state == two.1.state) && one.1.unreadable == two.1.unreadable
        };
        self.kinds.len() == earlier.kinds.len() && self.kinds.iter().zip(&earlier.kinds).all(same)
    }
}

/// Both are ordered by name.
fn differences<'s>(before: &'s Objects, now: &'s Objects, found: &mut Vec<Difference<'s>>) {
    let (mut old, mut new) = (before.iter().peekable(), now.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        let before = if order.is_le() { old.next().map(|(_, object)| object) } else { None };
        let after = if order.is_ge() { new.next().map(|(_, object)| object) } else { None };
        // After a new list, unchanged objects are new copies.
        let same = before.zip(after).is_some_and(|(one, other)| Arc::ptr_eq(one, other) || one == other);
        if !same {
            found.push(Difference { before, after });
        }
    }
}

/// What one watch has collected.
#[derive(Debug, Default)]
struct StoredKind {
    objects: Arc<Objects>,
    status: KindStatus,
}

impl KindStatus {
    fn name_unreadable(&mut self, name: String, reason: String) {
        let named = self.unreadable.len() < MAX_UNREADABLE || self.unreadable.contains_key(&name);
        let name = if named { name } else { MORE_UNREADABLE.to_owned() };
        self.unreadable.insert(name, reason);
    }
}

/// The state of a cluster, shared by its watches.
#[derive(Debug)]
pub(super) struct ClusterStore {
    cluster: Arc<str>,
    now: Now,
    stored: Mutex<BTreeMap<WatchScope, StoredKind>>,
    generation: tokio::sync::watch::Sender<u64>,
}

impl ClusterStore {
    pub(super) fn new(cluster: &str, scopes: impl IntoIterator<Item = WatchScope>, now: Now) -> Self {
        let stored = scopes.into_iter().map(|scope| (scope, StoredKind::default())).collect();
        let generation = tokio::sync::watch::Sender::new(0);
        Self { cluster: cluster.into(), now, stored: Mutex::new(stored), generation }
    }

    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(super) fn generation(&self) -> tokio::sync::watch::Receiver<u64> {
        self.generation.subscribe()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        // Read before the objects: a change in between is seen and waited for again, never missed.
        let generation = *self.generation.borrow();
        let stored = self.lock();
        let mut kinds: BTreeMap<WatchedKind, KindStatus> = BTreeMap::new();
        for (scope, entry) in &*stored {
            let status = match kinds.remove(&scope.kind) {
                None => entry.status.clone(),
                Some(other) => other.worse(&entry.status),
            };
            kinds.insert(scope.kind, status);
        }
        let stored = stored.iter().map(|(scope, entry)| (scope.kind, Arc::clone(&entry.objects))).collect();
        Snapshot { cluster: Arc::clone(&self.cluster), kinds, generation, stored }
    }

    /// A complete list replaces the previous objects.
    pub(super) fn replace(
        &self,
        scope: &WatchScope,
        api_version: &str,
        objects: Objects,
        unreadable: BTreeMap<String, String>,
    ) {
        let now = self.now.get();
        self.change(scope, |entry| {
            entry.objects = Arc::new(objects);
            entry.status.unreadable.clear();
            for (name, reason) in unreadable {
                entry.status.name_unreadable(name, reason);
            }
            entry.status.heard = Some(now);
            entry.status.api_version = Some(api_version.to_owned());
            if entry.status.state == KindState::NotInstalled {
                entry.status.state = KindState::Starting;
            }
        });
    }

    /// The list is now being followed. This is not reported earlier: an account may be allowed to list but not to
    /// watch, and the kind would alternate between synced and forbidden.
    pub(super) fn followed(&self, scope: &WatchScope) {
        self.set(scope, KindState::Synced { at: self.now.get() });
    }

    /// One object was added or changed.
    pub(super) fn put(&self, scope: &WatchScope, name: Name, object: Object) {
        let now = self.now.get();
        self.change(scope, |entry| {
            entry.status.unreadable.remove(&shown(&name));
            entry.status.heard = Some(now);
            Arc::make_mut(&mut entry.objects).insert(name, Arc::new(object));
        });
    }

    /// One object changed into something unreadable: its previous state would be wrong.
    pub(super) fn spoil(&self, scope: &WatchScope, name: &Name, reason: String) {
        let now = self.now.get();
        self.change(scope, |entry| {
            Arc::make_mut(&mut entry.objects).remove(name);
            entry.status.heard = Some(now);
            entry.status.name_unreadable(shown(name), reason);
        });
    }

    /// One object was deleted.
    pub(super) fn remove(&self, scope: &WatchScope, name: &Name) {
        let now = self.now.get();
        self.change(scope, |entry| {
            entry.status.unreadable.remove(&shown(name));
            entry.status.heard = Some(now);
            Arc::make_mut(&mut entry.objects).remove(name);
        });
    }

    /// The server sent something that changes no object.
    pub(super) fn heard(&self, scope: &WatchScope) {
        let now = self.now.get();
        if let Some(entry) = self.lock().get_mut(scope) {
            entry.status.heard = Some(now);
        }
    }

    /// The server does not serve the kind, so it has no objects.
    pub(super) fn not_installed(&self, scope: &WatchScope) {
        self.change(scope, |entry| {
            entry.objects = Arc::default();
            entry.status.unreadable.clear();
            entry.status.api_version = None;
        });
        self.heard(scope);
        self.set(scope, KindState::NotInstalled);
    }

    /// The watch has lost its connection to the server.
    pub(super) fn disconnected(&self, scope: &WatchScope, message: String) {
        self.set(scope, KindState::Disconnected { since: self.now.get(), message });
    }

    /// Sets a state, and logs it once.
    pub(super) fn set(&self, scope: &WatchScope, state: KindState) {
        let mut stored = self.lock();
        // When a whole server is gone, that is one log line, not one per kind.
        let known = stored.iter().any(|(other, entry)| other != scope && entry.status.state.is_the_same_loss(&state));
        let Some(entry) = stored.get_mut(scope) else { return };
        let before = entry.status.state.clone();
        entry.status.state = match (&before, state) {
            // The first failure in a row determines since when.
            (KindState::Disconnected { since, .. }, KindState::Disconnected { message, .. }) => {
                KindState::Disconnected { since: *since, message }
            }
            (_, state) => state,
        };
        let after = entry.status.state.clone();
        let lost = stored.values().any(|entry| matches!(entry.status.state, KindState::Disconnected { .. }));
        let back = matches!((&before, &after), (KindState::Disconnected { .. }, KindState::Synced { .. }));
        drop(stored);
        if before != after {
            self.ring();
        }
        // The same goes for its return: the last kind to come back is logged for all.
        let told = before.says_the_same(&after) || known || (back && lost);
        if !told {
            log(&self.cluster, scope, &before, &after);
        }
    }

    fn change(&self, scope: &WatchScope, change: impl FnOnce(&mut StoredKind)) {
        if let Some(entry) = self.lock().get_mut(scope) {
            change(entry);
        }
        self.ring();
    }

    fn ring(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WatchScope, StoredKind>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `namespace/name`.
pub(super) fn shown((namespace, name): &Name) -> String {
    if namespace.is_empty() { name.to_string() } else { format!("{namespace}/{name}") }
}

fn log(cluster: &str, scope: &WatchScope, before: &KindState, after: &KindState) {
    let kind = scope.kind;
    let namespace = scope.namespace.as_deref().map(|name| format!(" in namespace {name}")).unwrap_or_default();
    match after {
        KindState::Starting => {}
        KindState::Synced { .. } if *before == KindState::Starting => {
            tracing::debug!("cluster {cluster}: {kind}{namespace} is watched");
        }
        KindState::Synced { .. } => tracing::info!("cluster {cluster}: {kind}{namespace} is watched again"),
        KindState::NotInstalled => tracing::info!(
            "cluster {cluster}: the kind {kind} ({}) is not installed; Landfall checks for it again from time to time",
            kind.resource()
        ),
        KindState::Forbidden { verb, resource, rule, .. } => tracing::warn!(
            "cluster {cluster}: not permitted to {verb} {resource}{namespace}, so nothing is known about it; \
             add this rule to the role of the bot's account:\n{rule}"
        ),
        KindState::Disconnected { message, .. } => tracing::warn!(
            "cluster {cluster}: {kind}{namespace} cannot be watched ({message}); what is known about it is stale until the \
             server answers again; Landfall keeps retrying"
        ),
    }
}

#[cfg(test)]
impl Snapshot {
    /// A cluster that is completely visible, with the objects of these manifests.
    pub(crate) fn of_manifests(cluster: &str, manifests: &[serde_json::Value]) -> Self {
        let at = Timestamp::UNIX_EPOCH;
        let synced = || KindStatus { state: KindState::Synced { at }, ..KindStatus::default() };
        let mut kinds: BTreeMap<WatchedKind, Objects> = WatchedKind::ALL.map(|kind| (kind, Objects::new())).into();
        for manifest in manifests {
            let object = super::object::read(manifest).expect("a manifest");
            let objects = kinds.iter_mut().find(|(kind, _)| kind.name() == object.kind).expect("a watched kind").1;
            let name = (object.namespace.as_deref().unwrap_or_default().into(), object.name.as_str().into());
            objects.insert(name, Arc::new(object));
        }
        let states = kinds.keys().map(|kind| (*kind, synced())).collect();
        let stored = kinds.into_iter().map(|(kind, objects)| (kind, Arc::new(objects))).collect();
        Self { cluster: cluster.into(), kinds: states, generation: 0, stored }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::object;
    use super::*;

    fn scope(kind: WatchedKind) -> WatchScope {
        WatchScope { kind, namespace: None }
    }

    fn name(text: &str) -> Name {
        ("web".into(), text.into())
    }

    fn pod(text: &str, phase: &str) -> Object {
        let metadata = json!({ "name": text, "namespace": "web" });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": { "phase": phase } });
        object::read(&pod).unwrap()
    }

    fn shown(differences: &[Difference<'_>]) -> Vec<String> {
        let name = |object: Option<&Arc<Object>>| object.map_or("-".to_owned(), |object| object.name.clone());
        differences.iter().map(|it| format!("{} {}", name(it.before), name(it.after))).collect()
    }

    #[test]
    fn differences_are_what_came_changed_and_went() {
        let at = "2026-01-05T08:00:00Z".parse::<Timestamp>().unwrap();
        let stored =
            ClusterStore::new("eu-1", [scope(WatchedKind::Pod), scope(WatchedKind::Job)], Now::new(move || at));
        let pods = scope(WatchedKind::Pod);
        for it in ["b", "d", "f"] {
            stored.put(&pods, name(it), pod(it, "Running"));
        }
        let before = stored.snapshot();
        assert!(stored.snapshot().differences(&before).is_empty());
        // The same again is no difference: a list that is read anew.
        let same: Objects = ["b", "d", "f"].map(|it| (name(it), Arc::new(pod(it, "Running")))).into();
        stored.replace(&pods, "v1", same, BTreeMap::new());
        assert!(stored.snapshot().differences(&before).is_empty());
        stored.put(&pods, name("a"), pod("a", "Running"));
        stored.put(&pods, name("d"), pod("d", "Failed"));
        stored.put(&pods, name("g"), pod("g", "Running"));
        stored.remove(&pods, &name("f"));
        let now = stored.snapshot();
        assert_eq!(shown(&now.differences(&before)), ["- a", "d d", "f -", "- g"]);
        assert_eq!(shown(&before.differences(&now)), ["a -", "d d", "- f", "g -"]);
    }

    #[test]
    fn as_much_is_seen_until_a_kind_is_lost_or_an_object_cannot_be_read() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (early, late) = (at("2026-01-05T08:00:00Z"), at("2026-01-05T09:00:00Z"));
        let stored = ClusterStore::new("eu-1", [scope(WatchedKind::Pod)], Now::new(move || early));
        let pods = scope(WatchedKind::Pod);
        stored.set(&pods, KindState::Synced { at: early });
        let before = stored.snapshot();
        stored.set(&pods, KindState::Synced { at: late });
        stored.put(&pods, name("a"), pod("a", "Running"));
        assert!(stored.snapshot().sees_the_same(&before));
        stored.spoil(&pods, &name("a"), "it is no object".to_owned());
        assert!(!stored.snapshot().sees_the_same(&before));
        let spoilt = stored.snapshot();
        stored.disconnected(&pods, "connection reset".to_owned());
        assert!(!stored.snapshot().sees_the_same(&spoilt));
    }
}
