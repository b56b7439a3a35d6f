//! Labels and reviewers: what was ever added, and how more are.

use serde_json::json;

use super::GiteaApi;
use super::wire::{WireEvent, WireLabel};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{Adds, Api as _, Ask, History, Repeat, label_warning, may_be_unknown, reviewer_warning};

impl Adds for GiteaApi {
    async fn history(&self, number: u64) -> Result<History, ForgeError> {
        let events: Vec<WireEvent> =
            self.to_the_end(&format!("issues/{number}/timeline"), std::convert::identity).await?;
        Ok(History {
            labels: events.iter().filter_map(WireEvent::added_label).collect(),
            reviewers: events.iter().filter_map(WireEvent::asked).collect(),
        })
    }

    /// Adds labels, which are known by ids: those of the repository, and of its organization. Labels are not made here.
    async fn add_labels(&self, number: u64, labels: &[String], warnings: &mut Vec<String>) -> Vec<String> {
        let known = match self.known_labels().await {
            Ok(known) => known,
            Err(error) => {
                warnings.push(label_warning(labels, &error));
                return Vec::new();
            }
        };
        let mut ids = Vec::new();
        let mut added = Vec::new();
        for label in labels {
            match known.iter().find(|known| known.name.eq_ignore_ascii_case(label)) {
                Some(known) => {
                    ids.push(known.id);
                    added.push(known.name.clone());
                }
                None => warnings.push(format!(
                    "label `{}` does not exist; next: make it in the repository, or correct `pullRequest.labels` in the policy",
                    label.escape_debug()
                )),
            }
        }
        if ids.is_empty() {
            return Vec::new();
        }
        let ask = Ask::post(format!("issues/{number}/labels"), json!({ "labels": ids }), Repeat::Harmless);
        match self.api.tell(ask).await {
            Ok(()) => added,
            Err(error) => {
                warnings.push(label_warning(&added, &error));
                Vec::new()
            }
        }
    }

    async fn remove_label(&self, number: u64, label: &str) -> Result<(), ForgeError> {
        let labels = self.one(number).await?.labels;
        let Some(on) = labels.iter().find(|on| on.name.eq_ignore_ascii_case(label)) else { return Ok(()) };
        self.api.tell(Ask::delete(format!("issues/{number}/labels/{}", on.id))).await
    }

    /// Asks for reviews, one by one: a single name that is none would refuse them all.
    async fn request(&self, number: u64, reviewers: &[&String], warnings: &mut Vec<String>) {
        for reviewer in reviewers {
            let body = match reviewer.rsplit_once('/') {
                Some((_, team)) => json!({ "team_reviewers": [team] }),
                None => json!({ "reviewers": [reviewer] }),
            };
            let path = format!("pulls/{number}/requested_reviewers");
            match self.api.tell(Ask::post(path, body, Repeat::Harmless)).await {
                Ok(()) => {}
                // 404 here is about the name.
                Err(ForgeError { problem: Problem::NotFound { message, .. }, .. }) => {
                    warnings.push(format!("cannot be a reviewer: {}: {message}", reviewer.escape_debug()));
                }
                Err(error) => warnings.push(reviewer_warning(reviewer, &error)),
            }
        }
    }
}

impl GiteaApi {
    async fn known_labels(&self) -> Result<Vec<WireLabel>, ForgeError> {
        let mut known: Vec<WireLabel> = self.to_the_end("labels", std::convert::identity).await?;
        let name = self.api.name();
        let owner = name.split('/').next().unwrap_or_default();
        // The owner may be a person, who has no labels.
        let ask = Ask::get(format!("orgs/{owner}/labels?limit=50")).of_api();
        known.extend(may_be_unknown(self.api.ask::<Vec<WireLabel>>(ask).await)?.unwrap_or_default());
        Ok(known)
    }
}
