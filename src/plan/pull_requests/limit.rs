//! How many pull requests of a policy may be open at once.

use std::collections::BTreeMap;

use crate::model::{Answer, BranchName, PullRequest, PullState};
use crate::plan::candidates::Choices;
use crate::plan::{ForgeQuery, Snapshot};

use super::problem;

/// Maximum number of pull requests named in a reason.
const NAMED: usize = 10;

/// What was proposed so far in this plan, and the branches of the groups.
#[derive(Debug)]
pub(in crate::plan) struct PullRequestLimits {
    /// Each group's branch → its policy.
    pub(in crate::plan) policies: BTreeMap<BranchName, String>,
    proposed: BTreeMap<String, u32>,
}

/// Whether another pull request may be opened.
pub(super) enum Room {
    Yes,
    /// The number of open ones is unknown.
    Unknown,
    /// No: the reason, for people.
    No(String),
}

impl PullRequestLimits {
    /// Nothing has been proposed yet.
    pub(in crate::plan) fn new(policies: BTreeMap<BranchName, String>) -> Self {
        Self { policies, proposed: BTreeMap::new() }
    }

    /// Reserves a place for one more pull request of the policy, if there is one.
    pub(super) fn room(&mut self, snapshot: &Snapshot<'_>, policy: &str, limit: u32, out: &mut Choices) -> Room {
        let open = match &snapshot.answers.open {
            None => {
                out.queries.forge.insert(ForgeQuery::Open);
                return Room::Unknown;
            }
            Some(Answer::Known(open)) => open,
            // Without a forge nothing can be proposed anyway, which is reported elsewhere.
            Some(Answer::Absent { .. }) => return Room::Yes,
            Some(Answer::Failed { message, code, .. }) => {
                problem(out, message.clone(), *code);
                return Room::Unknown;
            }
        };
        let of_policy = |pull: &&PullRequest| {
            let carried = || Some(&snapshot.heads.get(pull.head.as_str())?.carries.first()?.policy);
            pull.state == PullState::Open
                && pull.base == *snapshot.branch
                && self.policies.get(&pull.head).or_else(carried).is_some_and(|other| other == policy)
        };
        let mut numbers: Vec<u64> = open.iter().filter(of_policy).map(|pull| pull.number).collect();
        numbers.sort_unstable();
        let proposed = self.proposed.entry(policy.to_owned()).or_default();
        let there = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        if there.saturating_add(*proposed) < limit {
            *proposed += 1;
            return Room::Yes;
        }
        let mut named: Vec<String> = numbers.iter().take(NAMED).map(|number| format!("#{number}")).collect();
        if *proposed > 0 {
            named.push(format!("{proposed} of this cycle"));
        }
        Room::No(format!(
            "policy {policy} has reached its limit of open pull requests ({limit}): {}; merge or close one",
            named.join(", ")
        ))
    }
}
