//! What the planner knows about the outside, and what it still needs to know.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::{
    Answer, BranchName, Checks, CommitId, Digest, ImageName, Listing, Manifest, Pin, PinKind, PullRequest, RepoPath,
    Reviews, SignatureVerdict, Tag, UpdateId, Verification, Version,
};

use super::pull_requests::CarriedUpdate;

/// What the planner needs to know before it can decide. The daemon finds the answers and plans again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queries {
    /// Queries to registries.
    pub registry: BTreeSet<RegistryQuery>,
    /// Queries to the repository's forge.
    pub forge: BTreeSet<ForgeQuery>,
    /// Queries about the branch's history.
    pub history: BTreeSet<HistoryQuery>,
}

impl Queries {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.registry.is_empty() && self.forge.is_empty() && self.history.is_empty()
    }

    /// The queries that are not in `asked`.
    #[must_use]
    pub fn without(&self, asked: &Self) -> Self {
        Self {
            registry: self.registry.difference(&asked.registry).cloned().collect(),
            forge: self.forge.difference(&asked.forge).cloned().collect(),
            history: self.history.difference(&asked.history).cloned().collect(),
        }
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: Self) {
        self.registry.extend(others.registry);
        self.forge.extend(others.forge);
        self.history.extend(others.history);
    }
}

impl From<RegistryQuery> for Queries {
    fn from(query: RegistryQuery) -> Self {
        Self { registry: BTreeSet::from([query]), ..Self::default() }
    }
}

impl From<ForgeQuery> for Queries {
    fn from(query: ForgeQuery) -> Self {
        Self { forge: BTreeSet::from([query]), ..Self::default() }
    }
}

impl From<HistoryQuery> for Queries {
    fn from(query: HistoryQuery) -> Self {
        Self { history: BTreeSet::from([query]), ..Self::default() }
    }
}

/// A query to an image's registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RegistryQuery {
    /// All tags of a repository.
    Listing(ImageName),
    /// The same, but answered no earlier than this time: the known answer is older than something that contradicts it.
    Relisting(ImageName, Timestamp),
    /// The digest that a tag resolves to now.
    Digest(ImageName, Tag),
    /// The current manifest of a tag: digest, platforms, creation time, annotations.
    Manifest(ImageName, Tag),
    /// The manifest of a tag that is written now; what was read of it once will do.
    Written(ImageName, Tag),
    /// The creation time of a tag's image, for ordering; a cached answer will do.
    Created(ImageName, Tag),
    /// Whether this digest has the signatures that are demanded.
    Signatures(ImageName, Digest, Arc<Verification>),
}

impl RegistryQuery {
    /// The image that it is about.
    #[must_use]
    pub fn image(&self) -> &ImageName {
        match self {
            Self::Listing(name)
            | Self::Relisting(name, _)
            | Self::Digest(name, _)
            | Self::Manifest(name, _)
            | Self::Written(name, _)
            | Self::Created(name, _)
            | Self::Signatures(name, ..) => name,
        }
    }
}

/// A query to the forge of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ForgeQuery {
    /// Every pull request of a branch, in any state.
    Pulls(BranchName),
    /// Every open pull request of the bot.
    Open,
    /// Every pull request of the bot that was closed or merged, from and into any branch.
    Closed,
    /// What the commits of a closed pull request carried.
    Carried(u64),
    /// The reviews of a pull request.
    Reviews(u64),
    /// The checks of a commit.
    Checks(CommitId),
    /// Whether the reviewers of a pull request have been reminded.
    Reminded(u64),
    /// Whether a pull request, at this tip, waits for nothing but to have all of its base.
    Behind(u64, CommitId),
    /// What is in the merge queue of the base.
    Queue,
}

/// A query about a branch's history: which commit introduced the current value of this pin?
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HistoryQuery {
    /// The file.
    pub path: RepoPath,
    /// The kind of place.
    pub kind: PinKind,
    /// The key path in the file.
    pub key: String,
    /// The image.
    pub name: ImageName,
}

impl From<&Pin> for HistoryQuery {
    fn from(pin: &Pin) -> Self {
        Self { path: pin.path.clone(), kind: pin.kind, key: pin.key.clone(), name: pin.name.clone() }
    }
}

/// Where the current value of a pin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From this commit.
    Commit(Brought),
    /// From before the history that is kept.
    Older,
}

