//! How often something may happen: a burst, then a steady rate.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of turns that fills up again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    burst: u32,
    /// The time in which one turn comes back.
    every: Duration,
    left: u32,
    since: Instant,
}

impl Budget {
    pub(super) fn new(burst: u32, every: Duration, now: Instant) -> Self {
        Self { burst, every, left: burst, since: now }
    }

    /// Takes a turn, or says when there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let passed = now.saturating_duration_since(self.since);
        let back = u32::try_from(passed.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX);
        if back > 0 {
            self.left = self.left.saturating_add(back).min(self.burst);
            self.since = if self.left == self.burst { now } else { self.since + self.every * back };
        }
        match self.left {
            0 => Err(self.since + self.every),
            _ => {
                self.left -= 1;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_a_steady_rate() {
        let begin = Instant::now();
        let after = |milliseconds| begin + Duration::from_millis(milliseconds);
        let mut budget = Budget::new(2, Duration::from_millis(100), begin);
        assert_eq!([0, 0].map(|at| budget.take(after(at))), [Ok(()), Ok(())]);
        assert_eq!(budget.take(after(50)), Err(after(100)));
        assert_eq!(budget.take(after(100)), Ok(()));
        assert_eq!(budget.take(after(199)), Err(after(200)));
        assert_eq!([900, 900].map(|at| budget.take(after(at))), [Ok(()), Ok(())], "no more than the burst comes back");
        assert_eq!(budget.take(after(900)), Err(after(1000)));
    }
}
