//! What a restart must not forget of rows, beyond Git, pull requests and clusters, which bring the rest back.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::landing::clocks::Clocks;
use crate::landing::flapping::Flapping;
use crate::landing::row::Row;
use crate::landing::soak::{SoakPlace, Soaks};
use crate::landing::watchers::WatchMemory;
use crate::model::{UpdateId, Version};
use crate::plan::SoakStates;
use crate::store::Store;

/// Where the cache has it.
pub(super) const ROWS: &str = "clocks";

/// What is remembered of rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RowMemory {
    #[serde(flatten)]
    clocks: Clocks,
    /// Where overlays were seen to be watched.
    #[serde(default)]
    pub(super) watches: WatchMemory,
    #[serde(default, rename = "flips")]
    flapping: Flapping,
    #[serde(default, rename = "wells")]
    soaks: Soaks,
}

impl RowMemory {
    /// Takes in the rows of a pass, sets what follows from their past, and gives how every declared image stands. `unread`
    /// are repositories that cannot be read now.
    pub(super) fn take(&mut self, rows: &mut [Row], unread: &[&str], now: Timestamp) -> SoakStates {
        self.flapping.set(rows, now);
        self.clocks.set(rows, now);
        self.watches.tidy(now);
        self.soaks.observe(rows, unread, now)
    }
}

/// When versions were first seen running.
#[derive(Debug, Clone, Default)]
pub struct Landed(RowMemory);

impl Landed {
    /// By cluster, for an update.
    #[must_use]
    pub fn of(&self, id: &UpdateId) -> BTreeMap<String, Timestamp> {
        self.0.clocks.landed(id)
    }

    /// Since when a version was healthy in a place, also where nobody saw it arrive.
    #[must_use]
    pub fn ran(&self, place: &SoakPlace<'_>, version: &Version) -> Option<Timestamp> {
        self.0.soaks.first(place, version)
    }
}

/// When versions were first seen running, as far as this cache goes.
#[must_use]
pub fn landed(store: &Store) -> Landed {
    Landed(remembered(store, ROWS).unwrap_or_default())
}

/// The file by which the process that has the cache shares it with others: a command beside a running daemon knows what
/// the daemon knows.
#[derive(Debug)]
pub(super) struct SharedMemory(Option<PathBuf>);

impl SharedMemory {
    /// In this state folder, where there is one.
    pub(super) fn in_folder(state: Option<&Path>) -> Self {
        Self(state.map(|state| state.join("tracker.json")))
    }

    /// What is remembered: by the own cache, or, where another process has it, by what that shares.
    pub(super) fn read(&self, store: &Store) -> RowMemory {
        if store.is_kept() {
            return remembered(store, ROWS).unwrap_or_default();
        }
        // A file that is not there or half written is as if nothing were remembered.
        let shared = self.0.as_ref().and_then(|path| std::fs::read(path).ok());
        shared.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Shares it, where the cache is our own.
    pub(super) fn write(&self, store: &Store, memory: &RowMemory) {
        let (Some(path), Some(bytes)) = (self.0.as_ref().filter(|_| store.is_kept()), json(memory)) else { return };
        if let Err(error) = replace(path, &bytes) {
            tracing::debug!(path = %path.display(), %error, "what is remembered cannot be shared");
        }
    }
}

/// Writes a file that nobody else may read, whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&new)?.write_all(bytes)?;
    std::fs::rename(&new, path)
}

/// What the cache remembers under a key; what cannot be read is forgotten, and the log says so.
pub(super) fn remembered<T: DeserializeOwned>(store: &Store, key: &str) -> Option<T> {
    let bytes = store.memory(key)?;
    match serde_json::from_slice(&bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(%error, key, "what was remembered cannot be read; what is open may be notified once more");
            None
        }
    }
}

/// As it is remembered.
pub(super) fn json<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}
