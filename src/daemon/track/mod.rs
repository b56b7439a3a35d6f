//! From what Git declares, what cycles did and what clusters report to rows: how far every declared image has come.

mod clocks;
mod judge;
mod ladder;
mod tracker;
mod view;

use std::time::Duration;

use crate::model::{Declared, Landing, Rung, Tracked};
use crate::plan::Declared as DeclaredImage;

pub use clocks::Landed;
pub use tracker::{Rows, Setup as TrackerSetup, Tracker, landed};
pub(super) use view::BranchView;
pub use view::View;

/// A row, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    tracked: Tracked,
    within: Option<Duration>,
}

impl Row {
    /// What tells this row from all others, from look to look.
    fn key(&self) -> String {
        // The same image has a row about itself and may have one about what is newer, before that is in Git.
        let place = match self.tracked.landing.rung {
            Some(Rung::Committed | Rung::Merged) => "before",
            _ if self.tracked.cluster.is_none() => "known",
            _ => "there",
        };
        format!("{} {place} {}", self.tracked.id, self.tracked.cluster.as_deref().unwrap_or_default())
    }
}

/// The row of a declared image.
fn declared_row(repository: &str, image: &DeclaredImage, cluster: Option<&str>, landing: Landing) -> Tracked {
    Tracked {
        id: image.id.clone(),
        repository: repository.to_owned(),
        overlay: image.overlay.clone(),
        app: image.app.clone(),
        environment: image.environment.clone(),
        policy: image.policy.clone(),
        cluster: cluster.map(str::to_owned),
        image: image.name.clone(),
        declared: Declared { version: image.version.clone(), commit: None, since: None, by: None },
        live: Vec::new(),
        landing,
        since: None,
        deadline: None,
        pull_request: None,
    }
}
