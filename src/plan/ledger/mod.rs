//! The ledger: what the bot has done, read back from the trailers of its commits.
//!
//! Git is the database. An update whose id is in the history was made once. If the file no longer has its version,
//! somebody removed it, and the update is not made again (G1, G8) until a person releases it.

mod proof;

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::model::wildcard::Steps;
use crate::model::{BranchName, CommitId, UpdateId};

pub use proof::{CommitProof, MovedPin, ReleaseAuthority};

use super::Update;
use proof::Moves;

/// How many times a record is compared with a move, for one commit: each of the bot's is about a few.
const MAX_COMPARISONS: u64 = 1_000_000;

/// How far the clock of another committer may be ahead: a time zone's mistake, not years.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_hours(24);

/// The prefix of every line that the ledger reads.
pub const MARK: &str = "Landfall-";
/// `Landfall-Update`: the id; starts the record of one update.
pub const UPDATE: &str = "Landfall-Update";
/// `Landfall-Image`: the image's normalised name.
pub const IMAGE: &str = "Landfall-Image";
/// `Landfall-Overlay`: the overlay's folder.
pub const OVERLAY: &str = "Landfall-Overlay";
/// `Landfall-From`: the previous version.
pub const FROM: &str = "Landfall-From";
/// `Landfall-To`: the new version.
pub const TO: &str = "Landfall-To";
/// `Landfall-Policy`: the policy that requested it.
pub const POLICY: &str = "Landfall-Policy";
/// `Landfall-Environment`: the environment.
pub const ENVIRONMENT: &str = "Landfall-Environment";
/// `Source-Commit-URL`: the source commit the image was built from, if its annotations name it.
pub const SOURCE: &str = "Source-Commit-URL";
/// `Landfall-Gates`: the gates that the update has passed.
pub const GATES: &str = "Landfall-Gates";
/// `Landfall-Age`: since when an image had existed when it passed `minimum-release-age`, and by which clock.
pub const AGE: &str = "Landfall-Age";
/// `Landfall-Verified`: the digest whose signatures were proved, and by whom they are.
pub const VERIFIED: &str = "Landfall-Verified";
/// `Landfall-Promoted-From`: its evidence, and where that is from.
pub const PROMOTED_FROM: &str = "Landfall-Promoted-From";
/// `Landfall-Override`: the gates that a person opened, who did so, and why.
pub const OVERRIDE: &str = "Landfall-Override";
/// `Landfall-Rollback`: the id of the update that this one reverts.
pub const ROLLBACK: &str = "Landfall-Rollback";
/// `Landfall-Release`: the id of an update that may be made again; starts a record of its own.
pub const RELEASE: &str = "Landfall-Release";
/// `Landfall-Decision`: a person's decision: freeze, unfreeze, hold, release or rollback.
pub const DECISION: &str = "Landfall-Decision";
/// `Landfall-By`: who decided.
pub const BY: &str = "Landfall-By";
/// `Landfall-Reason`: why.
pub const REASON: &str = "Landfall-Reason";

/// A past update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastUpdate {
    /// The commit that made it.
    pub commit: CommitId,
    /// When it was made, according to its committer.
    pub at: Timestamp,
    /// Whether the bot has since moved the same image in the same place to another version.
    pub superseded: bool,
    /// Which commit of the history it is, among those with records.
    pub nth: usize,
}

/// An update that was rolled back through the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// The commit that did it.
    pub commit: CommitId,
    /// When.
    pub at: Timestamp,
    /// Who requested it.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// As in [`PastUpdate::nth`].
    pub nth: usize,
}

/// A person's decision to release something that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The commit that records it.
    pub commit: CommitId,
    /// When.
    pub at: Timestamp,
    /// As in [`PastUpdate::nth`].
    pub nth: usize,
}

/// All past updates in one branch's history.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// How many commits with records there are.
    entered: usize,
    done: HashMap<UpdateId, PastUpdate>,
    /// The last update of each image in each place.
    latest: HashMap<UpdatePlace, UpdateId>,
    /// The places of each overlay.
    places: HashMap<String, Vec<UpdatePlace>>,
    rolled_back: HashMap<UpdateId, RolledBack>,
    /// Which updates a commit of the bot reverted.
    rollbacks: HashMap<CommitId, Vec<UpdateId>>,
    releases: Releases,
    /// All updates in order of time.
    made: Vec<DatedUpdate>,
    /// The commits that made them.
    commits: HashSet<CommitId>,
}

