//! What is known of a cluster now, and the shelves it is kept on.
//!
//! Promise: a snapshot never holds half a list: a list takes effect when its last page is there. Taking one copies a few
//! pointers; a change while one is held copies the map of its kind once, never an object. Whoever holds the last one sees
//! what is new in the next ([`Snapshot::differences`]).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::Kind;
use super::state::{KindState, KindStatus};
use crate::model::observation::Object;

/// Unreadable objects of one kind that are named; a server that sends more says the same of all.
const MAX_UNREADABLE: usize = 20;

/// A source of the current time.
#[derive(Clone)]
pub struct Now(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Now {
    /// The time is what `read` says.
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
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
}

/// Everything known of a cluster at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// How each kind stands.
    pub kinds: BTreeMap<Kind, KindStatus>,
    /// Grows with every change of objects or states; [`Cluster::changed`](super::Cluster::changed) waits for the next.
    pub generation: u64,
    shelves: Vec<(Kind, Arc<Objects>)>,
}

impl Snapshot {
    /// Every object, by kind, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.shelves.iter().flat_map(|(_, objects)| objects.values())
    }

    /// The objects of one kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.shelves.iter().filter(move |(of, _)| *of == kind).flat_map(|(_, objects)| objects.values())
    }

    /// One object.
    #[must_use]
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        let key = (namespace.into(), name.into());
        self.shelves.iter().filter(|(of, _)| *of == kind).find_map(|(_, objects)| objects.get(&key))
    }

    /// Kinds of which not all is known: what is not seen of them may be there all the same.
    pub fn gaps(&self) -> impl Iterator<Item = (Kind, &KindStatus)> {
        let known = |status: &KindStatus| status.state.is_complete() && status.unreadable.is_empty();
        self.kinds.iter().filter(move |(_, status)| !known(status)).map(|(kind, status)| (*kind, status))
    }

    /// When the server was last heard about the kind it has been silent about for longest.
    #[must_use]
    pub fn heard(&self) -> Option<Timestamp> {
        let watched = self.kinds.values().filter(|status| status.state != KindState::NotInstalled);
        watched.map(|status| status.heard).min().flatten()
    }
}

/// An object that is otherwise than in an earlier snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Difference<'s> {
    /// What it was; `None`: it was not there.
    pub before: Option<&'s Arc<Object>>,
    /// What it is; `None`: it is gone.
    pub after: Option<&'s Arc<Object>>,
}

impl Snapshot {
    /// What is otherwise than in an earlier snapshot of the same cluster. Kinds of which nothing was heard cost nothing.
    #[must_use]
    pub fn differences<'s>(&'s self, earlier: &'s Snapshot) -> Vec<Difference<'s>> {
        let mut found = Vec::new();
        // The shelves of a cluster are the same, and in the same order, as long as it is watched.
        for ((_, now), (_, before)) in self.shelves.iter().zip(&earlier.shelves) {
            if !Arc::ptr_eq(now, before) {
                differences(before, now, &mut found);
            }
        }
        found
    }

    /// Whether as much is seen as in an earlier snapshot, and the same is said of what is not.
    #[must_use]
    pub fn sees_the_same(&self, earlier: &Snapshot) -> bool {
        let same = |(one, two): ((&Kind, &KindStatus), (&Kind, &KindStatus))| {
            let synced = matches!((&one.1.state, &two.1.state), (KindState::Synced { .. }, KindState::Synced { .. }));
            one.0 == two.0 && (synced || one.1.state == two.1.state) && one.1.unreadable == two.1.unreadable
        };
        self.kinds.len() == earlier.kinds.len() && self.kinds.iter().zip(&earlier.kinds).all(same)
    }
}

/// Both are in order of their names.
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
        // A list that was read anew has new copies of what is the same.
        let same = before.zip(after).is_some_and(|(one, other)| Arc::ptr_eq(one, other) || one == other);
        if !same {
            found.push(Difference { before, after });
        }
    }
}

/// What one watch has gathered.
#[derive(Debug, Default)]
struct Shelf {
    objects: Arc<Objects>,
    status: KindStatus,
}

/// The state of a cluster that its watches share.
#[derive(Debug)]
pub(super) struct Shelves {
    cluster: Arc<str>,
    now: Now,
    shelves: Mutex<BTreeMap<Place, Shelf>>,
    generation: tokio::sync::watch::Sender<u64>,
}

