//! The `local` forge's records: one JSON file per pull request, `NUMBER.json`, in a tree that the caller keeps in Git.
//!
//! Promise: reading and writing back changes only what was requested: unknown keys, other files, and records of a later
//! version stay as they are. An unreadable record fails the whole call, since it could be the very pull request
//! searched for, and then a second one would be created.
//!
//! Design: pure. `ensure`, `close` and `merged` change the value; [`LocalPulls::to_files`] returns the whole tree. New
//! numbers are one more than the highest one present, so they are unique as long as no record is deleted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::model::{
    BranchName, CommitId, PullRequest, PullRequestSpec, PullState, Review, ReviewState, Reviews, Weight, one_line,
};

/// Larger than any record with the longest text that GitHub would accept.
const RECORD_LIMIT: usize = 1 << 20;

/// One pull request, as stored in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LocalPull {
    /// Its number; the same as in the file's name.
    pub(super) number: u64,
    /// `open`, `merged` or `closed`.
    pub(super) state: LocalState,
    /// Its title.
    pub(super) title: String,
    /// Its text.
    #[serde(default)]
    pub(super) body: String,
    /// The branch with the change.
    pub(super) head: String,
    /// The branch it goes into.
    pub(super) base: String,
    /// The head's tip when the record was last written.
    #[serde(default)]
    pub(super) head_commit: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub(super) labels: Vec<String>,
    /// Whose reviews are requested.
    #[serde(default)]
    pub(super) reviewers: Vec<String>,
    /// Whether it is a draft.
    #[serde(default)]
    pub(super) draft: bool,
    /// When it was opened.
    pub(super) created_at: Timestamp,
    /// When it was closed or merged.
    #[serde(default)]
    pub(super) closed_at: Option<Timestamp>,
    /// The commit that merged it.
    #[serde(default)]
    pub(super) merged_commit: Option<String>,
    /// Reviews: a list of `{by, state, commit, at}`. Kept as it is, since people write here, too; an entry that cannot
    /// be read is a review without a known state.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) reviews: Value,
    /// Unknown keys of later versions, kept.
    #[serde(flatten)]
    pub(super) other: Map<String, Value>,
}

/// The state of a pull request in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LocalState {
    /// Waiting.
    Open,
    /// Merged into its base.
    Merged,
    /// Closed without a merge.
    Closed,
}

/// Why the records cannot be read or changed as requested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LocalError {
    /// Some records cannot be read.
    #[error("pull request records cannot be read: {}; next: repair or remove these files", list(.0))]
    Unreadable(Vec<(String, String)>),
    /// There is no such pull request.
    #[error("there is no pull request {0}")]
    Missing(u64),
    /// It is already closed or merged.
    #[error("pull request {0} is no longer open")]
    NotOpen(u64),
}

fn list(files: &[(String, String)]) -> String {
    let shown: Vec<String> =
        files.iter().take(5).map(|(name, why)| format!("{} ({why})", name.escape_debug())).collect();
    let more =
        if files.len() > shown.len() { format!(" and {} more", files.len() - shown.len()) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// All pull requests of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LocalPulls {
    repository: String,
    records: BTreeMap<u64, Record>,
    /// Files that are not records, passed through.
    others: BTreeMap<String, Vec<u8>>,
}

/// A record with its parsed names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    pull: LocalPull,
    head: BranchName,
    base: BranchName,
}

impl LocalPulls {
    /// Reads the files of a records' tree: names without folders, and contents.
    ///
    /// # Errors
    /// If a file `NUMBER.json` is not a record of that number; all such files are named.
    pub(super) fn parse(files: &[(String, Vec<u8>)]) -> Result<Self, LocalError> {
        let mut pulls = Self::default();
        let mut unreadable = Vec::new();
        for (name, bytes) in files {
            match number_of(name).map(|number| read(number, bytes)) {
                None => drop(pulls.others.insert(name.clone(), bytes.clone())),
                Some(Ok(record)) => drop(pulls.records.insert(record.pull.number, record)),
                Some(Err(reason)) => unreadable.push((name.clone(), reason)),
            }
        }
        if unreadable.is_empty() { Ok(pulls) } else { Err(LocalError::Unreadable(unreadable)) }
    }

    /// The same records, for the repository with this name; addresses read `local:NAME#NUMBER`.
    #[must_use]
    pub(super) fn named(mut self, repository: &str) -> Self {
        repository.clone_into(&mut self.repository);
        self
    }

    /// All of them, oldest first.
    #[must_use]
    pub(super) fn all(&self) -> Vec<PullRequest> {
        self.records.values().map(|record| self.model(record)).collect()
    }

    /// One of them.
    #[must_use]
    pub(super) fn get(&self, number: u64) -> Option<PullRequest> {
        self.records.get(&number).map(|record| self.model(record))
    }

