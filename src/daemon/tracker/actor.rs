//! The actor: whenever a cycle ends, a cluster reports something, an answer arrives or time has passed, it makes a pass
//! and publishes the result.
//!
//! Promise: rows are made from what is known now; incidents follow from rows; receivers are notified. A pass never
//! waits for anything outside this machine.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Snapshot};
use crate::landing::incidents::Rules;
use crate::model::Notice;
use crate::model::observation::Object;
use crate::notify::{Cycles, Receivers};
use crate::plan::SoakStates;
use crate::store::{Entry, SharedMemory, json};

use super::super::clock::{Clock, Times};
use super::super::queries::Lookup;
use super::super::replicas::Replicas;
use super::cluster_view::WatchedCluster;
use super::events::{self, ClusterEvents, EventsAnswer};
use super::memory::{ROWS, RowMemory};
use super::notifications::Notifications;
use super::registries::{self, RegistryAnswer, RegistryEvidence};
use super::state::{Depth, PassInput, Passed, SWEEP, TrackerState};
use super::view::View;
use super::{Rows, TrackerSetup};

/// How long changes are collected before a pass: a rollout changes many objects at once.
const GATHER: Duration = Duration::from_millis(15);

/// After a pass it pauses for this many times the pass's duration, so that it never takes more than a tenth of one core
/// ...
const REST: u32 = 9;

/// ... but no longer than this, so that no change has to wait.
const LONGEST_REST: Duration = Duration::from_millis(150);

/// How often a slice of all images is judged, whatever has changed.
const TICK: Duration = Duration::from_millis(1_500);

/// Maximum number of images in a slice: no change waits longer than these take.
const MAX_SLICE: usize = 500;

/// How long the first pass waits for clusters to be listed.
pub(super) const LISTING: Duration = Duration::from_secs(30);

/// How long a requested pass waits for what Events and registries add.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the cache is written if nobody was notified.
const REMEMBER: Duration = Duration::from_secs(30);

/// Messages to the actor.
#[derive(Debug)]
pub(super) enum Message {
    /// The cycles of a repository begin; nothing of it has been read.
    Begin(Box<View>),
    /// Record the state of a repository after a cycle.
    Cycle(Box<View>),
    /// Another replica works for the repository, which was only read.
    Seen(Box<View>),
    /// This replica goes on with a repository, with what its Lease says about notices.
    Adopt(String, Option<String>),
    /// Another replica goes on with a repository.
    Leave(String),
    /// Make a pass, and reply with its rows.
    Pass(oneshot::Sender<Option<Arc<Rows>>>),
    /// Write observations to the cache.
    Keep(oneshot::Sender<()>),
    /// Make passes and send notices until this is cancelled; reply when that has ended.
    Run(CancellationToken, oneshot::Sender<()>),
}

/// Everything that is watched, and what follows from it.
#[derive(Debug)]
pub(super) struct Actor {
    clusters: Arc<[Cluster]>,
    lookup: Arc<Lookup>,
    clock: Clock,
    rules: Rules,
    inbox: mpsc::UnboundedReceiver<Message>,
    pub(super) rows: watch::Sender<Arc<Rows>>,
    pub(super) soak_states: watch::Sender<Arc<SoakStates>>,
    pub(super) incidents: watch::Sender<Arc<Vec<Notice>>>,
    /// What is known and what is remembered; lent to the thread that makes a pass.
    known: (TrackerState, RowMemory),
    /// Repositories after a cycle that no pass has included yet.
    views: Vec<View>,
    events: ClusterEvents,
    evidence: RegistryEvidence,
    answers: (mpsc::UnboundedSender<Answered>, mpsc::UnboundedReceiver<Answered>),
    asking: [Round; 2],
    /// Whether an answer has brought something new that no pass has included yet.
    learned: bool,
    /// Since when notices have been waiting for answers.
    waiting: Option<Instant>,
    cycles: Cycles,
    /// Whether a repository was read for which another replica works.
    seen: bool,
    replicas: Option<Arc<Replicas>>,
    /// Repositories that this replica goes on with, of which no cycle has ended yet.
    adopted: BTreeSet<String>,
    notifications: Option<Notifications>,
    shared: SharedMemory,
    remembered: Option<Instant>,
    times: Times,
}

/// The answer to a background query.
#[derive(Debug)]
enum Answered {
    Events(EventsAnswer),
    Registry(RegistryAnswer),
}

/// Background queries: one round after the other.
#[derive(Debug, Default)]
struct Round(Option<JoinHandle<()>>);

