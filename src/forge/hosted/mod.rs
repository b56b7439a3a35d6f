//! Pull requests on a forge with a REST API: listed completely, found or created once, brought up to date, closed.
//!
//! Promise: see [`crate::forge`]. Everything is idempotent: every call may be repeated after a crash at any point.
//!
//! Design: `client` is the HTTP side, `answer` interprets answers; this file, `ensure` (find or create), `closed` (what
//! people decided), `judge` (whose approvals count) and `conclude` (merge, close, comment) hold the rules that are the same everywhere. A kind of forge
//! is an [`Api`] with its [`Dialect`]: paths, JSON, and what it judges merges by. Creations are serialised: GitHub asks
//! for that, and within one process it closes the gap between looking and creating. Between processes the forge closes
//! the gap: it refuses a second open pull request with the same head and base, and then the first one is adopted.

#![expect(private_bounds, reason = "kinds of forges are added in this crate only")]

mod answer;
mod api;
mod ask;
mod client;
mod closed;
mod conclude;
mod dialect;
mod ensure;
mod judge;
mod lent;
mod pages;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex as Shared};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;

pub(super) use answer::word;
pub(super) use api::{
    Adds, Ahead, Api, ForgePull, History, Judges, Merges, States, WireComment, or_empty, web_address,
};
pub(super) use ask::{Ask, Repeat};
pub(super) use client::ApiClient;
pub(super) use conclude::{no_method, not_merged, other_base, refusal, refused_by, tell_other};
pub(super) use dialect::{Dialect, Login, Place, is_plain};
pub(super) use ensure::{bad_label_warning, label_warning, reviewer_warning};
pub(super) use judge::{PushedTip, WireWritten, Writer, are_known, counts, may_be_unknown, to_weigh, to_weigh_by_key};
pub(super) use lent::{Lending, MadeToken};
pub(super) use pages::{Listed, Pages};
pub(super) use settings::split_address;

use self::closed::ClosedPulls;
use self::ensure::Settled;
use self::judge::discount;
use super::error::{ForgeError, Problem};
use super::{Ensured, Feature, Judged, LenderOpening, Opening, PullError, PullForge, StatusApi, Wanted};
use crate::document::secret::SecretSource;
use crate::git::{LendsToken, MakesCommits};
use crate::model::{
    Answer, BranchName, Checks, CommitId, DequeueOutcome, Fence, Identity, Merge, MergeOutcome, PullRequest, Reviews,
};

/// An operation's total time limit as a multiple of one request's.
pub const REQUESTS: u32 = 8;

/// One repository on a forge.
pub struct Hosted<A> {
    api: A,
    deadline: Duration,
    /// The e-mail addresses by which the bot writes commits.
    own: Vec<String>,
    /// Held while something is created or changed.
    writing: Mutex<()>,
    /// What this process has already done, so that an unchanged pull request costs no request.
    settled: Shared<BTreeMap<u64, Settled>>,
    /// What is known about closed pull requests.
    closed: Mutex<ClosedPulls>,
}

impl<A: Api> fmt::Debug for Hosted<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosted").field("repository", &self.api.client().name()).finish_non_exhaustive()
    }
}

impl<A: Api> Hosted<A> {
    /// The pull requests that `api` reaches; one request may take `timeout`, and the bot writes commits by the addresses `own`.
    pub(super) fn over(api: A, timeout: Duration, own: &[&str]) -> Self {
        let deadline = timeout.saturating_mul(REQUESTS);
        let (writing, closed) = (Mutex::default(), Mutex::default());
        let own = own.iter().map(|&address| address.to_owned()).collect();
        Self { api, deadline, own, writing, settled: Shared::default(), closed }
    }

