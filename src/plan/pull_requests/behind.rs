//! Pull requests that lack nothing but what their base has by now, where the forge asks for branches that are up to date.
//!
//! Rules: a branch is brought up to date only where nothing else is missing, so that its checks have ended and a base that
//! moves all the time does not end them before their time; and one of a base in a cycle, since the first that is merged
//! makes the others old again. Whom somebody has approved of gets a merge of its base, which keeps the approval: it brings
//! nothing of its own. Else the branch is made anew on the base.

use crate::model::{Answer, CheckState, MergeMethod, PullRequest};
use crate::plan::{ForgeQuery, Head, Queries, Snapshot};

use super::{OpenPull, Terms};

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
    let Some(terms) = terms else {
        return match snapshot.answers.checks.get(&branch.tip) {
            None => {
                queries.forge.insert(ForgeQuery::Checks(branch.tip.clone()));
                BaseState::Asked
            }
            Some(Answer::Known(checks)) if checks.all().any(|(_, state)| *state != CheckState::Passed) => {
                BaseState::Enough
            }
            Some(_) => BaseState::Behind(UpdateWay::Merge),
        };
    };
    // A rebase takes no merges.
    let merges = terms.approvals > 0 && terms.method != Some(MergeMethod::Rebase);
    BaseState::Behind(if merges { UpdateWay::Merge } else { UpdateWay::Anew })
}
