//! The one retry loop for everything that can lose a race.

use std::time::Duration;

/// How often a lost race is planned and pushed again.
pub const ATTEMPTS: u32 = 10;

/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(30);

/// The outcome of one attempt.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    /// Finished, successfully or not.
    Over(T),
    /// Somebody else was faster; the message says what was seen.
    LostRace(String),
}

/// Somebody else was faster every time; the message of the last race.
#[derive(Debug)]
pub(crate) struct LostEveryRace(pub(crate) String);

impl std::fmt::Display for LostEveryRace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it moved {ATTEMPTS} times in the meantime: {}", self.0)
    }
}

/// Retries after each lost race, at most [`ATTEMPTS`] times in all. The pause grows by half each time, with jitter, up
/// to thirty seconds.
/// # Errors
/// The first error of an attempt.
pub(crate) async fn retry_on_lost_race<T, E>(
    mut pause: Duration,
    mut attempt: impl AsyncFnMut(u32) -> Result<Attempt<T>, E>,
) -> Result<Result<T, LostEveryRace>, E> {
    let mut number = 1;
    loop {
        match attempt(number).await? {
            Attempt::Over(value) => return Ok(Ok(value)),
            Attempt::LostRace(message) if number >= ATTEMPTS => return Ok(Err(LostEveryRace(message))),
            Attempt::LostRace(_) => {}
        }
        number += 1;
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 3 / 2).min(LONGEST);
    }
}

/// Half to one and a half times the pause, so that competing writers do not collide again.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_with_the_first_attempt_that_is_over_and_with_the_last_one() {
        for (won_at, expected) in [(1, Ok(1)), (4, Ok(4)), (ATTEMPTS, Ok(ATTEMPTS)), (ATTEMPTS + 1, Err(ATTEMPTS))] {
            let mut seen = 0;
            let raced = retry_on_lost_race::<u32, ()>(Duration::ZERO, async |number| {
                seen = number;
                Ok(if number == won_at { Attempt::Over(number) } else { Attempt::LostRace(format!("lost {number}")) })
            });
            match (raced.await.unwrap(), expected) {
                (Ok(number), Ok(expected)) => assert_eq!(number, expected),
                (Err(LostEveryRace(message)), Err(_)) => assert_eq!(message, format!("lost {ATTEMPTS}")),
                (raced, expected) => panic!("{raced:?} where {expected:?}"),
            }
            assert_eq!(seen, won_at.min(ATTEMPTS));
        }
    }
}