impl Round {
    fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }

    async fn over(&mut self) {
        if let Some(asking) = &mut self.0 {
            drop(asking.await);
            self.0 = None;
        }
    }
}

/// The result of a pass, besides rows.
struct News {
    unread: BTreeSet<String>,
    images: usize,
}

/// A pass panicked, which is a bug in the bot; it is in the log.
struct BrokeOff;

impl Actor {
    pub(super) fn new(setup: TrackerSetup, clusters: Arc<[Cluster]>, inbox: mpsc::UnboundedReceiver<Message>) -> Self {
        let TrackerSetup { sinks, heartbeat, rules, lookup, clock, clusters: settings, state: folder, replicas } =
            setup;
        let shared = SharedMemory::in_folder(folder.as_deref());
        let memory = shared.read(lookup.store(), ROWS);
        let watched = settings.into_iter().map(|it| WatchedCluster { name: it.name, environments: it.environments });
        let state = TrackerState::new(watched.collect());
        // With several replicas, what was told is kept even where there is nobody to tell it to: it is also what the page shows.
        let notified = !sinks.is_empty() || heartbeat.is_some() || replicas.is_some();
        let notifications = notified
            .then(|| Notifications::start(sinks, heartbeat.as_ref(), (lookup.store(), replicas.as_ref()), &clock));
        Self {
            clusters,
            lookup,
            clock,
            rules,
            inbox,
            rows: watch::Sender::new(Arc::default()),
            soak_states: watch::Sender::new(Arc::default()),
            incidents: watch::Sender::new(Arc::default()),
            known: (state, memory),
            views: Vec::new(),
            events: ClusterEvents::default(),
            evidence: RegistryEvidence::default(),
            answers: mpsc::unbounded_channel(),
            asking: Default::default(),
            learned: false,
            waiting: None,
            cycles: Cycles::default(),
            seen: false,
            replicas,
            adopted: BTreeSet::new(),
            notifications,
            shared,
            remembered: None,
            times: Times::default(),
        }
    }

    /// A view of the receivers; `None`: nobody is notified.
    pub(super) fn receivers(&self) -> Option<Receivers> {
        self.notifications.as_ref().map(Notifications::receivers)
    }

    /// From now on the Leases say what was told.
    pub(super) fn carry_told(&self) {
        if let (Some(replicas), Some(notifications)) = (&self.replicas, &self.notifications) {
            let told = notifications.told();
            replicas.carry(move |repository| told.text(repository));
        }
    }

    /// Whether anything was read that could be judged.
    fn has_read(&self) -> bool {
        self.cycles.any() || self.seen
    }

    /// Handles messages until all senders are gone.
    pub(super) async fn serve(mut self) {
        while let Some(message) = self.inbox.recv().await {
            if let Some((stop, done)) = self.take(message).await {
                self.run(&stop).await;
                done.send(()).ok();
            }
        }
    }

    /// Handles a message; returns what it asks for beyond that.
    async fn take(&mut self, message: Message) -> Option<(CancellationToken, oneshot::Sender<()>)> {
        match message {
            Message::Begin(view) => {
                self.cycles.begun(&view.name, Instant::now());
                self.views.push(*view);
            }
            Message::Seen(view) => {
                self.seen |= view.outcome.revision.is_some() || !view.outcome.problems.is_empty();
                self.views.push(*view);
            }
            Message::Adopt(name, told) => {
                self.cycles.begun(&name, Instant::now());
                self.adopted.insert(name.clone());
                self.notifications.iter_mut().for_each(|it| it.adopt(&name, told.as_deref()));
            }
            Message::Leave(name) => {
                self.cycles.left(&name);
                self.adopted.remove(&name);
                self.notifications.iter_mut().for_each(|it| it.leave(&name));
            }
            Message::Cycle(view) => {
                self.adopted.remove(&view.name);
                self.cycles.ended(&view.name, !view.outcome.incomplete(), Instant::now());
                self.views.push(*view);
            }
            Message::Pass(answer) => drop(answer.send(self.look().await)),
            Message::Keep(done) => {
                self.remember();
                done.send(()).ok();
            }
            Message::Run(stop, done) => return Some((stop, done)),
        }
        None
    }

    /// A requested pass, with what Events and registries add to it.
    async fn look(&mut self) -> Option<Arc<Rows>> {
        self.pass(Depth::Due).await.ok()?;
        let [events, registries] = &mut self.asking;
        let answered = futures::future::join(events.over(), registries.over());
        // A slow answer delays nobody for long: it is included in the next pass.
        let _in_time = tokio::time::timeout(PATIENCE, answered).await.is_ok();
        self.learn_all();
        if self.learned {
            self.pass(Depth::Rows).await.ok()?;
        }
        let rows = Arc::clone(&self.rows.borrow());
        (rows.at != Timestamp::default()).then_some(rows)
    }

