//! Pull requests that lack nothing but what their base has by now, where the forge asks for branches that are up to date.
//!
//! Rules: a branch is brought up to date only where nothing else is missing, so that its checks have ended and a base that
//! moves all the time does not end them before their time; and one of a base in a cycle, since the first that is merged
//! makes the others old again. Whom somebody has approved of gets a merge of its base, which keeps the approval: it brings
//! nothing of its own. Else the branch is made anew on the base. Checks that cannot be read have not ended. One that a
//! person merges is brought up to date once, and after that no more often than once a day: nobody may be waiting for it.
//! Only so many merges are put on one branch, far fewer than it may have as the bot's own.

use jiff::SignedDuration;

use crate::model::{Answer, CheckState, MergeMethod, PullRequest};
use crate::plan::{ForgeQuery, Head, Queries, Snapshot};

use super::{OpenPull, Terms};

/// From so many merges of the base on, a branch gets no further one: it is made anew.
const MANY_MERGES: usize = 20;
/// From so many on, it is left alone: its remote does not let it be made anew.
const MAX_MERGES: usize = 30;
/// How long a branch that a person merges is left as it is, once it has been brought up to date.
const REST: SignedDuration = SignedDuration::from_hours(24);

/// A branch that gets what its base has by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateAction {
    /// Whose branch it is.
    pub pull: OpenPull,
    /// How.
    pub way: UpdateWay,
}

/// How a branch gets what its base has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateWay {
    /// It is made anew on the base.
    Anew,
    /// The base is merged into it.
    Merge,
}

/// How a pull request stands to its base.
pub(super) enum BaseState {
    /// Nothing is asked of it, as far as is known; else its forge says so when it is merged.
    Enough,
    /// That is not known yet; the question has been asked.
    Asked,
    /// It waits for nothing but the rest of its base.
    Behind(UpdateWay),
}

/// Whether a pull request of which nothing else is missing lacks commits of its base. Without `terms` a person merges it.
pub(super) fn base_state(
    snapshot: &Snapshot<'_>,
    (open, branch): (&PullRequest, &Head),
    terms: Option<&Terms>,
    queries: &mut Queries,
) -> BaseState {
    if !branch.behind || open.draft || open.head_commit.as_ref() != Some(&branch.tip) {
        return BaseState::Enough;
    }
    match snapshot.answers.behind.get(&open.number) {
        None => {
            queries.forge.insert(ForgeQuery::Behind(open.number, branch.tip.clone()));
            return BaseState::Asked;
        }
        Some(Answer::Known(true)) => {}
        Some(_) => return BaseState::Enough,
    }
    match snapshot.answers.checks.get(&branch.tip) {
        None => {
            queries.forge.insert(ForgeQuery::Checks(branch.tip.clone()));
            return BaseState::Asked;
        }
        // With terms, those checks that count have been judged.
        Some(Answer::Known(checks))
            if terms.is_some() || checks.all().all(|(_, state)| *state == CheckState::Passed) => {}
        Some(_) => return BaseState::Enough,
    }
    let merges = branch.same.len().saturating_sub(1);
    let Some(terms) = terms else {
        let rested = branch.made.is_some_and(|made| snapshot.now.duration_since(made) >= REST);
        return match merges {
            0 => BaseState::Behind(UpdateWay::Merge),
            1..MANY_MERGES if rested => BaseState::Behind(UpdateWay::Merge),
            _ => BaseState::Enough,
        };
    };
    // A rebase takes no merges.
    let approved = terms.approvals > 0 && terms.method != Some(MergeMethod::Rebase);
    match merges {
        0..MANY_MERGES if approved => BaseState::Behind(UpdateWay::Merge),
        0..MAX_MERGES => BaseState::Behind(UpdateWay::Anew),
        _ => BaseState::Enough,
    }
}
