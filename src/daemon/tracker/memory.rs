//! What a restart must not forget of rows, beyond Git, pull requests and clusters, which bring the rest back.

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
    /// By cluster, for an update that this commit of the branch brought.
    #[must_use]
    pub fn of(&self, id: &UpdateId, commit: &CommitId) -> BTreeMap<String, Timestamp> {
        self.0.clocks.landed(id, commit)
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
    Landed(store.remembered(ROWS).unwrap_or_default())
}
