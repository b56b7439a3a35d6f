//! From a file in Git to its watchers.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::observation::{Body, Object, ObjectKey};
use crate::overlay::{LinkField, Reached, ancestors};

use super::argo::{self, is_below};
use super::flux;
use super::index::{EntryInput, EntryOrigin, RepositoryEntries, WatchEntry, WatcherIndex};
use super::revision::FollowedRevision;
use super::say::{Blind, Miss, NearMiss, is_manifest};
use super::{FoundWatchers, HeldObject, Via, WatchNote, WatchedFile, Watcher};

/// Maximum number of near misses and reasons returned: a person reads a handful.
const MAX_TOLD: usize = 5;

/// Finds the watchers of a file.
#[must_use]
pub fn watchers(place: &WatchedFile<'_>, index: &WatcherIndex<'_>) -> FoundWatchers {
    watchers_of(place, &place.tree.of(place.path), index)
}

/// The same, where it is known what is built from the file.
#[must_use]
pub fn watchers_of(place: &WatchedFile<'_>, reached: &Reached<'_>, index: &WatcherIndex<'_>) -> FoundWatchers {
    let mut search = Search::new(place, index, reached);
    let folders = search.folders();
    for address in &place.repository.addresses {
        if let Some(entries) = index.repositories.get(address) {
            search.visit(entries, &folders);
        }
    }
    if search.watchers.is_empty() {
        search.explain(&folders);
    }
    search.answer()
}

/// The result of testing one entry.
enum Test {
    Reached(Via),
    Missed(Miss),
    Blind(Blind),
    /// It has nothing to do with the file.
    Apart,
}

struct Search<'s, 'a> {
    place: &'s WatchedFile<'s>,
    index: &'s WatcherIndex<'a>,
    reached: &'s Reached<'s>,
    kustomizations: HashMap<&'s str, Option<LinkField>>,
    charts: HashMap<&'s str, Option<LinkField>>,
    watchers: BTreeMap<ObjectKey, Watcher>,
    near: Vec<NearMiss>,
    blind: Vec<Blind>,
}

impl<'s, 'a> Search<'s, 'a> {
    fn new(place: &'s WatchedFile<'s>, index: &'s WatcherIndex<'a>, reached: &'s Reached<'s>) -> Self {
        Self {
            place,
            index,
            reached,
            kustomizations: reached.kustomizations.iter().map(|root| (root.folder, root.field)).collect(),
            charts: reached.charts.iter().map(|root| (root.folder, root.field)).collect(),
            watchers: BTreeMap::new(),
            near: Vec::new(),
            blind: Vec::new(),
        }
    }

