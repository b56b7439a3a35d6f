//! The health of every image in every environment, as far as the tracker knows: the basis for promotions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::model::{Blame, CauseCode, CommitId, Digest, ImageName, State, Tag, UpdateId, Version};

/// The health of one image in one place: an overlay in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoakState {
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
    /// The cluster; `None` if none is configured for the environment.
    pub cluster: Option<String>,
    /// The id of the update that brought the version, or would have.
    pub id: UpdateId,
    /// What Git declares there.
    pub version: Version,
    /// The commit that brought it, if known.
    pub commit: Option<CommitId>,
    /// When that commit reached the branch.
    pub committed: Option<Timestamp>,
    /// Its health.
    pub stand: SoakHealth,
    /// Why its soak started again, if it did.
    pub anew: Option<String>,
    /// The digests that its pods report: that of an index, or of one of its platforms.
    pub digests: Vec<Digest>,
    /// The versions that ran here before, newest first, as far as the bot observed them.
    pub before: Vec<PastSoak>,
}

impl SoakState {
    /// Since when it has been soaking, and why the soak started again, if it did.
    #[must_use]
    pub fn began_anew(&self) -> Option<String> {
        let SoakHealth::Healthy { since } = &self.stand else { return None };
        let why = self.anew.as_ref()?;
        Some(format!("it has been soaking since {since:.0}, because the soak started again: {why}"))
    }

    /// The last time that a tag ran here before.
    #[must_use]
    pub fn last(&self, tag: Option<&Tag>) -> Option<&PastSoak> {
        self.before.iter().find(|proven| proven.version.tag.as_ref() == tag)
    }
}

/// The health of a declared version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoakHealth {
    /// Landed, and healthy since then.
    Healthy {
        /// Since when without a break.
        since: Timestamp,
    },
    /// Anything else.
    Not {
        /// Its state instead of landed.
        state: State,
        /// The cause, if known.
        cause: Option<CauseCode>,
        /// Whether another version would fare better.
        blame: Blame,
        /// The same as a message for people.
        message: String,
        /// Since when it has been in this state.
        since: Option<Timestamp>,
    },
}

/// A version that was healthy for some time and was then replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastSoak {
    /// The version.
    pub version: Version,
    /// When it landed.
    pub from: Timestamp,
    /// When it was last seen healthy.
    pub until: Timestamp,
    /// The commit that brought it, if known.
    pub commit: Option<CommitId>,
    /// The digests that its pods reported.
    pub digests: Vec<Digest>,
    /// How that ended.
    pub end: SoakEnd,
}

/// How a version's soak ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoakEnd {
    /// It was replaced, or was no longer observed.
    MadeRoom,
    /// It failed.
    Failed,
}

impl PastSoak {
    /// How long it was healthy.
    #[must_use]
    pub fn span(&self) -> SignedDuration {
        self.until.duration_since(self.from)
    }
}

/// All soaks, by environment or cluster, app and image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SoakStates {
    environments: Places,
    clusters: Places,
    /// Environments that are partly invisible, because a repository cannot be read.
    blind: BTreeSet<String>,
    /// When the clusters were last read; `None`: never.
    at: Option<Timestamp>,
}

/// Environment or cluster → its soaks, ordered by app and image. This is looked up for each pin, so a lookup must not
/// copy names.
type Places = BTreeMap<String, Vec<Arc<SoakState>>>;

fn order(standing: &Arc<SoakState>) -> (&str, &ImageName) {
    (&standing.app, &standing.image)
}

/// `None` where there is none.
fn find<'p>(places: &'p Places, name: &str, app: &str, image: &ImageName) -> Option<&'p [Arc<SoakState>]> {
    let all = places.get(name)?;
    let from = all.partition_point(|it| order(it) < (app, image));
    let count = all[from..].partition_point(|it| order(it) == (app, image));
    (count > 0).then(|| &all[from..from + count])
}

impl SoakStates {
    /// The results of one pass.
    #[must_use]
    pub fn new(soaks: impl IntoIterator<Item = SoakState>, at: Timestamp) -> Self {
        let mut all = Self { at: Some(at), ..Self::default() };
        for standing in soaks {
            let standing = Arc::new(standing);
            if let Some(cluster) = &standing.cluster {
                all.clusters.entry(cluster.clone()).or_default().push(Arc::clone(&standing));
            }
            all.environments.entry(standing.environment.clone()).or_default().push(standing);
        }
        all.environments
            .values_mut()
            .chain(all.clusters.values_mut())
            .for_each(|it| it.sort_by(|a, b| order(a).cmp(&order(b))));
        all
    }

    /// The same, with environments that are partly invisible.
    #[must_use]
    pub fn blind_to(mut self, environments: impl IntoIterator<Item = String>) -> Self {
        self.blind.extend(environments);
        self
    }

    /// Whether an environment is partly invisible.
    #[must_use]
    pub fn is_blind(&self, environment: &str) -> bool {
        self.blind.contains(environment)
    }

    /// When the clusters were last read; `None` if they have not been read yet.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// The places in which an app declares an image in an environment.
    #[must_use]
    pub fn of(&self, environment: &str, app: &str, image: &ImageName) -> &[Arc<SoakState>] {
        find(&self.environments, environment, app, image).unwrap_or_default()
    }

    /// The places in which an app runs an image in an environment, or else in a cluster of that name.
    #[must_use]
    pub fn of_wave(&self, name: &str, app: &str, image: &ImageName) -> &[Arc<SoakState>] {
        let found = find(&self.environments, name, app, image).or_else(|| find(&self.clusters, name, app, image));
        found.unwrap_or_default()
    }

    /// All soaks.
    pub fn all(&self) -> impl Iterator<Item = &Arc<SoakState>> {
        self.environments.values().flatten()
    }

    /// The images that an app declares in an environment.
    pub fn images<'s>(&'s self, environment: &'s str, app: &'s str) -> impl Iterator<Item = &'s ImageName> {
        let all = self.environments.get(environment).map_or(&[][..], Vec::as_slice);
        let from = all.partition_point(|it| it.app.as_str() < app);
        let mut images: Vec<&ImageName> =
            all[from..].iter().take_while(|it| it.app == app).map(|it| &it.image).collect();
        images.dedup();
        images.into_iter()
    }

    /// Whether the content is the same, whenever it was read: the versions, and since when they have been healthy.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let fact = |it: &Arc<SoakState>| match it.stand {
            SoakHealth::Healthy { since } => Some(since),
            SoakHealth::Not { .. } => None,
        };
        let same = |(one, other): (&Arc<SoakState>, &Arc<SoakState>)| {
            one.id == other.id
                && one.cluster == other.cluster
                && fact(one) == fact(other)
                && one.before.len() == other.before.len()
        };
        let in_step = self.all().zip(other.all()).all(same);
        self.at.is_some() == other.at.is_some() && self.all().count() == other.all().count() && in_step
    }

    /// Whether there is an environment or a cluster with that name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.environments.contains_key(name) || self.clusters.contains_key(name)
    }
}
