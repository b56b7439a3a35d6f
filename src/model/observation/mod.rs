//! What a cluster reports, trimmed to what is judged.
//!
//! Promise: a value here holds what an object said, and nothing else. An absent field is `None` or empty. A field of
//! the wrong type is absent too, and is listed in [`Object::malformed`], so that an incompletely read object is never
//! taken for a healthy one. Text is as the cluster sent it: clean it before showing it.
//!
//! Memory: a watcher keeps one value per object of a cluster, so only the labels and annotations that matter are kept
//! ([`Marks`]); the same goes for specifications.

#![allow(missing_docs, reason = "fields without a comment carry the names and meaning of the Kubernetes API")]

mod argo;
mod flux;
mod marks;
mod workload;

use std::fmt;

use jiff::Timestamp;

pub use argo::*;
pub use flux::*;
pub use marks::Marks;
pub use workload::*;

/// One object of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub api_version: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
    pub uid: Option<String>,
    pub labels: Marks,
    pub annotations: Marks,
    pub owners: Vec<Owner>,
    pub generation: Option<i64>,
    pub created: Option<Timestamp>,
    /// `metadata.deletionTimestamp`.
    pub deleting: Option<Timestamp>,
    /// `metadata.finalizers` of objects being deleted; not needed for others.
    pub finalizers: Vec<String>,
    /// Who wrote a field named `image`, from `metadata.managedFields`.
    pub image_writers: Vec<ImageWriter>,
    /// Fields of the wrong type, as paths such as `status.replicas`; they are absent here.
    pub malformed: Vec<String>,
    /// Whether there is a `status` at all.
    pub status: StatusPresence,
    pub body: Body,
}

/// Whether an object has a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatusPresence {
    /// None, or an empty one: its controller has not observed it.
    #[default]
    Absent,
    /// It has one.
    Present,
}

/// A name that is unique in a cluster: API group, kind, namespace, name. All versions of a kind are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The API group, empty for the core one.
    pub group: String,
    pub kind: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    pub name: String,
}

impl Object {
    /// One of the Events about this object, as an object of its own.
    #[must_use]
    pub fn event(&self, nth: usize, event: Event) -> Self {
        Self {
            api_version: "v1".to_owned(),
            kind: "Event".to_owned(),
            namespace: self.namespace.clone(),
            name: format!("{}.{}.{nth}", self.kind, self.name),
            uid: None,
            labels: Marks::default(),
            annotations: Marks::default(),
            owners: Vec::new(),
            generation: None,
            created: None,
            deleting: None,
            finalizers: Vec::new(),
            image_writers: Vec::new(),
            malformed: Vec::new(),
            status: StatusPresence::Absent,
            body: Body::Event(Box::new(event)),
        }
    }

    /// The API group: empty for the core one.
    #[must_use]
    pub fn group(&self) -> &str {
        group_of(&self.api_version)
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(self.group(), &self.kind, self.namespace.as_deref(), &self.name)
    }

    /// `Deployment web/api`: how messages name an object.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }
}

impl ObjectKey {
    /// A key; no namespace is the empty one.
    #[must_use]
    pub fn new(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.unwrap_or_default().to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// The group of an `apiVersion`: the part before the slash.
#[must_use]
pub fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// An entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    /// Its API group, unless it is one of Kubernetes' own: most owners are, and a cluster has many.
    pub group: String,
    pub kind: String,
    pub name: String,
    pub uid: Option<String>,
}

/// A manager that owns an image field (`f:image`, or a `newTag`, in `metadata.managedFields`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageWriter {
    /// E.g. `argocd-controller`, `kustomize-controller`, `kubectl-set`.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// The last write of this manager.
    pub time: Option<Timestamp>,
}

/// A reference from one object to another. Absent parts are taken from the object that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectRef {
    pub api_version: Option<String>,
    pub kind: Option<String>,
    pub namespace: Option<String>,
    pub name: String,
}

/// `True`, `False` or `Unknown` in a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConditionStatus {
    True,
    False,
    /// Also any other value.
    #[default]
    Unknown,
}

/// A condition of a status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    pub kind: String,
    pub status: ConditionStatus,
    pub reason: String,
    pub message: String,
    pub last_transition: Option<Timestamp>,
    pub last_update: Option<Timestamp>,
    pub observed_generation: Option<i64>,
}

