//! Who is told, and what is remembered of that.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::landing::incidents::{Incidents, Memory, Rules, step};
use crate::message;
use crate::model::{CauseCode, Rung, State, Tracked};
use crate::notify::{self, Heartbeat, HeartbeatSettings, Notifier, Pace, SinkMemory, SinkSettings};
use crate::store::Store;

use super::super::clock::Clock;

/// Where the cache has what was told.
const INCIDENTS: &str = "incidents";
const SINKS: &str = "sinks";

/// Who is told, and what they were told.
#[derive(Debug)]
pub(super) struct Notifications {
    pub(super) notifier: Notifier,
    incidents: Incidents,
    pub(super) heartbeat: Option<Arc<tokio::sync::Mutex<Heartbeat>>>,
}

impl Notifications {
    /// With what was told before, as far as the cache goes.
    pub(super) fn start(
        sinks: Vec<SinkSettings>,
        heartbeat: Option<&HeartbeatSettings>,
        store: &Store,
        clock: &Clock,
    ) -> Self {
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

    /// Tells what follows from the rows of a look; whether there was anything to tell.
    pub(super) fn tell(&mut self, rows: &[Tracked], rules: &Rules, now: Timestamp) -> bool {
        let judged: Vec<Tracked> = rows.iter().filter(|row| counts(row)).cloned().collect();
        let (incidents, notices) = step(&self.incidents, &judged, rules, now);
        self.incidents = incidents;
        self.notifier.tell(&notices);
        self.notifier.firing(&self.incidents.open());
        !notices.is_empty()
    }

    /// What a restart must not forget, by the cache's keys.
    pub(super) fn memory(&self) -> [(&'static str, Option<Vec<u8>>); 2] {
        [(INCIDENTS, json(&self.incidents.memory())), (SINKS, json(&self.notifier.memory()))]
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

/// What the cache remembers under a key; what cannot be read is forgotten aloud.
pub(super) fn remembered<T: DeserializeOwned>(store: &Store, key: &str) -> Option<T> {
    let bytes = store.memory(key)?;
    match serde_json::from_slice(&bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(%error, key, "what was remembered cannot be read; what is open may be told once more");
            None
        }
    }
}

/// As it is remembered.
pub(super) fn json<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}
