//! Reviewers: who was ever asked, and how more are. There are no labels.

use super::BitbucketDcApi;
use super::wire::{CenterActivity, CenterPull};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{Adds, Api as _, History, reviewer_warning};

impl Adds for BitbucketDcApi {
    async fn history(&self, number: u64) -> Result<History, ForgeError> {
        let asked = self.activities(number).await?.into_iter().flat_map(CenterActivity::asked);
        Ok(History { reviewers: asked.collect(), ..History::default() })
    }

    async fn add_labels(&self, _: u64, _: &[String], _: &mut Vec<String>) -> Vec<String> {
        Vec::new()
    }

    /// Asks for reviews: of all at once, and of each alone if one of them is refused.
    async fn request(&self, number: u64, reviewers: &[&String], warnings: &mut Vec<String>) {
        let mut wanted = Vec::new();
        for reviewer in reviewers {
            if reviewer.contains('/') {
                let message = "Bitbucket has no groups as reviewers".to_owned();
                let error = self.api.error("PUT reviewers", Problem::NoReviewer(message));
                warnings.push(reviewer_warning(reviewer, &error));
            } else {
                wanted.push(reviewer.as_str());
            }
        }
        match self.ask_all(number, &wanted).await {
            Ok(()) => {}
            Err(error) if wanted.len() > 1 && error.problem.names_reviewers() => {
                for name in &wanted {
                    if let Err(error) = self.ask_all(number, &[name]).await {
                        warnings.push(reviewer_warning(name, &error));
                    }
                }
            }
            Err(error) => warnings.extend(wanted.iter().map(|name| reviewer_warning(name, &error))),
        }
    }

    async fn remove_label(&self, _: u64, _: &str) -> Result<(), ForgeError> {
        Ok(())
    }
}

impl BitbucketDcApi {
    async fn ask_all(&self, number: u64, more: &[&str]) -> Result<(), ForgeError> {
        if more.is_empty() {
            return Ok(());
        }
        let there = self.one(number).await?;
        let names: Vec<&str> =
            there.reviewers.iter().map(|it| it.user.name.as_str()).chain(more.iter().copied()).collect();
        self.api.ask::<CenterPull>(self.change(&there, &there.title, None, &names)).await.map(drop)
    }
}