    /// The open ones whose head begins with `head_prefix`, oldest first.
    #[must_use]
    pub(super) fn open_pulls(&self, head_prefix: &str) -> Vec<PullRequest> {
        let ours = |record: &&Record| record.is_open() && record.pull.head.starts_with(head_prefix);
        self.records.values().filter(ours).map(|record| self.model(record)).collect()
    }

    /// Those closed or merged whose head begins with `head_prefix`, the latest to end first.
    #[must_use]
    pub(super) fn closed_pulls(&self, head_prefix: &str) -> Vec<PullRequest> {
        let ours = |record: &&Record| !record.is_open() && record.pull.head.starts_with(head_prefix);
        let mut closed: Vec<PullRequest> =
            self.records.values().filter(ours).map(|record| self.model(record)).collect();
        closed.sort_by_key(|pull| std::cmp::Reverse((pull.closed_at, pull.number)));
        closed
    }

    /// Those from `head` into `base` in every state, newest first.
    #[must_use]
    pub(super) fn pulls_of(&self, head: &BranchName, base: &BranchName) -> Vec<PullRequest> {
        let between = |record: &&Record| (&record.head, &record.base) == (head, base);
        self.records.values().rev().filter(between).map(|record| self.model(record)).collect()
    }

    /// Finds or creates the open pull request from `spec.head` into `spec.base`, and brings it up to `spec`: title,
    /// text and head are replaced, labels and reviewers added. A second call changes nothing.
    pub(super) fn ensure(&mut self, spec: &PullRequestSpec, head_commit: &CommitId, now: Timestamp) -> PullRequest {
        let open = |record: &&Record| record.is_open() && (&record.head, &record.base) == (&spec.head, &spec.base);
        let found = self.records.values().find(open).map(|record| record.pull.number);
        let number = found.unwrap_or_else(|| self.next_number());
        let mut record = self.records.remove(&number).unwrap_or_else(|| Record::open(number, spec, now));
        let pull = &mut record.pull;
        spec.title.clone_into(&mut pull.title);
        spec.body.clone_into(&mut pull.body);
        pull.head_commit = Some(head_commit.as_str().to_owned());
        add(&mut pull.labels, &spec.labels);
        add(&mut pull.reviewers, &spec.reviewers);
        let model = self.model(&record);
        self.records.insert(number, record);
        model
    }

    /// Closes one without a merge; with `body`, its text is replaced.
    ///
    /// # Errors
    /// If there is none with this number, or it is not open.
    pub(super) fn close(&mut self, number: u64, body: Option<&str>, now: Timestamp) -> Result<PullRequest, LocalError> {
        self.end(number, LocalState::Closed, None, now)?;
        let record = self.records.get_mut(&number).ok_or(LocalError::Missing(number))?;
        if let Some(body) = body {
            body.clone_into(&mut record.pull.body);
        }
        let record = self.records.get(&number).ok_or(LocalError::Missing(number))?;
        Ok(self.model(record))
    }

    /// Records somebody's approval of the current head.
    ///
    /// # Errors
    /// If there is none with this number, or it is not open.
    pub(super) fn approve(
        &mut self,
        number: u64,
        by: &str,
        head: &CommitId,
        now: Timestamp,
    ) -> Result<PullRequest, LocalError> {
        let record = self.records.get_mut(&number).ok_or(LocalError::Missing(number))?;
        if !record.is_open() {
            return Err(LocalError::NotOpen(number));
        }
        let review = json!({ "by": by, "state": "approved", "commit": head.as_str(), "at": now.to_string() });
        match &mut record.pull.reviews {
            Value::Array(reviews) => reviews.push(review),
            Value::Null => record.pull.reviews = json!([review]),
            // The key holds something else: it is kept, and still counts as no known review.
            other => *other = json!([other.take(), review]),
        }
        let record = self.records.get(&number).ok_or(LocalError::Missing(number))?;
        Ok(self.model(record))
    }

    /// Removes a label, if it is there.
    pub(super) fn take_label(&mut self, number: u64, label: &str) {
        if let Some(record) = self.records.get_mut(&number) {
            record.pull.labels.retain(|on| !on.eq_ignore_ascii_case(label));
        }
    }

    /// The reviews of one: the latest of each person. Anybody who can push to the repository can write here, so all
    /// count.
    #[must_use]
    pub(super) fn reviews(&self, number: u64) -> Option<Reviews> {
        let written = match &self.records.get(&number)?.pull.reviews {
            Value::Null => &[],
            Value::Array(reviews) => reviews.as_slice(),
            other => std::slice::from_ref(other),
        };
        Some(Reviews::of(written.iter().map(review)))
    }

