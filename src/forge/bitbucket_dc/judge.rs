//! The basis for judging a merge, and the merge itself.
//!
//! Invariants: an approval counts only if its author may write to the repository, and for the commit that it names. A merge
//! names the version of the pull request that was looked at, which counts the pushes to its branch, too; what was merged
//! is compared once more.

use serde::de::IgnoredAny;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::BitbucketDcApi;
use super::wire::{CenterActivity, CenterCommit, CenterPull, CenterReviewer, CenterSettings, CenterStatus, CenterUser};
use crate::forge::bitbucket::state_of;
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{
    Api as _, Ask, ForgePull as _, Judges, Listed, Merges, PushedTip, Repeat, Writer, may_be_unknown, no_method,
    not_merged, refusal, refused_by, tell_other, to_weigh,
};
use crate::model::{Checks, CommitId, Merge, MergeMethod, MergeOutcome, Reviews, Weight};

impl Judges for BitbucketDcApi {
    async fn reviews(&self, number: u64) -> Result<Reviews, ForgeError> {
        let there = self.one(number).await?;
        let said = there.reviewers.into_iter().chain(there.participants);
        let mut reviews = Reviews::of(said.filter_map(CenterReviewer::into_review));
        for review in to_weigh(&mut reviews) {
            review.weight = match may_be_unknown(self.may_write(&review.by).await)? {
                Some(true) => Weight::Counts,
                Some(false) => Weight::DoesNotCount("they may not write to the repository".to_owned()),
                None => Weight::DoesNotCount("it is unknown whether they may write to the repository".to_owned()),
            };
        }
        Ok(reviews)
    }

    /// The pushes since it was opened.
    async fn pushes(&self, number: u64, _: &Reviews) -> Result<Vec<PushedTip>, ForgeError> {
        let all = may_be_unknown(self.activities(number).await)?.unwrap_or_default();
        Ok(all.into_iter().filter_map(CenterActivity::pushed).collect())
    }

    async fn writers(&self, number: u64) -> Result<Vec<Writer>, ForgeError> {
        Ok(self.commits(number).await?.into_iter().flat_map(CenterCommit::writers).collect())
    }

    async fn checks(&self, commit: &CommitId) -> Result<Checks, ForgeError> {
        let mut checks = Checks::default();
        let path = format!("build-status/1.0/commits/{commit}?limit=100");
        for status in self.api.list_of_api::<CenterStatus>(path).await? {
            checks.add(&status.key, state_of(&status.state));
        }
        Ok(checks)
    }

    async fn is_behind(&self, number: u64, tip: &CommitId) -> Result<bool, ForgeError> {
        let there = self.one(number).await?;
        if there.from_ref.latest_commit != tip.as_str() {
            return Ok(false);
        }
        if !self.settings().await?.is_some_and(|settings| settings.wants_all_of_base()) {
            return Ok(false);
        }
        let until = format!("refs/heads/{}", there.base());
        let pairs = [("until", until.as_str()), ("since", tip.as_str()), ("limit", "1")];
        let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
        let more: Listed<IgnoredAny> = self.api.ask(Ask::get(format!("commits?{query}"))).await?;
        Ok(!more.values.is_empty())
    }
}

impl Merges for BitbucketDcApi {
    async fn merge(&self, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        let there = self.one(merge.number).await?;
        if there.is_merged() {
            return self.merged(&there, merge);
        }
        if there.from_ref.latest_commit != merge.tip.as_str() {
            return Ok(not_merged("its branch has moved since it was judged"));
        }
        if there.draft {
            return Ok(not_merged("it is a draft"));
        }
        let mut body = json!({});
        // Where the settings may not be read, the repository's own strategy is taken.
        if let Some(settings) = self.settings().await? {
            let ways = merge.method.into_iter().chain(MergeMethod::ALL);
            let Some((method, strategy)) =
                ways.into_iter().find_map(|method| Some((method, settings.strategy(method)?)))
            else {
                return Ok(no_method());
            };
            tell_other(merge, method);
            body["strategyId"] = json!(strategy);
            if method == MergeMethod::Squash {
                // The bot's own message: its trailers are the record of what was done.
                body["message"] = json!(merge.message.trim());
            }
        }
        let path = format!("pull-requests/{}/merge?version={}", merge.number, there.version);
        match self.api.ask::<CenterPull>(Ask::post(path, body, Repeat::LookFirst)).await {
            Ok(now) if now.is_merged() => self.merged(&now, merge),
            Ok(_) => Ok(MergeOutcome::NotYet { reason: "Bitbucket is merging it".to_owned() }),
            Err(error) => outcome_of(error),
        }
    }
}

impl BitbucketDcApi {
    /// What was merged, if it is what was judged.
    fn merged(&self, there: &CenterPull, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        let Some(commit) = there.merge_commits().find_map(|sha| CommitId::parse(sha).ok()) else {
            return Ok(MergeOutcome::NotYet { reason: "Bitbucket does not say yet as which commit".to_owned() });
        };
        if there.from_ref.latest_commit == merge.tip.as_str() {
            return Ok(MergeOutcome::Merged { commit });
        }
        let text = format!(
            "somebody pushed to the branch while it was merged: {commit} is not what was judged, {}; look at it, and revert it if it must not be there",
            merge.tip
        );
        Err(self.api.error("POST merge", Problem::Settings(text)))
    }

    /// How pull requests are merged here; `None` if the token may not read it.
    async fn settings(&self) -> Result<Option<CenterSettings>, ForgeError> {
        may_be_unknown(self.api.ask(Ask::get("settings/pull-requests")).await)
    }

    pub(super) async fn activities(&self, number: u64) -> Result<Vec<CenterActivity>, ForgeError> {
        self.api.list(format!("pull-requests/{number}/activities?limit=100")).await
    }

    /// Whether somebody may write to the repository.
    pub(super) async fn may_write(&self, name: &str) -> Result<bool, ForgeError> {
        let full = self.api.name();
        let (project, slug) = full.split_once('/').unwrap_or((&full, ""));
        let pairs = [
            ("filter", name),
            ("permission.1", "REPO_WRITE"),
            ("permission.1.projectKey", project),
            ("permission.1.repositorySlug", slug),
            ("limit", "100"),
        ];
        let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
        let found: Vec<CenterUser> = self.api.list_of_api(format!("api/1.0/users?{query}")).await?;
        Ok(found.iter().any(|user| user.name.eq_ignore_ascii_case(name)))
    }

    /// A change of a pull request: all that it does not name would be removed.
    pub(super) fn change(&self, there: &CenterPull, title: &str, body: Option<&str>, reviewers: &[&str]) -> Ask {
        let mut change = json!({
            "version": there.version, "title": title,
            "reviewers": reviewers.iter().map(|name| json!({ "user": { "name": name } })).collect::<Vec<Value>>(),
        });
        change["description"] = json!(body.or(there.description()).unwrap_or_default());
        if there.draft {
            change["draft"] = json!(true);
        }
        Ask::put_once(format!("pull-requests/{}", there.number()), change)
    }
}

/// Bitbucket's reason for not merging; an error if it is unknown whether it has.
fn outcome_of(error: ForgeError) -> Result<MergeOutcome, ForgeError> {
    match &error.problem {
        // The token has just been good enough to read.
        Problem::Token { message } => Ok(refused_by(
            "Bitbucket",
            &format!("{message}; next: give the bot's account the right to merge into this branch"),
        )),
        _ => refusal("Bitbucket", error),
    }
}
