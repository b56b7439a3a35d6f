//! What the planner knows about the outside, and what it would still like to know.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::model::{
    BranchName, Checks, CommitId, Digest, Fact, ImageName, Listing, Manifest, Pin, PinKind, PullRequest, RepoPath,
    Reviews, Tag, UpdateId, Version,
};

use super::pulls::Carried;

/// Something the planner needs before it can decide; the daemon asks and plans again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Want {
    /// All tags of a repository.
    Listing(ImageName),
    /// The digest a tag resolves to now.
    Digest(ImageName, Tag),
    /// The manifest of a tag as it is now: digest, platforms, creation time, annotations.
    Manifest(ImageName, Tag),
    /// The creation time of a tag's image, for ordering; a remembered answer will do.
    Created(ImageName, Tag),
    /// Every pull request of a branch, whatever its state.
    Pulls(BranchName),
    /// Every open pull request of the bot.
    Open,
    /// The reviews of a pull request.
    Reviews(u64),
    /// The checks of a commit.
    Checks(CommitId),
    /// Whether the reviewers of a pull request have been reminded.
    Reminded(u64),
    /// Which commit brought what a pin holds.
    Origin(PinPlace),
}

impl Want {
    /// Whether the forge or the repository's history is asked, and no registry.
    #[must_use]
    pub fn is_of_others(&self) -> bool {
        match self {
            Self::Pulls(_) | Self::Open | Self::Reviews(_) | Self::Checks(_) | Self::Reminded(_) | Self::Origin(_) => {
                true
            }
            Self::Listing(_) | Self::Digest(..) | Self::Manifest(..) | Self::Created(..) => false,
        }
    }
}

/// Which pin of a branch is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PinPlace {
    /// The file.
    pub path: RepoPath,
    /// The kind of place.
    pub kind: PinKind,
    /// The key path in the file.
    pub key: String,
    /// The image.
    pub name: ImageName,
}

impl From<&Pin> for PinPlace {
    fn from(pin: &Pin) -> Self {
        Self { path: pin.path.clone(), kind: pin.kind, key: pin.key.clone(), name: pin.name.clone() }
    }
}

/// Where what a pin holds comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From a commit that is known.
    Commit(Brought),
    /// From one that is older than the history that is kept.
    Older,
}

/// The commit that brought what a pin holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// The commit that wrote it.
    pub commit: CommitId,
    /// Its author.
    pub by: String,
    /// When it came to the branch.
    pub at: Timestamp,
    /// What the pin held before; `None` where it was not there, could not be read, or named another image.
    pub before: Option<Version>,
    /// Who wrote it.
    pub writer: Writer,
}

/// Who wrote a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The bot, as the commit's trailers say.
    Bot,
    /// Anybody else, machines included.
    Person,
}

/// Answers to [`Want`]s. What is not in here has not been asked.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Tag listings.
    pub listings: HashMap<ImageName, Fact<Listing>>,
    /// Digests of tags.
    pub digests: HashMap<(ImageName, Tag), Fact<Digest>>,
    /// Manifests of tags.
    pub manifests: HashMap<(ImageName, Tag), Fact<Manifest>>,
    /// Creation times of tags; `Known(None)` where the image does not tell.
    pub created: HashMap<(ImageName, Tag), Fact<Option<Timestamp>>>,
    /// Pull requests by head branch, newest first.
    pub pulls: HashMap<BranchName, Fact<Vec<PullRequest>>>,
    /// Where the versions of pins come from, for the branch that is planned.
    pub origins: HashMap<PinPlace, Fact<Origin>>,
    /// The bot's open pull requests, into whatever branch.
    pub open: Option<Fact<Vec<PullRequest>>>,
    /// Reviews by number of the pull request.
    pub reviews: HashMap<u64, Fact<Reviews>>,
    /// Checks of commits.
    pub checks: HashMap<CommitId, Fact<Checks>>,
    /// Whether reviewers have been reminded, by number of the pull request.
    pub reminded: HashMap<u64, Fact<bool>>,
}

/// A branch on the remote that carries the bot's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its tip.
    pub tip: CommitId,
    /// The updates that its commits say they carry, sorted.
    pub updates: Vec<UpdateId>,
    /// The same with what the commit says about each.
    pub carries: Vec<Carried>,
    /// When its tip was made.
    pub made: Option<Timestamp>,
    /// Who else has committed to it, where someone has.
    pub foreign: Option<String>,
    /// Whether a file it changes has changed on the base branch since, so that it must be made anew.
    pub stale: bool,
}
