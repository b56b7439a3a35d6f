//! What a person requests by hand, under the same gates as always.

use std::collections::BTreeSet;

use crate::model::ImageName;
use crate::policy::Effective;

use super::Gate;

/// A requested promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromotionRequest {
    /// The application.
    pub app: String,
    /// The target environment.
    pub environment: String,
    /// The image, by any of its names; `None`: all images of the app.
    pub image: Option<String>,
    /// Gates that are opened.
    pub overrides: BTreeSet<Gate>,
    /// The reason, for the commit.
    pub reason: String,
    /// Who requests it.
    pub by: String,
}

impl PromotionRequest {
    /// Whether it applies to an image under these policies.
    pub(super) fn is_about(&self, effective: &Effective, image: &ImageName) -> bool {
        effective.app == self.app
            && effective.environment.as_ref() == Some(&self.environment)
            && self.image.as_ref().is_none_or(|wanted| image.is_called(wanted))
    }
}

/// Gates opened by a person, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The gates that would have held it.
    pub gates: Vec<Gate>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What an update has proved in another environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The environments in question, in the policy's order.
    pub environments: Vec<String>,
    /// Where it runs, or ran; at least one place.
    pub places: Vec<Proof>,
}

/// One place where a version has proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The environment.
    pub environment: String,
    /// The overlay there.
    pub overlay: String,
    /// The cluster; `None` if it is only known to be committed.
    pub cluster: Option<String>,
    /// The commit that brought it there, if known.
    pub commit: Option<crate::model::CommitId>,
    /// Since when it was healthy there or, without a cluster, committed.
    pub since: jiff::Timestamp,
    /// Until when that is known.
    pub until: jiff::Timestamp,
}
