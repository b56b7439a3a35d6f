//! The local forge: pull requests kept in the Git repository itself, for repositories without a forge.
//!
//! Promise: the same life cycle as on a forge (open, updated, merged, closed), visible to every clone and replica, safe
//! against concurrent writers. Design: a ref outside `refs/heads/` points to a commit whose tree holds one small file
//! per pull request; every change is a commit pushed with a lease, and after a lost race the records are read again and
//! the change is retried.

use std::time::Duration;

use jiff::Timestamp;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::git::{
    Attempt, Blob, Force, MergeOutcome as GitMerge, Mirror, NewTree, RefResult, RefUpdate, Stamp, TreeEntry, TreePath,
    retry_on_lost_race,
};
use crate::model::{
    self, Answer, BranchName, Checks, CommitId, FailureCode, Identity, MergeOutcome, PullRequest, PullRequestSpec,
    PullState, RepoPath, Reviews, Weight,
};

use super::hosted::other_base;
use super::{Ensured, Feature, Opening, PullError, PullForge, Wanted};

mod records;

use records::LocalPulls;

/// The ref that holds the records.
pub const RECORDS: &str = "refs/landfall/pull-requests";

/// The first pause after a lost race.
const PAUSE: Duration = Duration::from_millis(100);

/// The maximum number of commits of a pull request that are read; the bot makes one, and people may add some.
const OF_A_PULL: usize = 250;
/// Maximum length of their messages together; those of the first commit are read whatever their length.
const MESSAGES: usize = 8 << 20;

/// Pull requests in a Git repository.
#[derive(Debug, Clone)]
pub struct LocalForge {
    mirror: Mirror,
    repository: String,
    author: Identity,
}

/// It has no keys of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocalConfig {}

impl LocalConfig {
    pub(super) fn check(&self, _: Mark, _: &mut Check<'_, '_>) -> Option<LocalSettings> {
        Some(LocalSettings)
    }
}

/// There is nothing to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSettings;

/// The cycle has already read the remote, so queries are answered from the mirror.
impl PullForge for LocalForge {
    type Settings = LocalSettings;
    // An approval is a name in a file that anybody with push access can write.
    const PROVES_APPROVALS: bool = false;
    const LACKS: &'static [Feature] = &[Feature::Checks, Feature::Comments];

    fn open(_: &LocalSettings, opening: &Opening<'_>) -> Result<Self, PullError> {
        Ok(Self::new(opening.mirror.clone(), opening.repository, opening.author.clone()))
    }

    async fn open_pulls(&self, head_prefix: &str) -> Result<Vec<PullRequest>, PullError> {
        Ok(self.mirrored()?.1.open_pulls(head_prefix))
    }

    async fn pulls_of(&self, head: &BranchName, base: &BranchName) -> Result<Vec<PullRequest>, PullError> {
        Ok(self.mirrored()?.1.pulls_of(head, base))
    }

    async fn closed_pulls(&self, head_prefix: &str, _: Timestamp, _: Duration) -> Result<Vec<PullRequest>, PullError> {
        Ok(self.mirrored()?.1.closed_pulls(head_prefix))
    }

    async fn messages(&self, pull: &PullRequest) -> Answer<Vec<String>> {
        self.messages_of(pull).map_or_else(PullError::answer, Answer::Known)
    }

