//! The rows of images that nobody watches, or of which that cannot be told.

use jiff::{SignedDuration, Timestamp};

use crate::model::{Cause, CauseCode, Landing, Rung, State};

use super::super::Row;
use super::Look;

/// How long nothing may watch a path before that is said: apps of apps and generators add controllers later.
const ORPHAN_GRACE: SignedDuration = SignedDuration::from_mins(10);

impl Look<'_> {
    pub(super) fn orphan(&self, near: impl Iterator<Item = String>) -> Row {
        let pin = self.image.pins.first();
        let path = pin.map_or(self.image.overlay.as_str(), |pin| pin.path.as_str());
        let cause = Cause {
            code: CauseCode::Orphan,
            message: format!("nothing in any cluster watches {path} on branch {}", self.branch.name),
            evidence: near.take(5).collect(),
            next: "let an Argo CD Application or a Flux Kustomization watch it, or take it out of the policy"
                .to_owned(),
        };
        let grace = self.source().and_then(|source| source.since?.checked_add(ORPHAN_GRACE).ok());
        match grace.is_some_and(|until| self.now < until) {
            true => self.row(None, Landing { state: State::Pending, rung: Some(Rung::Fetched), cause: Some(cause) }),
            false => self.row(None, Landing { state: State::Orphan, rung: None, cause: Some(cause) }),
        }
    }

    /// Somebody watched it in this cluster, and nobody does any more, while it is watched elsewhere.
    pub(super) fn gone(&self, cluster: &str, last: Timestamp, near: &[String]) -> Row {
        let pin = self.image.pins.first();
        let path = pin.map_or(self.image.overlay.as_str(), |pin| pin.path.as_str());
        let environment = self.image.environment.as_deref().unwrap_or("-");
        let mut evidence = vec![format!("somebody was last seen to watch it there at {last:.0}")];
        evidence.extend(near.iter().take(4).cloned());
        let cause = Cause {
            code: CauseCode::Orphan,
            message: format!(
                "nothing in cluster {cluster} watches {path} on branch {} any more; what it left there is not updated",
                self.branch.name
            ),
            evidence,
            next: format!(
                "bring back the Argo CD Application or Flux Kustomization that watched it; if it is not to run there any more, take {environment} out of the cluster's `environments`, or the path out of the policy"
            ),
        };
        self.row(Some(cluster), Landing { state: State::Orphan, rung: None, cause: Some(cause) })
    }

    pub(super) fn cannot_tell(&self, cluster: &str, why: Vec<String>) -> Row {
        let cause = Cause {
            code: CauseCode::Unknown,
            message: format!("who watches this overlay in cluster {cluster} cannot be told"),
            evidence: why.into_iter().take(5).collect(),
            next: "permit or mend what is named above".to_owned(),
        };
        self.row(Some(cluster), Landing { state: State::Unknown, rung: Some(Rung::Fetched), cause: Some(cause) })
    }

    /// No cluster is configured for it: nothing beyond Git can be told, which is no incident.
    pub(super) fn unwatched(&self, none_at_all: bool) -> Row {
        let environment = self.image.environment.as_deref().unwrap_or("-");
        let message = match none_at_all {
            true => "no cluster is configured, so that nothing is known beyond Git".to_owned(),
            false => format!("no cluster is configured for environment {environment}"),
        };
        let cause = Cause {
            code: CauseCode::Unproven,
            message,
            evidence: Vec::new(),
            next: "add it to `clusters` in the configuration".to_owned(),
        };
        let landing = Landing { state: State::Unknown, rung: Some(Rung::Fetched), cause: Some(cause) };
        Row { within: None, ..self.row(None, landing) }
    }
}
