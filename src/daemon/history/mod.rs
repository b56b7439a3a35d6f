//! What a branch declared before: every change of an image's version, with its author and when it reached the branch.
//!
//! Design: the branch's first-parent history is walked from the tip; a step changes an image if the file that declares
//! it differs before and after. A merge stands for what it brought.

mod dora;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::git::{GitError, History, LogEntry, Mirror, PinKey, ValueAt, WatchedFiles};
use crate::model::{BranchName, CommitId, UpdateId, Version};
use crate::plan::{BRANCH_ROOT, CommitKind, Declared, kind_of_commit, update_ids};

use crate::daemon::repository::Repository;
use crate::daemon::tracker::BranchView;

pub use dora::{Dora, Median, dora};

/// Maximum number of commits walked: more than any real repository has.
const MAX_COMMITS: usize = 1_000_000;

/// A new version, and the version that it replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionChange {
    /// The update's id.
    pub id: UpdateId,
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: Option<String>,
    /// The branch.
    pub branch: BranchName,
    /// The overlay's folder.
    pub overlay: String,
    /// The image.
    pub image: String,
    /// The previously declared version; `null` if there was none.
    pub from: Option<Version>,
    /// The version declared since.
    pub to: Version,
    /// The author of the commit that wrote it.
    pub by: String,
    /// That commit.
    pub commit: CommitId,
    /// The commit of the branch's own line that brought it: the merge, or the same.
    #[serde(skip)]
    pub arrived: CommitId,
    /// The pull request that it says it was squashed from.
    #[serde(skip)]
    pub squashed: Option<u64>,
    /// When it was made.
    pub committed: Timestamp,
    /// When it reached the branch: the merge's time, or the commit's own.
    pub merged: Timestamp,
    /// Where and when it was first seen running, as far as this bot observed it.
    pub landed: BTreeMap<String, Timestamp>,
    /// How it arrived: by the bot from a registry or an environment, by a rollback, or by hand.
    pub kind: CommitKind,
    /// How long it took until it was running; `null` if it was not seen running.
    pub lead_time: Option<LeadTime>,
}

/// How long a version took until it was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeadTime {
    /// Until it had landed in its last cluster.
    pub seconds: i64,
    /// The start.
    pub from: LeadFrom,
}

/// Where a lead time starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeadFrom {
    /// When the bot first saw the tag in its registry.
    FirstSeen,
    /// When the commit was made that wrote it: the bot did not see the tag appear.
    Commit,
}

impl VersionChange {
    /// Adds what the bot has recorded: where it landed, and since when its tag has existed.
    pub fn remember(&mut self, landed: BTreeMap<String, Timestamp>, first_seen: Option<Timestamp>) {
        self.landed = landed;
        let seen = first_seen.filter(|seen| *seen <= self.committed);
        let (begin, from) = seen.map_or((self.committed, LeadFrom::Commit), |seen| (seen, LeadFrom::FirstSeen));
        let last = self.landed.values().max();
        self.lead_time = last.map(|last| LeadTime { seconds: last.duration_since(begin).as_secs().max(0), from });
    }
}

impl Repository {
    /// Every change of the images of an app (or of all apps), newest first, at most `limit`.
    ///
    /// # Errors
    /// If an object cannot be read.
    pub fn changes(&mut self, app: Option<&str>, limit: usize, now: Timestamp) -> Result<Vec<VersionChange>, GitError> {
        let outcome = crate::daemon::outcome::CycleOutcome::new(self.name());
        let view = self.view(outcome, now);
        let mut changes = Vec::new();
        for branch in &view.branches {
            changes.extend(of_branch(&view.mirror, branch, app)?);
        }
        changes.sort_by(|a, b| (b.merged, &a.overlay, &a.image).cmp(&(a.merged, &b.overlay, &b.image)));
        changes.truncate(limit);
        Ok(changes)
    }
}

/// How many merges are looked below.
const MAX_MERGES: usize = 50;

/// Most pull requests that are looked up for one answer.
const LOOKED_UP: usize = 50;

