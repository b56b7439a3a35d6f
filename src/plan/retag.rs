//! Tags that are pushed again as another image.
//!
//! Promise: under a policy with `onRetag`, a tag that is written, or waits to be written, is compared with the digest
//! under which the bot met it. Another digest is an event with a time of its own, kept in [`TagRecords`], and with
//! `hold` and `alert` nothing follows it until a person releases it.
//!
//! Design: a written digest is its own record. Otherwise the record of the tag decides; it keeps the digests in the order
//! in which they were seen, and belongs to no policy, so that of two policies one may follow and the other hold.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Answer, Digest, ImageName, Manifest, Pin, Tag};
use crate::policy::{Effective, OnRetag};

use super::candidates::{Choice, Choices, failed, problem};
use super::gates::{self, GateHold};
use super::{Attention, Gate, RegistryQuery, Snapshot, Update};

/// How many digests of one tag are kept after the first.
const MOST_PUSHES: usize = 5;

/// What the bot has seen a tag stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRecord {
    /// The digest at first.
    pub digest: Digest,
    /// When that was seen.
    pub seen: Timestamp,
    /// What was pushed under the same tag later, latest last; only the latest few.
    #[serde(default)]
    pub again: Vec<PushedAgain>,
}

/// Another image under a known tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedAgain {
    /// Its digest.
    pub digest: Digest,
    /// When it was noticed.
    pub at: Timestamp,
}

impl TagRecord {
    /// The latest digest.
    #[must_use]
    pub fn latest(&self) -> &Digest {
        self.again.last().map_or(&self.digest, |pushed| &pushed.digest)
    }

    /// The digest before the latest.
    fn previous(&self) -> &Digest {
        self.again.iter().rev().nth(1).map_or(&self.digest, |pushed| &pushed.digest)
    }

    /// Adds what another record of the same tag knows: what was seen first, and what was pushed later, each when it was noticed.
    /// Returns whether that is more.
    pub fn merge(&mut self, other: &Self) -> bool {
        let seen = |record: &Self| {
            let first = (record.seen, record.digest.clone());
            let again = record.again.iter().map(|pushed| (pushed.at, pushed.digest.clone()));
            std::iter::once(first).chain(again).collect::<Vec<_>>()
        };
        let mut all = seen(self);
        let more: Vec<_> = seen(other).into_iter().filter(|sight| !all.contains(sight)).collect();
        all.extend(more);
        all.sort_by_key(|(at, _)| *at);
        all.dedup_by(|later, earlier| later.1 == earlier.1);
        let mut all = all.into_iter();
        let Some((seen, digest)) = all.next() else { return false };
        let mut again: Vec<_> = all.map(|(at, digest)| PushedAgain { digest, at }).collect();
        again.drain(..again.len().saturating_sub(MOST_PUSHES));
        let merged = Self { digest, seen, again };
        let news = merged != *self;
        *self = merged;
        news
    }

    /// Since when the tag has stood for this digest again, if it is the latest and not the first.
    fn since(&self, digest: &Digest) -> Option<Timestamp> {
        self.again.last().filter(|pushed| pushed.digest == *digest).map(|pushed| pushed.at)
    }
}

/// Records by image and tag.
pub type TagRecords = BTreeMap<ImageName, BTreeMap<Tag, TagRecord>>;

/// What a tag stands for now, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagSighting {
    /// The repository.
    pub image: ImageName,
    /// The tag.
    pub tag: Tag,
    /// The digest that a file says, if it says another.
    pub before: Option<Digest>,
    /// The digest now.
    pub digest: Digest,
}

impl TagSighting {
    /// Adds it to what is known of its tag. Returns whether it is news.
    pub fn add_to(&self, record: &mut Option<TagRecord>, now: Timestamp) -> bool {
        let first = || self.before.as_ref().unwrap_or(&self.digest).clone();
        let news = record.is_none();
        let record = record.get_or_insert_with(|| TagRecord { digest: first(), seen: now, again: Vec::new() });
        if *record.latest() == self.digest {
            return news;
        }
        record.again.push(PushedAgain { digest: self.digest.clone(), at: now });
        record.again.drain(..record.again.len().saturating_sub(MOST_PUSHES));
        true
    }
}

/// What the written tag of a pin stands for now, compared with what it stood for.
pub(super) enum Compared {
    /// Nobody wants to know, or it is the same.
    Same,
    /// The answer is missing and has been requested.
    Pending,
    /// It is this digest now.
    Other(Digest),
    /// It cannot be found out.
    Unknown(Choice),
}

