//! Pull requests on a forge: one folder or file for each kind of forge, and one line in the table below.
//!
//! Promise: finding or creating never makes a second pull request for one branch, whatever crashes, repeats or runs at
//! the same time; what a person did to a pull request (closed it, removed a label or a reviewer) is not undone; a
//! listing is complete or an error; no token appears in any error, log or address.
//!
//! Invariants:
//! - pull requests from forks are never ours, even when their branch has our name
//! - a request that creates something is never repeated without first checking whether it succeeded
//! - unknown is an error, never an empty list; what a forge does not have is [`Answer::Absent`]
//!
//! Design: the forge reports what exists and changes it; which pull request should exist is decided elsewhere. A kind's
//! file has its keys in the configuration (`…Config`, which is also its JSON Schema), its checked settings
//! (`…Settings`, without the secrets' values), and the forge itself (`PullForge`). Everything else follows from the
//! table.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Environment, ReadSecrets, SecretSource};
use crate::git::{LendsToken, MakesCommits, Mirror};
use crate::http::status::{Deployments, StatusSpeech};
use crate::model::{
    Answer, BranchName, Checks, CommitId, DequeueOutcome, FailureCode, Fence, Identity, Merge, MergeOutcome,
    PullRequest, PullRequestSpec, Reviews,
};

mod azure_devops;
mod bitbucket;
mod bitbucket_dc;
mod error;
mod gitea;
pub mod github;
mod gitlab;
mod hosted;
mod local;
mod none;

pub use azure_devops::AzureDevOps;
pub use bitbucket::Bitbucket;
pub use bitbucket_dc::BitbucketDc;
pub use error::ForgeError;
pub use gitea::Gitea;
pub use github::{GitHub, GitHubSettings};
pub use gitlab::GitLab;
pub use hosted::REQUESTS;
pub use local::{LocalForge, RECORDS};

