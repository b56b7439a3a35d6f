//! What one kind of forge does in its own way; everything else about pull requests is the same for all ([`Hosted`]).
//!
//! [`Hosted`]: super::Hosted

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::ask::Ask;
use super::client::ApiClient;
use super::judge::{PushedTip, Writer};
use crate::document::secret::SecretSource;
use crate::forge::error::{ForgeError, Problem};
use crate::forge::{Feature, LenderOpening, Opening, PullError, StatusApi};
use crate::git::{LendsToken, MakesCommits};
use crate::model::{
    Answer, BranchName, Checks, CommitId, DequeueOutcome, Identity, Merge, MergeOutcome, PullRequest, PullRequestSpec,
    Reviews,
};

/// One kind of forge behind a REST API: its paths and its JSON.
pub(in crate::forge) trait Api: Judges + Adds + Merges + Sized {
    /// What it is opened from.
    type Settings;
    /// A pull request in its JSON.
    type Pull: ForgePull;

    /// What it has not.
    const LACKS: &'static [Feature] = &[];
    /// How many pull requests a page has.
    const PAGE: u32;
    /// The maximum length of a title.
    const MAX_TITLE: usize;
    /// The maximum length of a text, in characters.
    const MAX_BODY: usize = usize::MAX;
    /// Whether those that are not open are listed in the order of their changes.
    const CLOSED_IN_ORDER: bool = true;
    /// Whether it lists the pull requests of one branch, whatever their state.
    const LISTS_BRANCHES: bool = true;

    fn secrets(settings: &Self::Settings) -> Vec<(&'static str, &SecretSource)>;
    fn commit_page(settings: &Self::Settings) -> Option<String>;
    fn statuses(_: &Self::Settings) -> Option<StatusApi<'_>> {
        None
    }
    fn lender(_: &Self::Settings, _: &LenderOpening<'_>) -> Result<Option<Arc<dyn LendsToken>>, PullError> {
        Ok(None)
    }
    fn commits_as(_: &Self::Settings) -> Option<Identity> {
        None
    }
    fn open(settings: &Self::Settings, opening: &Opening<'_>) -> Result<Self, PullError>;
    fn maker(&self) -> Option<Arc<dyn MakesCommits>> {
        None
    }

    fn client(&self) -> &ApiClient;
    /// Checks token and repository.
    async fn check(&self) -> Result<(), ForgeError>;
    /// What is to be known about them besides.
    async fn words(&self) -> Option<String> {
        None
    }

    /// The list of all open pull requests, oldest first.
    fn open_path(&self) -> String;
    /// The list of those from `head` into `base`, newest first, if the forge can list them. A filter that it ignores
    /// does no harm.
    fn branch_path(&self, head: &BranchName, base: &BranchName, states: States) -> String;
    /// A page of those that are not open, most recently changed first; if those cannot be had in that order, of those that
    /// ended `since` then.
    fn closed_path(&self, page: u32, since: Option<Timestamp>) -> String;
    /// One.
    async fn one(&self, number: u64) -> Result<Self::Pull, ForgeError>;
    /// What these are judged by, asked of all of them at once; those that are missing are asked about one by one, and so is
    /// what is not known of one.
    async fn ahead(&self, _: &[u64]) -> Result<Vec<Ahead>, ForgeError> {
        Ok(Vec::new())
    }
    /// The pull requests of each of these branches into `base`, newest first, asked of all of them at once; those that are
    /// missing are asked about one by one.
    async fn past(&self, _: &[BranchName], _: &BranchName) -> Result<Vec<(BranchName, Vec<Self::Pull>)>, ForgeError> {
        Ok(Vec::new())
    }
    /// What a merge whose answer was lost has made, as `there` shows it: that commit, if it is of what was judged.
    fn merged_as(&self, _: &Self::Pull, _: &Merge, commit: CommitId) -> Result<MergeOutcome, ForgeError> {
        Ok(MergeOutcome::Merged { commit })
    }
    /// The messages of the commits of one.
    async fn messages(&self, number: u64) -> Result<Vec<String>, ForgeError>;

    /// Adds to some what is not told of them with them.
    async fn completed(&self, pulls: Vec<Self::Pull>) -> Result<Vec<Self::Pull>, ForgeError> {
        Ok(pulls)
    }

    /// Whom the repository itself wants to be asked, where the forge leaves asking to whoever creates one.
    async fn default_reviewers(&self, _: &PullRequestSpec) -> Result<Vec<String>, ForgeError> {
        Ok(Vec::new())
    }
    /// Creates one, with the default reviewers.
    fn creating(&self, spec: &PullRequestSpec, draft: bool, defaults: &[String]) -> Ask;
    /// Whether a creation was refused because there is an open one.
    fn exists(problem: &Problem) -> bool;
    /// Changes title and text of one; all else stays, also what makes it a draft.
    fn rewriting(&self, there: &Self::Pull, title: &str, body: &str) -> Ask;
    /// Closes one that is open, with another text if there is one.
    async fn close(&self, there: Self::Pull, body: Option<&str>) -> Result<(), ForgeError>;

    /// The texts of all comments.
    async fn comments(&self, number: u64) -> Result<Vec<String>, ForgeError>;
    /// Posts a comment.
    fn commenting(&self, number: u64, text: &str) -> Ask;
}

/// What merges are judged by.
pub(in crate::forge) trait Judges {
    /// The latest review of each person; of approvals, whether their authors may give them.
    async fn reviews(&self, number: u64) -> Result<Reviews, ForgeError>;
    /// Who pushed the commits that these reviews approve, as far as the forge says it.
    async fn pushes(&self, number: u64, reviews: &Reviews) -> Result<Vec<PushedTip>, ForgeError>;
    /// Who wrote the commits of one.
    async fn writers(&self, number: u64) -> Result<Vec<Writer>, ForgeError>;
    async fn checks(&self, commit: &CommitId) -> Result<Checks, ForgeError>;
    async fn is_behind(&self, number: u64, tip: &CommitId) -> Result<bool, ForgeError>;
}

/// Labels and reviewers.
pub(in crate::forge) trait Adds {
    /// What was ever added to one.
    async fn history(&self, number: u64) -> Result<History, ForgeError>;
    /// Adds labels, and returns those that are there then; what is not, becomes a warning.
    async fn add_labels(&self, number: u64, labels: &[String], warnings: &mut Vec<String>) -> Vec<String>;
    /// Asks for reviews; what cannot be asked for becomes a warning.
    async fn request(&self, number: u64, reviewers: &[&String], warnings: &mut Vec<String>);
    /// Removes a label.
    async fn remove_label(&self, number: u64, label: &str) -> Result<(), ForgeError>;
}

/// How merges are made.
pub(in crate::forge) trait Merges {
    /// Merges at the judged commit; if the answer is lost, what happened is looked up by the caller.
    async fn merge(&self, merge: &Merge) -> Result<MergeOutcome, ForgeError>;
    async fn is_queued(&self, _: u64) -> Result<bool, ForgeError> {
        Ok(false)
    }
    async fn queue(&self, _: &BranchName) -> Answer<BTreeSet<u64>> {
        Answer::Absent { message: "this kind of forge has no merge queues".to_owned() }
    }
    /// Takes one out of its merge queue.
    async fn dequeue(&self, _: u64) -> Result<DequeueOutcome, ForgeError> {
        Ok(DequeueOutcome::NotThere)
    }
}

/// What a pull request is judged by, as far as it was told of many at once.
#[derive(Debug)]
pub(in crate::forge) struct Ahead {
    pub(in crate::forge) number: u64,
    /// The tip that checks and `behind` are about.
    pub(in crate::forge) tip: String,
    pub(in crate::forge) branch: String,
    /// The latest review of each person, with who may give approvals.
    pub(in crate::forge) reviews: Option<Reviews>,
    pub(in crate::forge) checks: Option<Checks>,
    pub(in crate::forge) behind: Option<bool>,
    /// Who pushed the commits that are approved.
    pub(in crate::forge) pushes: Vec<PushedTip>,
}

/// Which pull requests are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::forge) enum States {
    Open,
    All,
}

