//! The matrix: apps down, environments across; where every version is, how far behind, in which state, and what comes next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{About, Rung, State, Tracked, TrackedThing, UpdateId, Version};
use crate::plan::Hold;

use super::facts::Facts;
use super::filter::{RowFilter, RowGroup};
use super::tone::{Tone, is_beyond_sight, spaced, tone, word};
use super::version::{distance, short};

/// Apps and environments.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Matrix {
    /// When the rows were judged; `null` before the first time.
    pub judged: Option<Timestamp>,
    /// The environments, upstream first; the columns.
    pub environments: Vec<String>,
    /// Whether something has no environment; it has a column of its own.
    pub without_environment: bool,
    /// How many images are in which state, of everything.
    pub counts: Vec<StateCount>,
    /// The apps.
    pub apps: Vec<AppRow>,
    /// How many apps there are without the filter.
    pub all_apps: usize,
    /// Freezes and holds in force.
    pub banners: Vec<Banner>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// Which repositories another replica works for, where several share them.
    pub notes: Vec<String>,
}

/// How many images are in a state or group of states.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StateCount {
    /// The state, `late` or `attention`; a value for the filter `state`.
    pub state: String,
    /// How many.
    pub count: usize,
    /// Its colour.
    pub tone: Tone,
}

/// An app.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AppRow {
    /// The repository.
    pub repository: String,
    /// The app.
    pub app: String,
    /// Where it is declared; at most one per environment.
    pub cells: Vec<Cell>,
}

/// An app in an environment: its worst image, and what comes next.
#[derive(Debug, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// The environment.
    pub environment: Option<String>,
    /// The image.
    pub image: String,
    /// The last part of the image's name, where it is not the app's own.
    pub other_image: Option<String>,
    /// The version that Git declares, as short as possible.
    pub version: String,
    /// Since when.
    pub declared: Option<Timestamp>,
    /// Who wrote it.
    pub by: Option<String>,
    /// The state.
    pub state: State,
    /// Whether no cluster is configured that would show how it runs.
    #[serde(skip)]
    pub unwatched: bool,
    /// The state and its cause in words.
    pub word: String,
    /// Whether its deadline has passed.
    pub late: bool,
    /// Since when it is in that state.
    pub since: Option<Timestamp>,
    /// The colour of the worst of what is in the cell.
    pub tone: Tone,
    /// How many images it declares.
    pub images: usize,
    /// The clusters it runs in.
    pub clusters: Vec<String>,
    /// What comes next, if something does.
    pub next: Option<Next>,
    /// How far it is behind an environment upstream.
    pub behind: Option<Behind>,
}

/// An update that is not in Git yet.
#[derive(Debug, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Next {
    /// The version.
    pub version: String,
    /// What it waits for, in words.
    pub word: String,
    /// The gate that holds it.
    pub gate: Option<String>,
    /// When that opens on its own.
    pub until: Option<Timestamp>,
    /// Its pull request.
    pub pull_request: Option<String>,
    /// Its colour.
    pub tone: Tone,
}

/// How far a cell is behind another environment.
#[derive(Debug, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behind {
    /// The environment upstream.
    pub environment: String,
    /// The version there.
    pub version: String,
    /// Since when it is declared there.
    pub since: Option<Timestamp>,
    /// How far apart the numbers are, such as `2 minor`.
    pub distance: Option<String>,
}

/// A freeze or a hold in force.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Banner {
    /// The repository.
    pub repository: String,
    /// What it is.
    pub kind: BannerKind,
    /// What is frozen or held, in words.
    pub what: String,
    /// The environment, if it is about one.
    pub environment: Option<String>,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub by: String,
    /// When it ends on its own.
    pub until: Option<Timestamp>,
    /// The file that says so.
    pub file: String,
    /// The command that ends it.
    pub command: String,
}

/// What a banner is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BannerKind {
    /// An environment is frozen.
    Freeze,
    /// An app is held.
    Hold,
}

type Holds<'a> = BTreeMap<(&'a str, &'a UpdateId), &'a Hold>;

