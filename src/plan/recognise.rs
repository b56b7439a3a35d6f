//! What a past decision was about, recognised even after things were renamed.
//!
//! A person decides about an image, a version and a place. Ids, branches and groups are made from names, and names
//! change: folders are moved, environments, policies and branches are renamed, an image is pulled from a mirror. Rules:
//!
//! 1. A place that still exists under its former names is that place and no other.
//! 2. A place that does not is the one with the same folder (or with a folder that was moved from it, by Git's
//!    history), whatever environment or policy it has now.
//! 3. If the history shows no move, a place that appeared after the decision may be the missing one: in doubt it is.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::{Answer, ImageName, RepoPath, UpdateId, Version};

use super::queries::{Brought, FormerPlace, Origin};
use super::{HistoryQuery, Snapshot, Update, UpdatePlace};

/// One update, and where it was before.
pub(super) struct Recognition<'s> {
    snapshot: &'s Snapshot<'s>,
    update: &'s Update,
    origins: Vec<&'s Brought>,
}

impl<'s> Recognition<'s> {
    pub(super) fn of(snapshot: &'s Snapshot<'s>, update: &'s Update) -> Self {
        let origin = |pin| match snapshot.answers.origins.get(&HistoryQuery::from(pin)) {
            Some(Answer::Known(Origin::Commit(brought))) => Some(brought),
            _ => None,
        };
        let origins = update.pins.iter().filter_map(|pin| origin(pin.as_ref())).collect();
        Self { snapshot, update, origins }
    }

    /// Whether the update goes to the version of the decision; digests are compared if both have one.
    pub(super) fn is_to(&self, to: &str) -> bool {
        let (tag, digest) = match to.split_once('@') {
            Some((tag, digest)) => (tag, Some(digest)),
            None => (to, None),
        };
        let Version { tag: to_tag, digest: to_digest } = &self.update.to;
        if to_tag.as_ref().map_or("", |tag| tag.as_str()) != tag {
            return false;
        }
        match (digest, to_digest) {
            (Some(digest), Some(to)) => to.to_string() == digest,
            // The digest of the tag that is already written is another matter.
            _ => self.update.from.tag != self.update.to.tag,
        }
    }

    /// Whether a decision about this place applies to the update's place, by rules 1 and 2.
    pub(super) fn is_in(&self, place: &UpdatePlace) -> bool {
        let own = UpdatePlace::of(self.update);
        let folder = place.overlay == own.overlay || self.former().any(|former| is_below(&former.path, &place.overlay));
        let scope = (&place.environment, &place.policy) == (&own.environment, &own.policy);
        folder && self.is_of(&place.image) && (scope || !self.is_there(place))
    }

    /// Whether it may apply, by rule 3: the former place is gone, and this one did not exist at that time.
    pub(super) fn may_be_in(&self, place: &UpdatePlace, at: Option<Timestamp>) -> bool {
        let own = UpdatePlace::of(self.update);
        let later = |appeared: Timestamp| at.is_none_or(|at| appeared.as_second() >= at.as_second());
        let scope = (&place.environment, &place.policy) == (&own.environment, &own.policy);
        place.image == own.image
            && self.origins.iter().any(|brought| brought.appeared.is_some_and(later))
            && !self.is_there(place)
            && (scope || !self.has_scope(place))
    }

    /// The overlays that the update is in, or was in before.
    fn overlays(&self) -> BTreeSet<&str> {
        let ancestors = |path: &'s RepoPath| {
            let stem = path.as_str().rsplit_once('.').map(|(stem, _)| stem);
            let folders = path.as_str().match_indices('/').map(|(at, _)| path.as_str().split_at(at).0);
            folders.chain(stem).chain([""])
        };
        let former = self.former().flat_map(|former| ancestors(&former.path));
        former.chain([self.update.overlay.as_str()]).collect()
    }

    /// The ledger's places that belong to the update.
    fn places(&self) -> impl Iterator<Item = &'s UpdatePlace> {
        let ledger = self.snapshot.ledger;
        self.overlays().into_iter().flat_map(|overlay| ledger.places_in(overlay)).filter(|place| self.is_in(place))
    }

    /// Whether the bot has ever written here.
    pub(super) fn has_written(&self) -> bool {
        self.places().next().is_some()
    }

    /// The ids that the update has, or had under former names, its current one first.
    pub(super) fn ids(&self) -> Vec<UpdateId> {
        let mut ids = vec![self.update.id.clone()];
        let Version { tag, digest } = &self.update.to;
        let mut versions = vec![self.update.to.clone()];
        // The same tag as it was written before digests were added.
        if digest.is_some() && tag.is_some() && self.update.from.tag != *tag {
            versions.push(Version { tag: tag.clone(), digest: None });
        }
        for place in self.places() {
            let Ok(image) = ImageName::parse(&place.image) else { continue };
            let scope = place.environment.as_ref().unwrap_or(&place.policy);
            let files = self.update.pins.iter().map(|pin| &pin.path).chain(self.former().map(|former| &former.path));
            let scopes: BTreeSet<String> =
                files.map(|file| format!("{scope}\n{file}")).chain([scope.clone()]).collect();
            for scope in &scopes {
                let id = |version| UpdateId::of(self.snapshot.branch, &place.overlay, scope, &image, version);
                ids.extend(versions.iter().map(id));
            }
        }
        ids
    }

    /// The image itself, one that was here before, or one with the same short name that is no longer here: it now comes
    /// from a mirror.
    fn is_of(&self, image: &str) -> bool {
        let short = image.rsplit('/').next().unwrap_or(image);
        image == self.update.name.to_string()
            || self.former().any(|former| former.name.to_string() == image)
            || (short == self.update.name.short() && !self.declares(image))
    }

    fn former(&self) -> impl Iterator<Item = &'s FormerPlace> {
        self.origins.iter().flat_map(|brought| &brought.former)
    }

    /// Whether the place still exists under its former names.
    fn is_there(&self, place: &UpdatePlace) -> bool {
        let Snapshot { pins, policies, .. } = self.snapshot;
        let Ok(image) = ImageName::parse(&place.image) else { return false };
        let mut there = pins.iter().filter(|pin| is_below(&pin.path, &place.overlay) && pin.name == image);
        there.any(|pin| {
            let effective = policies.effective(&pin.path, &pin.name);
            effective.overlay == place.overlay
                && is_scope(place, effective.environment.as_ref(), effective.policy.as_ref())
        })
    }

    /// Whether anything still has the former environment or policy.
    fn has_scope(&self, place: &UpdatePlace) -> bool {
        let Snapshot { pins, policies, .. } = self.snapshot;
        pins.iter().any(|pin| {
            let effective = policies.effective(&pin.path, &pin.name);
            is_scope(place, effective.environment.as_ref(), effective.policy.as_ref())
        })
    }

    /// Whether the overlay still declares an image.
    fn declares(&self, image: &str) -> bool {
        let mut here = self.snapshot.pins.iter().filter(|pin| is_below(&pin.path, &self.update.overlay));
        here.any(|pin| pin.name.to_string() == image)
    }
}

fn is_scope(place: &UpdatePlace, environment: Option<&String>, policy: Option<&String>) -> bool {
    match &place.environment {
        Some(_) => place.environment.as_ref() == environment,
        None => environment.is_none() && policy == Some(&place.policy),
    }
}

/// Whether a file belongs to an overlay, which is a folder or the name of a file without its extension, if it has one.
fn is_below(path: &RepoPath, overlay: &str) -> bool {
    let rest = path.as_str().strip_prefix(overlay);
    overlay.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
}
