//! The ledger: what the bot has done already, read back from the trailers of its commits.
//!
//! Git is the database. An update whose id stands in the history was made once; when the file does not hold its
//! version any more, somebody moved it away, and the update is not made again (G1, G8).

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::{CommitId, UpdateId};

/// `Landfall-Update`: the id; begins the record of one update.
pub const UPDATE: &str = "Landfall-Update";
/// `Landfall-Image`: the image's normalised name.
pub const IMAGE: &str = "Landfall-Image";
/// `Landfall-Overlay`: the overlay's folder.
pub const OVERLAY: &str = "Landfall-Overlay";
/// `Landfall-From`: the version before.
pub const FROM: &str = "Landfall-From";
/// `Landfall-To`: the version after.
pub const TO: &str = "Landfall-To";
/// `Landfall-Policy`: the policy that asked for it.
pub const POLICY: &str = "Landfall-Policy";
/// `Landfall-Environment`: the environment.
pub const ENVIRONMENT: &str = "Landfall-Environment";
/// `Source-Commit-URL`: the source commit the image was built from, where its annotations tell.
pub const SOURCE: &str = "Source-Commit-URL";

/// A past update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The commit that made it.
    pub commit: CommitId,
    /// When it was made, as its committer says.
    pub at: Timestamp,
    /// Whether the bot has moved the same image in the same place to another version since.
    pub superseded: bool,
}

/// All past updates of one branch's history.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    done: HashMap<UpdateId, Done>,
    /// The last update of each image in each place.
    latest: HashMap<Place, UpdateId>,
    /// Every update in the order of the history.
    made: Vec<(Timestamp, Place)>,
}

/// What an update's other trailers say about where it was made: overlay, image, and environment or else policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) overlay: String,
    pub(super) image: String,
    pub(super) environment: Option<String>,
    /// Empty where there is an environment.
    pub(super) policy: String,
}

impl Ledger {
    /// Takes in one commit of the history, which is read oldest first; commits without trailers are nothing.
    pub fn record(&mut self, commit: &CommitId, at: Timestamp, message: &str) {
        for (id, place) in records(message) {
            self.made.push((at, place.clone()));
            if let Some(before) = self.latest.insert(place, id.clone())
                && let Some(before) = self.done.get_mut(&before)
            {
                before.superseded = true;
            }
            drop(self.done.insert(id, Done { commit: commit.clone(), at, superseded: false }));
        }
    }

    /// The updates made after `since`, the newest first. Times are those of committers, whose clocks may differ: what lies
    /// before the span by more than a day ends the search, and what lies ahead of `now` counts as now.
    pub(super) fn since(&self, since: Timestamp, now: Timestamp) -> Vec<(Timestamp, &Place)> {
        let horizon = since.checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
        let recent = self.made.iter().rev().take_while(|(at, _)| *at >= horizon);
        recent.filter(|(at, _)| *at > since).map(|(at, place)| ((*at).min(now), place)).collect()
    }

    /// The commit that made the update, where one did.
    #[must_use]
    pub fn get(&self, id: &UpdateId) -> Option<&Done> {
        self.done.get(id)
    }
}

/// The ids that a commit message records, in order.
///
/// Any line that begins with the trailer's key counts, not only the last paragraph: squash merges of a forge keep the
/// message but put `Co-authored-by` behind it. A `git revert` quotes the subject only, so it records nothing.
#[must_use]
pub fn update_ids(message: &str) -> Vec<UpdateId> {
    records(message).into_iter().map(|(id, _)| id).collect()
}

/// The updates that a commit message records, each with its place.
fn records(message: &str) -> Vec<(UpdateId, Place)> {
    let mut records: Vec<(UpdateId, Place)> = Vec::new();
    for line in message.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match (key, records.last_mut()) {
            (UPDATE, _) => records.extend(UpdateId::parse(value).map(|id| (id, Place::default()))),
            (OVERLAY, Some((_, place))) => value.clone_into(&mut place.overlay),
            (IMAGE, Some((_, place))) => value.clone_into(&mut place.image),
            (POLICY, Some((_, place))) => value.clone_into(&mut place.policy),
            (ENVIRONMENT, Some((_, place))) => place.environment = Some(value.to_owned()),
            _ => {}
        }
    }
    for (_, place) in &mut records {
        if place.environment.is_some() {
            place.policy.clear();
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_at_the_beginning_of_a_line() {
        let message = "dev: bump web\n\n  Landfall-Update: 0000000000000000\n\nLandfall-Update: 0123456789abcdef\nLandfall-Update: fedcba9876543210\n\nCo-authored-by: x";
        let ids: Vec<_> = update_ids(message).iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["0123456789abcdef", "fedcba9876543210"]);
        assert!(update_ids("Revert \"dev: bump web\"\n\nThis reverts commit 123.").is_empty());
        assert!(update_ids("").is_empty());
        assert!(update_ids("x\n\nLandfall-Update: zz\n").is_empty());
    }

    #[test]
    fn the_newest_commit_of_an_update_is_kept() {
        let mut ledger = Ledger::default();
        let id = UpdateId::parse("0123456789abcdef").unwrap();
        let newest = CommitId::parse(&"a".repeat(40)).unwrap();
        ledger.record(
            &CommitId::parse(&"b".repeat(40)).unwrap(),
            Timestamp::UNIX_EPOCH,
            "x\n\nLandfall-Update: 0123456789abcdef",
        );
        ledger.record(&newest, Timestamp::UNIX_EPOCH, "x\n\nLandfall-Update: 0123456789abcdef");
        assert_eq!(ledger.get(&id).unwrap(), &Done { commit: newest, at: Timestamp::UNIX_EPOCH, superseded: false });
    }
}
