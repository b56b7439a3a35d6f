//! Policies and pins of a configured repository, read from its remote.

use crate::config::{Diagnostic, RepositorySettings, Settings};
use crate::daemon::{self, Clock};
use crate::overlay::TreeScan;
use crate::plan::Problem;
use crate::policy::PolicySet;

use super::{CliError, bot, settings};

/// What a repository holds at the tip of its branch.
pub(super) struct RemoteState {
    /// Its policies, under the configuration's caps.
    pub(super) policies: PolicySet,
    /// What is wrong with them; then no policy applies.
    pub(super) problems: Vec<Problem>,
    /// Its pins, and what was skipped.
    pub(super) found: TreeScan,
    /// What is wrong with its freezes and holds, and what can go.
    pub(super) decisions: Vec<Diagnostic>,
}

/// Reads a repository.
pub(super) fn read(settings: &Settings, repository: &RepositorySettings) -> Result<RemoteState, CliError> {
    let environment = settings::environment();
    let name = &repository.name;
    bot::block_on(async {
        let failed = |error: daemon::SetupError| CliError::caused(format!("repository {name} cannot be read"), &error);
        let state = daemon::state_dir(settings, &environment).map_err(failed)?;
        let mut opened = daemon::repository(repository, &state, &environment).await.map_err(failed)?;
        opened.refresh().await.map_err(|error| {
            let refused = error.code() == Some(crate::model::FailureCode::Authentication);
            let told = CliError::caused(format!("repository {name} cannot be read"), &error);
            if refused { told.authentication() } else { told }
        })?;
        let (policies, problems) = opened.reader().main_policies();
        let found = opened.reader().main_pins(&policies);
        let decisions = opened.reader().decision_diagnostics(Clock::system().now());
        Ok(RemoteState { policies, problems, found, decisions })
    })
}
