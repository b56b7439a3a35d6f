//! What a reviewer asks about a repository: who decided, who approved, what was proved, and what was overridden.
//!
//! Promise: everything here can be found in Git from the tip that is named with it, except for the reviews, which are the forge's word. A
//! record is what a commit's message says: it is as trustworthy as who may push, or as the signature that is told with it.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::daemon::repository::Repository;
use crate::git::{GitError, LogEntry, Mirror, TreeBudget};
use crate::model::{Answer, BranchName, CommitId, Identity, RepoPath, ReviewState};
use crate::plan::recorded;
use crate::plan::trailer::MARK;

use super::VersionChange;

/// Most pull requests whose reviews are asked for in one answer.
const REVIEWED: usize = 200;

/// One thing that happened on a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// When it reached the branch, by the committer's clock.
    pub at: Timestamp,
    /// The repository's name in the configuration.
    pub repository: String,
    /// The branch.
    pub branch: BranchName,
    /// What happened.
    #[serde(flatten)]
    pub what: AuditedThing,
    /// The commit that wrote it.
    pub commit: CommitId,
    /// The commit of the branch's own line that brought it: the merge, or the same.
    pub arrived: CommitId,
    /// Who wrote it.
    pub author: Person,
    /// Who made the commit.
    pub committer: Person,
    /// Whether the commit bears one of the bot's own signatures; `null` where none is configured.
    pub signed_by_landfall: Option<bool>,
    /// The trailers that its message records it with: policy, gates, evidence, overrides, reasons.
    pub records: Vec<AuditRecord>,
    /// The number of the pull request that it came by, as the forge's message says.
    pub pull_request: Option<u64>,
    /// The latest review of each person; `null` where that is unknown.
    pub reviews: Option<Vec<AuditReview>>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum AuditedThing {
    /// A version changed.
    Version {
        /// What changed.
        change: Box<VersionChange>,
    },
    /// Policies, freezes, holds or other decisions changed.
    Rules {
        /// The files that did.
        files: Vec<RulesFile>,
    },
}

/// A file with policies or decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RulesFile {
    /// Its path; what is unprintable is escaped.
    pub path: String,
    /// Whether it is there since.
    pub exists: bool,
}

/// A name and an address, as a commit has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

impl From<&Identity> for Person {
    fn from(identity: &Identity) -> Self {
        Self { name: identity.name.clone(), email: identity.email.clone() }
    }
}

/// A trailer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRecord {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReview {
    /// Who wrote it.
    pub by: String,
    /// What it says: `approved`, `changes-requested`, `dismissed`, or the forge's own word.
    pub state: String,
    /// The reviewed commit.
    pub commit: Option<CommitId>,
}

/// The tip from which everything about a branch can be found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditedBranch {
    /// The repository's name in the configuration.
    pub repository: String,
    /// The branch.
    pub branch: BranchName,
    /// Its tip.
    pub tip: CommitId,
}

impl Repository {
    /// The tips of the branches that are read.
    #[must_use]
    pub fn audited(&self) -> Vec<AuditedBranch> {
        let tips = self.reader().tips();
        tips.map(|(branch, tip)| AuditedBranch { repository: self.name().to_owned(), branch, tip }).collect()
    }

    /// What is known about these changes of versions, and about at most `limit` changes of policies and decisions if those are wanted.
    ///
    /// # Errors
    /// If an object cannot be read.
    pub async fn audit(&self, changes: Vec<VersionChange>, rules: Option<usize>) -> Result<Vec<AuditEvent>, GitError> {
        let mut commits = Commits { mirror: self.mirror(), read: HashMap::new() };
        let mut events = Vec::new();
        for change in changes {
            events.push(self.of_change(change, &mut commits)?);
        }
        if let Some(limit) = rules {
            events.extend(self.of_rules(limit)?);
        }
        self.add_reviews(&mut events).await;
        Ok(events)
    }

    fn of_change(&self, change: VersionChange, commits: &mut Commits<'_>) -> Result<AuditEvent, GitError> {
        let arrived = commits.read(&change.arrived)?.message.clone();
        let written = commits.read(&change.commit)?;
        Ok(AuditEvent {
            at: change.merged,
            repository: self.name().to_owned(),
            branch: change.branch.clone(),
            commit: written.id.clone(),
            arrived: change.arrived.clone(),
            author: (&written.author).into(),
            committer: (&written.committer).into(),
            signed_by_landfall: self.is_ours(&written.id)?,
            records: records(recorded(&written.message, &change.id)),
            pull_request: pull_number(&arrived),
            reviews: None,
            what: AuditedThing::Version { change: Box::new(change) },
        })
    }

    /// Decisions and policies are on the main branch.
    fn of_rules(&self, limit: usize) -> Result<Vec<AuditEvent>, GitError> {
        let folder = self.reader().decision_folder();
        let main = self.branch();
        let (Ok(path), Some((_, tip))) = (RepoPath::parse(folder), self.reader().tips().find(|(name, _)| name == main))
        else {
            return Ok(Vec::new());
        };
        let entries = self.mirror().touched(&tip, &path, limit)?;
        entries.into_iter().map(|entry| self.of_rules_change(entry, folder, main)).collect()
    }

