//! One watch: list, follow the changes, and start over whenever that is not certain to be complete.
//!
//! Promise: it never ends by itself and never calls an old state a new one. Whatever happens, either the server is heard
//! regularly, or the state of the kind says what is wrong; it goes on by itself when that is over.
//!
//! ```text
//! discover ─► list (pages) ─► watch ─► watch ─► …        the server ends a watch every few minutes: go on from there
//!     ▲           ▲             │ 410, silence, time to list again
//!     │           └─────────────┤
//!     └──── pause ◄── refused, unreachable, not installed
//! ```
//!
//! `kube::runtime::watcher` is not used: it hides bookmarks, which are the only sign of life of a quiet kind; a 410 as the
//! status of a watch request makes it ask with the same version for ever; and a silent connection is noticed only after
//! the time of a whole watch. Nor are [`kube::Api`]'s own requests, which read without bound: see `wire`.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use kube::api::{ApiResource, ListParams, WatchEvent, WatchParams};
use tokio::time::{Instant, timeout};

use super::discover::{no_api_server, served};
use super::door::Door;
use super::fault::Fault;
use super::kind::Origin;
use super::lean::{Lean, reading};
use super::settings::{Backoff, Pace};
use super::snapshot::{Objects, Place, Shelves, shown};
use super::state::KindState;
use super::wire::Reading;

/// A watch that the server ends sooner than this without a word counts as a failure, or it would be asked without end.
const TOO_SHORT: Duration = Duration::from_millis(500);

/// What one watch works with.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) place: Place,
    pub(super) shelves: Arc<Shelves>,
    pub(super) door: Arc<Door>,
    pub(super) pace: Pace,
}

/// A fault with what was being tried.
struct Stop {
    verb: &'static str,
    fault: Fault,
}

impl Stop {
    fn list(fault: Fault) -> Self {
        Self { verb: "list", fault }
    }

    fn watch(fault: Fault) -> Self {
        Self { verb: "watch", fault }
    }
}

/// Why a list is due.
enum Due {
    /// A 410: the changes since then are forgotten.
    Expired,
    /// Nothing came for too long.
    Silent,
    /// It is time.
    Regular,
}

/// Runs `watch` for ever, again and again where it panics: one kind that does must not stop another.
pub(super) async fn supervise<F>(place: Place, shelves: Arc<Shelves>, pace: Pace, watch: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    let mut backoff = Backoff::new();
    loop {
        // Nothing of the watch lives on but the shelves, whose every change is whole.
        if std::panic::AssertUnwindSafe(watch()).catch_unwind().await.is_ok() {
            return;
        }
        let kind = place.kind;
        tracing::error!("the watch of {kind} panicked; this is a fault of the bot; it is started again");
        shelves.disconnected(&place, "the watch panicked, which is a fault of the bot".to_owned());
        tokio::time::sleep(backoff.next(&pace)).await;
    }
}

