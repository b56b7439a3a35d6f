//! No forge: there are no pull requests, and the error for requesting one explains how to configure a forge.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::model::{Answer, BranchName, Checks, CommitId, FailureCode, Merge, MergeOutcome, PullRequest, Reviews};

use super::{Ensured, Opening, PullError, PullForge, Wanted};

/// It has no keys of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoForgeConfig {}

impl NoForgeConfig {
    pub(super) fn check(&self, _: Mark, _: &mut Check<'_, '_>) -> Option<NoForgeSettings> {
        Some(NoForgeSettings)
    }
}

/// There is nothing to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoForgeSettings;

/// No forge.
#[derive(Debug)]
pub struct NoForge {
    repository: String,
}

impl NoForge {
    fn nowhere(&self) -> PullError {
        let message = format!(
            "a policy says `write: pull-request`, but repository {} has no forge; add `forge:` to it (kind github, \
             gitlab, gitea or forgejo, or local for pull requests kept in the Git repository itself)",
            self.repository
        );
        PullError { message, code: FailureCode::ConfigError }
    }
}

impl PullForge for NoForge {
    type Settings = NoForgeSettings;
    const HAS_PULLS: bool = false;

    fn open(_: &NoForgeSettings, opening: &Opening<'_>) -> Result<Self, PullError> {
        Ok(Self { repository: opening.repository.to_owned() })
    }

    async fn open_pulls(&self, _: &str) -> Result<Vec<PullRequest>, PullError> {
        Ok(Vec::new())
    }

    async fn pulls_of(&self, _: &BranchName, _: &BranchName) -> Result<Vec<PullRequest>, PullError> {
        Err(self.nowhere())
    }

    async fn closed_pulls(&self, _: &str, _: Timestamp, _: Duration) -> Result<Vec<PullRequest>, PullError> {
        Ok(Vec::new())
    }

    async fn messages(&self, _: &PullRequest) -> Answer<Vec<String>> {
        Answer::Absent { message: self.nowhere().message }
    }

    async fn ensure(&self, wanted: &[Wanted], _: Timestamp) -> Vec<Ensured> {
        wanted.iter().map(|_| Err(self.nowhere())).collect()
    }

    async fn merge(&self, _: &Merge, _: Timestamp) -> Result<MergeOutcome, PullError> {
        Err(self.nowhere())
    }

    async fn close(&self, _: u64, _: &str, _: &str, _: Timestamp) -> Result<(), PullError> {
        Err(self.nowhere())
    }

    async fn take_label(&self, _: u64, _: &str, _: Timestamp) -> Result<(), PullError> {
        Err(self.nowhere())
    }

    async fn checks(&self, _: &CommitId) -> Answer<Checks> {
        Answer::Absent { message: format!("repository {} has no forge that could report checks", self.repository) }
    }

    async fn reviews(&self, _: u64) -> Answer<Reviews> {
        Answer::Absent { message: self.nowhere().message }
    }
}
