//! The loop that looks: whenever a cycle is over, a cluster reports something, or time has passed.
//!
//! Promise: rows are made of what is known now; incidents follow from rows; receivers are told. What is kept over restarts
//! ([`Store`]) is only what was told and how long clocks stood still: rows come back from Git, pull requests and clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::{self, Cluster, KindState, Snapshot};
use crate::landing::incident::{Incidents, Memory, Rules, step};
use crate::message;
use crate::model::observation::Object;
use crate::model::{CauseCode, Fact, Rung, State, Tracked};
use crate::notify::{self, Cycle, Heartbeat, HeartbeatSettings, Notifier, Pace, SinkMemory, SinkSettings};
use crate::plan::{Facts, Standings, Want};
use crate::store::{Entry, Store};

use super::super::clock::Clock;
use super::super::lookup::Lookup;
use super::clocks::{Clocks, Landed};
use super::events::Events;
use super::judge::{Past, rows};
use super::seen::Seen;
use super::view::View;
use super::{Row, ladder};

/// How long changes are gathered before a look: a rollout changes many objects at once.
const GATHER: Duration = Duration::from_millis(15);

/// How long it rests at most after a look.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// How often it looks when nothing happens: deadlines pass by themselves.
const TICK: Duration = Duration::from_secs(15);

/// How long the first look waits for clusters to be listed.
const LISTING: Duration = Duration::from_secs(30);

/// How long a registry's word about an image that cannot be pulled is good.
const ASKED: SignedDuration = SignedDuration::from_mins(5);

/// How long a look waits for what Events and registries add.
const TELLING_MORE: Duration = Duration::from_secs(5);

/// How often clocks are written to the cache when nobody was told anything.
const REMEMBER: Duration = Duration::from_secs(30);

/// Most images that a look asks registries about.
const MAX_ASKED: usize = 20;

/// Keys of the cache.
const INCIDENTS: &str = "incidents";
const SINKS: &str = "sinks";
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

/// Everything that is watched, and what follows from it.
#[derive(Debug)]
pub struct Tracker {
    clusters: Vec<Cluster>,
    lookup: Arc<Lookup>,
    clock: Clock,
    rules: Rules,
    views: Mutex<BTreeMap<String, View>>,
    published: watch::Sender<u64>,
    past: Mutex<Past>,
    events: Events,
    clocks: Mutex<Clocks>,
    rows: watch::Sender<Arc<Rows>>,
    standings: watch::Sender<Arc<Standings>>,
    /// The count of cycles after which the heart last beat.
    beaten: AtomicU64,
    /// When the cache was last written.
    remembered: Mutex<Option<Instant>>,
    telling: Mutex<Option<Telling>>,
}