    async fn ensure(&self, wanted: &[Wanted], now: Timestamp) -> Vec<Ensured> {
        match self.ensure_all(wanted, now).await {
            Ok(made) => made.into_iter().map(|pull| Ok((pull?, Vec::new()))).collect(),
            Err(error) => wanted.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn merge(&self, merge: &model::Merge, now: Timestamp) -> Result<MergeOutcome, PullError> {
        self.merge_judged(merge, now).await
    }

    async fn close(&self, number: u64, body: &str, _: &str, now: Timestamp) -> Result<(), PullError> {
        self.withdraw(number, body, now).await
    }

    async fn take_label(&self, number: u64, label: &str, now: Timestamp) -> Result<(), PullError> {
        self.remove_label(number, label, now).await
    }

    async fn checks(&self, _: &CommitId) -> Answer<Checks> {
        Answer::Absent { message: format!("repository {} uses the local forge, which has no checks", self.repository) }
    }

    async fn reviews(&self, number: u64) -> Answer<Reviews> {
        self.reviews_of(number).map_or_else(PullError::answer, Answer::Known)
    }
}

impl LocalForge {
    /// The pull requests of the repository mirrored by `mirror`.
    #[must_use]
    pub fn new(mirror: Mirror, repository: &str, author: Identity) -> Self {
        Self { mirror, repository: repository.to_owned(), author }
    }

    /// Every pull request, newest first.
    ///
    /// # Errors
    /// If the remote cannot be read or a record is damaged.
    pub async fn list(&self) -> Result<Vec<PullRequest>, PullError> {
        Ok(self.read().await?.1.all().into_iter().rev().collect())
    }

    /// Finds or creates each of these pull requests, in one commit of the records and one push. One that a person
    /// closed or merged since the mirror was read stays as it is.
    async fn ensure_all(
        &self,
        wanted: &[Wanted],
        now: Timestamp,
    ) -> Result<Vec<Result<PullRequest, PullError>>, PullError> {
        let planned = self.mirrored()?.1;
        self.change(now, Begin::Mirrored, |pulls| {
            let one = |Wanted { spec, tip, .. }: &Wanted| match answered(&planned, pulls, spec) {
                Some(pull) => {
                    Err(invalid(format!("pull request #{} was closed or merged in the meantime", pull.number)))
                }
                None => Ok(pulls.ensure(spec, tip, now)),
            };
            let made: Vec<Result<PullRequest, PullError>> = wanted.iter().map(one).collect();
            let numbers: Vec<String> = made.iter().flatten().map(|pull| format!("#{}", pull.number)).collect();
            let message = match made.iter().flatten().next() {
                Some(pull) if numbers.len() == 1 => format!("pull request #{}: {}", pull.number, pull.title),
                _ => format!("pull requests {}", numbers.join(", ")),
            };
            Ok((message, made))
        })
        .await
    }

    /// Closes a pull request without a merge: its version is held.
    ///
    /// # Errors
    /// If there is no such open pull request, or the remote refuses.
    pub async fn close(&self, number: u64, now: Timestamp) -> Result<PullRequest, PullError> {
        self.change(now, Begin::Remote, |pulls| {
            let pull = pulls.close(number, None, now).map_err(unusable)?;
            Ok((format!("pull request #{number}: closed"), pull))
        })
        .await
    }

    /// The same by the bot: its text becomes `body`, which says why. One that is no longer open stays as it is.
    async fn withdraw(&self, number: u64, body: &str, now: Timestamp) -> Result<(), PullError> {
        self.change(now, Begin::Remote, |pulls| {
            if pulls.get(number).is_some_and(|pull| pull.state == PullState::Open) {
                pulls.close(number, Some(body), now).map_err(unusable)?;
            }
            Ok((format!("pull request #{number}: closed"), ()))
        })
        .await
    }

    /// Records somebody's approval of a pull request at its branch's current tip.
    ///
    /// # Errors
    /// If there is no such open pull request, its branch is gone, or the remote refuses.
    pub async fn approve(&self, number: u64, by: &str, now: Timestamp) -> Result<PullRequest, PullError> {
        let pull = self.open_one(number).await?;
        self.mirror.fetch(&[pull.head.full()]).await?;
        let head =
            self.mirror.tip(&pull.head.full())?.ok_or_else(|| invalid(format!("branch {} is gone", pull.head)))?;
        self.change(now, Begin::Remote, |pulls| {
            let pull = pulls.approve(number, by, &head, now).map_err(unusable)?;
            Ok((format!("pull request #{number}: approved by {by}"), pull))
        })
        .await
    }

    /// Removes a label from a pull request.
    async fn remove_label(&self, number: u64, label: &str, now: Timestamp) -> Result<(), PullError> {
        self.change(now, Begin::Remote, |pulls| {
            pulls.take_label(number, label);
            Ok((format!("pull request #{number}: label {label} removed"), ()))
        })
        .await
    }

    /// The reviews of a pull request, as recorded in the mirror.
    fn reviews_of(&self, number: u64) -> Result<Reviews, PullError> {
        let reviews = self.mirrored()?.1.reviews(number);
        let mut reviews = reviews.ok_or_else(|| invalid(format!("there is no pull request #{number}")))?;
        // Nobody can approve what they wrote themselves, as far as names show.
        for review in reviews.standing_mut() {
            let Some(commit) = &review.commit else { continue };
            let Some(entry) = self.mirror.log(commit, None, 1).ok().and_then(|log| log.into_iter().next()) else {
                continue;
            };
            let by = [&entry.author, &entry.committer];
            if by.iter().any(|person| person.name == review.by || person.email == review.by) {
                review.weight = Weight::DoesNotCount("they wrote this commit themselves".to_owned());
            }
        }
        Ok(reviews)
    }

    /// The messages of the commits that a pull request's branch had beyond its base, as far as the mirror still has
    /// them.
    fn messages_of(&self, pull: &PullRequest) -> Result<Vec<String>, PullError> {
        let head = pull.head_commit.as_ref().ok_or_else(|| invalid(format!("#{} names no commit", pull.number)))?;
        let base = self.mirror.tip(&pull.base.full())?;
        let commits = self.mirror.marked(head, base.as_ref(), (&pull.head, ""), OF_A_PULL)?.marked;
        let commits: Vec<CommitId> = commits.into_iter().map(|commit| commit.id).collect();
        let log = self.mirror.log_of(&commits, MESSAGES)?;
        Ok(log.into_iter().map(|entry| entry.message).collect())
    }

    async fn open_one(&self, number: u64) -> Result<PullRequest, PullError> {
        let pull = self.list().await?.into_iter().find(|pull| pull.number == number && pull.state == PullState::Open);
        pull.ok_or_else(|| invalid(format!("there is no open pull request #{number}")))
    }

    /// Merges a pull request into its base with a merge commit and deletes its branch.
    ///
    /// # Errors
    /// If there is no such open pull request, its branch is gone, the merge conflicts, or the remote refuses.
    pub async fn merge(&self, number: u64, now: Timestamp) -> Result<(PullRequest, CommitId), PullError> {
        let pull = self.open_one(number).await?;
        match self.try_merge(&pull, None, now).await? {
            Tried::Merged(pull, commit) => Ok((*pull, commit)),
            Tried::Refused(reason) => Err(invalid(reason)),
        }
    }

    /// The same by the bot, at the commit that was judged; an obstacle is a value, not an error.
    async fn merge_judged(&self, merge: &model::Merge, now: Timestamp) -> Result<MergeOutcome, PullError> {
        let open = self.list().await?.into_iter().find(|pull| pull.number == merge.number);
        let Some(pull) = open.filter(|pull| pull.state == PullState::Open) else {
            return Ok(MergeOutcome::Refused { reason: "it is no longer open".to_owned() });
        };
        if pull.base != merge.base {
            return Ok(other_base(merge, pull.base.as_str()));
        }
        Ok(match self.try_merge(&pull, Some(&merge.tip), now).await? {
            Tried::Merged(_, commit) => MergeOutcome::Merged { commit },
            Tried::Refused(reason) => MergeOutcome::Refused { reason },
        })
    }

    async fn try_merge(
        &self,
        pull: &PullRequest,
        judged: Option<&CommitId>,
        now: Timestamp,
    ) -> Result<Tried, PullError> {
        let raced = retry_on_lost_race(PAUSE, async |_| {
            let Merging { commit, base, delete } = match self.merge_commit(pull, judged, now).await? {
                Ok(merging) => merging,
                Err(reason) => return Ok::<_, PullError>(Attempt::Over(Tried::Refused(reason))),
            };
            let results = self.mirror.push(&base).await?;
            match results.first() {
                None | Some(RefResult::Updated | RefResult::UpToDate) => {
                    let number = pull.number;
                    let merged = self
                        .change(now, Begin::Remote, |pulls| {
                            let pull = pulls.merged(number, &commit, now).map_err(unusable)?;
                            Ok((format!("pull request #{number}: merged"), pull))
                        })
                        .await?;
                    // Last: without its branch, a pull request whose merge failed could not be merged again.
                    if let Err(error) = self.mirror.push(&[delete]).await {
                        tracing::warn!(%error, "branch {} was merged but could not be deleted", pull.head);
                    }
                    Ok(Attempt::Over(Tried::Merged(Box::new(merged), commit)))
                }
                Some(RefResult::LostRace { message }) => Ok(Attempt::LostRace(message.clone())),
                Some(RefResult::Rejected { message, .. }) => {
                    Ok(Attempt::Over(Tried::Refused(format!("the remote refuses the merge: {message}"))))
                }
            }
        });
        raced.await?.map_err(|lost| {
            lost_race(&format!(
                "the merge into {} could not be pushed, because others pushed first each time: {lost}",
                pull.base
            ))
        })
    }

    /// The commit that merges the pull request into the base's current tip, or what prevents the merge.
    async fn merge_commit(
        &self,
        pull: &PullRequest,
        judged: Option<&CommitId>,
        now: Timestamp,
    ) -> Result<Result<Merging, String>, PullError> {
        self.mirror.fetch(&[pull.base.full(), pull.head.full()]).await?;
        let base =
            self.mirror.tip(&pull.base.full())?.ok_or_else(|| invalid(format!("branch {} is gone", pull.base)))?;
        let head =
            self.mirror.tip(&pull.head.full())?.ok_or_else(|| invalid(format!("branch {} is gone", pull.head)))?;
        if judged.is_some_and(|judged| *judged != head) {
            return Ok(Err(format!("branch {} has moved since; the next cycle tries again", pull.head)));
        }
        let message = format!("Merge pull request #{} from {}\n\n{}\n", pull.number, pull.head, pull.title);
        let delete =
            RefUpdate { name: pull.head.full(), expected: Some(head.clone()), new: None, force: Force::WithLease };
        match self.mirror.merge(&base, &head, &message, &self.stamp(now))? {
            GitMerge::AlreadyMerged => Ok(Ok(Merging { commit: head, base: Vec::new(), delete })),
            GitMerge::Merged(commit) => {
                let name = pull.base.full();
                let move_base = RefUpdate { name, expected: Some(base), new: Some(commit.clone()), force: Force::No };
                Ok(Ok(Merging { commit, base: vec![move_base], delete }))
            }
            GitMerge::Conflict(paths) => Ok(Err(format!(
                "pull request #{} conflicts with {} in {}; the next cycle recreates its branch",
                pull.number,
                pull.base,
                paths.join(", ")
            ))),
        }
    }

    async fn read(&self) -> Result<(Option<CommitId>, LocalPulls), PullError> {
        self.mirror.fetch(&[RECORDS.to_owned()]).await?;
        self.mirrored()
    }

    /// The records as of the last fetch.
    fn mirrored(&self) -> Result<(Option<CommitId>, LocalPulls), PullError> {
        let tip = self.mirror.tip(RECORDS)?;
        let files = match &tip {
            Some(tip) => self.files(tip)?,
            None => Vec::new(),
        };
        let pulls = LocalPulls::parse(&files).map_err(unusable)?;
        Ok((tip, pulls.named(&self.repository)))
    }

    /// Every file of the records' tree.
    fn files(&self, tip: &CommitId) -> Result<Vec<(String, Vec<u8>)>, PullError> {
        let mut names = Vec::new();
        let mut ids = Vec::new();
        for change in self.mirror.changes(None, tip)? {
            if let (TreePath::Usable(path), Some(TreeEntry::File { id, .. })) = (change.path, change.now) {
                names.push(path.to_string());
                ids.push(id);
            }
        }
        let bodies = self.mirror.read_blobs(&ids)?.into_iter().map(|blob| match blob {
            Blob::Body(body) => body,
            // Reported as unreadable if it should be a record.
            Blob::TooLarge(_) => Vec::new(),
        });
        Ok(names.into_iter().zip(bodies).collect())
    }

    fn stamp(&self, now: Timestamp) -> Stamp {
        Stamp { author: self.author.clone(), committer: self.author.clone(), time: now }
    }

    /// Reads, changes, writes and pushes the records until no race is lost. The mirror's copy may be outdated: then the
    /// push loses its lease, and the next attempt starts from the remote.
    async fn change<T>(
        &self,
        now: Timestamp,
        begin: Begin,
        change: impl Fn(&mut LocalPulls) -> Result<(String, T), PullError>,
    ) -> Result<T, PullError> {
        let raced = retry_on_lost_race(PAUSE, async |attempt| {
            let (tip, mut pulls) = match begin {
                Begin::Mirrored if attempt == 1 => self.mirrored()?,
                Begin::Mirrored | Begin::Remote => self.read().await?,
            };
            let before = pulls.to_files();
            let (message, value) = change(&mut pulls)?;
            let after = pulls.to_files();
            if after == before {
                return Ok(Attempt::Over(value));
            }
            let files = after.into_iter().map(|(name, body)| Ok((RepoPath::parse(&name).map_err(unusable)?, body)));
            let files = files.collect::<Result<Vec<_>, PullError>>()?;
            let parents = tip.iter().cloned().collect();
            let commit = self.mirror.commit_tree(&NewTree { parents, files, message, stamp: self.stamp(now) })?;
            let update = RefUpdate { name: RECORDS.to_owned(), expected: tip, new: Some(commit), force: Force::No };
            match self.mirror.push(&[update]).await?.into_iter().next() {
                Some(RefResult::Updated | RefResult::UpToDate) => Ok(Attempt::Over(value)),
                Some(RefResult::LostRace { message }) => Ok(Attempt::LostRace(message)),
                Some(RefResult::Rejected { message, .. }) => {
                    Err(invalid(format!("the remote refuses the push to {RECORDS}: {message}")))
                }
                None => Ok(Attempt::LostRace("the remote did not report on the ref".to_owned())),
            }
        });
        raced.await?.map_err(|lost| {
            lost_race(&format!("{RECORDS} could not be pushed, because others pushed first each time: {lost}"))
        })
    }
}

/// The outcome of a merge.
enum Tried {
    Merged(Box<PullRequest>, CommitId),
    /// It cannot be merged as it is; the reason, for a person.
    Refused(String),
}

/// A merge and the updates that publish it.
struct Merging {
    commit: CommitId,
    /// Moves the base; empty if the base already has the branch.
    base: Vec<RefUpdate>,
    /// Deletes the branch.
    delete: RefUpdate,
}

/// Where a change first reads the records.
#[derive(Debug, Clone, Copy)]
enum Begin {
    /// In the mirror, which the cycle has just updated.
    Mirrored,
    /// On the remote.
    Remote,
}

/// The newest pull request of a branch, if somebody closed or merged it after `planned` was read.
fn answered(planned: &LocalPulls, now: &LocalPulls, spec: &PullRequestSpec) -> Option<PullRequest> {
    let newest = |pulls: &LocalPulls| pulls.pulls_of(&spec.head, &spec.base).into_iter().next();
    let pull = newest(now).filter(|pull| pull.state != PullState::Open)?;
    let known = newest(planned).is_some_and(|before| (before.number, before.state) == (pull.number, pull.state));
    (!known).then_some(pull)
}

fn unusable(error: impl std::fmt::Display) -> PullError {
    invalid(error.to_string())
}

/// Somebody else keeps writing; the next cycle tries again.
fn lost_race(message: &str) -> PullError {
    PullError { message: message.to_owned(), code: FailureCode::Network }
}

fn invalid(message: String) -> PullError {
    PullError { message, code: FailureCode::Protocol }
}
