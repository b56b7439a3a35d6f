//! Tracked images → incidents: what is new, what is worse, what is over, and what is told of it.
//!
//! Promise: an incident is raised once and resolved once, and resolved before it is raised again. Nothing is told twice but
//! reminders; nothing that is wrong is forgotten. What goes back and forth is told as such in place of a storm.
//!
//! Invariants: the next state depends on the rows, the rules, the time and what was told before ([`Memory`]), so that after
//! a restart the rows alone bring everything back; the same step made twice says nothing the second time; a row that is
//! merely missing resolves nothing at once, one of a repository that could not be read nothing at all.

mod fault;
mod severity;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{CauseCode, IncidentKey, Notice, NoticeKind, Resolution, State, Tracked};

use severity::IncidentStanding;
use turn::Turn;

/// How many polling intervals a state may be unknown.
const UNKNOWN_INTERVALS: u32 = 3;

/// When something is an incident, and how often it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How long a state may stay unknown.
    pub unknown_after: Duration,
    /// How long a change by hand may stand: operators and autoscalers correct themselves.
    pub drifted_after: Duration,
    /// How long an override may win: caches of the controller expire.
    pub shadowed_after: Duration,
    /// How long nothing may watch a path: generators make applications later.
    pub orphan_after: Duration,
    /// How long a person's pause may last before it is recalled.
    pub paused_after: Duration,
    /// How long a row must be moving again, or be gone, before that is believed.
    pub settle: Duration,
    /// Time between two reminders, the shortest that any receiver asks for; `None`: never.
    pub reminder: Option<Duration>,
    /// The span in which repeated raises count as going back and forth, ...
    pub flap_window: Duration,
    /// ... how many there must be, ...
    pub flap_limit: usize,
    /// ... and how long it must then have been well before it is over.
    pub flap_quiet: Duration,
    /// Repositories whose rows are not all here this time: nothing is concluded from their absence.
    pub unread: BTreeSet<String>,
    /// Repository → address that a commit's id is appended to.
    pub commit_urls: BTreeMap<String, String>,
    /// Address of a runbook; `{code}` in it is the cause.
    pub runbook: Option<String>,
}

impl Rules {
    /// The rules for a loop that looks once every `polling`.
    #[must_use]
    pub fn new(polling: Duration) -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let patience = (polling * UNKNOWN_INTERVALS).max(minutes(1));
        Self {
            unknown_after: polling * UNKNOWN_INTERVALS,
            drifted_after: minutes(5),
            shadowed_after: minutes(15),
            orphan_after: minutes(10),
            paused_after: minutes(24 * 60),
            settle: patience,
            reminder: Some(minutes(4 * 60)),
            flap_window: minutes(60),
            flap_limit: 3,
            flap_quiet: minutes(30),
            unread: BTreeSet::new(),
            commit_urls: BTreeMap::new(),
            runbook: None,
        }
    }
}

/// All incidents, open and lately over, and what is known of rows without one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incidents {
    records: BTreeMap<IncidentKey, Record>,
    as_of: Option<Timestamp>,
}

/// What is worth keeping over a restart: what was told. Losing it repeats what is open once, and forgets nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// When it was last looked.
    pub as_of: Option<Timestamp>,
    /// What was told of each incident.
    pub told: Vec<Notified>,
}

/// What was told of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notified {
    /// The key.
    pub key: IncidentKey,
    /// The open incident.
    pub open: Option<Open>,
    /// When it was raised, lately.
    pub raises: Vec<Timestamp>,
    /// How it last ended.
    pub ended: Option<Resolution>,
    /// Whether it has landed once; that is told once, or happened before anybody looked.
    pub landed: bool,
    /// The commit that it has landed with: a version that comes back with another one lands anew.
    #[serde(default)]
    pub landed_with: Option<String>,
    /// Since when there is no row for it.
    pub missing: Option<Timestamp>,
    /// Whether its state was unknown when it was last looked.
    #[serde(default)]
    pub unknown: bool,
    /// When it was seen again after that, lately.
    #[serde(default)]
    pub seen_again: Option<Timestamp>,
}

/// An open incident as it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// When somebody was last told.
    pub last: Timestamp,
    /// Causes told so far.
    pub codes: BTreeSet<Option<CauseCode>>,
    /// How it stands, as a notice that raises it.
    pub notice: Notice,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    told: Notified,
    /// The state of the last row, and when it was first seen.
    state: Option<(State, Timestamp)>,
    /// What else ran while the update was on its way; empty where it was not seen on its way.
    before: Vec<String>,
    moving: bool,
}

impl Record {
    fn new(key: &IncidentKey) -> Self {
        let told = Notified {
            key: key.clone(),
            open: None,
            raises: Vec::new(),
            ended: None,
            landed: false,
            landed_with: None,
            missing: None,
            unknown: false,
            seen_again: None,
        };
        Self::from(told)
    }
}

impl From<Notified> for Record {
    fn from(told: Notified) -> Self {
        Self { told, state: None, before: Vec::new(), moving: false }
    }
}

impl From<Memory> for Incidents {
    fn from(memory: Memory) -> Self {
        let records = memory.told.into_iter().map(|told| (told.key.clone(), Record::from(told))).collect();
        Self { records, as_of: memory.as_of }
    }
}

