//! A commit's status, and its deployment, as a forge takes them: what a forge says about itself, and what a receiver posts by.

use http::StatusCode;
use reqwest::RequestBuilder;
use serde_json::Value;

/// What became of a commit in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitState {
    /// All is well.
    Succeeded,
    /// It is on its way.
    Pending,
    /// Something is wrong.
    Failed,
    /// It is no longer followed: superseded, taken back.
    Ended,
}

/// A status that is to be posted.
#[derive(Debug, Clone, Copy)]
pub struct CommitStatus<'a> {
    /// The commit.
    pub commit: &'a str,
    /// Whose status it is: a later one of the same name replaces it.
    pub name: &'a str,
    /// What became of it.
    pub state: CommitState,
    /// The same for people, one line.
    pub description: &'a str,
    /// A page that says more.
    pub page: &'a str,
}

/// How one kind of forge takes statuses.
#[derive(Debug, Clone, Copy)]
pub struct StatusSpeech {
    /// Adds the token, with the account's name if it has one.
    pub authorize: fn(RequestBuilder, Option<&str>, &str) -> RequestBuilder,
    /// Where a status is posted, below the repository's address, and its JSON.
    pub post: fn(&CommitStatus<'_>) -> (String, Value),
    /// The answer to a status of a commit that does not exist, where the token may post statuses; `None`: it does not tell.
    pub missing: Option<StatusCode>,
    /// What is read to see whether the token works, below the repository's address.
    pub look: &'static str,
}

/// A deployment of a commit that is to be posted.
#[derive(Debug, Clone, Copy)]
pub struct CommitDeployment<'a> {
    /// What became of the commit there.
    pub status: CommitStatus<'a>,
    /// Where it is deployed: an environment, with its cluster if there are several.
    pub environment: &'a str,
    /// The branch that is deployed.
    pub branch: &'a str,
    /// The repository's full name.
    pub repository: &'a str,
}

/// How one kind of forge takes deployments.
#[derive(Debug, Clone, Copy)]
pub enum DeploymentSpeech {
    /// The forge gives each a number: it is looked for, made if there is none, and changed by its number.
    Numbered(NumberedDeployments),
    /// Each has a key of ours: what is posted takes the place of what was posted before. The function says where, below the
    /// repository's address, and its JSON.
    Keyed(fn(&CommitDeployment<'_>) -> (String, Value)),
}

/// Where something is sent, below the repository's address, and its JSON.
pub type PathAndBody = (String, Value);

/// How deployments with numbers are found, made and changed; all paths are below the repository's address.
#[derive(Debug, Clone, Copy)]
pub struct NumberedDeployments {
    /// Where those of an environment are listed, the latest first, each with its `id`, its commit's `sha` and its `status`.
    pub list: fn(&str) -> String,
    /// Where one is posted, and its JSON.
    pub make: fn(&CommitDeployment<'_>) -> (String, Value),
    /// Where the one with this number is put, and its JSON; `None` if the forge takes no such change, or it is in that state
    /// already by the list's word.
    pub change: fn(u64, CommitState, Option<&str>) -> Option<PathAndBody>,
}

/// Whether a forge has deployments.
#[derive(Debug, Clone, Copy)]
pub enum Deployments {
    /// It has none that others than its own pipelines could make.
    None,
    /// The receiver that is for this forge alone makes them.
    OfItsReceiver,
    /// They are posted beside the statuses.
    Posted(&'static DeploymentSpeech),
}

/// The beginning of a text, of at most that many characters.
#[must_use]
pub fn at_most(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
