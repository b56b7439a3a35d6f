//! What has happened: what rows say of their past, and what they said before.
//!
//! Promise: at most [`MOST`] former states are kept, the newest; a restart forgets them, and Git, which has every version,
//! does not. What rows say now is not kept a second time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Rung, State, Tracked, TrackedThing};

use super::facts::Facts;
use super::filter::RowFilter;
use super::matrix::is_ahead;
use super::tone::{Tone, is_beyond_sight, tone, word};
use super::version::short;

/// Maximum number of former states.
const MOST: usize = 2_000;
/// Maximum number of events that a timeline shows.
const SHOWN: usize = 500;

/// Events, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Timeline {
    /// The events.
    pub events: Vec<PageEvent>,
    /// Whether there are older ones that were left out.
    pub cut: bool,
}

/// What happened to an image in a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PageEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The repository.
    pub repository: String,
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: Option<String>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The image.
    pub image: String,
    /// The version, as short as possible.
    pub version: String,
    /// The event in words.
    pub word: String,
    /// Who did it, where a person or the bot did.
    pub by: Option<String>,
    /// The commit that did it.
    pub commit: Option<String>,
    /// The pull request that brought it.
    #[serde(rename = "pullRequest")]
    pub pull_request: Option<String>,
    /// Its colour.
    pub tone: Tone,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// Git declares a version since then.
    Declared,
    /// An update was proposed in a pull request, or began to wait.
    Waits,
    /// Its landing is in a state since then.
    State,
}

/// When a row was first seen beyond each rung.
type RungTimes = [Option<Timestamp>; 6];

/// What rows said before.
#[derive(Debug, Clone, Default)]
pub struct Chronicle {
    // Shared, because whoever reads the former chronicle goes on with it.
    events: VecDeque<Arc<PageEvent>>,
    seen: HashMap<u64, Arc<Seen>>,
}

/// A row as it was last seen.
#[derive(Debug, Clone)]
struct Seen {
    state: State,
    since: Option<Timestamp>,
    late: bool,
    rung: Option<Rung>,
    rungs: RungTimes,
    /// What it said of its past; kept when it goes.
    events: Vec<Arc<PageEvent>>,
}

impl Chronicle {
    /// Takes the rows of a pass.
    pub fn observe(&mut self, rows: &[Tracked], now: Timestamp) {
        let mut before = std::mem::take(&mut self.seen);
        self.seen.reserve(rows.len());
        for row in rows.iter().filter(|row| row.thing == TrackedThing::Image) {
            let key = key(row);
            let late = row.is_late(now);
            let (state, rung) = (row.landing.state, row.landing.rung);
            let seen = match before.remove(&key) {
                Some(seen) if (seen.state, seen.rung, seen.since, seen.late) == (state, rung, row.since, late) => seen,
                former => {
                    let mut rungs = former.as_ref().map_or([None; 6], |seen| seen.rungs);
                    if let Some(former) = former {
                        mark(&mut rungs, former.rung, row, now);
                        let over = former.state != state || former.late != late;
                        let ended = former.events.iter().filter(|event| event.kind == EventKind::State && over);
                        self.events.extend(ended.cloned());
                    }
                    let events = events(row, late).into_iter().map(Arc::new).collect();
                    Arc::new(Seen { state, since: row.since, late, rung, rungs, events })
                }
            };
            self.seen.insert(key, seen);
        }
        // What a row said stays, although another version has replaced it.
        self.events.extend(before.into_values().flat_map(|seen| seen.events.clone()));
        if self.events.len() > MOST {
            self.events.make_contiguous().sort_by_key(|event| event.at);
            self.events.drain(..self.events.len() - MOST);
        }
    }

    /// When a row was first seen to have reached each rung.
    pub(super) fn rungs(&self, row: &Tracked) -> RungTimes {
        self.seen.get(&key(row)).map_or([None; 6], |seen| seen.rungs)
    }
}

