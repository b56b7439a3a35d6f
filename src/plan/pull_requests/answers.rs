//! What people have already answered, by closing or merging the pull requests with an update, or by pushing to their
//! branches. An update that nobody will write now counts towards no rate and is not collected with others.

use std::collections::BTreeMap;

use crate::model::{Answer, BranchName, PullRequest, PullState, UpdateId};
use crate::plan::branches::{group_head, is_of_series};
use crate::plan::candidates::{Choices, Chosen};
use crate::plan::{Gate, HeldBy, Hold, Snapshot, Update};
use crate::policy::{Effective, Resume, Write};

use super::carried::CarriedUpdate;
use super::rejected::{Rejection, rejection, turned};
use super::{held, problem};

/// Policy, environment and group, which have a branch of their own; and the place that says that no newer version ends
/// a person's decision.
type Key = (String, Option<String>, String, Option<String>);

/// Removes updates that a person has closed, has merged and reverted, or is working on. Anything not known yet stays.
pub(in crate::plan) fn take_out_answered(snapshot: &Snapshot<'_>, choices: &mut Choices) {
    let mut groups: BTreeMap<Key, Vec<Chosen>> = BTreeMap::new();
    let mut left = Vec::new();
    for chosen in std::mem::take(&mut choices.updates) {
        if chosen.effective.write != Write::PullRequest {
            left.extend(not_closed(snapshot, chosen, choices));
            continue;
        }
        let group = chosen.effective.pull_request_group(&chosen.update.name);
        let manual = manual_resume(&chosen.effective);
        let key = (chosen.update.policy.clone(), chosen.update.environment.clone(), group, manual);
        groups.entry(key).or_default().push(chosen);
    }
    for ((policy, environment, group, manual), members) in groups {
        let head = group_head(snapshot, &policy, environment.as_deref(), &group);
        let known = head.and_then(|head| Some((snapshot.answers.pulls.get(&head)?, head)));
        let Some((Answer::Known(pulls), head)) = known else {
            left.extend(members);
            continue;
        };
        let (updates, effective): (Vec<Update>, Vec<_>) =
            members.into_iter().map(|chosen| (chosen.update, chosen.effective)).unzip();
        let mut effective: BTreeMap<UpdateId, _> =
            updates.iter().map(|update| update.id.clone()).zip(effective).collect();
        let past = of_series(snapshot, &head, pulls);
        let free = decided(snapshot, (&past, manual.as_deref()), updates, choices);
        let free = foreign(snapshot, &head, free, choices);
        let free = rejected(snapshot, (&head, pulls), manual.as_deref(), free, choices);
        left.extend(free.into_iter().filter_map(|update| {
            let effective = effective.remove(&update.id)?;
            Some(Chosen { update, effective })
        }));
    }
    choices.updates = left;
}

/// What a person has closed a pull request about is not committed either, when its policy says `write: commit` by now. A
/// forge that cannot be asked is a problem, and holds only what a branch of the bot still proposes or once proposed:
/// commits need no forge.
fn not_closed(snapshot: &Snapshot<'_>, chosen: Chosen, out: &mut Choices) -> Option<Chosen> {
    let Chosen { update, effective } = &chosen;
    if effective.write != Write::Commit || update.rollback.is_some() {
        return Some(chosen);
    }
    let manual = manual_resume(effective);
    let word = rejection(snapshot, update, manual.is_some(), &mut out.queries);
    if let Rejection::Unknown { message, code } = &word
        && !out.problems.iter().any(|there| there.message == *message)
    {
        problem(out, message.clone(), *code);
    }
    let of_this =
        |carried: &CarriedUpdate| carried.image == update.name.to_string() && carried.overlay == update.overlay;
    let holds = match &word {
        Rejection::By(..) => true,
        Rejection::Unknown { .. } => snapshot.heads.values().any(|head| head.carries.iter().any(of_this)),
        Rejection::None | Rejection::Pending => false,
    };
    if !holds {
        return Some(chosen);
    }
    let (reason, pull) = word.reason(&ends(update, manual.as_deref()))?;
    out.holds.push(Hold { pull, ..held(update.clone(), Gate::Hold, reason) });
    None
}

/// Removes updates for which a person has closed another pull request, or moved one to another base branch. An open
/// pull request's updates were checked when they were proposed, and are checked again before the merge.
fn rejected(
    snapshot: &Snapshot<'_>,
    (head, pulls): (&BranchName, &[PullRequest]),
    manual: Option<&str>,
    updates: Vec<Update>,
    out: &mut Choices,
) -> Vec<Update> {
    let open = pulls.iter().find(|pull| pull.state == PullState::Open);
    let carried = open.and_then(|_| snapshot.heads.get(head.as_str())).map_or(&[][..], |head| &head.updates);
    let mut left = Vec::new();
    for update in updates {
        if carried.contains(&update.id) {
            left.push(update);
            continue;
        }
        let word = match turned(snapshot, head.as_str(), &update, &mut out.queries) {
            Rejection::None => rejection(snapshot, &update, manual.is_some(), &mut out.queries),
            word => word,
        };
        match word.reason(&ends(&update, manual)) {
            None => left.push(update),
            Some((reason, pull)) => {
                if let Rejection::Unknown { message, code } = word {
                    problem(out, message, code);
                }
                out.holds.push(Hold { pull, ..held(update, Gate::Hold, reason) });
            }
        }
    }
    left
}

