//! Since when the tips of the bot's branches have existed: by the bot's own clock, not by the dates of their commits,
//! which are whatever their writers claim.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::daemon::execute::Refs;
use crate::model::{BranchName, CommitId};
use crate::plan::Head;
use crate::store::{self, Store};

/// From this number on, branches that are gone are forgotten.
const MAX_HEADS: usize = 10_000;

/// The observations, by short branch name.
#[derive(Debug, Default)]
pub(super) struct SeenHeads {
    /// `None` before the cache was read.
    known: Option<BTreeMap<String, SeenHead>>,
    /// Whether the cache is out of date.
    changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SeenHead {
    tip: String,
    at: Timestamp,
    /// Whether it existed when the branch was first seen.
    #[serde(default)]
    met: bool,
}

impl SeenHeads {
    /// Sets the time at which each head was first seen.
    pub(super) fn date(
        &mut self,
        heads: &mut BTreeMap<String, Head>,
        (repository, store): (&str, &Store),
        now: Timestamp,
    ) {
        if self.known.is_none() {
            let stored = store.memory(&key(repository)).and_then(|bytes| serde_json::from_slice(&bytes).ok());
            self.known = Some(stored.unwrap_or_default());
        }
        for (name, head) in heads.iter_mut() {
            let (seen, met) = self.note(name, &head.tip, SeenBy::Reading, now);
            head.made = head.made.map(|_| seen);
            head.met = met;
        }
    }

    /// Records that the bot itself has just pushed this tip.
    pub(super) fn has_pushed(&mut self, branch: &BranchName, tip: &CommitId, now: Timestamp) {
        let _since = self.note(branch.as_str(), tip, SeenBy::Pushing, now);
    }

    /// Writes to the cache what was observed about branches that still exist.
    pub(super) fn keep(&mut self, refs: &Refs, (repository, store): (&str, &Store)) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let Some(known) = &mut self.known else { return };
        // The newest branches are not among the refs, which were read before they were pushed.
        if known.len() > MAX_HEADS {
            known.retain(|name, _| refs.contains_key(&format!("refs/heads/{name}")));
        }
        if let Ok(bytes) = serde_json::to_vec(known)
            && let Err(error) = store.write(&[store::Entry::Memory { key: key(repository), bytes }])
        {
            tracing::debug!(%error, "since when the bot's branches are there is not remembered");
        }
    }

    /// Records that a branch has this tip; returns since when it has, and whether it had it when it was first seen.
    fn note(&mut self, branch: &str, tip: &CommitId, by: SeenBy, now: Timestamp) -> (Timestamp, bool) {
        let known = self.known.get_or_insert_default();
        let before = known.get(branch);
        // A clock that was set back must not make a tip younger than it can be, nor older than it is.
        if let Some(seen) = before.filter(|seen| seen.tip == tip.as_str() && seen.at <= now) {
            return (seen.at, seen.met);
        }
        let met = before.is_none() && by == SeenBy::Reading;
        drop(known.insert(branch.to_owned(), SeenHead { tip: tip.as_str().to_owned(), at: now, met }));
        self.changed = true;
        (now, met)
    }
}

fn key(repository: &str) -> String {
    format!("heads/{repository}")
}

/// How a tip was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SeenBy {
    /// It was on the remote.
    Reading,
    /// The bot pushed it.
    Pushing,
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