    /// Every open pull request whose head is a branch of this same repository with a name that begins with `head_prefix`.
    ///
    /// Pages are requested one after the other; a pull request closed in the meantime may shift another one out of
    /// view. [`ensure`](Self::ensure) still finds that one, because it queries by name.
    ///
    /// # Errors
    /// If not every page could be read.
    pub async fn open_pulls(&self, head_prefix: &str) -> Result<Vec<PullRequest>, ForgeError> {
        self.in_time("list pull requests", async {
            let all = self.api.client().list::<A::Pull>(self.api.open_path()).await?;
            let ours = all.into_iter().filter(|pull| pull.is_own() && pull.head().starts_with(head_prefix));
            let mut found = BTreeMap::new();
            for pull in self.api.completed(ours.collect()).await? {
                drop(found.insert(pull.number(), self.model(pull)?));
            }
            self.reopened(found.keys().copied()).await;
            Ok(found.into_values().collect())
        })
        .await
    }

    /// The pull requests from `head` into `base` in every state, newest first.
    ///
    /// # Errors
    /// If not every page could be read.
    pub async fn pulls_of(&self, head: &BranchName, base: &BranchName) -> Result<Vec<PullRequest>, ForgeError> {
        self.in_time("list pull requests", async {
            if A::LISTS_BRANCHES {
                let found = self.list_of(head, base, States::All).await?;
                return found.into_iter().map(|pull| self.model(pull)).collect();
            }
            // The open ones last: one that is reopened in between is then in both lists, and counts as open.
            let mut found: BTreeMap<u64, PullRequest> =
                self.ended_of(head, base).await?.into_iter().map(|pull| (pull.number, pull)).collect();
            for pull in self.list_of(head, base, States::Open).await? {
                drop(found.insert(pull.number(), self.model(pull)?));
            }
            Ok(found.into_values().rev().collect())
        })
        .await
    }

    /// Checks that the token works, sees the repository, and may do everything that the bot does, as far as the API
    /// shows. (Some kinds of tokens are only refused when they write.)
    ///
    /// # Errors
    /// If the check fails.
    pub async fn check(&self) -> Result<(), ForgeError> {
        self.in_time("check", self.api.check()).await
    }

    /// The reviews of a pull request: the latest of each person.
    ///
    /// # Errors
    /// If not all of them could be read.
    pub async fn reviews(&self, number: u64) -> Result<Reviews, ForgeError> {
        self.in_time("read reviews", async {
            let mut reviews = self.api.reviews(number).await?;
            if !reviews.standing().any(counts) {
                return Ok(reviews);
            }
            let pushes = self.api.pushes(number, &reviews).await?;
            let known = are_known(&reviews, &pushes);
            let writers = if known { Vec::new() } else { self.api.writers(number).await? };
            discount(&mut reviews, &pushes, &writers, &self.own);
            Ok(reviews)
        })
        .await
    }

    /// What these pull requests are judged by, as far as the forge tells it of many at once. What is missing is to be asked
    /// one by one.
    ///
    /// # Errors
    /// If it tells nothing.
    pub async fn judged(&self, numbers: &[u64]) -> Result<Vec<Judged>, ForgeError> {
        self.in_time("read many pull requests", async {
            let judged = |ahead: Ahead| {
                let Ahead { number, tip, mut reviews, checks, behind, pushes, .. } = ahead;
                // Where nothing says who pushed what was approved, everybody who wrote it is asked for, one by one.
                reviews = reviews.filter(|reviews| are_known(reviews, &pushes));
                if let Some(reviews) = &mut reviews {
                    discount(reviews, &pushes, &[], &self.own);
                }
                Some(Judged { number, tip: CommitId::parse(&tip).ok()?, reviews, checks, behind })
            };
            Ok(self.api.ahead(numbers).await?.into_iter().filter_map(judged).collect())
        })
        .await
    }

    /// The pull requests of each of these branches into `base`, newest first, as far as the forge tells them of many at once.
    ///
    /// # Errors
    /// If it tells nothing.
    pub async fn past(
        &self,
        heads: &[BranchName],
        base: &BranchName,
    ) -> Result<Vec<(BranchName, Vec<PullRequest>)>, ForgeError> {
        self.in_time("list pull requests", async {
            let mut all = Vec::new();
            for (head, pulls) in self.api.past(heads, base).await? {
                let pulls: Result<Vec<PullRequest>, ForgeError> =
                    pulls.into_iter().map(|pull| self.model(pull)).collect();
                all.push((head, pulls?));
            }
            Ok(all)
        })
        .await
    }

