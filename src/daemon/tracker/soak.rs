//! For how long versions have been well, place by place: what a promotion asks for.
//!
//! Rules: a version is well from when it was first seen landed, or, where the bot was not there to see, from when the last of
//! its pods became ready, never from before its commit. A short break in which it only moves (a node is drained, pods are
//! added) does not end it; a failure, a change by hand, or a long silence does. What is lost with the cache makes a promotion
//! wait longer, never shorter.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{CauseCode, CommitId, Digest, ImageName, State, Version};
use crate::plan::{PastSoak, SoakEnd, SoakHealth, SoakState, SoakStates};

use super::{About, Row};

/// How long a version may move, pause or be out of sight without losing what it has proved.
const BREAK: SignedDuration = SignedDuration::from_mins(10);
/// How exactly it is remembered until when a version was well.
const STEP: SignedDuration = SignedDuration::from_secs(60);
/// How long a place is remembered that nobody declares any more.
const KEEP: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How many versions of one place are remembered.
const VERSIONS: usize = 10;
/// How many places.
const PLACES: usize = 50_000;

/// What was well where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Soaks {
    /// Place → its versions, the newest last.
    places: BTreeMap<String, Vec<SoakRecord>>,
    /// Repository → the environments that it declared when it could last be read.
    #[serde(default)]
    environments: BTreeMap<String, BTreeSet<String>>,
}

/// A place in whichever cluster.
#[derive(Debug, Clone, Copy)]
pub struct SoakPlace<'a> {
    /// The GitOps repository's name in the configuration.
    pub repository: &'a str,
    /// The overlay's folder.
    pub overlay: &'a str,
    /// The image.
    pub image: &'a ImageName,
    /// The environment.
    pub environment: &'a str,
}

impl SoakPlace<'_> {
    fn prefix(&self) -> String {
        format!("{} {} {} {} ", self.repository, self.overlay, self.image, self.environment)
    }
}

/// One version in one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SoakRecord {
    version: Version,
    /// Since when it is, or was.
    from: Timestamp,
    /// When it was last seen well.
    until: Timestamp,
    #[serde(default)]
    digests: Vec<Digest>,
    #[serde(default)]
    commit: Option<String>,
    /// Whether it is over: then a new span begins.
    #[serde(default)]
    over: bool,
    /// Whether it failed at its end: then it proves nothing any more.
    #[serde(default)]
    failed: bool,
    /// Since when it is seen not to be well; a look that comes too early after a pause ends nothing.
    #[serde(default)]
    off: Option<Timestamp>,
}

impl Soaks {
    /// When a version was first well in a place, in any cluster.
    pub(super) fn first(&self, place: &SoakPlace<'_>, version: &Version) -> Option<Timestamp> {
        let prefix = place.prefix();
        let clusters = self.places.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let wells = clusters.flat_map(|(_, wells)| wells).filter(|well| well.version == *version);
        wells.map(|well| well.from).min()
    }

    /// Takes in one look, and gives how every declared image stands; `unread` are repositories that cannot be read now.
    pub(super) fn look(&mut self, rows: &[Row], unread: &[&str], now: Timestamp) -> SoakStates {
        let declared = rows.iter().filter(|row| row.about == About::Declared);
        let soaks: Vec<SoakState> = declared.filter_map(|row| self.standing(row, now)).collect();
        self.places.retain(|_, wells| wells.last().is_some_and(|well| now.duration_since(well.until) < KEEP));
        while self.places.len() > PLACES {
            let last = |wells: &Vec<SoakRecord>| wells.last().map(|well| well.until);
            let oldest = self.places.iter().min_by_key(|(_, wells)| last(wells)).map(|(place, _)| place.clone());
            oldest.map(|place| self.places.remove(&place));
        }
        let blind: Vec<String> =
            unread.iter().filter_map(|name| self.environments.get(*name)).flatten().cloned().collect();
        for standing in &soaks {
            let known = self.environments.entry(standing.repository.clone()).or_default();
            if !known.contains(&standing.environment) {
                known.insert(standing.environment.clone());
            }
        }
        SoakStates::new(soaks, now).blind_to(blind)
    }

