//! How the cycles of each repository go: whether the bot is alive, whether it is ready, and what it has counted.
//!
//! Promise: reading waits for nothing but a short lock, whatever the cycles are doing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::model::FailureCode;

use super::outcome::CycleOutcome;

/// The bounds of the histogram of durations, in seconds.
pub const CYCLE_BUCKETS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0];

/// A cycle that takes longer is told of while it runs: nothing else says what keeps a repository from being written.
pub(super) const LONG_CYCLE: Duration = Duration::from_secs(60);

/// The cycles of every repository.
#[derive(Debug)]
pub struct Vitals(Mutex<BTreeMap<String, RepositoryVitals>>);

/// The cycles of one repository.
#[derive(Debug, Clone)]
pub struct RepositoryVitals {
    /// When the last cycle ended; before the first one, when the bot was made.
    since: Instant,
    /// When the cycle began that is running.
    pub running: Option<Instant>,
    /// Whether a cycle has ended, or the repository was read where another replica works for it.
    pub cycled: bool,
    /// How many cycles knew everything they needed.
    pub good: u64,
    /// How many did not.
    pub incomplete: u64,
    /// When the last good one ended.
    pub last_success: Option<Timestamp>,
    /// Durations: how many were within each bound, and beyond the last.
    pub buckets: [u64; CYCLE_BUCKETS.len() + 1],
    /// The sum of all durations.
    pub took: Duration,
    /// How many actions were carried out, and how many failed.
    pub actions: (u64, u64),
    /// The problems of the last cycle, by code; `None` for those without one.
    pub problems: BTreeMap<Option<FailureCode>, u64>,
    /// The updates that gates held in the last cycle.
    pub holds: BTreeMap<&'static str, u64>,
}

impl Vitals {
    /// No cycle of these repositories has ended yet.
    pub(super) fn new<'n>(repositories: impl IntoIterator<Item = &'n str>, now: Instant) -> Self {
        let none = || RepositoryVitals {
            since: now,
            running: None,
            cycled: false,
            good: 0,
            incomplete: 0,
            last_success: None,
            buckets: [0; CYCLE_BUCKETS.len() + 1],
            took: Duration::ZERO,
            actions: (0, 0),
            problems: BTreeMap::new(),
            holds: BTreeMap::new(),
        };
        Self(Mutex::new(repositories.into_iter().map(|name| (name.to_owned(), none())).collect()))
    }

    /// A cycle has begun.
    pub(super) fn began(&self, repository: &str, now: Instant) {
        if let Some(vitals) = self.all().get_mut(repository) {
            vitals.running = Some(now);
        }
    }

    /// A repository was read for which another replica works. What its last cycles here found is no longer so.
    pub(super) fn looked(&self, repository: &str, now: Instant) {
        if let Some(vitals) = self.all().get_mut(repository) {
            (vitals.since, vitals.cycled, vitals.running) = (now, true, None);
            (vitals.last_success, vitals.problems, vitals.holds) = Default::default();
        }
    }

    /// A cycle has ended.
    pub(super) fn ended(&self, outcome: &CycleOutcome, took: Duration, (now, at): (Instant, Timestamp)) {
        let mut all = self.all();
        let Some(vitals) = all.get_mut(&outcome.repository) else { return };
        (vitals.since, vitals.cycled, vitals.running) = (now, true, None);
        if outcome.incomplete() {
            vitals.incomplete += 1;
        } else {
            vitals.good += 1;
            vitals.last_success = Some(at);
        }
        vitals.took += took;
        let bucket = CYCLE_BUCKETS.iter().position(|bound| took.as_secs_f64() <= *bound);
        vitals.buckets[bucket.unwrap_or(CYCLE_BUCKETS.len())] += 1;
        let failed = outcome.failures().count();
        let done = outcome.actions.iter().filter(|action| action.is_done()).count();
        vitals.actions.0 += done as u64;
        vitals.actions.1 += failed as u64;
        vitals.problems.clear();
        for problem in &outcome.problems {
            *vitals.problems.entry(problem.problem.code).or_default() += 1;
        }
        vitals.holds.clear();
        for hold in &outcome.holds {
            *vitals.holds.entry(hold.gate.as_str()).or_default() += 1;
        }
    }

    /// The repositories of which no cycle has ended for a time that is too long.
    #[must_use]
    pub fn stalled(&self, now: Instant, too_long: impl Fn(Duration) -> bool) -> Vec<String> {
        let late = |vitals: &RepositoryVitals| too_long(now.saturating_duration_since(vitals.since));
        self.all().iter().filter(|(_, vitals)| late(vitals)).map(|(name, _)| name.clone()).collect()
    }

    /// The repositories of which no cycle has ended yet.
    #[must_use]
    pub fn unread(&self) -> Vec<String> {
        self.all().iter().filter(|(_, vitals)| !vitals.cycled).map(|(name, _)| name.clone()).collect()
    }

    /// For how long a repository's cycle has been running, if that is longer than a minute.
    #[must_use]
    pub fn long(&self, repository: &str, now: Instant) -> Option<Duration> {
        let began = self.all().get(repository)?.running?;
        Some(now.saturating_duration_since(began)).filter(|time| *time >= LONG_CYCLE)
    }

    /// Everything, by repository.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, RepositoryVitals> {
        self.all().clone()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, RepositoryVitals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CommitId;
    use crate::plan::Problem;

    #[test]
    fn a_repository_without_an_ended_cycle_is_unread_and_later_stalled() {
        let (begin, too_long) = (Instant::now(), |time| time > Duration::from_secs(1800));
        let after = |seconds| begin + Duration::from_secs(seconds);
        let vitals = Vitals::new(["a", "b"], begin);
        assert_eq!((vitals.unread().len(), vitals.stalled(after(1800), too_long).len()), (2, 0));
        let mut outcome = CycleOutcome::new("a");
        outcome.revision = CommitId::parse(&"1".repeat(40)).ok();
        vitals.began("a", begin);
        assert_eq!((vitals.long("a", after(59)), vitals.long("a", after(60))), (None, Some(LONG_CYCLE)));
        vitals.ended(&outcome, Duration::from_millis(200), (after(60), Timestamp::UNIX_EPOCH));
        assert_eq!(vitals.long("a", after(600)), None);
        assert_eq!(
            (vitals.unread(), vitals.stalled(after(1801), too_long)),
            (vec!["b".to_owned()], vec!["b".to_owned()])
        );
        assert_eq!(vitals.stalled(after(1861), too_long), ["a", "b"]);
        let message = "no".to_owned();
        let code = Some(FailureCode::Network);
        outcome.add_blocking([Problem { path: None, line: None, image: None, message, code }]);
        vitals.ended(&outcome, Duration::from_secs(2000), (after(1900), Timestamp::UNIX_EPOCH));
        let a = &vitals.snapshot()["a"];
        assert_eq!((a.good, a.incomplete, a.last_success), (1, 1, Some(Timestamp::UNIX_EPOCH)));
        assert_eq!((a.buckets[2], a.buckets[CYCLE_BUCKETS.len()], a.problems.len()), (1, 1, 1));
    }
}
