//! The basis for judging a merge, and the merge itself.
//!
//! Invariants: an approval counts only if the forge itself counts it (`official`); lists are read to their ends, since the
//! failed check or the latest objection may be the missing one.

use serde_json::json;
use url::form_urlencoded;

use super::GiteaApi;
use super::wire::{WireActivity, WireBranch, WireRepository, WireReview, WireRule, WireStatuses};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{
    Api as _, Ask, ForgePull as _, Judges, Merges, PushedTip, Repeat, WireWritten, Writer, are_known, may_be_unknown,
    no_method, not_merged, refusal, tell_other,
};
use crate::model::{Checks, CommitId, Merge, MergeMethod, MergeOutcome, PullState, Reviews};

/// How many pages of a repository's activities are read back for who pushed what was approved.
const FEED_PAGES: u32 = 10;

impl Judges for GiteaApi {
    async fn reviews(&self, number: u64) -> Result<Reviews, ForgeError> {
        let ask = || Ask::get(format!("pulls/{number}/reviews"));
        let given: Vec<WireReview> = self.to_the_end(ask, std::convert::identity).await?;
        Ok(Reviews::of(given.into_iter().filter_map(WireReview::into_model)))
    }

    /// The repository's last activities; Gitea tells them since 1.20.
    async fn pushes(&self, _: u64, reviews: &Reviews) -> Result<Vec<PushedTip>, ForgeError> {
        let mut pushes = Vec::new();
        for page in 1..=FEED_PAGES {
            let path = format!("activities/feeds?limit=50&page={page}");
            let feed = may_be_unknown(self.api.ask::<Vec<WireActivity>>(Ask::get(path)).await)?;
            let Some(feed) = feed.filter(|feed| !feed.is_empty()) else { break };
            pushes.extend(feed.into_iter().flat_map(WireActivity::pushed));
            if are_known(reviews, &pushes) {
                break;
            }
        }
        Ok(pushes)
    }

    async fn writers(&self, number: u64) -> Result<Vec<Writer>, ForgeError> {
        Ok(self.commits(number).await?.into_iter().flat_map(WireWritten::writers).collect())
    }

    async fn checks(&self, commit: &CommitId) -> Result<Checks, ForgeError> {
        let mut checks = Checks::default();
        let ask = || Ask::get(format!("commits/{commit}/status"));
        for status in self.to_the_end(ask, |page: WireStatuses| page.statuses).await? {
            checks.add(&status.context, status.state());
        }
        Ok(checks)
    }

    /// Whether its base has commits that it lacks, and the base's rule asks for branches that have all of them.
    async fn is_behind(&self, number: u64, tip: &CommitId) -> Result<bool, ForgeError> {
        let pull = self.one(number).await?;
        let has_all = pull.merge_base.as_ref().is_none_or(|common| *common == pull.base.sha);
        if pull.head.sha != tip.as_str() || has_all {
            return Ok(false);
        }
        let encoded =
            |name: &str| form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
        let branch: WireBranch = self.api.ask(Ask::get(format!("branches/{}", encoded(pull.base())))).await?;
        if branch.effective_branch_protection_name.is_empty() {
            return Ok(false);
        }
        // Only administrators of the repository may read rules: for others, the refusal of the merge tells.
        let path = format!("branch_protections/{}", encoded(&branch.effective_branch_protection_name));
        let rule = may_be_unknown(self.api.ask::<WireRule>(Ask::get(path)).await)?;
        Ok(rule.is_some_and(|rule| rule.block_on_outdated_branch))
    }
}

impl Merges for GiteaApi {
    async fn merge(&self, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        let repository: WireRepository = self.api.ask(Ask::get("")).await?;
        let ways = merge.method.into_iter().chain(MergeMethod::ALL);
        let Some(method) = ways.into_iter().find(|method| repository.allows(*method)) else { return Ok(no_method()) };
        tell_other(merge, method);
        match self.api.tell(post(merge, method)).await {
            Ok(()) => self.merged(merge.number).await,
            Err(error) if matches!(error.problem, Problem::NotFound { .. }) => self.ended(merge.number, error).await,
            Err(error) => outcome_of(error),
        }
    }
}

impl GiteaApi {
    /// The answer to a merge is empty.
    async fn merged(&self, number: u64) -> Result<MergeOutcome, ForgeError> {
        let pull = self.one(number).await?;
        let commit = pull.merge_commits().find_map(|sha| CommitId::parse(sha).ok()).filter(|_| pull.merged);
        Ok(commit.map_or_else(
            || MergeOutcome::NotYet { reason: "the forge is merging it".to_owned() },
            |commit| MergeOutcome::Merged { commit },
        ))
    }
}

impl GiteaApi {
    /// One that somebody has closed is not found by a merge.
    async fn ended(&self, number: u64, error: ForgeError) -> Result<MergeOutcome, ForgeError> {
        match self.one(number).await?.into_model() {
            Ok(pull) if pull.state == PullState::Closed => Ok(not_merged("it has been closed")),
            _ => Err(error),
        }
    }
}

/// A merge at the judged commit only. The keys are those that both Gitea and Forgejo understand.
fn post(merge: &Merge, method: MergeMethod) -> Ask {
    let mut body = json!({
        "Do": method.as_str(), "head_commit_id": merge.tip.as_str(), "delete_branch_after_merge": false,
    });
    if method == MergeMethod::Squash {
        // The bot's own message: its trailers are the record of what was done.
        let (title, text) = merge.message.split_once('\n').unwrap_or((&merge.message, ""));
        body["MergeTitleField"] = json!(format!("{} (#{})", title.trim(), merge.number));
        body["MergeMessageField"] = json!(text.trim());
    }
    Ask::post(format!("pulls/{}/merge", merge.number), body, Repeat::LookFirst)
}

/// The forge's reason for not merging; an error if it is unknown whether it has.
fn outcome_of(error: ForgeError) -> Result<MergeOutcome, ForgeError> {
    match &error.problem {
        // The same words for what has conflicts.
        Problem::Rejected { status: 405, message } if message.contains("try again later") => Ok(MergeOutcome::NotYet {
            reason: format!(
                "the forge has not computed yet whether it can be merged, or it has conflicts with its base ({message})"
            ),
        }),
        _ => refusal("the forge", error),
    }
}