/// One update in the history.
#[derive(Debug, Clone)]
pub(super) struct DatedUpdate {
    pub(super) at: Timestamp,
    pub(super) place: UpdatePlace,
    /// The tag that it went to; empty if there is none.
    pub(super) tag: String,
}

/// What people have released.
#[derive(Debug, Clone, Default)]
pub struct Releases {
    updates: HashMap<UpdateId, Release>,
    places: HashMap<UpdatePlace, Release>,
}

/// Where an update is made, according to its trailers: overlay, image, and environment or otherwise policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct UpdatePlace {
    pub(super) overlay: String,
    pub(super) image: String,
    pub(super) environment: Option<String>,
    /// Empty if there is an environment.
    pub(super) policy: String,
}

impl UpdatePlace {
    /// The place of an update.
    #[must_use]
    pub fn of(update: &Update) -> Self {
        let policy = if update.environment.is_some() { String::new() } else { update.policy.clone() };
        let (overlay, image) = (update.overlay.clone(), update.name.to_string());
        Self { overlay, image, environment: update.environment.clone(), policy }
    }
}

impl Releases {
    /// The release of an update, or of its place, that is not older than `since`; commits have a resolution of whole
    /// seconds.
    #[must_use]
    pub fn since(&self, id: &UpdateId, place: &UpdatePlace, since: Timestamp) -> Option<&Release> {
        let own = [self.updates.get(id), self.places.get(place)];
        own.into_iter().flatten().find(|release| release.at.as_second() >= since.as_second())
    }

    /// The release of an update, or of its place, that came after a commit of the same history. Commits' times decide nothing here:
    /// they are whatever their writers say.
    #[must_use]
    pub fn after(&self, id: &UpdateId, place: &UpdatePlace, nth: usize) -> Option<&Release> {
        let own = [self.updates.get(id), self.places.get(place)];
        own.into_iter().flatten().find(|release| release.nth > nth)
    }

    /// Whatever was done after a release needs another release.
    fn forget(&mut self, id: &UpdateId, place: &UpdatePlace) {
        drop(self.updates.remove(id));
        drop(self.places.remove(place));
    }
}

impl Ledger {
    /// Records one commit of the branch's history, which is read oldest first: what its message says, as far as the
    /// proof supports it.
    pub fn record(
        &mut self,
        branch: &BranchName,
        commit: &CommitId,
        (at, message): (Timestamp, &str),
        proof: &CommitProof,
    ) {
        self.record_judged(commit, (at, message), &verdicts(branch, message, proof));
    }

    /// The same where it is known already which of the message's records count.
    pub fn record_judged(&mut self, commit: &CommitId, (at, message): (Timestamp, &str), verdicts: &[bool]) {
        self.take_in(commit, at, message, |nth| verdicts.get(nth) == Some(&true));
    }

    /// The same for a message that is trusted.
    #[cfg(test)]
    pub(crate) fn record_unproven(&mut self, commit: &CommitId, at: Timestamp, message: &str) {
        self.take_in(commit, at, message, |_| true);
    }

    fn take_in(&mut self, commit: &CommitId, at: Timestamp, message: &str, counts: impl Fn(usize) -> bool) {
        let (mut by, mut reason, nth_commit) = (None, None, self.entered);
        self.entered += 1;
        for (key, value) in trailers(message) {
            match key {
                BY => by = Some(value.to_owned()),
                REASON => reason = Some(value.to_owned()),
                _ => {}
            }
        }
        for (nth, record) in records(message).into_iter().enumerate() {
            if !counts(nth) {
                continue;
            }
            let Record { kind, id, place, tag, rollback } = record;
            if kind == RecordKind::Release {
                let release = Release { commit: commit.clone(), at, nth: nth_commit };
                drop(self.rolled_back.remove(&id));
                drop(self.releases.updates.insert(id, release.clone()));
                drop(self.releases.places.insert(place, release));
                continue;
            }
            self.commits.insert(commit.clone());
            self.releases.forget(&id, &place);
            drop(self.rolled_back.remove(&id));
            if let Some(bad) = rollback {
                let (by, reason) = (by.clone(), reason.clone());
                let back = RolledBack { commit: commit.clone(), at, by, reason, nth: nth_commit };
                drop(self.rolled_back.insert(bad.clone(), back));
                self.rollbacks.entry(commit.clone()).or_default().push(bad);
            }
            // A merge brings a commit that may be days older than those before it.
            let after = self.made.partition_point(|other| other.at <= at);
            self.made.insert(after, DatedUpdate { at, place: place.clone(), tag });
            match self.latest.insert(place.clone(), id.clone()) {
                Some(before) => {
                    if let Some(before) = self.done.get_mut(&before) {
                        before.superseded = true;
                    }
                }
                None => self.places.entry(place.overlay.clone()).or_default().push(place),
            }
            let made = PastUpdate { commit: commit.clone(), at, superseded: false, nth: nth_commit };
            drop(self.done.insert(id, made));
        }
    }

