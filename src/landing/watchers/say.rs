//! Why nothing watches a file, or why that cannot be told, in sentences for a person.
//!
//! Promise: what came from a cluster is escaped and short here, and addresses carry no user information.

use std::fmt;

use crate::model::RepoPath;
use crate::model::observation::ObjectKey;

use super::WatchNote;
use super::address::Address;

/// What almost watches a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The object.
    pub object: ObjectKey,
    /// Why it does not.
    pub why: Miss,
}

/// Why an object does not watch a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// It reads another revision of the repository: which one.
    Revision(String),
    /// It stays on one tag or commit: which one. Nothing new ever arrives.
    Pinned(String),
    /// It reads the folder, and not those below: `directory.recurse` is not set.
    NotRecursive(String),
    /// `directory.include` or `exclude` leaves the file out.
    Filtered(&'static str, String),
    /// The kustomization of its folder does not lead to the file.
    NotReached(String),
    /// The chart of its folder does not use the file by itself, and nobody names it.
    NotNamed(String),
    /// A controller applies no file of this kind.
    NotManifest,
    /// `spec.ignore` of its source leaves the file out.
    Ignored(ObjectKey),
    /// `spec.sparseCheckout` of its source leaves the file out.
    NotCheckedOut(ObjectKey),
    /// It watches another folder.
    Elsewhere(String),
    /// A repository of the same name at another address.
    OtherAddress(Address),
    /// The file declares this object and it is in the cluster, but nothing that is seen applies the file.
    AppliedByHand,
}

/// Why it cannot be told who watches a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blind {
    /// Not everything of a kind is seen: the kind, and why.
    Kind(String, String),
    /// Neither Argo CD nor Flux is installed.
    NoController,
    /// A plugin renders this Application of the repository, from whatever files it likes.
    Plugin(ObjectKey),
    /// The source brings other repositories in, and the file may come that way.
    Include(ObjectKey),
    /// The source that this object names is not seen.
    NoSource(ObjectKey, ObjectKey),
    /// It applies an artifact that may be made from the repository.
    Artifact(ObjectKey, String),
    /// The kustomization in this folder, which the object builds, cannot be read.
    Unreadable(ObjectKey, String),
    /// Fields of this object could not be read.
    Malformed(ObjectKey, String),
    /// More is built from the file than is traced.
    TooMuch,
}

/// Text from a cluster or a repository: one line, escaped, short.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(120).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}

/// An object, as a person is told which one is meant.
fn name(key: &ObjectKey) -> String {
    shown(&key.to_string())
}

fn folder(path: &str) -> String {
    if path.is_empty() { "the repository's root".to_owned() } else { format!("`{}`", shown(path)) }
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = name(&self.object);
        match &self.why {
            Miss::Revision(which) => {
                write!(f, "{object} has the right path but reads {which}; let it read this branch, or watch that one")
            }
            Miss::Pinned(which) => {
                write!(f, "{object} has the right path but stays on {which}; move its revision to deploy the change")
            }
            Miss::NotRecursive(path) => write!(
                f,
                "{object} reads {} without the folders below it; set `directory.recurse: true` if it should",
                folder(path)
            ),
            Miss::Filtered(field, pattern) => {
                write!(f, "{object} leaves the file out: `directory.{field}` is `{}`", shown(pattern))
            }
            Miss::NotReached(path) => write!(
                f,
                "{object} builds the kustomization of {}, which does not lead to the file; add it to its `resources`",
                folder(path)
            ),
            Miss::NotNamed(path) => write!(
                f,
                "{object} renders the chart in {}, which does not use the file by itself; name it in the value files",
                folder(path)
            ),
            Miss::NotManifest => {
                write!(f, "{object} reads the folder, but applies only YAML and JSON files that are manifests")
            }
            Miss::Ignored(source) => {
                write!(f, "{object} does not get the file: `spec.ignore` of {} leaves it out", name(source))
            }
            Miss::NotCheckedOut(source) => {
                write!(f, "{object} does not get the file: `spec.sparseCheckout` of {} leaves it out", name(source))
            }
            Miss::Elsewhere(path) => write!(f, "{object} reads this repository and branch, but {}", folder(path)),
            Miss::OtherAddress(address) => write!(
                f,
                "{object} reads `{}`, a repository of the same name; if it is the same one, add that address to the repository's aliases",
                shown(address.as_str())
            ),
            Miss::AppliedByHand => write!(
                f,
                "{object} is declared in the file and exists in the cluster, but nothing that is seen applies the file; apply it by hand or add it to an app of apps"
            ),
        }
    }
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind, why) => write!(f, "{kind}: {why}"),
            Self::NoController => f.write_str(
                "neither Argo CD nor Flux is installed in this cluster; whether something else applies the repository cannot be seen",
            ),
            Self::Plugin(object) => {
                write!(f, "{} renders this repository with a plugin, which may read the file from anywhere", name(object))
            }
            Self::Include(source) => {
                write!(f, "{} includes other repositories; the file may come in that way", name(source))
            }
            Self::NoSource(object, source) => write!(
                f,
                "{} takes its files from {}, which is not there or not visible; create it, or permit reading it",
                name(object),
                name(source)
            ),
            Self::Artifact(object, url) => write!(
                f,
                "{} applies the artifact `{}`; if it is made from this repository, add that address to the repository's aliases",
                name(object),
                shown(url)
            ),
            Self::Unreadable(object, path) => write!(
                f,
                "{} builds the kustomization of {}, which cannot be read; mend that file",
                name(object),
                folder(path)
            ),
            Self::Malformed(object, field) => {
                write!(f, "{} has a field of the wrong type, `{}`; what it watches cannot be told", name(object), shown(field))
            }
            Self::TooMuch => f.write_str("more folders are built from the file than are traced"),
        }
    }
}

impl WatchNote {
    /// What is not proved by the tie of this object to the file, in a sentence.
    #[must_use]
    pub fn said_of(self, object: &ObjectKey) -> String {
        let object = name(object);
        match self {
            Self::Plugin => format!(
                "{object} is rendered by a config management plugin: what that makes of the file cannot be seen, only what is live"
            ),
            Self::Hydrated => format!(
                "{object} is synced from what a source hydrator renders into another branch: status.sourceHydrator tells which commit"
            ),
            Self::OutsideGeneratePaths => format!(
                "{object} leaves the file out of argocd.argoproj.io/manifest-generate-paths: the commit that it names may be that of an old render; add the file's folder there"
            ),
        }
    }
}

/// Whether a path ends as manifests do.
pub(super) fn is_manifest(path: &RepoPath) -> bool {
    let extension = path.file_name().rsplit_once('.').map_or("", |(_, extension)| extension);
    ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}
