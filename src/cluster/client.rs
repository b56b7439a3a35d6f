//! The one place that creates a client for an API server.
//!
//! Promise: connecting takes bounded time. Nothing is retried behind the caller's back, so that a refusing server is
//! seen to refuse. No error quotes a kubeconfig, a token or the output of a credential helper.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::fault::{ApiFault, of_kubeconfig};
use super::plugin;
use super::settings::{Access, Settings};
use super::snapshot::Now;

/// Maximum time to send a request.
const WRITE: Duration = Duration::from_secs(30);
/// A new client is made at most once in this many initial backoff pauses, however many watches are refused.
const RENEWAL: u32 = 5;

/// How long before they expire credentials are provided anew.
const EARLY: Duration = Duration::from_secs(60);

type Making = Shared<BoxFuture<'static, Result<Made, ApiFault>>>;

/// A client, and until when its credentials are good, if that is known.
#[derive(Clone)]
struct Made {
    client: kube::Client,
    until: Option<Instant>,
}

/// Creates the client of one cluster when it is first needed, and again when its credentials are refused.
pub(super) struct ApiClient {
    access: Access,
    context: Option<String>,
    connect: Duration,
    renewal: Duration,
    now: Now,
    client: Mutex<Option<(Instant, Making)>>,
}

impl ApiClient {
    pub(super) fn new(settings: &Settings, now: Now) -> Self {
        let (access, context) = (settings.access.clone(), settings.context.clone());
        let renewal = settings.pace.backoff.saturating_mul(RENEWAL);
        Self { access, context, connect: settings.pace.connect, renewal, now, client: Mutex::new(None) }
    }

    /// The client. All watches of a cluster share it with its connections, and wait for the same one. One whose credentials
    /// have expired is made anew, once.
    pub(super) async fn client(&self) -> Result<kube::Client, ApiFault> {
        let (made, over) = self.made().await;
        let made = if over && made.is_ok() { self.made().await.0 } else { made };
        made.map(|made| made.client)
    }

    /// What was made last, and whether it is of no further use.
    async fn made(&self) -> (Result<Made, ApiFault>, bool) {
        let (begun, making) = self.lock().get_or_insert_with(|| (Instant::now(), self.making())).clone();
        let made = making.await;
        let until = made.as_ref().map(|made| made.until);
        let over = until.is_err() || until.is_ok_and(|until| until.is_some_and(|until| until <= Instant::now()));
        if over {
            let mut client = self.lock();
            if client.as_ref().is_some_and(|(other, _)| *other == begun) {
                *client = None;
            }
        }
        (made, over)
    }

    /// The credentials were refused: the next client is made from the kubeconfig's content at that time.
    pub(super) fn renew(&self) {
        let mut client = self.lock();
        if client.as_ref().is_some_and(|(begun, _)| begun.elapsed() >= self.renewal) {
            *client = None;
        }
    }

    /// In a task of its own, so that nobody who waits for it ends it by giving up, and so that it ends with the runtime.
    fn making(&self) -> Making {
        let (access, context, connect) = (self.access.clone(), self.context.clone(), self.connect);
        let (now, least) = (self.now.clone(), self.renewal);
        let made = tokio::spawn(async move {
            let (client, expires) = make(&access, context, connect).await?;
            let until = expires.map(|expires| Instant::now() + good_for(expires, now.get()).max(least));
            Ok(Made { client, until })
        });
        let outcome =
            async { made.await.unwrap_or_else(|_| Err(ApiFault::failed("creating a client for the server panicked"))) };
        outcome.boxed().shared()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Making)>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long credentials are used that expire at a time.
fn good_for(expires: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(expires.duration_since(now)).unwrap_or_default().saturating_sub(EARLY)
}

async fn make(
    access: &Access,
    context: Option<String>,
    connect: Duration,
) -> Result<(kube::Client, Option<Timestamp>), ApiFault> {
    let (mut config, expires) = config(access, context).await?;
    config.connect_timeout = Some(connect);
    // A watch may be quiet for minutes; each request has its own deadline.
    config.read_timeout = None;
    config.write_timeout = Some(WRITE);
    // Up to fifteen hidden retries, each up to 1,000 s apart, would look like a server that is merely slow.
    config.default_retry = false;
    Ok((kube::Client::try_from(config).map_err(ApiFault::from)?, expires))
}

/// Reads files on a thread of its own: one on a share that hangs, or a pipe that nobody writes to, holds up no other cluster.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiFault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ApiFault::failed("reading the kubeconfig panicked"))
}

/// The names of a kubeconfig's contexts; none if it cannot be read.
#[must_use]
pub fn contexts(path: &std::path::Path) -> Vec<String> {
    let kubeconfig = Kubeconfig::read_from(path);
    kubeconfig.map(|found| found.contexts.into_iter().map(|context| context.name).collect()).unwrap_or_default()
}

async fn config(access: &Access, context: Option<String>) -> Result<(kube::Config, Option<Timestamp>), ApiFault> {
    let kubeconfig = match access {
        Access::InCluster => {
            let config = kube::Config::incluster().map_err(|_| {
                ApiFault::failed(
                    "this process has no service account of a cluster: run it in a pod, or set a `kubeconfig`",
                )
            });
            return Ok((config?, None));
        }
        Access::File(path) => {
            let path = path.clone();
            blocking(move || Kubeconfig::read_from(path)).await?
        }
        Access::Text(text) => Kubeconfig::from_yaml(text.expose_secret()),
    };
    let mut kubeconfig = kubeconfig.map_err(|error| of_kubeconfig(&error))?;
    let expires = plugin::provide(&mut kubeconfig, context.as_deref(), None).await?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let runtime = tokio::runtime::Handle::current();
    let config = blocking(move || runtime.block_on(kube::Config::from_custom_kubeconfig(kubeconfig, &options))).await?;
    Ok((config.map_err(|error| of_kubeconfig(&error))?, expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_kubeconfig_that_nobody_writes_holds_up_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("kubeconfig");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        let access = Access::File(pipe.clone());
        let waits = make(&access, None, Duration::from_secs(1));
        // On the only thread of this runtime; a reader that blocked it would never let the timer run.
        assert!(tokio::time::timeout(Duration::from_millis(50), waits).await.is_err());
        std::fs::write(&pipe, "").unwrap();
    }

    #[test]
    fn credentials_are_provided_anew_before_they_expire() {
        let now: Timestamp = "2026-05-04T10:00:00Z".parse().unwrap();
        for (expires, seconds) in
            [("2026-05-04T10:15:00Z", 840), ("2026-05-04T10:00:30Z", 0), ("2026-05-04T09:00:00Z", 0)]
        {
            assert_eq!(good_for(expires.parse().unwrap(), now), Duration::from_secs(seconds), "{expires}");
        }
    }
}
