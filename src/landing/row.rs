//! A row: one image in one cluster, or on its way there, with everything needed to follow it from pass to pass.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::observation::Object;
use crate::model::{
    Affected, BranchName, Cause, Digest, ImageName, Landing, State, Tag, Tracked, TrackedThing, UpdateId, Version,
};
use crate::plan::{Declared as DeclaredImage, Update};

use super::flapping::FlapSample;

/// How long a landing may take if no policy sets a limit.
pub const LAND_WITHIN: Duration = Duration::from_hours(1);
/// Maximum number of apps named for an unreachable cluster.
const MAX_NAMED: usize = 10;

/// A row of `status`, with what the tracker needs beyond it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What is known of it.
    pub tracked: Tracked,
    /// How long it may take to land; `None` if no policy sets a limit.
    pub within: Option<Duration>,
    /// What it is about.
    pub about: RowSubject,
    /// Objects that are not up; the cluster's Events may explain why.
    pub unwell: Vec<Arc<Object>>,
    /// Samples of the controllers behind it, to detect flapping.
    pub samples: Vec<FlapSample>,
    /// The digests reported by its pods, if it has landed.
    pub digests: Vec<Digest>,
    /// When the last of them became ready.
    pub ready_since: Option<Timestamp>,
    /// Whether the bot was running when it arrived.
    pub watched: bool,
}

/// What a row is about; one image may have a row of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSubject {
    /// An update that is not in Git yet.
    Update,
    /// An image for which nothing could be decided.
    Undecided,
    /// An image that Git declares.
    Declared,
}

impl RowSubject {
    fn as_str(self) -> &'static str {
        match self {
            Self::Update => "Update",
            Self::Undecided => "Undecided",
            Self::Declared => "Declared",
        }
    }
}

impl Row {
    /// A row without any further knowledge.
    #[must_use]
    pub fn new(tracked: Tracked, about: RowSubject, within: Option<Duration>) -> Self {
        Self {
            tracked,
            within,
            about,
            unwell: Vec::new(),
            samples: Vec::new(),
            digests: Vec::new(),
            ready_since: None,
            watched: false,
        }
    }

    /// The row of a declared image.
    #[must_use]
    pub fn declared(repository: &str, image: &DeclaredImage, cluster: Option<&str>, landing: Landing) -> Tracked {
        let (id, name, version) = (image.id.clone(), image.name.clone(), image.version.clone());
        Tracked {
            overlay: image.overlay.clone(),
            environment: image.environment.clone(),
            policy: image.policy.clone(),
            cluster: cluster.map(str::to_owned),
            ..Tracked::new(id, repository, &image.app, name, version, landing)
        }
    }

    /// The row of an update that is not in Git yet.
    #[must_use]
    pub fn of_update(repository: &str, update: &Update, landing: Landing) -> Self {
        let (id, name, to) = (update.id.clone(), update.name.clone(), update.to.clone());
        let tracked = Tracked {
            overlay: update.overlay.clone(),
            environment: update.environment.clone(),
            policy: Some(update.policy.clone()),
            ..Tracked::new(id, repository, &update.app, name, to, landing)
        };
        Self::new(tracked, RowSubject::Update, update.land_within)
    }

    /// The row of an update that could not be written: even without a limit in its policy, it becomes late eventually.
    #[must_use]
    pub fn of_failure(repository: &str, update: &Update, landing: Landing) -> Self {
        let within = Some(update.land_within.unwrap_or(LAND_WITHIN));
        Self { within, ..Self::of_update(repository, update, landing) }
    }

