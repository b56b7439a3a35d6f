//! Pull requests where they live: one folder or file for each kind of forge, and one line in the table below.
//!
//! Promise: finding or creating never makes a second pull request for one branch, whatever crashes, repeats or runs at the
//! same time; what a person did to a pull request (closed it, took a label or a reviewer away) is not undone; a listing is
//! complete or an error; no token appears in any error, log or address.
//!
//! Invariants:
//! - pull requests from forks are never ours, even when their branch has our name
//! - a request that creates something is never sent again before looking whether it was done
//! - unknown is an error, never an empty list; what a forge does not have is [`Answer::Absent`]
//!
//! Design: the forge says what is there and makes it so; which pull request should exist is decided elsewhere. A kind's file has
//! its keys in the configuration (`…Config`, which is also its JSON Schema), what they mean once they are checked (`…Settings`, in
//! which secrets are not read yet), and the forge itself (`PullForge`). Everything else follows from the table.

use std::time::Duration;

use jiff::Timestamp;

use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{ReadSecrets, SecretSource};
use crate::git::Mirror;
use crate::model::{
    Answer, BranchName, Checks, CommitId, FailureCode, Identity, Merge, MergeOutcome, PullRequest, PullRequestSpec,
    Reviews,
};

mod error;
pub mod github;
mod local;
mod none;

pub use error::ForgeError;
pub use github::{GitHub, GitHubSettings};
pub use local::{LocalForge, RECORDS};

/// Makes everything that depends on the kind from one line for each.
macro_rules! forges {
    ($( #[doc = $text:literal] $name:literal => $Kind:ident($Config:ty, $Settings:ty, $Forge:ty); )*) => {
        crate::document::kinds::kinds! {
            /// The keys of each kind, as they are written.
            enum ForgeConfig, expecting "a forge as a mapping with `kind`";
            $( #[doc = $text] $name => $Kind($Config), )*
        }

        impl ForgeConfig {
            /// What the keys mean, where they are right.
            pub(crate) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<ForgeSettings> {
                match self {
                    $( Self::$Kind(config) => config.check(at, check).map(ForgeSettings::$Kind), )*
                }
            }
        }

        /// Where pull requests are made, the secrets not yet read.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum ForgeSettings {
            $( #[doc = $text] $Kind($Settings), )*
        }

        impl ForgeSettings {
            /// Where its secrets are, each with what it is.
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

            /// Whether the forge knows who approved, and does not only take their word for it.
            #[must_use]
            pub fn proves_approvals(&self) -> bool {
                match self {
                    $( Self::$Kind(_) => <$Forge as PullForge>::PROVES_APPROVALS, )*
                }
            }

            /// The address before a commit's id of the page where a person reads the commit.
            #[must_use]
            pub fn commit_page(&self) -> Option<String> {
                match self {
                    $( Self::$Kind(settings) => <$Forge as PullForge>::commit_page(settings), )*
                }
            }

            /// Where statuses and deployments of commits are taken in GitHub's way.
            #[must_use]
            pub fn statuses(&self) -> Option<StatusApi<'_>> {
                match self {
                    $( Self::$Kind(settings) => <$Forge as PullForge>::statuses(settings), )*
                }
            }
        }

        /// A forge at work, for one repository.
        #[derive(Debug)]
        #[allow(clippy::large_enum_variant, reason = "one lives for each repository")]
        pub enum Forge {
            $( #[doc = $text] $Kind($Forge), )*
        }

        impl Forge {
            /// Makes it ready; connects to nothing.
            ///
            /// # Errors
            /// When a setting cannot work.
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

            /// Whether it works and lets the bot do what it must, in words; `None` where there is nothing to ask.
            ///
            /// # Errors
            /// When it does not.
            pub async fn doctor(&self, head_prefix: &str) -> Result<Option<String>, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::doctor(forge, head_prefix).await, )*
                }
            }

            /// Every open pull request whose head is a branch of this repository with a name that begins with `head_prefix`.
            ///
            /// # Errors
            /// When they are not all known.
            pub async fn open_pulls(&self, head_prefix: &str) -> Result<Vec<PullRequest>, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::open_pulls(forge, head_prefix).await, )*
                }
            }

            /// The pull requests from `head` into `base` in every state, newest first.
            ///
            /// # Errors
            /// When they are not all known.
            pub async fn pulls_of(&self, head: &BranchName, base: &BranchName) -> Result<Vec<PullRequest>, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::pulls_of(forge, head, base).await, )*
                }
            }

            /// The pull requests that were closed without a merge, from branches with a name that begins with `head_prefix`
            /// into whatever branch, the last that changed first: on GitHub those of the last 180 days and 3,000 of anybody's.
            ///
            /// # Errors
            /// When they are not known `within` this time.
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

            /// The messages of the commits of the pull request with this number, where `commit` is what it was merged as and its
            /// branch has a name that begins with `head_prefix`; else none.
            ///
            /// # Errors
            /// When they are not known.
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

            /// Finds or makes each pull request, with what could not be done to it; the text of an open one is brought up to date.
            /// Where one fails, asking again is safe.
            pub async fn ensure(&self, wanted: &[Wanted], now: Timestamp) -> Vec<Ensured> {
                match self {
                    $( Self::$Kind(forge) => PullForge::ensure(forge, wanted, now).await, )*
                }
            }

            /// Merges at the judged commit.
            ///
            /// # Errors
            /// When it is not known whether it was merged.
            pub async fn merge(&self, merge: &Merge, now: Timestamp) -> Result<MergeOutcome, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::merge(forge, merge, now).await, )*
                }
            }

            /// Closes a pull request without a merge; its text becomes `body`, and `comment` is said where there are comments.
            ///
            /// # Errors
            /// When it could not be closed.
            pub async fn close(&self, number: u64, body: &str, comment: &str, now: Timestamp) -> Result<(), PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::close(forge, number, body, comment, now).await, )*
                }
            }

            /// Takes a label off; it is off at the end, or that is an error.
            ///
            /// # Errors
            /// When it is not known to be off.
            pub async fn take_label(&self, number: u64, label: &str, now: Timestamp) -> Result<(), PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::take_label(forge, number, label, now).await, )*
                }
            }

            /// The reviews of a pull request: each person's last word.
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

            /// Whether a pull request, at this tip, waits for nothing but to have all of its base.
            pub async fn is_behind(&self, number: u64, tip: &CommitId) -> Answer<bool> {
                match self {
                    $( Self::$Kind(forge) => PullForge::is_behind(forge, number, tip).await, )*
                }
            }

            /// Whether a pull request is in a merge queue, so that nothing may be pushed to its branch.
            ///
            /// # Errors
            /// When that is not known.
            pub async fn is_queued(&self, number: u64) -> Result<bool, PullError> {
                match self {
                    $( Self::$Kind(forge) => PullForge::is_queued(forge, number).await, )*
                }
            }

            /// Whether a comment with this marker in it is there.
            pub async fn has_comment(&self, number: u64, marker: &str) -> Answer<bool> {
                match self {
                    $( Self::$Kind(forge) => PullForge::has_comment(forge, number, marker).await, )*
                }
            }

            /// Writes a comment, unless one with this marker is there already, or the forge has none.
            ///
            /// # Errors
            /// When it is not known to be there at the end.
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
    /// The local forge, where it is that one: only there does a person act through the bot's own commands.
    #[must_use]
    pub fn local(&self) -> Option<&LocalForge> {
        if let Self::Local(local) = self { Some(local) } else { None }
    }
}