    /// The updates made after `since`, newest first. The times are those of committers, whose clocks may differ: a time
    /// shortly after `now` counts as now, and one that is further away is no time.
    pub(super) fn since(&self, since: Timestamp, now: Timestamp) -> Vec<(Timestamp, &DatedUpdate)> {
        let latest = now.checked_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
        let recent = self.made.iter().rev().take_while(|made| made.at > since).filter(|made| made.at <= latest);
        recent.map(|made| (made.at.min(now), made)).collect()
    }

    /// The commit that made the update, if any.
    #[must_use]
    pub fn get(&self, id: &UpdateId) -> Option<&PastUpdate> {
        self.done.get(id)
    }

    /// Whether a commit made an update of the bot.
    #[must_use]
    pub fn has_made(&self, commit: &CommitId) -> bool {
        self.commits.contains(commit)
    }

    /// The places in an overlay that the bot has ever written.
    pub(super) fn places_in(&self, overlay: &str) -> &[UpdatePlace] {
        self.places.get(overlay).map_or(&[], Vec::as_slice)
    }

    /// Whether the bot has written this place after a time.
    pub(super) fn has_written_since(&self, place: &UpdatePlace, since: Timestamp) -> bool {
        let later = self.made.iter().rev().take_while(|made| made.at.as_second() > since.as_second());
        later.into_iter().any(|made| made.place == *place)
    }

    /// How an update was rolled back through the bot, unless somebody has released it since.
    #[must_use]
    pub fn rolled_back(&self, id: &UpdateId) -> Option<&RolledBack> {
        self.rolled_back.get(id)
    }

    /// Whether a commit is a rollback.
    #[must_use]
    pub fn is_rollback(&self, commit: &CommitId) -> bool {
        self.rollbacks.contains_key(commit)
    }

    /// Whether an update was ever rolled back through the bot.
    #[must_use]
    pub fn was_rolled_back(&self, id: &UpdateId) -> bool {
        self.rollbacks.values().flatten().any(|bad| bad == id)
    }

    /// What this history releases.
    #[must_use]
    pub fn releases(&self) -> &Releases {
        &self.releases
    }
}

/// The ids that a commit message records as made, in order.
///
/// Any line that starts with the trailer's key counts, not only those in the last paragraph: a forge's squash merge
/// keeps the message but adds `Co-authored-by` after it. A `git revert` quotes only the subject, so it records nothing.
#[must_use]
pub fn update_ids(message: &str) -> Vec<UpdateId> {
    records(message).into_iter().filter(|record| record.kind == RecordKind::Update).map(|record| record.id).collect()
}

/// What the message of a commit records of one update: its own trailers, and those behind several updates that are of all of them. Of a
/// message without this update, every trailer of the bot.
#[must_use]
pub fn recorded<'m>(message: &'m str, id: &UpdateId) -> Vec<(&'m str, &'m str)> {
    let lines: Vec<(&str, &str)> =
        trailers(message).filter(|(key, _)| key.starts_with(MARK) || *key == SOURCE).collect();
    let begins = |(key, _): &(&str, &str)| *key == UPDATE || *key == RELEASE;
    let Some(start) =
        lines.iter().position(|(key, value)| *key == UPDATE && UpdateId::parse(value).as_ref() == Some(id))
    else {
        return lines;
    };
    let end = lines[start + 1..].iter().position(begins).map_or(lines.len(), |after| start + 1 + after);
    let mut own = lines[start..end].to_vec();
    let shared = |(key, _): &(&str, &str)| *key == POLICY;
    if !own.iter().any(shared)
        && let Some(first) = lines[end..].iter().position(shared)
    {
        own.extend(lines[end + first..].iter().take_while(|line| !begins(line)));
    }
    own
}

/// How much a commit of the bot records at most. A message beyond it is somebody else's, and is not taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLimit {
    records: usize,
    bytes: usize,
}

