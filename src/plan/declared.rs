//! What Git declares: every image of every overlay, whoever wrote it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{BranchName, ImageName, Pin, UpdateId, Version};
use crate::policy::PolicySet;

/// One image at one version in one overlay: all pins with that version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The id that the update to this version has, or would have had.
    pub id: UpdateId,
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: Option<String>,
    /// The policy that covers it, if any.
    pub policy: Option<String>,
    /// The overlay's folder.
    pub overlay: String,
    /// The image.
    pub name: ImageName,
    /// The version.
    pub version: Version,
    /// The pins; at least one.
    pub pins: Vec<Arc<Pin>>,
    /// How long it may take from its commit to running.
    pub land_within: Option<Duration>,
}

/// Everything that a branch declares, by overlay and image. Pins without a version declare nothing,
/// and a range of versions declares none of them.
#[must_use]
pub fn declared(branch: &BranchName, pins: &[Arc<Pin>], policies: &PolicySet) -> Vec<Declared> {
    let mut found: BTreeMap<(String, ImageName, String, Version), Declared> = BTreeMap::new();
    for pin in pins {
        if pin.version.is_range() || (pin.version.tag.is_none() && pin.version.digest.is_none()) {
            continue;
        }
        let effective = policies.effective(&pin.path, &pin.name);
        let scope = effective.environment.clone().or_else(|| effective.policy.clone()).unwrap_or_default();
        let key = (effective.overlay.clone(), pin.name.clone(), scope.clone(), pin.version.clone());
        let declared = found.entry(key).or_insert_with(|| Declared {
            id: UpdateId::of(branch, &effective.overlay, &scope, &pin.name, &pin.version),
            app: effective.app,
            environment: effective.environment,
            policy: effective.policy,
            overlay: effective.overlay,
            name: pin.name.clone(),
            version: pin.version.clone(),
            pins: Vec::new(),
            land_within: effective.fields.land_within.map(|within| within.value),
        });
        declared.pins.push(Arc::clone(pin));
    }
    found.into_values().collect()
}
