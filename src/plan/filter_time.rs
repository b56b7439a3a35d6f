//! How long the tag filters of a repository's policies may take in one cycle.
//!
//! Promise: whatever patterns a repository carries and however long the lists are, matching ends in bounded time; a filter that has
//! had its time is a problem that names its place, and the others go on.
//! Design: the stopwatch is an argument. A filter gets at most half of what is left, so that there is something left for the next,
//! and one that was too slow is not tried again in the same cycle.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::ImageName;
use crate::policy::SourceLocation;

/// Most time of one filter over one list; real ones take milliseconds.
const EACH: Duration = Duration::from_secs(2);
/// What a filter takes of every list without counting towards [`ALL`]: a cycle with thousands of healthy lists is none that is slow.
const FREE: Duration = Duration::from_millis(2);
/// Most time of all filters in one cycle, beyond what is free.
const ALL: Duration = Duration::from_secs(10);

/// What filters have taken so far in a cycle.
pub struct FilterTime {
    stopwatch: Box<dyn Fn() -> Duration + Send + Sync>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: Duration,
    /// Where filters were too slow, and on whose list: a long list of one image takes nothing from the others of its policy.
    slow: HashSet<(SourceLocation, ImageName)>,
}

impl FilterTime {
    /// Nothing was taken yet. The stopwatch says how much time has passed since some moment.
    pub fn new(stopwatch: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self { stopwatch: Box::new(stopwatch), taken: Mutex::default() }
    }

    /// The turn of the filter at this place, on the list of this image.
    pub(super) fn turn(&self, filter: &SourceLocation, image: &ImageName) -> FilterTurn<'_> {
        let key = (filter.clone(), image.clone());
        let taken = self.taken();
        let left = ALL.saturating_sub(taken.all);
        let most = if taken.slow.contains(&key) { Duration::ZERO } else { EACH.min(left / 2).max(FREE) };
        drop(taken);
        FilterTurn { time: self, key, began: (self.stopwatch)(), most }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FilterTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterTime").field("taken", &self.taken).finish_non_exhaustive()
    }
}

/// One filter at work on one list; what it took counts when this is dropped.
pub(super) struct FilterTurn<'t> {
    time: &'t FilterTime,
    key: (SourceLocation, ImageName),
    began: Duration,
    most: Duration,
}

impl FilterTurn<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.passed() >= self.most
    }

    fn passed(&self) -> Duration {
        (self.time.stopwatch)().saturating_sub(self.began)
    }
}

impl Drop for FilterTurn<'_> {
    fn drop(&mut self) {
        let over = self.is_over();
        let mut taken = self.time.taken();
        taken.all += self.passed().saturating_sub(FREE);
        if over {
            taken.slow.insert(self.key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_slow_filter_has_its_time_once_and_leaves_some_to_the_others() {
        let watch = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&watch);
        let time = FilterTime::new(move || Duration::from_millis(read.load(Ordering::Relaxed)));
        let place = |line| SourceLocation { file: "policies.yaml".to_owned(), line, column: 1 };
        let image = ImageName::parse("ghcr.io/acme/web").unwrap();
        // How long it is before a filter's time is over, in steps of ten milliseconds; no longer than `most`.
        let works = |line, most: u64| {
            let turn = time.turn(&place(line), &image);
            let mut passed = 0;
            while !turn.is_over() && passed < most {
                passed += 10;
                watch.fetch_add(10, Ordering::Relaxed);
            }
            passed
        };
        for _ in 0..3 {
            assert_eq!(works(1, 50), 50, "one that ends in time works as often as it is needed");
        }
        assert_eq!((works(2, 10_000), works(2, 10_000)), (2_000, 0));
        let other = ImageName::parse("ghcr.io/acme/api").unwrap();
        assert!(!time.turn(&place(2), &other).is_over(), "another image of the same policy has its own time");
        for line in 3..9 {
            works(line, 10_000);
            assert_eq!(works(1, 10), 10, "after {line}");
        }
        for line in 9..100 {
            works(line, 10_000);
        }
        // The last ones have hardly any, and take a step of the test's clock each.
        assert!(watch.load(Ordering::Relaxed) <= 11_000, "{watch:?}");
    }
}