/// Generates everything that depends on the kind from one line for each.
macro_rules! forges {
    ($( #[doc = $text:literal] $name:literal => $Kind:ident($Config:ty, $Settings:ty, $Forge:ty); )*) => {
        crate::document::kinds::kinds! {
            /// The keys of each kind, as written in the configuration.
            enum ForgeConfig, expecting "a forge as a mapping with `kind`";
            $( #[doc = $text] $name => $Kind($Config), )*
        }

        impl ForgeConfig {
            /// The settings, if the keys are valid.
            pub(crate) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<ForgeSettings> {
                match self {
                    $( Self::$Kind(config) => config.check(at, check).map(ForgeSettings::$Kind), )*
                }
            }
        }

        /// The settings of a forge; the secrets are not read yet.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum ForgeSettings {
            $( #[doc = $text] $Kind($Settings), )*
        }

        impl ForgeSettings {
            /// The sources of its secrets, each with a description.
            #[must_use]
            pub fn secrets(&self) -> Vec<(&'static str, &SecretSource)> {
                match self {
                    $( Self::$Kind(settings) => <$Forge as PullForge>::secrets(settings), )*
                }
            }

            /// Whether there can be pull requests at all.
            #[must_use]
            pub fn has_pulls(&self) -> bool {
                match self {
                    $( Self::$Kind(_) => <$Forge as PullForge>::HAS_PULLS, )*
                }
            }

            /// Whether the forge itself verifies who approved, rather than recording a claimed name.
            #[must_use]
            pub fn proves_approvals(&self) -> bool {
                match self {
                    $( Self::$Kind(_) => <$Forge as PullForge>::PROVES_APPROVALS, )*
                }
            }

            /// What it has not.
            #[must_use]
            pub fn lacks(&self) -> &'static [Feature] {
                match self {
                    $( Self::$Kind(_) => <$Forge as PullForge>::LACKS, )*
                }
            }

            /// The address of the page that shows a commit, up to the commit's id.
            #[must_use]
            pub fn commit_page(&self) -> Option<String> {
                match self {
                    $( Self::$Kind(settings) => <$Forge as PullForge>::commit_page(settings), )*
                }
            }

            /// Where and how it takes statuses of commits.
            #[must_use]
            pub fn statuses(&self) -> Option<StatusApi<'_>> {
                match self {
                    $( Self::$Kind(settings) => <$Forge as PullForge>::statuses(settings), )*
                }
            }

            /// Who the committer is of the commits that the forge makes for the bot, if it makes them.
            #[must_use]
            pub fn commits_as(&self) -> Option<Identity> {
                match self {
                    $( Self::$Kind(settings) => <$Forge as PullForge>::commits_as(settings), )*
                }
            }

            /// Who lends tokens for Git, too, where the bot comes as an app of the forge.
            ///
            /// # Errors
            /// If its settings cannot work.
            pub fn lender(&self, opening: &LenderOpening<'_>) -> Result<Option<Arc<dyn LendsToken>>, PullError> {
                match self {
                    $( Self::$Kind(settings) => <$Forge as PullForge>::lender(settings, opening), )*
                }
            }
        }

        /// A working forge for one repository.
        #[derive(Debug)]
        #[allow(clippy::large_enum_variant, reason = "one lives for each repository")]
        pub enum Forge {
            $( #[doc = $text] $Kind($Forge), )*
        }

        impl Forge {
            /// Prepares it; connects to nothing.
            ///
            /// # Errors
            /// If a setting cannot work.
            pub fn open(settings: &ForgeSettings, opening: &Opening<'_>) -> Result<Self, PullError> {
                Ok(match settings {
                    $( ForgeSettings::$Kind(settings) => Self::$Kind(PullForge::open(settings, opening)?), )*
                })
            }

            /// Whether there can be pull requests at all.
            #[must_use]
            pub fn has_pulls(&self) -> bool {
                match self {
                    $( Self::$Kind(_) => <$Forge as PullForge>::HAS_PULLS, )*
                }
            }

            /// Who makes the bot's commits, if the forge does.
            #[must_use]
            pub fn maker(&self) -> Option<Arc<dyn MakesCommits>> {
                match self {
                    $( Self::$Kind(forge) => PullForge::maker(forge), )*
                }
            }

            /// Asks this right before each change, for the repository of this name in the configuration; a second call
            /// changes nothing.
            pub fn fenced(&self, fence: Fence, repository: &str) {
                match self {
                    $( Self::$Kind(forge) => PullForge::fenced(forge, fence, repository), )*
                }
            }

            /// Checks that it works and permits everything the bot must do, in words; `None` if there is nothing to
            /// check.
            ///
            /// # Errors
            /// If the check fails.
            pub async fn doctor(&self, head_prefix: &str) -> Result<Option<String>, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::doctor(forge, head_prefix).await, )*
                }
            }

            /// Every open pull request whose head is a branch of this repository with a name that begins with
            /// `head_prefix`.
            ///
            /// # Errors
            /// If not all of them are known.
            pub async fn open_pulls(&self, head_prefix: &str) -> Result<Vec<PullRequest>, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::open_pulls(forge, head_prefix).await, )*
                }
            }

            /// The pull requests from `head` into `base` in every state, newest first.
            ///
            /// # Errors
            /// If not all of them are known.
            pub async fn pulls_of(&self, head: &BranchName, base: &BranchName) -> Result<Vec<PullRequest>, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::pulls_of(forge, head, base).await, )*
                }
            }

            /// The pull requests that were closed or merged, from branches with a name that begins with `head_prefix`,
            /// into any branch, the latest to end first: on GitHub, those of the last 180 days and among the last 3,000
            /// of anybody's.
            ///
            /// # Errors
            /// If they are not known `within` this time.
            pub async fn closed_pulls(
                &self,
                head_prefix: &str,
                now: Timestamp,
                within: Duration,
            ) -> Result<Vec<PullRequest>, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::closed_pulls(forge, head_prefix, now, within).await, )*
                }
            }

            /// The messages of a pull request's commits.
            pub async fn messages(&self, pull: &PullRequest) -> Answer<Vec<String>> {
                match self {
                    $( Self::$Kind(forge) => PullForge::messages(forge, pull).await, )*
                }
            }

            /// The messages of the commits of the pull request with this number, if it was merged as `commit` and its
            /// branch has a name that begins with `head_prefix`; otherwise none.
            ///
            /// # Errors
            /// If they are not known.
            pub async fn merged_messages(
                &self,
                number: u64,
                commit: &CommitId,
                head_prefix: &str,
            ) -> Result<Vec<String>, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::merged_messages(forge, number, commit, head_prefix).await, )*
                }
            }

            /// Finds or creates each pull request, and returns what could not be done about it; the text of an open one
            /// is updated. If one fails, the call can safely be repeated.
            pub async fn ensure(&self, wanted: &[Wanted], now: Timestamp) -> Vec<Ensured> {
                match self {
                    $( Self::$Kind(forge) => PullForge::ensure(forge, wanted, now).await, )*
                }
            }

            /// Merges at the judged commit.
            ///
            /// # Errors
            /// If it is unknown whether it was merged.
            pub async fn merge(&self, merge: &Merge, now: Timestamp) -> Result<MergeOutcome, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::merge(forge, merge, now).await, )*
                }
            }

            /// Closes a pull request without a merge; its text becomes `body`, and `comment` is posted if the forge has
            /// comments.
            ///
            /// # Errors
            /// If it could not be closed.
            pub async fn close(&self, number: u64, body: &str, comment: &str, now: Timestamp) -> Result<(), PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::close(forge, number, body, comment, now).await, )*
                }
            }

            /// Removes a label.
            ///
            /// # Errors
            /// If the label may still be there.
            pub async fn take_label(&self, number: u64, label: &str, now: Timestamp) -> Result<(), PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::take_label(forge, number, label, now).await, )*
                }
            }

            /// What these pull requests are judged by, as far as the forge tells it of many at once; what is missing is to be
            /// asked one by one.
            ///
            /// # Errors
            /// If it tells nothing.
            pub async fn judged(&self, numbers: &[u64]) -> Result<Vec<Judged>, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::judged(forge, numbers).await, )*
                }
            }

            /// The pull requests of each of these branches into `base` in every state, newest first, as far as the forge
            /// tells them of many at once; what is missing is to be asked one by one.
            ///
            /// # Errors
            /// If it tells nothing.
            pub async fn past(
                &self,
                heads: &[BranchName],
                base: &BranchName,
            ) -> Result<Vec<(BranchName, Vec<PullRequest>)>, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::past(forge, heads, base).await, )*
                }
            }

            /// The reviews of a pull request: the latest of each person.
            pub async fn reviews(&self, number: u64) -> Answer<Reviews> {
                match self {
                    $( Self::$Kind(forge) => PullForge::reviews(forge, number).await, )*
                }
            }

            /// The checks of a commit.
            pub async fn checks(&self, commit: &CommitId) -> Answer<Checks> {
                match self {
                    $( Self::$Kind(forge) => PullForge::checks(forge, commit).await, )*
                }
            }

            /// Whether a pull request, at this tip, only needs to be brought up to date with its base.
            pub async fn is_behind(&self, number: u64, tip: &CommitId) -> Answer<bool> {
                match self {
                    $( Self::$Kind(forge) => PullForge::is_behind(forge, number, tip).await, )*
                }
            }

            /// Whether a pull request is in a merge queue, so that nothing may be pushed to its branch.
            ///
            /// # Errors
            /// If that is unknown.
            pub async fn is_queued(&self, number: u64) -> Result<bool, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::is_queued(forge, number).await, )*
                }
            }

            /// The numbers of the pull requests in the merge queue of a base; absent: it has none, or one that cannot be
            /// read.
            pub async fn queue(&self, base: &BranchName) -> Answer<BTreeSet<u64>> {
                match self {
                    $( Self::$Kind(forge) => PullForge::queue(forge, base).await, )*
                }
            }

            /// Takes a pull request out of its merge queue, and posts `comment`.
            ///
            /// # Errors
            /// If it may still be there.
            pub async fn dequeue(&self, number: u64, comment: &str) -> Result<DequeueOutcome, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::dequeue(forge, number, comment).await, )*
                }
            }

            /// Whether a comment that contains this marker exists.
            pub async fn has_comment(&self, number: u64, marker: &str) -> Answer<bool> {
                match self {
                    $( Self::$Kind(forge) => PullForge::has_comment(forge, number, marker).await, )*
                }
            }

            /// Posts a comment, unless one with this marker exists, or the forge has no comments.
            ///
            /// # Errors
            /// If the comment may not be there.
            pub async fn comment_once(&self, number: u64, marker: &str, text: &str) -> Result<(), PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::comment_once(forge, number, marker, text).await, )*
                }
            }
        }
    };
}

