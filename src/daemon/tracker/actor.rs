//! The loop that looks: whenever a cycle is over, a cluster reports something, or time has passed.
//!
//! Promise: rows are made of what is known now; incidents follow from rows; receivers are told. What is kept over restarts
//! ([`Store`]) is only what was told and how long clocks stood still: rows come back from Git, pull requests and clusters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::{self, Cluster, KindState};
use crate::landing::incidents::Rules;
use crate::model::Tracked;
use crate::model::observation::Object;
use crate::notify::{Cycle, HeartbeatSettings, SinkSettings};
use crate::plan::SoakStates;
use crate::store::{Entry, Store};

use super::super::clock::Clock;
use super::super::queries::Lookup;
use super::clocks::{Clocks, Landed, late};
use super::cluster_view::troubles;
use super::events::Events;
use super::notifications::{Notifications, json, remembered};
use super::pass::{Passes, Published};
use super::view::View;
use super::{pre_merge, registries};

/// How long changes are gathered before a look: a rollout changes many objects at once.
const GATHER: Duration = Duration::from_millis(15);

/// How long it rests at most after a look.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// How often all images are judged when nothing happens.
const TICK: Duration = Duration::from_secs(15);

/// How long the first look waits for clusters to be listed.
const LISTING: Duration = Duration::from_secs(30);

/// How long a look waits for what Events and registries add.
const TELLING_MORE: Duration = Duration::from_secs(5);

/// How often clocks are written to the cache when nobody was told anything.
const REMEMBER: Duration = Duration::from_secs(30);

/// Where the cache has the clocks.
const CLOCKS: &str = "clocks";

/// What a tracker works with.
#[derive(Debug)]
pub struct Setup {
    /// The clusters to watch.
    pub clusters: Vec<cluster::Settings>,
    /// Who is told.
    pub sinks: Vec<SinkSettings>,
    /// The watchman who raises the alarm when the bot is silent.
    pub heartbeat: Option<HeartbeatSettings>,
    /// When something is an incident.
    pub rules: Rules,
    /// The door to registries, and the cache.
    pub lookup: Arc<Lookup>,
    /// The clock.
    pub clock: Clock,
}

/// All rows at one time.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// One row per declared image and cluster, and one per update that is not in Git yet.
    pub rows: Vec<Tracked>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// When it was looked.
    pub at: Timestamp,
}

/// What a look gave: the rows, and the objects of clusters whose Events may say more.
type Looked = (Rows, Vec<(String, Arc<Object>)>);

/// Everything that is watched, and what follows from it.
#[derive(Debug)]
pub struct Tracker {
    clusters: Vec<Cluster>,
    lookup: Arc<Lookup>,
    clock: Clock,
    rules: Rules,
    views: Mutex<BTreeMap<String, Published>>,
    published: watch::Sender<u64>,
    looks: Mutex<Passes>,
    events: Events,
    /// Held by who looks.
    looking: tokio::sync::Mutex<()>,
    /// Whether all images are to be judged, whatever is new.
    overdue: AtomicBool,
    clocks: Mutex<Clocks>,
    rows: watch::Sender<Arc<Rows>>,
    standings: watch::Sender<Arc<SoakStates>>,
    /// The count of cycles after which the heart last beat.
    beaten: AtomicU64,
    /// When the cache was last written.
    remembered: Mutex<Option<Instant>>,
    notifications: Mutex<Option<Notifications>>,
}

impl Tracker {
    /// Starts to watch the clusters, in the running tokio runtime.
    #[must_use]
    pub fn start(setup: Setup) -> Arc<Self> {
        let Setup { clusters, sinks, heartbeat, rules, lookup, clock } = setup;
        let now = clock.clone();
        let now = cluster::Now::new(move || now.now());
        let clusters = clusters.into_iter().map(|settings| Cluster::start(settings, now.clone())).collect();
        let store = Arc::clone(lookup.store());
        let clocks = remembered(&store, CLOCKS).unwrap_or_default();
        let told = !sinks.is_empty() || heartbeat.is_some();
        let notifications = told.then(|| Notifications::start(sinks, heartbeat.as_ref(), &store, &clock));
        Arc::new(Self {
            clusters,
            lookup,
            clock,
            rules,
            views: Mutex::default(),
            published: watch::Sender::new(0),
            looks: Mutex::default(),
            events: Events::default(),
            looking: tokio::sync::Mutex::default(),
            overdue: AtomicBool::new(false),
            clocks: Mutex::new(clocks),
            rows: watch::Sender::new(Arc::default()),
            standings: watch::Sender::new(Arc::default()),
            beaten: AtomicU64::new(0),
            remembered: Mutex::default(),
            notifications: Mutex::new(notifications),
        })
    }

    /// Takes in how a repository stands after a cycle.
    pub fn publish(&self, view: View) {
        let mut views = lock(&self.views);
        self.published.send_modify(|count| *count += 1);
        let number = *self.published.borrow();
        drop(views.insert(view.name.clone(), (number, Arc::new(view))));
    }

