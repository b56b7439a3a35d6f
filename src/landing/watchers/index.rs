//! The controllers of one snapshot, indexed by what they read.

use std::collections::{BTreeMap, HashMap};

use crate::model::observation::{Body, Object, ObjectKey, ObjectRef};

use super::address::Address;
use super::revision::FollowedRevision;
use super::say::Blind;
use super::{Via, argo, flux};

/// The kinds that can watch a file, or that must be visible to tell whether something does.
pub const WATCHING: [&str; 6] =
    ["Application", "Kustomization", "GitRepository", "OCIRepository", "HelmRelease", "HelmChart"];

/// Maximum number of objects remembered per reason for not knowing; one is enough to report it.
const MAX_BLIND: usize = 20;

/// How much of a kind is visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindCoverage {
    /// All objects.
    Complete,
    /// The server has no such kind.
    NotInstalled,
    /// Not all: why, and what to do about it (not permitted and the rule to add, not listed yet, disconnected, …).
    Partial(String),
}

/// How much of each kind is visible. A kind that is not listed here is not watched, and so is not visible.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage(BTreeMap<String, KindCoverage>);

impl Coverage {
    /// The coverage of kinds, by their names in manifests.
    pub fn new<'k>(kinds: impl IntoIterator<Item = (&'k str, KindCoverage)>) -> Self {
        Self(kinds.into_iter().map(|(kind, sight)| (kind.to_owned(), sight)).collect())
    }

    /// Everything is visible.
    #[must_use]
    pub fn complete() -> Self {
        Self::new(WATCHING.map(|kind| (kind, KindCoverage::Complete)))
    }

    /// The same, where more is told of some kinds.
    #[must_use]
    pub fn with<'k>(mut self, kinds: impl IntoIterator<Item = (&'k str, KindCoverage)>) -> Self {
        self.0.extend(Self::new(kinds).0);
        self
    }

    fn blind(&self) -> Vec<Blind> {
        let not_asked = KindCoverage::Partial("it is not watched; permit `get`, `list` and `watch`".to_owned());
        let sight = |kind: &str| self.0.get(kind).unwrap_or(&not_asked);
        if ["Application", "Kustomization", "HelmRelease"].iter().all(|kind| *sight(kind) == KindCoverage::NotInstalled)
        {
            return vec![Blind::NoController];
        }
        let partial = |kind: &&str| match sight(kind) {
            KindCoverage::Partial(why) => Some(Blind::Kind((*kind).to_owned(), why.clone())),
            KindCoverage::Complete | KindCoverage::NotInstalled => None,
        };
        WATCHING.iter().filter_map(partial).collect()
    }
}

/// One thing that a controller reads: a folder or a file of a repository at a revision.
#[derive(Debug)]
pub(super) struct WatchEntry<'a> {
    pub(super) object: &'a Object,
    /// The position among an Application's sources.
    pub(super) source: Option<usize>,
    pub(super) origin: EntryOrigin<'a>,
    pub(super) target: FollowedRevision,
    pub(super) reads: EntryInput<'a>,
}

/// Where the files come from.
#[derive(Debug, Clone)]
pub(super) enum EntryOrigin<'a> {
    /// Argo CD reads the address itself.
    Address(Address),
    /// A Flux source, and its address.
    Source(&'a Object, Address),
    /// A source that is not visible, or has no valid address.
    Missing(ObjectKey),
}

#[derive(Debug)]
pub(super) enum EntryInput<'a> {
    /// A folder, read as Argo CD does.
    Argo(argo::Folder<'a>),
    /// A folder, read as Flux's kustomize-controller does.
    Flux { folder: String, component: bool },
    /// A chart's folder; whether its own `values.yaml` counts.
    Chart { folder: String, own_values: bool },
    /// One file.
    File { path: String, via: Via },
}

impl EntryInput<'_> {
    pub(super) fn folder(&self) -> Option<&str> {
        match self {
            Self::Argo(folder) => Some(&folder.path),
            Self::Flux { folder, .. } | Self::Chart { folder, .. } => Some(folder),
            Self::File { .. } => None,
        }
    }
}

/// Entries of one repository.
#[derive(Debug, Default)]
pub(super) struct RepositoryEntries {
    pub(super) by_folder: HashMap<String, Vec<usize>>,
    pub(super) by_file: HashMap<String, Vec<usize>>,
    pub(super) all: Vec<usize>,
}

impl RepositoryEntries {
    fn put(&mut self, number: usize, reads: &EntryInput<'_>) {
        match reads {
            EntryInput::File { path, .. } => self.by_file.entry(path.clone()).or_default().push(number),
            EntryInput::Argo(_) | EntryInput::Flux { .. } | EntryInput::Chart { .. } => {
                let folder = reads.folder().unwrap_or_default().to_owned();
                self.by_folder.entry(folder).or_default().push(number);
            }
        }
        self.all.push(number);
    }
}

