//! The last look before something is written: does a tag still stand for the image whose signatures were verified?
//!
//! A version that is written with its digest is what was verified. One that is written as a tag alone is whatever the tag stands for,
//! so each such tag is resolved again right before the write, and what has moved waits for the next cycle, which verifies it anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::daemon::queries::Lookup;
use crate::model::{Answer, Digest, ImageName, Tag};
use crate::plan::{Action, ActionKind, Gate, Hold, Plan, Update};

/// Holds, in these plans, every update whose tag no longer stands for the digest that was verified, or of which that is unknown.
pub(in crate::daemon) async fn hold_moved(plans: &mut [Plan], lookup: &Lookup) {
    let actions = plans.iter().flat_map(|plan| &plan.actions).filter(|action| writes(action));
    let asked: BTreeSet<(ImageName, Tag)> =
        actions.flat_map(|action| &action.updates).filter_map(by_tag_alone).collect();
    if asked.is_empty() {
        return;
    }
    let now = lookup.resolve_now(&asked).await;
    for plan in plans {
        for mut action in std::mem::take(&mut plan.actions) {
            let moved: Vec<Option<String>> = match writes(&action) {
                true => action.updates.iter().map(|update| why_not(update, &now)).collect(),
                false => Vec::new(),
            };
            if moved.iter().all(Option::is_none) {
                plan.actions.push(action);
                continue;
            }
            let together = !matches!(action.kind, ActionKind::Commit);
            let mut left = Vec::new();
            for (update, moved) in std::mem::take(&mut action.updates).into_iter().zip(moved) {
                match moved {
                    Some(reason) => plan.holds.push(Hold::new(update, Gate::Signature, reason, None)),
                    None if together => {
                        let reason = "another update of its pull request is no longer verified, and both wait for the next cycle";
                        plan.holds.push(Hold::new(update, Gate::Signature, reason.to_owned(), None));
                    }
                    None => left.push(update),
                }
            }
            if !left.is_empty() {
                plan.actions.push(Action { updates: left, ..action });
            }
        }
    }
}

/// Whether an action brings its updates onto a branch.
fn writes(action: &Action) -> bool {
    match &action.kind {
        ActionKind::Commit | ActionKind::Merge(_) => true,
        ActionKind::PullRequest(pull) => !pull.pushed,
        ActionKind::Close(_) | ActionKind::Remind(_) | ActionKind::Update(_) | ActionKind::Dequeue(_) => false,
    }
}

/// The tag of an update that was verified, if it is written without its digest.
fn by_tag_alone(update: &Update) -> Option<(ImageName, Tag)> {
    update.verified.as_ref().filter(|_| update.to.digest.is_none())?;
    Some((update.name.clone(), update.to.tag.clone()?))
}

fn why_not(update: &Update, now: &BTreeMap<(ImageName, Tag), Answer<Digest>>) -> Option<String> {
    let verified = &update.verified.as_ref()?.digest;
    let key = by_tag_alone(update)?;
    let (name, tag) = (&key.0, &key.1);
    match now.get(&key) {
        Some(Answer::Known(digest)) if digest == verified => None,
        Some(Answer::Known(digest)) => Some(format!(
            "{name}:{tag} was verified as {verified} but is now {digest}, so nothing is written; the next cycle verifies it again"
        )),
        Some(Answer::Absent { message } | Answer::Failed { message, .. }) => {
            Some(format!("it is unknown whether {name}:{tag} is still {verified}, which was verified: {message}"))
        }
        None => Some(format!("it is unknown whether {name}:{tag} is still {verified}, which was verified")),
    }
}
