//! How cycles ended, which drives the heartbeat, and which repository's cycle is stuck.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::Cycle;

/// A cycle may always take this long: the first read of a large repository, a remote that hangs.
const SHORTEST_STALL: Duration = Duration::from_secs(300);

/// How the last cycle of each repository ended, on a monotonic clock.
#[derive(Debug, Default)]
pub struct Cycles {
    /// When, and whether it knew everything it needed; until a first one has ended, when the bot began.
    ended: BTreeMap<String, (Instant, bool)>,
    count: usize,
    /// The number of cycles when the heartbeat was last sent.
    beaten: usize,
}

impl Cycles {
    /// Records that the cycles of a repository begin: the first one must end, too.
    pub fn begun(&mut self, repository: &str, now: Instant) {
        self.ended.insert(repository.to_owned(), (now, false));
    }

    /// Records the end of a cycle.
    pub fn ended(&mut self, repository: &str, good: bool, now: Instant) {
        self.ended.insert(repository.to_owned(), (now, good));
        self.count += 1;
    }

    /// Another replica goes on with a repository.
    pub fn left(&mut self, repository: &str) {
        self.ended.remove(repository);
    }

    /// Whether the last cycle of every repository knew all it needed, and is not too old.
    #[must_use]
    pub fn good(&self, limit: Duration, now: Instant) -> bool {
        self.ended.values().all(|(at, good)| *good && now.duration_since(*at) <= limit)
    }

    /// Whether any cycle has ended.
    #[must_use]
    pub fn any(&self) -> bool {
        self.count > 0
    }

    /// The repositories in which no cycle has ended for too long.
    #[must_use]
    pub fn stalled(&self, limit: Duration, now: Instant) -> BTreeSet<String> {
        let late = self.ended.iter().filter(|(_, (at, _))| now.duration_since(*at) > limit.max(SHORTEST_STALL));
        late.map(|(name, _)| name.clone()).collect()
    }

    /// How the last cycles ended; returned once per round of cycles.
    pub fn beat(&mut self, limit: Duration, now: Instant) -> Option<Cycle> {
        let due = self.count.is_multiple_of(self.ended.len().max(1)) && self.count != self.beaten;
        let good = self.good(limit, now);
        due.then(|| {
            self.beaten = self.count;
            if good { Cycle::Good } else { Cycle::Failed }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_of_which_no_cycle_ends_is_stalled_and_ends_the_heartbeat() {
        let (limit, mut now, mut cycles) = (Duration::from_secs(180), Instant::now(), Cycles::default());
        cycles.ended("one", true, now);
        cycles.ended("other", true, now);
        assert_eq!((cycles.beat(limit, now), cycles.beat(limit, now)), (Some(Cycle::Good), None), "one for each round");
        let mut stalled = Vec::new();
        for _ in 0..8 {
            now += Duration::from_secs(60);
            cycles.ended("one", true, now);
            stalled.push(cycles.stalled(limit, now));
        }
        assert!(stalled[..5].iter().all(BTreeSet::is_empty), "{stalled:?}");
        assert_eq!(stalled[7], BTreeSet::from(["other".to_owned()]));
        assert_eq!(cycles.beat(limit, now), Some(Cycle::Failed));
    }

    #[test]
    fn a_first_cycle_that_never_ends_is_stalled_too() {
        let (limit, mut now, mut cycles) = (Duration::from_secs(180), Instant::now(), Cycles::default());
        cycles.begun("one", now);
        cycles.begun("other", now);
        assert!(!cycles.any() && cycles.beat(limit, now).is_none());
        let mut beats = Vec::new();
        for _ in 0..6 {
            now += Duration::from_secs(60);
            cycles.ended("one", true, now);
            beats.extend(cycles.beat(limit, now));
        }
        assert_eq!(beats, [Cycle::Failed, Cycle::Failed, Cycle::Failed], "the other one has never been read");
        assert_eq!(cycles.stalled(limit, now), BTreeSet::from(["other".to_owned()]));
        cycles.ended("other", true, now);
        cycles.ended("one", true, now);
        assert_eq!((cycles.beat(limit, now), cycles.stalled(limit, now).len()), (Some(Cycle::Good), 0));
    }
}
