//! What people have decided about updates by closing or merging the pull requests that had them.

use crate::model::{PullRequest, PullState, UpdateId};
use crate::plan::choose::Choices;
use crate::plan::{Gate, HeldBy, Hold, Snapshot, Update};

use super::held;

/// Takes out the updates that a person has decided about: closed unmerged, or merged and changed since. `manual` is the place
/// that says that no newer version ends this.
pub(in crate::plan) fn decided(
    snapshot: &Snapshot<'_>,
    (pulls, manual): (&[PullRequest], Option<&str>),
    updates: Vec<Update>,
    out: &mut Choices,
) -> Vec<Update> {
    let mut left = Vec::new();
    let mentions: Vec<(&PullRequest, Vec<UpdateId>)> =
        pulls.iter().filter(|pull| pull.state != PullState::Open).map(|pull| (pull, body_ids(&pull.body))).collect();
    let last_merged = pulls.iter().find(|pull| pull.state == PullState::Merged).map(|pull| pull.number);
    // The last word about this group, whichever versions it was about.
    let last = mentions.iter().find(|(_, ids)| !ids.is_empty()).map(|(pull, _)| *pull);
    let no = last.filter(|pull| pull.state == PullState::Closed && manual.is_some());
    for update in updates {
        // A mutable tag can come back to a digest that was merged before another one.
        let over = |pull: &PullRequest| {
            pull.state == PullState::Merged && update.from.tag == update.to.tag && last_merged != Some(pull.number)
        };
        // A person's later word lets it go on.
        let released = |pull: &PullRequest| pull.closed_at.is_some_and(|at| snapshot.is_released(&update, at));
        let mut decided = mentions.iter().filter(|(pull, ids)| ids.contains(&update.id) && !over(pull));
        let about = decided.next().map(|(pull, _)| *pull).or(no).filter(|pull| !released(pull));
        let Some(pull) = about else {
            left.push(update);
            continue;
        };
        let what = match pull.state {
            PullState::Merged => "merged and taken back since",
            PullState::Closed | PullState::Open => "closed without a merge",
        };
        let release = format!("`landfall release {}`", update.app);
        let end = match manual {
            None => format!("it is held until a newer version is there, or somebody says {release}"),
            Some(manual) => format!("it is held until somebody says {release} ({manual} says `resume: manual`)"),
        };
        let reason = format!("pull request #{} was {what}; {end}", pull.number);
        out.holds.push(Hold { pull: Some(HeldBy::from(pull)), ..held(update, Gate::Hold, reason) });
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
