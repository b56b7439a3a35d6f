//! Soak: how long each version has been healthy in each place, which promotion gates ask for.
//!
//! Rules: a version is healthy from when it was first seen landed. If the bot was not running then, it is healthy from
//! when its last pod became ready, but never from before its commit. A short interruption in which it is only moving (a
//! drained node, added pods) does not end the soak; a failure, a manual change or a long silence does. Losing the cache
//! can make a promotion wait longer, never shorter. Whoever commits dates the commit: a version is declared since its commit, but
//! not since before the bot saw it there, where it has looked before.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{Blame, CauseCode, CommitId, Digest, ImageName, State, Tracked, Version};
use crate::plan::{PastSoak, SoakEnd, SoakHealth, SoakState, SoakStates};

use super::row::{PlaceKey, Row, RowSubject};

/// How long a version may be moving, paused or out of sight without losing its soak time.
const BREAK: SignedDuration = SignedDuration::from_mins(10);
/// The resolution at which the end of a healthy span is stored.
const STEP: SignedDuration = SignedDuration::from_secs(60);
/// How long a place is remembered after it is no longer declared.
const KEEP: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The resolution at which it is stored until when a place declared its version.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Maximum number of versions remembered for one place.
const VERSIONS: usize = 10;
/// Maximum number of places.
const PLACES: usize = 50_000;

/// Healthy spans by place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Soaks {
    /// Place → its versions, newest last.
    places: BTreeMap<PlaceKey, Vec<SoakRecord>>,
    /// Repository → the environments that it declared when it was last readable.
    #[serde(default)]
    environments: BTreeMap<String, BTreeSet<String>>,
    /// Repository → what its places declare, as far as this was seen.
    #[serde(default)]
    declared: BTreeMap<String, BTreeMap<PlaceKey, SeenDeclared>>,
}

/// The version that a place declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SeenDeclared {
    version: Version,
    /// When it was first seen there; `None`: it was there when the bot first looked.
    since: Option<Timestamp>,
    /// When it was last seen there, to the day.
    last: Timestamp,
}

/// A place, in any cluster.
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
    fn key(&self) -> PlaceKey {
        PlaceKey::of([self.repository, self.overlay, &self.image.to_string(), self.environment])
    }

    fn in_cluster(&self, cluster: &str) -> PlaceKey {
        PlaceKey::of([self.repository, self.overlay, &self.image.to_string(), self.environment, cluster])
    }
}

/// One version in one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SoakRecord {
    version: Version,
    /// Start of its healthy span.
    from: Timestamp,
    /// When it was last seen healthy.
    until: Timestamp,
    #[serde(default)]
    digests: Vec<Digest>,
    #[serde(default)]
    commit: Option<String>,
    /// Whether the span has ended; the next one starts from zero.
    #[serde(default)]
    over: bool,
    /// Whether it ended with a failure, so that it no longer proves anything.
    #[serde(default)]
    failed: bool,
    /// Since when it has been seen unhealthy; a pass shortly after a pause ends nothing.
    #[serde(default)]
    off: Option<Timestamp>,
    /// Why the span started again, if it did.
    #[serde(default)]
    anew: Option<String>,
    /// The state that ended it.
    #[serde(default)]
    ended: Option<String>,
}

impl Soaks {
    /// When a version was first healthy in a place, in any cluster.
    #[must_use]
    pub fn first(&self, place: &SoakPlace<'_>, version: &Version) -> Option<Timestamp> {
        let begin = place.key();
        let clusters = self.places.range(begin.clone()..).take_while(|(key, _)| key.after(&begin).is_some());
        let records = clusters.flat_map(|(_, records)| records).filter(|record| record.version == *version);
        records.map(|record| record.from).min()
    }

