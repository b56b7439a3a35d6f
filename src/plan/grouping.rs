//! From updates to actions: one commit per policy and environment, one pull request per group.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::model::UpdateId;
use crate::policy::{Effective, Write};

use super::branches::group_head;
use super::candidates::{Choices, Chosen};
use super::pull_requests::{self, Kept, PullRequestGroup, PullRequestLimits};
use super::{Action, ActionKind, Problem, Snapshot, Update};

type Key = (Reverse<Write>, String, Option<String>, String);

/// Sorts the updates into actions; an update that the state of its pull request holds back becomes a hold.
pub(super) fn group(snapshot: &Snapshot<'_>, updates: Vec<Chosen>, actions: &mut Vec<Action>, out: &mut Choices) {
    let before = pull_requests::Before::of(snapshot, &updates, out);
    let kept = kept(snapshot, out);
    let mut groups: BTreeMap<Key, (Vec<Chosen>, Vec<Kept>)> = BTreeMap::new();
    for chosen in updates {
        groups.entry(key(&chosen.update, &chosen.effective)).or_default().0.push(chosen);
    }
    for kept in kept {
        groups.entry(key(&kept.update, &kept.effective)).or_default().1.push(kept);
    }
    let mut proposals = Vec::new();
    for ((Reverse(write), policy, environment, group), (mut free, kept)) in groups {
        free.sort_by(|a, b| (&a.update.overlay, &a.update.name).cmp(&(&b.update.overlay, &b.update.name)));
        match write {
            Write::Never => {}
            Write::Commit if free.is_empty() => {}
            Write::Commit => {
                let updates = free.into_iter().map(|member| member.update).collect();
                actions.push(Action { kind: ActionKind::Commit, policy, environment, group, updates });
            }
            Write::PullRequest => match group_head(snapshot, &policy, environment.as_deref(), &group) {
                Some(head) => proposals.push(PullRequestGroup { policy, environment, group, head, free, kept }),
                None => {
                    let message = format!("group `{group}` of policy {policy} gives no usable branch name");
                    out.problems.push(Problem { path: None, image: None, line: None, message, code: None });
                }
            },
        }
    }
    pull_requests(snapshot, proposals, &before, actions, out);
}

fn pull_requests(
    snapshot: &Snapshot<'_>,
    mut proposals: Vec<PullRequestGroup>,
    before: &pull_requests::Before,
    actions: &mut Vec<Action>,
    out: &mut Choices,
) {
    for group in &mut proposals {
        // Updates on another group's branch do not belong to this one.
        let carried = |kept: &Kept| {
            snapshot.heads.get(group.head.as_str()).is_some_and(|head| head.updates.contains(&kept.update.id))
        };
        group.kept.retain(carried);
    }
    proposals.retain(|group| !(group.free.is_empty() && group.kept.is_empty()));
    let policies = proposals.iter().map(|group| (group.head.clone(), group.policy.clone())).collect();
    let mut limits = PullRequestLimits::new(policies);
    for group in proposals {
        pull_requests::plan_group(snapshot, group, &mut limits, actions, out);
    }
    pull_requests::ended(snapshot, before, &limits.policies, actions, out);
    pull_requests::leave_queue(snapshot, actions, out);
}

fn key(update: &Update, effective: &Effective) -> Key {
    let group = match effective.write {
        Write::PullRequest => effective.pull_request_group(&update.name),
        Write::Commit | Write::Never => effective.commit_group(&update.name),
    };
    // Commits first: `Write` is ordered from weakest to strongest.
    (Reverse(effective.write), update.policy.clone(), update.environment.clone(), group)
}

/// The updates that a gate holds now but that a branch of the bot already carries: an open pull request keeps them.
fn kept(snapshot: &Snapshot<'_>, out: &Choices) -> Vec<Kept> {
    let carried: HashSet<&UpdateId> = snapshot.heads.values().flat_map(|head| &head.updates).collect();
    if carried.is_empty() {
        return Vec::new();
    }
    // An update whose pull request a person closed never returns to one, even if its branch was left behind.
    let carried = out.holds.iter().filter(|hold| hold.pull.is_none() && carried.contains(&hold.update.id));
    let kept = carried.filter_map(|hold| {
        let pin = hold.update.pins.first()?;
        let effective = Arc::new(snapshot.policies.effective(&pin.path, &pin.name));
        let update = hold.update.clone();
        (effective.write == Write::PullRequest).then_some(Kept { update, effective, gate: hold.gate })
    });
    kept.collect()
}
