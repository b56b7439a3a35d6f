//! Since when the tips of the bot's branches are there: by the bot's own clock, not by the dates of their commits, which are
//! whatever their writers say.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::CommitId;
use crate::plan::Head;
use crate::store::{self, Store};

use super::Repository;

/// From this number on, branches that are gone are forgotten.
const MAX_HEADS: usize = 10_000;

/// What was seen, by short branch name.
#[derive(Debug, Default)]
pub(super) struct SeenHeads {
    /// `None` before the cache was read.
    known: Option<BTreeMap<String, SeenHead>>,
    /// Whether the cache knows less.
    changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SeenHead {
    tip: String,
    at: Timestamp,
    /// Whether it was there when the branch was first met.
    #[serde(default)]
    met: bool,
}

impl SeenHeads {
    fn load(&mut self, key: &str, store: &Store) {
        if self.known.is_none() {
            let stored = store.memory(key).and_then(|bytes| serde_json::from_slice(&bytes).ok());
            self.known = Some(stored.unwrap_or_default());
        }
    }

    /// Notes that a branch has this tip; since when it has, and whether it had it when it was first met.
    fn note(&mut self, branch: &str, tip: &CommitId, by: SeenBy, now: Timestamp) -> (Timestamp, bool) {
        let known = self.known.get_or_insert_default();
        let before = known.get(branch);
        // A clock that went back must not make a tip younger than it can be, nor older than it is.
        if let Some(seen) = before.filter(|seen| seen.tip == tip.as_str() && seen.at <= now) {
            return (seen.at, seen.met);
        }
        let met = before.is_none() && by == SeenBy::Reading;
        drop(known.insert(branch.to_owned(), SeenHead { tip: tip.as_str().to_owned(), at: now, met }));
        self.changed = true;
        (now, met)
    }
}

/// How a tip was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SeenBy {
    /// It stood on the remote.
    Reading,
    /// The bot pushed it.
    Pushing,
}

impl Repository {
    /// Lets the heads say since when they were seen.
    pub(super) fn since_seen(&mut self, heads: &mut BTreeMap<String, Head>, store: &Store, now: Timestamp) {
        let key = self.seen_key();
        self.seen.load(&key, store);
        for (name, head) in heads.iter_mut() {
            let (seen, met) = self.seen.note(name, &head.tip, SeenBy::Reading, now);
            head.made = head.made.map(|_| seen);
            head.met = met;
        }
    }

    /// Writes to the cache what was seen of branches that are still there.
    pub(in crate::daemon) fn keep_seen(&mut self, store: &Store) {
        let (key, refs) = (self.seen_key(), &self.refs);
        if !std::mem::take(&mut self.seen.changed) {
            return;
        }
        let Some(known) = &mut self.seen.known else { return };
        // The newest branches are not among the refs that were read before they were pushed.
        if known.len() > MAX_HEADS {
            known.retain(|name, _| refs.contains_key(&format!("refs/heads/{name}")));
        }
        if let Ok(bytes) = serde_json::to_vec(known)
            && let Err(error) = store.write(&[store::Entry::Memory { key, bytes }])
        {
            tracing::debug!(%error, "since when the bot's branches are there is not remembered");
        }
    }

    fn seen_key(&self) -> String {
        format!("heads/{}", self.settings.name)
    }

    /// Notes that the bot itself has just pushed this tip.
    pub(in crate::daemon) fn has_pushed(&mut self, branch: &str, tip: &CommitId, now: Timestamp) {
        let _since = self.seen.note(branch, tip, SeenBy::Pushing, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tip_is_as_old_as_it_was_seen() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let tip = |digit: char| CommitId::parse(&digit.to_string().repeat(40)).unwrap();
        let mut seen = SeenHeads::default();
        for (branch, tip, now, expected) in [
            ("landfall/web", tip('a'), 100, 100),
            ("landfall/web", tip('a'), 160, 100),
            ("landfall/api", tip('a'), 170, 170),
            ("landfall/web", tip('b'), 180, 180),
            ("landfall/web", tip('a'), 190, 190),
            ("landfall/web", tip('a'), 150, 150),
        ] {
            assert_eq!(seen.note(branch, &tip, SeenBy::Reading, at(now)).0, at(expected), "{branch} {tip} {now}");
        }
    }
}