impl RecordLimit {
    /// A commit on a branch of a pull request, which has at most two thousand updates.
    pub const PULL_REQUEST: Self = Self { records: 4_000, bytes: 4 << 20 };
    /// A commit on a base branch, with the updates of tens of thousands of overlays.
    pub const BASE: Self = Self { records: 50_000, bytes: 16 << 20 };

    /// Whether a message records no more, and its trailers are no longer.
    #[must_use]
    pub fn allows(self, message: &str) -> bool {
        let (mut records, mut bytes) = (0, 0);
        for line in message.lines().filter(|line| line.starts_with(MARK)) {
            bytes += line.len();
            records += usize::from(line.starts_with(UPDATE) || line.starts_with(RELEASE));
        }
        records <= self.records && bytes <= self.bytes
    }
}

/// Which of a message's records the proof supports.
#[must_use]
pub fn verdicts(branch: &BranchName, message: &str, proof: &CommitProof) -> Vec<bool> {
    let moved = Moves::of(proof);
    let mut steps = Steps::new(MAX_COMPARISONS);
    records(message).iter().map(|record| moved.bear_out(branch, record, &mut steps)).collect()
}

/// The lines of a commit message that the ledger reads.
#[must_use]
pub fn trailer_lines(message: &str) -> String {
    message.lines().filter(|line| line.starts_with(MARK)).flat_map(|line| [line, "\n"]).collect()
}

/// Whether a commit message contains anything for the ledger.
#[must_use]
pub fn is_recorded(message: &str) -> bool {
    !records(message).is_empty()
}

/// The kind of change in a commit, for the history: `promotion`, `rollback`, `bump`, or not written by the bot.
#[must_use]
pub fn kind_of_commit(message: &str) -> CommitKind {
    let has = |wanted: &str| trailers(message).any(|(key, _)| key == wanted);
    match update_ids(message).is_empty() {
        true => CommitKind::ByHand,
        false if has(ROLLBACK) => CommitKind::Rollback,
        false if has(PROMOTED_FROM) => CommitKind::Promotion,
        false => CommitKind::Bump,
    }
}

/// How a version came to a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommitKind {
    /// The bot took it from a registry.
    Bump,
    /// The bot took it from another environment.
    Promotion,
    /// Somebody requested a rollback.
    Rollback,
    /// Somebody, or something, else wrote it.
    ByHand,
}

impl CommitKind {
    /// The name for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bump => "bump",
            Self::Promotion => "promotion",
            Self::Rollback => "rollback",
            Self::ByHand => "by hand",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecordKind {
    Update,
    Release,
}

/// What one group of trailers records.
struct Record {
    kind: RecordKind,
    id: UpdateId,
    place: UpdatePlace,
    tag: String,
    rollback: Option<UpdateId>,
}

fn trailers(message: &str) -> impl Iterator<Item = (&str, &str)> {
    message.lines().filter_map(|line| line.split_once(':')).map(|(key, value)| (key, value.trim()))
}

/// From which of the records so far a policy, and an environment after it, apply: to the last record, and to those
/// before it that have none of their own.
pub(in crate::plan) fn sharing<'r>(policies: impl DoubleEndedIterator<Item = &'r str> + ExactSizeIterator) -> usize {
    let all = policies.len();
    all.saturating_sub(policies.rev().take_while(|policy| policy.is_empty()).count().max(1))
}

