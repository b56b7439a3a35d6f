//! What a branch declared before: every change of an image's version, with its author and when it reached the branch.
//!
//! Design: the branch's first-parent history is walked from the tip; a step changes an image if the file that declares
//! it differs before and after. A merge stands for what it brought.

mod audit;
mod dora;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::git::{GitError, LogEntry, Mirror, PinKey, ValueChange};
use crate::model::{BranchName, CommitId, UpdateId, Version};
use crate::plan::{BRANCH_ROOT, CommitKind, Declared, kind_of_commit, update_ids};

use crate::daemon::repository::{Repository, kept_as};
use crate::daemon::tracker::BranchView;

pub use audit::{AuditEvent, AuditedBranch, AuditedThing};
pub use dora::{Dora, Median, dora};

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

/// Which changes are asked for.
#[derive(Debug, Clone, Copy)]
pub struct ChangeFilter<'a> {
    /// Of this app; `None` is all.
    pub app: Option<&'a str>,
    /// Of this environment; `None` is all.
    pub environment: Option<&'a str>,
    /// At most so many, the newest.
    pub limit: usize,
}

impl<'a> ChangeFilter<'a> {
    /// Every change of an app.
    #[must_use]
    pub fn of_app(app: &'a str) -> Self {
        Self { app: Some(app), environment: None, limit: usize::MAX }
    }

    fn is_about(&self, image: &Declared) -> bool {
        self.app.is_none_or(|app| image.app == app)
            && self.environment.is_none_or(|environment| image.environment.as_deref() == Some(environment))
    }
}

impl Repository {
    /// The changes of versions that are asked for, newest first.
    ///
    /// # Errors
    /// If an object cannot be read.
    pub fn changes(&mut self, filter: &ChangeFilter<'_>, now: Timestamp) -> Result<Vec<VersionChange>, GitError> {
        let outcome = crate::daemon::outcome::CycleOutcome::new(self.name());
        let view = self.view(outcome, now);
        let mut found = Vec::new();
        for branch in &view.branches {
            found.extend(of_branch(&view.mirror, branch, filter)?.into_iter().map(|(image, at)| (branch, image, at)));
        }
        found.sort_by(|(_, a, x), (_, b, y)| (y.merged, &a.overlay, &a.name).cmp(&(x.merged, &b.overlay, &b.name)));
        found.truncate(filter.limit);
        found.into_iter().map(|(branch, image, at)| change(&view.mirror, branch, image, at)).collect()
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

/// All of a branch's images are asked about, so that what is kept of it serves whoever asks next.
fn of_branch<'b>(
    mirror: &Mirror,
    branch: &'b BranchView,
    filter: &ChangeFilter<'_>,
) -> Result<Vec<(&'b Declared, ValueChange)>, GitError> {
    let images: Vec<(&Declared, PinKey)> =
        branch.declared.iter().filter_map(|image| Some((image, PinKey::from(image.pins.first()?.as_ref())))).collect();
    let pins: Vec<PinKey> = images.iter().map(|(_, key)| key.clone()).collect();
    let changes = mirror.value_changes(&branch.tip, &pins, &kept_as(&branch.name))?;
    let wanted = |change: ValueChange| {
        let (image, _) = images.get(change.pin)?;
        filter.is_about(image).then_some((*image, change))
    };
    Ok(changes.into_iter().filter_map(wanted).collect())
}

/// The number that forges put behind the subject of a squash.
fn squashed(message: &str) -> Option<u64> {
    let (_, number) = message.lines().next()?.trim_end().strip_suffix(')')?.rsplit_once("(#")?;
    number.parse().ok()
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
    ValueChange { arrived, merged, from, to, .. }: ValueChange,
) -> Result<VersionChange, GitError> {
    let entry = mirror.log(&arrived, None, 1)?.into_iter().next();
    let entry = entry.ok_or_else(|| GitError::UnknownCommit { commit: arrived.clone() })?;
    let written = other_side(mirror, &entry);
    let written = written.as_ref().unwrap_or(&entry);
    let scope = image.environment.clone().or_else(|| image.policy.clone()).unwrap_or_default();
    Ok(VersionChange {
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
        arrived,
        squashed: squashed(&entry.message),
        committed: written.time,
        merged,
        landed: BTreeMap::new(),
        kind: kind_of_commit(&written.message),
        lead_time: None,
    })
}
