//! From what Git declares, cycles did and clusters report to rows: how far every declared image has come.
//!
//! ```text
//! cycles ──View──►┐                        ┌─► rows ─────► `status`, receivers
//! clusters ─Snapshot─► actor ─► one pass ──┤
//! Events, registries ►┘  (every decision:  └─► soak states ► promotions
//!                        `state`, `landing`)
//! ```
//!
//! One actor ([`actor`]) owns everything that is known ([`state`]) and everything that is remembered ([`memory`]).
//! Messages go in through a channel; rows and soak states come out through `watch`. A pass is synchronous and runs
//! where blocking is allowed, because it reads Git. Anything that takes waiting (a cluster's Events, a registry) is
//! queried in the background and comes back as a message. [`state`] decides what an object's change makes dirty, and
//! how the rest is judged again in slices.

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
mod told;
mod view;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::cluster::{self, Cluster};
use crate::landing::incidents::Rules;
use crate::model::{Notice, Tracked};
use crate::notify::{HeartbeatSettings, Receivers, SinkHealth, SinkSettings};
use crate::plan::SoakStates;

use super::clock::Clock;
use super::queries::Lookup;
use super::replicas::Replicas;
use actor::{Actor, Message};

pub use crate::landing::soak::SoakPlace;
pub use memory::{Landed, landed};
pub(super) use view::BranchView;
pub use view::View;

/// The inputs of a tracker.
#[derive(Debug)]
pub struct TrackerSetup {
    /// The clusters to watch.
    pub clusters: Vec<cluster::Settings>,
    /// The receivers of notices.
    pub sinks: Vec<SinkSettings>,
    /// The dead man's switch, which alerts when the bot is silent.
    pub heartbeat: Option<HeartbeatSettings>,
    /// When something becomes an incident.
    pub rules: Rules,
    /// The client of all registries, and the cache.
    pub lookup: Arc<Lookup>,
    /// The clock.
    pub clock: Clock,
    /// The state folder, through which stored data is shared with commands next to a running daemon.
    pub state: Option<PathBuf>,
    /// The replicas that share the repositories; `None`: there is one, which has them all.
    pub replicas: Option<Arc<Replicas>>,
}

/// All rows at one point in time.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// One row per declared image and cluster, and one per update that is not in Git yet.
    pub rows: Vec<Tracked>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// When the pass was made.
    pub at: Timestamp,
}

/// A handle to the actor that tracks everything.
#[derive(Debug)]
pub struct Tracker {
    messages: mpsc::UnboundedSender<Message>,
    clusters: Arc<[Cluster]>,
    rows: watch::Receiver<Arc<Rows>>,
    soak_states: watch::Receiver<Arc<SoakStates>>,
    incidents: watch::Receiver<Arc<Vec<Notice>>>,
    /// `None`: nobody is notified.
    receivers: Option<Receivers>,
}

impl Tracker {
    /// Starts watching the clusters, in the running tokio runtime. No pass is made until one is requested.
    #[must_use]
    pub fn start(setup: TrackerSetup) -> Arc<Self> {
        let clock = setup.clock.clone();
        let now = cluster::Now::new(move || clock.now());
        let settings = setup.clusters.iter().cloned();
        let clusters: Arc<[Cluster]> = settings.map(|settings| Cluster::start(settings, now.clone())).collect();
        let (messages, inbox) = mpsc::unbounded_channel();
        let actor = Actor::new(setup, Arc::clone(&clusters), inbox);
        let (rows, soak_states) = (actor.rows.subscribe(), actor.soak_states.subscribe());
        let (incidents, receivers) = (actor.incidents.subscribe(), actor.receivers());
        actor.carry_told();
        drop(tokio::spawn(actor.serve()));
        Arc::new(Self { messages, clusters, rows, soak_states, incidents, receivers })
    }

    /// Expects cycles of a repository of which nothing has been read yet: if none ends, that is an incident.
    pub fn expect(&self, view: View) {
        self.send(Message::Begin(Box::new(view)));
    }

    /// Another replica works for a repository; this one has only read it.
    pub fn look_at(&self, view: View) {
        self.send(Message::Seen(Box::new(view)));
    }

    /// This replica goes on with a repository, of which its Lease says this about notices.
    pub fn adopt(&self, repository: &str, told: Option<String>) {
        self.send(Message::Adopt(repository.to_owned(), told));
    }

    /// Another replica goes on with a repository: nobody is notified about it any more.
    pub fn leave(&self, repository: &str) {
        self.send(Message::Leave(repository.to_owned()));
    }

    /// Records the state of a repository after a cycle.
    pub fn publish(&self, view: View) {
        self.send(Message::Cycle(Box::new(view)));
    }

    /// The rows of the last pass, and of each later one.
    #[must_use]
    pub fn rows(&self) -> watch::Receiver<Arc<Rows>> {
        self.rows.clone()
    }

    /// The incidents that are open while the bot runs, most recent report of each; none before [`Tracker::run`].
    #[must_use]
    pub fn incidents(&self) -> watch::Receiver<Arc<Vec<Notice>>> {
        self.incidents.clone()
    }

    /// How each receiver of notices is.
    #[must_use]
    pub fn receivers(&self) -> Vec<SinkHealth> {
        self.receivers.as_ref().map(Receivers::health).unwrap_or_default()
    }

    /// The health of every declared image; a change may be what a promotion has been waiting for.
    #[must_use]
    pub fn soak_states(&self) -> watch::Receiver<Arc<SoakStates>> {
        self.soak_states.clone()
    }

    /// Writes observations to the cache, for a bot that is started for each cycle.
    pub async fn keep(&self) {
        let (done, kept) = oneshot::channel();
        self.send(Message::Keep(done));
        drop(kept.await);
    }

    /// Whether the actor is there; it ends only by a bug in the bot, or with its runtime.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.messages.is_closed()
    }

    /// When each cluster was last heard of; `None`: not yet.
    #[must_use]
    pub fn heard(&self) -> Vec<(String, Option<Timestamp>)> {
        let heard = |cluster: &Cluster| cluster.snapshot().kinds.values().filter_map(|kind| kind.heard).max();
        self.clusters.iter().map(|cluster| (cluster.name().to_owned(), heard(cluster))).collect()
    }

    /// Waits until every cluster has been listed, or has said why not; at most this long.
    pub async fn listed(&self, patience: Duration) {
        let all = self.clusters.iter().map(Cluster::listed);
        let _in_time = tokio::time::timeout(patience, futures::future::join_all(all)).await.is_ok();
    }

    /// One pass over everything published so far. Nobody is notified. If nothing is new, the rows are those of the last
    /// pass. `None` if the pass panicked, which is a bug in the bot and is in its log.
    pub async fn look(&self) -> Option<Arc<Rows>> {
        let (answer, rows) = oneshot::channel();
        self.send(Message::Pass(answer));
        rows.await.ok().flatten()
    }

    /// Makes passes and sends notices until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        self.listed_or(&stop).await;
        let (done, ended) = oneshot::channel();
        self.send(Message::Run(stop, done));
        if ended.await.is_err() {
            tracing::error!("the tracker failed because of a bug in the bot");
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
            tracing::error!("the tracker ended because of a bug in the bot");
        }
    }
}