impl Repository {
    /// What a squash of a forge without trailers brought was the bot's where the pull request was: that one tells. Of those
    /// that seem to be somebody's own, the first 50 are looked up.
    ///
    /// # Errors
    /// When the forge cannot be asked; what is not known stays as it is.
    pub async fn look_up<'c>(
        &self,
        changes: impl Iterator<Item = &'c mut VersionChange>,
    ) -> Result<(), crate::forge::PullError> {
        let forge = self.pulls().forge();
        let by_hand = changes.filter(|change| change.kind == CommitKind::ByHand);
        let mut known: BTreeMap<u64, String> = BTreeMap::new();
        for change in by_hand {
            let Some(number) = change.squashed else { continue };
            if !known.contains_key(&number) {
                if known.len() >= LOOKED_UP {
                    break;
                }
                let messages = forge.merged_messages(number, &change.arrived, BRANCH_ROOT).await?;
                known.insert(number, messages.join("\n"));
            }
            let said = known.get(&number).map_or("", String::as_str);
            if update_ids(said).contains(&change.id) {
                change.kind = kind_of_commit(said);
            }
        }
        Ok(())
    }
}

fn of_branch(mirror: &Mirror, branch: &BranchView, app: Option<&str>) -> Result<Vec<VersionChange>, GitError> {
    let wanted: Vec<(&Declared, PinKey)> = branch
        .declared
        .iter()
        .filter(|image| app.is_none_or(|app| image.app == app))
        .filter_map(|image| Some((image, PinKey::from(image.pins.first()?.as_ref()))))
        .collect();
    let mut history = History::new();
    let line = first_parents(mirror.log(&branch.tip, None, MAX_COMMITS)?, &branch.tip);
    let watched = WatchedFiles::new(wanted.iter().map(|(_, key)| &key.path));
    let mut changes = Vec::new();
    for (at, entry) in line.iter().enumerate() {
        let before = line.get(at + 1);
        let files = mirror.changed_files(before.map(|before| &before.id), &entry.id, &watched)?;
        for (image, key) in wanted.iter().filter(|(_, key)| files.contains(&key.path)) {
            let to = value(history.value_at(mirror, &entry.id, key)?, key);
            let from = match before {
                Some(before) => value(history.value_at(mirror, &before.id, key)?, key),
                None => None,
            };
            if let Some(to) = to.filter(|to| Some(to) != from.as_ref()) {
                changes.push(change(mirror, branch, image, entry, (from, to)));
            }
        }
    }
    Ok(changes)
}

/// The first-parent history of the branch, newest first.
fn first_parents(log: Vec<LogEntry>, tip: &CommitId) -> Vec<LogEntry> {
    let mut by_id: BTreeMap<CommitId, LogEntry> = log.into_iter().map(|entry| (entry.id.clone(), entry)).collect();
    let mut line = Vec::new();
    let mut next = Some(tip.clone());
    while let Some(entry) = next.and_then(|id| by_id.remove(&id)) {
        next = entry.parents.first().cloned();
        line.push(entry);
    }
    line
}

/// The number that forges put behind the subject of a squash.
fn squashed(message: &str) -> Option<u64> {
    let (_, number) = message.lines().next()?.trim_end().strip_suffix(')')?.rsplit_once("(#")?;
    number.parse().ok()
}

fn value(found: ValueAt, key: &PinKey) -> Option<Version> {
    match found {
        ValueAt::Declared(name, version) if name == key.name => Some(version),
        _ => None,
    }
}

/// What a merge brought was written on the other side, below merges of the branch that were made there meanwhile.
fn other_side(mirror: &Mirror, merge: &LogEntry) -> Option<LogEntry> {
    let read = |commit: &CommitId| mirror.log(commit, None, 1).ok()?.into_iter().next();
    let mut written = read(merge.parents.get(1)?)?;
    for _ in 0..MAX_MERGES {
        match written.parents.as_slice() {
            [below, _] => written = read(below)?,
            _ => break,
        }
    }
    Some(written)
}

fn change(
    mirror: &Mirror,
    branch: &BranchView,
    image: &Declared,
    entry: &LogEntry,
    (from, to): (Option<Version>, Version),
) -> VersionChange {
    let written = other_side(mirror, entry);
    let written = written.as_ref().unwrap_or(entry);
    let scope = image.environment.clone().or_else(|| image.policy.clone()).unwrap_or_default();
    VersionChange {
        id: UpdateId::of(&branch.name, &image.overlay, &scope, &image.name, &to),
        app: image.app.clone(),
        environment: image.environment.clone(),
        branch: branch.name.clone(),
        overlay: image.overlay.clone(),
        image: image.name.to_string(),
        from,
        to,
        by: written.author.name.clone(),
        commit: written.id.clone(),
        arrived: entry.id.clone(),
        squashed: squashed(&entry.message),
        committed: written.time,
        merged: entry.time,
        landed: BTreeMap::new(),
        kind: kind_of_commit(&written.message),
        lead_time: None,
    }
}
