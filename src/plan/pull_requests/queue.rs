//! Pull requests that leave a merge queue: what is frozen, held or outside its windows by now is not merged by a queue
//! either, which knows nothing of that.
//!
//! Rules: a freeze or a window is about a place, whichever version is in the queue; a hold or a signature that is not proved is about
//! the version that it holds. The queue is asked for only if something that is held now is on an open pull request. Where it cannot be read,
//! that is a problem; a forge without queues has none.

use std::collections::BTreeSet;

use crate::model::{Answer, PullRequest, PullState};
use crate::plan::candidates::Choices;
use crate::plan::{Action, ActionKind, ForgeQuery, Gate, Head, Hold, Snapshot};

use super::{CarriedUpdate, OpenPull, problem};

/// A pull request that must not be merged by the queue that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DequeueAction {
    /// What leaves the queue.
    pub pull: OpenPull,
    /// What holds it.
    pub reason: String,
}

/// Takes out of the queue what is held by now.
pub(in crate::plan) fn leave_queue(snapshot: &Snapshot<'_>, actions: &mut Vec<Action>, out: &mut Choices) {
    if snapshot.request.is_some() {
        return;
    }
    let own = snapshot.heads.iter().filter(|(_, head)| head.foreign.is_none());
    let held: Vec<(&String, &Head, String)> =
        own.filter_map(|(name, head)| Some((name, head, reason(head, &out.holds)?))).collect();
    if held.is_empty() {
        return;
    }
    let Some(Answer::Known(open)) = &snapshot.answers.open else {
        // Of a forge that does not answer, the plan says so elsewhere.
        if snapshot.answers.open.is_none() {
            out.queries.forge.insert(ForgeQuery::Open);
        }
        return;
    };
    let here = |pull: &&PullRequest| pull.state == PullState::Open && pull.base == *snapshot.branch;
    let mut of_held = Vec::new();
    for (name, head, reason) in held {
        let found = open.iter().filter(here).find(|pull| pull.head.as_str() == name);
        of_held.extend(found.map(|pull| (pull, head, reason)));
    }
    if of_held.is_empty() {
        return;
    }
    let Some(queued) = in_queue(snapshot, out) else { return };
    let left = of_held.into_iter().filter(|(pull, ..)| queued.contains(&pull.number));
    actions.extend(left.map(|(pull, head, reason)| dequeue(pull, head, reason)));
}

/// The pull requests in the base's queue, if that is known.
fn in_queue<'s>(snapshot: &'s Snapshot<'_>, out: &mut Choices) -> Option<&'s BTreeSet<u64>> {
    match &snapshot.answers.queue {
        None => drop(out.queries.forge.insert(ForgeQuery::Queue)),
        Some(Answer::Known(queued)) => return Some(queued),
        Some(Answer::Absent { .. }) => {}
        Some(Answer::Failed { message, code, .. }) => {
            let message = format!("it is unknown whether what is held now is in a merge queue: {message}");
            problem(out, message, *code);
        }
    }
    None
}

/// Why a branch must not be merged now.
fn reason(head: &Head, holds: &[Hold]) -> Option<String> {
    let of = |carried: &CarriedUpdate, hold: &Hold| match hold.gate {
        Gate::Freeze | Gate::Window => {
            hold.update.overlay == carried.overlay && hold.update.name.to_string() == carried.image
        }
        Gate::Hold | Gate::Signature => hold.update.id == carried.id,
        _ => false,
    };
    let hold = holds.iter().find(|hold| head.carries.iter().any(|carried| of(carried, hold)))?;
    let overlay = if hold.update.overlay.is_empty() { "." } else { &hold.update.overlay };
    Some(format!("{} in {overlay} waits ({}): {}", hold.update.name.short(), hold.gate.as_str(), hold.reason))
}

fn dequeue(pull: &PullRequest, head: &Head, reason: String) -> Action {
    let first = head.carries.first();
    Action {
        policy: first.map(|update| update.policy.clone()).unwrap_or_default(),
        environment: first.and_then(|update| update.environment.clone()),
        group: String::new(),
        updates: Vec::new(),
        kind: ActionKind::Dequeue(DequeueAction { pull: OpenPull::of(pull, &head.tip), reason }),
    }
}
