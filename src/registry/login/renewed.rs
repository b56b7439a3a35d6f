//! Credentials that end: fetched once for all who wait, renewed before their end.

use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::registry::exchange::Session;
use crate::registry::host::Failure;

use super::Proof;

/// A fetched credential that is refused is fetched anew, unless it is younger than this: then it is not its age that is wrong.
const YOUNG: Duration = Duration::from_secs(30);
/// A refusal is not asked for again before this time has passed; what may go away by itself is.
const REFUSED: Duration = Duration::from_secs(30);
/// After a renewal that failed, the one that is still good is used for this long before the next try.
const REST: Duration = Duration::from_secs(60);
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
    fn proof(self) -> Result<Proof, Failure> {
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
    /// How many were fetched.
    generation: u64,
}

#[derive(Debug)]
struct Value {
    shown: Option<Shown>,
    /// Which of all that were fetched it is, from 1.
    generation: u64,
    made: Instant,
    /// From then on it is renewed; until `end` it is still good.
    renew: Instant,
    end: Instant,
}

impl Renewed {
    /// What to present: the kept credential, the one that another is fetching, or what `fetch` brings. Empty: there is none for this host.
    ///
    /// # Errors
    /// When there is none that is good, and fetching one fails.
    pub(super) async fn proofs(
        &self,
        session: &Session<'_>,
        fetch: impl Future<Output = Result<Fetched, Failure>>,
    ) -> Result<Vec<Proof>, Failure> {
        let (shown, generation) = self.get(fetch).await?;
        session.presented().generation = generation;
        shown.into_iter().map(Shown::proof).collect()
    }

    async fn get(&self, fetch: impl Future<Output = Result<Fetched, Failure>>) -> Result<Got, Failure> {
        let since = Instant::now();
        let mut kept = self.0.lock().await;
        if let Some(got) = kept.usable(Instant::now()) {
            return Ok(got);
        }
        let fetched = match kept.shared_failure(since, Instant::now()) {
            Some(failure) => return Err(failure),
            None => fetch.await,
        };
        kept.keep(fetched, Instant::now())
    }

    /// What this session presented was refused. Whether there is another, or one will be fetched the next time.
    pub(super) async fn forget(&self, session: &Session<'_>) -> bool {
        let generation = session.presented().generation;
        self.0.lock().await.forget(generation, Instant::now())
    }
}

/// What is kept, and which of all that were fetched it is.
type Got = (Option<Shown>, u64);

impl Kept {
    /// What need not be renewed yet.
    fn usable(&self, now: Instant) -> Option<Got> {
        let rests = self.failed.as_ref().is_some_and(|(at, _)| now.duration_since(*at) < REST);
        let usable = self.value.as_ref().filter(|value| value.renew > now || (rests && value.end > now));
        usable.map(Value::got)
    }

    /// The failure of another attempt made after `since`, or of one that was refused shortly before.
    fn shared_failure(&self, since: Instant, now: Instant) -> Option<Failure> {
        let (at, failure) = self.failed.as_ref()?;
        let refused = !failure.cause.is_transient() && now.duration_since(*at) < REFUSED;
        (*at >= since || refused).then(|| failure.clone())
    }

    /// Takes in what was fetched. What is still good outlives a renewal that failed.
    fn keep(&mut self, fetched: Result<Fetched, Failure>, now: Instant) -> Result<Got, Failure> {
        match fetched {
            Ok(Fetched { shown, life }) => {
                let renew = now + life - (life / 10).min(MARGIN);
                let generation = self.generation + 1;
                let value = Value { shown, generation, made: now, renew, end: now + life };
                let got = value.got();
                *self = Self { value: Some(value), failed: None, generation };
                Ok(got)
            }
            Err(failure) => {
                self.failed = Some((now, failure.clone()));
                let Some(value) = self.value.as_ref().filter(|value| value.end > now) else { return Err(failure) };
                tracing::warn!(?failure.cause, "the credential of a registry could not be renewed; the old one is still good");
                Ok(value.got())
            }
        }
    }

    /// Drops the value of this generation (0: none was presented), unless it is young. Whether there is another, or will be.
    fn forget(&mut self, presented: u64, now: Instant) -> bool {
        let same = self.value.as_ref().filter(|value| value.generation == presented);
        if same.is_some_and(|value| now.duration_since(value.made) < YOUNG) {
            return false;
        }
        if same.is_some() {
            self.value = None;
        }
        presented != 0
    }
}

impl Value {
    fn got(&self) -> Got {
        (self.shown.clone(), self.generation)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::registry::error::Cause;

    fn pair(password: u32, life: u64) -> Result<Fetched, Failure> {
        let password = SecretString::from(password.to_string());
        let shown = Some(Shown::Pair { username: "AWS".to_owned(), password });
        Ok(Fetched { shown, life: Duration::from_secs(life) })
    }

    fn password(got: Result<Got, Failure>) -> String {
        match got {
            Ok((Some(Shown::Pair { password, .. }), _)) => password.expose_secret().to_owned(),
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
        assert!(!kept.forget(1, start + Duration::from_secs(5)));
        assert!(kept.usable(start).is_some());
        assert!(kept.forget(1, start + Duration::from_secs(60)));
        assert!(kept.usable(start).is_none());
    }

    #[test]
    fn all_whose_credential_was_refused_at_once_get_the_next_one() {
        let (start, later) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        let mut kept = Kept::default();
        drop(kept.keep(pair(1, 1_000), start));
        assert!(kept.forget(1, later));
        assert!(kept.forget(1, later), "it will be fetched");
        drop(kept.keep(pair(2, 1_000), later));
        assert!(kept.forget(1, later), "there is another");
        assert_eq!(kept.usable(later).map(|(_, generation)| generation), Some(2));
        assert!(!kept.forget(0, later), "nothing of it was presented");
    }

    #[tokio::test]
    async fn what_was_refused_is_not_asked_for_with_each_request() {
        let (renewed, count) = (Renewed::default(), AtomicU32::new(0));
        let fetch = |cause: Cause| {
            let count = &count;
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                Err(Failure::from(cause))
            }
        };
        for _ in 0..3 {
            let refused = renewed.get(fetch(Cause::Authentication("no".to_owned()))).await;
            assert!(password(refused).contains("no"));
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let mut kept = Kept::default();
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        let start = at(0);
        drop(kept.keep(Err(Failure::from(Cause::Server("down".to_owned()))), start));
        assert!(kept.shared_failure(at(1), at(1)).is_none(), "it may be up again");
        // A renewal that failed is not tried again with each request either.
        drop(kept.keep(pair(1, 1_000), start));
        drop(kept.keep(Err(Failure::protocol("down")), at(950)));
        assert!(kept.usable(at(951)).is_some() && kept.usable(at(1_001)).is_none());
        drop(kept.keep(pair(2, 1_000), start));
        drop(kept.keep(Err(Failure::protocol("down")), at(910)));
        assert!(kept.usable(at(911)).is_some() && kept.usable(at(980)).is_none());
    }
}
