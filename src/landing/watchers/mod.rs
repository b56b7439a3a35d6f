//! Who watches: which controllers of a cluster read a file of a repository.
//!
//! Promise: [`watchers`] never says "orphan" while something that could watch the file was not seen: then it is
//! [`FoundWatchers::CannotTell`], with what to permit or mend. "Orphan" comes with what almost watches the file and why it does
//! not. A suspended or failing controller is a watcher all the same: that it stands still is for the judge to say.
//!
//! What watches: Argo CD Applications (by path, value file, `$ref` value file, kustomization, chart, hydrator), Flux
//! Kustomizations through their sources, Flux HelmReleases whose chart comes from Git. An object declared in a file that
//! holds pins in its own specification (an Application of an app of apps, an ApplicationSet, a HelmRelease) is named with
//! whoever applies the file: [`Watcher::holds`].
//!
//! Design: [`WatcherIndex`] is built when what controllers read may have changed ([`spec_unchanged()`]), and shared: controllers by
//! normalised repository address, then by folder or file. A question looks up the folders that hold the file or are built
//! from it ([`crate::overlay::Reach`]) and tests only what it finds there.

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
pub use search::watchers;
pub use spec_unchanged::spec_unchanged;

/// A repository as controllers may name it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepositoryAddresses {
    /// The configured address and its aliases.
    pub addresses: Vec<Address>,
    /// Addresses that are known to be others: of artifacts that are not made from this repository.
    pub others: Vec<Address>,
    /// The branch that `HEAD` means, where known.
    pub default_branch: Option<BranchName>,
}

impl RepositoryAddresses {
    /// A repository of these addresses; what is no address is left out.
    pub fn new<'t>(addresses: impl IntoIterator<Item = &'t str>, default_branch: Option<BranchName>) -> Self {
        let addresses = addresses.into_iter().filter_map(Address::parse).collect();
        Self { addresses, others: Vec::new(), default_branch }
    }
}

/// A place in Git that somebody may watch.
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
    /// What is built from what, at the head of the branch.
    pub tree: &'p Reach,
    /// The text of the `.sourceignore` at its root, which Flux reads; empty where there is none.
    pub source_ignore: &'p str,
}

impl<'p> WatchedFile<'p> {
    /// The place of a pin.
    #[must_use]
    pub fn of(repository: &'p RepositoryAddresses, branch: &'p BranchName, tree: &'p Reach, pin: &'p Pin) -> Self {
        Self { repository, branch, path: &pin.path, document: pin.document, tree, source_ignore: "" }
    }
}

/// Who watches a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundWatchers {
    /// These do.
    By {
        /// Each controller once, in the order of their keys.
        watchers: Vec<Watcher>,
        /// What was not seen: there may be more.
        blind: Vec<Blind>,
    },
    /// Everything was seen, and nothing watches it.
    Orphan {
        /// What almost does, nearest first.
        near: Vec<NearMiss>,
    },
    /// Nothing that was seen watches it, and not everything was seen.
    CannotTell {
        /// What was not seen, or cannot be read.
        why: Vec<Blind>,
        /// What almost watches it.
        near: Vec<NearMiss>,
    },
}

impl FoundWatchers {
    /// The controllers that read the file: empty where it is known that none does, absent where that cannot be told.
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
    /// For an Application: which of its sources brings the file; `status.sync.revisions` has the same order. Absent for a
    /// hydrator's dry source.
    pub source: Option<usize>,
    /// For Flux: the source object whose artifact brings the file.
    pub origin: Option<ObjectKey>,
    /// How the file is reached.
    pub via: Via,
    /// How the branch's commits arrive.
    pub follows: Follows,
    /// Objects that the file declares where the pin stands: their own specification holds it.
    pub holds: Vec<HeldObject>,
    /// What the judge has to know beyond.
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
    /// The kustomization in this folder leads to the file, by this field where the file is not the kustomization itself.
    Kustomization(String, Option<LinkField>),
    /// The chart in this folder packages the file, by this field where it is a chart that it depends on.
    Chart(String, Option<LinkField>),
}

/// An object that a file declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldObject {
    /// As the file declares it; its namespace may be empty.
    pub declared: ObjectKey,
    /// The objects that became of it: itself, or the Applications that an ApplicationSet has made. Empty where there is
    /// none yet.
    pub objects: Vec<ObjectKey>,
}

/// What a tie cannot prove by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchNote {
    /// A plugin renders it: what it does with the file is not known.
    Plugin,
    /// A hydrator renders this source into another branch: compare the dry commit, `status.sourceHydrator`.
    Hydrated,
    /// `argocd.argoproj.io/manifest-generate-paths` leaves the file out: on a poll, the old render is re-labelled with the
    /// new commit, so its revision proves nothing.
    OutsideGeneratePaths,
}