    /// Records that one was merged by `commit`, unless somebody else has recorded that already.
    ///
    /// # Errors
    /// If there is none with this number, or it was closed.
    pub(super) fn merged(&mut self, number: u64, commit: &CommitId, now: Timestamp) -> Result<PullRequest, LocalError> {
        match self.records.get(&number) {
            Some(record) if record.pull.state == LocalState::Merged => Ok(self.model(record)),
            _ => self.end(number, LocalState::Merged, Some(commit), now),
        }
    }

    /// The whole tree: records and other files, by name.
    #[must_use]
    pub(super) fn to_files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = self.others.clone();
        for (number, record) in &self.records {
            // Only maps with keys that are not text cannot be written; there are none.
            let mut bytes = serde_json::to_vec_pretty(&record.pull).unwrap_or_default();
            bytes.push(b'\n');
            files.insert(format!("{number}.json"), bytes);
        }
        files.into_iter().collect()
    }

    fn end(
        &mut self,
        number: u64,
        state: LocalState,
        commit: Option<&CommitId>,
        now: Timestamp,
    ) -> Result<PullRequest, LocalError> {
        let record = self.records.get_mut(&number).ok_or(LocalError::Missing(number))?;
        if !record.is_open() {
            return Err(LocalError::NotOpen(number));
        }
        record.pull.state = state;
        record.pull.closed_at = Some(now);
        record.pull.merged_commit = commit.map(|commit| commit.as_str().to_owned());
        let record = &self.records[&number];
        Ok(self.model(record))
    }

    fn next_number(&self) -> u64 {
        let after_last = self.records.keys().next_back().map_or(Some(1), |last| last.checked_add(1));
        after_last.or_else(|| (1..u64::MAX).find(|number| !self.records.contains_key(number))).unwrap_or(1)
    }

    fn model(&self, record: &Record) -> PullRequest {
        let pull = &record.pull;
        PullRequest {
            number: pull.number,
            url: format!("local:{}#{}", self.repository, pull.number),
            state: match pull.state {
                LocalState::Open => PullState::Open,
                LocalState::Merged => PullState::Merged,
                LocalState::Closed => PullState::Closed,
            },
            title: pull.title.clone(),
            body: pull.body.clone(),
            head: record.head.clone(),
            base: record.base.clone(),
            head_commit: pull.head_commit.as_deref().and_then(|id| CommitId::parse(id).ok()),
            draft: pull.draft,
            labels: pull.labels.clone(),
            closed_at: pull.closed_at,
            updated_at: None,
        }
    }
}

impl Record {
    fn open(number: u64, spec: &PullRequestSpec, now: Timestamp) -> Self {
        let pull = LocalPull {
            number,
            state: LocalState::Open,
            title: String::new(),
            body: String::new(),
            head: spec.head.as_str().to_owned(),
            base: spec.base.as_str().to_owned(),
            head_commit: None,
            labels: Vec::new(),
            reviewers: Vec::new(),
            draft: spec.draft,
            created_at: now,
            closed_at: None,
            merged_commit: None,
            reviews: Value::Null,
            other: Map::new(),
        };
        Self { pull, head: spec.head.clone(), base: spec.base.clone() }
    }

    fn is_open(&self) -> bool {
        self.pull.state == LocalState::Open
    }
}

/// The number in a record's file name, in the form the bot writes.
fn number_of(name: &str) -> Option<u64> {
    let number: u64 = name.strip_suffix(".json")?.parse().ok()?;
    (number > 0 && format!("{number}.json") == name).then_some(number)
}

fn read(number: u64, bytes: &[u8]) -> Result<Record, String> {
    if bytes.len() > RECORD_LIMIT {
        return Err(format!("it is larger than {} MB", RECORD_LIMIT >> 20));
    }
    let pull: LocalPull = serde_json::from_slice(bytes).map_err(|error| one_line(&error.to_string(), 600))?;
    if pull.number != number {
        return Err(format!("it says that it is number {}", pull.number));
    }
    let branch = |name: &str| BranchName::parse(name).map_err(|error| error.to_string());
    Ok(Record { head: branch(&pull.head)?, base: branch(&pull.base)?, pull })
}

/// One entry of a record's reviews.
fn review(value: &Value) -> Review {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    Review {
        by: one_line(text("by").unwrap_or("somebody"), 100),
        state: ReviewState::parse(text("state").unwrap_or("no state")),
        commit: text("commit").and_then(|id| CommitId::parse(id).ok()),
        weight: Weight::Counts,
    }
}

fn add(to: &mut Vec<String>, more: &[String]) {
    for word in more {
        if !to.contains(word) {
            to.push(word.clone());
        }
    }
}

#[cfg(test)]
mod tests;
