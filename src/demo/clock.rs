//! The demo's clock. It starts behind the machine's by as much as the story will skip, so that "a day later" takes no
//! day and no timestamp is in the future when the story ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::SignedDuration;

use super::story::Tale;
use crate::daemon::Clock;

/// A clock that can be advanced, up to the machine's time.
#[derive(Debug, Clone)]
pub struct StoryClock {
    machine: Clock,
    /// How many milliseconds it is behind.
    behind: Arc<AtomicI64>,
}

impl StoryClock {
    /// A clock that is behind `machine` by what a tale skips.
    #[must_use]
    pub fn behind(machine: Clock, tale: Tale) -> Self {
        Self { machine, behind: Arc::new(AtomicI64::new(millis(tale.skips()))) }
    }

    /// A read-only view of the same clock.
    #[must_use]
    pub fn reader(&self) -> Clock {
        let (machine, behind) = (self.machine.clone(), Arc::clone(&self.behind));
        Clock::from_fn(move || {
            let now = machine.now();
            now.checked_sub(SignedDuration::from_millis(behind.load(Ordering::SeqCst))).unwrap_or(now)
        })
    }

    /// Advances the clock, but never beyond the machine's time.
    pub fn pass(&self, span: SignedDuration) {
        let passed = |behind: i64| Some(behind.saturating_sub(millis(span)).max(0));
        // The closure always returns a value, so this cannot fail.
        let _before = self.behind.fetch_update(Ordering::SeqCst, Ordering::SeqCst, passed);
    }

    /// How far it is behind.
    #[must_use]
    pub fn left(&self) -> SignedDuration {
        SignedDuration::from_millis(self.behind.load(Ordering::SeqCst))
    }
}

fn millis(span: SignedDuration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward_and_never_past_the_machine() {
        let machine = "2026-01-05T08:00:00Z".parse().unwrap();
        let clock = StoryClock::behind(Clock::from_fn(move || machine), Tale::Short);
        let whole = Tale::Short.skips();
        let reader = clock.reader();
        let behind = |clock: &Clock| machine.duration_since(clock.now());
        assert_eq!(behind(&reader), whole);
        clock.pass(SignedDuration::from_mins(6));
        assert_eq!(behind(&reader), whole - SignedDuration::from_mins(6));
        clock.pass(SignedDuration::from_hours(1_000));
        assert_eq!(behind(&reader), SignedDuration::ZERO);
        assert_eq!(clock.left(), SignedDuration::ZERO);
    }
}