/// Who is told, and what they were told.
#[derive(Debug)]
struct Telling {
    notifier: Notifier,
    incidents: Incidents,
    heartbeat: Option<Arc<tokio::sync::Mutex<Heartbeat>>>,
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
        let telling = told.then(|| Telling::start(sinks, heartbeat.as_ref(), &store, &clock));
        Arc::new(Self {
            clusters,
            lookup,
            clock,
            rules,
            views: Mutex::default(),
            published: watch::Sender::new(0),
            past: Mutex::default(),
            events: Events::default(),
            clocks: Mutex::new(clocks),
            rows: watch::Sender::new(Arc::default()),
            standings: watch::Sender::new(Arc::default()),
            beaten: AtomicU64::new(0),
            remembered: Mutex::default(),
            telling: Mutex::new(telling),
        })
    }

    /// Takes in how a repository stands after a cycle.
    pub fn publish(&self, view: View) {
        drop(lock(&self.views).insert(view.name.clone(), view));
        self.published.send_modify(|count| *count += 1);
    }

    /// The rows of the last look, and of each look to come.
    #[must_use]
    pub fn rows(&self) -> watch::Receiver<Arc<Rows>> {
        self.rows.subscribe()
    }

    /// How every declared image stands; a change is news that a promotion may have waited for.
    #[must_use]
    pub fn standings(&self) -> watch::Receiver<Arc<Standings>> {
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

    /// Looks once. Nobody is told. `None` where the look broke off, which is a fault of the bot and in its log.
    pub async fn look(self: &Arc<Self>) -> Option<Arc<Rows>> {
        let (mut rows, unwell) = self.look_apart().await?;
        // A cluster that is slow to tell more delays nobody: what it says later is there at the next look.
        let asked = tokio::time::timeout(TELLING_MORE, self.events.ask(&self.clusters, &unwell)).await;
        if asked == Ok(true)
            && let Some((again, _)) = self.look_apart().await
        {
            rows = again;
        }
        self.ask_registries(&mut rows.rows).await;
        let rows = Arc::new(rows);
        self.rows.send_replace(Arc::clone(&rows));
        Some(rows)
    }

    /// A look on a thread of its own; `None` where it broke off.
    async fn look_apart(self: &Arc<Self>) -> Option<(Rows, Vec<(String, Arc<Object>)>)> {
        let tracker = Arc::clone(self);
        match tokio::task::spawn_blocking(move || tracker.look_blocking()).await {
            Ok(looked) => Some(looked),
            Err(error) => {
                tracing::error!(%error, "a look at the clusters broke off, which is a fault of the bot; the next one follows");
                None
            }
        }
    }

    /// The rows, and the objects of clusters whose Events may say more.
    fn look_blocking(&self) -> (Rows, Vec<(String, Arc<Object>)>) {
        let now = self.clock.now();
        let views: Vec<View> = lock(&self.views).values().cloned().collect();
        let snapshots: Vec<Snapshot> = self.clusters.iter().map(Cluster::snapshot).collect();
        let events: Vec<Vec<Object>> = self.clusters.iter().map(|cluster| self.events.of(cluster.name())).collect();
        let clusters = self.clusters.iter().zip(snapshots.iter().zip(&events));
        let seen: Vec<Seen<'_>> = clusters
            .map(|(it, (snapshot, events))| Seen::new((it.name(), it.environments()), snapshot, events, now))
            .collect();
        let (mut past, mut clocks) = (lock(&self.past), lock(&self.clocks));
        let mut all: Vec<Row> = Vec::new();
        for view in &views {
            all.extend(rows(view, &seen, (&mut past, &mut clocks.watches), now));
            for branch in &view.branches {
                all.extend(ladder::undecided(&view.report, branch));
            }
            all.extend(ladder::rows(&view.report, &view.heads));
            all.extend(ladder::whole(view));
        }
        drop(past);
        clocks.set(&mut all, now);
        all.iter_mut().for_each(|row| late(&mut row.tracked, now));
        let blind = views.iter().filter(|view| view.report.revision.is_none() || view.report.blocked);
        let blind: Vec<&str> = blind.map(|view| view.name.as_str()).collect();
        let standings = clocks.standings(&all, &blind, now);
        drop(clocks);
        self.standings.send_if_modified(|before| {
            let news = !before.same(&standings);
            *before = Arc::new(standings);
            news
        });
        let unread = views.iter().filter(|view| view.report.revision.is_none());
        let mut problems: Vec<String> = unread
            .flat_map(|view| view.report.problems.iter().map(|problem| format!("{}: {}", view.name, problem.message)))
            .collect();
        problems.extend(snapshots.iter().flat_map(troubles));
        let unwell = all.iter().flat_map(|row| {
            let cluster = row.tracked.cluster.clone().unwrap_or_default();
            row.unwell.iter().map(move |object| (cluster.clone(), Arc::clone(object)))
        });
        let unwell = unwell.collect();
        let rows = all.into_iter().map(|row| row.tracked).collect();
        (Rows { rows, problems, at: now }, unwell)
    }

    /// Whether an image that cannot be pulled is in its registry: who watches registries need not guess.
    async fn ask_registries(&self, rows: &mut [Tracked]) {
        let code = |row: &Tracked| row.landing.cause.as_ref().map(|cause| cause.code);
        let asked = |row: &Tracked| {
            row.landing.rung == Some(Rung::Running)
                && matches!(code(row), Some(CauseCode::ImageNotFound | CauseCode::ImageUnauthorized))
        };
        let want = |row: &Tracked| Some(Want::Digest(row.image.clone(), row.declared.version.tag.clone()?));
        let wants: BTreeSet<Want> = rows.iter().filter(|row| asked(row)).filter_map(want).take(MAX_ASKED).collect();
        if wants.is_empty() {
            return;
        }
        let mut facts = Facts::default();
        let recent = self.clock.now().checked_sub(ASKED).unwrap_or(Timestamp::MIN);
        // What a registry said before the node was refused says nothing about that: the tag may have gone in between.
        let refused = rows.iter().filter(|row| asked(row)).filter_map(|row| row.since).max();
        let since = refused.map_or(recent, |refused| refused.max(recent));
        let answers = self.lookup.answer_soon(&wants, since, &mut facts);
        if tokio::time::timeout(TELLING_MORE, answers).await.is_err() {
            return;
        }
        for row in rows.iter_mut().filter(|row| asked(row)) {
            let Some(tag) = row.declared.version.tag.clone() else { continue };
            let said = match facts.digests.get(&(row.image.clone(), tag)) {
                Some(Fact::Known(digest)) => {
                    format!(
                        "the registry has it and gives it to the bot: {digest}; the nodes lack the right, or ask elsewhere"
                    )
                }
                Some(Fact::Absent { message }) => {
                    format!("the registry does not have it for the bot either: {message}")
                }
                Some(Fact::Failed { message, .. }) => format!("the registry cannot be asked: {message}"),
                None => continue,
            };
            if let Some(cause) = &mut row.landing.cause {
                cause.evidence.push(said);
            }
        }
    }

    /// Looks, and tells who is to be told, until `stop`.
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
        loop {
            let generations: Vec<u64> = self.clusters.iter().map(|cluster| cluster.snapshot().generation).collect();
            let cycles = *published.borrow_and_update();
            let began = Instant::now();
            self.turn(cycles).await;
            // A look that takes long must not take all of the machine.
            let rest = GATHER.max(began.elapsed().min(LONGEST_REST));
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.something(&generations, &mut published) => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(rest) => {}
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
            () = tokio::time::sleep(TICK) => {}
        }
    }

    /// One look with its consequences.
    async fn turn(self: &Arc<Self>, cycles: u64) {
        // Without a look nothing is fine: the watchman hears nothing.
        let Some(rows) = self.look().await else { return };
        let now = rows.at;
        let rules = self.rules();
        let beat = self.beat(cycles, now);
        {
            let mut telling = lock(&self.telling);
            let Some(telling) = telling.as_mut() else { return self.remember(None, Instant::now()) };
            let judged: Vec<Tracked> = rows.rows.iter().filter(|row| counts(row)).cloned().collect();
            let (incidents, notices) = step(&telling.incidents, &judged, &rules, now);
            telling.incidents = incidents;
            telling.notifier.tell(&notices);
            telling.notifier.firing(&telling.incidents.open());
            let due = if notices.is_empty() { Instant::now() } else { Instant::now() + REMEMBER };
            self.remember(Some(telling), due);
        }
        if let Some(cycle) = beat {
            let heartbeat = lock(&self.telling).as_ref().and_then(|telling| telling.heartbeat.clone());
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
        let good = |view: &View| !view.report.incomplete() && now.duration_since(view.at) <= limit;
        let round = u64::try_from(views.len()).unwrap_or(1).max(1);
        let due = cycles.is_multiple_of(round) && self.beaten.swap(cycles, Ordering::Relaxed) != cycles;
        due.then(|| if views.values().all(good) { Cycle::Good } else { Cycle::Failed })
    }

    fn rules(&self) -> Rules {
        let mut rules = self.rules.clone();
        let views = lock(&self.views);
        let unread = |view: &&View| view.report.revision.is_none() || ladder::whole(view).is_some();
        rules.unread = views.values().filter(unread).map(|view| view.name.clone()).collect();
        rules
    }

    /// Keeps what a restart must not forget, at once where `due` lies ahead, else from time to time. A cache that cannot be
    /// written costs a repeated message at most.
    fn remember(&self, telling: Option<&mut Telling>, due: Instant) {
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
        if let Some(telling) = telling {
            keep(INCIDENTS, json(&telling.incidents.memory()));
            keep(SINKS, json(&telling.notifier.memory()));
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
        let telling = lock(&self.telling).take();
        if let Some(mut telling) = telling {
            telling.notifier.flush(Duration::from_secs(3)).await;
            self.remember(Some(&mut telling), Instant::now() + REMEMBER);
        }
    }
}

impl Telling {
    fn start(sinks: Vec<SinkSettings>, heartbeat: Option<&HeartbeatSettings>, store: &Store, clock: &Clock) -> Self {
        let clock = clock.clone();
        let memory: BTreeMap<String, SinkMemory> = remembered(store, SINKS).unwrap_or_default();
        let notifier = Notifier::start(notify::Setup {
            sinks,
            memory,
            render: message::alert,
            clock: Arc::new(move || clock.now()),
            pace: Pace::default(),
        });
        let incidents = remembered::<Memory>(store, INCIDENTS).map(Incidents::from).unwrap_or_default();
        let heartbeat = heartbeat.and_then(|settings| match Heartbeat::new(settings) {
            Ok(heartbeat) => Some(Arc::new(tokio::sync::Mutex::new(heartbeat))),
            Err(error) => {
                tracing::error!(%error, "the heartbeat cannot beat; correct `heartbeat` in the configuration");
                None
            }
        });
        Self { notifier, incidents, heartbeat }
    }
}

/// Whether a row can be an incident: not where nobody said where it runs.
fn counts(row: &Tracked) -> bool {
    let code = row.landing.cause.as_ref().map(|cause| cause.code);
    // A gate that was meant to hold is no alarm, however long it holds.
    let gated = row.landing.state == State::Paused && row.landing.rung == Some(Rung::Committed);
    let unasked = row.cluster.is_none() && code == Some(CauseCode::Unproven);
    !gated && !unasked
}

/// What still moves in a cluster after its deadline is stuck. People who review are late, not stuck.
fn late(row: &mut Tracked, now: Timestamp) {
    let after_git = matches!(row.landing.rung, Some(Rung::Fetched | Rung::Applied | Rung::RolledOut | Rung::Running));
    if row.landing.state == State::Pending && after_git && row.deadline.is_some_and(|deadline| deadline <= now) {
        row.landing.state = State::Stuck;
    }
}

/// What is wrong with a cluster as a whole, one line per reason.
fn troubles(snapshot: &Snapshot) -> Vec<String> {
    let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (kind, status) in &snapshot.kinds {
        let reason = match &status.state {
            KindState::Disconnected { since, message } => format!("not heard of since {since:.0}: {message}"),
            KindState::Forbidden { rule, .. } => format!("not permitted; add to the bot's role:\n{rule}"),
            KindState::Starting => "not listed yet".to_owned(),
            KindState::Synced { .. } | KindState::NotInstalled => continue,
        };
        reasons.entry(reason).or_default().push(kind.name());
    }
    let line =
        |(reason, kinds): (String, Vec<&str>)| format!("cluster {}: {}: {reason}", snapshot.cluster, kinds.join(", "));
    reasons.into_iter().map(line).collect()
}

/// When versions were first seen running, as far as this cache goes.
#[must_use]
pub fn landed(store: &Store) -> Landed {
    remembered::<Clocks>(store, CLOCKS).unwrap_or_default().landed()
}

fn remembered<T: DeserializeOwned>(store: &Store, key: &str) -> Option<T> {
    let bytes = store.memory(key)?;
    match serde_json::from_slice(&bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(%error, key, "what was remembered cannot be read; what is open may be told once more");
            None
        }
    }
}

fn json<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
