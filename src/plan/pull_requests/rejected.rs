//! Pull requests that a person has closed or moved to another base branch, recognised by what they were about.
//!
//! Promise: what a person has closed stays closed until a newer version or a release, whatever was renamed since: the
//! group, the policy, the environment, the branch, the folder, the way of pinning. What a pull request was about is
//! read from its commits, which nobody can rewrite afterwards; its text only shows which ones need not be examined.

use crate::model::{Answer, FailureCode, PullRequest, PullState};
use crate::plan::branches::is_of_rollback;
use crate::plan::recognise::Recognition;
use crate::plan::{ForgeQuery, HeldBy, Queries, Snapshot, Update, UpdatePlace};

use super::{CarriedUpdate, body_ids};

/// The text that marks a list of updates as incomplete.
const CUT: &str = "the commit's message lists all";

/// What a person decided about an update by closing a pull request, or by moving it to another base branch.
pub(in crate::plan) enum Rejection<'s> {
    /// Nothing.
    None,
    /// This is not known yet; the query has been made.
    Pending,
    /// This cannot be determined.
    Unknown { message: String, code: FailureCode },
    /// Rejected.
    By(&'s PullRequest, Certainty),
}

impl Rejection<'_> {
    /// The same as a reason to hold an update, with the pull request; `end` says what ends the hold. `None` if nothing
    /// holds.
    pub(in crate::plan) fn reason(&self, end: &str) -> Option<(String, Option<HeldBy>)> {
        let (pull, how) = match self {
            Self::None | Self::Pending => return None,
            Self::Unknown { message, .. } => {
                let reason = format!("it is unknown whether somebody has closed a pull request about it: {message}");
                return Some((reason, None));
            }
            Self::By(pull, how) => (pull, how),
        };
        let number = pull.number;
        let said = match how {
            Certainty::Same if pull.state == PullState::Open => {
                format!("somebody has changed the base of pull request #{number} to {}", pull.base)
            }
            Certainty::Same => format!("pull request #{number} was closed without a merge"),
            Certainty::Renamed => {
                format!(
                    "pull request #{number}, which was about the same update under other names, was closed without a merge"
                )
            }
            Certainty::Doubt => format!(
                "pull request #{number} was closed without a merge and seems to have been about this; its commits cannot be read"
            ),
        };
        Some((format!("{said}; {end}"), Some(HeldBy::from(*pull))))
    }
}

/// How certain it is that a pull request was about an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plan) enum Certainty {
    /// It certainly was.
    Same,
    /// It was, under other names.
    Renamed,
    /// Its commits cannot be read, but its text or its branch matches.
    Doubt,
}

/// Checks whether a person has closed a pull request about this update. `manual`: no newer version ends such a
/// decision.
pub(in crate::plan) fn rejection<'s>(
    snapshot: &'s Snapshot<'s>,
    update: &Update,
    manual: bool,
    queries: &mut Queries,
) -> Rejection<'s> {
    let closed = match &snapshot.answers.closed {
        None => {
            queries.forge.insert(ForgeQuery::Closed);
            return Rejection::Pending;
        }
        Some(Answer::Known(closed)) => closed,
        Some(Answer::Absent { .. }) => return Rejection::None,
        Some(Answer::Failed { message, code, .. }) => {
            return Rejection::Unknown { message: message.clone(), code: *code };
        }
    };
    let recognition = Recognition::of(snapshot, update);
    let mut pending = false;
    let still = |pull: &&PullRequest| {
        pull.state == PullState::Closed
            && !is_the_bots(pull)
            && is_of_rollback(pull.head.as_str()) == update.rollback.is_some()
            && !pull.closed_at.is_some_and(|at| snapshot.is_released(update, at))
    };
    for pull in closed.iter().filter(still) {
        let ids = body_ids(&pull.body);
        if ids.contains(&update.id) {
            return Rejection::By(pull, Certainty::Same);
        }
        if update.rollback.is_some() || !may_be_about(pull, ids.is_empty(), update, manual) {
            continue;
        }
        let about = |carried: &CarriedUpdate| is_about(snapshot, &recognition, pull, carried, update, manual);
        match carries(snapshot, pull, queries) {
            Carries::Asked => pending = true,
            Carries::Known([]) | Carries::Unknown if mentions(pull, update) => {
                return Rejection::By(pull, Certainty::Doubt);
            }
            Carries::Unknown => {}
            Carries::Known(carries) => match carries.iter().find(|carried| about(carried)) {
                Some(same) if same.id == update.id => return Rejection::By(pull, Certainty::Same),
                Some(_) => return Rejection::By(pull, Certainty::Renamed),
                None => {}
            },
        }
    }
    if pending { Rejection::Pending } else { Rejection::None }
}

