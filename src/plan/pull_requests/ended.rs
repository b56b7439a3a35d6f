//! Pull requests that have nothing left to do: each of their updates is done or no longer requested, or another pull
//! request replaces them because their branch could not be rewritten.
//!
//! Invariant: a missing answer ends nothing. An update ends if its image was examined and needs nothing, if it is now
//! written in another way, or if no policy requests a pull request; it does not end if a gate holds it, if a registry
//! or a file could not be read, or if the policies are missing.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Answer, BranchName, ImageName, PullRequest, PullState};
use crate::plan::branches::{is_of_rollback, replaces};
use crate::plan::candidates::{Choices, Chosen};
use crate::plan::{Action, ActionKind, ForgeQuery, Head, Snapshot};
use crate::policy::Write;

use super::{CarriedUpdate, CloseAction, OpenPull};

/// An image in an overlay.
type OverlayImage = (String, ImageName);

/// The choices before grouping.
#[derive(Debug, Default)]
pub(in crate::plan) struct Before {
    /// What moves: the version, and how it is written.
    moving: BTreeMap<OverlayImage, (String, Write)>,
    held: BTreeSet<OverlayImage>,
}

impl Before {
    /// Records what will be needed; nothing if the bot has no branches.
    pub(in crate::plan) fn of(snapshot: &Snapshot<'_>, updates: &[Chosen], out: &Choices) -> Self {
        if snapshot.heads.is_empty() {
            return Self::default();
        }
        let moving = updates.iter().map(|chosen| {
            let update = &chosen.update;
            ((update.overlay.clone(), update.name.clone()), (update.to.to_string(), chosen.effective.write))
        });
        let held = out.holds.iter().map(|hold| (hold.update.overlay.clone(), hold.update.name.clone()));
        Self { moving: moving.collect(), held: held.collect() }
    }
}

/// Closes the pull requests of branches that belong to no group, if all of their updates have ended.
pub(in crate::plan) fn ended(
    snapshot: &Snapshot<'_>,
    before: &Before,
    groups: &BTreeMap<BranchName, String>,
    actions: &mut Vec<Action>,
    out: &mut Choices,
) {
    // Without policies nothing is requested, but they may just be unreadable. And a person's request for one thing says
    // nothing about the others.
    if snapshot.request.is_some() || snapshot.policies.policies().is_empty() || !out.queries.is_empty() {
        return;
    }
    let left: Vec<(BranchName, &Head)> =
        snapshot.heads.iter().filter_map(|(name, head)| left(name, head, groups)).collect();
    if left.is_empty() {
        return;
    }
    let open = match &snapshot.answers.open {
        None => {
            out.queries.forge.insert(ForgeQuery::Open);
            return;
        }
        Some(Answer::Known(open)) => open,
        // The open pull requests are unknown, so nothing ends.
        Some(Answer::Absent { .. } | Answer::Failed { .. }) => return,
    };
    for (name, head) in left {
        let of_branch = |pull: &&PullRequest| {
            pull.state == PullState::Open
                && pull.head == name
                && pull.base == *snapshot.branch
                && pull.head_commit.as_ref() == Some(&head.tip)
        };
        let Some(pull) = open.iter().find(of_branch) else { continue };
        let ends = || head.carries.iter().map(|update| end(snapshot, before, update, out)).collect();
        let reasons: Option<Vec<String>> = match open.iter().find(|later| takes_place(snapshot, later, &pull.head)) {
            Some(later) => Some(vec![replaced_by(&pull.head, &later.url)]),
            // A rollback proposed by the bot lasts until somebody answers it, whatever the cluster looks like in the
            // meantime.
            None if is_of_rollback(pull.head.as_str()) => None,
            None => ends(),
        };
        actions.extend(reasons.map(|reasons| close(pull, head, reasons)));
    }
}

