//! Since when, and until when: the clocks of rows, which stand still while a row is paused.
//!
//! What Git tells (the time of a commit) is taken from there; the rest is remembered from pass to pass, and over restarts
//! as far as the cache goes. Losing it lets the clocks of what is not in Git yet begin anew.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{CauseCode, CommitId, Landing, Rung, State, UpdateId};

use super::row::{PlaceKey, Row};

/// How long the clock of a row that is gone is kept: it may come back.
const KEEP: SignedDuration = SignedDuration::from_hours(24);

/// Most landings that are remembered.
const MAX_LANDED: usize = 20_000;

/// The clocks of all rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Clocks {
    rows: BTreeMap<PlaceKey, RowClock>,
    /// Update, the commit that brought it, and cluster → when it was first seen running, after it had been seen on its way.
    #[serde(default)]
    landed: BTreeMap<PlaceKey, Timestamp>,
    /// Whether a pass came before: what is new from then on came while the bot was watching.
    #[serde(skip)]
    watching: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RowClock {
    /// How it looks; absent where an earlier version of the bot wrote it down otherwise.
    #[serde(default)]
    fingerprint: Option<Fingerprint>,
    /// When it came to look like that.
    since: Timestamp,
    /// When it was first seen.
    first: Timestamp,
    /// How long it has stood still, in milliseconds.
    paused: i64,
    /// When it last left the state in which it had landed: a pod that restarts is not late by the age of its commit.
    #[serde(default)]
    left: Option<Timestamp>,
    /// When it was last looked at.
    looked: Timestamp,
}

/// What a row's clock begins anew for.
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
    /// Sets `since` and `deadline` of every row, and calls what is late stuck.
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
        // What runs when it is first seen runs at most since its commit: an old one is no news, were it a cluster's first
        // pass or a new environment. A committer's clock that is ahead must not put a deadline off for ever.
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
                // One that is up at the first pass may have been for long.
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

/// What still moves in a cluster after its deadline is stuck. People who review are late, not stuck.
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