    /// The checks of a commit by name, the latest of each.
    ///
    /// # Errors
    /// If not all of them could be read.
    pub async fn checks(&self, commit: &CommitId) -> Result<Checks, ForgeError> {
        self.in_time("read checks", self.api.checks(commit)).await
    }

    /// Whether a pull request, at this tip, only needs to be brought up to date with its base.
    ///
    /// # Errors
    /// If the forge does not say, or has not computed it yet.
    pub async fn is_behind(&self, number: u64, tip: &CommitId) -> Result<bool, ForgeError> {
        self.in_time("read a pull request", self.api.is_behind(number, tip)).await
    }

    /// Whether a pull request is in a merge queue.
    ///
    /// # Errors
    /// If that is unknown.
    pub async fn is_queued(&self, number: u64) -> Result<bool, ForgeError> {
        self.in_time("look into the merge queue", self.api.is_queued(number)).await
    }

    /// What is in the merge queue of a base.
    pub async fn queue(&self, base: &BranchName) -> Answer<BTreeSet<u64>> {
        let read = self.in_time("read the merge queue", async { Ok(self.api.queue(base).await) });
        read.await.unwrap_or_else(|error| PullError::from(error).answer())
    }

    /// One pull request.
    async fn one(&self, number: u64) -> Result<PullRequest, ForgeError> {
        self.model(self.api.one(number).await?)
    }

    /// The pull requests of this repository from `head` into `base`, newest first.
    async fn list_of(&self, head: &BranchName, base: &BranchName, states: States) -> Result<Vec<A::Pull>, ForgeError> {
        let mut found = self.api.client().list::<A::Pull>(self.api.branch_path(head, base, states)).await?;
        // Checked again: a forge ignores a filter that it does not understand, and a fork may pass it.
        found.retain(|pull| pull.is_own() && pull.head() == head.as_str() && pull.base() == base.as_str());
        found.sort_by_key(|pull| std::cmp::Reverse(pull.number()));
        found.dedup_by_key(|pull| pull.number());
        self.api.completed(found).await
    }

    fn model(&self, pull: A::Pull) -> Result<PullRequest, ForgeError> {
        pull.into_model().map_err(|reason| self.api.client().nonsense("GET pulls", &reason))
    }

    async fn in_time<T>(&self, call: &str, work: impl Future<Output = Result<T, ForgeError>>) -> Result<T, ForgeError> {
        match tokio::time::timeout(self.deadline, work).await {
            Ok(result) => result,
            Err(_) => {
                let text = format!("not done within {} s", self.deadline.as_secs());
                Err(self.api.client().error(call, Problem::Network(text)))
            }
        }
    }
}

impl<A: Api> PullForge for Hosted<A> {
    type Settings = A::Settings;
    const LACKS: &'static [Feature] = A::LACKS;

    fn secrets(settings: &A::Settings) -> Vec<(&'static str, &SecretSource)> {
        A::secrets(settings)
    }

    fn commit_page(settings: &A::Settings) -> Option<String> {
        A::commit_page(settings)
    }

