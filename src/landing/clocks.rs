//! The clocks of rows: since when a row has been in its state, and when it must have landed. They stop while a row is
//! paused.
//!
//! Commit times come from Git. Everything else is remembered from pass to pass, and across restarts as long as the
//! cache survives. If the cache is lost, the clocks of updates that are not in Git yet start again.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{CauseCode, CommitId, Landing, Rung, State, UpdateId};

use super::row::{PlaceKey, Row};

/// How long the clock of a vanished row is kept, in case the row comes back.
const KEEP: SignedDuration = SignedDuration::from_hours(24);

/// Maximum number of landings remembered.
const MAX_LANDED: usize = 20_000;

/// The clocks of all rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Clocks {
    rows: BTreeMap<PlaceKey, RowClock>,
    /// Update, the commit that brought it, and cluster → when it was first seen running, if it had been seen on its
    /// way.
    #[serde(default)]
    landed: BTreeMap<PlaceKey, Timestamp>,
    /// Whether there has been an earlier pass: anything new from then on arrived while the bot was watching.
    #[serde(skip)]
    watching: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RowClock {
    /// The row's fingerprint; absent in records of earlier versions, which stored it differently.
    #[serde(default)]
    fingerprint: Option<Fingerprint>,
    /// When it took on this fingerprint.
    since: Timestamp,
    /// When it was first seen.
    first: Timestamp,
    /// How long it has been paused, in milliseconds.
    paused: i64,
    /// When it last left the landed state: a pod that restarts must not be late because its commit is old.
    #[serde(default)]
    left: Option<Timestamp>,
    /// When it was last evaluated.
    looked: Timestamp,
}

/// The parts of a row that restart its clock when they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    state: State,
    rung: Option<Rung>,
    code: Option<CauseCode>,
}

impl Fingerprint {
    fn of(landing: &Landing) -> Self {
        Self { state: landing.state, rung: landing.rung, code: landing.cause.as_ref().map(|cause| cause.code) }
    }
}

impl Clocks {
    /// Sets `since` and `deadline` of every row, and marks late rows as stuck.
    pub fn set(&mut self, rows: &mut [Row], now: Timestamp) {
        for row in rows.iter_mut() {
            self.set_row(row, now);
        }
        self.watching = true;
        self.rows.retain(|_, clock| now.duration_since(clock.looked) < KEEP);
        while self.landed.len() > MAX_LANDED {
            let oldest = self.landed.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            oldest.map(|key| self.landed.remove(&key));
        }
    }

    fn set_row(&mut self, row: &mut Row, now: Timestamp) {
        let (state, fingerprint) = (row.tracked.landing.state, Fingerprint::of(&row.tracked.landing));
        // A row that is first seen running is dated by its commit, so that an old one is not reported as a new landing
        // in a cluster's first pass or in a new environment. A commit time in the future must not push the deadline
        // out.
        let declared = row.tracked.declared.since.filter(|since| *since <= now);
        let fresh = RowClock {
            fingerprint: Some(fingerprint),
            since: declared.filter(|_| state == State::Landed).unwrap_or(now),
            first: now,
            paused: 0,
            left: self.watching.then_some(now),
            looked: now,
        };
        let clock = self.rows.entry(row.key()).or_insert(fresh);
        row.watched = clock.left.is_some();
        if state == State::Paused {
            let still = i64::try_from(now.duration_since(clock.looked).as_millis()).unwrap_or(i64::MAX);
            clock.paused = clock.paused.saturating_add(still.max(0));
        }
        let before = *clock.fingerprint.get_or_insert(fingerprint);
        if before != fingerprint {
            match (before.state, state, &row.tracked.cluster) {
                (State::Landed, ..) => (clock.left, clock.paused) = (Some(now), 0),
                // A row that is up in the first pass may have been up for a long time.
                (_, State::Landed, Some(cluster)) => {
                    let commit = row.tracked.declared.commit.as_ref().map_or("", |commit| commit.as_str());
                    self.landed.entry(PlaceKey::of([row.tracked.id.as_str(), commit, cluster])).or_insert(now);
                }
                _ => {}
            }
            (clock.fingerprint, clock.since) = (Some(fingerprint), now);
        }
        clock.looked = clock.looked.max(now);
        row.tracked.since = Some(clock.since.min(now));
        let declared = declared.unwrap_or(clock.first);
        let begun = clock.left.map_or(declared, |left| left.max(declared)).min(now);
        row.tracked.deadline = deadline(row, begun, clock.paused);
        late(&mut row.tracked.landing, row.tracked.deadline, now);
    }

    /// When an update was first seen running after this commit had brought it, by cluster. A version that comes back has a
    /// landing of its own.
    #[must_use]
    pub fn landed(&self, id: &UpdateId, commit: &CommitId) -> BTreeMap<String, Timestamp> {
        let own = PlaceKey::of([id.as_str(), commit.as_str()]);
        let from = self.landed.range(own.clone()..);
        from.map_while(|(key, at)| Some((key.after(&own)?, *at))).collect()
    }
}