/// A branch with commits of the bot alone that belongs to no group.
fn left<'h>(name: &str, head: &'h Head, groups: &BTreeMap<BranchName, String>) -> Option<(BranchName, &'h Head)> {
    let name = BranchName::parse(name).ok()?;
    let own = head.foreign.is_none();
    let known = !head.carries.is_empty()
        && head.carries.iter().all(|update| !update.image.is_empty() && head.updates.contains(&update.id));
    (own && known && !groups.contains_key(&name)).then_some((name, head))
}

fn close(pull: &PullRequest, head: &Head, reasons: Vec<String>) -> Action {
    let first = head.carries.first();
    let pull = OpenPull::of(pull, &head.tip);
    Action {
        policy: first.map(|update| update.policy.clone()).unwrap_or_default(),
        environment: first.and_then(|update| update.environment.clone()),
        group: String::new(),
        updates: Vec::new(),
        kind: ActionKind::Close(CloseAction { pull, reasons }),
    }
}

/// Whether a pull request of the bot continues what another branch carried.
fn takes_place(snapshot: &Snapshot<'_>, later: &PullRequest, head: &BranchName) -> bool {
    let own = |branch: &Head| branch.foreign.is_none() && later.head_commit.as_ref() == Some(&branch.tip);
    replaces(later.head.as_str(), head.as_str())
        && later.base == *snapshot.branch
        && snapshot.heads.get(later.head.as_str()).is_some_and(own)
}

/// Why a pull request whose branch could not be rewritten is closed.
#[must_use]
pub fn replaced_by(head: &BranchName, url: &str) -> String {
    format!("pull request {url} replaces it, because the remote does not allow rewriting {head}")
}

/// Why an update has ended; `None` if it has not, or if that is unknown.
fn end(snapshot: &Snapshot<'_>, before: &Before, update: &CarriedUpdate, out: &Choices) -> Option<String> {
    let image = ImageName::parse(&update.image).ok()?;
    let place = (update.overlay.clone(), image);
    if before.held.contains(&place) || out.undecided.contains(&place) {
        return None;
    }
    let shown = if update.overlay.is_empty() { "." } else { &update.overlay };
    let what = format!("{} {}", place.1.short(), update.to);
    if let Some((to, write)) = before.moving.get(&place) {
        return Some(match write {
            Write::Commit => format!("{what}: {shown} is now written without a pull request"),
            Write::PullRequest | Write::Never => format!("{what}: another pull request moves {shown} to {to}"),
        });
    }
    let mut there: Vec<String> = Vec::new();
    let mut asked_for = false;
    for pin in snapshot.pins.iter().filter(|pin| pin.name == place.1) {
        let effective = snapshot.policies.effective(&pin.path, &pin.name);
        if effective.overlay == update.overlay {
            asked_for |= effective.write != Write::Never;
            there.push(pin.version.to_string());
        }
    }
    there.sort();
    there.dedup();
    match (there.as_slice(), asked_for) {
        // A file that could not be read may have it.
        ([], _) => (!unread(snapshot, &update.overlay)).then(|| format!("{what}: {shown} has no such image any more")),
        (_, false) => Some(format!("{what}: no policy requests it any more")),
        ([one], true) if *one == update.to => Some(format!("{what}: {shown} has it already")),
        (_, true) if !out.settled.contains(&place) => None,
        (all, true) => {
            let why = if is_listed(snapshot, &place.1, &update.to) {
                ""
            } else {
                ", and its registry does not list that any more"
            };
            Some(format!("{what}: {shown} has {}, and nothing newer is requested{why}", all.join(", ")))
        }
    }
}

/// Whether anything below an overlay was skipped.
fn unread(snapshot: &Snapshot<'_>, overlay: &str) -> bool {
    snapshot.skipped.iter().any(|skipped| skipped.path.starts_with(overlay))
}

/// Whether the registry lists the version's tag; true if that is unknown.
fn is_listed(snapshot: &Snapshot<'_>, image: &ImageName, version: &str) -> bool {
    let tag = version.split('@').next().unwrap_or(version);
    match snapshot.answers.listings.get(image) {
        Some(Answer::Known(listing)) => listing.tags.iter().any(|listed| listed.as_str() == tag),
        _ => true,
    }
}
