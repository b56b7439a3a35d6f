//! Labels and reviewers: what was ever added, and how more are.

use serde_json::json;
use url::form_urlencoded::Serializer;

use super::GitLabApi;
use super::wire::{WireLabelEvent, WireMergeRequest, WireNote, WirePerson};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{
    Adds, Api as _, Ask, ForgePull as _, History, bad_label_warning, label_warning, reviewer_warning,
};

impl Adds for GitLabApi {
    async fn history(&self, number: u64) -> Result<History, ForgeError> {
        let path = format!("merge_requests/{number}/resource_label_events?per_page=100");
        let labels: Vec<WireLabelEvent> = self.api.list(path).await?;
        let added = labels.into_iter().filter(|event| event.action == "add").filter_map(|event| event.label);
        let mut history = History::default();
        history.labels.extend(added.map(|label| label.name.to_lowercase()));
        for note in self.notes(number).await? {
            let Some(asked) = note.event().and_then(|text| text.strip_prefix("requested review from")) else {
                continue;
            };
            let names = asked.split(|c: char| c.is_whitespace() || c == ',').filter_map(|word| word.strip_prefix('@'));
            history.reviewers.extend(names.map(str::to_lowercase));
        }
        Ok(history)
    }

    /// Adds labels; those that the project has not yet are made. Names are separated by commas, so that none may have
    /// one.
    async fn add_labels(&self, number: u64, labels: &[String], warnings: &mut Vec<String>) -> Vec<String> {
        let (odd, good): (Vec<String>, Vec<String>) = labels.iter().cloned().partition(|label| label.contains(','));
        if !odd.is_empty() {
            warnings.push(bad_label_warning(&odd, "GitLab's labels have no comma"));
        }
        if good.is_empty() {
            return Vec::new();
        }
        let ask = Ask::put(format!("merge_requests/{number}"), json!({ "add_labels": good.join(",") }));
        match self.api.ask::<WireMergeRequest>(ask).await {
            Ok(now) => {
                let is_on = |label: &&String| now.labels.iter().any(|on| on.eq_ignore_ascii_case(label));
                let missing: Vec<String> = good.iter().filter(|label| !is_on(label)).cloned().collect();
                if !missing.is_empty() {
                    warnings.push(format!("labels not added: {}", missing.join(", ")));
                }
                good.into_iter().filter(|label| is_on(&label)).collect()
            }
            Err(error) => {
                warnings.push(label_warning(&good, &error));
                Vec::new()
            }
        }
    }

    async fn remove_label(&self, number: u64, label: &str) -> Result<(), ForgeError> {
        self.api.tell(Ask::put(format!("merge_requests/{number}"), json!({ "remove_labels": label }))).await
    }

    /// Asks for reviews. Reviewers are set all at once, by their ids, those who are asked already among them.
    async fn request(&self, number: u64, reviewers: &[&String], warnings: &mut Vec<String>) {
        let mut found: Vec<WirePerson> = Vec::new();
        for reviewer in reviewers {
            match self.person(reviewer).await {
                Ok(person) => found.push(person),
                Err(error) => warnings.push(reviewer_warning(reviewer, &error)),
            }
        }
        if found.is_empty() {
            return;
        }
        let asked = async {
            let there = self.one(number).await?.reviewers;
            let ids: Vec<u64> = there.iter().chain(&found).map(|person| person.id).collect();
            let ask = Ask::put(format!("merge_requests/{number}"), json!({ "reviewer_ids": ids }));
            self.api.ask::<WireMergeRequest>(ask).await
        };
        match asked.await {
            Ok(now) => {
                for person in found.iter().filter(|person| !now.waits_for(&person.username)) {
                    let more = "GitLab took no more reviewers than it has now; its free tier takes one";
                    warnings.push(format!("review not requested: {}: {more}", person.username.escape_debug()));
                }
            }
            Err(error) => warnings.extend(found.iter().map(|person| reviewer_warning(&person.username, &error))),
        }
    }
}

impl GitLabApi {
    /// Comments and the lines of the history.
    pub(super) async fn notes(&self, number: u64) -> Result<Vec<WireNote>, ForgeError> {
        self.api.list(format!("merge_requests/{number}/notes?sort=asc&per_page=100")).await
    }

    async fn person(&self, name: &str) -> Result<WirePerson, ForgeError> {
        let none = |message: &str| {
            let problem = Problem::NoReviewer(message.to_owned());
            Err(self.api.error("GET users", problem))
        };
        if name.contains('/') {
            return none("GitLab has no groups as reviewers");
        }
        let query = Serializer::new(String::new()).append_pair("username", name).finish();
        let found: Vec<WirePerson> = self.api.ask(Ask::get(format!("users?{query}")).of_api()).await?;
        match found.into_iter().find(|person| person.username.eq_ignore_ascii_case(name)) {
            Some(person) => Ok(person),
            None => none("nobody has this user name"),
        }
    }
}