    /// The rows of the last look, and of each look to come.
    #[must_use]
    pub fn rows(&self) -> watch::Receiver<Arc<Rows>> {
        self.rows.subscribe()
    }

    /// How every declared image stands; a change is news that a promotion may have waited for.
    #[must_use]
    pub fn standings(&self) -> watch::Receiver<Arc<SoakStates>> {
        self.standings.subscribe()
    }

    /// Keeps what was seen for the next start: of a bot that is started for each cycle.
    pub fn keep(&self) {
        self.remember(None, Instant::now() + REMEMBER);
    }

    /// Waits until every cluster has been listed, or has said why not; for at most this long.
    pub async fn listed(&self, patience: Duration) {
        let all = self.clusters.iter().map(|cluster| async {
            loop {
                let snapshot = cluster.snapshot();
                let starting = |state: &KindState| matches!(state, KindState::Starting);
                if !snapshot.kinds.values().any(|status| starting(&status.state)) {
                    return;
                }
                cluster.changed(snapshot.generation).await;
            }
        });
        let _in_time = tokio::time::timeout(patience, futures::future::join_all(all)).await.is_ok();
    }

    /// One pass. Nobody is notified. Where nothing is new, the rows are those of the last pass. `None` where the pass broke
    /// off, which is a fault of the bot and in its log.
    pub async fn look(self: &Arc<Self>) -> Option<Arc<Rows>> {
        // What is new is told once: of two who look at the same time, the second one waits and sees the same.
        let _one = self.looking.lock().await;
        let Some((mut rows, unwell)) = self.look_apart().await? else {
            let last = Arc::clone(&self.rows.borrow());
            return (last.at != Timestamp::default()).then_some(last);
        };
        let due = self.events.due(&unwell);
        if !due.is_empty() {
            // A cluster that is slow to tell more delays nobody: what it says later is there at the next look.
            let asked = tokio::time::timeout(TELLING_MORE, self.events.ask(&self.clusters, due)).await;
            if asked == Ok(true)
                && let Some(Some((again, _))) = self.look_apart().await
            {
                rows = again;
            }
        }
        if registries::may_know(&rows.rows) {
            let now = rows.at;
            registries::ask(&self.lookup, &mut rows.rows, now, TELLING_MORE).await;
        }
        let rows = Arc::new(rows);
        self.rows.send_replace(Arc::clone(&rows));
        Some(rows)
    }

    /// A look on a thread of its own; `None` where it broke off.
    async fn look_apart(self: &Arc<Self>) -> Option<Option<Looked>> {
        let tracker = Arc::clone(self);
        match tokio::task::spawn_blocking(move || tracker.look_blocking()).await {
            Ok(looked) => Some(looked),
            Err(error) => {
                tracing::error!(%error, "a look at the clusters broke off, which is a fault of the bot; the next one follows");
                None
            }
        }
    }

    /// `None` where nothing is new.
    fn look_blocking(&self) -> Option<Looked> {
        let now = self.clock.now();
        let views: Vec<Published> = lock(&self.views).values().cloned().collect();
        let all = self.overdue.swap(false, Ordering::Relaxed);
        // Taken out, so that a look that breaks off leaves nothing half done: the next one begins from nothing.
        let mut looks = std::mem::take(&mut *lock(&self.looks));
        let mut clocks = lock(&self.clocks);
        let found = looks.rows((&self.clusters, &self.events), &views, &mut clocks.watches, all, now);
        *lock(&self.looks) = looks;
        let mut all = found?;
        clocks.set(&mut all, now);
        all.iter_mut().for_each(|row| late(&mut row.tracked, now));
        let views = || views.iter().map(|(_, view)| view);
        let blind = views().filter(|view| view.outcome.revision.is_none() || view.outcome.blocked());
        let blind: Vec<&str> = blind.map(|view| view.name.as_str()).collect();
        let standings = clocks.standings(&all, &blind, now);
        drop(clocks);
        self.standings.send_if_modified(|before| {
            let news = !before.same(&standings);
            *before = Arc::new(standings);
            news
        });
        let unread = views().filter(|view| view.outcome.revision.is_none());
        let mut problems: Vec<String> = unread
            .flat_map(|view| view.outcome.problems.iter().map(|it| format!("{}: {}", view.name, it.problem.message)))
            .collect();
        problems.extend(self.clusters.iter().flat_map(|cluster| troubles(&cluster.snapshot())));
        let unwell = all.iter().flat_map(|row| {
            let cluster = row.tracked.cluster.clone().unwrap_or_default();
            row.unwell.iter().map(move |object| (cluster.clone(), Arc::clone(object)))
        });
        let unwell = unwell.collect();
        let rows = all.into_iter().map(|row| row.tracked).collect();
        Some((Rows { rows, problems, at: now }, unwell))
    }

