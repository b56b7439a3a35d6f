//! GitHub's JSON → the model: only the keys that are used, tolerant to everything else.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::model::{BranchName, CommitId, PullRequest, PullState};

/// A pull request as lists and single reads give it.
#[derive(Debug, Deserialize)]
pub(super) struct WirePull {
    pub(super) number: u64,
    html_url: String,
    state: String,
    title: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    draft: Option<bool>,
    #[serde(default)]
    merged_at: Option<String>,
    #[serde(default)]
    closed_at: Option<String>,
    pub(super) head: WireRef,
    pub(super) base: WireRef,
    #[serde(default, deserialize_with = "or_empty")]
    labels: Vec<WireLabel>,
    #[serde(default, deserialize_with = "or_empty")]
    requested_reviewers: Vec<WireUser>,
    #[serde(default, deserialize_with = "or_empty")]
    requested_teams: Vec<WireTeam>,
}

/// One end of a pull request.
#[derive(Debug, Deserialize)]
pub(super) struct WireRef {
    /// The short branch name.
    #[serde(rename = "ref")]
    pub(super) name: String,
    sha: String,
    /// `null` where the fork has been deleted.
    #[serde(default)]
    repo: Option<WireId>,
}

#[derive(Debug, Deserialize)]
struct WireId {
    id: u64,
}

/// A label.
#[derive(Debug, Deserialize)]
pub(super) struct WireLabel {
    pub(super) name: String,
}

/// A person.
#[derive(Debug, Deserialize)]
pub(super) struct WireUser {
    pub(super) login: String,
}

/// A team.
#[derive(Debug, Deserialize)]
pub(super) struct WireTeam {
    pub(super) slug: String,
}

/// The repository itself.
#[derive(Debug, Deserialize)]
pub(super) struct WireRepository {
    pub(super) full_name: String,
    #[serde(default)]
    pub(super) archived: bool,
    #[serde(default)]
    pub(super) disabled: bool,
    /// What the token's owner may do; absent for some kinds of tokens.
    #[serde(default)]
    pub(super) permissions: Option<WirePermissions>,
}

/// What the token's owner may do in a repository.
#[derive(Debug, Deserialize)]
pub(super) struct WirePermissions {
    #[serde(default)]
    pub(super) push: bool,
}

/// One entry of an issue's history.
#[derive(Debug, Deserialize)]
pub(super) struct WireEvent {
    pub(super) event: String,
    #[serde(default)]
    pub(super) label: Option<WireLabel>,
    #[serde(default)]
    pub(super) requested_reviewer: Option<WireUser>,
    #[serde(default)]
    pub(super) requested_team: Option<WireTeam>,
}

/// An error's body.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WireError {
    #[serde(default)]
    message: String,
    /// Objects or plain strings, depending on the endpoint.
    #[serde(default, deserialize_with = "or_empty")]
    errors: Vec<serde_json::Value>,
}

impl WireError {
    /// Message and details in one line; the caller cleans it.
    pub(super) fn text(&self) -> String {
        let mut text = self.message.clone();
        for error in self.errors.iter().take(5) {
            let word = |key: &str| error.get(key).and_then(serde_json::Value::as_str);
            let detail = match (error.as_str(), word("message")) {
                (Some(plain), _) | (None, Some(plain)) => plain.to_owned(),
                (None, None) => format!("{} {}", word("field").unwrap_or("?"), word("code").unwrap_or("?")),
            };
            text.push_str(if text.is_empty() { "" } else { "; " });
            text.push_str(&detail);
        }
        text
    }
}

fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(from)?.unwrap_or_default())
}

impl WirePull {
    /// Whether the change comes from a branch of the same repository. Compared by id: names change and forks may have
    /// a branch of the same name.
    pub(super) fn is_own(&self) -> bool {
        matches!((&self.head.repo, &self.base.repo), (Some(head), Some(base)) if head.id == base.id)
    }

    /// Whether people and teams asked to review are among those still waited for.
    pub(super) fn waits_for(&self, reviewer: &str) -> bool {
        match reviewer.split_once('/') {
            Some((_, team)) => self.requested_teams.iter().any(|t| t.slug.eq_ignore_ascii_case(team)),
            None => self.requested_reviewers.iter().any(|u| u.login.eq_ignore_ascii_case(reviewer)),
        }
    }

    /// The pull request of the model.
    ///
    /// # Errors
    /// When a field makes no sense, with the reason; the text may hold words of the other side.
    pub(super) fn into_model(self) -> Result<PullRequest, String> {
        let state = match (self.merged_at.is_some(), self.state.as_str()) {
            (true, _) => PullState::Merged,
            (false, "open") => PullState::Open,
            (false, "closed") => PullState::Closed,
            (false, other) => return Err(format!("pull request {} has the state `{other}`", self.number)),
        };
        let url = self.html_url;
        let web = url.starts_with("https://") || url.starts_with("http://");
        if !web || url.len() > 2000 || !url.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"`\\".contains(&b)) {
            return Err(format!("html_url of pull request {} is not a web address", self.number));
        }
        let branch = |end: WireRef| BranchName::parse(&end.name).map_err(|error| error.to_string());
        Ok(PullRequest {
            number: self.number,
            url,
            state,
            title: self.title,
            body: self.body.unwrap_or_default(),
            head_commit: CommitId::parse(&self.head.sha).ok(),
            head: branch(self.head)?,
            base: branch(self.base)?,
            draft: self.draft.unwrap_or(false),
            labels: self.labels.into_iter().map(|label| label.name).collect(),
            closed_at: self.merged_at.or(self.closed_at).and_then(|at| at.parse::<Timestamp>().ok()),
        })
    }
}
