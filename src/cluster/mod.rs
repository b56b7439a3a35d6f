//! Edge: what Kubernetes says.
//!
//! Promise: a [`Snapshot`] tells what the API server said, and of each kind how certain that is: listed and followed, not
//! installed, not permitted (with the RBAC rule to add), or not heard of (since when, and why). Unknown never looks like
//! "there is none". One kind or cluster in trouble delays no other. Nothing but `get`, `list` and `watch` is ever sent.
//!
//! Design: [`Cluster`] starts one watch per kind (and namespace, where only some are read); a `watch` fills its shelf of
//! `snapshot`, `lean` trims every object as it is parsed, [`object`] knows the fields; `door` makes the client, `discover`
//! finds the served version, `fault` sorts what goes wrong, [`state`](KindState) is what is said about it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::model::observation::{Event, Object};

mod discover;
mod door;
mod events;
mod fault;
mod kind;
mod lean;
pub mod object;
mod settings;
mod snapshot;
mod state;
mod watch;
mod wire;

pub use events::{EventsError, events_rule};
pub use kind::Kind;
pub use settings::{Access, Pace, Settings};
pub use snapshot::{Difference, Now, Snapshot};
pub use state::{KindState, KindStatus};

use door::Door;
use snapshot::{Place, Shelves};
use watch::{Watch, supervise};

/// A cluster that is being watched; the watches end when it is dropped.
pub struct Cluster {
    settings: Settings,
    shelves: Arc<Shelves>,
    door: Arc<Door>,
    stop: CancellationToken,
}

impl Cluster {
    /// Starts to watch, in the running tokio runtime. It cannot fail: a cluster that cannot be reached, or whose
    /// kubeconfig cannot be read, is tried until it can, and says so until then.
    #[must_use]
    pub fn start(settings: Settings, now: Now) -> Self {
        let namespaces: Vec<Option<String>> = match settings.namespaces.as_slice() {
            [] => vec![None],
            some => some.iter().cloned().map(Some).collect(),
        };
        let places = Kind::ALL
            .into_iter()
            .flat_map(|kind| namespaces.iter().map(move |namespace| Place { kind, namespace: namespace.clone() }));
        let places: Vec<Place> = places.collect();
        let shelves = Arc::new(Shelves::new(&settings.name, places.clone(), now));
        let door = Arc::new(Door::new(&settings));
        let stop = CancellationToken::new();
        for place in places {
            let watch = Watch {
                place: place.clone(),
                shelves: Arc::clone(&shelves),
                door: Arc::clone(&door),
                pace: settings.pace.clone(),
            };
            let task = supervise(place, Arc::clone(&shelves), settings.pace.clone(), move || watch.clone().run());
            tokio::spawn(stop.clone().run_until_cancelled_owned(task));
        }
        Self { settings, shelves, door, stop }
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
        self.shelves.snapshot()
    }

    /// Waits until something is different from a snapshot of this generation, and gives the new generation. It may be
    /// dropped at any time.
    pub async fn changed(&self, generation: u64) -> u64 {
        let mut changes = self.shelves.generation();
        // The sender lives as long as `self`.
        changes.wait_for(|now| *now > generation).await.map_or(generation, |now| *now)
    }

    /// What the cluster's Events say about an object, the newest last. For objects that fail; each call is a request.
    ///
    /// # Errors
    /// When it is not permitted, or the server does not answer.
    pub async fn events(&self, object: &Object) -> Result<Vec<Event>, EventsError> {
        events::about(&self.door, object, self.settings.pace.request).await
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
