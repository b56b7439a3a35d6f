//! A Kubernetes API server in memory, on a loopback port.
//!
//! Promise: everything that kube-rs and kubectl need to read, watch and write objects works as on a real server,
//! including its quirks: discovery per group and version, paged lists, watches with bookmarks and initial events,
//! status subresources where the real kinds have them (and none on an Argo CD `Application`), generations, an initial
//! `observedGeneration` of -1 on Flux objects, `404 page not found` in plain text for a kind that is not installed. It
//! runs no controller and no pod, accepts any object with a name, and removes nothing on its own.
//!
//! Design: `world` holds objects and their history and does no networking; `serve` turns one request into one answer;
//! `watch` is the body of a watch; `quirk` has the faults that tests request; `line` can cut every connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::daemon::Clock;

mod catalogue;
mod line;
mod quirk;
mod select;
mod serve;
mod status;
mod watch;
mod world;

pub use catalogue::{Served, StatusRule};
pub use quirk::{Effect, Quirk, Verb};
pub use world::StubError;

use super::serve::listen;
use line::{LineGate, Lines};
use world::ClusterState;

/// Maximum size of a body; etcd's own limit is 1.5 MiB.
const MAX_BODY: usize = 3 * 1024 * 1024;
/// Number of requests kept in the log.
const LOG: usize = 50_000;

/// Options of the server.
#[derive(Debug, Clone)]
pub struct KubeOptions {
    /// The token that every request must have; `None`: no authentication.
    pub token: Option<String>,
    /// Time between two bookmarks of a watch that requests them; a real server sends one about every minute.
    pub bookmark_every: Duration,
    /// The installed kinds; [`Served::all`] by default.
    pub served: Vec<Served>,
    /// The clock of `creationTimestamp`.
    pub clock: Clock,
}

impl Default for KubeOptions {
    fn default() -> Self {
        let bookmark_every = Duration::from_secs(60);
        Self { token: None, bookmark_every, served: Served::all(), clock: Clock::system() }
    }
}

/// An answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The answer's status.
    pub status: u16,
    /// Whether it carried an `Authorization` header.
    pub authorization: bool,
}

/// A running API server; it stops when dropped.
#[derive(Debug)]
pub struct KubeStub {
    address: SocketAddr,
    shared: Arc<Shared>,
    lines: Lines,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    token: Option<String>,
    bookmark_every: Duration,
    world: Mutex<ClusterState>,
    log: Mutex<VecDeque<KubeRequest>>,
    /// Notifies watches that there may be something new.
    bell: tokio::sync::watch::Sender<u64>,
    /// How many requests have been answered.
    answered: tokio::sync::watch::Sender<u64>,
}