forges! {
    /// GitHub or GitHub Enterprise Server.
    "github" => GitHub(github::GitHubConfig, github::GitHubForgeSettings, GitHub);
    /// GitLab: gitlab.com or self-managed.
    "gitlab" => GitLab(gitlab::GitLabConfig, gitlab::GitLabForgeSettings, GitLab);
    /// Gitea.
    "gitea" => Gitea(gitea::GiteaConfig, gitea::GiteaForgeSettings, Gitea);
    /// Forgejo, which is spoken to as Gitea.
    "forgejo" => Forgejo(gitea::ForgejoConfig, gitea::GiteaForgeSettings, Gitea);
    /// Bitbucket Cloud.
    "bitbucket" => Bitbucket(bitbucket::BitbucketConfig, bitbucket::BitbucketForgeSettings, Bitbucket);
    /// Bitbucket Data Center.
    "bitbucket-dc" => BitbucketDc(bitbucket_dc::BitbucketDcConfig, bitbucket_dc::BitbucketDcForgeSettings, BitbucketDc);
    /// Azure DevOps: Services or Server.
    "azure-devops" => AzureDevOps(azure_devops::AzureDevOpsConfig, azure_devops::AzureDevOpsForgeSettings, AzureDevOps);
    /// Pull requests as branches and small files in the repository itself, without a forge.
    "local" => Local(local::LocalConfig, local::LocalSettings, LocalForge);
    /// No pull requests.
    "none" => None(none::NoForgeConfig, none::NoForgeSettings, none::NoForge);
}