/// A pull request in a forge's JSON.
pub(in crate::forge) trait ForgePull: DeserializeOwned + Clone {
    fn number(&self) -> u64;
    /// Whether the change comes from a branch of the same repository. Compared by id: names change, and forks may have
    /// a branch of the same name.
    fn is_own(&self) -> bool;
    fn head(&self) -> &str;
    fn base(&self) -> &str;
    /// When it last changed.
    fn updated_at(&self) -> Option<Timestamp>;
    /// Whether this person or team is asked for a review.
    fn waits_for(&self, reviewer: &str) -> bool;
    /// The commits that a merge made.
    fn merge_commits(&self) -> impl Iterator<Item = &str>;
    /// The pull request of the model.
    ///
    /// # Errors
    /// If a field makes no sense, with the reason; the text may contain text from the forge.
    fn into_model(self) -> Result<PullRequest, String>;
}

/// A list that may be `null`.
pub(in crate::forge) fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(from)?.unwrap_or_default())
}

/// The address of a pull request's page, if it is one.
pub(in crate::forge) fn web_address(url: String, number: u64) -> Result<String, String> {
    let web = url.starts_with("https://") || url.starts_with("http://");
    let plain = |b: u8| b.is_ascii_graphic() && !b"<>\"`\\".contains(&b);
    match web && url.len() <= 2000 && url.bytes().all(plain) {
        true => Ok(url),
        false => Err(format!("the address of pull request {number} is not a web address")),
    }
}

/// A comment.
#[derive(Debug, Deserialize)]
pub(in crate::forge) struct WireComment {
    /// Never absent: what has none is no comment, and what is looked for may be in it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(in crate::forge) body: Option<String>,
}

/// Labels and reviewers that were ever added to a pull request, in lower case; of a team `/` and its short name.
#[derive(Debug, Default)]
pub(in crate::forge) struct History {
    pub(in crate::forge) labels: BTreeSet<String>,
    pub(in crate::forge) reviewers: BTreeSet<String>,
}

impl History {
    pub(super) fn had_label(&self, label: &str) -> bool {
        self.labels.contains(&label.to_lowercase())
    }

    pub(super) fn had_reviewer(&self, reviewer: &str) -> bool {
        let name = reviewer.rfind('/').map_or(reviewer, |slash| &reviewer[slash..]);
        self.reviewers.contains(&name.to_lowercase())
    }
}