/// The matrix of everything that the filter lets through. An app keeps all its cells if one of them is wanted.
#[must_use]
pub fn matrix(facts: &Facts<'_>, filter: &RowFilter) -> Matrix {
    let order = environments(facts);
    let rank: BTreeMap<&str, usize> = order.iter().enumerate().map(|(nth, name)| (*name, nth)).collect();
    let holds = facts.holds();
    let mut apps: BTreeMap<(&str, &str), Vec<&Tracked>> = BTreeMap::new();
    for row in facts.rows.iter().filter(|row| row.thing == TrackedThing::Image) {
        apps.entry((&row.app, &row.repository)).or_default().push(row);
    }
    let all_apps = apps.len();
    apps.retain(|_, rows| rows.iter().any(|row| filter.wants(row, row.is_late(facts.now))));
    let one = |name: &str| filter.environment.is_empty() || name == filter.environment;
    let mut without_environment = false;
    let rows = apps.into_iter().map(|((app, repository), rows)| {
        let mut places: BTreeMap<usize, Vec<&Tracked>> = BTreeMap::new();
        for row in rows.into_iter().filter(|row| filter.wants_subject(row)) {
            let environment = row.environment.as_deref();
            if environment.is_none_or(one) && (environment.is_some() || filter.environment.is_empty()) {
                let column = environment.and_then(|name| rank.get(name).copied()).unwrap_or(order.len());
                without_environment |= environment.is_none();
                places.entry(column).or_default().push(row);
            }
        }
        let mut cells: Vec<(Cell, &Tracked)> =
            places.into_values().filter_map(|rows| cell(facts, &holds, &rows)).collect();
        set_behind(&mut cells);
        let cells = cells.into_iter().map(|(cell, _)| cell).collect();
        AppRow { repository: repository.to_owned(), app: app.to_owned(), cells }
    });
    let apps = rows.collect();
    Matrix {
        judged: facts.judged,
        environments: order.iter().filter(|name| one(name)).map(|name| (*name).to_owned()).collect(),
        without_environment,
        counts: counts(facts),
        apps,
        all_apps,
        banners: banners(facts),
        problems: problems(facts),
        notes: facts.notes.to_vec(),
    }
}

/// What is out of reach as a whole: then its cells are as they were last known, however green.
fn problems(facts: &Facts<'_>) -> Vec<String> {
    let whole = facts.rows.iter().filter(|row| row.thing != TrackedThing::Image && row.landing.state != State::Landed);
    let mut problems = facts.problems.to_vec();
    for row in whole {
        let Some(cause) = &row.landing.cause else { continue };
        if !problems.iter().any(|told| told.contains(&cause.message)) {
            problems.push(format!("{}: {}", row.app, cause.message));
        }
    }
    problems
}

/// Whether a row is about an update that is not in Git yet.
pub(super) fn is_ahead(row: &Tracked) -> bool {
    // One that a person has rejected waits for no rung, and has neither a commit nor a cluster. Whatever else has neither is in
    // Git: its commit may be older than the history that is read.
    let rejected = row.landing.state == State::Rejected && row.cluster.is_none() && row.declared.commit.is_none();
    matches!(row.landing.rung, Some(Rung::Committed | Rung::Merged)) || rejected
}

/// How closely an image is related to its app: it has the app's name, a part of it, or is another image, such as a sidecar's.
pub(super) fn foreign(row: &Tracked) -> u8 {
    let image = row.image.short();
    match () {
        () if image == row.app => 0,
        () if row.app.split(['-', '_', '/', '.']).any(|part| part == image) => 1,
        () => 2,
    }
}

/// The cell of an app's rows in one environment, with the row that it shows.
fn cell<'r>(facts: &Facts<'_>, holds: &Holds<'_>, rows: &[&'r Tracked]) -> Option<(Cell, &'r Tracked)> {
    let now = facts.now;
    let worst = |rows: &mut dyn Iterator<Item = &&'r Tracked>| {
        rows.min_by_key(|row| (Reverse(row.severity(now)), foreign(row), &row.image, &row.cluster)).copied()
    };
    let next = worst(&mut rows.iter().filter(|row| is_ahead(row)));
    // What is only unknown because a registry did not answer must not hide how the image runs.
    // Of a cluster that cannot be judged it is known that nothing is known.
    let settled = |row: &&&Tracked| {
        let known = row.landing.rung.is_some() || row.landing.state != State::Unknown;
        !is_ahead(row) && (known || row.cluster.is_some())
    };
    let row = worst(&mut rows.iter().filter(settled))
        .or_else(|| worst(&mut rows.iter().filter(|row| !is_ahead(row))))
        .or(next)?;
    let from = next.and_then(|next| holds.get(&(next.repository.as_str(), &next.id))).map(|hold| &hold.update.from);
    let version = if is_ahead(row) { from.map_or_else(|| "-".to_owned(), short) } else { short(&row.declared.version) };
    let own = rows.iter().map(|row| foreign(row)).min().unwrap_or_default();
    let late = row.is_late(now);
    let next = next.map(|next| next_of(facts, holds, next));
    let mut tone = tone(row, late);
    if let Some(next) = &next
        && matches!(next.tone, Tone::Bad | Tone::Warn)
    {
        tone = tone.min(next.tone);
    }
    let clusters: BTreeSet<&str> = rows.iter().filter_map(|row| row.cluster.as_deref()).collect();
    let images: BTreeSet<_> = rows.iter().map(|row| &row.image).collect();
    let cell = Cell {
        environment: row.environment.clone(),
        image: row.image.to_string(),
        other_image: (foreign(row) > own).then(|| row.image.short().to_owned()),
        version,
        declared: row.declared.since,
        by: row.declared.by.clone(),
        state: row.landing.state,
        unwatched: is_beyond_sight(row),
        word: word(row, late),
        late,
        since: row.since,
        tone,
        images: images.len(),
        clusters: clusters.into_iter().map(str::to_owned).collect(),
        next,
        behind: None,
    };
    Some((cell, row))
}