/// The condition of a type.
#[must_use]
pub fn condition<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// A revision as a controller writes it: a commit, a chart version, a digest, with or without the name it came from.
///
/// Flux writes `main@sha1:<hex>`, `v1.2@sha1:<hex>`, `sha1:<hex>`, and in old versions `main/<hex>`. Argo CD writes the
/// bare hash or, if it could not resolve the revision, the requested one (`main`, `HEAD`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Revision(String);

impl Revision {
    /// A revision as written.
    #[must_use]
    pub fn new(written: impl Into<String>) -> Self {
        Self(written.into())
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The commit in it, if there is one: 40 or 64 hexadecimal digits, lower case.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        let last = self.0.rsplit(['@', '/', ':']).next().unwrap_or(&self.0);
        let hex = matches!(last.len(), 40 | 64) && last.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let digest = self.0.contains("sha256:") && last.len() == 64;
        (hex && !digest).then_some(last)
    }

    /// As short as possible while still distinguishable for people.
    #[must_use]
    pub fn short(&self) -> String {
        match self.commit() {
            Some(commit) => commit.chars().take(7).collect(),
            None => self.0.chars().take(40).collect(),
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an object is, by its kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Application(Box<Application>),
    AppProject(Box<AppProject>),
    ApplicationSet(Box<ApplicationSet>),
    /// `GitRepository`, `OCIRepository`, `HelmRepository`, `Bucket`, `ExternalArtifact`.
    Source(Box<Source>),
    Kustomization(Box<Kustomization>),
    HelmRelease(Box<HelmRelease>),
    HelmChart(Box<HelmChart>),
    Deployment(Box<Deployment>),
    StatefulSet(Box<StatefulSet>),
    DaemonSet(Box<DaemonSet>),
    ReplicaSet(Box<ReplicaSet>),
    Pod(Box<Pod>),
    Job(Box<Job>),
    CronJob(Box<CronJob>),
    Rollout(Box<Rollout>),
    Canary(Box<Canary>),
    Event(Box<Event>),
    Other(Box<Other>),
}

/// An object of a kind without a type here; judged by the conventions for conditions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Other {
    pub conditions: Vec<Condition>,
    pub observed_generation: Option<i64>,
    /// `status.phase`.
    pub phase: Option<String>,
    /// `status.message`.
    pub message: Option<String>,
    /// Set if it has a pod template.
    pub pods: Option<Box<PodOwner>>,
    /// Set for a package of Crossplane.
    pub package: Option<Package>,
    /// For a Revision of Knative: which images its tags were resolved to.
    pub resolved: Vec<ResolvedImage>,
}

/// The API group of Crossplane's packages.
pub const CROSSPLANE: &str = "pkg.crossplane.io";

/// A `Provider`, `Function` or `Configuration` of Crossplane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Package {
    /// `spec.package`.
    pub wanted: String,
    /// `status.currentIdentifier`: the package that was resolved last.
    pub current: Option<String>,
    /// `status.currentRevision`.
    pub revision: Option<String>,
}

/// An image that a Revision of Knative names, and the one that its pods have in its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvedImage {
    /// The container.
    pub container: String,
    /// The reference as somebody wrote it.
    pub written: String,
    /// The reference by digest; empty until it is resolved.
    pub by_digest: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_give_their_commit() {
        let hex = "0123456789abcdef0123456789abcdef01234567";
        for (written, commit) in [
            (format!("main@sha1:{hex}"), true),
            (format!("refs/heads/main@sha1:{hex}"), true),
            (format!("sha1:{hex}"), true),
            (format!("main/{hex}"), true),
            (hex.to_owned(), true),
            ("main".to_owned(), false),
            ("HEAD".to_owned(), false),
            ("1.2.3".to_owned(), false),
            (String::new(), false),
            (format!("latest@sha256:{}", "a".repeat(64)), false),
        ] {
            assert_eq!(Revision::new(written.clone()).commit().is_some(), commit, "{written}");
        }
    }

    #[test]
    fn groups_come_from_api_versions() {
        assert_eq!(group_of("v1"), "");
        assert_eq!(group_of("apps/v1"), "apps");
        assert_eq!(group_of("source.toolkit.fluxcd.io/v1"), "source.toolkit.fluxcd.io");
    }
}