    /// Every folder that a watcher of the file may name: the folders that hold it, the folders built from it, and their
    /// parents.
    fn folders(&self) -> Vec<&'s str> {
        let roots = self.reached.kustomizations.iter().chain(&self.reached.charts).map(|root| root.folder);
        let (mut seen, mut folders) = (HashSet::new(), Vec::new());
        for start in std::iter::once(self.place.path.parent()).chain(roots) {
            for folder in ancestors(start) {
                if !seen.insert(folder) {
                    break; // And so were those that hold it.
                }
                folders.push(folder);
            }
        }
        folders
    }

    fn visit(&mut self, entries: &RepositoryEntries, folders: &[&str]) {
        for number in entries.by_file.get(self.place.path.as_str()).into_iter().flatten() {
            self.meet(*number);
        }
        for folder in folders {
            for number in entries.by_folder.get(*folder).into_iter().flatten() {
                self.meet(*number);
            }
        }
    }

    fn meet(&mut self, number: usize) {
        let Some(entry) = self.index.entries.get(number) else { return };
        match self.test(entry) {
            Test::Reached(via) => self.arrives(entry, via),
            Test::Missed(why) => self.miss(entry, why),
            Test::Blind(blind) => self.cannot(blind),
            Test::Apart => {}
        }
    }

    /// Whether the controller, reading this revision, reads the file.
    fn test(&self, entry: &WatchEntry<'_>) -> Test {
        match &entry.reads {
            EntryInput::File { via, .. } => Test::Reached(via.clone()),
            EntryInput::Argo(folder) if folder.plugin => {
                if is_below(&folder.path, self.place.path.as_str()) {
                    Test::Reached(Via::Path)
                } else {
                    Test::Apart
                }
            }
            EntryInput::Argo(folder) => self.built(entry, &folder.path).unwrap_or_else(|| {
                if is_below(&folder.path, self.place.path.as_str()) {
                    folder.takes(self.place.path).map_or_else(Test::Missed, Test::Reached)
                } else {
                    Test::Apart
                }
            }),
            EntryInput::Flux { folder, component } => self
                .kustomized(entry, folder)
                .unwrap_or_else(|| if *component { Test::Apart } else { self.generated(folder) }),
            EntryInput::Chart { folder, own_values } => self.chart(folder, *own_values),
        }
    }

    /// What Argo CD builds from a folder with a kustomization or a chart; `None` for a plain directory.
    fn built(&self, entry: &WatchEntry<'_>, folder: &str) -> Option<Test> {
        if !self.place.tree.has_chart(folder) {
            return self.kustomized(entry, folder);
        }
        match self.kustomized(entry, folder) {
            Some(Test::Reached(via)) => Some(Test::Reached(via)),
            _ => Some(self.chart(folder, true)),
        }
    }

    /// What `kustomize build` makes of a folder; `None` if there is no kustomization.
    fn kustomized(&self, entry: &WatchEntry<'_>, folder: &str) -> Option<Test> {
        if !self.place.tree.has_kustomization(folder) {
            return None;
        }
        Some(if let Some(field) = self.kustomizations.get(folder) {
            Test::Reached(Via::Kustomization(folder.to_owned(), *field))
        } else if self.place.tree.is_unreadable(folder) {
            Test::Blind(Blind::Unreadable(entry.object.key(), folder.to_owned()))
        } else if is_below(folder, self.place.path.as_str()) {
            Test::Missed(Miss::NotReached(folder.to_owned()))
        } else {
            Test::Apart
        })
    }

    /// What Flux makes of a folder without a kustomization: it generates one that lists every manifest below it, and
    /// every folder with a kustomization of its own instead of its content (fluxcd/pkg:
    /// `kustomize/kustomize_generator.go`).
    fn generated(&self, folder: &str) -> Test {
        let tree = self.place.tree;
        let between = |inner: &'s str| ancestors(inner).take_while(|at| *at != folder);
        let below = is_below(folder, self.place.path.as_str());
        let nearest = between(self.place.path.parent()).find(|at| tree.has_kustomization(at));
        if below && nearest.is_none() {
            return if is_manifest(self.place.path) {
                Test::Reached(Via::Path)
            } else {
                Test::Missed(Miss::NotManifest)
            };
        }
        let topmost =
            |root: &'s str| is_below(folder, root) && between(root).skip(1).all(|at| !tree.has_kustomization(at));
        if let Some(root) = self.reached.kustomizations.iter().find(|root| topmost(root.folder)) {
            return Test::Reached(Via::Kustomization(root.folder.to_owned(), root.field));
        }
        match nearest.filter(|_| below) {
            Some(nearest) => Test::Missed(Miss::NotReached(nearest.to_owned())),
            None => Test::Apart,
        }
    }

    fn chart(&self, folder: &str, own_values: bool) -> Test {
        let path = self.place.path;
        let is_own = path.file_name() == "values.yaml" && path.parent() == folder;
        match self.charts.get(folder) {
            Some(field) if own_values || !is_own => Test::Reached(Via::Chart(folder.to_owned(), *field)),
            _ if is_below(folder, path.as_str()) => Test::Missed(Miss::NotNamed(folder.to_owned())),
            _ => Test::Apart,
        }
    }

    /// The path matches. Does the revision match too, and does the source contain the file?
    fn arrives(&mut self, entry: &WatchEntry<'a>, via: Via) {
        let Some(follows) = entry.target.follows(self.place.branch, self.place.repository.default_branch.as_ref())
        else {
            let which = entry.target.to_string();
            let pinned = matches!(entry.target, FollowedRevision::Tag(_) | FollowedRevision::Commit(_));
            self.miss(entry, if pinned { Miss::Pinned(which) } else { Miss::Revision(which) });
            return;
        };
        let mut origin = None;
        if let EntryOrigin::Source(source, _) = &entry.origin {
            if let Err(miss) = flux::carries(source, self.place.path, self.place.source_ignore) {
                self.miss(entry, miss);
                return;
            }
            origin = Some(source.key());
        }
        let key = entry.object.key();
        if self.watchers.contains_key(&key) {
            return;
        }
        let notes = self.notes(entry);
        let holds = self.holds(entry.object);
        let watcher = Watcher { object: key.clone(), source: entry.source, origin, via, follows, holds, notes };
        self.watchers.insert(key, watcher);
    }

    fn notes(&self, entry: &WatchEntry<'_>) -> Vec<WatchNote> {
        let mut notes = Vec::new();
        if let EntryInput::Argo(folder) = &entry.reads {
            notes.extend(folder.plugin.then_some(WatchNote::Plugin));
            notes.extend(folder.hydrated.then_some(WatchNote::Hydrated));
        }
        notes.extend(argo::generate_paths(entry.object, &entry.reads, self.place.path));
        notes
    }

    /// The objects that the file declares and that hold the pin.
    fn holds(&self, by: &Object) -> Vec<HeldObject> {
        let declared = self.place.tree.declares(self.place.path).iter();
        let here = declared.filter(|declares| declares.document == self.place.document);
        let held =
            |declared: &ObjectKey| HeldObject { declared: declared.clone(), objects: self.became(declared, Some(by)) };
        here.map(|declares| held(&declares.object)).collect()
    }

    /// The object in the cluster for a declared object. Whoever applies it may set its namespace, so the name decides
    /// first, then the controller's marks, then the namespace.
    fn became(&self, declared: &ObjectKey, by: Option<&Object>) -> Vec<ObjectKey> {
        let named = self.index.named(&declared.kind, &declared.name);
        let mut found: Vec<&Object> = named.filter(|object| object.group() == declared.group).collect();
        if let Some(by) = by {
            narrow(&mut found, |object| is_marked(object, by));
        }
        if !declared.namespace.is_empty() {
            narrow(&mut found, |object| object.namespace.as_deref() == Some(&declared.namespace));
        }
        if declared.kind != "ApplicationSet" {
            return found.into_iter().map(Object::key).collect();
        }
        let made = |set: &&Object| {
            let made = self.index.made_by.get(set.name.as_str()).map_or(&[][..], Vec::as_slice);
            made.iter().filter(|app| app.namespace == set.namespace).map(|app| app.key()).collect::<Vec<_>>()
        };
        found.iter().flat_map(made).collect()
    }

    fn miss(&mut self, entry: &WatchEntry<'_>, why: Miss) {
        let object = entry.object.key();
        if self.near.len() < MAX_TOLD && !self.near.iter().any(|near| near.object == object) {
            self.near.push(NearMiss { object, why });
        }
    }

    fn cannot(&mut self, blind: Blind) {
        if self.blind.len() < MAX_TOLD && !self.blind.contains(&blind) {
            self.blind.push(blind);
        }
    }

    /// Nothing watches the file: collects what is unknown, and the near misses.
    fn explain(&mut self, folders: &[&str]) {
        let index = self.index;
        if self.reached.truncated {
            self.cannot(Blind::TooMuch);
        }
        for blind in &index.unclear {
            self.cannot(blind.clone());
        }
        for number in folders.iter().filter_map(|folder| index.sourceless.by_folder.get(*folder)).flatten() {
            self.without_source(*number);
        }
        for entry in index.artifacts.iter().filter_map(|number| index.entries.get(*number)) {
            self.artifact(entry);
        }
        for address in &self.place.repository.addresses {
            if let Some(entries) = index.repositories.get(address) {
                self.around(entries);
            }
            self.other_addresses(&address.tail());
        }
        for declares in self.place.tree.declares(self.place.path) {
            for object in self.became(&declares.object, None) {
                if self.near.len() < MAX_TOLD {
                    self.near.push(NearMiss { object, why: Miss::AppliedByHand });
                }
            }
        }
    }

    /// An artifact from an unknown repository may be made from this one: it says that it comes from Git, or its folder
    /// matches.
    fn artifact(&mut self, entry: &WatchEntry<'_>) {
        let EntryOrigin::Source(_, address) = &entry.origin else { return };
        let repository = self.place.repository;
        if repository.addresses.contains(address) || repository.others.contains(address) {
            return;
        }
        let from_git = match &entry.object.body {
            Body::Kustomization(it) => it.last_applied_origin.is_some() || it.last_attempted_origin.is_some(),
            _ => false,
        };
        let fits = || entry.reads.folder() != Some("") && matches!(self.test(entry), Test::Reached(_) | Test::Blind(_));
        if from_git || fits() {
            self.cannot(Blind::Artifact(entry.object.key(), address.to_string()));
        }
    }

    fn without_source(&mut self, number: usize) {
        let Some(entry) = self.index.entries.get(number) else { return };
        if let (EntryOrigin::Missing(source), Test::Reached(_) | Test::Blind(_)) = (&entry.origin, self.test(entry)) {
            self.cannot(Blind::NoSource(entry.object.key(), source.clone()));
        }
    }

    /// The entries for this repository and branch: a plugin may read anything; of the others, the closest is a near
    /// miss.
    fn around(&mut self, entries: &RepositoryEntries) {
        let common = |folder: &str| {
            let pairs = folder.split('/').zip(self.place.path.as_str().split('/'));
            pairs.take_while(|(one, other)| one == other).count()
        };
        let mut closest: Option<(usize, &WatchEntry<'_>, &str)> = None;
        let mut plugins = Vec::new();
        for entry in entries.all.iter().filter_map(|number| self.index.entries.get(*number)) {
            let default = self.place.repository.default_branch.as_ref();
            let Some(folder) = entry.reads.folder() else { continue };
            if entry.target.follows(self.place.branch, default).is_none() {
                continue;
            }
            if matches!(&entry.reads, EntryInput::Argo(folder) if folder.plugin) {
                plugins.push(Blind::Plugin(entry.object.key()));
            }
            let near = common(folder);
            if closest.as_ref().is_none_or(|(best, ..)| near > *best) {
                closest = Some((near, entry, folder));
            }
        }
        for plugin in plugins.into_iter().take(MAX_TOLD) {
            self.cannot(plugin);
        }
        if let Some((_, entry, folder)) = closest {
            self.miss(entry, Miss::Elsewhere(folder.to_owned()));
        }
    }

    fn other_addresses(&mut self, tail: &str) {
        for number in self.index.tails.get(tail).into_iter().flatten() {
            if let Some(entry) = self.index.entries.get(*number)
                && let EntryOrigin::Address(address) | EntryOrigin::Source(_, address) = &entry.origin
                && !self.place.repository.addresses.contains(address)
            {
                self.miss(entry, Miss::OtherAddress(address.clone()));
            }
        }
    }

    fn answer(self) -> FoundWatchers {
        let (near, mut blind) = (self.near, self.blind);
        if !self.watchers.is_empty() {
            blind.extend(self.index.unseen.iter().cloned());
            return FoundWatchers::By { watchers: self.watchers.into_values().collect(), blind };
        }
        let mut why = self.index.unseen.clone();
        why.append(&mut blind);
        if why.is_empty() { FoundWatchers::Orphan { near } } else { FoundWatchers::CannotTell { why, near } }
    }
}

/// Keeps the objects that match, unless none does.
fn narrow(found: &mut Vec<&Object>, fits: impl Fn(&Object) -> bool) {
    if found.iter().any(|object| fits(object)) {
        found.retain(|object| fits(object));
    }
}

/// Whether an object carries the marks of a controller's object: Argo CD's tracking id or instance label, or Flux's
/// labels.
fn is_marked(object: &Object, by: &Object) -> bool {
    let label = |key: &str| object.labels.get(key);
    match by.kind.as_str() {
        "Application" => {
            let id = object.annotations.get("argocd.argoproj.io/tracking-id");
            // An Application outside Argo CD's own namespace is marked as `namespace_name`.
            let named = |app: &str| app == by.name || app.rsplit_once('_').is_some_and(|(_, name)| name == by.name);
            id.and_then(|id| id.split(':').next()).is_some_and(named)
                || [label("app.kubernetes.io/instance"), label("argocd.argoproj.io/instance")]
                    .contains(&Some(by.name.as_str()))
        }
        _ => {
            label("kustomize.toolkit.fluxcd.io/name") == Some(by.name.as_str())
                && label("kustomize.toolkit.fluxcd.io/namespace") == by.namespace.as_deref()
        }
    }
}
