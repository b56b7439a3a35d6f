//! Labels and reviewers: what was ever added, and how more are.
//!
//! Nothing tells which labels a pull request once had: the bot notes those that it added as a property of the pull request.

use serde::Deserialize;
use serde_json::{Value, json};

use super::wire::{AzurePerson, AzureThread};
use super::{AzureDevOpsApi, PREVIEW, encoded, versioned};
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{Adds, Ask, History, Listed, Repeat, label_warning, may_be_unknown, reviewer_warning};

/// The property with the labels that the bot has added, one on each line.
const ADDED: &str = "Landfall.Labels";
/// How many teams are looked through for a person.
const TEAMS: usize = 25;

#[derive(Debug, Deserialize)]
struct AzureTeam {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct AzureMember {
    identity: AzurePerson,
}

impl Adds for AzureDevOpsApi {
    async fn history(&self, number: u64) -> Result<History, ForgeError> {
        let threads = self.threads(number).await?;
        let asked = threads.iter().filter_map(AzureThread::asked);
        let names = asked.flat_map(|person| {
            let group = person.display_name.rsplit('\\').next().map(|name| format!("/{name}"));
            [Some(person.id.clone()), Some(person.unique_name.clone()), Some(person.display_name.clone()), group]
        });
        Ok(History {
            labels: self.added(number).await?.iter().map(|label| label.to_lowercase()).collect(),
            reviewers: names.flatten().map(|name| name.to_lowercase()).collect(),
        })
    }

    async fn add_labels(&self, number: u64, labels: &[String], warnings: &mut Vec<String>) -> Vec<String> {
        let mut added = Vec::new();
        for label in labels {
            let path = format!("pullRequests/{number}/labels?api-version={PREVIEW}");
            match self.api.tell(Ask::post(path, json!({ "name": label }), Repeat::Harmless)).await {
                Ok(()) => added.push(label.clone()),
                Err(error) => warnings.push(label_warning(std::slice::from_ref(label), &error)),
            }
        }
        if let Err(error) = self.note(number, &added).await {
            warnings.push(format!("labels that somebody removes would be added again: {error}"));
        }
        added
    }

    async fn request(&self, number: u64, reviewers: &[&String], warnings: &mut Vec<String>) {
        for reviewer in reviewers {
            let asked = async {
                let id = self.reviewer(reviewer).await?;
                let path = versioned(&format!("pullRequests/{number}/reviewers/{}", encoded(&id)), &[]);
                self.api.tell(Ask::put(path, json!({ "vote": 0 }))).await
            };
            if let Err(error) = asked.await {
                warnings.push(reviewer_warning(reviewer, &error));
            }
        }
    }

    async fn remove_label(&self, number: u64, label: &str) -> Result<(), ForgeError> {
        let path = format!("pullRequests/{number}/labels/{}?api-version={PREVIEW}", encoded(label));
        self.api.tell(Ask::delete(path)).await
    }
}

impl AzureDevOpsApi {
    /// The labels that the bot has added.
    async fn added(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        let path = format!("pullRequests/{number}/properties?api-version={PREVIEW}");
        let all: Value = may_be_unknown(self.api.ask(Ask::get(path)).await)?.unwrap_or_default();
        let noted = all["value"][ADDED]["$value"].as_str().unwrap_or_default();
        Ok(noted.lines().map(str::to_owned).collect())
    }

    async fn note(&self, number: u64, more: &[String]) -> Result<(), ForgeError> {
        if more.is_empty() {
            return Ok(());
        }
        let mut all = self.added(number).await?;
        all.extend(more.iter().filter(|label| !label.contains('\n')).cloned());
        all.sort();
        all.dedup();
        let patch = json!([{ "op": "add", "path": format!("/{ADDED}"), "value": all.join("\n") }]);
        let path = format!("pullRequests/{number}/properties?api-version={PREVIEW}");
        self.api.tell(Ask::patch(path, patch).said_to_be("application/json-patch+json")).await
    }

    /// The id of a person or a team. People are looked for among the members of the project's teams.
    async fn reviewer(&self, name: &str) -> Result<String, ForgeError> {
        let is_id = name.len() == 36 && name.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if is_id {
            return Ok(name.to_owned());
        }
        let project = self.project();
        let path = format!("_apis/projects/{project}/teams?$top=100&api-version=7.1");
        let teams = self.api.ask::<Listed<AzureTeam>>(Ask::get(path).of_api()).await?.values;
        let none = |message: &str| {
            let problem = Problem::NoReviewer(message.to_owned());
            Err(self.api.error("GET teams", problem))
        };
        if let Some((_, team)) = name.rsplit_once('/') {
            let found = teams.into_iter().find(|it| it.name.eq_ignore_ascii_case(team));
            return found.map_or_else(|| none("the project has no such team"), |team| Ok(team.id));
        }
        for team in teams.iter().take(TEAMS) {
            let path = format!("_apis/projects/{project}/teams/{}/members?$top=500&api-version=7.1", encoded(&team.id));
            let members = self.api.ask::<Listed<AzureMember>>(Ask::get(path).of_api()).await?.values;
            if let Some(member) = members.into_iter().find(|member| member.identity.is(name)) {
                return Ok(member.identity.id);
            }
        }
        none("nobody in the project's teams has this name; next: write their id")
    }
}
