//! Labels and reviewers: what was ever added, and how more are.

use serde::de::IgnoredAny;
use serde_json::json;

use super::GiteaApi;
use super::wire::{WireEvent, WireLabel};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{Adds, Api as _, Ask, History, Repeat, label_warning, may_be_unknown, reviewer_warning};

impl Adds for GiteaApi {
    async fn history(&self, number: u64) -> Result<History, ForgeError> {
        // Beyond its end the history is `null`.
        let ask = || Ask::get(format!("issues/{number}/timeline"));
        let events: Vec<WireEvent> = self.to_the_end(ask, Option::unwrap_or_default).await?;
        Ok(History {
            labels: events.iter().filter_map(WireEvent::added_label).collect(),
            reviewers: events.iter().filter_map(WireEvent::asked).collect(),
        })
    }

    /// Adds labels, which are known by ids: those of the repository, and of its organization. Labels are not made here.
    async fn add_labels(&self, number: u64, labels: &[String], warnings: &mut Vec<String>) -> Vec<String> {
        let (known, further) = match self.known_labels().await {
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
                    "label `{}` does not exist{}; next: make it in the repository, or correct `pullRequest.labels` in the policy",
                    label.escape_debug(),
                    if further == Further::Unread { UNREAD } else { "" },
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
            let team = reviewer.rsplit_once('/');
            let none = |why: &str| format!("cannot be a reviewer: {}: {why}", reviewer.escape_debug());
            let body = match team {
                // A team is asked for by its name alone: another organization's would be taken for one of this.
                Some((organization, _)) if !self.is_owner(organization) => {
                    warnings.push(none("it is not a team of the repository's owner"));
                    continue;
                }
                Some((_, team)) => json!({ "team_reviewers": [team] }),
                None => json!({ "reviewers": [reviewer] }),
            };
            let ask = Ask::post(format!("pulls/{number}/requested_reviewers"), body, Repeat::Harmless);
            match self.api.ask::<Vec<IgnoredAny>>(ask).await {
                // A person has no teams, and for a person's repository the forge says nothing more than this.
                Ok(asked) if asked.is_empty() && team.is_some() => {
                    warnings
                        .push(none("the forge asked nobody for a review; the repository's owner may have no teams"));
                }
                Ok(_) => {}
                // 404 here is about the name.
                Err(ForgeError { problem: Problem::NotFound { message, .. }, .. }) => warnings.push(none(&message)),
                Err(error) => warnings.push(reviewer_warning(reviewer, &error)),
            }
        }
    }
}

/// Whether the labels of the organization are known, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Further {
    Read,
    /// The token may not read them.
    Unread,
}

const UNREAD: &str =
    " in the repository, and the token has not the scope `read:organization` for those of the organization";

impl GiteaApi {
    /// Whether the repository is this owner's, by its name of now or the one that is configured.
    fn is_owner(&self, name: &str) -> bool {
        let (now, configured) = (self.api.name(), self.api.configured());
        [now.as_str(), configured]
            .into_iter()
            .filter_map(|full| full.split('/').next())
            .any(|owner| owner.eq_ignore_ascii_case(name))
    }

    async fn known_labels(&self) -> Result<(Vec<WireLabel>, Further), ForgeError> {
        let mut known: Vec<WireLabel> = self.to_the_end(|| Ask::get("labels"), std::convert::identity).await?;
        let name = self.api.name();
        let owner = name.split('/').next().unwrap_or_default();
        let ask = || Ask::get(format!("orgs/{owner}/labels")).of_api();
        let further: Result<Vec<WireLabel>, ForgeError> = self.to_the_end(ask, std::convert::identity).await;
        let is_refused = matches!(&further, Err(ForgeError { problem: Problem::Forbidden { .. }, .. }));
        // The owner may be a person, who has no labels.
        known.extend(may_be_unknown(further)?.unwrap_or_default());
        Ok((known, if is_refused { Further::Unread } else { Further::Read }))
    }
}