/// The controllers of one snapshot.
#[derive(Debug)]
pub struct WatcherIndex<'a> {
    pub(super) entries: Vec<WatchEntry<'a>>,
    pub(super) repositories: HashMap<Address, RepositoryEntries>,
    /// Entries whose source is not visible.
    pub(super) sourceless: RepositoryEntries,
    /// Entries that apply artifacts from registries.
    pub(super) artifacts: Vec<usize>,
    /// The last components of addresses → one entry of each address.
    pub(super) tails: HashMap<String, Vec<usize>>,
    /// Objects by name, of any kind and namespace.
    pub(super) by_name: HashMap<&'a str, Vec<&'a Object>>,
    /// ApplicationSet → its Applications.
    pub(super) made_by: HashMap<&'a str, Vec<&'a Object>>,
    /// Kinds that are not completely visible.
    pub(super) unseen: Vec<Blind>,
    /// Objects whose inputs cannot be determined.
    pub(super) unclear: Vec<Blind>,
}

impl<'a> WatcherIndex<'a> {
    /// Indexes objects; for objects of other kinds, only the kind is looked at.
    pub fn build(objects: impl IntoIterator<Item = &'a Object>, coverage: &Coverage) -> Self {
        let mut index = Self {
            entries: Vec::new(),
            repositories: HashMap::new(),
            sourceless: RepositoryEntries::default(),
            artifacts: Vec::new(),
            tails: HashMap::new(),
            by_name: HashMap::new(),
            made_by: HashMap::new(),
            unseen: coverage.blind(),
            unclear: Vec::new(),
        };
        let mut readers = Vec::new();
        for object in objects {
            #[cfg(test)]
            assert!(object.name != "breaks-the-watchers", "on purpose");
            let reads = match &object.body {
                Body::Application(_) | Body::Kustomization(_) | Body::HelmRelease(_) => true,
                Body::Source(_) | Body::HelmChart(_) | Body::ApplicationSet(_) => false,
                _ => continue,
            };
            index.by_name.entry(&object.name).or_default().push(object);
            index.note_unclear(object);
            for owner in object.owners.iter().filter(|owner| owner.kind == "ApplicationSet") {
                index.made_by.entry(&owner.name).or_default().push(object);
            }
            if reads {
                readers.push(object);
            }
        }
        for object in readers {
            match &object.body {
                Body::Application(app) => argo::entries(object, app, &mut |entry| index.put(entry)),
                Body::Kustomization(it) => {
                    for entry in flux::kustomization(&index, object, it) {
                        index.put(entry);
                    }
                }
                Body::HelmRelease(release) => {
                    for entry in flux::release(&index, object, release) {
                        index.put(entry);
                    }
                }
                _ => {}
            }
        }
        index
    }

    fn put(&mut self, entry: WatchEntry<'a>) {
        let number = self.entries.len();
        match &entry.origin {
            EntryOrigin::Address(address) | EntryOrigin::Source(_, address) => {
                if entry.target == FollowedRevision::Artifact {
                    self.artifacts.push(number);
                }
                if !self.repositories.contains_key(address) {
                    self.tails.entry(address.tail()).or_default().push(number);
                }
                self.repositories.entry(address.clone()).or_default().put(number, &entry.reads);
            }
            EntryOrigin::Missing(_) => self.sourceless.put(number, &entry.reads),
        }
        self.entries.push(entry);
    }

    /// Fields with the wrong type are absent. If such a field decides what an object reads, it could read anything.
    fn note_unclear(&mut self, object: &Object) {
        if self.unclear.len() >= MAX_BLIND {
            return;
        }
        let decides = |field: &&String| {
            ["spec.source", "spec.url", "spec.ref", "spec.path", "spec.chart"].iter().any(|it| field.starts_with(it))
        };
        if let Some(field) = object.malformed.iter().find(decides) {
            self.unclear.push(Blind::Malformed(object.key(), field.clone()));
        }
        if let Body::Source(source) = &object.body
            && source.has_include
        {
            self.unclear.push(Blind::Include(object.key()));
        }
    }

    /// Resolves a reference, as seen from the object that holds it.
    pub(super) fn referred(&self, from: &Object, to: &ObjectRef, otherwise: &str) -> Result<&'a Object, ObjectKey> {
        let kind = to.kind.as_deref().unwrap_or(otherwise);
        let namespace = to.namespace.as_deref().or(from.namespace.as_deref());
        self.named(kind, &to.name)
            .find(|object| object.namespace.as_deref() == namespace)
            .ok_or_else(|| ObjectKey::new("source.toolkit.fluxcd.io", kind, namespace, &to.name))
    }

    pub(super) fn named<'s>(&'s self, kind: &'s str, name: &str) -> impl Iterator<Item = &'a Object> + 's {
        let found = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        found.iter().copied().filter(move |object| object.kind == kind)
    }
}