    /// The row of an unreachable cluster, in place of an alert for each of its images; `rows` are all the others.
    #[must_use]
    pub fn of_lost_cluster(cluster: &str, mut cause: Cause, rows: &[Self]) -> Option<Self> {
        let mut apps: Vec<&Tracked> = rows.iter().map(|row| &row.tracked).collect();
        apps.retain(|row| row.unseen && row.cluster.as_deref() == Some(cluster));
        let names: Vec<&str> = apps.iter().take(MAX_NAMED).map(|row| row.app.as_str()).collect();
        let more = if apps.len() > names.len() { ", …" } else { "" };
        cause.evidence.push(format!("unknown for that: {} images ({}{more})", apps.len(), names.join(", ")));
        let landing = Landing { state: State::Unknown, rung: None, cause: Some(cause) };
        let tracked = of_platform(&apps, cluster, "api-server", landing)?;
        Some(Self::new(tracked, RowSubject::Undecided, None))
    }

    /// Identifies this row across passes.
    #[must_use]
    pub fn key(&self) -> PlaceKey {
        let Tracked { repository, id, cluster, .. } = &self.tracked;
        PlaceKey::of([repository, id.as_str(), self.about.as_str(), cluster.as_deref().unwrap_or_default()])
    }
}

/// A row for something that is not an image but holds up rows of one cluster, such as the cluster itself or a webhook;
/// `what` is a word for the problem. `None` if that word cannot be written as an image tag, or nothing is held up.
#[must_use]
pub fn of_platform(held: &[&Tracked], thing: &str, what: &str, landing: Landing) -> Option<Tracked> {
    let Tracked { repository, cluster, .. } = held.first()?;
    let name = format!("cluster/{}", cluster.as_deref().unwrap_or("any").to_ascii_lowercase());
    let image = ImageName::parse(&name).or_else(|_| ImageName::parse("cluster/unnamed")).ok()?;
    let version = Version { tag: Some(Tag::parse(what).ok()?), digest: None };
    let id = UpdateId::of(&BranchName::parse("main").ok()?, "", thing, &image, &version);
    Some(Tracked {
        thing: TrackedThing::Cluster,
        cluster: cluster.clone(),
        affects: held.iter().map(|row| Affected::of(row)).collect(),
        ..Tracked::new(id, repository, thing, image, version, landing)
    })
}

/// A place as a key: its parts on one line, separated by spaces; a space within a part is written as `%20`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlaceKey(String);

impl PlaceKey {
    /// The key of these parts.
    #[must_use]
    pub fn of<const N: usize>(parts: [&str; N]) -> Self {
        let mut key = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
        for (nth, part) in parts.iter().enumerate() {
            if nth > 0 {
                key.push(' ');
            }
            match part.contains([' ', '%', '\n']) {
                false => key.push_str(part),
                true => key.push_str(&part.replace('%', "%25").replace(' ', "%20").replace('\n', "%0A")),
            }
        }
        Self(key)
    }

    /// The single part that follows `begin`, if this key starts with all parts of `begin`.
    #[must_use]
    pub fn after(&self, begin: &Self) -> Option<String> {
        let rest = self.0.strip_prefix(&begin.0)?.strip_prefix(' ')?;
        Some(rest.replace("%0A", "\n").replace("%20", " ").replace("%25", "%"))
    }
}

impl fmt::Display for PlaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_places_never_share_a_key() {
        let keys = [
            PlaceKey::of(["a b", "c"]),
            PlaceKey::of(["a", "b c"]),
            PlaceKey::of(["a", "b", "c"]),
            PlaceKey::of(["a%20b", "c"]),
            PlaceKey::of(["a", "", "c"]),
            PlaceKey::of(["a\nb", "c"]),
        ];
        for (nth, key) in keys.iter().enumerate() {
            assert!(!keys[..nth].contains(key), "{key}");
        }
    }

    #[test]
    fn what_follows_is_what_was_put_there() {
        for cluster in ["", "eu-1", "the cluster", "50% %20"] {
            let key = PlaceKey::of(["web prod", cluster]);
            assert_eq!(key.after(&PlaceKey::of(["web prod"])).as_deref(), Some(cluster));
        }
        assert_eq!(PlaceKey::of(["webs", "eu-1"]).after(&PlaceKey::of(["web"])), None);
    }
}