/// The commit that introduced the current value of a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// The commit that wrote it.
    pub commit: CommitId,
    /// Its author.
    pub by: String,
    /// When it reached the branch.
    pub at: Timestamp,
    /// The previous value; `None` if the pin did not exist, could not be read, or named another image.
    pub before: Option<Version>,
    /// Who wrote it.
    pub writer: Writer,
    /// Where the pin was before, latest first: for files that were moved, and images that are now pulled from
    /// elsewhere.
    pub former: Vec<FormerPlace>,
    /// When the place came to be what it is now, if it did not exist before.
    pub appeared: Option<Timestamp>,
}

/// Where a pin was before its file was moved or its image's registry changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerPlace {
    /// The file.
    pub path: RepoPath,
    /// The image.
    pub name: ImageName,
}

/// Who wrote a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The bot, according to the commit's trailers.
    Bot,
    /// Anybody else, including machines.
    Person,
}

/// Answers to [`Queries`]. Anything absent has not been queried.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Tag listings.
    pub listings: HashMap<ImageName, Answer<Listing>>,
    /// Digests of tags.
    pub digests: HashMap<(ImageName, Tag), Answer<Digest>>,
    /// Manifests of tags.
    pub manifests: HashMap<(ImageName, Tag), Answer<Manifest>>,
    /// Manifests of tags that are written now, perhaps of earlier.
    pub written: HashMap<(ImageName, Tag), Answer<Manifest>>,
    /// When the bot first saw each digest for which a manifest was read.
    pub first_seen: HashMap<(ImageName, Digest), Timestamp>,
    /// Creation times of tags; `Known(None)` if the image has none.
    pub created: HashMap<(ImageName, Tag), Answer<Option<Timestamp>>>,
    /// Signatures of digests.
    pub signatures: HashMap<(ImageName, Digest, Arc<Verification>), Answer<SignatureVerdict>>,
    /// Pull requests by head branch, newest first.
    pub pulls: HashMap<BranchName, Answer<Vec<PullRequest>>>,
    /// Where the versions of pins come from, on the planned branch.
    pub origins: HashMap<HistoryQuery, Answer<Origin>>,
    /// The bot's open pull requests, into any branch.
    pub open: Option<Answer<Vec<PullRequest>>>,
    /// The bot's pull requests that were closed or merged, the latest to end first.
    pub closed: Option<Answer<Vec<PullRequest>>>,
    /// What closed pull requests carried, by number.
    pub carried: HashMap<u64, Answer<Vec<CarriedUpdate>>>,
    /// Reviews, by pull request number.
    pub reviews: HashMap<u64, Answer<Reviews>>,
    /// Checks of commits.
    pub checks: HashMap<CommitId, Answer<Checks>>,
    /// Whether reviewers have been reminded, by pull request number.
    pub reminded: HashMap<u64, Answer<bool>>,
    /// Whether pull requests wait for nothing but to have all of their base, by number.
    pub behind: HashMap<u64, Answer<bool>>,
    /// The numbers of the pull requests in the base's merge queue; absent: there is none.
    pub queue: Option<Answer<BTreeSet<u64>>>,
}

/// A branch on the remote with the bot's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its tip.
    pub tip: CommitId,
    /// The updates that its commits claim to carry, sorted.
    pub updates: Vec<UpdateId>,
    /// The same, with what the commit says about each.
    pub carries: Vec<CarriedUpdate>,
    /// Since when its tip has been there, as observed by the bot; not the commit's own time.
    pub made: Option<Timestamp>,
    /// Since when the branch has carried just these updates: bringing it up to date with its base changes nothing.
    pub since: Option<Timestamp>,
    /// Whether the tip existed when the bot first saw the branch, so that the forge may know an earlier time.
    pub met: bool,
    /// Who else has committed to it, if anybody.
    pub foreign: Option<String>,
    /// Whether a file that it changes has since changed on the base branch, so that it must be recreated.
    pub stale: bool,
    /// Whether the base branch has commits that it does not have.
    pub behind: bool,
    /// The commits that carry the same as its tip, that one included: the base may have been merged into it since.
    pub same: Vec<CommitId>,
}

impl Head {
    /// A branch with nothing beyond the base branch.
    #[must_use]
    pub fn merged(tip: &CommitId) -> Self {
        let (updates, carries) = (Vec::new(), Vec::new());
        let (made, since, foreign, same) = (None, None, None, vec![tip.clone()]);
        Self { tip: tip.clone(), updates, carries, made, since, met: false, foreign, stale: false, behind: false, same }
    }
}
