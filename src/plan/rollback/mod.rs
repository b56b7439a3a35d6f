//! Rollbacks: which places one is about, which version each had before, and what would be written.
//!
//! A rollback is an update like any other, with the id of the update that it reverts in its trailers; from then on the
//! ledger holds that one. Its own id includes both versions, so that going back to the same version twice is two
//! updates.

pub(super) mod automatic;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::{Answer, BranchName, ImageName, Pin, SignatureEvidence, UpdateId, Version};
use crate::policy::{Effective, PinStyle, Write};
use crate::select::Order;

use super::branches::group_head;
use super::candidates::{Choices, MovingPins, may_have_digest, units, update};
use super::gates::GateHold;
use super::gates::signature::{self, SignatureState};
use super::pull_requests::plain_pull_action;
use super::{Action, ActionKind, Gate, Queries, RegistryQuery, Snapshot, Update};

/// Why an update goes back to an older version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackDetails {
    /// The update that it reverts.
    pub bad: UpdateId,
    /// Who requested it; `None`: the bot itself.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// How the version was chosen, for people.
    pub basis: String,
}

/// One image in one overlay: all pins that move together.
#[derive(Debug, Clone)]
pub struct PinLocation {
    /// The overlay's folder.
    pub overlay: String,
    /// The image.
    pub name: ImageName,
    /// The effective policy there.
    pub effective: Arc<Effective>,
    /// The pins; at least one.
    pub pins: Vec<Arc<Pin>>,
    scope: String,
}

/// A version that a place had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastVersion {
    /// The version.
    pub version: Version,
    /// When it reached the branch.
    pub merged: Timestamp,
    /// When it was first seen running there, if observed.
    pub landed: Option<Timestamp>,
}

/// Every place in which an app declares images in an environment and that a policy writes.
#[must_use]
pub fn pin_locations(snapshot: &Snapshot<'_>, app: &str, environment: &str) -> Vec<PinLocation> {
    let mut pin_locations = all_pin_locations(snapshot);
    pin_locations.retain(|location| {
        let Effective { app: its, environment: there, .. } = location.effective.as_ref();
        its == app && there.as_deref() == Some(environment)
    });
    pin_locations
}

/// The apps that declare an image of this name in an environment, if a policy writes it.
#[must_use]
pub fn apps_with(snapshot: &Snapshot<'_>, environment: &str, image: &str) -> BTreeSet<String> {
    let mut pin_locations = all_pin_locations(snapshot);
    pin_locations.retain(|location| {
        location.effective.environment.as_deref() == Some(environment) && location.name.is_called(image)
    });
    pin_locations.into_iter().map(|location| location.effective.app.clone()).collect()
}

/// Every place that a policy writes.
pub(super) fn all_pin_locations(snapshot: &Snapshot<'_>) -> Vec<PinLocation> {
    let mut pin_locations = Vec::new();
    for ((overlay, name, scope), units) in units(snapshot, &mut Choices::default()) {
        for (nth, unit) in units.into_iter().enumerate() {
            let scope = match unit.pins.first() {
                Some(pin) if nth > 0 => format!("{scope}\n{}", pin.path),
                _ => scope.clone(),
            };
            let (overlay, name) = (overlay.clone(), name.clone());
            pin_locations.push(PinLocation { overlay, name, effective: unit.effective, pins: unit.pins, scope });
        }
    }
    pin_locations
}

impl PinLocation {
    /// The current version of the place; if its pins differ, that of the first.
    #[must_use]
    pub fn current(&self) -> Option<&Version> {
        self.pins.first().map(|pin| &pin.version)
    }

    /// The id of the update to its current version.
    #[must_use]
    pub fn id(&self, branch: &BranchName, version: &Version) -> UpdateId {
        UpdateId::of(branch, &self.overlay, &self.scope, &self.name, version)
    }

    /// Whether a version is written with its digest here.
    #[must_use]
    pub fn with_digest(&self) -> bool {
        let fields = &self.effective.fields;
        if !self.pins.iter().any(|pin| may_have_digest(pin)) {
            return false;
        }
        fields.pin.as_ref().is_some_and(|pin| pin.value == PinStyle::Digest)
            || self.pins.iter().any(|pin| pin.version.digest.is_some())
            || fields.tags.as_ref().is_some_and(|tags| tags.value.order == Order::Digest)
    }

    /// The update that brings every pin of the place to this version; `None` if all have it.
    #[must_use]
    pub fn back_to(&self, snapshot: &Snapshot<'_>, to: &Version, back: RollbackDetails) -> Option<Update> {
        let pins: Vec<Arc<Pin>> = self.pins.iter().filter(|pin| pin.version != *to).cloned().collect();
        if pins.is_empty() {
            return None;
        }
        let scope = format!("{}\nrollback {}", self.scope, back.bad);
        let place = (self.overlay.as_str(), scope.as_str());
        let moving = MovingPins::of(pins);
        let update = update(snapshot, place, &self.name, &self.effective, to.clone(), &moving);
        Some(Update { rollback: Some(back), ..update })
    }
}

