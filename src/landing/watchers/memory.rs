//! Remembers where an overlay had a watcher, so that its row does not vanish when the controller's object is deleted in
//! one of several clusters.
//!
//! A cluster in which an overlay never had a watcher is not one of its clusters: an environment names clusters for many
//! apps, and not every app runs in each. If the overlay did have a watcher there, it is missed until the overlay, its
//! policy or the cluster's environment is removed, or it is watched again. Losing this memory with the cache forgets
//! what was missed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::landing::row::PlaceKey;

/// How long an overlay is remembered after it was last asked for.
const KEEP: SignedDuration = SignedDuration::from_hours(24);

/// Maximum number of remembered pairs of overlay and cluster.
const MAX: usize = if cfg!(test) { 500 } else { 50_000 };

/// Overlay, image and cluster → when it last had a watcher.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WatchMemory(BTreeMap<PlaceKey, WatchedOnce>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct WatchedOnce {
    /// When it last had a watcher.
    last: Timestamp,
    /// When it was last asked for.
    asked: Timestamp,
}

impl WatchMemory {
    /// Records that it is watched.
    pub fn seen(&mut self, key: PlaceKey, now: Timestamp) {
        if self.0.len() >= MAX && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, watched)| watched.asked).map(|(key, _)| key.clone());
            oldest.map(|key| self.0.remove(&key));
        }
        self.0.insert(key, WatchedOnce { last: now, asked: now });
    }

    /// When it last had a watcher, if it ever did; for a place where there is none now, or where that is unknown.
    pub fn missed(&mut self, key: &PlaceKey, now: Timestamp) -> Option<Timestamp> {
        let watched = self.0.get_mut(key)?;
        watched.asked = watched.asked.max(now);
        Some(watched.last)
    }

    /// Forgets places that are no longer declared, or no longer for that cluster.
    pub fn tidy(&mut self, now: Timestamp) {
        self.0.retain(|_, watched| now.duration_since(watched.asked) < KEEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + hours * 3600).unwrap()
    }

    #[test]
    fn only_who_was_seen_is_missed_and_as_long_as_it_is_asked_for() {
        let mut watches = WatchMemory::default();
        watches.seen(PlaceKey::of(["web", "eu-1"]), at(0));
        assert_eq!(watches.missed(&PlaceKey::of(["web", "us-1"]), at(1)), None);
        for hour in 1..100 {
            assert_eq!(watches.missed(&PlaceKey::of(["web", "eu-1"]), at(hour)), Some(at(0)), "hour {hour}");
            watches.tidy(at(hour));
            // A restart in between changes nothing.
            watches = serde_json::from_str(&serde_json::to_string(&watches).unwrap()).unwrap();
        }
        watches.tidy(at(99 + 25));
        assert_eq!(watches.missed(&PlaceKey::of(["web", "eu-1"]), at(125)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut watches = WatchMemory::default();
        for number in 0..MAX + 3 {
            watches.seen(PlaceKey::of([&format!("{number:08}")]), at(i64::try_from(number).unwrap()));
        }
        assert_eq!(watches.0.len(), MAX);
        assert_eq!(watches.missed(&PlaceKey::of(["00000000"]), at(0)), None);
    }
}