/// When a row that moves must have landed.
fn deadline(row: &Row, begun: Timestamp, paused: i64) -> Option<Timestamp> {
    if !matches!(row.tracked.landing.state, State::Pending | State::Stuck | State::Unknown) {
        return None;
    }
    let within = SignedDuration::try_from(row.within?).ok()?;
    begun.checked_add(within).and_then(|at| at.checked_add(SignedDuration::from_millis(paused))).ok()
}

/// Marks a landing that is still moving in a cluster after its deadline as stuck. An outstanding review is late, not
/// stuck.
pub fn late(landing: &mut Landing, deadline: Option<Timestamp>, now: Timestamp) {
    let after_git = matches!(landing.rung, Some(Rung::Fetched | Rung::Applied | Rung::RolledOut | Rung::Running));
    if landing.state == State::Pending && after_git && deadline.is_some_and(|deadline| deadline <= now) {
        landing.state = State::Stuck;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{BranchName, Declared, ImageName, Tag, Tracked, UpdateId, Version};

    fn row(state: State) -> Row {
        let (branch, image) = (BranchName::parse("main").unwrap(), ImageName::parse("ghcr.io/acme/web").unwrap());
        let version = Version { tag: Some(Tag::parse("1.0.0").unwrap()), digest: None };
        let tracked = Tracked {
            id: UpdateId::of(&branch, "apps/web", "prod", &image, &version),
            repository: "deploys".to_owned(),
            overlay: "apps/web".to_owned(),
            app: "web".to_owned(),
            environment: Some("prod".to_owned()),
            policy: None,
            cluster: None,
            image,
            declared: Declared { version, commit: None, since: None, by: None },
            live: Vec::new(),
            landing: Landing { state, rung: None, cause: None },
            since: None,
            deadline: None,
            pull_request: None,
            notes: Vec::new(),
            flapping: false,
            thing: crate::model::TrackedThing::Image,
            unseen: false,
            affects: std::collections::BTreeSet::new(),
        };
        Row::new(tracked, crate::landing::row::RowSubject::Declared, Some(Duration::from_secs(600)))
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + minutes * 60).unwrap()
    }

    #[test]
    fn clocks_stand_still_while_a_row_is_paused() {
        let mut clocks = Clocks::default();
        for (minute, state, since, deadline) in [
            (0, State::Pending, 0, Some(10)),
            (2, State::Pending, 0, Some(10)),
            (3, State::Paused, 3, None),
            (60, State::Paused, 3, None),
            // From the look at minute 2 on it stood still.
            (61, State::Pending, 61, Some(10 + 58)),
            (62, State::Landed, 62, None),
        ] {
            let mut rows = [row(state)];
            // A restart in between changes nothing.
            clocks = serde_json::from_str(&serde_json::to_string(&clocks).unwrap()).unwrap();
            clocks.set(&mut rows, at(minute));
            assert_eq!(rows[0].tracked.since, Some(at(since)), "minute {minute}");
            assert_eq!(rows[0].tracked.deadline, deadline.map(at), "minute {minute}");
        }
    }

    #[test]
    fn what_git_tells_counts_and_a_clock_that_goes_back_does_no_harm() {
        let mut clocks = Clocks::default();
        let mut rows = [row(State::Pending)];
        rows[0].tracked.declared.since = Some(at(-5));
        clocks.set(&mut rows, at(0));
        assert_eq!(rows[0].tracked.deadline, Some(at(5)));
        clocks.set(&mut rows, at(-20));
        assert_eq!((rows[0].tracked.since, rows[0].tracked.deadline), (Some(at(-20)), Some(at(-10))));
        clocks.set(&mut rows, at(1));
        assert_eq!((rows[0].tracked.since, rows[0].tracked.deadline), (Some(at(0)), Some(at(5))));
    }

    #[test]
    fn a_version_that_comes_back_lands_anew() {
        let commit = |digit: char| CommitId::parse(&digit.to_string().repeat(40)).unwrap();
        let mut clocks = Clocks::default();
        for (minute, digit, state) in
            [(0, 'a', State::Pending), (1, 'a', State::Landed), (9, 'b', State::Pending), (11, 'b', State::Landed)]
        {
            let mut rows = [row(state)];
            rows[0].tracked.cluster = Some("eu 1".to_owned());
            rows[0].tracked.declared.commit = Some(commit(digit));
            clocks.set(&mut rows, at(minute));
        }
        let id = row(State::Landed).tracked.id;
        let landed = |digit| clocks.landed(&id, &commit(digit)).into_iter().collect::<Vec<_>>();
        assert_eq!(landed('a'), [("eu 1".to_owned(), at(1))]);
        assert_eq!(landed('b'), [("eu 1".to_owned(), at(11))]);
        assert_eq!(landed('c'), []);
    }

    #[test]
    fn rows_that_are_gone_are_forgotten_after_a_day() {
        let mut clocks = Clocks::default();
        clocks.set(&mut [row(State::Pending)], at(0));
        clocks.set(&mut [], at(60));
        assert_eq!(clocks.rows.len(), 1);
        clocks.set(&mut [], at(25 * 60));
        assert!(clocks.rows.is_empty());
    }
}