    fn of_rules_change(&self, entry: LogEntry, folder: &str, main: &BranchName) -> Result<AuditEvent, GitError> {
        let changes = self.mirror().changes_within(entry.parents.first(), &entry.id, TreeBudget::REPOSITORY)?;
        let changed = changes.into_iter().filter(|change| change.path.is_within(folder));
        let files = changed.map(|change| RulesFile { path: change.path.to_string(), exists: change.now.is_some() });
        Ok(AuditEvent {
            at: entry.time,
            repository: self.name().to_owned(),
            branch: main.clone(),
            what: AuditedThing::Rules { files: files.collect() },
            author: (&entry.author).into(),
            committer: (&entry.committer).into(),
            signed_by_landfall: self.is_ours(&entry.id)?,
            records: records(own_trailers(&entry.message)),
            pull_request: pull_number(&entry.message),
            reviews: None,
            commit: entry.id.clone(),
            arrived: entry.id,
        })
    }

    fn is_ours(&self, commit: &CommitId) -> Result<Option<bool>, GitError> {
        match self.mirror().signing_keys().is_empty() {
            true => Ok(None),
            false => self.mirror().bears_our_signature(commit).map(Some),
        }
    }

    /// Asks the forge for the reviews of the newest pull requests among them.
    async fn add_reviews(&self, events: &mut [AuditEvent]) {
        events.sort_by_key(|event| std::cmp::Reverse(event.at));
        let mut known: HashMap<u64, Option<Vec<AuditReview>>> = HashMap::new();
        for event in events {
            let Some(number) = event.pull_request else { continue };
            if !known.contains_key(&number) {
                if known.len() >= REVIEWED {
                    continue;
                }
                let reviews = match self.pulls().forge().reviews(number).await {
                    Answer::Known(reviews) => Some(reviews.standing().map(review).collect()),
                    Answer::Absent { .. } | Answer::Failed { .. } => None,
                };
                known.insert(number, reviews);
            }
            event.reviews = known.get(&number).cloned().flatten();
        }
    }
}

/// Commits, each read once: one may bring hundreds of versions.
struct Commits<'m> {
    mirror: &'m Mirror,
    read: HashMap<CommitId, LogEntry>,
}

impl Commits<'_> {
    fn read(&mut self, commit: &CommitId) -> Result<&LogEntry, GitError> {
        if !self.read.contains_key(commit) {
            let entry = self.mirror.log(commit, None, 1)?.into_iter().next();
            let entry = entry.ok_or_else(|| GitError::UnknownCommit { commit: commit.clone() })?;
            self.read.insert(commit.clone(), entry);
        }
        self.read.get(commit).ok_or_else(|| GitError::UnknownCommit { commit: commit.clone() })
    }
}

fn review(review: &crate::model::Review) -> AuditReview {
    let state = match &review.state {
        ReviewState::Approved => "approved",
        ReviewState::ChangesRequested => "changes-requested",
        ReviewState::Dismissed => "dismissed",
        ReviewState::Comment => "comment",
        ReviewState::Unknown(word) => word,
    };
    AuditReview { by: review.by.clone(), state: state.to_owned(), commit: review.commit.clone() }
}

fn own_trailers(message: &str) -> Vec<(&str, &str)> {
    let lines = message.lines().filter(|line| line.starts_with(MARK)).filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name, value.trim())).collect()
}

fn records(trailers: Vec<(&str, &str)>) -> Vec<AuditRecord> {
    let record = |(name, value): (&str, &str)| AuditRecord { name: name.to_owned(), value: value.to_owned() };
    trailers.into_iter().map(record).collect()
}

/// The number of the pull request that a forge's message of a merge or squash names: `(#12)` at the end of the subject (GitHub, Gitea),
/// `Merge pull request #12` (GitHub, Bitbucket Data Center), `Pull request #12:` (the same), `(pull request #12)` (Bitbucket Cloud),
/// `Merged PR 12:` (Azure DevOps), `See merge request group/project!12` (GitLab).
fn pull_number(message: &str) -> Option<u64> {
    let number = |text: &str| {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..digits].parse::<u64>().ok()
    };
    let subject = message.lines().next()?.trim_end();
    let named = ["Merge pull request #", "Pull request #", "Merged PR "].iter();
    let named = named.filter_map(|words| subject.strip_prefix(words)).find_map(number);
    let behind = || number(subject.strip_suffix(')')?.rsplit_once('#')?.1);
    let gitea = || number(subject.strip_prefix("Merge pull request '")?.rsplit_once("(#")?.1);
    let gitlab = || {
        let line = message.lines().find_map(|line| line.strip_prefix("See merge request "))?;
        number(line.rsplit_once('!')?.1)
    };
    named.or_else(gitea).or_else(behind).or_else(gitlab)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_forge_names_the_pull_request_in_its_own_way() {
        for (message, number) in [
            ("prod: bump web to 1.3.0 (#12)", Some(12)),
            ("Merge pull request #12 from acme/landfall/prod\n\nprod: bump web (#7)", Some(12)),
            ("Merge pull request 'prod: bump web (#7)' (#12) from landfall/prod into main", Some(12)),
            ("Merge pull request #12 in OPS/deploys from landfall/prod to main", Some(12)),
            ("Pull request #12: prod: bump web", Some(12)),
            ("Merged in landfall/prod (pull request #12)", Some(12)),
            ("Merged PR 12: prod: bump web", Some(12)),
            ("Merge branch 'landfall/prod' into 'main'\n\nprod\n\nSee merge request acme/deploys!12", Some(12)),
            ("prod: bump web to 1.3.0", None),
            ("fixes #12", None),
            ("(#)", None),
            ("(#99999999999999999999)", None),
            ("", None),
        ] {
            assert_eq!(pull_number(message), number, "{message}");
        }
    }
}