impl Default for ForgeSettings {
    fn default() -> Self {
        Self::None(none::NoForgeSettings)
    }
}

impl Forge {
    /// The local forge, if it is that one: only there do people act through the bot's own commands.
    #[must_use]
    pub fn local(&self) -> Option<&LocalForge> {
        if let Self::Local(local) = self { Some(local) } else { None }
    }
}

/// What a forge may need to open.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The repository's short name.
    pub repository: &'a str,
    /// Its secrets, read.
    pub secrets: &'a ReadSecrets,
    /// The environment, in which clouds describe the identity that the bot runs with.
    pub environment: &'a Environment,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_pem: Option<&'a [u8]>,
    /// A certificate with its private key (PEM), to show where a server asks for one.
    pub identity_pem: Option<&'a [u8]>,
    /// Time limit for one request.
    pub timeout: Duration,
    /// The repository's mirror.
    pub mirror: &'a Mirror,
    /// The author of commits.
    pub author: &'a Identity,
    /// Their committer.
    pub committer: &'a Identity,
}

/// What an app of a forge needs to lend tokens.
#[derive(Debug, Clone, Copy)]
pub struct LenderOpening<'a> {
    /// The repository's secrets, read.
    pub secrets: &'a ReadSecrets,
    /// The environment, in which clouds describe the identity that the bot runs with.
    pub environment: &'a Environment,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_pem: Option<&'a [u8]>,
    /// A certificate with its private key (PEM), to show where a server asks for one.
    pub identity_pem: Option<&'a [u8]>,
    /// Time limit for one request.
    pub timeout: Duration,
}