fn next_of(facts: &Facts<'_>, holds: &Holds<'_>, row: &Tracked) -> Next {
    let late = row.is_late(facts.now);
    let hold = holds.get(&(row.repository.as_str(), &row.id));
    let word = match hold {
        Some(hold) if !late && row.landing.state != State::Stuck => match hold.gate {
            crate::plan::Gate::Approval => "in review".to_owned(),
            gate => format!("held: {}", spaced(gate.as_str())),
        },
        _ => word(row, late),
    };
    Next {
        version: short(&row.declared.version),
        word,
        gate: hold.map(|hold| hold.gate.as_str().to_owned()),
        until: hold.and_then(|hold| hold.until),
        pull_request: row.pull_request.clone(),
        tone: tone(row, late),
    }
}

/// Compares each cell with the nearest environment upstream that has a newer version of its image.
fn set_behind(cells: &mut [(Cell, &Tracked)]) {
    for nth in 1..cells.len() {
        let (upstream, rest) = cells.split_at_mut(nth);
        let Some((cell, row)) = rest.first_mut() else { continue };
        let newer = |other: &&Tracked| {
            other.image == row.image
                && !is_ahead(other)
                && !is_ahead(row)
                && other.declared.version != row.declared.version
                && other.environment.is_some()
                && (other.declared.since > row.declared.since || apart(row, other).is_some())
        };
        cell.behind = upstream.iter().rev().map(|(_, row)| *row).find(newer).map(|other| Behind {
            environment: other.environment.clone().unwrap_or_default(),
            version: short(&other.declared.version),
            since: other.declared.since,
            distance: apart(row, other),
        });
    }
}

fn apart(row: &Tracked, other: &Tracked) -> Option<String> {
    let (behind, ahead): (&Version, &Version) = (&row.declared.version, &other.declared.version);
    distance(behind, ahead)
}

fn counts(facts: &Facts<'_>) -> Vec<StateCount> {
    let mut states: BTreeMap<Reverse<u8>, (State, usize)> = BTreeMap::new();
    let mut groups = [0; RowGroup::ALL.len()];
    for row in facts.rows.iter().filter(|row| row.thing == TrackedThing::Image) {
        let (state, late) = (row.landing.state, row.is_late(facts.now));
        states.entry(Reverse(state.severity())).or_insert((state, 0)).1 += 1;
        for (group, count) in RowGroup::ALL.into_iter().zip(&mut groups) {
            // What lies beyond sight is nothing to look at.
            *count += usize::from(group.has(state, late) && !is_beyond_sight(row));
        }
    }
    let groups = RowGroup::ALL.into_iter().zip(groups).filter(|(_, count)| *count > 0);
    let groups = groups.map(|(group, count)| StateCount { state: group.as_str().to_owned(), count, tone: Tone::Bad });
    let states = states.into_values();
    let states = states.map(|(state, count)| StateCount { state: state.to_string(), count, tone: Tone::of(state) });
    let mut all: Vec<StateCount> = groups.chain(states).collect();
    all.sort_by_key(|count| count.state != RowGroup::Attention.as_str());
    all
}