/// An open pull request of an update's branch that a person has moved to another base.
pub(in crate::plan) fn turned<'s>(
    snapshot: &'s Snapshot<'s>,
    head: &str,
    update: &Update,
    queries: &mut Queries,
) -> Rejection<'s> {
    let Some(branch) = snapshot.heads.get(head).filter(|branch| branch.updates.contains(&update.id)) else {
        return Rejection::None;
    };
    match &snapshot.answers.open {
        None => {
            queries.forge.insert(ForgeQuery::Open);
            Rejection::Pending
        }
        Some(Answer::Known(open)) => {
            let here = |pull: &&PullRequest| pull.head.as_str() == head && pull.state == PullState::Open;
            let mut of_branch = open.iter().filter(here);
            let turned = of_branch.clone().find(|pull| pull.base != *snapshot.branch);
            let into_this = of_branch.any(|pull| pull.base == *snapshot.branch);
            let released = snapshot.is_released(update, branch.since.unwrap_or(snapshot.now));
            match turned.filter(|_| !into_this && !released) {
                Some(pull) => Rejection::By(pull, Certainty::Same),
                None => Rejection::None,
            }
        }
        Some(Answer::Absent { .. }) => Rejection::None,
        Some(Answer::Failed { message, code, .. }) => Rejection::Unknown { message: message.clone(), code: *code },
    }
}

/// What commits claim to have carried.
enum Carries<'s> {
    Asked,
    Known(&'s [CarriedUpdate]),
    Unknown,
}

fn carries<'s>(snapshot: &'s Snapshot<'s>, pull: &PullRequest, queries: &mut Queries) -> Carries<'s> {
    // Its branch may still be there, unchanged.
    let left = snapshot.heads.get(pull.head.as_str()).filter(|head| pull.head_commit.as_ref() == Some(&head.tip));
    if let Some(left) = left.filter(|left| !left.carries.is_empty()) {
        return Carries::Known(&left.carries);
    }
    match snapshot.answers.carried.get(&pull.number) {
        None => {
            queries.forge.insert(ForgeQuery::Carried(pull.number));
            Carries::Asked
        }
        Some(Answer::Known(carries)) => Carries::Known(carries),
        Some(Answer::Absent { .. } | Answer::Failed { .. }) => Carries::Unknown,
    }
}

/// Whether the bot itself closed it: its trailer no longer has ids, which is not the same as having no trailer.
fn is_the_bots(pull: &PullRequest) -> bool {
    let trailer = pull.body.rsplit_once("<!-- landfall:").and_then(|(_, rest)| rest.split_once("-->"));
    trailer.is_some_and(|(ids, _)| ids.trim().is_empty())
}

/// Whether its commits need to be examined: a complete text names everything it is about.
fn may_be_about(pull: &PullRequest, rewritten: bool, update: &Update, manual: bool) -> bool {
    let tag = update.to.tag.as_ref().map_or("", |tag| tag.as_str());
    let says = |word: &str| pull.body.contains(word) || pull.title.contains(word);
    rewritten || says(tag) || says(CUT) || (manual && says(update.name.short()))
}

/// Whether its readable parts match an update, if its commits cannot be read.
fn mentions(pull: &PullRequest, update: &Update) -> bool {
    let tag = update.to.tag.as_ref().map_or("", |tag| tag.as_str());
    let says = |word: &str| pull.body.contains(word) || pull.title.contains(word);
    says(tag) && says(update.name.short())
}

fn is_about(
    snapshot: &Snapshot<'_>,
    recognition: &Recognition<'_>,
    pull: &PullRequest,
    carried: &CarriedUpdate,
    update: &Update,
    manual: bool,
) -> bool {
    if carried.id == update.id {
        return true;
    }
    let place = carried.place();
    // Another branch has places of its own, unless only the branch differs.
    let here = || {
        let same = recognition.is_in(&place) || recognition.may_be_in(&place, pull.closed_at);
        same && (pull.base == *snapshot.branch || place == UpdatePlace::of(update))
    };
    if recognition.is_to(&carried.to) {
        return here();
    }
    // The last decision about a place applies to every version, until something was written there since.
    let since = || pull.closed_at.is_some_and(|at| snapshot.ledger.has_written_since(&UpdatePlace::of(update), at));
    manual && here() && !since()
}
