//! Who is notified, and what is remembered about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::landing::incidents::{Incidents, Memory, Rules, step};
use crate::message;
use crate::model::{CauseCode, Notice, Rung, State, Tracked};
use crate::notify::{self, Cycle, Heartbeat, HeartbeatSettings, Notifier, Pace, Receivers, SinkMemory, SinkSettings};
use crate::store::{Store, json};

use super::super::clock::Clock;

/// The key of sent notices in the cache.
const INCIDENTS: &str = "incidents";
const SINKS: &str = "sinks";

/// Maximum time for the last notices at the end.
const LAST: Duration = Duration::from_secs(3);

/// The receivers, and the notices they got.
#[derive(Debug)]
pub(super) struct Notifications {
    notifier: Notifier,
    incidents: Incidents,
    heartbeat: Option<Arc<tokio::sync::Mutex<Heartbeat>>>,
    /// Whether somebody is notified; what nobody was told is not kept in the place of what somebody was.
    heard: bool,
}

impl Notifications {
    /// Starts with earlier notices, as far as the cache has them.
    pub(super) fn start(
        sinks: Vec<SinkSettings>,
        heartbeat: Option<&HeartbeatSettings>,
        store: &Store,
        clock: &Clock,
    ) -> Self {
        let clock = clock.clone();
        let memory: BTreeMap<String, SinkMemory> = store.remembered(SINKS).unwrap_or_default();
        let notifier = Notifier::start(notify::Setup {
            sinks,
            memory,
            render: message::alert,
            clock: Arc::new(move || clock.now()),
            pace: Pace::default(),
        });
        let incidents = store.remembered::<Memory>(INCIDENTS).map(Incidents::from).unwrap_or_default();
        let heartbeat = heartbeat.and_then(|settings| match Heartbeat::new(settings) {
            Ok(heartbeat) => Some(Arc::new(tokio::sync::Mutex::new(heartbeat))),
            Err(error) => {
                tracing::error!(%error, "the heartbeat cannot be sent; correct `heartbeat` in the configuration");
                None
            }
        });
        Self { notifier, incidents, heartbeat, heard: true }
    }

    /// Incidents that nobody is notified of, to be shown.
    pub(super) fn unheard(store: &Store, clock: &Clock) -> Self {
        Self { heard: false, ..Self::start(Vec::new(), None, store, clock) }
    }

    /// Notifies about the rows of a pass; returns whether there was anything to send.
    pub(super) fn notify(&mut self, rows: &[Tracked], rules: &Rules, now: Timestamp) -> bool {
        let judged: Vec<Tracked> = rows.iter().filter(|row| counts(row)).cloned().collect();
        let (incidents, notices) = step(&self.incidents, &judged, rules, now);
        self.incidents = incidents;
        self.notifier.tell(&notices);
        self.notifier.firing(&self.incidents.open());
        !notices.is_empty()
    }

    /// A view of the receivers.
    pub(super) fn receivers(&self) -> Receivers {
        self.notifier.receivers()
    }

    /// The incidents that are open.
    pub(super) fn open(&self) -> Vec<&Notice> {
        self.incidents.open()
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
        [(INCIDENTS, json(&self.incidents.memory())), (SINKS, json(&self.notifier.memory()))]
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
