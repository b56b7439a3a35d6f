//! The basis for judging a merge: the reviews of a pull request, the checks of a commit.
//!
//! Invariants: an approval counts only if GitHub itself would count it, that is, if its author may write to the
//! repository; a list shorter than announced is an error, since the failed check may be the missing one.

use std::collections::BTreeMap;

use url::form_urlencoded;

use super::GitHub;
use super::client::Ask;
use super::wire::{
    WireActivity, WireCheckRun, WireCheckRuns, WirePull, WireReview, WireRight, WireStatus, WireStatuses,
};
use crate::forge::error::{ForgeError, Problem};
use crate::model::{Checks, CommitId, Review, ReviewState, Reviews, Weight};

/// The maximum number of people whose permissions are looked up; more approvals than this are enough anyway.
const WEIGHED: usize = 20;

impl GitHub {
    /// The reviews of a pull request: the latest of each person.
    ///
    /// # Errors
    /// If not all of them could be read.
    pub async fn reviews(&self, number: u64) -> Result<Reviews, ForgeError> {
        self.in_time("read reviews", async {
            let given: Vec<WireReview> = self.api.list(format!("pulls/{number}/reviews?per_page=100")).await?;
            let mut reviews = Reviews::of(given.into_iter().map(WireReview::into_model));
            let approvals = reviews
                .standing_mut()
                .filter(|review| review.state == ReviewState::Approved && review.weight == Weight::Counts);
            for (at, review) in approvals.enumerate() {
                review.weight = match at < WEIGHED {
                    true => self.weight(&review.by).await?,
                    false => Weight::DoesNotCount("there are more approvals than are checked".to_owned()),
                };
            }
            self.discount_own(number, &mut reviews).await?;
            Ok(reviews)
        })
        .await
    }

    /// Nobody can approve what they pushed themselves. If the forge does not say who pushed what (an older GitHub
    /// Enterprise Server), no approval is discounted.
    async fn discount_own(&self, number: u64, reviews: &mut Reviews) -> Result<(), ForgeError> {
        let counts = |review: &Review| review.state == ReviewState::Approved && review.weight == Weight::Counts;
        if !reviews.standing().any(counts) {
            return Ok(());
        }
        let head = self.one(number).await?.head;
        let query = form_urlencoded::byte_serialize(head.full().as_bytes()).collect::<String>();
        let asked = self.api.ask::<Vec<WireActivity>>(Ask::get(format!("activity?ref={query}&per_page=100"))).await;
        let pushes = match asked {
            Ok(pushes) => pushes,
            Err(error) if matches!(error.problem, Problem::NotFound { .. } | Problem::Forbidden { .. }) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for review in reviews.standing_mut().filter(|review| counts(review)) {
            let commit = review.commit.as_ref().map(CommitId::as_str);
            let own = |push: &WireActivity| commit == Some(push.after.as_str()) && push.is_by(&review.by);
            if pushes.iter().any(own) {
                review.weight = Weight::DoesNotCount("they pushed this commit themselves".to_owned());
            }
        }
        Ok(())
    }

    /// Whether somebody may write to the repository. GitHub answers 404 for accounts that are not users, such as apps.
    async fn weight(&self, login: &str) -> Result<Weight, ForgeError> {
        let no = |reason: &str| Weight::DoesNotCount(reason.to_owned());
        if !login.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return Ok(no("only people's approvals do"));
        }
        let ask = Ask::get(format!("collaborators/{login}/permission"));
        Ok(match self.api.ask::<WireRight>(ask).await {
            Ok(right) if matches!(right.permission.as_str(), "admin" | "write" | "maintain") => Weight::Counts,
            Ok(right) if matches!(right.permission.as_str(), "read" | "triage" | "none") => {
                no("they may not write to the repository")
            }
            Ok(right) => no(&format!(
                "their permission is `{}`, which is unknown",
                crate::model::one_line(&right.permission, 40)
            )),
            Err(error) if matches!(error.problem, Problem::NotFound { .. } | Problem::Forbidden { .. }) => {
                no("it is unknown whether they may write to the repository")
            }
            Err(error) => return Err(error),
        })
    }

    /// Whether a pull request, at this tip, only needs to be brought up to date with its base.
    ///
    /// # Errors
    /// If GitHub does not say, or has not computed it yet.
    pub async fn is_behind(&self, number: u64, tip: &CommitId) -> Result<bool, ForgeError> {
        self.in_time("read a pull request", async {
            let pull: WirePull = self.api.ask(Ask::get(format!("pulls/{number}"))).await?;
            match pull.mergeable_state.as_deref() {
                _ if pull.head.sha != tip.as_str() => Ok(false),
                None | Some("unknown") => {
                    let text = "GitHub has not computed yet whether it can be merged".to_owned();
                    Err(self.api.error("GET the pull request", Problem::Network(text)))
                }
                Some(state) => Ok(state == "behind"),
            }
        })
        .await
    }

    /// The checks of a commit by name: statuses and check runs, the latest of each name.
    ///
    /// # Errors
    /// If not all of them could be read.
    pub async fn checks(&self, commit: &CommitId) -> Result<Checks, ForgeError> {
        self.in_time("read checks", async {
            let mut checks = Checks::default();
            for status in self.statuses(commit).await? {
                checks.add(&status.context, status.state());
            }
            let mut latest: BTreeMap<_, WireCheckRun> = BTreeMap::new();
            for run in self.runs(commit).await? {
                if latest.get(&run.place()).is_none_or(|there| there.id < run.id) {
                    drop(latest.insert(run.place(), run));
                }
            }
            for run in latest.values() {
                checks.add(&run.name, run.state());
            }
            Ok(checks)
        })
        .await
    }

    async fn statuses(&self, commit: &CommitId) -> Result<Vec<WireStatus>, ForgeError> {
        let path = format!("commits/{commit}/status?per_page=100");
        let pages = self.api.pages(path, |page: WireStatuses| vec![(page.total_count, page.statuses)]).await?;
        self.whole("GET commits/…/status", pages)
    }

    async fn runs(&self, commit: &CommitId) -> Result<Vec<WireCheckRun>, ForgeError> {
        let path = format!("commits/{commit}/check-runs?per_page=100");
        let pages = self.api.pages(path, |page: WireCheckRuns| vec![(page.total_count, page.check_runs)]).await?;
        self.whole("GET commits/…/check-runs", pages)
    }

    /// The entries of all pages, checked against the total that each page announces.
    fn whole<T>(&self, call: &str, pages: Vec<(usize, Vec<T>)>) -> Result<Vec<T>, ForgeError> {
        let total = pages.iter().map(|(count, _)| *count).max().unwrap_or_default();
        let all: Vec<T> = pages.into_iter().flat_map(|(_, page)| page).collect();
        if all.len() >= total {
            return Ok(all);
        }
        Err(self.api.nonsense(call, &format!("it announces {total} but lists {}", all.len())))
    }
}
