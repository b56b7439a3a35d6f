//! Who is notified, and what is remembered about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::landing::incidents::{Incidents, Memory, Rules, step};
use crate::message;
use crate::model::{CauseCode, Fence, Notice, Rung, State, Tracked};
use crate::notify::{self, Cycle, Heartbeat, HeartbeatSettings, Notifier, Pace, Receivers, SinkMemory, SinkSettings};
use crate::store::{Store, json};

use super::super::clock::Clock;
use super::super::replicas::Replicas;
use super::told::LeaseNotices;

/// The key of sent notices in the cache.
const INCIDENTS: &str = "incidents";
const SINKS: &str = "sinks";

/// Maximum time for the last notices at the end.
const LAST: Duration = Duration::from_secs(3);

/// The receivers, and the notices they got.
#[derive(Debug)]
pub(super) struct Notifications {
    notifier: Notifier,
    /// By repository where several replicas share them, and otherwise all in one.
    incidents: BTreeMap<Option<String>, Incidents>,
    /// Where several replicas share the repositories: whether this one still works for a repository.
    sharing: Option<Fence>,
    told: Arc<LeaseNotices>,
    heartbeat: Option<Arc<tokio::sync::Mutex<Heartbeat>>>,
    /// Whether somebody is notified; what nobody was told is not kept in the place of what somebody was.
    heard: bool,
}

impl Notifications {
    /// Starts with earlier notices, as far as the cache has them.
    pub(super) fn start(
        sinks: Vec<SinkSettings>,
        heartbeat: Option<&HeartbeatSettings>,
        (store, replicas): (&Store, Option<&Arc<Replicas>>),
        clock: &Clock,
    ) -> Self {
        let clock = clock.clone();
        let mut memory: BTreeMap<String, SinkMemory> = store.remembered(SINKS).unwrap_or_default();
        let sharing = replicas.map(Replicas::fence);
        let heard = !sinks.is_empty();
        if sharing.is_some() {
            // The Leases say it, and this may be older.
            memory.values_mut().for_each(|memory| {
                memory.notified.clear();
                memory.waiting.clear();
            });
        }
        let notifier = Notifier::start(notify::Setup {
            sinks,
            memory,
            render: message::alert,
            clock: Arc::new(move || clock.now()),
            pace: Pace::default(),
            fence: sharing.clone().unwrap_or_else(Fence::open),
        });
        let incidents = match sharing {
            Some(_) => BTreeMap::new(),
            None => [(None, store.remembered::<Memory>(INCIDENTS).map(Incidents::from).unwrap_or_default())].into(),
        };
        let told = Arc::new(LeaseNotices::new(notifier.receivers()));
        let heard = heard || heartbeat.is_some();
        let heartbeat = heartbeat.and_then(|settings| match Heartbeat::new(settings) {
            Ok(heartbeat) => Some(Arc::new(tokio::sync::Mutex::new(heartbeat))),
            Err(error) => {
                tracing::error!(%error, "the heartbeat cannot be sent; correct `heartbeat` in the configuration");
                None
            }
        });
        Self { notifier, incidents, sharing, told, heartbeat, heard }
    }

    /// Incidents that nobody is notified of, to be shown.
    pub(super) fn unheard(store: &Store, clock: &Clock) -> Self {
        Self { heard: false, ..Self::start(Vec::new(), None, (store, None), clock) }
    }

    /// Notifies about the rows of a pass; returns whether there was anything to send.
    pub(super) fn notify(&mut self, rows: &[Tracked], rules: &Rules, now: Timestamp) -> bool {
        let mut notices = Vec::new();
        for (repository, incidents) in &mut self.incidents {
            if let (Some(fence), Some(repository)) = (&self.sharing, repository)
                && fence.check(repository).is_err()
            {
                // Until it is known who goes on with it, nothing is concluded.
                continue;
            }
            let own = |row: &&Tracked| repository.as_ref().is_none_or(|name| *name == row.repository);
            let judged: Vec<Tracked> = rows.iter().filter(|row| counts(row)).filter(own).cloned().collect();
            let (next, news) = step(incidents, &judged, rules, now);
            *incidents = next;
            notices.extend(news);
            if let Some(repository) = repository {
                self.told.keep(repository, incidents.handover());
            }
        }
        self.notifier.tell(&notices);
        self.notifier.firing(&self.open());
        !notices.is_empty()
    }

    /// This replica goes on with a repository, of which its Lease says this.
    pub(super) fn adopt(&mut self, repository: &str, text: Option<&str>) {
        let before = text.map(|text| LeaseNotices::read(repository, text)).unwrap_or_default();
        self.told.keep(repository, before.incidents.clone());
        let incidents = Incidents::from(before.incidents);
        self.notifier.adopt(repository, &before.receivers, &incidents.open());
        self.incidents.insert(Some(repository.to_owned()), incidents);
    }

    /// Another replica goes on with a repository.
    pub(super) fn leave(&mut self, repository: &str) {
        self.told.forget(repository);
        self.notifier.adopt(repository, &BTreeMap::new(), &[]);
        self.incidents.remove(&Some(repository.to_owned()));
    }

    /// What was told, for the Leases.
    pub(super) fn told(&self) -> Arc<LeaseNotices> {
        Arc::clone(&self.told)
    }

    /// A view of the receivers.
    pub(super) fn receivers(&self) -> Receivers {
        self.notifier.receivers()
    }

    /// The incidents that are open.
    pub(super) fn open(&self) -> Vec<&Notice> {
        let mut open: Vec<&Notice> = self.incidents.values().flat_map(Incidents::open).collect();
        open.sort_by_key(|notice| std::cmp::Reverse(notice.incident.severity));
        open
    }

    /// Sends the heartbeat after a cycle, in the background, because a receiver that does not answer must not delay
    /// anybody. A failure is logged, and the next good cycle tries again.
    pub(super) fn beat(&self, cycle: Cycle, now: Timestamp) {
        if let Some(heartbeat) = self.heartbeat.clone() {
            drop(tokio::spawn(async move { drop(heartbeat.lock().await.after(cycle, now).await) }));
        }
    }

    /// Sends the remaining notices.
    pub(super) async fn flush(&mut self) {
        self.notifier.flush(LAST).await;
    }

    /// What a restart must not forget, by cache key.
    pub(super) fn memory(&self) -> [(&'static str, Option<Vec<u8>>); 2] {
        if !self.heard {
            return [(INCIDENTS, None), (SINKS, None)];
        }
        let incidents = self.incidents.get(&None).and_then(|incidents| json(&incidents.memory()));
        [(INCIDENTS, incidents), (SINKS, json(&self.notifier.memory()))]
    }
}

/// Whether a row can be an incident: not if no cluster is configured for it.
fn counts(row: &Tracked) -> bool {
    let code = row.landing.cause.as_ref().map(|cause| cause.code);
    // A gate that holds as intended is no reason for an alert, however long it holds.
    let gated = row.landing.state == State::Paused && row.landing.rung == Some(Rung::Committed);
    let unasked = row.cluster.is_none() && code == Some(CauseCode::Unproven);
    !gated && !unasked
}
