//! Since when the bot's branches have had their tips, and since when they have carried their updates: by the bot's own
//! clock, not by the dates of their commits, which are whatever their writers claim.
//!
//! A branch that only gets what its base has by now has a new tip, on which checks run again, but carries what it
//! carried: what waits for people, or counts what was proposed, goes on from where it was.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::daemon::execute::{PushedHead, Refs};
use crate::model::{CommitId, UpdateId};
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
    /// The ids of the updates that it carries, sorted; empty: unknown.
    #[serde(default)]
    updates: Vec<String>,
    /// Since when it has carried them, if longer than it has had this tip.
    #[serde(default)]
    since: Option<Timestamp>,
}

impl SeenHead {
    /// Since when it has carried its updates.
    fn since(&self) -> Timestamp {
        self.since.map_or(self.at, |since| since.min(self.at))
    }
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
            let seen = self.note(name, (&head.tip, &head.updates), SeenBy::Reading, now);
            let (at, since, met) = (seen.at, seen.since(), seen.met);
            (head.made, head.since) = (head.made.map(|_| at), head.since.map(|_| since));
            head.met = met;
        }
    }

    /// Records that the bot itself has just pushed this.
    pub(super) fn has_pushed(&mut self, pushed: &PushedHead, now: Timestamp) {
        let _seen = self.note(pushed.head.as_str(), (&pushed.tip, &pushed.updates), SeenBy::Pushing, now);
    }

    /// Since when a branch has carried its updates, as far as was observed.
    pub(super) fn since(&self, branch: &str, tip: &CommitId) -> Option<Timestamp> {
        let seen = self.known.as_ref()?.get(branch)?;
        (seen.tip == tip.as_str()).then(|| seen.since())
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

    /// Records what a branch is now.
    fn note(
        &mut self,
        branch: &str,
        (tip, updates): (&CommitId, &[UpdateId]),
        by: SeenBy,
        now: Timestamp,
    ) -> &SeenHead {
        let known = self.known.get_or_insert_default();
        let before = known.get(branch);
        let updates: Vec<String> = updates.iter().map(ToString::to_string).collect();
        // A clock that was set back must not make a tip younger than it can be, nor older than it is.
        let same = before.is_some_and(|seen| seen.tip == tip.as_str() && seen.at <= now);
        if !(same && before.is_some_and(|seen| seen.updates == updates)) {
            let carried = before.filter(|seen| !updates.is_empty() && seen.updates == updates);
            let since = carried.map(SeenHead::since).filter(|since| *since <= now);
            let (at, met) = match before.filter(|_| same) {
                // What it carries was not known before.
                Some(seen) => (seen.at, seen.met),
                None => (now, before.is_none() && by == SeenBy::Reading),
            };
            let seen = SeenHead { tip: tip.as_str().to_owned(), at, met, updates, since };
            drop(known.insert(branch.to_owned(), seen));
            self.changed = true;
        }
        &self.known.get_or_insert_default()[branch]
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

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn tip(digit: char) -> CommitId {
        CommitId::parse(&digit.to_string().repeat(40)).unwrap()
    }

    fn ids(digits: &str) -> Vec<UpdateId> {
        digits.chars().map(|digit| UpdateId::parse(&digit.to_string().repeat(16)).unwrap()).collect()
    }

    #[test]
    fn a_tip_is_as_old_as_it_was_seen() {
        let mut seen = SeenHeads::default();
        for (branch, digit, now, expected) in [
            ("landfall/web", 'a', 100, 100),
            ("landfall/web", 'a', 160, 100),
            ("landfall/api", 'a', 170, 170),
            ("landfall/web", 'b', 180, 180),
            ("landfall/web", 'a', 190, 190),
            ("landfall/web", 'a', 150, 150),
        ] {
            let noted = seen.note(branch, (&tip(digit), &[]), SeenBy::Reading, at(now));
            assert_eq!(noted.at, at(expected), "{branch} {digit} {now}");
        }
    }

    #[test]
    fn what_is_only_brought_up_to_date_is_as_old_as_its_updates() {
        let mut seen = SeenHeads::default();
        for (digit, carries, by, now, expected) in [
            ('a', "1", SeenBy::Pushing, 100, (100, 100)),
            // A merge of its base, by the bot and by a person, and the same made anew.
            ('b', "1", SeenBy::Pushing, 200, (200, 100)),
            ('c', "1", SeenBy::Reading, 300, (300, 100)),
            ('c', "1", SeenBy::Reading, 350, (300, 100)),
            // Another update: nobody has seen that one yet.
            ('d', "12", SeenBy::Pushing, 400, (400, 400)),
            ('e', "12", SeenBy::Pushing, 500, (500, 400)),
            // A clock that was set back.
            ('f', "12", SeenBy::Reading, 90, (90, 90)),
            // What carries nothing known is as old as its tip.
            ('a', "", SeenBy::Reading, 600, (600, 600)),
            ('b', "", SeenBy::Reading, 700, (700, 700)),
        ] {
            let noted = seen.note("landfall/web", (&tip(digit), &ids(carries)), by, at(now));
            assert_eq!((noted.at, noted.since()), (at(expected.0), at(expected.1)), "{digit} {now}");
        }
    }
}
