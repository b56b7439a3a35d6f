//! How every image stands in every environment, as far as the tracking knows: what a promotion is decided from.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::{CauseCode, CommitId, Digest, ImageName, State, UpdateId, Version};

/// How one image stands in one place: an overlay, in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The GitOps repository's name in the configuration.
    pub repository: String,
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The overlay's folder.
    pub overlay: String,
    /// The image.
    pub image: ImageName,
    /// The cluster; `None` where none is configured for the environment.
    pub cluster: Option<String>,
    /// The id of the update that brought the version, or would have.
    pub id: UpdateId,
    /// What Git declares there.
    pub version: Version,
    /// The commit that brought it, where known.
    pub commit: Option<CommitId>,
    /// When that commit came to the branch.
    pub committed: Option<Timestamp>,
    /// How it is.
    pub stand: Stand,
    /// The digests that its pods report; one of an index, or of one platform of it.
    pub digests: Vec<Digest>,
    /// The versions that ran here before, newest first, as far as the bot was there to see.
    pub before: Vec<Proven>,
}

/// How a declared version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stand {
    /// Landed, and well since then.
    Healthy {
        /// Since when without a break.
        since: Timestamp,
    },
    /// Anything else.
    Not {
        /// What it is in place of landed.
        state: State,
        /// Why, where that is known.
        cause: Option<CauseCode>,
        /// The same for a person.
        message: String,
        /// Since when it is like that.
        since: Option<Timestamp>,
    },
}

/// A version that was well for some time and has made room for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The version.
    pub version: Version,
    /// When it had landed.
    pub from: Timestamp,
    /// When it was last seen well.
    pub until: Timestamp,
    /// The digests that its pods reported.
    pub digests: Vec<Digest>,
}

impl Proven {
    /// For how long it was well.
    #[must_use]
    pub fn span(&self) -> SignedDuration {
        self.until.duration_since(self.from)
    }
}

/// All standings, by environment, app and image.
#[derive(Debug, Clone, Default)]
pub struct Standings {
    places: BTreeMap<Key, Vec<Standing>>,
    /// When it was looked; `None`: never.
    at: Option<Timestamp>,
}

/// Environment, app, image.
type Key = (String, String, ImageName);

impl Standings {
    /// What one look found.
    #[must_use]
    pub fn new(standings: impl IntoIterator<Item = Standing>, at: Timestamp) -> Self {
        let mut places: BTreeMap<Key, Vec<Standing>> = BTreeMap::new();
        for standing in standings {
            let key = (standing.environment.clone(), standing.app.clone(), standing.image.clone());
            places.entry(key).or_default().push(standing);
        }
        Self { places, at: Some(at) }
    }

    /// When it was looked; `None` where nobody has looked yet.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// The places where an app declares an image in an environment.
    #[must_use]
    pub fn of(&self, environment: &str, app: &str, image: &ImageName) -> &[Standing] {
        let key = (environment.to_owned(), app.to_owned(), image.clone());
        self.places.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Every standing.
    pub fn all(&self) -> impl Iterator<Item = &Standing> {
        self.places.values().flatten()
    }

    /// The images that an app declares in an environment.
    pub fn images<'s>(&'s self, environment: &'s str, app: &'s str) -> impl Iterator<Item = &'s ImageName> {
        let own = self.places.keys().filter(move |(other, named, _)| other == environment && named == app);
        own.map(|(.., image)| image)
    }

    /// Whether anything at all is known of an environment.
    #[must_use]
    pub fn knows(&self, environment: &str) -> bool {
        self.places.keys().any(|(other, ..)| other == environment)
    }
}
