//! From what Git declares, what cycles did and what clusters report to rows: how far every declared image has come.

mod actor;
mod clocks;
mod cluster_view;
mod events;
mod flapping;
mod judge;
mod notifications;
mod pass;
mod pre_merge;
mod registries;
mod soak;
mod view;
mod watch_memory;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::observation::Object;
use crate::model::{Declared, Digest, Landing, Tracked};
use crate::plan::Declared as DeclaredImage;

pub use actor::{Rows, Setup as TrackerSetup, Tracker, landed};
pub use clocks::Landed;
pub use soak::SoakPlace;
pub(super) use view::BranchView;
pub use view::View;

/// A row, and how long it may take.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    tracked: Tracked,
    within: Option<Duration>,
    /// What it is about.
    about: About,
    /// What may be explained by Events of the cluster.
    unwell: Vec<Arc<Object>>,
    /// How the controllers behind it are, to see what goes back and forth.
    samples: Vec<flapping::FlapSample>,
    /// The digests that its pods report, where it has landed.
    digests: Vec<Digest>,
    /// When the last of them became ready.
    ready_since: Option<Timestamp>,
    /// Whether the bot was there when it came.
    watched: bool,
}

/// What a row is about; one image may have a row of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// An update that is not in Git yet.
    Update,
    /// What could not be decided.
    Undecided,
    /// What Git declares.
    Declared,
}

impl Row {
    fn new(tracked: Tracked, about: About, within: Option<Duration>) -> Self {
        Self {
            tracked,
            within,
            about,
            unwell: Vec::new(),
            samples: Vec::new(),
            digests: Vec::new(),
            ready_since: None,
            watched: false,
        }
    }

    /// What tells this row from all others, from look to look.
    fn key(&self) -> String {
        let Tracked { repository, id, cluster, .. } = &self.tracked;
        format!("{repository} {id} {:?} {}", self.about, cluster.as_deref().unwrap_or_default())
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
        notes: Vec::new(),
    }
}
