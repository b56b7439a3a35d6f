//! The one place that reads the clock for the daemon, so that tests can control it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// A clock that differs from the elapsed time by more than this was set.
const STEP: SignedDuration = SignedDuration::from_secs(60);

/// A source of the current time in UTC.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that returns what `read` returns.
    pub fn from_fn(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// The machine's clock and a monotonic one, as of the last turn.
#[derive(Debug, Default)]
pub(super) struct Times(Option<(Timestamp, Instant)>);

impl Times {
    /// Whether the machine's clock was set since the last turn; ages and deadlines depend on it.
    pub(super) fn were_set(&mut self, now: Timestamp, instant: Instant) -> bool {
        let Some((then, before)) = self.0.replace((now, instant)) else { return false };
        let passed = SignedDuration::try_from(instant.duration_since(before)).unwrap_or(SignedDuration::MAX);
        let step = now.duration_since(then).saturating_sub(passed);
        let set = step.abs() > STEP;
        if set {
            tracing::info!("the clock of this machine was set by {step:#}; everything is judged again");
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_and_time_that_passes_is_not() {
        let (mut times, mut instant, mut wall) = (Times::default(), Instant::now(), 0);
        assert!(!times.were_set(at(wall), instant));
        for (real, shown, set) in
            [(60, 60, false), (60, 57, false), (1, -3_600, true), (1, 1, false), (1, 86_400, true)]
        {
            (instant, wall) = (instant + Duration::from_secs(real), wall + shown);
            assert_eq!(times.were_set(at(wall), instant), set, "{real} s passed, the clock moved by {shown} s");
        }
    }
}
