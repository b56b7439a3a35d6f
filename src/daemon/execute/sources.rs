//! Looks up where images were built from, for the texts about them.
//!
//! No decision depends on it, so planning does without, and an image that cannot be queried only lacks its link.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::{Answer, ImageName, Tag};
use crate::plan::{Answers, Plan, RegistryQuery, Update};

use crate::daemon::queries::Lookup;

/// Adds the source of every image that these plans write; answers older than `since` are requested again.
pub(in crate::daemon) async fn add(plans: &mut [Plan], lookup: &Lookup, since: Timestamp) {
    let updates = || plans.iter().flat_map(|plan| &plan.actions).flat_map(|action| &action.updates);
    let unknown = updates().filter(|update| update.source_url.is_none() && update.source_revision.is_none());
    let queries: BTreeSet<RegistryQuery> = unknown
        .filter_map(|update| Some(RegistryQuery::Manifest(update.name.clone(), update.to.tag.clone()?)))
        .collect();
    let mut answers = Answers::default();
    drop(lookup.answer_soon(&queries, since, &mut answers).await);
    let updates = plans.iter_mut().flat_map(|plan| &mut plan.actions).flat_map(|action| &mut action.updates);
    for update in updates {
        // The replaced image was once written by the bot, and read then: a link is not worth another request.
        let replaced = before(update).and_then(|(name, tag)| lookup.store().manifest(&name, &tag));
        if let Some((manifest, _)) = replaced {
            update.from_revision = manifest.source_revision().map(str::to_owned);
        }
        let Some(tag) = update.to.tag.clone() else { continue };
        if let Some(Answer::Known(manifest)) = answers.manifests.get(&(update.name.clone(), tag)) {
            update.source_url = manifest.source_url().map(str::to_owned);
            update.source_revision = manifest.source_revision().map(str::to_owned);
        }
    }
}

/// The image that an update replaces, if its tag still identifies it.
fn before(update: &Update) -> Option<(ImageName, Tag)> {
    let tag = update.from.tag.clone().filter(|from| Some(from) != update.to.tag.as_ref())?;
    Some((update.name.clone(), tag))
}
