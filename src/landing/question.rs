//! The question put to a cluster view, and what Git says about the revisions in it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::observation::{ObjectKey, Revision};
use crate::model::{ImageReference, Version};

/// "Has this image landed?"
#[derive(Debug, Clone)]
pub struct Question {
    /// The image with the tag or digest that Git declares.
    pub image: ImageReference,
    /// What is known from Git.
    pub git: Git,
    /// Which objects to consider.
    pub scope: Scope,
    /// Until when a missing controller is no reason to worry: apps of apps and generators add controllers later.
    /// `None`: no grace period.
    pub orphan_after: Option<Timestamp>,
    /// When it must have landed; anything still moving then is stuck.
    pub deadline: Option<Timestamp>,
}

impl Question {
    /// A question about whatever the view holds, without Git and without a deadline.
    #[must_use]
    pub fn new(image: ImageReference) -> Self {
        Self { image, git: Git::Unknown, scope: Scope::default(), orphan_after: None, deadline: None }
    }
}

/// Which objects to consider; anything absent is derived from the objects themselves.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The controllers that watch the path. An empty list means that nothing is known to watch it.
    pub controllers: Option<Vec<ObjectKey>>,
    /// The workloads of these controllers.
    pub workloads: Option<Vec<ObjectKey>>,
    /// Objects whose own specification holds the pin, if the file declares such objects (an Application of an app of
    /// apps, a HelmRelease). They are between the controllers and the workloads.
    pub held: Vec<ObjectKey>,
    /// Other versions of the image that the same controllers apply elsewhere. If some workloads carry the wanted
    /// version, those with one of these versions belong to somebody else.
    pub others: Vec<Version>,
}

/// What is known from Git.
#[derive(Debug, Clone, Default)]
pub enum Git {
    /// Nothing: only images can be compared.
    #[default]
    Unknown,
    /// No repository at hand, only the commit that brought the image. A controller has it if it names it as compared,
    /// applied, or in its history.
    Commit(String),
    /// Facts by revision, for the revisions that [`super::World::revisions`] lists. The key is the commit if the
    /// revision has one, otherwise the revision as written.
    Facts(BTreeMap<String, RevisionFact>),
}

/// What Git says about one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionFact {
    /// Whether it contains the change.
    pub contains: Contains,
    /// The version it declares for the image at the place in question.
    pub declares: Option<Version>,
}

/// Whether a revision contains the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Contains {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It cannot be determined.
    #[default]
    Unknown,
}

impl Contains {
    /// The change may be in several places; one is enough.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, _) | (_, Self::No) => Self::No,
            _ => Self::Unknown,
        }
    }
}

impl Git {
    /// Whether one of these revisions contains the change. The sources of an Application have one revision each.
    pub(super) fn contained(&self, revisions: &[Revision]) -> Contains {
        revisions.iter().fold(Contains::Unknown, |all, revision| all.or(self.contains(revision)))
    }

    fn contains(&self, revision: &Revision) -> Contains {
        match self {
            Self::Unknown => Contains::Unknown,
            Self::Commit(commit) if names(revision, commit) => Contains::Yes,
            // A revision that is not a commit (a chart's version, an unresolved branch) says nothing about a commit.
            Self::Commit(_) => revision.commit().map_or(Contains::Unknown, |_| Contains::No),
            Self::Facts(facts) => facts.get(key(revision)).map_or(Contains::Unknown, |fact| fact.contains),
        }
    }

    /// The version declared by one of these revisions, if Git was read.
    pub(super) fn declares(&self, revisions: &[Revision]) -> Option<&Version> {
        let Self::Facts(facts) = self else { return None };
        revisions.iter().find_map(|revision| facts.get(key(revision))?.declares.as_ref())
    }
}

/// The key of a revision among [`Git::Facts`].
pub(super) fn key(revision: &Revision) -> &str {
    revision.commit().unwrap_or(revision.as_str())
}

/// Whether a revision is the commit that a person named, possibly abbreviated.
fn names(revision: &Revision, commit: &str) -> bool {
    let commit = Revision::new(commit);
    let wanted = key(&commit).to_ascii_lowercase();
    match revision.commit() {
        Some(found) => found == wanted || (wanted.len() >= 7 && found.starts_with(&wanted)),
        None => revision.as_str() == commit.as_str(),
    }
}