impl Shelves {
    pub(super) fn new(cluster: &str, places: impl IntoIterator<Item = Place>, now: Now) -> Self {
        let shelves = places.into_iter().map(|place| (place, Shelf::default())).collect();
        let generation = tokio::sync::watch::Sender::new(0);
        Self { cluster: cluster.into(), now, shelves: Mutex::new(shelves), generation }
    }

    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(super) fn generation(&self) -> tokio::sync::watch::Receiver<u64> {
        self.generation.subscribe()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        // Read before the shelves: a change in between is seen and waited for again, never missed.
        let generation = *self.generation.borrow();
        let shelves = self.lock();
        let mut kinds: BTreeMap<Kind, KindStatus> = BTreeMap::new();
        for (place, shelf) in &*shelves {
            let status = match kinds.remove(&place.kind) {
                None => shelf.status.clone(),
                Some(other) => other.worse(&shelf.status),
            };
            kinds.insert(place.kind, status);
        }
        let shelves = shelves.iter().map(|(place, shelf)| (place.kind, Arc::clone(&shelf.objects))).collect();
        Snapshot { cluster: Arc::clone(&self.cluster), kinds, generation, shelves }
    }

    /// A complete list takes the place of what was there.
    pub(super) fn replace(
        &self,
        place: &Place,
        api_version: &str,
        objects: Objects,
        unreadable: BTreeMap<String, String>,
    ) {
        let now = self.now.get();
        self.change(place, |shelf| {
            shelf.objects = Arc::new(objects);
            shelf.status.unreadable = unreadable;
            shelf.status.unreadable.retain({
                let mut named = 0;
                move |_, _| {
                    named += 1;
                    named <= MAX_UNREADABLE
                }
            });
            shelf.status.heard = Some(now);
            shelf.status.api_version = Some(api_version.to_owned());
            if shelf.status.state == KindState::NotInstalled {
                shelf.status.state = KindState::Starting;
            }
        });
    }

    /// What was listed is being followed. Not said any earlier: an account may list and not watch, and would be well and
    /// not permitted in turns.
    pub(super) fn followed(&self, place: &Place) {
        self.set(place, KindState::Synced { at: self.now.get() });
    }

    /// One object is there or has changed.
    pub(super) fn put(&self, place: &Place, name: Name, object: Object) {
        let now = self.now.get();
        self.change(place, |shelf| {
            shelf.status.unreadable.remove(&shown(&name));
            shelf.status.heard = Some(now);
            Arc::make_mut(&mut shelf.objects).insert(name, Arc::new(object));
        });
    }

    /// One object has changed into something that cannot be read: what it was before would be a lie.
    pub(super) fn spoil(&self, place: &Place, name: &Name, reason: String) {
        let now = self.now.get();
        self.change(place, |shelf| {
            Arc::make_mut(&mut shelf.objects).remove(name);
            shelf.status.heard = Some(now);
            if shelf.status.unreadable.len() < MAX_UNREADABLE {
                shelf.status.unreadable.insert(shown(name), reason);
            }
        });
    }

    /// One object is gone.
    pub(super) fn remove(&self, place: &Place, name: &Name) {
        let now = self.now.get();
        self.change(place, |shelf| {
            shelf.status.unreadable.remove(&shown(name));
            shelf.status.heard = Some(now);
            Arc::make_mut(&mut shelf.objects).remove(name);
        });
    }

    /// The server has said something that changes no object.
    pub(super) fn heard(&self, place: &Place) {
        let now = self.now.get();
        if let Some(shelf) = self.lock().get_mut(place) {
            shelf.status.heard = Some(now);
        }
    }

    /// The server does not serve the kind: there is none of it.
    pub(super) fn not_installed(&self, place: &Place) {
        self.change(place, |shelf| {
            shelf.objects = Arc::default();
            shelf.status.unreadable.clear();
            shelf.status.api_version = None;
        });
        self.heard(place);
        self.set(place, KindState::NotInstalled);
    }

    /// The watch has lost the server.
    pub(super) fn disconnected(&self, place: &Place, message: String) {
        self.set(place, KindState::Disconnected { since: self.now.get(), message });
    }