    fn standing(&mut self, row: &Row, now: Timestamp) -> Option<SoakState> {
        let tracked = &row.tracked;
        let environment = tracked.environment.clone()?;
        let cluster = tracked.cluster.as_deref();
        let of = SoakPlace {
            repository: &tracked.repository,
            overlay: &tracked.overlay,
            image: &tracked.image,
            environment: &environment,
        };
        let place = format!("{}{}", of.prefix(), cluster.unwrap_or_default());
        let wells = self.places.entry(place).or_default();
        let since = track(wells, row, now);
        let version = &tracked.declared.version;
        let before = wells.iter().rev().filter(|well| well.version != *version).map(SoakRecord::proven).collect();
        if wells.len() > VERSIONS {
            wells.drain(..wells.len() - VERSIONS);
        }
        Some(SoakState {
            repository: tracked.repository.clone(),
            app: tracked.app.clone(),
            environment,
            overlay: tracked.overlay.clone(),
            image: tracked.image.clone(),
            cluster: tracked.cluster.clone(),
            id: tracked.id.clone(),
            version: version.clone(),
            commit: tracked.declared.commit.clone(),
            committed: tracked.declared.since,
            stand: since.map_or_else(|| not(row), |since| SoakHealth::Healthy { since }),
            digests: row.digests.clone(),
            before,
        })
    }
}

impl SoakRecord {
    fn proven(&self) -> PastSoak {
        PastSoak {
            version: self.version.clone(),
            from: self.from,
            until: self.until,
            commit: self.commit.as_deref().and_then(|text| CommitId::parse(text).ok()),
            digests: self.digests.clone(),
            end: if self.failed { SoakEnd::Failed } else { SoakEnd::MadeRoom },
        }
    }
}

/// Whether a row proves that its version runs: landed, and not for want of anything that could run it.
fn is_well(row: &Row) -> bool {
    let unproven = row.tracked.landing.cause.as_ref().is_some_and(|cause| cause.code == CauseCode::Unproven);
    row.tracked.landing.state == State::Landed && !unproven
}

/// Since when the declared version is well; `None` where it is not now.
fn track(wells: &mut Vec<SoakRecord>, row: &Row, now: Timestamp) -> Option<Timestamp> {
    let tracked = &row.tracked;
    let version = &tracked.declared.version;
    let at = wells.iter().rposition(|well| well.version == *version && !well.over);
    if !is_well(row) {
        if let Some(well) = wells.iter_mut().rev().find(|well| well.version == *version) {
            well.failed |= matches!(tracked.landing.state, State::Stuck | State::RolledBack);
            let off = *well.off.get_or_insert(now);
            well.over |= ends(tracked.landing.state) || now.duration_since(off) > BREAK;
        }
        return None;
    }
    if let Some(well) = at.and_then(|at| wells.get_mut(at)) {
        // Under a tag that was pushed again another image runs, which has yet to prove itself.
        let other = !well.digests.is_empty() && row.digests.iter().any(|digest| !well.digests.contains(digest));
        // Out of sight for long: what its pods say of that time counts; who says nothing begins anew.
        let unseen = now.duration_since(well.until) > BREAK;
        let anew = match row.ready_since.filter(|ready| *ready <= now) {
            _ if other => Some(now),
            Some(ready) => Some(ready).filter(|ready| unseen && *ready > well.until),
            None => Some(now).filter(|_| unseen),
        };
        well.from = anew.unwrap_or(well.from);
        well.off = None;
        // Coarsely, so that what is kept does not change with every look.
        if now.duration_since(well.until) >= STEP {
            well.until = now;
        }
        if other {
            well.digests.clear();
        }
        let more: Vec<Digest> = row.digests.iter().filter(|it| !well.digests.contains(it)).cloned().collect();
        well.digests.extend(more);
        return Some(well.from.min(now));
    }
    let failed = wells.iter().any(|well| well.version == *version);
    let ready = row.ready_since.filter(|ready| *ready <= now && !failed && !row.watched);
    let from = ready.map_or(now, |ready| tracked.declared.since.map_or(ready, |since| since.max(ready))).min(now);
    wells.push(SoakRecord {
        version: version.clone(),
        from,
        until: now,
        digests: row.digests.clone(),
        commit: tracked.declared.commit.as_ref().map(ToString::to_string),
        over: false,
        failed: false,
        off: None,
    });
    Some(from)
}

/// States that end a version's good time at once.
fn ends(state: State) -> bool {
    match state {
        State::Stuck | State::RolledBack | State::Drifted | State::Shadowed | State::Orphan | State::Superseded => true,
        State::Landed | State::Pending | State::Paused | State::Unknown | State::Rejected => false,
    }
}

fn not(row: &Row) -> SoakHealth {
    let Row { tracked, .. } = row;
    let cause = tracked.landing.cause.as_ref();
    let at = tracked.landing.rung.map_or(String::new(), |rung| format!("before {rung}"));
    SoakHealth::Not {
        state: tracked.landing.state,
        cause: cause.map(|cause| cause.code),
        message: cause.map_or(at, |cause| cause.message.clone()),
        since: tracked.since,
    }
}
