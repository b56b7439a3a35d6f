//! Edge: what Kubernetes reports.
//!
//! Promise: a [`Snapshot`] holds what the API server said, and for each kind how certain that is: listed and followed,
//! not installed, not permitted (with the RBAC rule to add), or disconnected (since when, and why). Unknown never looks
//! like "there are none". A problem with one kind or cluster delays no other. Only `get`, `list` and `watch` requests
//! are ever sent, except for the bot's own [`Leases`].
//!
//! Design: [`Cluster`] starts one watch per kind (and per namespace, if only some are read). A `watch` fills its part
//! of the `snapshot`; `page` splits a list into objects as it arrives; `trimmed` trims every object as it is parsed;
//! [`object`] knows the fields; `client` creates the client; `discover` finds the served version; `fault` classifies
//! faults; [`state`](KindState) is what is reported about a kind.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::model::observation::{Event, Object};

mod client;
mod discover;
mod events;
mod fault;
mod kind;
mod leases;
pub mod object;
mod page;
mod plugin;
mod pull_secrets;
mod requests;
mod settings;
mod snapshot;
mod state;
mod trimmed;
mod watch;
mod words;

pub use client::contexts;
pub use events::{EventsError, events_rule};
pub use kind::WatchedKind;
pub use leases::{LeaseError, LeaseWrite, Leases, leases_rule};
pub use pull_secrets::{PullSecretError, PullSecrets};
pub use settings::{Access, Pace, Settings};
pub use snapshot::{Difference, Now, Snapshot};
pub use state::{KindState, KindStatus};

use client::ApiClient;
use snapshot::{ClusterStore, WatchScope};
use watch::{KindWatch, supervise};

/// A cluster that is being watched; the watches end when it is dropped.
pub struct Cluster {
    settings: Settings,
    store: Arc<ClusterStore>,
    client: Arc<ApiClient>,
    stop: CancellationToken,
}

impl Cluster {
    /// Starts watching, in the running tokio runtime. It cannot fail: a cluster that is unreachable, or whose
    /// kubeconfig cannot be read, is retried until it works, and is reported as such until then.
    #[must_use]
    pub fn start(settings: Settings, now: Now) -> Self {
        let namespaces: Vec<Option<String>> = match settings.namespaces.as_slice() {
            [] => vec![None],
            some => some.iter().cloned().map(Some).collect(),
        };
        let scopes = WatchedKind::ALL
            .into_iter()
            .flat_map(|kind| namespaces.iter().map(move |namespace| WatchScope { kind, namespace: namespace.clone() }));
        let scopes: Vec<WatchScope> = scopes.collect();
        let store = Arc::new(ClusterStore::new(&settings.name, scopes.clone(), now.clone()));
        let client = Arc::new(ApiClient::new(&settings, now));
        let stop = CancellationToken::new();
        for scope in scopes {
            let watch = KindWatch {
                scope: scope.clone(),
                store: Arc::clone(&store),
                client: Arc::clone(&client),
                pace: settings.pace.clone(),
            };
            let task = supervise(scope, Arc::clone(&store), settings.pace.clone(), move || watch.clone().run());
            tokio::spawn(stop.clone().run_until_cancelled_owned(task));
        }
        Self { settings, store, client, stop }
    }

    /// Its short name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// The environments that run there.
    #[must_use]
    pub fn environments(&self) -> &[String] {
        &self.settings.environments
    }

    /// What is known now; cheap.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    /// Waits until something differs from a snapshot of this generation, and returns the new generation. It is
    /// cancel-safe.
    pub async fn changed(&self, generation: u64) -> u64 {
        let mut changes = self.store.generation();
        // The sender lives as long as `self`.
        changes.wait_for(|now| *now > generation).await.map_or(generation, |now| *now)
    }

    /// Waits until every kind has a known state: listed, not installed, refused or disconnected.
    pub async fn listed(&self) {
        loop {
            let snapshot = self.snapshot();
            if !snapshot.kinds.values().any(|status| matches!(status.state, KindState::Starting)) {
                return;
            }
            self.changed(snapshot.generation).await;
        }
    }

    /// The cluster's Events about an object, newest last. For failing objects; each call is a request.
    ///
    /// # Errors
    /// If reading them is not permitted, or the server does not answer.
    pub async fn events(&self, object: &Object) -> Result<Vec<Event>, EventsError> {
        events::about(&self.client, object, &self.settings.pace).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("name", &self.settings.name).finish_non_exhaustive()
    }
}