/// The version to go back to, with `past` newest first, and why that one: the last that ran there or, if none was
/// observed running, the one that was declared before. Versions that were already reverted are skipped, and so are ranges of versions.
#[must_use]
pub fn version_before(
    past: &[PastVersion],
    current: &Version,
    is_bad: impl Fn(&Version) -> bool,
) -> Option<(Version, String)> {
    let is_one = |version: &Version| !version.is_range() && version != current;
    let usable = || past.iter().filter(|once| is_one(&once.version) && !is_bad(&once.version));
    if let Some((once, landed)) = usable().find_map(|once| Some((once, once.landed?))) {
        return Some((once.version.clone(), format!("it landed there on {}", landed.strftime("%Y-%m-%d %H:%M UTC"))));
    }
    let once = usable().next()?;
    let since = once.merged.strftime("%Y-%m-%d %H:%M UTC");
    let basis =
        format!("it was declared there before, since {since}; neither it nor any other version was seen to land");
    Some((once.version.clone(), basis))
}

/// What is known of the signatures of the version that a rollback goes to. It passes the same gate as any other: what was not signed when
/// it was first written, before a policy demanded that, is not written again by the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackProof {
    /// Nothing demands signatures there.
    NotDemanded,
    /// This must be known first.
    Missing(Queries),
    /// They are not proved, for this reason.
    Held(String),
    /// They are.
    Verified(SignatureEvidence),
}

/// Whether the version that a place would go back to has the signatures that are demanded there.
#[must_use]
pub fn rollback_proof(snapshot: &Snapshot<'_>, location: &PinLocation, to: &Version) -> RollbackProof {
    let mut choices = Choices::default();
    match signature_of(snapshot, location, to, &mut choices) {
        SignatureState::NotDemanded => RollbackProof::NotDemanded,
        SignatureState::Pending => RollbackProof::Missing(choices.queries),
        SignatureState::Held(held) => RollbackProof::Held(held.reason),
        SignatureState::Verified(evidence) => RollbackProof::Verified(evidence),
    }
}

/// The same, with what is missing as queries of `choices`.
fn signature_of(
    snapshot: &Snapshot<'_>,
    location: &PinLocation,
    to: &Version,
    choices: &mut Choices,
) -> SignatureState {
    if !signature::is_demanded(&location.effective) {
        return SignatureState::NotDemanded;
    }
    let digest = match (&to.digest, &to.tag) {
        (Some(digest), _) => Some(digest),
        (None, None) => None,
        (None, Some(tag)) => match snapshot.answers.digests.get(&(location.name.clone(), tag.clone())) {
            Some(Answer::Known(digest)) => Some(digest),
            None => {
                choices.queries.registry.insert(RegistryQuery::Digest(location.name.clone(), tag.clone()));
                return SignatureState::Pending;
            }
            Some(Answer::Absent { message } | Answer::Failed { message, .. }) => {
                let reason = format!("which digest {}:{tag} has is unknown: {message}", location.name);
                return SignatureState::Held(GateHold::new(Gate::Signature, reason, None));
            }
        },
    };
    signature::state(snapshot, &location.effective, (&location.name, digest), choices)
}

/// What would be written: one commit for each policy that writes commits, one pull request for each of the others.
#[must_use]
pub fn rollback_actions(snapshot: &Snapshot<'_>, app: &str, updates: Vec<(PinLocation, Update)>) -> Vec<Action> {
    let mut actions: Vec<Action> = Vec::new();
    for (location, update) in updates {
        let kind = match location.effective.write {
            Write::Never => continue,
            Write::Commit => ActionKind::Commit,
            Write::PullRequest => {
                let environment = format!("rollback/{}", update.environment.as_deref().unwrap_or_default());
                let Some(head) = group_head(snapshot, &update.policy, Some(&environment), app) else {
                    continue;
                };
                ActionKind::PullRequest(plain_pull_action(snapshot, &location.effective, head))
            }
        };
        let (policy, environment) = (update.policy.clone(), update.environment.clone());
        match actions.iter_mut().find(|action| action.kind == kind && action.policy == policy) {
            Some(action) => action.updates.push(update),
            None => {
                let group = format!("rollback/{app}");
                actions.push(Action { kind, policy, environment, group, updates: vec![update] });
            }
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tag;

    fn version(tag: &str) -> Version {
        Version { tag: Some(Tag::parse(tag).unwrap()), digest: None }
    }

    #[test]
    fn the_last_version_that_landed_before_is_chosen() {
        let bad = |version: &Version| version.tag.as_ref().is_some_and(|tag| tag.as_str().ends_with("bad"));
        for (past, expected, words) in [
            (&[("3", false), ("2", true), ("1", true)][..], Some("2"), "landed there"),
            (&[("3", true), ("2", false), ("1", true)], Some("1"), "landed there"),
            (&[("3", false), ("2", false), ("1", false)], Some("2"), "declared there before"),
            (&[("3", true), ("2", false)], Some("2"), "declared there before"),
            (&[("3", false), ("2bad", true), ("1", true)], Some("1"), "landed there"),
            (&[("3", false), ("3", true), ("1", false)], Some("1"), "declared there before"),
            (&[("3", true)], None, ""),
            (&[], None, ""),
        ] {
            let at = |second: usize| Timestamp::from_second(1_790_000_000 - i64::try_from(second).unwrap()).unwrap();
            let once = |(nth, (tag, landed)): (usize, &(&str, bool))| PastVersion {
                version: version(tag),
                merged: at(nth),
                landed: landed.then(|| at(nth)),
            };
            let past: Vec<PastVersion> = past.iter().enumerate().map(once).collect();
            let found = version_before(&past, &version("3"), bad);
            assert_eq!(found.as_ref().map(|found| found.0.to_string()).as_deref(), expected, "{past:?}");
            assert!(found.is_none_or(|found| found.1.contains(words)), "{past:?}");
        }
    }
}
