//! What is asked of a world, and what Git says about the revisions that occur in it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::observation::{ObjectKey, Revision};
use crate::model::{ImageReference, Version};

/// "Has this image landed?"
#[derive(Debug, Clone)]
pub struct Question {
    /// The image with the tag or digest that Git declares.
    pub image: ImageReference,
    /// What is known of Git.
    pub git: Git,
    /// Which objects are meant.
    pub scope: Scope,
    /// Until when finding no controller is no reason to worry: apps of apps and generators add controllers later. `None`:
    /// at once.
    pub orphan_after: Option<Timestamp>,
    /// When it must have landed; what is still moving then is stuck.
    pub deadline: Option<Timestamp>,
}

impl Question {
    /// A question about whatever the world holds, without Git and without a deadline.
    #[must_use]
    pub fn new(image: ImageReference) -> Self {
        Self { image, git: Git::Unknown, scope: Scope::default(), orphan_after: None, deadline: None }
    }
}

/// Which objects are meant; what is absent is found out from the objects themselves.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The controllers that watch the path. `Some` of none: it is known that nothing does.
    pub controllers: Option<Vec<ObjectKey>>,
    /// The workloads that belong to them.
    pub workloads: Option<Vec<ObjectKey>>,
    /// Objects whose own specification holds the pin, where such a file declares it (an Application of an app of apps, a
    /// HelmRelease): they stand between the controllers and the workloads.
    pub held: Vec<ObjectKey>,
    /// Other versions of the image that the same controllers are told to apply elsewhere: workloads that carry one of these
    /// are somebody else's, where some carry the version that is asked for.
    pub others: Vec<Version>,
}

/// What is known of Git.
#[derive(Debug, Clone, Default)]
pub enum Git {
    /// Nothing: only images can be compared.
    #[default]
    Unknown,
    /// Without a repository at hand: the commit that brought the image. A controller has it when it names it, as what it
    /// compared or applied or in its history.
    Commit(String),
    /// Facts by revision, for those that [`super::World::revisions`] lists. The key is the commit where the revision has
    /// one, else the revision as written.
    Facts(BTreeMap<String, RevisionFact>),
}

/// What Git says about one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionFact {
    /// Whether the change is in it.
    pub contains: Contains,
    /// What it declares for the image at the place in question.
    pub declares: Option<Version>,
}

/// Whether a revision contains the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Contains {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// Nobody can tell.
    #[default]
    Unknown,
}

impl Contains {
    /// Of several places where the change may be, one is enough.
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
    /// Whether one of these revisions contains the change. Several belong to one state: the sources of an Application.
    pub(super) fn contained(&self, revisions: &[Revision]) -> Contains {
        revisions.iter().fold(Contains::Unknown, |all, revision| all.or(self.contains(revision)))
    }

    fn contains(&self, revision: &Revision) -> Contains {
        match self {
            Self::Unknown => Contains::Unknown,
            Self::Commit(commit) if names(revision, commit) => Contains::Yes,
            // What is no commit (a chart's version, a branch that could not be resolved) says nothing about one.
            Self::Commit(_) => revision.commit().map_or(Contains::Unknown, |_| Contains::No),
            Self::Facts(facts) => facts.get(key(revision)).map_or(Contains::Unknown, |fact| fact.contains),
        }
    }

    /// What one of these revisions declares, where Git was read.
    pub(super) fn declares(&self, revisions: &[Revision]) -> Option<&Version> {
        let Self::Facts(facts) = self else { return None };
        revisions.iter().find_map(|revision| facts.get(key(revision))?.declares.as_ref())
    }
}

/// The key of a revision among [`Git::Facts`].
pub(super) fn key(revision: &Revision) -> &str {
    revision.commit().unwrap_or(revision.as_str())
}

/// Whether a revision is the commit that a person names, perhaps by its first digits.
fn names(revision: &Revision, commit: &str) -> bool {
    let commit = Revision::new(commit);
    let wanted = key(&commit).to_ascii_lowercase();
    match revision.commit() {
        Some(found) => found == wanted || (wanted.len() >= 7 && found.starts_with(&wanted)),
        None => revision.as_str() == commit.as_str(),
    }
}
