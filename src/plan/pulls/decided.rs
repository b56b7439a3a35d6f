//! What people have decided about updates by closing or merging the pull requests that had them.

use crate::model::{PullRequest, PullState, UpdateId};
use crate::plan::choose::Choices;
use crate::plan::{Gate, HeldBy, Hold, Snapshot, Update};

use super::held;

/// Takes out the updates that a person has decided about: closed unmerged, or merged and changed since.
pub(super) fn decided(
    snapshot: &Snapshot<'_>,
    pulls: &[PullRequest],
    updates: Vec<Update>,
    out: &mut Choices,
) -> Vec<Update> {
    let mut left = Vec::new();
    let mentions: Vec<(&PullRequest, Vec<UpdateId>)> =
        pulls.iter().filter(|pull| pull.state != PullState::Open).map(|pull| (pull, body_ids(&pull.body))).collect();
    let last_merged = pulls.iter().find(|pull| pull.state == PullState::Merged).map(|pull| pull.number);
    for update in updates {
        // A mutable tag can come back to a digest that was merged before another one.
        let over = |pull: &PullRequest| {
            pull.state == PullState::Merged && update.from.tag == update.to.tag && last_merged != Some(pull.number)
        };
        // A person's later word lets it go on.
        let released = |pull: &PullRequest| pull.closed_at.is_some_and(|at| snapshot.is_released(&update, at));
        let mut decided = mentions.iter().filter(|(pull, ids)| ids.contains(&update.id) && !over(pull));
        let about = decided.next().map(|(pull, _)| *pull).filter(|pull| !released(pull));
        let reason = match about.map(|pull| (pull.state, pull.number)) {
            Some((PullState::Closed, number)) => {
                format!(
                    "pull request #{number} was closed without a merge; it is held until a newer version is there, or somebody \
                     says `landfall release {}`",
                    update.app
                )
            }
            Some((_, number)) => {
                format!(
                    "pull request #{number} was merged and taken back since; it is held until a newer version is there, or \
                     somebody says `landfall release {}`",
                    update.app
                )
            }
            None => {
                left.push(update);
                continue;
            }
        };
        out.holds.push(Hold { pull: about.map(HeldBy::from), ..held(update, Gate::Hold, reason) });
    }
    left
}

/// The update ids in a pull request's hidden trailer: `<!-- landfall: id id … -->`. One that the bot itself closed has none,
/// since that was nobody's decision.
#[must_use]
pub fn body_ids(body: &str) -> Vec<UpdateId> {
    // The last one: what stands above it may come from a repository.
    let Some((_, rest)) = body.rsplit_once("<!-- landfall:") else { return Vec::new() };
    let Some((list, _)) = rest.split_once("-->") else { return Vec::new() };
    list.split_whitespace().filter_map(UpdateId::parse).collect()
}
