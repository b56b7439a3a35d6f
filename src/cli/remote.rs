//! Policies and pins of a configured repository, read from its remote.

use crate::config::{Diagnostic, RepositorySettings, Settings};
use crate::daemon::{self, Clock, Repository};
use crate::git::GitError;
use crate::model::FailureCode;
use crate::overlay::TreeScan;
use crate::plan::Problem;
use crate::policy::PolicySet;

use super::{CliError, bot, settings};

/// The content of a repository at the tip of its branch.
pub(super) struct RemoteState {
    /// Its policies, under the configuration's caps.
    pub(super) policies: PolicySet,
    /// What is wrong with them; in that case no policy applies.
    pub(super) problems: Vec<Problem>,
    /// Its pins, and what was skipped.
    pub(super) found: TreeScan,
    /// What is wrong with its freezes and holds, and which of them can be removed.
    pub(super) decisions: Vec<Diagnostic>,
}

/// Reads a repository.
pub(super) fn read(settings: &Settings, repository: &RepositorySettings) -> Result<RemoteState, CliError> {
    bot::block_on(async {
        let opened = open(settings, repository).await?;
        let reader = opened.reader();
        let (policies, problems) = reader.main_policies();
        let found = reader.main_pins(&policies);
        let decisions = reader.decision_diagnostics(Clock::system().now());
        Ok(RemoteState { policies, problems, found, decisions })
    })
}

/// Checks whether a repository may be pushed to; returns the branch.
pub(super) fn may_push(settings: &Settings, repository: &RepositorySettings) -> Result<String, CliError> {
    bot::block_on(async {
        let opened = open(settings, repository).await?;
        let wrong = |error: GitError| {
            let failure = CliError::caused(format!("repository {} cannot be pushed to", repository.name), &error);
            if error.code() == Some(FailureCode::Authentication) { failure.authentication() } else { failure }
        };
        opened.reader().try_push().await.map_err(wrong)?;
        Ok(opened.branch().to_string())
    })
}

/// Opens a repository as it is on its remote.
async fn open(settings: &Settings, repository: &RepositorySettings) -> Result<Repository, CliError> {
    let environment = settings::environment();
    let what = || format!("repository {} cannot be read", repository.name);
    let failed = |error: daemon::SetupError| CliError::caused(what(), &error);
    let state = daemon::state_dir(settings, &environment).map_err(failed)?;
    let mut opened = daemon::repository(repository, &state, &environment).await.map_err(failed)?;
    opened.refresh().await.map_err(|error| {
        let failure = CliError::caused(what(), &error);
        if error.code() == Some(FailureCode::Authentication) { failure.authentication() } else { failure }
    })?;
    Ok(opened)
}
