//! One watch: lists, follows the changes, and starts again whenever its data may be incomplete.
//!
//! Promise: it never ends on its own and never presents old state as new. Whatever happens, either the server is heard
//! from regularly, or the state of the kind says what is wrong; it recovers on its own when the problem is over.
//!
//! ```text
//! discover ─► list (pages) ─► watch ─► watch ─► …        the server ends a watch every few minutes: go on from there
//!     ▲           ▲             │ 410, silence, time to list again
//!     │           └─────────────┤
//!     └──── pause ◄── refused, unreachable, not installed
//! ```
//!
//! `kube::runtime::watcher` is not used: it hides bookmarks, which are the only sign of life of a quiet kind; a 410 as
//! the status of a watch request makes it request the same version forever; and it notices a silent connection only
//! after a whole watch period. [`kube::Api`]'s own requests are not used either, because they read without limits: see
//! `requests`.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use kube::api::{ApiResource, ListParams, WatchParams};
use tokio::time::{Instant, timeout};

use super::client::ApiClient;
use super::discover::{no_api_server, served};
use super::fault::ApiFault;
use super::kind::KindOrigin;
use super::requests::{Change, KindRequests, Listed};
use super::settings::{Backoff, Pace};
use super::snapshot::{ClusterStore, Objects, WatchScope, shown};
use super::state::KindState;

/// A watch that the server ends sooner than this, without a message, counts as a failure; otherwise it would be
/// requested in a tight loop.
const TOO_SHORT: Duration = Duration::from_millis(500);

/// The inputs of one watch.
#[derive(Clone)]
pub(super) struct KindWatch {
    pub(super) scope: WatchScope,
    pub(super) store: Arc<ClusterStore>,
    pub(super) client: Arc<ApiClient>,
    pub(super) pace: Pace,
}

/// A fault, with what was being tried.
struct Stop {
    verb: &'static str,
    fault: ApiFault,
}

impl Stop {
    fn list(fault: ApiFault) -> Self {
        Self { verb: "list", fault }
    }

    fn watch(fault: ApiFault) -> Self {
        Self { verb: "watch", fault }
    }
}

/// Why a list is due.
enum Due {
    /// A 410: the changes since then are no longer available.
    Expired,
    /// Nothing arrived for too long.
    Silent,
    /// The regular interval has passed.
    Regular,
}

/// Runs `watch` forever, and restarts it if it panics: one panicking kind must not stop another.
pub(super) async fn supervise<F>(scope: WatchScope, store: Arc<ClusterStore>, pace: Pace, watch: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    let mut backoff = Backoff::new();
    loop {
        // Nothing survives the watch except the store, whose changes are all complete.
        if std::panic::AssertUnwindSafe(watch()).catch_unwind().await.is_ok() {
            return;
        }
        let kind = scope.kind;
        tracing::error!("the watch of {kind} panicked because of a bug in the bot; it is restarted");
        store.disconnected(&scope, "the watch panicked because of a bug in the bot".to_owned());
        tokio::time::sleep(backoff.next(&pace)).await;
    }
}