/// Freezes and holds in force.
fn banners(facts: &Facts<'_>) -> Vec<Banner> {
    let mut banners = Vec::new();
    for (name, repository) in &facts.repositories {
        for decision in repository.decisions.read().iter().filter(|decision| !decision.is_over(facts.now)) {
            let end = |command: &str, environment: Option<&String>| {
                let environment = environment.map_or(String::new(), |name| format!(" --environment {}", quoted(name)));
                format!("landfall {command}{environment} --repository {}", quoted(name))
            };
            let (kind, what, environment, command) = match &decision.about {
                About::Freeze { environment } => {
                    let what = environment.as_ref().map_or("every environment".to_owned(), Clone::clone);
                    let of = environment.as_ref().map_or(String::new(), |name| format!(" {}", quoted(name)));
                    (
                        BannerKind::Freeze,
                        what,
                        environment,
                        end(&format!("unfreeze{}", if of.is_empty() { " '*'" } else { &of }), None) + " --reason 'WHY'",
                    )
                }
                About::Hold { of, environment, version } => {
                    let version = version.as_ref().map_or(String::new(), |version| format!(" {}", short(version)));
                    let command = end(&format!("release {}", quoted(&of.to_string())), environment.as_ref());
                    (BannerKind::Hold, format!("{of}{version}"), environment, command)
                }
                About::Release { .. } => continue,
            };
            banners.push(Banner {
                repository: (*name).to_owned(),
                kind,
                what,
                environment: environment.clone(),
                reason: decision.reason.clone(),
                by: decision.author.clone(),
                until: decision.until,
                file: decision.file.clone(),
                command,
            });
        }
    }
    banners
}

/// A word for a shell: quoted unless it is plain.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@' | '+');
    match !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Names that say by themselves how far downstream an environment is.
const USUAL: [&[&str]; 6] = [
    &["dev", "development", "sandbox", "local"],
    &["test", "testing", "ci", "int", "integration"],
    &["qa", "uat", "acceptance", "demo"],
    &["staging", "stage", "stg", "sit"],
    &["preprod", "pre-prod", "preview", "canary"],
    &["prod", "production", "live"],
];

/// The longest chain of promotions whose order is followed.
const MAX_STEPS: usize = 32;

/// The environments, upstream first: in the order of the policies, but what promotes from another comes after it; then by their
/// usual names.
pub(super) fn environments<'a>(facts: &Facts<'a>) -> Vec<&'a str> {
    let names: BTreeSet<&str> = facts.rows.iter().filter_map(|row| row.environment.as_deref()).collect();
    let mut policies: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut promotes: Vec<((&str, &str), &str)> = Vec::new();
    for (repository, it) in &facts.repositories {
        for (nth, policy) in it.branches.iter().flat_map(|branch| branch.policies.policies()).enumerate() {
            policies.entry((repository, &policy.name.value)).or_insert(nth);
            let from = policy.fields.promote_from.iter().flat_map(|from| &from.value.environments);
            promotes.extend(from.map(|from| ((*repository, policy.name.value.as_str()), from.as_str())));
        }
    }
    let mut rank: BTreeMap<&str, usize> = BTreeMap::new();
    let mut of_policy: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for row in facts.rows {
        if let (Some(environment), Some(policy)) = (row.environment.as_deref(), row.policy.as_deref()) {
            let key = (row.repository.as_str(), policy);
            of_policy.entry(key).or_default().insert(environment);
            let nth = policies.get(&key).copied().unwrap_or(usize::MAX / 2);
            rank.entry(environment).and_modify(|rank| *rank = (*rank).min(nth)).or_insert(nth);
        }
    }
    promotes.sort_unstable();
    promotes.dedup();
    // A round more settles a step more of every chain; a circle, or a chain that is longer than any, ends with the rounds.
    for _ in 0..MAX_STEPS {
        let mut settled = true;
        for (key, from) in &promotes {
            let Some(upstream) = rank.get(from).copied() else { continue };
            for environment in of_policy.get(key).into_iter().flatten().filter(|name| *name != from) {
                if let Some(rank) = rank.get_mut(environment).filter(|rank| **rank <= upstream) {
                    *rank = upstream.saturating_add(1);
                    settled = false;
                }
            }
        }
        if settled {
            break;
        }
    }
    let usual = |name: &str| {
        let first = |name: &str| USUAL.iter().position(|names| names.contains(&name));
        let part = || name.split(['-', '_', '.']).find_map(first);
        first(name).or_else(part).unwrap_or(USUAL.len())
    };
    let mut order: Vec<&str> = names.into_iter().collect();
    order.sort_by_key(|name| (rank.get(name).copied().unwrap_or(usize::MAX), usual(name), *name));
    order
}