impl<'a> Opening<'a> {
    fn of_lender(&self) -> LenderOpening<'a> {
        let Self { secrets, environment, ca_pem, identity_pem, timeout, .. } = *self;
        LenderOpening { secrets, environment, ca_pem, identity_pem, timeout }
    }
}

impl LenderOpening<'_> {
    /// A secret.
    fn secret(&self, source: &SecretSource) -> Result<secrecy::SecretString, PullError> {
        let missing =
            || PullError { message: format!("the secret in {source} was not read"), code: FailureCode::ConfigError };
        self.secrets.get(source).ok_or_else(missing)
    }
}

impl Opening<'_> {
    /// A secret.
    fn secret(&self, source: &SecretSource) -> Result<secrecy::SecretString, PullError> {
        self.of_lender().secret(source)
    }

    /// Where a repository on a forge with a REST API is.
    fn place(&self, api_url: String, repository: String, login: hosted::Login) -> hosted::Place {
        let (ca_pem, identity_pem) = (self.ca_pem.map(<[u8]>::to_vec), self.identity_pem.map(<[u8]>::to_vec));
        hosted::Place { api_url, repository, login, ca_pem, identity_pem, timeout: self.timeout }
    }
}

/// What a policy may ask for and not every forge has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Checks of a commit.
    Checks,
    /// Comments, for reminders.
    Comments,
    /// Teams as reviewers.
    TeamReviewers,
    /// Labels.
    Labels,
    /// A merge that names the commit it is for.
    MergeAtCommit,
    /// Approvals only of those who may write to the repository.
    ApprovalsOfWriters,
}

/// Where and how a repository's forge takes statuses of commits.
#[derive(Debug, Clone)]
pub struct StatusApi<'a> {
    /// The address of the repository's part of the REST API.
    pub base: String,
    /// The repository's full name.
    pub repository: String,
    /// The account's name, if the token goes with one.
    pub user: Option<&'a str>,
    /// A token that may write; `None`: [`ForgeSettings::lender`] lends them.
    pub token: Option<&'a SecretSource>,
    /// How it takes them.
    pub speech: &'static StatusSpeech,
    /// Whether it takes deployments, too.
    pub deployments: Deployments,
}

/// A pull request that should exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its desired state.
    pub spec: PullRequestSpec,
    /// The tip of its branch.
    pub tip: CommitId,
    /// What is already known about it. This saves requests if nothing changed, and protects a decision: if it has been
    /// closed or merged in the meantime, no new one is created.
    pub known: Option<PullRequest>,
}

/// How many pull requests, or branches, one question about many is about.
pub(crate) const AT_ONCE: usize = 100;

/// What a pull request is judged by, as far as it was told of many at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Its number.
    pub number: u64,
    /// The tip of its branch, which checks and `behind` are about.
    pub tip: CommitId,
    /// Its reviews: the latest of each person.
    pub reviews: Option<Reviews>,
    /// The checks of its tip.
    pub checks: Option<Checks>,
    /// Whether it only needs to be brought up to date with its base.
    pub behind: Option<bool>,
}

/// The pull request as it is now, with warnings about what could not be done; or the error.
pub type Ensured = Result<(PullRequest, Vec<String>), PullError>;

/// What went wrong with a pull request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PullError {
    /// For a person.
    pub message: String,
    /// The kind of failure.
    pub code: FailureCode,
}