    /// Makes passes and sends notices until `stop`.
    async fn run(&mut self, stop: &CancellationToken) {
        let (mut tick, mut slice) = (Instant::now(), MAX_SLICE);
        // Incidents are shown even where nobody is to be notified of them.
        if self.notifications.is_none() {
            self.notifications = Some(Notifications::unheard(self.lookup.store(), &self.clock));
        }
        while !stop.is_cancelled() {
            while let Ok(message) = self.inbox.try_recv() {
                drop(self.take(message).await);
            }
            self.learn_all();
            let generations: Vec<u64> = self.clusters.iter().map(|cluster| cluster.snapshot().generation).collect();
            let began = Instant::now();
            // Without a cycle there is nothing to judge, and nothing that could be wrong.
            if self.has_read() {
                let depth = match tick <= began {
                    _ if self.times.were_set(self.clock.now(), began) => Depth::Everything,
                    true => Depth::Slice(slice),
                    false if self.learned => Depth::Rows,
                    false => Depth::Changes,
                };
                if tick <= began {
                    tick = began + TICK;
                }
                slice = self.turn(depth).await.unwrap_or(slice);
            }
            let rested = Instant::now() + (began.elapsed() * REST).min(LONGEST_REST);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.something(&generations) => {}
                () = sleep_until(tick), if self.has_read() => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(rested.max(Instant::now() + GATHER)) => {}
            }
        }
        self.flush().await;
    }

    /// Waits for a reason to make another pass.
    async fn something(&mut self, generations: &[u64]) {
        let changed = self.clusters.iter().zip(generations).map(|(cluster, seen)| Box::pin(cluster.changed(*seen)));
        let changed: Vec<_> = changed.collect();
        let any = async {
            match changed.is_empty() {
                true => std::future::pending().await,
                false => drop(futures::future::select_all(changed).await),
            }
        };
        tokio::select! {
            () = any => {}
            Some(message) = self.inbox.recv() => drop(self.take(message).await),
            Some(answer) = self.answers.1.recv() => self.learn(answer),
        }
    }

    fn learn_all(&mut self) {
        while let Ok(answer) = self.answers.1.try_recv() {
            self.learn(answer);
        }
    }

    fn learn(&mut self, answer: Answered) {
        self.learned |= match answer {
            Answered::Events(answer) => self.events.learn(answer),
            Answered::Registry(answer) => self.evidence.learn(answer),
        };
    }

    /// One pass with its consequences; returns the number of images in the next slice. `None` if it panicked.
    async fn turn(&mut self, depth: Depth) -> Option<usize> {
        // Without a pass nothing is fine: no heartbeat is sent.
        let news = self.pass(depth).await.ok()?;
        let now = self.clock.now();
        let limit = self.rules.unknown_after;
        self.replicas.iter().for_each(|replicas| replicas.report(self.cycles.good(limit, Instant::now())));
        if let Some(cycle) = self.cycles.beat(limit, Instant::now())
            // One dead man's switch watches over all replicas: while one of them has a problem, none says that all is well.
            && self.replicas.as_ref().is_none_or(|replicas| replicas.others_are_good())
        {
            self.notifications.iter().for_each(|notifications| notifications.beat(cycle, now));
        }
        let News { mut unread, images } = news?;
        unread.extend(self.adopted.iter().cloned());
        if self.waits_for_more() {
            return Some(slice_of(images));
        }
        let rows = Arc::clone(&self.rows.borrow());
        let rules = Rules { unread, ..self.rules.clone() };
        let notified = self.notifications.as_mut().is_some_and(|it| it.notify(&rows.rows, &rules, now));
        if let Some(notifications) = &self.notifications {
            self.incidents.send_if_modified(|before| {
                let open = notifications.open();
                let news = !before.iter().eq(open.iter().copied());
                if news {
                    *before = Arc::new(open.into_iter().cloned().collect());
                }
                news
            });
        }
        if notified || self.remembered.is_none_or(|at| at.elapsed() >= REMEMBER) {
            self.remember();
        }
        Some(slice_of(images))
    }

    /// Whether the first notice should include what Events and registries add, and that is pending. Nobody is kept
    /// waiting for long.
    fn waits_for_more(&mut self) -> bool {
        let asking = self.asking.iter().any(|round| !round.is_over());
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let waits = asking && since.elapsed() < PATIENCE;
        if !waits {
            self.waiting = None;
        }
        waits
    }

    /// A pass, with its rows published; `None` if nothing is new.
    async fn pass(&mut self, depth: Depth) -> Result<Option<News>, BrokeOff> {
        let clusters: Vec<_> =
            self.clusters.iter().map(|cluster| (cluster.snapshot(), self.events.of(cluster.name()))).collect();
        let passed = self.pass_over(clusters, depth).await?;
        self.learned = false;
        Ok(passed.map(|passed| self.publish(passed)))
    }

    /// A pass over clusters in the state of these snapshots.
    async fn pass_over(
        &mut self,
        clusters: Vec<(Snapshot, Vec<Object>)>,
        depth: Depth,
    ) -> Result<Option<Passed>, BrokeOff> {
        let (views, stalled) =
            (std::mem::take(&mut self.views), self.cycles.stalled(self.rules.unknown_after, Instant::now()));
        let input = PassInput { clusters, views, stalled, depth, now: self.clock.now() };
        let (mut state, mut memory) = std::mem::take(&mut self.known);
        let pass = move || {
            let passed = catch_unwind(AssertUnwindSafe(|| state.pass(input, &mut memory)));
            ((state, memory), passed)
        };
        match tokio::task::spawn_blocking(pass).await {
            Ok((known, Ok(passed))) => {
                self.known = known;
                return Ok(passed);
            }
            // Half-done work is discarded: the next pass starts from what is remembered and what cycles reported.
            Ok(((state, memory), Err(_))) => self.known = (state.anew(), memory),
            Err(error) => tracing::error!(%error, "a pass was lost"),
        }
        tracing::error!("a pass over the clusters failed because of a bug in the bot; the next one follows");
        Err(BrokeOff)
    }

    /// Publishes the result of a pass, and starts queries that may add to it.
    fn publish(&mut self, passed: Passed) -> News {
        let Passed { mut rows, soak_states, unwell, unread, images } = passed;
        self.soak_states.send_if_modified(|before| {
            let news = !before.same(&soak_states);
            *before = Arc::new(soak_states);
            news
        });
        let [events, registries] = &mut self.asking;
        if events.is_over() {
            let due = self.events.due(&unwell);
            if !due.is_empty() {
                let (clusters, to) = (Arc::clone(&self.clusters), self.answers.0.clone());
                let to = move |answer| drop(to.send(Answered::Events(answer)));
                events.0 = Some(tokio::spawn(events::ask(clusters, due, to)));
            }
        }
        if registries.is_over() {
            let question = self.evidence.due(&rows.rows, rows.at);
            if !question.images.is_empty() {
                let (lookup, to) = (Arc::clone(&self.lookup), self.answers.0.clone());
                let to = move |answer| drop(to.send(Answered::Registry(answer)));
                registries.0 = Some(tokio::spawn(registries::ask(lookup, question, to)));
            }
        }
        self.evidence.add_to(&mut rows.rows);
        self.rows.send_replace(Arc::new(rows));
        News { unread, images }
    }

    /// Writes what a restart must not forget. If that fails, it costs a repeated notice at most.
    fn remember(&mut self) {
        self.remembered = Some(Instant::now());
        let notified = self.notifications.as_ref().map(Notifications::memory);
        let own = [(ROWS, json(&self.known.1))];
        let entries = own.into_iter().chain(notified.into_iter().flatten());
        let entries = entries.filter_map(|(key, bytes)| Some(Entry::Memory { key: key.to_owned(), bytes: bytes? }));
        let store = self.lookup.store();
        self.shared.write(store, &self.known.1);
        let changed = |entry: &Entry| match entry {
            Entry::Memory { key, bytes } => store.memory(key).as_ref() != Some(bytes),
            _ => true,
        };
        let entries: Vec<Entry> = entries.filter(changed).collect();
        if let Err(error) = store.write(&entries) {
            tracing::warn!(%error, "sent notices could not be stored; after a restart they may be sent again");
        }
    }

    /// Sends the remaining notices, and records that.
    async fn flush(&mut self) {
        if let Some(notifications) = &mut self.notifications {
            notifications.flush().await;
        }
        self.remember();
    }
}

/// How many of this number of images are judged per slice, so that all of them are judged within [`SWEEP`].
fn slice_of(images: usize) -> usize {
    let slices = usize::try_from(SWEEP.as_millis() / TICK.as_millis().cast_signed()).unwrap_or(1).max(1);
    images.div_ceil(slices).clamp(1, MAX_SLICE)
}
