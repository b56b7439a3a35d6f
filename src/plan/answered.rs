//! Updates whose pull request a person has answered already: what nobody will write now counts for no rate and gathers with
//! nothing.

use std::collections::BTreeMap;

use crate::model::{Answer, BranchName, UpdateId};
use crate::policy::{Resume, Write};

use super::choose::{Choices, Chosen};
use super::group::head_branch;
use super::pulls::decided;
use super::{Gate, Hold, Snapshot, Update};

/// Policy, environment and group: what has a branch of its own; and what says that no newer version ends a person's word.
type Key = (String, Option<String>, String, Option<String>);

/// Takes out what a person has closed, merged and taken back, or works on. What is not known yet stays.
pub(super) fn take_out(snapshot: &Snapshot<'_>, choices: &mut Choices) {
    let mut groups: BTreeMap<Key, Vec<Chosen>> = BTreeMap::new();
    let mut left = Vec::new();
    for chosen in std::mem::take(&mut choices.updates) {
        if chosen.effective.write != Write::PullRequest {
            left.push(chosen);
            continue;
        }
        let group = chosen.effective.pull_request_group(&chosen.update.name);
        let resume = chosen.effective.fields.resume.as_ref().filter(|resume| resume.value == Resume::Manual);
        let manual = resume.map(|resume| format!("{}:{}", resume.origin.file, resume.origin.line));
        let key = (chosen.update.policy.clone(), chosen.update.environment.clone(), group, manual);
        groups.entry(key).or_default().push(chosen);
    }
    for ((policy, environment, group, manual), members) in groups {
        let head = head_branch(snapshot.branch, &policy, environment.as_deref(), &group);
        let known = head.and_then(|head| Some((snapshot.answers.pulls.get(&head)?, head)));
        let Some((Answer::Known(pulls), head)) = known else {
            left.extend(members);
            continue;
        };
        let (updates, effective): (Vec<Update>, Vec<_>) =
            members.into_iter().map(|chosen| (chosen.update, chosen.effective)).unzip();
        let mut effective: BTreeMap<UpdateId, _> =
            updates.iter().map(|update| update.id.clone()).zip(effective).collect();
        let free = decided(snapshot, (pulls, manual.as_deref()), updates, choices);
        let free = foreign(snapshot, &head, free, choices);
        left.extend(free.into_iter().filter_map(|update| {
            let effective = effective.remove(&update.id)?;
            Some(Chosen { update, effective })
        }));
    }
    choices.updates = left;
}

/// Takes out the updates whose branch a person has pushed to.
fn foreign(snapshot: &Snapshot<'_>, head: &BranchName, updates: Vec<Update>, choices: &mut Choices) -> Vec<Update> {
    let Some(who) = snapshot.heads.get(head.as_str()).and_then(|branch| branch.foreign.as_deref()) else {
        return updates;
    };
    let reason = format!(
        "branch {head} has commits by {who}, so it is left alone; merge it, or close its pull request, delete it and say `landfall release`"
    );
    choices.holds.extend(updates.into_iter().map(|update| Hold::new(update, Gate::Hold, reason.clone(), None)));
    Vec::new()
}