    /// Enters a state and says it once in the log.
    pub(super) fn set(&self, place: &Place, state: KindState) {
        let mut shelves = self.lock();
        // A whole server that is gone is one line, not one for each kind.
        let known = shelves.iter().any(|(other, shelf)| other != place && shelf.status.state.is_the_same_loss(&state));
        let Some(shelf) = shelves.get_mut(place) else { return };
        let before = shelf.status.state.clone();
        shelf.status.state = match (&before, state) {
            // The first failure of a row says since when.
            (KindState::Disconnected { since, .. }, KindState::Disconnected { message, .. }) => {
                KindState::Disconnected { since: *since, message }
            }
            (_, state) => state,
        };
        let after = shelf.status.state.clone();
        let lost = shelves.values().any(|shelf| matches!(shelf.status.state, KindState::Disconnected { .. }));
        let back = matches!((&before, &after), (KindState::Disconnected { .. }, KindState::Synced { .. }));
        drop(shelves);
        if before != after {
            self.ring();
        }
        // Nor is its return: the last kind to come back says it for all.
        let told = before.says_the_same(&after) || known || (back && lost);
        if !told {
            log(&self.cluster, place, &before, &after);
        }
    }

    fn change(&self, place: &Place, change: impl FnOnce(&mut Shelf)) {
        if let Some(shelf) = self.lock().get_mut(place) {
            change(shelf);
        }
        self.ring();
    }

    fn ring(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `namespace/name`.
pub(super) fn shown((namespace, name): &Name) -> String {
    if namespace.is_empty() { name.to_string() } else { format!("{namespace}/{name}") }
}

fn log(cluster: &str, place: &Place, before: &KindState, after: &KindState) {
    let kind = place.kind;
    let namespace = place.namespace.as_deref().map(|name| format!(" in namespace {name}")).unwrap_or_default();
    match after {
        KindState::Starting => {}
        KindState::Synced { .. } if *before == KindState::Starting => {
            tracing::debug!("cluster {cluster}: {kind}{namespace} is watched");
        }
        KindState::Synced { .. } => tracing::info!("cluster {cluster}: {kind}{namespace} is watched again"),
        KindState::NotInstalled => tracing::info!(
            "cluster {cluster}: the kind {kind} ({}) is not installed there; it is looked for again from time to time",
            kind.resource()
        ),
        KindState::Forbidden { verb, resource, rule, .. } => tracing::warn!(
            "cluster {cluster}: not permitted to {verb} {resource}{namespace}, so nothing is known of it; \
             add this rule to the role of the bot's account:\n{rule}"
        ),
        KindState::Disconnected { message, .. } => tracing::warn!(
            "cluster {cluster}: {kind}{namespace} cannot be watched ({message}); what is known of it is stale until the \
             server answers again, which is tried by itself"
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::object;
    use super::*;

    fn place(kind: Kind) -> Place {
        Place { kind, namespace: None }
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
        let shelves = Shelves::new("eu-1", [place(Kind::Pod), place(Kind::Job)], Now::new(move || at));
        let pods = place(Kind::Pod);
        for it in ["b", "d", "f"] {
            shelves.put(&pods, name(it), pod(it, "Running"));
        }
        let before = shelves.snapshot();
        assert!(shelves.snapshot().differences(&before).is_empty());
        // The same again is no difference: a list that is read anew.
        let same: Objects = ["b", "d", "f"].map(|it| (name(it), Arc::new(pod(it, "Running")))).into();
        shelves.replace(&pods, "v1", same, BTreeMap::new());
        assert!(shelves.snapshot().differences(&before).is_empty());
        shelves.put(&pods, name("a"), pod("a", "Running"));
        shelves.put(&pods, name("d"), pod("d", "Failed"));
        shelves.put(&pods, name("g"), pod("g", "Running"));
        shelves.remove(&pods, &name("f"));
        let now = shelves.snapshot();
        assert_eq!(shown(&now.differences(&before)), ["- a", "d d", "f -", "- g"]);
        assert_eq!(shown(&before.differences(&now)), ["a -", "d d", "- f", "g -"]);
    }

    #[test]
    fn as_much_is_seen_until_a_kind_is_lost_or_an_object_cannot_be_read() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (early, late) = (at("2026-01-05T08:00:00Z"), at("2026-01-05T09:00:00Z"));
        let shelves = Shelves::new("eu-1", [place(Kind::Pod)], Now::new(move || early));
        let pods = place(Kind::Pod);
        shelves.set(&pods, KindState::Synced { at: early });
        let before = shelves.snapshot();
        shelves.set(&pods, KindState::Synced { at: late });
        shelves.put(&pods, name("a"), pod("a", "Running"));
        assert!(shelves.snapshot().sees_the_same(&before));
        shelves.spoil(&pods, &name("a"), "it is no object".to_owned());
        assert!(!shelves.snapshot().sees_the_same(&before));
        let spoilt = shelves.snapshot();
        shelves.disconnected(&pods, "connection reset".to_owned());
        assert!(!shelves.snapshot().sees_the_same(&spoilt));
    }
}