/// Compares the written tag of a pin with its registry.
pub(super) fn compare(
    snapshot: &Snapshot<'_>,
    name: &ImageName,
    (effective, pin): (&Effective, &Pin),
    choices: &mut Choices,
) -> Compared {
    let (Some(_), Some(tag)) = (&effective.fields.on_retag, &pin.version.tag) else { return Compared::Same };
    let key = (name.clone(), tag.clone());
    let digest = match snapshot.answers.digests.get(&key) {
        None => {
            choices.queries.registry.insert(RegistryQuery::Digest(key.0, key.1));
            return Compared::Pending;
        }
        Some(Answer::Known(digest)) => digest,
        Some(Answer::Absent { message }) => {
            return Compared::Unknown(problem(format!("the written tag is gone: {message}")));
        }
        Some(Answer::Failed { message, code, .. }) => return Compared::Unknown(failed(message, *code)),
    };
    let record = record(snapshot, name, tag);
    let same = match &pin.version.digest {
        Some(written) => written == digest,
        None => record.is_none_or(|record| record.again.is_empty() && record.digest == *digest),
    };
    if same {
        let (image, tag) = key;
        choices.sightings.insert(TagSighting { image, tag, before: None, digest: digest.clone() });
        return Compared::Same;
    }
    Compared::Other(digest.clone())
}

/// Why an update has to wait because its tag was pushed again.
pub(super) fn held(
    snapshot: &Snapshot<'_>,
    effective: &Effective,
    (update, manifest): (&Update, Option<&Manifest>),
    choices: &mut Choices,
) -> Option<GateHold> {
    let rule = effective.fields.on_retag.as_ref()?;
    let tag = update.to.tag.as_ref()?;
    let digest = update.to.digest.as_ref().or(manifest.map(|manifest| &manifest.digest))?;
    let written = update.from.digest.as_ref().filter(|_| update.from.tag == update.to.tag);
    let known = record(snapshot, &update.name, tag);
    let (image, before) = (update.name.clone(), written.filter(|written| *written != digest).cloned());
    choices.sightings.insert(TagSighting { image, tag: tag.clone(), before, digest: digest.clone() });
    let (before, since) = match (written, known) {
        (Some(written), _) if written == digest => return None,
        // A record that began with this digest never saw the other one: a release counts from then on.
        (Some(written), known) => {
            let first = |known: &TagRecord| (known.digest == *digest).then_some(known.seen);
            (written, known.and_then(|known| known.since(digest).or_else(|| first(known))))
        }
        (None, None) => return None,
        (None, Some(known)) if known.latest() != digest => (known.latest(), None),
        (None, Some(known)) => (known.previous(), Some(known.since(digest)?)),
    };
    let since = since.unwrap_or(snapshot.now).min(snapshot.now);
    let attention = match rule.value {
        OnRetag::Follow => return None,
        OnRetag::Hold => Attention::Expected,
        OnRetag::Alert => Attention::PushedAgain,
    };
    if gates::is_overridden(snapshot, Gate::Hold) || snapshot.is_released(update, since) {
        return None;
    }
    let reason = format!(
        "{}:{tag} was pushed again as another image: {} became {}, noticed at {since:.0}; it is held until someone runs \
         `landfall release {}` or another tag is written ({}:{} says `onRetag: {}`)",
        update.name,
        before.short(),
        digest.short(),
        update.app,
        rule.origin.file,
        rule.origin.line,
        rule.value.as_str()
    );
    Some(GateHold { attention, ..GateHold::new(Gate::Hold, reason, None) })
}

fn record<'s>(snapshot: &Snapshot<'s>, name: &ImageName, tag: &Tag) -> Option<&'s TagRecord> {
    snapshot.tags?.get(name)?.get(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(all: &str) -> TagRecord {
        let mut seen = all.split_whitespace().map(|one| {
            let (digest, at) = one.split_at(1);
            let digest = Digest::parse(&format!("sha256:{}", digest.repeat(64))).unwrap();
            PushedAgain { digest, at: Timestamp::from_second(at.parse().unwrap()).unwrap() }
        });
        let first = seen.next().unwrap();
        TagRecord { digest: first.digest, seen: first.at, again: seen.collect() }
    }

    #[test]
    fn merged_records_have_what_either_has_seen() {
        for (one, other, merged) in [
            ("a1", "a1", "a1"),
            ("a1", "a5", "a1"),
            ("a1 b2", "a1", "a1 b2"),
            ("a1 b1", "a1", "a1 b1"),
            ("b5", "a1 b2", "a1 b2"),
            ("a1 b2", "a1 b3", "a1 b2"),
            ("a1 b2", "a1 c3", "a1 b2 c3"),
            ("a1 b2 c3 d4 e5 f6", "a1 c7", "a1 c3 d4 e5 f6 c7"),
        ] {
            let (mut here, mut there) = (record(one), record(other));
            assert_eq!(here.merge(&record(other)), merged != one, "{one} and {other}");
            there.merge(&record(one));
            assert_eq!((&here, &there), (&record(merged), &record(merged)), "{one} and {other}");
        }
    }
}
