//! Where images were built from, for what is about to be written about them.
//!
//! No decision hangs on it, so a plan does without, and an image that cannot be asked only lacks its link.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::Fact;
use crate::plan::{Facts, Plan, Want};

use super::lookup::Lookup;

/// Adds the source of every image that these plans write; answers older than `since` are asked for again.
pub(super) async fn add(plans: &mut [Plan], lookup: &Lookup, since: Timestamp) {
    let updates = || plans.iter().flat_map(|plan| &plan.actions).flat_map(|action| &action.updates);
    let unknown = updates().filter(|update| update.source_url.is_none() && update.source_revision.is_none());
    let wants: BTreeSet<Want> =
        unknown.filter_map(|update| Some(Want::Manifest(update.name.clone(), update.to.tag.clone()?))).collect();
    let mut facts = Facts::default();
    drop(lookup.answer_soon(&wants, since, &mut facts).await);
    let updates = plans.iter_mut().flat_map(|plan| &mut plan.actions).flat_map(|action| &mut action.updates);
    for update in updates {
        let Some(tag) = update.to.tag.clone() else { continue };
        if let Some(Fact::Known(manifest)) = facts.manifests.get(&(update.name.clone(), tag)) {
            update.source_url = manifest.source_url().map(str::to_owned);
            update.source_revision = manifest.source_revision().map(str::to_owned);
        }
    }
}