/// Removes the updates whose branch a person has pushed to.
fn foreign(snapshot: &Snapshot<'_>, head: &BranchName, updates: Vec<Update>, choices: &mut Choices) -> Vec<Update> {
    let Some(who) = snapshot.heads.get(head.as_str()).and_then(|branch| branch.foreign.as_deref()) else {
        return updates;
    };
    let reason = format!(
        "branch {head} has commits by {who}, so it is left alone; merge it, or close its pull request, delete it and run `landfall release`"
    );
    choices.holds.extend(updates.into_iter().map(|update| Hold::new(update, Gate::Hold, reason.clone(), None)));
    Vec::new()
}

/// The pull requests of a branch, and those under other names of its series, newest first: a branch that is gone leaves
/// no number behind. The latter are known once the ended ones were asked for, which every update does that no open pull
/// request carries.
pub(in crate::plan) fn of_series<'s>(
    snapshot: &'s Snapshot<'_>,
    head: &BranchName,
    pulls: &'s [PullRequest],
) -> Vec<&'s PullRequest> {
    let ended = match &snapshot.answers.closed {
        Some(Answer::Known(ended)) => ended.as_slice(),
        _ => &[],
    };
    let other = |pull: &&PullRequest| {
        pull.head != *head
            && pull.base == *snapshot.branch
            && pull.state != PullState::Open
            && is_of_series(pull.head.as_str(), head.as_str())
    };
    let mut all: Vec<&PullRequest> = pulls.iter().chain(ended.iter().filter(other)).collect();
    all.sort_by_key(|pull| std::cmp::Reverse(pull.number));
    all
}

/// Removes the updates that a person has decided about: closed unmerged, or merged and changed since. `manual` is the
/// place that says that no newer version ends this.
fn decided(
    snapshot: &Snapshot<'_>,
    (pulls, manual): (&[&PullRequest], Option<&str>),
    updates: Vec<Update>,
    out: &mut Choices,
) -> Vec<Update> {
    let mut left = Vec::new();
    let mentions: Vec<(&PullRequest, Vec<UpdateId>)> =
        pulls.iter().filter(|pull| pull.state != PullState::Open).map(|pull| (*pull, body_ids(&pull.body))).collect();
    let last_merged = pulls.iter().find(|pull| pull.state == PullState::Merged).map(|pull| pull.number);
    // The last decision about this group, whichever versions it was about.
    let last = mentions.iter().find(|(_, ids)| !ids.is_empty()).map(|(pull, _)| *pull);
    let no = last.filter(|pull| pull.state == PullState::Closed && manual.is_some());
    for update in updates {
        // A mutable tag may return to a digest that was merged before another one.
        let over = |pull: &PullRequest| {
            pull.state == PullState::Merged && update.from.tag == update.to.tag && last_merged != Some(pull.number)
        };
        // A later decision of a person releases it.
        let released = |pull: &PullRequest| pull.closed_at.is_some_and(|at| snapshot.is_released(&update, at));
        let mut decided = mentions.iter().filter(|(pull, ids)| ids.contains(&update.id) && !over(pull));
        let about = decided.next().map(|(pull, _)| *pull).or(no).filter(|pull| !released(pull));
        let Some(pull) = about else {
            left.push(update);
            continue;
        };
        let what = match pull.state {
            PullState::Merged => "merged and reverted since",
            PullState::Closed | PullState::Open => "closed without a merge",
        };
        let reason = format!("pull request #{} was {what}; {}", pull.number, ends(&update, manual));
        out.holds.push(Hold { pull: Some(HeldBy::from(pull)), ..held(update, Gate::Hold, reason) });
    }
    left
}

/// What ends a hold caused by an answered pull request. `manual` is the place that says that no newer version does.
pub(super) fn ends(update: &Update, manual: Option<&str>) -> String {
    let release = format!("`landfall release {}`", update.app);
    match manual {
        None => format!("it is held until a newer version appears or someone runs {release}"),
        Some(manual) => format!("it is held until someone runs {release} ({manual} says `resume: manual`)"),
    }
}

/// The place that says that no newer version ends a person's decision, if any.
pub(super) fn manual_resume(effective: &Effective) -> Option<String> {
    let resume = effective.fields.resume.as_ref().filter(|resume| resume.value == Resume::Manual);
    resume.map(|resume| format!("{}:{}", resume.origin.file, resume.origin.line))
}

/// The update ids in a pull request's hidden trailer: `<!-- landfall: id id … -->`. One that the bot itself closed has
/// none, because that was nobody's decision.
#[must_use]
pub fn body_ids(body: &str) -> Vec<UpdateId> {
    // The last one: an earlier one may come from a repository.
    let Some((_, rest)) = body.rsplit_once("<!-- landfall:") else { return Vec::new() };
    let Some((list, _)) = rest.split_once("-->") else { return Vec::new() };
    list.split_whitespace().filter_map(UpdateId::parse).collect()
}