/// Marks the rungs that a row has passed since it was last seen.
fn mark(rungs: &mut RungTimes, former: Option<Rung>, row: &Tracked, now: Timestamp) {
    let Some(former) = former else { return };
    let reached = match row.landing.rung {
        Some(rung) => rung as usize,
        None if row.landing.state == State::Landed => rungs.len(),
        None => return,
    };
    for rung in rungs.iter_mut().take(reached).skip(former as usize) {
        rung.get_or_insert(now);
    }
}

/// A row's identity in a table of this process.
fn key(row: &Tracked) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&row.repository, row.id.as_str(), &row.cluster, is_ahead(row)).hash(&mut hasher);
    hasher.finish()
}

/// What a row says of its past.
fn events(row: &Tracked, late: bool) -> Vec<PageEvent> {
    let event = |at: Timestamp, kind: EventKind, word: String, tone: Tone| PageEvent {
        at,
        kind,
        repository: row.repository.clone(),
        app: row.app.clone(),
        environment: row.environment.clone(),
        cluster: row.cluster.clone().filter(|_| kind == EventKind::State),
        image: row.image.to_string(),
        version: short(&row.declared.version),
        word,
        by: row.declared.by.clone().filter(|_| kind == EventKind::Declared),
        commit: row.declared.commit.as_ref().map(ToString::to_string).filter(|_| kind == EventKind::Declared),
        pull_request: row.pull_request.clone(),
        tone,
    };
    let mut events = Vec::new();
    if is_ahead(row) {
        let begun = row.declared.since.or(row.since);
        events.extend(begun.map(|at| event(at, EventKind::Waits, word(row, late), tone(row, late))));
        return events;
    }
    let declared = row.declared.since;
    events.extend(declared.map(|at| event(at, EventKind::Declared, "declared".to_owned(), Tone::Busy)));
    if !is_beyond_sight(row) {
        events.extend(row.since.map(|at| event(at, EventKind::State, word(row, late), tone(row, late))));
    }
    events
}

/// What has happened, newest first. A version that several clusters run was declared once.
#[must_use]
pub fn timeline(facts: &Facts<'_>, filter: &RowFilter) -> Timeline {
    let mut all: BTreeMap<_, PageEvent> = BTreeMap::new();
    let mut add = |event: PageEvent| {
        let PageEvent { at, kind, repository, app, environment, cluster, image, version, word, .. } = &event;
        let place = (repository.clone(), app.clone(), environment.clone(), cluster.clone());
        all.insert((*at, *kind, place, image.clone(), version.clone(), word.clone()), event);
    };
    for row in facts.rows.iter().filter(|row| row.thing == TrackedThing::Image) {
        let late = row.is_late(facts.now);
        if filter.wants_subject(row) && filter.finds(row) && is_here(filter, &row.environment, &row.cluster) {
            events(row, late).into_iter().for_each(&mut add);
        }
    }
    facts.chronicle.events.iter().filter(|event| wants(filter, event)).for_each(|event| add(PageEvent::clone(event)));
    let cut = all.len() > SHOWN;
    Timeline { events: all.into_values().rev().take(SHOWN).collect(), cut }
}

fn is_here(filter: &RowFilter, environment: &Option<String>, cluster: &Option<String>) -> bool {
    (filter.environment.is_empty() || environment.as_deref() == Some(&filter.environment))
        && (filter.cluster.is_empty() || cluster.as_deref() == Some(&filter.cluster))
}

fn wants(filter: &RowFilter, event: &PageEvent) -> bool {
    let is = |wanted: &str, name: &str| wanted.is_empty() || wanted == name;
    let q = filter.q.trim().to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&q);
    is(&filter.repository, &event.repository)
        && is(&filter.app, &event.app)
        && (is(&filter.image, &event.image) || event.image.rsplit('/').next() == Some(&filter.image))
        && is_here(filter, &event.environment, &event.cluster)
        && (q.is_empty() || has(&event.app) || has(&event.image) || has(&event.version))
}