impl From<ForgeError> for PullError {
    fn from(error: ForgeError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

impl From<crate::git::GitError> for PullError {
    fn from(error: crate::git::GitError) -> Self {
        Self { code: error.code().unwrap_or(FailureCode::Protocol), message: error.to_string() }
    }
}

impl PullError {
    /// As the answer to a query.
    fn answer<T>(self) -> Answer<T> {
        Answer::Failed { message: self.message, code: self.code, last: None }
    }
}

/// One kind of forge. What a forge need not support is answered as absent by default.
trait PullForge: Sized {
    /// What it is opened from.
    type Settings;

    /// Whether there can be pull requests at all.
    const HAS_PULLS: bool = true;
    /// Whether the forge itself verifies who approved, rather than recording a claimed name.
    const PROVES_APPROVALS: bool = true;

    /// What it has not.
    const LACKS: &'static [Feature] = &[];

    /// The sources of its secrets, each with a description.
    fn secrets(_: &Self::Settings) -> Vec<(&'static str, &SecretSource)> {
        Vec::new()
    }

    /// The address of the page that shows a commit, up to the commit's id.
    fn commit_page(_: &Self::Settings) -> Option<String> {
        None
    }

    /// Where and how it takes statuses of commits.
    fn statuses(_: &Self::Settings) -> Option<StatusApi<'_>> {
        None
    }

    /// Who lends tokens for Git, too.
    fn lender(_: &Self::Settings, _: &LenderOpening<'_>) -> Result<Option<Arc<dyn LendsToken>>, PullError> {
        Ok(None)
    }

    /// Who the committer is of the commits that it makes for the bot.
    fn commits_as(_: &Self::Settings) -> Option<Identity> {
        None
    }

    fn open(settings: &Self::Settings, opening: &Opening<'_>) -> Result<Self, PullError>;

    /// Who makes the bot's commits.
    fn maker(&self) -> Option<Arc<dyn MakesCommits>> {
        None
    }

    /// Asks this right before each change. One that keeps its pull requests in Git changes nothing but by a push, which
    /// asks by itself.
    fn fenced(&self, _: Fence, _: &str) {}

    async fn doctor(&self, _: &str) -> Result<Option<String>, PullError> {
        Ok(None)
    }

    async fn open_pulls(&self, head_prefix: &str) -> Result<Vec<PullRequest>, PullError>;
    async fn pulls_of(&self, head: &BranchName, base: &BranchName) -> Result<Vec<PullRequest>, PullError>;
    async fn closed_pulls(&self, prefix: &str, now: Timestamp, within: Duration)
    -> Result<Vec<PullRequest>, PullError>;
    async fn messages(&self, pull: &PullRequest) -> Answer<Vec<String>>;
    async fn merged_messages(&self, _: u64, _: &CommitId, _: &str) -> Result<Vec<String>, PullError> {
        Ok(Vec::new())
    }

    async fn ensure(&self, wanted: &[Wanted], now: Timestamp) -> Vec<Ensured>;
    async fn merge(&self, merge: &Merge, now: Timestamp) -> Result<MergeOutcome, PullError>;
    async fn close(&self, number: u64, body: &str, comment: &str, now: Timestamp) -> Result<(), PullError>;
    async fn take_label(&self, number: u64, label: &str, now: Timestamp) -> Result<(), PullError>;
    async fn judged(&self, _: &[u64]) -> Result<Vec<Judged>, PullError> {
        Ok(Vec::new())
    }

    async fn past(&self, _: &[BranchName], _: &BranchName) -> Result<Vec<(BranchName, Vec<PullRequest>)>, PullError> {
        Ok(Vec::new())
    }

    async fn reviews(&self, number: u64) -> Answer<Reviews>;

    async fn checks(&self, commit: &CommitId) -> Answer<Checks>;

    async fn is_behind(&self, _: u64, _: &CommitId) -> Answer<bool> {
        Answer::Known(false)
    }

    async fn is_queued(&self, _: u64) -> Result<bool, PullError> {
        Ok(false)
    }

    async fn queue(&self, _: &BranchName) -> Answer<BTreeSet<u64>> {
        Answer::Absent { message: "this kind of forge has no merge queues".to_owned() }
    }

    async fn dequeue(&self, _: u64, _: &str) -> Result<DequeueOutcome, PullError> {
        Ok(DequeueOutcome::NotThere)
    }

    async fn has_comment(&self, _: u64, _: &str) -> Answer<bool> {
        Answer::Absent { message: "this kind of forge has no comments".to_owned() }
    }

    async fn comment_once(&self, _: u64, _: &str, _: &str) -> Result<(), PullError> {
        Ok(())
    }
}