/// What forges may need of the world.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The repository's short name.
    pub repository: &'a str,
    /// Its secrets, read.
    pub secrets: &'a ReadSecrets,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_pem: Option<&'a [u8]>,
    /// Most time for one request.
    pub timeout: Duration,
    /// The repository's mirror.
    pub mirror: &'a Mirror,
    /// Author and committer of commits.
    pub author: &'a Identity,
}

impl Opening<'_> {
    /// A secret.
    fn secret(&self, source: &SecretSource) -> Result<secrecy::SecretString, PullError> {
        let missing =
            || PullError { message: format!("the secret in {source} was not read"), code: FailureCode::ConfigError };
        self.secrets.get(source).ok_or_else(missing)
    }
}

/// A REST API that takes commit statuses as GitHub's does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusApi<'a> {
    /// Its address, without a final `/`.
    pub api_url: &'a str,
    /// The repository's owner.
    pub owner: &'a str,
    /// The repository's name.
    pub repository: &'a str,
    /// A token that may write.
    pub token: &'a SecretSource,
}

/// A pull request that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// How it should be.
    pub spec: PullRequestSpec,
    /// The tip of its branch.
    pub tip: CommitId,
    /// What is known of it. It saves requests where nothing changed, and protects a decision: when that one has been closed or
    /// merged meanwhile, no new one is made.
    pub known: Option<PullRequest>,
}

/// A pull request that is there now, and what was not done about it; or why it is not.
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
    /// The answer to a question that could not be answered.
    fn answer<T>(self) -> Answer<T> {
        Answer::Failed { message: self.message, code: self.code, last: None }
    }
}

/// A kind of forge at work. What a forge need not have is answered as absent unless it says otherwise.
trait PullForge: Sized {
    /// What it is made from.
    type Settings;

    /// Whether there can be pull requests at all.
    const HAS_PULLS: bool = true;
    /// Whether the forge knows who approved, and does not only take their word for it.
    const PROVES_APPROVALS: bool = true;

    /// Where its secrets are, each with what it is.
    fn secrets(_: &Self::Settings) -> Vec<(&'static str, &SecretSource)> {
        Vec::new()
    }

    /// The address before a commit's id of the page where a person reads the commit.
    fn commit_page(_: &Self::Settings) -> Option<String> {
        None
    }

    /// Where statuses and deployments of commits are taken in GitHub's way.
    fn statuses(_: &Self::Settings) -> Option<StatusApi<'_>> {
        None
    }

    fn open(settings: &Self::Settings, opening: &Opening<'_>) -> Result<Self, PullError>;

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
    async fn reviews(&self, number: u64) -> Answer<Reviews>;

    async fn checks(&self, commit: &CommitId) -> Answer<Checks>;

    async fn is_behind(&self, _: u64, _: &CommitId) -> Answer<bool> {
        Answer::Known(false)
    }

    async fn is_queued(&self, _: u64) -> Result<bool, PullError> {
        Ok(false)
    }

    async fn has_comment(&self, _: u64, _: &str) -> Answer<bool> {
        Answer::Absent { message: "this kind of forge has no comments".to_owned() }
    }

    async fn comment_once(&self, _: u64, _: &str, _: &str) -> Result<(), PullError> {
        Ok(())
    }
}
