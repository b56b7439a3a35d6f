//! Tokens that end: made once for all who wait, renewed before their end.

use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::git::NoToken;

/// A token is renewed this long before its end, and used no longer than a minute before it.
const EARLY: Duration = Duration::from_mins(5);
const LATE: Duration = Duration::from_mins(1);
/// None is made within this time after another one, or after a failure; and one that is refused is not renewed before it is
/// this old.
const REST: Duration = Duration::from_secs(20);

/// What is kept of the tokens that somebody makes.
#[derive(Default)]
pub(in crate::forge) struct Lending(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    token: Option<MadeToken>,
    failed: Option<(Instant, NoToken)>,
}

/// A token that ends.
#[derive(Clone)]
pub(in crate::forge) struct MadeToken {
    pub(in crate::forge) secret: SecretString,
    /// When it was asked for.
    pub(in crate::forge) made: Instant,
    pub(in crate::forge) life: Duration,
}

impl MadeToken {
    fn lasts(&self, more: Duration, now: Instant) -> bool {
        now + more < self.made + self.life
    }
}

impl Lending {
    /// The kept token, or one that is made now. One that is still good outlives a failed renewal.
    pub(in crate::forge) async fn lend(
        &self,
        make: impl Future<Output = Result<MadeToken, NoToken>>,
    ) -> Result<SecretString, NoToken> {
        // Whoever comes while another one asks waits for that answer.
        let mut kept = self.0.lock().await;
        match kept.known(Instant::now()) {
            Some(known) => known,
            None => {
                let made = make.await;
                kept.keep(made, Instant::now())
            }
        }
    }

    /// The token was refused: the next one is another, unless this one is quite new.
    pub(in crate::forge) async fn refused(&self) {
        self.0.lock().await.refused(Instant::now());
    }
}

impl Kept {
    fn good(&self, now: Instant) -> Option<&MadeToken> {
        self.token.as_ref().filter(|token| token.lasts(LATE, now))
    }

    /// What is answered without making another one; `None`: it is time to.
    fn known(&self, now: Instant) -> Option<Result<SecretString, NoToken>> {
        let good = self.good(now);
        let is_new = |token: &MadeToken| token.lasts(EARLY, now) || now.duration_since(token.made) < REST;
        if let Some(token) = good.filter(|token| is_new(token)) {
            return Some(Ok(token.secret.clone()));
        }
        let (_, failure) = self.failed.as_ref().filter(|(at, _)| now.duration_since(*at) < REST)?;
        Some(good.map(|token| token.secret.clone()).ok_or_else(|| failure.clone()))
    }

    fn keep(&mut self, made: Result<MadeToken, NoToken>, now: Instant) -> Result<SecretString, NoToken> {
        match made {
            Ok(token) => {
                let secret = token.secret.clone();
                *self = Self { token: Some(token), failed: None };
                Ok(secret)
            }
            Err(failure) => {
                self.failed = Some((now, failure.clone()));
                self.good(now).map(|token| token.secret.clone()).ok_or(failure)
            }
        }
    }

    fn refused(&mut self, now: Instant) {
        if self.token.as_ref().is_some_and(|token| now.duration_since(token.made) >= REST) {
            self.token = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    /// Somebody asks at a time, when a word with this life, or none, can be had.
    fn lend(kept: &mut Kept, now: Instant, (word, life): (&str, u64)) -> String {
        let made = match life {
            0 => Err(NoToken::Unavailable("down".to_owned())),
            _ => Ok(MadeToken { secret: word.into(), made: now, life: Duration::from_secs(life) }),
        };
        let lent = kept.known(now).unwrap_or_else(|| kept.keep(made, now));
        lent.map_or_else(|error| format!("{error:?}"), |secret| secret.expose_secret().to_owned())
    }

    #[test]
    fn a_token_is_renewed_before_its_end_and_outlives_a_failed_renewal() {
        let (mut kept, begin) = (Kept::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(lend(&mut kept, at(0), ("one", 3600)), "one");
        assert_eq!(lend(&mut kept, at(3200), ("two", 3600)), "one");
        assert_eq!(lend(&mut kept, at(3400), ("", 0)), "one", "it is good for three minutes");
        assert_eq!(lend(&mut kept, at(3401), ("two", 3600)), "one", "not so soon after a failure");
        assert!(lend(&mut kept, at(3550), ("", 0)).contains("down"), "it ends within the minute");
        assert_eq!(lend(&mut kept, at(3571), ("two", 3600)), "two");
    }

    #[test]
    fn one_that_is_made_with_little_left_is_not_asked_for_with_each_request() {
        let (mut kept, begin) = (Kept::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(lend(&mut kept, at(0), ("one", 200)), "one");
        assert_eq!(lend(&mut kept, at(1), ("two", 200)), "one");
        assert_eq!(lend(&mut kept, at(21), ("two", 200)), "two");
        // Quite new, and refused: another one would be refused as well.
        kept.refused(at(22));
        assert_eq!(lend(&mut kept, at(23), ("three", 200)), "two");
        kept.refused(at(42));
        assert_eq!(lend(&mut kept, at(42), ("three", 200)), "three");
    }
}
