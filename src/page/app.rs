//! An app: every environment that declares it, each update with its ladder, what waits, what is open, what has happened.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{RepoPath, Tracked, TrackedThing};

use super::chronicle::{PageEvent, timeline};
use super::facts::Facts;
use super::filter::RowFilter;
use super::incidents::{IncidentView, incidents};
use super::matrix::{environments, foreign, is_ahead, quoted};
use super::update::UpdateView;
use super::waits::{WaitView, waits};

/// An app.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AppView {
    /// The repository.
    pub repository: String,
    /// The app.
    pub app: String,
    /// Where it is declared, upstream first.
    pub places: Vec<AppPlace>,
    /// What waits.
    pub waits: Vec<WaitView>,
    /// The open incidents.
    pub incidents: Vec<IncidentView>,
    /// What has happened, newest first.
    pub events: Vec<PageEvent>,
}

/// An app in one environment.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AppPlace {
    /// The environment.
    pub environment: Option<String>,
    /// Its images, the app's own first; for each, what Git declares before what comes next.
    pub updates: Vec<UpdateView>,
    /// The files that declare them, with their images: where the policy in force can be asked for.
    pub files: Vec<PlaceFile>,
    /// Commands for this place, to copy.
    pub commands: Vec<String>,
}

/// A file that declares an image.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct PlaceFile {
    /// Its path in the repository.
    pub path: String,
    /// The line of the first pin.
    pub line: usize,
    /// The image.
    pub image: String,
}

/// Events on the page of an app.
const EVENTS: usize = 30;

/// The app of this name in this repository; `None` if there is none.
#[must_use]
pub fn app_view(facts: &Facts<'_>, repository: &str, app: &str) -> Option<AppView> {
    let is_own = |row: &&Tracked| row.thing == TrackedThing::Image && row.app == app && row.repository == repository;
    let mut places: BTreeMap<usize, Vec<&Tracked>> = BTreeMap::new();
    let order = environments(facts);
    for row in facts.rows.iter().filter(is_own) {
        let environment = row.environment.as_deref();
        let column = environment.and_then(|name| order.iter().position(|other| *other == name));
        places.entry(column.unwrap_or(order.len())).or_default().push(row);
    }
    if places.is_empty() {
        return None;
    }
    let places = places.into_values().map(|rows| place(facts, repository, app, rows)).collect();
    let filter = RowFilter { repository: repository.to_owned(), app: app.to_owned(), ..RowFilter::default() };
    let mut events = timeline(facts, &filter).events;
    events.truncate(EVENTS);
    Some(AppView {
        repository: repository.to_owned(),
        app: app.to_owned(),
        places,
        waits: waits(facts, &filter).waits,
        incidents: incidents(facts, &filter).incidents,
        events,
    })
}

fn place(facts: &Facts<'_>, repository: &str, app: &str, mut rows: Vec<&Tracked>) -> AppPlace {
    rows.sort_by_key(|row| (foreign(row), &row.image, is_ahead(row), Reverse(row.severity(facts.now)), &row.cluster));
    let environment = rows.first().and_then(|row| row.environment.clone());
    let mut files: Vec<PlaceFile> = Vec::new();
    let branches = facts.repositories.get(repository).into_iter().flat_map(|it| &it.branches);
    for declared in branches.flat_map(|branch| branch.declared.iter()) {
        if declared.app == app && declared.environment == environment {
            files.extend(declared.pins.iter().map(|pin| PlaceFile {
                path: pin.path.to_string(),
                line: pin.line,
                image: pin.name.to_string(),
            }));
        }
    }
    files.sort();
    files.dedup_by(|one, other| (&one.path, &one.image) == (&other.path, &other.image));
    let commands = commands(facts, repository, app, environment.as_deref(), &files);
    AppPlace { environment, updates: rows.iter().map(|row| UpdateView::new(facts, row)).collect(), files, commands }
}

fn commands(
    facts: &Facts<'_>,
    repository: &str,
    app: &str,
    environment: Option<&str>,
    files: &[PlaceFile],
) -> Vec<String> {
    let name = quoted(app);
    let here = environment.map_or(String::new(), |name| format!(" --environment {}", quoted(name)));
    let of = match facts.repositories.len() {
        0 | 1 => String::new(),
        _ => format!(" --repository {}", quoted(repository)),
    };
    let mut commands = vec![
        format!("landfall status {name}{here}"),
        format!("landfall history {name}{here}"),
        format!("landfall hold {name}{here}{of} --reason 'WHY'"),
        format!("landfall release {name}{here}{of}"),
    ];
    if environment.is_some() {
        commands.push(format!("landfall rollback {name}{here}{of} --reason 'WHY'"));
        let to = environment.map_or(String::new(), |name| format!(" --to {}", quoted(name)));
        commands.push(format!("landfall promote {name}{to}{of}"));
    }
    let file = files.iter().find(|file| RepoPath::parse(&file.path).is_ok());
    commands.extend(file.map(|file| format!("landfall explain {}{of}", quoted(&file.path))));
    commands
}
