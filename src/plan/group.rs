//! Updates → actions: one commit per policy and environment, one pull request per group.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::{BranchName, Fact, FailureCode, PullRequest, PullState, UpdateId};
use crate::policy::{Effective, Write};

use super::choose::{Choices, Chosen};
use super::{Action, ActionKind, Gate, HeldBy, Hold, Problem, PullAction, Snapshot, Update, Want};

/// What every branch of the bot begins with.
pub const BRANCH_PREFIX: &str = "landfall/";

/// Most updates of one pull request: its text names each, and forges bound its length.
const MAX_UPDATES: usize = 2_000;

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
    let mut groups: BTreeMap<Key, Vec<Chosen>> = BTreeMap::new();
    for chosen in updates {
        let (update, effective) = (&chosen.update, &chosen.effective);
        let group = match effective.write {
            Write::PullRequest => effective.pull_request_group(&update.name),
            Write::Commit | Write::Never => effective.commit_group(&update.name),
        };
        // Commits first: `Write` orders from the weakest to the strongest.
        let key = (Reverse(effective.write), update.policy.clone(), update.environment.clone(), group);
        groups.entry(key).or_default().push(chosen);
    }
    for ((Reverse(write), policy, environment, group), mut members) in groups {
        members.sort_by(|a, b| (&a.update.overlay, &a.update.name).cmp(&(&b.update.overlay, &b.update.name)));
        match write {
            Write::Never => {}
            Write::Commit => {
                let updates = members.into_iter().map(|member| member.update).collect();
                actions.push(Action { kind: ActionKind::Commit, policy, environment, group, updates });
            }
            Write::PullRequest => actions.extend(pull_request(snapshot, policy, environment, group, members, out)),
        }
    }
}

fn pull_request(
    snapshot: &Snapshot<'_>,
    policy: String,
    environment: Option<String>,
    group: String,
    members: Vec<Chosen>,
    out: &mut Choices,
) -> Option<Action> {
    let effective = std::sync::Arc::clone(&members.first()?.effective);
    let Some(head) = head_branch(snapshot.branch, &policy, environment.as_deref(), &group) else {
        let message = format!("group `{group}` of policy {policy} gives no usable branch name");
        out.problems.push(Problem { path: None, line: None, message, code: None });
        return None;
    };
    let pulls = match snapshot.facts.pulls.get(&head) {
        None => {
            out.wants.insert(Want::Pulls(head));
            return None;
        }
        Some(Fact::Known(pulls)) => pulls.as_slice(),
        // There is no forge to ask: the policy cannot be carried out.
        Some(Fact::Absent { message }) => return problem(out, message.clone(), Some(FailureCode::ConfigError)),
        Some(Fact::Failed { message, code, .. }) => return problem(out, message.clone(), Some(*code)),
    };
    let branch = snapshot.heads.get(head.as_str());
    let mut updates = decided(snapshot, pulls, members.into_iter().map(|member| member.update).collect(), out);
    if updates.len() > MAX_UPDATES {
        let reason =
            format!("the pull request of this group has as many updates as one can have ({MAX_UPDATES}); it follows");
        let rest = updates.split_off(MAX_UPDATES);
        out.holds.extend(rest.into_iter().map(|update| held(update, Gate::Approval, reason.clone())));
    }
    if updates.is_empty() {
        return None;
    }
    if let Some(who) = branch.and_then(|branch| branch.foreign.as_deref()) {
        let reason =
            format!("branch {head} has commits by {who}, so it is left alone; merge it, or delete it to start over");
        out.holds.extend(updates.into_iter().map(|update| held(update, Gate::Hold, reason.clone())));
        return None;
    }
    let mut ids: Vec<UpdateId> = updates.iter().map(|update| update.id.clone()).collect();
    ids.sort();
    ids.dedup();
    let pushed = branch.is_some_and(|branch| branch.updates == ids && !branch.stale);
    let open = pulls.iter().find(|pull| pull.state == PullState::Open);
    if let Some(open) = open.filter(|open| pushed && same_ids(open, &ids)) {
        let reason = format!("pull request #{} waits to be merged: {}", open.number, open.url);
        let review_within = effective.fields.review_within.as_ref().map(|within| within.value);
        out.holds.extend(updates.into_iter().map(|update| Hold {
            pull: Some(HeldBy::from(open)),
            review_within,
            ..held(update, Gate::Approval, reason.clone())
        }));
        return None;
    }
    let kind = ActionKind::PullRequest(pull_action(&effective, head, branch.map(|b| b.tip.clone()), pushed, open));
    Some(Action { kind, policy, environment, group, updates })
}

pub(super) fn pull_action(
    effective: &Effective,
    head: BranchName,
    replaces: Option<crate::model::CommitId>,
    pushed: bool,
    open: Option<&PullRequest>,
) -> PullAction {
    let fields = &effective.fields.pull_request;
    PullAction {
        head,
        replaces,
        pushed,
        open: open.map(|open| open.number),
        labels: fields.labels.as_ref().map(|labels| labels.value.clone()).unwrap_or_default(),
        reviewers: fields.reviewers.as_ref().map(|reviewers| reviewers.value.clone()).unwrap_or_default(),
        draft: fields.draft.as_ref().is_some_and(|draft| draft.value),
    }
}

/// Takes out the updates that a person has decided about: closed unmerged, or merged and changed since.
fn decided(snapshot: &Snapshot<'_>, pulls: &[PullRequest], updates: Vec<Update>, out: &mut Choices) -> Vec<Update> {
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

fn held(update: Update, gate: Gate, reason: String) -> Hold {
    Hold::new(update, gate, reason, None)
}

fn problem(out: &mut Choices, message: String, code: Option<FailureCode>) -> Option<Action> {
    out.problems.push(Problem { path: None, line: None, message, code });
    None
}

fn same_ids(pull: &PullRequest, ids: &[UpdateId]) -> bool {
    let mut there = body_ids(&pull.body);
    there.sort();
    there == ids
}

/// The update ids in a pull request's hidden trailer: `<!-- landfall: id id … -->`.
#[must_use]
pub(super) fn body_ids(body: &str) -> Vec<UpdateId> {
    // The last one: what stands above it may come from a repository.
    let Some((_, rest)) = body.rsplit_once("<!-- landfall:") else { return Vec::new() };
    let Some((list, _)) = rest.split_once("-->") else { return Vec::new() };
    list.split_whitespace().filter_map(UpdateId::parse).collect()
}