impl KubeStub {
    /// Starts a server on a free port of 127.0.0.1, in the running tokio runtime.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> std::io::Result<Self> {
        Self::with(KubeOptions::default()).await
    }

    /// Starts a server with these options.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn with(options: KubeOptions) -> std::io::Result<Self> {
        let (listener, address) = listen().await?;
        let shared = Arc::new(Shared {
            token: options.token,
            bookmark_every: options.bookmark_every,
            world: Mutex::new(ClusterState::new(options.served, options.clock)),
            log: Mutex::default(),
            bell: tokio::sync::watch::Sender::new(0),
            answered: tokio::sync::watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        let lines = Lines::new(stop.clone());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        super::serve::serve(LineGate::new(listener, lines.clone()), router, "API server", &stop);
        Ok(Self { address, shared, lines, stop })
    }

    /// Where it listens, e.g. `http://127.0.0.1:34567`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig for this server with one context, `stub`.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let user =
            self.shared.token.as_ref().map_or_else(|| "{}".to_owned(), |token| format!("{{ token: {token:?} }}"));
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: stub\n\
             clusters:\n- name: stub\n  cluster: {{ server: \"{}\" }}\n\
             users:\n- name: stub\n  user: {user}\n\
             contexts:\n- name: stub\n  context: {{ cluster: stub, user: stub }}\n",
            self.url()
        )
    }

    /// Does what `kubectl apply` of this object would do: creates it, or merges it into the existing one. Its status is
    /// dropped if the kind has a status subresource.
    ///
    /// # Errors
    /// When the object has no name or its kind is not served.
    pub fn apply(&self, object: Value) -> Result<Arc<Value>, StubError> {
        self.changing(|world| world.apply(object))
    }

    /// Stores an object as it is, including its status and `generation`: for fixtures.
    ///
    /// # Errors
    /// When the object has no name or its kind is not served.
    pub fn load(&self, object: Value) -> Result<Arc<Value>, StubError> {
        self.changing(|world| world.load(object))
    }

    /// Merges into the status of an object, as its controller would. `resource` is `deployments.apps`, `pods`, ….
    ///
    /// # Errors
    /// When there is no such object.
    pub fn patch_status(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        status: &Value,
    ) -> Result<Arc<Value>, StubError> {
        self.changing(|world| world.patch_status(resource, namespace, name, status))
    }

    /// Removes an object.
    ///
    /// # Errors
    /// When there is no such object.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) -> Result<(), StubError> {
        self.changing(|world| world.delete_named(resource, namespace, name))
    }

    /// All objects, ordered by resource, namespace and name.
    #[must_use]
    pub fn objects(&self) -> Vec<Arc<Value>> {
        self.shared.lock().objects()
    }

    /// One object.
    #[must_use]
    pub fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.shared.lock().object(resource, namespace, name)
    }

    /// The newest resource version: it grows with every change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.shared.lock().revision()
    }

    /// Waits until something has changed after this revision, and returns the newest one; small reconcilers loop on
    /// this.
    pub async fn changed(&self, since: u64) -> u64 {
        let mut bell = self.shared.bell.subscribe();
        loop {
            let now = self.revision();
            // The sender lives in `shared`, so this cannot fail while `self` is borrowed.
            if now > since || bell.changed().await.is_err() {
                return now;
            }
        }
    }

    /// Installs a kind, or another set of versions of it.
    pub fn install(&self, served: Served) {
        self.changing(|world| world.install(served));
    }

    /// Removes a kind with its objects, as deleting its definition would.
    pub fn uninstall(&self, resource: &str) {
        self.changing(|world| world.uninstall(resource));
    }

    /// Forgets the history: a watch that resumes from an earlier version gets the error that it is too old.
    pub fn compact(&self) {
        self.changing(ClusterState::compact);
    }

    /// Sends a bookmark now on every watch that requests them.
    pub fn bookmark(&self) {
        self.changing(ClusterState::bookmark);
    }

    /// Enables a fault from now on, also for open watches. Returns its number for [`Self::clear`].
    pub fn quirk(&self, quirk: Quirk) -> u64 {
        self.changing(|world| world.quirks.add(quirk))
    }

    /// Removes a quirk.
    pub fn clear(&self, quirk: u64) {
        self.changing(|world| world.quirks.remove(quirk));
    }

    /// Removes all quirks.
    pub fn clear_all(&self) {
        self.changing(|world| world.quirks.clear());
    }

    /// Cuts every connection and accepts no new ones until [`Self::up`].
    pub fn down(&self) {
        self.lines.down();
    }

    /// Accepts connections again.
    pub fn up(&self) {
        self.lines.up();
    }

    /// The last requests (up to 50,000), oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<KubeRequest> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Waits until more than `than` requests have been answered, and returns their number.
    pub async fn answered(&self, than: u64) -> u64 {
        let mut answered = self.shared.answered.subscribe();
        // The sender lives in `shared`, so this cannot fail while `self` is borrowed.
        answered.wait_for(|now| *now > than).await.map_or(than, |now| *now)
    }

    fn changing<T>(&self, change: impl FnOnce(&mut ClusterState) -> T) -> T {
        let result = change(&mut self.shared.lock());
        self.shared.ring();
        result
    }
}

impl Drop for KubeStub {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ClusterState> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        self.bell.send_modify(|rung| *rung += 1);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or_else(|| head.uri.path().to_owned(), ToString::to_string);
    let authorization = head.headers.contains_key(header::AUTHORIZATION);
    let response = match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(body) => serve::respond(&shared, &head, body).await,
        Err(_) => status::failure(413, "RequestEntityTooLarge", "the request is too large"),
    };
    let mut log = shared.log.lock().unwrap_or_else(PoisonError::into_inner);
    if log.len() == LOG {
        log.pop_front();
    }
    let (method, status) = (head.method.to_string(), response.status().as_u16());
    log.push_back(KubeRequest { method, target, status, authorization });
    drop(log);
    shared.answered.send_modify(|answered| *answered += 1);
    response
}
