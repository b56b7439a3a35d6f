//! Looks up where images were built from, and what changes in charts, for the texts about them.
//!
//! No decision depends on it, so planning does without, and what cannot be queried is only not told.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::{Answer, ChartNotes, ImageName, Pin, PinRole, RepoPath, Tag};
use crate::overlay::set_among;
use crate::plan::{Answers, Plan, RegistryQuery, Update};

use super::{Executor, Remote};
use crate::daemon::queries::{ChartStep, Lookup};

/// Adds the source of every image that these plans write, and what changes in every chart; answers older than `since` are requested
/// again.
pub(in crate::daemon) async fn add(plans: &mut [Plan], lookup: &Lookup, since: Timestamp) {
    add_sources(plans, lookup, since).await;
    add_charts(plans, lookup).await;
}

async fn add_charts(plans: &mut [Plan], lookup: &Lookup) {
    let updates = plans.iter().flat_map(|plan| &plan.actions).flat_map(|action| &action.updates);
    let changes = lookup.chart_changes(updates.filter_map(step_of).collect()).await;
    for update in plans.iter_mut().flat_map(|plan| &mut plan.actions).flat_map(|action| &mut action.updates) {
        let change = step_of(update).and_then(|step| changes.get(&step));
        update.chart = change.map(|change| ChartNotes { change: change.clone(), set_in_vain: Vec::new() });
    }
}

/// What to ask about the chart of an update, if it is about one.
fn step_of(update: &Update) -> Option<ChartStep> {
    let to = update.to.tag.clone()?;
    let is_chart = |pin: &Pin| pin.kind.role == PinRole::Chart;
    let from = update.from.tag.clone().filter(|from| !from.is_range() && *from != to);
    let chart = update.pins.iter().any(|pin| is_chart(pin));
    chart.then(|| ChartStep { name: update.name.clone(), from, to })
}

impl<R: Remote, P> Executor<R, P> {
    /// Adds which values the repository sets that a chart no longer has.
    pub(in crate::daemon) fn note_values(&self, plans: &mut [Plan]) {
        for plan in plans {
            for update in plan.actions.iter_mut().flat_map(|action| &mut action.updates) {
                let Some(notes) = update.chart.as_mut().filter(|notes| !notes.change.gone.is_empty()) else { continue };
                for pin in &update.pins {
                    // What cannot be read now is not written, either, and said then.
                    let read =
                        |path: &RepoPath| String::from_utf8(self.remote.content(&plan.revision, path).ok()??).ok();
                    let Some(text) = read(&pin.path) else { continue };
                    let values = pin.path.beside("values.yaml").and_then(|path| read(&path));
                    notes.set_in_vain.extend(set_among(&notes.change.gone, pin, &text, values.as_deref()));
                }
                notes.set_in_vain.sort();
                notes.set_in_vain.dedup();
            }
        }
    }
}

async fn add_sources(plans: &mut [Plan], lookup: &Lookup, since: Timestamp) {
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
