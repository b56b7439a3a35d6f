//! Merging on Bitbucket Cloud.
//!
//! Its API takes no commit to compare with: what is merged is whatever the branch has at that moment. The head is read
//! right before, and what was merged is read right after; a push in between is told as an error, and cannot be undone.
//! Sources: "Merge a pull request" of Atlassian's "Bitbucket Cloud REST API".

use serde_json::json;

use super::BitbucketApi;
use super::wire::CloudPull;
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{Api as _, Ask, ForgePull as _, Merges, Repeat, no_method, not_merged, refusal, tell_other};
use crate::model::{CommitId, Merge, MergeMethod, MergeOutcome};

impl Merges for BitbucketApi {
    async fn merge(&self, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        let there = self.one(merge.number).await?;
        if there.is_merged() {
            return self.merged(&there, merge);
        }
        if there.tip.as_ref() != Some(&merge.tip) {
            return Ok(not_merged("its branch has moved since it was judged"));
        }
        if there.is_draft() {
            return Ok(not_merged("it is a draft"));
        }
        let ways = merge.method.into_iter().chain(MergeMethod::ALL);
        let Some((method, strategy)) = ways.into_iter().find_map(|method| Some((method, there.strategy(method)?)))
        else {
            return Ok(no_method());
        };
        tell_other(merge, method);
        let mut body = json!({ "merge_strategy": strategy, "close_source_branch": false });
        if method == MergeMethod::Squash {
            // The bot's own message: its trailers are the record of what was done.
            body["message"] = json!(merge.message.trim());
        }
        let ask = Ask::post(format!("pullrequests/{}/merge", merge.number), body, Repeat::LookFirst);
        match self.api.ask::<CloudPull>(ask).await {
            Ok(now) if now.is_merged() => self.merged(&self.one(merge.number).await?, merge),
            Ok(_) => Ok(MergeOutcome::NotYet { reason: "Bitbucket is merging it".to_owned() }),
            Err(error) => refusal("Bitbucket", error),
        }
    }
}

impl BitbucketApi {
    /// What was merged, if it is what was judged.
    pub(super) fn merged(&self, there: &CloudPull, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        let commit = there.merge_commits().find_map(|sha| CommitId::parse(sha).ok());
        let Some(commit) = commit else {
            return Ok(MergeOutcome::NotYet { reason: "Bitbucket does not say yet as which commit".to_owned() });
        };
        if there.shows(&merge.tip) {
            return Ok(MergeOutcome::Merged { commit });
        }
        let text = format!(
            "somebody pushed to the branch while it was merged: {commit} is not what was judged, {}; look at it, and revert it if it must not be there",
            merge.tip
        );
        Err(self.api.error("POST merge", Problem::Settings(text)))
    }
}
