//! Merging on Azure DevOps: a pull request is completed, at the commit that is named.
//!
//! Its auto-complete is not used: it merges at some later time, whatever gates are closed by then. Completing takes place
//! after the answer, so that it is looked at again. Policies are asked beforehand, as the bot may have the right to bypass
//! them. Source: "Pull Requests - Update" of Microsoft's REST API.

use std::time::Duration;

use serde_json::json;
use url::form_urlencoded::byte_serialize;

use super::policies::{AzureEvaluation, strategy};
use super::wire::AzurePull;
use super::{AzureDevOpsApi, PREVIEW, versioned};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{
    Api as _, Ask, ForgePull as _, Listed, Merges, no_method, not_merged, refusal, refused_by, tell_other,
};
use crate::model::{CommitId, Merge, MergeMethod, MergeOutcome};

/// The pauses between looks at what is being completed.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(900),
    Duration::from_millis(1600),
    Duration::from_millis(2500),
];

impl Merges for AzureDevOpsApi {
    async fn merge(&self, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        let there = self.one(merge.number).await?;
        if there.is_completed() {
            return self.merged(&there, merge);
        }
        if !there.is_active() {
            return Ok(not_merged("it is abandoned"));
        }
        if there.tip() != Some(merge.tip.as_str()) {
            return Ok(not_merged("its branch has moved since it was judged"));
        }
        if there.is_draft {
            return Ok(not_merged("it is a draft"));
        }
        if let Some(failure) = there.failure() {
            return Ok(refused_by("Azure DevOps", &failure));
        }
        let evaluations = self.evaluations(&there).await?;
        let open: Vec<(String, bool)> =
            evaluations.iter().filter_map(|it| Some((it.blocks()?, it.is_running()))).collect();
        if !open.is_empty() {
            let names = open.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            return Ok(match open.iter().all(|(_, running)| *running) {
                true => MergeOutcome::NotYet { reason: format!("policies are still running: {names}") },
                false => not_merged(&format!("policies are not met: {names}")),
            });
        }
        let ways = merge.method.into_iter().chain(MergeMethod::ALL);
        let Some((method, strategy)) =
            ways.into_iter().find_map(|method| Some((method, strategy(&evaluations, method)?)))
        else {
            return Ok(no_method());
        };
        tell_other(merge, method);
        match self.api.ask::<AzurePull>(completing(merge, method, strategy)).await {
            Ok(now) => self.completed_as(now, merge).await,
            Err(error) => refusal("Azure DevOps", error),
        }
    }
}

/// A merge at the judged commit only.
fn completing(merge: &Merge, method: MergeMethod, strategy: &str) -> Ask {
    let mut options = json!({
        "mergeStrategy": strategy, "deleteSourceBranch": false, "transitionWorkItems": false, "bypassPolicy": false,
    });
    if method == MergeMethod::Squash {
        // The bot's own message: its trailers are the record of what was done.
        options["mergeCommitMessage"] = json!(merge.message.trim());
    }
    let body = json!({
        "status": "completed", "lastMergeSourceCommit": { "commitId": merge.tip.as_str() }, "completionOptions": options,
    });
    Ask::patch_once(versioned(&format!("pullRequests/{}", merge.number), &[]), body)
}

impl AzureDevOpsApi {
    async fn completed_as(&self, mut now: AzurePull, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        for pause in PAUSES {
            if now.is_completed() {
                return self.merged(&now, merge);
            }
            if let Some(failure) = now.failure() {
                return Ok(refused_by("Azure DevOps", &failure));
            }
            tokio::time::sleep(pause).await;
            now = self.one(merge.number).await?;
        }
        if now.is_completed() {
            return self.merged(&now, merge);
        }
        Ok(MergeOutcome::NotYet { reason: "Azure DevOps is completing it".to_owned() })
    }

    /// What was merged, if it is what was judged.
    pub(super) fn merged(&self, there: &AzurePull, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        let Some(commit) = there.merge_commits().find_map(|sha| CommitId::parse(sha).ok()) else {
            return Ok(MergeOutcome::NotYet { reason: "Azure DevOps does not say yet as which commit".to_owned() });
        };
        if there.tip() == Some(merge.tip.as_str()) {
            return Ok(MergeOutcome::Merged { commit });
        }
        let text = format!("{commit} was merged, which is not what was judged, {}; look at it", merge.tip);
        Err(self.api.error("PATCH the pull request", Problem::Settings(text)))
    }

    /// What the policies of its base say of it.
    async fn evaluations(&self, there: &AzurePull) -> Result<Vec<AzureEvaluation>, ForgeError> {
        let project = &there.repository.project.id;
        let artifact = format!("vstfs:///CodeReview/CodeReviewId/{project}/{}", there.number());
        let artifact: String = byte_serialize(artifact.as_bytes()).collect();
        let path = format!("{}/_apis/policy/evaluations?artifactId={artifact}&api-version={PREVIEW}", self.project());
        Ok(self.api.ask::<Listed<AzureEvaluation>>(Ask::get(path).of_api()).await?.values)
    }
}