impl Watch {
    /// Watches for ever.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            let stop = match self.round(&mut backoff).await {
                Ok(never) => match never {},
                Err(stop) => stop,
            };
            let pause = self.note(stop, &mut backoff).await;
            tokio::time::sleep(pause).await;
        }
    }

    /// Enters what went wrong, and says how long to wait.
    async fn note(&self, stop: Stop, backoff: &mut Backoff) -> Duration {
        let kind = self.place.kind;
        match stop.fault {
            Fault::Forbidden => {
                let (resource, rule) = (kind.resource(), kind.rule());
                let namespace = self.place.namespace.clone();
                self.shelves.set(&self.place, KindState::Forbidden { verb: stop.verb, resource, namespace, rule });
                self.pace.probe
            }
            Fault::Missing if kind.origin() == Origin::Defined => {
                // Discovery said that it is there, and listing that it is not: it has just come or gone.
                self.shelves.disconnected(&self.place, "the server has just changed what it serves".to_owned());
                backoff.next(&self.pace)
            }
            Fault::Missing => self.failed(no_api_server(), backoff),
            Fault::Unauthorized(ref message) => {
                self.shelves.disconnected(&self.place, message.clone());
                self.door.renew();
                backoff.next(&self.pace)
            }
            fault => self.failed(fault, backoff),
        }
    }

    fn failed(&self, fault: Fault, backoff: &mut Backoff) -> Duration {
        let (message, least) = match fault {
            Fault::Failed { message, pause } => (message, pause),
            _ => ("the server forgets versions faster than they can be read (410)".to_owned(), None),
        };
        self.shelves.disconnected(&self.place, message);
        backoff.next(&self.pace).max(least.unwrap_or_default())
    }

    /// Discovers, lists and follows until something is wrong.
    async fn round(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, Stop> {
        let client = within(self.pace.request, self.door.client()).await.map_err(Stop::list)?;
        let resource = self.discovered(&client).await?;
        let api = Reading::new(client, &resource, self.place.namespace.as_deref());
        reading(resource.clone(), async {
            loop {
                let version = self.list(&api, &resource).await.map_err(Stop::list)?;
                match self.follow(&api, version, backoff).await.map_err(Stop::watch)? {
                    // Once is normal; a server that forgets at once is given time.
                    Due::Expired if !backoff.is_fresh() => return Err(Stop::watch(Fault::Expired)),
                    Due::Expired => drop(backoff.next(&self.pace)),
                    Due::Silent => {
                        let (cluster, kind) = (self.shelves.cluster(), self.place.kind);
                        tracing::info!("cluster {cluster}: nothing was heard of {kind} for too long; listing it again");
                    }
                    Due::Regular => {}
                }
            }
        })
        .await
    }

    /// Waits until the kind is installed.
    async fn discovered(&self, client: &kube::Client) -> Result<ApiResource, Stop> {
        loop {
            match within(self.pace.request, served(client, self.place.kind)).await.map_err(Stop::list)? {
                Some(resource) => return Ok(resource),
                None => self.shelves.not_installed(&self.place),
            }
            tokio::time::sleep(self.pace.probe).await;
        }
    }

    /// Lists everything; it takes effect when it is complete. Gives the version to go on from.
    async fn list(&self, api: &Reading, resource: &ApiResource) -> Result<String, Fault> {
        let (mut objects, mut unreadable) = (Objects::new(), BTreeMap::new());
        let mut params = ListParams::default().limit(self.pace.page);
        let mut begun_again = false;
        loop {
            let page = within(self.pace.request, api.list(&params)).await;
            let page = match page {
                // The version of the first page was compacted away while the others were read.
                Err(Fault::Expired) if params.continue_token.is_some() && !begun_again => {
                    begun_again = true;
                    params.continue_token = None;
                    objects.clear();
                    unreadable.clear();
                    continue;
                }
                other => other?,
            };
            for lean in page.items {
                match lean.object {
                    Ok(object) => drop(objects.insert(lean.name, Arc::new(*object))),
                    Err(reason) => drop(unreadable.insert(shown(&lean.name), reason)),
                }
            }
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                let version = page.metadata.resource_version.filter(|version| !version.is_empty());
                let version = version
                    .ok_or_else(|| Fault::failed("the server's list says of no version, so it cannot be followed"))?;
                self.shelves.replace(&self.place, &resource.api_version, objects, unreadable);
                return Ok(version);
            }
            self.shelves.heard(&self.place);
        }
    }

    /// Follows the changes from a version on, one watch after another, until it is time to list again.
    async fn follow(&self, api: &Reading, mut version: String, backoff: &mut Backoff) -> Result<Due, Fault> {
        let relist = Instant::now() + self.pace.relist.mul_f64(1.0 + fastrand::f64() / 10.0);
        let seconds = u32::try_from(self.pace.watch.as_secs()).unwrap_or(u32::MAX).clamp(1, 290);
        let params = WatchParams::default().timeout(seconds);
        let mut first = true;
        loop {
            let opened = Instant::now();
            let stream = match within(self.pace.request, api.watch(&params, &version)).await {
                Err(Fault::Expired) => return Ok(Due::Expired),
                other => other?,
            };
            if std::mem::take(&mut first) {
                self.shelves.followed(&self.place);
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
                    // The end, as the server was asked for, or a broken connection: what came so far is whole.
                    Ok(None) => break,
                    Ok(Some(Err(fault))) => return Err(fault),
                    Ok(Some(Ok(WatchEvent::Error(status)))) => match Fault::of_status(&status) {
                        Fault::Expired => return Ok(Due::Expired),
                        fault => return Err(fault),
                    },
                    Ok(Some(Ok(event))) => {
                        heard = true;
                        backoff.reset();
                        self.take(event, &mut version);
                    }
                }
            }
            self.shelves.heard(&self.place);
            if heard || opened.elapsed() >= TOO_SHORT {
                backoff.reset();
            } else {
                tokio::time::sleep(backoff.next(&self.pace)).await;
            }
        }
    }

    fn take(&self, event: WatchEvent<Lean>, version: &mut String) {
        let gone = matches!(event, WatchEvent::Deleted(_));
        let lean = match event {
            WatchEvent::Added(lean) | WatchEvent::Modified(lean) | WatchEvent::Deleted(lean) => lean,
            WatchEvent::Bookmark(bookmark) => {
                advance(version, bookmark.metadata.resource_version);
                return self.shelves.heard(&self.place);
            }
            WatchEvent::Error(_) => return,
        };
        advance(version, lean.version);
        match lean.object {
            _ if gone => self.shelves.remove(&self.place, &lean.name),
            Ok(object) => self.shelves.put(&self.place, lean.name, *object),
            Err(reason) => self.shelves.spoil(&self.place, &lean.name, reason),
        }
    }
}

fn advance(version: &mut String, to: String) {
    if !to.is_empty() {
        *version = to;
    }
}

/// Gives a request so much time and no more.
pub(super) async fn within<T>(time: Duration, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match timeout(time, work).await {
        Ok(result) => result,
        Err(_) => Err(Fault::failed(format!("the server did not answer within {} ms", time.as_millis()))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cluster::{Kind, Now};

    #[tokio::test]
    async fn a_panic_is_told_and_started_again_and_stays_with_its_kind() {
        let place = |kind| Place { kind, namespace: None };
        let now = Now::new(|| "2026-01-05T08:00:00Z".parse().unwrap());
        let shelves = Arc::new(Shelves::new("eu-1", [place(Kind::Pod), place(Kind::Job)], now));
        let runs = AtomicUsize::new(0);
        let watch = || async {
            let panics = runs.fetch_add(1, Ordering::Relaxed) < 2;
            assert!(!panics, "on purpose");
        };
        let pace = Pace { backoff: Duration::from_millis(1), ..Pace::default() };
        supervise(place(Kind::Pod), Arc::clone(&shelves), pace, watch).await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        let snapshot = shelves.snapshot();
        let KindState::Disconnected { message, .. } = &snapshot.kinds[&Kind::Pod].state else { panic!("{snapshot:?}") };
        assert!(message.contains("panicked"), "{message}");
        assert_eq!(snapshot.kinds[&Kind::Job].state, KindState::Starting);
    }
}
