//! From what Git declares, what cycles did and what clusters report to rows: how far every declared image has come.
//!
//! ```text
//! cycles ──View──►┐                        ┌─► rows ─────► `status`, receivers
//! clusters ─Snapshot─► actor ─► one pass ──┤
//! Events, registries ►┘  (every decision:  └─► soak states ► promotions
//!                        `state`, `landing`)
//! ```
//!
//! One actor ([`actor`]) owns all that is known ([`state`]) and all that is remembered ([`memory`]). Messages go in by a
//! channel, rows and soak states come out by `watch`. A pass is synchronous and runs where blocking is allowed, since it reads
//! Git; whatever has to be waited for (Events of a cluster, a registry) is asked apart and comes back as a message. What an
//! object's change makes dirty, and how the rest is judged again in slices, stands in [`state`].

mod actor;
mod cluster_view;
mod events;
mod judge;
mod memory;
mod notifications;
mod pre_merge;
mod registries;
mod state;
#[cfg(test)]
mod tests;
mod view;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::cluster::{self, Cluster};
use crate::landing::incidents::Rules;
use crate::model::Tracked;
use crate::notify::{HeartbeatSettings, SinkSettings};
use crate::plan::SoakStates;

use super::clock::Clock;
use super::queries::Lookup;
use actor::{Actor, Message};

pub use crate::landing::soak::SoakPlace;
pub use memory::{Landed, landed};
pub(super) use view::BranchView;
pub use view::View;

/// What a tracker works with.
#[derive(Debug)]
pub struct TrackerSetup {
    /// The clusters to watch.
    pub clusters: Vec<cluster::Settings>,
    /// Who is notified.
    pub sinks: Vec<SinkSettings>,
    /// The dead man's switch, which raises the alarm when the bot is silent.
    pub heartbeat: Option<HeartbeatSettings>,
    /// When something is an incident.
    pub rules: Rules,
    /// The client of all registries, and the cache.
    pub lookup: Arc<Lookup>,
    /// The clock.
    pub clock: Clock,
    /// The state folder, where what is remembered is shared with commands beside a running daemon.
    pub state: Option<PathBuf>,
}

/// All rows at one time.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// One row per declared image and cluster, and one per update that is not in Git yet.
    pub rows: Vec<Tracked>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// When the pass was made.
    pub at: Timestamp,
}

/// A handle of the actor that tracks everything.
#[derive(Debug)]
pub struct Tracker {
    messages: mpsc::UnboundedSender<Message>,
    clusters: Arc<[Cluster]>,
    rows: watch::Receiver<Arc<Rows>>,
    soak_states: watch::Receiver<Arc<SoakStates>>,
}

impl Tracker {
    /// Starts to watch the clusters, in the running tokio runtime. No pass is made before one is asked for.
    #[must_use]
    pub fn start(setup: TrackerSetup) -> Arc<Self> {
        let clock = setup.clock.clone();
        let now = cluster::Now::new(move || clock.now());
        let settings = setup.clusters.iter().cloned();
        let clusters: Arc<[Cluster]> = settings.map(|settings| Cluster::start(settings, now.clone())).collect();
        let (messages, inbox) = mpsc::unbounded_channel();
        let actor = Actor::new(setup, Arc::clone(&clusters), inbox);
        let (rows, soak_states) = (actor.rows.subscribe(), actor.soak_states.subscribe());
        drop(tokio::spawn(actor.serve()));
        Arc::new(Self { messages, clusters, rows, soak_states })
    }

    /// Takes in how a repository stands after a cycle.
    pub fn publish(&self, view: View) {
        self.send(Message::Cycle(Box::new(view)));
    }

    /// The rows of the last pass, and of each pass to come.
    #[must_use]
    pub fn rows(&self) -> watch::Receiver<Arc<Rows>> {
        self.rows.clone()
    }

    /// How every declared image stands; a change is news that a promotion may have waited for.
    #[must_use]
    pub fn soak_states(&self) -> watch::Receiver<Arc<SoakStates>> {
        self.soak_states.clone()
    }

    /// Writes what was seen to the cache: of a bot that is started for each cycle.
    pub async fn keep(&self) {
        let (done, kept) = oneshot::channel();
        self.send(Message::Keep(done));
        drop(kept.await);
    }

    /// Waits until every cluster has been listed, or has said why not; for at most this long.
    pub async fn listed(&self, patience: Duration) {
        let all = self.clusters.iter().map(Cluster::listed);
        let _in_time = tokio::time::timeout(patience, futures::future::join_all(all)).await.is_ok();
    }

    /// One pass over all that was published so far. Nobody is notified. Where nothing is new, the rows are those of the last
    /// pass. `None` where the pass broke off, which is a fault of the bot and in its log.
    pub async fn look(&self) -> Option<Arc<Rows>> {
        let (answer, rows) = oneshot::channel();
        self.send(Message::Pass(answer));
        rows.await.ok().flatten()
    }

    /// Makes passes and notifies, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        self.listed_or(&stop).await;
        let (done, ended) = oneshot::channel();
        self.send(Message::Run(stop, done));
        if ended.await.is_err() {
            tracing::error!("the tracking broke off, which is a fault of the bot");
        }
    }

    async fn listed_or(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.listed(actor::LISTING) => {}
        }
    }

    fn send(&self, message: Message) {
        if self.messages.send(message).is_err() {
            tracing::error!("the tracking has ended, which is a fault of the bot");
        }
    }
}
