//! Credentials that end: fetched once for all who wait, renewed before their end.

use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::registry::host::Failure;

use super::Proof;

/// A fetched credential that is refused is fetched anew, unless it is younger than this: then it is not its age that is wrong.
const YOUNG: Duration = Duration::from_secs(30);
/// A credential is renewed at most this long before its end.
const MARGIN: Duration = Duration::from_secs(600);

/// What was fetched.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    pub(super) shown: Option<Shown>,
    /// How long it is good for.
    pub(super) life: Duration,
}

/// What is shown to a registry, before it is made a header.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    Pair { username: String, password: SecretString },
    Refresh(SecretString),
}

impl Shown {
    pub(super) fn proof(self) -> Result<Proof, Failure> {
        match self {
            Self::Pair { username, password } => Proof::pair(&username, &password),
            Self::Refresh(token) => Ok(Proof::Refresh(token)),
        }
    }
}

/// A credential that is fetched when it is first wanted, and kept until shortly before its end.
#[derive(Debug, Default)]
pub(super) struct Renewed(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    value: Option<Value>,
    failed: Option<(Instant, Failure)>,
}

#[derive(Debug)]
struct Value {
    shown: Option<Shown>,
    made: Instant,
    /// From then on it is renewed; until `end` it is still good.
    renew: Instant,
    end: Instant,
}

impl Renewed {
    /// The credential: the kept one, the one that another is fetching, or what `fetch` brings. `None`: there is none for this host.
    ///
    /// # Errors
    /// When there is none that is good, and fetching one fails.
    pub(super) async fn get(
        &self,
        fetch: impl Future<Output = Result<Fetched, Failure>>,
    ) -> Result<Option<Shown>, Failure> {
        let since = Instant::now();
        let mut kept = self.0.lock().await;
        if let Some(shown) = kept.usable(Instant::now()) {
            return Ok(shown);
        }
        let shared = kept.failed.as_ref().filter(|(at, _)| *at >= since).map(|(_, failure)| failure.clone());
        let fetched = match shared {
            Some(failure) => Err(failure),
            None => fetch.await,
        };
        kept.keep(fetched, Instant::now())
    }

    /// It was refused. Whether another is fetched the next time.
    pub(super) async fn forget(&self) -> bool {
        self.0.lock().await.forget(Instant::now())
    }
}

impl Kept {
    /// What need not be renewed yet.
    fn usable(&self, now: Instant) -> Option<Option<Shown>> {
        self.value.as_ref().filter(|value| value.renew > now).map(|value| value.shown.clone())
    }

    /// Takes in what was fetched. What is still good outlives a renewal that failed.
    fn keep(&mut self, fetched: Result<Fetched, Failure>, now: Instant) -> Result<Option<Shown>, Failure> {
        match fetched {
            Ok(Fetched { shown, life }) => {
                let renew = now + life - (life / 10).min(MARGIN);
                *self = Self {
                    value: Some(Value { shown: shown.clone(), made: now, renew, end: now + life }),
                    failed: None,
                };
                Ok(shown)
            }
            Err(failure) => {
                self.failed = Some((now, failure.clone()));
                let Some(value) = self.value.as_ref().filter(|value| value.end > now) else { return Err(failure) };
                tracing::warn!(?failure.cause, "the credential of a registry could not be renewed; the old one is still good");
                Ok(value.shown.clone())
            }
        }
    }

    fn forget(&mut self, now: Instant) -> bool {
        let old = self.value.as_ref().is_some_and(|value| now.duration_since(value.made) >= YOUNG);
        if old {
            self.value = None;
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use secrecy::ExposeSecret as _;

    use super::*;

    fn pair(password: u32, life: u64) -> Result<Fetched, Failure> {
        let password = SecretString::from(password.to_string());
        let shown = Some(Shown::Pair { username: "AWS".to_owned(), password });
        Ok(Fetched { shown, life: Duration::from_secs(life) })
    }

    fn password(shown: Result<Option<Shown>, Failure>) -> String {
        match shown {
            Ok(Some(Shown::Pair { password, .. })) => password.expose_secret().to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn all_who_wait_share_one_fetch() {
        let (renewed, count) = (Arc::new(Renewed::default()), Arc::new(AtomicU32::new(0)));
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (renewed, count) = (Arc::clone(&renewed), Arc::clone(&count));
            let fetch = async move {
                tokio::task::yield_now().await;
                pair(count.fetch_add(1, Ordering::SeqCst), 1_000)
            };
            callers.spawn(async move { password(renewed.get(fetch).await) });
        }
        assert!(callers.join_all().await.iter().all(|password| password == "0"));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn it_is_renewed_before_its_end_and_outlives_a_failed_renewal_no_longer_than_it_is_good() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut kept = Kept::default();
        assert!(kept.usable(start).is_none());
        assert_eq!(password(kept.keep(pair(7, 1_000), start)), "7");
        assert!(kept.usable(at(899)).is_some() && kept.usable(at(901)).is_none());
        let fails = || Err(Failure::protocol("down"));
        assert_eq!(password(kept.keep(fails(), at(950))), "7");
        assert!(password(kept.keep(fails(), at(1_001))).contains("down"));
        assert_eq!(password(kept.keep(pair(8, 1_000), at(1_002))), "8");
        // Of twelve hours the last ten minutes are the margin.
        drop(kept.keep(pair(9, 12 * 3_600), start));
        assert!(kept.usable(at(12 * 3_600 - 601)).is_some() && kept.usable(at(12 * 3_600 - 599)).is_none());
    }

    #[test]
    fn a_refused_one_is_fetched_anew_unless_it_is_young() {
        let start = Instant::now();
        let mut kept = Kept::default();
        drop(kept.keep(pair(1, 1_000), start));
        assert!(!kept.forget(start + Duration::from_secs(5)));
        assert!(kept.usable(start).is_some());
        assert!(kept.forget(start + Duration::from_secs(60)));
        assert!(kept.usable(start).is_none());
    }
}