impl Incidents {
    /// The open incidents, each as the notice that would raise it now, the worst first.
    #[must_use]
    pub fn open(&self) -> Vec<&Notice> {
        let open = self.records.values().filter_map(|record| record.told.open.as_ref());
        let mut open: Vec<&Notice> = open.map(|open| &open.notice).collect();
        open.sort_by(|a, b| (b.incident.severity, &a.incident.key).cmp(&(a.incident.severity, &b.incident.key)));
        open
    }

    fn is_open(&self, key: &IncidentKey) -> bool {
        self.records.get(key).is_some_and(|record| record.told.open.is_some())
    }

    /// What to keep.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let away = |told: &Notified| told.unknown || told.seen_again.is_some();
        let lately = |told: &Notified| !told.raises.is_empty() || told.ended.is_some() || away(told);
        let worth = |told: &&Notified| told.open.is_some() || told.landed || lately(told);
        let told = self.records.values().map(|record| &record.told).filter(worth).cloned().collect();
        Memory { as_of: self.as_of, told }
    }
}

/// One look at all tracked images: the incidents as they are now, and what is to be told.
///
/// Where several rows share a key, the worst speaks for all; where one fault of the platform holds up many apps, the fault has
/// a key of its own. A row's `since` that lies ahead of `now` counts as `now`.
#[must_use]
pub fn step(previous: &Incidents, tracked: &[Tracked], rules: &Rules, now: Timestamp) -> (Incidents, Vec<Notice>) {
    let gathered = fault::gathered(tracked, previous, rules, now);
    let mut rows: BTreeMap<IncidentKey, Vec<&Tracked>> = BTreeMap::new();
    for row in &gathered {
        rows.entry(IncidentKey::of(row)).or_default().push(row);
    }
    let mut next = Incidents { records: BTreeMap::new(), as_of: Some(previous.as_of.map_or(now, |at| at.max(now))) };
    let mut notices = Vec::new();
    let fresh = |key: &IncidentKey| previous.records.get(key).is_none_or(|record| record.told.missing.is_some());
    let arrived: Vec<&IncidentKey> = rows.keys().filter(|key| fresh(key)).collect();
    for (key, record) in previous.records.iter().filter(|(key, _)| !rows.contains_key(key)) {
        if let Some(record) = missing(record, &arrived, rules, now, &mut notices) {
            next.records.insert(key.clone(), record);
        }
    }
    for (key, rows) in rows {
        let record = previous.records.get(&key).cloned().unwrap_or_else(|| Record::new(&key));
        let mut turn = Turn { record, rules, now, looked: previous.as_of, notices: &mut notices };
        turn.take(&rows);
        next.records.insert(key, turn.record);
    }
    (next, notices)
}

/// A key without a row; `None` once nothing of it matters any more.
fn missing(
    record: &Record,
    arrived: &[&IncidentKey],
    rules: &Rules,
    now: Timestamp,
    notices: &mut Vec<Notice>,
) -> Option<Record> {
    let mut record = record.clone();
    if record.told.open.as_ref().is_some_and(|open| rules.unread.contains(&open.notice.incident.repository)) {
        return Some(record);
    }
    let since = *record.told.missing.get_or_insert(now);
    let gone_for = elapsed(since, now);
    let successor = successor(&record.told.key, arrived);
    if record.told.open.is_some() {
        // What was in no commit, such as a cluster or a webhook, has nothing to do with what Git declares.
        let declared = record.told.open.as_ref().is_some_and(|open| open.notice.incident.commit.is_some());
        let over = if declared { Resolution::Gone } else { Resolution::Cleared };
        let resolution = successor.or_else(|| (gone_for >= rules.settle).then_some(over));
        let Some(resolution) = resolution else { return Some(record) };
        notices.extend(resolve(&mut record.told, resolution, now));
    }
    (gone_for < rules.flap_window.max(rules.settle)).then_some(record)
}

/// What took the place of a key whose row is gone, among the keys that have just come.
fn successor(key: &IncidentKey, arrived: &[&IncidentKey]) -> Option<Resolution> {
    let mut same = arrived.iter().filter(|other| other.same_image(key));
    let clusters = |other: &IncidentKey| other.cluster == key.cluster || key.cluster.is_none();
    let mut superseded = None;
    same.find_map(|other| match &other.cluster {
        Some(cluster) if key.cluster.is_none() && other.version == key.version => {
            Some(Resolution::Committed { cluster: cluster.clone() })
        }
        _ => {
            if other.version != key.version && clusters(other) {
                superseded.get_or_insert_with(|| Resolution::Superseded { by: Some(other.version.clone()) });
            }
            None
        }
    })
    .or(superseded)
}

/// Ends an open incident.
fn resolve(told: &mut Notified, resolution: Resolution, now: Timestamp) -> Option<Notice> {
    let open = told.open.take()?;
    told.ended = Some(resolution.clone());
    let mut notice = Notice { kind: NoticeKind::Resolved, at: now, resolution: Some(resolution), ..open.notice };
    notice.counts.told += 1;
    Some(notice)
}

/// Time from `since` to `now`; none where a clock runs behind.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// The worst of a key's rows, with how it stands; equal ones in the order of their overlays.
fn worst<'a>(
    rows: &[&'a Tracked],
    judge: impl Fn(&Tracked) -> IncidentStanding,
) -> Option<(&'a Tracked, IncidentStanding)> {
    let judged = rows.iter().map(|row| (*row, judge(row)));
    judged.max_by(|(a, standing), (b, other)| standing.cmp(other).then_with(|| b.overlay.cmp(&a.overlay)))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
