//! Since when, and until when: the clocks of rows, which stand still while a row is paused.
//!
//! What Git tells (the time of a commit) is taken from there; the rest is remembered from look to look, and over restarts
//! as far as the cache goes. Losing it lets the clocks of what is not in Git yet begin anew.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{Landing, Rung, State, Tracked, UpdateId, Version};
use crate::plan::SoakStates;

use super::Row;
use super::flapping::Flapping;
use super::soak::{SoakPlace, Soaks};
use super::watch_memory::WatchMemory;

/// How long the clock of a row that is gone is kept: it may come back.
const KEEP: SignedDuration = SignedDuration::from_hours(24);

/// Most landings that are remembered.
const MAX_LANDED: usize = 20_000;

/// The clocks of all rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Clocks {
    rows: BTreeMap<String, Clock>,
    /// Update and cluster → when it was first seen running, after it had been seen on its way.
    #[serde(default)]
    landed: BTreeMap<String, Timestamp>,
    /// Where overlays were seen to be watched.
    #[serde(default)]
    pub(super) watches: WatchMemory,
    /// What goes back and forth.
    #[serde(default)]
    flips: Flapping,
    #[serde(default)]
    wells: Soaks,
    /// Whether a look came before: what is new from then on came while the bot was watching.
    #[serde(skip)]
    watching: bool,
}

/// When versions were first seen running.
#[derive(Debug, Clone, Default)]
pub struct Landed {
    landed: BTreeMap<String, Timestamp>,
    wells: Soaks,
}

impl Landed {
    /// By cluster, for an update.
    #[must_use]
    pub fn of(&self, id: &UpdateId) -> BTreeMap<String, Timestamp> {
        let prefix = format!("{id} ");
        let own = self.landed.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        own.map(|(key, at)| (key[prefix.len()..].to_owned(), *at)).collect()
    }

    /// Since when a version was well in a place, also where nobody saw it arrive.
    #[must_use]
    pub fn ran(&self, place: &SoakPlace<'_>, version: &Version) -> Option<Timestamp> {
        self.wells.first(place, version)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Clock {
    /// State, rung and cause.
    fingerprint: String,
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

impl Clocks {
    /// Sets `since` and `deadline` of every row.
    pub(super) fn set(&mut self, rows: &mut [Row], now: Timestamp) {
        self.flips.set(rows, now);
        for row in rows.iter_mut() {
            let fingerprint = fingerprint(&row.tracked.landing);
            let seen_to_come = self.watching.then_some(now);
            // What runs when it is first seen runs at most since its commit: an old one is no news, were it a cluster's first
            // look or a new environment.
            let declared = row.tracked.declared.since.filter(|since| *since <= now);
            let since = declared.filter(|_| row.tracked.landing.state == State::Landed).unwrap_or(now);
            let fresh = || Clock {
                fingerprint: fingerprint.clone(),
                since,
                first: now,
                paused: 0,
                left: seen_to_come,
                looked: now,
            };
            let clock = self.rows.entry(row.key()).or_insert_with(fresh);
            row.watched = clock.left.is_some();
            if row.tracked.landing.state == State::Paused {
                let still = i64::try_from(now.duration_since(clock.looked).as_millis()).unwrap_or(i64::MAX);
                clock.paused = clock.paused.saturating_add(still.max(0));
            }
            if clock.fingerprint != fingerprint {
                // One that is up at the first look may have been for long.
                let moved = !clock.fingerprint.starts_with("landed");
                if let (State::Landed, true, Some(cluster)) = (row.tracked.landing.state, moved, &row.tracked.cluster) {
                    self.landed.entry(format!("{} {cluster}", row.tracked.id)).or_insert(now);
                }
                if !moved {
                    (clock.left, clock.paused) = (Some(now), 0);
                }
                clock.fingerprint = fingerprint;
                clock.since = now;
            }
            clock.looked = clock.looked.max(now);
            row.tracked.since = Some(clock.since.min(now));
            // A committer's clock that is ahead must not put the deadline off for ever.
            let declared = row.tracked.declared.since.filter(|since| *since <= now).unwrap_or(clock.first);
            let begun = clock.left.map_or(declared, |left| left.max(declared)).min(now);
            row.tracked.deadline = deadline(row, begun, clock.paused);
        }
        self.watching = true;
        self.watches.tidy(now);
        self.rows.retain(|_, clock| now.duration_since(clock.looked) < KEEP);
        while self.landed.len() > MAX_LANDED {
            let oldest = self.landed.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            oldest.map(|key| self.landed.remove(&key));
        }
    }

    /// How every declared image stands, once the clocks are set.
    pub(super) fn standings(&mut self, rows: &[Row], unread: &[&str], now: Timestamp) -> SoakStates {
        self.wells.look(rows, unread, now)
    }

    pub(super) fn landed(self) -> Landed {
        Landed { landed: self.landed, wells: self.wells }
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
pub(super) fn late(row: &mut Tracked, now: Timestamp) {
    let after_git = matches!(row.landing.rung, Some(Rung::Fetched | Rung::Applied | Rung::RolledOut | Rung::Running));
    if row.landing.state == State::Pending && after_git && row.deadline.is_some_and(|deadline| deadline <= now) {
        row.landing.state = State::Stuck;
    }
}

fn fingerprint(landing: &Landing) -> String {
    let rung = landing.rung.map(|rung| rung.to_string()).unwrap_or_default();
    let code = landing.cause.as_ref().map(|cause| cause.code.to_string()).unwrap_or_default();
    format!("{} {rung} {code}", landing.state)
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
        };
        Row::new(tracked, super::super::About::Declared, Some(Duration::from_secs(600)))
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
    fn what_goes_back_and_forth_is_one_state_until_it_is_quiet() {
        use super::super::flapping::FlapSample;
        let mut clocks = Clocks::default();
        let mut told = Vec::new();
        for minute in 0..60 {
            // Every other minute it is OutOfSync, for half an hour.
            let synced = minute >= 30 || minute % 2 == 0;
            let mut rows = [row(State::Landed)];
            rows[0].samples = vec![FlapSample::new("Application argocd/web", synced)];
            clocks.set(&mut rows, at(minute));
            told.push((rows[0].tracked.landing.state, rows[0].tracked.since.unwrap()));
        }
        let changes = told.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
        assert_eq!(changes, 2, "{told:?}");
        // The third turn is at minute 5, the last one at 29.
        assert_eq!((told[4].0, told[5], told[58]), (State::Landed, (State::Drifted, at(5)), (State::Drifted, at(5))));
        assert_eq!(told[59], (State::Landed, at(59)));
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