    /// Makes passes and notifies, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut published = self.published.subscribe();
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.listed(LISTING) => {}
        }
        // Without a cycle there is nothing to judge, and nothing to be wrong about.
        let first = published.wait_for(|count| *count > 0);
        tokio::select! {
            () = stop.cancelled() => return,
            _ = first => {}
        }
        let mut last = None;
        let mut tick = Instant::now() + TICK;
        loop {
            let generations: Vec<u64> = self.clusters.iter().map(|cluster| cluster.snapshot().generation).collect();
            let cycles = *published.borrow_and_update();
            let began = Instant::now();
            self.turn(cycles, &mut last).await;
            // A look that takes long must not take all of the machine.
            let rested = Instant::now() + began.elapsed().min(LONGEST_REST);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.something(&generations, &mut published) => {}
                // Deadlines pass by themselves, however much else is going on.
                () = tokio::time::sleep_until(tick) => {
                    self.overdue.store(true, Ordering::Relaxed);
                    tick = Instant::now() + TICK;
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(rested.max(Instant::now() + GATHER)) => {}
            }
        }
        self.flush().await;
    }

    /// Waits for a reason to look again.
    async fn something(&self, generations: &[u64], published: &mut watch::Receiver<u64>) {
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
            _ = published.changed() => {}
        }
    }

    /// One look with its consequences.
    async fn turn(self: &Arc<Self>, cycles: u64, last: &mut Option<Arc<Rows>>) {
        // Without a look nothing is fine: the watchman hears nothing.
        let Some(rows) = self.look().await else { return };
        let now = rows.at;
        let beat = self.beat(cycles, now);
        let news = !last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &rows));
        *last = Some(Arc::clone(&rows));
        if news {
            let rules = self.rules();
            let mut notifications = lock(&self.notifications);
            let Some(notifications) = notifications.as_mut() else { return self.remember(None, Instant::now()) };
            let told = notifications.tell(&rows.rows, &rules, now);
            let due = if told { Instant::now() + REMEMBER } else { Instant::now() };
            self.remember(Some(notifications), due);
        }
        if let Some(cycle) = beat {
            let heartbeat =
                lock(&self.notifications).as_ref().and_then(|notifications| notifications.heartbeat.clone());
            if let Some(heartbeat) = heartbeat {
                // Apart, since a watchman that does not answer must not delay anybody. A failure is in the log, and the
                // next good cycle tries again.
                drop(tokio::spawn(async move { drop(heartbeat.lock().await.after(cycle, now).await) }));
            }
        }
    }

    /// How the last cycles ended, once for each round of cycles.
    fn beat(&self, cycles: u64, now: Timestamp) -> Option<Cycle> {
        let views = lock(&self.views);
        let limit = SignedDuration::try_from(self.rules.unknown_after).unwrap_or(SignedDuration::MAX);
        let good = |(_, view): &Published| !view.outcome.incomplete() && now.duration_since(view.at) <= limit;
        let round = u64::try_from(views.len()).unwrap_or(1).max(1);
        let due = cycles.is_multiple_of(round) && self.beaten.swap(cycles, Ordering::Relaxed) != cycles;
        due.then(|| if views.values().all(good) { Cycle::Good } else { Cycle::Failed })
    }

    fn rules(&self) -> Rules {
        let mut rules = self.rules.clone();
        let views = lock(&self.views);
        let unread = |view: &&Arc<View>| view.outcome.revision.is_none() || pre_merge::whole(view).is_some();
        rules.unread = views.values().map(|(_, view)| view).filter(unread).map(|view| view.name.clone()).collect();
        rules
    }

    /// Keeps what a restart must not forget, at once where `due` lies ahead, else from time to time. A cache that cannot be
    /// written costs a repeated message at most.
    fn remember(&self, notifications: Option<&mut Notifications>, due: Instant) {
        {
            let mut last = lock(&self.remembered);
            if last.is_some_and(|last| due.saturating_duration_since(last) < REMEMBER) {
                return;
            }
            *last = Some(Instant::now());
        }
        let mut entries = Vec::new();
        let mut keep = |key, bytes: Option<Vec<u8>>| entries.extend(bytes.map(|bytes| Entry::Memory { key, bytes }));
        keep(CLOCKS, json(&*lock(&self.clocks)));
        if let Some(notifications) = notifications {
            for (key, bytes) in notifications.memory() {
                keep(key, bytes);
            }
        }
        let store = self.lookup.store();
        entries.retain(|entry| match entry {
            Entry::Memory { key, bytes } => store.memory(key).as_ref() != Some(bytes),
            _ => true,
        });
        if let Err(error) = store.write(&entries) {
            tracing::warn!(%error, "what was told could not be remembered; after a restart it may be told again");
        }
    }

    async fn flush(&self) {
        let notifications = lock(&self.notifications).take();
        if let Some(mut notifications) = notifications {
            notifications.notifier.flush(Duration::from_secs(3)).await;
            self.remember(Some(&mut notifications), Instant::now() + REMEMBER);
        }
    }
}

/// When versions were first seen running, as far as this cache goes.
#[must_use]
pub fn landed(store: &Store) -> Landed {
    remembered::<Clocks>(store, CLOCKS).unwrap_or_default().landed()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
