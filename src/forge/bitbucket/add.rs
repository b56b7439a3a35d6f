//! Reviewers: who was ever asked, and how more are. There are no labels.

use serde_json::{Value, json};

use super::BitbucketApi;
use super::wire::{CloudHolder, CloudPerson, CloudPull};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{Adds, Api as _, Ask, ForgePull as _, History, reviewer_warning};

impl Adds for BitbucketApi {
    async fn history(&self, number: u64) -> Result<History, ForgeError> {
        let asked = self.versions(number).await?.updates.into_iter().flat_map(super::wire::CloudUpdate::asked);
        let names = asked.flat_map(|person| person.names().map(str::to_lowercase).collect::<Vec<_>>());
        Ok(History { reviewers: names.collect(), ..History::default() })
    }

    async fn add_labels(&self, _: u64, _: &[String], _: &mut Vec<String>) -> Vec<String> {
        Vec::new()
    }

    /// Asks for reviews. Reviewers are set all at once, those who are asked already among them, and one who is none
    /// would refuse them all.
    async fn request(&self, number: u64, reviewers: &[&String], warnings: &mut Vec<String>) {
        let mut found: Vec<CloudPerson> = Vec::new();
        for reviewer in reviewers {
            match self.person(reviewer).await {
                Ok(person) => found.push(person),
                Err(error) => warnings.push(reviewer_warning(reviewer, &error)),
            }
        }
        match self.ask_all(number, &found).await {
            Ok(()) => {}
            Err(error) if found.len() > 1 && error.problem.names_reviewers() => {
                for person in &found {
                    if let Err(error) = self.ask_all(number, std::slice::from_ref(person)).await {
                        warnings.push(reviewer_warning(person.name(), &error));
                    }
                }
            }
            Err(error) => warnings.extend(found.iter().map(|person| reviewer_warning(person.name(), &error))),
        }
    }

    async fn remove_label(&self, _: u64, _: &str) -> Result<(), ForgeError> {
        Ok(())
    }
}

impl BitbucketApi {
    async fn ask_all(&self, number: u64, more: &[CloudPerson]) -> Result<(), ForgeError> {
        if more.is_empty() {
            return Ok(());
        }
        let there = self.one(number).await?;
        let mut change = self.same(&there);
        let missing = more.iter().filter(|person| !there.waits_for(&person.uuid)).map(of_person);
        if let Some(reviewers) = change["reviewers"].as_array_mut() {
            reviewers.extend(missing);
        }
        self.api.ask::<CloudPull>(Ask::put(format!("pullrequests/{number}"), change)).await.map(drop)
    }

    /// What a change must repeat so that it stays.
    pub(super) fn same(&self, there: &CloudPull) -> Value {
        json!({ "title": there.title(), "reviewers": there.reviewers.iter().map(of_person).collect::<Vec<_>>() })
    }

    /// Somebody by UUID, by account id, or by the nickname that one member of the workspace has.
    async fn person(&self, name: &str) -> Result<CloudPerson, ForgeError> {
        let none = |message: &str| {
            let problem = Problem::NoReviewer(message.to_owned());
            Err(self.api.error("GET members", problem))
        };
        if name.contains('/') {
            return none("Bitbucket has no groups as reviewers");
        }
        if name.starts_with('{') {
            return Ok(CloudPerson { uuid: name.to_owned(), account_id: None, nickname: None });
        }
        let full = self.api.name();
        let workspace = full.split('/').next().unwrap_or_default();
        let path = format!("workspaces/{workspace}/members?pagelen=100");
        let members = match self.api.list_of_api::<CloudHolder>(path).await {
            Ok(members) => members,
            Err(ForgeError { problem: Problem::Forbidden { .. } | Problem::NotFound { .. }, .. }) => {
                return none(
                    "the token may not list the workspace's members; next: write the reviewer's UUID, with its braces",
                );
            }
            Err(error) => return Err(error),
        };
        let mut found = members.into_iter().map(|member| member.user).filter(|person| person.is(name));
        match (found.next(), found.next()) {
            (Some(person), None) => Ok(person),
            (None, _) => none("no member of the workspace has this name"),
            (Some(_), Some(_)) => {
                none("several members of the workspace have this name; next: write the UUID, with its braces")
            }
        }
    }
}

pub(super) fn of_person(person: &CloudPerson) -> Value {
    json!({ "uuid": person.uuid })
}
