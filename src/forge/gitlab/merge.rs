//! Merging on GitLab: at once, or by its merge train (`train`).
//!
//! GitLab's own auto-merge is not used: it merges at some later time, whatever gates are closed by then. What GitLab still
//! waits for is asked again in the next cycle.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::GitLabApi;
use super::wire::{WireMergeRequest, WireProject};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{
    Api as _, Ask, ForgePull as _, Merges, no_method, not_merged, refusal, refused_by, tell_other,
};
use crate::model::{Answer, BranchName, CommitId, DequeueOutcome, Merge, MergeMethod, MergeOutcome, one_line};

/// The pauses between looks at a status that GitLab computes when it is looked at.
const PAUSES: [Duration; 3] = [Duration::from_millis(250), Duration::from_millis(1000), Duration::from_millis(2250)];

/// Whether GitLab has not decided yet.
pub(super) fn is_undecided(status: &str) -> bool {
    matches!(status, "unchecked" | "checking" | "preparing" | "approvals_syncing")
}

/// Why a merge is refused with this status; `None` if it may pass by itself, as do words that are unknown.
fn hindrance(status: &str) -> Option<&'static str> {
    Some(match status {
        "ci_must_pass" => "its pipeline must pass",
        "not_approved" => "approvals are missing",
        "requested_changes" => "somebody requests changes",
        "draft_status" => "it is a draft",
        "discussions_not_resolved" => "threads are not resolved",
        "conflict" | "broken_status" => "it conflicts with its base",
        "need_rebase" => "its branch must be brought up to date",
        "not_open" => "it is not open",
        "merge_request_blocked" | "blocked_status" => "another merge request must be merged first",
        "merge_time" => "it may be merged only later",
        "jira_association_missing" => "its title or text must name a Jira issue",
        "status_checks_must_pass" | "external_status_checks" => "external status checks must pass",
        "security_policy_violations" | "policies_denied" => "a security policy forbids it",
        "locked_paths" => "somebody has locked its paths",
        "locked_lfs_files" => "somebody has locked its LFS files",
        "title_regex" | "title_not_matching" => "its title must match the project's pattern",
        "commits_status" => "its branch is missing or has no commits",
        _ => return None,
    })
}

impl Merges for GitLabApi {
    async fn is_queued(&self, number: u64) -> Result<bool, ForgeError> {
        self.is_on_train(number).await
    }

    async fn queue(&self, base: &BranchName) -> Answer<BTreeSet<u64>> {
        self.train_of(base).await
    }

    async fn dequeue(&self, number: u64) -> Result<DequeueOutcome, ForgeError> {
        self.take_off(number).await
    }

    async fn merge(&self, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        let request = self.decided(merge.number).await?;
        if let Some(commit) = merged_as(&request) {
            return Ok(MergeOutcome::Merged { commit });
        }
        if request.sha.as_deref() != Some(merge.tip.as_str()) {
            return Ok(not_merged("its branch has moved since it was judged"));
        }
        let status = request.detailed_merge_status.as_deref().unwrap_or("mergeable");
        if status != "mergeable" {
            let word = one_line(status, 60);
            return Ok(match hindrance(status) {
                Some(reason) => not_merged(&format!("{reason} ({word})")),
                None => MergeOutcome::NotYet { reason: format!("GitLab is not ready to merge it ({word})") },
            });
        }
        let project: WireProject = self.api.ask(Ask::get("")).await?;
        if project.merge_trains_enabled == Some(true) {
            return self.board(merge).await;
        }
        let ways = merge.method.into_iter().chain(MergeMethod::ALL);
        let Some(method) = ways.into_iter().find(|method| project.allows(*method)) else { return Ok(no_method()) };
        tell_other(merge, method);
        match self.api.ask::<WireMergeRequest>(put(merge, method)).await {
            Ok(now) => Ok(merged_as(&now).map_or_else(
                || MergeOutcome::NotYet { reason: "GitLab is merging it".to_owned() },
                |commit| MergeOutcome::Merged { commit },
            )),
            Err(error) => outcome_of(error),
        }
    }
}

impl GitLabApi {
    /// A merge request whose status GitLab has computed, if that does not take long.
    async fn decided(&self, number: u64) -> Result<WireMergeRequest, ForgeError> {
        let mut request = self.one(number).await?;
        for pause in PAUSES {
            if !request.detailed_merge_status.as_deref().is_some_and(is_undecided) {
                break;
            }
            tokio::time::sleep(pause).await;
            request = self.one(number).await?;
        }
        Ok(request)
    }
}

/// A merge at the judged commit only.
fn put(merge: &Merge, method: MergeMethod) -> Ask {
    let mut body = json!({
        "sha": merge.tip.as_str(), "squash": method == MergeMethod::Squash, "should_remove_source_branch": false,
    });
    if method == MergeMethod::Squash {
        // The bot's own message: its trailers are the record of what was done.
        body["squash_commit_message"] = json!(merge.message.trim());
    }
    Ask::put_once(format!("merge_requests/{}/merge", merge.number), body)
}

fn merged_as(request: &WireMergeRequest) -> Option<CommitId> {
    let merged = request.is_merged().then(|| request.merge_commits().find_map(|sha| CommitId::parse(sha).ok()));
    merged.flatten()
}

/// GitLab's reason for not merging; an error if it is unknown whether it has.
pub(super) fn outcome_of(error: ForgeError) -> Result<MergeOutcome, ForgeError> {
    match &error.problem {
        // The token has just been good enough to read.
        Problem::Token { message } => Ok(refused_by(
            "GitLab",
            &format!("{message}; next: give the bot's account a role that may merge into this branch"),
        )),
        // Its status was good a moment ago: what is in the way is not known yet, or passes.
        Problem::Rejected { status: 405, message } => {
            Ok(MergeOutcome::NotYet { reason: format!("GitLab does not merge it at this moment ({message})") })
        }
        _ => refusal("GitLab", error),
    }
}
