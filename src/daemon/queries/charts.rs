//! What has been read of charts' archives, so that each is read once.
//!
//! Kept by the digests of both versions: what a digest stands for never changes. Bounded, and worth nothing but time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{ChartChange, Digest, ImageName, Tag};
use crate::store::{Entry, Store};

/// The cache key for what was read.
const KEY: &str = "charts-1";
/// How many changes are kept, and of what size altogether.
const MOST: usize = 500;
const MOST_BYTES: usize = 2 << 20;

/// A chart that goes from one version to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::daemon) struct ChartStep {
    /// The chart.
    pub(in crate::daemon) name: ImageName,
    /// The version that is written now, if one is.
    pub(in crate::daemon) from: Option<Tag>,
    /// The new one.
    pub(in crate::daemon) to: Tag,
}

/// The versions between which something changes, by their digests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ChartKey(String);

impl ChartKey {
    pub(super) fn new(digests: &[Digest]) -> Self {
        Self(digests.iter().map(Digest::as_str).collect::<Vec<_>>().join(" "))
    }
}

/// A change, how much it takes up, and when it was read.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    change: ChartChange,
    bytes: usize,
    at: Timestamp,
}

/// What is known of charts.
#[derive(Debug, Default)]
pub(super) struct ChartMemory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kept: BTreeMap<ChartKey, Kept>,
    bytes: usize,
    changed: bool,
}

impl ChartMemory {
    pub(super) fn open(store: &Store) -> Self {
        let kept = store.memory(KEY).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let kept: BTreeMap<ChartKey, Kept> = kept.unwrap_or_default();
        let bytes = kept.values().map(|kept| kept.bytes).sum();
        Self(Mutex::new(Inner { kept, bytes, changed: false }))
    }

    pub(super) fn get(&self, key: &ChartKey) -> Option<ChartChange> {
        self.inner().kept.get(key).map(|kept| kept.change.clone())
    }

    pub(super) fn keep(&self, key: ChartKey, change: &ChartChange, at: Timestamp) {
        let bytes = serde_json::to_vec(change).map_or(0, |json| json.len()) + key.0.len();
        let mut inner = self.inner();
        let kept = Kept { change: change.clone(), bytes, at };
        let before = inner.kept.insert(key, kept).map_or(0, |before| before.bytes);
        inner.bytes = inner.bytes + bytes - before;
        inner.changed = true;
        while inner.kept.len() > MOST || inner.bytes > MOST_BYTES {
            let oldest = inner.kept.iter().min_by_key(|(_, kept)| kept.at).map(|(key, _)| key.clone());
            let Some(gone) = oldest.and_then(|oldest| inner.kept.remove(&oldest)) else { return };
            inner.bytes -= gone.bytes;
        }
    }

    /// What is to be stored, if something was read since the last time.
    pub(super) fn news(&self) -> Option<Entry> {
        let mut inner = self.inner();
        if !std::mem::take(&mut inner.changed) {
            return None;
        }
        let bytes = serde_json::to_vec(&inner.kept).ok()?;
        Some(Entry::Memory { key: KEY.to_owned(), bytes })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_kept_within_bounds_and_comes_back_from_the_cache() {
        let (memory, store) = (ChartMemory::default(), Store::in_memory().unwrap());
        let key = |number: usize| ChartKey(number.to_string());
        let at = |number: usize| Timestamp::from_second(i64::try_from(number).unwrap()).unwrap();
        let change = |text: usize| ChartChange { unread: Some("x".repeat(text)), ..ChartChange::default() };
        for number in 0..MOST + 2 {
            memory.keep(key(number), &change(10), at(number));
        }
        assert_eq!((memory.get(&key(1)), memory.get(&key(2))), (None, Some(change(10))), "the oldest went");
        memory.keep(key(9_999), &change(MOST_BYTES - 1_000), at(9_999));
        let kept: usize = memory.inner().kept.values().map(|kept| kept.bytes).sum();
        assert!(kept <= MOST_BYTES && memory.inner().kept.len() < 10, "{kept}");
        store.write(&[memory.news().unwrap()]).unwrap();
        assert!(memory.news().is_none());
        let again = ChartMemory::open(&store);
        assert_eq!(again.get(&key(9_999)), Some(change(MOST_BYTES - 1_000)));
        assert_eq!(again.inner().bytes, kept);
    }
}
