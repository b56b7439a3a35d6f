//! A commit's status as a forge takes it: what a forge says about itself, and what a receiver posts by.

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

/// The beginning of a text, of at most that many characters.
#[must_use]
pub fn at_most(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
