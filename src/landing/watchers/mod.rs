//! Which controllers of a cluster watch a file, that is, read it from the repository.
//!
//! Promise: [`watchers`] never returns "orphan" while something that could watch the file is not visible. In that case
//! it returns [`FoundWatchers::CannotTell`], with what to permit or fix. "Orphan" comes with the near misses: what
//! almost watches the file, and why it does not. A suspended or failing controller still counts as a watcher; its state
//! is for the judge.
//!
//! Watchers are Argo CD Applications (by path, value file, `$ref` value file, kustomization, chart, hydrator), Flux
//! Kustomizations through their sources, and Flux HelmReleases whose chart comes from Git. If a file declares an object
//! that holds pins in its own specification (an Application of an app of apps, an ApplicationSet, a HelmRelease), that
//! object is listed with the controller that applies the file: [`Watcher::holds`].
//!
//! Design: [`WatcherIndex`] is built again whenever what controllers read may have changed ([`spec_unchanged()`]), and
//! is shared. It maps controllers by normalised repository address, then by folder or file. A lookup visits the folders
//! that hold the file or are built from it ([`crate::overlay::Reach`]) and tests only the entries it finds there.

mod address;
mod argo;
mod flux;
mod index;
mod memory;
mod revision;
mod say;
mod search;
mod spec_unchanged;

#[cfg(test)]
mod tests;

use crate::model::observation::ObjectKey;
use crate::model::{BranchName, Pin, RepoPath};
use crate::overlay::{LinkField, Reach};

pub use address::Address;
pub use index::{Coverage, KindCoverage, WATCHING, WatcherIndex};
pub use memory::WatchMemory;
pub use revision::Follows;
pub use say::{Blind, Miss, NearMiss};
pub use search::{watchers, watchers_of};
pub use spec_unchanged::spec_unchanged;

/// The addresses that controllers may use for a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepositoryAddresses {
    /// The configured address and its aliases.
    pub addresses: Vec<Address>,
    /// Addresses known to be something else: artifacts that are not made from this repository.
    pub others: Vec<Address>,
    /// The branch that `HEAD` means, where known.
    pub default_branch: Option<BranchName>,
}

impl RepositoryAddresses {
    /// A repository with these addresses; invalid ones are left out.
    pub fn new<'t>(addresses: impl IntoIterator<Item = &'t str>, default_branch: Option<BranchName>) -> Self {
        let addresses = addresses.into_iter().filter_map(Address::parse).collect();
        Self { addresses, others: Vec::new(), default_branch }
    }
}

/// A file in Git that a controller may watch.
#[derive(Debug, Clone, Copy)]
pub struct WatchedFile<'p> {
    /// The repository.
    pub repository: &'p RepositoryAddresses,
    /// The branch.
    pub branch: &'p BranchName,
    /// The file.
    pub path: &'p RepoPath,
    /// The document of the file that holds the pin, from 0.
    pub document: usize,
    /// What is built from what, at the tip of the branch.
    pub tree: &'p Reach,
    /// The text of the `.sourceignore` at the root, which Flux reads; empty if there is none.
    pub source_ignore: &'p str,
}

impl<'p> WatchedFile<'p> {
    /// The file of a pin.
    #[must_use]
    pub fn of(repository: &'p RepositoryAddresses, branch: &'p BranchName, tree: &'p Reach, pin: &'p Pin) -> Self {
        Self { repository, branch, path: &pin.path, document: pin.document, tree, source_ignore: "" }
    }
}

/// The watchers of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundWatchers {
    /// These controllers watch it.
    By {
        /// Each controller once, in the order of their keys.
        watchers: Vec<Watcher>,
        /// What is not visible: there may be more watchers.
        blind: Vec<Blind>,
    },
    /// Everything is visible, and nothing watches it.
    Orphan {
        /// Near misses, nearest first.
        near: Vec<NearMiss>,
    },
    /// Nothing visible watches it, but not everything is visible.
    CannotTell {
        /// What is not visible, or cannot be read.
        why: Vec<Blind>,
        /// Near misses.
        near: Vec<NearMiss>,
    },
}

impl FoundWatchers {
    /// The controllers that read the file: empty if there are known to be none, `None` if that is unknown.
    #[must_use]
    pub fn controllers(&self) -> Option<Vec<ObjectKey>> {
        match self {
            Self::By { watchers, .. } => Some(watchers.iter().map(|watcher| watcher.object.clone()).collect()),
            Self::Orphan { .. } => Some(Vec::new()),
            Self::CannotTell { .. } => None,
        }
    }
}

/// A controller's object that watches a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// An Application, a Flux Kustomization or a HelmRelease.
    pub object: ObjectKey,
    /// For an Application: the index of the source that provides the file, in the order of `status.sync.revisions`.
    /// `None` for a hydrator's dry source.
    pub source: Option<usize>,
    /// For Flux: the source object whose artifact contains the file.
    pub origin: Option<ObjectKey>,
    /// How the file is reached.
    pub via: Via,
    /// How the branch's commits reach it.
    pub follows: Follows,
    /// Objects that the file declares and whose own specification holds the pin.
    pub holds: Vec<HeldObject>,
    /// What else the judge has to know.
    pub notes: Vec<WatchNote>,
}

/// How a controller reaches a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// The file is in its folder.
    Path,
    /// It names the file as Helm values.
    ValueFile,
    /// It names the file as Helm values of another of its sources: `$name/…`.
    RefValueFile(String),
    /// It sets a Helm parameter to the file's content.
    FileParameter,
    /// The kustomization in this folder leads to the file, through this field unless the file is the kustomization
    /// itself.
    Kustomization(String, Option<LinkField>),
    /// The chart in this folder packages the file, through this field if it belongs to a chart dependency.
    Chart(String, Option<LinkField>),
}

/// An object that a file declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldObject {
    /// As the file declares it; the namespace may be empty.
    pub declared: ObjectKey,
    /// The resulting objects in the cluster: itself, or the Applications that an ApplicationSet has created. Empty if
    /// there are none yet.
    pub objects: Vec<ObjectKey>,
}

/// What the connection between controller and file cannot prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchNote {
    /// A plugin renders it; what it does with the file is not known.
    Plugin,
    /// A hydrator renders this source into another branch: compare the dry commit, `status.sourceHydrator`.
    Hydrated,
    /// `argocd.argoproj.io/manifest-generate-paths` leaves the file out: on a poll, the old render is relabelled with
    /// the new commit, so the revision proves nothing.
    OutsideGeneratePaths,
}
