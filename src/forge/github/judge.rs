//! What a merge is judged by: the reviews of a pull request, the checks of a commit.
//!
//! Invariants: an approval counts only where GitHub itself would count it, which is where its author may write to the
//! repository; a list that is shorter than it says is no answer, since the check that failed may be the one missing.

use std::collections::BTreeMap;

use url::form_urlencoded;

use super::GitHub;
use super::client::Ask;
use super::wire::{
    WireActivity, WireCheckRun, WireCheckRuns, WirePull, WireReview, WireRight, WireStatus, WireStatuses,
};
use crate::forge::error::{ForgeError, Problem};
use crate::model::{Checks, CommitId, Review, ReviewState, Reviews, Weight};

/// Most people whose rights are asked for; who has more approvals than this has enough.
const WEIGHED: usize = 20;

impl GitHub {
    /// The reviews of a pull request: each person's last word.
    ///
    /// # Errors
    /// When not all of them could be read.
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
                    false => Weight::DoesNotCount("there are more approvals than are looked at".to_owned()),
                };
            }
            self.discount_own(number, &mut reviews).await?;
            Ok(reviews)
        })
        .await
    }

    /// Nobody approves of what they have pushed themselves. A forge that does not tell who pushed what (an older GitHub
    /// Enterprise Server) takes nothing away here.
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

    /// Whether somebody may write to the repository. GitHub answers 404 for who is no user, such as an app.
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
                "their permission is `{}`, which is not known",
                crate::model::one_line(&right.permission, 40)
            )),
            Err(error) if matches!(error.problem, Problem::NotFound { .. } | Problem::Forbidden { .. }) => {
                no("whether they may write to the repository cannot be read")
            }
            Err(error) => return Err(error),
        })
    }

    /// Whether a pull request, at this tip, waits for nothing but to have all of its base.
    ///
    /// # Errors
    /// When GitHub does not say, or has not worked it out yet.
    pub async fn is_behind(&self, number: u64, tip: &CommitId) -> Result<bool, ForgeError> {
        self.in_time("read a pull request", async {
            let pull: WirePull = self.api.ask(Ask::get(format!("pulls/{number}"))).await?;
            match pull.mergeable_state.as_deref() {
                _ if pull.head.sha != tip.as_str() => Ok(false),
                None | Some("unknown") => {
                    let text = "whether it can be merged has not been worked out yet".to_owned();
                    Err(self.api.error("GET the pull request", Problem::Network(text)))
                }
                Some(state) => Ok(state == "behind"),
            }
        })
        .await
    }

    /// The checks of a commit by name: statuses and check runs, of each name the latest.
    ///
    /// # Errors
    /// When not all of them could be read.
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

    /// All entries of pages that each say how many there are.
    fn whole<T>(&self, call: &str, pages: Vec<(usize, Vec<T>)>) -> Result<Vec<T>, ForgeError> {
        let total = pages.iter().map(|(count, _)| *count).max().unwrap_or_default();
        let all: Vec<T> = pages.into_iter().flat_map(|(_, page)| page).collect();
        if all.len() >= total {
            return Ok(all);
        }
        Err(self.api.nonsense(call, &format!("it says that there are {total}, and lists {}", all.len())))
    }
}