/// The records in a commit message, each with its place. A policy and environment after several records without one
/// apply to all of them.
fn records(message: &str) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut shares = 0;
    let begin = |kind, value: &str| {
        UpdateId::parse(value).map(|id| Record {
            kind,
            id,
            place: UpdatePlace::default(),
            tag: String::new(),
            rollback: None,
        })
    };
    for (key, value) in trailers(message) {
        match (key, records.last_mut()) {
            (UPDATE, _) => records.extend(begin(RecordKind::Update, value)),
            (RELEASE, _) => records.extend(begin(RecordKind::Release, value)),
            (ROLLBACK, Some(record)) => record.rollback = UpdateId::parse(value),
            (OVERLAY, Some(record)) => value.clone_into(&mut record.place.overlay),
            (TO, Some(record)) => value.split('@').next().unwrap_or_default().clone_into(&mut record.tag),
            (IMAGE, Some(record)) => value.clone_into(&mut record.place.image),
            (POLICY, Some(_)) if !value.is_empty() => {
                shares = sharing(records.iter().map(|record| record.place.policy.as_str()));
                records[shares..].iter_mut().for_each(|record| value.clone_into(&mut record.place.policy));
            }
            (ENVIRONMENT, Some(last)) => {
                let from = if last.place.policy.is_empty() { records.len() - 1 } else { shares };
                let environment = |record: &mut Record| record.place.environment = Some(value.to_owned());
                records[from..].iter_mut().for_each(environment);
                // Another environment without a policy of its own is the last record's.
                shares = records.len() - 1;
            }
            _ => {}
        }
    }
    for record in &mut records {
        if record.place.environment.is_some() {
            record.place.policy.clear();
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
    fn what_is_recorded_of_an_update_is_its_own_and_what_is_shared() {
        let message = "x\n\nLandfall-Update: aaaaaaaaaaaaaaaa\nLandfall-To: 1\n\nLandfall-Update: bbbbbbbbbbbbbbbb\nLandfall-To: 2\n\
            Landfall-Policy: prod\nLandfall-Gates: window\n\nLandfall-Release: cccccccccccccccc\nLandfall-By: ann\nCo-authored-by: x";
        let of = |id: &str| {
            let id = UpdateId::parse(&id.repeat(16)).unwrap();
            recorded(message, &id)
                .into_iter()
                .map(|(_, value)| value.chars().take(8).collect())
                .collect::<Vec<String>>()
        };
        assert_eq!(of("a"), ["aaaaaaaa", "1", "prod", "window"]);
        assert_eq!(of("b"), ["bbbbbbbb", "2", "prod", "window"]);
        assert_eq!(of("d").len(), 8, "a message that records something else is shown whole");
    }

    #[test]
    fn what_stands_once_behind_several_updates_is_of_all_of_them() {
        let record = |id: &str| format!("Landfall-Update: {}\nLandfall-Overlay: {id}\n", id.repeat(16));
        let of = |policy: &str, environment: &str| {
            format!("Landfall-Policy: {policy}\nLandfall-Environment: {environment}\n")
        };
        // As a squash of two commits has it: the second's words are not the first's.
        let message = format!(
            "{}{}{}Landfall-Gates: window\n\n{}{}{}{}Landfall-Policy: p\n",
            record("a"),
            record("b"),
            of("prod", "prod"),
            record("c"),
            of("dev", "dev"),
            record("d"),
            record("e"),
        );
        let records = records(&message);
        let found: Vec<_> =
            records.iter().map(|it| (it.place.overlay.as_str(), it.place.environment.as_deref())).collect();
        assert_eq!(found, [("a", Some("prod")), ("b", Some("prod")), ("c", Some("dev")), ("d", None), ("e", None)]);
        let policies: Vec<&str> = records.iter().map(|it| it.place.policy.as_str()).collect();
        assert_eq!(policies, ["", "", "", "p", "p"]);
    }

    #[test]
    fn the_newest_commit_of_an_update_is_kept() {
        let mut ledger = Ledger::default();
        let id = UpdateId::parse("0123456789abcdef").unwrap();
        let newest = CommitId::parse(&"a".repeat(40)).unwrap();
        ledger.record_unproven(
            &CommitId::parse(&"b".repeat(40)).unwrap(),
            Timestamp::UNIX_EPOCH,
            "x\n\nLandfall-Update: 0123456789abcdef",
        );
        ledger.record_unproven(&newest, Timestamp::UNIX_EPOCH, "x\n\nLandfall-Update: 0123456789abcdef");
        assert_eq!(
            ledger.get(&id).unwrap(),
            &PastUpdate { commit: newest, at: Timestamp::UNIX_EPOCH, superseded: false, nth: 1 }
        );
    }

    fn id(text: &str) -> UpdateId {
        UpdateId::parse(&text.repeat(16)).unwrap()
    }

    fn commit(text: &str) -> CommitId {
        CommitId::parse(&text.repeat(40)).unwrap()
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn place(overlay: &str) -> UpdatePlace {
        let environment = Some("prod".to_owned());
        UpdatePlace {
            overlay: overlay.to_owned(),
            image: "ghcr.io/acme/web".to_owned(),
            environment,
            policy: String::new(),
        }
    }

    /// The trailers of one update.
    fn block(key: &str, id: &UpdateId) -> String {
        format!(
            "{key}: {id}\nLandfall-Image: ghcr.io/acme/web\nLandfall-Overlay: web\nLandfall-Policy: p\nLandfall-Environment: prod\n"
        )
    }

    #[test]
    fn a_rollback_holds_until_a_release_or_until_it_is_made_again() {
        let (good, bad) = (id("a"), id("b"));
        let back = format!(
            "x\n\n{}Landfall-Rollback: {bad}\n\nLandfall-By: Ada\nLandfall-Reason: it leaks\n",
            block(UPDATE, &good)
        );
        for (after, held) in [
            ("nothing".to_owned(), true),
            (block(RELEASE, &bad), false),
            (block(RELEASE, &id("c")), true),
            (block(UPDATE, &bad), false),
        ] {
            let mut ledger = Ledger::default();
            ledger.record_unproven(&commit("1"), second(1), &format!("x\n\n{}", block(UPDATE, &bad)));
            ledger.record_unproven(&commit("2"), second(2), &back);
            assert!(ledger.is_rollback(&commit("2")) && !ledger.is_rollback(&commit("1")));
            ledger.record_unproven(&commit("3"), second(3), &format!("x\n\n{after}"));
            assert_eq!(ledger.rolled_back(&bad).is_some(), held, "{after}");
            if let Some(back) = ledger.rolled_back(&bad) {
                assert_eq!((back.by.as_deref(), back.reason.as_deref()), (Some("Ada"), Some("it leaks")));
            }
        }
    }

    #[test]
    fn of_one_history_the_order_counts_and_not_what_commits_say_of_the_time() {
        let mut ledger = Ledger::default();
        ledger.record_unproven(&commit("1"), second(4_080_000_000), &format!("x\n\n{}", block(UPDATE, &id("a"))));
        let released = |ledger: &Ledger| {
            let nth = ledger.get(&id("a")).unwrap().nth;
            ledger.releases().after(&id("a"), &place("web"), nth).is_some()
        };
        assert!(!released(&ledger));
        ledger.record_unproven(&commit("2"), second(10), &format!("x\n\n{}", block(RELEASE, &id("a"))));
        assert!(released(&ledger));
        ledger.record_unproven(&commit("3"), second(5), &format!("x\n\n{}", block(UPDATE, &id("a"))));
        assert!(!released(&ledger));
    }

    #[test]
    fn a_release_counts_for_its_place_until_something_is_done_there() {
        let mut ledger = Ledger::default();
        ledger.record_unproven(&commit("1"), second(10), &format!("x\n\n{}", block(RELEASE, &id("a"))));
        let released = |ledger: &Ledger, name: &str, overlay: &str, since: i64| {
            ledger.releases().since(&id(name), &place(overlay), second(since)).is_some()
        };
        assert!(released(&ledger, "a", "elsewhere", 10) && released(&ledger, "b", "web", 9));
        assert!(!released(&ledger, "b", "elsewhere", 9) && !released(&ledger, "a", "web", 11));
        assert!(ledger.places_in("web").is_empty(), "a release writes nothing");
        ledger.record_unproven(&commit("2"), second(10), &format!("x\n\n{}", block(UPDATE, &id("a"))));
        assert!(!released(&ledger, "a", "web", 10) && ledger.places_in("web") == [place("web")]);
    }

    #[test]
    fn what_records_more_than_the_bot_ever_does_is_told_without_taking_it_apart() {
        let record = "Landfall-Update: 0123456789abcdef\nLandfall-Overlay: apps/web\n";
        for (count, pull, base) in [(1, true, true), (4_000, true, true), (4_001, false, true), (50_001, false, false)]
        {
            let message = format!("x\n\n{}", record.repeat(count));
            let allowed = (RecordLimit::PULL_REQUEST.allows(&message), RecordLimit::BASE.allows(&message));
            assert_eq!(allowed, (pull, base), "{count}");
        }
        let long = format!("{record}Landfall-Gates: {}\n", "x".repeat(5 << 20));
        assert!(!RecordLimit::PULL_REQUEST.allows(&long) && RecordLimit::PULL_REQUEST.allows(&"x".repeat(5 << 20)));
        assert!(crate::plan::carried(&record.repeat(4_001)).is_empty());
    }

    #[test]
    fn lines_that_stand_for_many_records_are_read_once() {
        // Each line for all records before it: with ten thousand of both, a minute and more.
        let records_of = "Landfall-Update: 0123456789abcdef\n".repeat(4_000);
        let begin = std::time::Instant::now();
        for line in ["Landfall-Policy: \n", "Landfall-Environment: prod\n"] {
            let message = format!("{records_of}Landfall-Policy: p\n{}", line.repeat(100_000));
            assert_eq!((records(&message).len(), crate::plan::carried(&message).len()), (4_000, 4_000));
        }
        assert!(begin.elapsed() < std::time::Duration::from_secs(30), "{:?}", begin.elapsed());
    }
}