    /// Records one pass and returns the health of every declared image; a row says so if its soak started again.
    /// `unread` are repositories that cannot be read at the moment.
    pub fn observe(&mut self, rows: &mut [Row], unread: &[&str], now: Timestamp) -> SoakStates {
        let declared = rows.iter_mut().filter(|row| row.about == RowSubject::Declared);
        let soaks: Vec<SoakState> = declared.filter_map(|row| self.standing(row, now)).collect();
        self.places.retain(|_, records| records.last().is_some_and(|record| now.duration_since(record.until) < KEEP));
        for places in self.declared.values_mut() {
            places.retain(|_, seen| now.duration_since(seen.last) < KEEP);
        }
        while self.places.len() > PLACES {
            let last = |records: &Vec<SoakRecord>| records.last().map(|record| record.until);
            let oldest = self.places.iter().min_by_key(|(_, records)| last(records)).map(|(place, _)| place.clone());
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

    fn standing(&mut self, row: &mut Row, now: Timestamp) -> Option<SoakState> {
        let tracked = &row.tracked;
        let environment = tracked.environment.clone()?;
        let cluster = tracked.cluster.as_deref();
        let of = SoakPlace {
            repository: &tracked.repository,
            overlay: &tracked.overlay,
            image: &tracked.image,
            environment: &environment,
        };
        let place = of.in_cluster(cluster.unwrap_or_default());
        let records = self.places.entry(place.clone()).or_default();
        let since = healthy_since(records, row, now);
        let version = &tracked.declared.version;
        let current = records.iter().rev().find(|record| record.version == *version && !record.over);
        let anew = current.and_then(|record| record.anew.clone());
        let before = records.iter().rev().filter(|record| record.version != *version).map(SoakRecord::proven).collect();
        if records.len() > VERSIONS {
            records.drain(..records.len() - VERSIONS);
        }
        let state = SoakState {
            repository: tracked.repository.clone(),
            app: tracked.app.clone(),
            environment,
            overlay: tracked.overlay.clone(),
            image: tracked.image.clone(),
            cluster: tracked.cluster.clone(),
            id: tracked.id.clone(),
            version: version.clone(),
            commit: tracked.declared.commit.clone(),
            committed: declared_since(&mut self.declared, place, tracked, now),
            stand: since.map_or_else(|| not(row), |since| SoakHealth::Healthy { since }),
            anew,
            digests: row.digests.clone(),
            before,
        };
        row.tracked.notes.extend(state.began_anew());
        Some(state)
    }
}

/// Since when a place declares its version. In a repository that the bot has looked at before, what is new there is there since now.
fn declared_since(
    known: &mut BTreeMap<String, BTreeMap<PlaceKey, SeenDeclared>>,
    place: PlaceKey,
    tracked: &Tracked,
    now: Timestamp,
) -> Option<Timestamp> {
    let version = &tracked.declared.version;
    let before = known.get(&tracked.repository).is_some_and(|places| !places.is_empty());
    let places = known.entry(tracked.repository.clone()).or_default();
    if !places.contains_key(&place) && places.len() >= PLACES {
        return tracked.declared.since.map(|_| now);
    }
    let new = || SeenDeclared { version: version.clone(), since: before.then_some(now), last: now };
    let seen = places.entry(place).or_insert_with(new);
    if seen.version != *version {
        *seen = SeenDeclared { version: version.clone(), since: Some(now), last: now };
    }
    // A clock that was ahead costs its time and no more.
    seen.since = seen.since.map(|since| since.min(now));
    if now.duration_since(seen.last).abs() > DAY {
        seen.last = now;
    }
    tracked.declared.since.map(|since| seen.since.map_or(since, |seen| seen.max(since)))
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

/// Whether a row proves that its version runs: it has landed, and not just because there is nothing to run it.
fn is_healthy(row: &Row) -> bool {
    let unproven = row.tracked.landing.cause.as_ref().is_some_and(|cause| cause.code == CauseCode::Unproven);
    row.tracked.landing.state == State::Landed && !unproven
}

/// Since when the declared version has been healthy; `None` if it is not healthy now.
fn healthy_since(records: &mut Vec<SoakRecord>, row: &Row, now: Timestamp) -> Option<Timestamp> {
    let tracked = &row.tracked;
    let version = &tracked.declared.version;
    records.iter_mut().for_each(|record| record.settle(now));
    let at = records.iter().rposition(|record| record.version == *version && !record.over);
    if !is_healthy(row) {
        if let Some(record) = records.iter_mut().rev().find(|record| record.version == *version) {
            record.failed |= matches!(tracked.landing.state, State::Stuck | State::RolledBack);
            let off = *record.off.get_or_insert(now);
            if !record.over && (ends(tracked.landing.state) || now.duration_since(off) > BREAK) {
                (record.over, record.ended) = (true, Some(ending(row, off)));
            }
        }
        return None;
    }
    if let Some(record) = at.and_then(|at| records.get_mut(at)) {
        // The tag was pushed again: a different image runs now, and its soak starts again.
        let other = !record.digests.is_empty() && row.digests.iter().any(|digest| !record.digests.contains(digest));
        // After a long time out of sight, the pods' own start times count; without them the soak starts again.
        let unseen = now.duration_since(record.until) > BREAK;
        let unseen =
            |why: &str| unseen.then(|| format!("{why} after {:.0}, when it was last seen healthy", record.until));
        let anew = match row.ready_since.filter(|ready| *ready <= now) {
            _ if other => Some((now, "another image has been running under its tag since then".to_owned())),
            Some(ready) if ready > record.until => unseen("its pods became ready").map(|why| (ready, why)),
            Some(_) => None,
            None => unseen("it was not observed").map(|why| (now, why)),
        };
        if let Some((from, why)) = anew {
            (record.from, record.anew) = (from, Some(why));
        }
        record.off = None;
        // Stored coarsely, so that the stored value does not change in every pass.
        if now.duration_since(record.until) >= STEP {
            record.until = now;
        }
        if other {
            record.digests.clear();
        }
        let more: Vec<Digest> = row.digests.iter().filter(|it| !record.digests.contains(it)).cloned().collect();
        record.digests.extend(more);
        return Some(record.from);
    }
    let last = records.iter().rev().find(|record| record.version == *version);
    let (failed, anew) = (last.is_some(), last.and_then(|record| record.ended.clone()));
    let ready = row.ready_since.filter(|ready| *ready <= now && !failed && !row.watched);
    let from = ready.map_or(now, |ready| tracked.declared.since.map_or(ready, |since| since.max(ready))).min(now);
    records.push(SoakRecord {
        version: version.clone(),
        from,
        until: now,
        digests: row.digests.clone(),
        commit: tracked.declared.commit.as_ref().map(ToString::to_string),
        over: false,
        failed: false,
        off: None,
        anew,
        ended: None,
    });
    Some(from)
}

impl SoakRecord {
    /// Takes back times that a clock which was ahead has left: they would count for as long as it was ahead.
    fn settle(&mut self, now: Timestamp) {
        if self.from > now {
            self.from = now;
            self.anew = Some("the clock was set back since then".to_owned());
        }
        self.until = self.until.min(now);
        self.off = self.off.map(|off| off.min(now));
    }
}

/// The state in which a version's soak ended at `off`.
fn ending(row: &Row, off: Timestamp) -> String {
    let landing = &row.tracked.landing;
    let code = landing.cause.as_ref().map_or(String::new(), |cause| format!(" ({})", cause.code));
    format!("it was {}{code} at {off:.0}", landing.state)
}

/// States that end a soak at once.
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
        blame: cause.map_or(Blame::Platform, |cause| cause.blame),
        message: cause.map_or(at, |cause| cause.message.clone()),
        since: tracked.since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BranchName, Cause, Landing, Tag, UpdateId};
    use crate::plan::Declared;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + minutes * 60).unwrap()
    }

    fn digest(letter: char) -> Digest {
        Digest::parse(&format!("sha256:{}", letter.to_string().repeat(64))).unwrap()
    }

    fn row(tag: &str, state: State) -> Row {
        let (branch, image) = (BranchName::parse("main").unwrap(), ImageName::parse("ghcr.io/acme/web").unwrap());
        let version = Version { tag: Some(Tag::parse(tag).unwrap()), digest: None };
        let declared = Declared {
            id: UpdateId::of(&branch, "apps/web", "dev", &image, &version),
            app: "web".to_owned(),
            environment: Some("dev".to_owned()),
            policy: None,
            overlay: "apps/web".to_owned(),
            name: image,
            version,
            pins: Vec::new(),
            land_within: None,
        };
        let tracked = Row::declared("deploys", &declared, Some("eu-1"), Landing { state, rung: None, cause: None });
        Row { watched: true, ..Row::new(tracked, RowSubject::Declared, None) }
    }

    /// What each step of a history says: since which minute the version is healthy, where it is.
    fn history(steps: Vec<(i64, Row)>) -> Vec<Option<i64>> {
        let mut soaks = Soaks::default();
        let mut since = |(minute, row): (i64, Row)| {
            // A restart in between changes nothing.
            soaks = serde_json::from_str(&serde_json::to_string(&soaks).unwrap()).unwrap();
            let states = soaks.observe(&mut [row], &[], at(minute));
            let state = states.all().next().unwrap().stand.clone();
            match state {
                SoakHealth::Healthy { since } => Some(since.duration_since(at(0)).as_mins()),
                SoakHealth::Not { .. } => None,
            }
        };
        steps.into_iter().map(&mut since).collect()
    }

    fn landed(tag: &str) -> Row {
        row(tag, State::Landed)
    }

    #[test]
    fn a_version_soaks_from_when_it_was_seen_to_land_and_a_short_break_does_not_end_it() {
        let found = history(vec![
            (0, row("1.0.0", State::Pending)),
            (2, landed("1.0.0")),
            (9, landed("1.0.0")),
            // A node is drained.
            (10, row("1.0.0", State::Pending)),
            (15, landed("1.0.0")),
            (20, landed("1.0.0")),
        ]);
        assert_eq!(found, [None, Some(2), Some(2), None, Some(2), Some(2)]);
    }

    /// Since which minute each step's version is declared, by commits of these minutes.
    fn declared(steps: &[(i64, &str, i64)]) -> Vec<i64> {
        let mut soaks = Soaks::default();
        let since = |(minute, tag, committed): &(i64, &str, i64)| {
            soaks = serde_json::from_str(&serde_json::to_string(&soaks).unwrap()).unwrap();
            let mut row = landed(tag);
            row.tracked.declared.since = Some(at(*committed));
            let states = soaks.observe(&mut [row], &[], at(*minute));
            let committed = states.all().next().unwrap().committed.unwrap();
            committed.duration_since(at(0)).as_mins()
        };
        steps.iter().map(since).collect()
    }

    #[test]
    fn a_commit_s_date_can_only_shorten_how_long_a_version_is_declared() {
        // What was there when the bot first looked is as old as its commit says.
        assert_eq!(declared(&[(100, "1.0.0", 10), (200, "1.0.0", 10)]), [10, 10]);
        // A commit that is dated back is there since it was seen.
        let back = [(100, "1.0.0", 10), (200, "1.1.0", -50_000), (300, "1.1.0", -50_000), (400, "1.0.0", 10)];
        assert_eq!(declared(&back), [10, 200, 200, 400]);
        // One of a time when nobody looked is as old as it says, at most.
        assert_eq!(declared(&[(100, "1.0.0", 10), (300, "1.1.0", 310)]), [10, 310]);
        assert_eq!(declared(&[(100, "1.0.0", 10), (5_000, "1.1.0", 0), (200, "1.1.0", 0)]), [10, 5_000, 200]);
    }

    #[test]
    fn what_is_new_in_a_known_repository_is_there_since_it_was_seen() {
        let mut soaks = Soaks::default();
        let row = |overlay: &str, minute: i64| {
            let mut row = landed("1.0.0");
            row.tracked.overlay = overlay.to_owned();
            row.tracked.declared.since = Some(at(minute));
            row
        };
        soaks.observe(&mut [row("apps/web", 1)], &[], at(100));
        let states = soaks.observe(&mut [row("apps/web", 1), row("apps/new", 1)], &[], at(200));
        let since: Vec<i64> = states.all().map(|it| it.committed.unwrap().duration_since(at(0)).as_mins()).collect();
        assert_eq!(since, [1, 200]);
    }

    #[test]
    fn a_clock_that_was_ahead_costs_a_soak_its_time_and_no_more() {
        let found = history(vec![
            (0, landed("1.0.0")),
            (1_500, landed("1.0.0")),
            // The clock is right again.
            (10, landed("1.0.0")),
            (15, landed("1.0.0")),
            // A silence is noticed although the clock has been later than that before.
            (60, landed("1.0.0")),
            (65, landed("1.0.0")),
        ]);
        assert_eq!(found, [Some(0), Some(1_500), Some(10), Some(10), Some(60), Some(60)]);
    }

    #[test]
    fn a_failure_a_change_by_hand_and_a_long_break_begin_it_anew() {
        for (state, until) in [(State::Stuck, 11), (State::Drifted, 11), (State::Shadowed, 11), (State::Pending, 25)] {
            let found = history(vec![
                (0, landed("1.0.0")),
                (10, row("1.0.0", state)),
                (until, row("1.0.0", state)),
                (until + 1, landed("1.0.0")),
                (until + 5, landed("1.0.0")),
            ]);
            assert_eq!(found, [Some(0), None, None, Some(until + 1), Some(until + 1)], "{state}");
        }
    }

    #[test]
    fn a_row_says_why_a_good_time_began_anew() {
        let mut soaks = Soaks::default();
        let mut told = |minute, row: Row| {
            let mut rows = [row];
            drop(soaks.observe(&mut rows, &[], at(minute)));
            rows[0].tracked.notes.clone()
        };
        assert_eq!(told(0, landed("1.0.0")), [] as [&str; 0]);
        assert_eq!(told(10, row("1.0.0", State::Stuck)), [] as [&str; 0]);
        let why = "it has been soaking since 2026-09-21T14:25:20Z, because the soak started again: it was stuck at 2026-09-21T14:23:20Z";
        assert_eq!(told(12, landed("1.0.0")), [why]);
        assert_eq!(told(13, landed("1.0.0")), [why]);
    }

    #[test]
    fn what_nobody_looked_at_for_long_begins_anew_unless_its_pods_tell() {
        let ready = |minute| Row { ready_since: Some(at(minute)), ..landed("1.0.0") };
        assert_eq!(history(vec![(0, landed("1.0.0")), (30, landed("1.0.0"))]), [Some(0), Some(30)]);
        assert_eq!(history(vec![(0, ready(-5)), (30, ready(-5))]), [Some(0), Some(0)]);
        assert_eq!(history(vec![(0, ready(-5)), (30, ready(20))]), [Some(0), Some(20)]);
    }

    #[test]
    fn a_tag_that_was_pushed_again_proves_nothing_for_the_new_image() {
        let with = |letter| Row { digests: vec![digest(letter)], ..landed("1.0.0") };
        assert_eq!(history(vec![(0, with('a')), (5, with('a')), (6, with('b'))]), [Some(0), Some(0), Some(6)]);
    }

    #[test]
    fn a_version_that_was_there_before_the_bot_counts_from_its_pods_and_never_from_before_its_commit() {
        let mut before = Row { watched: false, ready_since: Some(at(-90)), ..landed("1.0.0") };
        assert_eq!(history(vec![(0, before.clone())]), [Some(-90)]);
        before.tracked.declared.since = Some(at(-60));
        assert_eq!(history(vec![(0, before)]), [Some(-60)]);
    }

    #[test]
    fn what_lands_without_anything_that_runs_it_proves_nothing() {
        let mut unproven = landed("1.0.0");
        let (code, message) = (CauseCode::Unproven, "it has not run yet".to_owned());
        unproven.tracked.landing.cause =
            Some(Cause { code, message, evidence: Vec::new(), next: String::new(), blame: code.blame() });
        assert_eq!(history(vec![(0, unproven)]), [None]);
    }

    #[test]
    fn what_made_room_is_told_with_how_it_ended() {
        let mut soaks = Soaks::default();
        for (minute, row) in [
            (0, landed("1.0.0")),
            (30, landed("1.0.0")),
            (31, landed("1.1.0")),
            (32, row("1.1.0", State::Stuck)),
            (33, landed("1.2.0")),
        ] {
            drop(soaks.observe(&mut [row], &[], at(minute)));
        }
        let states = soaks.observe(&mut [landed("1.2.0")], &[], at(34));
        let before = &states.all().next().unwrap().before;
        let told: Vec<(String, bool)> =
            before.iter().map(|it| (it.version.to_string(), it.end == SoakEnd::Failed)).collect();
        assert_eq!(told, [("1.1.0".to_owned(), true), ("1.0.0".to_owned(), false)]);
    }
}