    fn statuses(settings: &A::Settings) -> Option<StatusApi<'_>> {
        A::statuses(settings)
    }

    fn lender(settings: &A::Settings, opening: &LenderOpening<'_>) -> Result<Option<Arc<dyn LendsToken>>, PullError> {
        A::lender(settings, opening)
    }

    fn commits_as(settings: &A::Settings) -> Option<Identity> {
        A::commits_as(settings)
    }

    fn maker(&self) -> Option<Arc<dyn MakesCommits>> {
        self.api.maker()
    }

    fn fenced(&self, fence: Fence, repository: &str) {
        self.api.client().fenced(fence, repository);
    }

    fn open(settings: &A::Settings, opening: &Opening<'_>) -> Result<Self, PullError> {
        let own = [opening.author, opening.committer].map(|who| who.email.as_str());
        Ok(Self::over(A::open(settings, opening)?, opening.timeout, &own))
    }

    async fn doctor(&self, head_prefix: &str) -> Result<Option<String>, PullError> {
        self.check().await?;
        let open = self.open_pulls(head_prefix).await?;
        let words = self.api.words().await.map_or(String::new(), |words| format!("; {words}"));
        Ok(Some(format!("{} open pull requests of ours{words}", open.len())))
    }

    async fn open_pulls(&self, head_prefix: &str) -> Result<Vec<PullRequest>, PullError> {
        Ok(self.open_pulls(head_prefix).await?)
    }

    async fn pulls_of(&self, head: &BranchName, base: &BranchName) -> Result<Vec<PullRequest>, PullError> {
        Ok(self.pulls_of(head, base).await?)
    }

    async fn closed_pulls(
        &self,
        prefix: &str,
        now: Timestamp,
        within: Duration,
    ) -> Result<Vec<PullRequest>, PullError> {
        Ok(self.closed_pulls(prefix, now, within).await?)
    }

    async fn messages(&self, pull: &PullRequest) -> Answer<Vec<String>> {
        answered(self.messages(pull.number).await)
    }

    async fn merged_messages(&self, number: u64, commit: &CommitId, prefix: &str) -> Result<Vec<String>, PullError> {
        Ok(self.merged_messages(number, commit, prefix).await?)
    }

    async fn ensure(&self, wanted: &[Wanted], _: Timestamp) -> Vec<Ensured> {
        let mut made = Vec::new();
        for Wanted { spec, known, .. } in wanted {
            made.push(self.ensure(spec, known.as_ref()).await.map_err(PullError::from));
        }
        made
    }

    async fn merge(&self, merge: &Merge, _: Timestamp) -> Result<MergeOutcome, PullError> {
        Ok(self.merge(merge).await?)
    }

    async fn close(&self, number: u64, body: &str, comment: &str, _: Timestamp) -> Result<(), PullError> {
        Ok(self.close(number, Some(body), Some(comment)).await?)
    }

    async fn take_label(&self, number: u64, label: &str, _: Timestamp) -> Result<(), PullError> {
        Ok(self.take_label(number, label).await?)
    }

    async fn judged(&self, numbers: &[u64]) -> Result<Vec<Judged>, PullError> {
        Ok(self.judged(numbers).await?)
    }

    async fn past(
        &self,
        heads: &[BranchName],
        base: &BranchName,
    ) -> Result<Vec<(BranchName, Vec<PullRequest>)>, PullError> {
        Ok(self.past(heads, base).await?)
    }

    async fn reviews(&self, number: u64) -> Answer<Reviews> {
        answered(self.reviews(number).await)
    }

    async fn checks(&self, commit: &CommitId) -> Answer<Checks> {
        answered(self.checks(commit).await)
    }

    async fn is_behind(&self, number: u64, tip: &CommitId) -> Answer<bool> {
        answered(self.is_behind(number, tip).await)
    }

    async fn is_queued(&self, number: u64) -> Result<bool, PullError> {
        Ok(self.is_queued(number).await?)
    }

    async fn queue(&self, base: &BranchName) -> Answer<BTreeSet<u64>> {
        self.queue(base).await
    }

    async fn dequeue(&self, number: u64, comment: &str) -> Result<DequeueOutcome, PullError> {
        Ok(self.dequeue(number, comment).await?)
    }

    async fn has_comment(&self, number: u64, marker: &str) -> Answer<bool> {
        answered(self.has_comment(number, marker).await)
    }

    async fn comment_once(&self, number: u64, marker: &str, text: &str) -> Result<(), PullError> {
        Ok(self.comment_once(number, marker, text).await?)
    }
}

fn answered<T>(answer: Result<T, ForgeError>) -> Answer<T> {
    answer.map_or_else(|error| PullError::from(error).answer(), Answer::Known)
}
