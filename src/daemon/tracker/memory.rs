//! What a restart must not forget about rows; Git, pull requests and clusters provide the rest.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::landing::clocks::Clocks;
use crate::landing::flapping::Flapping;
use crate::landing::row::Row;
use crate::landing::soak::{SoakPlace, Soaks};
use crate::landing::watchers::WatchMemory;
use crate::model::{CommitId, UpdateId, Version};
use crate::plan::SoakStates;
use crate::store::Store;

/// Its key in the cache.
pub(super) const ROWS: &str = "clocks";

/// What is remembered about rows.
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
    /// Takes the rows of a pass, sets what follows from their past, and returns the health of every declared image.
    /// `unread` are repositories that cannot be read at the moment.
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
    /// The times by cluster, for an update that this commit of the branch brought.
    #[must_use]
    pub fn of(&self, id: &UpdateId, commit: &CommitId) -> BTreeMap<String, Timestamp> {
        self.0.clocks.landed(id, commit)
    }

    /// Since when a version was healthy in a place, even if its arrival was not observed.
    #[must_use]
    pub fn ran(&self, place: &SoakPlace<'_>, version: &Version) -> Option<Timestamp> {
        self.0.soaks.first(place, version)
    }
}

/// When versions were first seen running, as far as this cache knows.
#[must_use]
pub fn landed(store: &Store) -> Landed {
    Landed(store.remembered(ROWS).unwrap_or_default())
}
