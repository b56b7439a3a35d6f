//! Why nothing watches a file, or why that is unknown, in sentences for people.
//!
//! Promise: text from a cluster is escaped and shortened here, and addresses carry no user information.

use std::fmt;

use crate::model::RepoPath;
use crate::model::observation::ObjectKey;

use super::WatchNote;
use super::address::Address;

/// An object that almost watches a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The object.
    pub object: ObjectKey,
    /// Why it does not watch it.
    pub why: Miss,
}

/// Why an object does not watch a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// It reads this other revision of the repository.
    Revision(String),
    /// It is pinned to this tag or commit, so nothing new ever arrives.
    Pinned(String),
    /// It reads the folder without its subfolders: `directory.recurse` is not set.
    NotRecursive(String),
    /// `directory.include` or `exclude` leaves the file out.
    Filtered(&'static str, String),
    /// The kustomization of the file's folder does not lead to the file.
    NotReached(String),
    /// The chart in the file's folder does not use the file on its own, and nothing names it.
    NotNamed(String),
    /// The controller does not apply files of this type.
    NotManifest,
    /// `spec.ignore` of its source leaves the file out.
    Ignored(ObjectKey),
    /// `spec.sparseCheckout` of its source leaves the file out.
    NotCheckedOut(ObjectKey),
    /// It watches another folder.
    Elsewhere(String),
    /// A repository with the same name at another address.
    OtherAddress(Address),
    /// The file declares this object, and it exists in the cluster, but nothing visible applies the file.
    AppliedByHand,
}

/// Why the watchers of a file are unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blind {
    /// Not all objects of this kind are visible: the kind, and why.
    Kind(String, String),
    /// Neither Argo CD nor Flux is installed.
    NoController,
    /// A plugin renders this Application of the repository, from any file it likes.
    Plugin(ObjectKey),
    /// The source includes other repositories, and the file may come from there.
    Include(ObjectKey),
    /// The source that this object names is not visible.
    NoSource(ObjectKey, ObjectKey),
    /// It applies an artifact that may be made from the repository.
    Artifact(ObjectKey, String),
    /// The kustomization in this folder, which the object builds, is not readable.
    Unreadable(ObjectKey, String),
    /// Fields of this object could not be read.
    Malformed(ObjectKey, String),
    /// The file is part of more builds than are traced.
    TooMuch,
}

/// Text from a cluster or a repository: one line, escaped, shortened.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(120).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}

/// How an object is named in messages.
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
                write!(
                    f,
                    "{object} has the right path but reads {which}; point it at this branch, or configure that one"
                )
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
                "{object} is declared in the file and exists in the cluster, but nothing visible applies the file; apply it by hand or add it to an app of apps"
            ),
        }
    }
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind, why) => write!(f, "{kind}: {why}"),
            Self::NoController => f.write_str(
                "neither Argo CD nor Flux is installed in this cluster; Landfall cannot see whether something else applies the repository",
            ),
            Self::Plugin(object) => {
                write!(f, "{} renders this repository with a plugin, which may read the file from anywhere", name(object))
            }
            Self::Include(source) => {
                write!(f, "{} includes other repositories; the file may come in that way", name(source))
            }
            Self::NoSource(object, source) => write!(
                f,
                "{} takes its files from {}, which does not exist or is not visible; create it, or permit reading it",
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
                "{} builds the kustomization of {}, which cannot be read; fix that file",
                name(object),
                folder(path)
            ),
            Self::Malformed(object, field) => {
                write!(f, "{} has a field of the wrong type, `{}`; what it watches is unknown", name(object), shown(field))
            }
            Self::TooMuch => f.write_str("the file is part of more builds than Landfall traces"),
        }
    }
}

impl WatchNote {
    /// What the connection between this object and the file does not prove, in a sentence.
    #[must_use]
    pub fn said_of(self, object: &ObjectKey) -> String {
        let object = name(object);
        match self {
            Self::Plugin => format!(
                "{object} is rendered by a config management plugin: Landfall cannot see what it does with the file, only what is live"
            ),
            Self::Hydrated => format!(
                "{object} is synced from a branch that a source hydrator renders: status.sourceHydrator has the dry commit"
            ),
            Self::OutsideGeneratePaths => format!(
                "{object} leaves the file out of argocd.argoproj.io/manifest-generate-paths: the revision it reports may belong to an old render; add the file's folder there"
            ),
        }
    }
}

/// Whether the file name is that of a manifest.
pub(super) fn is_manifest(path: &RepoPath) -> bool {
    let extension = path.file_name().rsplit_once('.').map_or("", |(_, extension)| extension);
    ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}