impl KindWatch {
    /// Watches forever.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            let stop = match self.round(&mut backoff).await {
                Ok(never) => match never {},
                Err(stop) => stop,
            };
            // When the runtime ends, its tasks fail before they are dropped, which is nothing to record: this one is dropped here.
            tokio::task::yield_now().await;
            let pause = self.note(stop, &mut backoff).await;
            tokio::time::sleep(pause).await;
        }
    }

    /// Records what went wrong, and returns how long to wait.
    async fn note(&self, stop: Stop, backoff: &mut Backoff) -> Duration {
        let kind = self.scope.kind;
        match stop.fault {
            ApiFault::Forbidden => {
                let (resource, rule) = (kind.resource(), kind.rule());
                let namespace = self.scope.namespace.clone();
                self.store.set(&self.scope, KindState::Forbidden { verb: stop.verb, resource, namespace, rule });
                self.pace.probe
            }
            ApiFault::Missing if kind.origin() == KindOrigin::Defined => {
                // Discovery says that the kind exists, and listing says that it does not: it has just been added or
                // removed.
                self.store.disconnected(&self.scope, "the server has just changed what it serves".to_owned());
                backoff.next(&self.pace)
            }
            ApiFault::Missing => self.failed(no_api_server(), backoff),
            ApiFault::Unauthorized(ref message) => {
                self.store.disconnected(&self.scope, message.clone());
                self.client.renew();
                backoff.next(&self.pace)
            }
            fault => self.failed(fault, backoff),
        }
    }

    fn failed(&self, fault: ApiFault, backoff: &mut Backoff) -> Duration {
        let (message, least) = match fault {
            ApiFault::Failed { message, pause } => (message, pause),
            _ => ("the server forgets versions faster than they can be read (410)".to_owned(), None),
        };
        self.store.disconnected(&self.scope, message);
        backoff.next(&self.pace).max(least.unwrap_or_default())
    }

    /// Discovers, lists and follows until something goes wrong.
    async fn round(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, Stop> {
        let client = within(self.pace.request, self.client.client()).await.map_err(Stop::list)?;
        let resource = self.discovered(&client).await?;
        let api = KindRequests::new(client, &resource, self.scope.namespace.as_deref());
        loop {
            let version = self.list(&api, &resource).await.map_err(Stop::list)?;
            match self.follow(&api, version, backoff).await.map_err(Stop::watch)? {
                // Once is normal; a server that forgets immediately is given time.
                Due::Expired if !backoff.is_fresh() => return Err(Stop::watch(ApiFault::Expired)),
                Due::Expired => drop(backoff.next(&self.pace)),
                Due::Silent => {
                    let (cluster, kind) = (self.store.cluster(), self.scope.kind);
                    tracing::info!(
                        "cluster {cluster}: nothing was received about {kind} for too long; listing it again"
                    );
                }
                Due::Regular => {}
            }
        }
    }

    /// Waits until the kind is installed.
    async fn discovered(&self, client: &kube::Client) -> Result<ApiResource, Stop> {
        loop {
            match within(self.pace.request, served(client, self.scope.kind)).await.map_err(Stop::list)? {
                Some(resource) => return Ok(resource),
                None => self.store.not_installed(&self.scope),
            }
            tokio::time::sleep(self.pace.probe).await;
        }
    }

    /// Lists everything; the result takes effect when it is complete. Returns the version to continue from.
    async fn list(&self, api: &KindRequests, resource: &ApiResource) -> Result<String, ApiFault> {
        let (mut objects, mut unreadable) = (Objects::new(), BTreeMap::new());
        let (mut limit, mut next, mut begun_again) = (self.pace.page, None, false);
        loop {
            let params = ListParams { continue_token: next.clone(), ..ListParams::default().limit(limit) };
            let page = match api.list(&params, &self.pace).await {
                Ok(Listed::Page(page)) => page,
                Ok(Listed::TooLarge) => {
                    limit = (limit / 2).max(1);
                    continue;
                }
                // The version of the first page was compacted while the others were read.
                Err(ApiFault::Expired) if next.is_some() && !begun_again => {
                    (next, begun_again) = (None, true);
                    objects.clear();
                    unreadable.clear();
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            for item in page.items {
                match item.object {
                    Ok(object) => drop(objects.insert(item.name, Arc::new(*object))),
                    Err(reason) => drop(unreadable.insert(shown(&item.name), reason)),
                }
            }
            limit = if page.has_room { limit.saturating_mul(2).min(self.pace.page) } else { limit };
            next = page.next;
            if next.is_none() {
                let version = page
                    .version
                    .ok_or_else(|| ApiFault::failed("the server's list has no version, so it cannot be followed"))?;
                self.store.replace(&self.scope, &resource.api_version, objects, unreadable);
                return Ok(version);
            }
            self.store.heard(&self.scope);
        }
    }

    /// Follows the changes since a version, one watch after another, until it is time to list again.
    async fn follow(&self, api: &KindRequests, mut version: String, backoff: &mut Backoff) -> Result<Due, ApiFault> {
        let relist = Instant::now() + self.pace.relist.mul_f64(1.0 + fastrand::f64() / 10.0);
        let seconds = u32::try_from(self.pace.watch.as_secs()).unwrap_or(u32::MAX).clamp(1, 290);
        let params = WatchParams::default().timeout(seconds);
        let mut first = true;
        loop {
            let opened = Instant::now();
            let stream = match within(self.pace.request, api.watch(&params, &version)).await {
                Err(ApiFault::Expired) => return Ok(Due::Expired),
                other => other?,
            };
            if std::mem::take(&mut first) {
                self.store.followed(&self.scope);
            }
            let mut stream = std::pin::pin!(stream);
            let mut heard = false;
            loop {
                let next = tokio::select! {
                    next = timeout(self.pace.idle, stream.next()) => next,
                    () = tokio::time::sleep_until(relist) => return Ok(Due::Regular),
                };
                match next {
                    Err(_) => return Ok(Due::Silent),
                    // The regular end, or a broken connection: what arrived so far is complete.
                    Ok(None) => break,
                    Ok(Some(Err(ApiFault::Expired))) => return Ok(Due::Expired),
                    Ok(Some(Err(fault))) => return Err(fault),
                    Ok(Some(Ok(change))) => {
                        heard = true;
                        backoff.reset();
                        self.take(change, &mut version);
                    }
                }
            }
            self.store.heard(&self.scope);
            if heard || opened.elapsed() >= TOO_SHORT {
                backoff.reset();
            } else {
                tokio::time::sleep(backoff.next(&self.pace)).await;
            }
        }
    }

    fn take(&self, change: Change, version: &mut String) {
        match change {
            Change::Bookmark(to) => {
                advance(version, to);
                self.store.heard(&self.scope);
            }
            Change::Gone(item) => {
                advance(version, item.version);
                self.store.remove(&self.scope, &item.name);
            }
            Change::Is(item) => {
                advance(version, item.version);
                match item.object {
                    Ok(object) => self.store.put(&self.scope, item.name, *object),
                    Err(reason) => self.store.spoil(&self.scope, &item.name, reason),
                }
            }
        }
    }
}

fn advance(version: &mut String, to: String) {
    if !to.is_empty() {
        *version = to;
    }
}

/// Limits the time of a request.
pub(super) async fn within<T>(time: Duration, work: impl Future<Output = Result<T, ApiFault>>) -> Result<T, ApiFault> {
    match timeout(time, work).await {
        Ok(result) => result,
        Err(_) => Err(ApiFault::failed(format!("the server did not answer within {} ms", time.as_millis()))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cluster::{Now, WatchedKind};

    #[tokio::test]
    async fn a_panic_is_told_and_started_again_and_stays_with_its_kind() {
        let scope = |kind| WatchScope { kind, namespace: None };
        let now = Now::new(|| "2026-01-05T08:00:00Z".parse().unwrap());
        let store = Arc::new(ClusterStore::new("eu-1", [scope(WatchedKind::Pod), scope(WatchedKind::Job)], now));
        let runs = AtomicUsize::new(0);
        let watch = || async {
            let panics = runs.fetch_add(1, Ordering::Relaxed) < 2;
            assert!(!panics, "on purpose");
        };
        let pace = Pace { backoff: Duration::from_millis(1), ..Pace::default() };
        supervise(scope(WatchedKind::Pod), Arc::clone(&store), pace, watch).await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        let snapshot = store.snapshot();
        let KindState::Disconnected { message, .. } = &snapshot.kinds[&WatchedKind::Pod].state else {
            panic!("{snapshot:?}")
        };
        assert!(message.contains("panicked"), "{message}");
        assert_eq!(snapshot.kinds[&WatchedKind::Job].state, KindState::Starting);
    }
}
