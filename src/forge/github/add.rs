//! Labels and reviewers: what was ever added, and how more are.

use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::GitHubApi;
use super::wire::WireEvent;
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{Adds, Ask, History, Repeat, label_warning, reviewer_warning};

impl Adds for GitHubApi {
    async fn history(&self, number: u64) -> Result<History, ForgeError> {
        let mut history = History::default();
        let events: Vec<WireEvent> = self.api.list(format!("issues/{number}/events?per_page=100")).await?;
        for event in events {
            match event.event.as_str() {
                "labeled" => history.labels.extend(event.label.map(|label| label.name.to_lowercase())),
                "review_requested" => {
                    let team = event.requested_team.map(|team| format!("/{}", team.slug));
                    let name = event.requested_reviewer.map(|user| user.login).or(team);
                    history.reviewers.extend(name.map(|name| name.to_lowercase()));
                }
                _ => {}
            }
        }
        Ok(history)
    }

    /// Adds labels: all at once, and one by one if GitHub refuses them all because of one.
    async fn add_labels(&self, number: u64, labels: &[String], warnings: &mut Vec<String>) -> Vec<String> {
        let mut added = Vec::new();
        match self.add(number, labels).await {
            Ok(()) => added.extend_from_slice(labels),
            Err(error) if labels.len() > 1 && matches!(error.problem, Problem::Rejected { status: 422, .. }) => {
                for label in labels {
                    match self.add(number, std::slice::from_ref(label)).await {
                        Ok(()) => added.push(label.clone()),
                        Err(error) => warnings.push(label_warning(std::slice::from_ref(label), &error)),
                    }
                }
            }
            Err(error) => warnings.push(label_warning(labels, &error)),
        }
        added
    }

    async fn remove_label(&self, number: u64, label: &str) -> Result<(), ForgeError> {
        let encoded = form_urlencoded::byte_serialize(label.as_bytes()).collect::<String>().replace('+', "%20");
        self.api.tell(Ask::delete(format!("issues/{number}/labels/{encoded}"))).await
    }

    /// Requests reviews: all at once, and one by one if GitHub refuses them all because of one.
    async fn request(&self, number: u64, reviewers: &[&String], warnings: &mut Vec<String>) {
        match self.request_at_once(number, reviewers).await {
            Ok(()) => {}
            Err(error) if reviewers.len() > 1 && matches!(error.problem, Problem::Rejected { status: 422, .. }) => {
                for reviewer in reviewers {
                    if let Err(error) = self.request_at_once(number, &[reviewer]).await {
                        warnings.push(reviewer_warning(reviewer, &error));
                    }
                }
            }
            Err(error) => warnings.extend(reviewers.iter().map(|reviewer| reviewer_warning(reviewer, &error))),
        }
    }
}

impl GitHubApi {
    async fn add(&self, number: u64, labels: &[String]) -> Result<(), ForgeError> {
        let ask = Ask::post(format!("issues/{number}/labels"), json!({ "labels": labels }), Repeat::Harmless);
        self.api.tell(ask).await
    }

    async fn request_at_once(&self, number: u64, reviewers: &[&String]) -> Result<(), ForgeError> {
        let (teams, people): (Vec<&str>, Vec<&str>) =
            reviewers.iter().map(|reviewer| reviewer.as_str()).partition(|reviewer| reviewer.contains('/'));
        let teams: Vec<&str> = teams.iter().filter_map(|team| team.rsplit('/').next()).collect();
        let mut body = Map::new();
        for (key, names) in [("reviewers", people), ("team_reviewers", teams)] {
            if !names.is_empty() {
                body.insert(key.to_owned(), json!(names));
            }
        }
        let path = format!("pulls/{number}/requested_reviewers");
        self.api.tell(Ask::post(path, Value::Object(body), Repeat::Harmless)).await
    }
}
