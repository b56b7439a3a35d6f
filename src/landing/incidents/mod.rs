//! Turns tracked images into incidents: what is new, what got worse, what is over, and which notices to send.
//!
//! Promise: an incident is raised once and resolved once, and resolved before it is raised again. Apart from reminders,
//! nothing is notified twice, and nothing that is wrong is forgotten. What flaps is reported as flapping, not as a
//! storm of notices.
//!
//! Invariants: the next state depends only on the rows, the rules, the time and what was notified before ([`Memory`]),
//! so that after a restart the rows alone restore everything. Repeating a step sends nothing new. A missing row does
//! not resolve its incident at once; a missing row of a repository that could not be read does not resolve it at all.

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

/// For how many polling intervals a state may be unknown.
const UNKNOWN_INTERVALS: u32 = 3;

/// When something becomes an incident, and how often it is notified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How long a state may stay unknown.
    pub unknown_after: Duration,
    /// How long a manual change may persist: operators and autoscalers correct themselves.
    pub drifted_after: Duration,
    /// How long an override may persist: the controller's caches expire.
    pub shadowed_after: Duration,
    /// How long a path may have no watcher: generators create applications later.
    pub orphan_after: Duration,
    /// How long a manual pause may last before a reminder.
    pub paused_after: Duration,
    /// How long a row must be moving again, or be gone, before that is trusted.
    pub settle: Duration,
    /// Time between two reminders, the shortest that any receiver asks for; `None`: no reminders.
    pub reminder: Option<Duration>,
    /// The span in which repeated raises count as flapping, ...
    pub flap_window: Duration,
    /// ... how many there must be, ...
    pub flap_limit: usize,
    /// ... and how long it must then have been healthy before the flapping is over.
    pub flap_quiet: Duration,
    /// Repositories with missing rows this time: nothing is concluded from a row's absence.
    pub unread: BTreeSet<String>,
    /// Repository → URL prefix of its commits; the commit id is appended.
    pub commit_urls: BTreeMap<String, String>,
    /// URL of a runbook; `{code}` in it is replaced by the cause code.
    pub runbook: Option<String>,
}

impl Rules {
    /// The rules for a loop that runs once every `polling`.
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

/// All open and recently resolved incidents, and what is known about rows without one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incidents {
    records: BTreeMap<IncidentKey, Record>,
    as_of: Option<Timestamp>,
}

/// What is kept across a restart: the notices sent. Losing it repeats the notices for open incidents once, and forgets
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// When the last step was made.
    pub as_of: Option<Timestamp>,
    /// What was notified about each incident.
    pub told: Vec<Notified>,
}

/// What was notified about one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notified {
    /// The key.
    pub key: IncidentKey,
    /// The open incident.
    pub open: Option<Open>,
    /// When it was raised recently.
    pub raises: Vec<Timestamp>,
    /// How it last ended.
    pub ended: Option<Resolution>,
    /// Whether it has landed once. That is notified once, unless it had happened before the first step.
    pub landed: bool,
    /// The commit it landed with: a version that comes back with another commit is a new landing.
    #[serde(default)]
    pub landed_with: Option<String>,
    /// Since when it has had no row.
    pub missing: Option<Timestamp>,
    /// Whether its state was unknown in the last step.
    #[serde(default)]
    pub unknown: bool,
    /// When it became known again, if recently.
    #[serde(default)]
    pub seen_again: Option<Timestamp>,
}

/// An open incident, as last notified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// When somebody was last notified.
    pub last: Timestamp,
    /// The causes notified so far.
    pub codes: BTreeSet<Option<CauseCode>>,
    /// Its current state, as a notice that raises it.
    pub notice: Notice,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    told: Notified,
    /// The state in the last step, and when that state was first seen.
    state: Option<(State, Timestamp)>,
    /// What else was running while the update was on its way; empty if it was not seen on its way.
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
    /// The open incidents, each as the notice that would raise it now, worst first.
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

    /// What another replica needs that goes on with these incidents: as [`Incidents::memory`], but without what landed and is
    /// well, of which the time of the last step says enough.
    #[must_use]
    pub fn handover(&self) -> Memory {
        let Memory { as_of, mut told } = self.memory();
        told.retain(|told| told.open.is_some() || !told.raises.is_empty() || told.unknown || told.seen_again.is_some());
        Memory { as_of, told }
    }

    /// What to keep across a restart.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let away = |told: &Notified| told.unknown || told.seen_again.is_some();
        let lately = |told: &Notified| !told.raises.is_empty() || told.ended.is_some() || away(told);
        let worth = |told: &&Notified| told.open.is_some() || told.landed || lately(told);
        let told = self.records.values().map(|record| &record.told).filter(worth).cloned().collect();
        Memory { as_of: self.as_of, told }
    }
}

/// One pass over all tracked images: the incidents as they are now, and the notices to send.
///
/// If several rows share a key, the worst one counts; if one platform fault holds up many apps, the fault has a key of
/// its own. A row's `since` that is later than `now` counts as `now`.
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

/// Updates a key without a row; `None` once nothing about it matters any more.
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
        // An incident without a commit, such as for a cluster or a webhook, has nothing to do with what Git declares.
        let declared = record.told.open.as_ref().is_some_and(|open| open.notice.incident.commit.is_some());
        let over = if declared { Resolution::Gone } else { Resolution::Cleared };
        let resolution = successor.or_else(|| (gone_for >= rules.settle).then_some(over));
        let Some(resolution) = resolution else { return Some(record) };
        notices.extend(resolve(&mut record.told, resolution, now));
    }
    (gone_for < rules.flap_window.max(rules.settle)).then_some(record)
}

/// What replaced a key whose row is gone, among the keys that have just appeared.
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

/// Time from `since` to `now`; zero if a clock runs behind.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// The worst of a key's rows, with its standing; ties are broken by overlay.
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
