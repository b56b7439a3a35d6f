//! Updates → actions: one commit per policy and environment, one pull request per group.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::model::{BranchName, UpdateId};
use crate::policy::{Effective, Write};

use super::candidates::{Choices, Chosen};
use super::pull_requests::{self, Kept, PullRequestGroup, PullRequestLimits};
use super::{Action, ActionKind, Problem, Snapshot, Update};

/// What every branch of the bot begins with.
pub const BRANCH_PREFIX: &str = "landfall/";

/// The branch of a pull request: deterministic, so that a repeated cycle finds its own work again.
///
/// Characters that Git or a forge would trip over become `-`; a short hash of base, policy, environment and group keeps
/// groups apart that would look the same.
#[must_use]
pub fn head_branch(base: &BranchName, policy: &str, environment: Option<&str>, group: &str) -> Option<BranchName> {
    let whole = [environment.unwrap_or(policy), group];
    let mut clean = Vec::new();
    for part in whole.iter().flat_map(|part| part.split('/')).filter(|part| !part.is_empty()) {
        let part: String = part
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
            .collect();
        let part = part.trim_matches(['.', '-']).replace("..", "-").replace(".lock", "-lock");
        if !part.is_empty() {
            clean.push(part);
        }
    }
    if clean.is_empty() {
        // Nothing of the names is left, and the prefix must stay: it tells the bot's branches from all others.
        clean.push("update".to_owned());
    }
    // The same environment and group may be asked for by two policies or for two base branches.
    let key = format!("{base}\n{policy}\n{}\n{group}", environment.unwrap_or_default());
    let mut name = format!("{BRANCH_PREFIX}{}", clean.join("/"));
    name.truncate(180);
    BranchName::parse(&format!("{}-{}", name.trim_end_matches('/'), short_hash(&key))).ok()
}

/// Six hexadecimal digits of a text's hash.
fn short_hash(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(3).map(|b| format!("{b:02x}")).collect()
}

type Key = (Reverse<Write>, String, Option<String>, String);

/// Sorts the updates into actions; what a pull request's state holds back becomes a hold.
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
            Write::PullRequest => match head_branch(snapshot.branch, &policy, environment.as_deref(), &group) {
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
        // What another group's branch carries is none of this one's.
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
}

fn key(update: &Update, effective: &Effective) -> Key {
    let group = match effective.write {
        Write::PullRequest => effective.pull_request_group(&update.name),
        Write::Commit | Write::Never => effective.commit_group(&update.name),
    };
    // Commits first: `Write` orders from the weakest to the strongest.
    (Reverse(effective.write), update.policy.clone(), update.environment.clone(), group)
}

/// The updates that a gate holds by now and that a branch of the bot carries: an open pull request keeps them.
fn kept(snapshot: &Snapshot<'_>, out: &Choices) -> Vec<Kept> {
    let carried: HashSet<&UpdateId> = snapshot.heads.values().flat_map(|head| &head.updates).collect();
    if carried.is_empty() {
        return Vec::new();
    }
    // What a person has closed is in no pull request again, though its branch be left behind.
    let carried = out.holds.iter().filter(|hold| hold.pull.is_none() && carried.contains(&hold.update.id));
    let kept = carried.filter_map(|hold| {
        let pin = hold.update.pins.first()?;
        let effective = Arc::new(snapshot.policies.effective(&pin.path, &pin.name));
        let update = hold.update.clone();
        (effective.write == Write::PullRequest).then_some(Kept { update, effective, gate: hold.gate })
    });
    kept.collect()
}
