//! The basis for judging a merge: the reviews of a pull request, the checks of a commit.
//!
//! Invariants: an approval counts only if GitHub itself would count it, that is, if its author may write to the
//! repository; a list shorter than announced is an error, since the failed check may be the missing one.

use std::collections::BTreeMap;

use url::form_urlencoded;

use super::GitHubApi;
use super::wire::{
    WireActivity, WireCheckRun, WireCheckRuns, WirePull, WireReview, WireRight, WireStatus, WireStatuses,
};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{Ask, Judges, PushedTip, WireWritten, Writer, may_be_unknown, to_weigh};
use crate::model::{Checks, CommitId, Reviews, Weight};

impl Judges for GitHubApi {
    async fn reviews(&self, number: u64) -> Result<Reviews, ForgeError> {
        let given: Vec<WireReview> = self.api.list(format!("pulls/{number}/reviews?per_page=100")).await?;
        let mut reviews = Reviews::of(given.into_iter().map(WireReview::into_model));
        for review in to_weigh(&mut reviews) {
            review.weight = self.weight(&review.by).await?;
        }
        Ok(reviews)
    }

    /// The last hundred pushes of its branch. An older GitHub Enterprise Server does not say them.
    async fn pushes(&self, number: u64, _: &Reviews) -> Result<Vec<PushedTip>, ForgeError> {
        let pull: WirePull = self.api.ask(Ask::get(format!("pulls/{number}"))).await?;
        let head = format!("refs/heads/{}", pull.head.name);
        let query = form_urlencoded::byte_serialize(head.as_bytes()).collect::<String>();
        let asked = self.api.ask::<Vec<WireActivity>>(Ask::get(format!("activity?ref={query}&per_page=100"))).await;
        let pushes = may_be_unknown(asked)?.unwrap_or_default();
        Ok(pushes.into_iter().filter_map(WireActivity::pushed).collect())
    }

    async fn writers(&self, number: u64) -> Result<Vec<Writer>, ForgeError> {
        Ok(self.commits(number).await?.into_iter().flat_map(WireWritten::writers).collect())
    }

    async fn is_behind(&self, number: u64, tip: &CommitId) -> Result<bool, ForgeError> {
        let pull: WirePull = self.api.ask(Ask::get(format!("pulls/{number}"))).await?;
        match pull.mergeable_state.as_deref() {
            _ if pull.head.sha != tip.as_str() => Ok(false),
            None | Some("unknown") => {
                let text = "GitHub has not computed yet whether it can be merged".to_owned();
                Err(self.api.error("GET the pull request", Problem::NotYet(text)))
            }
            Some(state) => Ok(state == "behind"),
        }
    }

    /// Statuses and check runs, the latest of each name.
    async fn checks(&self, commit: &CommitId) -> Result<Checks, ForgeError> {
        Ok(latest_checks(self.statuses(commit).await?, self.runs(commit).await?))
    }
}

/// Statuses, and the latest run of each place.
pub(super) fn latest_checks(statuses: Vec<WireStatus>, runs: Vec<WireCheckRun>) -> Checks {
    let mut checks = Checks::default();
    for status in statuses {
        checks.add(&status.context, status.state());
    }
    let mut latest: BTreeMap<_, WireCheckRun> = BTreeMap::new();
    for run in runs {
        if latest.get(&run.place()).is_none_or(|there| there.id < run.id) {
            drop(latest.insert(run.place(), run));
        }
    }
    for run in latest.values() {
        checks.add(&run.name, run.state());
    }
    checks
}

impl GitHubApi {
    /// Whether somebody may write to the repository. GitHub answers 404 for accounts that are not users, such as apps.
    async fn weight(&self, login: &str) -> Result<Weight, ForgeError> {
        let no = |reason: &str| Weight::DoesNotCount(reason.to_owned());
        if !login.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return Ok(no("only people's approvals do"));
        }
        let ask = Ask::get(format!("collaborators/{login}/permission"));
        Ok(match may_be_unknown(self.api.ask::<WireRight>(ask).await)?.map(|right| right.permission).as_deref() {
            Some("admin" | "write" | "maintain") => Weight::Counts,
            Some("read" | "triage" | "none") => no("they may not write to the repository"),
            Some(word) => no(&format!("their permission is `{}`, which is unknown", crate::model::one_line(word, 40))),
            None => no("it is unknown whether they may write to the repository"),
        })
    }

    async fn statuses(&self, commit: &CommitId) -> Result<Vec<WireStatus>, ForgeError> {
        let path = format!("commits/{commit}/status?per_page=100");
        let pages = self.api.pages(path, |page: WireStatuses| vec![(page.total_count, page.statuses)]).await?;
        self.api.whole("GET commits/…/status", pages)
    }

    async fn runs(&self, commit: &CommitId) -> Result<Vec<WireCheckRun>, ForgeError> {
        let path = format!("commits/{commit}/check-runs?per_page=100");
        let pages = self.api.pages(path, |page: WireCheckRuns| vec![(page.total_count, page.check_runs)]).await?;
        self.api.whole("GET commits/…/check-runs", pages)
    }
}
